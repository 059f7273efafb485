//! 205, 327, 216, 217: what operators and tools change; 318, 319: settings, which nobody changes
//! over the wire. Source: RocketMQ 5.3.3 `DefaultRequestProcessor`, `RouteInfoManager`.
//!
//! `mqadmin` sends each of these to every name server that it knows, so that each comes once for
//! every replica. All of them may be done again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use signpost_remoting::body::{QueueData, TopicRouteData};
use signpost_remoting::namesrv::{
    AddWritePermHeader, AddWritePermResponseHeader, DeleteTopicHeader, RegisterTopicHeader,
    WipeWritePermHeader, WipeWritePermResponseHeader,
};
use signpost_remoting::{RemotingCommand, Reply, response};
use tokio::time::Instant;

use super::writing::until_led;
use super::{Shared, done};
use crate::errors::{Missing, ServiceError};
use crate::reads::{Consistency, Read};
use crate::routes::command::QueueConfig;

/// Longest topic, in bytes; over HTTP too.
const TOPIC_BYTES_MAX: usize = 255;
/// Most queues of a topic on one broker; over HTTP too.
const QUEUES_MAX: u32 = 65_535;

/// 205.
pub(super) fn wipe_write_permission(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.write(move |shared, deadline| async move {
        let wipe_topic_count = match WipeWritePermHeader::from_ext(&request.ext) {
            Ok(header) => {
                set_write_permission(&shared, header.broker_name, false, deadline).await?
            }
            Err(_) => 0, // Nobody has no name.
        };
        Ok(done().with_ext(WipeWritePermResponseHeader { wipe_topic_count }.to_ext()))
    })
}

/// 327.
pub(super) fn restore_write_permission(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.write(move |shared, deadline| async move {
        let add_topic_count = match AddWritePermHeader::from_ext(&request.ext) {
            Ok(header) => set_write_permission(&shared, header.broker_name, true, deadline).await?,
            Err(_) => 0,
        };
        Ok(done().with_ext(AddWritePermResponseHeader { add_topic_count }.to_ext()))
    })
}

/// Answers how many topics the broker has, whether they changed or not: the second and third time
/// that a tool says it they do not, and it wants the same answer.
async fn set_write_permission(
    shared: &Shared,
    broker_name: String,
    writable: bool,
    deadline: Instant,
) -> Result<i32, ServiceError> {
    let set = || shared.service.set_write_permission(None, broker_name.clone(), writable, deadline);
    let written = until_led(deadline, set).await?;
    let (consistency, min_index) = (Consistency::Local, Some(written.index));
    let topics = match shared.service.reads().read(&Read { consistency, min_index, deadline }).await
    {
        Ok(reading) => reading.view.tables.topics_of(&broker_name).count(),
        Err(_) => written.changed as usize, // It is done; only the count is not known better.
    };
    Ok(i32::try_from(topics).unwrap_or(i32::MAX))
}

/// 216: deletes a topic everywhere, or from the brokers of one cluster.
pub(super) fn delete_topic(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.write(move |shared, deadline| async move {
        let Ok(DeleteTopicHeader { topic, cluster_name }) =
            DeleteTopicHeader::from_ext(&request.ext)
        else {
            return Ok(done());
        };
        let cluster = cluster_name.filter(|cluster| !cluster.is_empty());
        let delete = || shared.service.delete_topic(topic.clone(), cluster.clone(), deadline);
        until_led(deadline, delete).await?;
        Ok(done())
    })
}

/// 217: makes a topic on known brokers, without a registration.
pub(super) fn put_topic(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.write(move |shared, deadline| async move {
        let RegisterTopicHeader { topic } = RegisterTopicHeader::from_ext(&request.ext)?;
        if topic.len() > TOPIC_BYTES_MAX {
            let expected = format!("at most {TOPIC_BYTES_MAX} bytes");
            return Err(ServiceError::invalid("topic", expected));
        }
        let brokers = queues_of(&request.body)?;
        if brokers.is_empty() {
            return Ok(done());
        }
        let put = || shared.service.put_topic(topic.clone(), brokers.clone(), deadline);
        match until_led(deadline, put).await {
            // A stock name server says that it is done, and has done nothing, too.
            Ok(_) | Err(ServiceError::NotFound(Missing::Broker(_))) => Ok(done()),
            Err(error) => Err(error),
        }
    })
}

fn queues_of(body: &[u8]) -> Result<BTreeMap<String, QueueConfig>, ServiceError> {
    if body.is_empty() {
        return Ok(BTreeMap::new());
    }
    let route = TopicRouteData::from_json(body)
        .map_err(|error| ServiceError::invalid("body", format!("a route: {error}")))?;
    route
        .queue_datas
        .into_iter()
        .map(|queue| Ok((queue.broker_name.clone(), config_of(&queue)?)))
        .collect()
}

fn config_of(queue: &QueueData) -> Result<QueueConfig, ServiceError> {
    let number = |field: &str, value: i32, max: u32| {
        let value = u32::try_from(value).ok().filter(|value| *value <= max);
        value.ok_or_else(|| ServiceError::invalid(field, format!("a number from 0 to {max}")))
    };
    Ok(QueueConfig {
        read_queues: number("readQueueNums", queue.read_queue_nums, QUEUES_MAX)?,
        write_queues: number("writeQueueNums", queue.write_queue_nums, QUEUES_MAX)?,
        perm: number("perm", queue.perm, 15)?,
        sys_flag: number("topicSysFlag", queue.topic_sys_flag, i32::MAX as u32)?,
        order: false,
    })
}

/// 318, refused: a name server that takes any property from anybody can be taken over (that was
/// CVE-2023-37582).
pub(super) fn update_config() -> RemotingCommand {
    let remark = "the settings of a name server cannot be changed over the wire: change the \
                  options of each replica and restart one after the other";
    RemotingCommand::error(response::NO_PERMISSION, remark)
}

/// 319: settings under RocketMQ's own names, where they mean the same here. No paths, nothing of
/// the machine.
pub(super) fn config(shared: &Shared) -> RemotingCommand {
    let (service, remoting) = (shared.service.config(), &shared.config);
    let port = remoting.advertise.as_deref().and_then(|address| address.rsplit_once(':'));
    let properties = BTreeMap::from([
        ("brokerExpiredTimeoutMillis", service.timings.lease_ttl.as_millis().to_string()),
        ("clusterTest", false.to_string()),
        ("deleteTopicWithBrokerRegistration", false.to_string()),
        ("listenPort", port.map_or(String::new(), |(_, port)| port.to_owned())),
        ("notifyMinBrokerIdChanged", remoting.notify_min_id_changed.to_string()),
        ("orderMessageEnable", service.order_message_enable.to_string()),
        ("returnOrderTopicConfigToBroker", remoting.return_order_conf.to_string()),
        ("scanNotActiveBrokerInterval", service.timings.scan_interval.as_millis().to_string()),
        ("signpostVersion", env!("CARGO_PKG_VERSION").to_owned()),
        ("supportActingMaster", remoting.support_acting_master.to_string()),
    ]);
    let mut text = String::new();
    for (name, value) in properties {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{name}={value}");
    }
    done().with_body(text.into_bytes())
}
