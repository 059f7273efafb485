//! openraft's own suite for storage, on both disks.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::toy::{self, Cells};
use crate::disk::simulated::SimulatedDisk;
use crate::disk::sled::SledDisk;
use crate::store::Store;
use crate::store::log::LogStore;
use crate::store::machine::MachineStore;
use crate::types::{Runtime, TypeConfig};

struct OnSled;
struct OnSimulated;

type Built<G> = Result<(G, LogStore, MachineStore<Cells>), StorageError<TypeConfig>>;

fn parts<G>(guard: G, store: Store) -> Built<G> {
    let (machine, _) = toy::machine(&store);
    Ok((guard, store.log, machine))
}

impl StoreBuilder<TypeConfig, LogStore, MachineStore<Cells>, TempDir> for OnSled {
    async fn build(&self) -> Built<TempDir> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = SledDisk::open(dir.path(), 16 << 20).expect("a fresh directory opens");
        parts(dir, toy::open(disk).await.expect("an empty disk opens"))
    }
}

impl StoreBuilder<TypeConfig, LogStore, MachineStore<Cells>> for OnSimulated {
    async fn build(&self) -> Built<()> {
        parts((), toy::open(SimulatedDisk::new(1)).await.expect("an empty disk opens"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_suite_passes_on_sled() {
    Runtime::scope(1, Suite::test_all(OnSled)).await.expect("the suite passes");
}

#[tokio::test(start_paused = true)]
async fn openrafts_suite_passes_on_the_simulated_disk() {
    Runtime::scope(1, Suite::test_all(OnSimulated)).await.expect("the suite passes");
}
