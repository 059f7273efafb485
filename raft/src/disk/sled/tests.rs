#![allow(clippy::print_stdout, reason = "a test prints its seed")]

use std::collections::BTreeMap;

use super::*;

const CACHE_BYTES: u64 = 8 << 20;

#[tokio::test]
async fn what_was_synced_is_there_after_opening_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("made/by/open");
    let disk = SledDisk::open(&path, CACHE_BYTES).expect("a fresh directory opens");
    disk.put(Table::Log, b"b", b"2").expect("written");
    disk.put(Table::Log, b"a", b"1").expect("written");
    disk.put(Table::Meta, b"a", b"other table").expect("written");
    disk.put(Table::Log, b"c", b"3").expect("written");
    disk.remove(Table::Log, b"c").expect("removed");
    disk.sync().await.expect("synced");
    assert_eq!(disk.mark(), None);
    disk.put_mark(b"mark").expect("put");
    disk.sync_mark().await.expect("synced");
    drop(disk);

    let disk = SledDisk::open(&path, CACHE_BYTES).expect("opens again");
    let keys = b"a".to_vec()..=b"z".to_vec();
    let rows = disk.range(Table::Log, keys.clone(), 10).expect("read");
    assert_eq!(
        rows,
        [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())],
        "ordered by key, without what was removed"
    );
    assert_eq!(disk.range(Table::Log, keys, 1).expect("read").len(), 1, "the limit holds");
    for (key, last) in [(b"z", Some(b"b")), (b"b", Some(b"b")), (b"a", Some(b"a")), (b"A", None)] {
        let found = disk.last_until(Table::Log, key).expect("read").map(|(key, _)| key);
        assert_eq!(found, last.map(|key| key.to_vec()), "the last row until {key:?}");
    }
    assert_eq!(disk.mark(), Some(b"mark".to_vec()));
    assert_eq!(disk.get(Table::Meta, b"a").expect("read"), Some(b"other table".to_vec()));
    assert_eq!(disk.get(Table::Chunk, b"a").expect("read"), None);
    assert!(disk.size_bytes() > 0);
}

/// The rows as they must be, in two of the tables, and numbers from a seed.
struct Model {
    tables: [BTreeMap<Vec<u8>, Vec<u8>>; 2],
    random: u64,
}

impl Model {
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    /// A table and a key of it.
    fn place(&mut self) -> (usize, Vec<u8>) {
        let table = usize::from(self.below(4) == 0);
        (table, self.below(400).to_be_bytes().to_vec())
    }

    /// Changes one row here and on the disk.
    fn change(&mut self, disk: &SledDisk) {
        let (table, key) = self.place();
        if self.below(3) == 0 {
            self.tables[table].remove(&key);
            disk.remove(TABLES[table], &key).expect("removed");
        } else {
            let value = vec![self.below(256) as u8; self.below(VALUE_BYTES_MAX as u64) as usize];
            disk.put(TABLES[table], &key, &value).expect("written");
            self.tables[table].insert(key, value);
        }
    }

    /// Asks the disk this and that.
    fn compare(&mut self, disk: &SledDisk) {
        let (table, key) = self.place();
        let rows = &self.tables[table];
        let found = disk.get(TABLES[table], &key).expect("read");
        assert_eq!(found.as_ref(), rows.get(&key), "{key:?}");
        let found = disk.last_until(TABLES[table], &key).expect("read");
        let last = rows.range(..=key.clone()).next_back();
        assert_eq!(found.as_ref().map(|(key, value)| (key, value)), last, "until {key:?}");
        let (_, end) = self.place();
        let limit = self.below(30) as usize;
        let found = disk.range(TABLES[table], key.clone()..=end.clone(), limit).expect("read");
        let rows = self.tables[table].iter().filter(|(row, _)| (&key..=&end).contains(row));
        let rows: Vec<Row> = rows.take(limit).map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(found, rows, "{key:?} to {end:?}, {limit} of them");
    }
}

