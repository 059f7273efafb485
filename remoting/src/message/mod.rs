//! The stored message: one record of the commit log, and what a pull answers as it lies there.
//!
//! ```text
//! totalSize i32 | magic i32 | bodyCRC i32 | queueId i32 | flag i32 | queueOffset i64 |
//! physicalOffset i64 | sysFlag i32 | bornTimestamp i64 | bornHost | storeTimestamp i64 |
//! storeHost | reconsumeTimes i32 | preparedTransactionOffset i64 | body (i32 length) |
//! topic (u8 length) | properties (i16 length)
//! ```
//! A host is its IPv4 (4 bytes) or IPv6 address (16), as a bit of sysFlag says, and its port in
//! four bytes. Source: RocketMQ `MessageDecoder`, `CommitLog`.

pub mod batch;
pub mod id;
pub mod properties;
pub mod sys_flag;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Magic number of a record whose topic length takes one byte; the only one that we write.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic number of a record whose topic length takes two bytes (RocketMQ 5.1 and later).
pub const MAGIC_V2: u32 = 0xDAA3_20AB;

/// Longest topic of a [`MAGIC_V1`] record: its length is a signed byte to Java.
pub const MAX_TOPIC_BYTES: usize = 127;
/// Longest properties: their length is a signed 16-bit integer.
pub const MAX_PROPERTIES_BYTES: usize = 32_767;
/// Bytes of a record with IPv4 hosts besides body, topic and properties.
pub const FIXED_BYTES: usize = 91;
/// What each IPv6 host adds to [`FIXED_BYTES`].
const IPV6_EXTRA_BYTES: usize = 12;

/// A message as a broker stores it and a consumer receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Queue of the topic.
    pub queue_id: i32,
    /// The application's own flag.
    pub flag: i32,
    /// Position in the queue, from 0.
    pub queue_offset: i64,
    /// Position of the record in the commit log, in bytes.
    pub physical_offset: i64,
    /// See [`sys_flag`]; the two address bits are set from the hosts when written.
    pub sys_flag: i32,
    /// When the producer made it, in ms since 1970.
    pub born_timestamp_ms: i64,
    /// Where the producer sent it from.
    pub born_host: SocketAddr,
    /// When the broker took it, in ms since 1970.
    pub store_timestamp_ms: i64,
    /// Where the broker listens.
    pub store_host: SocketAddr,
    /// How often it has been consumed in vain.
    pub reconsume_times: i32,
    /// Offset of the half message that this one commits.
    pub prepared_transaction_offset: i64,
    /// As sent, compressed if sysFlag says so.
    pub body: Bytes,
    /// Topic.
    pub topic: String,
    /// Properties as text, see [`properties`].
    pub properties: String,
}

/// Why bytes are no record, or a message cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The bytes end inside the record.
    #[error("a record of {size} bytes does not fit the {rest} bytes that are there")]
    Truncated {
        /// Size the record claims, or has at least.
        size: usize,
        /// Bytes left.
        rest: usize,
    },
    /// The record's size cannot be.
    #[error("a record cannot have {0} bytes")]
    Size(i32),
    /// It does not begin as a record.
    #[error("{0:#010x} is not the magic number of a message")]
    Magic(u32),
    /// A length inside the record does not fit it.
    #[error("the record's {0} does not fit its size")]
    Field(&'static str),
    /// A text is not UTF-8.
    #[error("the record's {0} is not UTF-8")]
    NotUtf8(&'static str),
    /// The body is not what was written.
    #[error("the body's checksum is {computed:#010x}, the record says {stored:#010x}")]
    Crc {
        /// Checksum of the body that is there.
        computed: u32,
        /// Checksum in the record.
        stored: u32,
    },
    /// A field is longer than the layout allows.
    #[error("the message's {name} has {bytes} bytes, more than {limit}")]
    TooLong {
        /// Which field.
        name: &'static str,
        /// Its length.
        bytes: usize,
        /// What the layout allows.
        limit: usize,
    },
}

/// Checksum of a body: CRC-32 without its top bit, since Java has no unsigned integers.
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}

impl StoredMessage {
    /// Size of the record in bytes.
    pub fn encoded_bytes(&self) -> usize {
        FIXED_BYTES
            + host_extra_bytes(self.born_host)
            + host_extra_bytes(self.store_host)
            + self.body.len()
            + self.topic.len()
            + self.properties.len()
    }

    /// Appends the record; fails, without appending anything, when a field is too long for the layout.
    pub fn encode_into(&self, dst: &mut BytesMut) -> Result<(), MessageError> {
        let within = |name, bytes, limit| match bytes <= limit {
            true => Ok(()),
            false => Err(MessageError::TooLong { name, bytes, limit }),
        };
        within("topic", self.topic.len(), MAX_TOPIC_BYTES)?;
        within("properties", self.properties.len(), MAX_PROPERTIES_BYTES)?;
        let size = self.encoded_bytes();
        within("record", size, i32::MAX as usize)?;

        dst.reserve(size);
        dst.put_u32(size as u32);
        dst.put_u32(MAGIC_V1);
        dst.put_u32(body_crc(&self.body));
        dst.put_i32(self.queue_id);
        dst.put_i32(self.flag);
        dst.put_i64(self.queue_offset);
        dst.put_i64(self.physical_offset);
        dst.put_i32(sys_flag::with_hosts(self.sys_flag, self.born_host, self.store_host));
        dst.put_i64(self.born_timestamp_ms);
        put_host(dst, self.born_host);
        dst.put_i64(self.store_timestamp_ms);
        put_host(dst, self.store_host);
        dst.put_i32(self.reconsume_times);
        dst.put_i64(self.prepared_transaction_offset);
        dst.put_u32(self.body.len() as u32);
        dst.put_slice(&self.body);
        dst.put_u8(self.topic.len() as u8);
        dst.put_slice(self.topic.as_bytes());
        dst.put_u16(self.properties.len() as u16);
        dst.put_slice(self.properties.as_bytes());
        Ok(())
    }

