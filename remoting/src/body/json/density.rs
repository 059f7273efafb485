//! Refuses text whose decoded form would be many times its size: a list of `{}` is three bytes an
//! entry, and a hundred and more once each is a struct.

use crate::body::BodyError;

/// Bytes that the entries may take for each byte of text; the texts in them take one more.
const FACTOR: usize = 3;
/// Small bodies may be as dense as they like.
const FREE_BYTES: usize = 48 * 1024;
/// A list grows by doubling: while it is copied, three times its entries are there.
const GROWTH: usize = 3;

/// Judges by the number of objects, each of which may become an entry of so many bytes, and of
/// elements of lists, each of which may become a text.
pub(super) fn check(text: &[u8], object_bytes: usize) -> Result<(), BodyError> {
    let counts = count(text);
    let entries = counts.objects.saturating_mul(object_bytes);
    let texts = counts.elements.saturating_mul(size_of::<String>());
    let cost = entries.saturating_add(texts).saturating_mul(GROWTH);
    match cost <= text.len().saturating_mul(FACTOR).saturating_add(FREE_BYTES) {
        true => Ok(()),
        false => Err(BodyError::Json("too many entries for so few bytes".to_owned())),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    objects: usize,
    /// Of lists, beyond the first of each and objects aside.
    elements: usize,
}

fn count(text: &[u8]) -> Counts {
    let mut counts = Counts::default();
    // One bit for each open bracket, set for a list; deeper ones the reader refuses anyway.
    let mut lists = 0_u64;
    let mut rest = text.iter().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => {
                while let Some(inside) = rest.next() {
                    match inside {
                        b'\\' => drop(rest.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'{' => {
                counts.objects += 1;
                lists <<= 1;
            }
            b'[' => lists = lists << 1 | 1,
            b'}' | b']' => lists >>= 1,
            b',' if lists & 1 == 1 && rest.peek() != Some(&&b'{') => counts.elements += 1,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_elements_are_counted_outside_of_texts() {
        let text = br#"{"a":[1,2,"x,[{\"",4],"b":{"c":7,"d":[]}}"#;
        assert_eq!(count(text), Counts { objects: 2, elements: 3 });
    }

    #[test]
    fn what_people_send_passes_and_what_swells_does_not() {
        let subscription = br#"{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","subString":"*","subVersion":1795359881931,"tagsSet":[],"topic":"TopicTest"},"#;
        assert_eq!(check(&[&b"["[..], &subscription.repeat(4000)].concat(), 136), Ok(()));
        assert_eq!(check(&[&b"["[..], &b"\"TagA\",".repeat(500)].concat(), 136), Ok(()));
        assert!(check(&[&b"["[..], &b"{},".repeat(4000)].concat(), 136).is_err());
        assert!(check(&[&b"["[..], &b"\"\",".repeat(4000)].concat(), 136).is_err());
    }
}
