//! JSON headers as programs really write them, read in one pass.
//!
//! No white space, bare integers, strings without escapes: that is how Java, Go and we write.
//! Whatever is otherwise is left to the tolerant reader in [`super::json`], which copies each value
//! before it looks at it. So this may decline what is right, but never takes what is wrong, and never
//! reads it otherwise; a test holds the two against each other.

use super::json::language;
use crate::ext::MAX_EXT_FIELDS;
use crate::{ExtFields, HeaderKind, Language, RemotingCommand};

/// Room that is taken at once for the text of a header's fields; more grows as it is read.
const ROOM_MAX_BYTES: usize = 512;

/// Reads a header, or declines it; the body is left empty.
pub(super) fn decode(header: &[u8]) -> Option<RemotingCommand> {
    let mut scan = Scan { text: std::str::from_utf8(header).ok()?, at: 0 };
    // The defaults that stock Java has for keys that are missing.
    let mut command = RemotingCommand {
        version: 0,
        language: Language::Java,
        header: HeaderKind::Json,
        ..RemotingCommand::request(0)
    };
    scan.object(|key, scan| {
        match key {
            "code" => command.code = scan.number()?.parse().ok()?,
            "flag" => command.flag = scan.number()?.parse().ok()?,
            "opaque" => command.opaque = scan.number()?.parse().ok()?,
            "version" => command.version = scan.number()?.parse().ok()?,
            "language" => command.language = language(Some(scan.string()?)),
            "remark" => command.remark = Some(scan.string()?.to_owned()),
            "extFields" => command.ext = scan.fields()?,
            _ => drop(scan.scalar()?),
        }
        Some(())
    })?;
    (scan.at == header.len()).then_some(command)
}

struct Scan<'h> {
    text: &'h str,
    at: usize,
}

impl<'h> Scan<'h> {
    /// `{"key":value,…}`, where `value` reads what follows a key.
    fn object(&mut self, mut value: impl FnMut(&'h str, &mut Self) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.string()?;
            self.take(b':')?;
            value(key, self)?;
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    fn fields(&mut self) -> Option<ExtFields> {
        // The rest of the header is longer than all of their text.
        let mut fields = ExtFields::with_room((self.text.len() - self.at).min(ROOM_MAX_BYTES));
        self.object(|key, scan| {
            fields.insert(key, scan.scalar()?);
            (fields.len() <= MAX_EXT_FIELDS).then_some(())
        })?;
        Some(fields)
    }

    /// A string's content, or an integer's literal.
    fn scalar(&mut self) -> Option<&'h str> {
        match self.peek()? {
            b'"' => self.string(),
            _ => self.number(),
        }
    }

    fn string(&mut self) -> Option<&'h str> {
        self.take(b'"')?;
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' '))?;
        self.at += end;
        self.take(b'"')?;
        Some(&rest[..end])
    }

    fn number(&mut self) -> Option<&'h str> {
        let rest = &self.text[self.at..];
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let is_json = digits == 1 || (digits > 1 && rest.as_bytes()[sign] != b'0');
        self.at += sign + digits;
        // A fraction or an exponent, if one follows, is what the caller does not expect next.
        is_json.then(|| &rest[..sign + digits])
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json;
    use super::*;

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
            if let Some(read) = decode(text.as_bytes()) {
                prop_assert_eq!(read, json::tolerant(text.as_bytes()).expect("a header"));
            }
        }

        #[test]
        fn cut_and_flipped_headers_are_read_alike_or_declined(at in 0_usize..200, byte: u8) {
            let mut text = LOOK_UP.as_bytes().to_vec();
            let at = at % text.len();
            for flipped in [true, false] {
                if flipped { text[at] = byte } else { text.truncate(at) }
                if let Some(read) = decode(&text) {
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
            let read = decode(text.as_bytes()).expect(text);
            assert_eq!(read, json::tolerant(text.as_bytes()).expect("a header"), "{text}");
        }
    }
}
