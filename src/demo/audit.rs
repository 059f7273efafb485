//! Is every acknowledged message in the log of the broker that acknowledged it? Asked of the
//! files themselves, after all processes have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use signpost_broker::log_id;
use signpost_broker::store::queues::{Dispatch, Dispatched};
use signpost_broker::store::{Store, StoreOptions};
use signpost_remoting::message::properties::UNIQ_KEY;

use super::verdict::Verdict;
use crate::failure::Failure;
use crate::local::plan::Plan;
use crate::output;

/// Ids of acknowledged messages, by the broker that acknowledged them.
pub(super) type Acknowledged = BTreeMap<String, BTreeSet<String>>;

/// Nothing is appended here: the smallest segments will do.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Collects the ids of all messages of a log.
struct Ids(Arc<Mutex<BTreeSet<String>>>);

impl Dispatch for Ids {
    fn dispatch(&mut self, stored: &Dispatched<'_>) {
        if let Some(id) = stored.message.property(UNIQ_KEY) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        }
    }
}

/// Looks for every acknowledged message.
///
/// # Errors
/// When a log cannot be read.
pub(super) async fn messages(
    plan: &Plan,
    acknowledged: &Acknowledged,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let (mut total, mut lost) = (0, 0);
    for (broker, ids) in acknowledged {
        let dir = plan.dir_of(broker);
        let stored = tokio::task::spawn_blocking(move || ids_in(&dir)).await;
        let stored = stored.map_err(Failure::failed)??;
        let missing = ids.difference(&stored).count();
        output::line(format!(
            "   {broker}'s log holds {} messages; {} of the {} that it acknowledged are missing.",
            stored.len(),
            missing,
            ids.len()
        ));
        total += ids.len();
        lost += missing;
    }
    let figures = format!("{total} acknowledged, {lost} missing from the brokers' logs");
    verdict.find("no acknowledged message is lost", lost == 0 && total > 0, figures);
    Ok(())
}

fn ids_in(data_dir: &Path) -> Result<BTreeSet<String>, Failure> {
    let ids = Arc::new(Mutex::new(BTreeSet::new()));
    let options = StoreOptions {
        segment_bytes: SEGMENT_BYTES,
        max_pending_bytes: 1,
        log_id: log_id(data_dir).map_err(Failure::failed)?,
    };
    let dispatchers: Vec<Box<dyn Dispatch>> = vec![Box::new(Ids(Arc::clone(&ids)))];
    let opened = Store::open(&data_dir.join("commitlog"), options, dispatchers, None);
    drop(opened.map_err(Failure::failed)?);
    let ids = ids.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(ids)
}
