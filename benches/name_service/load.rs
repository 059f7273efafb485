//! Callers in a closed loop: each sends its next request when it has its answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Result;
use crate::http::{Connection, write_request};

/// One caller with a connection of its own.
pub(crate) trait Caller: Send + 'static {
    /// Makes its `turn`th call and waits for the answer, which must be a success.
    fn call(&mut self, turn: u64) -> impl Future<Output = io::Result<()>> + Send;
}

/// What callers have done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load {
    /// Between the first call's start and the last answer.
    pub(crate) elapsed: Duration,
    /// Of each call, sorted, in microseconds.
    pub(crate) latencies_us: Vec<u32>,
}

impl Load {
    /// Calls.
    pub(crate) fn calls(&self) -> usize {
        self.latencies_us.len()
    }

    /// Calls a second.
    pub(crate) fn rate(&self) -> f64 {
        self.calls() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in ms that this share of all calls did not exceed; 0 without calls.
    pub(crate) fn percentile_ms(&self, share: f64) -> f64 {
        let rank = (self.calls() as f64 * share).ceil() as usize;
        let at = self.latencies_us.get(rank.clamp(1, self.calls().max(1)) - 1);
        at.map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}

/// Callers that are kept between rounds.
#[derive(Debug)]
pub(crate) struct Callers<C> {
    callers: Vec<(C, u64)>,
}

impl<C: Caller> Callers<C> {
    /// None of these has called yet.
    pub(crate) fn new(callers: impl IntoIterator<Item = C>) -> Self {
        Self { callers: callers.into_iter().map(|caller| (caller, 0)).collect() }
    }

    /// Lets all of them call for as long as `span`.
    ///
    /// # Errors
    /// When a call had no success.
    pub(crate) async fn run(&mut self, span: Duration) -> Result<Load> {
        let begun = Instant::now();
        let end = begun + span;
        let mut running = JoinSet::new();
        for (mut caller, mut turn) in self.callers.drain(..) {
            running.spawn(async move {
                let mut latencies_us = Vec::with_capacity(64 * 1024);
                let mut now = Instant::now();
                while now < end {
                    let sent = now;
                    caller.call(turn).await?;
                    turn += 1;
                    now = Instant::now();
                    let micros = u32::try_from((now - sent).as_micros());
                    latencies_us.push(micros.unwrap_or(u32::MAX));
                }
                Ok::<_, io::Error>((caller, turn, latencies_us))
            });
        }
        let mut load = Load::default();
        while let Some(done) = running.join_next().await {
            let (caller, turn, latencies_us) = done??;
            self.callers.push((caller, turn));
            load.latencies_us.extend(latencies_us);
        }
        load.elapsed = begun.elapsed();
        load.latencies_us.sort_unstable();
        Ok(load)
    }
}

/// Sends the same request again and again.
#[derive(Debug)]
pub(crate) struct Repeat {
    connection: Connection,
    request: Vec<u8>,
}

impl Repeat {
    /// `count` callers of `GET path`.
    pub(crate) async fn get(
        address: SocketAddr,
        path: &str,
        count: usize,
    ) -> Result<Callers<Self>> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            let connection = Connection::open(address).await?;
            callers.push(Self { connection, request: crate::http::request("GET", path, &[]) });
        }
        Ok(Callers::new(callers))
    }
}

impl Caller for Repeat {
    async fn call(&mut self, _: u64) -> io::Result<()> {
        self.connection.ask(&self.request).await?.expect_success()
    }
}

/// Sends a request that is made for each turn.
#[derive(Debug)]
pub(crate) struct Put<F> {
    connection: Connection,
    buffer: Vec<u8>,
    /// Path and body of a turn.
    make: F,
}

impl<F> Put<F>
where
    F: FnMut(u64) -> (String, Vec<u8>) + Send + 'static,
{
    /// A caller of `PUT`.
    pub(crate) async fn at(address: SocketAddr, make: F) -> Result<Self> {
        Ok(Self { connection: Connection::open(address).await?, buffer: Vec::new(), make })
    }
}

impl<F> Caller for Put<F>
where
    F: FnMut(u64) -> (String, Vec<u8>) + Send + 'static,
{
    async fn call(&mut self, turn: u64) -> io::Result<()> {
        let (path, body) = (self.make)(turn);
        self.buffer.clear();
        write_request(&mut self.buffer, "PUT", &path, &body);
        self.connection.ask(&self.buffer).await?.expect_success()
    }
}
