//! A small machine, and short ways to make and write entries.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage, RaftStateMachine};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::codec;
use crate::disk::Disk;
use crate::machine::{Index, Machine, Section};
use crate::store::Store;
use crate::store::log::LogStore;
use crate::store::machine::MachineStore;
use crate::types::{Entry, EntryPayload, Membership, Payload, Peer, TypeConfig, Vote, log_id};

/// Numbered cells that hold bytes.
#[derive(Default)]
pub(super) struct Cells {
    cells: BTreeMap<u64, Vec<u8>>,
    /// What readers see: the cells and the applied index.
    pub(super) published: Published,
    publication_takes: Duration,
}

impl Cells {
    /// Cells whose publications take so long.
    pub(super) fn publishing_in(publication_takes: Duration) -> Cells {
        Cells { publication_takes, ..Cells::default() }
    }
}

pub(super) type Published = Arc<Mutex<(BTreeMap<u64, Vec<u8>>, Index)>>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SetCell {
    pub(super) cell: u64,
    pub(super) value: Vec<u8>,
}

impl Machine for Cells {
    type Command = SetCell;
    type Outcome = u64;

    fn apply(&mut self, index: Index, command: SetCell) -> u64 {
        self.cells.insert(command.cell, command.value);
        index
    }

    fn publish(&mut self, applied: Index) {
        if !self.publication_takes.is_zero() {
            std::thread::sleep(self.publication_takes);
        }
        *crate::store::lock(&self.published) = (self.cells.clone(), applied);
    }

    fn digest(&self) -> u128 {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        for (cell, value) in &self.cells {
            hasher.update(&cell.to_le_bytes());
            hasher.update(&value.len().to_le_bytes());
            hasher.update(value);
        }
        hasher.digest128()
    }

    fn freeze(&self) -> Box<dyn Iterator<Item = Section> + Send> {
        let cells = self.cells.clone();
        Box::new(cells.into_iter().map(|cell| codec::encode(&cell).expect("a cell is small")))
    }

    fn restore(
        &mut self,
        _index: Index,
        sections: &mut dyn Iterator<Item = Section>,
    ) -> Result<(), String> {
        self.cells = sections
            .map(|section| codec::decode(&section).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        Ok(())
    }
}

pub(super) async fn open(disk: impl Disk) -> io::Result<Store> {
    Store::open(Arc::new(disk), Uuid::from_u128(7)).await
}

pub(super) fn machine(store: &Store) -> (MachineStore<Cells>, Published) {
    let cells = Cells::default();
    let published = Arc::clone(&cells.published);
    (MachineStore::new(cells, store.snapshots.clone(), None), published)
}

/// An entry that sets a cell, named after its index, to so many bytes.
pub(super) fn entry(term: u64, index: Index, bytes: usize) -> Entry {
    let value = (0..bytes).map(|at| (at as u64 * 31 + index + term) as u8).collect();
    let command = codec::encode(&SetCell { cell: index % 100, value }).expect("small enough");
    command_entry(term, index, Bytes::from(command))
}

pub(super) fn command_entry(term: u64, index: Index, command: Bytes) -> Entry {
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(Payload(command)) }
}

pub(super) fn membership_entry(term: u64, index: Index) -> Entry {
    let peer = |n: u64| Peer {
        peer: format!("replica-{n}:7876"),
        http: format!("replica-{n}:8876"),
        remoting: format!("replica-{n}:9876"),
        disk_id: Uuid::from_u128(n.into()),
    };
    let nodes: BTreeMap<_, _> = (1..=3).map(|n| (n, peer(n))).collect();
    let membership = Membership::new(vec![[1, 2, 3].into()], nodes).expect("all voters are nodes");
    Entry { log_id: log_id(term, index), payload: EntryPayload::Membership(membership) }
}

pub(super) fn vote(term: u64, node: u64) -> Vote {
    Vote::new(term, node)
}

/// Appends and waits until it is acknowledged as durable.
pub(super) async fn append(log: &mut LogStore, entries: Vec<Entry>) -> io::Result<()> {
    use openraft::type_config::TypeConfigExt as _;
    let (flushed, wait) = TypeConfig::oneshot();
    log.append(entries, IOFlushed::signal(flushed)).await?;
    wait.await.unwrap_or_else(|_| Err(io::Error::other("the acknowledgement was dropped")))
}

pub(super) async fn read_all(log: &LogStore) -> io::Result<Vec<Entry>> {
    log.clone().try_get_log_entries(..).await
}

/// Applies as openraft does for entries that nobody here waits for.
pub(super) async fn apply(
    machine: &mut MachineStore<Cells>,
    entries: impl IntoIterator<Item = Entry>,
) -> io::Result<()> {
    let items: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    machine.apply(futures_util::stream::iter(items)).await
}
