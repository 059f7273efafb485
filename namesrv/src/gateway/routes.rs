//! 105: where a topic is. Sources: RocketMQ 5.3.3 `ClientRequestProcessor`, `ZoneRouteRPCHook`.

use std::sync::Arc;

use bytes::Bytes;
use signpost_remoting::body::{STANDARD_JSON_VERSION, json};
use signpost_remoting::{Ready, RemotingCommand, Reply};

use super::{Shared, done, failed, is_true};
use crate::errors::{Missing, ServiceError};
use crate::machine::View;
use crate::reads::RouteForm;
use crate::reads::forms::show_acting_masters;
use crate::routes::RouteView;

/// Says that routes shall be of one zone.
const ZONE_MODE: &str = "__ZONE_MODE";
/// Which.
const ZONE_NAME: &str = "__ZONE_NAME";

/// The answer to 105 out of this replica's tables, if it may come from there and there is one: nearly
/// all calls are this one, and find what they look for.
pub(super) fn ready<'s>(shared: &'s Shared, request: &RemotingCommand) -> Option<Ready<'s>> {
    if !shared.answers_locally() || request.body.len() > shared.body_bytes_max {
        return None;
    }
    let body = shared.service.reads().look(|view| found(shared, request, view)).ok().flatten()?;
    Some(Ready { answer: &shared.found_locally, body })
}

/// Answers 105.
pub(super) fn route(shared: &Arc<Shared>, request: RemotingCommand) -> Reply {
    shared.read(move |shared, view| answer(shared, &request, view))
}

fn answer(shared: &Shared, request: &RemotingCommand, view: &View) -> RemotingCommand {
    match found(shared, request, view) {
        Some(body) => done().with_body(body),
        None => {
            let topic = topic_of(request);
            let modified = view.tables.absent_modified(topic);
            let missing = Missing::Topic { topic: topic.to_owned(), modified };
            failed(&ServiceError::NotFound(missing))
        }
    }
}

fn topic_of(request: &RemotingCommand) -> &str {
    // What a stock name server says of a request without a topic. Borrowed, unlike a typed header:
    // this is the hottest call.
    request.ext.get("topic").unwrap_or("null")
}

/// The route as the caller reads it, if the topic exists.
fn found(shared: &Shared, request: &RemotingCommand, view: &View) -> Option<Bytes> {
    let topic = topic_of(request);
    let acting_master = shared.config.support_acting_master;
    match zone_of(request) {
        Some(zone) => {
            view.tables.route(topic, shared.service.reads().with_order_conf()).map(|mut route| {
                if acting_master {
                    show_acting_masters(topic, &mut route);
                }
                keep_zone(&mut route, zone);
                json::legacy(&route).into()
            })
        }
        None => {
            let legacy = !reads_standard_json(request);
            let form = RouteForm { legacy, acting_master };
            shared.service.reads().route_in(view, topic, form)
        }
    }
}

/// Clients since 4.9.4, and who says so, read standard JSON; what older ones are answered has bare
/// integer keys.
fn reads_standard_json(request: &RemotingCommand) -> bool {
    request.version >= STANDARD_JSON_VERSION || is_true(&request.ext, "acceptStandardJsonOnly")
}

fn zone_of(request: &RemotingCommand) -> Option<&str> {
    let named = request.ext.get(ZONE_NAME).filter(|zone| !zone.trim().is_empty());
    named.filter(|_| is_true(&request.ext, ZONE_MODE))
}

/// Keeps the brokers of this zone, and groups that have lost their master.
fn keep_zone(route: &mut RouteView, zone: &str) {
    let RouteView { broker_datas, filter_server_table, queue_datas, .. } = route;
    let (kept, dropped): (Vec<_>, Vec<_>) = broker_datas.drain(..).partition(|broker| {
        let is_of_zone =
            broker.zone_name.as_deref().is_some_and(|of| of.eq_ignore_ascii_case(zone));
        is_of_zone || !broker.broker_addrs.contains_key(&0)
    });
    *broker_datas = kept;
    for broker in dropped {
        queue_datas.retain(|queue| queue.broker_name != broker.broker_name);
        for address in broker.broker_addrs.values() {
            filter_server_table.remove(address);
        }
    }
}
