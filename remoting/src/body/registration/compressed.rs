//! Compressed registrations: a zlib stream of
//!
//! ```text
//! i32 n, n bytes          the data version, JSON
//! i32 count               topics, each i32 n, n bytes:
//!                           name readQueueNums writeQueueNums perm topicFilterType[ attributes]
//! i32 n, n bytes          the filter servers, a JSON list
//! i32 count               from version 413 on: mappings, each i32 n, n bytes of JSON
//! ```
//!
//! Integers are big-endian. `topicSysFlag` and `order` have no place in it.
//! Source: RocketMQ `RegisterBrokerBody.encode` and `decode`, `TopicConfig.encode`.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::RegisterBody;
use crate::body::json::{self, Allowance};
use crate::body::{
    Attributes, BodyError, DataVersion, FILTER_SERVERS_MAX, MAPPING_VERSION, TOPICS_MAX, Table,
    TopicConfig, TopicFilterType, TopicQueueMappingInfo,
};

/// Bytes of every length and count.
const WORD_BYTES: usize = 4;

/// Reads a compressed registration; with mappings if the sender's version has them.
pub(super) fn decode(
    body: &[u8],
    mapped: bool,
    inflated_bytes_max: usize,
) -> Result<RegisterBody, BodyError> {
    let inflated = inflate(body, inflated_bytes_max)?;
    let allowance = Allowance::of(inflated.len());
    allowance.take(inflated.len()).map_err(json::refused)?;
    let mut rest = Rest(&inflated);
    let data_version = rest.counted("the data version")?;
    let data_version = json::read_within(data_version, &allowance, |text| json::scalar(text))?;
    let (count, mut topics) = room_for(rest.count("topics")?, &allowance)?;
    for _ in 0..count {
        topics.push(topic(rest.counted("a topic")?, &allowance)?);
    }
    let filter_servers = filter_servers(rest.counted("the filter servers")?, &allowance)?;
    let mut mapping_infos = Vec::new();
    if mapped {
        let (count, room) = room_for(rest.count("mappings")?, &allowance)?;
        mapping_infos = room;
        for _ in 0..count {
            let info = json::read_within(rest.counted("a mapping")?, &allowance, |text| {
                TopicQueueMappingInfo::read(text, &allowance)
            })?;
            allowance.take(info.topic.len()).map_err(json::refused)?;
            mapping_infos.push((info.topic.clone(), info));
        }
    }
    // What follows is left alone: a 5.x body that is marked 4.x still has its mappings there.
    Ok(RegisterBody {
        topics: Table::of_listed(topics),
        data_version,
        filter_servers,
        mapping_infos: Table::of_listed(mapping_infos),
        mapping_data_version: DataVersion::default(),
    })
}

fn inflate(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    // One byte more than allowed tells a body that is too large from one that just fits.
    let readable = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut inflated = Vec::new();
    // While it grows by doubling, three times its bytes are there.
    ZlibDecoder::new(body)
        .take(readable)
        .read_to_end(&mut inflated)
        .map_err(|error| BodyError::Zlib(error.to_string()))?;
    if inflated.len() > max_bytes {
        return Err(BodyError::TooLarge { limit: max_bytes });
    }
    inflated.shrink_to_fit();
    Ok(inflated)
}

/// For so many entries as there are said to be, if their bytes may be taken.
fn room_for<V>(
    count: usize,
    allowance: &Allowance,
) -> Result<(usize, Vec<(String, V)>), BodyError> {
    allowance.take_all(count, Table::<String, V>::ENTRY_BYTES).map_err(json::refused)?;
    Ok((count, Vec::with_capacity(count)))
}

