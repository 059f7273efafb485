//! Compression of bodies: which, from which size on, and back again. Pure.
//!
//! Two bits of a message's sysFlag say it: that the body is compressed, and how
//! ([`sys_flag`]). Brokers store and hand out the compressed bytes as they are, so what is
//! written here is what stock consumers read. Source: RocketMQ `CompressionType`, `Compressor`.
//!
//! zstd is the reference library: it has the levels that stock producers use. LZ4 is a frame, not
//! a bare block, as with them.

use std::io::{self, Read, Write as _};

use bytes::Bytes;
use signpost_remoting::message::sys_flag;

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// What every RocketMQ client reads.
    #[default]
    Zlib,
    /// LZ4, frame format; quickest. Consumers from 4.9.4 on.
    Lz4,
    /// Zstandard; smallest. Consumers from 4.9.4 on.
    Zstd,
}

impl Codec {
    /// Its bits in a sysFlag.
    fn bits(self) -> i32 {
        sys_flag::COMPRESSED
            | match self {
                Self::Zlib => sys_flag::COMPRESSION_ZLIB,
                Self::Lz4 => sys_flag::COMPRESSION_LZ4,
                Self::Zstd => sys_flag::COMPRESSION_ZSTD,
            }
    }

    /// None: the body is not compressed. Clients before 4.9.4 only knew zlib and set no type.
    fn of(flag: i32) -> Result<Option<Self>, DecompressError> {
        if flag & sys_flag::COMPRESSED == 0 {
            return Ok(None);
        }
        match flag & sys_flag::COMPRESSION_MASK {
            0 | sys_flag::COMPRESSION_ZLIB => Ok(Some(Self::Zlib)),
            sys_flag::COMPRESSION_LZ4 => Ok(Some(Self::Lz4)),
            sys_flag::COMPRESSION_ZSTD => Ok(Some(Self::Zstd)),
            bits => Err(DecompressError::Unknown(bits)),
        }
    }
}

/// How a producer compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// The way.
    pub codec: Codec,
    /// How hard: 0 to 9; LZ4 has no levels and ignores it. RocketMQ: 5.
    pub level: u8,
    /// Shorter bodies stay as they are (RocketMQ `compressMsgBodyOverHowmuch`, 4 KiB).
    pub from_bytes: usize,
}

/// The highest level that all codecs know.
pub(crate) const MAX_LEVEL: u8 = 9;

impl Default for Compression {
    fn default() -> Self {
        Self { codec: Codec::default(), level: 5, from_bytes: 4096 }
    }
}

impl Compression {
    /// The body to send and its bits in the sysFlag. A body that would only grow stays as it is;
    /// stock producers send it grown.
    pub(crate) fn apply(&self, body: &Bytes) -> (Bytes, i32) {
        if body.len() < self.from_bytes {
            return (body.clone(), 0);
        }
        match self.compress(body) {
            Ok(smaller) if smaller.len() < body.len() => (smaller.into(), self.codec.bits()),
            Ok(_grown) => (body.clone(), 0),
            Err(error) => {
                tracing::warn!(%error, "a body could not be compressed and is sent as it is");
                (body.clone(), 0)
            }
        }
    }

    fn compress(&self, body: &[u8]) -> io::Result<Vec<u8>> {
        let compressed = Vec::with_capacity(body.len() / 2);
        match self.codec {
            Codec::Zlib => {
                let level = flate2::Compression::new(self.level.into());
                let mut encoder = flate2::write::ZlibEncoder::new(compressed, level);
                encoder.write_all(body)?;
                encoder.finish()
            }
            Codec::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(compressed);
                encoder.write_all(body)?;
                encoder.finish().map_err(io::Error::other)
            }
            Codec::Zstd => zstd::stream::encode_all(body, self.level.into()),
        }
    }
}

/// Why a body cannot be had as it was before compression.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// A way that nobody here knows.
    #[error("the sysFlag names a compression that is not known: {0:#x}")]
    Unknown(i32),
    /// It would be larger than the limit.
    #[error("the body inflates to more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit in force.
        limit_bytes: usize,
    },
    /// The bytes are not what the sysFlag says.
    #[error("the body cannot be inflated: {0}")]
    Corrupt(#[from] io::Error),
}

