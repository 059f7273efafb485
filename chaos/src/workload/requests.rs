//! The HTTP request of each call (docs/HTTP.md), and what its reply means: the same contract that
//! `signpost-client` speaks.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Value, json};
use signpost_client::types::headers;
use signpost_namesrv::routes::command::{BrokerKey, QueueConfig, RouteCommand};
use signpost_raft::machine::Index;

use crate::ask::{Ask, Reply};
use crate::history::{Answer, Call, Outcome, Read, What};

/// The request of a call. None: no client can make it over HTTP.
#[must_use]
pub fn of(call: &Call) -> Option<Ask> {
    match call {
        Call::Write(command) => write(command),
        Call::Read(wanted) => Some(Ask::get(read(wanted))),
        Call::Heartbeat(beat) => {
            let body = json!({ "incarnation": beat.incarnation, "epoch": beat.epoch });
            ask(Method::POST, format!("{}/heartbeat", broker(&beat.key)), Some(body))
        }
        Call::Send(_) => None,
    }
}

fn ask(method: Method, path: String, body: Option<Value>) -> Option<Ask> {
    Some(Ask { method, path, body })
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
    if let Some(after) = read.after {
        query += &format!("&index={after}&wait=500ms");
    }
    format!("{path}?{query}")
}

fn write(command: &RouteCommand) -> Option<Ask> {
    match command {
        RouteCommand::Register(register) => {
            let topics: BTreeMap<_, _> =
                register.topics.iter().map(|(topic, of)| (topic, queues(of))).collect();
            let mut body = json!({
                "address": register.address,
                "leaseTtlMs": register.lease_ttl_ms,
                "topics": topics,
            });
            if let Some(claim) = register.claim {
                body["incarnation"] = claim.incarnation.into();
                body["seq"] = claim.seq.into();
            }
            let takeover = if register.takeover { "?takeover=true" } else { "" };
            ask(Method::PUT, format!("{}{takeover}", broker(&register.key)), Some(body))
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
            let claim = unregister
                .claim
                .map(|claim| format!("incarnation={}&seq={}", claim.incarnation, claim.seq));
            let epoch = unregister.epoch.map(|epoch| format!("epoch={epoch}"));
            let query: Vec<String> = claim.into_iter().chain(epoch).collect();
            let path = format!("{}?{}", broker(&unregister.key), query.join("&"));
            ask(Method::DELETE, path.trim_end_matches('?').to_owned(), None)
        }
        RouteCommand::SetWritePermission { cluster, broker_name, writable } => {
            let cluster = cluster.as_deref()?;
            let path = format!("/v1/brokers/{cluster}/{broker_name}/write-permission");
            ask(Method::POST, path, Some(json!({ "writable": writable })))
        }
        RouteCommand::PutTopic { topic, brokers } => {
            let brokers: BTreeMap<_, _> =
                brokers.iter().map(|(name, of)| (name, queues(of))).collect();
            ask(Method::PUT, format!("/v1/topics/{topic}"), Some(json!({ "brokers": brokers })))
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
        RouteCommand::Expire(_) | RouteCommand::SetClusterVersion(_) => None,
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

/// What became of a call, by its reply.
#[must_use]
pub fn outcome(call: &Call, reply: Reply) -> Outcome {
    let (status, headers, body) = match reply {
        Reply::Answer { status, headers, body } => (status, headers, body),
        Reply::NotSent(why) => return Outcome::Refused(format!("not sent: {why}")),
        Reply::Lost(why) => return Outcome::Unknown(why),
    };
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let absent = matches!(call, Call::Read(_))
        && matches!(json["reason"].as_str(), Some("no-such-topic" | "no-such-key"));
    match status {
        504 => Outcome::Unknown(format!("504 {}", json["detail"])),
        200 | 404 if status == 200 || absent => {
            let Some(index) = number(headers::INDEX) else {
                return Outcome::Unknown("an answer without an index".into());
            };
            // A write's index is that of its own entry, which its body tells.
            let written = matches!(call, Call::Write(_)).then(|| json["index"].as_u64()).flatten();
            Outcome::Answered(Answer {
                index: written.unwrap_or(index),
                modified: number(headers::MODIFIED),
                found: status == 200,
                epoch: json["epoch"].as_u64(),
                lease_ttl_ms: json["leaseTtlMs"].as_u64(),
                at_follower: number(headers::LEADER) != number(headers::NODE),
                linearizable: text(headers::CONSISTENCY).map(|said| said == "linearizable"),
                cluster: text(headers::CLUSTER).map(str::to_owned),
                body,
            })
        }
        _ => Outcome::Refused(format!("{status} {} {}", json["reason"], json["detail"])),
    }
}
