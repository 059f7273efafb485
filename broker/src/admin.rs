//! What operators ask: topics (17, 202, 215, 300, 351), groups (200, 201, 203, 204, 207, 208, 352)
//! and the broker itself (28). Source: RocketMQ `AdminBrokerProcessor`.

use std::collections::BTreeMap;
use std::sync::Arc;

use signpost_client::types::TopicConfig;
use signpost_remoting::body::consumers::{GroupList, ProducerConnections};
use signpost_remoting::body::group::all_groups;
use signpost_remoting::body::stats::{Progress, QueueOffsets, consume_stats, topic_stats};
use signpost_remoting::body::{self, DataVersion, KvTable, QueueRef, SubscriptionGroup};
use signpost_remoting::broker::{
    ConsumerGroupHeader, CreateTopicHeader, DeleteGroupHeader, GetGroupHeader, ProducerGroupHeader,
    TopicHeader,
};
use signpost_remoting::{RemotingCommand, response};

use crate::pull::not_read;
use crate::refused::{Answer, Refused, done};
use crate::service::{Service, now_ms};
use crate::topics::{self, QUEUES_MAX};

impl Service {
    /// UPDATE_AND_CREATE_TOPIC (17).
    pub(crate) async fn create_topic(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let header = CreateTopicHeader::from_ext(&asked.ext)?;
        self.check_changeable(&header.topic)?;
        for (name, queues) in
            [("readQueueNums", header.read_queue_nums), ("writeQueueNums", header.write_queue_nums)]
        {
            if !(1..=QUEUES_MAX).contains(&queues) {
                let text = format!("{name} must be from 1 to {QUEUES_MAX}, got {queues}");
                return Err(Refused::system(text));
            }
        }
        if header.perm > 7 {
            let text =
                format!("perm must be made of 4 (read), 2 (write) and 1, got {}", header.perm);
            return Err(Refused::system(text));
        }
        let topic = TopicConfig {
            read_queue_nums: header.read_queue_nums,
            write_queue_nums: header.write_queue_nums,
            perm: header.perm,
            topic_sys_flag: header.topic_sys_flag.unsigned_abs(),
            order: header.order,
        };
        let decide = |table: &topics::TopicTable| {
            Ok((table.topics.get(&header.topic) != Some(&topic)).then(|| topic.clone()))
        };
        self.topics.change(&header.topic, now_ms(), decide).await?;
        Ok(done())
    }

    /// DELETE_TOPIC_IN_BROKER (215). The name cluster is told; the messages are gone, and groups
    /// begin anew in a topic that is made under that name later.
    pub(crate) async fn delete_topic(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let name = TopicHeader::from_ext(&asked.ext)?.topic;
        self.check_changeable(&name)?;
        self.topics.remove(&name, now_ms()).await?;
        self.offsets.forget(|topic, _| topic == name);
        self.offsets.flushed().await?;
        self.store.delete_topic(&name).await?;
        self.held.wake(&name, None);
        Ok(done())
    }

    fn check_changeable(&self, topic: &str) -> Result<(), Refused> {
        topics::check_name(topic)
            .map_err(|problem| Refused::system(format!("The specified topic {problem}")))?;
        match topics::is_system(topic, &self.config) {
            true => {
                let text = format!("The topic[{topic}] is conflict with system topic.");
                Err(Refused::system(text))
            }
            false => Ok(()),
        }
    }

    /// GET_TOPIC_CONFIG (351).
    pub(crate) fn topic_config(&self, asked: &RemotingCommand) -> Answer {
        let name = TopicHeader::from_ext(&asked.ext)?.topic;
        let topic = self.topics.get(&name).ok_or_else(|| {
            let text = format!("No topic in this broker. topic: {name}");
            Refused::new(response::TOPIC_NOT_EXIST, text)
        })?;
        let shown = serde_json::json!({
            "attributes": {},
            "order": topic.order,
            "perm": topic.perm,
            "readQueueNums": topic.read_queue_nums,
            "topicFilterType": "SINGLE_TAG",
            "topicName": name,
            "topicSysFlag": topic.topic_sys_flag,
            "writeQueueNums": topic.write_queue_nums,
        });
        Ok(done().with_body(body::json::standard(&shown)))
    }

