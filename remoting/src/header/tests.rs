//! The documented bytes of both header kinds, the tolerances towards peers, hostile headers.

use bytes::BytesMut;
use tokio_util::codec::Decoder as _;

use super::{binary, json};
use crate::{FrameCodec, FrameError, HeaderKind, Language, RemotingCommand};

fn hex(text: &str) -> BytesMut {
    let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect::<Vec<u8>>().as_slice().into()
}

fn decode(mut bytes: BytesMut) -> RemotingCommand {
    let command = FrameCodec::default().decode(&mut bytes).unwrap().unwrap();
    assert!(bytes.is_empty());
    command
}

fn read_json(header: &[u8]) -> Result<RemotingCommand, FrameError> {
    let mut command = RemotingCommand::request(0);
    json::decode(header, &mut command).map(|()| command)
}

fn encode(command: &RemotingCommand) -> BytesMut {
    let mut bytes = BytesMut::new();
    FrameCodec::default().encode_into(command, &mut bytes).unwrap();
    bytes
}

/// A route look-up for `TopicTest`, id 1.
fn look_up(header: HeaderKind) -> RemotingCommand {
    let ext = [("topic", "TopicTest")].into_iter().collect();
    RemotingCommand { opaque: 1, header, ..RemotingCommand::request(105).with_ext(ext) }
}

