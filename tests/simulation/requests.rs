//! The HTTP request of each call: the same that real processes are asked.

use signpost_chaos::history::Call;
use signpost_chaos::workload::requests;

use crate::caller::Ask;

/// The request of a call.
pub(crate) fn of(call: &Call) -> Ask {
    requests::of(call).expect("the workload makes no call that HTTP does not have")
}
