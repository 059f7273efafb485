//! Claims 1 and 2: indices follow real time. What was answered at an index before a linearizable
//! read began is at or below that read's index, and strictly below the index of a write that began
//! later.
//!
//! A local answer counts among the earlier ones: what a replica has applied is committed. It does
//! not count among the later ones, for it may be as old as its replica is.

use std::time::Duration;

use signpost_namesrv::routes::command::RouteCommand;
use signpost_raft::machine::Index;

use super::Violation;
use crate::history::{Call, Operation};

const CHECK: &str = "order";

/// Indices against real time.
#[must_use]
pub fn check(operations: &[Operation]) -> Vec<Violation> {
    let mut answered: Vec<(&Operation, Index)> = Vec::new();
    for operation in operations {
        if let (Some(answer), Call::Write(_) | Call::Read(_)) =
            (operation.answer(), &operation.call)
        {
            answered.push((operation, answer.index));
        }
    }
    let mut by_end = answered.clone();
    by_end.sort_by_key(|(operation, _)| operation.ended);
    answered.sort_by_key(|(operation, _)| operation.began);

    let mut violations = Vec::new();
    let mut ended = by_end.iter().peekable();
    let mut highest: Option<(&Operation, Index)> = None;
    for (operation, index) in answered {
        while let Some((earlier, at)) =
            ended.next_if(|(earlier, _)| earlier.ended < operation.began)
        {
            if highest.is_none_or(|(_, highest)| highest < *at) {
                highest = Some((earlier, *at));
            }
        }
        let Some((earlier, earlier_index)) = highest else { continue };
        if !holds(operation, index, earlier_index) {
            let gap: Duration = operation.began - earlier.ended;
            violations.push(Violation::new(
                CHECK,
                format!(
                    "index {index} follows index {earlier_index} by {gap:?}:\n    {}\n    {}",
                    earlier.line(),
                    operation.line()
                ),
            ));
        }
    }
    violations
}

fn holds(operation: &Operation, index: Index, earlier: Index) -> bool {
    match &operation.call {
        // A retried one answers with the index at which it was compared, which need not be its own.
        Call::Write(RouteCommand::Register(_) | RouteCommand::Patch(_)) => index >= earlier,
        Call::Write(_) => index > earlier,
        Call::Read(read) => index >= earlier || !read.linearizable,
        Call::Heartbeat(_) | Call::Send(_) => true,
    }
}