const TABLES: [Table; 2] = [Table::Log, Table::Chunk];

#[tokio::test]
async fn rows_are_the_same_before_they_settle_while_they_do_and_after_opening_again() {
    let seed = std::env::var("SIGNPOST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("SIGNPOST_SEED={seed}");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut model = Model { tables: Default::default(), random: seed };
    let mut settled = 0;
    for _ in 0..6 {
        let habits = Habits { settle_bytes: 256 * 1024, ..Habits::default() };
        let disk = SledDisk::open_with(dir.path(), CACHE_BYTES, habits).expect("opens");
        for _ in 0..model.below(900) {
            model.change(&disk);
            model.compare(&disk);
            if model.below(20) == 0 {
                disk.sync().await.expect("synced");
            }
        }
        disk.sync().await.expect("synced");
        settled += usize::from(lock(&disk.rows.settling).is_some());
    }
    assert!(settled > 2, "in {settled} of six lives rows have settled: too few");
    let disk = SledDisk::open(dir.path(), CACHE_BYTES).expect("opens");
    for (table, rows) in TABLES.iter().zip(model.tables) {
        let found = disk.range(*table, vec![]..=vec![0xff; 9], usize::MAX).expect("read");
        assert_eq!(found, rows.into_iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_second_opening_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let _disk = SledDisk::open(dir.path(), CACHE_BYTES).expect("opens");
    let error = SledDisk::open(dir.path(), CACHE_BYTES).expect_err("it is locked");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("stop that process"), "{error}");
}

#[tokio::test]
async fn a_damaged_directory_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("conf"), b"segment_size: nonsense\nversion: 9.9\n00000000")
        .expect("written");
    fs::write(dir.path().join("db"), vec![0xA5; 100_000]).expect("written");
    let error = SledDisk::open(dir.path(), CACHE_BYTES).expect_err("it is damaged");
    assert!(error.to_string().contains("under a new node id"), "{error}");
    assert_eq!(fs::metadata(dir.path().join("db")).expect("still there").len(), 100_000);
}

#[test]
fn no_page_of_the_largest_rows_leaves_the_synchronised_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = SledDisk::open(dir.path(), CACHE_BYTES).expect("opens");
    let blobs = dir.path().join("blobs");
    let touched = || fs::metadata(&blobs).expect("sled makes it").modified().expect("a time");
    let untouched = touched();
    let value = vec![7; VALUE_BYTES_MAX];
    let key = |number: u64| number.to_be_bytes();
    let sled = &disk.rows.sled;
    let put = |number| sled.change(Table::Log, &key(number), Some(&value)).expect("written");
    let remove = |number| sled.change(Table::Log, &key(number), None).expect("removed");
    // Appended and swept from the left, as a log is.
    (0..200).for_each(put);
    (0..190).for_each(remove);
    // Thinned to what makes leaves merge, from either side, and filled up again.
    (1_000..1_400).for_each(put);
    (1_000..1_400).filter(|number| number % 6 != 0).for_each(remove);
    (1_000..1_400).for_each(put);
    (1_000..1_400).rev().filter(|number| number % 5 != 0).for_each(remove);
    (1_000..1_400).rev().for_each(put);
    // All over the place (a full period of a linear congruence).
    (0..400).map(|step| 2_000 + step * 1_201 % 400).for_each(put);
    (0..400).map(|step| 2_000 + step * 747 % 400).filter(|n| n % 8 != 0).for_each(remove);
    (0..400).map(|step| 2_000 + step * 1_201 % 400).for_each(put);
    sled.sync().expect("flushed");
    assert_eq!(touched(), untouched, "sled wrote a page into a file of its own");
    let error = disk.put(Table::Log, b"large", &vec![7; VALUE_BYTES_MAX + 1]);
    assert_eq!(error.expect_err("too large").kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("file");
    fs::write(&file, b"").expect("written");
    let error = SledDisk::open(&file.join("below"), CACHE_BYTES).expect_err("not a directory");
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}
