//! Reads one queue of a broker.

use std::time::Duration;

use signpost_remoting::body::heartbeat::{SUBSCRIBE_ALL, TAG};
use signpost_remoting::message::{StoredMessage, properties};
use signpost_remoting::pull::{PullHeader, PullResponse, sys_flag};
use signpost_remoting::{Client, ExtFields, RemotingCommand, request, response};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::shown::Shown;
use crate::cli::consume::From;
use crate::failure::Failure;

/// The group that RocketMQ's own tools read with: brokers know it and keep nothing for it.
const GROUP: &str = "TOOLS_CONSUMER";
/// Messages of one pull.
const MAX_MESSAGES: i32 = 32;
/// How long a broker may hold a pull while there is nothing.
const HOLD: Duration = Duration::from_secs(15);
/// Beyond that: stock brokers look at held pulls every 5 s.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Before a broker is asked again that had nothing and did not hold the pull.
const PAUSE: Duration = Duration::from_millis(100);

/// A queue, and where its master is.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub(super) topic: String,
    pub(super) broker: String,
    pub(super) address: String,
    pub(super) id: u32,
}

/// How queues are read.
pub(super) struct Reader {
    pub(super) brokers: Client,
    pub(super) from: From,
    pub(super) tags: Option<String>,
    pub(super) follow: bool,
}

impl Reader {
    /// Reads a queue into `messages`: to its end as it is now, or for as long as they are taken.
    ///
    /// # Errors
    /// When the broker cannot be asked, refuses, or answers what cannot be read.
    pub(super) async fn read(
        &self,
        queue: Queue,
        messages: mpsc::Sender<Shown>,
    ) -> Result<(), Failure> {
        let end = self.offset(&queue, request::GET_MAX_OFFSET).await?;
        let mut offset = match self.from {
            From::Earliest => self.offset(&queue, request::GET_MIN_OFFSET).await?,
            From::Latest => end,
        };
        while self.follow || offset < end {
            let (found, next) = self.pull(&queue, offset).await?;
            if found.is_empty() && next <= offset {
                if !self.follow {
                    return Ok(());
                }
                sleep(PAUSE).await;
            }
            for message in found.iter().filter(|message| self.is_wanted(message)) {
                if !self.follow && message.queue_offset >= end {
                    return Ok(());
                }
                let shown = Shown::of(message, &queue.broker);
                if messages.send(shown).await.is_err() {
                    return Ok(());
                }
            }
            // A corrected offset may lie before the one that was asked for.
            offset = next;
        }
        Ok(())
    }

    /// Brokers filter by the tags' hashes: others with the same hash are left out here.
    fn is_wanted(&self, message: &StoredMessage) -> bool {
        let Some(tags) = &self.tags else { return true };
        let own = message.property(properties::TAGS);
        tags.split("||").map(str::trim).any(|tag| tag == SUBSCRIBE_ALL || Some(tag) == own)
    }

    /// What is at an offset, and where to go on.
    async fn pull(&self, queue: &Queue, offset: i64) -> Result<(Vec<StoredMessage>, i64), Failure> {
        let suspend = if self.follow { sys_flag::SUSPEND } else { 0 };
        let header = PullHeader {
            consumer_group: GROUP.to_owned(),
            topic: queue.topic.clone(),
            queue_id: wire_id(queue),
            queue_offset: offset,
            max_msg_nums: MAX_MESSAGES,
            sys_flag: sys_flag::SUBSCRIPTION | suspend,
            suspend_timeout_ms: i64::try_from(HOLD.as_millis()).unwrap_or(i64::MAX),
            subscription: Some(self.tags.clone().unwrap_or_else(|| SUBSCRIBE_ALL.to_owned())),
            expression_type: Some(TAG.to_owned()),
            broker_name: Some(queue.broker.clone()),
            ..PullHeader::default()
        };
        let command = RemotingCommand::request(request::PULL_MESSAGE).with_ext(header.encode());
        let answer = self.ask(queue, command).await?;
        let found = match answer.code {
            response::SUCCESS => {
                StoredMessage::decode_all(answer.body).map_err(|error| unreadable(queue, &error))?
            }
            response::PULL_NOT_FOUND
            | response::PULL_RETRY_IMMEDIATELY
            | response::PULL_OFFSET_MOVED => Vec::new(),
            _ => return Err(refused(queue, &answer)),
        };
        let place = PullResponse::decode(&answer.ext).map_err(|error| unreadable(queue, &error))?;
        Ok((found, place.next_begin_offset))
    }

    /// The answer of 30 or 31.
    async fn offset(&self, queue: &Queue, code: i32) -> Result<i64, Failure> {
        let ext = ExtFields::new()
            .with("topic", &queue.topic)
            .with("queueId", queue.id)
            .with("bname", &queue.broker);
        let answer = self.ask(queue, RemotingCommand::request(code).with_ext(ext)).await?;
        if answer.code != response::SUCCESS {
            return Err(refused(queue, &answer));
        }
        let offset = answer.ext.get("offset").and_then(|text| text.parse().ok());
        offset.ok_or_else(|| unreadable(queue, &"no offset in it"))
    }

    async fn ask(
        &self,
        queue: &Queue,
        command: RemotingCommand,
    ) -> Result<RemotingCommand, Failure> {
        let answer = self.brokers.invoke(&queue.address, command, TIMEOUT).await;
        answer.map_err(|error| Failure::failed(format!("{}: {error}", place(queue))))
    }
}

fn wire_id(queue: &Queue) -> i32 {
    i32::try_from(queue.id).unwrap_or(i32::MAX)
}

fn place(queue: &Queue) -> String {
    format!("queue {} of broker {} at {}", queue.id, queue.broker, queue.address)
}

fn refused(queue: &Queue, answer: &RemotingCommand) -> Failure {
    let remark = answer.remark.as_deref().unwrap_or_default();
    Failure::failed(format!("{}: answered {} {remark}", place(queue), answer.code))
}

fn unreadable(queue: &Queue, problem: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!("{}: an answer that cannot be read: {problem}", place(queue)))
}

#[cfg(test)]
mod tests;
