//! What the machine itself takes from a measurement: how long small writes to the same disk wait to
//! be synced meanwhile, by a thread that waits for the processor like everybody else.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Between two probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(20);
/// What a probe takes when nothing is the matter.
const USUAL: Duration = Duration::from_millis(10);

/// Probes until dropped.
pub(super) struct Stalls {
    /// Begin and end of each probe.
    seen: Arc<Mutex<Vec<(Instant, Instant)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stalls {
    /// Begins to probe the disk that holds `path`.
    pub(super) fn watch(path: PathBuf) -> Self {
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (noted, told) =
            (Arc::<Mutex<Vec<(Instant, Instant)>>>::clone(&seen), Arc::clone(&stop));
        let mut file = File::create(path).expect("a file");
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let due = Instant::now() + PROBE_INTERVAL;
                sleep(PROBE_INTERVAL);
                file.write_all(b"probe").and_then(|()| file.sync_data()).expect("a sync");
                noted.lock().expect("no panic under this lock").push((due, Instant::now()));
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// The time that was lost between these two moments. Asked a while after the second, or a
    /// probe that is still under way is missing.
    pub(super) fn between(&self, begin: Instant, end: Instant) -> Duration {
        let seen = self.seen.lock().expect("no panic under this lock");
        let shared = |(from, to): &(Instant, Instant)| {
            let shared = end.min(*to).saturating_duration_since(begin.max(*from));
            shared.saturating_sub(USUAL)
        };
        seen.iter().map(shared).sum()
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the probe failed");
    }
}
