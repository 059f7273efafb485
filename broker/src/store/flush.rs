//! How far the log is synced, and the end of a store that cannot go on.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::StoreError;
use super::disk::DiskFile;

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Once it has been synced: it survives a power cut.
    Sync,
    /// Once it has been handed to the system, which is told to sync as often as this: it survives
    /// the end of the process; a power cut may take what came in the last interval.
    Async {
        /// Between two syncs.
        interval: Duration,
    },
}

/// Set once the store has failed for good.
#[derive(Debug, Clone)]
pub(super) struct Failure(Arc<watch::Sender<Option<Arc<str>>>>);

impl Failure {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.subscribe()
    }

    /// The error that everybody gets from now on, if there is one.
    pub(super) fn get(&self) -> Option<StoreError> {
        self.0.borrow().clone().map(StoreError::Failed)
    }

    /// From now on nothing is stored.
    pub(super) fn set(&self, what: &str, error: &dyn std::fmt::Display) -> StoreError {
        let reason: Arc<str> = format!("cannot {what}: {error}").into();
        tracing::error!(%reason, "the store has failed");
        self.0.send_replace(Some(reason.clone()));
        StoreError::Failed(reason)
    }
}

/// The end of the log: what has been written, what has been synced.
pub(super) struct LogEnd {
    state: Mutex<State>,
    failure: Failure,
}

struct State {
    file: Arc<dyn DiskFile>,
    written: u64,
    synced: u64,
}

impl LogEnd {
    /// All is synced up to an offset in this file.
    pub(super) fn new(file: Arc<dyn DiskFile>, synced: u64, failure: Failure) -> Self {
        Self { state: Mutex::new(State { file, written: synced, synced }), failure }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log goes on in another file; all before is synced.
    pub(super) fn roll(&self, file: Arc<dyn DiskFile>, start: u64) {
        *self.state() = State { file, written: start, synced: start };
    }

    /// The log has been written up to an offset.
    pub(super) fn wrote(&self, end: u64) {
        self.state().written = end;
    }

    /// Up to where it is synced.
    pub(super) fn synced(&self) -> u64 {
        self.state().synced
    }

    /// Syncs what has been written.
    ///
    /// # Errors
    /// When the disk does not: nobody knows then what is on it, and the store ends.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let (file, written) = {
            let state = self.state();
            if state.synced == state.written {
                return Ok(());
            }
            (state.file.clone(), state.written)
        };
        // A failed sync may have dropped what it was to write; a second one would not say so.
        file.sync().map_err(|error: io::Error| self.failure.set("sync the log", &error))?;
        let mut state = self.state();
        state.synced = state.synced.max(written);
        Ok(())
    }

    /// Syncs every now and then until the other end of the channel goes.
    pub(super) fn sync_every(&self, interval: Duration, end: &Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(interval) {
            if self.sync().is_err() {
                return;
            }
        }
    }
}
