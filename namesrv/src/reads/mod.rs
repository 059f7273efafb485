//! Reads, on any replica.
//!
//! A linearizable read begins a read-index round after it arrived, waits until this replica has
//! applied up to the round's index, and answers from the published tables. A local one answers
//! from them as they are. Both may ask for a `min_index`, and a read of routes may wait for a
//! change. Nobody waits for an apply otherwise, and no apply waits for a reader.
//!
//! | file | holds |
//! | --- | --- |
//! | [`freshness`] | rounds, and what an answer says about its age |
//! | `waiters` | who waits for which topic |
//! | [`forms`] | the ways in which a route is written |
//! | `answers` | encoded answers, kept |

mod answers;
pub mod forms;
pub mod freshness;
mod waiters;

use std::sync::Arc;

use bytes::Bytes;
use signpost_raft::machine::Index;
use signpost_raft::planted::{Bug, planted};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use self::answers::Answers;
pub use self::forms::RouteForm;
use self::freshness::Rounds;
pub use self::freshness::{Consistency, Freshness};
use self::waiters::Waiters;
use crate::config::NodeConfig;
use crate::errors::{ServiceError, Unavailable};
use crate::gate::Gate;
use crate::machine::{Published, View};
use crate::routes::command::Topic;
use crate::routes::{Changes, RouteTables};

/// How a caller wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Linearizable or local.
    pub consistency: Consistency,
    /// The answer's index shall be at least this.
    pub min_index: Option<Index>,
    /// Until then there is an answer, or none.
    pub deadline: Instant,
}

/// A wait for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// A change after this index ends it; the answer's index is at least this, too.
    pub index: Index,
    /// When this has come without one, the answer is given anyway.
    pub until: Instant,
}

/// The tables at one index, and how fresh they are.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The tables.
    pub view: Arc<View>,
    /// Where and when they were read.
    pub freshness: Freshness,
}

/// One topic's part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteAnswer {
    /// The topic.
    pub topic: Topic,
    /// Its route as RocketMQ's JSON; None: it does not exist.
    pub json: Option<Bytes>,
    /// Index of its last change; of one that does not exist, of its deletion or the floor below
    /// which this replica knows of no deletions.
    pub modified: Index,
}

/// Routes at one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteAnswers {
    /// In the order in which they were asked for.
    pub routes: Vec<RouteAnswer>,
    /// The highest of all `modified`.
    pub modified: Index,
    /// Where and when they were read.
    pub freshness: Freshness,
}

/// The reads of one replica.
pub struct Reads {
    published: Arc<Published>,
    rounds: Arc<Rounds>,
    /// Index of the latest publication.
    applied: watch::Sender<Index>,
    waiting: Gate,
    waiters: Waiters,
    answers: Answers,
    topics_max: usize,
    call_timeout: std::time::Duration,
    with_order_conf: bool,
    stop: CancellationToken,
}

impl Reads {
    pub(crate) fn new(
        config: &NodeConfig,
        published: Arc<Published>,
        rounds: Arc<Rounds>,
        stop: CancellationToken,
    ) -> Self {
        let limits = &config.limits;
        Self {
            applied: watch::Sender::new(published.applied()),
            published,
            rounds,
            waiting: Gate::new(limits.reads_waiting, "reads waiting for an index"),
            waiters: Waiters::new(limits.waiters),
            answers: Answers::new(limits.answer_cache_bytes),
            topics_max: limits.topics_per_read,
            call_timeout: config.timings.call_timeout,
            with_order_conf: config.order_message_enable,
            stop,
        }
    }

    /// The tables, as fresh as asked for.
    ///
    /// # Errors
    /// Definite ones: removed, never fed, no leader or no quorum in time, not yet at `min_index`.
    pub async fn read(&self, read: &Read) -> Result<Reading, ServiceError> {
        let view = self.view(read).await?;
        let freshness = self.rounds.freshness(view.applied);
        Ok(Reading { view, freshness })
    }

