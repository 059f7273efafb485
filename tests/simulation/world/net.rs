//! The network's state: links between hosts, and what is on its way over them.
//!
//! A connection is two pipes, one each way, and keeps its bytes in order. What a cut link swallows is
//! not lost: as TCP's retransmissions do, it arrives a moment after the link is whole again, unless
//! the sender has given the connection up meanwhile, which the seed decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use super::stream::{Nic, Stream};
use signpost_chaos::random::Random;

/// The number of a host.
pub(crate) type HostId = u64;

pub(super) type PipeId = u64;

/// Bytes on their way and unread, at most, in a pipe.
const WINDOW: usize = 64 * 1024;

/// A segment that is lost is sent again after so long.
const RETRANSMISSION_MS: (u64, u64) = (200, 400);

/// After a cut is mended, what it held back is sent again within so long.
const RESUMPTION_MS: u64 = 200;

/// So many of a hundred connections that a cut has stalled are given up, after so long.
const GIVEN_UP_PERCENT: u64 = 20;
const GIVEN_UP_AFTER_MS: (u64, u64) = (200, 3_000);

/// How often a host without power is tried again.
const KNOCK: Duration = Duration::from_millis(200);

/// How long a segment takes: from, and to, in microseconds.
pub(crate) type Latency = (u64, u64);

/// One direction between two hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) latency_us: Latency,
    /// So many of a hundred segments are lost, and sent again.
    pub(crate) loss_percent: u64,
    pub(crate) cut: bool,
}

/// What travels over a pipe.
#[derive(Debug)]
pub(super) enum Item {
    /// A connection's first word.
    Syn(u16),
    /// And its answer.
    Accepted,
    Data(Bytes),
    Fin,
    Reset,
}

struct Pipe {
    from: HostId,
    to: HostId,
    twin: PipeId,
    pending: VecDeque<(Duration, Item)>,
    /// When its latest item arrives; and before which nothing does.
    last: Duration,
    not_before: Duration,
    bytes: usize,
    ready: VecDeque<Bytes>,
    accepted: bool,
    fin: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    reader_gone: bool,
    writer_gone: bool,
}

struct Host {
    /// Grows with each process.
    life: u64,
    powered: bool,
    frozen: bool,
    /// Whom messages would have woken.
    asleep: Vec<Waker>,
}

/// Streams that nobody has accepted yet.
#[derive(Default)]
struct Backlog {
    life: u64,
    streams: VecDeque<(Stream, HostId)>,
    waker: Option<Waker>,
}

enum Due {
    Arrival(PipeId),
    GivingUp(PipeId),
}

struct State {
    now: Duration,
    random: Random,
    latency: Latency,
    hosts: BTreeMap<HostId, Host>,
    names: BTreeMap<String, HostId>,
    links: BTreeMap<(HostId, HostId), Link>,
    stalled: BTreeSet<PipeId>,
    backlogs: BTreeMap<(HostId, u16), Backlog>,
    pipes: BTreeMap<PipeId, Pipe>,
    due: BTreeMap<(Duration, u64), Due>,
    numbers: u64,
    /// To be woken when nobody holds this state.
    woken: Vec<Waker>,
}

/// The network. Clones are handles.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<State>>);

