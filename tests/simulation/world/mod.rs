//! A small world on one thread: hosts with clocks of their own, and a network between them.
//!
//! Each host has its own tokio runtime with a paused clock. A step moves the world's time on by one
//! tick: what has arrived by then is delivered, and each host runs until its own clock says what the
//! world's says, or what its clock makes of it. A frozen host does nothing, as after SIGSTOP; when it
//! thaws its clock jumps by all that it missed, and its timers fire before the messages that waited,
//! or after them.
//!
//! | file | holds |
//! | --- | --- |
//! | [`host`] | a host: runtime, clock, lives |
//! | [`net`] | the state of the network: links, and what is on its way |
//! | [`proof`] | does it do what is said here? |
//! | [`stream`] | what a program sees of it: streams, listeners, dialling |

pub(crate) mod host;
pub(crate) mod net;
pub(crate) mod proof;
pub(crate) mod stream;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use host::Host;
use net::{HostId, Net};
use signpost_chaos::random::Random;
use stream::Nic;

/// The host that runs now, for whoever wants to know whose words these are.
static RUNNING: AtomicU64 = AtomicU64::new(0);

/// Who runs now; 0 when nobody does.
pub(crate) fn running() -> HostId {
    RUNNING.load(Ordering::Relaxed)
}

/// How a life ends from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// The process is killed; its kernel closes its connections.
    Killed,
    /// The machine is without power; nobody is told.
    PowerCut,
}

/// What a program ends with by itself.
pub(crate) type Ended = Result<(), String>;

/// All hosts, and the network between them.
pub(crate) struct World {
    now: Duration,
    tick: Duration,
    hosts: BTreeMap<HostId, Host>,
    net: Net,
    random: Random,
}

impl World {
    /// An empty world, which moves on by `tick` (whole milliseconds) at a time.
    pub(crate) fn new(random: Random, tick: Duration, latency: net::Latency) -> World {
        let net = Net::new(random.clone(), latency);
        World { now: Duration::ZERO, tick, hosts: BTreeMap::new(), net, random }
    }

    /// Since it began.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn net(&self) -> &Net {
        &self.net
    }

    /// Begins a life of a host, which is made if there is none of this number.
    pub(crate) fn boot<F>(&mut self, id: HostId, name: &str, program: impl FnOnce(Nic) -> F)
    where
        F: Future<Output = Ended> + 'static,
    {
        let nic = self.net.power_on(id, name);
        let host = self.hosts.entry(id).or_insert_with(|| Host::new(id));
        RUNNING.store(id, Ordering::Relaxed);
        host.boot(program(nic));
        RUNNING.store(0, Ordering::Relaxed);
    }

    /// Runs something beside a host's program.
    pub(crate) fn spawn(&mut self, id: HostId, work: impl Future<Output = ()> + Send + 'static) {
        self.hosts.get_mut(&id).expect("a host that was booted").spawn(work);
    }

    /// Ends a host's life, if it has one.
    pub(crate) fn kill(&mut self, id: HostId, death: Death) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        RUNNING.store(id, Ordering::Relaxed);
        if death == Death::PowerCut {
            self.net.power_off(id);
        }
        host.kill();
        if death == Death::Killed {
            self.net.end_life(id);
        }
        RUNNING.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_alive(&self, id: HostId) -> bool {
        self.hosts.get(&id).is_some_and(Host::is_alive)
    }

    /// Stops a host in its tracks.
    pub(crate) fn freeze(&mut self, id: HostId) {
        self.net.freeze(id);
        self.hosts.get_mut(&id).expect("a host that was booted").freeze();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&mut self, id: HostId) {
        let timers_first = self.random.percent(50);
        let woken = self.net.thaw(id);
        self.hosts.get_mut(&id).expect("a host that was booted").thaw(woken, timers_first);
    }

    /// From now on its clock goes by so many thousandths of the world's time.
    pub(crate) fn set_rate(&mut self, id: HostId, permille: u64) {
        self.hosts.get_mut(&id).expect("a host that was booted").set_rate(permille);
    }

    /// Its clock jumps ahead.
    pub(crate) fn jump(&mut self, id: HostId, by: Duration) {
        self.hosts.get_mut(&id).expect("a host that was booted").jump(by);
    }

    /// One tick. Answers whose programs ended by themselves in it.
    pub(crate) fn step(&mut self) -> Vec<(HostId, Ended)> {
        self.now += self.tick;
        self.net.advance(self.now);
        let mut ended = Vec::new();
        for (id, host) in &mut self.hosts {
            RUNNING.store(*id, Ordering::Relaxed);
            ended.extend(host.run(self.tick).map(|how| (*id, how)));
            RUNNING.store(0, Ordering::Relaxed);
        }
        for (id, _) in &ended {
            self.kill(*id, Death::Killed);
        }
        ended
    }
}

impl Drop for World {
    /// Hosts go before the network that they use.
    fn drop(&mut self) {
        let hosts: Vec<HostId> = self.hosts.keys().copied().collect();
        hosts.into_iter().for_each(|id| self.kill(id, Death::PowerCut));
    }
}
