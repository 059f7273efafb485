//! Registrations: round trips, leniency, and what hostile senders may try.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;
use crate::body::{Attributes, FILTER_SERVERS_MAX, TopicFilterType};

const INFLATED_BYTES_MAX: usize = 64 * 1024;
/// 4.9.8, 5.5.0 and a version before 3.0.11.
const VERSIONS: [i32; 3] = [409, 513, 36];

fn decode(version: i32, body: &[u8]) -> Result<RegisterBody, BodyError> {
    let header = RegisterBrokerHeader::default();
    RegisterBody::decode(&header, version, body, INFLATED_BYTES_MAX)
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(plain).unwrap();
    zlib.finish().unwrap()
}

fn part(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
}

prop_compose! {
    fn config()(
        ints in prop::array::uniform4(any::<i32>()), order: bool, multi: bool,
        attributes in prop::collection::btree_map(".{0,6}", ".{0,6}", 0..3),
    ) -> TopicConfig {
        let [read_queue_nums, write_queue_nums, perm, topic_sys_flag] = ints;
        TopicConfig {
            read_queue_nums, write_queue_nums, perm, topic_sys_flag, order,
            topic_filter_type: if multi { TopicFilterType::MultiTag } else { TopicFilterType::SingleTag },
            attributes: attributes.iter().collect(),
        }
    }
}

prop_compose! {
    fn mapping()(
        texts in prop::array::uniform2(".{0,8}"), ints in prop::array::uniform2(any::<i32>()),
        epoch: i64, dirty: bool, curr_id_map in prop::collection::btree_map(any::<i32>(), any::<i32>(), 0..4),
    ) -> TopicQueueMappingInfo {
        let [bname, scope] = texts;
        TopicQueueMappingInfo {
            bname, curr_id_map: curr_id_map.into_iter().collect(), dirty, epoch, scope, topic: String::new(), total_queues: ints[0],
        }
    }
}

fn version() -> impl Strategy<Value = DataVersion> {
    any::<(i64, i64, i64)>().prop_map(|(state_version, counter, timestamp_ms)| DataVersion {
        state_version,
        counter,
        timestamp_ms,
    })
}

prop_compose! {
    fn body()(
        topics in prop::collection::btree_map("[^ ]{1,10}", config(), 0..6), data_version in version(),
        filter_servers in prop::option::of(prop::collection::vec(".{0,8}", 0..3)),
        mappings in prop::collection::btree_map(".{0,8}", mapping(), 0..3), mapping_data_version in version(),
    ) -> RegisterBody {
        let named = mappings.into_iter().map(|(topic, info)| {
            (topic.clone(), TopicQueueMappingInfo { topic, ..info })
        });
        RegisterBody {
            topics: topics.into_iter().collect(), data_version, filter_servers, mapping_infos: named.collect(), mapping_data_version,
        }
    }
}

/// What is left of a body when a sender of this version sends it.
fn sent_by(version: i32, body: &RegisterBody, compressed: bool) -> RegisterBody {
    let mut sent = body.clone();
    if version < MAPPING_VERSION {
        sent.mapping_infos.clear();
        sent.mapping_data_version = DataVersion::default();
        sent.data_version.state_version = 0;
        sent.topics.values_mut().for_each(|topic| topic.attributes = Attributes::default());
    }
    if version < REGISTER_BODY_VERSION {
        sent.filter_servers = None;
    }
    if compressed {
        sent.mapping_data_version = DataVersion::default();
        sent.topics.values_mut().for_each(|topic| (topic.topic_sys_flag, topic.order) = (0, false));
    }
    sent
}

