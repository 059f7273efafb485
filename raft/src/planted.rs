//! Planted bugs and faults, to show that the tests bite. Only with the feature `planted-bugs`,
//! which no release is built with; without it every question here is the constant `false`.
//!
//! Each stands where the code is that keeps it out, here and in the name service, and takes that code
//! away. `SIGNPOST_PLANTED` names those of a process, separated by commas, each as in [`Bug::name`],
//! and `slow-apply=MS` holds up its applies. Which test catches which: `tests/planted`.

use std::time::Duration;

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A log entry counts as durable before the disk has synced it.
    AcknowledgeBeforeSync,
    /// A vote counts as durable before the disk has synced it.
    VoteNotSynced,
    /// The disk of a real replica leaves the synchronisation to sled.
    FdatasyncLeftOut,
    /// An expiry takes away whatever registration is there, not only the one that it judged.
    ExpiryIgnoresEpoch,
    /// A new leader goes by the leases as it remembers them.
    NoFullTtlInNewTerm,
    /// A heartbeat is judged in the tables as they were when it arrived, which may lack an expiry
    /// that a new leader has inherited.
    InheritedExpiryOvertakes,
    /// A registration of a former process is taken for a newer one.
    LatePutWins,
    /// A leader that was out of touch goes by the leases as it remembers them.
    NoFullTtlAfterCutOff,
    /// A replica that leads, as far as it knows, acknowledges heartbeats by itself.
    DeposedLeaderAcknowledges,
    /// A heartbeat is acknowledged while an expiry of its lease is being decided.
    AcknowledgedWhileExpiring,
    /// A follower reads its tables as soon as the leader has named the read index.
    ReadWithoutWaiting,
    /// A replica that leads, as far as it knows, confirms reads by itself.
    ReadIndexWithoutQuorum,
    /// A replica whose disk was wiped is taken for the one that it was.
    WipedReplicaVotes,
    /// An unregister takes away whatever registration is there, whoever sent it.
    LateUnregisterRemoves,
    /// A difference is applied to another content than it was worked out from.
    MovedBaseIgnored,
    /// A broker that closed its connection to one replica has left, whatever the others say.
    OneClosedConnectionExpires,
    /// Tables that come from a snapshot have forgotten the epochs.
    SnapshotDropsEpoch,
    /// Tables that were installed from a snapshot are served under the index before them.
    SnapshotIndexTooOld,
    /// A replica that has just started does not wait for the index that a read asks for.
    MinIndexIgnoredAfterStart,
    /// The digest depends on the order of a hash map.
    HashOrderInDigest,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 20] = [
        Bug::AcknowledgeBeforeSync,
        Bug::VoteNotSynced,
        Bug::FdatasyncLeftOut,
        Bug::ExpiryIgnoresEpoch,
        Bug::NoFullTtlInNewTerm,
        Bug::InheritedExpiryOvertakes,
        Bug::LatePutWins,
        Bug::NoFullTtlAfterCutOff,
        Bug::DeposedLeaderAcknowledges,
        Bug::AcknowledgedWhileExpiring,
        Bug::ReadWithoutWaiting,
        Bug::ReadIndexWithoutQuorum,
        Bug::WipedReplicaVotes,
        Bug::LateUnregisterRemoves,
        Bug::MovedBaseIgnored,
        Bug::OneClosedConnectionExpires,
        Bug::SnapshotDropsEpoch,
        Bug::SnapshotIndexTooOld,
        Bug::MinIndexIgnoredAfterStart,
        Bug::HashOrderInDigest,
    ];

    /// Its name in `SIGNPOST_PLANTED`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Bug::AcknowledgeBeforeSync => "acknowledge-before-sync",
            Bug::VoteNotSynced => "vote-not-synced",
            Bug::FdatasyncLeftOut => "fdatasync-left-out",
            Bug::ExpiryIgnoresEpoch => "expiry-ignores-epoch",
            Bug::NoFullTtlInNewTerm => "no-full-ttl-in-new-term",
            Bug::InheritedExpiryOvertakes => "inherited-expiry-overtakes",
            Bug::LatePutWins => "late-put-wins",
            Bug::NoFullTtlAfterCutOff => "no-full-ttl-after-cut-off",
            Bug::DeposedLeaderAcknowledges => "deposed-leader-acknowledges",
            Bug::AcknowledgedWhileExpiring => "acknowledged-while-expiring",
            Bug::ReadWithoutWaiting => "read-without-waiting",
            Bug::ReadIndexWithoutQuorum => "read-index-without-quorum",
            Bug::WipedReplicaVotes => "wiped-replica-votes",
            Bug::LateUnregisterRemoves => "late-unregister-removes",
            Bug::MovedBaseIgnored => "moved-base-ignored",
            Bug::OneClosedConnectionExpires => "one-closed-connection-expires",
            Bug::SnapshotDropsEpoch => "snapshot-drops-epoch",
            Bug::SnapshotIndexTooOld => "snapshot-index-too-old",
            Bug::MinIndexIgnoredAfterStart => "min-index-ignored-after-start",
            Bug::HashOrderInDigest => "hash-order-in-digest",
        }
    }
}

/// Whether this bug is planted.
///
/// # Panics
/// When `SIGNPOST_PLANTED` names one that there is not: nothing would come of it, unnoticed.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    chosen().bugs.contains(&bug)
}

/// Whether this bug is planted: never, in this build.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn planted(_bug: Bug) -> bool {
    false
}

/// How long an apply that begins now is held up: with `slow-apply=MS` they stand still for so long,
/// and run for as long, in turn. So the replica falls behind again and again and can always make up
/// for it; a delay of each batch would let it fall behind for ever.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn apply_hold_up() -> Option<Duration> {
    static STARTED: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();
    let hold_up = chosen().apply_hold_up?;
    let running = STARTED.get_or_init(tokio::time::Instant::now).elapsed();
    let turn = running.as_millis() % (hold_up * 2).as_millis();
    hold_up.checked_sub(Duration::from_millis(u64::try_from(turn).ok()?))
}

/// How long an apply that begins now is held up: not at all, in this build.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn apply_hold_up() -> Option<Duration> {
    None
}

/// What the environment asks for.
#[cfg(feature = "planted-bugs")]
#[derive(Default)]
struct Chosen {
    bugs: Vec<Bug>,
    apply_hold_up: Option<Duration>,
}

#[cfg(feature = "planted-bugs")]
fn chosen() -> &'static Chosen {
    use std::num::NonZeroU64;

    static CHOSEN: std::sync::OnceLock<Chosen> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| {
        let mut chosen = Chosen::default();
        let list = std::env::var("SIGNPOST_PLANTED").unwrap_or_default();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let hold_up =
                name.strip_prefix("slow-apply=").and_then(|ms| ms.parse::<NonZeroU64>().ok());
            match (Bug::ALL.into_iter().find(|bug| bug.name() == name), hold_up) {
                (Some(bug), _) => chosen.bugs.push(bug),
                (None, Some(ms)) => chosen.apply_hold_up = Some(Duration::from_millis(ms.get())),
                (None, None) => panic!("SIGNPOST_PLANTED: there is no bug {name:?}"),
            }
        }
        chosen
    })
}