#[test]
fn the_json_look_up_of_stock_java_byte_for_byte() {
    let bytes = hex("00000087 00000083
        7b22636f6465223a3130352c226578744669656c6473223a7b22746f706963223a22546f70696354657374227d2c22666c6167223a302c
        226c616e6775616765223a224a415641222c226f7061717565223a312c2273657269616c697a655479706543757272656e74525043223a
        224a534f4e222c2276657273696f6e223a3430397d");
    assert_eq!(bytes.len(), 139);
    assert_eq!(decode(bytes.clone()), look_up(HeaderKind::Json));
    assert_eq!(encode(&look_up(HeaderKind::Json)), bytes);
}

#[test]
fn the_binary_look_up_of_stock_java_byte_for_byte() {
    let bytes = hex("0000002d010000290069000199000000010000000000000000000000140005746f7069630000\
        0009546f70696354657374");
    assert_eq!(bytes.len(), 49);
    assert_eq!(decode(bytes.clone()), look_up(HeaderKind::Binary));
    assert_eq!(encode(&look_up(HeaderKind::Binary)), bytes);
}

#[test]
fn the_look_up_of_a_go_client_is_read() {
    let command = decode(hex("000000700000006c7b22636f6465223a3130352c226c616e6775616765223a22474f222c2276
        657273696f6e223a3331372c226f7061717565223a312c22666c6167223a302c2272656d61726b223a22222c22657874
        4669656c6473223a7b22746f706963223a22546f70696354657374227d7d"));
    let expected = RemotingCommand {
        language: Language::Go,
        version: 317,
        remark: Some(String::new()),
        ..look_up(HeaderKind::Json)
    };
    assert_eq!(command, expected);
}

#[test]
fn responses_byte_for_byte() {
    let mut success = RemotingCommand::response(0);
    success.mark_response_to(1, HeaderKind::Binary);
    let bytes = hex("0000001901000015 0000 00 0199 00000001 00000001 00000000 00000000");
    assert_eq!(encode(&success), bytes);
    assert_eq!(decode(bytes), success);

    let mut missing = RemotingCommand::error(17, "No topic");
    missing.mark_response_to(1, HeaderKind::Json);
    let mut bytes = hex("0000007800000074");
    bytes.extend_from_slice(br#"{"code":17,"flag":1,"language":"JAVA","opaque":1,"remark":"No topic","serializeTypeCurrentRPC":"JSON","version":409}"#);
    assert_eq!(encode(&missing), bytes);
    assert_eq!(decode(bytes), missing);

    let mut plain = RemotingCommand::response(0);
    plain.mark_response_to(4, HeaderKind::Json);
    assert_eq!(
        &encode(&plain)[8..],
        br#"{"code":0,"flag":1,"language":"JAVA","opaque":4,"serializeTypeCurrentRPC":"JSON","version":409}"#
    );
}

#[test]
fn a_real_send_header_is_read_and_written_byte_for_byte() {
    let text = concat!(
        r#"{"code":310,"extFields":{"a":"PG_demo","b":"TopicTest","c":"TBW102","d":"4","e":"3","f":"0","#,
        r#""g":"1795359880852","h":"0","i":"KEYS\u0001key1\u0002WAIT\u0001true\u0002TAGS\u0001TagA","#,
        r#""j":"0","k":"false","m":"false","n":"broker-a"},"flag":0,"language":"JAVA","opaque":7,"#,
        r#""serializeTypeCurrentRPC":"JSON","version":409}"#
    );
    let command = read_json(text.as_bytes()).unwrap();
    assert_eq!(command.ext.get("i"), Some("KEYS\u{1}key1\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA"));
    let mut written = BytesMut::new();
    json::encode(&command, &mut written);
    assert_eq!(written, text.as_bytes());
}

#[test]
fn json_is_read_as_tolerantly_as_stock_java_reads_it() {
    let read = |text: &str| read_json(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
    // What the Node client sends: bare numbers and booleans; the literals are kept.
    let node = read(
        r#"{"extFields":{"q":0,"k":false,"g":1795360492160,"f":1.50,"e":1E5,"n":null,"s":"x"}}"#,
    );
    let fields: Vec<_> = node.ext.iter().collect();
    assert_eq!(
        fields,
        [
            ("e", "1E5"),
            ("f", "1.50"),
            ("g", "1795360492160"),
            ("k", "false"),
            ("q", "0"),
            ("s", "x")
        ]
    );

    let empty = read(" { } ");
    assert_eq!((empty.code, empty.flag, empty.version, empty.opaque), (0, 0, 0, 0));
    assert!(empty.ext.is_empty() && empty.remark.is_none());

    let odd = read(
        r#" { "version" : "317" , "code":"105", "opaque":-7, "flag": "1", "language": 9, "remark": null,
              "extFields": null, "more": {"deep": [1, {"x": null}]}, "code": 106 } "#,
    );
    assert_eq!((odd.code, odd.version, odd.opaque, odd.flag), (106, 317, -7, 1));
    assert_eq!(odd.language, Language::Go);
    assert_eq!(read(r#"{"language":"KOTLIN"}"#).language, Language::Unknown);
    assert_eq!(read(r#"{"language":null,"code":null}"#).code, 0);
    assert_eq!(read(r#"{"code":200050}"#).code, 200_050);
    let escaped = read(r#"{"extFields":{"\u0074opic":"\u00e9\"\\\ud83d\ude00","a":"","a":"2"}}"#);
    assert_eq!((escaped.ext.get("topic"), escaped.ext.get("a")), (Some("é\"\\😀"), Some("2")));
}

#[test]
fn binary_is_read_as_stock_java_reads_it() {
    // An empty remark, and fields with an empty name or value, mean null; a name set twice keeps the last.
    let mut fields = Vec::new();
    for (key, value) in [("a", "1"), ("b", ""), ("", "x"), ("a", "2")] {
        fields.extend((key.len() as i16).to_be_bytes());
        fields.extend(key.as_bytes());
        fields.extend((value.len() as i32).to_be_bytes());
        fields.extend(value.as_bytes());
    }
    let mut header = hex("0D72 63 0199 FFFFFFFF 00000002 00000000").to_vec();
    header.extend((fields.len() as i32).to_be_bytes());
    header.extend(fields);
    let command = binary::decode(&header).unwrap();
    assert_eq!((command.code, command.opaque, command.remark.as_deref()), (3442, -1, None));
    assert!(command.is_oneway() && !command.is_response());
    assert_eq!(command.language, Language::Unknown);
    assert_eq!(command.ext.iter().collect::<Vec<_>>(), [("a", "2")]);
}

#[test]
fn a_command_too_large_for_the_binary_layout_is_refused() {
    let pop = RemotingCommand { header: HeaderKind::Binary, ..RemotingCommand::request(200_050) };
    let mut bytes = BytesMut::from(&b"before"[..]);
    let error = FrameCodec::default().encode_into(&pop, &mut bytes).unwrap_err();
    assert!(matches!(error, FrameError::NotBinary(_)), "{error}");
    assert_eq!(bytes, b"before"[..]);
}

#[test]
fn hostile_headers_are_refused() {
    let many = (0..2000).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(",");
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_field = format!("{{\"extFields\":{{\"x\":{}}}}}", "[".repeat(100_000));
    for text in [
        "",
        "null",
        "[]",
        "7",
        "{",
        "{}}",
        "{} x",
        r#"{"code":1.5}"#,
        r#"{"code":"x"}"#,
        r#"{"code":{}}"#,
        r#"{"code":4294967296}"#,
        r#"{"extFields":[]}"#,
        r#"{"extFields":"a"}"#,
        r#"{"extFields":{"a"}}"#,
        r#"{"extFields":{"a":"\ud800"}}"#,
        r#"{"extFields":{"a":"\x"}}"#,
        "{\"remark\":\"\n\"}",
        &format!("{{\"extFields\":{{{many}}}}}"),
        &deep_field,
    ] {
        assert!(read_json(text.as_bytes()).is_err(), "{}", &text[..text.len().min(80)]);
    }
    assert!(read_json(b"{\"remark\":\"\xff\"}").is_err());
    assert!(read_json(b"{\"extFields\":{\"\xff\":\"\xc3\"}}").is_err());
    // Nesting where nobody looks is skipped without recursion, or refused; it never overflows the stack.
    let _ = read_json(deep.as_bytes());

    let fixed = "0069 00 0199 00000001 00000000";
    for rest in [
        "",
        "00000000",                              // no fields' length
        "FFFFFFFF 00000000",                     // negative remark
        "7FFFFFFF 00000000",                     // remark beyond the header
        "00000001 FF 00000000",                  // remark not UTF-8
        "00000000 FFFFFFFF",                     // negative fields
        "00000000 00000001",                     // fields beyond the header
        "00000000 00000001 00",                  // a name's length cut
        "00000000 00000004 0005 6161",           // a name beyond the fields
        "00000000 00000003 0001 61",             // no value
        "00000000 00000002 FFFF",                // negative name
        "00000000 00000007 0001 61 FFFFFFFF",    // negative value
        "00000000 00000007 0001 61 7FFFFFFF",    // value beyond the fields
        "00000000 00000008 0001 FF 00000001 61", // name not UTF-8
    ] {
        assert!(binary::decode(&hex(&format!("{fixed}{rest}"))).is_err(), "{rest}");
    }
}

/// One command after the other in the same memory, as a connection reads them.
mod in_one_memory {
    use proptest::prelude::*;

    use super::*;
    use crate::ExtFields;

    fn command() -> impl Strategy<Value = RemotingCommand> {
        let kind = prop_oneof![Just(HeaderKind::Json), Just(HeaderKind::Binary)];
        let ext = prop::collection::vec(("[a-d]{0,3}", "[a-z\"]{0,60}"), 0..40);
        let remark = prop::option::of("[a-z]{0,9}");
        (kind, ext, remark, "[a-z]{0,9}", any::<i32>(), 0..2).prop_map(
            |(header, ext, remark, body, opaque, flag)| RemotingCommand {
                remark,
                flag,
                opaque,
                header,
                ..RemotingCommand::request(34)
                    .with_ext(ext.into_iter().collect::<ExtFields>())
                    .with_body(body)
            },
        )
    }

    proptest! {
        #[test]
        fn nothing_of_the_former_command_is_left(commands in prop::collection::vec(command(), 1..8)) {
            let mut bytes = BytesMut::new();
            let codec = FrameCodec::default();
            for command in &commands {
                codec.encode_into(command, &mut bytes).unwrap();
            }
            let mut read = RemotingCommand::request(0);
            for command in &commands {
                prop_assert!(codec.decode_into(&mut bytes, &mut read).unwrap());
                prop_assert_eq!(&read, &decode(encode(command)));
            }
            prop_assert!(!codec.decode_into(&mut bytes, &mut read).unwrap());
        }
    }
}
