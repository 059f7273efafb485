//! 905: tells the brokers of a group that its smallest id has changed, which is what slaves of 5.x
//! that may act as master wait for (RocketMQ's `notifyMinBrokerIdChanged`, off by default).
//!
//! The leader tells, once, over connections of its own to the brokers, and one-way: who misses it
//! learns of it by asking for the members of its group (901), as brokers do every second.
//! Source: RocketMQ 5.3.3 `RouteInfoManager.notifyMinBrokerIdChanged`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use signpost_remoting::namesrv::NotifyMinBrokerIdChangeHeader;
use signpost_remoting::{Client, ClientOptions, RemotingCommand, request};
use tokio::sync::broadcast::error::RecvError;

use crate::log::Role;
use crate::routes::command::BrokerKey;
use crate::routes::{BrokerRow, Name, RouteTables};
use crate::service::NameService;

/// How long a broker may take to take a notice (RocketMQ: 300 ms).
const PATIENCE: Duration = Duration::from_millis(300);

/// Begins to tell, until the service stops.
pub(super) fn spawn(service: &Arc<NameService>) {
    let changes = service.registration_changes();
    let mut watch = Watch {
        service: Arc::clone(service),
        client: Client::new(ClientOptions::default()),
        groups: groups_of(&service.reads().peek().tables),
    };
    let stop = service.stop.clone();
    service.tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch.run(changes) => {}
        }
    });
}

type Changes = tokio::sync::broadcast::Receiver<crate::routes::RegistrationChange>;

struct Watch {
    service: Arc<NameService>,
    client: Client,
    /// As they were last seen.
    groups: BTreeMap<Name, Arc<BrokerRow>>,
}

impl Watch {
    async fn run(&mut self, mut changes: Changes) {
        loop {
            let view = match changes.recv().await {
                Ok(change) => {
                    let view = self.service.reads().peek();
                    self.look_at(&change.key.name.as_str().into(), &view.tables);
                    continue;
                }
                // So many at once that some went unheard: any group may have changed.
                Err(RecvError::Lagged(_)) => self.service.reads().peek(),
                Err(RecvError::Closed) => return,
            };
            let names: BTreeSet<Name> = self
                .groups
                .keys()
                .chain(view.tables.brokers().map(|(name, _)| name))
                .cloned()
                .collect();
            for name in names {
                self.look_at(&name, &view.tables);
            }
        }
    }

    fn look_at(&mut self, name: &Name, tables: &RouteTables) {
        let now = tables.broker(name).cloned();
        let before = match &now {
            Some(now) => self.groups.insert(name.clone(), Arc::clone(now)),
            None => self.groups.remove(name),
        };
        let (Some(before), Some(now)) = (before, now) else { return };
        if self.service.log.watch().borrow().role != Role::Leader {
            return;
        }
        if let Some(notice) = notice_of(name, &before, &now, tables) {
            self.send(notice);
        }
    }

    fn send(&self, Notice { header, recipients }: Notice) {
        let client = self.client.clone();
        self.service.tasks.spawn(async move {
            let command = RemotingCommand::request(request::NOTIFY_MIN_BROKER_ID_CHANGE)
                .with_ext(header.to_ext());
            let tell = async |address: &Name| {
                if let Err(error) = client.notify(address, command.clone(), PATIENCE).await {
                    tracing::debug!(broker = %address, %error, "a notice did not arrive");
                }
            };
            join_all(recipients.iter().map(tell)).await;
        });
    }
}

/// Who is to be told what.
#[derive(Debug, PartialEq, Eq)]
struct Notice {
    header: NotifyMinBrokerIdChangeHeader,
    recipients: Vec<Name>,
}

fn groups_of(tables: &RouteTables) -> BTreeMap<Name, Arc<BrokerRow>> {
    tables.brokers().map(|(name, row)| (name.clone(), Arc::clone(row))).collect()
}

/// The notice that this change of a group asks for. A group that is new, or gone, asks for none.
fn notice_of(
    name: &Name,
    before: &BrokerRow,
    now: &BrokerRow,
    tables: &RouteTables,
) -> Option<Notice> {
    let (old_id, old) = before.addresses.first_key_value()?;
    let (new_id, new) = now.addresses.first_key_value()?;
    let header = NotifyMinBrokerIdChangeHeader {
        min_broker_id: Some(*new_id),
        broker_name: None,
        min_broker_addr: Some(new.address.to_string()),
        offline_broker_addr: None,
        ha_broker_addr: None,
    };
    let all = now.addresses.values().map(|slot| slot.address.clone());
    if new_id < old_id {
        let key =
            BrokerKey { cluster: new.cluster.to_string(), name: name.to_string(), id: *new_id };
        let ha_broker_addr = tables.registration(&key).map(|live| live.ha_address.to_string());
        // The newcomer knows; but a slave that was made the master of itself is told.
        let recipients =
            if now.addresses.len() == 1 { all.collect() } else { all.skip(1).collect() };
        let header = NotifyMinBrokerIdChangeHeader { ha_broker_addr, ..header };
        return Some(Notice { header, recipients });
    }
    if new_id > old_id && now.enable_acting_master {
        let offline_broker_addr = Some(old.address.to_string());
        let header = NotifyMinBrokerIdChangeHeader { offline_broker_addr, ..header };
        return Some(Notice { header, recipients: all.collect() });
    }
    None
}
