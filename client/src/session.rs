//! What a client remembers across replicas: the highest index it was answered, and of which
//! history (the cluster's uuid; docs/GUARANTEES.md, "Histories"). Pure.

/// A history as a client saw it. Told through [`Client::history`](crate::Client::history).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The cluster's uuid; None until the first answer.
    pub cluster: Option<String>,
    /// Grows with each change of `cluster` after the first answer. Whoever sees it grow drops
    /// indices, epochs and caches of the former history.
    pub generation: u64,
}

/// The remembered state.
#[derive(Debug, Default)]
pub(crate) struct Session {
    history: History,
    highest_index: u64,
}

/// What an answer's cluster means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The same history, or the first one.
    Same,
    /// Another: the session has switched to it.
    Changed,
    /// The answer is of a history that the session left after the call began: ignore it.
    Outdated,
}

impl Session {
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Highest index answered in this history.
    pub(crate) fn highest_index(&self) -> u64 {
        self.highest_index
    }

    /// Compares an answer's cluster; `generation` is that in which its call began.
    pub(crate) fn observe(&mut self, generation: u64, cluster: Option<&str>) -> Seen {
        let Some(cluster) = cluster else {
            return if generation == self.history.generation { Seen::Same } else { Seen::Outdated };
        };
        match self.history.cluster.as_deref() {
            Some(known) if known == cluster => Seen::Same,
            Some(_) if generation != self.history.generation => Seen::Outdated,
            Some(_) => {
                self.history.generation += 1;
                self.history.cluster = Some(cluster.to_owned());
                self.highest_index = 0;
                Seen::Changed
            }
            None => {
                self.history.cluster = Some(cluster.to_owned());
                Seen::Same
            }
        }
    }

    /// Keeps the highest index of accepted answers. An index of another history (a write that
    /// was still under way when the history changed) is no index of this one.
    pub(crate) fn raise(&mut self, index: u64, cluster: Option<&str>) {
        if cluster.is_none() || cluster == self.history.cluster.as_deref() {
            self.highest_index = self.highest_index.max(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_history_drops_indices_and_late_answers_of_the_old_do_not_bring_it_back() {
        let mut session = Session::default();
        assert_eq!(session.observe(0, Some("old")), Seen::Same);
        session.raise(100, Some("old"));
        session.raise(90, None);
        assert_eq!(session.highest_index(), 100);
        assert_eq!(session.observe(0, Some("new")), Seen::Changed);
        assert_eq!((session.highest_index(), session.history().generation), (0, 1));
        assert_eq!(session.observe(0, Some("old")), Seen::Outdated, "its call began before");
        assert_eq!(session.observe(0, None), Seen::Outdated);
        session.raise(101, Some("old"));
        assert_eq!(session.highest_index(), 0, "an index of the old one says nothing here");
        assert_eq!(session.observe(0, Some("new")), Seen::Same);
        assert_eq!(session.observe(1, Some("old")), Seen::Changed, "it really went back");
    }
}
