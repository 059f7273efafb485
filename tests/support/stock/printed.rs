//! What `mqadmin` printed, parsed: so that two answers can be compared as what they mean.

use std::collections::BTreeSet;

use serde_json::Value;

/// The lines as a set: the tool prints what it had in hash maps.
pub(crate) fn lines(out: &str) -> BTreeSet<String> {
    out.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// `topicRoute`: the route it prints, its lists sorted; null when it printed none.
pub(crate) fn route(out: &str) -> Value {
    let Some(start) = out.find('{') else { return Value::Null };
    let text = quote_bare_keys(&out[start..]);
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let Some(Ok(mut route)) = values.next() else { panic!("not a route: {out}") };
    for list in ["brokerDatas", "queueDatas"] {
        if let Some(Value::Array(entries)) = route.get_mut(list) {
            entries.sort_by_key(|entry| entry["brokerName"].to_string());
        }
    }
    route
}

/// `clusterList`: cluster, broker name, id, address and version of each broker. The other columns
/// are the brokers' own numbers, which change from call to call.
pub(crate) fn clusters(out: &str) -> BTreeSet<[String; 5]> {
    let rows = out.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        std::array::from_fn(|_| words.next().unwrap_or_default())
    })
    .collect()
}

/// `brokerStatus`: each broker's names of numbers. The numbers change from call to call.
pub(crate) fn statuses(out: &str) -> BTreeSet<String> {
    let lines = lines(out);
    let names = lines.iter().filter_map(|line| line.split_once(": "));
    names.map(|(name, _)| name.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The response that a failed call met, as in `CODE: 17  DESC: …`.
pub(crate) fn refusal(err: &str) -> Option<String> {
    let line = err.lines().find(|line| line.contains("CODE: "))?;
    Some(line[line.find("CODE: ")?..].trim().to_owned())
}

/// The tool prints map keys that are numbers without quotes.
fn quote_bare_keys(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let (mut in_string, mut escaped, mut number) = (false, false, String::new());
    for c in text.chars() {
        if !in_string && (c.is_ascii_digit() || (c == '-' && number.is_empty())) {
            number.push(c);
            continue;
        }
        if !number.is_empty() {
            let key = c == ':';
            let mark = if key { "\"" } else { "" };
            quoted.push_str(&format!("{mark}{number}{mark}"));
            number.clear();
        }
        in_string = match c {
            '"' if !escaped => !in_string,
            _ => in_string,
        };
        escaped = in_string && c == '\\' && !escaped;
        quoted.push(c);
    }
    quoted
}

#[test]
fn bare_keys_are_quoted_and_nothing_else_is() {
    let text = r#"{"a:1":{0:"x\":2:",10:3.5},"b":[1,-2],"c":"0:1"}"#;
    let value: Value = serde_json::from_str(&quote_bare_keys(text)).expect("JSON by now");
    let expected = r#"{"a:1":{"0":"x\":2:","10":3.5},"b":[1,-2],"c":"0:1"}"#;
    assert_eq!(value, serde_json::from_str::<Value>(expected).expect("JSON"));
}

#[test]
fn names_of_numbers_are_found() {
    let out = "10.0.0.1:1  putTps  : 0.0 0.1\n10.0.0.1:1  longName: 7\n";
    let names: Vec<String> = statuses(out).into_iter().collect();
    assert_eq!(names, ["10.0.0.1:1 longName", "10.0.0.1:1 putTps"]);
}

#[test]
fn refusals_are_found() {
    let err = "at X\norg.Y: CODE: 17  DESC: No topic route\n at Z";
    assert_eq!(refusal(err).as_deref(), Some("CODE: 17  DESC: No topic route"));
    assert_eq!(refusal("fine"), None);
}
