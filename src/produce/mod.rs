//! `signpost produce`: sends messages, shows how far it is, and counts honestly.
//!
//! | module | holds |
//! | --- | --- |
//! | [`tally`] | what became of the sends |

pub(crate) mod tally;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signpost_producer::{Message, Producer, ProducerConfig};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::tally::Tally;
use crate::cli::produce::Options;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::stop;

/// What fills bodies that were not given.
const FILLER: &[u8] = b"signpost";

/// What the workers share.
struct Job {
    producer: Producer,
    message: Message,
    count: u64,
    /// Time between two sends; None: no limit.
    spacing: Option<Duration>,
    begun: Instant,
    next: AtomicU64,
    tally: Mutex<Tally>,
    progress: ProgressBar,
    stop: CancellationToken,
}

/// Sends what was asked for.
///
/// # Errors
/// When nothing could be sent because of the options.
pub(crate) async fn run(options: &Options, format: Format) -> Result<u8, Failure> {
    let stop = stop::on_signals()?;
    let config = ProducerConfig {
        send_timeout: options.send_timeout,
        attempt_timeout: options.send_timeout.min(ProducerConfig::default().attempt_timeout),
        max_in_flight: usize::from(options.concurrency),
        ..ProducerConfig::default()
    };
    let producer = Producer::start(&options.target.client()?, config).map_err(Failure::usage)?;
    let body = match &options.body {
        Some(text) => text.clone().into_bytes(),
        None => FILLER.iter().copied().cycle().take(options.size).collect(),
    };
    let job = Arc::new(Job {
        message: Message::new(options.topic.clone(), body),
        producer: producer.clone(),
        count: options.count,
        spacing: options.rate.map(|rate| Duration::from_secs(1) / rate),
        begun: Instant::now(),
        next: AtomicU64::new(0),
        tally: Mutex::new(Tally::default()),
        progress: progress(options.count)?,
        stop: stop.clone(),
    });
    let mut workers = JoinSet::new();
    for _ in 0..options.concurrency {
        workers.spawn(work(Arc::clone(&job)));
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(Failure::failed)?;
    }
    let elapsed = job.begun.elapsed();
    producer.close().await;
    job.progress.finish_and_clear();
    let tally = job.tally().clone();
    let report = tally.report(&options.topic, options.count, elapsed);
    output::answer(format, &report, || report.to_string())?;
    Ok(report.exit_code())
}

impl Job {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        // A worker that panicked while counting has already failed the command.
        self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn work(job: Arc<Job>) {
    loop {
        let turn = job.next.fetch_add(1, Ordering::Relaxed);
        if turn >= job.count || job.stop.is_cancelled() {
            return;
        }
        if let Some(spacing) = job.spacing {
            let due = job.begun + spacing.mul_f64(turn as f64);
            tokio::select! {
                () = sleep_until(due) => {}
                () = job.stop.cancelled() => return,
            }
        }
        let begun = Instant::now();
        let outcome = job.producer.send(&job.message).await;
        job.tally().count(&outcome, begun.elapsed());
        job.progress.inc(1);
    }
}

/// A bar on stderr, if a person looks at it.
fn progress(count: u64) -> Result<ProgressBar, Failure> {
    let style = "{bar:30} {pos}/{len} messages, {per_sec}, {eta} to go";
    let style = ProgressStyle::with_template(style).map_err(Failure::failed)?;
    // Hidden by itself where stderr is no terminal.
    Ok(ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr()).with_style(style))
}