impl Net {
    pub(super) fn new(mut random: Random, latency: Latency) -> Net {
        let random = Random::fork(random.next(), 77);
        Net(Arc::new(Mutex::new(State {
            now: Duration::ZERO,
            random,
            latency,
            hosts: BTreeMap::new(),
            names: BTreeMap::new(),
            links: BTreeMap::new(),
            stalled: BTreeSet::new(),
            backlogs: BTreeMap::new(),
            pipes: BTreeMap::new(),
            due: BTreeMap::new(),
            numbers: 0,
            woken: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then wakes whom that woke: a waker may drop a stream, which comes back here.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let woken = std::mem::take(&mut state.woken);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        changed
    }

    /// Delivers what has arrived by `now`.
    pub(super) fn advance(&self, now: Duration) {
        self.change(|state| {
            state.now = now;
            while let Some(first) = state.due.first_entry() {
                if first.key().0 > now {
                    break;
                }
                match first.remove() {
                    Due::Arrival(pipe) => state.deliver(pipe, self),
                    Due::GivingUp(pipe) => state.give_up(pipe),
                }
            }
        });
    }

    pub(super) fn power_on(&self, id: HostId, name: &str) -> Nic {
        let mut state = self.state();
        state.names.insert(name.to_owned(), id);
        let host = state.hosts.entry(id).or_insert_with(|| Host {
            life: 0,
            powered: true,
            frozen: false,
            asleep: Vec::new(),
        });
        host.powered = true;
        Nic { net: self.clone(), host: id, life: host.life }
    }

    /// The process has ended, and so have its streams.
    pub(super) fn end_life(&self, id: HostId) {
        let unaccepted = self.state().take_backlogs(id);
        // These are closed as the process's others were.
        drop(unaccepted);
        let asleep = self.state().next_life(id);
        drop(asleep);
    }

    /// The machine is gone with all that its kernel knew.
    pub(super) fn power_off(&self, id: HostId) {
        let gone = {
            let mut state = self.state();
            let state = &mut *state;
            let Some(host) = state.hosts.get_mut(&id) else { return };
            host.powered = false;
            for (number, pipe) in &mut state.pipes {
                if pipe.to == id {
                    pipe.reader_gone = true;
                    pipe.ready.clear();
                }
                if pipe.from == id {
                    pipe.writer_gone = true;
                    if state.stalled.remove(number) {
                        pipe.pending.clear();
                    }
                }
            }
            state.pipes.retain(|_, pipe| !pipe.is_over());
            (state.next_life(id), state.take_backlogs(id))
        };
        drop(gone);
    }

    pub(super) fn freeze(&self, id: HostId) {
        if let Some(host) = self.state().hosts.get_mut(&id) {
            host.frozen = true;
        }
    }

    pub(super) fn thaw(&self, id: HostId) -> Vec<Waker> {
        let mut state = self.state();
        let Some(host) = state.hosts.get_mut(&id) else { return Vec::new() };
        host.frozen = false;
        std::mem::take(&mut host.asleep)
    }

    /// Changes the link from one host to another.
    pub(crate) fn set_link(&self, from: HostId, to: HostId, change: impl FnOnce(&mut Link)) {
        let mut state = self.state();
        let usual = state.usual_link();
        let link = state.links.entry((from, to)).or_insert(usual);
        let was_cut = link.cut;
        change(link);
        if was_cut && !link.cut {
            state.resume(from, to);
        }
    }

    /// Makes every link as it usually is.
    pub(crate) fn mend(&self) {
        let cut: Vec<(HostId, HostId)> = {
            let mut state = self.state();
            let links = std::mem::take(&mut state.links);
            links.into_iter().filter_map(|(ends, link)| link.cut.then_some(ends)).collect()
        };
        let mut state = self.state();
        cut.into_iter().for_each(|(from, to)| state.resume(from, to));
    }

    /// Listens, and takes the place of whoever did so before.
    pub(super) fn bind(&self, host: HostId, life: u64, port: u16) {
        let backlog = Backlog { life, ..Backlog::default() };
        let former = self.state().backlogs.insert((host, port), backlog);
        drop(former);
    }

    pub(super) fn accept(
        &self,
        host: HostId,
        life: u64,
        port: u16,
        waker: &Waker,
    ) -> Option<io::Result<(Stream, HostId)>> {
        let mut state = self.state();
        let backlog = state.backlogs.get_mut(&(host, port)).filter(|backlog| backlog.life == life);
        let Some(backlog) = backlog else {
            return Some(Err(io::ErrorKind::NotConnected.into()));
        };
        let next = backlog.streams.pop_front();
        if next.is_none() {
            backlog.waker = Some(waker.clone());
        }
        next.map(Ok)
    }

    pub(super) fn dial(&self, nic: &Nic, name: &str, port: u16) -> io::Result<Stream> {
        let mut state = self.state();
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host {name}"));
        let to = state.names.get(name).copied().ok_or_else(unknown)?;
        let (there, back) = (state.next_number(), state.next_number());
        state.pipes.insert(there, Pipe::new(nic.host, to, back));
        state.pipes.insert(back, Pipe::new(to, nic.host, there));
        state.send(there, Item::Syn(port));
        Ok(Stream { nic: nic.clone(), incoming: back, outgoing: there })
    }

    /// Whether the other end has taken a connection.
    pub(super) fn connected(&self, incoming: PipeId, waker: &Waker) -> Option<io::Result<()>> {
        let mut state = self.state();
        let Some(pipe) = state.pipes.get_mut(&incoming) else {
            return Some(Err(io::ErrorKind::NotConnected.into()));
        };
        match (pipe.accepted, pipe.reset) {
            (_, true) => Some(Err(io::ErrorKind::ConnectionRefused.into())),
            (true, _) => Some(Ok(())),
            _ => {
                pipe.reader = Some(waker.clone());
                None
            }
        }
    }

    /// Up to `most` bytes; none at the end.
    pub(super) fn read(
        &self,
        incoming: PipeId,
        most: usize,
        waker: &Waker,
    ) -> Option<io::Result<Bytes>> {
        self.change(|state| {
            let Some(pipe) = state.pipes.get_mut(&incoming) else {
                return Some(Err(io::ErrorKind::NotConnected.into()));
            };
            if pipe.reset {
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let Some(first) = pipe.ready.front_mut() else {
                if pipe.fin {
                    return Some(Ok(Bytes::new()));
                }
                pipe.reader = Some(waker.clone());
                return None;
            };
            let taken = if first.len() > most {
                first.split_to(most)
            } else {
                pipe.ready.pop_front().unwrap_or_default()
            };
            pipe.bytes -= taken.len();
            let (from, writer) = (pipe.from, pipe.writer.take());
            state.wake(from, writer);
            Some(Ok(taken))
        })
    }

    pub(super) fn write(
        &self,
        stream: (PipeId, PipeId),
        bytes: &[u8],
        waker: &Waker,
    ) -> Option<io::Result<usize>> {
        let (incoming, outgoing) = stream;
        let mut state = self.state();
        let reset = state.pipes.get(&incoming).is_none_or(|pipe| pipe.reset);
        let pipe = state.pipes.get_mut(&outgoing).filter(|pipe| !pipe.writer_gone && !reset);
        let Some(pipe) = pipe else {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if pipe.bytes >= WINDOW {
            pipe.writer = Some(waker.clone());
            return None;
        }
        let taken = bytes.len().min(WINDOW - pipe.bytes);
        if taken == 0 {
            return Some(Ok(0));
        }
        pipe.bytes += taken;
        state.send(outgoing, Item::Data(Bytes::copy_from_slice(&bytes[..taken])));
        Some(Ok(taken))
    }

    /// Nothing more will be written.
    pub(super) fn shut(&self, outgoing: PipeId) {
        let mut state = self.state();
        if state.pipes.get(&outgoing).is_some_and(|pipe| !pipe.writer_gone) {
            state.send(outgoing, Item::Fin);
            state.close(outgoing, |pipe| pipe.writer_gone = true);
        }
    }

    /// A stream is dropped.
    pub(super) fn close(&self, nic: &Nic, incoming: PipeId, outgoing: PipeId) {
        let mut state = self.state();
        if state.hosts.get(&nic.host).is_none_or(|host| host.life != nic.life) {
            return;
        }
        let unread = state.pipes.get(&incoming).is_some_and(|pipe| !pipe.ready.is_empty());
        let shut = state.pipes.get(&outgoing).is_none_or(|pipe| pipe.writer_gone);
        match (unread, shut) {
            (true, _) => state.send(outgoing, Item::Reset),
            (false, false) => state.send(outgoing, Item::Fin),
            (false, true) => {}
        }
        state.close(outgoing, |pipe| pipe.writer_gone = true);
        state.close(incoming, |pipe| {
            pipe.reader_gone = true;
            pipe.ready.clear();
        });
    }
}

impl Pipe {
    fn new(from: HostId, to: HostId, twin: PipeId) -> Pipe {
        Pipe {
            from,
            to,
            twin,
            pending: VecDeque::new(),
            last: Duration::ZERO,
            not_before: Duration::ZERO,
            bytes: 0,
            ready: VecDeque::new(),
            accepted: false,
            fin: false,
            reset: false,
            reader: None,
            writer: None,
            reader_gone: false,
            writer_gone: false,
        }
    }

    fn is_over(&self) -> bool {
        self.reader_gone && self.writer_gone && self.pending.is_empty()
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// What the streams of the former one do is nobody's business any more.
    fn next_life(&mut self, id: HostId) -> Vec<Waker> {
        let Some(host) = self.hosts.get_mut(&id) else { return Vec::new() };
        host.life += 1;
        host.frozen = false;
        std::mem::take(&mut host.asleep)
    }

    fn take_backlogs(&mut self, id: HostId) -> Vec<Backlog> {
        let ports = self.backlogs.keys().filter(|(host, _)| *host == id).copied();
        let ports: Vec<(HostId, u16)> = ports.collect();
        ports.iter().filter_map(|port| self.backlogs.remove(port)).collect()
    }

    fn usual_link(&self) -> Link {
        Link { latency_us: self.latency, loss_percent: 0, cut: false }
    }

    fn link(&self, from: HostId, to: HostId) -> Link {
        self.links.get(&(from, to)).copied().unwrap_or_else(|| self.usual_link())
    }

    fn schedule(&mut self, at: Duration, due: Due) {
        let number = self.next_number();
        self.due.insert((at, number), due);
    }

    fn wake(&mut self, host: HostId, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        match self.hosts.get_mut(&host).filter(|host| host.frozen) {
            Some(host) => host.asleep.push(waker),
            None => self.woken.push(waker),
        }
    }

    fn takes(&mut self, from: HostId, to: HostId) -> Duration {
        let Link { latency_us: (least, most), loss_percent, .. } = self.link(from, to);
        let mut takes = Duration::from_micros(least + self.random.below(most - least + 1));
        if loss_percent > 0 && self.random.percent(loss_percent) {
            takes += self.random.millis(RETRANSMISSION_MS.0, RETRANSMISSION_MS.1);
        }
        takes
    }

    fn send(&mut self, number: PipeId, item: Item) {
        let Some(pipe) = self.pipes.get(&number) else { return };
        let takes = self.takes(pipe.from, pipe.to);
        let now = self.now;
        let Some(pipe) = self.pipes.get_mut(&number) else { return };
        let arrives = pipe.last.max(now + takes);
        pipe.last = arrives;
        pipe.pending.push_back((arrives, item));
        self.schedule(arrives, Due::Arrival(number));
    }

    fn deliver(&mut self, number: PipeId, net: &Net) {
        loop {
            let now = self.now;
            let Some(pipe) = self.pipes.get(&number) else { return };
            let is_due = pipe.pending.front().is_some_and(|(arrives, _)| *arrives <= now);
            if !is_due || now < pipe.not_before {
                return;
            }
            let (from, to) = (pipe.from, pipe.to);
            if self.link(from, to).cut {
                self.stall(number);
                return;
            }
            if !self.hosts.get(&to).is_some_and(|host| host.powered) {
                self.schedule(now + KNOCK, Due::Arrival(number));
                return;
            }
            let Some(pipe) = self.pipes.get_mut(&number) else { return };
            let Some((_, item)) = pipe.pending.pop_front() else { return };
            self.arrive(number, item, net);
        }
    }

    fn arrive(&mut self, number: PipeId, item: Item, net: &Net) {
        let Some(pipe) = self.pipes.get_mut(&number) else { return };
        let (from, to, twin) = (pipe.from, pipe.to, pipe.twin);
        match item {
            Item::Syn(port) => {
                let life = self.hosts.get(&to).map_or(0, |host| host.life);
                let backlog = self.backlogs.get_mut(&(to, port));
                let Some(backlog) = backlog.filter(|backlog| backlog.life == life) else {
                    pipe.reader_gone = true;
                    self.send(twin, Item::Reset);
                    self.close(twin, |pipe| pipe.writer_gone = true);
                    return;
                };
                let nic = Nic { net: net.clone(), host: to, life };
                let stream = Stream { nic, incoming: number, outgoing: twin };
                backlog.streams.push_back((stream, from));
                let waker = backlog.waker.take();
                self.wake(to, waker);
                self.send(twin, Item::Accepted);
                return;
            }
            Item::Accepted => pipe.accepted = true,
            Item::Data(_) if pipe.reader_gone => {
                // Nobody there to read it.
                self.send(twin, Item::Reset);
                self.close(number, |_| {});
                return;
            }
            Item::Data(bytes) => pipe.ready.push_back(bytes),
            Item::Fin => pipe.fin = true,
            Item::Reset => {
                pipe.reset = true;
                pipe.ready.clear();
            }
        }
        let reader = pipe.reader.take();
        let reset = pipe.reset;
        self.wake(to, reader);
        if reset {
            let writer = self.pipes.get_mut(&twin).and_then(|twin| twin.writer.take());
            self.wake(to, writer);
        }
        self.close(number, |_| {});
    }

    /// A cut link has swallowed something.
    fn stall(&mut self, number: PipeId) {
        if self.stalled.insert(number) && self.random.percent(GIVEN_UP_PERCENT) {
            let after = self.random.millis(GIVEN_UP_AFTER_MS.0, GIVEN_UP_AFTER_MS.1);
            self.schedule(self.now + after, Due::GivingUp(number));
        }
    }

    /// The sender's kernel gives a stalled connection up.
    fn give_up(&mut self, number: PipeId) {
        if !self.stalled.remove(&number) {
            return;
        }
        let Some(pipe) = self.pipes.get_mut(&number) else { return };
        pipe.pending.clear();
        pipe.writer_gone = true;
        let (from, twin, writer) = (pipe.from, pipe.twin, pipe.writer.take());
        self.wake(from, writer);
        if let Some(twin) = self.pipes.get_mut(&twin) {
            twin.reset = true;
            twin.ready.clear();
            let reader = twin.reader.take();
            self.wake(from, reader);
        }
        self.close(twin, |pipe| pipe.reader_gone = true);
        self.close(number, |_| {});
    }

    /// A link is whole again.
    fn resume(&mut self, from: HostId, to: HostId) {
        let stalled = std::mem::take(&mut self.stalled);
        for number in stalled {
            let Some(pipe) = self.pipes.get(&number) else { continue };
            if (pipe.from, pipe.to) != (from, to) {
                self.stalled.insert(number);
                continue;
            }
            let at = self.now + self.takes(from, to) + self.random.millis(0, RESUMPTION_MS);
            if let Some(pipe) = self.pipes.get_mut(&number) {
                pipe.not_before = at;
                pipe.last = pipe.last.max(at);
            }
            self.schedule(at, Due::Arrival(number));
        }
    }

    fn close(&mut self, number: PipeId, change: impl FnOnce(&mut Pipe)) {
        let Some(pipe) = self.pipes.get_mut(&number) else { return };
        change(pipe);
        if pipe.is_over() {
            self.pipes.remove(&number);
            self.stalled.remove(&number);
        }
    }
}
