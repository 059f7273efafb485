//! Where answers differ from a stock name server's on purpose. Everything else must be equal.
//!
//! Differences of an answer alone are taken out of both answers. Those of the tables would make
//! everything after them differ: each is shown in a scene of its own, which then brings both tables
//! to the same state again, and the sequence goes around them otherwise.
//!
//! "Promise", "claim" and "Registrations" are of docs/GUARANTEES.md.

use signpost_remoting::{HeaderKind, RemotingCommand, request, response};

use super::answer::{Answer, Body};

/// One intended difference.
pub(crate) struct Difference {
    /// What differs.
    pub(crate) what: &'static str,
    /// Why it does.
    pub(crate) because: &'static str,
    seen: Seen,
}

/// Where a difference is seen.
enum Seen {
    /// In one answer: makes the two equal if this is all that they differ in. Says whether it took
    /// anything out.
    InAnswer(fn(&RemotingCommand, &mut Answer, &mut Answer) -> bool),
    /// In the tables, in a scene.
    InScene,
}

impl Difference {
    const fn answer(
        what: &'static str,
        because: &'static str,
        take_out: fn(&RemotingCommand, &mut Answer, &mut Answer) -> bool,
    ) -> Self {
        Self { what, because, seen: Seen::InAnswer(take_out) }
    }

    const fn scene(what: &'static str, because: &'static str) -> Self {
        Self { what, because, seen: Seen::InScene }
    }

    /// Takes it out of two answers; says whether there was anything to take out.
    pub(crate) fn explains(
        &self,
        request: &RemotingCommand,
        ours: &mut Answer,
        stock: &mut Answer,
    ) -> bool {
        match self.seen {
            Seen::InAnswer(take_out) => take_out(request, ours, stock),
            Seen::InScene => false,
        }
    }
}

/// All of them.
pub(crate) const INTENDED: &[Difference] = &[
    Difference::answer(
        "the answer to a request with a binary header has one, too",
        "as from a stock name server of 4.9.4 to 4.9.8; those of 5.x use their own setting, and \
         whoever sends one kind reads it",
        |request, ours, stock| {
            let mirrored = ours.header == request.header && stock.header == HeaderKind::Json;
            let differ = ours.header != stock.header;
            stock.header = if mirrored { ours.header } else { stock.header };
            differ && mirrored
        },
    ),
    Difference::answer(
        "the remark of an answer that is a success",
        "a stock name server forgets to clear `not set any response code` (901); nobody reads it",
        |_, ours, stock| {
            let both = ours.code == response::SUCCESS && stock.code == response::SUCCESS;
            both && clear(&mut ours.remark) | clear(&mut stock.remark)
        },
    ),
    Difference::answer(
        "the remark of a request that cannot be read",
        "a stock name server says the name and text of a Java exception; ours says which field is \
         wrong, and what was expected",
        |_, ours, stock| {
            let both = ours.code == response::SYSTEM_ERROR && stock.code == response::SYSTEM_ERROR;
            let is_exception = stock.remark.as_ref().is_some_and(|text| text.contains("Exception"));
            both && is_exception && clear(&mut ours.remark) | clear(&mut stock.remark)
        },
    ),
    Difference::answer(
        "a broker of 4.x is told a data version as 4.x writes it (322)",
        "without `stateVersion`, which it does not know; 4.x and 5.x read one for the other",
        |request, ours, stock| {
            let asked = request.code == request::QUERY_DATA_VERSION;
            let absent = ours.field("stateVersion").is_none();
            let zero = stock.field("stateVersion").is_some_and(|version| *version == 0);
            asked && absent && zero && stock.take("stateVersion").is_some()
        },
    ),
    Difference::answer(
        "a request without a mandatory field is refused",
        "a stock name server goes on with null, and says that it is done when nothing was, or when \
         null was stored (promise 1: what is acknowledged is true)",
        |_, ours, stock| {
            let remark = ours.remark.as_deref().unwrap_or_default();
            let refused = remark.contains("the custom field <") || remark.contains("not null");
            let explained =
                refused && ours.code == response::SYSTEM_ERROR && stock.code == response::SUCCESS;
            explained && same(ours, stock)
        },
    ),
    Difference::answer(
        "a compressed registration is taken whatever its header says of it",
        "brokers 5.0.0 to 5.3.3 say `compressed=false` always; a stock name server refuses them \
         (trap: the lying header)",
        |request, ours, stock| {
            let explained = request.code == request::REGISTER_BROKER
                && ours.code == response::SUCCESS
                && stock.code == response::SYSTEM_ERROR;
            explained && same(ours, stock)
        },
    ),
    Difference::answer(
        "which broker's address comes with the system topics (304)",
        "any one will do: here the first by name, there the first of a hash table",
        |request, ours, stock| {
            let asked = request.code == request::GET_SYSTEM_TOPIC_LIST_FROM_NS;
            let some = ours.field("brokerAddr").is_some() && stock.field("brokerAddr").is_some();
            asked && some && ours.take("brokerAddr").is_some() && stock.take("brokerAddr").is_some()
        },
    ),
    Difference::answer(
        "an order configuration that is empty is absent from a route",
        "clients of 5.x take an empty one for a setting, and static topics for ordinary ones",
        |request, ours, stock| {
            let asked = request.code == request::GET_ROUTEINFO_BY_TOPIC;
            let empty = stock.field("orderTopicConf").is_some_and(|conf| conf == "");
            let absent = ours.field("orderTopicConf").is_none();
            asked && empty && absent && stock.take("orderTopicConf").is_some()
        },
    ),
    Difference::answer(
        "no setting can be changed over the wire (318)",
        "promise 8; a stock name server refuses a few names only",
        |request, ours, stock| {
            let asked = request.code == request::UPDATE_NAMESRV_CONFIG;
            let refused = ours.code == NO_PERMISSION && stock.code == NO_PERMISSION;
            asked && refused && clear(&mut ours.remark) | clear(&mut stock.remark)
        },
    ),
    Difference::answer(
        "which settings are shown (319)",
        "those that mean the same here, and no paths",
        |request, ours, stock| {
            let asked = request.code == request::GET_NAMESRV_CONFIG;
            let shown = |answer: &Answer| matches!(answer.body, Body::Text(_));
            asked && shown(ours) && shown(stock) && same(ours, stock)
        },
    ),
    DELETED_STAYS,
    WIPED_STAYS,
    OLDER_IS_LATE,
    NEVER_HALF_VISIBLE,
    LATE_UNREGISTER,
    ALL_OR_NOTHING,
    CUT_IS_NO_FAREWELL,
];

