//! Strings from outside, made fit for a log line or a problem's detail.

use std::fmt::{self, Display, Formatter, Write};

/// Most bytes of an outside string that are shown.
pub(super) const EXCERPT_BYTES_MAX: usize = 256;

/// Shows at most [`EXCERPT_BYTES_MAX`] bytes of a string; control characters and everything that
/// is not ASCII are escaped, so that nobody forges a log line or a terminal's colours.
pub(super) struct Excerpt<'a>(pub(super) &'a str);

impl Display for Excerpt<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut room = EXCERPT_BYTES_MAX;
        for character in self.0.chars() {
            let plain = character == ' ' || character.is_ascii_graphic();
            let bytes = if plain { 1 } else { character.escape_default().len() };
            if bytes > room {
                return f.write_char('~');
            }
            room -= bytes;
            if plain {
                f.write_char(character)?;
            } else {
                write!(f, "{}", character.escape_default())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_cut_and_escaped() {
        assert_eq!(Excerpt("/v1/routes/TopicA").to_string(), "/v1/routes/TopicA");
        assert_eq!(Excerpt("a\nINFO forged\x1b[31m").to_string(), r"a\nINFO forged\u{1b}[31m");
        assert_eq!(Excerpt("ü").to_string(), r"\u{fc}");
        let long = Excerpt(&"x".repeat(10_000)).to_string();
        assert_eq!(long.len(), EXCERPT_BYTES_MAX + 1);
        assert!(Excerpt(&"\u{1F980}".repeat(100)).to_string().len() <= EXCERPT_BYTES_MAX + 1);
    }
}
