//! 100, 101, 102, 219: KV configuration. Source: RocketMQ 5.3.3 `DefaultRequestProcessor`,
//! `KVConfigManager`.

use std::sync::Arc;

use bytes::Bytes;
use signpost_remoting::body::KvTable;
use signpost_remoting::namesrv::{
    DeleteKvConfigHeader, GetKvConfigResponseHeader, PutKvConfigHeader,
};
use signpost_remoting::{RemotingCommand, Reply, response};

use super::writing::until_led;
use super::{Shared, done, failed};
use crate::errors::{Missing, ServiceError};
use crate::routes::{ORDER_TOPIC_CONFIG, RouteTables};

/// Longest namespace and key, in bytes; over HTTP too.
const NAME_BYTES_MAX: usize = 255;
/// Largest value, in bytes; over HTTP too.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// 100.
pub(super) fn put(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.write(move |shared, deadline| async move {
        let Ok(PutKvConfigHeader { namespace, key, value }) =
            PutKvConfigHeader::from_ext(&request.ext)
        else {
            let remark = "namespace or key is null";
            return Ok(RemotingCommand::error(response::SYSTEM_ERROR, remark));
        };
        check_names(&namespace, &key)?;
        // A stock name server stores null, and then says that there is no such key.
        let value = value.ok_or_else(|| ServiceError::invalid("value", "a value, not null"))?;
        if value.len() > VALUE_BYTES_MAX {
            let expected = format!("at most {VALUE_BYTES_MAX} bytes");
            return Err(ServiceError::invalid("value", expected));
        }
        let put = || {
            let (namespace, key) = (namespace.clone(), key.clone());
            shared.service.put_kv(namespace, key, value.clone(), None, deadline)
        };
        until_led(deadline, put).await?;
        Ok(done())
    })
}

/// 102.
pub(super) fn delete(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.write(move |shared, deadline| async move {
        let Ok(DeleteKvConfigHeader { namespace, key }) =
            DeleteKvConfigHeader::from_ext(&request.ext)
        else {
            return Ok(done()); // Nothing has no name.
        };
        check_names(&namespace, &key)?;
        let delete = || {
            let (namespace, key) = (namespace.clone(), key.clone());
            shared.service.delete_kv(namespace, key, None, deadline)
        };
        until_led(deadline, delete).await?;
        Ok(done())
    })
}

/// 101.
pub(super) fn get(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.read(move |_, view| {
        let field = |name: &str| request.ext.get(name).unwrap_or("null");
        let (namespace, key) = (field("namespace"), field("key"));
        match view.tables.kv(namespace, key) {
            Some(row) => {
                let value = Some(row.value.to_string());
                done().with_ext(GetKvConfigResponseHeader { value }.to_ext())
            }
            None => {
                let (namespace, key) = (namespace.to_owned(), key.to_owned());
                failed(&ServiceError::NotFound(Missing::KvKey { namespace, key }))
            }
        }
    })
}

/// 219.
pub(super) fn namespace(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.read(move |_, view| {
        let namespace = request.ext.get("namespace").unwrap_or("null");
        match table(&view.tables, namespace) {
            Some(body) => done().with_body(body),
            None => failed(&ServiceError::NotFound(Missing::KvNamespace(namespace.to_owned()))),
        }
    })
}

/// The order configuration of all topics, as the answer to a registration carries it; None when
/// there never was one.
pub(super) fn order_conf(tables: &RouteTables) -> Option<Bytes> {
    table(tables, ORDER_TOPIC_CONFIG)
}

fn table(tables: &RouteTables, namespace: &str) -> Option<Bytes> {
    let rows = tables.kv_namespace_rows(namespace)?;
    let table = rows.map(|(key, row)| ((**key).into(), (*row.value).into())).collect();
    Some(KvTable { table }.to_json().into())
}

fn check_names(namespace: &str, key: &str) -> Result<(), ServiceError> {
    for (field, name) in [("namespace", namespace), ("key", key)] {
        if name.len() > NAME_BYTES_MAX {
            let expected = format!("at most {NAME_BYTES_MAX} bytes");
            return Err(ServiceError::invalid(field, expected));
        }
    }
    Ok(())
}