/// 216, and then the very same registration.
pub(crate) const DELETED_STAYS: Difference = Difference::scene(
    "a deleted topic does not come back with the next repeat of a registration",
    "registrations are compared with the last registered content, not with the tables \
     (Registrations)",
);

/// 205, and then a registration that changes another topic.
pub(crate) const WIPED_STAYS: Difference = Difference::scene(
    "a wiped permission does not come back when another topic of the broker changes",
    "only topics that the broker changed are applied (Registrations)",
);

/// A data version that was before the one that is registered.
pub(crate) const OLDER_IS_LATE: Difference = Difference::scene(
    "an older data version of the same epoch changes nothing",
    "it is a late duplicate; a stock name server goes back to it (Registrations, claim 5)",
);

/// The one-topic first registration.
pub(crate) const NEVER_HALF_VISIBLE: Difference = Difference::scene(
    "a registration that is refused leaves nothing behind",
    "a stock name server shows the broker, without an address, in 106 (promise 1)",
);

/// 104 on another connection.
pub(crate) const LATE_UNREGISTER: Difference = Difference::scene(
    "an unregistration takes away only what its own connection registered",
    "a late one of a former process would take a live broker away (apache/rocketmq#11043, \
     promise 3)",
);

/// 217 for a known and an unknown broker.
pub(crate) const ALL_OR_NOTHING: Difference = Difference::scene(
    "a topic is made on all brokers that a request names, or on none",
    "a stock name server stops at the first that it does not know (claim 1)",
);

/// A connection that ends after an error.
pub(crate) const CUT_IS_NO_FAREWELL: Difference = Difference::scene(
    "a connection that ends after an error takes its broker not away",
    "brokers close connections themselves when a call fails; the lease decides then (promise 3)",
);

const NO_PERMISSION: i32 = response::NO_PERMISSION;

fn clear(remark: &mut Option<String>) -> bool {
    remark.take().is_some()
}

/// Nothing in them can be compared.
fn same(ours: &mut Answer, stock: &mut Answer) -> bool {
    stock.clone_from(ours);
    true
}
