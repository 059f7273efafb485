//! `signpost produce`: sends messages, shows how far it is, and counts honestly.
//!
//! | module | holds |
//! | --- | --- |
//! | [`source`] | the messages: one many times, or a file's lines |
//! | [`tally`] | what became of the sends |

mod source;
pub(crate) mod tally;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signpost_producer::{Message, Producer};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::source::Source;
use self::tally::Tally;
use crate::cli::produce::Options;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::stop;

/// How messages are sent.
#[derive(Debug, Clone, Copy)]
enum How {
    Sync,
    Async,
    OneWay,
    Batch(u64),
}

/// What the workers share.
struct Job {
    producer: Producer,
    how: How,
    /// Time between two messages; None: no limit.
    spacing: Option<Duration>,
    begun: Instant,
    /// The messages, and how many have been taken.
    source: tokio::sync::Mutex<(Source, u64)>,
    tally: Mutex<Tally>,
    /// Async sends under way, until they are counted.
    pending: TaskTracker,
    progress: ProgressBar,
    stop: CancellationToken,
}

/// Sends what was asked for.
///
/// # Errors
/// When the options cannot work, or the input cannot be read.
pub(crate) async fn run(options: &Options, format: Format) -> Result<u8, Failure> {
    let stop = stop::on_signals()?;
    let source = Source::open(options).await?;
    let producer =
        Producer::start(&options.target.client()?, options.config()).map_err(Failure::usage)?;
    let count = source.count();
    let how = match options.batch {
        Some(messages) => How::Batch(messages.into()),
        None if options.oneway => How::OneWay,
        None if options.asynchronous => How::Async,
        None => How::Sync,
    };
    let job = Arc::new(Job {
        producer: producer.clone(),
        how,
        spacing: options.rate.map(|rate| Duration::from_secs(1) / rate),
        begun: Instant::now(),
        source: tokio::sync::Mutex::new((source, 0)),
        tally: Mutex::new(Tally::default()),
        pending: TaskTracker::new(),
        progress: progress(count)?,
        stop,
    });
    let mut workers = JoinSet::new();
    for _ in 0..options.concurrency {
        workers.spawn(work(Arc::clone(&job)));
    }
    let mut input = Ok(());
    while let Some(ended) = workers.join_next().await {
        input = input.and(ended.map_err(Failure::failed)?);
    }
    job.pending.close();
    job.pending.wait().await;
    producer.close().await;
    let elapsed = job.begun.elapsed();
    job.progress.finish_and_clear();
    let tally = job.tally().clone();
    let report = tally.report(&options.topic, count, elapsed);
    output::answer(format, &report, || report.to_string())?;
    input?;
    Ok(report.exit_code())
}

impl Job {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        // A worker that panicked while counting has already failed the command.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next messages, when it is their turn; none: it is over.
    async fn next(&self) -> io::Result<Vec<Message>> {
        let most = if let How::Batch(messages) = self.how { messages } else { 1 };
        let taken = async {
            let (source, taken) = &mut *self.source.lock().await;
            let messages = source.next(most).await?;
            let turn = *taken;
            *taken += messages.len() as u64;
            io::Result::Ok((messages, turn))
        };
        let Some(taken) = self.stop.run_until_cancelled(taken).await else { return Ok(Vec::new()) };
        let (messages, turn) = taken?;
        if let Some(spacing) = self.spacing {
            let due = sleep_until(self.begun + spacing.mul_f64(turn as f64));
            if self.stop.run_until_cancelled(due).await.is_none() {
                return Ok(Vec::new());
            }
        }
        Ok(messages)
    }

    async fn send(self: &Arc<Self>, messages: &[Message]) {
        let begun = Instant::now();
        let Self { how, producer, .. } = &**self;
        match (how, messages) {
            (How::Batch(_), _) => match producer.send_batch(messages).await {
                Ok(sent) => self.tally().sent(&sent, begun.elapsed()),
                Err(error) => self.tally().failed(&error, messages.len() as u64),
            },
            (How::Sync, [message]) => {
                let outcome = producer.send(message).await;
                self.tally().count(&outcome, begun.elapsed());
            }
            (How::Async, [message]) => match producer.send_async(message).await {
                Ok(pending) => {
                    let job = Arc::clone(self);
                    self.pending.spawn(async move {
                        let outcome = pending.await;
                        job.tally().count(&outcome, begun.elapsed());
                    });
                }
                Err(error) => self.tally().failed(&error, 1),
            },
            (How::OneWay, [message]) => match producer.send_oneway(message).await {
                Ok(()) => self.tally().handed_over(),
                Err(error) => self.tally().failed(&error, 1),
            },
            _ => unreachable!("one message at a time, but for batches"),
        }
        self.progress.inc(messages.len() as u64);
    }
}

async fn work(job: Arc<Job>) -> io::Result<()> {
    while !job.stop.is_cancelled() {
        let messages = job.next().await?;
        if messages.is_empty() {
            break;
        }
        job.send(&messages).await;
    }
    Ok(())
}

/// A bar on stderr, if a person looks at it.
fn progress(count: Option<u64>) -> Result<ProgressBar, Failure> {
    let style = match count {
        Some(_) => "{bar:30} {pos}/{len} messages, {per_sec}, {eta} to go",
        None => "{spinner} {pos} messages, {per_sec}",
    };
    let style = ProgressStyle::with_template(style).map_err(Failure::failed)?;
    // Hidden by itself where stderr is no terminal.
    Ok(ProgressBar::with_draw_target(count, ProgressDrawTarget::stderr()).with_style(style))
}
