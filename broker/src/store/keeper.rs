//! The thread that writes queues and index to their files, so that the log's writer need not: when
//! much has come, and every few seconds with a checkpoint.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use super::derived::Derived;
use super::flush::{Failure, LogEnd};
use super::work::Dirty;
use super::{StoreError, io_error};

/// A full disk is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Who waits for a task to be done.
pub(super) type Done = SyncSender<Result<(), StoreError>>;

/// What the keeper is asked for.
pub(super) enum Task {
    /// Write what is in memory only.
    WriteOut(Option<Done>),
    /// Make it durable, and note how far that reaches; remove what deleted topics have left.
    Checkpoint(Option<Done>),
    /// Remove the log before this offset, and what belongs to it.
    DropBefore(u64, Done),
}

pub(super) struct Keeper {
    pub(super) derived: Arc<Derived>,
    pub(super) log: Arc<LogEnd>,
    pub(super) failure: Failure,
    pub(super) dirty: Dirty,
    /// How far the last checkpoint reaches.
    pub(super) reached: u64,
}

impl Keeper {
    /// Works until all who might ask have gone.
    pub(super) fn run(mut self, tasks: &Receiver<Task>, checkpoint_every: Duration) {
        let mut wait = checkpoint_every;
        loop {
            let (outcome, done) = match tasks.recv_timeout(wait) {
                Ok(Task::WriteOut(done)) => (self.write_out(), done),
                Ok(Task::Checkpoint(done)) => (self.checkpoint(), done),
                Ok(Task::DropBefore(offset, done)) => (self.drop_before(offset), Some(done)),
                Err(RecvTimeoutError::Timeout) => (self.checkpoint(), None),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            wait = match &outcome {
                Err(error) => {
                    tracing::warn!(%error, "cannot write queues and index; trying again");
                    AGAIN.min(checkpoint_every)
                }
                Ok(()) => checkpoint_every,
            };
            if let Some(done) = done {
                // Who asked may have gone.
                let _ = done.send(outcome);
            }
        }
    }

    /// See [`Task::WriteOut`].
    pub(super) fn write_out(&mut self) -> Result<(), StoreError> {
        self.may_go_on()?;
        let written = self.derived.write_out(&mut self.dirty);
        written.map_err(|error| self.judge(error.into()))
    }

    /// See [`Task::Checkpoint`].
    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.may_go_on()?;
        let is_news = {
            let queues = self.derived.queues();
            queues.log_end != self.reached || !queues.deleted.is_empty()
        };
        if !is_news {
            return Ok(());
        }
        let (log, dirty) = (&self.log, &mut self.dirty);
        let reached = self.derived.checkpoint(dirty, || log.sync().map_err(Trouble::Store));
        self.reached = reached.map_err(|trouble| self.judge(trouble))?;
        Ok(())
    }

    fn drop_before(&mut self, offset: u64) -> Result<(), StoreError> {
        self.may_go_on()?;
        let (log, dirty) = (&self.log, &mut self.dirty);
        let dropped =
            self.derived.drop_before(offset, dirty, || log.sync().map_err(Trouble::Store));
        dropped.map_err(|trouble| self.judge(trouble))
    }

    fn may_go_on(&self) -> Result<(), StoreError> {
        self.failure.get().map_or(Ok(()), Err)
    }

    /// A full disk may have room again; after anything else nobody knows what is in the files.
    fn judge(&self, trouble: Trouble) -> StoreError {
        match trouble {
            Trouble::Store(error) => error,
            Trouble::Io(error) => match io_error("write queues and index", error) {
                full @ StoreError::Full(_) => full,
                other => self.failure.set("go on", &other),
            },
        }
    }
}

/// What may come between.
enum Trouble {
    Io(io::Error),
    Store(StoreError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
