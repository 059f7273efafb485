//! Calls to a peer, many at a time on one connection: read indices and the application's calls.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use super::dial::Dialer;
use super::frame::{CallId, Frames, decode, encode};
use super::hello::Purpose;
use super::message::{Answer, Ask};
use crate::machine::NodeId;
use crate::types::Peer;

/// Calls that may wait for the connection to take them. Beyond it a call fails at once.
const QUEUE_MAX: usize = 4096;

/// How long a connection may take to come up.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a peer is asked for a sign of life while something sent to it is unanswered.
const PING_INTERVAL: Duration = Duration::from_millis(250);

/// A peer that is silent for so long after something was sent to it is dialled anew.
const SILENCE_MAX: Duration = Duration::from_millis(1500);

/// Pings have no number of their own: nobody waits for one.
const PING_ID: CallId = 0;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It was never sent: it surely did not happen.
    #[error("the call was not sent: {0}")]
    NotSent(String),
    /// It was sent and no answer came: it may have happened.
    #[error("the call was sent and not answered: {0}")]
    Unknown(String),
    /// This replica was removed from the cluster, says the other.
    #[error("this replica was removed from the cluster at log index {membership_index}")]
    Removed {
        /// The log index of the membership without it.
        membership_index: u64,
    },
}

struct Call {
    encoded: Vec<u8>,
    answer: oneshot::Sender<Result<Answer, CallError>>,
}

/// The channels to all peers, each dialled when it is first needed and again after it broke.
pub(crate) struct Channels {
    dialer: Dialer,
    open: Mutex<BTreeMap<NodeId, (Peer, mpsc::Sender<Call>)>>,
}

impl Channels {
    pub(crate) fn new(dialer: Dialer) -> Arc<Channels> {
        Arc::new(Channels { dialer, open: Mutex::new(BTreeMap::new()) })
    }

    /// Asks a peer and waits for its answer until `deadline`.
    pub(crate) async fn ask(
        &self,
        to: NodeId,
        peer: &Peer,
        ask: &Ask,
        deadline: Instant,
    ) -> Result<Answer, CallError> {
        let encoded = encode(ask).map_err(|error| CallError::NotSent(error.to_string()))?;
        let (answer, answered) = oneshot::channel();
        self.sender(to, peer)
            .try_send(Call { encoded, answer })
            .map_err(|_| CallError::NotSent("too many calls wait for this peer".into()))?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CallError::Unknown("the connection broke".into())),
            Err(_) => Err(CallError::Unknown("its deadline passed".into())),
        }
    }

    fn sender(&self, to: NodeId, peer: &Peer) -> mpsc::Sender<Call> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get(&to) {
            Some((known, sender)) if known == peer && !sender.is_closed() => sender.clone(),
            _ => {
                let (sender, calls) = mpsc::channel(QUEUE_MAX);
                tokio::spawn(run(self.dialer.clone(), to, peer.clone(), calls));
                open.insert(to, (peer.clone(), sender.clone()));
                sender
            }
        }
    }
}

/// Serves one peer's calls for as long as anybody may ask: dials, carries, and on a broken
/// connection fails what is under way and dials again for what comes next.
async fn run(dialer: Dialer, to: NodeId, peer: Peer, mut calls: mpsc::Receiver<Call>) {
    while let Some(first) = calls.recv().await {
        let dialled = timeout_at(
            Instant::now() + DIAL_TIMEOUT,
            dialer.dial(&peer.peer, to, peer.disk_id, Purpose::Call),
        )
        .await;
        let why = match dialled {
            Ok(Ok(frames)) => {
                let broken = carry(frames, first, &mut calls).await;
                tracing::debug!(peer = to, error = ?broken, "a connection for calls ended");
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "dialling took too long".to_owned(),
        };
        // Nothing was sent: whoever queued meanwhile learns it at once instead of waiting behind
        // another attempt.
        first.answer.send(Err(CallError::NotSent(why.clone()))).ok();
        while let Ok(call) = calls.try_recv() {
            call.answer.send(Err(CallError::NotSent(why.clone()))).ok();
        }
    }
}

/// Carries calls and answers until the connection breaks. A peer that answers nothing at all, not
/// even a ping, for so long after something was sent counts as broken, whether or not the callers
/// still wait: a partition sends no reset, and calls that each give up early must not hide it.
async fn carry(
    mut frames: Frames,
    first: Call,
    calls: &mut mpsc::Receiver<Call>,
) -> io::Result<()> {
    let ping = encode(&Ask::Ping)?;
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting: BTreeMap<CallId, oneshot::Sender<Result<Answer, CallError>>> = BTreeMap::new();
    let mut last_id: CallId = 0;
    let mut unanswered_since: Option<Instant> = None;
    let mut next = Some(first);
    loop {
        if let Some(call) = next.take() {
            last_id += 1;
            unanswered_since.get_or_insert_with(Instant::now);
            waiting.insert(last_id, call.answer);
            send(&mut frames, last_id, &call.encoded).await?;
        }
        tokio::select! {
            call = calls.recv() => match call {
                Some(call) => next = Some(call),
                None => return Ok(()),
            },
            frame = frames.next() => {
                let Some((id, bytes)) = frame? else {
                    return Err(io::Error::from(io::ErrorKind::ConnectionReset));
                };
                if let Some(answer) = waiting.remove(&id) {
                    answer.send(Ok(decode(&bytes)?)).ok();
                }
                unanswered_since = (!waiting.is_empty()).then(Instant::now);
            }
            _ = pings.tick() => {
                waiting.retain(|_, answer| !answer.is_closed());
                if let Some(since) = unanswered_since {
                    if since.elapsed() > SILENCE_MAX {
                        return Err(io::Error::from(io::ErrorKind::TimedOut));
                    }
                    send(&mut frames, PING_ID, &ping).await?;
                }
            }
        }
    }
}

async fn send(frames: &mut Frames, id: CallId, encoded: &[u8]) -> io::Result<()> {
    match timeout(SILENCE_MAX, frames.send_encoded(id, encoded)).await {
        Ok(sent) => sent,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    }
}
