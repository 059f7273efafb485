//! What a run consists of: written in TOML, built in, or taken from the command line. Every number has
//! a bound.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::faults::kind::{Kind, Kinds};
use crate::network;

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// The scenarios that come with the program, by name: each about one thing that goes wrong. Then
        /// the long one, `soak`.
        pub const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../scenarios/", $name, ".toml"))),)*];
    };
}

built_in![
    "failover",
    "five-replicas",
    "pauses",
    "partitions",
    "one-way",
    "bad-links",
    "members",
    "disks",
    "storms",
    "restarts",
    "snapshots",
    "short-leases",
    "soak",
];

/// The built-in scenario that is no part of [`short`]: it takes half an hour.
const LONG: &str = "soak";

/// The names of all built-in scenarios but the long one: what a whole test consists of.
pub fn short() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name).filter(|name| *name != LONG)
}

/// A run, but for its seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Scenario {
    /// A short name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// How long faults strike, in seconds.
    pub duration_s: u64,
    /// How many replicas found the cluster: 3 or 5.
    pub replicas: u64,
    /// Embedded brokers.
    pub brokers: u64,
    /// Producers, which send to them.
    pub producers: u64,
    /// Clients of the name service; each owns a broker that exists in the name service alone.
    pub clients: u64,
    /// At most so long waits a client between two calls, in milliseconds.
    pub pause_ms: u64,
    /// In so many of a thousand choices a client lets its broker fall silent until it has expired.
    pub silences_per_mille: u64,
    /// Faults, by kind or group; one that is named twice comes twice as often.
    pub faults: Vec<String>,
    /// From the end of a fault to the next of its lane, in milliseconds: from, and to. Short enough, at
    /// times, to strike before the cluster has recovered.
    pub gap_ms: (u64, u64),
    /// How the network between the replicas is made.
    pub network: network::Kind,
    /// The leases of all brokers, in milliseconds.
    pub lease_ttl_ms: u64,
    /// Between two looks for silent brokers, in milliseconds.
    pub scan_interval_ms: u64,
    /// Brokers of a registration storm.
    pub storm_brokers: u64,
    /// Brokers that only keep their leases, as a crowd does.
    pub fleet_brokers: u64,
    /// Topics of all of these together.
    pub fleet_topics: u64,
    /// Memory and descriptors are to stay flat, and the crowd is to keep its leases.
    pub soak: bool,
    /// A client history that is longer is not kept: the run ends then.
    pub operations_max: usize,
    /// Further options of every replica, as `signpost namesrv` takes them.
    pub options: BTreeMap<String, String>,
}

impl Default for Scenario {
    fn default() -> Scenario {
        let options = [("snapshot-every", "300"), ("log-keep", "30"), ("brake-share", "1.0")];
        let options = options.map(|(name, of)| (name.to_owned(), of.to_owned()));
        Scenario {
            name: "usual".to_owned(),
            about: "everything that can be made to go wrong on this machine".to_owned(),
            duration_s: 60,
            replicas: 3,
            brokers: 2,
            producers: 1,
            clients: 8,
            pause_ms: 40,
            silences_per_mille: 4,
            faults: vec!["all".to_owned()],
            gap_ms: (100, 900),
            network: network::Kind::Auto,
            lease_ttl_ms: 2_000,
            scan_interval_ms: 200,
            storm_brokers: 200,
            fleet_brokers: 0,
            fleet_topics: 0,
            soak: false,
            operations_max: 1_000_000,
            options: options.into(),
        }
    }
}

impl Scenario {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Scenario, String> {
        let mut scenario: Scenario = toml::from_str(text).map_err(|error| error.to_string())?;
        for (name, of) in Scenario::default().options {
            scenario.options.entry(name).or_insert(of);
        }
        scenario.check().map(|()| scenario)
    }

