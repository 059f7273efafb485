//! The tables as a list of bounded sections, and back.
//!
//! A section is a list of records, each with its length before it. The first record names the
//! format and the digest, which restoring recomputes: a snapshot that lost a row is refused.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use signpost_raft::codec;
use signpost_raft::machine::{Index, Section};
use signpost_raft::planted::{Bug, planted};

use super::command::BrokerKey;
use super::deletions::{DELETIONS_MAX, Deletions};
use super::row::{Name, Registration, Row, TopicRow};
use super::tables::RouteTables;

/// A section is closed before it grows past this. A larger record gets one of its own.
const SECTION_BYTES: usize = 48 * 1024;

/// The largest section that restoring accepts (see `signpost_raft::machine::Machine::freeze`).
const SECTION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Topics in one content record; with RocketMQ's longest topic names it still fits a section.
const CONTENT_TOPICS: usize = 128;

/// The format that this build writes and reads.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
enum Record {
    Head {
        format: u32,
        digest: u128,
    },
    Row(Row),
    /// A part of what a live broker last registered. Follows its `Row::Live`.
    Content {
        key: Arc<BrokerKey>,
        topics: Vec<(Name, u64)>,
    },
}

impl RouteTables {
    /// All sections, made one at a time as they are asked for. Nothing that is applied meanwhile
    /// shows in them.
    pub fn sections(&self) -> impl Iterator<Item = Section> + Send + use<> {
        let head = Record::Head { format: FORMAT, digest: self.digest() };
        let records = self.clone().into_rows().flat_map(|row| {
            let content = match &row {
                Row::Live(live) => Some(content_records(live)),
                _ => None,
            };
            std::iter::once(Record::Row(row)).chain(content.into_iter().flatten())
        });
        Sections { records: std::iter::once(head).chain(records), held: None }
    }

    /// Replaces the tables by those that `sections` describe, as of log index `index`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with them. The tables are then as they were.
    pub fn restore(
        &mut self,
        index: Index,
        sections: &mut dyn Iterator<Item = Section>,
    ) -> Result<(), String> {
        let mut restored = Self::with_fences_max(self.fences.max());
        restored.deletions = Deletions::new(index, DELETIONS_MAX);
        restored.changes = self.changes.clone();
        let mut head = None;
        for (number, section) in sections.enumerate() {
            restored
                .load_section(&section, &mut head)
                .map_err(|error| format!("section {number} of the route tables: {error}"))?;
        }
        restored.digest = head.ok_or("the route tables have no head record")?;
        restored.names = restored.derive_names();
        restored.check().map_err(|error| format!("the route tables were damaged: {error}"))?;
        if planted(Bug::SnapshotDropsEpoch) {
            let forgotten = restored.live.iter().map(|(key, live)| {
                (key.clone(), Arc::new(Registration { epoch: 0, ..Registration::clone(live) }))
            });
            restored.live = forgotten.collect();
        }
        restored.changes.everything = true;
        *self = restored;
        Ok(())
    }

    fn load_section(&mut self, section: &[u8], head: &mut Option<u128>) -> Result<(), String> {
        if section.len() > SECTION_BYTES_MAX {
            return Err(format!("{} bytes, more than {SECTION_BYTES_MAX}", section.len()));
        }
        let mut rest = section;
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<4>().ok_or("cut within a length")?;
            let length = u32::from_le_bytes(*length) as usize;
            let (bytes, after) = after.split_at_checked(length).ok_or("cut within a record")?;
            rest = after;
            match codec::decode(bytes).map_err(|error| error.to_string())? {
                Record::Head { format: FORMAT, digest } if head.is_none() => *head = Some(digest),
                Record::Head { format: FORMAT, .. } => return Err("a second head record".into()),
                Record::Head { format, .. } => {
                    return Err(format!("format {format}; this build reads {FORMAT}: upgrade it"));
                }
                _ if head.is_none() => return Err("a row before the head record".into()),
                Record::Row(row) => self.load_row(row)?,
                Record::Content { key, topics } => self.load_content(&key, topics)?,
            }
        }
        Ok(())
    }

    /// Puts one row in its place; `check` finds what does not fit together.
    fn load_row(&mut self, row: Row) -> Result<(), String> {
        let is_second = match row {
            Row::ClusterVersion(version) => {
                self.cluster_version = version;
                false
            }
            Row::Topic { topic, modified, order_conf_modified } => {
                let row = TopicRow { queues: Vec::new(), modified, order_conf_modified };
                self.topics.insert(topic, Arc::new(row)).is_some()
            }
            Row::Queue { topic, broker, row } => {
                let broker = self.name(&broker);
                self.names.entry(broker.clone()).or_default();
                let topic = self.topics.get_mut(&topic).ok_or("queues before their topic")?;
                Arc::make_mut(topic).queues.push((broker, row));
                false
            }
            Row::Broker { name, row } => self.brokers.insert(self.name(&name), row).is_some(),
            Row::ClusterMember { cluster, broker } => {
                let broker = self.name(&broker);
                self.clusters.entry(cluster).or_default().insert(broker).is_some()
            }
            Row::Live(live) => self.live.insert(live.key.clone(), live).is_some(),
            Row::FilterServers { key, servers } => {
                self.filter_servers.insert(key, servers).is_some()
            }
            Row::KvNamespace(namespace) => self.kv.insert(namespace, imbl::OrdMap::new()).is_some(),
            Row::Kv { namespace, key, row } => {
                let rows = self.kv.get_mut(&namespace).ok_or("a key before its namespace")?;
                rows.insert(key, row).is_some()
            }
            Row::Fence { key, fence } => {
                let is_second = self.fence(&key).is_some();
                self.fences.set(key, fence);
                is_second
            }
        };
        if is_second { Err("a row that was there already".into()) } else { Ok(()) }
    }

    fn load_content(&mut self, key: &BrokerKey, topics: Vec<(Name, u64)>) -> Result<(), String> {
        let interned: Vec<(Name, u64)> =
            topics.into_iter().map(|(topic, hash)| (self.topic_name(&topic), hash)).collect();
        let live = self.live.get_mut(key).ok_or("content before its registration")?;
        let live = Arc::make_mut(live);
        for (topic, hash) in interned {
            live.content.set(topic, hash);
        }
        Ok(())
    }
}

fn content_records(live: &Arc<Registration>) -> impl Iterator<Item = Record> + Send + use<> {
    let key = live.key.clone();
    let mut topics = live.content.clone().into_rows();
    std::iter::from_fn(move || {
        let part: Vec<(Name, u64)> = topics.by_ref().take(CONTENT_TOPICS).collect();
        (!part.is_empty()).then(|| Record::Content { key: key.clone(), topics: part })
    })
}

/// Packs records into sections.
struct Sections<I> {
    records: I,
    /// A record that did not fit the section before.
    held: Option<Vec<u8>>,
}

impl<I: Iterator<Item = Record>> Iterator for Sections<I> {
    type Item = Section;

    fn next(&mut self) -> Option<Section> {
        let mut section = self.held.take().unwrap_or_default();
        for record in self.records.by_ref() {
            let bytes = codec::encode(&record)
                .expect("a record is smaller than the log record that carried its values");
            let length = u32::try_from(bytes.len()).expect("records are far below 4 GiB");
            let mut framed = length.to_le_bytes().to_vec();
            framed.extend_from_slice(&bytes);
            if !section.is_empty() && section.len() + framed.len() > SECTION_BYTES {
                self.held = Some(framed);
                return Some(section);
            }
            section.extend_from_slice(&framed);
        }
        (!section.is_empty()).then_some(section)
    }
}
