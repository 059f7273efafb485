//! Producers, which find the embedded brokers through the name cluster and send messages to them.

use std::time::Duration;

use signpost_client::Client;
use signpost_producer::{Message, Producer, ProducerConfig, SendError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::told::Told;
use crate::error::Error;
use crate::history::{self, Answer, Call, Operation, Outcome};

/// Between two sends of a producer.
const SEND_INTERVAL: Duration = Duration::from_millis(25);
/// Clients of the name service have numbers below.
const FIRST_PRODUCER: u64 = 1_000_000;

/// Sends one message after the other until it is stopped.
///
/// # Errors
/// When the producer cannot be made.
pub async fn send(
    number: u64,
    client: Client,
    topic: String,
    told: Told,
    stop: CancellationToken,
) -> Result<(), Error> {
    let group = format!("chaos-{number}");
    let config = ProducerConfig { group, ..ProducerConfig::default() };
    let producer = Producer::start(&client, config).map_err(Error::new)?;
    let mut count = 0_u64;
    while !stop.is_cancelled() {
        count += 1;
        // Its body tells it from all others, whatever becomes of it: it has no other id until then.
        let id = format!("{number}-{count}");
        let message = Message::new(topic.clone(), id.clone());
        let began = told.now();
        let outcome = match producer.send(&message).await {
            Ok(sent) => {
                let broker = sent.queue.broker_name.into_bytes();
                Outcome::Answered(Answer { found: true, body: broker, ..Answer::default() })
            }
            Err(error @ SendError::Unknown { .. }) => Outcome::Unknown(error.to_string()),
            Err(error) => Outcome::Refused(error.to_string()),
        };
        told.add(Operation {
            client: FIRST_PRODUCER + number,
            replica: 0,
            began,
            ended: told.now(),
            call: Call::Send(history::Message { topic: topic.clone(), id }),
            outcome,
        });
        sleep(SEND_INTERVAL).await;
    }
    producer.close().await;
    Ok(())
}
