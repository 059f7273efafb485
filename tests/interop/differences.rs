//! Where answers differ from a stock name server's on purpose. Everything else must be equal.

use std::collections::BTreeSet;
use std::net::SocketAddr;

/// One intended difference.
#[derive(Debug)]
pub(crate) struct Difference {
    /// What differs.
    pub(crate) what: &'static str,
    /// Why it does.
    pub(crate) because: &'static str,
    /// Takes it out of what `mqadmin` printed.
    take_out: fn(&mut BTreeSet<String>, &[SocketAddr]),
}

/// All of them.
pub(crate) const INTENDED: &[Difference] = &[Difference {
    what: "commands that `mqadmin` repeats at each name server print one line for each replica",
    because: "the list of name servers has three entries; all three must print the same",
    take_out: addresses,
}];

/// Lines of `mqadmin` without the intended differences.
pub(crate) fn without(
    mut lines: BTreeSet<String>,
    name_servers: &[SocketAddr],
) -> BTreeSet<String> {
    for difference in INTENDED {
        (difference.take_out)(&mut lines, name_servers);
    }
    lines
}

/// What is printed of one name server, whichever it was.
fn addresses(lines: &mut BTreeSet<String>, name_servers: &[SocketAddr]) {
    *lines = std::mem::take(lines)
        .into_iter()
        .map(|line| {
            let each = name_servers.iter().map(SocketAddr::to_string);
            each.fold(line, |line, address| line.replace(&address, "NAME-SERVER"))
        })
        .collect();
}
