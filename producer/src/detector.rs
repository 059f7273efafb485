//! Probes brokers that failed, in a task of its own, so that one found in reach is preferred to one
//! that is not. Source: RocketMQ `LatencyFaultToleranceImpl.detectByOneRound`, whose probe is also a
//! question for a queue's next offset (code 30).

use std::sync::{Arc, Mutex, PoisonError};

use signpost_client::RouteTable;
use signpost_remoting::broker::QueueHeader;
use signpost_remoting::{RemotingCommand, request, response};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::brokers::Brokers;
use crate::faults::{Detector, FaultTable};
use crate::routes::any_topic_of;

/// Probes until it is dropped.
pub(crate) async fn run(
    faults: Arc<Mutex<FaultTable>>,
    detector: Detector,
    brokers: Arc<Brokers>,
    routes: watch::Receiver<Arc<RouteTable>>,
) {
    loop {
        sleep(detector.interval).await;
        let table = Arc::clone(&routes.borrow());
        let lock = || faults.lock().unwrap_or_else(PoisonError::into_inner);
        let due = lock().due_probes(Instant::now());
        for broker in due {
            let Some((topic, address)) = any_topic_of(&table, &broker) else {
                lock().forget(&broker);
                continue;
            };
            let first = QueueHeader { topic: topic.to_owned(), queue_id: 0 };
            let probe = RemotingCommand::request(request::GET_MAX_OFFSET).with_ext(first.to_ext());
            let answered = brokers.invoke(address, probe, detector.timeout).await;
            if answered.is_ok_and(|answer| answer.code == response::SUCCESS) {
                lock().reached(&broker);
            }
        }
    }
}
