//! 103: a registration is known by its bytes, or read and compared at the leader.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use signpost_remoting::body::{BodyError, RegisterBody};
use signpost_remoting::namesrv::{RegisterBrokerHeader, RegisterBrokerResponseHeader};
use signpost_remoting::{Connection, RemotingCommand, response};
use tokio::time::{Instant, timeout_at};
use xxhash_rust::xxh3::Xxh3;

use super::convert::{key_of, register_of};
use super::ledger::{Raw, Turn};
use super::{Registrations, may_pass, places_of};
use crate::answers::{Renewal, RenewalAnswer};
use crate::errors::ServiceError;
use crate::gateway::patience::patiently;
use crate::gateway::{failed, kv};
use crate::routes::command::BrokerKey;

/// One registration as it came.
pub(super) struct Arrived {
    connection: u64,
    request: RemotingCommand,
    header: RegisterBrokerHeader,
    key: BrokerKey,
    raw: Raw,
}

impl Registrations {
    /// Takes its place among the requests of its broker on its connection.
    pub(super) fn arrive(
        &self,
        connection: &Connection,
        request: RemotingCommand,
    ) -> Result<(Arrived, Turn), ServiceError> {
        let limit = self.service.config().limits.registration_bytes;
        if request.body.len() > limit {
            let (what, limit) = ("bytes of this registration", limit as u64);
            return Err(ServiceError::TooLarge { what: what.into(), limit });
        }
        let header = RegisterBrokerHeader::from_ext(&request.ext)?;
        let key = key_of(&header.cluster_name, &header.broker_name, header.broker_id)?;
        let id = connection.id();
        let turn = self.book.lock().arrive(id, connection, &key, &header.broker_addr)?;
        let raw = hash_of(&request);
        Ok((Arrived { connection: id, request, header, key, raw }, turn))
    }

    /// Answers it when those before it have been.
    pub(super) async fn answer_registration(
        self: Arc<Self>,
        arrived: Arrived,
        mut turn: Turn,
    ) -> RemotingCommand {
        turn.come().await;
        let deadline = self.deadline();
        match self.answer_repeat(&arrived, deadline).await {
            Ok(Some(master)) => return self.registered(master),
            Ok(None) => {}
            Err(error) => return failed(&error),
        }
        // On a task of its own: what was begun is carried to its end, and remembered, also when
        // the broker hangs up, as it does after a one-way registration.
        let this = Arc::clone(&self);
        let task = tokio::spawn(async move {
            let answer = this.compare(&arrived, deadline).await;
            drop(turn);
            answer
        });
        task.await.unwrap_or_else(|_| failed(&ServiceError::unknown("the registration was cut")))
    }

    /// The very same registration as before on this connection? Then it need not be read. None: it
    /// must be compared; Some: the master, for slaves.
    async fn answer_repeat(
        &self,
        arrived: &Arrived,
        deadline: Instant,
    ) -> Result<Option<Option<(String, String)>>, ServiceError> {
        let Arrived { connection, key, raw, .. } = arrived;
        let Some((epoch, digest)) = self.book.lock().repeat(*connection, key, *raw) else {
            return Ok(None);
        };
        let renewal = Renewal { key: key.clone(), epoch, content_digest: Some(digest) };
        match self.renewal(renewal, deadline).await? {
            RenewalAnswer::Unchanged { master } => {
                self.repeated.fetch_add(1, Ordering::Relaxed);
                self.book.lock().renewed(*connection, key, epoch);
                Ok(Some(master))
            }
            RenewalAnswer::CompareAnew => Ok(None),
        }
    }

    /// Reads a registration and has the leader compare it.
    async fn compare(&self, arrived: &Arrived, deadline: Instant) -> RemotingCommand {
        let Arrived { connection, request, header, key, raw } = arrived;
        let places = self.in_hand.acquire_many(places_of(request.body.len()));
        let Ok(_places) = timeout_at(deadline, places).await else {
            return failed(&ServiceError::overloaded("registrations"));
        };
        self.compared.fetch_add(1, Ordering::Relaxed);
        let config = self.service.config();
        let compared = patiently(deadline, Refused::may_pass, || async {
            let inflated_bytes_max = config.remoting.inflated_bytes;
            let version = request.version;
            let body = RegisterBody::decode(header, version, &request.body, inflated_bytes_max)
                .map_err(Refused::Body)?;
            let register = register_of(key.clone(), header, body, &config.timings, &config.limits)?;
            let former = self.book.lock().former(*connection, key);
            Ok(self.service.register_stock(register, former, deadline).await?)
        });
        match compared.await {
            Ok(compared) => {
                let unchanged = compared.content_digest.map(|digest| (*raw, digest));
                let (epoch, address) = (compared.registered.epoch, &header.broker_addr);
                self.book.lock().registered(*connection, key, address, epoch, unchanged);
                self.registered(compared.registered.master)
            }
            Err(Refused::Body(error)) => {
                RemotingCommand::error(response::SYSTEM_ERROR, error.to_string())
            }
            // Another one was made master later and holds the address: RocketMQ answers success,
            // and does nothing.
            Err(Refused::Service(ServiceError::LiveElsewhere { address })) => {
                tracing::warn!(
                    broker = %key.name, cluster = %key.cluster, id = key.id, holder = %address,
                    claimed_by = %header.broker_addr,
                    "a registration was passed over: a later master holds this identity"
                );
                self.registered(None)
            }
            Err(Refused::Service(ServiceError::Expired)) => {
                RemotingCommand::error(response::SYSTEM_ERROR, "register broker failed")
            }
            Err(Refused::Service(error)) => failed(&error),
        }
    }

    /// The answer to a registration that stands.
    fn registered(&self, master: Option<(String, String)>) -> RemotingCommand {
        let (master_addr, ha_server_addr) = master.unzip();
        let header = RegisterBrokerResponseHeader { ha_server_addr, master_addr };
        let answer = RemotingCommand::response(response::SUCCESS).with_ext(header.to_ext());
        if !self.service.config().remoting.return_order_conf {
            return answer;
        }
        match kv::order_conf(&self.service.reads().peek().tables) {
            Some(body) => answer.with_body(body),
            None => answer,
        }
    }
}

/// Why a registration was refused.
enum Refused {
    /// It cannot be read.
    Body(BodyError),
    /// By the name service.
    Service(ServiceError),
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl Refused {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Service(error) if may_pass(error))
    }
}

/// Hash of all that a registration is read from.
fn hash_of(request: &RemotingCommand) -> Raw {
    let mut hash = Xxh3::new();
    hash.update(&request.version.to_le_bytes());
    for (field, value) in request.ext.iter() {
        for text in [field, value] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    }
    hash.update(&request.body);
    hash.digest128()
}
