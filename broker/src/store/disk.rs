//! The seam to the file system, so that tests can put a disk in its place that fills up or fails.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::durable;

/// A directory of segment files, each named by the log offset at which it begins.
pub trait Disk: Send + Sync + 'static {
    /// Start offset and length of each file, in the order of their offsets.
    fn list(&self) -> io::Result<Vec<(u64, u64)>>;
    /// Opens an existing file.
    fn open(&self, start: u64) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a file of that many zeros, which is there after a crash. It replaces one that was
    /// left half made.
    fn create(&self, start: u64, bytes: u64) -> io::Result<Box<dyn DiskFile>>;
    /// Used share of the disk, from 0 to 1.
    fn used_ratio(&self) -> io::Result<f64>;
}

/// One segment file.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to the whole buffer; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Returns when all that was written would survive a power cut.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file, or lengthens it by zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

/// Name of the segment that begins at this offset: 20 digits, as RocketMQ names them.
pub fn segment_name(start: u64) -> String {
    format!("{start:020}")
}

/// The real file system.
#[derive(Debug)]
pub struct FileDisk {
    directory: PathBuf,
    /// A lock that lives as long as anybody may write here.
    _lock: Option<File>,
}

impl FileDisk {
    /// The segments in this directory, which is made if it is missing. A lock that is given is
    /// kept until the disk is dropped.
    pub fn open(directory: &Path, lock: Option<File>) -> io::Result<Self> {
        durable::create_directory(directory)?;
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    fn path(&self, start: u64) -> PathBuf {
        self.directory.join(segment_name(start))
    }
}

impl Disk for FileDisk {
    fn list(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
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

    fn open(&self, start: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(start))?;
        Ok(Box::new(file))
    }

    fn create(&self, start: u64, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(start);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_all()?;
        durable::sync_directory(&self.directory)?;
        Ok(Box::new(file))
    }

    fn used_ratio(&self) -> io::Result<f64> {
        let system = rustix::fs::statvfs(&self.directory)?;
        // What is kept back for root counts as used.
        let free = system.f_bavail as f64 / (system.f_blocks as f64).max(1.0);
        Ok(1.0 - free)
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

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }
}
