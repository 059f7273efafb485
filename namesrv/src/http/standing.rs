//! How the replica stands, as metrics: asked of the name service at each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use signpost_raft::replica::{LogCounters, Replica};

use crate::machine::RouteMachine;
use crate::service::NameService;
use crate::tally::{Tally, Times};

/// What lies below the name service: the log and its disk.
#[derive(Debug, Clone, Copy)]
pub struct Storage {
    /// What the log has done since it was opened.
    pub log: LogCounters,
    /// Bytes in use on the disk.
    pub disk_bytes: u64,
}

impl Storage {
    /// That of an opened replica.
    #[must_use]
    pub fn of(replica: &Replica<RouteMachine>) -> Self {
        Self { log: replica.log_counters(), disk_bytes: replica.disk_bytes() }
    }
}

/// Asks for the storage's figures; None where there is no storage.
pub(super) type AskStorage = Box<dyn Fn() -> Option<Storage> + Send + Sync>;

/// The collector.
pub(super) struct Standing {
    pub(super) service: Arc<NameService>,
    pub(super) storage: AskStorage,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = self.service.status();
        let view = self.service.reads().peek();
        let freshness = self.service.reads().freshness(view.applied);
        let counters = self.service.counters();
        let quorum_age_s = freshness.quorum_age.map_or(-1.0, |age| age.as_secs_f64());
        let flag = i64::from;

        let mut out = Out(&mut encoder);
        out.gauge("node_id", "Number of this replica", whole(status.node_id))?;
        out.gauge("raft_term", "Raft term", whole(status.term))?;
        out.gauge("raft_leader", "Number of the leader; 0: none is known", {
            whole(status.leader.unwrap_or(0))
        })?;
        out.gauge("is_leader", "Does this replica lead, as far as it knows", {
            flag(status.leader == Some(status.node_id))
        })?;
        out.gauge("members", "Replicas in the membership", whole(status.members.len() as u64))?;
        out.gauge("fed", "Has this replica ever been fed", flag(status.fed))?;
        out.gauge("caught_up", "Has it caught up with a leader since start", {
            flag(status.caught_up)
        })?;
        out.gauge("removed", "Was it removed from its cluster", flag(status.removed))?;
        out.gauge("disk_ok", "Can its disk be written", flag(status.disk_ok))?;
        out.gauge("applied_index", "Log index that readers see here", whole(view.applied))?;
        out.gauge("quorum_age_seconds", "Age of the latest round applied here; -1: none yet", {
            quorum_age_s
        })?;

        out.gauge("topics", "Topics in the tables", whole(view.tables.topics().count() as u64))?;
        out.gauge("registrations", "Live registrations in the tables", {
            whole(view.tables.registrations().count() as u64)
        })?;
        out.gauge("fences", "Removed identities remembered", {
            whole(view.tables.fences_len() as u64)
        })?;
        out.gauge("leases", "Leases kept here; 0 unless it leads", whole(counters.leases as u64))?;
        out.gauge("brake_holds", "Does the mass-expiry brake hold", flag(counters.brake_holds))?;
        out.gauge("waiters", "Topics that reads are waiting for", whole(counters.waiters as u64))?;
        out.gauge("proposals_in_flight", "Writes in flight", {
            whole(counters.proposals_in_flight as u64)
        })?;
        out.gauge("answer_cache_bytes", "Bytes of encoded answers kept", {
            whole(counters.answer_cache_bytes as u64)
        })?;

        out.counter("leases_renewed", "Leases renewed here", counters.renewed)?;
        out.counter("scans", "Scans that judged leases here", counters.scans)?;
        out.counter("expiries_proposed", "Expiries proposed here", counters.proposed_expiries)?;
        out.counter(
            "rounds_missed",
            "Times that leases were granted anew for want of a quorum",
            counters.runs_broken,
        )?;
        out.counter("registrations_begun", "Registrations that began", counters.registered)?;
        out.counters(
            "registrations_ended",
            "Registrations that ended, by cause",
            &[
                ("silent", counters.expired_silent),
                ("closed", counters.expired_closed),
                ("unregistered", counters.unregistered),
                ("superseded", counters.superseded),
            ],
        )?;
        out.counter("rounds_confirmed", "Read-index rounds confirmed", counters.rounds_confirmed)?;
        out.counter("rounds_failed", "Read-index rounds that were not", counters.rounds_failed)?;
        out.counter("forwards", "Calls forwarded to a leader", counters.forwards)?;
        out.counter("forwards_failed", "Forwarded calls without answer", {
            counters.forwards_failed
        })?;
        out.requests(&self.service.tally)?;
        out.counter("forwarded", "Calls answered for other replicas", counters.forwarded)?;
        match (self.storage)() {
            Some(storage) => stored(&mut out, &storage),
            None => Ok(()),
        }
    }
}

fn stored(out: &mut Out<'_, '_>, storage: &Storage) -> fmt::Result {
    let log = &storage.log;
    out.gauge("log_last_index", "Index of the log's last entry", whole(log.last_index))?;
    out.gauge("log_purged_index", "Index up to which snapshots have replaced the log", {
        whole(log.purged_index)
    })?;
    out.gauge("disk_bytes", "Bytes in use on the disk", whole(storage.disk_bytes))?;
    out.counter("log_appended_entries", "Entries appended to the log", log.appended_entries)?;
    out.counter("log_appended_bytes", "Encoded bytes of these", log.appended_bytes)?;
    out.counter("log_syncs", "Syncs of the disk; entries per sync is the group size", log.syncs)
}

/// Writes one metric after another.
struct Out<'o, 'e>(&'o mut DescriptorEncoder<'e>);

impl Out<'_, '_> {
    fn begin(
        &mut self,
        name: &'static str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'_>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn gauge<N>(&mut self, name: &'static str, help: &str, value: N) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        let gauge = ConstGauge::new(value);
        let encoder = self.begin(name, help, gauge.metric_type())?;
        gauge.encode(encoder)
    }

    fn counter(&mut self, name: &'static str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        let encoder = self.begin(name, help, counter.metric_type())?;
        counter.encode(encoder)
    }

    fn counters(
        &mut self,
        name: &'static str,
        help: &str,
        by_cause: &[(&'static str, u64)],
    ) -> fmt::Result {
        let mut encoder = self.begin(name, help, MetricType::Counter)?;
        for (cause, value) in by_cause {
            let cause = Cause { cause };
            ConstCounter::new(*value).encode(encoder.encode_family(&cause)?)?;
        }
        Ok(())
    }

    fn requests(&mut self, tally: &Tally) -> fmt::Result {
        let help = "Requests on 9876 by their names and the codes of their answers";
        let mut encoder = self.begin("remoting_requests", help, MetricType::Counter)?;
        for (request, code, count) in tally.counts() {
            let asked = Asked { request, code };
            ConstCounter::new(count).encode(encoder.encode_family(&asked)?)?;
        }
        let help = "Time to the answer, of requests on 9876 that could not be answered at once";
        let mut encoder = self.begin("remoting_wait_seconds", help, MetricType::Histogram)?;
        for Times { request, buckets, sum_seconds } in tally.times() {
            let count = buckets.iter().map(|(_, count)| count).sum();
            let awaited = Awaited { request };
            let mut encoder = encoder.encode_family(&awaited)?;
            encoder.encode_histogram::<NoLabelSet>(sum_seconds, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// A request on 9876 and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    request: &'static str,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Awaited {
    request: &'static str,
}

/// Gauges are signed.
fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