proptest! {
    // Compressing takes most of the time of these.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn all_forms_round_trip(body in body()) {
        for version in VERSIONS {
            let plain = body.encode_json(version);
            prop_assert_eq!(decode(version, &plain), Ok(sent_by(version, &body, false)));
            if version >= REGISTER_BODY_VERSION {
                let compressed = body.encode_compressed(version);
                prop_assert_eq!(decode(version, &compressed), Ok(sent_by(version, &body, true)));
            }
        }
    }

    #[test]
    fn a_checksum_holds_for_its_body_only(body in body(), at: prop::sample::Index, change in 1_u8..) {
        let mut bytes = body.encode_json(513);
        // 0 would mean "not checked".
        prop_assume!(crc32(&bytes) != 0);
        let header = RegisterBrokerHeader { body_crc32: crc32(&bytes), ..Default::default() };
        prop_assert!(RegisterBody::decode(&header, 513, &bytes, 0).is_ok());
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let error = RegisterBody::decode(&header, 513, &bytes, 0).unwrap_err();
        prop_assert_eq!(error.to_string(), "crc32 not match");
    }

    #[test]
    fn a_body_that_was_cut_is_refused(body in body(), cut: prop::sample::Index) {
        for version in VERSIONS {
            let plain = body.encode_json(version);
            let cut_at = 1 + cut.index(plain.len() - 1);
            prop_assert!(decode(version, &plain[..cut_at]).is_err());
        }
        let compressed = body.encode_compressed(513);
        let cut_at = 1 + cut.index(compressed.len() - 1);
        prop_assert!(decode(513, &compressed[..cut_at]).is_err());
    }

    #[test]
    fn changed_bytes_never_panic(
        body in body(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let change = |mut bytes: Vec<u8>| {
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes
        };
        let _ = decode(513, &change(body.encode_json(513)));
        let _ = decode(36, &change(body.encode_json(36)));
        let _ = decode(513, &change(body.encode_compressed(513)));
        // Past the compression, too: the layout itself is changed.
        let mut plain = Vec::new();
        std::io::copy(&mut flate2::read::ZlibDecoder::new(&body.encode_compressed(513)[..]), &mut plain).unwrap();
        let _ = decode(513, &zlib(&change(plain)));
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        for version in VERSIONS {
            let _ = decode(version, &bytes);
            let _ = decode(version, &zlib(&bytes));
        }
    }
}

#[test]
fn no_body_is_empty_tables() {
    let empty = RegisterBody { filter_servers: Some(Vec::new()), ..RegisterBody::default() };
    assert_eq!(decode(513, b""), Ok(empty));
    // The old form says nothing of filter servers.
    assert_eq!(decode(36, b""), Ok(RegisterBody::default()));
    // A checksum of no body is none of RocketMQ's.
    let header = RegisterBrokerHeader { body_crc32: 5, ..Default::default() };
    let refused = RegisterBody::decode(&header, 513, b"", 0);
    assert_eq!(refused, Err(BodyError::Crc32 { header: 5, body: 0 }));
}

#[test]
fn what_fastjson_takes_is_taken() {
    let json = br#" {"unknown":[{"a":{0:"}"}}],"filterServerList":null,"topicConfigSerializeWrapper":
        {"topicConfigTable":{"T":{"perm":"4","readQueueNums":8.0,"order":"true","topicFilterType":"OTHER",
        "writeQueueNums":null,"attributes":""},"Key":{"topicName":"Name"}},"dataVersion":null,
        "topicQueueMappingDetailMap":{"S":{"hostedQueues":{0:[{"gen":0}]}}},
        "topicQueueMappingInfoMap":{"S":{"currIdMap":{0:0,"1":"1"},"bname":"b","topic":"S"}}}}"#;
    // Quoted numbers as values of a map of integers are nobody's.
    assert!(matches!(decode(513, json), Err(BodyError::Json(_))));
    let json = String::from_utf8(json.to_vec()).unwrap().replace("\"1\":\"1\"", "\"1\":1");
    let read = decode(513, json.as_bytes()).unwrap();
    assert_eq!(read.filter_servers, None);
    assert_eq!(read.data_version, DataVersion::default());
    let expected =
        TopicConfig { read_queue_nums: 8, perm: 4, order: true, ..TopicConfig::default() };
    assert_eq!(read.topics["T"], expected);
    assert_eq!(read.topics["Name"], TopicConfig::default());
    assert_eq!(read.topics.len(), 2);
    assert_eq!(read.mapping_infos["S"].curr_id_map, Table::from([(0, 0), (1, 1)]));
    // Nothing said of filter servers is an empty list.
    assert_eq!(decode(513, b"{}").unwrap().filter_servers, Some(Vec::new()));
}

