//! Random commands against a naive model: outcomes, tables, routes, digests and snapshots agree.
//!
//! `ROUTES_SEED=n` replays the one sequence that a failure names; `ROUTES_SEQUENCES=n` runs more.

#![expect(
    clippy::print_stdout,
    reason = "the tally tells how well the generator reaches everything"
)]

mod generator;
mod model;

use std::collections::BTreeMap;

use generator::{Generator, TOPICS};
use model::Model;
use signpost_namesrv::routes::command::{QueueConfig, RouteCommand, RouteOutcome};
use signpost_namesrv::routes::{Admission, RouteTables};

const STEPS: u64 = 200;
const SEQUENCES: u64 = 2_000;
/// Few, so that fences are evicted often.
const FENCES_MAX: usize = 3;

/// How often each kind of outcome came up: a generator that no longer reaches one is a broken test.
type Tally = BTreeMap<&'static str, u64>;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn run_share(share: u64, shares: u64) {
    if let Some(seed) = number("ROUTES_SEED") {
        if share == 0 {
            run(seed, &mut Tally::new());
        }
        return;
    }
    let mut tally = Tally::new();
    for seed in 0..number("ROUTES_SEQUENCES").unwrap_or(SEQUENCES) {
        if seed % shares == share {
            run(seed, &mut tally);
        }
    }
    println!("{tally:#?}");
    for kind in [
        "begun",
        "changed",
        "retried",
        "unregistered",
        "already gone",
        "expired",
        "written",
        "superseded",
        "live elsewhere",
        "stale",
        "moved",
        "not registered",
        "in other cluster",
        "unknown broker",
        "index mismatch",
        "narrowed",
        "snapshot",
    ] {
        assert!(tally.get(kind).copied().unwrap_or(0) >= 20, "hardly ever {kind}: {tally:?}");
    }
}

#[test]
fn random_commands_agree_with_the_model_even_seeds() {
    run_share(0, 2);
}

#[test]
fn random_commands_agree_with_the_model_odd_seeds() {
    run_share(1, 2);
}

/// One sequence. Everything in it follows from `seed`.
fn run(seed: u64, tally: &mut Tally) {
    let mut generator = Generator::new(seed);
    let mut model = Model::new(FENCES_MAX);
    let mut tables = RouteTables::with_fences_max(FENCES_MAX);
    let mut follower = RouteTables::with_fences_max(FENCES_MAX);
    for index in 1..=STEPS {
        let command = generator.command(&tables);
        let at = || format!("ROUTES_SEED={seed}, step {index}: {command:?}");

        check_narrowing(&tables, index, &command, tally, &at);
        let expected = model.apply(index, &command);
        let before = tables.clone();
        let outcome = tables.apply(index, command.clone());
        assert_eq!(outcome, expected, "{}", at());
        assert_eq!(follower.apply(index, command.clone()), expected, "follower, {}", at());
        assert_eq!(tables.digest(), follower.digest(), "{}", at());
        let changes_nothing = matches!(
            outcome,
            RouteOutcome::Refused(_) | RouteOutcome::Registered { changed: false, .. }
        );
        if changes_nothing {
            assert_eq!(before.digest(), tables.digest(), "changed all the same, {}", at());
        }
        *tally.entry(kind(&outcome)).or_default() += 1;
        learn_digests(&tables, &mut model, &at);

        if index.is_multiple_of(10) || index == STEPS {
            compare(&tables, &model, &at());
        }
        if generator.rng.one_in(50) {
            let mut restored = RouteTables::with_fences_max(FENCES_MAX);
            restored
                .restore(index, &mut tables.sections())
                .unwrap_or_else(|e| panic!("{e}, {}", at()));
            assert_eq!(restored.digest(), tables.digest(), "{}", at());
            compare_rows(&restored, &model, &at());
            follower = restored;
            *tally.entry("snapshot").or_default() += 1;
        }
    }
    for tables in [&tables, &follower] {
        tables.check().unwrap_or_else(|error| panic!("ROUTES_SEED={seed}: {error}"));
        assert_eq!(tables.digest(), tables.recompute_digest(), "ROUTES_SEED={seed}");
    }
}

/// What the leader proposes instead of a whole registration must come to the same.
fn check_narrowing(
    tables: &RouteTables,
    index: u64,
    command: &RouteCommand,
    tally: &mut Tally,
    at: &dyn Fn() -> String,
) {
    let RouteCommand::Register(register) = command else { return };
    if register.base.is_some() {
        return;
    }
    let Admission::Change(change) = tables.admit(register) else { return };
    let narrow = change.narrow(register);
    assert!(narrow.topics.len() <= register.topics.len());
    let (mut whole_tables, mut narrow_tables) = (tables.clone(), tables.clone());
    let whole = whole_tables.apply(index, command.clone());
    let outcome = narrow_tables.apply(index, RouteCommand::Register(narrow));
    assert_eq!(outcome, whole, "narrowed, {}", at());
    assert_eq!(narrow_tables.digest(), whole_tables.digest(), "narrowed, {}", at());
    *tally.entry("narrowed").or_default() += 1;
}

