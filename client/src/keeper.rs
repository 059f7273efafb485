//! [`LeaseKeeper`]: keeps a broker registered for as long as it lives. The decisions are
//! `lease.rs`'s; here is the task that carries them out, in tokio's time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::{BrokerIdentity, Client};
use crate::lease::{Lease, Outgoing, Refusal, Reply, Step, StopCause, TopicChange};
use crate::outcome::{Answer, CallError};
use crate::types::Registration;

/// A registration's own deadline: it may be large, and be one of many after a failover.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// Less than this is no deadline that a heartbeat could keep.
const MIN_HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(100);
/// Far enough to be never: timers that do not exist.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How the registration stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeaseStatus {
    /// The epoch, while registered.
    pub epoch: Option<u64>,
    /// Until then acknowledged renewals keep the broker routed; None: it is not known to be.
    pub held_until: Option<Instant>,
    /// All topics and changes are acknowledged.
    pub settled: bool,
    /// Registrations acknowledged so far: 1, unless it had to register again.
    pub registrations: u64,
    /// Heartbeats acknowledged so far.
    pub renewals: u64,
    /// What went wrong last, while it goes wrong.
    pub last_error: Option<CallError>,
    /// Set once it is kept no longer.
    pub stopped: Option<StopCause>,
}

/// Registers a broker once, renews its lease, registers again when it must, patches changed
/// topics, and unregisters at the end. Works through any outage; only another process with the
/// same identity and a higher incarnation stops it.
#[derive(Debug)]
pub struct LeaseKeeper {
    commands: mpsc::UnboundedSender<Command>,
    tell: Arc<watch::Sender<LeaseStatus>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Change(TopicChange),
    Leave,
}

/// What a keeper is started with.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// This process, above its last (stored before use), below 2^53.
    pub incarnation: u64,
    /// Replace a live process at another address instead of waiting until it is gone.
    pub takeover: bool,
    /// Seed of the jitter; None takes a random one.
    pub seed: Option<u64>,
}

impl LeaseKeeper {
    /// Starts to register at once, in a task of its own on the present tokio runtime.
    /// `registration`'s incarnation and seq are set by the keeper.
    #[must_use]
    pub fn start(
        client: Client,
        broker: BrokerIdentity,
        registration: Registration,
        options: LeaseOptions,
    ) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let tell = Arc::new(watch::Sender::new(LeaseStatus::default()));
        let lease = Lease::new(registration, options.incarnation, options.takeover, options.seed);
        let origin = Instant::now();
        let driver = Driver { client, broker, lease, origin, inbox, tell: Arc::clone(&tell) };
        Self { commands, tell, task: tokio::spawn(driver.run()) }
    }

    /// How it stands, and each change of it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<LeaseStatus> {
        self.tell.subscribe()
    }

    /// The broker's topics have changed: sent at once. [`LeaseStatus::settled`] tells when it is
    /// acknowledged.
    pub fn change_topics(&self, change: TopicChange) {
        // Both under the status's lock, as in `publish`: whoever waits for `settled` after this
        // waits for this change. Sending fails only after the end, when there is nobody to tell.
        self.tell.send_modify(|status| {
            status.settled = false;
            let _ = self.commands.send(Command::Change(change));
        });
    }

    /// Unregisters, trying for at most `within`, and stops.
    pub async fn stop(self, within: Duration) -> StopCause {
        let _ = self.commands.send(Command::Leave);
        let mut status = self.status();
        let gone = status.wait_for(|status| status.stopped.is_some());
        let cause = match timeout(within, gone).await {
            Ok(Ok(status)) => status.stopped,
            Ok(Err(_)) | Err(_) => None,
        };
        cause.unwrap_or(StopCause::Asked { unregistered: false })
    }
}

impl Drop for LeaseKeeper {
    /// Stops renewing at once; the lease then runs out by itself.
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Driver {
    client: Client,
    broker: BrokerIdentity,
    lease: Lease,
    origin: Instant,
    inbox: mpsc::UnboundedReceiver<Command>,
    tell: Arc<watch::Sender<LeaseStatus>>,
}

impl Driver {
    async fn run(mut self) {
        loop {
            let now = self.origin.elapsed();
            match self.lease.step(now) {
                Step::Stopped(cause) => {
                    tracing::info!(broker = %self.broker, ?cause, "lease no longer kept");
                    self.tell.send_modify(|status| {
                        let LeaseStatus { registrations, renewals, .. } = *status;
                        let stopped = Some(cause);
                        let status_now =
                            LeaseStatus { registrations, renewals, stopped, ..Default::default() };
                        *status = status_now;
                    });
                    return;
                }
                Step::WaitUntil(at) => {
                    let until = self.origin + at.min(now + NEVER);
                    tokio::select! {
                        () = sleep_until(until) => {}
                        command = self.inbox.recv() => self.obey(command),
                    }
                }
                Step::Send(outgoing) => self.send(outgoing).await,
            }
        }
    }

