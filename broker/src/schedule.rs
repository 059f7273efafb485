//! Delayed messages: they wait in a topic of the broker's own, a queue for each delay level, and
//! are stored to where they were sent once they are due.
//!
//! How far each level has come is on disk at most a second later, so that a crash delivers what
//! was delivered in its last second once more, and loses nothing: at least once.
//! Source: RocketMQ `ScheduleMessageService`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_remoting::message::{StoredMessage, properties};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pull::not_read;
use crate::refused::Refused;
use crate::service::{Service, now_ms};
use crate::store::StoreError;
use crate::store::read::{Batch, Limits};
use crate::store::tags::SCHEDULE_TOPIC;
use crate::table_file;

/// Progress is written no more often.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A level whose delivery failed is tried again after this.
const AGAIN_MS: i64 = 1_000;
/// Delivered in one go.
const BATCH: Limits = Limits { messages: 256, bytes: 4 * 1024 * 1024 };

/// `delayOffset.json`: level → next offset of its queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    offset_table: BTreeMap<usize, i64>,
}

/// The levels, and how far each had come when the broker started.
#[derive(Debug)]
pub(crate) struct Schedule {
    path: PathBuf,
    levels_ms: Vec<i64>,
    opened: Progress,
}

impl Schedule {
    pub(crate) fn open(path: PathBuf, levels_ms: Vec<i64>) -> io::Result<Self> {
        let opened = table_file::read(&path, "a table of delay levels' progress")?;
        Ok(Self { path, levels_ms, opened })
    }

    /// The level that a message asks for; none if it is to be delivered at once.
    pub(crate) fn level(&self, text: &str) -> Option<usize> {
        let level: i64 = properties::get(text, properties::DELAY)?.parse().ok()?;
        let level = usize::try_from(level).ok().filter(|level| *level > 0)?;
        Some(level.min(self.levels_ms.len()))
    }

    /// Makes a message one that waits. Its level stands in its DELAY property.
    pub(crate) fn delay(message: &mut StoredMessage, level: usize) {
        let text = &mut message.properties;
        properties::set(text, properties::REAL_TOPIC, &message.topic);
        properties::set(text, properties::REAL_QUEUE_ID, &message.queue_id.to_string());
        SCHEDULE_TOPIC.clone_into(&mut message.topic);
        message.queue_id = queue_of(level);
    }

    /// When a message that waits is due. If the clock has been set back since it was stored, it
    /// waits no longer than its level's delay all the same.
    fn due_ms(&self, level: usize, store_timestamp_ms: i64, now_ms: i64) -> i64 {
        let delay = self.levels_ms[level - 1];
        let due = store_timestamp_ms.saturating_add(delay);
        if due > now_ms.saturating_add(delay) { now_ms } else { due }
    }
}

fn queue_of(level: usize) -> i32 {
    i32::try_from(level - 1).unwrap_or(i32::MAX)
}

/// The message as it was sent, but for its properties, which say how it came.
fn real(message: StoredMessage) -> Option<StoredMessage> {
    let topic = message.property(properties::REAL_TOPIC)?.to_owned();
    let queue_id = message.property(properties::REAL_QUEUE_ID)?.parse().ok()?;
    Some(StoredMessage { topic, queue_id, ..message })
}

/// What is left of a level.
enum Left {
    /// Nothing waits.
    Nothing,
    /// More is due already.
    More,
    /// The next is due then, in ms since 1970.
    Until(i64),
}

impl Service {
    /// Delivers what is due until told to stop.
    pub(crate) async fn run_schedule(self: Arc<Self>, stop: CancellationToken) {
        let levels = self.schedule.levels_ms.len();
        let mut progress = self.schedule.opened.clone();
        let mut written = (progress.clone(), Instant::now());
        // When a level is to be looked at again; none: when something arrives.
        let mut due: Vec<Option<i64>> = vec![None; levels];
        while !stop.is_cancelled() {
            for level in 1..=levels {
                let now = now_ms();
                if due[level - 1].is_some_and(|due| due > now) {
                    continue;
                }
                let next = progress.offset_table.entry(level).or_insert(0);
                due[level - 1] = match self.deliver(level, next).await {
                    Ok(Left::Nothing) => None,
                    Ok(Left::More) => Some(now),
                    Ok(Left::Until(due)) => Some(due),
                    Err(refused) => {
                        tracing::warn!(level, reason = refused.remark, "delayed messages wait on");
                        Some(now + AGAIN_MS)
                    }
                };
            }
            let unwritten = progress != written.0;
            if unwritten && written.1.elapsed() >= WRITE_EVERY {
                self.write_progress(&progress).await;
                written = (progress.clone(), Instant::now());
            }
            let earliest = due.iter().flatten().min().copied();
            let until_due = earliest.map(|due| u64::try_from(due - now_ms()).unwrap_or(0));
            let mut wait = Duration::from_millis(until_due.unwrap_or(u64::from(u32::MAX)));
            if progress != written.0 {
                wait = wait.min(WRITE_EVERY);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.held.delayed.notified() => {}
                () = stop.cancelled() => {}
            }
        }
        self.write_progress(&progress).await;
    }

