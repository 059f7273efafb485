//! Random commands over few names, so that they meet each other often.

use std::collections::BTreeMap;

use signpost_namesrv::routes::RouteTables;
use signpost_namesrv::routes::command::*;

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same everywhere.
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[self.below(names.len() as u64) as usize]
    }
}

pub(crate) const TOPICS: [&str; 5] = ["t0", "t1", "t2", "t3", "t4"];
const ADDRESSES: [&str; 4] = ["h0:10911", "h1:10911", "h2:10911", "h3:10911"];
const NAMESPACES: [&str; 2] = ["ORDER_TOPIC_CONFIG", "OTHER"];

pub(crate) struct Generator {
    pub rng: Rng,
    /// Bases that held once.
    old_bases: Vec<Base>,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng(seed), old_bases: Vec::new() }
    }

    pub(crate) fn command(&mut self, tables: &RouteTables) -> RouteCommand {
        let bases = tables.registrations().map(|live| live.base());
        self.old_bases.extend(bases);
        if self.old_bases.len() > 64 {
            self.old_bases.drain(..32);
        }
        match self.rng.below(100) {
            0..45 => RouteCommand::Register(self.register(tables)),
            45..57 => RouteCommand::Patch(self.patch(tables)),
            57..67 => {
                let key = self.key();
                let claim = if self.rng.one_in(3) { None } else { self.claim(tables, &key) };
                let epoch = if self.rng.one_in(3) { None } else { Some(self.epoch(tables, &key)) };
                RouteCommand::Unregister(Unregister { key, claim, epoch })
            }
            67..74 => {
                let key = self.live_key(tables);
                let epoch = self.epoch(tables, &key);
                RouteCommand::Expire(Expire { key, epoch, cause: ExpiryCause::Silent })
            }
            74..80 => RouteCommand::SetWritePermission {
                cluster: if self.rng.one_in(2) { None } else { Some(self.cluster()) },
                broker_name: self.name(),
                writable: self.rng.one_in(2),
            },
            80..86 => RouteCommand::PutTopic {
                topic: self.topic(),
                brokers: (0..self.rng.below(3)).map(|_| (self.name(), self.queues())).collect(),
            },
            86..91 => RouteCommand::DeleteTopic {
                topic: self.topic(),
                cluster: if self.rng.one_in(2) { None } else { Some(self.cluster()) },
            },
            91..95 => RouteCommand::PutKv {
                namespace: self.rng.pick(&NAMESPACES).into(),
                key: self.topic(),
                value: self.rng.pick(&["", "a:4", "a:4;b:8"]).into(),
                if_index: self.if_index(tables),
            },
            95..99 => RouteCommand::DeleteKv {
                namespace: self.rng.pick(&NAMESPACES).into(),
                key: self.topic(),
                if_index: self.if_index(tables),
            },
            _ => RouteCommand::SetClusterVersion(self.rng.below(5) as u32),
        }
    }

    fn register(&mut self, tables: &RouteTables) -> Register {
        let key = self.key();
        let claim = self.claim(tables, &key);
        let live = tables.registration(&key);
        let same_address = live.is_some() && !self.rng.one_in(4);
        let same_rest = live.is_some() && self.rng.one_in(2);
        let address = match live {
            Some(live) if same_address => live.address.to_string(),
            _ => self.rng.pick(&ADDRESSES).into(),
        };
        let data_version = match live {
            Some(live) if same_rest => live.data_version,
            _ => self.data_version(),
        };
        let base = match (self.rng.below(16), live) {
            (0..8, _) | (8..14, None) => None,
            (8..14, Some(live)) => Some(live.base()),
            (14, _) => Some(Base { epoch: self.rng.below(300), content_digest: self.rng.next() }),
            _ if self.old_bases.is_empty() => None,
            _ => Some(self.old_bases[self.rng.below(self.old_bases.len() as u64) as usize]),
        };
        Register {
            door: match live {
                Some(live) if !self.rng.one_in(6) => live.door,
                _ if self.rng.one_in(2) => Door::Http,
                _ => Door::Remoting,
            },
            claim,
            ha_address: if same_rest {
                live.unwrap().ha_address.to_string()
            } else {
                "ha:1".into()
            },
            address,
            data_version,
            lease_ttl_ms: if self.rng.one_in(10) { 9 } else { 120_000 },
            filter_servers: match self.rng.below(6) {
                0 => Some(vec![]),
                1 => Some(vec!["fs:1".into()]),
                2 => Some(vec!["fs:1".into(), "fs:2".into()]),
                _ => None,
            },
            enable_acting_master: match live {
                Some(live) if same_rest => live.enable_acting_master,
                _ => [None, Some(true), Some(false)][self.rng.below(3) as usize],
            },
            zone: match live {
                Some(live) if same_rest => live.zone.as_deref().map(str::to_owned),
                _ => {
                    if self.rng.one_in(5) {
                        Some("z".into())
                    } else {
                        None
                    }
                }
            },
            base,
            topics: (0..self.rng.below(5)).map(|_| (self.topic(), self.queues())).collect(),
            gone: (0..self.rng.below(2)).map(|_| self.topic()).collect(),
            takeover: self.rng.one_in(3),
            mappings: BTreeMap::new(),
            key,
        }
    }

    fn patch(&mut self, tables: &RouteTables) -> Patch {
        let key = self.live_key(tables);
        let any = Claim { incarnation: 1 + self.rng.below(3), seq: 1 + self.rng.below(4) };
        let claim = self.claim(tables, &key).unwrap_or(any);
        let topics: BTreeMap<_, _> = (0..self.rng.below(3))
            .map(|_| (self.topic(), if self.rng.one_in(3) { None } else { Some(self.queues()) }))
            .collect();
        let data_version = if self.rng.one_in(2) { None } else { Some(self.data_version()) };
        let epoch = self.epoch(tables, &key);
        Patch { key, claim, epoch, data_version, topics }
    }

    /// Mostly the next write of the live process, or the first of the next one.
    fn claim(&mut self, tables: &RouteTables, key: &BrokerKey) -> Option<Claim> {
        let known = tables.highest_claim(key).unwrap_or(Claim { incarnation: 1, seq: 0 });
        let (incarnation, seq) = (known.incarnation, known.seq);
        let claim = match self.rng.below(12) {
            0..2 => return None,
            2..4 if tables.registration(key).is_none() => {
                Claim { incarnation: incarnation + 1, seq: 1 }
            }
            2..6 => Claim { incarnation, seq: seq + 1 },
            9.. => Claim { incarnation: incarnation + 1, seq: 1 },
            6 => Claim { incarnation, seq },
            7 => Claim { incarnation, seq: seq.saturating_sub(1) },
            _ => Claim { incarnation: self.rng.below(incarnation + 1), seq: self.rng.below(9) },
        };
        Some(claim)
    }

    fn epoch(&mut self, tables: &RouteTables, key: &BrokerKey) -> u64 {
        match tables.registration(key) {
            Some(live) if !self.rng.one_in(5) => live.epoch,
            _ => self.rng.below(200),
        }
    }

    fn if_index(&mut self, tables: &RouteTables) -> Option<u64> {
        let rows = tables.kv_namespace_rows("OTHER").into_iter().flatten();
        match self.rng.below(4) {
            0 => rows.map(|(_, row)| row.modified).next(),
            1 => Some(0),
            _ => None,
        }
    }

    fn key(&mut self) -> BrokerKey {
        let id = [0, 0, 0, 1, 2][self.rng.below(5) as usize];
        BrokerKey { cluster: self.cluster(), name: self.name(), id }
    }

    /// Mostly one that is alive.
    fn live_key(&mut self, tables: &RouteTables) -> BrokerKey {
        let live: Vec<_> = tables.registrations().map(|live| live.key.clone()).collect();
        if live.is_empty() || self.rng.one_in(5) {
            return self.key();
        }
        (*live[self.rng.below(live.len() as u64) as usize]).clone()
    }

    fn cluster(&mut self) -> String {
        if self.rng.one_in(4) { "c1".into() } else { "c0".into() }
    }

    fn name(&mut self) -> String {
        self.rng.pick(&["a", "b"]).into()
    }

    fn topic(&mut self) -> String {
        self.rng.pick(&TOPICS).into()
    }

    fn queues(&mut self) -> QueueConfig {
        QueueConfig {
            read_queues: 4 * (1 + self.rng.below(2) as u32),
            write_queues: 4,
            perm: [2, 4, 6, 7][self.rng.below(4) as usize],
            sys_flag: 0,
            order: self.rng.one_in(8),
        }
    }

    fn data_version(&mut self) -> DataVersion {
        DataVersion {
            timestamp: self.rng.below(3) as i64,
            counter: self.rng.below(3) as i64,
            state_version: i64::from(self.rng.one_in(6)),
        }
    }
}
