//! `/v1/routes`: where topics are, now or once that has changed.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::Instant;

use super::frame::{Call, Segments};
use super::names::{self, Invalid};
use super::problem::Fault;
use super::query::Query;
use super::reading::read_of;
use super::stamp::Provenance;
use super::{Api, Shared};
use crate::errors::{Missing, ServiceError};
use crate::reads::{RouteAnswer, RouteAnswers, Wait};
use crate::routes::command::Topic;

const PARAMETERS_OF_ONE: &[&str] = &["consistency", "min_index", "index", "wait"];
const PARAMETERS_OF_MANY: &[&str] = &["topics", "consistency", "min_index", "index", "wait"];

/// `GET /v1/routes/{topic}`: one route; with `index` and `wait`, once it has changed.
pub(super) async fn one(
    State(api): State<Api>,
    call: Call,
    Segments(topic): Segments<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    api.route(&call, topic, query.as_deref()).await
}

/// `GET /v1/routes?topics=a,b,c`: many routes at one index; null where there is none.
pub(super) async fn many(
    State(api): State<Api>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let query = Query::parse(query.as_deref(), PARAMETERS_OF_MANY)?;
    let topics = topics_of(&query, api.config.limits.topics_per_read)?;
    let (answers, provenance) = api.routes(&call, &query, &topics).await?;
    Ok(provenance.json(joined(&answers)))
}

impl Shared {
    /// The route of one topic.
    pub(super) async fn route(
        &self,
        call: &Call,
        topic: Topic,
        query: Option<&str>,
    ) -> Result<Response, Fault> {
        names::topic("topic", &topic)?;
        let query = Query::parse(query, PARAMETERS_OF_ONE)?;
        let topics = [topic];
        let (answers, provenance) = self.routes(call, &query, &topics).await?;
        let [topic] = topics;
        if let Some(RouteAnswer { json: Some(json), .. }) = answers.routes.into_iter().next() {
            return Ok(provenance.json(json));
        }
        let missing = Missing::Topic { topic, modified: answers.modified };
        let mut response = Fault::from(ServiceError::NotFound(missing)).into_response();
        provenance.stamp(response.headers_mut());
        Ok(response)
    }

    async fn routes(
        &self,
        call: &Call,
        query: &Query<'_>,
        topics: &[Topic],
    ) -> Result<(RouteAnswers, Provenance), Fault> {
        let read = read_of(query, call)?;
        let wait = self.wait_of(query, call)?;
        let answers = self.service.reads().routes(topics, &read, wait).await?;
        // A read that waited is as linearizable as its first round: whatever is applied after that
        // round was committed after the call had begun.
        let consistency = read.consistency;
        let freshness = answers.freshness.clone();
        let provenance = Provenance { freshness, consistency, modified: Some(answers.modified) };
        Ok((answers, provenance))
    }

    /// `index=N&wait=30s`: both or neither.
    fn wait_of(&self, query: &Query<'_>, call: &Call) -> Result<Option<Wait>, Invalid> {
        let (index, wait) = match (query.number("index")?, query.text("wait")) {
            (None, None) => return Ok(None),
            (Some(index), Some(wait)) => (index, wait),
            (Some(_), None) => return Err(Invalid::new("wait", "given, as index is: wait=30s")),
            (None, Some(_)) => {
                return Err(Invalid::new("index", "given, as wait is: the index already seen"));
            }
        };
        let wait_max_ms = u64::try_from(self.config.timings.wait_max.as_millis());
        let wait_ms = names::duration_ms("wait", wait, wait_max_ms.unwrap_or(u64::MAX))?;
        let patience = std::time::Duration::from_millis(wait_ms);
        let until: Instant = call.begun + call.patience.unwrap_or(patience).min(patience);
        Ok(Some(Wait { index, until }))
    }
}

/// The names in `topics=a,b,c`: sorted, each once.
fn topics_of(query: &Query<'_>, topics_max: usize) -> Result<Vec<Topic>, Invalid> {
    let expected = || {
        Invalid::new("topics", format!("1 to {topics_max} topics with commas between: topics=a,b"))
    };
    let list = query.text("topics").filter(|list| !list.is_empty()).ok_or_else(expected)?;
    if list.split(',').count() > topics_max {
        return Err(expected());
    }
    for topic in list.split(',') {
        names::topic("topics", topic)?;
    }
    let mut topics: Vec<Topic> = list.split(',').map(ToOwned::to_owned).collect();
    topics.sort_unstable();
    topics.dedup();
    Ok(topics)
}

/// `{"routes":{…}}` out of answers that are encoded already.
fn joined(answers: &RouteAnswers) -> Bytes {
    let part =
        |answer: &RouteAnswer| answer.topic.len() + 8 + answer.json.as_ref().map_or(0, Bytes::len);
    let mut json = BytesMut::with_capacity(16 + answers.routes.iter().map(part).sum::<usize>());
    json.put_slice(b"{\"routes\":{");
    for (at, answer) in answers.routes.iter().enumerate() {
        if at > 0 {
            json.put_u8(b',');
        }
        // A topic's name has no character that JSON escapes: `names::topic` has seen to that.
        json.put_u8(b'"');
        json.put_slice(answer.topic.as_bytes());
        json.put_slice(b"\":");
        json.put_slice(answer.json.as_deref().unwrap_or(b"null"));
    }
    json.put_slice(b"}}");
    json.freeze()
}
