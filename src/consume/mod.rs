//! `signpost consume`: reads a topic's queues without a group, as `mqadmin printMsg` does.
//!
//! | module | holds |
//! | --- | --- |
//! | [`queue`] | reads one queue: where it begins and ends, pulls, the tag filter |
//! | [`shown`] | a message as it is shown (pure) |

mod queue;
mod shown;

use std::sync::Arc;

use signpost_client::ReadMode;
use signpost_client::types::Route;
use signpost_remoting::{Client, ClientOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::queue::{Queue, Reader};
use crate::cli::consume::Options;
use crate::failure::{Failure, OK};
use crate::output::{self, Format};
use crate::stop;

/// Messages read ahead of what is shown.
const READ_AHEAD: usize = 64;
/// RocketMQ's `PermName.PERM_READ`.
const PERM_READ: u32 = 4;

/// Shows what was asked for.
///
/// # Errors
/// When there is no such topic, or a queue cannot be read.
pub(crate) async fn run(options: &Options, format: Format) -> Result<u8, Failure> {
    let stop = stop::on_signals()?;
    let topic = &options.topic;
    let route = options.target.client()?.route(topic, ReadMode::Linearizable).await?.value;
    let route = route.ok_or_else(|| Failure::failed(format!("there is no topic {topic}")))?;
    let queues = readable(topic, &route);
    if queues.is_empty() {
        return Err(Failure::failed(format!("topic {topic} has no readable queue on any master")));
    }
    let reader = Arc::new(Reader {
        brokers: Client::new(ClientOptions::default()),
        from: options.from,
        tags: options.tag.clone(),
        follow: options.follow,
    });
    let (messages, mut arriving) = mpsc::channel(READ_AHEAD);
    let mut reading = JoinSet::new();
    for queue in queues {
        let (reader, messages) = (Arc::clone(&reader), messages.clone());
        reading.spawn(async move { reader.read(queue, messages).await });
    }
    // The readers' clones are the only ones: the channel ends with the last reader.
    drop(messages);
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(Some(message)) = stop.run_until_cancelled(arriving.recv()).await else { break };
        output::answer(format, &message, || message.for_people())?;
        left -= 1;
    }
    // Those that have more to give see that nobody takes it.
    drop(arriving);
    if left == 0 || stop.is_cancelled() {
        return Ok(OK);
    }
    while let Some(ended) = reading.join_next().await {
        ended.map_err(Failure::failed)??;
    }
    Ok(OK)
}

/// The readable queues of brokers that have a master.
fn readable(topic: &str, route: &Route) -> Vec<Queue> {
    let mut queues = Vec::new();
    for data in route.queue_datas.iter().filter(|data| data.perm & PERM_READ != 0) {
        let mut brokers = route.broker_datas.iter();
        let broker = brokers.find(|broker| broker.broker_name == data.broker_name);
        let Some(address) = broker.and_then(|broker| broker.master()) else { continue };
        queues.extend((0..data.read_queue_nums).map(|id| Queue {
            topic: topic.to_owned(),
            broker: data.broker_name.clone(),
            address: address.to_owned(),
            id,
        }));
    }
    queues
}
