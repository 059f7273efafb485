//! The machine under openraft itself: one replica, without peers.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{Config, OptionalSend, Raft};

use super::toy::{self, Cells, SetCell};
use crate::codec;
use crate::disk::simulated::SimulatedDisk;
use crate::store::lock;
use crate::store::machine::MachineStore;
use crate::store::snapshot::SnapshotData;
use crate::types::{Payload, Peer, Runtime, TypeConfig};

/// Nobody is there.
struct NoPeers;

fn nobody() -> Unreachable<TypeConfig> {
    Unreachable::new(&io::Error::other("there is no peer"))
}

impl RaftNetworkFactory<TypeConfig> for NoPeers {
    type Network = NoPeers;

    async fn new_client(&mut self, _: u64, _: &Peer) -> NoPeers {
        NoPeers
    }
}

impl RaftNetworkV2<TypeConfig> for NoPeers {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(RPCError::Unreachable(nobody()))
    }

    async fn vote(
        &mut self,
        _: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(RPCError::Unreachable(nobody()))
    }

    async fn full_snapshot(
        &mut self,
        _: VoteOf<TypeConfig>,
        _: SnapshotOf<TypeConfig, SnapshotData>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(StreamingError::Unreachable(nobody()))
    }
}

async fn an_answer_comes_after_its_publication() {
    let store = toy::open(SimulatedDisk::new(1)).await.expect("opens");
    // So slow that an answer given first would be seen first.
    let cells = Cells::publishing_in(Duration::from_millis(2));
    let published = Arc::clone(&cells.published);
    let machine = MachineStore::new(cells, store.snapshots.clone(), None);
    let config = Arc::new(Config::default().validate().expect("the defaults are valid"));
    let raft: Raft<TypeConfig, MachineStore<Cells>> =
        Raft::new(1, config, NoPeers, store.log.clone(), machine).await.expect("it starts");
    raft.initialize(BTreeMap::from([(1, Peer::default())])).await.expect("it is empty");
    raft.wait(Some(Duration::from_secs(10)))
        .metrics(|metrics| metrics.current_leader == Some(1), "it elects itself")
        .await
        .expect("it leads");

    for cell in 0..100 {
        let command = SetCell { cell, value: vec![cell as u8; 3] };
        let command = Bytes::from(codec::encode(&command).expect("small"));
        let written = raft.client_write(Payload(command)).await.expect("committed");
        let (cells, applied) = lock(&published).clone();
        let outcome: u64 = codec::decode(&written.data.0).expect("an outcome");
        assert_eq!(outcome, written.log_id.index);
        assert!(applied >= outcome, "answered at {outcome}, published up to {applied}");
        assert_eq!(cells.get(&cell), Some(&vec![cell as u8; 3]));
    }
    raft.shutdown().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_an_answer_finds_it_in_the_tables() {
    Runtime::scope(1, an_answer_comes_after_its_publication()).await;
}
