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
    let body = of_members(&status).ok_or_else(|| {
        let why = "this replica does not know where the members serve RocketMQ's protocol";
        ServiceError::from(Unavailable::Refused(why.into()))
    })?;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, text)], body).into_response())
}

/// Each member's address, as it announced it when it became one; `;` between them. None before
/// there are any, and when none serves that protocol.
fn of_members(status: &Status) -> Option<String> {
    let addresses = status.members.iter().map(|member| &*member.remoting);
    let known: Vec<&str> = addresses.filter(|address| !address.is_empty()).collect();
    (!known.is_empty()).then(|| known.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_log::status;

    #[test]
    fn members_are_where_they_said_they_are() {
        let mut hosts = status(2, &["a:8876", "b:8876", "[::1]:8876"]);
        for (member, address) in hosts.members.iter_mut().zip(["a:9876", "door-b:1", "[::1]:2"]) {
            member.remoting = address.into();
        }
        assert_eq!(of_members(&hosts).as_deref(), Some("a:9876;door-b:1;[::1]:2"));
        hosts.members[1].remoting = String::new();
        assert_eq!(of_members(&hosts).as_deref(), Some("a:9876;[::1]:2"), "it has no such door");
    }

    #[test]
    fn who_knows_no_door_does_not_guess() {
        assert_eq!(of_members(&status(4, &[])), None);
        let mut silent = status(1, &["a:8876"]);
        silent.members[0].remoting = String::new();
        assert_eq!(of_members(&silent), None);
    }
}
