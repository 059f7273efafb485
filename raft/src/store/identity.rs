//! Whose disk this is: kept beside the vote, so that who loses the one loses the other.

use std::io;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::flusher::Flusher;
use super::latch::Latch;
use super::lock;
use super::record::{Meta, get_meta, put_meta};
use crate::machine::{Index, NodeId};

/// What a data directory knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Minted when the directory was made; the membership binds the node id to it.
    pub(crate) disk_id: Uuid,
    /// The cluster that it belongs to, once it was founded or this replica was taken in.
    pub(crate) home: Option<Home>,
    /// Index of the latest membership seen here that holds it; None: it was never fed one. A restart
    /// knows only older ones for a while, and none of those says that it was removed.
    pub(crate) held_at: Option<Index>,
    /// Whether it was removed from its cluster; that is for ever.
    pub(crate) removed: bool,
    /// The highest number that any membership seen here has held: numbers are never given again.
    pub(crate) highest_node_id: NodeId,
}

/// A place in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Home {
    /// The cluster's id, minted at its founding.
    pub(crate) cluster: Uuid,
    /// The cluster's name.
    pub(crate) cluster_name: String,
    /// This replica's number in it.
    pub(crate) node_id: NodeId,
}

/// The identity on a disk. Clones share it.
#[derive(Clone)]
pub(crate) struct IdentityStore {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<Latch>,
    flusher: Flusher,
    identity: Mutex<Identity>,
}

impl IdentityStore {
    pub(super) async fn open(
        disk: &Arc<Latch>,
        flusher: &Flusher,
        fresh_disk_id: Uuid,
    ) -> io::Result<IdentityStore> {
        let identity = match get_meta(&**disk, Meta::Identity)? {
            Some(identity) => identity,
            None => {
                let fresh = Identity {
                    disk_id: fresh_disk_id,
                    home: None,
                    held_at: None,
                    removed: false,
                    highest_node_id: 0,
                };
                put_meta(&**disk, Meta::Identity, &fresh)?;
                flusher.sync().await?;
                fresh
            }
        };
        let inner = Inner {
            disk: Arc::clone(disk),
            flusher: flusher.clone(),
            identity: Mutex::new(identity),
        };
        Ok(IdentityStore { inner: Arc::new(inner) })
    }

    /// The identity as it is now.
    pub(crate) fn get(&self) -> Identity {
        lock(&self.inner.identity).clone()
    }

    /// Settles in a cluster; durable when it returns.
    ///
    /// # Errors
    /// When it lives elsewhere already; otherwise what the disk says.
    pub(crate) async fn set_home(&self, home: Home) -> io::Result<()> {
        self.change(|identity| match &identity.home {
            Some(former) if *former != home => Err(io::Error::other(format!(
                "this disk belongs to node {} of cluster {:?} ({}) already",
                former.node_id, former.cluster_name, former.cluster
            ))),
            _ => {
                identity.home = Some(home);
                Ok(())
            }
        })
        .await
    }

    /// Remembers that the membership of this index holds it; durable when it returns.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) async fn note_held(&self, at: Index) -> io::Result<()> {
        if self.get().held_at >= Some(at) {
            return Ok(());
        }
        self.change(|identity| {
            identity.held_at = identity.held_at.max(Some(at));
            Ok(())
        })
        .await
    }

    /// Remembers that it was removed; durable when it returns.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) async fn set_removed(&self) -> io::Result<()> {
        self.change(|identity| {
            identity.removed = true;
            Ok(())
        })
        .await
    }

    /// Remembers the highest number of a membership; durable when it returns.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) async fn note_node_id(&self, highest: NodeId) -> io::Result<()> {
        if self.get().highest_node_id >= highest {
            return Ok(());
        }
        self.change(|identity| {
            identity.highest_node_id = identity.highest_node_id.max(highest);
            Ok(())
        })
        .await
    }

    async fn change(&self, change: impl FnOnce(&mut Identity) -> io::Result<()>) -> io::Result<()> {
        {
            let mut identity = lock(&self.inner.identity);
            let mut changed = identity.clone();
            change(&mut changed)?;
            if changed != *identity {
                put_meta(&*self.inner.disk, Meta::Identity, &changed)?;
                *identity = changed;
            }
        }
        self.inner.flusher.sync().await
    }
}