    /// Delivers what is due of a level, at most a batch.
    async fn deliver(self: &Arc<Self>, level: usize, next: &mut i64) -> Result<Left, Refused> {
        let from = *next;
        let read = move |service: &Self| -> Result<Option<Batch>, Refused> {
            let bounds = service.reader.bounds(SCHEDULE_TOPIC, queue_of(level));
            // Below the first there is nothing any more; beyond the last nothing yet.
            let from = from.max(bounds.min_offset);
            if from >= bounds.max_offset {
                return Ok(None);
            }
            let read = service.reader.read(SCHEDULE_TOPIC, queue_of(level), from, BATCH, &|_| true);
            read.map(Some).map_err(not_read)
        };
        let Some(batch) = self.blocking(read).await? else { return Ok(Left::Nothing) };
        let first = batch.next_offset - i64::try_from(batch.records.len()).unwrap_or_default();
        let (mut stored, mut left) = (Vec::new(), Left::Nothing);
        if batch.next_offset < batch.max_offset {
            left = Left::More;
        }
        for (offset, mut record) in (first..).zip(batch.records) {
            let message = StoredMessage::decode(&mut record)?;
            let now = now_ms();
            let due = self.schedule.due_ms(level, message.store_timestamp_ms, now);
            if due > now {
                left = Left::Until(due);
                break;
            }
            stored.push((offset, self.redeliver(message)));
        }
        for (offset, outcome) in stored {
            match outcome {
                Ok(Some(placed)) => drop(placed.await?),
                Ok(None) => {}
                Err(refused) => return Err(refused),
            }
            *next = offset + 1;
        }
        Ok(left)
    }

    /// Hands a message that is due to the store; none if its topic has gone meanwhile.
    #[allow(clippy::type_complexity, reason = "the store's own answer")]
    fn redeliver(
        &self,
        message: StoredMessage,
    ) -> Result<
        Option<impl Future<Output = Result<Vec<crate::store::Placed>, StoreError>> + Send + use<>>,
        Refused,
    > {
        let Some(mut message) = real(message) else {
            tracing::warn!("a delayed message does not say where it was to go: dropped");
            return Ok(None);
        };
        if self.topics.get(&message.topic).is_none() {
            tracing::debug!(topic = message.topic, "a delayed message's topic has gone");
            return Ok(None);
        }
        message.store_host = self.store_host;
        self.metrics.stored(&message.topic, 1, message.body.len());
        Ok(Some(self.store.append(vec![message])?))
    }

    async fn write_progress(self: &Arc<Self>, progress: &Progress) {
        let (path, progress) = (self.schedule.path.clone(), progress.clone());
        let wrote = tokio::task::spawn_blocking(move || table_file::write(&path, &progress)).await;
        if let Ok(Err(error)) = wrote {
            tracing::error!(%error, "cannot write how far the delayed messages have come");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn message(text: &str) -> StoredMessage {
        let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        StoredMessage {
            queue_id: 3,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp_ms: 0,
            born_host: host,
            store_timestamp_ms: 0,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: bytes::Bytes::new(),
            topic: "T".to_owned(),
            properties: text.to_owned(),
        }
    }

    #[test]
    fn a_delayed_message_finds_its_way_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("delayOffset.json");
        let schedule = Schedule::open(path, vec![1000, 5000]).unwrap();
        for (text, level) in [
            ("DELAY\u{1}2\u{2}", Some(2)),
            ("DELAY\u{1}18\u{2}", Some(2)),
            ("DELAY\u{1}0\u{2}", None),
            ("DELAY\u{1}-1\u{2}", None),
            ("DELAY\u{1}x\u{2}", None),
            ("", None),
        ] {
            assert_eq!(schedule.level(text), level, "{text}");
        }
        let mut waiting = message("DELAY\u{1}2\u{2}");
        Schedule::delay(&mut waiting, 2);
        assert_eq!((&*waiting.topic, waiting.queue_id), (SCHEDULE_TOPIC, 1));
        // Sent back after its delivery, it goes through here a second time.
        let mut back = real(waiting).unwrap();
        assert_eq!((&*back.topic, back.queue_id), ("T", 3));
        back.topic = "%RETRY%g".to_owned();
        Schedule::delay(&mut back, 1);
        assert_eq!(real(back).unwrap().topic, "%RETRY%g");
    }

    #[test]
    fn a_clock_set_back_delays_no_longer_than_the_level() {
        let directory = tempfile::tempdir().unwrap();
        let schedule = Schedule::open(directory.path().join("p"), vec![1000]).unwrap();
        assert_eq!(schedule.due_ms(1, 5000, 5500), 6000);
        assert_eq!(schedule.due_ms(1, 5000, 5000), 6000);
        assert_eq!(schedule.due_ms(1, 5000, 4000), 4000);
    }
}
