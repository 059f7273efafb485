//! Which request goes where. Whatever is not in this list is answered 3, "not supported".

use std::sync::Arc;

use signpost_remoting::connection::CloseReason;
use signpost_remoting::request::{self as code, *};
use signpost_remoting::{Connection, Handler, RemotingCommand, Reply};

use crate::membership;
use crate::refused::{Answer, command};
use crate::service::Service;

/// The broker's request codes.
pub(crate) struct Requests(pub(crate) Arc<Service>);

impl Handler for Requests {
    fn request(&self, connection: &Connection, asked: RemotingCommand) -> Reply {
        let peer = connection.peer();
        tracing::trace!(code = asked.code, name = code::name(asked.code), %peer, "request");
        let (service, connection) = (self.0.clone(), connection.clone());
        match asked.code {
            SEND_MESSAGE | SEND_MESSAGE_V2 | SEND_BATCH_MESSAGE => service.send(connection, asked),
            CONSUMER_SEND_MSG_BACK => later(service.send_back(asked)),

            PULL_MESSAGE => later(service.pull(connection, asked)),
            QUERY_MESSAGE => later(service.query_message(asked)),
            VIEW_MESSAGE_BY_ID => later(service.view_message(asked)),

            QUERY_CONSUMER_OFFSET => later(service.query_consumer_offset(asked)),
            UPDATE_CONSUMER_OFFSET => later(service.update_consumer_offset(asked)),
            SEARCH_OFFSET_BY_TIMESTAMP => later(service.search_offset(asked)),
            GET_MAX_OFFSET => later(service.max_offset(asked)),
            GET_MIN_OFFSET => later(service.min_offset(asked)),
            GET_EARLIEST_MSG_STORETIME => later(service.earliest_store_time(asked)),

            HEART_BEAT => later(service.heartbeat(connection, asked)),
            UNREGISTER_CLIENT => now(service.unregister_client(&connection, &asked)),
            GET_CONSUMER_LIST_BY_GROUP => now(service.consumer_list(&asked)),
            LOCK_BATCH_MQ => now(service.lock_queues(&asked)),
            UNLOCK_BATCH_MQ => now(service.unlock_queues(&asked)),
            CHECK_CLIENT_CONFIG => now(membership::check_client(&asked)),

            UPDATE_AND_CREATE_TOPIC => later(service.create_topic(asked)),
            DELETE_TOPIC_IN_BROKER => later(service.delete_topic(asked)),
            GET_TOPIC_CONFIG => now(service.topic_config(&asked)),
            GET_TOPIC_STATS_INFO => later(service.topic_stats(asked)),
            QUERY_TOPIC_CONSUME_BY_WHO => now(service.groups_of_topic(&asked)),

            UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => later(service.update_group(asked)),
            GET_ALL_SUBSCRIPTIONGROUP_CONFIG => now(service.all_groups()),
            GET_SUBSCRIPTIONGROUP_CONFIG => now(service.group_config(&asked)),
            DELETE_SUBSCRIPTIONGROUP => later(service.delete_group(asked)),
            GET_CONSUMER_CONNECTION_LIST => now(service.consumer_connections(&asked)),
            GET_PRODUCER_CONNECTION_LIST => now(service.producer_connections(&asked)),
            GET_CONSUME_STATS => later(service.consume_stats(asked)),

            GET_BROKER_RUNTIME_INFO => later(service.runtime_info()),
            other => Reply::Now(RemotingCommand::not_supported(other)),
        }
    }

    fn closed(&self, connection: &Connection, reason: &CloseReason) {
        tracing::debug!(peer = %connection.peer(), %reason, "client gone");
        let changed = self.0.clients().closed(connection.id());
        membership::notify(changed);
    }
}

fn now(answer: Answer) -> Reply {
    Reply::Now(command(answer))
}

fn later(answer: impl Future<Output = Answer> + Send + 'static) -> Reply {
    Reply::later(async { command(answer.await) })
}
