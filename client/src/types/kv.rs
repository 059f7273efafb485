//! KV configuration (order topic configuration among it).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Body of `PUT /v1/kv/{namespace}/{key}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutKv {
    /// The new value.
    pub value: String,
}

/// Answer to `GET /v1/kv/{namespace}/{key}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kv {
    /// Its value.
    pub value: String,
    /// Log index of its last change; `if_index` compares with it.
    pub modified: u64,
}

/// Answer to `GET /v1/kv/{namespace}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvNamespace {
    /// Values by key.
    pub values: BTreeMap<String, String>,
}
