//! Power cuts of the sled disk. `kill -9` keeps the page cache and so can never show a missing
//! `fdatasync`; this does: it has strace record what a replica's disk writes and synchronises, and
//! then replays the record up to an acknowledgement, keeping of each file only what a completed
//! `fsync` or `fdatasync` of that file has covered. What was not covered is dropped, kept or torn, as
//! the seed says. Then the copy is opened.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout)]

#[path = "power_cut/replay.rs"]
mod replay;
#[path = "power_cut/trace.rs"]
mod trace;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use replay::{Chance, Replay};
use signpost_raft::disk::sled::{Habits, SledDisk};
use signpost_raft::disk::{Disk, Table, VALUE_BYTES_MAX};

const CACHE_BYTES: u64 = 16 << 20;
const CUTS: u64 = 60;
const ACKNOWLEDGEMENTS: u64 = 120;
/// The mark of every so many acknowledgements is synchronised before it is given.
const MARK_SYNC_EVERY: u64 = 7;

const DIR: &str = "SIGNPOST_POWER_CUT_DIR";
/// Which file is left out of the synchronisation.
const WITHOUT: &str = "SIGNPOST_POWER_CUT_WITHOUT";
/// So that rows settle all the time.
const HABITS: Habits = Habits { wal: true, sled: true, settle_bytes: 64 * 1024 };

/// The `number`th write of the load: mostly a new row, sometimes the removal of an old one. Runs of
/// the largest rows make pages as large as they get.
fn write(number: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    if number % 4 == 3 && number > 200 {
        // Writes 3 of 4 are removals, so the rows from 200 back go one in four.
        return ((number - 201).to_be_bytes().to_vec(), None);
    }
    let bytes = if number % 200 < 40 { VALUE_BYTES_MAX as u64 } else { 10 + (number * 37 % 900) };
    let value = (0..bytes).map(|at| (at * 7 + number) as u8).collect();
    (number.to_be_bytes().to_vec(), Some(value))
}

/// Writes that are made before the `number`th acknowledgement.
fn writes_before(number: u64) -> u64 {
    (1..=number).map(|number| 1 + number * 7 % 12).sum()
}

fn open(dir: &Path, habits: Habits) -> Result<SledDisk, String> {
    SledDisk::open_with(dir, CACHE_BYTES, habits).map_err(|error| error.to_string())
}

/// The process that is watched. It opens the disk twice, so that a recovery is in the record.
#[tokio::test]
#[ignore = "no test of its own: the entry point of the process that the tests below start under strace"]
async fn child() {
    let dir = std::env::var_os(DIR).expect("the parent says where");
    let dir = Path::new(&dir);
    let without = std::env::var(WITHOUT).unwrap_or_default();
    let habits = Habits { wal: without != "wal", sled: without != "sled", ..HABITS };
    let mut acknowledged = OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join("acknowledged"))
        .expect("it can be made");
    let mut written = 0;
    for half in 0..2 {
        let disk = open(&dir.join("data"), habits).expect("it opens");
        for number in half * ACKNOWLEDGEMENTS / 2..(half + 1) * ACKNOWLEDGEMENTS / 2 {
            while written < writes_before(number + 1) {
                match write(written) {
                    (key, Some(value)) => disk.put(Table::Log, &key, &value).expect("written"),
                    (key, None) => disk.remove(Table::Log, &key).expect("removed"),
                }
                written += 1;
            }
            disk.sync().await.expect("synced");
            disk.put_mark(&(number + 1).to_le_bytes()).expect("put");
            if number % MARK_SYNC_EVERY == 0 {
                disk.sync_mark().await.expect("synced");
            }
            acknowledged.write_all(format!("{}\n", number + 1).as_bytes()).expect("told");
        }
    }
}

