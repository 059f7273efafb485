//! What the replicas say in their logs while a seed runs: an error, or a panic anywhere, fails it.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::world;
use crate::world::net::HostId;

static COMPLAINTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Replicas whose disks were made to fail, or are torn: what they complain of is no surprise.
/// With the number of their excuses.
static EXCUSED: Mutex<BTreeMap<HostId, u64>> = Mutex::new(BTreeMap::new());

/// At most this many are kept.
const KEPT_MAX: usize = 20;

/// Listens from now on, in this whole process. With `RUST_LOG` set, logs are printed as well.
pub(crate) fn listen() {
    let shown = std::env::var_os("RUST_LOG").map(|_| {
        let layer = fmt::layer().with_writer(std::io::stderr).without_time().with_ansi(false);
        layer.with_filter(EnvFilter::from_default_env())
    });
    // In one process a second seed finds it set already.
    let errors = Listener.with_filter(LevelFilter::ERROR);
    let _ = tracing_subscriber::registry().with(errors).with(shown).try_init();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        complain(format!("panic: {panic}"));
        usual(panic);
    }));
}

/// Errors of this replica are expected from now on; not so panics.
pub(crate) fn excuse(host: HostId) {
    *EXCUSED.lock().unwrap_or_else(PoisonError::into_inner).entry(host).or_default() += 1;
}

/// And no longer, unless it has another excuse.
pub(crate) fn end_excuse(host: HostId) {
    let mut excused = EXCUSED.lock().unwrap_or_else(PoisonError::into_inner);
    let left = excused.get(&host).map_or(0, |excuses| excuses - 1);
    if left == 0 {
        excused.remove(&host)
    } else {
        excused.insert(host, left)
    };
}

/// Whether a replica's errors are expected.
pub(crate) fn is_excused(host: HostId) -> bool {
    EXCUSED.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&host)
}

/// What there was to complain of.
pub(crate) fn complaints() -> Vec<String> {
    COMPLAINTS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn complain(line: String) {
    let mut complaints = COMPLAINTS.lock().unwrap_or_else(PoisonError::into_inner);
    if complaints.len() < KEPT_MAX {
        complaints.push(line);
    }
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // Of ours only: openraft calls an unreachable peer an error, which is what we make here.
        if metadata.target().starts_with("signpost") && !is_excused(world::running()) {
            let mut line = Line(format!("host {}: {}:", world::running(), metadata.target()));
            event.record(&mut line);
            complain(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}
