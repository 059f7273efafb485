//! Compressed bodies that are none, or that are far more than they look: no panic, and no more
//! memory than the limit allows.
//!
//! One test in an executable of its own: the allocator counts for the whole process. What the zstd
//! library takes is not seen by it; that is bounded by the window that it is given.

#![allow(clippy::print_stdout, reason = "a test reports to whoever runs it")]

use std::io::Write as _;

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use signpost_producer::{DecompressError, decompress};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const LIMIT_BYTES: usize = 256 * 1024;
/// Malformed bodies for each way to compress, at least.
const MALFORMED: usize = 200;
/// For windows and tables that each decoder begins with: an LZ4 frame may ask for blocks of 4 MiB.
const BESIDES_BYTES: usize = 9 << 20;

/// xorshift: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(5));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn lz4(plain: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(plain, 5).unwrap()
}

/// Cut, with bytes changed, with a piece repeated, with its beginning alone.
fn malformed(good: &[u8], dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..good.len()).map(|end| good[..end].to_vec()).collect();
    for _ in 0..1500 {
        let mut one = good.to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(one.len());
            one[at] = dice.below(256) as u8;
        }
        all.push(one);
    }
    for _ in 0..200 {
        let at = dice.below(good.len());
        let piece = &good[at..];
        all.push([&good[..at], &piece.repeat(20)].concat());
        let noise: Vec<u8> = (0..dice.below(400)).map(|_| dice.below(256) as u8).collect();
        all.push([&good[..good.len().min(8)], &noise].concat());
    }
    all
}

#[test]
fn hostile_bodies_cost_no_more_than_the_limit() {
    let seed = std::env::var("SIGNPOST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5EED_1234_ABCD_0001_u64);
    println!("SIGNPOST_SEED={seed}");
    let mut dice = Dice(seed);
    let text: Vec<u8> = (0..3_000_u32).map(|n| (n * n % 251) as u8).collect();
    let bomb = vec![0; 64 << 20];
    type Compress = fn(&[u8]) -> Vec<u8>;
    let ways: [(&str, i32, Compress); 3] =
        [("zlib", 0x301, zlib), ("LZ4", 0x101, lz4), ("zstd", 0x201, zstd)];
    for (name, flag, compress) in ways {
        let (mut refused, mut most) = (0, 0);
        let mut judge = |body: Vec<u8>| {
            let body = Bytes::from(body);
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            let read = decompress(flag, &body, LIMIT_BYTES);
            let took = MEMORY.peak_usage().saturating_sub(before);
            assert!(took <= 2 * LIMIT_BYTES + BESIDES_BYTES, "{name}: {took} bytes");
            assert!(read.as_ref().is_ok_and(|plain| plain.len() <= LIMIT_BYTES) || read.is_err());
            refused += usize::from(read.is_err());
            most = most.max(took);
            read
        };
        let good = compress(&text);
        assert_eq!(judge(good.clone()).unwrap(), text, "{name}");
        let all = malformed(&good, &mut dice);
        let count = all.len();
        for body in all {
            let _ = judge(body);
        }
        let huge = judge(compress(&bomb));
        assert!(matches!(huge, Err(DecompressError::TooLarge { .. })), "{name}: {huge:?}");
        println!("{name}: {count} bodies, {refused} refused, most {most} bytes");
        assert!(refused >= MALFORMED, "{name}: only {refused} were bad");
    }
}