/// Runs the child under strace and answers the record.
fn record(dir: &Path, without: &str) -> Vec<trace::Event> {
    let record = dir.join("record");
    let mut command = Command::new("strace");
    command
        .env(WITHOUT, without)
        .args(["-f", "-qq", "-xx", "-s", "4194304", "-e", "signal=none", "-e"])
        .arg(format!("trace={}", trace::CALLS.join(",")))
        .arg("-o")
        .arg(&record)
        .arg(std::env::current_exe().expect("this test has a path"))
        .args(["--ignored", "--exact", "child", "--test-threads", "1"])
        .env(DIR, dir);
    let output = command.output().expect(
        "this test needs strace: install it (apt-get install strace), and allow ptrace if this is \
         a container",
    );
    assert!(
        output.status.success(),
        "the child failed: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    trace::parse(&fs::read_to_string(&record).expect("strace has written a record"))
}

/// The rows after the first `writes` writes.
fn rows_after(writes: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut rows = BTreeMap::new();
    for (key, value) in (0..writes).map(write) {
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
    rows
}

/// Opens an image and says what is wrong with it, if anything: it must hold what a prefix of the
/// writes makes, and all that was acknowledged.
fn check(image: &Path, acknowledgements: u64) -> Result<(), String> {
    let disk = open(image, HABITS)?;
    let all = vec![]..=vec![0xff; 9];
    let found = disk.range(Table::Log, all, usize::MAX).map_err(|error| error.to_string())?;
    let found: BTreeMap<_, _> = found.into_iter().collect();
    let mark = disk.mark().map_or(0, |mark| u64::from_le_bytes(mark.try_into().expect("8 bytes")));
    let synced = (acknowledgements - 1) / MARK_SYNC_EVERY * MARK_SYNC_EVERY + 1;
    if !(synced..=acknowledgements + 1).contains(&mark) {
        return Err(format!(
            "the mark says {mark} acknowledgements, {synced} at least were synced"
        ));
    }
    let acknowledged = writes_before(acknowledgements);
    let attempted = writes_before(acknowledgements + 1);
    let acknowledged = acknowledged.max(writes_before(mark));
    if (acknowledged..=attempted).any(|writes| rows_after(writes) == found) {
        return Ok(());
    }
    let expected = rows_after(acknowledged);
    let lost = expected.iter().filter(|(key, value)| found.get(*key) != Some(value)).count();
    Err(format!(
        "{lost} of {} acknowledged rows are lost or wrong, {} are there",
        expected.len(),
        found.len()
    ))
}

/// Acknowledgements all over the record.
fn everywhere() -> impl Iterator<Item = u64> {
    (0..CUTS).map(|cut| 1 + cut * (ACKNOWLEDGEMENTS - 2) / (CUTS - 1))
}

/// The last acknowledgement before the disk is opened for the second time, again and again.
fn while_it_is_opened() -> impl Iterator<Item = u64> {
    (0..2 * CUTS).map(|_| ACKNOWLEDGEMENTS / 2)
}

/// Cuts the power at each of these acknowledgements, or later but before the next, and answers what
/// was wrong afterwards.
fn cuts(without: &str, acknowledgements: impl Iterator<Item = u64>) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path().canonicalize().expect("it exists");
    let events = record(&root, without);
    let mut failures = Vec::new();
    for (seed, acknowledgements) in (0..).zip(acknowledgements) {
        let mut replay = Replay::new(&root.join("data"), &root.join("acknowledged"));
        let mut chance = Chance::new(seed);
        replay.run(&events, acknowledgements, &mut chance);
        let image = root.join(format!("image-{seed}"));
        replay.write_image(&image, &mut chance);
        if let Err(what) = check(&image, acknowledgements) {
            failures.push(format!("seed {seed}, after acknowledgement {acknowledgements}: {what}"));
        }
        fs::remove_dir_all(&image).expect("removed");
    }
    failures
}

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    let failures = cuts("", everywhere());
    assert!(failures.is_empty(), "{} of {CUTS} cuts:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn no_power_cut_and_no_kill_while_it_is_opened_makes_the_disk_unreadable() {
    let failures = cuts("", while_it_is_opened());
    assert!(failures.is_empty(), "{} cuts:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn without_fdatasync_of_the_write_ahead_log_power_cuts_lose_acknowledged_writes() {
    let failures = cuts("wal", everywhere());
    println!("{} of {CUTS} cuts lost data, for example: {:?}", failures.len(), failures.first());
    assert!(failures.len() as u64 > CUTS / 2, "the test would not notice: {failures:?}");
}

#[test]
fn without_fdatasync_of_sled_power_cuts_lose_what_the_log_was_cleared_of() {
    let failures = cuts("sled", everywhere());
    println!("{} of {CUTS} cuts lost data, for example: {:?}", failures.len(), failures.first());
    assert!(failures.len() as u64 > CUTS / 6, "the test would not notice: {failures:?}");
}
