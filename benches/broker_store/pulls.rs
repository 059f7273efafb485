//! Messages go: as fast as they can be read, and as soon as they have come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use signpost_broker::FlushMode;
use signpost_broker::store::flush::Flush;
use signpost_broker::store::read::{Limits, Reader};
use signpost_broker::store::{Store, StoreOptions};

use crate::stage::{self, Peer, TOPIC, message};
use crate::{Options, Result, raw, report};

/// Messages that are read.
const MESSAGES: u64 = 200_000;
/// Messages of one read, as stock consumers pull.
const LIMITS: Limits = Limits { messages: 32, bytes: 256 * 1024 };

/// Messages read from the store and pulled over TCP beside reading the log's files.
pub(crate) async fn throughput(options: &Options) -> Result<()> {
    let directory = options.directory()?;
    let body = Bytes::from(vec![7; options.body]);
    report::title(&format!(
        "pulls: {MESSAGES} messages of {} bytes in four queues, 32 a pull, from the page cache",
        options.body
    ));
    let flush = Flush::Async { interval: Duration::from_millis(500) };
    let store_options = StoreOptions { flush, ..stage::store_options() };
    let store_dir = directory.path().join("store");
    let (store, _) = Store::open(&store_dir, store_options, vec![], None)?;
    for first in (0..MESSAGES).step_by(100) {
        store.append((first..first + 100).map(|n| message(n, &body)).collect())?.await?;
    }
    let broker = stage::broker(directory.path(), FlushMode::Async).await?;
    let peer = Peer::of(&broker);
    for number in 0..2000 {
        peer.send(number, 0, &body).await?;
    }
    let reader = store.reader();
    let (log_end, mut paths) = (reader.stats().log_end, Vec::new());
    for entry in std::fs::read_dir(store_dir.join("commitlog"))? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut rounds =
        report::Rounds::new(&["read, MB/s", "pulled over TCP, MB/s", "files read, MB/s"]);
    for _ in 0..options.rounds {
        let (reader, span) = (reader.clone(), options.lane());
        let read = tokio::task::spawn_blocking(move || reads(&reader, span)).await??;
        let pulled = pulls(&peer, span).await?;
        let files = raw::reads(&paths, log_end, span)?;
        rounds.add([read, pulled, files].map(|rate| rate / 1e6).to_vec());
    }
    rounds.show_medians();
    report::figure("read ÷ files read", format!("{:.2}", rounds.ratio(0, 2)));
    report::figure(
        "pulled over TCP, one client ÷ files read",
        format!("{:.2}", rounds.ratio(1, 2)),
    );
    broker.shutdown().await;
    tokio::task::spawn_blocking(move || store.close()).await?;
    Ok(())
}

/// Bytes of records that one reader reads a second, through the queues again and again.
fn reads(reader: &Reader, span: Duration) -> Result<f64> {
    let (start, mut bytes) = (Instant::now(), 0_usize);
    while start.elapsed() < span {
        for queue_id in 0..4 {
            let mut next = 0;
            while start.elapsed() < span {
                let batch = reader.read(TOPIC, queue_id, next, LIMITS, &|_| true)?;
                if batch.records.is_empty() {
                    break;
                }
                bytes += batch.records.iter().map(Bytes::len).sum::<usize>();
                next = batch.next_offset;
            }
        }
    }
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

async fn pulls(peer: &Peer, span: Duration) -> Result<f64> {
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < span {
        let mut next = 0;
        while next < 2000 && start.elapsed() < span {
            let (records, behind) = peer.pull(0, next).await?;
            bytes += records.len();
            next = behind;
        }
    }
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}

/// From the start of a send until a consumer that waits has the message, flushed before or not.
pub(crate) async fn latency(options: &Options) -> Result<()> {
    let body = Bytes::from(vec![7; options.body]);
    for (flush, name) in [(FlushMode::Sync, "synchronous"), (FlushMode::Async, "asynchronous")] {
        let directory = options.directory()?;
        let broker = stage::broker(directory.path(), flush).await?;
        let (producer, consumer) = (Peer::of(&broker), Arc::new(Peer::of(&broker)));
        report::title(&format!("latency: one message at a time, {name} flush"));
        producer.send(0, 0, &body).await?;
        let (mut next, mut arrived_us, mut answered_us) = (1, Vec::new(), Vec::new());
        let end = Instant::now() + options.lane() * u32::try_from(options.rounds)?;
        while Instant::now() < end {
            let (consumer, from) = (consumer.clone(), next);
            let pull = tokio::spawn(async move {
                let pulled = consumer.pull(0, from).await;
                (pulled, Instant::now())
            });
            // The pull is to wait when the message comes.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let start = Instant::now();
            producer.send(next.unsigned_abs(), 0, &body).await?;
            answered_us.push(start.elapsed().as_secs_f64() * 1e6);
            let (pulled, at) = pull.await?;
            arrived_us.push((at - start).as_secs_f64() * 1e6);
            next = pulled?.1;
        }
        for (what, times) in [("send → consumer", arrived_us), ("send → answer", answered_us)] {
            let share = |share| report::percentile(times.iter().copied(), share);
            report::figure(
                &format!("{what}, µs"),
                format!("p50 {:.0}, p99 {:.0}, of {}", share(0.5), share(0.99), times.len()),
            );
        }
        broker.shutdown().await;
    }
    Ok(())
}
