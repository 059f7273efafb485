//! What goes with a broker, and what is remembered of it.

use signpost_namesrv::routes::command::*;

use super::Model;

impl Model {
    pub(super) fn unregister(&mut self, index: u64, u: &Unregister) -> RouteOutcome {
        let Some(live) = self.live.get(&u.key) else {
            let known = self.fences.get(&u.key).map(|fence| fence.0);
            if let Some(claim) = u.claim
                && known.is_none_or(|known| known < claim)
            {
                self.fence(&u.key, claim, index);
            }
            return RouteOutcome::Unregistered { removed: false };
        };
        if let Some(claim) = u.claim
            && claim.incarnation < live.claim.incarnation
        {
            return RouteOutcome::Refused(Refusal::Superseded { highest: live.claim });
        }
        if u.epoch.is_some_and(|epoch| epoch != live.epoch) {
            return RouteOutcome::Refused(Refusal::Moved { epoch: live.epoch });
        }
        if u.claim.is_some_and(|claim| claim <= live.claim) {
            return RouteOutcome::Refused(Refusal::Stale { highest: live.claim });
        }
        self.remove(index, &u.key, u.claim);
        RouteOutcome::Unregistered { removed: true }
    }

    fn fence(&mut self, key: &BrokerKey, claim: Claim, index: u64) {
        self.fences.insert(key.clone(), (claim, index));
        while self.fences.len() > self.fences_max {
            let oldest = self.fences.iter().min_by_key(|(key, (_, at))| (*at, (*key).clone()));
            let oldest = oldest.unwrap().0.clone();
            self.fences.remove(&oldest);
        }
    }

    pub(super) fn remove(&mut self, index: u64, key: &BrokerKey, claim: Option<Claim>) {
        let gone = self.live.remove(key).unwrap();
        self.filters.remove(key);
        self.fence(key, claim.unwrap_or(gone.claim).max(gone.claim), index);
        let broker = self.brokers.get_mut(&key.name).unwrap();
        if broker.addresses[&key.id].1 != key.cluster {
            return;
        }
        broker.addresses.remove(&key.id);
        let twins = self.live.iter().filter(|(k, _)| k.name == key.name && k.id == key.id);
        if let Some((twin, live)) = twins.max_by_key(|(_, live)| live.epoch) {
            broker.addresses.insert(key.id, (live.address.clone(), twin.cluster.clone()));
        }
        if broker.addresses.is_empty() {
            self.brokers.remove(&key.name);
            for queues in self.topics.values_mut() {
                queues.remove(&key.name);
            }
            self.topics.retain(|_, queues| !queues.is_empty());
        } else if broker.acting && !broker.addresses.contains_key(&0) {
            self.set_writable(&key.name, false);
        }
    }
}