    /// The routes of these topics, all at one index; with a `wait`, once one of them has changed.
    ///
    /// # Errors
    /// As [`Reads::read`]; too many topics, or too many waiting reads.
    pub async fn routes(
        &self,
        topics: &[Topic],
        read: &Read,
        wait: Option<Wait>,
    ) -> Result<RouteAnswers, ServiceError> {
        if topics.len() > self.topics_max {
            let expected = format!("at most {} topics", self.topics_max);
            return Err(ServiceError::invalid("topics", expected));
        }
        let Some(wait) = wait else {
            let view = self.view(read).await?;
            return Ok(self.answer(topics, &view));
        };
        let read = Read { min_index: read.min_index.max(Some(wait.index)), ..*read };
        let view = self.view(&read).await?;
        if self.modified(topics, &view.tables) > wait.index {
            return Ok(self.answer(topics, &view));
        }
        drop(view);
        let view = match self.changed(topics, wait).await? {
            Some(view) => view,
            // In vain: the answer is as fresh as was asked for all the same.
            None => {
                let deadline = read.deadline.max(Instant::now() + self.call_timeout);
                self.view(&Read { deadline, ..read }).await?
            }
        };
        Ok(self.answer(topics, &view))
    }

    /// Freshness of an answer read, or written, at `index`.
    #[must_use]
    pub fn freshness(&self, index: Index) -> Freshness {
        self.rounds.freshness(index)
    }

