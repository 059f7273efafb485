//! openraft's state machine around a [`Machine`]: applies in batches, publishes before it answers.

use std::io;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{OptionalSend, Snapshot};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::index_of;
use super::journal::{Journal, JournalRecord};
use super::snapshot::{SnapshotData, SnapshotStore};
use crate::codec;
use crate::machine::{Index, Machine, Section};
use crate::planted::{Bug, apply_hold_up, planted};
use crate::types::{
    CommittedLeaderId, EntryPayload, LogId, Peer, Reply, SnapshotMeta, StoredMembership, TypeConfig,
};

/// Entries that are applied between two publications.
const BATCH_ENTRIES_MAX: usize = 256;

type StoredSnapshot = Snapshot<CommittedLeaderId, crate::machine::NodeId, Peer, SnapshotData>;

/// A machine that the log drives. Its tables live in memory; on disk are the snapshots, from which
/// and from the log behind them opening makes them again.
pub(crate) struct MachineStore<M: Machine> {
    machine: M,
    applied: Option<LogId>,
    membership: StoredMembership,
    snapshots: SnapshotStore,
    journal: Option<Box<dyn Journal>>,
}

impl<M: Machine> MachineStore<M> {
    /// `machine` has applied nothing yet: openraft restores it from the current snapshot and the
    /// log. `journal`, if any, is told of everything that is applied.
    pub(crate) fn new(
        machine: M,
        snapshots: SnapshotStore,
        journal: Option<Box<dyn Journal>>,
    ) -> MachineStore<M> {
        let membership = StoredMembership::default();
        MachineStore { machine, applied: None, membership, snapshots, journal }
    }

    /// The machine, as far as it has applied.
    #[cfg(test)]
    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    /// Applies an entry's command and answers its encoded outcome, if somebody wants it.
    fn apply_command(&mut self, index: Index, encoded: &Bytes, wanted: bool) -> io::Result<Bytes> {
        let command = codec::decode(encoded).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "log entry {index} holds a command that this program does not know ({error}); \
                     skipping it would let this replica's tables diverge. Start the version that \
                     the other replicas run"
                ),
            )
        })?;
        let outcome = self.machine.apply(index, command);
        if !wanted && self.journal.is_none() {
            return Ok(Bytes::new());
        }
        let outcome = Bytes::from(codec::encode(&outcome).map_err(io::Error::other)?);
        if let Some(journal) = &mut self.journal {
            journal.record(&JournalRecord {
                index,
                command: encoded.clone(),
                outcome: outcome.clone(),
                digest: self.machine.digest(),
            })?;
        }
        Ok(outcome)
    }

    /// Makes the tables those of a snapshot, without publishing them.
    fn restore(&mut self, meta: &SnapshotMeta, data: &SnapshotData) -> io::Result<()> {
        let index = index_of(meta.last_log_id.as_ref()).unwrap_or(0);
        let mut sections = data.sections();
        let restored = self.machine.restore(index, &mut sections);
        // If the stream is damaged, that is the cause of whatever the machine complains about.
        sections.verify()?;
        let refused = |what: String| {
            let text = format!("the snapshot at index {index} cannot be restored: {what}");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        restored.map_err(refused)?;
        let (digest, wanted) = (self.machine.digest(), data.header().tables_digest);
        if digest != wanted {
            return Err(refused(format!(
                "its tables have digest {digest:032x}, not {wanted:032x}"
            )));
        }
        Ok(())
    }
}

impl<M: Machine> RaftStateMachine<TypeConfig> for MachineStore<M> {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut batches = entries.ready_chunks(BATCH_ENTRIES_MAX);
        while let Some(batch) = batches.next().await {
            if let Some(hold_up) = apply_hold_up() {
                tokio::time::sleep(hold_up).await;
            }
            let mut answers = Vec::new();
            for entry in batch {
                let (entry, responder) = entry?;
                let log_id = entry.log_id;
                if index_of(self.applied.as_ref()) >= Some(log_id.index) {
                    return Err(io::Error::other(format!(
                        "entry {log_id} must not be applied after {:?}",
                        self.applied
                    )));
                }
                let outcome = match &entry.payload {
                    EntryPayload::Blank => Bytes::new(),
                    EntryPayload::Normal(command) => {
                        self.apply_command(log_id.index, &command.0, responder.is_some())?
                    }
                    EntryPayload::Membership(membership) => {
                        self.membership = StoredMembership::new(Some(log_id), membership.clone());
                        Bytes::new()
                    }
                };
                self.applied = Some(log_id);
                if let Some(responder) = responder {
                    answers.push((responder, Reply(outcome)));
                }
            }
            if let Some(journal) = &mut self.journal {
                journal.flush()?;
            }
            // Before any answer: who has an answer finds what it says in the tables.
            self.machine.publish(index_of(self.applied.as_ref()).unwrap_or(0));
            for (responder, reply) in answers {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
            },
            tables_digest: self.machine.digest(),
            sections: Mutex::new(Some(self.machine.freeze())),
            snapshots: self.snapshots.clone(),
        }
    }

    /// Nothing of it is seen before all of it is verified and durable. After an error the tables
    /// are not to be trusted; openraft stops then, and the disk still points to the old snapshot.
    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: SnapshotData,
    ) -> io::Result<()> {
        if meta.last_log_id < self.applied {
            return Err(io::Error::other(format!(
                "a snapshot up to {:?} must not replace tables at {:?}",
                meta.last_log_id, self.applied
            )));
        }
        apart(|| self.restore(meta, &data))?;
        self.snapshots.adopt(meta, data).await?;
        let former = std::mem::replace(&mut self.applied, meta.last_log_id);
        self.membership = meta.last_membership.clone();
        let served = if planted(Bug::SnapshotIndexTooOld) { former } else { self.applied };
        self.machine.publish(index_of(served.as_ref()).unwrap_or(0));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<StoredSnapshot>> {
        let current = self.snapshots.current();
        Ok(current.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Writes frozen tables as a snapshot, beside further applies.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    tables_digest: u128,
    // openraft wants the builder to be `Sync`; the iterator need not be.
    sections: Mutex<Option<Box<dyn Iterator<Item = Section> + Send>>>,
    snapshots: SnapshotStore,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<StoredSnapshot> {
        let sections = super::lock(&self.sections).take();
        let sections =
            sections.ok_or_else(|| io::Error::other("this snapshot is built already"))?;
        let snapshot = self.snapshots.build(sections, self.tables_digest).await?;
        self.snapshots.adopt(&self.meta, snapshot.clone()).await?;
        tracing::info!(
            index = index_of(self.meta.last_log_id.as_ref()),
            chunks = snapshot.header().chunks,
            bytes = snapshot.header().bytes,
            "built a snapshot"
        );
        Ok(Snapshot { meta: self.meta.clone(), snapshot })
    }
}

/// Runs long work so that it does not hold up other tasks, where the runtime can do that.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
