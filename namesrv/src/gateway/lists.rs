//! 106, 206, 224, 304, 311 to 313, 901: the tables as lists. Source: RocketMQ 5.3.3
//! `RouteInfoManager`, `TopicList`, `ClusterInfo`, `BrokerMemberGroup`.

use std::collections::BTreeSet;
use std::sync::Arc;

use signpost_remoting::body::{BrokerData, BrokerMemberGroup, ClusterInfo, TopicList};
use signpost_remoting::{RemotingCommand, Reply};

use super::{Shared, done};
use crate::routes::{BrokerRow, Name};

/// Bit 0 of `topicSysFlag`: a topic of a unit.
const UNIT: u32 = 1;
/// Bit 1: subscribed to in a unit.
const UNIT_SUBSCRIPTION: u32 = 2;

fn topic_list<'t>(topics: impl IntoIterator<Item = &'t Name>) -> TopicList {
    let topic_list = topics.into_iter().map(|topic| (**topic).into()).collect();
    TopicList { topic_list, broker_addr: None }
}

fn answer(list: &TopicList) -> RemotingCommand {
    done().with_body(list.to_json())
}

/// 106: all brokers and clusters. Bare integer keys in every version, as stock name servers answer.
pub(super) fn cluster_info(shared: &Arc<Shared>) -> Reply {
    shared.read(|_, view| {
        let brokers = view.tables.brokers();
        let clusters = view.tables.clusters();
        let info = ClusterInfo {
            broker_addr_table: brokers
                .map(|(name, row)| (name.to_string(), group(name, row)))
                .collect(),
            cluster_addr_table: clusters
                .map(|(cluster, names)| {
                    (cluster.to_string(), names.map(|n| n.to_string()).collect())
                })
                .collect(),
        };
        done().with_body(info.legacy_json())
    })
}

fn group(name: &Name, row: &BrokerRow) -> BrokerData {
    let addresses = row.addresses.iter();
    BrokerData {
        broker_addrs: addresses.map(|(id, slot)| (*id, slot.address.to_string())).collect(),
        broker_name: name.to_string(),
        cluster: row.cluster.to_string(),
        enable_acting_master: row.enable_acting_master,
        zone_name: row.zone.as_ref().map(ToString::to_string),
    }
}

/// 901: the brokers of a name; the cluster is that of the request, whatever it is.
pub(super) fn member_group(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.read(move |_, view| {
        let field = |name: &str| request.ext.get(name).unwrap_or_default().to_owned();
        let (cluster, broker_name) = (field("clusterName"), field("brokerName"));
        let addresses = view.tables.broker(&broker_name).into_iter().flat_map(|row| &row.addresses);
        let broker_addrs = addresses.map(|(id, slot)| (*id, slot.address.to_string())).collect();
        done().with_body(BrokerMemberGroup { broker_addrs, broker_name, cluster }.legacy_json())
    })
}

/// 206: every topic.
pub(super) fn all_topics(shared: &Arc<Shared>) -> Reply {
    shared.read(|_, view| answer(&topic_list(view.tables.topics().map(|(topic, _)| topic))))
}

/// 224: topics with queues on a broker of this cluster.
pub(super) fn topics_of_cluster(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.read(move |_, view| {
        let wanted = request.ext.get("cluster").unwrap_or_default();
        let names = view.tables.clusters().filter(|(cluster, _)| ***cluster == *wanted);
        let names = names.flat_map(|(_, names)| names);
        let topics: BTreeSet<&Name> = names.flat_map(|name| view.tables.topics_of(name)).collect();
        answer(&topic_list(topics))
    })
}

/// 304: the names of clusters and brokers, which are topics too; and the address of some broker, to
/// ask for the rest.
pub(super) fn system_topics(shared: &Arc<Shared>) -> Reply {
    shared.read(|_, view| {
        let mut names = BTreeSet::new();
        for (cluster, brokers) in view.tables.clusters() {
            names.insert(cluster);
            names.extend(brokers);
        }
        let addresses = view.tables.brokers().flat_map(|(_, row)| row.addresses.values());
        let broker_addr = addresses.map(|slot| slot.address.to_string()).next();
        answer(&TopicList { broker_addr, ..topic_list(names) })
    })
}

/// 311: topics of a unit.
pub(super) fn unit_topics(shared: &Arc<Shared>) -> Reply {
    topics_with(shared, |flag| flag & UNIT != 0)
}

/// 312: topics that are subscribed to in a unit.
pub(super) fn unit_subscription_topics(shared: &Arc<Shared>) -> Reply {
    topics_with(shared, |flag| flag & UNIT_SUBSCRIPTION != 0)
}

/// 313: of these, the ones that are not of a unit themselves.
pub(super) fn unit_subscription_only_topics(shared: &Arc<Shared>) -> Reply {
    topics_with(shared, |flag| flag & (UNIT | UNIT_SUBSCRIPTION) == UNIT_SUBSCRIPTION)
}

/// Any one broker's flag speaks for a topic, as in RocketMQ; here it is always the first's.
fn topics_with(shared: &Arc<Shared>, is_wanted: fn(u32) -> bool) -> Reply {
    shared.read(move |_, view| {
        let wanted = view.tables.topics().filter(|(_, row)| {
            row.queues.first().is_some_and(|(_, queue)| is_wanted(queue.queues.sys_flag))
        });
        answer(&topic_list(wanted.map(|(topic, _)| topic)))
    })
}
