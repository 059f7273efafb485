//! PULL_MESSAGE (11): messages of one queue, at once or as soon as there are any.
//! Source: RocketMQ `PullMessageProcessor`, `DefaultPullMessageResultHandler`.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use signpost_remoting::body::Subscription;
use signpost_remoting::pull::{PullHeader, PullResponse, sys_flag};
use signpost_remoting::{Connection, RemotingCommand, response};
use tokio::time::Instant;

use crate::clients::Subscribed;
use crate::held::Place;
use crate::membership::check_expression;
use crate::refused::{Answer, Refused};
use crate::service::{Service, now_ms};
use crate::store::read::{Batch, Limits, Status};
use crate::topics::perm;

/// Most messages of one answer, whatever is asked for.
const MESSAGES_MAX: usize = 1024;
/// Bytes of one answer, unless one message alone has more: what 5.x clients ask for.
const BYTES_DEFAULT: usize = 256 * 1024;
/// Most bytes of one answer, whatever is asked for.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// A pull is held no longer, whatever is asked for. Stock clients give up after 30 s.
const HOLD_MAX: Duration = Duration::from_secs(60);

/// A pull that has been judged.
struct Pull {
    group: String,
    topic: String,
    queue_id: i32,
    from: i64,
    limits: Limits,
    subscription: Arc<Subscription>,
    hold: Option<Duration>,
}

impl Service {
    /// PULL_MESSAGE (11).
    pub(crate) async fn pull(
        self: Arc<Self>,
        connection: Connection,
        asked: RemotingCommand,
    ) -> Answer {
        let header = PullHeader::decode(&asked.ext)?;
        let mut pull = self.judge(&header).await?;
        let mut batch = self.read(&pull).await?;
        if header.has(sys_flag::COMMIT_OFFSET) && header.has(sys_flag::SUSPEND) {
            self.offsets.commit(&pull.group, &pull.topic, pull.queue_id, header.commit_offset)?;
        }
        if let Some(hold) = pull.hold.filter(|_| batch.status == Status::NoneYet) {
            let place = self.held.place(connection.id(), &pull.topic, pull.queue_id);
            let place = place.ok_or_else(|| {
                // Stock clients come back after 20 ms on this code, after 1 to 3 s on others.
                let text = "too many pulls are waiting for messages";
                Refused::new(response::FLOW_CONTROL, text)
            })?;
            batch = self.wait(&mut pull, &place, Instant::now() + hold).await?;
        }
        self.metrics.pulled(&pull.topic, &pull.group, &batch.records);
        Ok(answer(&pull, batch))
    }

