//! The same requests to a stock 5.5.0 name server and to one replica of ours: a random sequence of
//! every request that name servers know, from simulated brokers, operators and clients, in which
//! every answer must be equal, but for what is listed in [`differences`].
//!
//! ```text
//! cargo test --test interop differential
//! SIGNPOST_DIFFERENTIAL_SEED=7 cargo test --test interop differential         the same run again
//! SIGNPOST_DIFFERENTIAL_REQUESTS=100000 cargo test --test interop differential    a longer one
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | [`differences`] | where answers differ on purpose, each with its reason |
//! | [`sides`] | both name servers, asked the same |
//! | [`answer`] | answers in a form in which they can be compared |
//! | [`brokers`] | simulated brokers: what they have and send |
//! | [`game`] | what brokers do; [`tools`] what operators and clients do |

mod answer;
mod brokers;
mod differences;
mod game;
mod sides;
mod tools;

use std::fs;
use std::net::SocketAddr;

use signpost_remoting::request;

use self::game::Game;
use self::sides::Sides;
use crate::stock::Version;
use crate::stock::name_server::NameServer;
use crate::support::cluster::{Cluster, Settings};
use crate::support::http;
use crate::support::logs;
use crate::support::process::Process;
use crate::support::wait::until;
use signpost_chaos::random::Random;

/// Names the seed of a run.
pub(crate) const SEED_VARIABLE: &str = "SIGNPOST_DIFFERENTIAL_SEED";
/// Names how many requests there shall be, at least.
const REQUESTS_VARIABLE: &str = "SIGNPOST_DIFFERENTIAL_REQUESTS";
/// If nobody names it.
const REQUESTS: u64 = 6_000;
/// Requests of each code, at least.
const EACH: u64 = 100;
/// After so many steps everything is looked at.
const LOOK_INTERVAL: u64 = 100;

/// Requests that make no sense, of any code.
const NONSENSE: i32 = 0;

/// Every code, and how often a step of its kind is taken.
const CODES: [(i32, u64); 24] = [
    (request::PUT_KV_CONFIG, 3),
    (request::GET_KV_CONFIG, 2),
    (request::DELETE_KV_CONFIG, 2),
    (request::REGISTER_BROKER, 25),
    (request::UNREGISTER_BROKER, 14),
    (request::GET_ROUTEINFO_BY_TOPIC, 6),
    (request::GET_BROKER_CLUSTER_INFO, 2),
    (request::WIPE_WRITE_PERM_OF_BROKER, 2),
    (request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, 2),
    (request::DELETE_TOPIC_IN_NAMESRV, 3),
    (request::REGISTER_TOPIC_IN_NAMESRV, 3),
    (request::GET_KVLIST_BY_NAMESPACE, 2),
    (request::GET_TOPICS_BY_CLUSTER, 2),
    (request::GET_SYSTEM_TOPIC_LIST_FROM_NS, 2),
    (request::GET_UNIT_TOPIC_LIST, 2),
    (request::GET_HAS_UNIT_SUB_TOPIC_LIST, 2),
    (request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, 2),
    (request::GET_NAMESRV_CONFIG, 2),
    (request::QUERY_DATA_VERSION, 4),
    (request::ADD_WRITE_PERM_OF_BROKER, 2),
    (request::GET_BROKER_MEMBER_GROUP, 2),
    (request::BROKER_HEARTBEAT, 4),
    (tools::UNKNOWN, 2),
    (NONSENSE, 8),
];

#[tokio::test]
async fn answers_are_those_of_a_stock_name_server() {
    Version::Five.artifacts().await;
    // Not one of its replicas is started: its place on the machine is what is needed.
    let mut place = Cluster::prepare(Settings::default()).await;
    let (replica, stock) = (Replica::start(&mut place), start_stock(&mut place).await);
    replica.ready().await;

    let seed = number_from(SEED_VARIABLE).unwrap_or_else(|| u64::from(std::process::id()));
    let requests = number_from(REQUESTS_VARIABLE).unwrap_or(REQUESTS);
    eprintln!("{SEED_VARIABLE}={seed}");
    let sides = Sides::new(replica.remoting, stock.address(), seed);
    let mut game = Game::begin(sides, Random::fork(seed, 0)).await;
    play(&mut game, requests).await;
    game.look_at_all().await;

    game.sides.report();
    assert_eq!(game.sides.unmet(), [""; 0], "these differ no more: take them from the list");
    replica.said_nothing_unexpected();
}

/// Steps of all kinds until there are enough requests, then of those that are too few, then until
/// each intended difference was met.
async fn play(game: &mut Game, requests: u64) {
    let mut steps: u64 = 0;
    loop {
        let few =
            CODES.iter().find(|(code, _)| *code != NONSENSE && game.sides.count(*code) < EACH);
        let code = match few {
            _ if game.sides.total() < requests => some_code(&mut game.random),
            Some((code, _)) => *code,
            // A difference that is not met by then is none any more.
            None if game.sides.unmet().is_empty() || game.sides.total() > 4 * requests => return,
            None => some_code(&mut game.random),
        };
        game.sides.tale(format!("-- step {steps}"));
        step(game, code).await;
        steps += 1;
        if steps.is_multiple_of(LOOK_INTERVAL) {
            game.look_at_all().await;
        }
    }
}