    /// The index that this replica has published.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.published.applied()
    }

    /// The published tables as they are, for those who ask this replica about itself: unlike
    /// [`Reads::read`] this also answers on one that was removed, or never fed.
    #[must_use]
    pub fn peek(&self) -> Arc<View> {
        self.published.load()
    }

    /// Looks at the published tables as they are; `look` must be quick.
    ///
    /// # Errors
    /// When this replica must not answer from its tables at all: removed, or never fed.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&View) -> T) -> Result<T, ServiceError> {
        self.rounds.may_answer()?;
        Ok(look(&self.published.peek()))
    }

    /// A topic's route in this form, out of the tables of a read; None when it does not exist.
    pub(crate) fn route_in(&self, view: &View, topic: &str, form: RouteForm) -> Option<Bytes> {
        self.encoded_at(topic, form, view).0
    }

    /// Do routes carry the order configuration of their topic?
    pub(crate) fn with_order_conf(&self) -> bool {
        self.with_order_conf
    }

    pub(crate) fn rounds(&self) -> &Rounds {
        &self.rounds
    }

    pub(crate) fn waiters(&self) -> usize {
        self.waiters.count()
    }

    pub(crate) fn answer_cache_bytes(&self) -> usize {
        self.answers.bytes()
    }

    /// New tables were published: wakes who waits for what has changed, and nobody else.
    pub(crate) fn observe(&self, changes: &Changes, view: &View) {
        if changes.everything {
            self.answers.clear();
            self.waiters.wake_all();
        } else if !self.waiters.is_empty() {
            for topic in changes.routes(&view.tables, self.with_order_conf) {
                self.waiters.wake(&topic);
            }
        }
        self.advance(view.applied);
    }

    /// Tells those who wait for an index.
    pub(crate) fn advance(&self, applied: Index) {
        self.applied.send_if_modified(|known| {
            let higher = applied > *known;
            *known = applied.max(*known);
            higher
        });
    }

    async fn view(&self, read: &Read) -> Result<Arc<View>, ServiceError> {
        self.rounds.may_answer()?;
        if read.consistency == Consistency::Linearizable {
            self.rounds.confirm(read.deadline).await?;
        }
        if let Some(min_index) = read.min_index
            && self.published.applied() < min_index
            && !(planted(Bug::MinIndexIgnoredAfterStart) && self.rounds.counts().0 == 0)
        {
            self.reach(min_index, read.deadline).await?;
        }
        Ok(self.published.load())
    }

    async fn reach(&self, min_index: Index, deadline: Instant) -> Result<(), ServiceError> {
        let _place = self.waiting.enter()?;
        let mut applied = self.applied.subscribe();
        tokio::select! {
            () = self.stop.cancelled() => Err(Unavailable::Stopping.into()),
            reached = timeout_at(deadline, applied.wait_for(|index| *index >= min_index)) => {
                if matches!(reached, Ok(Ok(_))) {
                    return Ok(());
                }
                Err(Unavailable::Behind { applied: self.published.applied(), min_index }.into())
            }
        }
    }

    /// Waits for a change of one of these topics after the index. None: there was none in time.
    async fn changed(
        &self,
        topics: &[Topic],
        wait: Wait,
    ) -> Result<Option<Arc<View>>, ServiceError> {
        let waiter = self.waiters.listen(topics)?;
        loop {
            let view = self.published.load();
            if self.modified(topics, &view.tables) > wait.index {
                return Ok(Some(view));
            }
            drop(view);
            tokio::select! {
                () = self.stop.cancelled() => return Err(Unavailable::Stopping.into()),
                () = sleep_until(wait.until) => return Ok(None),
                () = waiter.heard() => {}
            }
        }
    }

    fn modified(&self, topics: &[Topic], tables: &RouteTables) -> Index {
        topics.iter().map(|topic| self.modified_of(topic, tables).1).max().unwrap_or(0)
    }

    /// Does the topic exist, and when did it last change?
    fn modified_of(&self, topic: &str, tables: &RouteTables) -> (bool, Index) {
        match route_modified(tables, topic, self.with_order_conf) {
            Some(modified) => (true, modified),
            None => (false, tables.absent_modified(topic)),
        }
    }

    fn answer(&self, topics: &[Topic], view: &View) -> RouteAnswers {
        let answer = |topic: &Topic| {
            let (json, modified) = self.encoded_at(topic, RouteForm::PLAIN, view);
            RouteAnswer { topic: topic.clone(), json, modified }
        };
        let routes: Vec<RouteAnswer> = topics.iter().map(answer).collect();
        let modified = routes.iter().map(|route| route.modified).max().unwrap_or(0);
        RouteAnswers { routes, modified, freshness: self.rounds.freshness(view.applied) }
    }

    /// A topic's route, if it exists, and the index of its last change.
    fn encoded_at(&self, topic: &str, form: RouteForm, view: &View) -> (Option<Bytes>, Index) {
        if let Some((modified, bytes)) = self.answers.at(topic, form, view.applied) {
            return (Some(bytes), modified);
        }
        let (exists, modified) = self.modified_of(topic, &view.tables);
        let encoded = || self.encoded(topic, form, modified, &view.tables);
        let bytes = exists.then(encoded).flatten();
        if bytes.is_some() {
            self.answers.checked(topic, modified, view.applied);
        }
        (bytes, modified)
    }

    fn encoded(
        &self,
        topic: &str,
        form: RouteForm,
        modified: Index,
        tables: &RouteTables,
    ) -> Option<Bytes> {
        if let Some(bytes) = self.answers.get(topic, form, modified) {
            return Some(bytes);
        }
        let route = tables.route(topic, self.with_order_conf)?;
        let bytes = forms::encode(topic, route, form);
        self.answers.put(topic, form, modified, bytes.clone());
        Some(bytes)
    }
}

/// What [`RouteTables::route`] calls `modified`, without making the route.
fn route_modified(tables: &RouteTables, topic: &str, with_order_conf: bool) -> Option<Index> {
    let row = tables.topic(topic)?;
    let order_conf = if with_order_conf { row.order_conf_modified } else { 0 };
    let brokers = row.queues.iter().filter_map(|(name, _)| tables.broker(name));
    Some(brokers.map(|broker| broker.modified).fold(row.modified.max(order_conf), Index::max))
}

#[cfg(test)]
mod tests;
