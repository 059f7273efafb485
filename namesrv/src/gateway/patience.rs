//! Trying again while an election lasts.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two tries.
const TRY_INTERVAL: Duration = Duration::from_millis(20);

/// Tries until it succeeds, or meets an error that the next try would meet too, or there is no time
/// for another try; answers the last one's outcome.
pub(super) async fn patiently<T, E, F>(
    deadline: Instant,
    may_pass: impl Fn(&E) -> bool,
    attempt: impl Fn() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    loop {
        match attempt().await {
            Err(error) if may_pass(&error) && Instant::now() + TRY_INTERVAL < deadline => {
                sleep(TRY_INTERVAL).await;
            }
            done => return done,
        }
    }
}
