//! The kinds of faults. "The leader" is any replica while nobody leads.

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $from:literal .. $to:literal;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            pub(super) const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// As it is counted.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            /// How long it lasts, in milliseconds: from, and to.
            pub(super) fn holds_ms(self) -> (u64, u64) {
                match self { $(Kind::$kind => ($from, $to),)* }
            }
        }
    };
}

kinds! {
    /// The leader crashes.
    LeaderKilled = "leader killed", 50 .. 1500;
    /// A follower crashes.
    FollowerKilled = "follower killed", 50 .. 1500;
    /// The leader and as many followers as make a majority crash at once.
    MajorityKilled = "majority killed", 50 .. 1200;
    /// All crash at once, and what was not synchronised is lost.
    PowerCut = "power cut", 50 .. 1000;
    /// One after the other stops gracefully and starts again.
    RollingRestart = "rolling restart", 6000 .. 8000;
    /// An operator hands leadership to another one.
    Transfer = "leader transfer", 200 .. 600;
    /// The leader does nothing for longer than an election takes.
    LeaderPaused = "leader paused", 700 .. 2000;
    /// The same for a moment that no election fits in.
    LeaderPausedShortly = "leader paused shortly", 40 .. 250;
    /// A follower does nothing.
    FollowerPaused = "follower paused", 300 .. 1500;
    /// All but one follower do nothing.
    MajorityPaused = "majority paused", 300 .. 1500;
    /// No replica reaches the leader, nor it them; clients reach all.
    LeaderIsolated = "leader isolated", 400 .. 2000;
    /// The same, but for a moment.
    LeaderIsolatedShortly = "leader isolated shortly", 50 .. 400;
    /// The same for a follower.
    FollowerIsolated = "follower isolated", 50 .. 1500;
    /// What the leader sends to its peers waits.
    LeaderMute = "leader mute", 50 .. 1500;
    /// What its peers send to the leader waits.
    LeaderDeaf = "leader deaf", 50 .. 1500;
    /// What its peers send to a follower waits.
    FollowerDeaf = "follower deaf", 50 .. 1500;
    /// Leader and one follower do not reach each other; the other one reaches both.
    Bridge = "bridge", 50 .. 1500;
    /// The leader is cut off and comes back, again and again.
    Flapping = "flapping", 1500 .. 3000;
    /// Everything between replicas takes long.
    SlowLinks = "slow links", 500 .. 2000;
    /// A part of what replicas send to each other is lost, and sent again.
    LossyLinks = "lossy links", 500 .. 2000;
    /// Clients do not reach the leader, or are not told what it answers.
    ClientsCut = "clients cut off", 200 .. 1500;
    /// A replica's syncs take long.
    SlowDisk = "slow disk", 200 .. 1500;
    /// A write to the disk fails.
    FailingWrite = "failing write", 200 .. 1200;
    /// A sync of the disk fails.
    FailingSync = "failing sync", 200 .. 1200;
    /// The disk is full.
    DiskFull = "disk full", 200 .. 1200;
}
