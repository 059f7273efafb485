//! A KV key as an object: what it holds, and calls that set, delete, or read it.
//!
//! Indices serve as a client may use them, as names of versions: `if_index` N means the value that
//! some answer told together with N. They order nothing here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use signpost_namesrv::routes::command::RouteCommand;
use signpost_raft::machine::Index;

use super::search::{Model, Timed};
use crate::history::{Answer, Call, Operation, Outcome, What};

/// A namespace and a key.
pub(super) type Key = (String, String);

/// What a key holds: a value, or nothing.
type Held = Option<String>;

/// A call to one key.
#[derive(Debug, Clone)]
pub(super) enum KvCall {
    /// Sets or deletes; with what must have been there, as far as that is known.
    Set {
        to: Held,
        from: Option<Held>,
    },
    Read(Held),
}

/// The model.
#[derive(Debug)]
pub(super) struct Kv;

impl Model for Kv {
    type State = Held;
    type Call = KvCall;

    fn step(held: &Held, call: &KvCall) -> Option<Held> {
        match call {
            KvCall::Set { from: Some(from), .. } if from != held => None,
            KvCall::Set { to, .. } => Some(to.clone()),
            KvCall::Read(told) => (told == held).then(|| held.clone()),
        }
    }
}

/// A key's calls, each with its place in the history.
pub(super) type Calls = (Vec<Timed<KvCall>>, Vec<usize>);

/// Writes and linearizable reads, key by key. Unknown writes of values that nobody ever saw are left
/// out: with or without them the same orders explain the answers.
pub(super) fn by_key(operations: &[Operation]) -> BTreeMap<Key, Calls> {
    let versions = versions(operations);
    let seen: BTreeSet<&Held> = versions.values().collect();
    let mut keys: BTreeMap<Key, Calls> = BTreeMap::new();
    for (place, operation) in operations.iter().enumerate() {
        let Some((key, call)) = call_of(operation, &versions) else { continue };
        let ended = match (&operation.outcome, &call) {
            (Outcome::Answered(_), _) => Some(operation.ended),
            (Outcome::Unknown(_), KvCall::Set { to, .. }) if to.is_none() || seen.contains(to) => {
                None
            }
            _ => continue,
        };
        let (calls, places) = keys.entry(key).or_default();
        calls.push(Timed { began: operation.began, ended, call });
        places.push(place);
    }
    keys
}

/// What a client knows a version to be: from acknowledged writes, and from any read.
fn versions(operations: &[Operation]) -> BTreeMap<(Key, Index), Held> {
    let mut versions = BTreeMap::new();
    for operation in operations {
        let Some(answer) = operation.answer() else { continue };
        match &operation.call {
            Call::Write(RouteCommand::PutKv { namespace, key, value, .. }) => {
                let key = (namespace.clone(), key.clone());
                versions.insert((key, answer.index), Some(value.clone()));
            }
            Call::Read(read) => {
                if let What::Kv(namespace, key) = &read.what
                    && let (Some(value), Some(modified)) = told(answer)
                {
                    versions.insert(((namespace.clone(), key.clone()), modified), Some(value));
                }
            }
            _ => {}
        }
    }
    versions
}

fn told(answer: &Answer) -> (Held, Option<Index>) {
    if !answer.found {
        return (None, None);
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    // What cannot be read equals no value that was ever written.
    let value = body["value"].as_str().unwrap_or("an unreadable answer").to_owned();
    (Some(value), body["modified"].as_u64())
}

fn call_of(
    operation: &Operation,
    versions: &BTreeMap<(Key, Index), Held>,
) -> Option<(Key, KvCall)> {
    let set = |namespace: &str, key: &str, to: Held, if_index: &Option<Index>| {
        let key = (namespace.to_owned(), key.to_owned());
        let from = match if_index {
            Some(0) => Some(None),
            Some(index) => versions.get(&(key.clone(), *index)).cloned(),
            None => None,
        };
        Some((key, KvCall::Set { to, from }))
    };
    match &operation.call {
        Call::Write(RouteCommand::PutKv { namespace, key, value, if_index }) => {
            set(namespace, key, Some(value.clone()), if_index)
        }
        Call::Write(RouteCommand::DeleteKv { namespace, key, if_index }) => {
            set(namespace, key, None, if_index)
        }
        Call::Read(read) if read.linearizable => match &read.what {
            What::Kv(namespace, key) => {
                let (held, _) = told(operation.answer()?);
                Some(((namespace.clone(), key.clone()), KvCall::Read(held)))
            }
            _ => None,
        },
        _ => None,
    }
}
