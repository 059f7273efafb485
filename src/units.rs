//! Values with units on the command line: durations, ranges of them, sizes, peers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// `250ms`, `1.5s`, `2m`, `1h`: a number with its unit, never without one.
///
/// # Errors
/// What was expected.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a number with a unit (us, ms, s, m or h), such as 250ms or 2m";
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit.trim_start() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(EXPECTED.to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| EXPECTED.to_owned())?;
    let duration = Duration::try_from_secs_f64(number * seconds_per_unit)
        .map_err(|_| "this is longer than a duration can be".to_owned())?;
    // Whole microseconds: 0.3s is 300ms, not 299.999999ms.
    let micros = u64::try_from((duration + Duration::from_nanos(500)).as_micros());
    Ok(Duration::from_micros(micros.map_err(|_| EXPECTED.to_owned())?))
}

/// The shortest form that [`parse_duration`] reads back: `1500ms` rather than `1.5s`.
pub(crate) fn exact_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0 => "0s".to_owned(),
        _ if micros.is_multiple_of(3_600_000_000) => format!("{}h", micros / 3_600_000_000),
        _ if micros.is_multiple_of(60_000_000) => format!("{}m", micros / 60_000_000),
        _ if micros.is_multiple_of(1_000_000) => format!("{}s", micros / 1_000_000),
        _ if micros.is_multiple_of(1_000) => format!("{}ms", micros / 1_000),
        _ => format!("{micros}us"),
    }
}

/// For people, three digits or so: `850 µs`, `12.3 ms`, `4.51 s`, `2 min 5 s`.
pub(crate) fn readable_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        _ if seconds < 0.001 => format!("{} µs", duration.as_micros()),
        _ if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 10.0 => format!("{seconds:.2} s"),
        _ if seconds < 60.0 => format!("{seconds:.1} s"),
        _ => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// `MIN..MAX`, such as `150ms..250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationRange {
    /// The lower end.
    pub(crate) min: Duration,
    /// The upper end, above the lower one.
    pub(crate) max: Duration,
}

impl FromStr for DurationRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) =
            text.split_once("..").ok_or("expected MIN..MAX, such as 150ms..250ms".to_owned())?;
        let (min, max) = (parse_duration(min)?, parse_duration(max)?);
        if min.is_zero() || max <= min {
            return Err("expected MIN..MAX with MIN above 0 and MAX above MIN".to_owned());
        }
        Ok(DurationRange { min, max })
    }
}

impl fmt::Display for DurationRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", exact_duration(self.min), exact_duration(self.max))
    }
}

/// `512`, `64KiB`, `16MiB`, `1GiB`: a number of bytes.
///
/// # Errors
/// What was expected.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    const EXPECTED: &str = "expected a number of bytes, or one with KiB, MiB or GiB";
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let bytes_per_unit: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(EXPECTED.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| EXPECTED.to_owned())?;
    number.checked_mul(bytes_per_unit).ok_or("this is more than 64 bits can count".to_owned())
}

/// `host:port`, as a string: names are resolved when they are used.
///
/// # Errors
/// What was expected.
pub(crate) fn parse_host_port(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "expected host:port, such as name-1.example:7876 or [::1]:7876";
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_sound = match bracketed {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    if !host_is_sound || port.parse::<u16>().is_err() {
        return Err(EXPECTED.to_owned());
    }
    Ok(text.to_owned())
}

/// The host of a `host:port`, brackets of an IPv6 address included.
pub(crate) fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// Is this host all addresses of the machine? Good to listen on, and nobody can dial it.
pub(crate) fn is_every_address(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "[::]")
}

/// One entry of `--peers`: `1=host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerEntry {
    /// The replica's number.
    pub(crate) id: u64,
    /// `host:port` of its peers' port.
    pub(crate) address: String,
}

impl FromStr for PeerEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str =
            "expected NODE-ID=host:port, such as 1=name-1.example:7876,2=name-2.example:7876";
        let (id, address) = text.trim().split_once('=').ok_or(EXPECTED)?;
        let id = id.trim().parse().ok().filter(|id| *id > 0).ok_or(EXPECTED)?;
        Ok(PeerEntry { id, address: parse_host_port(address.trim())? })
    }
}

