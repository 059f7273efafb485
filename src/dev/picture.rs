//! What was seen of the cluster at one look, and the difference between two looks in words. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::units::readable_duration;

/// One look at the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    /// Term and number of who leads, by the leader's own words.
    pub(super) leader: Option<(u64, u64)>,
    /// By number.
    pub(super) replicas: BTreeMap<u64, Replica>,
    /// By name.
    pub(super) brokers: BTreeMap<String, Broker>,
    /// Whether some replica said which brokers are registered.
    pub(super) registered_is_known: bool,
}

/// A replica at one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Replica {
    /// How the process that `dev` started has ended, if it has.
    pub(super) end: Option<String>,
    /// Whether somebody answers at its address.
    pub(super) answers: bool,
    /// The line that starts it again.
    pub(super) restart: String,
}

/// A broker at one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Broker {
    /// How the process that `dev` started has ended, if it has.
    pub(super) end: Option<String>,
    /// Its registration.
    pub(super) epoch: Option<u64>,
    /// The line that starts it again.
    pub(super) restart: String,
}

/// What has happened between two looks. `without_leader`: for how long nobody had been seen to
/// lead before `now`.
pub(super) fn differences(
    before: &Picture,
    now: &Picture,
    without_leader: Option<Duration>,
) -> Vec<String> {
    let mut events = Vec::new();
    for (id, replica) in &now.replicas {
        let was = before.replicas.get(id).cloned().unwrap_or_default();
        if let (None, Some(end)) = (&was.end, &replica.end) {
            let line = &replica.restart;
            events.push(format!("replica {id} has ended: {end}. Start it again with:\n  {line}"));
        }
        match (was.answers, replica.answers) {
            (true, false) => events.push(format!("replica {id} does not answer")),
            (false, true) => events.push(format!("replica {id} answers again")),
            _ => {}
        }
    }
    match (before.leader, now.leader) {
        (Some((_, old)), None) => {
            events.push(format!("nobody leads (replica {old} did): {}", what_works(now)));
        }
        (old, Some((term, id))) if old != Some((term, id)) => {
            let pause = without_leader
                .map(|pause| format!(", {} after the former was missed", readable_duration(pause)))
                .unwrap_or_default();
            events.push(format!("replica {id} leads, in term {term}{pause}"));
        }
        _ => {}
    }
    for (name, broker) in &now.brokers {
        let was = before.brokers.get(name).cloned().unwrap_or_default();
        if let (None, Some(end)) = (&was.end, &broker.end) {
            let line = &broker.restart;
            events.push(format!("{name} has ended: {end}. Start it again with:\n  {line}"));
        }
        if !(before.registered_is_known && now.registered_is_known) {
            continue;
        }
        match (was.epoch, broker.epoch) {
            (Some(epoch), None) => events.push(format!(
                "{name} is no longer registered (epoch {epoch}): every replica's routes are \
                 without it"
            )),
            (old, Some(epoch)) if old != Some(epoch) => {
                events.push(format!("{name} is registered anew (epoch {epoch})"));
            }
            _ => {}
        }
    }
    events
}

/// What can still be done without a leader.
fn what_works(now: &Picture) -> &'static str {
    let answering = now.replicas.values().filter(|replica| replica.answers).count();
    match (answering * 2 > now.replicas.len(), answering) {
        (true, _) => "an election is due; local reads go on, writes wait for it",
        (false, 0) => "no replica answers",
        (false, _) => "there is no quorum; local reads go on, writes are refused until it is back",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(leader: Option<(u64, u64)>, answering: &[u64], epochs: [Option<u64>; 2]) -> Picture {
        let replica = |id| Replica {
            end: None,
            answers: answering.contains(&id),
            restart: format!("signpost namesrv --node-id {id}"),
        };
        let broker = |epoch| Broker { end: None, epoch, restart: "signpost broker".to_owned() };
        Picture {
            leader,
            replicas: [1, 2, 3].map(|id| (id, replica(id))).into(),
            brokers: [("a".to_owned(), broker(epochs[0])), ("b".to_owned(), broker(epochs[1]))]
                .into(),
            registered_is_known: true,
        }
    }

    #[test]
    fn nothing_is_told_twice() {
        let now = picture(Some((2, 1)), &[1, 2, 3], [Some(5), Some(6)]);
        assert!(differences(&now, &now, None).is_empty());
    }

    #[test]
    fn a_killed_leader_and_its_successor_are_told_with_what_to_do() {
        let before = picture(Some((2, 1)), &[1, 2, 3], [Some(5), Some(6)]);
        let mut dead = picture(None, &[2, 3], [Some(5), Some(6)]);
        dead.replicas.get_mut(&1).expect("there").end = Some("killed by signal 9".to_owned());
        let told = differences(&before, &dead, None).join("\n");
        assert!(told.contains("replica 1 has ended: killed by signal 9"), "{told}");
        assert!(told.contains("signpost namesrv --node-id 1"), "{told}");
        assert!(told.contains("an election is due"), "{told}");
        let mut healed = dead.clone();
        healed.leader = Some((3, 2));
        let told = differences(&dead, &healed, Some(Duration::from_millis(310)));
        assert_eq!(told, ["replica 2 leads, in term 3, 310 ms after the former was missed"]);
        let mut back = healed.clone();
        back.replicas.get_mut(&1).expect("there").answers = true;
        assert_eq!(differences(&healed, &back, None), ["replica 1 answers again"]);
    }

    #[test]
    fn without_a_quorum_it_says_what_still_works() {
        let before = picture(Some((2, 1)), &[1, 2], [Some(5), Some(6)]);
        let lonely = picture(None, &[2], [Some(5), Some(6)]);
        let told = differences(&before, &lonely, None).join("\n");
        assert!(told.contains("no quorum"), "{told}");
    }

    #[test]
    fn brokers_come_and_go_by_their_epochs() {
        let before = picture(Some((2, 1)), &[1, 2, 3], [Some(5), Some(6)]);
        let gone = picture(Some((2, 1)), &[1, 2, 3], [None, Some(6)]);
        let told = differences(&before, &gone, None);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("a is no longer registered (epoch 5)"), "{told:?}");
        let again = picture(Some((2, 1)), &[1, 2, 3], [Some(9), Some(6)]);
        assert_eq!(differences(&gone, &again, None), ["a is registered anew (epoch 9)"]);
        assert_eq!(differences(&before, &again, None), ["a is registered anew (epoch 9)"]);
    }

    #[test]
    fn silence_about_brokers_is_not_their_absence() {
        let before = picture(Some((2, 1)), &[1, 2, 3], [Some(5), Some(6)]);
        let mut blind = picture(Some((2, 1)), &[1, 2, 3], [None, None]);
        blind.registered_is_known = false;
        assert!(differences(&before, &blind, None).is_empty());
        assert!(differences(&blind, &before, None).is_empty());
    }
}
