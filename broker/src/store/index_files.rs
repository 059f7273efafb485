//! All files of the index: the one that is being filled, in memory, and those that are full.

use std::collections::BTreeMap;
use std::io;

use super::disk::{read_exact_at, read_up_to};
use super::files::OpenFiles;
use super::index::{HEADER_BYTES, Header, Image, IndexEntry, Key, Shape};
use super::work::Dirty;

/// Where in the data directory the index is.
pub(super) const INDEX_DIRECTORY: &str = "index";
/// Entries of one slot that a search looks at in one file, at most: a chain cannot run in circles.
const CHAIN_MAX: usize = 100_000;

/// The index.
pub(super) struct Index {
    image: Image,
    /// Entries of the image from this number on are not in its file yet; 0: nor is there a file.
    written: u32,
    /// Files that are full, by the physical offset at which they begin.
    full: BTreeMap<u64, Header>,
}

impl Index {
    /// An index without any key.
    pub(super) fn new(shape: Shape) -> Self {
        Self { image: Image::new(shape), written: 0, full: BTreeMap::new() }
    }

    /// The index as it was when the file being filled had this header; none if the files are not
    /// what was written. Later files are ignored; they are made anew.
    pub(super) fn open(
        files: &OpenFiles,
        shape: Shape,
        header: Header,
    ) -> io::Result<Option<Self>> {
        if header.slots != shape.slots || !(1..=shape.entries).contains(&header.count) {
            return Ok(None);
        }
        let mut index = Self::new(shape);
        if header.count == 1 {
            // No message had a key; a file is begun with its first entry.
            return Ok(Some(index));
        }
        for (start, _) in files.disk.list(INDEX_DIRECTORY)? {
            if start >= header.begin_physical {
                break;
            }
            let mut head = [0; HEADER_BYTES];
            let file = files.get(INDEX_DIRECTORY, start)?;
            let read = read_up_to(&*file, &mut head, 0)?;
            let full = Header::get(&head);
            let is_full = full.count == shape.entries && full.begin_physical == start;
            if read < head.len() || !is_full || full.slots != shape.slots {
                return Ok(None);
            }
            index.full.insert(start, full);
        }
        let bytes = (header.count - 1) as usize * IndexEntry::BYTES;
        let mut entries = vec![0; bytes];
        let file = match files.get(INDEX_DIRECTORY, header.begin_physical) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if read_up_to(&*file, &mut entries, shape.entry_position(1))? < bytes {
            return Ok(None);
        }
        let Some(image) = Image::restore(shape, header, &entries) else { return Ok(None) };
        Ok(Some(Self { image, written: header.count, ..index }))
    }

    /// How large its files are.
    pub(super) fn shape(&self) -> Shape {
        self.image.shape
    }

    /// What the file that is being filled says of itself.
    pub(super) fn header(&self) -> Header {
        self.image.header()
    }

    /// Adds keys and writes them. Answers how many were added, and what went wrong behind them.
    pub(super) fn add(
        &mut self,
        files: &OpenFiles,
        keys: &[Key],
        dirty: &mut Dirty,
    ) -> (usize, io::Result<()>) {
        let mut added = 0;
        while let Some(key) = keys.get(added) {
            if self.image.is_full() {
                if let Err(error) = self.write(files, dirty) {
                    return (added, Err(error));
                }
                let header = self.image.header();
                self.full.insert(header.begin_physical, header);
                (self.image, self.written) = (Image::new(self.image.shape), 0);
            }
            self.image.add(*key);
            added += 1;
        }
        (added, self.write(files, dirty))
    }

    fn write(&mut self, files: &OpenFiles, dirty: &mut Dirty) -> io::Result<()> {
        let Header { begin_physical, count, .. } = self.image.header();
        if self.image.is_empty() || self.written == count {
            return Ok(());
        }
        let file = match self.written {
            0 => files.create(INDEX_DIRECTORY, begin_physical, self.image.shape.bytes())?,
            _ => files.get(INDEX_DIRECTORY, begin_physical)?,
        };
        dirty.add(INDEX_DIRECTORY, begin_physical);
        let (position, entries) = self.image.entries_from(self.written.max(1));
        file.write_all_at(entries, position)?;
        file.write_all_at(self.image.head(), 0)?;
        self.written = count;
        Ok(())
    }

    /// Where messages lie that may have a key with this hash, stored in that time; the last first,
    /// about as many as asked for.
    pub(super) fn find(
        &self,
        files: &OpenFiles,
        hash: i32,
        (begin_ms, end_ms): (i64, i64),
        max: usize,
        to: &mut Vec<u64>,
    ) -> io::Result<()> {
        self.image.find(hash, begin_ms, end_ms, to);
        let shape = self.image.shape;
        for (start, header) in self.full.iter().rev() {
            if to.len() >= max {
                break;
            }
            if header.begin_ms > end_ms || header.end_ms < begin_ms {
                continue;
            }
            let file = files.get(INDEX_DIRECTORY, *start)?;
            let mut number = [0; 4];
            read_exact_at(&*file, &mut number, shape.slot_position(shape.slot_of(hash)))?;
            let mut number = u32::from_be_bytes(number);
            for _ in 0..CHAIN_MAX {
                if !(1..shape.entries).contains(&number) {
                    break;
                }
                let mut entry = [0; IndexEntry::BYTES];
                read_exact_at(&*file, &mut entry, shape.entry_position(number))?;
                let entry = IndexEntry::get(&entry);
                if entry.hash == hash && header.may_lie(&entry, begin_ms, end_ms) {
                    to.push(entry.physical_offset);
                }
                number = entry.previous;
            }
        }
        Ok(())
    }

    /// Removes the files all of whose messages lie before a log offset.
    pub(super) fn drop_before(&mut self, files: &OpenFiles, log_offset: u64) -> io::Result<()> {
        while let Some((start, header)) = self.full.first_key_value()
            && header.end_physical < log_offset
        {
            let start = *start;
            files.remove(INDEX_DIRECTORY, start)?;
            self.full.remove(&start);
        }
        Ok(())
    }

    /// Hash and physical offset of every entry.
    pub(super) fn entries(&self, files: &OpenFiles) -> io::Result<Vec<(i32, u64)>> {
        let mut all = Vec::new();
        let mut take = |bytes: &[u8]| {
            all.extend(bytes.chunks_exact(IndexEntry::BYTES).map(|bytes| {
                let entry = IndexEntry::get(bytes);
                (entry.hash, entry.physical_offset)
            }));
        };
        for (start, header) in &self.full {
            let file = files.get(INDEX_DIRECTORY, *start)?;
            let mut bytes = vec![0; (header.count - 1) as usize * IndexEntry::BYTES];
            read_exact_at(&*file, &mut bytes, self.image.shape.entry_position(1))?;
            take(&bytes);
        }
        take(self.image.entries_from(1).1);
        Ok(all)
    }
}
