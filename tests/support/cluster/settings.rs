//! How the replicas of a test are set up.

use std::collections::BTreeMap;
use std::time::Duration;

/// How the replicas are started.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How long a broker lives without a heartbeat, unless it asks for another time.
    pub(crate) lease_ttl: Duration,
    /// Between two looks for silent brokers.
    pub(crate) scan_interval: Duration,
    /// Further options, for all replicas alike.
    pub(crate) options: Vec<(&'static str, String)>,
    /// Bugs and faults planted in certain replicas.
    pub(crate) planted: BTreeMap<u64, String>,
    /// Fragments of warnings that belong to what the test does.
    pub(crate) allowed: Vec<&'static str>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(60),
            scan_interval: Duration::from_millis(100),
            options: Vec::new(),
            planted: BTreeMap::new(),
            allowed: Vec::new(),
        }
    }
}

impl Settings {
    /// Leases this short, scanned for ten times in each.
    pub(crate) fn ttl(lease_ttl: Duration) -> Self {
        Self { lease_ttl, scan_interval: lease_ttl / 10, ..Self::default() }
    }

    /// With a further option.
    pub(crate) fn option(mut self, name: &'static str, value: impl ToString) -> Self {
        self.options.push((name, value.to_string()));
        self
    }

    /// With a warning that belongs to what the test does.
    pub(crate) fn allow(mut self, fragment: &'static str) -> Self {
        self.allowed.push(fragment);
        self
    }
}
