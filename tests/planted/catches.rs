//! Who catches which bug.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

use signpost_raft::planted::Bug;

use crate::programs::{Ended, Programs};

/// As many tests at once: the machine's processors are few, and some tests have times to keep.
const AT_ONCE: usize = 2;
/// The end of what a run said, when it was not what it should be.
const TOLD_BYTES: usize = 6_000;

/// Who catches a bug.
#[derive(Debug, Clone, Copy)]
enum By {
    /// A seed of the simulation: `tests/simulation/main.rs` says which checkers count.
    Simulation,
    /// A test, which fails with it.
    Test(Test),
}

#[derive(Debug, Clone, Copy)]
struct Test {
    /// Its program.
    of: &'static str,
    name: &'static str,
    /// A part of why it fails: any other failure does not count.
    says: &'static str,
}

const fn test(of: &'static str, name: &'static str, says: &'static str) -> By {
    By::Test(Test { of, name, says })
}

/// Three real processes.
const fn cluster(name: &'static str, says: &'static str) -> By {
    test("cluster", name, says)
}

const fn by(bug: Bug) -> By {
    match bug {
        Bug::AcknowledgeBeforeSync
        | Bug::InheritedExpiryOvertakes
        | Bug::ReadWithoutWaiting
        | Bug::ReadIndexWithoutQuorum
        | Bug::SnapshotDropsEpoch
        | Bug::SnapshotIndexTooOld
        | Bug::MinIndexIgnoredAfterStart
        | Bug::HashOrderInDigest => By::Simulation,
        Bug::VoteNotSynced => test(
            "replica",
            "votes::nobody_is_elected_by_votes_that_are_not_durable",
            "elected by a vote that may be lost",
        ),
        Bug::FdatasyncLeftOut => test(
            "power_cut",
            "no_power_cut_loses_what_was_acknowledged",
            "acknowledged rows are lost or wrong",
        ),
        Bug::MovedBaseIgnored => test(
            "routes_rules",
            "registration::only_what_differs_is_proposed_and_only_against_its_base",
            "a refusal changed the tables",
        ),
        Bug::NoFullTtlAfterCutOff => cluster(
            "paused::a_leader_that_stood_still_in_its_own_term_gives_every_broker_its_full_ttl",
            "lost after its leader stood still",
        ),
        Bug::NoFullTtlInNewTerm => cluster(
            "new_leader::a_new_leader_keeps_who_renewed_under_the_old_one",
            "lost after an acknowledged heartbeat",
        ),
        Bug::DeposedLeaderAcknowledges => cluster(
            "deposed_leader::a_leader_that_was_deposed_unawares_acknowledges_no_heartbeat",
            "was expired and renewed",
        ),
        Bug::AcknowledgedWhileExpiring => cluster(
            "expiry_race::a_heartbeat_that_races_its_own_expiry_is_never_acknowledged_and_then_lost",
            "lost after an acknowledged heartbeat",
        ),
        Bug::ExpiryIgnoresEpoch => cluster(
            "restart_race::a_new_process_that_races_the_expiry_of_the_former_is_never_taken_away",
            "lost after its registration",
        ),
        Bug::LatePutWins => {
            cluster("late_writes::late_writes_change_nothing", "superseded: Registered")
        }
        Bug::LateUnregisterRemoves => {
            cluster("late_writes::late_writes_change_nothing", "another registration is meant")
        }
        Bug::OneClosedConnectionExpires => cluster(
            "closed_connection::who_closes_one_connection_stays_and_who_closes_all_goes",
            "it had only left replica",
        ),
        Bug::WipedReplicaVotes => cluster(
            "wiped_replica::a_wiped_replica_cannot_vote_away_what_was_acknowledged",
            "ends; seen last",
        ),
    }
}

/// One run, and what must come of it.
#[derive(Debug, Clone, Copy)]
struct Run {
    test: Test,
    bug: Option<Bug>,
}

