//! Small files that are either as before or as after, whatever happens in between.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces a file: a new one is written and synced beside it, then renamed over it, and the
/// directory is synced. When this returns the content survives a power cut.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = path.file_name().map(OsString::from).ok_or(io::ErrorKind::InvalidInput)?;
    beside.push(".new");
    let beside = directory.join(beside);
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&beside, path)?;
    sync_directory(directory)
}

/// Makes a directory and those above it that are missing, so that they survive a power cut.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        create_directory(above)?;
    }
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_directory(above.unwrap_or(Path::new(".")))
}

/// Makes renamed and new entries of a directory survive a power cut.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        create_directory(&inner).unwrap();
        create_directory(&inner).unwrap();
        let path = inner.join("f.json");
        write_file(&path, b"one, the longer").unwrap();
        write_file(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1, "nothing is left beside it");
    }
}
