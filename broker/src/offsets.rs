//! How far each group has come in each queue, persisted in RocketMQ's `consumerOffset.json`.
//!
//! The file is replaced whole: at once for those who wait for it, one write for all of them, and
//! else every [`FLUSH_EVERY`]. Source: RocketMQ `ConsumerOffsetManager`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_remoting::response;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::refused::Refused;
use crate::table_file;

/// Offsets that nobody waits for are on disk after at most this. RocketMQ: 5 s.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Most offsets; beyond it none is taken for a further queue.
const OFFSETS_MAX: usize = 200_000;
/// Stands between topic and group in the file's keys; names cannot contain it.
const SEPARATOR: char = '@';

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    /// `topic@group` → queue → offset.
    offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

#[derive(Debug, Default)]
struct State {
    table: Table,
    count: usize,
    dirty: bool,
    waiting: Vec<oneshot::Sender<Result<(), Arc<str>>>>,
}

pub(crate) struct Offsets {
    path: PathBuf,
    state: Mutex<State>,
    awaited: Notify,
}

fn key(topic: &str, group: &str) -> String {
    format!("{topic}{SEPARATOR}{group}")
}

impl Offsets {
    /// Reads the offsets, none if there is no file yet.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let table: Table = table_file::read(&path, "a table of offsets")?;
        let count = table.offset_table.values().map(BTreeMap::len).sum();
        let state = Mutex::new(State { table, count, ..State::default() });
        Ok(Self { path, state, awaited: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next offset that a group wants of a queue.
    pub(crate) fn get(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.state().table.offset_table.get(&key(topic, group))?.get(&queue_id).copied()
    }

    /// All offsets of a group, by topic.
    pub(crate) fn of_group(&self, group: &str) -> BTreeMap<String, BTreeMap<i32, i64>> {
        self.matching(|_, known| known == group)
            .into_iter()
            .map(|(topic, _, queues)| (topic, queues))
            .collect()
    }

    /// The groups that have an offset in a topic.
    pub(crate) fn groups_of(&self, topic: &str) -> Vec<String> {
        let found = self.matching(|known, _| known == topic);
        found.into_iter().map(|(_, group, _)| group).collect()
    }

    /// All offsets: topic, group, and by queue.
    pub(crate) fn all(&self) -> Vec<(String, String, BTreeMap<i32, i64>)> {
        self.matching(|_, _| true)
    }

    fn matching(
        &self,
        is_meant: impl Fn(&str, &str) -> bool,
    ) -> Vec<(String, String, BTreeMap<i32, i64>)> {
        let state = self.state();
        let split = state.table.offset_table.iter().filter_map(|(key, queues)| {
            let (topic, group) = key.split_once(SEPARATOR)?;
            is_meant(topic, group).then(|| (topic.to_owned(), group.to_owned(), queues.clone()))
        });
        split.collect()
    }

    /// Sets an offset; it is seen at once.
    pub(crate) fn commit(
        &self,
        group: &str,
        topic: &str,
        queue_id: i32,
        offset: i64,
    ) -> Result<(), Refused> {
        let mut state = self.state();
        let state = &mut *state;
        let queues = state.table.offset_table.entry(key(topic, group)).or_default();
        match queues.get_mut(&queue_id) {
            Some(known) => {
                state.dirty |= *known != offset;
                *known = offset;
            }
            None if state.count >= OFFSETS_MAX => {
                let text = format!("the offset is not taken: there are {OFFSETS_MAX}, the limit");
                return Err(Refused::system(text));
            }
            None => {
                queues.insert(queue_id, offset);
                state.count += 1;
                state.dirty = true;
            }
        }
        Ok(())
    }

    /// Returns when all offsets set so far are on disk.
    pub(crate) async fn flushed(&self) -> Result<(), Refused> {
        let (written, flushed) = oneshot::channel();
        self.state().waiting.push(written);
        self.awaited.notify_one();
        match flushed.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(Refused::new(response::SERVICE_NOT_AVAILABLE, &*reason)),
            Err(_gone) => {
                Err(Refused::new(response::SERVICE_NOT_AVAILABLE, "the broker is stopping"))
            }
        }
    }

    /// Forgets offsets of a topic, or of a group.
    pub(crate) fn forget(&self, is_meant: impl Fn(&str, &str) -> bool) {
        let mut state = self.state();
        let table = &mut state.table.offset_table;
        table.retain(|key, _| {
            !key.split_once(SEPARATOR).is_some_and(|(topic, group)| is_meant(topic, group))
        });
        state.count = state.table.offset_table.values().map(BTreeMap::len).sum();
        state.dirty = true;
    }

    /// Writes until told to stop, and once more then.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut is_last = false;
        while !is_last {
            tokio::select! {
                () = self.awaited.notified() => {}
                () = tokio::time::sleep(FLUSH_EVERY) => {}
                () = stop.cancelled() => {}
            }
            is_last = stop.is_cancelled();
            let offsets = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || offsets.write()).await {
                tracing::error!(%error, "writing the offsets panicked");
            }
        }
    }

    fn write(&self) {
        let (text, waiting) = {
            let mut state = self.state();
            let waiting = std::mem::take(&mut state.waiting);
            if !state.dirty {
                tell(waiting, &Ok(()));
                return;
            }
            state.dirty = false;
            (serde_json::to_vec(&state.table), waiting)
        };
        let wrote = text
            .map_err(io::Error::from)
            .and_then(|text| crate::durable::write_file(&self.path, &text));
        if let Err(error) = &wrote {
            tracing::error!(%error, path = %self.path.display(), "cannot write the offsets");
            self.state().dirty = true;
        }
        tell(waiting, &wrote.map_err(|error| format!("offsets not stored: {error}").into()));
    }
}

