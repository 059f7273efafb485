//! One replica's name service, put together: machine → log → leases, reads, registrations.
//!
//! ```text
//! doors (HTTP, 9876) → NameService → { Reads, Registrar, Lessor } → Log → RouteMachine
//!                                        ▲                                    │
//!                                        └──────── what changed ──────────────┘
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use signpost_raft::replica::Replica;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarms::Alarms;
use crate::config::NodeConfig;
use crate::errors::ServiceError;
use crate::gate::Gate;
use crate::lessor::Lessor;
use crate::log::{Log, Role};
use crate::machine::{Published, RouteMachine, View};
use crate::proposals::Proposals;
use crate::reads::Reads;
use crate::reads::freshness::Rounds;
use crate::registrar::Registrar;
use crate::routes::command::ExpiryCause;
use crate::routes::{Changes, RegistrationChange, RegistrationEvent};
use crate::service::{Forwarded, NameService, ServiceCounters};

/// Where publications go: to the service, once there is one. Weak, for the service holds the log,
/// which holds the machine, which holds this.
type Target = Arc<OnceLock<Weak<NameService>>>;

/// A name service that waits for its log: [`Assembly::new`] makes the machine that the log is
/// opened with, [`Assembly::start`] takes the opened log.
pub struct Assembly {
    config: NodeConfig,
    published: Arc<Published>,
    target: Target,
}

impl Assembly {
    /// Checks the settings and makes an empty machine.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn new(config: NodeConfig) -> Result<(Self, RouteMachine), ServiceError> {
        config.validate()?;
        let target = Target::default();
        let sink = {
            let target = Arc::clone(&target);
            move |changes: &Changes, view: &View| {
                if let Some(service) = target.get().and_then(Weak::upgrade) {
                    service.observe(changes, view);
                }
            }
        };
        let machine = RouteMachine::new(Box::new(sink));
        let published = machine.published();
        Ok((Self { config, published, target }, machine))
    }

    /// Starts the name service on its opened replica, and answers the calls of others from then on.
    #[must_use]
    pub fn start_on(self, replica: &Replica<RouteMachine>) -> Arc<NameService> {
        let service = self.start(Arc::new(replica.clone()));
        replica.set_call_handler(Arc::new(Forwarded::to(&service)));
        service
    }

    /// Starts the name service on a log: the scanner and the rounds.
    #[must_use]
    pub fn start(self, log: Arc<dyn Log>) -> Arc<NameService> {
        let Self { config, published, target } = self;
        let limits = config.limits;
        let stop = CancellationToken::new();
        let alarms = Arc::new(Alarms::default());
        let rounds = Arc::new(Rounds::new(Arc::clone(&log), limits.reads_waiting));
        let proposals = Arc::new(Proposals::new(Arc::clone(&log), limits.proposals_in_flight));
        let lessor = Arc::new(Lessor::new(
            &config,
            Arc::clone(&log),
            Arc::clone(&rounds),
            Arc::clone(&published),
            Arc::clone(&alarms),
        ));
        let registrar = Registrar::new(
            &config,
            Arc::clone(&rounds),
            Arc::clone(&published),
            Arc::clone(&proposals),
            Arc::clone(&lessor),
            Arc::clone(&alarms),
        );
        let service = Arc::new(NameService {
            reads: Reads::new(&config, Arc::clone(&published), rounds, stop.clone()),
            log,
            lessor,
            registrar,
            proposals,
            alarms,
            registrations: broadcast::Sender::new(limits.removal_events),
            forwards: Gate::new(limits.forwards_in_flight, "forwarded calls"),
            forwarded: Gate::new(limits.forwarded_in_flight, "calls of other replicas"),
            counters: ServiceCounters::default(),
            witness: OnceLock::new(),
            tally: Arc::default(),
            stop,
            tasks: TaskTracker::new(),
            config,
        });
        target.set(Arc::downgrade(&service)).expect("an assembly is started once");
        // What was published before the target was set told nobody.
        service.reads.advance(published.applied());
        service.spawn_tasks();
        service
    }
}

impl NameService {
    fn spawn_tasks(self: &Arc<Self>) {
        let scanner = Arc::clone(&self.lessor);
        self.tasks.spawn(scanner.run_scanner(self.stop.clone(), self.tasks.clone()));
        self.tasks.spawn(Arc::clone(self).run_rounds());
        self.tasks.spawn(Arc::clone(self).run_departures());
    }

    /// Begins rounds in the background. On the leader they keep the leases' run unbroken, and
    /// begin at once when a term begins; everywhere they keep `quorum_age` honest.
    async fn run_rounds(self: Arc<Self>) {
        let mut status = self.log.watch();
        loop {
            let begun = Instant::now();
            let standing = {
                let status = status.borrow_and_update();
                (status.term, status.role, status.leader)
            };
            let interval = match standing.1 {
                Role::Leader => self.lessor.round_interval(),
                _ => self.config.timings.round_interval,
            };
            if standing.2.is_some() {
                let give_up = interval.max(self.config.timings.election_timeout_max);
                let round = tokio::select! {
                    () = self.stop.cancelled() => return,
                    round = self.reads.rounds().confirm_first(begun + give_up) => round,
                };
                match round {
                    Ok(round) => self.lessor.confirm(&round),
                    Err(error) => tracing::debug!(%error, "a background round was not confirmed"),
                }
            }
            let moved = async {
                let same = |now: &crate::log::Status| (now.term, now.role, now.leader) == standing;
                if status.wait_for(|now| !same(now)).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep_until(begun + interval) => {}
                () = moved => {}
            }
        }
    }

    /// New tables can be read. Called by the machine, between applies: must be quick.
    fn observe(&self, changes: &Changes, view: &View) {
        // Leases first: a registration has its lease before anybody learns of it.
        self.lessor.observe(changes, &view.tables);
        self.reads.observe(changes, view);
        for change in &changes.registrations {
            self.tell(change);
            // Nobody need be listening.
            self.registrations.send(change.clone()).ok();
        }
    }

    fn tell(&self, change: &RegistrationChange) {
        let RegistrationChange { key, epoch, address, index, what } = change;
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let (event, cause) = match what {
            RegistrationEvent::Began => {
                count(&self.counters.registered);
                ("registered", "request")
            }
            RegistrationEvent::Superseded => {
                count(&self.counters.superseded);
                ("superseded", "a newer process")
            }
            RegistrationEvent::Unregistered => {
                count(&self.counters.unregistered);
                ("unregistered", "request")
            }
            RegistrationEvent::AddressReused => {
                count(&self.counters.unregistered);
                ("unregistered", "its address was registered elsewhere")
            }
            RegistrationEvent::Expired(ExpiryCause::Silent) => {
                count(&self.counters.expired_silent);
                ("expired", "silent for its whole ttl")
            }
            RegistrationEvent::Expired(ExpiryCause::Closed) => {
                count(&self.counters.expired_closed);
                ("expired", "closed all its connections")
            }
        };
        tracing::info!(
            cluster = %key.cluster, broker = %key.name, id = key.id, address = %address,
            epoch, index, cause, "broker {event}"
        );
    }
}
