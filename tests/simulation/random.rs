//! Chance: the same generator that chooses the faults of real processes.

pub(crate) use signpost_chaos::random::Random;