#[test]
fn each_planted_bug_makes_a_test_fail_that_passes_without_it() {
    let begun = Instant::now();
    let planted = Bug::ALL.iter().filter_map(|bug| match by(*bug) {
        By::Simulation => None,
        By::Test(test) => Some(Run { test, bug: Some(*bug) }),
    });
    let planted: Vec<Run> = planted.collect();
    let mut seen = BTreeSet::new();
    let tests = planted.iter().filter(|run| seen.insert(run.test.name));
    let without: Vec<Run> = tests.map(|run| Run { bug: None, ..*run }).collect();
    let mut targets: BTreeSet<&str> = planted.iter().map(|run| run.test.of).collect();
    targets.extend(["planted", "simulation"]);
    let programs = Programs::build(&targets.into_iter().collect::<Vec<_>>());

    let mut rows = BTreeMap::new();
    let mut wrong = Vec::new();
    simulate(&programs, &mut rows, &mut wrong);
    let outcomes = at_once(&programs, &[planted, without].concat());
    for (run, ended) in &outcomes {
        match (run.bug, judge(*run, ended)) {
            (_, Err(why)) => wrong.push(format!("{run:?}: {why}\n{}", end_of(&ended.said))),
            (Some(bug), Ok(())) => {
                let Test { of, name, .. } = run.test;
                let line = format!("| `{}` | {of}: `{name}` | {:.0?} |", bug.name(), ended.took);
                rows.insert(place(bug), line);
            }
            (None, Ok(())) => {}
        }
    }
    eprintln!("| bug | caught by | after |\n| --- | --- | --- |");
    rows.values().for_each(|row| eprintln!("{row}"));
    eprintln!("{} of {} bugs caught in {:.0?}", rows.len(), Bug::ALL.len(), begun.elapsed());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(rows.len(), Bug::ALL.len(), "every bug has its row");
}

fn place(bug: Bug) -> usize {
    Bug::ALL.iter().position(|other| *other == bug).expect("one of all")
}

/// The simulation goes through its own list, and tells of each which seed found it.
fn simulate(programs: &Programs, rows: &mut BTreeMap<usize, String>, wrong: &mut Vec<String>) {
    let ended = programs.run("simulation", &["planted"], None);
    for bug in Bug::ALL.into_iter().filter(|bug| matches!(by(*bug), By::Simulation)) {
        let told = format!("{} found by seed ", bug.name());
        let found = ended.said.lines().find_map(|line| line.strip_prefix(&told));
        match found.and_then(|found| found.split_once(" says ")) {
            Some((found, _)) => {
                let line = format!("| `{}` | simulation: seed {found} | |", bug.name());
                rows.insert(place(bug), line);
            }
            None => {
                wrong.push(format!("{}: no seed found it\n{}", bug.name(), end_of(&ended.said)))
            }
        }
    }
}

fn at_once(programs: &Programs, runs: &[Run]) -> Vec<(Run, Ended)> {
    let (next, done) = (Mutex::new(runs.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let run = next.lock().expect("nobody panics with it").next();
                    let Some(run) = run else { return };
                    let arguments = ["--exact", run.test.name, "--nocapture"];
                    let ended = programs.run(run.test.of, &arguments, run.bug.map(Bug::name));
                    done.lock().expect("nobody panics with it").push((*run, ended));
                }
            });
        }
    });
    done.into_inner().expect("nobody panics with it")
}

fn judge(run: Run, ended: &Ended) -> Result<(), String> {
    let passed = ended.status.is_some_and(|status| status.success());
    match run.bug {
        _ if !ended.said.contains("running 1 test") => Err("there is no such test".into()),
        None if passed => Ok(()),
        None => Err("it fails without any bug".into()),
        Some(_) if passed => Err("the bug went unnoticed".into()),
        Some(_) if ended.said.contains(run.test.says) => Ok(()),
        Some(_) => Err(format!("it failed, but did not say {:?}", run.test.says)),
    }
}

fn end_of(said: &str) -> String {
    let from = said.len().saturating_sub(TOLD_BYTES);
    let from = (from..=said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(0);
    said[from..].to_owned()
}
