//! The file that keeps a disk's mark ([`Disk::put_mark`](super::Disk::put_mark)) apart from its
//! tables.
//!
//! Two slots, each alone in its block, are written in turn, so that a write that is cut short harms
//! the older mark only. What is read is the valid slot of the higher sequence.
//!
//! ```text
//! crc32 of the rest: 4 bytes | sequence: 8 bytes | length: 2 bytes | the mark        (little-endian)
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::MARK_BYTES_MAX;

const BLOCK_BYTES: u64 = 4096;
const SLOTS: u64 = 2;
const HEADER_BYTES: usize = 14;
/// What a drive writes whole or not at all.
const SECTOR_BYTES: usize = 512;
const _: () = assert!(HEADER_BYTES + MARK_BYTES_MAX <= SECTOR_BYTES);

/// See the module's text.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: Arc<File>,
    last: Mutex<Option<(u64, Vec<u8>)>>,
}

enum Slot {
    Empty,
    Valid(u64, Vec<u8>),
    Damaged,
}

impl MarkFile {
    /// Opens the file, or makes an empty one of its full length. The directory is not synchronised.
    ///
    /// # Errors
    /// `InvalidData` when it holds marks and none is valid; otherwise what the system says.
    pub(super) fn open(path: &Path) -> io::Result<MarkFile> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut last: Option<(u64, Vec<u8>)> = None;
        let mut damaged = false;
        for number in 0..SLOTS {
            match read_slot(&file, number)? {
                Slot::Empty => {}
                Slot::Damaged => damaged = true,
                Slot::Valid(sequence, mark) => {
                    last = last.max(Some((sequence, mark)));
                }
            }
        }
        if damaged && last.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("no mark in {} is valid", path.display()),
            ));
        }
        if file.metadata()?.len() < SLOTS * BLOCK_BYTES {
            // Written, not only sized: no later mark may need room, or a change of the file's extents.
            let whole = vec![0; (SLOTS * BLOCK_BYTES) as usize];
            if last.is_none() {
                file.write_all_at(&whole, 0)?;
            } else {
                file.set_len(SLOTS * BLOCK_BYTES)?;
            }
            file.sync_all()?;
        }
        Ok(MarkFile { file: Arc::new(file), last: Mutex::new(last) })
    }

    /// The mark.
    pub(super) fn get(&self) -> Option<Vec<u8>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(_, mark)| mark.clone())
    }

    /// Replaces the mark.
    pub(super) fn put(&self, mark: &[u8]) -> io::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = last.as_ref().map_or(0, |(sequence, _)| *sequence) + 1;
        let length = u16::try_from(mark.len()).map_err(io::Error::other)?;
        let mut slot = vec![0; 4];
        slot.extend(sequence.to_le_bytes());
        slot.extend(length.to_le_bytes());
        slot.extend(mark);
        let checksum = crc32fast::hash(&slot[4..]);
        slot[..4].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(&slot, (sequence % SLOTS) * BLOCK_BYTES)?;
        *last = Some((sequence, mark.to_vec()));
        Ok(())
    }

    /// The file, for `fdatasync`.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }
}

fn read_slot(file: &File, number: u64) -> io::Result<Slot> {
    let mut sector = [0; SECTOR_BYTES];
    let mut filled = 0;
    while filled < SECTOR_BYTES {
        match file.read_at(&mut sector[filled..], number * BLOCK_BYTES + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if sector.iter().all(|byte| *byte == 0) {
        return Ok(Slot::Empty);
    }
    let [c0, c1, c2, c3, s0, s1, s2, s3, s4, s5, s6, s7, l0, l1, rest @ ..] = &sector;
    let length = usize::from(u16::from_le_bytes([*l0, *l1]));
    let sequence = u64::from_le_bytes([*s0, *s1, *s2, *s3, *s4, *s5, *s6, *s7]);
    let Some(mark) = rest.get(..length) else { return Ok(Slot::Damaged) };
    let checksum = crc32fast::hash(&sector[4..HEADER_BYTES + length]);
    if checksum != u32::from_le_bytes([*c0, *c1, *c2, *c3]) {
        return Ok(Slot::Damaged);
    }
    Ok(Slot::Valid(sequence, mark.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mark_is_found_and_a_torn_one_leaves_the_one_before() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("synced");
        let file = MarkFile::open(&path).expect("made");
        assert_eq!(file.get(), None);
        for mark in [&b"first"[..], b"second, longer", b"third"] {
            file.put(mark).expect("put");
            assert_eq!(MarkFile::open(&path).expect("opens").get().as_deref(), Some(mark));
        }
        // The third lies in slot 1.
        let whole = std::fs::read(&path).expect("read");
        for torn in BLOCK_BYTES as usize..BLOCK_BYTES as usize + HEADER_BYTES + 5 {
            let mut bytes = whole.clone();
            bytes[torn] ^= 0x40;
            std::fs::write(&path, bytes).expect("torn");
            let found = MarkFile::open(&path).expect("opens").get();
            assert_eq!(found.as_deref(), Some(&b"second, longer"[..]), "byte {torn}");
        }
        std::fs::write(&path, &whole[..BLOCK_BYTES as usize]).expect("cut");
        let file = MarkFile::open(&path).expect("opens");
        assert_eq!(file.get().as_deref(), Some(&b"second, longer"[..]));
        file.put(b"third again").expect("put");
        assert_eq!(
            MarkFile::open(&path).expect("opens").get().as_deref(),
            Some(&b"third again"[..])
        );
    }

    #[test]
    fn marks_of_which_none_is_valid_are_damage() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("synced");
        MarkFile::open(&path).expect("made").put(b"mark").expect("put");
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[BLOCK_BYTES as usize + 6] ^= 1;
        std::fs::write(&path, bytes).expect("damaged");
        let error = MarkFile::open(&path).expect_err("damaged");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        std::fs::write(&path, [0xff; 9000]).expect("damaged");
        assert!(MarkFile::open(&path).is_err());
    }
}
