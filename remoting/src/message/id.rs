//! Message ids, both upper-case hex of 32 digits (56 with IPv6); only context tells them apart.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Where a message lies: `ip | port (4 bytes) | physical offset (8 bytes)`. `mqadmin` dials the
/// address inside it (RocketMQ `MessageDecoder.createMessageId`).
pub fn offset_id(store_host: SocketAddr, physical_offset: i64) -> String {
    let mut id = ip_hex(store_host.ip());
    write!(id, "{:08X}{physical_offset:016X}", store_host.port()).expect("a String takes all");
    id
}

/// Store host and physical offset of an offset id; none if it is not one.
pub fn parse_offset_id(id: &str) -> Option<(SocketAddr, i64)> {
    if !id.is_ascii() || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let ip = match id.len() {
        32 => IpAddr::from(u32::from_str_radix(&id[..8], 16).ok()?.to_be_bytes()),
        56 => IpAddr::from(u128::from_str_radix(&id[..32], 16).ok()?.to_be_bytes()),
        _ => return None,
    };
    let (port, offset) = id[id.len() - 24..].split_at(8);
    let port = u16::try_from(u32::from_str_radix(port, 16).ok()?).ok()?;
    Some((SocketAddr::new(ip, port), u64::from_str_radix(offset, 16).ok()?.cast_signed()))
}

/// What makes the ids of one producing process its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// An address of this machine.
    pub ip: IpAddr,
    /// Low bits of the process id.
    pub pid: u16,
    /// Random bits, drawn once: several processes may share an address and, in containers, a pid.
    pub nonce: u32,
}

/// The client's id of a message (property UNIQ_KEY): `ip | pid (2 bytes) | nonce (4) | ms since the
/// month began (4) | counter (2)` (RocketMQ `MessageClientIDSetter`).
pub fn unique_id(process: &Process, now_ms: i64, counter: u16) -> String {
    let mut id = ip_hex(process.ip);
    let since_ms = now_ms - month_start_ms(now_ms);
    let (pid, nonce) = (process.pid, process.nonce);
    write!(id, "{pid:04X}{nonce:08X}{since_ms:08X}{counter:04X}").expect("a String takes all");
    id
}

/// When the month (in UTC) of a time began, both in ms since 1970.
fn month_start_ms(now_ms: i64) -> i64 {
    const DAY_MS: i64 = 86_400_000;
    let days = now_ms.div_euclid(DAY_MS);
    // Years of the Gregorian calendar, counted from a 1 March, repeat every 146,097 days.
    let day_of_era = (days + 719_468).rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5;
    (days - day_of_month) * DAY_MS
}

fn ip_hex(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{:08X}", u32::from(ip)),
        IpAddr::V6(ip) => format!("{:032X}", u128::from(ip)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offset_ids_are_those_of_a_stock_broker() {
        let host = "127.0.0.1:10911".parse().unwrap();
        assert_eq!(offset_id(host, 0), "7F00000100002A9F0000000000000000");
        assert_eq!(offset_id(host, 0xC6), "7F00000100002A9F00000000000000C6");
        for wrong in ["", "7F", &"Z".repeat(32), &"é".repeat(16), &"F".repeat(32)] {
            assert_eq!(parse_offset_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn unique_ids_have_the_layout_of_stock_clients() {
        let process = Process { ip: [127, 0, 0, 1].into(), pid: 0x0B39, nonce: 0x5FFD_2B27 };
        // 2024-02-29 00:00:00.001 UTC: 28 days and a millisecond into its month.
        let id = unique_id(&process, 1_709_164_800_001, 7);
        assert_eq!(id, "7F0000010B395FFD2B27903210010007");
    }

    #[test]
    fn months_begin_where_the_calendar_says() {
        for (now_ms, start_ms) in [
            (0, 0),
            (-1, -2_678_400_000),                   // 1969-12
            (951_868_799_999, 949_363_200_000),     // last ms of February 2000
            (951_868_800_000, 951_868_800_000),     // 2000-03-01
            (1_704_067_199_999, 1_701_388_800_000), // last ms of 2023
            (1_795_359_880_852, 1_793_491_200_000), // 2026-11
        ] {
            assert_eq!(month_start_ms(now_ms), start_ms, "{now_ms}");
        }
    }

    proptest! {
        #[test]
        fn offset_ids_round_trip(v6: bool, ip: u128, port: u16, offset: i64) {
            let ip = if v6 { IpAddr::from(ip.to_be_bytes()) } else { IpAddr::from((ip as u32).to_be_bytes()) };
            let host = SocketAddr::new(ip, port);
            prop_assert_eq!(parse_offset_id(&offset_id(host, offset)), Some((host, offset)));
        }

        #[test]
        fn anything_else_is_refused_quietly(text in ".{0,60}") {
            parse_offset_id(&text);
        }
    }
}
