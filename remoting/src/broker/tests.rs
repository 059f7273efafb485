use proptest::prelude::*;

use super::*;
use crate::ExtFields;

#[test]
fn headers_are_read_as_stock_clients_write_them() {
    let ext = ExtFields::new()
        .with("consumerGroup", "CG_demo")
        .with("topic", "TopicTest")
        .with("queueId", 3)
        .with("commitOffset", 17)
        .with("bname", "broker-a");
    let header = UpdateConsumerOffsetHeader::from_ext(&ext).unwrap();
    assert_eq!((header.queue_id, header.commit_offset), (3, 17));
    let ext: ExtFields = [
        ("maxReconsumeTimes", "16"),
        ("offset", "410"),
        ("delayLevel", "0"),
        ("originTopic", "TopicTest"),
        ("originMsgId", "7F"),
        ("unitMode", "false"),
        ("group", "CG_demo"),
    ]
    .into_iter()
    .collect();
    let header = SendBackHeader::from_ext(&ext).unwrap();
    assert_eq!((header.offset, header.delay_level, header.max_reconsume_times), (410, 0, Some(16)));
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    let ext = ExtFields::new().with("topic", "T");
    assert_eq!(QueueHeader::from_ext(&ext), Err(HeaderError::Missing("queueId")));
    for wrong in ["-1", "x", "", "2147483648", "1.0"] {
        let error = QueueHeader::from_ext(&ext.clone().with("queueId", wrong)).unwrap_err();
        assert_eq!(error.field(), "queueId", "{wrong}");
    }
    for wrong in ["x", "9223372036854775808"] {
        let ext = ExtFields::new().with("offset", wrong);
        assert_eq!(ViewMessageHeader::from_ext(&ext).unwrap_err().field(), "offset");
    }
}

proptest! {
    #[test]
    fn headers_round_trip(
        consumer_group in ".{0,9}", topic in ".{0,9}", queue_id in 0..=i32::MAX as u32,
        set_zero_if_not_found: Option<bool>, offset: i64,
    ) {
        let header = QueryConsumerOffsetHeader { consumer_group, topic, queue_id, set_zero_if_not_found };
        prop_assert_eq!(QueryConsumerOffsetHeader::from_ext(&header.to_ext()).unwrap(), header);
        let header = OffsetResponseHeader { offset };
        prop_assert_eq!(OffsetResponseHeader::from_ext(&header.to_ext()).unwrap(), header);
    }
}
