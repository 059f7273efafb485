//! JSON headers as programs really write them, read in one pass.
//!
//! No white space, bare integers, strings without escapes, no keys but RocketMQ's: that is how Java,
//! Go and we write. Whatever is otherwise is left to the tolerant reader in [`super::json`], which
//! copies each value before it looks at it. So this may decline what is right, but never takes what is
//! wrong, and never reads it otherwise; a test holds the two against each other.

use std::ops::Range;

use super::json::language;
use crate::ext::{Entry, MAX_EXT_FIELDS};
use crate::{ExtFields, Language, RemotingCommand};

/// Digits of the longest `i32`.
const INTEGER_DIGITS_MAX: u32 = 10;
/// Bytes after a string's content that belong to it.
const QUOTE: usize = 1;

/// Reads a header into a command that has the defaults, or declines it and leaves who knows what.
pub(super) fn decode(header: &[u8], command: &mut RemotingCommand) -> Option<()> {
    let mut scan = Scan { rest: header };
    scan.take(b"{")?;
    if scan.take(b"}").is_none() {
        loop {
            // The first letters of the keys differ, so that one is known before it is read.
            match scan.rest.get(1)? {
                b'c' => command.code = scan.take(b"\"code\":")?.integer()?,
                b'e' => scan.take(b"\"extFields\":")?.fields(&mut command.ext)?,
                b'f' => command.flag = scan.take(b"\"flag\":")?.integer()?,
                // Of nearly all.
                b'l' if scan.take(b"\"language\":\"JAVA\"").is_some() => {
                    command.language = Language::Java;
                }
                b'l' => {
                    let name = scan.take(b"\"language\":")?.string()?;
                    command.language = language(Some(text(name)?));
                }
                b'o' => command.opaque = scan.take(b"\"opaque\":")?.integer()?,
                b'r' => {
                    let remark = scan.take(b"\"remark\":")?.string()?;
                    command.remark = Some(text(remark)?.to_owned());
                }
                b's' => {
                    scan.take(b"\"serializeTypeCurrentRPC\":\"JSON\"")?;
                }
                b'v' => command.version = scan.take(b"\"version\":")?.integer()?,
                _ => return None,
            }
            if scan.take(b",").is_none() {
                break;
            }
        }
        scan.take(b"}")?;
    }
    scan.rest.is_empty().then_some(())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// What has not been read yet.
struct Scan<'h> {
    rest: &'h [u8],
}

impl<'h> Scan<'h> {
    /// Goes on behind these bytes, if they come next.
    fn take<const N: usize>(&mut self, wanted: &[u8; N]) -> Option<&mut Self> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(self)
    }

    fn fields(&mut self, fields: &mut ExtFields) -> Option<()> {
        let object = self.rest;
        // Where in the object this is that was read last.
        let place = |scan: &Self, part: &[u8], after: usize| -> Range<usize> {
            let end = object.len() - scan.rest.len() - after;
            end - part.len()..end
        };
        self.take(b"{")?;
        let mut parts = fields.room();
        if self.take(b"}").is_some() {
            return Some(());
        }
        loop {
            let key = self.string()?;
            let key = place(self, key, QUOTE);
            self.take(b":")?;
            let value = match self.rest.first()? {
                b'"' => {
                    let string = self.string()?;
                    place(self, string, QUOTE)
                }
                _ => {
                    let number = self.number()?;
                    place(self, number, 0)
                }
            };
            parts.push(Entry::new(key, value));
            if parts.len() > MAX_EXT_FIELDS {
                return None;
            }
            if self.take(b",").is_none() {
                break;
            }
        }
        self.take(b"}")?;
        fields.set_parts(text(&object[..object.len() - self.rest.len()])?, parts);
        Some(())
    }

    /// A string's content.
    fn string(&mut self) -> Option<&'h [u8]> {
        let rest = self.rest.strip_prefix(b"\"")?;
        let content = &rest[..string_end(rest)?];
        self.rest = rest[content.len()..].strip_prefix(b"\"")?;
        Some(content)
    }

    /// An integer's literal.
    fn number(&mut self) -> Option<&'h [u8]> {
        let sign = usize::from(self.rest.first()? == &b'-');
        let digits = self.rest[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_json = digits == 1 || (digits > 1 && self.rest[sign] != b'0');
        let (literal, rest) = self.rest.split_at(sign + digits);
        // A fraction or an exponent, if one follows, is what the caller does not expect next.
        self.rest = rest;
        is_json.then_some(literal)
    }

    fn integer(&mut self) -> Option<i32> {
        let negative = self.take(b"-").is_some();
        let (mut value, mut digits) = (0_i64, 0_u32);
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
            value = value * 10 + i64::from(digit - b'0');
            (self.rest, digits) = (rest, digits + 1);
            if digits > 1 && value < 10 || digits > INTEGER_DIGITS_MAX {
                return None;
            }
        }
        let value = if negative { -value } else { value };
        (digits > 0).then(|| value.try_into().ok())?
    }
}

