//! Stock producers and push consumers that do one thing after the other as they are told.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::artifacts::Version;
use super::java::{Memory, java};
use super::program::{Listener, Program, Teller};
use crate::support::wait::{until, until_within};

/// For what consumers are to receive. A rebalance takes a moment, but it gives the subscription a new
/// version too. The client tells the broker by a heartbeat of its own, and skips that one when another
/// of its heartbeats is under way (`RebalancePushImpl.messageQueueChanged`,
/// `sendHeartbeatToAllBrokerWithLock`, 4.9 and 5.x). Then its pulls are refused (25) until the next,
/// 30 s later, and tried again 3 s after that.
pub(crate) const RECEIVED_WITHIN: Duration = Duration::from_secs(60);

/// A message that a consumer was given, with when that was heard.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// What `java/Exchange.java` says of it.
    pub(crate) said: Value,
    /// When.
    pub(crate) at: Instant,
}

impl Received {
    /// Its body, or its key if its body is none that one would print.
    pub(crate) fn body(&self) -> &str {
        self.text("received")
    }

    /// One of its texts.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.said[name].as_str().unwrap_or_default()
    }
}

/// What was heard so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Heard {
    /// Answers to sends, by body.
    pub(crate) sent: BTreeMap<String, Value>,
    /// Messages in the order they came.
    pub(crate) received: Vec<Received>,
    /// Orders that could not be carried out.
    pub(crate) failed: Vec<String>,
    done: u64,
    ended: bool,
}

impl Heard {
    /// What a group was given of a topic.
    pub(crate) fn of(&self, group: &str, topic: &str) -> Vec<Received> {
        let meant = |one: &&Received| one.text("group") == group && one.text("topic") == topic;
        self.received.iter().filter(meant).cloned().collect()
    }

    fn heard(&mut self, said: Value) {
        if let Some(body) = said["sent"].as_str() {
            self.sent.insert(body.to_owned(), said);
        } else if said["received"].is_string() {
            self.received.push(Received { said, at: Instant::now() });
        } else if said["failed"].is_string() {
            self.failed.push(said.to_string());
        } else if said.get("done").is_some() {
            self.done += 1;
        }
    }
}

/// One JVM with a producer, and as many push consumers as it is told to start. Its end is theirs,
/// as by kill -9.
#[derive(Debug)]
pub(crate) struct Exchange {
    teller: Teller,
    heard: watch::Receiver<Heard>,
    orders: u64,
}

impl Exchange {
    /// Starts it with its own directory `home`.
    pub(crate) async fn start(version: Version, name_servers: &str, home: &Path) -> Self {
        let memory = Memory { heap_mib: 128, direct_mib: 128 };
        let mut command = java(version, home, memory, "signpost.stock.Exchange").await;
        command.arg(name_servers);
        let title = format!("stock clients {}", version.number());
        let program = Program::start(&title, command, &home.join("exchange.log")).await;
        let (teller, listener) = program.split();
        let (tell, heard) = watch::channel(Heard::default());
        tokio::spawn(listen(listener, tell));
        Self { teller, heard, orders: 0 }
    }

    /// Gives an order and waits until it is carried out.
    pub(crate) async fn order(&mut self, words: &[&str]) {
        self.teller.tell(&words.join("\t")).await;
        self.orders += 1;
        let orders = self.orders;
        until(&format!("stock clients carry out {words:?}"), || async {
            let heard = self.heard.borrow();
            assert!(!heard.ended, "the stock clients have ended");
            if heard.done >= orders { Ok(()) } else { Err(heard.failed.clone()) }
        })
        .await;
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.borrow().clone()
    }

    /// The answer to the send of this body.
    pub(crate) fn sent(&self, body: &str) -> Value {
        let heard = self.heard.borrow();
        let answer = heard.sent.get(body).cloned();
        answer.unwrap_or_else(|| panic!("{body} was not sent: {:?}", heard.failed))
    }
}

/// Waits until all these clients together have heard what is wished.
pub(crate) async fn heard<T>(
    what: &str,
    clients: &[&Exchange],
    mut wished: impl FnMut(&[Heard]) -> Result<T, String>,
) -> T {
    until_within(RECEIVED_WITHIN, what, || {
        let all: Vec<Heard> = clients.iter().map(|client| client.heard()).collect();
        std::future::ready(wished(&all))
    })
    .await
}

async fn listen(mut listener: Listener, tell: watch::Sender<Heard>) {
    while let Some(said) = listener.next().await {
        tell.send_modify(|heard| heard.heard(said));
    }
    if !tell.is_closed() {
        eprintln!("{}", listener.last_words());
    }
    tell.send_modify(|heard| heard.ended = true);
}
