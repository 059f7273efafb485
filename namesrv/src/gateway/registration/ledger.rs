//! Which connection of this door belongs to which broker, and what the ends of connections leave
//! behind. Pure: no clock, nobody is told from here.
//!
//! Three questions are answered out of it:
//! - has this connection sent the very same registration before, and what was it found to be?
//! - what did an earlier connection of this broker renew last? (see `Registrar::register_stock`)
//! - how does a broker stand: connected, gone by its own wish, or gone we do not know why?

use std::collections::{BTreeMap, BTreeSet};

use signpost_raft::machine::Index;
use tokio::sync::oneshot;

use crate::errors::ServiceError;
use crate::lessor::presence::Standing;
use crate::routes::command::BrokerKey;

/// Brokers that one connection may speak for; stock ones speak for themselves, containers of them
/// for a few.
const BROKERS_PER_CONNECTION_MAX: usize = 256;

/// Registrations of one broker that are remembered as unchanged: more than one when a broker
/// splits its topics over several.
const REPEATS_MAX: usize = 512;

/// The hash of a registration as it came, header fields and body.
pub(super) type Raw = u128;

/// The book of one door. `C` is what closes a connection.
#[derive(Debug)]
pub(super) struct Ledger<C> {
    connections: BTreeMap<u64, Guest<C>>,
    brokers: BTreeMap<BrokerKey, Visits>,
    /// Everything that renewed an epoch begun after this index has been seen here.
    since: Option<Index>,
    /// Who has left and the leader has not been told of.
    untold: BTreeSet<BrokerKey>,
}

/// One open connection.
#[derive(Debug)]
struct Guest<C> {
    connection: C,
    brokers: BTreeMap<BrokerKey, Bond>,
}

/// One broker on one connection.
#[derive(Debug)]
struct Bond {
    address: String,
    /// What an earlier connection had renewed last when this one appeared; none once a
    /// registration on this one was acknowledged.
    former: Option<Index>,
    /// The epoch of the first registration acknowledged here.
    first: Option<Index>,
    /// The epoch renewed here last.
    latest: Option<Index>,
    /// What was found to be unchanged, at which epoch and content digest.
    repeats: Option<Repeats>,
    /// Dropped when the request before the next one has been dealt with.
    last: Option<oneshot::Receiver<()>>,
}

#[derive(Debug)]
struct Repeats {
    epoch: Index,
    content_digest: u64,
    raw: BTreeSet<Raw>,
}

/// All connections of one broker, open and past.
#[derive(Debug, Default)]
struct Visits {
    open: BTreeSet<u64>,
    /// The highest epoch that any of them renewed.
    latest: Option<Index>,
    /// Of those that have ended: the highest epoch, and whether all that renewed it were closed by
    /// the broker itself.
    ended: Option<(Index, bool)>,
    /// Registrations up to this epoch have ended: who renewed no later one is of no interest.
    over: Option<Index>,
}

/// A request's turn among those of one broker on one connection.
#[derive(Debug)]
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl Turn {
    /// Waits for the request before this one. The next one waits until `self` is dropped.
    pub(super) async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // Its sender says nothing, it is only dropped.
            before.await.ok();
        }
    }
}

impl<C: Clone> Ledger<C> {
    pub(super) fn new() -> Self {
        Self {
            connections: BTreeMap::new(),
            brokers: BTreeMap::new(),
            since: None,
            untold: BTreeSet::new(),
        }
    }

    /// From now on it is known that nothing was missed after this index.
    pub(super) fn set_since(&mut self, since: Index) {
        self.since.get_or_insert(since);
    }

    /// A request of this broker has arrived on this connection.
    ///
    /// # Errors
    /// When the connection speaks for too many brokers.
    pub(super) fn arrive(
        &mut self,
        id: u64,
        connection: &C,
        key: &BrokerKey,
        address: &str,
    ) -> Result<Turn, ServiceError> {
        let guest = self
            .connections
            .entry(id)
            .or_insert_with(|| Guest { connection: connection.clone(), brokers: BTreeMap::new() });
        if !guest.brokers.contains_key(key) {
            if guest.brokers.len() >= BROKERS_PER_CONNECTION_MAX {
                return Err(ServiceError::overloaded("brokers on one connection"));
            }
            let visits = self.brokers.entry(key.clone()).or_default();
            visits.open.insert(id);
            self.untold.remove(key);
            let bond = Bond {
                address: address.to_owned(),
                former: visits.latest,
                first: None,
                latest: None,
                repeats: None,
                last: None,
            };
            guest.brokers.insert(key.clone(), bond);
        }
        let bond = guest.brokers.get_mut(key).expect("it was just made, if it was not there");
        Ok(bond.turn())
    }

