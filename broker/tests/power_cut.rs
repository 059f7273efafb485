//! Power cuts of the real disk. `kill -9` keeps the page cache and so can never show a missing
//! `fdatasync`; this does: strace records what the store writes and synchronises, and the record is
//! replayed up to an acknowledgement, keeping of each file only what a completed `fsync` or
//! `fdatasync` has covered. What was not covered is dropped, kept or torn, as the seed says. Then
//! the copy is opened: what was acknowledged must be there, queues and index as a rebuild gives them.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout)]

#[path = "../../raft/tests/power_cut/replay.rs"]
mod replay;
#[path = "../../raft/tests/power_cut/trace.rs"]
mod trace;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use replay::{Chance, Replay};
use signpost_broker::store::disk::{Disk, DiskFile, FileDisk, Space};
use signpost_broker::store::{Store, StoreOptions, read_all};
use signpost_remoting::message::StoredMessage;

const CUTS: u64 = 24;
const ACKNOWLEDGEMENTS: u64 = 60;
const MESSAGES_EACH: u64 = 3;

const DIR: &str = "SIGNPOST_BROKER_POWER_CUT_DIR";
const UNSYNCED: &str = "SIGNPOST_BROKER_POWER_CUT_UNSYNCED";

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 16 * 1024,
        checkpoint_every: Duration::from_secs(3600),
        write_out_at: 20,
        queue_file_entries: 16,
        index_entries: 64,
        ..StoreOptions::of(77)
    }
}

/// A disk that does not sync the files of some directories.
struct Unsynced(FileDisk, String);

struct File(Arc<dyn DiskFile>);

impl Unsynced {
    fn wrap(&self, directory: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        if !self.1.is_empty() && directory.starts_with(&self.1) {
            Arc::new(File(file))
        } else {
            file
        }
    }
}

impl Disk for Unsynced {
    fn list(&self, directory: &str) -> io::Result<Vec<(u64, u64)>> {
        self.0.list(directory)
    }

    fn directories(&self, directory: &str) -> io::Result<Vec<String>> {
        self.0.directories(directory)
    }

    fn open(&self, directory: &str, start: u64) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(directory, self.0.open(directory, start)?))
    }

    fn create(
        &self,
        directory: &str,
        start: u64,
        bytes: u64,
        space: Space,
    ) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(directory, self.0.create(directory, start, bytes, space)?))
    }

    fn remove(&self, directory: &str, start: u64) -> io::Result<()> {
        self.0.remove(directory, start)
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        self.0.remove_directory(directory)
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.read(name)
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.0.replace(name, content)
    }

    fn used_ratio(&self) -> io::Result<f64> {
        self.0.used_ratio()
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn clear(&self, position: u64, bytes: u64) -> io::Result<()> {
        self.0.clear(position, bytes)
    }
}

/// A message whose whole content follows from its number.
fn message(number: u64) -> StoredMessage {
    let host = ([127, 0, 0, 1], 10_911).into();
    StoredMessage {
        queue_id: (number % 2) as i32,
        flag: number as i32,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: number as i64,
        born_host: host,
        store_timestamp_ms: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: vec![number as u8; (number as usize * 131) % 900].into(),
        topic: format!("Topic{}", number % 2),
        properties: format!("KEYS\u{1}k{number}\u{2}"),
    }
}

/// The process that is watched. It opens the store twice, so that a recovery is in the record.
#[tokio::test]
#[ignore = "no test of its own: the entry point of the process that the tests below start under strace"]
async fn child() {
    let dir = std::env::var_os(DIR).expect("the parent says where");
    let dir = Path::new(&dir);
    let unsynced = std::env::var(UNSYNCED).unwrap_or_default();
    let mut acknowledged = OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join("acknowledged"))
        .expect("it can be made");
    for half in 0..2 {
        let disk = FileDisk::open(&dir.join("data"), None).expect("it opens");
        let disk = Arc::new(Unsynced(disk, unsynced.clone()));
        let (store, _) = Store::open_on(disk, options(), Vec::new()).expect("it opens");
        for number in half * ACKNOWLEDGEMENTS / 2..(half + 1) * ACKNOWLEDGEMENTS / 2 {
            let first = number * MESSAGES_EACH;
            let messages = (first..first + MESSAGES_EACH).map(message).collect();
            store.append(messages).expect("taken").await.expect("stored");
            acknowledged.write_all(format!("{}\n", number + 1).as_bytes()).expect("told");
            if number % 7 == 6 {
                store.checkpoint().expect("durable");
            }
        }
        store.close();
    }
}