fn tell(waiting: Vec<oneshot::Sender<Result<(), Arc<str>>>>, outcome: &Result<(), Arc<str>>) {
    for one in waiting {
        // Whose connection has gone does not wait any more.
        let _ = one.send(outcome.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_waited_for_is_there_after_a_crash() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets.json");
        let offsets = Arc::new(Offsets::open(path.clone()).unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(offsets.clone().run(stop.clone()));
        offsets.commit("g", "T", 0, 5).unwrap();
        offsets.commit("g", "T", 0, 7).unwrap();
        offsets.commit("g", "%RETRY%g", 1, 2).unwrap();
        offsets.commit("h", "T", 0, 1).unwrap();
        offsets.flushed().await.unwrap();
        let again = Offsets::open(path.clone()).unwrap();
        assert_eq!(again.get("g", "T", 0), Some(7));
        assert_eq!(again.get("g", "T", 1), None);
        assert_eq!(again.of_group("g").into_keys().collect::<Vec<_>>(), ["%RETRY%g", "T"]);
        assert_eq!(again.groups_of("T"), ["g", "h"]);
        // And without waiting at a stop.
        offsets.forget(|topic, _| topic == "T");
        stop.cancel();
        task.await.unwrap();
        assert_eq!(Offsets::open(path).unwrap().of_group("g").len(), 1);
    }

    #[tokio::test]
    async fn who_waits_is_told_that_it_failed_and_the_next_write_makes_up_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("gone");
        let offsets = Arc::new(Offsets::open(inner.join("offsets.json")).unwrap());
        let task = tokio::spawn(offsets.clone().run(CancellationToken::new()));
        offsets.commit("g", "T", 0, 5).unwrap();
        assert_eq!(offsets.flushed().await.unwrap_err().code, response::SERVICE_NOT_AVAILABLE);
        std::fs::create_dir(&inner).unwrap();
        offsets.flushed().await.unwrap();
        task.abort();
        assert_eq!(Offsets::open(inner.join("offsets.json")).unwrap().get("g", "T", 0), Some(5));
    }
}
