//! Messages come: each synced before it is acknowledged, or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use signpost_broker::FlushMode;
use signpost_broker::store::flush::Flush;
use signpost_broker::store::{Store, StoreOptions};
use tokio::task::JoinSet;

use crate::stage::{self, Peer, message};
use crate::{Options, Result, raw, report};

/// Appends that wait at once where nothing else is to be the limit.
const IN_FLIGHT: u64 = 256;

/// Sends with synchronous flush beside fdatasync of a write as large as a message's record.
pub(crate) async fn with_sync(options: &Options) -> Result<()> {
    let directory = options.directory()?;
    let broker = stage::broker(directory.path(), FlushMode::Sync).await?;
    let body = Bytes::from(vec![7; options.body]);
    let record = message(0, &body).encoded_bytes();
    Peer::of(&broker).send(0, 0, &body).await?;
    for clients in [1, 16, 64] {
        report::title(&format!(
            "sync-sends: {clients} clients, bodies of {} bytes, beside fdatasync of {record} bytes",
            options.body
        ));
        let peers: Vec<_> = (0..clients).map(|_| Arc::new(Peer::of(&broker))).collect();
        let mut rounds = report::Rounds::new(&["sends/s", "fdatasync/s"]);
        for _ in 0..options.rounds {
            let sends = sends(&peers, &body, options.lane()).await?;
            let syncs = raw::synced_writes(directory.path(), record, options.lane())?;
            rounds.add(vec![sends, syncs]);
        }
        rounds.show_medians();
        report::figure("sends for each fdatasync", format!("{:.2}", rounds.ratio(0, 1)));
    }
    broker.shutdown().await;
    Ok(())
}

/// What clients send in a closed loop, messages a second.
async fn sends(peers: &[Arc<Peer>], body: &Bytes, span: Duration) -> Result<f64> {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for peer in peers {
        let (peer, body) = (peer.clone(), body.clone());
        clients.spawn(async move {
            let mut sent = 0_u64;
            while start.elapsed() < span {
                peer.send(sent, (sent % 4) as i32, &body).await?;
                sent += 1;
            }
            Ok(sent)
        });
    }
    let mut sent = 0;
    while let Some(one) = clients.join_next().await {
        let one: Result<u64> = one?;
        sent += one?;
    }
    Ok(sent as f64 / start.elapsed().as_secs_f64())
}

/// Appends with asynchronous flush beside raw writes of the same bytes.
pub(crate) async fn without_sync(options: &Options) -> Result<()> {
    let directory = options.directory()?;
    let body = Bytes::from(vec![7; options.body]);
    let record = message(0, &body).encoded_bytes();
    report::title(&format!(
        "async-sends: bodies of {} bytes, {IN_FLIGHT} in flight, beside writes of {record} bytes",
        options.body
    ));
    let flush = Flush::Async { interval: Duration::from_millis(500) };
    let store_options = StoreOptions { flush, ..stage::store_options() };
    let (store, _) = Store::open(&directory.path().join("store"), store_options, vec![], None)?;
    let store = Arc::new(store);
    let lanes = ["appends/s", "raw writes/s", "µs of CPU an append", "µs of CPU a raw write"];
    let mut rounds = report::Rounds::new(&lanes);
    for _ in 0..options.rounds {
        let (appends, cpu) = appends(&store, &body, options.lane()).await?;
        let (writes, raw_cpu) = raw::writes(directory.path(), record, options.lane())?;
        rounds.add(vec![appends, writes, cpu, raw_cpu]);
    }
    rounds.show_medians();
    report::at_least("appends for each raw write", rounds.ratio(0, 1), 0.5);
    report::figure("CPU time, an append's ÷ a raw write's", format!("{:.2}", rounds.ratio(2, 3)));
    report::figure("µs of an append's CPU that make the message", making(&body)?);
    if let Some(store) = Arc::into_inner(store) {
        tokio::task::spawn_blocking(move || store.close()).await?;
    }

    let broker = stage::broker(directory.path(), FlushMode::Async).await?;
    report::title("the same over TCP: 64 clients in a closed loop");
    Peer::of(&broker).send(0, 0, &body).await?;
    let peers: Vec<_> = (0..64).map(|_| Arc::new(Peer::of(&broker))).collect();
    let mut rounds = report::Rounds::new(&["sends/s", "raw writes/s"]);
    for _ in 0..options.rounds {
        let sends = sends(&peers, &body, options.lane()).await?;
        let (writes, _) = raw::writes(directory.path(), record, options.lane())?;
        rounds.add(vec![sends, writes]);
    }
    rounds.show_medians();
    report::figure("sends for each raw write", format!("{:.3}", rounds.ratio(0, 1)));
    broker.shutdown().await;
    Ok(())
}

/// CPU time of making a message to append, and of dropping it, in µs.
fn making(body: &Bytes) -> Result<String> {
    const MESSAGES: u64 = 1_000_000;
    let cpu = raw::cpu_time()?;
    (0..MESSAGES).for_each(|number| drop(std::hint::black_box(vec![message(number, body)])));
    let each = (raw::cpu_time()? - cpu).as_secs_f64() * 1e6 / MESSAGES as f64;
    Ok(format!("{each:.2}"))
}

/// Appends a second, and the CPU time of each in µs, of the whole process.
async fn appends(store: &Arc<Store>, body: &Bytes, span: Duration) -> Result<(f64, f64)> {
    let next = Arc::new(AtomicU64::new(0));
    let (start, cpu) = (Instant::now(), raw::cpu_time()?);
    let mut appenders = JoinSet::new();
    for _ in 0..2 {
        let (store, body, next) = (store.clone(), body.clone(), next.clone());
        appenders.spawn(async move {
            let mut waiting = std::collections::VecDeque::new();
            let mut appended = 0_u64;
            // The clock is asked as often as by the raw writes.
            while !appended.is_multiple_of(64) || start.elapsed() < span {
                appended += 1;
                let number = next.fetch_add(1, Ordering::Relaxed);
                waiting.push_back(store.append(vec![message(number, &body)])?);
                if waiting.len() as u64 == IN_FLIGHT / 2
                    && let Some(first) = waiting.pop_front()
                {
                    first.await?;
                }
            }
            for rest in waiting {
                rest.await?;
            }
            Ok(())
        });
    }
    while let Some(one) = appenders.join_next().await {
        let one: Result<()> = one?;
        one?;
    }
    let count = next.load(Ordering::Relaxed) as f64;
    let rate = count / start.elapsed().as_secs_f64();
    Ok((rate, (raw::cpu_time()? - cpu).as_secs_f64() * 1e6 / count))
}
