//! The route tables as the machine that the log drives, and what readers see of them.
//!
//! The serving copy is swapped before any outcome is answered (docs/GUARANTEES.md, "Publication"),
//! so that a caller who learned that its write was applied at an index finds it in the tables at
//! that index.

use std::sync::Arc;

use arc_swap::ArcSwap;
use signpost_raft::machine::{Index, Machine, Section};

use crate::routes::command::{RouteCommand, RouteOutcome};
use crate::routes::{Changes, RouteTables};

/// The tables at one log index. Never changes.
#[derive(Debug, Clone)]
pub struct View {
    /// The tables.
    pub tables: RouteTables,
    /// The log index up to which they are applied.
    pub applied: Index,
}

/// The serving copy. Readers never wait for an apply, nor an apply for readers.
#[derive(Debug)]
pub struct Published {
    view: ArcSwap<View>,
}

impl Published {
    /// The latest view.
    #[must_use]
    pub fn load(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The latest view, for a short look: does not count references, so do not hold it for long.
    #[must_use]
    pub fn peek(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    /// The index of the latest view.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.view.load().applied
    }
}

/// Told of each publication after the swap: what changed since the one before, and the view.
pub type ChangeSink = Box<dyn Fn(&Changes, &View) + Send + Sync>;

/// The replicated route tables.
pub struct RouteMachine {
    tables: RouteTables,
    published: Arc<Published>,
    sink: ChangeSink,
}

impl RouteMachine {
    /// Empty tables. `sink` is told of each publication; it must not block.
    #[must_use]
    pub fn new(sink: ChangeSink) -> Self {
        let tables = RouteTables::new();
        let view = View { tables: tables.clone(), applied: 0 };
        let published = Arc::new(Published { view: ArcSwap::from_pointee(view) });
        Self { tables, published, sink }
    }

    /// The serving copy, for readers.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.published.clone()
    }
}

impl Machine for RouteMachine {
    type Command = RouteCommand;
    type Outcome = RouteOutcome;

    fn apply(&mut self, index: Index, command: RouteCommand) -> RouteOutcome {
        self.tables.apply(index, command)
    }

    fn publish(&mut self, applied: Index) {
        let changes = self.tables.take_changes();
        let view = Arc::new(View { tables: self.tables.clone(), applied });
        self.published.view.store(view.clone());
        (self.sink)(&changes, &view);
    }

    fn digest(&self) -> u128 {
        self.tables.digest()
    }

    fn freeze(&self) -> Box<dyn Iterator<Item = Section> + Send> {
        Box::new(self.tables.sections())
    }

    fn restore(
        &mut self,
        index: Index,
        sections: &mut dyn Iterator<Item = Section>,
    ) -> Result<(), String> {
        self.tables.restore(index, sections)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn put_kv(value: &str) -> RouteCommand {
        let (namespace, key) = ("n".to_owned(), "k".to_owned());
        RouteCommand::PutKv { namespace, key, value: value.to_owned(), if_index: None }
    }

    fn value(view: &View) -> Option<String> {
        view.tables.kv("n", "k").map(|row| row.value.to_string())
    }

    #[test]
    fn readers_see_whole_batches_and_the_sink_is_told_after_the_swap() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let serving: Arc<Mutex<Option<Arc<Published>>>> = Arc::default();
        let (told_by_sink, served) = (told.clone(), serving.clone());
        let mut machine = RouteMachine::new(Box::new(move |changes, view| {
            let served = served.lock().expect("no panic").as_ref().expect("set").load();
            assert_eq!(served.applied, view.applied, "the sink was told before the swap");
            told_by_sink.lock().expect("no panic").push((changes.kv.len(), view.applied));
        }));
        let published = machine.published();
        *serving.lock().expect("no panic") = Some(published.clone());

        machine.apply(1, put_kv("1"));
        machine.apply(2, put_kv("2"));
        assert_eq!((published.applied(), value(&published.load())), (0, None));
        machine.publish(2);
        assert_eq!(value(&published.load()), Some("2".to_owned()));
        machine.publish(3);
        assert_eq!(*told.lock().expect("no panic"), [(1, 2), (0, 3)]);
    }

    #[test]
    fn a_restored_machine_says_that_anything_may_have_changed() {
        let mut machine = RouteMachine::new(Box::new(|_, _| ()));
        machine.apply(1, put_kv("1"));
        let (everything, seen) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(None)));
        let (told, view) = (everything.clone(), seen.clone());
        let mut other = RouteMachine::new(Box::new(move |changes, published| {
            *told.lock().expect("no panic") = changes.everything;
            *view.lock().expect("no panic") = value(published);
        }));
        other.restore(1, &mut machine.freeze()).expect("a good snapshot");
        other.publish(1);
        assert_eq!(other.digest(), machine.digest());
        assert!(*everything.lock().expect("no panic"));
        assert_eq!(*seen.lock().expect("no panic"), Some("1".to_owned()));
    }
}
