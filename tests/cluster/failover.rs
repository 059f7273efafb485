//! Failover, as BENCHMARKS.md's goals define it: kill -9 of the leader → the first acknowledged
//! write by a client that does not know the leader. No acknowledged write is lost, no local read at
//! a survivor fails.

mod stalls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signpost_client::{Client, Options, ReadMode};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::stalls::Stalls;
use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};
use crate::support::http;

const ROUNDS: usize = 30;
const ELECTION_MIN: Duration = Duration::from_millis(150);
const ELECTION_MAX: Duration = Duration::from_millis(250);
/// What an unoptimised build may take longer than the goal for half of all, which leaves 50 ms for
/// everything but the election.
const UNOPTIMISED: Duration = Duration::from_millis(50);
/// The goal for 99 of 100.
const USUAL_MAX: Duration = Duration::from_millis(2 * 250 + 100);

#[tokio::test]
async fn a_killed_leader_is_replaced_in_time_and_nothing_is_lost() {
    let range = format!("{}ms..{}ms", ELECTION_MIN.as_millis(), ELECTION_MAX.as_millis());
    let settings = Settings::default().option("--election-timeout", range);
    let mut cluster = Cluster::start_alone(settings).await;
    let stalls = Stalls::watch(cluster.path("probe"));
    let (mut times, mut own_times) = (Vec::new(), Vec::new());
    let (mut acknowledged, mut local_reads) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let (leader, _) = cluster.leader().await;
        let before = format!("before-{round}");
        write(&cluster.client(), &before).await.expect("a write while all is well");
        acknowledged.push(before);
        cluster.settled().await;
        let survivors: Vec<Reader> =
            cluster.others(leader).into_iter().map(|id| Reader::start(cluster.http(id))).collect();

        // A client that knows nothing yet, with enough time.
        let client = cluster
            .client_with(Options { call_timeout: Duration::from_secs(20), ..Options::default() });
        let said_before: Vec<(u64, usize)> =
            cluster.others(leader).into_iter().map(|id| (id, cluster.log(id).len())).collect();
        let killed = Instant::now();
        cluster.kill(leader);
        let after = format!("after-{round}");
        write(&client, &after).await.expect("a write after the failover");
        let done = Instant::now();
        if done - killed > USUAL_MAX {
            eprintln!("round {round} took {:?}; what the survivors said:", done - killed);
            for (id, length) in said_before {
                eprintln!("---- replica {id}\n{}", cluster.log(id).split_at(length).1);
            }
        }
        acknowledged.push(after);

        for survivor in survivors {
            local_reads += survivor.stop().await;
        }
        cluster.start_replica(leader).await;
        cluster.settled().await;
        times.push(done - killed);
        let lost = stalls.between(killed.into_std(), done.into_std());
        own_times.push((done - killed).saturating_sub(lost));
    }
    let listed = cluster.client().brokers(ReadMode::Linearizable).await.expect("a list").value;
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|name| !listed.brokers.iter().any(|entry| entry.name == **name))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");

    let measured = Percentiles::of(times);
    // The goals are for a machine that does nothing else.
    let own = Percentiles::of(own_times);
    eprintln!(
        "{ROUNDS} failovers, kill -9 to the next acknowledged write: {measured:?}; without the \
         machine's own stalls {own:?}; {} acknowledged writes, none lost; {local_reads} local \
         reads, none failed",
        acknowledged.len()
    );
    // The goal for half of all.
    let p50_max = ELECTION_MAX * 3 / 2 + ELECTION_MIN / 2 + Duration::from_millis(50);
    assert!(own.p50 <= p50_max + UNOPTIMISED, "{own:?}, {measured:?}: not within {p50_max:?}");
    // The goal for p99 of 200 rounds. Of 30, the worst may have met a split vote, which costs
    // one more election.
    assert!(own.p90 <= USUAL_MAX, "{own:?}, {measured:?}: not within {USUAL_MAX:?}");
    let max_max = USUAL_MAX + 2 * ELECTION_MAX;
    assert!(own.max <= max_max, "{own:?}, {measured:?}: not within {max_max:?}");
}

/// Of all rounds.
#[derive(Debug)]
struct Percentiles {
    p50: Duration,
    p90: Duration,
    max: Duration,
}

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |tenths: usize| times[(times.len() * tenths / 10).min(times.len() - 1)];
        Self { p50: at(5), p90: at(9), max: at(10) }
    }
}

/// One write, which can be told from all others.
async fn write(client: &Client, name: &str) -> Result<u64, signpost_client::CallError> {
    let registration = claimed(name, &["topic"], 1, 1);
    let registered = client.register(&identity(name), &registration, false).await?;
    Ok(registered.value.index)
}

/// Reads locally at one replica all the time.
struct Reader {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Reader {
    fn start(replica: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut reads = 0;
            while !told.load(Ordering::Relaxed) {
                let answered = http::get(replica, "/v1/routes/topic?consistency=local").await;
                let answered = answered.unwrap_or_else(|error| panic!("a failed read: {error}"));
                assert_eq!(answered.status, 200, "{}", answered.text());
                reads += 1;
                sleep(Duration::from_millis(2)).await;
            }
            reads
        });
        Self { stop, task }
    }

    /// Answers how many reads there were; none failed.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no local read failed")
    }
}
