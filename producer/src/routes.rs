//! Routes as they change: a watch over all topics of the producer, in a task of its own. Sends
//! only ever look at its last table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signpost_client::{Client, RouteTable, RouteWatch, WatchOptions};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::message::check_topic;
use crate::outcome::Cause;
use crate::queues::TopicQueues;

/// The route cache.
pub(crate) struct Routes {
    watch: RouteWatch,
    default_topic: String,
    default_topic_queue_nums: u32,
    topics: Mutex<BTreeMap<String, Arc<Topic>>>,
    first_turn: usize,
}

/// What is remembered of a topic besides its route.
pub(crate) struct Topic {
    name: String,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// Queues computed from the table with this generation and index.
    computed: Mutex<Option<(Arc<RouteTable>, Arc<TopicQueues>)>>,
}

/// The addresses of all masters in these routes.
pub(crate) fn masters(table: &RouteTable) -> BTreeSet<Arc<str>> {
    let brokers = table.routes.values().flatten().flat_map(|route| &route.broker_datas);
    brokers.filter_map(|broker| broker.master()).map(Arc::from).collect()
}

/// A topic of a broker, and the address of its master.
pub(crate) fn any_topic_of<'a>(table: &'a RouteTable, broker: &str) -> Option<(&'a str, &'a str)> {
    table.routes.iter().find_map(|(topic, route)| {
        let mut brokers = route.as_ref()?.broker_datas.iter();
        let master = brokers.find(|known| known.broker_name == broker)?.master()?;
        Some((topic.as_str(), master))
    })
}

impl Topic {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The next turn in the round.
    pub(crate) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

impl Routes {
    pub(crate) fn new(
        names: &Client,
        options: WatchOptions,
        default_topic: String,
        default_topic_queue_nums: u32,
        first_turn: usize,
    ) -> Result<Self, Cause> {
        let none: [String; 0] = [];
        let watch = names.watch(none, options)?;
        let topics = Mutex::default();
        Ok(Self { watch, default_topic, default_topic_queue_nums, topics, first_turn })
    }

    /// Told of each change of a route.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.watch.changes()
    }

    /// A topic, watched from now on.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>, Cause> {
        if let Some(topic) = self.lock().get(name) {
            return Ok(Arc::clone(topic));
        }
        check_topic(name)?;
        self.watch.add(name)?;
        self.watch.add(&self.default_topic)?;
        let mut topics = self.lock();
        let topic = topics.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Topic {
                name: name.to_owned(),
                turn: AtomicUsize::new(self.first_turn),
                computed: Mutex::default(),
            })
        });
        Ok(Arc::clone(topic))
    }

    /// The topic's queues as of now; waits only while its route has never been told.
    pub(crate) async fn queues(
        &self,
        topic: &Topic,
        deadline: Instant,
    ) -> Result<Arc<TopicQueues>, Cause> {
        let table = self.watch.routes();
        let table = if self.is_told(topic, &table) {
            table
        } else {
            let mut changes = self.watch.changes();
            let told = changes.wait_for(|table| self.is_told(topic, table));
            match timeout_at(deadline, told).await {
                Ok(Ok(table)) => Arc::clone(&table),
                Ok(Err(_ended)) => return Err(Cause::Closed),
                Err(_elapsed) => return Err(Cause::RouteUnknown { topic: topic.name.clone() }),
            }
        };
        let queues = self.compute(topic, table);
        if queues.is_empty() {
            return Err(Cause::NoRoute { topic: topic.name.clone() });
        }
        Ok(queues)
    }

    /// Its own route is known, or that it has none and what the default topic's is.
    fn is_told(&self, topic: &Topic, table: &RouteTable) -> bool {
        match table.routes.get(&topic.name) {
            Some(Some(_)) => true,
            Some(None) => table.routes.contains_key(&self.default_topic),
            None => false,
        }
    }

    /// Computed once for each table: sends are many, changes few.
    fn compute(&self, topic: &Topic, table: Arc<RouteTable>) -> Arc<TopicQueues> {
        let mut computed = topic.computed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, queues)) = &*computed
            && Arc::ptr_eq(of, &table)
        {
            return Arc::clone(queues);
        }
        let route = |name: &str| table.routes.get(name).and_then(Option::as_ref);
        let queues = match (route(&topic.name), route(&self.default_topic)) {
            (Some(own), _) => TopicQueues::of(own),
            (None, Some(default)) => {
                TopicQueues::of_default(default, self.default_topic_queue_nums)
            }
            (None, None) => TopicQueues::default(),
        };
        let queues = Arc::new(queues);
        *computed = Some((table, Arc::clone(&queues)));
        queues
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