    /// Takes one record from the front of `src`, checking its body against its checksum; on an
    /// error `src` is as before. The body shares the memory of `src`.
    pub fn decode(src: &mut Bytes) -> Result<Self, MessageError> {
        let size = record_bytes(src)?;
        let mut fields = Fields(src.slice(..size));
        let message = fields.message()?;
        src.advance(size);
        Ok(message)
    }

    /// All records of a pull's answer.
    pub fn decode_all(mut src: Bytes) -> Result<Vec<Self>, MessageError> {
        let mut messages = Vec::new();
        while !src.is_empty() {
            messages.push(Self::decode(&mut src)?);
        }
        Ok(messages)
    }

    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::get(&self.properties, name)
    }

    /// The id by which a broker finds the message: its store host and physical offset.
    pub fn offset_id(&self) -> String {
        id::offset_id(self.store_host, self.physical_offset)
    }
}

/// Size of the record at the front of `src`, all of which is there.
fn record_bytes(src: &[u8]) -> Result<usize, MessageError> {
    let Some((size, rest)) = src.split_first_chunk::<4>() else {
        return Err(MessageError::Truncated { size: FIXED_BYTES, rest: src.len() });
    };
    let size = i32::from_be_bytes(*size);
    let bytes = usize::try_from(size).map_err(|_| MessageError::Size(size))?;
    if bytes < FIXED_BYTES {
        return Err(MessageError::Size(size));
    }
    if let Some(magic) = rest.first_chunk::<4>().map(|magic| u32::from_be_bytes(*magic))
        && ![MAGIC_V1, MAGIC_V2].contains(&magic)
    {
        return Err(MessageError::Magic(magic));
    }
    if bytes > src.len() {
        return Err(MessageError::Truncated { size: bytes, rest: src.len() });
    }
    Ok(bytes)
}

/// The bytes of one record that have not been read yet.
struct Fields(Bytes);

impl Fields {
    fn message(&mut self) -> Result<StoredMessage, MessageError> {
        // Up to the first host every record of at least FIXED_BYTES has these.
        let src = &mut self.0;
        let _size = src.get_u32();
        let magic = src.get_u32();
        let stored = src.get_u32();
        let queue_id = src.get_i32();
        let flag = src.get_i32();
        let queue_offset = src.get_i64();
        let physical_offset = src.get_i64();
        let sys_flag = src.get_i32();
        let born_timestamp_ms = src.get_i64();
        let born_host = self.host(sys_flag & sys_flag::BORN_HOST_V6 != 0, "born host")?;
        let store_timestamp_ms = self.take(8, "store timestamp")?.get_i64();
        let store_host = self.host(sys_flag & sys_flag::STORE_HOST_V6 != 0, "store host")?;
        let reconsume_times = self.take(4, "reconsume times")?.get_i32();
        let prepared_transaction_offset = self.take(8, "transaction offset")?.get_i64();
        let body_bytes = self.take(4, "body length")?.get_u32() as usize;
        let body = self.take(body_bytes, "body")?;
        let topic_bytes = match magic {
            MAGIC_V1 => usize::from(self.take(1, "topic length")?.get_u8()),
            _ => usize::from(self.take(2, "topic length")?.get_u16()),
        };
        let topic = self.text(topic_bytes, "topic")?;
        let properties_bytes = usize::from(self.take(2, "properties length")?.get_u16());
        let properties = self.text(properties_bytes, "properties")?;
        if !self.0.is_empty() {
            return Err(MessageError::Field("size"));
        }
        let computed = body_crc(&body);
        if computed != stored {
            return Err(MessageError::Crc { computed, stored });
        }
        Ok(StoredMessage {
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_timestamp_ms,
            born_host,
            store_timestamp_ms,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties,
        })
    }

    fn take(&mut self, bytes: usize, what: &'static str) -> Result<Bytes, MessageError> {
        if bytes > self.0.len() {
            return Err(MessageError::Field(what));
        }
        Ok(self.0.split_to(bytes))
    }

    fn text(&mut self, bytes: usize, what: &'static str) -> Result<String, MessageError> {
        let text = self.take(bytes, what)?;
        let text = std::str::from_utf8(&text).map_err(|_| MessageError::NotUtf8(what))?;
        Ok(text.to_owned())
    }

    fn host(&mut self, v6: bool, what: &'static str) -> Result<SocketAddr, MessageError> {
        let ip = match v6 {
            false => IpAddr::from(self.take(4, what)?.get_u32().to_be_bytes()),
            true => IpAddr::from(self.take(16, what)?.get_u128().to_be_bytes()),
        };
        let port = self.take(4, what)?.get_u32();
        Ok(SocketAddr::new(ip, u16::try_from(port).map_err(|_| MessageError::Field(what))?))
    }
}

fn put_host(dst: &mut BytesMut, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => dst.put_slice(&ip.octets()),
        IpAddr::V6(ip) => dst.put_slice(&ip.octets()),
    }
    dst.put_u32(u32::from(host.port()));
}

fn host_extra_bytes(host: SocketAddr) -> usize {
    if host.is_ipv6() { IPV6_EXTRA_BYTES } else { 0 }
}
