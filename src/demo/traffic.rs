//! What goes on while things break: sends to the brokers, writes to the name service, local reads
//! of it. Each is a task that counts until it is stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signpost_client::{Client, ReadMode};
use signpost_producer::{Message, Producer};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::audit::Acknowledged;
use crate::failure::Failure;
use crate::probe;
use crate::produce::tally::Tally;

/// Between two sends.
const SEND_INTERVAL: Duration = Duration::from_millis(5);
/// Between two writes.
const WRITE_INTERVAL: Duration = Duration::from_millis(2);
/// Between two reads of one replica.
const READ_INTERVAL: Duration = Duration::from_millis(5);
/// A local read that takes longer counts as failed.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a stopped task may take to end what it is at.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the writes go.
const NAMESPACE: &str = "signpost-demo";

/// A running task and what it has counted so far.
pub(super) struct Running<T> {
    counted: Arc<Mutex<T>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl<T: Default> Running<T> {
    fn start<F>(work: impl FnOnce(Arc<Mutex<T>>, CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        T: Send + 'static,
    {
        let (counted, stop) = (Arc::new(Mutex::new(T::default())), CancellationToken::new());
        let task = tokio::spawn(work(Arc::clone(&counted), stop.clone()));
        Self { counted, stop, task }
    }

    /// What it has counted so far.
    pub(super) fn so_far(&self) -> MutexGuard<'_, T> {
        lock(&self.counted)
    }

    /// Lets it end what it is at, and answers what it counted.
    pub(super) async fn stop(self) -> Result<T, Failure> {
        self.stop.cancel();
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.task).await;
        ended.map_err(Failure::failed)?.map_err(Failure::failed)?;
        Ok(std::mem::take(&mut *lock(&self.counted)))
    }
}

fn lock<T>(counted: &Mutex<T>) -> MutexGuard<'_, T> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was sent.
#[derive(Default)]
pub(super) struct Sends {
    /// By outcome.
    pub(super) tally: Tally,
    /// Which broker acknowledged which messages.
    pub(super) acknowledged: Acknowledged,
}

impl Sends {
    /// Adds those of another time.
    pub(super) fn add_to(self, all: &mut Acknowledged) -> Tally {
        for (broker, ids) in self.acknowledged {
            all.entry(broker).or_default().extend(ids);
        }
        self.tally
    }
}

/// Sends one message after the other, at its own pace.
pub(super) fn send(producer: Producer, topic: &'static str) -> Running<Sends> {
    Running::start(move |counted, stop| async move {
        let mut ticks = interval(SEND_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0_u64.. {
            ticks.tick().await;
            if stop.is_cancelled() {
                return;
            }
            send_one(&producer, topic, n, &counted).await;
        }
    })
}

async fn send_one(producer: &Producer, topic: &str, n: u64, counted: &Mutex<Sends>) {
    let message = Message::new(topic, format!("message {n}"));
    let begun = Instant::now();
    let outcome = producer.send(&message).await;
    let mut counted = lock(counted);
    counted.tally.count(&outcome, begun.elapsed());
    if let Ok(sent) = outcome {
        let ids = counted.acknowledged.entry(sent.queue.broker_name).or_default();
        ids.insert(sent.message_id);
    }
}

/// What was written to the name service.
#[derive(Default)]
pub(super) struct Writes {
    /// Keys of acknowledged writes.
    pub(super) acknowledged: BTreeSet<u64>,
    /// Surely not done.
    pub(super) failed: u64,
    /// May have been done.
    pub(super) unknown: u64,
    /// When each acknowledged write began and ended.
    pub(super) times: Vec<(Instant, Instant)>,
}

impl Writes {
    /// The first acknowledgement of a write that began after `moment`.
    pub(super) fn first_after(&self, moment: Instant) -> Option<Instant> {
        self.times.iter().find(|(begun, _)| *begun > moment).map(|(_, ended)| *ended)
    }
}

/// Writes one key after the other to the name service.
pub(super) fn write(client: Client) -> Running<Writes> {
    Running::start(|counted: Arc<Mutex<Writes>>, stop| async move {
        for n in 0_u64.. {
            if stop.is_cancelled() {
                return;
            }
            let begun = Instant::now();
            let key = format!("key-{n}");
            let outcome = client.put_kv(NAMESPACE, &key, &n.to_string(), None).await;
            {
                let mut counted = lock(&counted);
                match outcome {
                    Ok(_) => {
                        counted.acknowledged.insert(n);
                        counted.times.push((begun, Instant::now()));
                    }
                    Err(error) if error.is_definite() => counted.failed += 1,
                    Err(_) => counted.unknown += 1,
                }
            }
            sleep(WRITE_INTERVAL).await;
        }
    })
}

/// How many acknowledged writes a linearizable read does not show.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn lost_writes(client: &Client, writes: &Writes) -> Result<usize, Failure> {
    let answer = client.kv_namespace(NAMESPACE, ReadMode::Linearizable).await?;
    let values: BTreeMap<String, String> = answer.value.map(|kv| kv.values).unwrap_or_default();
    let is_there = |n: &&u64| values.get(&format!("key-{n}")) == Some(&n.to_string());
    Ok(writes.acknowledged.len() - writes.acknowledged.iter().filter(is_there).count())
}

/// Local reads of one replica.
#[derive(Default)]
pub(super) struct Reads {
    /// Answered with the route.
    pub(super) answered: u64,
    /// Not.
    pub(super) failed: u64,
    /// What went wrong last.
    pub(super) last_failure: Option<String>,
}

/// Reads the topic's route of one replica, locally, again and again.
pub(super) fn read(replica: String, topic: &'static str) -> Running<Reads> {
    Running::start(move |counted: Arc<Mutex<Reads>>, stop| async move {
        let path = format!("/v1/routes/{topic}?consistency=local");
        let mut ticks = interval(READ_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            ticks.tick().await;
            let answer = probe::get(&replica, &path, READ_TIMEOUT).await;
            let mut counted = lock(&counted);
            match answer {
                Ok(answer) if answer.status == 200 => counted.answered += 1,
                Ok(answer) => {
                    counted.failed += 1;
                    counted.last_failure = Some(format!("status {}", answer.status));
                }
                Err(why) => {
                    counted.failed += 1;
                    counted.last_failure = Some(why);
                }
            }
        }
    })
}
