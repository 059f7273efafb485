//! The network between the replicas, and what can be done to it. Clients reach every replica all the
//! time: what a cut-off replica tells them is what is to be judged.
//!
//! | module | holds |
//! | --- | --- |
//! | [`shapes`] | which links a fault concerns (pure) |
//! | [`namespaces`] | each replica in a network namespace of its own; packets dropped by nftables |
//! | [`proxy`] | without privileges: a proxy before each replica's peers' port |

pub mod namespaces;
pub mod proxy;
pub mod shapes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use signpost_raft::machine::NodeId;

use self::namespaces::Namespaces;
use self::proxy::Proxies;
use crate::error::Error;

/// One direction between two replicas.
pub type Link = (NodeId, NodeId);

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing arrives.
    Cut,
    /// So many of a hundred packets are lost. Proxies, which see no packets, hold data up now and then.
    Lossy(u8),
    /// Data crawls. Proxies delay it; namespaces narrow the link, and delay it where the kernel can.
    Slow,
}

/// How the network is to be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Namespaces where this machine allows them, else proxies.
    #[default]
    Auto,
    /// Network namespaces and nftables: real packet loss. Needs root or user namespaces.
    Namespaces,
    /// Proxies in this process, which work everywhere.
    Proxies,
}

/// The network of a run.
#[derive(Debug)]
pub enum Network {
    /// See [`namespaces`].
    Namespaces(Namespaces),
    /// See [`proxy`].
    Proxies(Proxies),
}

impl Network {
    /// From now on these links are in trouble, and all others are well.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn set(&self, troubles: &BTreeMap<Link, Trouble>) -> Result<(), Error> {
        match self {
            Network::Namespaces(namespaces) => namespaces.set(troubles).await,
            Network::Proxies(proxies) => {
                proxies.set(troubles);
                Ok(())
            }
        }
    }

    /// In words, for the report.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Network::Namespaces(_) => "network namespaces with nftables",
            Network::Proxies(_) => "proxies before the peers' ports",
        }
    }
}
