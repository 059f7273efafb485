//! Answers in a form in which two name servers' can be compared.

use std::collections::BTreeMap;

use serde_json::Value;
use signpost_remoting::{HeaderKind, RemotingCommand};

/// What a name server said, without what means nothing: the order of lists, the order of fields,
/// and who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) remark: Option<String>,
    pub(crate) ext: BTreeMap<String, String>,
    pub(crate) body: Body,
    pub(crate) header: HeaderKind,
    flag: i32,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    /// `strict`: any JSON reader takes it, for no key is bare.
    Json {
        value: Value,
        strict: bool,
    },
    Text(String),
}

impl Answer {
    pub(crate) fn of(command: &RemotingCommand) -> Self {
        let ext = command.ext.iter();
        Self {
            code: command.code,
            remark: command.remark.clone(),
            ext: ext.map(|(field, value)| (field.to_owned(), value.to_owned())).collect(),
            body: Body::of(&command.body),
            header: command.header,
            flag: command.flag,
        }
    }

    /// A field of its body, if that is JSON.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        match &self.body {
            Body::Json { value, .. } => value.get(name),
            Body::None | Body::Text(_) => None,
        }
    }

    /// The addresses in an answer to 901.
    pub(crate) fn addresses(&self) -> Vec<&str> {
        let group = self.field("brokerMemberGroup");
        let table = group.and_then(|group| group["brokerAddrs"].as_object());
        let addresses = table.into_iter().flat_map(|table| table.values());
        addresses.filter_map(Value::as_str).collect()
    }

    /// Takes a field out of its body; says whether it was there.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        match &mut self.body {
            Body::Json { value, .. } => value.as_object_mut()?.remove(name),
            Body::None | Body::Text(_) => None,
        }
    }
}

impl Body {
    fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::None;
        }
        let text = String::from_utf8_lossy(bytes);
        let strict = serde_json::from_str(&text);
        let is_strict = strict.is_ok();
        match strict.or_else(|_| serde_json::from_str(&quoted(&text))) {
            Ok(value) => Self::Json { value: sorted(value), strict: is_strict },
            Err(_) => Self::Text(text.into_owned()),
        }
    }
}

/// Lists in one order: those of a name server have none.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(sorted).collect();
            list.sort_by_key(ToString::to_string);
            Value::Array(list)
        }
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, field)| (name, sorted(field))).collect())
        }
        other => other,
    }
}

/// Puts bare integer keys, as fastjson writes them, into quotes.
fn quoted(text: &str) -> String {
    let (mut quoted, mut rest, mut in_string) = (String::new(), text.chars().peekable(), false);
    while let Some(character) = rest.next() {
        quoted.push(character);
        match character {
            '\\' if in_string => quoted.extend(rest.next()),
            '"' => in_string = !in_string,
            '{' | ',' if !in_string && rest.peek().is_some_and(char::is_ascii_digit) => {
                quoted.push('"');
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    quoted.push(digit);
                }
                quoted.push('"');
            }
            _ => {}
        }
    }
    quoted
}

#[test]
fn bare_keys_and_the_order_of_lists_mean_nothing() {
    let bare = Body::of(br#"{"t":{0:"a,1:",12:"b"},"l":["y","x\"{3"]}"#);
    let strict = Body::of(br#"{"l":["x\"{3","y"],"t":{"0":"a,1:","12":"b"}}"#);
    let (Body::Json { value, strict: false }, Body::Json { value: same, strict: true }) =
        (bare, strict)
    else {
        panic!("both are JSON");
    };
    assert_eq!(value, same);
}
