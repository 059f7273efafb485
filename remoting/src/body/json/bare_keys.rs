//! Quotes the bare keys that fastjson writes, and bounds the depth, before a strict reader sees
//! the text.
//!
//! It judges no more than it must: where strings begin and end, and where keys stand. Everything
//! else that is wrong is left for the reader to say.

use std::borrow::Cow;

use super::DEPTH_MAX;
use crate::body::BodyError;

/// The text with all keys quoted; borrowed when they all are, as in most bodies.
pub(super) fn quoted(text: &[u8]) -> Result<Cow<'_, [u8]>, BodyError> {
    let mut copy: Vec<u8> = Vec::new();
    // Everything before this is in the copy.
    let mut copied = 0;
    let mut nesting = Nesting::default();
    let mut key_next = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                key_next = false;
                at = after_string(text, at);
                continue;
            }
            b'{' => {
                nesting.enter(true)?;
                key_next = true;
            }
            b'[' => {
                nesting.enter(false)?;
                key_next = false;
            }
            b'}' | b']' => {
                nesting.leave();
                key_next = false;
            }
            b',' => key_next = nesting.in_object(),
            _ if key_next && is_bare(byte) => {
                let end = at + text[at..].iter().take_while(|byte| is_bare(**byte)).count();
                copy.extend_from_slice(&text[copied..at]);
                copy.push(b'"');
                copy.extend_from_slice(&text[at..end]);
                copy.push(b'"');
                (copied, at, key_next) = (end, end, false);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(text));
    }
    copy.extend_from_slice(&text[copied..]);
    Ok(Cow::Owned(copy))
}

/// What a bare key is made of: digits mostly, and what Java's names are made of.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$')
}

/// Where the string that begins at `start` has ended; the end of the text when it does not.
fn after_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The open objects and lists, one bit each: set for an object.
#[derive(Default)]
struct Nesting {
    depth: usize,
    objects: u64,
}

impl Nesting {
    fn enter(&mut self, object: bool) -> Result<(), BodyError> {
        const { assert!(DEPTH_MAX <= u64::BITS as usize) };
        if self.depth == DEPTH_MAX {
            return Err(BodyError::TooDeep { limit: DEPTH_MAX });
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(object);
        Ok(())
    }

    /// More ends than beginnings are the reader's to refuse.
    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(json: &str) -> String {
        String::from_utf8(quoted(json.as_bytes()).unwrap().into_owned()).unwrap()
    }

    #[test]
    fn keys_are_quoted_and_values_are_left() {
        for (bare, expected) in [
            ("{0:1,12:\"a\"}", "{\"0\":1,\"12\":\"a\"}"),
            (
                "{ 0 : {1:2} , -3:[4,{5:6}, true] }",
                "{ \"0\" : {\"1\":2} , \"-3\":[4,{\"5\":6}, true] }",
            ),
            ("{a_$b:null}", "{\"a_$b\":null}"),
            ("{\"a\\\"{,1:\":\"},2:\",3:[]}", "{\"a\\\"{,1:\":\"},2:\",\"3\":[]}"),
        ] {
            assert_eq!(text(bare), expected);
        }
    }

    #[test]
    fn strict_text_is_not_copied() {
        let strict = br#"{"0":[1,-2,{"a":null}],"b":"{0:1}"}"#;
        assert!(matches!(quoted(strict), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn depth_is_bounded_whatever_nests() {
        for open in ["{\"a\":", "[", "{a:["] {
            let levels = open.matches(['{', '[']).count();
            let fits = open.repeat(DEPTH_MAX / levels);
            assert!(quoted(fits.as_bytes()).is_ok());
            let deep = Err(BodyError::TooDeep { limit: DEPTH_MAX });
            assert_eq!(quoted(open.repeat(DEPTH_MAX / levels + 1).as_bytes()), deep);
            assert_eq!(quoted(open.repeat(1_000_000).as_bytes()), deep);
        }
        // Side by side is not deep.
        assert!(quoted("[],".repeat(1000).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_pass_and_grow_by_no_more_than_quotes(bytes in prop::collection::vec(prop::sample::select(b"{}[]:,\"\\a0 -\xFF".to_vec()), 0..80)) {
            if let Ok(text) = quoted(&bytes) {
                prop_assert!(text.len() <= 3 * bytes.len());
            }
        }
    }
}
