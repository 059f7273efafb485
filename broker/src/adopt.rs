//! What the name cluster knows of this broker's topics and the broker does not: topics that were
//! created or changed through `PUT /v1/topics/{topic}`. Asked when a message arrives for a topic or
//! a queue that the broker's own table does not have.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use signpost_client::types::TopicConfig;
use signpost_client::{Client, ReadMode};
use tokio::time::Instant;

/// A send waits no longer than this for the name cluster.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);
/// The same topic is asked for no more often.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Topics whose last question is remembered.
const MAX_REMEMBERED: usize = 1024;

pub(crate) struct Adopter {
    client: Client,
    broker_name: String,
    asked: Mutex<BTreeMap<String, Instant>>,
}

impl Adopter {
    pub(crate) fn new(client: &Client, broker_name: &str) -> Self {
        let client = client.with_timeout(ASK_TIMEOUT);
        Self { client, broker_name: broker_name.to_owned(), asked: Mutex::default() }
    }

    /// The topic as the name cluster has it for this broker; none also when it cannot say, or was
    /// asked just now.
    pub(crate) async fn ask(&self, topic: &str) -> Option<TopicConfig> {
        if !self.may_ask(topic) {
            return None;
        }
        let route = match self.client.route(topic, ReadMode::Linearizable).await {
            Ok(answer) => answer.value?,
            Err(error) => {
                tracing::debug!(topic, %error, "the name cluster cannot say whether it has this topic");
                return None;
            }
        };
        let ours =
            route.queue_datas.into_iter().find(|data| data.broker_name == self.broker_name)?;
        Some(TopicConfig {
            read_queue_nums: ours.read_queue_nums,
            write_queue_nums: ours.write_queue_nums,
            perm: ours.perm,
            topic_sys_flag: ours.topic_sys_flag,
            order: false,
        })
    }

    fn may_ask(&self, topic: &str) -> bool {
        let now = Instant::now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.get(topic).is_some_and(|last| now - *last < ASK_AGAIN) {
            return false;
        }
        if asked.len() >= MAX_REMEMBERED {
            asked.retain(|_, last| now - *last < ASK_AGAIN);
            if asked.len() >= MAX_REMEMBERED {
                return false;
            }
        }
        asked.insert(topic.to_owned(), now);
        true
    }
}