/// Content digests stand for contents one to one; the model judges bases by that.
fn learn_digests(tables: &RouteTables, model: &mut Model, at: &dyn Fn() -> String) {
    for live in tables.registrations() {
        let content = model.whole_content(&live.key).unwrap_or_else(|| panic!("{}", at()));
        let known = model.digests.entry(live.content_digest).or_insert_with(|| content.clone());
        assert_eq!(*known, content, "one digest for two contents, {}", at());
    }
}

fn compare(tables: &RouteTables, model: &Model, at: &str) {
    tables.check().unwrap_or_else(|error| panic!("{error}, {at}"));
    compare_rows(tables, model, at);
    for topic in TOPICS {
        let deleted = model.deleted.get(topic).copied().unwrap_or(0);
        if !model.topics.contains_key(topic) {
            assert_eq!(tables.absent_modified(topic), deleted, "deletion of {topic}, {at}");
        }
    }
}

fn compare_rows(tables: &RouteTables, model: &Model, at: &str) {
    assert_eq!(tables.cluster_version(), model.version, "{at}");
    let topics: BTreeMap<String, BTreeMap<String, (QueueConfig, bool)>> = tables
        .topics()
        .map(|(topic, row)| {
            let queues = row.queues.iter();
            let queues =
                queues.map(|(b, row)| (b.to_string(), (row.queues.clone(), row.registered)));
            (topic.to_string(), queues.collect())
        })
        .collect();
    assert_eq!(topics, model.topics, "topics, {at}");

    let live: Vec<_> = tables.registrations().map(|live| (*live.key).clone()).collect();
    assert_eq!(live, model.live.keys().cloned().collect::<Vec<_>>(), "live, {at}");
    for (key, expected) in &model.live {
        let live = tables.registration(key).expect("listed above");
        let fields = (live.claim, live.epoch, &*live.address, &*live.ha_address, live.data_version);
        let expected_fields = (
            expected.claim,
            expected.epoch,
            &*expected.address,
            &*expected.ha_address,
            expected.version,
        );
        assert_eq!(fields, expected_fields, "{key:?}, {at}");
        assert_eq!(live.lease_ttl_ms, expected.ttl_ms, "{key:?}, {at}");
        let listed: Vec<&str> = live.content.iter().map(|(topic, _)| &**topic).collect();
        let expected: Vec<&str> = expected.topics.keys().map(|topic| &**topic).collect();
        assert_eq!(listed, expected, "content of {key:?}, {at}");
        let filters = model.filters.get(key).map_or(&[][..], |servers| servers);
        assert_eq!(tables.filter_servers(key), filters, "{key:?}, {at}");
    }

    let mut clusters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in model.live.keys() {
        let names = clusters.entry(key.cluster.clone()).or_default();
        if !names.contains(&key.name) {
            names.push(key.name.clone());
        }
    }
    let listed: BTreeMap<String, Vec<String>> = tables
        .clusters()
        .map(|(cluster, names)| (cluster.to_string(), names.map(|name| name.to_string()).collect()))
        .collect();
    assert_eq!(listed, clusters, "clusters, {at}");

    let kv: BTreeMap<String, BTreeMap<String, (String, u64)>> = model
        .kv
        .keys()
        .map(|namespace| {
            let rows = tables.kv_namespace_rows(namespace).into_iter().flatten();
            let rows =
                rows.map(|(key, row)| (key.to_string(), (row.value.to_string(), row.modified)));
            (namespace.clone(), rows.collect())
        })
        .collect();
    assert_eq!(kv, model.kv, "kv, {at}");

    assert_eq!(tables.fences_len(), model.fences.len(), "fences, {at}");
    for (key, (claim, removed)) in &model.fences {
        let fence = tables.fence(key).map(|fence| (fence.claim, fence.removed));
        assert_eq!(fence, Some((*claim, *removed)), "fence of {key:?}, {at}");
    }
    for topic in TOPICS {
        for with_order_conf in [false, true] {
            let route = tables
                .route(topic, with_order_conf)
                .map(|view| (serde_json::to_value(&view).expect("a route is JSON"), view.modified));
            assert_eq!(route, model.route(topic, with_order_conf), "route of {topic}, {at}");
        }
    }
}

fn kind(outcome: &RouteOutcome) -> &'static str {
    use signpost_namesrv::routes::command::Refusal;
    match outcome {
        RouteOutcome::Registered { new_epoch: true, .. } => "begun",
        RouteOutcome::Registered { changed: true, .. } => "changed",
        RouteOutcome::Registered { .. } => "retried",
        RouteOutcome::Unregistered { removed: true } => "unregistered",
        RouteOutcome::Unregistered { removed: false } => "already gone",
        RouteOutcome::Expired => "expired",
        RouteOutcome::Written { .. } => "written",
        RouteOutcome::Refused(refusal) => match refusal {
            Refusal::Superseded { .. } => "superseded",
            Refusal::LiveElsewhere { .. } => "live elsewhere",
            Refusal::Stale { .. } => "stale",
            Refusal::Moved { .. } => "moved",
            Refusal::NotRegistered => "not registered",
            Refusal::NameInOtherCluster { .. } => "in other cluster",
            Refusal::UnknownBroker { .. } => "unknown broker",
            Refusal::IndexMismatch { .. } => "index mismatch",
            Refusal::ClusterVersion { .. } => "cluster version",
        },
    }
}
