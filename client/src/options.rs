//! How a [`Client`](crate::Client) behaves: deadlines, limits, identity.

use std::time::Duration;

/// Deadlines and limits of a client. All have sane defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// A call as a whole: all attempts, all replicas.
    pub call_timeout: Duration,
    /// One attempt at one replica; a hung replica costs no more than this.
    pub attempt_timeout: Duration,
    /// Dialling one replica.
    pub connect_timeout: Duration,
    /// A read that has no answer after this is asked of another replica as well.
    pub hedge_after: Duration,
    /// A connection idle for longer is not used again: the other side may just be closing it, and
    /// a write lost that way has an unknown outcome.
    pub max_idle: Duration,
    /// Idle connections kept for each replica.
    pub max_idle_connections: usize,
    /// The longest answer that is read.
    pub max_answer_bytes: usize,
    /// For calls on members, leadership, snapshots and alarms.
    pub admin_token: Option<Secret>,
    /// Seed of all jitter; None takes a random one.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_millis(500),
            hedge_after: Duration::from_millis(150),
            max_idle: Duration::from_secs(15),
            max_idle_connections: 16,
            max_answer_bytes: 64 << 20,
            admin_token: None,
            seed: None,
        }
    }
}

/// Text that is sent but never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why a client could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The list of replicas is empty.
    #[error("no replica given: name at least one, as http://host:port")]
    NoReplica,
    /// A replica is not `http://host:port`.
    #[error("{given:?} is no address of a name replica: {problem}")]
    BadReplica {
        /// As it was given.
        given: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// `http://host:port[/]` or `host:port` → `host:port`.
pub(crate) fn parse_replica(given: &str) -> Result<String, OptionsError> {
    let bad = |problem| OptionsError::BadReplica { given: given.to_owned(), problem };
    let text = given.trim();
    if text.starts_with("https://") {
        return Err(bad("https is not offered; put http:// or nothing before the host"));
    }
    let text = text.strip_prefix("http://").unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = text.rsplit_once(':').ok_or_else(|| bad("expected host:port"))?;
    if port.parse::<u16>().is_err() {
        return Err(bad("the port must be a number from 0 to 65535"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let sound = match bracketed {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(plain),
    };
    if !sound {
        return Err(bad("the host must be a name, an IPv4 address or [an IPv6 address]"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_read_in_every_sound_form() {
        for (given, read) in [
            ("http://127.0.0.1:8876", "127.0.0.1:8876"),
            (" http://name-1.svc:8876/ ", "name-1.svc:8876"),
            ("[::1]:8876", "[::1]:8876"),
            ("host_a:1", "host_a:1"),
        ] {
            assert_eq!(parse_replica(given).as_deref(), Ok(read), "{given}");
        }
        for given in [
            "",
            "host",
            "host:",
            ":1",
            "host:70000",
            "https://h:1",
            "http://h:1/v1",
            "a b:1",
            "[zz]:1",
            "::1:1",
            "user@h:1",
        ] {
            assert!(parse_replica(given).is_err(), "{given:?} must be refused");
        }
    }
}
