//! A bounded set of open files, whatever there is on the disk.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, Space};

/// Files that are open at once.
const OPEN_MAX: usize = 256;

/// The files that were used last, open.
pub(super) struct OpenFiles {
    pub(super) disk: Arc<dyn Disk>,
    open: Mutex<Open>,
}

/// An open file, and the turn of its last use.
type Used = (Arc<dyn DiskFile>, u64);

#[derive(Default)]
struct Open {
    /// By directory and start.
    files: HashMap<String, BTreeMap<u64, Used>>,
    count: usize,
    turn: u64,
}

impl OpenFiles {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A numbered file, which must be there.
    pub(super) fn get(&self, directory: &str, start: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.lock();
        open.turn += 1;
        let turn = open.turn;
        let known = open.files.get_mut(directory).and_then(|files| files.get_mut(&start));
        if let Some((file, used)) = known {
            *used = turn;
            return Ok(file.clone());
        }
        // Under the lock, so that no file is put in that was removed meanwhile.
        let file = self.disk.open(directory, start)?;
        open.put(directory, start, file.clone());
        Ok(file)
    }

    /// Makes a numbered file.
    pub(super) fn create(
        &self,
        directory: &str,
        start: u64,
        bytes: u64,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(directory, start, bytes, Space::Sparse)?;
        self.lock().put(directory, start, file.clone());
        Ok(file)
    }

    /// Removes a numbered file. Who reads it at the moment reads on.
    pub(super) fn remove(&self, directory: &str, start: u64) -> io::Result<()> {
        let removed = self.disk.remove(directory, start);
        let mut open = self.lock();
        if let Some(files) = open.files.get_mut(directory) {
            let was_open = usize::from(files.remove(&start).is_some());
            if files.is_empty() {
                open.files.remove(directory);
            }
            open.count -= was_open;
        }
        removed
    }

    /// Removes all numbered files of a directory, and the directory.
    pub(super) fn remove_all(&self, directory: &str) -> io::Result<()> {
        for (start, _) in self.disk.list(directory)? {
            self.remove(directory, start)?;
        }
        self.disk.remove_directory(directory)
    }

    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        self.lock().count
    }
}

impl Open {
    fn put(&mut self, directory: &str, start: u64, file: Arc<dyn DiskFile>) {
        if self.count >= OPEN_MAX {
            self.close_oldest();
        }
        let turn = self.turn;
        let files = self.files.entry(directory.to_owned()).or_default();
        self.count += usize::from(files.insert(start, (file, turn)).is_none());
    }

    fn close_oldest(&mut self) {
        let all = self.files.iter().flat_map(|(directory, files)| {
            files.iter().map(move |(start, (_, used))| (*used, directory, *start))
        });
        let Some((_, directory, start)) = all.min() else { return };
        let directory = directory.clone();
        if let Some(files) = self.files.get_mut(&directory) {
            files.remove(&start);
            self.count -= 1;
            if files.is_empty() {
                self.files.remove(&directory);
            }
        }
    }
}
