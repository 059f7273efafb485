//! How far a run is, on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signpost_chaos::cluster::leader_of;
use signpost_chaos::run::Live;
use tokio::sync::watch;
use tokio::time::interval;

/// Between two looks at how far the run is.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Shows what goes on, until it is aborted.
pub(super) async fn show(mut seen: watch::Receiver<Option<Live>>, duration: Duration) {
    let Ok(live) = seen.wait_for(Option::is_some).await.map(|live| live.clone()) else { return };
    let Some(live) = live else { return };
    let bar = ProgressBar::with_draw_target(Some(duration.as_secs()), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {msg}") {
        bar.set_style(style);
    }
    let mut ticks = interval(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let faults = live.stage.as_ref().map(|stage| stage.records()).unwrap_or_default();
        let going_on: Vec<&str> =
            faults.iter().filter(|one| one.ended.is_none()).map(|one| one.kind.name()).collect();
        let leader = leader_of(&live.watch.statuses());
        let leader = leader.map_or("no leader".to_owned(), |(_, id)| format!("{id} leads"));
        bar.set_position(live.told.now().as_secs().min(duration.as_secs()));
        bar.set_message(format!(
            "{} operations, {} faults, {leader}; {}",
            live.told.count(),
            faults.len(),
            if going_on.is_empty() { "all well".to_owned() } else { going_on.join(", ") }
        ));
    }
}
