//! Faults of disks: full file systems, and files damaged while their replica was down.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use signpost_raft::machine::NodeId;
use tokio::time::{Instant, sleep};

use super::members;
use super::schedule::Planned;
use super::strike::{Begun, Stage, Undo};
use crate::ask;
use crate::error::Error;
use crate::random::Random;

/// What fills the disk up, beside the replica's own files.
const FILLER: &str = "filler";
/// How much is written at once.
static BLOCK: [u8; 64 * 1024] = [0x5a; 64 * 1024];
/// How long a damaged replica may take to notice it.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a replica may take to show what became of a full disk: to stop, or to be well.
const SHOW_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it is to be well before it counts as having outlived it: by then it has written again,
/// and a write that had failed has stopped it.
const WELL_FOR: Duration = Duration::from_secs(1);
/// How often a replica is started while its disk is still full.
const STARTS_IN_VAIN: usize = 2;
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How much of a file is damaged: places, and bytes at each.
const SCARS: u64 = 24;
const SCAR_BYTES: usize = 512;

/// Fills the small file system of the leader, or of a follower.
pub(super) async fn fill(stage: &Stage, planned: Planned) -> Result<Begun, Error> {
    let (leader, others) = stage.cast(planned.choice)?;
    let node = if planned.choice.is_multiple_of(3) { leader } else { others[0] };
    stage.cluster.allow_end(node);
    let path = stage.cluster.replica_dir(node).join(FILLER);
    let filled = tokio::task::spawn_blocking(move || fill_up(&path)).await;
    let mebibytes = filled.map_err(Error::new)?? >> 20;
    let note = format!("{mebibytes} MiB filled up the disk of replica {node}");
    Ok(Begun::new([node], note, Undo::Empty(node)))
}

fn fill_up(path: &Path) -> Result<u64, Error> {
    let mut file = File::create(path)?;
    loop {
        if let Err(error) = file.write_all(&BLOCK) {
            if error.kind() == std::io::ErrorKind::StorageFull {
                return Ok(file.metadata()?.len());
            }
            return Err(error.into());
        }
    }
}

/// Makes room again. Before, a replica that has stopped is started in vain, as a supervisor does;
/// one that stops later is started again, too.
pub(super) async fn empty(stage: &Stage, node: NodeId) -> Result<String, Error> {
    let mut ends = Vec::new();
    while ends.len() < STARTS_IN_VAIN
        && let Some(end) = end_at_last(stage, node).await
    {
        ends.push(end);
        stage.cluster.start_replica(node, None).await?;
    }
    fs::remove_file(stage.cluster.replica_dir(node).join(FILLER))?;
    ends.extend(end_at_last(stage, node).await);
    stage.cluster.start_replica(node, None).await?;
    stage.cluster.forbid_end(node);
    Ok(match &ends[..] {
        [] => "it went on".to_owned(),
        [first, ..] => format!("it had stopped: {first} ({} times in all)", ends.len()),
    })
}

/// How it ended, unless it is well, or another fault has taken it away.
async fn end_at_last(stage: &Stage, node: NodeId) -> Option<String> {
    let begun = Instant::now();
    let mut well_since = None;
    while begun.elapsed() < SHOW_TIMEOUT {
        if let Some(end) = stage.cluster.end_of(node) {
            return Some(end);
        }
        if !stage.cluster.is_up(node) {
            return None;
        }
        if !ask::is_ready(stage.cluster.http(node), WELL_FOR).await {
            well_since = None;
        } else if well_since.get_or_insert_with(Instant::now).elapsed() >= WELL_FOR {
            return None;
        }
        sleep(LOOK_INTERVAL).await;
    }
    None
}

/// Damages the files of a follower that is down. It must notice, say so and stop; then another one
/// takes its place.
pub(super) async fn damage(stage: &Stage, planned: Planned) -> Result<Begun, Error> {
    let (_, others) = stage.cast(planned.choice)?;
    let node = others[0];
    stage.cluster.allow_end(node);
    stage.cluster.kill(node).await?;
    let dir = stage.cluster.replica_dir(node).join("raft");
    let choice = planned.choice;
    let damaged = tokio::task::spawn_blocking(move || scar(&dir, choice)).await;
    let (file, bytes) = damaged.map_err(Error::new)??;
    stage.cluster.start_replica(node, None).await?;
    let end = noticed(stage, node).await;
    let said = match &end {
        Some(end) => {
            let words = stage.cluster.last_words(node);
            format!("it noticed and stopped ({end}): {}", words.lines().last().unwrap_or_default())
        }
        None => "the damage lay where nothing was read".to_owned(),
    };
    // What it has can no longer be trusted, noticed or not.
    stage.cluster.kill(node).await?;
    let new = members::replace(stage, node, true).await?;
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let note =
        format!("{bytes} bytes of replica {node}'s {file} damaged; {said}; {new} took its place");
    Ok(Begun::new([node, new], note, Undo::Nothing))
}

async fn noticed(stage: &Stage, node: NodeId) -> Option<String> {
    let begun = Instant::now();
    while begun.elapsed() < NOTICE_TIMEOUT {
        if let Some(end) = stage.cluster.end_of(node) {
            return Some(end);
        }
        sleep(LOOK_INTERVAL).await;
    }
    None
}

/// Overwrites places of the largest file; answers which, and how many bytes.
fn scar(dir: &Path, choice: u64) -> Result<(PathBuf, u64), Error> {
    let mut largest: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (length, path) = (entry.metadata()?.len(), entry.path());
        if path.is_file() && largest.as_ref().is_none_or(|(most, _)| *most < length) {
            largest = Some((length, path));
        }
    }
    let (length, path) = largest.ok_or_else(|| Error::new("there are no files to damage"))?;
    let mut file = OpenOptions::new().write(true).open(&path)?;
    let mut random = Random::fork(choice, 3);
    for _ in 0..SCARS {
        let at = random.below(length.saturating_sub(SCAR_BYTES as u64));
        file.seek(SeekFrom::Start(at))?;
        let byte = random.below(256) as u8;
        file.write_all(&[byte; SCAR_BYTES])?;
    }
    file.sync_all()?;
    Ok((path, SCARS * SCAR_BYTES as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_file_is_damaged_and_keeps_its_length() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("small"), [0; 10]).expect("written");
        fs::write(dir.path().join("large"), vec![0; 100_000]).expect("written");
        let (path, _) = scar(dir.path(), 1).expect("damaged");
        assert!(path.ends_with("large"));
        let read = fs::read(path).expect("read");
        assert_eq!(read.len(), 100_000);
        assert!(read.iter().any(|byte| *byte != 0));
    }
}
