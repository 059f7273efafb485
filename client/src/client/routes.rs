//! Reading routes, at once or when they change.

use std::time::Duration;

use super::{CallResult, Client};
use crate::call::{Floor, Request};
use crate::types::headers::encode_name;
use crate::types::{Route, Routes};

/// What a read may answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// Everything acknowledged before the call. Needs a quorum.
    #[default]
    Linearizable,
    /// What the replica knows, but never less than this client has been answered before.
    Local,
    /// The same, and at least this index: read-your-writes across clients.
    AtLeast(u64),
    /// What the replica knows, even if it is less than was known before: for looking at one
    /// replica, and for the time when only stragglers are left.
    AnyLocal,
}

impl ReadMode {
    /// A read of `path` in this mode. Linearizable is the contract's default and goes unsaid.
    pub(crate) fn request(self, path: String) -> Request {
        match self {
            Self::Linearizable => Request::read(path, Floor::Seen),
            Self::Local => Request::read(path, Floor::Sent(0)).query("consistency", "local"),
            Self::AtLeast(index) => {
                let request = Request::read(path, Floor::Sent(index)).query("consistency", "local");
                Request { history_bound: true, ..request }
            }
            Self::AnyLocal => Request::read(path, Floor::None).query("consistency", "local"),
        }
    }
}

impl Client {
    /// `GET /v1/routes/{topic}`. None: the topic does not exist.
    ///
    /// # Errors
    /// See [`CallError`](crate::CallError); always definite.
    pub async fn route(&self, topic: &str, mode: ReadMode) -> CallResult<Option<Route>> {
        let request = mode.request(format!("/v1/routes/{}", encode_name(topic)));
        self.json_or_absent(request).await
    }

    /// `GET /v1/routes?topics=…`: all at one index.
    ///
    /// # Errors
    /// See [`CallError`](crate::CallError); always definite.
    pub async fn routes<'a, I>(&self, topics: I, mode: ReadMode) -> CallResult<Routes>
    where
        I: IntoIterator<Item = &'a str>,
    {
        self.json(&routes_request(topics, mode)).await
    }

    /// Waits up to `wait` until one of the topics changes past `index`, then answers all of them.
    /// [`Client::watch`] does this for as long as it lives.
    ///
    /// # Errors
    /// See [`CallError`](crate::CallError); always definite.
    pub async fn routes_after<'a, I>(
        &self,
        topics: I,
        index: u64,
        wait: Duration,
        mode: ReadMode,
    ) -> CallResult<Routes>
    where
        I: IntoIterator<Item = &'a str>,
    {
        self.json(&waiting_request(topics, index, wait, mode)).await
    }
}

pub(crate) fn routes_request<'a, I>(topics: I, mode: ReadMode) -> Request
where
    I: IntoIterator<Item = &'a str>,
{
    let topics: Vec<String> = topics.into_iter().map(encode_name).collect();
    let mut request = mode.request("/v1/routes".to_owned());
    request.query.push(format!("topics={}", topics.join(",")));
    request
}

pub(crate) fn waiting_request<'a, I>(
    topics: I,
    index: u64,
    wait: Duration,
    mode: ReadMode,
) -> Request
where
    I: IntoIterator<Item = &'a str>,
{
    let request = routes_request(topics, mode)
        .query("index", index)
        .query("wait", format_args!("{}ms", wait.as_millis()));
    Request { wait, history_bound: true, ..request }
}
