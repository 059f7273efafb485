//! The two name servers, asked the same.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use signpost_remoting::client::{Client, ClientOptions};
use signpost_remoting::{RemotingCommand, request};

use super::answer::Answer;
use super::differences::{self, Difference, INTENDED};

/// For an answer; far more than one takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many of the last requests are told when answers differ.
const STORY_MAX: usize = 40;

/// One connection to each name server: what a broker or a tool has.
pub(crate) struct Wire {
    ours: Client,
    stock: Client,
}

impl Wire {
    pub(crate) fn new() -> Self {
        let open = || Client::new(ClientOptions::default());
        Self { ours: open(), stock: open() }
    }
}

/// Both name servers, and what has been asked of them.
pub(crate) struct Sides {
    ours: SocketAddr,
    stock: SocketAddr,
    seed: u64,
    /// Requests by code.
    counts: BTreeMap<i32, u64>,
    /// The last requests.
    story: VecDeque<String>,
    /// How often each intended difference was met.
    met: BTreeMap<&'static str, u64>,
}

impl Sides {
    pub(crate) fn new(ours: SocketAddr, stock: SocketAddr, seed: u64) -> Self {
        let (counts, story, met) = (BTreeMap::new(), VecDeque::new(), BTreeMap::new());
        Self { ours, stock, seed, counts, story, met }
    }

    /// Asks both, and answers what both said.
    ///
    /// # Panics
    /// When they said different things, and no difference that is intended explains it.
    pub(crate) async fn ask(&mut self, wire: &Wire, request: RemotingCommand) -> Answer {
        let (mut ours, mut stock) = self.ask_each(wire, request.clone()).await;
        let said = (ours.clone(), stock.clone());
        for difference in INTENDED {
            if ours == stock {
                break;
            }
            if difference.explains(&request, &mut ours, &mut stock) {
                self.meet(difference);
            }
        }
        self.check(ours == stock, || {
            let (ours, stock) = &said;
            format!("ours:  {ours:?}\nstock: {stock:?}\nrequest: {request:?}")
        });
        said.0
    }

    /// Asks both, and answers what each said, ours first.
    pub(crate) async fn ask_each(
        &mut self,
        wire: &Wire,
        request: RemotingCommand,
    ) -> (Answer, Answer) {
        self.note(&request);
        self.peek(wire, request).await
    }

    /// The same for a request that is made again and again, and does not count.
    pub(crate) async fn peek(&mut self, wire: &Wire, request: RemotingCommand) -> (Answer, Answer) {
        let (ours, stock) = (self.ours.to_string(), self.stock.to_string());
        let (ours, stock) = tokio::join!(
            wire.ours.invoke(&ours, request.clone(), PATIENCE),
            wire.stock.invoke(&stock, request.clone(), PATIENCE),
        );
        match (ours, stock) {
            (Ok(ours), Ok(stock)) => (Answer::of(&ours), Answer::of(&stock)),
            (ours, stock) => {
                self.fail(&format!("no answer to {request:?}\nours: {ours:?}\nstock: {stock:?}"))
            }
        }
    }

    /// Tells both, one-way.
    pub(crate) async fn tell(&mut self, wire: &Wire, mut request: RemotingCommand) {
        request.mark_oneway();
        self.note(&request);
        let (ours, stock) = (self.ours.to_string(), self.stock.to_string());
        let (ours, stock) = tokio::join!(
            wire.ours.notify(&ours, request.clone(), PATIENCE),
            wire.stock.notify(&stock, request, PATIENCE),
        );
        self.check(ours.is_ok() && stock.is_ok(), || format!("not sent: {ours:?}, {stock:?}"));
    }

    /// Asks both until both answer so: for what happens some time after it was answered.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        wire: &Wire,
        request: RemotingCommand,
        is_so: impl Fn(&Answer) -> bool,
    ) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (ours, stock) = self.peek(wire, request.clone()).await;
            if is_so(&ours) && is_so(&stock) {
                return;
            }
            let late = tokio::time::Instant::now() > deadline;
            self.check(!late, || format!("never: {what}\nours:  {ours:?}\nstock: {stock:?}"));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// An intended difference was seen.
    pub(crate) fn meet(&mut self, difference: &Difference) {
        *self.met.entry(difference.what).or_default() += 1;
    }

    pub(crate) fn count(&self, code: i32) -> u64 {
        self.counts.get(&code).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Puts a line into the story that is told on a failure.
    pub(crate) fn tale(&mut self, line: String) {
        if self.story.len() == STORY_MAX {
            self.story.pop_front();
        }
        self.story.push_back(line);
    }

    pub(crate) fn check(&self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.fail(&why());
        }
    }

    fn fail(&self, why: &str) -> ! {
        let story: Vec<&str> = self.story.iter().map(String::as_str).collect();
        let (seed, total) = (self.seed, self.total());
        let again = super::SEED_VARIABLE;
        panic!(
            "request {total} of seed {seed} (again: {again}={seed}):\n{}\n\n{why}",
            story.join("\n")
        );
    }

    /// What was asked, and which differences were met.
    pub(crate) fn report(&self) {
        let counts: Vec<String> =
            self.counts.iter().map(|(code, count)| format!("{code}: {count}")).collect();
        eprintln!("{} requests ({})", self.total(), counts.join(", "));
        for difference in differences::INTENDED {
            let met = self.met.get(difference.what).copied().unwrap_or_default();
            eprintln!(
                "differs on purpose, {met} times: {}; {}",
                difference.what, difference.because
            );
        }
    }

    /// Differences of the list that were never met: they are none any more.
    pub(crate) fn unmet(&self) -> Vec<&'static str> {
        let all = differences::INTENDED.iter().map(|difference| difference.what);
        all.filter(|what| !self.met.contains_key(what)).collect()
    }

    fn note(&mut self, request: &RemotingCommand) {
        *self.counts.entry(request.code).or_default() += 1;
        let RemotingCommand { code, version, ext, body, .. } = request;
        let body: String = String::from_utf8_lossy(body).chars().take(1_500).collect();
        let (name, oneway) =
            (request::name(*code), if request.is_oneway() { " one-way" } else { "" });
        self.tale(format!("{code} {name}{oneway} v{version} {ext:?} {body}"));
    }
}