    /// GET_TOPIC_STATS_INFO (202).
    pub(crate) async fn topic_stats(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let name = TopicHeader::from_ext(&asked.ext)?.topic;
        let topic = self.readable(&name, None)?;
        let queues = topic.read_queue_nums.max(topic.write_queue_nums).cast_signed();
        let table = self.blocking(move |service| {
            let mut table = BTreeMap::new();
            for queue_id in 0..queues {
                let bounds = service.reader.bounds(&name, queue_id);
                let last = service.reader.store_time(&name, queue_id, bounds.max_offset - 1);
                let offsets = QueueOffsets {
                    last_update_timestamp: last.map_err(not_read)?.unwrap_or_default(),
                    max_offset: bounds.max_offset,
                    min_offset: bounds.min_offset,
                };
                table.insert(service.queue(&name, queue_id), offsets);
            }
            Ok(table)
        });
        Ok(done().with_body(topic_stats(&table.await?)))
    }

    fn queue(&self, topic: &str, queue_id: i32) -> QueueRef {
        QueueRef { broker_name: self.config.name.clone(), queue_id, topic: topic.to_owned() }
    }

    /// QUERY_TOPIC_CONSUME_BY_WHO (300).
    pub(crate) fn groups_of_topic(&self, asked: &RemotingCommand) -> Answer {
        let topic = TopicHeader::from_ext(&asked.ext)?.topic;
        let mut groups = self.clients().groups_of(&topic);
        groups.extend(self.offsets.groups_of(&topic));
        let list = GroupList { group_list: groups.into_iter().collect() };
        Ok(done().with_body(list.to_json()))
    }

    /// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200).
    pub(crate) async fn update_group(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        self.groups.set(SubscriptionGroup::from_json(&asked.body)?, now_ms()).await?;
        Ok(done())
    }

    /// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
    pub(crate) fn all_groups(&self) -> Answer {
        let table = self.groups.table();
        let version = DataVersion {
            state_version: table.data_version.state_version,
            counter: table.data_version.counter,
            timestamp_ms: table.data_version.timestamp,
        };
        Ok(done().with_body(all_groups(&table.groups, version)))
    }

