//! [`QueueSelector`]: to which queue a message goes when it must not be just any. Pure.
//!
//! Source: RocketMQ `MessageQueueSelector`, `SelectMessageQueueByHash`.

use signpost_remoting::body::heartbeat::hash_code;

use crate::message::Message;
use crate::queues::{MessageQueue, TopicQueues};

/// Chooses a queue. What is sent through it is never sent to another queue instead: order would be
/// lost.
pub trait QueueSelector: Send + Sync {
    /// The index in [`TopicQueues::queues`] to send to; None: nowhere, the send fails. `queues` has
    /// at least one.
    fn select(&self, message: &Message, queues: &TopicQueues) -> Option<usize>;
}

/// The same queue for the same key, as long as the topic has the same queues; the one that a stock
/// Java producer takes for the same key (Java's `String.hashCode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByKey<'a>(pub &'a str);

impl QueueSelector for ByKey<'_> {
    fn select(&self, _message: &Message, queues: &TopicQueues) -> Option<usize> {
        index_of_key(self.0, queues)
    }
}

/// This very queue.
impl QueueSelector for MessageQueue {
    fn select(&self, message: &Message, queues: &TopicQueues) -> Option<usize> {
        queues.queues(&message.topic).position(|queue| queue == *self)
    }
}

/// Whatever a function chooses.
impl<F: Fn(&Message, &TopicQueues) -> Option<usize> + Send + Sync> QueueSelector for F {
    fn select(&self, message: &Message, queues: &TopicQueues) -> Option<usize> {
        self(message, queues)
    }
}

/// The index of a key's queue.
pub(crate) fn index_of_key(key: &str, queues: &TopicQueues) -> Option<usize> {
    let count = i32::try_from(queues.len()).ok().filter(|count| *count > 0)?;
    usize::try_from((hash_code(key) % count).unsigned_abs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use signpost_client::types::Route;

    fn queues(conf: &str) -> TopicQueues {
        TopicQueues::of(&Route { order_topic_conf: Some(conf.into()), ..Route::default() })
    }

    #[test]
    fn a_key_keeps_its_queue_and_keys_spread() {
        let queues = queues("a:4;b:4");
        let message = Message::new("t", "x");
        let at = |key: &str| ByKey(key).select(&message, &queues).expect("a queue");
        assert_eq!(at("order-7"), 1_207_111_304 % 8);
        assert_eq!(at("order-7"), at("order-7"));
        let mut seen = [0; 8];
        (0..800).for_each(|n| seen[at(&n.to_string())] += 1);
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        assert_eq!(at("polygenelubricants"), 0, "the one hash without an absolute value");
        assert_eq!(ByKey("k").select(&message, &TopicQueues::default()), None);
    }

    #[test]
    fn a_queue_chooses_itself_if_it_is_there() {
        let queues = queues("a:2;b:2");
        let queue = |id| MessageQueue { topic: "t".into(), broker_name: "b".into(), queue_id: id };
        let message = Message::new("t", "x");
        assert_eq!(queue(1).select(&message, &queues), Some(3));
        assert_eq!(queue(2).select(&message, &queues), None);
        assert_eq!(queue(1).select(&Message::new("u", "x"), &queues), None);
        let last = |_: &Message, queues: &TopicQueues| queues.len().checked_sub(1);
        assert_eq!(last.select(&message, &queues), Some(3));
    }
}
