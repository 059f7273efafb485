//! What a replica has applied, for checkers to replay: two replicas' journals, or one's before and
//! after a restart, must agree wherever they overlap.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::{self, RECORD_BYTES_MAX};
use crate::machine::Index;

/// One applied command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Its log index. A restart applies again what lies behind the snapshot, so an index may come
    /// more than once; with the same contents each time.
    pub index: Index,
    /// The command, encoded ([`codec::decode`]).
    pub command: Bytes,
    /// Its outcome, encoded.
    pub outcome: Bytes,
    /// The digest of the machine's tables after it.
    pub digest: u128,
}

/// Is told of everything that is applied.
pub trait Journal: Send + Sync + 'static {
    /// Takes a record.
    ///
    /// # Errors
    /// What the file says; the replica then stops.
    fn record(&mut self, record: &JournalRecord) -> io::Result<()>;

    /// Called after each batch, before its outcomes are answered.
    ///
    /// # Errors
    /// What the file says; the replica then stops.
    fn flush(&mut self) -> io::Result<()>;
}

/// A journal in a file, each record after its length and checksum (4 bytes each, little-endian).
#[derive(Debug)]
pub struct FileJournal {
    file: BufWriter<File>,
}

impl FileJournal {
    /// Opens a file to append to; a record that a crash has cut short is cut off.
    ///
    /// # Errors
    /// What the system says.
    pub fn append_to(path: &Path) -> io::Result<FileJournal> {
        let whole_bytes = if path.exists() { scan(&std::fs::read(path)?)?.1 } else { 0 };
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        file.set_len(whole_bytes)?;
        Ok(FileJournal { file: BufWriter::new(file) })
    }
}

impl Journal for FileJournal {
    fn record(&mut self, record: &JournalRecord) -> io::Result<()> {
        let body = codec::encode(record).map_err(io::Error::other)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&crc32fast::hash(&body).to_le_bytes())?;
        self.file.write_all(&body)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads a journal. A last record that was cut short by a crash is left out.
///
/// # Errors
/// `InvalidData` when another record is damaged; otherwise what the system says.
pub fn read_journal(path: &Path) -> io::Result<Vec<JournalRecord>> {
    Ok(scan(&std::fs::read(path)?)?.0)
}

/// The whole records, and the bytes that they take.
fn scan(bytes: &[u8]) -> io::Result<(Vec<JournalRecord>, u64)> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let checksum = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let damaged = |what: &str| {
            let text = format!("the journal's record at byte {at} is damaged: {what}");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        if u64::from(length) > RECORD_BYTES_MAX {
            return Err(damaged("it is too long"));
        }
        let Some(body) = bytes.get(at + 8..at + 8 + length as usize) else { break };
        if crc32fast::hash(body) != checksum {
            return Err(damaged("its checksum does not fit"));
        }
        records.push(codec::decode(body).map_err(|error| damaged(&error.to_string()))?);
        at += 8 + length as usize;
    }
    Ok((records, at as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: Index) -> JournalRecord {
        let command = Bytes::from(vec![index as u8; 10]);
        JournalRecord { index, command, outcome: Bytes::new(), digest: u128::from(index) << 70 }
    }

    #[test]
    fn records_come_back_and_a_torn_end_is_cut_off() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("journal");
        let mut journal = FileJournal::append_to(&path).expect("opened");
        for index in 1..=3 {
            journal.record(&record(index)).expect("recorded");
        }
        journal.flush().expect("flushed");
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() - 5]).expect("torn");
        assert_eq!(read_journal(&path).expect("read"), [record(1), record(2)]);

        let mut journal = FileJournal::append_to(&path).expect("opened again");
        journal.record(&record(4)).expect("recorded");
        journal.flush().expect("flushed");
        assert_eq!(read_journal(&path).expect("read"), [record(1), record(2), record(4)]);

        let mut damaged = whole;
        damaged[20] ^= 1;
        std::fs::write(&path, damaged).expect("damaged");
        let error = read_journal(&path).expect_err("it is damaged").to_string();
        assert!(error.contains("at byte 0"), "{error}");
    }
}
