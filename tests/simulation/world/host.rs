//! One host: a runtime of its own, a clock of its own, one life after another.

use std::future::Future;
use std::pin::Pin;
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep_until};

use super::Ended;
use super::net::HostId;

/// A host that is so far behind its clock finds that it has jumped: it was frozen, or its clock was
/// moved. Otherwise its clock passes every millisecond.
const JUMP: u64 = 20;

const USUAL_RATE: u64 = 1000;

pub(super) struct Host {
    id: HostId,
    life: Option<Life>,
    frozen: bool,
    rate_permille: u64,
}

/// A process, from its start to its end.
struct Life {
    runtime: Runtime,
    began: Instant,
    program: Pin<Box<dyn Future<Output = Ended>>>,
    /// What its clock says, in microseconds since it began; and until which millisecond it has run.
    clock_us: u64,
    ran_ms: u64,
    /// Whom the messages wake that came while it was frozen; and whether its timers go first.
    woken: Vec<Waker>,
    timers_first: bool,
}

impl Host {
    pub(super) fn new(id: HostId) -> Host {
        Host { id, life: None, frozen: false, rate_permille: USUAL_RATE }
    }

    pub(super) fn boot(&mut self, program: impl Future<Output = Ended> + 'static) {
        assert!(self.life.is_none(), "host {} lives", self.id);
        // Without I/O: no word ever comes from the operating system.
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime needs nothing of the system");
        let began = runtime.block_on(async { Instant::now() });
        let program = Box::pin(program);
        let (woken, timers_first) = (Vec::new(), false);
        self.life =
            Some(Life { runtime, began, program, clock_us: 0, ran_ms: 0, woken, timers_first });
        self.frozen = false;
        self.rate_permille = USUAL_RATE;
    }

    pub(super) fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(life) = &self.life {
            life.runtime.spawn(work);
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(Life { runtime, program, .. }) = self.life.take() {
            let inside = runtime.enter();
            drop(program);
            drop(inside);
        }
        self.frozen = false;
    }

    pub(super) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn freeze(&mut self) {
        self.frozen = true;
    }

    pub(super) fn thaw(&mut self, woken: Vec<Waker>, timers_first: bool) {
        self.frozen = false;
        if let Some(life) = &mut self.life {
            life.woken = woken;
            life.timers_first = timers_first;
        }
    }

    pub(super) fn set_rate(&mut self, permille: u64) {
        self.rate_permille = permille;
    }

    pub(super) fn jump(&mut self, by: Duration) {
        if let Some(life) = &mut self.life {
            life.clock_us += by.as_micros() as u64;
        }
    }

    /// Moves the clock on by what a tick of the world is here, and runs until then. Answers how the
    /// program ended, if it did.
    pub(super) fn run(&mut self, tick: Duration) -> Option<Ended> {
        let life = self.life.as_mut()?;
        life.clock_us += tick.as_micros() as u64 * self.rate_permille / 1000;
        if self.frozen {
            return None;
        }
        life.run()
    }
}

impl Life {
    fn run(&mut self) -> Option<Ended> {
        let until_ms = self.clock_us / 1000;
        let behind_ms = until_ms - self.ran_ms;
        if behind_ms == 0 {
            return None;
        }
        if !self.timers_first {
            self.woken.drain(..).for_each(Waker::wake);
        }
        let jumps = behind_ms > JUMP;
        if jumps {
            // The clock moves before anything else runs, and all at once.
            self.runtime.block_on(async {
                advance(Duration::from_millis(behind_ms)).await;
                settle().await;
            });
        }
        self.woken.drain(..).for_each(Waker::wake);
        if jumps {
            self.runtime.block_on(settle());
        }
        self.ran_ms = until_ms;
        let until = self.began + Duration::from_millis(until_ms);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                ended = &mut self.program => Some(ended),
                () = sleep_until(until) => None,
            }
        })
    }
}

/// Lets timers fire that are due, and those run whom they wake.
async fn settle() {
    for _ in 0..4 {
        yield_now().await;
    }
}
