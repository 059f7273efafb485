//! The seam to the file system, so that tests can put a disk in its place that fills up, fails or
//! loses its power.
//!
//! All names are relative to the data directory. Most files are numbered: their name is the offset
//! at which they begin, in 20 digits, as RocketMQ names them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::durable;

/// How the room of a new file comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// It is taken from the disk at once, so that later writes find it.
    Reserved,
    /// As it is written.
    Sparse,
}

/// The files of a store.
pub trait Disk: Send + Sync + 'static {
    /// Start offset and length of each numbered file of a directory, in the order of their
    /// offsets; none if there is no such directory.
    fn list(&self, directory: &str) -> io::Result<Vec<(u64, u64)>>;
    /// Names of the directories in a directory; none if there is no such directory.
    fn directories(&self, directory: &str) -> io::Result<Vec<String>>;
    /// Opens an existing numbered file.
    fn open(&self, directory: &str, start: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a numbered file of that many zeros, which is there after a crash, and the directories
    /// it needs. It replaces one that was left half made.
    fn create(
        &self,
        directory: &str,
        start: u64,
        bytes: u64,
        space: Space,
    ) -> io::Result<Arc<dyn DiskFile>>;
    /// Removes a numbered file; it does not come back after a crash. One that is not there is fine.
    fn remove(&self, directory: &str, start: u64) -> io::Result<()>;
    /// Removes a directory that has no files any more. One that is not there is fine.
    fn remove_directory(&self, directory: &str) -> io::Result<()>;
    /// Content of a small file, if it is there.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Replaces a small file: after a crash it is as before or as after, and once this has
    /// returned as after.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()>;
    /// Used share of the disk, from 0 to 1.
    fn used_ratio(&self) -> io::Result<f64>;
}

/// One numbered file.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to the whole buffer; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Returns when all that was written would survive a power cut.
    fn sync(&self) -> io::Result<()>;
    /// Makes everything from a position on zeros, up to a length that the file has then.
    fn clear(&self, position: u64, bytes: u64) -> io::Result<()>;
}

/// Reads the whole buffer, or fails at the end of the file.
pub(super) fn read_exact_at(
    file: &dyn DiskFile,
    buffer: &mut [u8],
    position: u64,
) -> io::Result<()> {
    match read_up_to(file, buffer, position)? {
        filled if filled == buffer.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads the whole buffer, or up to the end of the file; answers how much.
pub(super) fn read_up_to(
    file: &dyn DiskFile,
    buffer: &mut [u8],
    position: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Name of the file that begins at this offset.
pub fn segment_name(start: u64) -> String {
    format!("{start:020}")
}

/// The real file system.
#[derive(Debug)]
pub struct FileDisk {
    root: PathBuf,
    /// A lock that lives as long as anybody may write here.
    _lock: Option<File>,
}

impl FileDisk {
    /// The files under this directory, which is made if it is missing. A lock that is given is kept
    /// until the disk is dropped.
    pub fn open(root: &Path, lock: Option<File>) -> io::Result<Self> {
        durable::create_directory(root)?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    fn path(&self, directory: &str, start: u64) -> PathBuf {
        self.root.join(directory).join(segment_name(start))
    }
}

impl Disk for FileDisk {
    fn list(&self, directory: &str) -> io::Result<Vec<(u64, u64)>> {
        let Some(entries) = there(std::fs::read_dir(self.root.join(directory)))? else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let start = name.to_str().filter(|name| name.len() == 20);
            if let Some(start) = start.and_then(|name| name.parse().ok()) {
                files.push((start, entry.metadata()?.len()));
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn directories(&self, directory: &str) -> io::Result<Vec<String>> {
        let Some(entries) = there(std::fs::read_dir(self.root.join(directory)))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, directory: &str, start: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(directory, start))?;
        Ok(Arc::new(file))
    }

    fn create(
        &self,
        directory: &str,
        start: u64,
        bytes: u64,
        space: Space,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path(directory, start);
        let directory = self.root.join(directory);
        durable::create_directory(&directory)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
        let made = match space {
            Space::Reserved => reserve(&file, bytes),
            Space::Sparse => file.set_len(bytes),
        };
        if let Err(error) = made {
            // What was taken for it would be missing elsewhere.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        file.sync_all()?;
        durable::sync_directory(&directory)?;
        Ok(Arc::new(file))
    }

    fn remove(&self, directory: &str, start: u64) -> io::Result<()> {
        match there(std::fs::remove_file(self.path(directory, start)))? {
            Some(()) => durable::sync_directory(&self.root.join(directory)),
            None => Ok(()),
        }
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        let path = self.root.join(directory);
        match (there(std::fs::remove_dir(&path))?, path.parent()) {
            (Some(()), Some(above)) => durable::sync_directory(above),
            _ => Ok(()),
        }
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        there(std::fs::read(self.root.join(name)))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        durable::write_file(&self.root.join(name), content)
    }

    fn used_ratio(&self) -> io::Result<f64> {
        let system = rustix::fs::statvfs(&self.root)?;
        // What is kept back for root counts as used.
        let free = system.f_bavail as f64 / (system.f_blocks as f64).max(1.0);
        Ok(1.0 - free)
    }
}

/// None where there is no such file.
fn there<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Lengthens a file to that many bytes and takes their room.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)?;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // Not every file system can.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        other => Ok(other?),
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, position)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn clear(&self, position: u64, bytes: u64) -> io::Result<()> {
        self.set_len(position)?;
        reserve(self, bytes)
    }
}
