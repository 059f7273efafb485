//! The door for RocketMQ's own protocol (9876): stock brokers, clients and tools, unmodified.
//!
//! | module | holds |
//! | --- | --- |
//! | this file | [`Gateway`]: the one match from request code to call |
//! | `call` | the request codes that are served |
//! | [`door`] | the listener: open from the first feeding of the replica until its removal |
//! | `reading`, `writing`, `patience` | how fresh reads are; how long writes try |
//! | `routes` | 105 |
//! | `lists` | 106, 206, 224, 304, 311 to 313, 901 |
//! | `kv` | 100, 101, 102, 219 |
//! | `admin` | 205, 216, 217, 318, 319, 327 |
//! | `versions` | 322 |
//! | `notices` | 905, which is sent to brokers |
//! | [`registration`] | 103, 104, 904, and what the ends of connections say of brokers |
//!
//! Errors become response codes by the one table in [`crate::errors`]. Requests that need no wait
//! are answered on the connection's own task.

mod admin;
mod call;
pub mod door;
mod kv;
mod lists;
mod notices;
mod patience;
mod reading;
pub mod registration;
mod routes;
mod versions;
mod writing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signpost_remoting::connection::{CloseReason, Ended};
use signpost_remoting::{
    Connection, ExtFields, Handler, Prepared, Ready, RemotingCommand, Reply, request, response,
};
use tokio::time::Instant;

use self::call::Call;
use self::registration::Registrations;
use crate::config::RemotingConfig;
use crate::errors::ServiceError;
use crate::service::NameService;

/// Peers that send what is no frame are told of in the log at most once in this time.
const NO_FRAME_SILENCE: Duration = Duration::from_secs(1);

/// Answers the requests of stock programs with one replica's name service.
pub struct Gateway(Arc<Shared>);

/// What the families of calls share.
struct Shared {
    service: Arc<NameService>,
    config: RemotingConfig,
    registrations: Arc<Registrations>,
    /// Of any request but a registration.
    body_bytes_max: usize,
    /// When a peer that sent what is no frame was told of last.
    told_of_no_frame: Mutex<Option<Instant>>,
    /// The success of a local read.
    found_locally: Prepared,
}

impl Gateway {
    /// The door of this name service.
    #[must_use]
    pub fn new(service: Arc<NameService>) -> Self {
        let config = service.config().remoting.clone();
        let body_bytes_max = service.config().limits.body_bytes;
        let registrations = Registrations::start(&service);
        if config.notify_min_id_changed {
            notices::spawn(&service);
        }
        let told_of_no_frame = Mutex::default();
        let found_locally =
            Prepared::new(&reading::local(done())).expect("short and of small numbers");
        Self(Arc::new(Shared {
            service,
            config,
            registrations,
            body_bytes_max,
            told_of_no_frame,
            found_locally,
        }))
    }

    /// Such a connection gets no answer, for nobody knows what it asked: a registration over the
    /// bound, TLS, HTTP. The log is the only place where an operator can find out.
    fn tell_of_no_frame(&self, connection: &Connection, why: &str) {
        let mut told = self.0.told_of_no_frame.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if told.is_none_or(|last| now >= last + NO_FRAME_SILENCE) {
            *told = Some(now);
            tracing::info!(
                peer = %connection.peer(), why,
                "cut a connection of RocketMQ's protocol (the largest frame is a registration: \
                 --registration-bytes-max)"
            );
        }
    }