/// A body as it was before compression: what a consumer does with a stored message. Takes no more
/// memory than twice `limit_bytes` and a decoder's window (8 MiB at most), whatever the body claims.
///
/// # Errors
/// See [`DecompressError`].
pub fn decompress(flag: i32, body: &Bytes, limit_bytes: usize) -> Result<Bytes, DecompressError> {
    let plain = match Codec::of(flag)? {
        None => return Ok(body.clone()),
        Some(Codec::Zlib) => read(flate2::read::ZlibDecoder::new(&**body), limit_bytes)?,
        Some(Codec::Lz4) => read(lz4_flex::frame::FrameDecoder::new(&**body), limit_bytes)?,
        Some(Codec::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&**body)?;
            // A frame may ask for a window far beyond its content; the content is bounded below.
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            read(decoder, limit_bytes)?
        }
    };
    Ok(plain.into())
}

/// 8 MiB: what every zstd decoder must grant, and twice the longest body.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

fn read(from: impl Read, limit_bytes: usize) -> Result<Vec<u8>, DecompressError> {
    let mut plain = Vec::new();
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    from.take(limit.saturating_add(1)).read_to_end(&mut plain)?;
    if plain.len() > limit_bytes {
        return Err(DecompressError::TooLarge { limit_bytes });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 20;

    const MAGICS: &[&[u8]] = &[b"", b"\x78\x5e", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd"];

    fn with(codec: Codec) -> Compression {
        Compression { codec, ..Compression::default() }
    }

    fn compressible(bytes: usize) -> Bytes {
        b"a name service that outlives its disks; ".iter().copied().cycle().take(bytes).collect()
    }

    #[test]
    fn bodies_from_four_kib_on_are_compressed_and_the_sys_flag_says_how() {
        for (codec, flag, magic) in [
            (Codec::Zlib, 0x301, &[0x78][..]),
            (Codec::Lz4, 0x101, &[0x04, 0x22, 0x4D, 0x18]),
            (Codec::Zstd, 0x201, &[0x28, 0xB5, 0x2F, 0xFD]),
        ] {
            let body = compressible(4096);
            let (sent, bits) = with(codec).apply(&body);
            assert_eq!(bits, flag, "{codec:?}");
            assert!(sent.starts_with(magic) && sent.len() < 400, "{codec:?}: {sent:?}");
            assert_eq!(decompress(bits, &sent, LIMIT).unwrap(), body, "{codec:?}");
            let short = compressible(4095);
            assert_eq!(with(codec).apply(&short), (short, 0), "{codec:?}");
        }
    }

    #[test]
    fn a_body_that_would_grow_stays_as_it_is() {
        let mut state = 1_u64;
        let noise: Bytes = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(8192)
        .collect();
        for codec in [Codec::Zlib, Codec::Lz4, Codec::Zstd] {
            assert_eq!(with(codec).apply(&noise), (noise.clone(), 0), "{codec:?}");
        }
    }

    #[test]
    fn what_former_clients_flag_is_zlib_and_what_is_not_flagged_stays() {
        let body = compressible(5000);
        let (sent, _) = with(Codec::Zlib).apply(&body);
        assert_eq!(decompress(sys_flag::COMPRESSED, &sent, LIMIT).unwrap(), body);
        assert_eq!(decompress(0x300, &sent, LIMIT).unwrap(), sent);
        let error = decompress(0x401, &sent, LIMIT).unwrap_err();
        assert!(matches!(error, DecompressError::Unknown(0x400)), "{error}");
    }

    #[test]
    fn what_inflates_beyond_the_limit_is_refused() {
        for codec in [Codec::Zlib, Codec::Lz4, Codec::Zstd] {
            let (sent, bits) = with(codec).apply(&compressible(LIMIT));
            assert_eq!(decompress(bits, &sent, LIMIT).unwrap().len(), LIMIT, "{codec:?}");
            let error = decompress(bits, &sent, LIMIT - 1).unwrap_err();
            assert!(matches!(error, DecompressError::TooLarge { .. }), "{codec:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(
            body in prop::collection::vec(prop::sample::select(&b"abc \n\0"[..]), 0..3000),
            level in 0..=MAX_LEVEL,
        ) {
            let body = Bytes::from(body);
            for codec in [Codec::Zlib, Codec::Lz4, Codec::Zstd] {
                let (sent, bits) = Compression { codec, level, from_bytes: 0 }.apply(&body);
                prop_assert_eq!(&decompress(bits, &sent, LIMIT).unwrap(), &body);
            }
        }

        #[test]
        fn hostile_bytes_never_panic(
            flag in prop::sample::select(&[0x1, 0x101, 0x201, 0x301][..]),
            magic in prop::sample::select(MAGICS),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let body: Bytes = magic.iter().copied().chain(rest).collect();
            if let Ok(plain) = decompress(flag, &body, 4096) {
                prop_assert!(plain.len() <= 4096);
            }
        }
    }
}
