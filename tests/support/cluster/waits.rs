//! What a cluster comes to: ready, led, settled, of one mind.

use super::Cluster;
use crate::support::http::{self, Answered};
use crate::support::wait::until;

impl Cluster {
    /// Waits until it is ready.
    pub(crate) async fn ready(&self, id: u64) {
        until(&format!("replica {id} is ready"), || async {
            match http::get(self.http(id), "/readyz").await {
                Ok(answered) if answered.status == 200 => Ok(()),
                Ok(answered) => Err(answered.text()),
                Err(error) => Err(error),
            }
        })
        .await;
    }

    /// Waits until one of those that are up leads and the others that are up follow it. Answers its
    /// number and term.
    pub(crate) async fn leader(&self) -> (u64, u64) {
        until("one replica leads all that are up", || async {
            let mut seen = Vec::new();
            for id in self.up() {
                let status = self.status(id).await?;
                seen.push((id, status.role, status.term, status.leader));
            }
            let leads = seen.iter().find(|(_, role, _, _)| role == "leader").cloned();
            match leads {
                Some((id, _, term, _))
                    if seen.iter().all(|(_, _, t, leader)| *t == term && *leader == Some(id)) =>
                {
                    Ok((id, term))
                }
                _ => Err(format!("{seen:?}")),
            }
        })
        .await
    }

    /// Waits until all that are up have applied the same log and hold the same tables; answers that
    /// index.
    pub(crate) async fn settled(&self) -> u64 {
        until("equal tables at an equal index on all that are up", || async {
            let mut seen = Vec::new();
            for id in self.up() {
                let status = self.status(id).await?;
                seen.push((status.applied, status.digest));
            }
            let first = seen.first().cloned().expect("one is up");
            if seen.iter().all(|each| *each == first) {
                Ok(first.0)
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await
    }

    /// Sees to it that every replica would know after kill -9 and by itself that what has been
    /// acknowledged so far is committed: a replica notes on disk how far the log is committed
    /// with its next write. Without that the entries are there all the same, and a quorum knows.
    pub(crate) async fn note_committed(&self) {
        for turn in 0..3 {
            let written = self.client().put_kv("test", "committed", &turn.to_string(), None).await;
            written.expect("a write");
            self.settled().await;
        }
    }

    /// Waits until every replica that is up answers `path` alike, body and `Signpost-Modified`;
    /// the first of them is what `accept` takes.
    pub(crate) async fn same_everywhere(
        &self,
        path: &str,
        accept: impl Fn(&Answered) -> bool,
    ) -> Answered {
        until(&format!("the same answer to {path} everywhere"), || async {
            let mut seen = Vec::new();
            for id in self.up() {
                seen.push(http::get(self.http(id), path).await?);
            }
            let first = seen.first().cloned().expect("one is up");
            if accept(&first) && seen.iter().all(|each| each.content() == first.content()) {
                Ok(first)
            } else {
                Err(format!("{:?}", seen.iter().map(Answered::content).collect::<Vec<_>>()))
            }
        })
        .await
    }
}
