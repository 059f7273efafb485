//! Brokers that closed all their connections: the leader asks every member about them, and proposes
//! the end of their registrations when none objects (rules: [`crate::lessor::presence`]).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use signpost_raft::machine::{Index, NodeId};
use tokio::time::Instant;

use super::NameService;
use super::call::{Answer, Envelope, Reply, Request, decode, encode, milliseconds};
use crate::lessor::presence::{Standing, judge};
use crate::log::Role;
use crate::routes::command::BrokerKey;

/// A member that has not answered for so long is silent.
const PATIENCE: Duration = Duration::from_millis(300);

impl NameService {
    /// Judges departures until stopped. It runs on every replica, and acts where one leads.
    pub(crate) async fn run_departures(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.lessor.departure_due() => {}
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.judge_departures() => {}
            }
        }
    }

    async fn judge_departures(&self) {
        if self.log.status().role != Role::Leader {
            // The replicas tell whoever leads.
            return self.lessor.forget_departures();
        }
        let departures = self.lessor.departures();
        let deadline = Instant::now() + PATIENCE;
        // Begun before anybody is asked: a lease renewed since then is not ended.
        let Ok(round) = self.reads.rounds().confirm_first(deadline).await else {
            return self.lessor.postpone_departures(&departures);
        };
        let keys: Vec<BrokerKey> = departures.iter().map(|(key, _)| key.clone()).collect();
        let members = self.log.status().members;
        let asked = members.iter().map(|member| self.ask_standings(member.id, &keys, deadline));
        let answers = join_all(asked).await;
        let standings_of = |place: usize| {
            let of = move |answer: &Option<Vec<Standing>>| answer.as_ref().map(|all| all[place]);
            answers.iter().map(of)
        };
        let judged: Vec<_> = departures
            .into_iter()
            .enumerate()
            .map(|(place, (key, epoch))| (key, epoch, judge(epoch, standings_of(place))))
            .collect();
        tell(&judged, &members.iter().map(|member| member.id).collect::<Vec<_>>(), &answers);
        self.lessor.judge_departures(&round, &judged, &self.stop, &self.tasks);
    }

    /// What a member knows of these; None: it does not say.
    async fn ask_standings(
        &self,
        member: NodeId,
        keys: &[BrokerKey],
        deadline: Instant,
    ) -> Option<Vec<Standing>> {
        if member == self.config.node_id {
            return Some(self.standings(keys));
        }
        let remaining_ms = milliseconds(deadline.saturating_duration_since(Instant::now()));
        let envelope = Envelope { remaining_ms, request: Request::Standings(keys.to_vec()) };
        let answer = self.log.call(member, encode(&envelope).ok()?, deadline).await.ok()?;
        match decode::<Reply>(&answer) {
            Ok(Ok(Answer::Standings(standings))) if standings.len() == keys.len() => {
                Some(standings)
            }
            _ => None,
        }
    }
}

fn tell(
    judged: &[(BrokerKey, Index, crate::lessor::presence::Judgement)],
    members: &[NodeId],
    answers: &[Option<Vec<Standing>>],
) {
    for (place, (key, epoch, judgement)) in judged.iter().enumerate() {
        let said = members.iter().zip(answers);
        let said: Vec<_> = said.map(|(id, all)| (id, all.as_ref().map(|all| all[place]))).collect();
        tracing::debug!(
            broker = %key.name, cluster = %key.cluster, id = key.id, epoch, ?judgement, ?said,
            "a broker has left a door"
        );
    }
}
