//! What a broker registers: the body of 103.
//!
//! Three layouts, told apart by the sender's protocol version and by the first byte, for brokers
//! 5.0.0 to 5.3.3 say `compressed=false` of bodies that are compressed:
//!
//! | version | first byte | layout |
//! | --- | --- | --- |
//! | < 37 | | the bare topic table, JSON (RocketMQ `TopicConfigSerializeWrapper`) |
//! | ≥ 37 | `78` | zlib, see `compressed` (`RegisterBrokerBody.encode(true)`) |
//! | ≥ 37 | else | JSON (`RegisterBrokerBody`) |
//! | any | no body | empty tables |

mod compressed;
mod plain;
#[cfg(test)]
mod tests;

use super::{
    BodyError, DataVersion, MAPPING_VERSION, REGISTER_BODY_VERSION, Table, TopicConfig,
    TopicQueueMappingInfo,
};
use crate::namesrv::RegisterBrokerHeader;

/// First byte of every zlib stream with the usual window (RFC 1950).
const ZLIB_FIRST_BYTE: u8 = 0x78;

/// RocketMQ's `RegisterBrokerBody`, its serialisation wrapper unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisterBody {
    /// The topics it lists: all, one, or a share of them. What is not listed is not gone.
    pub topics: Table<String, TopicConfig>,
    /// How far the broker's topic table has moved.
    pub data_version: DataVersion,
    /// Filter servers. None leaves those that are known, none in the list removes them.
    pub filter_servers: Option<Vec<String>>,
    /// 5.x: topic → the static-topic queues that this broker owns.
    pub mapping_infos: Table<String, TopicQueueMappingInfo>,
    /// 5.x: how far the mappings have moved; a name server has no use for it.
    pub mapping_data_version: DataVersion,
}

impl RegisterBody {
    /// Reads the body of a registration from a sender of this protocol version.
    ///
    /// No more memory is taken than four times its bytes and a little; of a compressed body, four
    /// times the bytes that it inflates to, which may be `inflated_bytes_max` at most.
    ///
    /// # Errors
    /// The checksum of the header is not the body's; the body is not what its version promises, or
    /// is over a bound, or would take more memory than that. Nothing has been kept of it then.
    pub fn decode(
        header: &RegisterBrokerHeader,
        version: i32,
        body: &[u8],
        inflated_bytes_max: usize,
    ) -> Result<Self, BodyError> {
        check_crc(header.body_crc32, body)?;
        let bare = version < REGISTER_BODY_VERSION;
        match body.first() {
            // RocketMQ's class has an empty list of filter servers before any is set.
            None => Ok(Self { filter_servers: (!bare).then(Vec::new), ..Self::default() }),
            Some(_) if bare => plain::decode_bare(body),
            Some(&ZLIB_FIRST_BYTE) => {
                let mapped = version >= MAPPING_VERSION;
                compressed::decode(body, mapped, inflated_bytes_max)
            }
            Some(_) => plain::decode(body),
        }
    }

    /// The JSON that a stock broker of this version sends: bare below 37, without mappings, state
    /// version and attributes below 413.
    #[must_use]
    pub fn encode_json(&self, version: i32) -> Vec<u8> {
        plain::encode(self, version)
    }

    /// The compressed form that a stock broker of this version sends. `topicSysFlag`, `order` and
    /// the mappings' version have no place in it.
    #[must_use]
    pub fn encode_compressed(&self, version: i32) -> Vec<u8> {
        compressed::encode(self, version)
    }
}

/// The checksum that a registration's header carries: CRC-32 (IEEE) of the bytes as sent, without
/// the sign bit (RocketMQ `UtilAll.crc32`).
#[must_use]
pub fn crc32(body: &[u8]) -> i32 {
    const WITHOUT_SIGN: u32 = 0x7FFF_FFFF;
    (crc32fast::hash(body) & WITHOUT_SIGN).cast_signed()
}

/// 0 in the header: not checked.
fn check_crc(header: i32, body: &[u8]) -> Result<(), BodyError> {
    if header == 0 {
        return Ok(());
    }
    let body = crc32(body);
    if header == body { Ok(()) } else { Err(BodyError::Crc32 { header, body }) }
}