    /// One of the [`BUILT_IN`] ones, if there is one of this name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn built_in(name: &str) -> Option<Result<Scenario, String>> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Some(Scenario::read(text))
    }

    /// Looks at every number.
    ///
    /// # Errors
    /// Which one is out of bounds, and what they are.
    pub fn check(&self) -> Result<(), String> {
        if !matches!(self.replicas, 3 | 5) {
            return Err(format!("replicas: 3 or 5, but it is {}", self.replicas));
        }
        for (name, value, from, to) in [
            ("duration-s", self.duration_s, 1, 86_400),
            ("brokers", self.brokers, 0, 20),
            ("producers", self.producers, 0, 20),
            ("clients", self.clients, 1, 100),
            ("pause-ms", self.pause_ms, 0, 60_000),
            ("silences-per-mille", self.silences_per_mille, 0, 1_000),
            ("lease-ttl-ms", self.lease_ttl_ms, 500, 600_000),
            ("scan-interval-ms", self.scan_interval_ms, 10, 60_000),
            ("storm-brokers", self.storm_brokers, 1, 5_000),
            ("fleet-brokers", self.fleet_brokers, 0, 5_000),
            ("fleet-topics", self.fleet_topics, 0, 100_000),
            ("gap-ms, the first", self.gap_ms.0, 0, 600_000),
            ("gap-ms, the second", self.gap_ms.1, self.gap_ms.0.saturating_add(1), 600_001),
            ("operations-max", self.operations_max as u64, 1_000, 10_000_000),
        ] {
            if !(from..=to).contains(&value) {
                return Err(format!("{name}: {from} to {to}, but it is {value}"));
            }
        }
        if self.producers > 0 && self.brokers == 0 {
            return Err("producers: they need brokers to send to".to_owned());
        }
        if self.fleet_topics > 0 && self.fleet_brokers == 0 {
            return Err("fleet-topics: they need fleet-brokers".to_owned());
        }
        self.kinds().map(|_| ())
    }

    /// The kinds of faults.
    ///
    /// # Errors
    /// A name that is none, and what there is.
    pub fn kinds(&self) -> Result<Vec<Kind>, String> {
        let mut kinds = Vec::new();
        for name in &self.faults {
            kinds.extend(name.parse::<Kinds>().map_err(|why| format!("faults: {why}"))?.0);
        }
        Ok(kinds)
    }

    /// How long faults strike.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.duration_s)
    }

    /// The brokers' leases.
    #[must_use]
    pub fn lease_ttl(&self) -> Duration {
        Duration::from_millis(self.lease_ttl_ms)
    }

    /// Between two looks for silent brokers.
    #[must_use]
    pub fn scan_interval(&self) -> Duration {
        Duration::from_millis(self.scan_interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_usual() {
        let read = Scenario::read("name = 'short'\nduration-s = 5\n").expect("a scenario");
        let usual = Scenario { name: "short".to_owned(), duration_s: 5, ..Scenario::default() };
        assert_eq!(read, usual);
        let other = Scenario::read("[options]\nsnapshot-every = '7'").expect("a scenario");
        assert_eq!(other.options["snapshot-every"], "7");
        assert_eq!(other.options["brake-share"], "1.0", "the others are as usual");
    }

    #[test]
    fn what_comes_with_the_program_can_be_read_and_says_what_it_is_about() {
        for (name, _) in BUILT_IN {
            let scenario = Scenario::built_in(name).expect("there is one").expect("it can be read");
            assert_eq!(scenario.name, *name);
            assert!(scenario.about.len() > 20, "{name}");
        }
        assert_eq!(short().count(), BUILT_IN.len() - 1);
        assert!(Scenario::built_in("earthquake").is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, named) in [
            ("replicas = 4", "replicas"),
            ("duration-s = 0", "duration-s"),
            ("faults = ['earthquake']", "earthquake"),
            ("brokers = 0", "producers"),
            ("fleet-topics = 3", "fleet-brokers"),
            ("gap-ms = [900, 100]", "gap-ms"),
            ("colour = 'red'", "colour"),
        ] {
            let said = Scenario::read(text).expect_err(text);
            assert!(said.contains(named), "{said}");
        }
    }
}