/// All entries by number.
///
/// # Errors
/// When a number or an address stands there twice: surely a slip, and a cluster founded with it
/// would never agree.
pub(crate) fn peers_by_id(entries: &[PeerEntry]) -> Result<BTreeMap<u64, String>, String> {
    let mut peers: BTreeMap<u64, String> = BTreeMap::new();
    for PeerEntry { id, address } in entries {
        if let Some((other, _)) = peers.iter().find(|(_, known)| *known == address) {
            return Err(format!("peers: {address} is given for both {other} and {id}"));
        }
        if peers.insert(*id, address.clone()).is_some() {
            return Err(format!("peers: replica {id} is given twice"));
        }
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit_only() {
        for (text, millis) in [
            ("120s", 120_000),
            ("250ms", 250),
            ("0.3s", 300),
            ("2m", 120_000),
            ("1h", 3_600_000),
            (" 5 s ", 5_000),
            ("1500us", 1), // and a half, see below
        ] {
            let read = parse_duration(text).expect(text);
            assert_eq!(read.as_millis(), millis, "{text}");
        }
        assert_eq!(parse_duration("1500us"), Ok(Duration::from_micros(1500)));
        for text in ["", "120", "s", "-1s", "1d", "1e3s", "1.2.3s", "1s..2s", "9e99h", "1 0s"] {
            assert!(parse_duration(text).is_err(), "{text:?} must be refused");
        }
        let endless = "9".repeat(40) + "h";
        assert!(parse_duration(&endless).is_err());
    }

    #[test]
    fn the_exact_form_is_read_back() {
        for micros in [0, 1, 999, 1_000, 1_500_000, 60_000_000, 90_000_000, 7_200_000_000] {
            let duration = Duration::from_micros(micros);
            assert_eq!(parse_duration(&exact_duration(duration)), Ok(duration));
        }
        assert_eq!(exact_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(exact_duration(Duration::from_secs(120)), "2m");
    }

    #[test]
    fn people_get_three_digits() {
        for (micros, shown) in [
            (850, "850 µs"),
            (12_340, "12.3 ms"),
            (312_000, "312 ms"),
            (4_512_000, "4.51 s"),
            (31_400_000, "31.4 s"),
            (125_000_000, "2 min 5 s"),
        ] {
            assert_eq!(readable_duration(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn ranges_have_two_ends_in_order() {
        let range: DurationRange = "150ms..0.25s".parse().expect("a range");
        assert_eq!((range.min.as_millis(), range.max.as_millis()), (150, 250));
        assert_eq!(range.to_string(), "150ms..250ms");
        for text in ["150ms", "250ms..150ms", "0ms..10ms", "1s..1s", "..", "1..2", "1s...2s"] {
            assert!(text.parse::<DurationRange>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn sizes_are_read_in_binary_units() {
        for (text, bytes) in [("512", 512), ("64KiB", 65_536), ("1 GiB", 1 << 30), ("0B", 0)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "1GB", "KiB", "-1", "1.5MiB", "99999999999999999999", "99999999999999GiB"]
        {
            assert!(parse_bytes(text).is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn peers_name_each_replica_once() {
        let entries: Vec<PeerEntry> = ["1=a:7876", " 2 = [::1]:7876 ", "3=c.svc:7876"]
            .map(|text| text.parse().expect(text))
            .to_vec();
        let peers = peers_by_id(&entries).expect("three peers");
        assert_eq!(peers[&2], "[::1]:7876");
        for text in ["", "1", "a:1", "0=a:1", "1=a", "1=:1", "1=a:70000", "x=a:1", "1=http://a:1"] {
            assert!(text.parse::<PeerEntry>().is_err(), "{text:?} must be refused");
        }
        let entry = |id, address: &str| PeerEntry { id, address: address.to_owned() };
        assert!(peers_by_id(&[entry(1, "a:1"), entry(1, "b:1")]).is_err());
        assert!(peers_by_id(&[entry(1, "a:1"), entry(2, "a:1")]).is_err());
    }

    #[test]
    fn hosts_keep_their_brackets() {
        assert_eq!(host_of("[::1]:8876"), "[::1]");
        assert_eq!(host_of("0.0.0.0:8876"), "0.0.0.0");
    }
}
