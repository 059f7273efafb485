//! Questions about queues, offsets and single messages: 12, 14, 15, 29 to 33.
//! Source: RocketMQ `ConsumerManageProcessor`, `AdminBrokerProcessor`, `QueryMessageProcessor`.

use std::sync::Arc;

use bytes::Bytes;
use signpost_remoting::broker::{
    OffsetResponseHeader, QueryConsumerOffsetHeader, QueryMessageHeader,
    QueryMessageResponseHeader, QueueHeader, SearchOffsetHeader, StoreTimeResponseHeader,
    UpdateConsumerOffsetHeader, ViewMessageHeader,
};
use signpost_remoting::message::StoredMessage;
use signpost_remoting::{RemotingCommand, response};

use crate::pull::{joined, not_read};
use crate::refused::{Answer, Refused, done};
use crate::service::{Service, now_ms};
use crate::store::read::{Boundary, Limits, QueueBounds};

/// Most messages that one query by key answers.
const QUERY_MAX: usize = 64;
/// A new group begins at the first message of a queue rather than at its end, if that message
/// lies no further behind the log's end. RocketMQ: if it is in memory, by its share of it.
const YOUNG_BYTES: u64 = 1 << 30;

impl Service {
    /// QUERY_CONSUMER_OFFSET (14).
    pub(crate) async fn query_consumer_offset(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let header = QueryConsumerOffsetHeader::from_ext(&asked.ext)?;
        let QueryConsumerOffsetHeader { consumer_group, topic, queue_id, set_zero_if_not_found } =
            header;
        let queue_id = queue_id.cast_signed();
        if let Some(offset) = self.offsets.get(&consumer_group, &topic, queue_id) {
            return Ok(offset_answer(offset));
        }
        if set_zero_if_not_found != Some(false)
            && self.blocking(move |service| service.is_young(&topic, queue_id)).await?
        {
            return Ok(offset_answer(0));
        }
        let text = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
        Err(Refused::new(response::QUERY_NOT_FOUND, text))
    }

    fn is_young(&self, topic: &str, queue_id: i32) -> Result<bool, Refused> {
        let QueueBounds { min_offset, max_offset } = self.reader.bounds(topic, queue_id);
        if min_offset != 0 || max_offset == 0 {
            return Ok(min_offset == 0);
        }
        let limits = Limits { messages: 1, bytes: 1 };
        let first = self.reader.read(topic, queue_id, 0, limits, &|_| true).map_err(not_read)?;
        let Some(mut record) = first.records.into_iter().next() else { return Ok(false) };
        let position = StoredMessage::decode(&mut record)?.physical_offset;
        let behind = self.reader.stats().log_end.saturating_sub(position.unsigned_abs());
        Ok(behind <= YOUNG_BYTES)
    }

    /// UPDATE_CONSUMER_OFFSET (15). Answered once it is on disk; a one-way one is there soon.
    pub(crate) async fn update_consumer_offset(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let header = UpdateConsumerOffsetHeader::from_ext(&asked.ext)?;
        self.readable(&header.topic, Some(header.queue_id))?;
        if header.commit_offset < 0 {
            return Err(Refused::system("commitOffset must not be negative"));
        }
        self.groups.ensure(&header.consumer_group, now_ms()).await?;
        let queue_id = header.queue_id.cast_signed();
        self.offsets.commit(
            &header.consumer_group,
            &header.topic,
            queue_id,
            header.commit_offset,
        )?;
        if !asked.is_oneway() {
            self.offsets.flushed().await?;
        }
        Ok(done())
    }

