//! Do all replicas say the same? Asked one by one, compared byte for byte.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::local::plan::{Plan, REPLICAS};
use crate::probe::{self, Answered};

/// One replica may take this long to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long they may take to come to the same index, while nothing is written.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);

/// One route as each replica answered it, at one index.
pub(super) struct Routes {
    /// The index of all answers.
    pub(super) index: u64,
    /// By replica.
    pub(super) answers: Vec<(u64, Answered)>,
}

impl Routes {
    /// The same bytes, changed last at the same index?
    pub(super) fn are_equal(&self) -> bool {
        let mut kinds = self.answers.iter().map(|(_, a)| (a.status, &a.modified, &a.body));
        let first = kinds.next();
        first.is_some() && kinds.all(|kind| Some(kind) == first)
    }
}

/// The topic's route at each replica, by linearizable reads, once all answer at one index.
///
/// # Errors
/// When one does not answer, or they do not come to the same index.
pub(super) async fn routes(plan: &Plan, topic: &str) -> Result<Routes, Failure> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    let path = format!("/v1/routes/{topic}?consistency=linearizable");
    loop {
        let asked = REPLICAS.map(|id| {
            let (address, path) = (plan.http(id).to_string(), path.clone());
            async move { (id, probe::get(&address, &path, ANSWER_TIMEOUT).await) }
        });
        let mut answers = Vec::new();
        for (id, answer) in futures_util::future::join_all(asked).await {
            let answer =
                answer.map_err(|why| Failure::failed(format!("replica {id}'s route: {why}")))?;
            answers.push((id, answer));
        }
        let index = answers[0].1.index;
        if let Some(index) = index
            && answers.iter().all(|(_, answer)| answer.index == Some(index))
        {
            return Ok(Routes { index, answers });
        }
        if Instant::now() > deadline {
            return Err(Failure::failed("the replicas do not come to the same index"));
        }
        sleep(SETTLE_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_different_byte_is_a_difference() {
        let answer = |body: &'static str, modified| Answered {
            status: 200,
            index: Some(9),
            modified: Some(modified),
            body: body.into(),
        };
        let routes = |last| Routes { index: 9, answers: vec![(1, answer("{}", 5)), (2, last)] };
        assert!(routes(answer("{}", 5)).are_equal());
        assert!(!routes(answer("{ }", 5)).are_equal());
        assert!(!routes(answer("{}", 6)).are_equal());
        assert!(!Routes { index: 0, answers: Vec::new() }.are_equal());
    }
}
