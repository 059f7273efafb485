//! The HTTP request of each call (docs/HTTP.md): the same contract that `signpost-client` speaks.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Value, json};
use signpost_namesrv::routes::command::{BrokerKey, QueueConfig, RouteCommand};
use signpost_raft::machine::Index;

use crate::caller::Ask;
use signpost_chaos::history::{Call, Read, What};

/// The request of a call.
pub(crate) fn of(call: &Call) -> Ask {
    match call {
        Call::Write(command) => write(command),
        Call::Read(wanted) => Ask { method: Method::GET, path: read(wanted), body: None },
        Call::Heartbeat(beat) => {
            let body = json!({ "incarnation": beat.incarnation, "epoch": beat.epoch });
            ask(Method::POST, format!("{}/heartbeat", broker(&beat.key)), Some(body))
        }
        Call::Send(_) => unreachable!("no broker takes messages here"),
    }
}

fn ask(method: Method, path: String, body: Option<Value>) -> Ask {
    Ask { method, path, body }
}

fn broker(key: &BrokerKey) -> String {
    format!("/v1/brokers/{}/{}/{}", key.cluster, key.name, key.id)
}

fn read(read: &Read) -> String {
    let (path, mut query) = match &read.what {
        What::Route(topic) => (format!("/v1/routes/{topic}"), String::new()),
        What::Routes(topics) => ("/v1/routes".into(), format!("topics={}&", topics.join(","))),
        What::Kv(namespace, key) => (format!("/v1/kv/{namespace}/{key}"), String::new()),
        What::Brokers => ("/v1/brokers".into(), String::new()),
    };
    query += if read.linearizable { "consistency=linearizable" } else { "consistency=local" };
    if let Some(min_index) = read.min_index {
        query += &format!("&min_index={min_index}");
    }
    format!("{path}?{query}")
}

fn write(command: &RouteCommand) -> Ask {
    match command {
        RouteCommand::Register(register) => {
            let claim = register.claim.expect("the workload always claims");
            let topics: BTreeMap<_, _> =
                register.topics.iter().map(|(topic, of)| (topic, queues(of))).collect();
            let body = json!({
                "incarnation": claim.incarnation,
                "seq": claim.seq,
                "address": register.address,
                "leaseTtlMs": register.lease_ttl_ms,
                "topics": topics,
            });
            ask(Method::PUT, broker(&register.key), Some(body))
        }
        RouteCommand::Patch(patch) => {
            let topics: BTreeMap<_, _> =
                patch.topics.iter().map(|(topic, of)| (topic, of.as_ref().map(queues))).collect();
            let body = json!({
                "incarnation": patch.claim.incarnation,
                "seq": patch.claim.seq,
                "epoch": patch.epoch,
                "topics": topics,
            });
            ask(Method::PATCH, format!("{}/topics", broker(&patch.key)), Some(body))
        }
        RouteCommand::Unregister(unregister) => {
            let claim = unregister.claim.expect("the workload always claims");
            let epoch = unregister.epoch.expect("the workload always names the epoch");
            let path = format!(
                "{}?incarnation={}&seq={}&epoch={epoch}",
                broker(&unregister.key),
                claim.incarnation,
                claim.seq
            );
            ask(Method::DELETE, path, None)
        }
        RouteCommand::SetWritePermission { cluster, broker_name, writable } => {
            let cluster = cluster.as_deref().expect("the workload always names the cluster");
            let path = format!("/v1/brokers/{cluster}/{broker_name}/write-permission");
            ask(Method::POST, path, Some(json!({ "writable": writable })))
        }
        RouteCommand::DeleteTopic { topic, .. } => {
            ask(Method::DELETE, format!("/v1/topics/{topic}"), None)
        }
        RouteCommand::PutKv { namespace, key, value, if_index } => {
            ask(Method::PUT, kv(namespace, key, *if_index), Some(json!({ "value": value })))
        }
        RouteCommand::DeleteKv { namespace, key, if_index } => {
            ask(Method::DELETE, kv(namespace, key, *if_index), None)
        }
        RouteCommand::Expire(_)
        | RouteCommand::PutTopic { .. }
        | RouteCommand::SetClusterVersion(_) => unreachable!("the workload makes no {command:?}"),
    }
}

fn kv(namespace: &str, key: &str, if_index: Option<Index>) -> String {
    let query = if_index.map(|index| format!("?if_index={index}")).unwrap_or_default();
    format!("/v1/kv/{namespace}/{key}{query}")
}

fn queues(queues: &QueueConfig) -> Value {
    json!({
        "readQueueNums": queues.read_queues,
        "writeQueueNums": queues.write_queues,
        "perm": queues.perm,
        "topicSysFlag": queues.sys_flag,
        "order": queues.order,
    })
}
