//! 322: has a broker's data version moved on? It is a sign of life, too: brokers that ask this
//! first do not register again when it has not. Source: RocketMQ 5.3.3
//! `DefaultRequestProcessor.queryBrokerTopicConfig`.

use std::sync::Arc;

use signpost_remoting::body::DataVersion;
use signpost_remoting::namesrv::{QueryDataVersionHeader, QueryDataVersionResponseHeader};
use signpost_remoting::{Connection, RemotingCommand, Reply};

use super::{Shared, done, failed};
use crate::errors::ServiceError;
use crate::machine::View;
use crate::routes::command::BrokerKey;

/// Answers 322. Nobody is told "unchanged" whose lease the leader has not renewed.
pub(super) fn query(
    shared: &Arc<Shared>,
    connection: &Connection,
    request: RemotingCommand,
) -> Reply {
    let (shared, connection) = (Arc::clone(shared), connection.clone());
    Reply::later(async move {
        match answer(&shared, &connection, &request).await {
            Ok(answer) => answer,
            Err(error) => failed(&error),
        }
    })
}

async fn answer(
    shared: &Shared,
    connection: &Connection,
    request: &RemotingCommand,
) -> Result<RemotingCommand, ServiceError> {
    let QueryDataVersionHeader { broker_name, broker_addr, cluster_name, broker_id } =
        QueryDataVersionHeader::from_ext(&request.ext)?;
    let key = BrokerKey { cluster: cluster_name, name: broker_name, id: broker_id };
    let asked =
        match &request.body[..] {
            [] => None,
            body => Some(DataVersion::from_json(body).map_err(|error| {
                ServiceError::invalid("body", format!("a data version: {error}"))
            })?),
        };
    let is_live = shared.registrations.renew(connection, &key, &broker_addr).await?;
    let stored = shared.service.reads().look(|view| stored(view, &key, &broker_addr))?;
    // When the leader knows of it and this replica does not yet, or the other way round, to
    // register again does no harm.
    Ok(match stored.filter(|_| is_live) {
        Some(stored) => {
            let body = stored.to_json(request.version);
            answer_of(Some(stored) != asked).with_body(body)
        }
        None => answer_of(true),
    })
}

fn answer_of(changed: bool) -> RemotingCommand {
    done().with_ext(QueryDataVersionResponseHeader { changed }.to_ext())
}

fn stored(view: &View, key: &BrokerKey, address: &str) -> Option<DataVersion> {
    let live = view.tables.registration(key).filter(|live| *live.address == *address)?;
    let version = live.data_version;
    Some(DataVersion {
        state_version: version.state_version,
        counter: version.counter,
        timestamp_ms: version.timestamp,
    })
}
