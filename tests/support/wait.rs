//! Conditions with deadlines. Nothing here sleeps for a time in which something "should" happen.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longer than anything that is awaited takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Looks until there is an answer.
///
/// # Panics
/// When [`PATIENCE`] is over; `Err` tells what was seen last.
pub(crate) async fn until<T, E, F>(what: &str, look: impl FnMut() -> F) -> T
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    until_within(PATIENCE, what, look).await
}

/// The same for what may take longer, or must not take as long.
///
/// # Panics
/// When `patience` is over; `Err` tells what was seen last.
pub(crate) async fn until_within<T, E, F>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T
where
    E: Debug,
    F: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + patience;
    loop {
        match look().await {
            Ok(answer) => return answer,
            Err(seen) if Instant::now() >= deadline => {
                panic!("not within {patience:?}: {what}; seen last: {seen:?}")
            }
            Err(_) => sleep(LOOK_INTERVAL).await,
        }
    }
}

/// Looks again and again for as long as `span`: for what must not happen. Answers how often.
pub(crate) async fn throughout<F>(span: Duration, mut look: impl FnMut() -> F) -> u64
where
    F: Future<Output = ()>,
{
    let end = Instant::now() + span;
    let mut looks = 0;
    while Instant::now() < end {
        look().await;
        looks += 1;
        sleep(LOOK_INTERVAL).await;
    }
    looks
}