    /// Sends one request; topic changes are taken in meanwhile, and leaving gives it up.
    async fn send(&mut self, outgoing: Outgoing) {
        let client = self.client.clone();
        let broker = self.broker.clone();
        let ttl = self.lease.ttl();
        let mut call = std::pin::pin!(perform(&client, &broker, &outgoing, ttl));
        let outcome = loop {
            tokio::select! {
                outcome = &mut call => break outcome,
                command = self.inbox.recv() => {
                    let leaves = !matches!(command, Some(Command::Change(_)));
                    self.obey(command);
                    if leaves {
                        return;
                    }
                }
            }
        };
        self.note(&outgoing, &outcome);
        let reply = outcome.as_ref().map_or_else(|e| Reply::Refused(e.into()), Clone::clone);
        self.lease.replied(self.origin.elapsed(), reply);
        self.publish(outcome.err());
    }

    /// None: the keeper is gone.
    fn obey(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Change(change)) => self.lease.change(change),
            Some(Command::Leave) => self.lease.leave(),
            None => self.lease.abandon(),
        }
    }

    fn publish(&self, error: Option<CallError>) {
        let held_until = self.lease.held_until().map(|at| self.origin + at);
        self.tell.send_modify(|status| {
            status.epoch = self.lease.epoch();
            status.held_until = held_until;
            status.settled = self.lease.is_settled() && self.inbox.is_empty();
            status.last_error = error;
        });
    }

    /// Logs what an operator wants to know and counts what tests and metrics ask for.
    fn note(&self, outgoing: &Outgoing, outcome: &Result<Reply, CallError>) {
        let broker = &self.broker;
        match outcome {
            Ok(Reply::Registered(registered)) => {
                self.tell.send_modify(|status| status.registrations += 1);
                let (epoch, ttl_ms) = (registered.epoch, registered.lease_ttl_ms);
                tracing::info!(%broker, epoch, ttl_ms, "registered");
            }
            Ok(Reply::Renewed(_)) => self.tell.send_modify(|status| status.renewals += 1),
            Ok(reply) => tracing::debug!(%broker, ?reply, "acknowledged"),
            Err(error) => {
                let (what, refusal) = (name_of(outgoing), Refusal::from(error));
                match refusal {
                    Refusal::Superseded => {
                        tracing::error!(%broker, %error, "another process holds this identity");
                    }
                    Refusal::Gone | Refusal::OtherHistory => {
                        tracing::warn!(%broker, %error, what, "registration is gone: registering again");
                    }
                    // Once a streak, not once a try.
                    _ if self.tell.borrow().last_error.is_none() => {
                        tracing::warn!(%broker, %error, what, "name cluster: will try again");
                    }
                    _ => tracing::debug!(%broker, %error, what, "name cluster: will try again"),
                }
            }
        }
    }
}

fn name_of(outgoing: &Outgoing) -> &'static str {
    match outgoing {
        Outgoing::Register { .. } => "register",
        Outgoing::Heartbeat(_) => "heartbeat",
        Outgoing::Patch(_) => "patch",
        Outgoing::Unregister { .. } => "unregister",
    }
}

/// Makes the call. A heartbeat gets no longer than a quarter of its ttl, so that there is time
/// for others before the lease runs out.
async fn perform(
    client: &Client,
    broker: &BrokerIdentity,
    outgoing: &Outgoing,
    ttl: Duration,
) -> Result<Reply, CallError> {
    fn value<T>(answer: Answer<T>) -> T {
        answer.value
    }
    match outgoing {
        Outgoing::Register { registration, takeover } => {
            let client = client.with_timeout(REGISTER_TIMEOUT);
            let answer = client.register(broker, registration, *takeover).await;
            answer.map(value).map(Reply::Registered)
        }
        Outgoing::Heartbeat(beat) => {
            let quarter = (ttl / 4).max(MIN_HEARTBEAT_TIMEOUT);
            let client = client.with_timeout(client.call_timeout().min(quarter));
            client.heartbeat(broker, *beat).await.map(value).map(Reply::Renewed)
        }
        Outgoing::Patch(patch) => {
            client.patch_topics(broker, patch).await.map(value).map(Reply::Patched)
        }
        Outgoing::Unregister { claim, epoch } => {
            client.unregister(broker, Some(*claim), *epoch).await.map(|_| Reply::Unregistered)
        }
    }
}