    /// The same for a request that is of no use without earlier ones on this connection.
    pub(super) fn arrive_again(&mut self, id: u64, key: &BrokerKey) -> Option<Turn> {
        Some(self.bond(id, key)?.turn())
    }

    /// The epoch and content digest at which this very registration was found to be unchanged.
    pub(super) fn repeat(&mut self, id: u64, key: &BrokerKey, raw: Raw) -> Option<(Index, u64)> {
        let repeats = self.bond(id, key)?.repeats.as_ref()?;
        repeats.raw.contains(&raw).then_some((repeats.epoch, repeats.content_digest))
    }

    /// See `Registrar::register_stock`.
    pub(super) fn former(&mut self, id: u64, key: &BrokerKey) -> Option<Index> {
        self.bond(id, key)?.former
    }

    /// The epoch that this broker's requests on this connection mean: what they renewed last.
    pub(super) fn latest(&mut self, id: u64, key: &BrokerKey) -> Option<Index> {
        self.bond(id, key)?.latest
    }

    /// The epoch that this connection's first registration renewed, if it was of this address.
    pub(super) fn first(&mut self, id: u64, key: &BrokerKey, address: &str) -> Option<Index> {
        let bond = self.bond(id, key)?;
        if bond.address == address { bond.first } else { None }
    }

    /// A registration was acknowledged. `unchanged`: its hash, and the digest of the content that
    /// it was found to equal.
    pub(super) fn registered(
        &mut self,
        id: u64,
        key: &BrokerKey,
        address: &str,
        epoch: Index,
        unchanged: Option<(Raw, u64)>,
    ) {
        self.renewed(id, key, epoch);
        let Some(bond) = self.bond(id, key) else { return };
        address.clone_into(&mut bond.address);
        bond.former = None;
        bond.first.get_or_insert(epoch);
        let Some((raw, content_digest)) = unchanged else {
            bond.repeats = None;
            return;
        };
        match &mut bond.repeats {
            Some(known) if (known.epoch, known.content_digest) == (epoch, content_digest) => {
                if known.raw.len() < REPEATS_MAX {
                    known.raw.insert(raw);
                }
            }
            repeats => {
                let raw = BTreeSet::from([raw]);
                *repeats = Some(Repeats { epoch, content_digest, raw });
            }
        }
    }

    /// A sign of life was acknowledged, perhaps after its connection has ended.
    pub(super) fn renewed(&mut self, id: u64, key: &BrokerKey, epoch: Index) {
        match self.bond(id, key) {
            Some(bond) => bond.latest = bond.latest.max(Some(epoch)),
            None => self.brokers.entry(key.clone()).or_default().end(epoch, false),
        }
        if let Some(visits) = self.brokers.get_mut(key) {
            visits.latest = visits.latest.max(Some(epoch));
        }
    }

    /// This broker has unregistered on this connection: nothing that happens to it matters.
    pub(super) fn leave(&mut self, id: u64, key: &BrokerKey) {
        if let Some(guest) = self.connections.get_mut(&id) {
            guest.brokers.remove(key);
        }
        if let Some(visits) = self.brokers.get_mut(key) {
            visits.open.remove(&id);
            if visits.open.is_empty() {
                self.brokers.remove(key);
            }
        }
    }

    /// A connection has ended; `farewell`: by its peer's wish. Answers whether the leader must be
    /// told of somebody.
    pub(super) fn end(&mut self, id: u64, farewell: bool) -> bool {
        let Some(guest) = self.connections.remove(&id) else { return false };
        for (key, bond) in guest.brokers {
            let Some(visits) = self.brokers.get_mut(&key) else { continue };
            visits.open.remove(&id);
            if let Some(epoch) = bond.latest {
                visits.end(epoch, farewell);
            }
            if visits.open.is_empty() && visits.latest <= visits.over {
                self.brokers.remove(&key);
            } else if visits.left().is_some() {
                self.untold.insert(key);
            }
        }
        !self.untold.is_empty()
    }

