//! What the broker has done, for operators: counters as messages pass, gauges when somebody asks.
//! The names are RocketMQ 5's (`BrokerMetricsConstant`, `DefaultStoreMetricsConstant`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::service::{Service, now_ms};
use crate::topics::{self, RETRY_PREFIX};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct In {
    topic: String,
    is_system: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Out {
    topic: String,
    consumer_group: String,
    is_retry: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Group {
    consumer_group: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lag {
    topic: String,
    consumer_group: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Processor {
    processor: &'static str,
}

/// Messages a second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    /// Stored.
    pub(crate) put: f64,
    /// Handed out.
    pub(crate) got: f64,
}

/// Counts at a time, from which rates are made.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    at_ms: i64,
    put: u64,
    got: u64,
    rates: Rates,
}

/// Rates are of at least this long.
const RATE_MS: i64 = 1_000;

/// The broker's metrics, and the registry that all are encoded from.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    started_ms: i64,
    put: AtomicU64,
    got: AtomicU64,
    sample: Mutex<Sample>,
    messages_in: Family<In, Counter>,
    bytes_in: Family<In, Counter>,
    messages_out: Family<Out, Counter>,
    bytes_out: Family<Out, Counter>,
    dead_letters: Family<Group, Counter>,
    lag: Family<Lag, Gauge>,
    watermark: Family<Processor, Gauge>,
    consumers: Family<Group, Gauge>,
    producers: Gauge,
    permission: Gauge,
    topics: Gauge,
    groups: Gauge,
    storage_bytes: Gauge,
    flush_behind_bytes: Gauge,
    message_reserve_ms: Gauge,
}

impl Metrics {
    /// Metrics of a broker of this cluster and name, started then.
    pub(crate) fn new(cluster: &str, name: &str, started_ms: i64) -> Self {
        let labels = [("cluster", cluster), ("node_type", "broker"), ("node_id", name)];
        let labels = labels.map(|(name, value)| (name.into(), value.to_owned().into()));
        let registry = Registry::with_prefix_and_labels("rocketmq", labels.into_iter());
        let mut metrics = Self {
            registry,
            started_ms,
            put: AtomicU64::new(0),
            got: AtomicU64::new(0),
            sample: Mutex::new(Sample { at_ms: started_ms, ..Sample::default() }),
            messages_in: Family::default(),
            bytes_in: Family::default(),
            messages_out: Family::default(),
            bytes_out: Family::default(),
            dead_letters: Family::default(),
            lag: Family::default(),
            watermark: Family::default(),
            consumers: Family::default(),
            producers: Gauge::default(),
            permission: Gauge::default(),
            topics: Gauge::default(),
            groups: Gauge::default(),
            storage_bytes: Gauge::default(),
            flush_behind_bytes: Gauge::default(),
            message_reserve_ms: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register("messages_in", "Messages stored", self.messages_in.clone());
        registry.register("throughput_in", "Bytes of their bodies", self.bytes_in.clone());
        registry.register("messages_out", "Messages handed out", self.messages_out.clone());
        registry.register("throughput_out", "Bytes of their records", self.bytes_out.clone());
        let help = "Messages that a group could not consume";
        registry.register("send_to_dlq_messages", help, self.dead_letters.clone());
        let help = "Messages that a group has yet to consume";
        registry.register("consumer_lag_messages", help, self.lag.clone());
        let help = "Requests inside or waiting for their turn; held pulls";
        registry.register("processor_watermark", help, self.watermark.clone());
        registry.register("consumer_connections", "Members of a group", self.consumers.clone());
        registry.register("producer_connections", "Producers", self.producers.clone());
        registry.register("broker_permission", "4 read, 2 write", self.permission.clone());
        registry.register("topic_number", "Topics", self.topics.clone());
        registry.register("consumer_group_number", "Consumer groups", self.groups.clone());
        registry.register("storage_size", "Bytes of the commit log", self.storage_bytes.clone());
        let help = "Bytes of the commit log that are not synced yet";
        registry.register("storage_flush_behind_bytes", help, self.flush_behind_bytes.clone());
        let help = "Age of the oldest message, in ms";
        registry.register("storage_message_reserve_time", help, self.message_reserve_ms.clone());
    }

    /// Messages for a topic have been stored.
    pub(crate) fn stored(&self, topic: &str, messages: usize, bytes: usize) {
        self.put.fetch_add(messages as u64, Ordering::Relaxed);
        let is_system = if topics::is_forbidden(topic) { "true" } else { "false" };
        let labels = In { topic: topic.to_owned(), is_system };
        self.messages_in.get_or_create(&labels).inc_by(messages as u64);
        self.bytes_in.get_or_create(&labels).inc_by(bytes as u64);
    }

    /// Messages of a topic have been handed to a group.
    pub(crate) fn pulled(&self, topic: &str, group: &str, records: &[Bytes]) {
        if records.is_empty() {
            return;
        }
        self.got.fetch_add(records.len() as u64, Ordering::Relaxed);
        let is_retry = if topic.starts_with(RETRY_PREFIX) { "true" } else { "false" };
        let (topic, consumer_group) = (topic.to_owned(), group.to_owned());
        let labels = Out { topic, consumer_group, is_retry };
        let bytes: usize = records.iter().map(Bytes::len).sum();
        self.messages_out.get_or_create(&labels).inc_by(records.len() as u64);
        self.bytes_out.get_or_create(&labels).inc_by(bytes as u64);
    }

    /// A message has become a dead letter of a group.
    pub(crate) fn dead_letter(&self, group: &str) {
        self.dead_letters.get_or_create(&Group { consumer_group: group.to_owned() }).inc();
    }

    /// When the broker started, in ms since 1970.
    pub(crate) fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// Messages stored since the start.
    pub(crate) fn messages_put(&self) -> u64 {
        self.put.load(Ordering::Relaxed)
    }

    /// Messages handed out since the start.
    pub(crate) fn messages_got(&self) -> u64 {
        self.got.load(Ordering::Relaxed)
    }

    /// Messages a second since somebody asked last; the same ones to who asks within a second.
    pub(crate) fn rates(&self, now_ms: i64) -> Rates {
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed_ms = now_ms - sample.at_ms;
        if elapsed_ms >= RATE_MS {
            let (put, got) = (self.messages_put(), self.messages_got());
            let rate = |now: u64, then: u64| (now - then) as f64 * 1000.0 / elapsed_ms as f64;
            let rates = Rates { put: rate(put, sample.put), got: rate(got, sample.got) };
            *sample = Sample { at_ms: now_ms, put, got, rates };
        }
        sample.rates
    }
}

impl Service {
    /// All metrics as OpenMetrics text. Reads queues' ends.
    pub(crate) fn exposition(&self) -> Result<String, std::fmt::Error> {
        let metrics = &self.metrics;
        let gauge = |gauge: &Gauge, number: u64| gauge.set(number.cast_signed());
        {
            let clients = self.clients();
            let (producers, consumers) = clients.counts();
            gauge(&metrics.producers, producers as u64);
            metrics.consumers.clear();
            for (group, members) in consumers {
                let labels = Group { consumer_group: group.to_owned() };
                gauge(&metrics.consumers.get_or_create(&labels), members as u64);
            }
        }
        for (processor, number) in [("pull", self.reads.inside()), ("held_pull", self.held.count())]
        {
            gauge(&metrics.watermark.get_or_create(&Processor { processor }), number as u64);
        }
        metrics.permission.set(if self.may_store().is_ok() { 6 } else { 4 });
        gauge(&metrics.topics, self.topics.table().topics.len() as u64);
        gauge(&metrics.groups, self.groups.table().groups.len() as u64);
        let stats = self.reader.stats();
        gauge(&metrics.storage_bytes, stats.log_end - stats.log_start);
        gauge(&metrics.flush_behind_bytes, stats.unsynced_bytes);
        let earliest = self.reader.earliest_store_time().ok().flatten();
        let reserved_ms = earliest.map_or(0, |earliest| (now_ms() - earliest).max(0));
        metrics.message_reserve_ms.set(reserved_ms);
        metrics.lag.clear();
        for (topic, consumer_group, queues) in self.offsets.all() {
            let lag = queues.iter().map(|(queue_id, offset)| {
                (self.reader.bounds(&topic, *queue_id).max_offset - offset).max(0)
            });
            let lag = lag.sum();
            metrics.lag.get_or_create(&Lag { topic, consumer_group }).set(lag);
        }
        let mut text = String::new();
        text::encode(&mut text, &metrics.registry)?;
        Ok(text)
    }
}
