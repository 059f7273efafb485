//! Quotes the bare keys that fastjson writes, and bounds the depth, before a strict reader sees
//! the text.
//!
//! It judges no more than it must: where strings begin and end, and where keys stand. Everything
//! else that is wrong is left for the reader to say.

use std::borrow::Cow;
use std::ops::Range;

use super::DEPTH_MAX;
use crate::body::BodyError;

/// What reading a text takes, but for its tables and lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    bare_keys: usize,
    /// Of strings, quotes included, and of bare keys: no more than that is kept of them.
    pub(super) text_bytes: usize,
    /// Of strings with escapes.
    escaped_bytes: usize,
}

impl Survey {
    /// Looks at the text, and takes no memory.
    ///
    /// # Errors
    /// It nests too deep.
    pub(super) fn of(text: &[u8]) -> Result<Self, BodyError> {
        let mut survey = Self::default();
        walk(text, |found| match found {
            Found::BareKey(at) => {
                survey.bare_keys += 1;
                survey.text_bytes += at.len();
            }
            Found::Text { bytes, escaped } => {
                survey.text_bytes += bytes;
                survey.escaped_bytes += if escaped { bytes } else { 0 };
            }
        })?;
        Ok(survey)
    }

    /// Bytes taken while it is read: by the copy, and by the reader, which takes a string with
    /// escapes apart in a buffer of its own; three times the string while that grows, one of which
    /// is what is kept of it.
    pub(super) fn passing_bytes(&self, text: &[u8]) -> usize {
        self.copy_bytes(text) + 2 * self.escaped_bytes
    }

    fn copy_bytes(&self, text: &[u8]) -> usize {
        if self.bare_keys == 0 { 0 } else { text.len() + QUOTES * self.bare_keys }
    }

    /// The text that this is of with all keys quoted; borrowed when they all are, as in most bodies.
    pub(super) fn quoted<'a>(&self, text: &'a [u8]) -> Result<Cow<'a, [u8]>, BodyError> {
        if self.bare_keys == 0 {
            return Ok(Cow::Borrowed(text));
        }
        let mut copy = Vec::with_capacity(self.copy_bytes(text));
        // Everything before this is in the copy.
        let mut copied = 0;
        walk(text, |found| {
            if let Found::BareKey(key) = found {
                copy.extend_from_slice(&text[copied..key.start]);
                copy.push(b'"');
                copy.extend_from_slice(&text[key.clone()]);
                copy.push(b'"');
                copied = key.end;
            }
        })?;
        copy.extend_from_slice(&text[copied..]);
        Ok(Cow::Owned(copy))
    }
}

/// Around a key.
const QUOTES: usize = 2;

enum Found {
    /// Where it stands.
    BareKey(Range<usize>),
    /// A string.
    Text { bytes: usize, escaped: bool },
}

fn walk(text: &[u8], mut found: impl FnMut(Found)) -> Result<(), BodyError> {
    let mut nesting = Nesting::default();
    let mut key_next = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                key_next = false;
                let (end, escaped) = after_string(text, at);
                found(Found::Text { bytes: end - at, escaped });
                at = end;
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
                found(Found::BareKey(at..end));
                (at, key_next) = (end, false);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// What a bare key is made of: digits mostly, and what Java's names are made of.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$')
}

/// Where the string that begins at `start` has ended, the end of the text when it does not; and
/// whether there are escapes in it.
fn after_string(text: &[u8], start: usize) -> (usize, bool) {
    let (mut at, mut escaped) = (start + 1, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return (at + 1, escaped),
            b'\\' => (at, escaped) = (at + 2, true),
            _ => at += 1,
        }
    }
    (text.len(), escaped)
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

    fn quoted(text: &[u8]) -> Result<Cow<'_, [u8]>, BodyError> {
        Survey::of(text)?.quoted(text)
    }

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
    fn texts_are_measured() {
        let json = br#"{"a\n":"\"\\","b":"c",d:["\u0000"]}"#;
        let expected = Survey { bare_keys: 1, text_bytes: 26, escaped_bytes: 5 + 6 + 8 };
        assert_eq!(Survey::of(json), Ok(expected));
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
                prop_assert!(text.len() <= 2 * bytes.len() + 1);
                if let Cow::Owned(copy) = text {
                    let foreseen = Survey::of(&bytes).unwrap().copy_bytes(&bytes);
                    prop_assert_eq!((copy.len(), copy.capacity()), (foreseen, foreseen));
                }
            }
        }
    }
}
