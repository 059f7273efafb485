//! Is every acknowledged message in the log of the broker that acknowledged it? Asked of the
//! files themselves, after all processes have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use signpost_broker::log_id;
use signpost_broker::store::read_all;
use signpost_remoting::message::properties::UNIQ_KEY;

use super::verdict::Verdict;
use crate::failure::Failure;
use crate::local::plan::Plan;
use crate::output;

/// Ids of acknowledged messages, by the broker that acknowledged them.
pub(super) type Acknowledged = BTreeMap<String, BTreeSet<String>>;

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

/// The ids of all messages in the log of a stopped broker.
///
/// # Errors
/// When it cannot be read.
fn ids_in(data_dir: &Path) -> Result<BTreeSet<String>, Failure> {
    let log_id = log_id(data_dir).map_err(Failure::failed)?;
    let stored = read_all(data_dir, log_id).map_err(Failure::failed)?;
    Ok(stored.iter().filter_map(|message| message.property(UNIQ_KEY)).map(str::to_owned).collect())
}
