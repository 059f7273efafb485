//! The kinds of faults. "The leader" is any voter while nobody leads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal in $group:ident, $lane:ident, $from:literal .. $to:literal;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// As it is written on the command line and in scenarios.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            /// The group that it belongs to.
            #[must_use]
            pub fn group(self) -> Group {
                match self { $(Kind::$kind => Group::$group,)* }
            }

            /// What else it may coincide with: faults of one lane follow each other.
            #[must_use]
            pub fn lane(self) -> Lane {
                match self { $(Kind::$kind => Lane::$lane,)* }
            }

            /// How long it lasts, in milliseconds: from, and to.
            #[must_use]
            pub fn hold_ms(self) -> (u64, u64) {
                match self { $(Kind::$kind => ($from, $to),)* }
            }
        }
    };
}

kinds! {
    /// kill -9 of the leader.
    KillLeader = "kill-leader" in Kill, Cluster, 300 .. 1500;
    /// kill -9 of a follower.
    KillFollower = "kill-follower" in Kill, Cluster, 300 .. 1500;
    /// kill -9 of the leader and as many followers as make a majority.
    KillMajority = "kill-majority" in Kill, Cluster, 300 .. 1200;
    /// kill -9 of all replicas at once.
    KillAll = "kill-all" in Restart, Cluster, 100 .. 600;
    /// One replica after the other stops gracefully and starts again.
    RollingRestart = "rolling-restart" in Restart, Cluster, 50 .. 100;
    /// Leadership is handed to another voter.
    Transfer = "transfer" in Transfer, Cluster, 50 .. 200;
    /// SIGSTOP of the leader for longer than an election takes.
    PauseLeader = "pause-leader" in Pause, Cluster, 900 .. 2000;
    /// The same for a moment that no election fits in.
    PauseLeaderShort = "pause-leader-short" in Pause, Cluster, 40 .. 120;
    /// SIGSTOP of a follower.
    PauseFollower = "pause-follower" in Pause, Cluster, 600 .. 1800;
    /// The leader reaches no other replica, nor they it.
    MinorityLeader = "minority-leader" in Network, Cluster, 800 .. 2000;
    /// The same for a follower.
    IsolatedFollower = "isolated-follower" in Network, Cluster, 600 .. 2000;
    /// The replicas fall into two halves, the leader in the smaller one.
    Split = "split" in Network, Cluster, 800 .. 2000;
    /// What the leader sends to the others is lost.
    MuteLeader = "mute-leader" in Network, Cluster, 800 .. 2000;
    /// What the others send to the leader is lost.
    DeafLeader = "deaf-leader" in Network, Cluster, 800 .. 2000;
    /// What the others send to a follower is lost.
    DeafFollower = "deaf-follower" in Network, Cluster, 600 .. 1800;
    /// Two halves that do not reach each other, and one replica that both reach.
    Bridge = "bridge" in Network, Cluster, 800 .. 2000;
    /// Each replica reaches a majority, no two the same one.
    Ring = "ring" in Network, Cluster, 800 .. 2000;
    /// The leader is cut off and comes back, again and again.
    Flapping = "flapping" in Network, Cluster, 2000 .. 3000;
    /// Everything between replicas takes long.
    SlowLinks = "slow-links" in Network, Cluster, 1000 .. 2500;
    /// A part of what replicas send to each other is lost.
    LossyLinks = "lossy-links" in Network, Cluster, 1000 .. 2500;
    /// A replica's file system is full.
    DiskFull = "disk-full" in Disk, Cluster, 800 .. 1500;
    /// A stopped replica's files are damaged. It is to stop with a clear message, and is replaced.
    DiskDamaged = "disk-damaged" in Disk, Members, 100 .. 300;
    /// A replica dies for ever, and another one takes its place.
    ReplaceDead = "replace-dead" in Members, Members, 100 .. 300;
    /// The leader is removed from the cluster while it leads, and another replica is added.
    ReplaceLeader = "replace-leader" in Members, Members, 100 .. 300;
    /// A replica is added, and removed again.
    Grow = "grow" in Members, Members, 500 .. 1500;
    /// A replica is removed, and another one added later.
    Shrink = "shrink" in Members, Members, 500 .. 1500;
    /// A follower is away until the log that it lacks is gone, and needs a snapshot.
    Starve = "starve" in Snapshot, Cluster, 200 .. 500;
    /// A replica starts again on a monotonic clock that has jumped ahead by hours.
    ClockJump = "clock-jump" in Clock, Cluster, 100 .. 400;
    /// An embedded broker is killed and comes back, before or after its lease has ended.
    BrokerChurn = "broker-churn" in Brokers, Brokers, 300 .. 4000;
    /// The leader is killed, and hundreds of brokers register at once.
    RegisterStorm = "register-storm" in Brokers, Members, 300 .. 800;
}