    /// SEARCH_OFFSET_BY_TIMESTAMP (29). A time after all messages finds the last one.
    pub(crate) async fn search_offset(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let header = SearchOffsetHeader::from_ext(&asked.ext)?;
        let SearchOffsetHeader { topic, queue_id, timestamp_ms, boundary } = header;
        let queue_id = queue_id.cast_signed();
        let upper = boundary.is_some_and(|name| name.eq_ignore_ascii_case("UPPER"));
        let boundary = if upper { Boundary::Upper } else { Boundary::Lower };
        let offset = self.blocking(move |service| {
            let found = service.reader.offset_at(&topic, queue_id, timestamp_ms, boundary);
            let QueueBounds { min_offset, max_offset } = service.reader.bounds(&topic, queue_id);
            let last = (max_offset - 1).max(min_offset);
            found.map(|offset| offset.min(last)).map_err(not_read)
        });
        Ok(offset_answer(offset.await?))
    }

    /// GET_MAX_OFFSET (30): the next to be written. A topic that is not known has none.
    pub(crate) async fn max_offset(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        Ok(offset_answer(self.bounds(&asked).await?.max_offset))
    }

    /// GET_MIN_OFFSET (31).
    pub(crate) async fn min_offset(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        Ok(offset_answer(self.bounds(&asked).await?.min_offset))
    }

    async fn bounds(self: &Arc<Self>, asked: &RemotingCommand) -> Result<QueueBounds, Refused> {
        let QueueHeader { topic, queue_id } = QueueHeader::from_ext(&asked.ext)?;
        self.blocking(move |service| Ok(service.reader.bounds(&topic, queue_id.cast_signed())))
            .await
    }

    /// GET_EARLIEST_MSG_STORETIME (32). RocketMQ answers -1 for a queue without messages.
    pub(crate) async fn earliest_store_time(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let QueueHeader { topic, queue_id } = QueueHeader::from_ext(&asked.ext)?;
        let queue_id = queue_id.cast_signed();
        let time = self.blocking(move |service| {
            let first = service.reader.bounds(&topic, queue_id).min_offset;
            service.reader.store_time(&topic, queue_id, first).map_err(not_read)
        });
        let timestamp_ms = time.await?.unwrap_or(-1);
        Ok(done().with_ext(StoreTimeResponseHeader { timestamp_ms }.to_ext()))
    }

    /// VIEW_MESSAGE_BY_ID (33).
    pub(crate) async fn view_message(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let offset = ViewMessageHeader::from_ext(&asked.ext)?.offset;
        let record = self.record_at(offset).await?;
        let record = record.ok_or_else(|| {
            Refused::system(format!("can not find message by the offset, {offset}"))
        })?;
        Ok(done().with_body(record))
    }

    /// The record at a physical offset, if a message begins there.
    pub(crate) async fn record_at(
        self: &Arc<Self>,
        physical_offset: i64,
    ) -> Result<Option<Bytes>, Refused> {
        self.blocking(move |service| service.reader.message_at(physical_offset).map_err(not_read))
            .await
    }

    /// QUERY_MESSAGE (12): by key.
    pub(crate) async fn query_message(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let header = QueryMessageHeader::from_ext(&asked.ext)?;
        let QueryMessageHeader {
            topic, key, max_num, begin_timestamp_ms, end_timestamp_ms, ..
        } = header;
        let max = match header.unique_key {
            true => QUERY_MAX,
            false => (max_num as usize).min(QUERY_MAX),
        };
        let found = self.blocking(move |service| {
            let found =
                service.reader.by_key(&topic, &key, max, begin_timestamp_ms, end_timestamp_ms);
            found.map_err(not_read)
        });
        let found = found.await?;
        if found.is_empty() {
            let text = "can not find message, maybe time range not correct";
            return Err(Refused::new(response::QUERY_NOT_FOUND, text));
        }
        let header = QueryMessageResponseHeader {
            index_last_update_timestamp_ms: now_ms(),
            index_last_update_physical_offset: self.reader.stats().log_end.cast_signed(),
        };
        Ok(done().with_ext(header.to_ext()).with_body(joined(found)))
    }
}

fn offset_answer(offset: i64) -> RemotingCommand {
    done().with_ext(OffsetResponseHeader { offset }.to_ext())
}
