//! What operators do meanwhile, by the calls of docs/HTTP.md that need the admin token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use signpost_raft::machine::NodeId;
use tokio::time::sleep;

use crate::caller::{Ask, Caller, Reply};
use crate::cluster::peer_address;
use crate::workload::Shared;

const PATIENCE: Duration = Duration::from_secs(1);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Hands leadership to another replica, if it is still the leader that is asked.
pub(crate) async fn transfer(clients: Shared, from: NodeId, to: NodeId) {
    let mut caller = Caller::new(clients.nic());
    let body = Some(json!({ "leader": to }));
    caller.ask(from, &ask(Method::POST, "/v1/cluster/transfer", body), PATIENCE).await;
}

/// Adds a replica, lets it vote, and removes another one; tries until all that is done.
pub(crate) async fn replace(clients: Shared, old: NodeId, new: NodeId, done: Arc<AtomicBool>) {
    let mut caller = Caller::new(clients.nic());
    loop {
        for replica in clients.members() {
            let Some(members) = members(&mut caller, replica).await else { continue };
            let role = |id: NodeId| {
                let member = members.iter().find(|member| member["id"] == id)?;
                member["role"].as_str()
            };
            let step = match (role(new), role(old)) {
                (None, _) => {
                    let body = json!({ "id": new, "peer": peer_address(new) });
                    ask(Method::POST, "/v1/cluster/members", Some(body))
                }
                (Some("voter"), None) => {
                    done.store(true, Ordering::Relaxed);
                    return;
                }
                (Some("voter"), Some(_)) => {
                    ask(Method::DELETE, &format!("/v1/cluster/members/{old}"), None)
                }
                (Some(_), _) => {
                    ask(Method::POST, &format!("/v1/cluster/members/{new}/promote"), None)
                }
            };
            caller.ask(replica, &step, PATIENCE).await;
            sleep(PAUSE).await;
        }
        sleep(PAUSE).await;
    }
}

/// The members as a replica knows them.
async fn members(caller: &mut Caller, replica: NodeId) -> Option<Vec<Value>> {
    let reply = caller.ask(replica, &ask(Method::GET, "/v1/cluster", None), PATIENCE).await;
    let Reply::Answer { status: 200, body, .. } = reply else { return None };
    let body: Value = serde_json::from_slice(&body).ok()?;
    let members = body["members"].as_array()?;
    (!members.is_empty()).then(|| members.clone())
}

fn ask(method: Method, path: &str, body: Option<Value>) -> Ask {
    Ask { method, path: path.to_owned(), body }
}
