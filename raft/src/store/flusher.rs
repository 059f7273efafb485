//! Group commit: one task syncs the disk, once for all that wait when a sync begins.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::latch::Latch;
use crate::disk::Disk;
use crate::planted::{Bug, planted};
use crate::types::IoFlushed;

/// How long a write that nobody waits for may stay unsynchronised. It bounds how much older than
/// what it acknowledged a replica may be that was killed and answers local reads again, alone.
const LAZY_SYNC_MS: u64 = 10;

enum Request {
    Append(IoFlushed),
    Wait(oneshot::Sender<io::Result<()>>),
    Lazily,
    Close(oneshot::Sender<io::Result<()>>),
}

/// Asks for syncs. Clones share one task, which ends with the last of them.
#[derive(Clone)]
pub(super) struct Flusher {
    // Unbounded, because what waits in here is bounded by openraft's appends in flight.
    requests: mpsc::UnboundedSender<Request>,
    syncs: Arc<AtomicU64>,
}

impl Flusher {
    pub(super) fn start(disk: Arc<Latch>) -> Flusher {
        let (requests, received) = mpsc::unbounded_channel();
        let syncs = Arc::new(AtomicU64::new(0));
        tokio::spawn(flush(disk, received, Arc::clone(&syncs)));
        Flusher { requests, syncs }
    }

    /// Completes `appended` once everything written before this call is durable, or has failed.
    pub(super) fn append_written(&self, appended: IoFlushed) {
        if planted(Bug::AcknowledgeBeforeSync) {
            appended.io_completed(Ok(()));
            self.sync_lazily();
            return;
        }
        if let Err(mpsc::error::SendError(Request::Append(appended))) =
            self.requests.send(Request::Append(appended))
        {
            appended.io_completed(Err(stopped()));
        }
    }

    /// Waits until everything written before this call is durable.
    pub(super) async fn sync(&self) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Wait(answer)).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Lets everything written before this call become durable soon.
    pub(super) fn sync_lazily(&self) {
        // A flusher that has stopped needs no further word here: whoever waits for a sync is told.
        let _ = self.requests.send(Request::Lazily);
    }

    /// Makes everything written so far durable, and ends the task: whatever asks later is told that
    /// the store is closed.
    pub(super) async fn close(&self) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Close(answer)).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// The number of syncs so far.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

fn stopped() -> io::Error {
    io::Error::other("the store is closed")
}

async fn flush(
    disk: Arc<Latch>,
    mut received: mpsc::UnboundedReceiver<Request>,
    syncs: Arc<AtomicU64>,
) {
    let mut lazy_until: Option<Instant> = None;
    loop {
        let first = match lazy_until {
            None => received.recv().await,
            Some(until) => match tokio::time::timeout_at(until, received.recv()).await {
                Ok(first) => first,
                Err(_) => {
                    lazy_until = None;
                    syncs.fetch_add(1, Ordering::Relaxed);
                    // Nobody waits for it; the latch tells whoever writes next.
                    let _ = disk.sync().await;
                    continue;
                }
            },
        };
        let Some(first) = first else { break };
        let mut waiting = Vec::new();
        let mut lazy = false;
        let mut closing = false;
        let mut next = Some(first);
        while let Some(request) = next {
            closing |= matches!(request, Request::Close(_));
            match request {
                Request::Lazily => lazy = true,
                request => waiting.push(request),
            }
            next = received.try_recv().ok();
        }
        if waiting.is_empty() {
            if lazy && lazy_until.is_none() {
                lazy_until = Some(Instant::now() + Duration::from_millis(LAZY_SYNC_MS));
            }
            continue;
        }
        // Everything that waits was written before it was received here.
        syncs.fetch_add(1, Ordering::Relaxed);
        let result = disk.sync().await;
        lazy_until = None;
        for request in waiting {
            let result = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            match request {
                Request::Append(appended) => appended.io_completed(result),
                // Whoever stopped waiting does not need the answer.
                Request::Wait(answer) | Request::Close(answer) => drop(answer.send(result)),
                Request::Lazily => {}
            }
        }
        if closing {
            return;
        }
    }
    if lazy_until.is_some() {
        let _ = disk.sync().await;
    }
}
