//! Tables, topics and KV configuration.

use std::collections::BTreeMap;

use hyper::Method;

use super::{CallResult, Client, ReadMode};
use crate::call::{Kind, Request};
use crate::types::headers::encode_name;
use crate::types::{
    BrokerList, ClusterList, Kv, KvNamespace, PutKv, PutTopic, TopicConfig, TopicList, Written,
};

impl Client {
    /// `GET /v1/brokers`: live registrations.
    ///
    /// # Errors
    /// See [`CallError`](crate::CallError); always definite.
    pub async fn brokers(&self, mode: ReadMode) -> CallResult<BrokerList> {
        self.json(&mode.request("/v1/brokers".to_owned())).await
    }

    /// `GET /v1/clusters`: broker names by RocketMQ cluster.
    ///
    /// # Errors
    /// See [`CallError`](crate::CallError); always definite.
    pub async fn clusters(&self, mode: ReadMode) -> CallResult<ClusterList> {
        self.json(&mode.request("/v1/clusters".to_owned())).await
    }

    /// `GET /v1/topics`.
    ///
    /// # Errors
    /// See [`CallError`](crate::CallError); always definite.
    pub async fn topics(&self, mode: ReadMode) -> CallResult<TopicList> {
        self.json(&mode.request("/v1/topics".to_owned())).await
    }

    /// `PUT /v1/topics/{topic}`: creates or changes it on the named brokers, all or none.
    ///
    /// # Errors
    /// 404: a broker that does not exist.
    pub async fn put_topic(
        &self,
        topic: &str,
        brokers: BTreeMap<String, TopicConfig>,
    ) -> CallResult<Written> {
        let path = format!("/v1/topics/{}", encode_name(topic));
        let request = Request::write(Method::PUT, path, Kind::Once);
        self.json(&request.body(&PutTopic { brokers })?).await
    }

    /// `DELETE /v1/topics/{topic}`: deletes it everywhere.
    ///
    /// # Errors
    /// See [`CallError`](crate::CallError).
    pub async fn delete_topic(&self, topic: &str) -> CallResult<Written> {
        let path = format!("/v1/topics/{}", encode_name(topic));
        self.json(&Request::write(Method::DELETE, path, Kind::Once)).await
    }

    /// `GET /v1/kv/{namespace}/{key}`. None: it does not exist.
    ///
    /// # Errors
    /// See [`CallError`](crate::CallError); always definite.
    pub async fn kv(&self, namespace: &str, key: &str, mode: ReadMode) -> CallResult<Option<Kv>> {
        let request = mode.request(kv_path(namespace, key));
        self.json_or_absent(request).await
    }

    /// `GET /v1/kv/{namespace}`. None: it does not exist.
    ///
    /// # Errors
    /// See [`CallError`](crate::CallError); always definite.
    pub async fn kv_namespace(
        &self,
        namespace: &str,
        mode: ReadMode,
    ) -> CallResult<Option<KvNamespace>> {
        let request = mode.request(format!("/v1/kv/{}", encode_name(namespace)));
        self.json_or_absent(request).await
    }

    /// `PUT /v1/kv/{namespace}/{key}`, if its `modified` is `if_index` (0: it must not exist).
    ///
    /// # Errors
    /// 412: `if_index` does not match.
    pub async fn put_kv(
        &self,
        namespace: &str,
        key: &str,
        value: &str,
        if_index: Option<u64>,
    ) -> CallResult<Written> {
        let request = kv_write(Method::PUT, namespace, key, if_index);
        self.json(&request.body(&PutKv { value: value.to_owned() })?).await
    }

    /// `DELETE /v1/kv/{namespace}/{key}`, if its `modified` is `if_index`.
    ///
    /// # Errors
    /// 412: `if_index` does not match.
    pub async fn delete_kv(
        &self,
        namespace: &str,
        key: &str,
        if_index: Option<u64>,
    ) -> CallResult<Written> {
        self.json(&kv_write(Method::DELETE, namespace, key, if_index)).await
    }
}

fn kv_path(namespace: &str, key: &str) -> String {
    format!("/v1/kv/{}/{}", encode_name(namespace), encode_name(key))
}

fn kv_write(method: Method, namespace: &str, key: &str, if_index: Option<u64>) -> Request {
    let request = Request::write(method, kv_path(namespace, key), Kind::Once);
    match if_index {
        Some(index) => {
            let request = request.query("if_index", index);
            Request { history_bound: true, ..request }
        }
        None => request,
    }
}