    /// Whether the pull may be, and what it wants.
    async fn judge(&self, header: &PullHeader) -> Result<Pull, Refused> {
        let group = self.groups.ensure(&header.consumer_group, now_ms()).await?;
        let no_permission = |text: String| Err(Refused::new(response::NO_PERMISSION, text));
        if !group.consume_enable {
            let text = format!("subscription group no permission, {}", header.consumer_group);
            return no_permission(text);
        }
        let queue_id = u32::try_from(header.queue_id).unwrap_or(u32::MAX);
        let topic = self.readable(&header.topic, Some(queue_id))?;
        if topic.perm & perm::READ == 0 {
            return no_permission(format!(
                "the topic[{}] pulling message is forbidden",
                header.topic
            ));
        }
        let subscription = match header.has(sys_flag::SUBSCRIPTION) {
            true => said(header)?,
            false => self.subscribed(header, group.consume_broadcast_enable)?,
        };
        check_expression(&subscription)?;
        let messages = usize::try_from(header.max_msg_nums).unwrap_or(0).clamp(1, MESSAGES_MAX);
        let bytes = header.max_msg_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|bytes| *bytes > 0).unwrap_or(BYTES_DEFAULT).min(BYTES_MAX);
        let hold = u64::try_from(header.suspend_timeout_ms).ok().map(Duration::from_millis);
        let hold = hold.filter(|hold| header.has(sys_flag::SUSPEND) && !hold.is_zero());
        Ok(Pull {
            group: header.consumer_group.clone(),
            topic: header.topic.clone(),
            queue_id: header.queue_id,
            from: header.queue_offset,
            limits: Limits { messages, bytes },
            subscription: Arc::new(subscription),
            hold: hold.map(|hold| hold.min(HOLD_MAX)),
        })
    }

    /// The subscription that the group's heartbeats have told.
    fn subscribed(
        &self,
        header: &PullHeader,
        may_broadcast: bool,
    ) -> Result<Subscription, Refused> {
        let refused = |code, text: &str| Err(Refused::new(code, text));
        match self.clients().subscribed(&header.consumer_group, &header.topic) {
            Subscribed::NoGroup => {
                let text = "the consumer's group info not exist";
                refused(response::SUBSCRIPTION_NOT_EXIST, text)
            }
            Subscribed::NoTopic => {
                let text = "the consumer's subscription not exist";
                refused(response::SUBSCRIPTION_NOT_EXIST, text)
            }
            Subscribed::To { broadcasting: true, .. } if !may_broadcast => {
                refused(response::NO_PERMISSION, "the consumer group may not broadcast")
            }
            Subscribed::To { subscription, .. }
                if subscription.sub_version < header.sub_version =>
            {
                let text = "the consumer's subscription not latest";
                refused(response::SUBSCRIPTION_NOT_LATEST, text)
            }
            Subscribed::To { subscription, .. } => Ok(subscription),
        }
    }

    /// Reads until something was found or the time is up. What was filtered out meanwhile is
    /// passed over.
    async fn wait(
        self: &Arc<Self>,
        pull: &mut Pull,
        place: &Place,
        deadline: Instant,
    ) -> Result<Batch, Refused> {
        loop {
            // Before the read: what arrives while it reads wakes it again.
            let mut arrived = std::pin::pin!(place.arrived.notified());
            arrived.as_mut().enable();
            let mut batch = self.read(pull).await?;
            match batch.status {
                Status::NoneYet => {}
                Status::NoMatch => {
                    pull.from = batch.next_offset;
                    if batch.next_offset < batch.max_offset && Instant::now() < deadline {
                        continue;
                    }
                    batch.status = Status::NoneYet;
                }
                _ => return Ok(batch),
            }
            let over = tokio::select! {
                () = arrived => false,
                () = tokio::time::sleep_until(deadline) => true,
                () = self.held.end.cancelled() => true,
            };
            if over {
                return Ok(batch);
            }
        }
    }

    async fn read(self: &Arc<Self>, pull: &Pull) -> Result<Batch, Refused> {
        let (topic, queue_id, from) = (pull.topic.clone(), pull.queue_id, pull.from);
        let (limits, subscription) = (pull.limits, pull.subscription.clone());
        let wanted = move |hash| subscription.may_want(hash);
        self.blocking(move |service| {
            service.reader.read(&topic, queue_id, from, limits, &wanted).map_err(not_read)
        })
        .await
    }
}

/// A read that failed says nothing about what is stored: the client tries again.
pub(crate) fn not_read(error: crate::store::StoreError) -> Refused {
    tracing::error!(%error, "cannot read the store");
    Refused::system(format!("store getMessage failed: {error}"))
}

/// The subscription that the request itself says.
fn said(header: &PullHeader) -> Result<Subscription, Refused> {
    let expression = header.subscription.as_deref().unwrap_or_default();
    let kind = header.expression_type.clone().unwrap_or_default();
    let asked = Subscription { expression_type: kind, ..Subscription::default() };
    check_expression(&asked)?;
    Subscription::of_tags(&header.topic, expression).map_err(|error| {
        let text = format!("parse the consumer's subscription failed: {error}");
        Refused::new(response::SUBSCRIPTION_PARSE_FAILED, text)
    })
}

fn answer(pull: &Pull, batch: Batch) -> RemotingCommand {
    let is_empty = batch.max_offset == 0;
    let (code, remark) = match batch.status {
        Status::Found => (response::SUCCESS, "FOUND"),
        Status::NoneYet if is_empty => (response::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE"),
        Status::NoneYet => (response::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        Status::NoMatch => (response::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
        Status::TooSmall => (response::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL"),
        Status::Overflow if is_empty => (response::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE"),
        Status::Overflow => (response::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY"),
    };
    tracing::trace!(topic = pull.topic, queue = pull.queue_id, from = pull.from, remark, "pull");
    let header = PullResponse {
        suggest_which_broker_id: 0,
        next_begin_offset: batch.next_offset,
        min_offset: batch.min_offset,
        max_offset: batch.max_offset,
    };
    let mut answer = RemotingCommand::response(code).with_ext(header.encode());
    answer.remark = Some(remark.to_owned());
    answer.body = joined(batch.records);
    answer
}

/// Records one after the other.
pub(crate) fn joined(mut records: Vec<Bytes>) -> Bytes {
    if records.len() == 1 {
        return records.remove(0);
    }
    let mut all = BytesMut::with_capacity(records.iter().map(Bytes::len).sum());
    records.iter().for_each(|record| all.extend_from_slice(record));
    all.freeze()
}
