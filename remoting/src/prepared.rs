//! [`Prepared`]: a response that is given again and again, its header written once.

use bytes::BytesMut;

use crate::{FrameError, HeaderKind, RemotingCommand, header};

/// A response but for its id and its body, which each answer brings along.
#[derive(Debug)]
pub struct Prepared {
    code: i32,
    json: Halves,
    binary: Halves,
}

/// The bytes of a header around the id.
#[derive(Debug)]
pub(crate) struct Halves {
    pub(crate) before: Box<[u8]>,
    pub(crate) after: Box<[u8]>,
}

impl Prepared {
    /// Writes the header of this response in both kinds. Its id, kind and body do not matter.
    ///
    /// # Errors
    /// When it does not fit a binary header.
    pub fn new(response: &RemotingCommand) -> Result<Self, FrameError> {
        let mut response = response.clone();
        response.mark_response_to(0, HeaderKind::Json);
        let (mut before, mut after) = (BytesMut::new(), BytesMut::new());
        header::json::encode_before_id(&response, &mut before);
        header::json::encode_after_id(&response, &mut after);
        let json = Halves { before: before[..].into(), after: after[..].into() };
        let mut binary = BytesMut::new();
        header::binary::encode(&response, &mut binary)?;
        let (before, rest) = binary.split_at(header::binary::ID_AT);
        let binary = Halves { before: before.into(), after: rest[size_of::<i32>()..].into() };
        Ok(Self { code: response.code, json, binary })
    }

    /// The response code.
    pub fn code(&self) -> i32 {
        self.code
    }

    pub(crate) fn halves(&self, kind: HeaderKind) -> &Halves {
        match kind {
            HeaderKind::Json => &self.json,
            HeaderKind::Binary => &self.binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExtFields, FrameCodec, FrameLimits, response};

    fn frame(codec: &FrameCodec, command: &RemotingCommand) -> Result<BytesMut, FrameError> {
        let mut bytes = BytesMut::from(&b"what was there"[..]);
        codec.encode_into(command, &mut bytes).map(|()| bytes)
    }

    #[test]
    fn an_answer_is_what_it_would_be_unprepared() {
        let codec = FrameCodec::default();
        let ext = ExtFields::new().with("opaque", "\"opaque\":1").with("other", "é");
        let plain = RemotingCommand::response(response::SUCCESS);
        let wordy = RemotingCommand::error(response::SYSTEM_ERROR, ",\"opaque\":7").with_ext(ext);
        for response in [plain, wordy] {
            let prepared = Prepared::new(&response).expect("fits");
            assert_eq!(prepared.code(), response.code);
            for kind in [HeaderKind::Json, HeaderKind::Binary] {
                for (opaque, body) in [(0, ""), (7, "{}"), (i32::MAX, "b"), (i32::MIN, "body")] {
                    let mut answer = response.clone().with_body(body);
                    answer.mark_response_to(opaque, kind);
                    let mut bytes = BytesMut::from(&b"what was there"[..]);
                    codec
                        .encode_prepared(&prepared, opaque, kind, body.as_bytes(), &mut bytes)
                        .expect("fits");
                    assert_eq!(bytes, frame(&codec, &answer).expect("fits"), "{answer:?}");
                }
            }
        }
    }

    #[test]
    fn it_is_refused_where_it_would_be_unprepared_and_leaves_nothing_behind() {
        let prepared = Prepared::new(&RemotingCommand::response(0)).expect("fits");
        let body = [b'b'; 40];
        let whole = {
            let mut answer = RemotingCommand::response(0).with_body(body.to_vec());
            answer.mark_response_to(5, HeaderKind::Json);
            frame(&FrameCodec::default(), &answer).expect("fits").len() - "what was there".len()
        };
        let roomy = FrameLimits::default();
        let tight = [
            FrameLimits { max_frame_bytes: whole - 1, ..roomy },
            FrameLimits { max_header_bytes: whole - body.len() - 9, ..roomy },
        ];
        for limits in tight {
            let mut bytes = BytesMut::from(&b"what was there"[..]);
            let codec = FrameCodec::new(limits);
            codec
                .encode_prepared(&prepared, 5, HeaderKind::Json, &body, &mut bytes)
                .expect_err("too large");
            assert_eq!(&bytes[..], b"what was there");
        }
        let mut bytes = BytesMut::new();
        let just = FrameCodec::new(FrameLimits { max_frame_bytes: whole, ..roomy });
        just.encode_prepared(&prepared, 5, HeaderKind::Json, &body, &mut bytes).expect("just fits");
    }
}
