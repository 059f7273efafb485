//! The one place where the route tables change: [`RouteTables::apply`], a pure function of the
//! tables, the log index and the command.
//!
//! It looks at no clock, no randomness and no hash map's order, so that every replica comes to the
//! same tables and the same outcome (docs/GUARANTEES.md, claims 2 and 9). A refused command changes
//! nothing.

use signpost_raft::machine::Index;

use super::command::{RouteCommand, RouteOutcome};
use super::tables::RouteTables;

impl RouteTables {
    /// Applies one committed command, whose log index is `index`.
    pub fn apply(&mut self, index: Index, command: RouteCommand) -> RouteOutcome {
        match command {
            RouteCommand::Register(register) => self.register(index, &register),
            RouteCommand::Patch(patch) => self.patch(index, &patch),
            RouteCommand::Unregister(unregister) => self.unregister(index, &unregister),
            RouteCommand::Expire(expire) => self.expire(index, &expire),
            RouteCommand::SetWritePermission { cluster, broker_name, writable } => {
                self.set_write_permission(index, cluster.as_deref(), broker_name, writable)
            }
            RouteCommand::PutTopic { topic, brokers } => self.put_topic(index, &topic, brokers),
            RouteCommand::DeleteTopic { topic, cluster } => {
                self.delete_topic(index, &topic, cluster.as_deref())
            }
            RouteCommand::PutKv { namespace, key, value, if_index } => {
                self.put_kv(index, &namespace, &key, &value, if_index)
            }
            RouteCommand::DeleteKv { namespace, key, if_index } => {
                self.delete_kv(index, &namespace, &key, if_index)
            }
            RouteCommand::SetClusterVersion(version) => self.raise_cluster_version(version),
        }
    }

    /// Only ever upwards, so that a delayed duplicate does no harm.
    fn raise_cluster_version(&mut self, version: u32) -> RouteOutcome {
        if version <= self.cluster_version {
            return RouteOutcome::Written { changed: 0 };
        }
        self.set_cluster_version(version);
        RouteOutcome::Written { changed: 1 }
    }
}
