//! The fake's tables: routes by index, and one broker's registration by the contract's rules.

use std::collections::BTreeMap;

use signpost_client::types::{Heartbeat, Patch, Registration, Route, TopicConfig};

/// What all replicas agree on.
#[derive(Default)]
pub struct Tables {
    pub index: u64,
    /// Every change: index, topic, its route from then on.
    changes: Vec<(u64, String, Option<Route>)>,
    /// The live registration, and its epoch.
    pub live: Option<(Registration, u64)>,
    /// Highest claim ever seen.
    highest: (u64, u64),
    /// Registrations that began an epoch.
    pub epochs: Vec<u64>,
}

impl Tables {
    pub fn put_route(&mut self, topic: &str, route: Option<Route>) -> u64 {
        self.index += 1;
        self.changes.push((self.index, topic.to_owned(), route));
        self.index
    }

    pub fn routes_at(&self, index: u64) -> BTreeMap<String, Route> {
        let mut routes = BTreeMap::new();
        for (at, topic, route) in &self.changes {
            if *at <= index {
                match route {
                    Some(route) => routes.insert(topic.clone(), route.clone()),
                    None => routes.remove(topic),
                };
            }
        }
        routes
    }

    /// Index of the last change of any of `topics`, as known at `index`.
    pub fn modified(&self, index: u64, topics: &[String]) -> u64 {
        let last =
            self.changes.iter().rev().find(|(at, topic, _)| *at <= index && topics.contains(topic));
        last.map_or(0, |(at, _, _)| *at)
    }

    /// The lease has run out.
    pub fn expire(&mut self) {
        self.index += 1;
        self.live = None;
    }

    /// Another process takes the identity.
    pub fn supersede(&mut self) {
        self.index += 1;
        self.highest = (u64::MAX >> 12, 1);
        self.live = None;
    }

    pub fn topics(&self) -> BTreeMap<String, TopicConfig> {
        self.live.as_ref().map(|(registration, _)| registration.topics.clone()).unwrap_or_default()
    }

    pub fn register(&mut self, registration: Registration) -> (u16, String) {
        let claim = (registration.incarnation.unwrap_or(0), registration.seq.unwrap_or(0));
        if let Some(refusal) = self.refuses(claim) {
            return refusal;
        }
        if claim == self.highest {
            return match &self.live {
                None => expired(),
                Some((live, _)) if *live != registration => self.stale(),
                Some((_, epoch)) => registered(*epoch, self.index, &registration),
            };
        }
        self.index += 1;
        self.highest = claim;
        let epoch = match &self.live {
            Some((live, epoch)) if live.incarnation == registration.incarnation => *epoch,
            _ => {
                self.epochs.push(self.index);
                self.index
            }
        };
        let answer = registered(epoch, self.index, &registration);
        self.live = Some((registration, epoch));
        answer
    }

    pub fn heartbeat(&mut self, beat: Heartbeat) -> (u16, String) {
        if beat.incarnation.unwrap_or(0) < self.highest.0 {
            return superseded();
        }
        match &self.live {
            Some((live, epoch)) if *epoch == beat.epoch => {
                let ttl_ms = live.lease_ttl_ms.unwrap_or(120_000);
                (200, format!(r#"{{"epoch":{epoch},"leaseTtlMs":{ttl_ms}}}"#))
            }
            _ => expired(),
        }
    }

    pub fn patch(&mut self, patch: &Patch) -> (u16, String) {
        if let Some(refusal) = self.refuses((patch.incarnation, patch.seq)) {
            return refusal;
        }
        let Some((live, epoch)) = &mut self.live else { return expired() };
        if *epoch != patch.epoch {
            return (409, r#"{"status":409,"reason":"moved"}"#.into());
        }
        for (topic, config) in &patch.topics {
            match config {
                Some(config) => live.topics.insert(topic.clone(), config.clone()),
                None => live.topics.remove(topic),
            };
        }
        self.highest = (patch.incarnation, patch.seq);
        self.index += 1;
        (200, format!(r#"{{"epoch":{epoch},"index":{}}}"#, self.index))
    }

    pub fn unregister(
        &mut self,
        incarnation: Option<u64>,
        seq: Option<u64>,
        epoch: Option<u64>,
    ) -> (u16, String) {
        let claim = (incarnation.unwrap_or(0), seq.unwrap_or(0));
        if let Some(refusal) = self.refuses(claim) {
            return refusal;
        }
        if epoch.is_some() && self.live.as_ref().is_some_and(|(_, live)| Some(*live) != epoch) {
            return (409, r#"{"status":409,"reason":"moved"}"#.into());
        }
        self.highest = claim;
        self.live = None;
        self.index += 1;
        (200, format!(r#"{{"index":{}}}"#, self.index))
    }

    fn refuses(&self, claim: (u64, u64)) -> Option<(u16, String)> {
        if claim.0 < self.highest.0 {
            Some(superseded())
        } else if claim < self.highest {
            Some(self.stale())
        } else {
            None
        }
    }

    fn stale(&self) -> (u16, String) {
        let (incarnation, seq) = self.highest;
        let facts = format!(r#""highestIncarnation":{incarnation},"highestSeq":{seq}"#);
        (409, format!(r#"{{"status":409,"reason":"stale",{facts}}}"#))
    }
}

fn registered(epoch: u64, index: u64, registration: &Registration) -> (u16, String) {
    let ttl_ms = registration.lease_ttl_ms.unwrap_or(120_000);
    (200, format!(r#"{{"epoch":{epoch},"index":{index},"leaseTtlMs":{ttl_ms}}}"#))
}

fn expired() -> (u16, String) {
    (410, r#"{"status":410,"reason":"expired"}"#.into())
}

fn superseded() -> (u16, String) {
    (409, r#"{"status":409,"reason":"superseded"}"#.into())
}