/// Runs the child under strace and answers the record.
fn record(dir: &Path, unsynced: &str) -> Vec<trace::Event> {
    let record = dir.join("record");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-xx", "-s", "4194304", "-e", "signal=none", "-e"])
        .arg(format!("trace={}", trace::CALLS.join(",")))
        .arg("-o")
        .arg(&record)
        .arg(std::env::current_exe().expect("this test has a path"))
        .args(["--ignored", "--exact", "child", "--test-threads", "1"])
        .env(DIR, dir)
        .env(UNSYNCED, unsynced)
        .output()
        .expect(
            "this test needs strace: install it (apt-get install strace), and allow ptrace if this \
             is a container",
        );
    assert!(
        output.status.success(),
        "the child failed: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    trace::parse(&fs::read_to_string(&record).expect("strace has written a record"))
}

/// Opens an image and says what is wrong with it, if anything.
fn check(image: &Path, acknowledgements: u64) -> Result<(), String> {
    let has_checkpoint = fs::metadata(image.join("checkpoint")).is_ok_and(|file| file.len() > 0);
    let text = |error: signpost_broker::store::StoreError| error.to_string();
    let (store, recovery) = Store::open(image, options(), Vec::new(), None).map_err(text)?;
    if has_checkpoint && recovery.rebuilt {
        return Err("queues and index are not what the checkpoint says".to_owned());
    }
    let found = store.reader().contents().map_err(text)?;
    store.close();
    let stored = read_all(image, options().log_id).map_err(text)?;
    for number in 0..acknowledgements * MESSAGES_EACH {
        let read = stored.get(number as usize).ok_or(format!("message {number} is lost"))?;
        let whole = StoredMessage {
            queue_offset: read.queue_offset,
            physical_offset: read.physical_offset,
            store_timestamp_ms: read.store_timestamp_ms,
            ..message(number)
        };
        if *read != whole {
            return Err(format!("message {number} is not whole"));
        }
    }
    for name in ["consumequeue", "index"] {
        let _ = fs::remove_dir_all(image.join(name));
    }
    let _ = fs::remove_file(image.join("checkpoint"));
    let (rebuilt, _) = Store::open(image, options(), Vec::new(), None).map_err(text)?;
    match rebuilt.reader().contents().map_err(text)? == found {
        true => Ok(()),
        false => Err("queues and index are not what a rebuild gives".to_owned()),
    }
}

/// Cuts the power all over the record, at acknowledgements or a little later, and answers what was
/// wrong afterwards.
fn cuts(unsynced: &str) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let events = record(dir.path(), unsynced);
    let mut wrong = Vec::new();
    for seed in 0..CUTS {
        let mut chance = Chance::new(seed);
        let acknowledgements = 1 + seed * (ACKNOWLEDGEMENTS - 2) / CUTS;
        let mut replay = Replay::new(&dir.path().join("data"), &dir.path().join("acknowledged"));
        replay.run(&events, acknowledgements, &mut chance);
        let image = dir.path().join(format!("image-{seed}"));
        replay.write_image(&image, &mut chance);
        if let Err(problem) = check(&image, acknowledgements) {
            wrong
                .push(format!("seed {seed}, after {acknowledgements} acknowledgements: {problem}"));
        }
    }
    wrong
}

#[test]
fn what_was_acknowledged_survives_power_cuts_and_queues_are_what_a_rebuild_gives() {
    let wrong = cuts("");
    assert!(wrong.is_empty(), "{} of {CUTS} cuts: {wrong:#?}", wrong.len());
}

#[test]
fn without_fdatasync_of_the_log_the_cuts_find_loss() {
    let wrong = cuts("commitlog");
    println!("{} of {CUTS} cuts: {wrong:#?}", wrong.len());
    assert!(!wrong.is_empty());
}

#[test]
fn without_fdatasync_of_the_queues_the_cuts_find_it() {
    let wrong = cuts("consumequeue");
    println!("{} of {CUTS} cuts: {wrong:#?}", wrong.len());
    assert!(!wrong.is_empty());
}

#[test]
fn without_fdatasync_of_the_index_the_cuts_find_it() {
    let wrong = cuts("index");
    println!("{} of {CUTS} cuts: {wrong:#?}", wrong.len());
    assert!(!wrong.is_empty());
}
