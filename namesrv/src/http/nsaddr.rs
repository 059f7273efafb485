//! `/rocketmq/nsaddr`: the address server that stock clients and brokers poll when they are given
//! no addresses of name servers, so that replicas can be replaced without restarting anybody.
//!
//! They ask `http://<rocketmq.namesrv.domain>:8080/rocketmq/<rocketmq.namesrv.domain.subgroup>` at
//! start and every two minutes, and expect 200 with `host:port;host:port`; units have a name of
//! their own, `nsaddr-<unit>?nofix=1` (RocketMQ `MixAll.getWSAddr`, `DefaultTopAddressing`).

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::frame::Segments;
use super::problem::Fault;
use crate::errors::{ServiceError, Unavailable};
use crate::log::Status;
use crate::reads::freshness::removed;

/// RocketMQ's default subgroup.
const SUBGROUP: &str = "nsaddr";

/// `GET /rocketmq/nsaddr`: where the members serve RocketMQ's protocol, by number.
pub(super) async fn addresses(
    State(api): State<Api>,
    Segments(subgroup): Segments<String>,
) -> Result<Response, Fault> {
    let unit = subgroup.strip_prefix(SUBGROUP).ok_or(Fault::NoSuchPath)?;
    if !unit.is_empty() && !unit.starts_with('-') {
        return Err(Fault::NoSuchPath);
    }
    let status = api.service.status();
    if status.removed {
        return Err(removed(&status).into());
    }
    let own = api.config.remoting.advertise.as_deref();
    let known = own.and_then(|own| of_members(&status, own));
    let unknown = "this replica does not know where the members serve RocketMQ's protocol";
    let body = known.ok_or_else(|| ServiceError::from(Unavailable::Refused(unknown.into())))?;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, text)], body).into_response())
}

/// Each member's address, `;` between them; None before this replica is a member.
///
/// Members are known by their HTTP addresses. The door for RocketMQ's protocol is taken to be on
/// the same host, as many ports away as this replica's own: 8876 and 9876, 8886 and 9886.
fn of_members(status: &Status, own: &str) -> Option<String> {
    let here = status.members.iter().find(|member| member.id == status.node_id)?;
    let distance = i32::from(split(own)?.1) - i32::from(split(&here.http)?.1);
    let address = |http: &str| {
        let (host, port) = split(http)?;
        let port = u16::try_from(i32::from(port) + distance).ok().filter(|port| *port > 0)?;
        Some(format!("{host}:{port}"))
    };
    let addresses = status.members.iter().filter_map(|member| match member.id {
        id if id == status.node_id => Some(own.to_owned()),
        _ => address(&member.http),
    });
    Some(addresses.collect::<Vec<_>>().join(";"))
}

fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_log::status;

    #[test]
    fn doors_are_as_far_from_http_as_ones_own() {
        let hosts = status(2, &["a:8876", "b:8876", "[::1]:8876"]);
        let expected = "a:9876;door-b:9876;[::1]:9876";
        assert_eq!(of_members(&hosts, "door-b:9876").as_deref(), Some(expected));
        let ports = status(1, &["h:8876", "h:8886", "h:8896"]);
        assert_eq!(of_members(&ports, "h:9876").as_deref(), Some("h:9876;h:9886;h:9896"));
        let high = status(1, &["h:100", "h:65000"]);
        assert_eq!(of_members(&high, "h:1000").as_deref(), Some("h:1000"), "no such port");
    }

    #[test]
    fn who_is_no_member_yet_does_not_guess() {
        assert_eq!(of_members(&status(4, &["a:8876"]), "d:9876"), None);
        assert_eq!(of_members(&status(1, &["a:8876"]), "nonsense"), None);
    }
}
