//! A disk in memory that loses, keeps or tears what was not synced, fills up, and fails.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use super::super::disk::{Disk, DiskFile, Space};

/// What a power cut keeps or loses as a whole.
const SECTOR_BYTES: usize = 64;

#[derive(Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By directory and start: which of the inodes.
    names: BTreeMap<(String, u64), usize>,
    inodes: Vec<Inode>,
    directories: BTreeSet<String>,
    /// Names whose removal is not sure yet.
    being_removed: BTreeMap<(String, u64), usize>,
    /// Small files: content, and the one that a replacement under way would give.
    small: BTreeMap<String, (Vec<u8>, Option<Vec<u8>>)>,
    /// Writes and syncs until everything fails; none: never.
    operations_left: Option<u64>,
    operations: u64,
    /// Bytes that further writes may take; none: any.
    room_bytes: Option<usize>,
    /// Writes to files in directories that begin so find no room.
    full_for: Option<&'static str>,
    sync_fails: bool,
    syncs: u64,
    /// Syncs of files in directories that begin so do nothing.
    ignored_syncs: Option<&'static str>,
    used_ratio: f64,
}

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    cached: Vec<u8>,
}

impl SimDisk {
    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    pub(super) fn fail_after(&self, operations: u64) {
        self.state(|state| state.operations_left = Some(operations));
    }

    /// Writes, syncs and changes of names so far.
    pub(super) fn operations(&self) -> u64 {
        self.state(|state| state.operations)
    }

    pub(super) fn set_room(&self, bytes: Option<usize>) {
        self.state(|state| state.room_bytes = bytes);
    }

    pub(super) fn set_full_for(&self, directory: Option<&'static str>) {
        self.state(|state| state.full_for = directory);
    }

    pub(super) fn set_used_ratio(&self, ratio: f64) {
        self.state(|state| state.used_ratio = ratio);
    }

    pub(super) fn fail_syncs(&self) {
        self.state(|state| state.sync_fails = true);
    }

    /// From now on syncs of files in such directories do nothing.
    pub(super) fn ignore_syncs(&self, directory: &'static str) {
        self.state(|state| state.ignored_syncs = Some(directory));
    }

    pub(super) fn syncs(&self) -> u64 {
        self.state(|state| state.syncs)
    }

    /// Numbered files whose directory begins so.
    pub(super) fn files(&self, directory: &str) -> Vec<(String, u64)> {
        let wanted = |name: &&(String, u64)| name.0.starts_with(directory);
        self.state(|state| state.names.keys().filter(wanted).cloned().collect())
    }

    /// Forgets everything in such directories, and such small files.
    pub(super) fn wipe(&self, directory: &str) {
        self.state(|state| {
            state.names.retain(|name, _| !name.0.starts_with(directory));
            state.directories.retain(|name| !name.starts_with(directory));
            state.small.retain(|name, _| !name.starts_with(directory));
        });
    }

    /// Forgets one file.
    pub(super) fn wipe_file(&self, directory: &str, start: u64) {
        self.state(|state| state.names.remove(&name(directory, start)));
    }

    /// Takes one file as it is on another disk.
    pub(super) fn take_file(&self, directory: &str, start: u64, from: &Self) {
        let inode = from.state(|other| {
            let inode = other.names[&name(directory, start)];
            other.inodes[inode].clone()
        });
        self.state(|state| {
            state.inodes.push(inode);
            state.names.insert(name(directory, start), state.inodes.len() - 1);
        });
    }

    /// A disk of its own with the same content.
    pub(super) fn copy(&self) -> Self {
        let copy = self.state(|state| State {
            names: state.names.clone(),
            inodes: state.inodes.clone(),
            directories: state.directories.clone(),
            small: state.small.clone(),
            used_ratio: state.used_ratio,
            ..State::default()
        });
        Self(Arc::new(Mutex::new(copy)))
    }

    /// The power goes: of each sector that was not synced the old or the new content is left, as
    /// the coin says; a removal that had not returned, and a replacement, has happened or not.
    pub(super) fn power_cut(&self, mut coin: impl FnMut() -> bool) {
        self.state(|state| {
            for (name, inode) in std::mem::take(&mut state.being_removed) {
                if coin() {
                    state.names.entry(name).or_insert(inode);
                }
            }
            for (content, replacement) in state.small.values_mut() {
                if let Some(new) = replacement.take()
                    && coin()
                {
                    *content = new;
                }
            }
            for inode in &mut state.inodes {
                inode.tear(&mut coin);
            }
            (state.operations_left, state.room_bytes, state.sync_fails) = (None, None, false);
        });
    }
}

