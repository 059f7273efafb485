//! What sled leaves behind when it is cut short while it opens, by a full disk or by its end.
//!
//! sled writes a snapshot of its page table to `snap.N.generating`, synchronises it, and gives it its
//! name, `snap.N`. One that never came so far is of no use to anybody, but the next opening would take
//! it for the latest of all, and its missing end for damage. Its settings in `conf`, which it
//! writes before there is any data, are not whole at once either.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

const DATA_FILE: &str = "db";
const SETTINGS_FILE: &str = "conf";

/// Clears such leftovers away, unless another process has the directory open.
///
/// # Errors
/// What the system says.
pub(super) fn clear(dir: &Path) -> io::Result<()> {
    let Some(data) = found(OpenOptions::new().read(true).write(true).open(dir.join(DATA_FILE)))?
    else {
        found(fs::remove_file(dir.join(SETTINGS_FILE)))?;
        return Ok(());
    };
    if !lock(&data)? {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if is_unfinished_snapshot(&entry.file_name().to_string_lossy()) {
            tracing::info!(file = %entry.path().display(), "removed what an earlier start left behind");
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Takes the lock that sled will take, if it can be had. It ends with the file.
fn lock(data: &File) -> io::Result<bool> {
    match flock(data, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_unfinished_snapshot(name: &str) -> bool {
    name.starts_with("snap.") && name.ends_with(".generating")
}

fn found<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("readable");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("readable").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_nobody_uses_is_cleared_away() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["conf", "db", "snap.0A", "snap.0B.generating", "wal-0"] {
            fs::write(dir.path().join(name), "x").expect("written");
        }
        let other = File::open(dir.path().join("db")).expect("it is there");
        assert!(lock(&other).expect("free"));
        clear(dir.path()).expect("nothing to say");
        assert_eq!(names(dir.path()).len(), 5, "another process has it open");
        drop(other);
        clear(dir.path()).expect("cleared");
        assert_eq!(names(dir.path()), ["conf", "db", "snap.0A", "wal-0"]);
    }

    #[test]
    fn settings_without_data_are_cleared_away() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        clear(dir.path()).expect("there is nothing");
        fs::write(dir.path().join("conf"), "cut sh").expect("written");
        clear(dir.path()).expect("cleared");
        assert_eq!(names(dir.path()), [""; 0]);
    }
}
