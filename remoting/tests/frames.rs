//! Frames: round trips of both header kinds, every cut, and hostile lengths.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use signpost_remoting::{
    ExtFields, FrameCodec, FrameError, FrameLimits, HeaderKind, Language, RemotingCommand,
};
use tokio_util::codec::{Decoder, Encoder};

prop_compose! {
    fn command()(
        binary: bool, ints in prop::array::uniform2(any::<i32>()), shorts in prop::array::uniform2(any::<i16>()),
        wide_code: i32, language in 0_u8..14, remark in prop::option::of(".{1,20}"),
        ext in prop::collection::vec((".{1,8}", ".{1,16}"), 0..8),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) -> RemotingCommand {
        RemotingCommand {
            code: if binary { shorts[0].into() } else { wide_code },
            language: Language::from_code(language),
            version: shorts[1].into(),
            opaque: ints[0],
            flag: ints[1],
            remark,
            ext: ext.into_iter().collect(),
            body: body.into(),
            header: if binary { HeaderKind::Binary } else { HeaderKind::Json },
        }
    }
}

fn encode(commands: &[RemotingCommand]) -> BytesMut {
    let mut bytes = BytesMut::new();
    for command in commands {
        FrameCodec::default().encode(command.clone(), &mut bytes).unwrap();
    }
    bytes
}

proptest! {
    #[test]
    fn commands_round_trip_however_they_arrive(
        commands in prop::collection::vec(command(), 1..4),
        cuts in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let bytes = encode(&commands);
        let (mut codec, mut inbox, mut read) = (FrameCodec::default(), BytesMut::new(), Vec::new());
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            inbox.extend_from_slice(now);
            rest = later;
            while let Some(command) = codec.decode(&mut inbox).unwrap() {
                read.push(command);
            }
        }
        prop_assert_eq!(read, commands);
        prop_assert!(codec.decode_eof(&mut inbox).unwrap().is_none());
    }

    #[test]
    fn a_frame_with_changed_bytes_never_panics(
        command in command(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&[command]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut codec = FrameCodec::default();
        while let Ok(Some(_)) = codec.decode(&mut bytes) {}
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), json: bool) {
        let mut codec = FrameCodec::default();
        let _ = codec.decode(&mut BytesMut::from(&bytes[..]));
        // The same bytes as a header that the lengths allow.
        let mut framed = BytesMut::new();
        framed.extend_from_slice(&(4 + bytes.len() as u32).to_be_bytes());
        let kind = if json { 0 } else { 1_u32 << 24 };
        framed.extend_from_slice(&(kind | bytes.len() as u32).to_be_bytes());
        framed.extend_from_slice(&bytes);
        let _ = codec.decode(&mut framed);
    }
}

#[test]
fn lengths_are_judged_before_anything_is_waited_for() {
    let limits = FrameLimits { max_frame_bytes: 1000, max_header_bytes: 100 };
    let refused = |bytes: &[u8]| {
        let mut inbox = BytesMut::from(bytes);
        let capacity = inbox.capacity();
        let error = FrameCodec::new(limits).decode(&mut inbox).unwrap_err();
        assert_eq!(inbox.capacity(), capacity, "memory was taken for {bytes:?}");
        error
    };
    assert!(matches!(refused(&[0xFF; 4]), FrameError::TooLarge { limit: 1000, .. }));
    assert!(matches!(refused(&997_u32.to_be_bytes()), FrameError::TooLarge { bytes: 1001, .. }));
    assert!(matches!(refused(&[0x16, 0x03, 0x01, 0x02]), FrameError::Tls));
    assert!(matches!(refused(&[0, 0, 0, 3]), FrameError::LengthTooSmall(3)));
    assert!(matches!(refused(&[0, 0, 0, 20, 2, 0, 0, 1]), FrameError::HeaderType(2)));
    assert!(matches!(
        refused(&[0, 0, 0, 20, 0, 0, 0, 17]),
        FrameError::HeaderBeyondFrame { header: 17, rest: 16 }
    ));
    assert!(matches!(
        refused(&[0, 0, 3, 0, 0, 0, 0, 101]),
        FrameError::HeaderTooLarge { bytes: 101, limit: 100 }
    ));
    // Within the limits, and not there yet: waited for.
    let mut inbox = BytesMut::from(&[0, 0, 3, 0, 0, 0, 0, 100][..]);
    assert!(FrameCodec::new(limits).decode(&mut inbox).unwrap().is_none());
    assert!(matches!(
        FrameCodec::new(limits).decode_eof(&mut inbox),
        Err(FrameError::Truncated(8))
    ));
}

#[test]
fn the_largest_frame_goes_and_one_byte_more_does_not() {
    let limits = FrameLimits { max_frame_bytes: 4096, ..FrameLimits::default() };
    let mut codec = FrameCodec::new(limits);
    let command = |body: usize| RemotingCommand::request(10).with_body(vec![7; body]);
    let mut bytes = BytesMut::new();
    codec.encode(command(0), &mut bytes).unwrap();
    let room = 4096 - bytes.len();
    bytes.clear();
    codec.encode(command(room), &mut bytes).unwrap();
    assert_eq!(bytes.len(), 4096);
    assert_eq!(codec.decode(&mut bytes).unwrap().unwrap().body.len(), room);
    let error = codec.encode(command(room + 1), &mut bytes).unwrap_err();
    assert!(matches!(error, FrameError::TooLarge { bytes: 4097, limit: 4096 }), "{error}");
    assert!(bytes.is_empty());
}

#[test]
fn fields_are_signed_in_the_order_they_are_kept() {
    let fields: ExtFields = [("topic", "T"), ("AccessKey", "k"), ("a", "1")].into_iter().collect();
    let values: String = fields.iter().map(|(_, value)| value).collect();
    assert_eq!(values, "k1T");
}

#[test]
fn an_empty_body_is_no_body() {
    let mut bytes = encode(&[RemotingCommand::request(105).with_body(Bytes::new())]);
    assert!(FrameCodec::default().decode(&mut bytes).unwrap().unwrap().body.is_empty());
}