/// Where the first byte is that no plain string contains: a quotation mark, a backslash, a control
/// character.
fn string_end(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    // Highest bits of the bytes that are smaller than this; those after the first may be wrong
    // (Mycroft's test, as in "Bit Twiddling Hacks", "Determine if a word has a byte less than n").
    let less = |word: u64, than: u64| word.wrapping_sub(EACH * than) & !word & HIGH;
    let (words, tail) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let equal = |byte: u8| less(word ^ (EACH * u64::from(byte)), 1);
        let found = less(word, u64::from(b' ')) | equal(b'"') | equal(b'\\');
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
    Some(bytes.len() - tail.len() + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json;
    use super::*;

    /// What a command reads that has held another one.
    fn read(header: &[u8]) -> Option<RemotingCommand> {
        let ext = ExtFields::new().with("a", "former").with("topic", "former");
        let mut command = RemotingCommand::error(7, "former").with_ext(ext).with_body("former");
        json::set_defaults(&mut command);
        decode(header, &mut command).map(|()| command)
    }

    /// Headers as they are written, and headers that are nearly so.
    fn header() -> impl Strategy<Value = String> {
        let string = prop_oneof![
            4 => "[a-zA-Z0-9%_.:é-]{0,12}",
            1 => r#"\\[n"u/]{0,2}|\\u00e9|[\x00-\x20"]"#,
        ];
        let number = prop_oneof![
            4 => any::<i32>().prop_map(|number| number.to_string()),
            1 => r"-?[0-9]{0,11}|-?[0-9](\.[0-9]|e[0-9])|true|null|-",
        ];
        let scalar = prop_oneof![string.prop_map(|text| format!("\"{text}\"")), number.boxed()];
        let fields = prop::collection::vec(("[a-d]{0,2}", scalar.clone()), 0..4).prop_map(|all| {
            let all: Vec<_> = all.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", all.join(","))
        });
        let key = "code|flag|opaque|version|language|remark|extFields|other";
        let value = prop_oneof![3 => scalar, 1 => fields];
        let member = (key, value).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        let ending = prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("}"), 1 => Just(",")];
        (prop::collection::vec(member, 0..6), ending)
            .prop_map(|(members, ending)| format!("{{{}}}{ending}", members.join(",")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn what_it_reads_the_tolerant_reader_reads_alike(text in header()) {
            if let Some(read) = read(text.as_bytes()) {
                prop_assert_eq!(read, json::tolerant(text.as_bytes()).expect("a header"));
            }
        }

        #[test]
        fn cut_and_flipped_headers_are_read_alike_or_declined(at in 0_usize..200, byte: u8) {
            let mut text = LOOK_UP.as_bytes().to_vec();
            let at = at % text.len();
            for flipped in [true, false] {
                if flipped { text[at] = byte } else { text.truncate(at) }
                if let Some(read) = read(&text) {
                    prop_assert_eq!(read, json::tolerant(&text).expect("a header"));
                }
            }
        }
    }

    const LOOK_UP: &str = concat!(
        r#"{"code":105,"extFields":{"acceptStandardJsonOnly":"true","topic":"%RETRY%group"},"#,
        r#""flag":0,"language":"JAVA","opaque":-7,"serializeTypeCurrentRPC":"JSON","version":513}"#
    );

    #[test]
    fn what_java_go_and_we_write_is_not_declined() {
        let go = r#"{"code":105,"language":"GO","version":317,"opaque":1,"flag":0,"remark":"","extFields":{"topic":"T"}}"#;
        for text in [LOOK_UP, go, "{}"] {
            let read = read(text.as_bytes()).expect(text);
            assert_eq!(read, json::tolerant(text.as_bytes()).expect("a header"), "{text}");
        }
    }
}
