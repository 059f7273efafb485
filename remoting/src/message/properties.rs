//! Message properties as text: `name 0x01 value 0x02 name 0x01 value 0x02 …`; some writers leave
//! the last 0x02 out (RocketMQ `MessageDecoder`, `MessageConst`).

/// Stands between a name and its value.
pub const NAME_END: char = '\u{1}';
/// Stands after a value.
pub const VALUE_END: char = '\u{2}';

/// One tag, by which consumers filter.
pub const TAGS: &str = "TAGS";
/// Keys for look-up, separated by spaces.
pub const KEYS: &str = "KEYS";
/// The client's id of the message, see [`super::id::unique_id`].
pub const UNIQ_KEY: &str = "UNIQ_KEY";
/// Whether the producer waits for the flush.
pub const WAIT: &str = "WAIT";
/// Delay level, 1 to 18.
pub const DELAY: &str = "DELAY";
/// Cluster of the broker that stored it; the broker sets it.
pub const CLUSTER: &str = "CLUSTER";
/// Key of an ordered message.
pub const SHARDING_KEY: &str = "__SHARDINGKEY";
/// Topic of a message that is being retried.
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// Where a delayed or half message is to go.
pub const REAL_TOPIC: &str = "REAL_TOPIC";
/// Queue where a delayed or half message is to go.
pub const REAL_QUEUE_ID: &str = "REAL_QID";
/// Offset id of the message that a retry began with.
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// Topic of the message that a dead letter was (5.x).
pub const DEAD_LETTER_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
/// Id of the message that a dead letter was (5.x).
pub const DEAD_LETTER_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// Times and delays of 5.x's timer messages, in any of three forms.
pub const TIMER: [&str; 3] = ["TIMER_DELIVER_MS", "TIMER_DELAY_SEC", "TIMER_DELAY_MS"];
/// `true` marks a half message.
pub const TRANSACTION_PREPARED: &str = "TRAN_MSG";

/// Names and values in the order they stand in. As in Java's parser an entry without a value is none.
pub fn iter(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(VALUE_END)
        .filter_map(|entry| entry.split_once(NAME_END))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
}

/// The value of a property; of several the last.
pub fn get<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let [value] = get_each(text, [name]);
    value
}

/// The values of some properties, in the order of their names, found in one pass.
pub fn get_each<'a, const N: usize>(text: &'a str, names: [&str; N]) -> [Option<&'a str>; N] {
    let mut values = [None; N];
    for (known, value) in iter(text) {
        if let Some(at) = names.iter().position(|name| *name == known) {
            values[at] = Some(value);
        }
    }
    values
}

/// Appends a property. Name and value must not contain the two separators, see [`is_legal`].
pub fn append(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() && !text.ends_with(VALUE_END) {
        text.push(VALUE_END);
    }
    text.push_str(name);
    text.push(NAME_END);
    text.push_str(value);
    text.push(VALUE_END);
}

/// The properties without one of that name.
pub fn without(text: &str, name: &str) -> String {
    let mut rest = String::with_capacity(text.len());
    for (known, value) in iter(text).filter(|(known, _)| *known != name) {
        append(&mut rest, known, value);
    }
    rest
}

/// Sets a property: appends it, and takes away what was there under that name.
pub fn set(text: &mut String, name: &str, value: &str) {
    if get(text, name).is_some() {
        *text = without(text, name);
    }
    append(text, name, value);
}

/// Whether a name or value can stand in properties at all.
pub fn is_legal(text: &str) -> bool {
    !text.is_empty() && !text.contains([NAME_END, VALUE_END])
}
