//! Claim 1, from outside: is there one order of all writes and linearizable reads, true to real
//! time, that explains every answer? Knows nothing of logs, journals, or what an index means, so that
//! it also guards against a journal that lies.
//!
//! | file | holds |
//! | --- | --- |
//! | [`search`] | the search, over one object's calls |
//! | `kv`, `broker` | the objects: KV keys; brokers' identities |
//!
//! An object at a time suffices (Herlihy and Wing, "Linearizability", 1990, theorem 1). What topics
//! hold is not judged here: which queues a registration writes depends on what was compared at the
//! leader; `answers` judges those.

mod broker;
mod kv;
pub mod search;

use self::broker::{Broker, Standing};
use self::kv::Kv;
use self::search::{Found, Model, Timed, search};
use super::{Judged, Violation};
use crate::history::Operation;

const CHECK: &str = "linearizable";

/// Enough for tens of thousands of calls to one object, with some unknown outcomes among them.
pub const STEPS_MAX: u64 = 5_000_000;

/// Every KV key and every broker, each in at most so many steps.
#[must_use]
pub fn check(operations: &[Operation], steps_max: u64) -> Judged {
    let mut judged = Judged::default();
    for ((namespace, key), (calls, places)) in kv::by_key(operations) {
        let name = format!("key {namespace}/{key}");
        judge::<Kv>(&name, None, &calls, &places, operations, steps_max, &mut judged);
    }
    for (key, (calls, places)) in broker::by_key(operations) {
        let name = format!("broker {}/{}/{}", key.cluster, key.name, key.id);
        let initial = Standing::default();
        judge::<Broker>(&name, initial, &calls, &places, operations, steps_max, &mut judged);
    }
    judged
}

fn judge<M: Model>(
    name: &str,
    initial: M::State,
    calls: &[Timed<M::Call>],
    places: &[usize],
    operations: &[Operation],
    steps_max: u64,
    judged: &mut Judged,
) {
    *judged.judged.entry(CHECK).or_default() += calls.len() as u64;
    match search::<M>(initial, calls, steps_max) {
        Found::Order => {}
        Found::CutShort => {
            let text = format!("{name}: no order in {steps_max} steps, of {} calls", calls.len());
            judged.unknown.push(Violation::new(CHECK, text));
        }
        Found::NoOrder { stuck_at } => {
            let line = operations[places[stuck_at]].line();
            let text = format!(
                "{name}: no order of its {} calls explains all answers; the longest ends before\n    \
                 {line}",
                calls.len()
            );
            judged.violations.push(Violation::new(CHECK, text));
        }
    }
}
