//! Clients come, stay and go: heartbeats (34, 35), who is there (38), pushes when that changes
//! (40), and the locks of ordered consumers (41, 42).
//! Source: RocketMQ `ClientManageProcessor`, `DefaultConsumerIdsChangeListener`.

use std::sync::Arc;

use signpost_remoting::body::consumers::{ClientConnection, ConsumerIds, LockedQueues};
use signpost_remoting::body::heartbeat::FilterCheck;
use signpost_remoting::body::{Heartbeat, LockBatch, Subscription};
use signpost_remoting::broker::{ConsumerGroupHeader, UnregisterClientHeader};
use signpost_remoting::{Connection, RemotingCommand, request};

use crate::clients::{Changed, Member};
use crate::groups;
use crate::refused::{Answer, Refused, done};
use crate::service::{Service, now_ms};
use crate::topics::RETRY_PREFIX;

/// Largest body of a heartbeat, in bytes: what a client says of itself is kept as long as it stays.
const HEARTBEAT_BYTES_MAX: usize = 1024 * 1024;
/// Longest client id, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 1024;

impl Service {
    /// HEART_BEAT (34). The groups' settings and retry topics are there when it is answered.
    pub(crate) async fn heartbeat(
        self: Arc<Self>,
        connection: Connection,
        asked: RemotingCommand,
    ) -> Answer {
        if asked.body.len() > HEARTBEAT_BYTES_MAX {
            let (bytes, limit) = (asked.body.len(), HEARTBEAT_BYTES_MAX);
            let text = format!("a heartbeat may have {limit} bytes, this one has {bytes}");
            return Err(Refused::system(text));
        }
        let beat = Heartbeat::from_json(&asked.body)?;
        if beat.client_id.is_empty() || beat.client_id.len() > CLIENT_ID_BYTES_MAX {
            let text = format!("clientID must have from 1 to {CLIENT_ID_BYTES_MAX} bytes");
            return Err(Refused::system(text));
        }
        for data in &beat.producer_data_set {
            groups::check_name(&data.group_name)?;
        }
        for data in &beat.consumer_data_set {
            let group = self.groups.ensure(&data.group_name, now_ms()).await?;
            let queues = u32::try_from(group.retry_queue_nums).unwrap_or_default();
            self.ensure_topic(&format!("{RETRY_PREFIX}{}", data.group_name), queues).await?;
        }
        let shown = ClientConnection {
            client_addr: connection.peer().to_string(),
            client_id: beat.client_id.clone(),
            language: asked.language.name().to_owned(),
            version: asked.version,
        };
        let number = connection.id();
        let member = Member { shown, seen_ms: now_ms(), connection };
        let changed = self.clients().heartbeat(number, &member, beat);
        notify(changed);
        Ok(done())
    }

    /// UNREGISTER_CLIENT (35).
    pub(crate) fn unregister_client(
        &self,
        connection: &Connection,
        asked: &RemotingCommand,
    ) -> Answer {
        let header = UnregisterClientHeader::from_ext(&asked.ext)?;
        let (producer, consumer) =
            (header.producer_group.as_deref(), header.consumer_group.as_deref());
        let changed = self.clients().unregister(connection.id(), producer, consumer);
        notify(changed);
        Ok(done())
    }

    /// GET_CONSUMER_LIST_BY_GROUP (38).
    pub(crate) fn consumer_list(&self, asked: &RemotingCommand) -> Answer {
        let group = ConsumerGroupHeader::from_ext(&asked.ext)?.consumer_group;
        let ids = self.clients().ids(&group);
        if ids.is_empty() {
            return Err(Refused::system(format!("no consumer for this group, {group}")));
        }
        Ok(done().with_body(ConsumerIds { consumer_id_list: ids }.to_json()))
    }

    /// LOCK_BATCH_MQ (41).
    pub(crate) fn lock_queues(&self, asked: &RemotingCommand) -> Answer {
        let mut batch = LockBatch::from_json(&asked.body)?;
        groups::check_name(&batch.consumer_group)?;
        let topics = self.topics.table();
        batch.mq_set.retain(|queue| {
            let topic = topics.topics.get(&queue.topic);
            topic.is_some_and(|topic| i64::from(queue.queue_id) < i64::from(topic.read_queue_nums))
        });
        let locked = self.locks().lock(batch, now_ms());
        Ok(done().with_body(LockedQueues { locked }.to_json()))
    }

    /// UNLOCK_BATCH_MQ (42).
    pub(crate) fn unlock_queues(&self, asked: &RemotingCommand) -> Answer {
        self.locks().unlock(LockBatch::from_json(&asked.body)?);
        Ok(done())
    }
}

/// CHECK_CLIENT_CONFIG (46): asked of expressions that are no tags, which nobody here evaluates.
pub(crate) fn check_client(asked: &RemotingCommand) -> Answer {
    if let Some(subscription) = FilterCheck::from_json(&asked.body)?.subscription {
        check_expression(&subscription)?;
    }
    Ok(done())
}

/// Refuses what is not filtered by tags, in RocketMQ's words.
pub(crate) fn check_expression(subscription: &Subscription) -> Result<(), Refused> {
    match subscription.is_by_tags() {
        true => Ok(()),
        false => Err(Refused::system(format!(
            "The broker does not support consumer to filter message by {}",
            subscription.expression_type
        ))),
    }
}

/// Tells the members of changed groups (40), so that they share the queues out anew at once. Who
/// cannot be told finds out within 20 s by itself.
pub(crate) fn notify(changed: Vec<Changed<Connection>>) {
    for Changed { group, members } in changed {
        let header = ConsumerGroupHeader { consumer_group: group, topic: None };
        let push = RemotingCommand::request(request::NOTIFY_CONSUMER_IDS_CHANGED)
            .with_ext(header.to_ext());
        for member in members {
            if !member.try_notify(push.clone()) {
                tracing::debug!(peer = %member.peer(), "not told of its group's change");
            }
        }
    }
}