    /// How this broker stands.
    pub(super) fn standing(&self, key: &BrokerKey) -> Standing {
        let unseen = Standing::Unseen { since: self.since };
        let Some(visits) = self.brokers.get(key) else { return unseen };
        match (visits.open.is_empty(), visits.ended) {
            (false, _) => Standing::Open,
            (true, Some((epoch, true))) => Standing::Left { epoch },
            (true, Some((epoch, false))) => Standing::Lost { epoch },
            (true, None) => unseen,
        }
    }

    /// Takes who has left and the leader has not been told of, at most so many.
    pub(super) fn take_untold(&mut self, max: usize) -> Vec<(BrokerKey, Index)> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(key) = self.untold.pop_first()
        {
            if let Some(epoch) = self.brokers.get(&key).and_then(Visits::left) {
                taken.push((key, epoch));
            }
        }
        taken
    }

    /// They have not been told of after all.
    pub(super) fn return_untold(&mut self, departures: Vec<(BrokerKey, Index)>) {
        self.untold.extend(departures.into_iter().map(|(key, _)| key));
    }

    /// Another leader must be told of everybody who has left.
    pub(super) fn tell_all(&mut self) {
        let left = self.brokers.iter().filter(|(_, visits)| visits.left().is_some());
        self.untold.extend(left.map(|(key, _)| key.clone()));
    }

    /// Connections on which this epoch of this broker was renewed last.
    pub(super) fn connections_of(&self, key: &BrokerKey, epoch: Index) -> Vec<C> {
        let open = self.brokers.get(key).into_iter().flat_map(|visits| &visits.open);
        let guests = open.filter_map(|id| self.connections.get(id));
        let renewed = guests
            .filter(|guest| guest.brokers.get(key).is_some_and(|bond| bond.latest == Some(epoch)));
        renewed.map(|guest| guest.connection.clone()).collect()
    }

    /// This epoch has ended: connections that renewed no later one say nothing any more.
    pub(super) fn forget(&mut self, key: &BrokerKey, epoch: Index) {
        let Some(visits) = self.brokers.get_mut(key) else { return };
        visits.over = visits.over.max(Some(epoch));
        if visits.open.is_empty() && visits.latest <= visits.over {
            self.brokers.remove(key);
            self.untold.remove(key);
        }
    }

    /// The process of this epoch has registered as another broker, over the same connection
    /// perhaps: that is the other one's from now on, and says nothing about this one any more.
    pub(super) fn pass_on(&mut self, key: &BrokerKey, epoch: Index) {
        if let Some(visits) = self.brokers.get_mut(key) {
            let connections = &mut self.connections;
            visits.open.retain(|id| {
                let Some(guest) = connections.get_mut(id) else { return false };
                let is_its = guest.brokers.get(key).is_some_and(|bond| bond.latest == Some(epoch));
                if is_its {
                    guest.brokers.remove(key);
                }
                !is_its
            });
        }
        self.forget(key, epoch);
    }

    /// Forgets all past connections but those of live epochs, and answers the keys and epochs of
    /// those that are open.
    pub(super) fn sweep(
        &mut self,
        is_live: impl Fn(&BrokerKey, Index) -> bool,
    ) -> Vec<(BrokerKey, Index)> {
        self.brokers.retain(|key, visits| {
            !visits.open.is_empty() || visits.latest.is_some_and(|epoch| is_live(key, epoch))
        });
        let bonds = self.connections.values().flat_map(|guest| &guest.brokers);
        let renewed = bonds.filter_map(|(key, bond)| Some((key.clone(), bond.latest?)));
        renewed.filter(|(key, epoch)| !is_live(key, *epoch)).collect()
    }

    fn bond(&mut self, id: u64, key: &BrokerKey) -> Option<&mut Bond> {
        self.connections.get_mut(&id)?.brokers.get_mut(key)
    }
}

impl Bond {
    fn turn(&mut self) -> Turn {
        let (done, last) = oneshot::channel();
        Turn { before: self.last.replace(last), _done: done }
    }
}

impl Visits {
    /// One that renewed this epoch last has ended.
    fn end(&mut self, epoch: Index, farewell: bool) {
        self.ended = match self.ended {
            Some((known, _)) if known > epoch => self.ended,
            Some((known, all)) if known == epoch => Some((epoch, all && farewell)),
            _ => Some((epoch, farewell)),
        };
    }

    /// The epoch that it had renewed last, if it has gone by its own wish.
    fn left(&self) -> Option<Index> {
        self.ended.filter(|(_, all)| *all && self.open.is_empty()).map(|(epoch, _)| epoch)
    }
}

#[cfg(test)]
mod tests;
