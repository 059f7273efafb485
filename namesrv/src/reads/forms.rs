//! The forms in which a route is written: RocketMQ's clients do not all read the same JSON, and an
//! acting master is a view, not a state.

use bytes::Bytes;
use signpost_remoting::body::json;

use crate::routes::{QueueData, RouteView};

/// Bit 2 of RocketMQ's `PermName`: may be written to.
const WRITE: u32 = 2;

/// Topics by which the brokers of a group ask for each other: they want to see the group as it is.
const SYNC_MEMBER_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// How a route is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteForm {
    /// With bare integer keys, as stock name servers answer clients before 4.9.4; else standard
    /// JSON.
    pub legacy: bool,
    /// With the smallest slave under id 0 where a master is missed (RocketMQ's acting master).
    pub acting_master: bool,
}

impl RouteForm {
    /// What the tables hold, in standard JSON: the form of HTTP.
    pub const PLAIN: Self = Self { legacy: false, acting_master: false };
    /// How many forms there are.
    pub(super) const COUNT: usize = 4;

    /// Its number among them.
    pub(super) const fn place(self) -> usize {
        self.legacy as usize + 2 * self.acting_master as usize
    }
}

/// Writes a route.
pub(crate) fn encode(topic: &str, mut route: RouteView, form: RouteForm) -> Bytes {
    if form.acting_master {
        show_acting_masters(topic, &mut route);
    }
    if form.legacy { json::legacy(&route).into() } else { json::standard(&route).into() }
}

/// Moves the smallest slave to id 0 in each group that has no master, allows it, and whose queues
/// are closed to writers, so that clients who look for a master find somebody to ask. Only in this
/// answer (RocketMQ 5.3.3 `RouteInfoManager.pickupTopicRouteData`).
pub(crate) fn show_acting_masters(topic: &str, route: &mut RouteView) {
    if topic.starts_with(SYNC_MEMBER_PREFIX) {
        return;
    }
    let RouteView { broker_datas, queue_datas, .. } = route;
    for broker in broker_datas.iter_mut().filter(|broker| broker.enable_acting_master) {
        let is_closed = |queue: &&QueueData| queue.perm & WRITE == 0;
        let queue = queue_datas.iter().find(|queue| queue.broker_name == broker.broker_name);
        if queue.filter(is_closed).is_none() || broker.broker_addrs.contains_key(&0) {
            continue;
        }
        if let Some((_smallest, address)) = broker.broker_addrs.pop_first() {
            broker.broker_addrs.insert(0, address);
        }
    }
}
