//! What a peer may send that no peer should: every decoder takes it without a panic, and without
//! taking more memory than four times what was sent, or of what is compressed, what it inflates to.
//! And the most that brokers, clients and name servers do send is taken, within the same bound.
//!
//! | file | holds |
//! | --- | --- |
//! | [`decoders`] | every decoder of this crate, each with an input that it takes |
//! | [`inputs`] | bad inputs made of good ones, and generated ones |
//! | [`dense`] | those that are few bytes and would be much more once they are read |
//! | [`large`] | the largest and the densest that stock peers send |
//!
//! ```text
//! cargo test -p signpost-remoting --test hostile -- --nocapture     the counts of each decoder
//! SIGNPOST_SEED=7 cargo test -p signpost-remoting --test hostile    other inputs
//! ```
//!
//! One test at a time in an executable of its own: the allocator counts for the whole process.

#![allow(clippy::print_stdout, reason = "a test reports to whoever runs it")]

mod decoders;
mod dense;
mod inputs;
mod large;

use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use flate2::read::ZlibDecoder;
use peak_alloc::PeakAlloc;

use decoders::{Decoder, Form, INFLATED_BYTES_MAX, all};
use inputs::Inputs;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Times the bytes received that a decoder may take.
const FACTOR: usize = 4;
/// For what does not grow with them: texts of errors, first capacities, a window to inflate with.
const BESIDES_BYTES: usize = 64 * 1024;
/// Malformed inputs for each decoder, at least.
const MALFORMED: usize = 200;

/// What one decoder did.
#[derive(Default)]
struct Count {
    inputs: usize,
    refused: usize,
    /// The most bytes that one input took, and what was received of it.
    worst: (usize, usize),
}

#[test]
fn nothing_panics_and_nothing_swells() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = std::env::var("SIGNPOST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5EED_1234_ABCD_0001_u64);
    println!("SIGNPOST_SEED={seed}");
    let (mut decoders, mut count_of_inputs, mut refused, mut swollen) = (0, 0, 0, Vec::new());
    let (json, zlib) = (dense::json(), dense::zlib());
    for decoder in all() {
        let all = Inputs::new(seed).of(&decoder);
        let dense = match decoder.form {
            Form::Json => &json[..],
            Form::Binary if decoder.zlib => &zlib,
            Form::Binary | Form::Fields => &[],
        };
        let count = judge(&decoder, all.iter().chain(dense), &mut swollen);
        let name = decoder.name;
        println!(
            "{name}: {} inputs, {} refused, most {} bytes for {}",
            count.inputs, count.refused, count.worst.0, count.worst.1
        );
        // What takes any text refuses none.
        let malformed = if decoder.refuses { count.refused } else { count.inputs };
        assert!(malformed >= MALFORMED, "{name}: only {malformed} were bad");
        decoders += 1;
        count_of_inputs += count.inputs;
        refused += count.refused;
    }
    println!("{decoders} decoders, {count_of_inputs} inputs, {refused} refused");
    assert!(swollen.is_empty(), "{} swell:\n{}", swollen.len(), swollen.join("\n"));
}

#[test]
fn what_stock_peers_send_is_taken() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for large in large::all() {
        let (taken, took) = measured(large.decode, &large.body);
        let received = large.body.len().max(large.inflated_bytes);
        println!("{}: {took} bytes for {received}", large.name);
        assert!(taken, "{} is taken", large.name);
        assert!(took <= FACTOR * received + BESIDES_BYTES, "{} swells", large.name);
    }
}

/// Whether it was taken, and the most bytes that it took meanwhile.
fn measured(decode: large::Decode, input: &[u8]) -> (bool, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let taken = decode(input);
    (taken, MEMORY.peak_usage().saturating_sub(before))
}

/// Bytes that a zlib stream really has, as far as it can be read and may be.
fn inflated_bytes(input: &[u8], max_bytes: usize) -> usize {
    let mut inflated = Vec::new();
    // What is wrong with it shows in the decoder.
    let _ = ZlibDecoder::new(input).take(max_bytes as u64).read_to_end(&mut inflated);
    inflated.len()
}

fn judge<'a>(
    decoder: &Decoder,
    inputs: impl Iterator<Item = &'a Vec<u8>>,
    swollen: &mut Vec<String>,
) -> Count {
    let Decoder { name, decode, good, zlib, .. } = decoder;
    assert!(decode(good), "{name} takes what is good");
    let mut count = Count::default();
    let mut said = 0;
    for input in inputs {
        let received =
            input.len().max(if *zlib { inflated_bytes(input, INFLATED_BYTES_MAX) } else { 0 });
        let (taken, took) = measured(*decode, input);
        count.inputs += 1;
        count.refused += usize::from(!taken);
        let share = |(took, bytes): (usize, usize)| took as f64 / bytes.max(1) as f64;
        let this = (took, received);
        if took > BESIDES_BYTES && share(this) > share(count.worst) {
            count.worst = this;
        }
        if took > FACTOR * received + BESIDES_BYTES && said < 3 {
            said += 1;
            let shown = String::from_utf8_lossy(&input[..input.len().min(100)]).into_owned();
            swollen.push(format!("{name}: {took} bytes for {received}: {shown}"));
        }
    }
    count
}