#[test]
fn a_refusal_says_what_was_wrong() {
    for (json, said) in [
        ("[]", "an object is expected"),
        (
            r#"{"topicConfigSerializeWrapper":{"topicConfigTable":{"T":{"perm":"six"}}}}"#,
            "\"six\" is not an integer",
        ),
        (
            r#"{"topicConfigSerializeWrapper":{"topicConfigTable":{"T":{"perm":4294967296}}}}"#,
            "4294967296 is out of range",
        ),
        (r#"{"topicConfigSerializeWrapper":{"topicConfigTable":["T"]}}"#, "expected an object"),
        (r#"{"filterServerList":[1]}"#, "expected a string"),
    ] {
        let error = decode(513, json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let servers = vec![String::new(); FILTER_SERVERS_MAX + 1];
    let many = RegisterBody { filter_servers: Some(servers), ..RegisterBody::default() };
    for body in [many.encode_json(513), many.encode_compressed(513)] {
        let error = decode(513, &body).unwrap_err().to_string();
        assert!(error.contains("more than 1024 entries"), "{error}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(matches!(decode(513, deep.as_bytes()), Err(BodyError::TooDeep { .. })));
}

#[test]
fn a_bomb_is_not_inflated() {
    let bomb = zlib(&vec![0; 2 * 1024 * 1024]);
    assert!(bomb.len() < INFLATED_BYTES_MAX);
    let limit = INFLATED_BYTES_MAX;
    assert_eq!(decode(513, &bomb), Err(BodyError::TooLarge { limit }));
    // Exactly as much as is allowed goes; one byte more does not.
    let body = RegisterBody { filter_servers: Some(Vec::new()), ..RegisterBody::default() };
    let mut plain = Vec::new();
    std::io::copy(
        &mut flate2::read::ZlibDecoder::new(&body.encode_compressed(409)[..]),
        &mut plain,
    )
    .unwrap();
    plain.resize(limit, 0);
    assert_eq!(decode(409, &zlib(&plain)), Ok(body));
    plain.push(0);
    assert_eq!(decode(409, &zlib(&plain)), Err(BodyError::TooLarge { limit }));
}

#[test]
fn lengths_and_counts_are_judged_by_what_is_there() {
    let version = part(b"{}");
    for (number, said) in [
        (i32::MAX, "2147483647 topics are said to be in 12 bytes"),
        (4, "4 topics are said to be in 12 bytes"),
        (-1, "the length of topics is -1"),
        (3, "has fewer than five parts"),
    ] {
        let plain = [&version[..], &number.to_be_bytes(), &[0; 12]].concat();
        let error = decode(513, &zlib(&plain)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    for (plain, said) in [
        (vec![], "it ends where the length of the data version should be"),
        (vec![0, 0, 1, 0, b'{'], "the data version should have 256 bytes, and 1 are left"),
        (vec![0x80, 0, 0, 0], "the length of the data version is -2147483648"),
    ] {
        let error = decode(513, &zlib(&plain)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    // Mappings are read when the version promises them, and only then.
    let whole = [&version[..], &[0; 4], &part(b"[]")].concat();
    assert!(decode(409, &zlib(&whole)).is_ok());
    let error = decode(413, &zlib(&whole)).unwrap_err().to_string();
    assert!(error.contains("the length of mappings"), "{error}");
}

#[test]
fn topic_lines_are_five_parts_and_what_follows() {
    let read = |line: &str| {
        let plain = [part(b"{}"), vec![0, 0, 0, 1], part(line.as_bytes()), part(b"[]"), vec![0; 4]]
            .concat();
        decode(513, &zlib(&plain)).map(|body| body.topics)
    };
    let plain =
        TopicConfig { read_queue_nums: 1, write_queue_nums: 2, perm: 6, ..Default::default() };
    let spaced =
        TopicConfig { attributes: Attributes::from_json(r#"{"a b":"c d"}"#), ..plain.clone() };
    for (line, config) in [
        ("T 1 2 6 SINGLE_TAG", &plain),
        ("T 1 2 6 SINGLE_TAG ", &plain),
        ("T 1 2 6 SINGLE_TAG {}", &plain),
        ("T 1 2 6 SINGLE_TAG not attributes", &plain),
        (r#"T 1 2 6 SINGLE_TAG {"a b":"c d"}"#, &spaced),
    ] {
        assert_eq!(read(line), Ok(Table::from([("T".to_owned(), config.clone())])), "{line}");
    }
    for line in [
        "",
        "T 1 2 6",
        "T 1 2 x SINGLE_TAG",
        "T 1 2 6 NO_TAG",
        " 1 2 6 SINGLE_TAG",
        "T 1 2 2147483648 SINGLE_TAG",
    ] {
        assert!(matches!(read(line), Err(BodyError::Layout(_))), "{line}");
    }
}