/// What has not been read yet of the inflated bytes.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn word(&mut self, what: &str) -> Result<usize, BodyError> {
        let Some((word, rest)) = self.0.split_first_chunk::<WORD_BYTES>() else {
            return Err(BodyError::Layout(format!("it ends where the length of {what} should be")));
        };
        self.0 = rest;
        let number = i32::from_be_bytes(*word);
        usize::try_from(number)
            .map_err(|_| BodyError::Layout(format!("the length of {what} is {number}")))
    }

    /// As many bytes as the word before them says.
    fn counted(&mut self, what: &str) -> Result<&'a [u8], BodyError> {
        let length = self.word(what)?;
        let Some((bytes, rest)) = self.0.split_at_checked(length) else {
            let there = self.0.len();
            let text = format!("{what} should have {length} bytes, and {there} are left");
            return Err(BodyError::Layout(text));
        };
        self.0 = rest;
        Ok(bytes)
    }

    /// A number of entries that the bytes left can really hold.
    fn count(&mut self, what: &str) -> Result<usize, BodyError> {
        let count = self.word(what)?;
        if count > TOPICS_MAX.min(self.0.len() / WORD_BYTES) {
            let there = self.0.len();
            let text = format!("{count} {what} are said to be in {there} bytes");
            return Err(BodyError::Layout(text));
        }
        Ok(count)
    }
}

/// One line. The attributes may hold spaces, so only the first five divide it.
fn topic(line: &[u8], allowance: &Allowance) -> Result<(String, TopicConfig), BodyError> {
    let wrong = |what: &str| {
        let shown: String = String::from_utf8_lossy(line).chars().take(160).collect();
        BodyError::Layout(format!("the topic line {shown:?} {what}"))
    };
    let text = std::str::from_utf8(line).map_err(|_| wrong("is not UTF-8"))?;
    let mut parts = text.splitn(6, ' ');
    let mut next = || parts.next().ok_or_else(|| wrong("has fewer than five parts"));
    let name = next()?;
    let mut number = || next()?.parse().map_err(|_| wrong("has no number where one should be"));
    let (read_queue_nums, write_queue_nums, perm) = (number()?, number()?, number()?);
    let topic_filter_type =
        TopicFilterType::from_name(next()?).ok_or_else(|| wrong("has an unknown filter type"))?;
    if name.is_empty() {
        return Err(wrong("has no name"));
    }
    let attributes = parts.next().map(Attributes::from_json).unwrap_or_default();
    allowance.take(name.len() + attributes.bytes()).map_err(json::refused)?;
    let config = TopicConfig {
        read_queue_nums,
        write_queue_nums,
        perm,
        topic_filter_type,
        attributes,
        ..TopicConfig::default()
    };
    Ok((name.to_owned(), config))
}

fn filter_servers(servers: &[u8], allowance: &Allowance) -> Result<Option<Vec<String>>, BodyError> {
    json::read_any_within(servers, allowance, |text| {
        json::list(Some(text), FILTER_SERVERS_MAX, allowance, json::scalar)
    })
}

/// Writes what a broker of this version sends.
pub(super) fn encode(body: &RegisterBody, version: i32) -> Vec<u8> {
    let mapped = version >= MAPPING_VERSION;
    let mut plain = Vec::new();
    put(&mut plain, &body.data_version.to_json(version));
    put_word(&mut plain, body.topics.len());
    for (name, config) in body.topics.iter() {
        let TopicConfig { read_queue_nums, write_queue_nums, perm, .. } = config;
        let kind = config.topic_filter_type.name();
        let mut line = format!("{name} {read_queue_nums} {write_queue_nums} {perm} {kind}");
        if mapped {
            line.push(' ');
            line.push_str(config.attributes.as_json());
        }
        put(&mut plain, line.as_bytes());
    }
    put(&mut plain, &json::standard(&body.filter_servers));
    if mapped {
        put_word(&mut plain, body.mapping_infos.len());
        for info in body.mapping_infos.values() {
            put(&mut plain, &json::legacy(info));
        }
    }
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&plain)
        .and_then(|()| zlib.finish())
        .expect("compressing into memory does not fail")
}

fn put(plain: &mut Vec<u8>, bytes: &[u8]) {
    put_word(plain, bytes.len());
    plain.extend_from_slice(bytes);
}

fn put_word(plain: &mut Vec<u8>, number: usize) {
    let word = i32::try_from(number).expect("no part of a registration has 2 GiB");
    plain.extend_from_slice(&word.to_be_bytes());
}
