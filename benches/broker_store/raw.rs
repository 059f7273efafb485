//! What the disk and the system do with the same bytes when nobody builds anything around them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};

use crate::Result;

/// Files are as long as a segment; behind a full one a new one is begun, as the log does: to write
/// again what is in the page cache already is cheaper than to append.
const FILE_BYTES: u64 = 1 << 30;

/// Files that are written to their ends one after the other, and go with this.
struct Appended {
    directory: PathBuf,
    files: Vec<File>,
    /// Where the next write goes in the last one.
    position: u64,
}

impl Appended {
    fn new(directory: &Path) -> Result<Self> {
        let mut new = Self { directory: directory.to_owned(), files: Vec::new(), position: 0 };
        new.begin_file()?;
        Ok(new)
    }

    /// Begins a file with its room taken, as a segment has it.
    fn begin_file(&mut self) -> Result<()> {
        let file = tempfile::tempfile_in(&self.directory)?;
        fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES)?;
        file.sync_all()?;
        self.files.push(file);
        self.position = 0;
        Ok(())
    }

    /// Writes a record behind the last one; answers the file that it is in.
    fn write(&mut self, record: &[u8]) -> Result<&File> {
        if self.position + record.len() as u64 > FILE_BYTES {
            self.begin_file()?;
        }
        let file = self.files.last().ok_or("there is always a file")?;
        file.write_all_at(record, self.position)?;
        self.position += record.len() as u64;
        Ok(file)
    }
}

/// Writes of so many bytes, each followed by fdatasync, a second.
pub(crate) fn synced_writes(directory: &Path, bytes: usize, span: Duration) -> Result<f64> {
    let (mut appended, record) = (Appended::new(directory)?, vec![7; bytes]);
    let (start, mut writes) = (Instant::now(), 0_u64);
    while start.elapsed() < span {
        appended.write(&record)?.sync_data()?;
        writes += 1;
    }
    Ok(writes as f64 / start.elapsed().as_secs_f64())
}

/// Writes of so many bytes, one behind the other and none synced, a second; and the CPU time of
/// each, in µs.
pub(crate) fn writes(directory: &Path, bytes: usize, span: Duration) -> Result<(f64, f64)> {
    let (mut appended, record) = (Appended::new(directory)?, vec![7; bytes]);
    let (start, cpu, mut writes) = (Instant::now(), cpu_time()?, 0_u64);
    while !writes.is_multiple_of(64) || start.elapsed() < span {
        appended.write(&record)?;
        writes += 1;
    }
    let rate = writes as f64 / start.elapsed().as_secs_f64();
    Ok((rate, (cpu_time()? - cpu).as_secs_f64() * 1e6 / writes as f64))
}

/// Bytes a second of reading files from their beginning, a piece at a time, again and again.
pub(crate) fn reads(paths: &[PathBuf], end: u64, span: Duration) -> Result<f64> {
    let mut piece = vec![0; 256 * 1024];
    let (start, mut bytes) = (Instant::now(), 0_u64);
    while start.elapsed() < span {
        let mut left = end;
        for path in paths {
            let (file, mut position) = (File::open(path)?, 0);
            while left > 0 && start.elapsed() < span {
                let read = file.read_at(&mut piece, position)?;
                if read == 0 {
                    break;
                }
                let read = (read as u64).min(left);
                (position, left, bytes) = (position + read, left - read, bytes + read);
            }
        }
    }
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

/// CPU time of this process so far, of all its threads, in user and system mode.
pub(crate) fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = behind_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|number| number.parse::<u64>())
        .sum::<Result<u64, _>>()?;
    // Linux has told user space 100 ticks a second since ever.
    Ok(Duration::from_millis(ticks * 10))
}
