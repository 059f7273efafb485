//! What a peer may send that no peer should: every decoder takes it without a panic, and without
//! taking more memory than four times what was sent; bodies of name servers take more, up to what
//! their bounds on entries allow.
//!
//! | file | holds |
//! | --- | --- |
//! | [`decoders`] | every decoder of this crate, each with an input that it takes |
//! | [`inputs`] | bad inputs made of good ones, and generated ones |
//!
//! ```text
//! cargo test -p signpost-remoting --test hostile -- --nocapture     the counts of each decoder
//! SIGNPOST_SEED=7 cargo test -p signpost-remoting --test hostile    other inputs
//! ```
//!
//! One test in an executable of its own: the allocator counts for the whole process.

#![allow(clippy::print_stdout, reason = "a test reports to whoever runs it")]

mod decoders;
mod inputs;

use peak_alloc::PeakAlloc;

use decoders::{Decoder, Form, all};
use inputs::Inputs;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// For what does not grow with them: texts of errors, first capacities, a window to inflate with.
const BESIDES_BYTES: usize = 64 * 1024;
/// Malformed inputs for each decoder, at least.
const MALFORMED: usize = 200;

/// What one decoder did.
#[derive(Default)]
struct Count {
    inputs: usize,
    refused: usize,
    /// The most bytes that one input took, and that input's length.
    worst: (usize, usize),
}

#[test]
fn nothing_panics_and_nothing_swells() {
    let seed = std::env::var("SIGNPOST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5EED_1234_ABCD_0001_u64);
    println!("SIGNPOST_SEED={seed}");
    let (mut decoders, mut count_of_inputs, mut refused, mut swollen) = (0, 0, 0, Vec::new());
    let dense = inputs::swollen();
    for decoder in all() {
        let all = Inputs::new(seed).of(&decoder);
        let dense = if decoder.form == Form::Json { &dense[..] } else { &[] };
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

fn judge<'a>(
    decoder: &Decoder,
    inputs: impl Iterator<Item = &'a Vec<u8>>,
    swollen: &mut Vec<String>,
) -> Count {
    let Decoder { name, decode, good, inflates_to, factor, .. } = decoder;
    assert!(decode(good), "{name} takes what is good");
    let mut count = Count::default();
    let mut said = 0;
    for input in inputs {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let taken = decode(input);
        let took = MEMORY.peak_usage().saturating_sub(before);
        count.inputs += 1;
        count.refused += usize::from(!taken);
        let share = |(took, bytes): (usize, usize)| took as f64 / bytes.max(1) as f64;
        let this = (took, input.len());
        if took > BESIDES_BYTES && share(this) > share(count.worst) {
            count.worst = this;
        }
        let received = input.len().max(*inflates_to);
        if took > factor * received + BESIDES_BYTES && said < 3 {
            said += 1;
            let shown = String::from_utf8_lossy(&input[..input.len().min(100)]).into_owned();
            swollen.push(format!("{name}: {took} bytes for {}: {shown}", input.len()));
        }
    }
    count
}
