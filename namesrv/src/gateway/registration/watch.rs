//! What runs beside the calls of the door: the leader is told of brokers that have left, and the
//! connections of those that expired are closed, so that the living among them register again.

use std::sync::Arc;
use std::time::Duration;

use signpost_raft::machine::Index;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep};

use super::Book;
use crate::routes::command::{BrokerKey, ExpiryCause};
use crate::routes::{RegistrationChange, RegistrationEvent};
use crate::service::NameService;

/// Departures in one call.
const REPORT_MAX: usize = 4_096;
/// A call that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Before a call that failed is made again.
const PAUSE: Duration = Duration::from_millis(50);

/// Begins both tasks; they end with the service.
pub(super) fn spawn(service: &Arc<NameService>, book: &Arc<Book>) {
    let stop = service.stop.clone();
    let reporting = report(Arc::clone(service), Arc::clone(book));
    let changes = service.registration_changes();
    let closing = close_expired(Arc::clone(service), Arc::clone(book), changes);
    service.tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = reporting => {}
            () = closing => {}
        }
    });
}

/// Tells the leader who has left, and each new leader, or the same one in a new term, of all.
async fn report(service: Arc<NameService>, book: Arc<Book>) {
    // Whatever renewed an epoch here before this door opened did so at or below this index.
    loop {
        match service.reads().rounds().confirm_first(Instant::now() + PATIENCE).await {
            Ok(round) => break book.lock().set_since(round.index),
            Err(_) => sleep(PAUSE).await,
        }
    }
    let mut status = service.log.watch();
    let mut told = None;
    loop {
        let standing = {
            let status = status.borrow_and_update();
            (status.term, status.leader)
        };
        if told != Some(standing) {
            told = Some(standing);
            book.lock().tell_all();
        }
        let departures = book.lock().take_untold(REPORT_MAX);
        if departures.is_empty() {
            tokio::select! {
                () = book.departed.notified() => {}
                changed = status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            continue;
        }
        let report = service.report_left(departures.clone(), Instant::now() + PATIENCE);
        if let Err(error) = report.await {
            tracing::debug!(%error, "the leader could not be told of brokers that have left");
            book.lock().return_untold(departures);
            sleep(PAUSE).await;
        }
    }
}

/// Closes the connections of registrations that expired.
async fn close_expired(
    service: Arc<NameService>,
    book: Arc<Book>,
    mut changes: Receiver<RegistrationChange>,
) {
    loop {
        match changes.recv().await {
            Ok(change) => match change.what {
                RegistrationEvent::Began => {}
                RegistrationEvent::Expired(cause) => end(&book, &change.key, change.epoch, cause),
                RegistrationEvent::Superseded | RegistrationEvent::Unregistered => {
                    book.lock().forget(&change.key, change.epoch);
                }
                RegistrationEvent::AddressReused => {
                    book.lock().pass_on(&change.key, change.epoch);
                }
            },
            Err(RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "too many registrations changed at once: looking at all");
                let view = service.reads().peek();
                let is_live = |key: &BrokerKey, epoch: Index| {
                    // Begun since: the tables here need not have it yet.
                    epoch > view.applied
                        || view.tables.registration(key).is_some_and(|live| live.epoch == epoch)
                };
                let ended = book.lock().sweep(is_live);
                for (key, epoch) in ended {
                    if view.tables.registration(&key).is_none() {
                        end(&book, &key, epoch, ExpiryCause::Silent);
                    }
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn end(book: &Book, key: &BrokerKey, epoch: Index, cause: ExpiryCause) {
    let connections = {
        let mut ledger = book.lock();
        ledger.forget(key, epoch);
        ledger.connections_of(key, epoch)
    };
    for connection in connections {
        tracing::info!(
            broker = %key.name, cluster = %key.cluster, id = key.id, epoch, ?cause,
            peer = %connection.peer(), "closing the connection of an expired broker"
        );
        connection.close();
    }
}