fn some_code(random: &mut Random) -> i32 {
    let all = CODES.iter().map(|(_, weight)| weight).sum();
    let mut at = random.below(all);
    for (code, weight) in CODES {
        if at < weight {
            return code;
        }
        at -= weight;
    }
    NONSENSE
}

async fn step(game: &mut Game, code: i32) {
    match code {
        request::PUT_KV_CONFIG
        | request::GET_KV_CONFIG
        | request::DELETE_KV_CONFIG
        | request::GET_KVLIST_BY_NAMESPACE => game.kv(code).await,
        request::REGISTER_BROKER => register(game).await,
        request::UNREGISTER_BROKER => match game.random.below(2) {
            0 => game.stop().await,
            _ => game.restart().await,
        },
        request::GET_ROUTEINFO_BY_TOPIC => game.any_route().await,
        request::WIPE_WRITE_PERM_OF_BROKER | request::ADD_WRITE_PERM_OF_BROKER => {
            game.permission(code).await;
        }
        request::DELETE_TOPIC_IN_NAMESRV => game.any_deletion().await,
        request::REGISTER_TOPIC_IN_NAMESRV => match game.random.below(10) {
            0 => game.half_known_topic().await,
            _ => game.any_new_topic().await,
        },
        request::GET_TOPICS_BY_CLUSTER => game.topics_of_cluster().await,
        request::GET_BROKER_MEMBER_GROUP => game.any_group().await,
        request::QUERY_DATA_VERSION | request::BROKER_HEARTBEAT => game.sign_of_life().await,
        tools::UNKNOWN => game.unknown_code().await,
        NONSENSE => game.nonsense().await,
        code => game.list(code).await,
    }
}

async fn register(game: &mut Game) {
    match game.random.below(100) {
        0..25 => game.repeat().await,
        25..50 => game.change().await,
        50..55 => game.split().await,
        55..65 => game.same_version().await,
        65..70 => game.older().await,
        70..76 => game.reconnect().await,
        76..82 => game.take_over().await,
        82..88 => game.promote().await,
        88..92 => game.conflict().await,
        92..96 => game.delete_and_repeat().await,
        _ => game.wipe_and_change().await,
    }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

async fn start_stock(place: &mut Cluster) -> NameServer {
    let (address, home) = (place.port(), place.path("stock"));
    fs::create_dir_all(&home).expect("a directory of the test's own");
    let more = [("orderMessageEnable", "true"), ("supportActingMaster", "true")];
    NameServer::start(Version::Five, address, &home, &more).await
}

/// A name service of one replica.
struct Replica {
    remoting: SocketAddr,
    http: SocketAddr,
    process: Process,
}

impl Replica {
    fn start(place: &mut Cluster) -> Self {
        let (remoting, http, peer) = (place.port(), place.port(), place.port());
        let options = [
            ("--node-id", "1".to_owned()),
            ("--cluster-id", "differential".to_owned()),
            ("--data-dir", place.path("ours").display().to_string()),
            ("--remoting-addr", remoting.to_string()),
            ("--http-addr", http.to_string()),
            ("--peer-addr", peer.to_string()),
            ("--peers", format!("1={peer}")),
            ("--order-messages", String::new()),
            ("--acting-masters", String::new()),
            // A broker that hangs up is gone as soon as from a stock name server, nearly.
            ("--close-grace", "10ms".to_owned()),
            // An answer that took its time is one all the same.
            ("--remoting-reads", "linearizable".to_owned()),
            ("--remoting-read-patience", "5s".to_owned()),
        ];
        let args = std::iter::once("namesrv".to_owned()).chain(options.into_iter().flat_map(
            |(name, value)| {
                let value = (!value.is_empty()).then_some(value);
                std::iter::once(name.to_owned()).chain(value)
            },
        ));
        let args: Vec<String> = args.collect();
        let process = Process::spawn("namesrv-1", &args, &[], place.path("ours.log"));
        Self { remoting, http, process }
    }

    async fn ready(&self) {
        until("the replica is ready", || async {
            match http::get(self.http, "/readyz").await {
                Ok(answered) if answered.status == 200 => Ok(()),
                Ok(answered) => Err(answered.text()),
                Err(error) => Err(error),
            }
        })
        .await;
    }

    fn said_nothing_unexpected(&self) {
        let allowed = [
            " WARN openraft::",
            "a registration was passed over: a later master holds this identity",
        ];
        let said = logs::unexpected(&self.process.log(), &allowed);
        assert!(said.is_empty(), "{}", said.join("\n"));
    }
}
