//! A broker's identity as an object: alive or not, and its highest claim.
//!
//! Its lease may end at any time, as far as a client knows; so it may be missing whenever it likes,
//! but once missing it comes back only with a registration above all that it ever claimed. A live one
//! shows exactly its latest claim. (When a lease may end is `leases`' to judge.)

use std::collections::BTreeMap;

use serde_json::Value;
use signpost_client::types::{BrokerEntry, BrokerList};
use signpost_namesrv::routes::command::{BrokerKey, Claim, RouteCommand};

use super::search::{Model, Timed};
use crate::history::{Call, Operation, Outcome, What};

/// The highest claim, and whether it is alive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Standing {
    highest: Option<(u64, u64)>,
    alive: bool,
}

/// A call that concerns one broker.
#[derive(Debug, Clone)]
pub(super) enum BrokerCall {
    Register(Claim),
    Patch(Claim),
    Unregister(Option<Claim>),
    /// It was in the list of brokers with this claim, or not.
    Listed(Option<Claim>),
    /// Its address was in a route.
    Routed,
}

/// The model.
#[derive(Debug)]
pub(super) struct Broker;

impl Model for Broker {
    type State = Standing;
    type Call = BrokerCall;

    fn step(now: &Standing, call: &BrokerCall) -> Option<Standing> {
        let order = |claim: &Claim| Some((claim.incarnation, claim.seq));
        let alive = |claim| Some(Standing { highest: order(claim), alive: true });
        match call {
            BrokerCall::Register(claim) if order(claim) > now.highest => alive(claim),
            // A retry, or a patch sent again.
            BrokerCall::Register(claim) | BrokerCall::Patch(claim)
                if now.alive && order(claim) == now.highest =>
            {
                alive(claim)
            }
            BrokerCall::Patch(claim) if now.alive && order(claim) > now.highest => alive(claim),
            BrokerCall::Register(_) | BrokerCall::Patch(_) => None,
            BrokerCall::Unregister(claim) => {
                let claim = claim.as_ref().and_then(order);
                Some(Standing { highest: now.highest.max(claim), alive: false })
            }
            BrokerCall::Listed(None) => Some(Standing { alive: false, ..now.clone() }),
            BrokerCall::Listed(Some(claim)) => {
                (now.alive && order(claim) == now.highest).then(|| now.clone())
            }
            BrokerCall::Routed => now.alive.then(|| now.clone()),
        }
    }
}

/// A broker's calls, each with its place in the history.
pub(super) type Calls = (Vec<Timed<BrokerCall>>, Vec<usize>);

/// Writes and linearizable reads, broker by broker: of those whose writes all carry a claim.
pub(super) fn by_key(operations: &[Operation]) -> BTreeMap<BrokerKey, Calls> {
    let mut brokers: BTreeMap<BrokerKey, Calls> = BTreeMap::new();
    let mut by_hand = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        let Call::Write(command) = &operation.call else { continue };
        let (key, call) = match command {
            RouteCommand::Register(write) => match write.claim {
                Some(claim) => (&write.key, BrokerCall::Register(claim)),
                None => {
                    by_hand.push(&write.key);
                    continue;
                }
            },
            RouteCommand::Patch(write) => (&write.key, BrokerCall::Patch(write.claim)),
            RouteCommand::Unregister(write) => (&write.key, BrokerCall::Unregister(write.claim)),
            _ => continue,
        };
        let ended = match operation.outcome {
            Outcome::Answered(_) => Some(operation.ended),
            Outcome::Unknown(_) => None,
            Outcome::Refused(_) => continue,
        };
        let (calls, places) = brokers.entry(key.clone()).or_default();
        calls.push(Timed { began: operation.began, ended, call });
        places.push(place);
    }
    brokers.retain(|key, _| !by_hand.contains(&key));
    for (place, operation) in operations.iter().enumerate() {
        let Some(read) = operation.read().filter(|read| read.linearizable) else { continue };
        let Some(answer) = operation.answer() else { continue };
        let mut add = |key: &BrokerKey, call| {
            if let Some((calls, places)) = brokers.get_mut(key) {
                let (began, ended) = (operation.began, Some(operation.ended));
                calls.push(Timed { began, ended, call });
                places.push(place);
            }
        };
        match &read.what {
            What::Brokers => {
                let listed = listed(&answer.body);
                listed.iter().for_each(|(key, call)| add(key, call.clone()));
                let missing = brokers.keys().filter(|key| !listed.contains_key(key));
                let missing: Vec<BrokerKey> = missing.cloned().collect();
                for key in missing {
                    let (calls, places) = brokers.entry(key).or_default();
                    let call = BrokerCall::Listed(None);
                    let ended = Some(operation.ended);
                    calls.push(Timed { began: operation.began, ended, call });
                    places.push(place);
                }
            }
            What::Route(_) | What::Routes(_) => {
                routed(&answer.body).iter().for_each(|key| add(key, BrokerCall::Routed));
            }
            What::Kv(..) => {}
        }
    }
    brokers
}

fn listed(body: &[u8]) -> BTreeMap<BrokerKey, BrokerCall> {
    let list: BrokerList = serde_json::from_slice(body).unwrap_or_default();
    let entry = |entry: BrokerEntry| {
        let call = match entry.seq {
            Some(seq) => BrokerCall::Listed(Some(Claim { incarnation: entry.incarnation, seq })),
            None => BrokerCall::Routed,
        };
        (BrokerKey { cluster: entry.cluster, name: entry.name, id: entry.id }, call)
    };
    list.brokers.into_iter().map(entry).collect()
}

/// The brokers whose addresses stand in a route, or in some.
fn routed(body: &[u8]) -> Vec<BrokerKey> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let many = body["routes"].as_object().into_iter().flat_map(|routes| routes.values());
    let mut keys = Vec::new();
    for broker in many.chain([&body]).filter_map(|route| route["brokerDatas"].as_array()).flatten()
    {
        for id in broker["brokerAddrs"].as_object().into_iter().flat_map(|ids| ids.keys()) {
            let text = |field: &str| broker[field].as_str().unwrap_or_default().to_owned();
            let Ok(id) = id.parse() else { continue };
            keys.push(BrokerKey { cluster: text("cluster"), name: text("brokerName"), id });
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}
