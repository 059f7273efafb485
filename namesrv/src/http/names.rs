//! What names and numbers from outside must look like. Pure; every rule says what it expected.
//!
//! Topics follow RocketMQ's `TopicValidator`; broker and cluster names may hold dots as well, for
//! brokers are commonly named after their hosts.

/// Longest topic, broker, cluster, namespace and key, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 255;
/// Longest `host:port`, in bytes: a DNS name is at most 253.
pub(super) const ADDRESS_BYTES_MAX: usize = 253 + 6;
/// Largest KV value, in bytes.
pub(super) const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Incarnations, seqs and epochs stay below 2^53, so that every JSON parser keeps them exactly.
pub(super) const EXACT_MAX: u64 = (1 << 53) - 1;
/// Most read or write queues of one topic on one broker.
pub(super) const QUEUES_MAX: u32 = 65_535;
/// RocketMQ's `PermName`: 4 read, 2 write, 1 inherit.
pub(super) const PERM_MAX: u32 = 7;
/// Java reads `topicSysFlag` as a signed 32 bit number.
pub(super) const SYS_FLAG_MAX: u32 = i32::MAX as u32;

/// What was wrong with a value: which one, and what was expected instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invalid {
    /// Where it stands, e.g. `topics.TopicA.perm`.
    pub(super) field: String,
    /// A noun phrase that completes "must be …".
    pub(super) expected: String,
}

impl Invalid {
    pub(super) fn new(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: field.into(), expected: expected.into() }
    }
}

fn made_of(name: &str, extra: &[u8]) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}

/// A topic's name.
pub(super) fn topic(field: impl Into<String>, name: &str) -> Result<(), Invalid> {
    if made_of(name, b"%_|-") {
        return Ok(());
    }
    Err(Invalid::new(field, "a topic's name: 1 to 255 of the characters a-z A-Z 0-9 % _ | -"))
}

/// A broker's or a cluster's name.
pub(super) fn broker_or_cluster(field: impl Into<String>, name: &str) -> Result<(), Invalid> {
    if made_of(name, b"%_|-.") {
        return Ok(());
    }
    Err(Invalid::new(field, "a name: 1 to 255 of the characters a-z A-Z 0-9 % _ | - ."))
}

/// A KV namespace or key.
pub(super) fn kv_name(field: impl Into<String>, name: &str) -> Result<(), Invalid> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Invalid::new(field, "1 to 255 bytes of UTF-8 without control characters"))
}

/// `host:port`, where the host is a DNS name, an IPv4 address or a bracketed IPv6 address.
pub(super) fn address(field: impl Into<String>, address: &str) -> Result<(), Invalid> {
    if is_address(address) {
        return Ok(());
    }
    Err(Invalid::new(
        field,
        "host:port with a DNS name, an IPv4 address or an IPv6 address in brackets, \
         and a port from 1 to 65535",
    ))
}

fn is_address(address: &str) -> bool {
    if address.len() > ADDRESS_BYTES_MAX {
        return false;
    }
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let port_is_plain = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    if !port_is_plain || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return false;
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}

/// A number from `min` to `max`.
pub(super) fn within(
    field: impl Into<String>,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), Invalid> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Invalid::new(field, format!("a whole number from {min} to {max}")))
}

/// `500ms`, `30s`, `2m`: a whole number and its unit.
pub(super) fn duration_ms(field: &str, text: &str, max_ms: u64) -> Result<u64, Invalid> {
    let refuse = || {
        Err(Invalid::new(
            field,
            format!("a duration such as 500ms, 30s or 1m, of at most {max_ms} ms"),
        ))
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return refuse(),
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)) {
        Some(ms) if ms <= max_ms => Ok(ms),
        _ => refuse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_follow_rocketmq() {
        for good in ["a", "TopicA", "%RETRY%group-1", "a|b_c-d", &"x".repeat(255)] {
            assert!(topic("t", good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a.b", "täglich", "a\0", "a\n", "../x", &"x".repeat(256)] {
            assert!(topic("t", bad).is_err(), "{bad:?}");
        }
        assert!(broker_or_cluster("b", "host-1.example.com").is_ok());
        assert!(broker_or_cluster("b", "host/1").is_err());
    }

    #[test]
    fn addresses_need_a_host_and_a_port() {
        for good in
            ["127.0.0.1:10911", "broker-a:1", "a_b.example.com:65535", "[::1]:10911", "[fe80::1]:9"]
        {
            assert!(address("a", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ":",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:65536",
            "a:-1",
            "a:+1",
            "a: 1",
            "a b:1",
            "::1:80",
            "[::1]",
            "[::g]:1",
            "[a]:1",
            "a..b:1",
            "-a:1",
            "a-:1",
            "http://a:1",
            "a:1/",
            "a:00000080",
            "a\n:1",
            "é:1",
        ] {
            assert!(address("a", bad).is_err(), "{bad:?}");
        }
        assert!(address("a", &format!("{}:1", "x".repeat(64))).is_err());
        assert!(address("a", &format!("{}:1", vec!["x".repeat(60); 5].join("."))).is_err());
    }

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        assert_eq!(duration_ms("wait", "500ms", 60_000), Ok(500));
        assert_eq!(duration_ms("wait", "30s", 60_000), Ok(30_000));
        assert_eq!(duration_ms("wait", "1m", 60_000), Ok(60_000));
        assert_eq!(duration_ms("wait", "0s", 60_000), Ok(0));
        for bad in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "61s",
            "2m",
            "30S",
            "30 s",
            "99999999999999999999s",
            "18446744073709551615m",
            "1h",
        ] {
            assert!(duration_ms("wait", bad, 60_000).is_err(), "{bad:?}");
        }
    }
}
