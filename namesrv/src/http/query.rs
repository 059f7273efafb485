//! Query parameters, strictly: what is not known, given twice or cannot be decoded is refused,
//! because a parameter that is silently ignored (`min_indx=7`) makes a promise nobody keeps.

use percent_encoding::percent_decode_str;

use super::names::{EXACT_MAX, Invalid};

/// Most parameters of one request.
const PARAMETERS_MAX: usize = 32;

/// The decoded parameters of one request, each of a known name.
#[derive(Debug, Default)]
pub(super) struct Query<'q> {
    pairs: Vec<(&'static str, std::borrow::Cow<'q, str>)>,
}

impl<'q> Query<'q> {
    /// Takes a request's raw query apart.
    pub(super) fn parse(
        raw: Option<&'q str>,
        known: &'static [&'static str],
    ) -> Result<Self, Invalid> {
        let mut pairs: Vec<(&'static str, std::borrow::Cow<'q, str>)> = Vec::new();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = known.iter().copied().find(|known| *known == name) else {
                return Err(Invalid::new(shown(name), expected_names(known)));
            };
            if pairs.len() == PARAMETERS_MAX || pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(Invalid::new(name, "given once"));
            }
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| Invalid::new(name, "percent-encoded UTF-8"))?;
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The text of a parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_ref())
    }

    /// A number below 2^53.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Invalid> {
        let Some(text) = self.text(name) else { return Ok(None) };
        number(name, text).map(Some)
    }

    /// `true`, `false`, or the bare name, which means true.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Invalid> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(Invalid::new(name, "true or false")),
        }
    }
}

/// A whole number below 2^53, of digits only (`+1` and ` 1` are typing errors).
pub(super) fn number(field: &str, text: &str) -> Result<u64, Invalid> {
    let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(number) if digits_only && number <= EXACT_MAX => Ok(number),
        _ => Err(Invalid::new(field, format!("a whole number from 0 to {EXACT_MAX}"))),
    }
}

fn expected_names(known: &[&str]) -> String {
    if known.is_empty() {
        return "left out: this call takes no parameters".to_owned();
    }
    format!("one of the parameters of this call: {}", known.join(", "))
}

fn shown(name: &str) -> String {
    super::excerpt::Excerpt(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["consistency", "min_index", "takeover"];

    fn refused(raw: &str) -> Invalid {
        Query::parse(Some(raw), KNOWN).expect_err(raw)
    }

    #[test]
    fn known_parameters_are_decoded() {
        let query = Query::parse(Some("consistency=lo%63al&min_index=7&takeover"), KNOWN)
            .expect("well-formed");
        assert_eq!(query.text("consistency"), Some("local"));
        assert_eq!(query.number("min_index"), Ok(Some(7)));
        assert_eq!(query.flag("takeover"), Ok(true));
        assert!(Query::parse(None, KNOWN).expect("empty").text("consistency").is_none());
    }

    #[test]
    fn others_are_refused_by_name() {
        assert_eq!(refused("min_indx=7").field, "min_indx");
        assert_eq!(refused("Min_index=7").field, "Min_index");
        assert_eq!(refused("min_index=7&min_index=8").field, "min_index");
        assert_eq!(refused("consistency=%ff").field, "consistency");
        assert!(refused("x=1").expected.contains("consistency, min_index, takeover"));
        assert_eq!(refused(&"x".repeat(9_000)).field.len(), 257);
    }

    #[test]
    fn numbers_are_digits_below_two_to_the_53() {
        for bad in ["", "-1", "+1", "1.0", " 1", "0x1", "9007199254740992", "1e3", "١"] {
            assert!(number("n", bad).is_err(), "{bad:?}");
        }
        assert_eq!(number("n", "9007199254740991"), Ok(EXACT_MAX));
    }
}
