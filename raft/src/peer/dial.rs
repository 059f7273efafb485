//! Dialling a peer: a connection, a handshake, a deadline.

use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::frame::Frames;
use super::hello::{Hello, Member, PROTOCOL_VERSION, Purpose, Refusal, SelfPortrait, Welcome};
use crate::machine::{Index, NodeId};
use crate::network::Network;

/// Who this replica is. Shared by everything that dials or accepts.
pub(crate) struct Identity {
    pub(crate) node_id: NodeId,
    pub(crate) disk_id: Uuid,
    pub(crate) cluster_name: String,
    pub(crate) http: String,
    pub(crate) remoting: String,
    known: RwLock<Known>,
}

/// What an identity learns in its life.
#[derive(Default)]
struct Known {
    cluster: Option<Uuid>,
    was_member: bool,
    members: Vec<Member>,
    membership_index: Index,
}

impl Identity {
    pub(crate) fn new(
        node_id: NodeId,
        disk_id: Uuid,
        cluster_name: String,
        (http, remoting): (String, String),
        cluster: Option<Uuid>,
        was_member: bool,
    ) -> Arc<Identity> {
        let known = RwLock::new(Known { cluster, was_member, ..Known::default() });
        Arc::new(Identity { node_id, disk_id, cluster_name, http, remoting, known })
    }

    /// The cluster's uuid, once there is one.
    pub(crate) fn cluster(&self) -> Option<Uuid> {
        self.read(|known| known.cluster)
    }

    /// Remembers the cluster; the caller has made it durable.
    pub(crate) fn set_cluster(&self, cluster: Uuid) {
        self.write(|known| known.cluster = Some(cluster));
    }

    /// Remembers the members as of a committed membership entry.
    pub(crate) fn set_members(&self, membership_index: Index, members: Vec<Member>) {
        self.write(|known| {
            known.was_member |= members.iter().any(|member| member.id == self.node_id);
            known.membership_index = membership_index;
            known.members = members;
        });
    }

    /// Whether `id` is a member as far as this replica knows, and since which log index that holds.
    pub(crate) fn is_member(&self, id: NodeId) -> (bool, Index) {
        self.read(|known| (known.members.iter().any(|m| m.id == id), known.membership_index))
    }

    /// What this replica says of itself.
    pub(crate) fn portrait(&self) -> SelfPortrait {
        self.read(|known| SelfPortrait {
            id: self.node_id,
            disk_id: self.disk_id,
            cluster: known.cluster,
            was_member: known.was_member,
            http: self.http.clone(),
            remoting: self.remoting.clone(),
            members: known.members.clone(),
            membership_index: known.membership_index,
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// Why dialling failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("refused by {address}: {refusal}")]
    Refused { address: String, refusal: Refusal },
}

/// Dials peers and shakes hands with them.
#[derive(Clone)]
pub(crate) struct Dialer {
    network: Arc<dyn Network>,
    pub(crate) identity: Arc<Identity>,
}

impl Dialer {
    pub(crate) fn new(network: Arc<dyn Network>, identity: Arc<Identity>) -> Dialer {
        Dialer { network, identity }
    }

    /// Dials a member, bound to the disk that membership names.
    pub(crate) async fn dial(
        &self,
        address: &str,
        to: NodeId,
        to_disk: Uuid,
        purpose: Purpose,
    ) -> Result<Frames, DialError> {
        Ok(self.shake_hands(address, Some(to), Some(to_disk), purpose).await?.0)
    }

    /// Asks who listens at an address.
    pub(crate) async fn probe(
        &self,
        address: &str,
        within: Duration,
    ) -> Result<SelfPortrait, DialError> {
        let shaken = timeout(within, self.shake_hands(address, None, None, Purpose::Probe)).await;
        let Ok(shaken) = shaken else {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        };
        Ok(shaken?.1)
    }

    async fn shake_hands(
        &self,
        address: &str,
        to: Option<NodeId>,
        to_disk: Option<Uuid>,
        purpose: Purpose,
    ) -> Result<(Frames, SelfPortrait), DialError> {
        let mut frames = Frames::new(self.network.dial(address).await?);
        let hello = Hello {
            version: PROTOCOL_VERSION,
            cluster_name: self.identity.cluster_name.clone(),
            cluster: self.identity.cluster(),
            from: self.identity.node_id,
            from_disk: self.identity.disk_id,
            to,
            to_disk,
            purpose,
        };
        frames.send(0, &hello).await?;
        match frames.receive::<Welcome>().await? {
            Some((_, Welcome::Accepted(portrait))) => {
                frames.trust();
                Ok((frames, portrait))
            }
            Some((_, Welcome::Refused(refusal))) => {
                Err(DialError::Refused { address: address.to_owned(), refusal })
            }
            None => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
        }
    }
}
