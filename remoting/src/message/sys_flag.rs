//! Bits of a message's sysFlag (RocketMQ `MessageSysFlag`).

use std::net::SocketAddr;

/// The body is compressed; how, see [`COMPRESSION_MASK`].
pub const COMPRESSED: i32 = 0x1;
/// The TAGS property holds several tags.
pub const MULTI_TAGS: i32 = 0x2;
/// Both transaction bits.
pub const TRANSACTION_MASK: i32 = 0xC;
/// A half message, to be committed or rolled back.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// A committed one.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// One rolled back.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// The born host is an IPv6 address.
pub const BORN_HOST_V6: i32 = 0x10;
/// The store host is an IPv6 address.
pub const STORE_HOST_V6: i32 = 0x20;
/// Which compression, since 4.9.4; none of the bits means zlib.
pub const COMPRESSION_MASK: i32 = 0x700;
/// LZ4, frame format.
pub const COMPRESSION_LZ4: i32 = 0x100;
/// Zstandard.
pub const COMPRESSION_ZSTD: i32 = 0x200;
/// Zlib.
pub const COMPRESSION_ZLIB: i32 = 0x300;

/// The flag with its two address bits as the hosts are.
pub fn with_hosts(sys_flag: i32, born_host: SocketAddr, store_host: SocketAddr) -> i32 {
    let bit = |host: SocketAddr, bit| if host.is_ipv6() { bit } else { 0 };
    (sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6))
        | bit(born_host, BORN_HOST_V6)
        | bit(store_host, STORE_HOST_V6)
}
