//! What stock brokers say of themselves: registrations (103), unregistrations (104), heartbeats
//! (904), and the ends of their connections.
//!
//! | file | holds |
//! | --- | --- |
//! | this file | [`Registrations`]: the calls of the door |
//! | `ledger` | which connection belongs to which broker, and what past ones left behind (pure) |
//! | `registering` | 103: known by its bytes, or read and compared |
//! | `convert` | header and body to the command of the log (pure) |
//! | `renewals` | repeats on their way to the leader, many in one call |
//! | `watch` | telling the leader who has left, and brokers that they have expired |
//!
//! A broker sends all that it has to every replica every 30 s. The first time on a connection it is
//! read and compared at the leader; when the leader has found it to be unchanged, the hash of its
//! bytes is kept, with the epoch and the content digest that it was found to equal. The same bytes
//! again are not read: key, epoch and digest go to the leader, which renews the lease if they still
//! are what is registered. Either way the broker is answered after the leader.
//!
//! Sources: RocketMQ 5.3.3 `DefaultRequestProcessor`, `RouteInfoManager`, `BrokerOuterAPI`.

mod convert;
mod ledger;
mod registering;
mod renewals;
mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signpost_remoting::connection::Ended;
use signpost_remoting::namesrv::{BrokerHeartbeatHeader, UnregisterBrokerHeader};
use signpost_remoting::{Connection, RemotingCommand, Reply, response};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};

use self::convert::key_of;
use self::ledger::{Ledger, Turn};
use self::renewals::Renewals;
use super::failed;
use super::patience::patiently;
use crate::answers::{Renewal, RenewalAnswer};
use crate::errors::{ServiceError, Unavailable};
use crate::lessor::presence::Standing;
use crate::routes::command::{BrokerKey, Unregister};
use crate::service::{NameService, Witness};

/// Registrations that are read and compared take places by their size, so that a few large ones
/// don't take all memory: a place for each of so many bytes.
const BYTES_PER_PLACE: usize = 64 * 1024;
/// So many of the largest may be under way at once.
const LARGEST_AT_ONCE: usize = 4;

/// The registrations of stock brokers at one replica's door.
pub struct Registrations {
    service: Arc<NameService>,
    book: Arc<Book>,
    renewals: Arc<Renewals>,
    /// Places for registrations that are being read and compared; the others wait for theirs.
    in_hand: Semaphore,
    repeated: AtomicU64,
    compared: AtomicU64,
}

/// The ledger of the door, shared with those who tell.
struct Book {
    ledger: Mutex<Ledger<Connection>>,
    /// Somebody has left.
    departed: Notify,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Ledger<Connection>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for Book {
    fn standing(&self, key: &BrokerKey) -> Standing {
        self.lock().standing(key)
    }
}

impl Registrations {
    /// Takes registrations for this name service, tells its leader of brokers that leave, and closes
    /// the connections of those that expire, until the service stops.
    #[must_use]
    pub fn start(service: &Arc<NameService>) -> Arc<Self> {
        let book = Arc::new(Book { ledger: Mutex::new(Ledger::new()), departed: Notify::new() });
        // A second door of the same service would go unheard; there is none.
        service.witness.set(Arc::clone(&book) as Arc<dyn Witness>).ok();
        watch::spawn(service, &book);
        let places = places_of(service.config().limits.registration_bytes);
        Arc::new(Self {
            renewals: Arc::new(Renewals::new(Arc::clone(service))),
            in_hand: Semaphore::new(places as usize * LARGEST_AT_ONCE),
            service: Arc::clone(service),
            book,
            repeated: AtomicU64::new(0),
            compared: AtomicU64::new(0),
        })
    }

    /// 103.
    pub fn register(self: &Arc<Self>, connection: &Connection, request: RemotingCommand) -> Reply {
        let is_oneway = request.is_oneway();
        let (arrived, turn) = match self.arrive(connection, request) {
            Ok(arrived) => arrived,
            Err(error) => return Reply::Now(failed(&error)),
        };
        let answer = Arc::clone(self).answer_registration(arrived, turn);
        if is_oneway {
            // Nobody waits for it; it is carried out though its sender may hang up.
            tokio::spawn(answer);
            return Reply::Nothing;
        }
        Reply::later(answer)
    }

    /// 104.
    pub fn unregister(
        self: &Arc<Self>,
        connection: &Connection,
        request: RemotingCommand,
    ) -> Reply {
        let done = || RemotingCommand::response(response::SUCCESS);
        let asked = UnregisterBrokerHeader::from_ext(&request.ext).map_err(ServiceError::from);
        let asked = asked.and_then(|header| {
            let key = key_of(&header.cluster_name, &header.broker_name, header.broker_id)?;
            Ok((key, header.broker_addr))
        });
        let (key, address) = match asked {
            Ok(asked) => asked,
            Err(error) => return Reply::Now(failed(&error)),
        };
        let id = connection.id();
        let Some(turn) = self.book.lock().arrive_again(id, &key) else {
            tracing::debug!(
                broker = %key.name, cluster = %key.cluster, id = key.id, peer = %connection.peer(),
                "an unregistration on a connection that has not registered that broker"
            );
            return Reply::Now(done());
        };
        let this = Arc::clone(self);
        // On a task of its own: the broker may hang up as soon as it has said it.
        let task = tokio::spawn(async move { this.take_away(id, key, &address, turn).await });
        Reply::later(async move {
            match task.await {
                Ok(Ok(())) => done(),
                Ok(Err(error)) => failed(&error),
                Err(_) => failed(&ServiceError::unknown("the unregistration was cut")),
            }
        })
    }

