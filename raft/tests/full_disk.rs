//! A full disk under the sled disk, wherever that may strike: in the write-ahead log, in sled while
//! rows settle, or while either is opened. A process writes until a file may grow no further
//! (`ulimit -f`: to a program that is a file system without room), and then ends, in good order or at
//! once. With room again the directory has to open and to hold what was acknowledged; and without
//! room it must not be called damaged, for whoever reads that throws the replica away.
#![cfg(unix)]
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use signpost_raft::disk::sled::{Habits, OpenError, SledDisk};
use signpost_raft::disk::{Disk, Table, VALUE_BYTES_MAX, may_pass};

const CACHE_BYTES: u64 = 16 << 20;
/// Directories, and how often each one fills up.
const DIRS: u64 = 10;
const ROUNDS: u64 = 5;
/// Acknowledgements after which a round ends for want of a full disk.
const ACKNOWLEDGEMENTS: u64 = 250;
const KEYS: u64 = 1_000;
/// So that rows settle all the time.
const HABITS: Habits = Habits { wal: true, sled: true, settle_bytes: 64 * 1024 };

const DIR: &str = "SIGNPOST_FULL_DISK_DIR";
/// The number of the first write.
const FROM: &str = "SIGNPOST_FULL_DISK_FROM";
/// Whether the process ends at once.
const ABRUPT: &str = "SIGNPOST_FULL_DISK_ABRUPT";

/// The write of this number. Now and then a row is as large as they get.
fn write(number: u64) -> (Vec<u8>, Vec<u8>) {
    let key = (number * 7_919 % KEYS).to_be_bytes().to_vec();
    let bytes = if number % 100 < 3 { VALUE_BYTES_MAX as u64 } else { 10 + number * 37 % 900 };
    (key, (0..bytes).map(|at| (at * 7 + number) as u8).collect())
}

/// Writes up to the `number`th acknowledgement after write `from`.
fn writes_until(from: u64, number: u64) -> u64 {
    (1..=number).fold(from, |writes, number| writes + 1 + number * 7 % 12)
}

/// The process whose files may not grow. It writes until it cannot, and leaves behind how often it
/// had an acknowledgement.
#[tokio::test]
#[ignore = "no test of its own: the entry point of the process that the test below starts"]
async fn child() {
    let dir = std::env::var_os(DIR).expect("the parent says where");
    let dir = Path::new(&dir);
    let from = std::env::var(FROM).ok().and_then(|from| from.parse().ok()).expect("a number");
    let disk = match SledDisk::open_with(&dir.join("data"), CACHE_BYTES, HABITS) {
        Ok(disk) => disk,
        Err(damaged @ OpenError::Damaged { .. }) => panic!("without room: {damaged}"),
        Err(error) => return println!("not opened: {error}"),
    };
    let mut written = from;
    let mut acknowledge = async |number| -> io::Result<()> {
        while written < writes_until(from, number) {
            let (key, value) = write(written);
            disk.put(Table::Log, &key, &value)?;
            written += 1;
        }
        disk.sync().await
    };
    for number in 1..=ACKNOWLEDGEMENTS {
        if let Err(error) = acknowledge(number).await {
            println!("stopped: {error}");
            break;
        }
        fs::write(dir.join("acknowledged"), number.to_string()).expect("told");
    }
    if std::env::var_os(ABRUPT).is_some() {
        std::process::exit(0);
    }
}

/// Has a process write while no file may have more than so many KiB; answers its acknowledgements and
/// what it said.
fn fill(dir: &Path, from: u64, kibibytes: u64, abrupt: bool) -> (u64, String) {
    fs::write(dir.join("acknowledged"), "0").expect("written");
    let mut command = Command::new("sh");
    // The shell counts in blocks of 512 bytes. The signal would end the process before it could fail.
    command.args(["-c", "trap '' XFSZ; ulimit -f $0; exec \"$@\"", &(kibibytes * 2).to_string()]);
    command.arg(std::env::current_exe().expect("this test has a path"));
    command.args(["--ignored", "--exact", "child", "--test-threads", "1", "--nocapture"]);
    command.env(DIR, dir).env(FROM, from.to_string());
    if abrupt {
        command.env(ABRUPT, "1");
    }
    let output = command.output().expect("the child starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "at {kibibytes} KiB the child failed: {said}\n{words}");
    let acknowledged = fs::read_to_string(dir.join("acknowledged")).expect("told");
    (acknowledged.parse().expect("a number"), said)
}

fn longest_file(dir: &Path) -> u64 {
    let files = fs::read_dir(dir.join("data")).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).max().unwrap_or_default()
}

fn rows_after(writes: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    (writes.saturating_sub(KEYS)..writes).map(write).collect()
}

/// Up to which write the directory holds them, which has to be one of these.
fn written(dir: &Path, acknowledged: u64, attempted: u64) -> u64 {
    let disk = SledDisk::open_with(&dir.join("data"), CACHE_BYTES, HABITS)
        .unwrap_or_else(|error| panic!("with room again: {error}"));
    let all = vec![]..=vec![0xff; 9];
    let found = disk.range(Table::Log, all, usize::MAX).expect("readable").into_iter().collect();
    let held = (acknowledged..=attempted).find(|writes| rows_after(*writes) == found);
    held.unwrap_or_else(|| {
        let expected = rows_after(acknowledged);
        let lost = expected.iter().filter(|(key, value)| found.get(*key) != Some(value)).count();
        panic!("{lost} of {} acknowledged rows are lost or wrong", expected.len())
    })
}

#[test]
fn a_directory_whose_disk_was_full_opens_again_and_has_lost_nothing() {
    let mut places = BTreeMap::<&str, u64>::new();
    for seed in 0..DIRS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut writes = 0;
        let mut dice = seed;
        for round in 0..ROUNDS {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Hardly any room, or some beside what there is.
            let kibibytes = 8 + match round % 4 {
                0 => (dice >> 33) % 256,
                _ => (longest_file(dir.path()) >> 10) + (dice >> 33) % 1_536,
            };
            let (acknowledgements, said) = fill(dir.path(), writes, kibibytes, round % 2 == 1);
            let place = match &said {
                said if said.contains("not opened") => "while it was opened",
                said if said.contains("into sled") => "while rows settled",
                said if said.contains("stopped") => "in the write-ahead log",
                _ => "never",
            };
            *places.entry(place).or_default() += 1;
            println!("seed {seed}, round {round}: {kibibytes} KiB, full {place}");
            let acknowledged = writes_until(writes, acknowledgements);
            let attempted = writes_until(writes, acknowledgements + 1);
            writes = written(dir.path(), acknowledged, attempted);
        }
    }
    println!("{places:?}");
    for place in ["while it was opened", "while rows settled", "in the write-ahead log", "never"] {
        assert!(places.contains_key(place), "the disk was full {place}: not once, so not tested");
    }
}

#[test]
fn want_of_room_may_pass_and_damage_does_not() {
    for code in [5, 27, 28, 122] {
        // EIO, EFBIG, ENOSPC, EDQUOT.
        assert!(may_pass(&io::Error::from_raw_os_error(code)), "error {code}");
    }
    let damage: io::Error = sled::Error::Corruption { at: None, bt: () }.into();
    assert!(!may_pass(&damage), "{damage}");
    assert!(!may_pass(&io::Error::other("sled panicked")));
}
