//! A stock producer and a stock push consumer of one topic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use tokio::sync::watch;

use super::artifacts::Version;
use super::java::{Memory, java};
use super::program::{Listener, Program, Teller};
use crate::support::wait::until;

/// What they said so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Messages sent, with the broker that took each.
    pub(crate) sent: BTreeMap<String, String>,
    /// Messages that could not be sent after the client's own retries, with the reason.
    pub(crate) failed: BTreeMap<String, String>,
    /// Messages received, once or more often.
    pub(crate) received: BTreeSet<String>,
    /// Orders carried out.
    done: u64,
    ended: bool,
}

impl Tally {
    /// Messages that each broker took.
    pub(crate) fn by_broker(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for broker in self.sent.values() {
            *counts.entry(broker.as_str()).or_default() += 1;
        }
        counts
    }

    /// Sent, and not received yet.
    pub(crate) fn missing(&self) -> Vec<&str> {
        let sent = self.sent.keys().filter(|body| !self.received.contains(*body));
        sent.map(String::as_str).collect()
    }

    fn heard(&mut self, said: &Value) {
        let text = |name: &str| said[name].as_str().map(str::to_owned);
        if let Some(body) = text("sent") {
            self.sent.insert(body, text("broker").unwrap_or_default());
        } else if let Some(body) = text("failed") {
            self.failed.insert(body, text("error").unwrap_or_default());
        } else if let Some(body) = text("received") {
            self.received.insert(body);
        } else if said.get("done").is_some() {
            self.done += 1;
        }
    }
}

/// A producer and a push consumer in one JVM; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Traffic {
    teller: Teller,
    tally: watch::Receiver<Tally>,
    orders: u64,
}

impl Traffic {
    /// Starts both, with their own directory `home` and groups of this `name`; `name_servers` may be
    /// `http://` and an address server instead. They look at the route each second instead of
    /// every 30 s: more questions for the name servers, and more to go wrong.
    pub(crate) async fn start(
        version: Version,
        name_servers: &str,
        topic: &str,
        name: &str,
        home: &Path,
    ) -> Self {
        let memory = Memory { heap_mib: 128, direct_mib: 128 };
        let mut command = java(version, home, memory, "signpost.stock.Traffic").await;
        command.args([name_servers, topic, name, "1000"]);
        let title = format!("stock clients {name} ({})", version.number());
        let program = Program::start(&title, command, &home.join("traffic.log")).await;
        let (teller, listener) = program.split();
        let (heard, tally) = watch::channel(Tally::default());
        tokio::spawn(listen(listener, heard));
        Self { teller, tally, orders: 0 }
    }

    /// Sends so many messages, one after the other, and waits until each is sent or failed.
    pub(crate) async fn send(&mut self, count: usize, prefix: &str) {
        self.teller.tell(&format!("send {count} {prefix}")).await;
        self.obeyed().await;
    }

    /// Begins to send so many messages a second.
    pub(crate) async fn load(&mut self, rate: u32, threads: u32) {
        self.teller.tell(&format!("load {rate} {threads}")).await;
    }

    /// Ends that, and waits until the sends under way are done.
    pub(crate) async fn halt(&mut self) {
        self.teller.tell("halt").await;
        self.obeyed().await;
    }

    /// What they said so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Waits until every message that was sent has been received.
    pub(crate) async fn all_received(&self) {
        until("every message sent is received", || async {
            let tally = self.tally.borrow();
            assert!(!tally.ended, "the stock clients have ended");
            let missing = tally.missing();
            let some = || missing.iter().take(5).map(|body| (*body).to_owned()).collect();
            if missing.is_empty() {
                Ok(())
            } else {
                Err::<(), (usize, Vec<String>)>((missing.len(), some()))
            }
        })
        .await;
    }

    async fn obeyed(&mut self) {
        self.orders += 1;
        let orders = self.orders;
        until("the stock clients carry out an order", || async {
            let tally = self.tally.borrow();
            assert!(!tally.ended, "the stock clients have ended");
            if tally.done >= orders {
                Ok(())
            } else {
                Err((tally.sent.len(), tally.failed.clone()))
            }
        })
        .await;
    }
}

async fn listen(mut listener: Listener, heard: watch::Sender<Tally>) {
    while let Some(said) = listener.next().await {
        heard.send_modify(|tally| tally.heard(&said));
    }
    if !heard.is_closed() {
        eprintln!("{}", listener.last_words());
    }
    heard.send_modify(|tally| tally.ended = true);
}
