//! Few bytes each that would be much once each is an entry.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// For all decoders of JSON.
pub(crate) fn json() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let lists = [
        "consumerDataSet",
        "producerDataSet",
        "mqSet",
        "consumerIdList",
        "tagsSet",
        "filterServerList",
        "brokerDatas",
        "queueDatas",
        "topicList",
    ];
    let entries = [
        "{}",
        "\"\"",
        "null",
        "7",
        "{\"topic\":\"T\"}",
        "{\"topic\":1e300}",
        "{\"topic\":1e15,\"brokerName\":1e15}",
        "{0:1}",
        "[]",
    ];
    for count in [900, 10_000] {
        for entry in entries {
            let many = vec![entry; count].join(",");
            for list in lists {
                all.push(format!("{{\"{list}\":[{many}]}}"));
                for inside in ["subscriptionDataSet", "codeSet", "tagsSet"] {
                    all.push(format!("{{\"{list}\":[{{\"{inside}\":[{many}]}}]}}"));
                }
            }
            for inside in ["subscriptionDataSet", "codeSet", "tagsSet"] {
                all.push(format!("{{\"subscriptionData\":{{\"{inside}\":[{many}]}}}}"));
            }
        }
        for value in ["{}", "\"\"", "null", "7", "[]", "[\"\"]", "[\"\",\"\"]", "{\"0\":\"\"}"] {
            let named: Vec<_> = (0..count).map(|n| format!("\"{n:x}\":{value}")).collect();
            let (many, bare) = (named.join(","), named.join(",").replace('"', ""));
            let tables = [
                "topicConfigTable",
                "topicQueueMappingInfoMap",
                "filterServerTable",
                "topicQueueMappingByBroker",
                "brokerAddrs",
                "table",
                "brokerAddrTable",
                "clusterAddrTable",
                "extFields",
                "attributes",
                "currIdMap",
            ];
            for table in tables {
                for many in [&many, &bare] {
                    let one = format!("\"{table}\":{{{many}}}");
                    all.push(format!("{{{one}}}"));
                    all.push(format!("{{\"topicConfigSerializeWrapper\":{{{one}}}}}"));
                    all.push(format!(
                        "{{\"brokerMemberGroup\":{{{one}}},\"brokerDatas\":[{{{one}}}]}}"
                    ));
                    let inside = format!("\"topicQueueMappingInfoMap\":{{\"a\":{{{one}}}}}");
                    all.push(format!("{{\"topicConfigSerializeWrapper\":{{{inside}}}}}"));
                }
            }
            all.push(format!("{{{many}}}"));
        }
    }
    all.extend(escaped());
    all.into_iter().map(String::into_bytes).collect()
}

/// Strings with escapes, which a reader takes apart in a buffer, beside entries, with bare keys.
fn escaped() -> Vec<String> {
    let mut all = Vec::new();
    for bytes in [100_000, 130_000, 400_000] {
        let text = format!("\\n{}", "x".repeat(bytes));
        let names =
            ["brokerAddr", "orderTopicConf", "brokerName", "topic", "groupName", "clientID"];
        for name in names {
            let one = format!("\"{name}\":\"{text}\"");
            all.push(format!("{{{one},a:0}}"));
            all.push(format!("{{\"topicList\":[\"{text}\",\"{text}\"],{one}}}"));
            let many = vec!["\"a\""; bytes / 4].join(",");
            all.push(format!("{{{one},\"topicList\":[{many}],\"consumerIdList\":[{many}],0:0}}"));
            let mapping = format!("{{{one},\"currIdMap\":{{0:0}}}}");
            all.push(format!("{{\"topicQueueMappingInfoMap\":{{\"{text}\":{mapping}}}}}"));
            all.push(format!("{{\"brokerMemberGroup\":{{{one}}},\"brokerDatas\":[{{{one}}}]}}"));
        }
        all.push(format!("{{\"table\":{{\"{text}\":\"{text}\"}}}}"));
        all.push(format!("{{\"table\":{{{text}:\"{text}\"}}}}"));
    }
    all
}

/// For compressed registrations: lists and tables of entries that are as short as can be, counts of
/// what is not there, and much of one byte.
pub(crate) fn zlib() -> Vec<Vec<u8>> {
    let word = |count: usize| (count as i32).to_be_bytes().to_vec();
    let part = |text: &[u8]| [word(text.len()), text.to_vec()].concat();
    let whole = |parts: &[Vec<u8>]| parts.concat();
    let (version, servers) = (part(b"{}"), part(b"[]"));
    let mut plain = Vec::new();
    for count in [900, 4_000, 7_000] {
        let lines = ["T 1 1 1 MULTI_TAG", "T 1 1 1 MULTI_TAG {\"\":0}", "", "T"];
        for line in lines {
            let named = |at: usize| part(line.replacen('T', &format!("{at:x}"), 1).as_bytes());
            let (same, named) = (part(line.as_bytes()).repeat(count), (0..count).flat_map(named));
            for topics in [same, named.collect()] {
                for said in [count, count / 2, 60_000] {
                    let topics = topics.clone();
                    plain.push(whole(&[
                        version.clone(),
                        word(said),
                        topics,
                        servers.clone(),
                        word(0),
                    ]));
                }
            }
        }
        for mapping in ["{}", "{\"topic\":\"#\"}", "{\"topic\":\"#\",\"currIdMap\":{#:0}}", "[]"] {
            let one = |at: usize| part(mapping.replace('#', &at.to_string()).as_bytes());
            for said in [count, 60_000] {
                let mappings = (0..count).flat_map(one).collect();
                plain.push(whole(&[
                    version.clone(),
                    word(0),
                    servers.clone(),
                    word(said),
                    mappings,
                ]));
            }
        }
        for entry in ["\"\"", "{}", "\"\\n\""] {
            let many = format!("[{}]", vec![entry; count].join(","));
            let table = format!("{{\"currIdMap\":{many},0:{many}}}");
            plain.push(whole(&[version.clone(), word(0), part(many.as_bytes()), word(0)]));
            plain.push(whole(&[part(table.as_bytes()), word(0), servers.clone(), word(0)]));
            plain.push(whole(&[
                version.clone(),
                word(0),
                servers.clone(),
                word(1),
                part(table.as_bytes()),
            ]));
        }
    }
    plain.extend([vec![0; 200_000], vec![b'{'; 200_000], vec![0; 2_000_000], vec![0x7F; 200_000]]);
    plain.iter().map(|plain| compressed(plain)).collect()
}

fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(plain).and_then(|()| zlib.finish()).expect("into memory")
}