impl Inode {
    fn tear(&mut self, coin: &mut impl FnMut() -> bool) {
        let Self { durable, cached } = self;
        // A length that was not synced may be lost, too.
        if durable.len() != cached.len() && coin() {
            durable.resize(cached.len(), 0);
        }
        for start in (0..durable.len().min(cached.len())).step_by(SECTOR_BYTES) {
            let end = (start + SECTOR_BYTES).min(durable.len()).min(cached.len());
            if durable[start..end] != cached[start..end] && coin() {
                durable[start..end].copy_from_slice(&cached[start..end]);
            }
        }
        cached.clone_from(durable);
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.operations_left {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn name(directory: &str, start: u64) -> (String, u64) {
    (directory.to_owned(), start)
}

impl Disk for SimDisk {
    fn list(&self, directory: &str) -> io::Result<Vec<(u64, u64)>> {
        Ok(self.state(|state| {
            let all = state.names.iter().filter(|(name, _)| name.0 == directory);
            all.map(|(name, inode)| (name.1, state.inodes[*inode].cached.len() as u64)).collect()
        }))
    }

    fn directories(&self, directory: &str) -> io::Result<Vec<String>> {
        let below = format!("{directory}/");
        let names: BTreeSet<String> = self.state(|state| {
            let inside = state.directories.iter().filter_map(|name| name.strip_prefix(&below));
            inside.map(|rest| rest.split('/').next().unwrap().to_owned()).collect()
        });
        Ok(names.into_iter().collect())
    }

    fn open(&self, directory: &str, start: u64) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.state(|state| state.names.get(&name(directory, start)).copied());
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, directory: directory.to_owned() }))
    }

    fn create(
        &self,
        directory: &str,
        start: u64,
        bytes: u64,
        space: Space,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.state(|state| {
            if space == Space::Reserved && state.room_bytes.is_some() {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            // The name may be there without the length.
            state.inodes.push(Inode::default());
            let inode = state.inodes.len() - 1;
            state.names.insert(name(directory, start), inode);
            state.directories.insert(directory.to_owned());
            state.step()?;
            let zeros = vec![0; bytes as usize];
            state.inodes[inode] = Inode { durable: zeros.clone(), cached: zeros };
            Ok(inode)
        })?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, directory: directory.to_owned() }))
    }

    fn remove(&self, directory: &str, start: u64) -> io::Result<()> {
        self.state(|state| {
            let name = name(directory, start);
            if !state.names.contains_key(&name) {
                return Ok(());
            }
            state.step()?;
            if let Some(inode) = state.names.remove(&name) {
                state.being_removed.insert(name.clone(), inode);
            }
            state.step()?;
            state.being_removed.remove(&name);
            Ok(())
        })
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        self.state(|state| {
            state.step()?;
            if state.names.keys().any(|name| name.0.starts_with(directory)) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            state.directories.retain(|name| !name.starts_with(directory));
            Ok(())
        })
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state(|state| state.small.get(name).map(|(content, _)| content.clone())))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.state(|state| {
            state.step()?;
            if !state.small.contains_key(name) {
                state.small.insert(name.to_owned(), (Vec::new(), None));
            }
            state.small.get_mut(name).unwrap().1 = Some(content.to_vec());
            state.step()?;
            state.small.insert(name.to_owned(), (content.to_vec(), None));
            Ok(())
        })
    }

    fn used_ratio(&self) -> io::Result<f64> {
        Ok(self.state(|state| state.used_ratio))
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    directory: String,
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.disk.state(|state| {
            let cached = &state.inodes[self.inode].cached;
            let rest = cached.get(position as usize..).unwrap_or_default();
            let bytes = rest.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&rest[..bytes]);
            Ok(bytes)
        })
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.disk.state(|state| {
            let (start, mut taken) = (position as usize, bytes.len());
            let failed = state.step().err();
            if state.full_for.is_some_and(|full| self.directory.starts_with(full)) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if let Some(room) = &mut state.room_bytes {
                taken = taken.min(*room);
                *room -= taken;
            }
            if failed.is_some() {
                taken /= 2;
            }
            let cached = &mut state.inodes[self.inode].cached;
            if cached.len() < start + taken {
                cached.resize(start + taken, 0);
            }
            cached[start..start + taken].copy_from_slice(&bytes[..taken]);
            match failed {
                Some(error) => Err(error),
                None if taken < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
                None => Ok(()),
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state(|state| {
            state.step()?;
            if state.sync_fails {
                return Err(io::Error::other("sync failed"));
            }
            state.syncs += 1;
            if state.ignored_syncs.is_some_and(|ignored| self.directory.starts_with(ignored)) {
                return Ok(());
            }
            let Inode { durable, cached } = &mut state.inodes[self.inode];
            durable.clone_from(cached);
            Ok(())
        })
    }

    fn clear(&self, position: u64, bytes: u64) -> io::Result<()> {
        self.disk.state(|state| {
            for bytes in [position, bytes] {
                state.step()?;
                state.inodes[self.inode].cached.resize(bytes as usize, 0);
            }
            Ok(())
        })
    }
}