    fn answer(&self, connection: &Connection, request: RemotingCommand) -> Reply {
        let shared = &self.0;
        let Some(call) = Call::of(request.code) else {
            return Reply::Now(RemotingCommand::not_supported(request.code));
        };
        let body_bytes = request.body.len();
        if call != Call::RegisterBroker && body_bytes > shared.body_bytes_max {
            let (what, limit) = ("bytes of body", shared.body_bytes_max as u64);
            return Reply::Now(failed(&ServiceError::TooLarge { what: what.into(), limit }));
        }
        match call {
            Call::Route => routes::route(shared, request),
            Call::RegisterBroker => shared.registrations.register(connection, request),
            Call::UnregisterBroker => shared.registrations.unregister(connection, request),
            Call::Heartbeat => shared.registrations.heartbeat(connection, request),
            Call::QueryDataVersion => versions::query(shared, connection, request),
            Call::ClusterInfo => lists::cluster_info(shared),
            Call::MemberGroup => lists::member_group(shared, request),
            Call::AllTopics => lists::all_topics(shared),
            Call::TopicsOfCluster => lists::topics_of_cluster(shared, request),
            Call::SystemTopics => lists::system_topics(shared),
            Call::UnitTopics => lists::unit_topics(shared),
            Call::UnitSubscriptionTopics => lists::unit_subscription_topics(shared),
            Call::UnitSubscriptionOnlyTopics => lists::unit_subscription_only_topics(shared),
            Call::PutKv => kv::put(shared, request),
            Call::GetKv => kv::get(shared, request),
            Call::DeleteKv => kv::delete(shared, request),
            Call::KvNamespace => kv::namespace(shared, request),
            Call::WipeWritePermission => admin::wipe_write_permission(shared, request),
            Call::RestoreWritePermission => admin::restore_write_permission(shared, request),
            Call::PutTopic => admin::put_topic(shared, request),
            Call::DeleteTopic => admin::delete_topic(shared, request),
            Call::UpdateConfig => Reply::Now(admin::update_config()),
            Call::GetConfig => Reply::Now(admin::config(shared)),
        }
    }
}

/// Tells of a request.
fn trace(connection: &Connection, request: &RemotingCommand) {
    tracing::debug!(
        peer = %connection.peer(), connection = connection.id(), code = request.code,
        name = request::name(request.code), version = request.version,
        oneway = request.is_oneway(), body_bytes = request.body.len(), "request"
    );
}

impl Handler for Gateway {
    fn ready(&self, connection: &Connection, request: &RemotingCommand) -> Option<Ready<'_>> {
        let ready = match Call::of(request.code)? {
            Call::Route => routes::ready(&self.0, request)?,
            _ => return None,
        };
        trace(connection, request);
        let code = Some(ready.answer.code());
        self.0.service.tally.answered(connection.id(), request.code, code);
        Some(ready)
    }

    fn request(&self, connection: &Connection, request: RemotingCommand) -> Reply {
        trace(connection, &request);
        let (tally, from, code) = (&self.0.service.tally, connection.id(), request.code);
        match self.answer(connection, request) {
            Reply::Now(answer) => {
                tally.answered(from, code, Some(answer.code));
                Reply::Now(answer)
            }
            Reply::Later(answer) => {
                let (tally, begun) = (Arc::clone(tally), Instant::now());
                Reply::Later(Box::pin(async move {
                    let answer = answer.await;
                    tally.answered(from, code, answer.as_ref().map(|answer| answer.code));
                    tally.waited(from, code, begun.elapsed());
                    answer
                }))
            }
            Reply::Nothing => {
                tally.answered(from, code, None);
                Reply::Nothing
            }
        }
    }

    fn ended(&self, connection: &Connection, ended: &Ended) {
        if let CloseReason::Protocol(why) = &ended.reason {
            self.tell_of_no_frame(connection, why);
        }
        self.0.registrations.ended(connection, ended);
    }
}

/// A response that says why it is not.
fn failed(error: &ServiceError) -> RemotingCommand {
    RemotingCommand::error(error.wire().code, error.remark())
}

/// A response that says that it is done, and nothing else.
fn done() -> RemotingCommand {
    RemotingCommand::response(response::SUCCESS)
}

/// Java's `Boolean.parseBoolean`.
fn is_true(ext: &ExtFields, field: &str) -> bool {
    ext.get(field).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}
