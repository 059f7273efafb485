//! Group commit: one task syncs the disk, once for all that wait when a sync begins, and tells the
//! mark what the disk then holds.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::log::Book;
use super::mark::Mark;
use crate::disk::Disk;
use crate::planted::{Bug, planted};
use crate::types::IoFlushed;

/// How long a write that nobody waits for may stay unsynchronised. It bounds how much older than
/// what it acknowledged a replica may be that was killed and answers local reads again, alone.
const LAZY_SYNC_MS: u64 = 10;

/// How long a mark may stay unsynchronised: how much older it may be after a power cut. After the
/// end of the process alone it is the last one.
const MARK_SYNC_MS: u64 = 100;

enum Request {
    Append(IoFlushed),
    Wait(oneshot::Sender<io::Result<()>>),
    Mark(oneshot::Sender<io::Result<()>>),
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
    pub(super) fn start(book: Arc<Book>) -> Flusher {
        let (requests, received) = mpsc::unbounded_channel();
        let syncs = Arc::new(AtomicU64::new(0));
        tokio::spawn(flush(Syncing::new(book, Arc::clone(&syncs)), received));
        Flusher { requests, syncs }
    }

    /// Completes `appended` once everything noted before this call is durable, or has failed.
    pub(super) fn append_noted(&self, appended: IoFlushed) {
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

    /// Waits until everything noted and written before this call is durable.
    pub(super) async fn sync(&self) -> io::Result<()> {
        self.wait(Request::Wait).await
    }

    /// The same, and waits until the mark is durable that says so.
    pub(super) async fn sync_and_mark(&self) -> io::Result<()> {
        self.wait(Request::Mark).await
    }

    /// Lets everything noted and written before this call become durable soon.
    pub(super) fn sync_lazily(&self) {
        // A flusher that has stopped needs no further word here: whoever waits for a sync is told.
        let _ = self.requests.send(Request::Lazily);
    }

    /// Makes everything noted and written so far durable, the mark too, and ends the task: whatever
    /// asks later is told that the store is closed.
    pub(super) async fn close(&self) -> io::Result<()> {
        self.wait(Request::Close).await
    }

    async fn wait(
        &self,
        request: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Request,
    ) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).map_err(|_| stopped())?;
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

/// The task's own: what is synced, and what is to be soon.
struct Syncing {
    book: Arc<Book>,
    syncs: Arc<AtomicU64>,
    /// The mark that was put last.
    mark: Option<Mark>,
    /// When to sync for those who do not wait.
    lazy_at: Option<Instant>,
    /// When to sync the mark.
    mark_at: Option<Instant>,
}

impl Syncing {
    fn new(book: Arc<Book>, syncs: Arc<AtomicU64>) -> Syncing {
        Syncing { book, syncs, mark: None, lazy_at: None, mark_at: None }
    }

    /// Makes durable what is noted and written by now, and puts the mark.
    async fn sync(&mut self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.lazy_at = None;
        let mark = self.book.write_out()?;
        let disk = self.book.disk();
        disk.sync().await?;
        if self.mark != Some(mark) {
            mark.put(&**disk)?;
            self.mark = Some(mark);
            self.mark_at.get_or_insert_with(|| after(MARK_SYNC_MS));
        }
        Ok(())
    }

    async fn sync_mark(&mut self) -> io::Result<()> {
        self.mark_at = None;
        self.book.disk().sync_mark().await
    }

    /// Does what is due of that which nobody waits for.
    async fn catch_up(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let synced = if due(self.lazy_at) { self.sync().await } else { Ok(()) };
        let marked = if due(self.mark_at) { self.sync_mark().await } else { Ok(()) };
        synced.and(marked)
    }
}

async fn flush(mut syncing: Syncing, mut received: mpsc::UnboundedReceiver<Request>) {
    loop {
        let due = match (syncing.lazy_at, syncing.mark_at) {
            (Some(lazy), Some(mark)) => Some(lazy.min(mark)),
            (lazy, mark) => lazy.or(mark),
        };
        let first = match due {
            None => received.recv().await,
            Some(at) => match timeout_at(at, received.recv()).await {
                Ok(first) => first,
                Err(_) => {
                    // Nobody waits for it; the latch tells whoever writes next.
                    let _ = syncing.catch_up().await;
                    continue;
                }
            },
        };
        let Some(first) = first else { break };
        let mut waiting = Vec::new();
        let (mut lazily, mut marking, mut closing) = (false, false, false);
        let mut next = Some(first);
        while let Some(request) = next {
            closing |= matches!(request, Request::Close(_));
            marking |= matches!(request, Request::Close(_) | Request::Mark(_));
            match request {
                Request::Lazily => lazily = true,
                request => waiting.push(request),
            }
            next = received.try_recv().ok();
        }
        if waiting.is_empty() {
            if lazily {
                syncing.lazy_at.get_or_insert_with(|| after(LAZY_SYNC_MS));
            }
            continue;
        }
        // Everything that waits was noted or written before it was received here.
        let mut result = syncing.sync().await;
        if marking && result.is_ok() {
            result = syncing.sync_mark().await;
        }
        for request in waiting {
            let result = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            match request {
                Request::Append(appended) => appended.io_completed(result),
                // Whoever stopped waiting does not need the answer.
                Request::Wait(answer) | Request::Mark(answer) | Request::Close(answer) => {
                    drop(answer.send(result));
                }
                Request::Lazily => {}
            }
        }
        if closing {
            return;
        }
        // Under load nothing ever times out above.
        let _ = syncing.catch_up().await;
    }
    if syncing.lazy_at.is_some() {
        let _ = syncing.sync().await;
    }
    if syncing.mark_at.is_some() {
        let _ = syncing.sync_mark().await;
    }
}

fn after(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}
