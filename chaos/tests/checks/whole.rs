//! All checkers on one run, as the simulation calls them.

use std::collections::BTreeMap;

use crate::story::{journal, local, ms, put, read, register, truth, unknown, wrote};
use signpost_chaos::checks::convergence::{Rest, Standing};
use signpost_chaos::checks::{Evidence, all};

fn good_run() -> Evidence {
    let commands = [(2, put("k", "a")), (3, register("b", 1)), (5, put("k", "c"))];
    let operations = vec![
        wrote(put("k", "a"), 2, 0, 10),
        read(Some(("a", 2)), 2, 11, 20),
        wrote(register("b", 1), 3, 12, 22),
        local(read(None, 1, 13, 14), None),
        unknown(put("k", "c")),
        read(Some(("c", 5)), 6, 40, 50),
    ];
    let digest = truth(&commands).at(9).digest();
    let standing = |node| Standing { node, leader: Some(1), applied: 7, digest };
    let replicas = vec![standing(1), standing(2)];
    let rest = Rest { when: "at the end".into(), at: ms(60), failed: None, replicas };
    let mut behind = journal(&commands);
    behind.remove(1);
    let journals = BTreeMap::from([(1, journal(&commands)), (2, behind)]);
    Evidence { operations, journals, rests: vec![rest], ..Evidence::default() }
}

fn found(breaking: impl FnOnce(&mut Evidence)) -> Vec<String> {
    let mut evidence = good_run();
    breaking(&mut evidence);
    all(&evidence).violations.into_iter().map(|violation| violation.check).collect()
}

#[test]
fn a_good_run_passes() {
    assert_eq!(found(|_| ()), Vec::<String>::new());
}

#[test]
fn each_broken_run_is_caught_by_its_checker() {
    // Seen by its index, and by what it says.
    let stale = |run: &mut Evidence| run.operations.push(read(None, 1, 60, 61));
    assert_eq!(found(stale), ["order", "linearizable"]);
    let old = || local(read(None, 1, 60, 61), Some(2));
    assert_eq!(found(|run| run.operations.push(old())), ["min_index"]);
    let lost = || wrote(put("k", "lost"), 6, 30, 31);
    assert_eq!(found(|run| run.operations.push(lost())), ["answers"]);
    let unasked = |run: &mut Evidence| drop(run.operations.remove(4));
    assert_eq!(found(unasked), ["linearizable", "outcomes"]);
    let wiped = |run: &mut Evidence| {
        run.rests[0].replicas.iter_mut().for_each(|replica| replica.applied = 2);
    };
    assert_eq!(found(wiped), ["durability"; 4]);
    let leaderless = |run: &mut Evidence| run.rests[0].replicas[0].leader = None;
    assert_eq!(found(leaderless), ["convergence"]);
    let drifted = |run: &mut Evidence| {
        run.journals.values_mut().for_each(|journal| journal[1].digest ^= 1);
    };
    assert!(found(drifted).contains(&"agreement".to_owned()));
}