    /// GET_SUBSCRIPTIONGROUP_CONFIG (352).
    pub(crate) fn group_config(&self, asked: &RemotingCommand) -> Answer {
        let name = GetGroupHeader::from_ext(&asked.ext)?.group;
        let table = self.groups.table();
        let group = table.groups.get(&name).ok_or_else(|| {
            let text = format!("No group in this broker. group: {name}");
            Refused::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, text)
        })?;
        Ok(done().with_body(group.to_json()))
    }

    /// DELETE_SUBSCRIPTIONGROUP (207).
    pub(crate) async fn delete_group(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let header = DeleteGroupHeader::from_ext(&asked.ext)?;
        self.groups.remove(&header.group_name, now_ms()).await?;
        if header.clean_offset {
            self.offsets.forget(|_, group| group == header.group_name);
            self.offsets.flushed().await?;
        }
        Ok(done())
    }

    /// GET_CONSUMER_CONNECTION_LIST (203).
    pub(crate) fn consumer_connections(&self, asked: &RemotingCommand) -> Answer {
        let group = ConsumerGroupHeader::from_ext(&asked.ext)?.consumer_group;
        let connections = self.clients().connections(&group).ok_or_else(|| {
            let text = format!("the consumer group[{group}] not online");
            Refused::new(response::CONSUMER_NOT_ONLINE, text)
        })?;
        Ok(done().with_body(connections.to_json()))
    }

    /// GET_PRODUCER_CONNECTION_LIST (204).
    pub(crate) fn producer_connections(&self, asked: &RemotingCommand) -> Answer {
        let group = ProducerGroupHeader::from_ext(&asked.ext)?.producer_group;
        let connection_set = self
            .clients()
            .producers(&group)
            .ok_or_else(|| Refused::system(format!("the producer group[{group}] not exist")))?;
        Ok(done().with_body(ProducerConnections { connection_set }.to_json()))
    }

    /// GET_CONSUME_STATS (208): the topics in which the group has an offset, or the one that is
    /// named.
    pub(crate) async fn consume_stats(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        let header = ConsumerGroupHeader::from_ext(&asked.ext)?;
        let offsets = self.offsets.of_group(&header.consumer_group);
        let named = header.topic.filter(|topic| !topic.is_empty());
        let names: Vec<String> = match named {
            Some(topic) => vec![topic],
            None => offsets.keys().cloned().collect(),
        };
        let table = self.blocking(move |service| {
            let mut table = BTreeMap::new();
            for name in names {
                let Some(topic) = service.topics.get(&name) else { continue };
                for queue_id in 0..topic.read_queue_nums.cast_signed() {
                    let offset = offsets.get(&name).and_then(|queues| queues.get(&queue_id));
                    let consumer_offset = offset.copied().unwrap_or_default();
                    let last = service.reader.store_time(&name, queue_id, consumer_offset - 1);
                    let progress = Progress {
                        broker_offset: service.reader.bounds(&name, queue_id).max_offset,
                        consumer_offset,
                        last_timestamp: last.map_err(not_read)?.unwrap_or_default(),
                        pull_offset: consumer_offset,
                    };
                    table.insert(service.queue(&name, queue_id), progress);
                }
            }
            Ok(table)
        });
        Ok(done().with_body(consume_stats(&table.await?)))
    }

    /// GET_BROKER_RUNTIME_INFO (28): what `mqadmin clusterList` and `brokerStatus` show.
    pub(crate) async fn runtime_info(self: Arc<Self>) -> Answer {
        let earliest = self.blocking(|service| {
            let earliest = service.reader.earliest_store_time().map_err(not_read)?;
            Ok((earliest, service.reader.stats()))
        });
        let (earliest_ms, stats) = earliest.await?;
        let rates = self.metrics.rates(now_ms());
        let (put, got) = (self.metrics.messages_put(), self.metrics.messages_got());
        let zero = || "0".to_owned();
        // RocketMQ shows three figures: of the last 10 s, minute and ten minutes.
        let three = |rate: f64| format!("{rate:.2} {rate:.2} {rate:.2}");
        let table: BTreeMap<&str, String> = BTreeMap::from([
            ("brokerActive", true.to_string()),
            ("brokerVersionDesc", concat!("SIGNPOST_", env!("CARGO_PKG_VERSION")).to_owned()),
            ("bootTimestamp", self.metrics.started_ms().to_string()),
            ("putTps", three(rates.put)),
            // The first name is what 4.9's tools read, the second 5.x's.
            ("getTransferedTps", three(rates.got)),
            ("getTransferredTps", three(rates.got)),
            ("getTotalTps", three(rates.got)),
            ("sendThreadPoolQueueSize", zero()),
            ("sendThreadPoolQueueHeadWaitTimeMills", zero()),
            ("pullThreadPoolQueueSize", self.reads.inside().to_string()),
            ("pullThreadPoolQueueCapacity", self.config.max_pending_reads.to_string()),
            ("pullThreadPoolQueueHeadWaitTimeMills", zero()),
            ("heldPulls", self.held.count().to_string()),
            ("pageCacheLockTimeMills", zero()),
            ("earliestMessageTimeStamp", earliest_ms.unwrap_or(-1).to_string()),
            ("commitLogDiskRatio", format!("{:.4}", stats.disk_used_ratio)),
            ("commitLogMinOffset", stats.log_start.to_string()),
            ("commitLogMaxOffset", stats.log_end.to_string()),
            // Nothing is acknowledged, or counted here, before it can be read.
            ("dispatchBehindBytes", zero()),
            ("remainHowManyDataToFlush", format!("{} B", stats.unsynced_bytes)),
            // Of today and yesterday there is nothing to tell but since when the broker runs.
            ("msgPutTotalYesterdayMorning", zero()),
            ("msgPutTotalTodayMorning", zero()),
            ("msgPutTotalTodayNow", put.to_string()),
            ("msgGetTotalYesterdayMorning", zero()),
            ("msgGetTotalTodayMorning", zero()),
            ("msgGetTotalTodayNow", got.to_string()),
        ]);
        let table = table.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Ok(done().with_body(KvTable { table }.to_json()))
    }
}
