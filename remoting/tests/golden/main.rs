//! Golden frames: at least one for each of the name server's request codes.
//!
//! Each `.txt` file here is a request and, where there is one, its answer, byte for byte. `text`
//! lines are the bytes as they stand, `hex` lines are hexadecimal. What was seen on the wire says
//! so in its first line; the other requests are derived from the layout, independently of the codec.

mod bodies;
mod capture;
mod headers;

use std::collections::BTreeSet;

use bytes::BytesMut;
use signpost_remoting::{HeaderKind, RemotingCommand};
use tokio_util::codec::{Decoder as _, Encoder as _};

use capture::{Capture, codec};

/// Every code that a name server serves, the one that it sends (905), and one that is nobody's.
const CODES: [i32; 25] = [
    100, 101, 102, 103, 104, 105, 106, 205, 206, 216, 217, 219, 224, 304, 311, 312, 313, 318, 319,
    322, 327, 901, 904, 905, 999,
];

fn encode(command: &RemotingCommand) -> BytesMut {
    let mut bytes = BytesMut::new();
    codec().encode(command.clone(), &mut bytes).expect("it came from a frame");
    bytes
}

#[test]
fn there_is_a_frame_for_every_code() {
    let codes: BTreeSet<i32> = Capture::all().iter().map(|all| all.request.code).collect();
    assert_eq!(codes, BTreeSet::from(CODES));
    let binary = Capture::load("105-route-binary");
    assert_eq!(binary.request.header, HeaderKind::Binary);
}

#[test]
fn every_frame_reads_the_same_after_it_was_written() {
    for capture in Capture::all() {
        for command in capture.commands() {
            let mut bytes = encode(command);
            let read = codec().decode(&mut bytes).expect("ours").expect("whole");
            assert_eq!(&read, command, "{}", capture.name);
            assert!(bytes.is_empty());
        }
    }
}

/// Stock programs write the fields in the order of a hash table, which means nothing; the derived
/// frames have them sorted, as ours are.
#[test]
fn derived_requests_are_written_byte_for_byte() {
    let mut compared = 0;
    for capture in Capture::all() {
        if capture.name.contains("broker") || capture.name == "905-least-id" {
            continue;
        }
        assert_eq!(encode(&capture.request), &capture.request_bytes[..], "{}", capture.name);
        compared += 1;
    }
    assert!(compared > 30, "{compared} files");
}

#[test]
fn answers_belong_to_their_requests() {
    for capture in Capture::all() {
        assert!(!capture.request.is_response(), "{}", capture.name);
        match &capture.answer {
            None => {}
            Some(answer) => {
                assert!(answer.is_response(), "{}", capture.name);
                assert_eq!(answer.opaque, capture.request.opaque, "{}", capture.name);
            }
        }
    }
    for oneway in ["904-heartbeat", "905-least-id"] {
        assert!(Capture::load(oneway).request.is_oneway());
    }
}
