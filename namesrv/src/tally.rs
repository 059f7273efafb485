//! Requests on 9876: how many of each code were answered how, and how long those took that could
//! not be answered at once.
//!
//! A request costs one relaxed addition to memory that few connections share; the shards are summed
//! up when somebody scrapes. Codes from outside never become labels: unknown ones share one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use signpost_remoting::{request, response};

/// Request codes of name servers; the first is the one that is asked most.
const REQUESTS: [i32; 23] = [
    request::GET_ROUTEINFO_BY_TOPIC,
    request::REGISTER_BROKER,
    request::BROKER_HEARTBEAT,
    request::UNREGISTER_BROKER,
    request::QUERY_DATA_VERSION,
    request::GET_BROKER_CLUSTER_INFO,
    request::GET_BROKER_MEMBER_GROUP,
    request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
    request::GET_TOPICS_BY_CLUSTER,
    request::GET_SYSTEM_TOPIC_LIST_FROM_NS,
    request::GET_UNIT_TOPIC_LIST,
    request::GET_HAS_UNIT_SUB_TOPIC_LIST,
    request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
    request::PUT_KV_CONFIG,
    request::GET_KV_CONFIG,
    request::DELETE_KV_CONFIG,
    request::GET_KVLIST_BY_NAMESPACE,
    request::WIPE_WRITE_PERM_OF_BROKER,
    request::ADD_WRITE_PERM_OF_BROKER,
    request::REGISTER_TOPIC_IN_NAMESRV,
    request::DELETE_TOPIC_IN_NAMESRV,
    request::UPDATE_NAMESRV_CONFIG,
    request::GET_NAMESRV_CONFIG,
];
/// Response codes that the doors give.
const RESPONSES: [i32; 7] = [
    response::SUCCESS,
    response::SYSTEM_ERROR,
    response::SYSTEM_BUSY,
    response::REQUEST_CODE_NOT_SUPPORTED,
    response::NO_PERMISSION,
    response::TOPIC_NOT_EXIST,
    response::QUERY_NOT_FOUND,
];
/// Connections are spread over so many.
const SHARDS: usize = 16;
/// Upper bounds of the buckets of times: 0.25 ms to about 4 s; the last one holds the rest.
const BUCKETS: usize = 16;
const FIRST_BUCKET: Duration = Duration::from_micros(250);

/// A place more than there are codes: all others, or no answer.
type Answered = [[AtomicU64; RESPONSES.len() + 1]; REQUESTS.len() + 1];

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    answered: Answered,
    waited: [Waited; REQUESTS.len() + 1],
}

#[derive(Debug, Default)]
struct Waited {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// The counts of one door.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    shards: Box<[Shard; SHARDS]>,
}

/// How long the requests of one code took.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Times {
    pub(crate) request: &'static str,
    /// (upper bound in seconds, how many were in this bucket alone).
    pub(crate) buckets: Vec<(f64, u64)>,
    pub(crate) sum_seconds: f64,
}

impl Tally {
    /// A request of this connection was answered with this code; None: with nothing.
    pub(crate) fn answered(&self, connection: u64, request: i32, response: Option<i32>) {
        let response = response.map_or(RESPONSES.len(), |code| place(&RESPONSES, code));
        let shard = self.shard(connection);
        shard.answered[place(&REQUESTS, request)][response].fetch_add(1, Ordering::Relaxed);
    }

    /// Its answer took so long, for somebody else had to be asked.
    pub(crate) fn waited(&self, connection: u64, request: i32, elapsed: Duration) {
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let first_us = FIRST_BUCKET.as_micros() as u64;
        // Upper bounds double, and belong to their bucket.
        let bucket =
            (elapsed_us.saturating_sub(1) / first_us).checked_ilog2().map_or(0, |log| log + 1);
        let waited = &self.shard(connection).waited[place(&REQUESTS, request)];
        waited.buckets[(bucket as usize).min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        waited.sum_us.fetch_add(elapsed_us, Ordering::Relaxed);
    }

    /// (request, response, how many), those that have come up.
    pub(crate) fn counts(&self) -> Vec<(&'static str, String, u64)> {
        let mut counts = Vec::new();
        for at in 0..=REQUESTS.len() {
            for of in 0..=RESPONSES.len() {
                let count = self.sum(|shard| &shard.answered[at][of]);
                if count > 0 {
                    let code = RESPONSES.get(of).map_or_else(|| "other".to_owned(), i32::to_string);
                    counts.push((name_at(at), code, count));
                }
            }
        }
        counts
    }

    /// The times of the requests that had to wait.
    pub(crate) fn times(&self) -> Vec<Times> {
        let times = (0..=REQUESTS.len()).map(|at| {
            let bound = |bucket: usize| match bucket {
                last if last == BUCKETS - 1 => f64::MAX,
                bucket => FIRST_BUCKET.as_secs_f64() * f64::from(1_u32 << bucket),
            };
            let count = |of: usize| self.sum(|shard| &shard.waited[at].buckets[of]);
            let sum_us = self.sum(|shard| &shard.waited[at].sum_us);
            Times {
                request: name_at(at),
                buckets: (0..BUCKETS).map(|of| (bound(of), count(of))).collect(),
                sum_seconds: sum_us as f64 / 1e6,
            }
        });
        times.filter(|times| times.buckets.iter().any(|(_, count)| *count > 0)).collect()
    }

    fn shard(&self, connection: u64) -> &Shard {
        &self.shards[(connection % SHARDS as u64) as usize]
    }

    fn sum<'t>(&'t self, of: impl Fn(&'t Shard) -> &'t AtomicU64) -> u64 {
        self.shards.iter().map(|shard| of(shard).load(Ordering::Relaxed)).sum()
    }
}

fn place(codes: &[i32], code: i32) -> usize {
    codes.iter().position(|known| *known == code).unwrap_or(codes.len())
}

fn name_at(place: usize) -> &'static str {
    REQUESTS.get(place).map_or("other", |code| request::name(*code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_connections_come_together_and_codes_from_outside_share_one_label() {
        let tally = Tally::default();
        for connection in 0..40 {
            tally.answered(connection, request::GET_ROUTEINFO_BY_TOPIC, Some(response::SUCCESS));
            tally.answered(connection, 10_000 + connection as i32, Some(77));
        }
        tally.answered(3, request::REGISTER_BROKER, None);
        let name = request::name;
        let expected = [
            (name(request::GET_ROUTEINFO_BY_TOPIC), "0".to_owned(), 40),
            (name(request::REGISTER_BROKER), "other".to_owned(), 1),
            ("other", "other".to_owned(), 40),
        ];
        assert_eq!(tally.counts(), expected);
    }

    #[test]
    fn a_time_is_in_the_first_bucket_that_it_fits_in() {
        let tally = Tally::default();
        let cases =
            [(0, 0), (250, 0), (251, 1), (500, 1), (501, 2), (1_000, 2), (3_600_000_000, 15)];
        for (elapsed_us, _) in cases {
            tally.waited(elapsed_us, request::PUT_KV_CONFIG, Duration::from_micros(elapsed_us));
        }
        let [times] = &tally.times()[..] else { panic!("one code has waited") };
        assert_eq!(times.request, request::name(request::PUT_KV_CONFIG));
        for (bucket, (bound, count)) in times.buckets.iter().enumerate() {
            let expected = cases.iter().filter(|(_, of)| *of == bucket).count() as u64;
            assert_eq!(*count, expected, "up to {bound} s");
        }
        assert_eq!((times.buckets[0].0, times.buckets[2].0), (0.000_25, 0.001));
    }
}