    /// 904. Always answered with success, as by stock name servers; brokers don't wait for it.
    pub fn heartbeat(self: &Arc<Self>, connection: &Connection, request: RemotingCommand) -> Reply {
        let done = || RemotingCommand::response(response::SUCCESS);
        let header = match BrokerHeartbeatHeader::from_ext(&request.ext) {
            Ok(header) => header,
            Err(error) => return Reply::Now(failed(&error.into())),
        };
        let Some(key) = self.key_of_heartbeat(&header) else { return Reply::Now(done()) };
        let (this, connection) = (Arc::clone(self), connection.clone());
        let renewal = tokio::spawn(async move {
            if let Err(error) = this.renew(&connection, &key, &header.broker_addr).await {
                tracing::debug!(broker = %key.name, %error, "a heartbeat renewed nothing");
            }
        });
        if request.is_oneway() {
            return Reply::Nothing;
        }
        Reply::later(async move {
            renewal.await.ok();
            done()
        })
    }

    /// Renews the lease of whoever is registered under this key at this address. False: nobody is.
    ///
    /// # Errors
    /// Nobody could be asked in time.
    pub async fn renew(
        &self,
        connection: &Connection,
        key: &BrokerKey,
        address: &str,
    ) -> Result<bool, ServiceError> {
        let id = connection.id();
        let registered = {
            let serving = self.service.reads().peek();
            let live = serving.tables.registration(key);
            live.filter(|live| *live.address == *address).map(|live| live.epoch)
        };
        let (epoch, mut turn) = {
            let mut ledger = self.book.lock();
            let Some(epoch) = ledger.latest(id, key).max(registered) else { return Ok(false) };
            (epoch, ledger.arrive(id, connection, key, address)?)
        };
        turn.come().await;
        let renewal = Renewal { key: key.clone(), epoch, content_digest: None };
        let deadline = self.deadline();
        match self.renewal(renewal, deadline).await? {
            RenewalAnswer::Unchanged { .. } => {
                self.book.lock().renewed(id, key, epoch);
                Ok(true)
            }
            RenewalAnswer::CompareAnew => Ok(false),
        }
    }

    /// A connection has ended.
    pub fn ended(&self, connection: &Connection, ended: &Ended) {
        tracing::debug!(
            peer = %connection.peer(), connection = connection.id(), reason = %ended.reason,
            unanswered = ended.unanswered, last_answer = ended.last_answer_code, "connection ended"
        );
        if self.book.lock().end(connection.id(), ended.is_farewell()) {
            self.book.departed.notify_one();
        }
    }

    /// Registrations known by their bytes, and those that had to be read, since start.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.repeated.load(Ordering::Relaxed), self.compared.load(Ordering::Relaxed))
    }

    async fn take_away(
        &self,
        connection: u64,
        key: BrokerKey,
        address: &str,
        mut turn: Turn,
    ) -> Result<(), ServiceError> {
        turn.come().await;
        let Some(epoch) = self.book.lock().first(connection, &key, address) else { return Ok(()) };
        let deadline = self.deadline();
        let unregister = Unregister { key: key.clone(), claim: None, epoch: Some(epoch) };
        let attempt = || self.service.unregister(unregister.clone(), deadline);
        match patiently(deadline, may_pass, attempt).await {
            Ok(_) => {
                self.book.lock().leave(connection, &key);
                Ok(())
            }
            // Another process lives under this identity: it is not this one's to take away.
            Err(ServiceError::Moved { epoch: live }) => {
                tracing::info!(
                    broker = %key.name, cluster = %key.cluster, id = key.id, epoch, live,
                    "a late unregistration was passed over: a later registration lives"
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A renewal, asked until somebody leads: a stock broker tries again after 30 s only.
    async fn renewal(
        &self,
        renewal: Renewal,
        deadline: Instant,
    ) -> Result<RenewalAnswer, ServiceError> {
        patiently(deadline, may_pass, || self.ask(renewal.clone(), deadline)).await
    }

    async fn ask(
        &self,
        renewal: Renewal,
        deadline: Instant,
    ) -> Result<RenewalAnswer, ServiceError> {
        let answer = timeout_at(deadline, self.renewals.renew(renewal)).await;
        answer.unwrap_or_else(|_| Err(Unavailable::NoQuorum.into()))
    }

    /// A broker's id is not always said: then it is the one registered at this address.
    fn key_of_heartbeat(&self, header: &BrokerHeartbeatHeader) -> Option<BrokerKey> {
        let BrokerHeartbeatHeader { cluster_name, broker_name, broker_addr, broker_id, .. } =
            header;
        if let Some(id) = broker_id {
            return key_of(cluster_name, broker_name, *id).ok();
        }
        let serving = self.service.reads().peek();
        let mut named = serving.tables.registrations_of(broker_name);
        let live = named
            .find(|live| live.key.cluster == *cluster_name && *live.address == **broker_addr)?;
        Some(BrokerKey::clone(&live.key))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.service.config().remoting.write_patience
    }
}

/// Errors that the next try may not meet: of leadership, and of answers that were lost. Every call
/// of this door may be made twice: the leader finds out what the first one did.
fn may_pass(error: &ServiceError) -> bool {
    error.lacks_leader()
        || matches!(
            error,
            ServiceError::Unknown { .. }
                | ServiceError::Unavailable(Unavailable::ExpiryUndecided | Unavailable::Contended)
        )
}

fn places_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_PER_PLACE)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests;