/// Kinds that one asks for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// kill -9 of some.
    Kill,
    /// All at once, or one after the other.
    Restart,
    /// Leader transfer.
    Transfer,
    /// SIGSTOP and SIGCONT.
    Pause,
    /// Partitions, slow and lossy links.
    Network,
    /// Full and damaged disks.
    Disk,
    /// Membership changes.
    Members,
    /// Snapshots sent under load.
    Snapshot,
    /// Jumps of the monotonic clock.
    Clock,
    /// Brokers that die, and storms of registrations.
    Brokers,
}

impl Group {
    /// All of them, with their names on the command line.
    pub const ALL: [(Group, &'static str); 10] = [
        (Group::Kill, "kill"),
        (Group::Restart, "restart"),
        (Group::Transfer, "leader-transfer"),
        (Group::Pause, "pause"),
        (Group::Network, "network"),
        (Group::Disk, "disk"),
        (Group::Members, "members"),
        (Group::Snapshot, "snapshot"),
        (Group::Clock, "clock"),
        (Group::Brokers, "brokers"),
    ];
}

/// Faults of different lanes go on at the same time, those of one lane one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// Processes, their links and disks.
    Cluster,
    /// What takes long: membership, storms.
    Members,
    /// The embedded brokers.
    Brokers,
}

impl Lane {
    /// All of them.
    pub const ALL: [Lane; 3] = [Lane::Cluster, Lane::Members, Lane::Brokers];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Kinds, from the name of one or of a group; `all` and `none` are understood too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(pub Vec<Kind>);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(name: &str) -> Result<Kinds, String> {
        let of_group = |group: Group| {
            Kind::ALL.iter().copied().filter(|kind| kind.group() == group).collect::<Vec<_>>()
        };
        if name == "all" {
            return Ok(Kinds(Kind::ALL.to_vec()));
        }
        if name == "none" {
            return Ok(Kinds(Vec::new()));
        }
        if let Some((group, _)) = Group::ALL.iter().find(|(_, known)| *known == name) {
            return Ok(Kinds(of_group(*group)));
        }
        if let Some(kind) = Kind::ALL.iter().find(|kind| kind.name() == name) {
            return Ok(Kinds(vec![*kind]));
        }
        let groups: Vec<&str> = Group::ALL.iter().map(|(_, name)| *name).collect();
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        Err(format!(
            "there is no fault {name:?}; the groups are all, none, {}; the kinds are {}",
            groups.join(", "),
            kinds.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_none_is_ambiguous() {
        for kind in Kind::ALL {
            let alone: Kinds = kind.name().parse().expect("its own name");
            assert!(alone.0.contains(kind), "{kind}");
            let json = serde_json::to_value(kind).expect("JSON");
            assert_eq!(json, kind.name());
        }
        let named = |name: &str| Kind::ALL.iter().any(|kind| kind.name() == name);
        assert!(Group::ALL.iter().all(|(_, group)| !named(group)));
        assert_eq!("none".parse(), Ok(Kinds(Vec::new())));
        let all: Kinds = "all".parse().expect("all");
        assert_eq!(all.0, Kind::ALL);
        let said = "kil".parse::<Kinds>().expect_err("no such fault");
        assert!(said.contains("kill-leader"), "{said}");
    }
}
