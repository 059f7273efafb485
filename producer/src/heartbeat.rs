//! Tells the masters of all topics in use, in a task of its own, that this producer is there
//! (code 34), and at the end that it is gone (35). Source: RocketMQ
//! `MQClientInstance.sendHeartbeatToAllBroker`; unlike there, a broker that enters a route is told at
//! once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use signpost_client::RouteTable;
use signpost_remoting::body::heartbeat::{Heartbeat, ProducerData};
use signpost_remoting::broker::UnregisterClientHeader;
use signpost_remoting::{RemotingCommand, request};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::brokers::Brokers;
use crate::routes::masters;

/// How long a broker may take over a heartbeat (RocketMQ `mqClientApiTimeout`).
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for the last word, which a closing program waits for.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Brokers told at once.
const CONCURRENCY: usize = 64;

/// The running task; ends, with a last word to the brokers, when dropped.
pub(crate) struct Heartbeats {
    stop: Mutex<Option<(DropGuard, JoinHandle<()>)>>,
}

/// Who is told, and what.
struct Task {
    brokers: Arc<Brokers>,
    routes: watch::Receiver<Arc<RouteTable>>,
    group: String,
    client_id: String,
    interval: Duration,
    /// Brokers that have been told.
    told: BTreeSet<Arc<str>>,
}

impl Heartbeats {
    pub(crate) fn start(
        brokers: Arc<Brokers>,
        routes: watch::Receiver<Arc<RouteTable>>,
        (group, client_id): (String, String),
        interval: Duration,
    ) -> Self {
        let stop = CancellationToken::new();
        let told = BTreeSet::new();
        let task = Task { brokers, routes, group, client_id, interval, told };
        let task = tokio::spawn(task.run(stop.clone()));
        Self { stop: Mutex::new(Some((stop.drop_guard(), task))) }
    }

    /// Ends it, and waits for the last word.
    pub(crate) async fn stop(&self) {
        let running = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, task)) = running {
            drop(stop);
            // A hook that panicked there has been reported by the runtime.
            let _ = task.await;
        }
    }
}

impl Task {
    async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.tell_forever()).await;
        let gone = UnregisterClientHeader {
            client_id: self.client_id.clone(),
            producer_group: Some(self.group.clone()),
            consumer_group: None,
        };
        let unregister =
            || RemotingCommand::request(request::UNREGISTER_CLIENT).with_ext(gone.to_ext());
        self.tell(&self.told, unregister, FAREWELL_TIMEOUT).await;
    }

    async fn tell_forever(&mut self) {
        let heartbeat = Heartbeat {
            client_id: self.client_id.clone(),
            consumer_data_set: Vec::new(),
            producer_data_set: vec![ProducerData { group_name: self.group.clone() }],
        };
        let body: Bytes = heartbeat.to_json().into();
        let beat = || RemotingCommand::request(request::HEART_BEAT).with_body(body.clone());
        let mut due_at = Instant::now() + self.interval;
        loop {
            let masters = masters(&self.routes.borrow_and_update());
            let is_due = Instant::now() >= due_at;
            let now: BTreeSet<_> = match is_due {
                true => masters.clone(),
                false => masters.difference(&self.told).cloned().collect(),
            };
            if is_due {
                due_at = Instant::now() + self.interval;
            }
            // Those that have left all routes are told nothing any more, the last word included.
            self.told = masters;
            self.tell(&now, beat, HEARTBEAT_TIMEOUT).await;
            tokio::select! {
                () = sleep_until(due_at) => {}
                changed = self.routes.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn tell(
        &self,
        whom: &BTreeSet<Arc<str>>,
        what: impl Fn() -> RemotingCommand,
        timeout: Duration,
    ) {
        let told = stream::iter(whom).for_each_concurrent(CONCURRENCY, |address| {
            let request = what();
            async move {
                if let Err(error) = self.brokers.invoke(address, request, timeout).await {
                    tracing::debug!(%address, ?error, "a broker was not told of this producer");
                }
            }
        });
        told.await;
    }
}
