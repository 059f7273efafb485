//! What a queue entry says of a message besides where it lies: enough to filter without reading it.

use signpost_remoting::body::heartbeat::hash_code;
use signpost_remoting::message::StoredMessage;

/// Topic whose entries carry delivery times: there delayed messages wait.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";

/// Delays of the levels from 1 on, in ms. Source: RocketMQ `messageDelayLevel`.
pub const DELAY_LEVELS_MS: [i64; 18] = [
    1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000,
    480_000, 540_000, 600_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000,
];

/// Hash by which messages are filtered: Java's `String.hashCode` of the tag, sign-extended.
pub fn hash(tag: &str) -> i64 {
    i64::from(hash_code(tag))
}

/// The third field of a message's queue entry, by its properties `TAGS` and `DELAY`: the hash of its
/// tag, 0 without one; of a delayed message the time at which it is due.
/// Source: RocketMQ `CommitLog.checkMessageAndReturnSize`.
pub(super) fn code(message: &StoredMessage, tag: Option<&str>, level: Option<&str>) -> i64 {
    if message.topic == SCHEDULE_TOPIC
        && let Some(Ok(level)) = level.map(str::parse::<usize>)
        && level > 0
    {
        let level = level.min(DELAY_LEVELS_MS.len());
        return message.store_timestamp_ms + DELAY_LEVELS_MS[level - 1];
    }
    hash(tag.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_java_s() {
        assert_eq!(hash("TagA"), 2_598_919);
        assert_eq!(hash(""), 0);
        assert_eq!(hash("polygenelubricants"), i64::from(i32::MIN));
        // Two UTF-16 units: 0xD83D, 0xDE00.
        assert_eq!(hash("😀"), 0xD83D * 31 + 0xDE00);
    }
}
