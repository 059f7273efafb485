use crate::story::{ms, put, truth, wrote};
use signpost_chaos::checks::convergence::{Rest, Standing};
use signpost_chaos::checks::durability::check;

fn found(applied: u64, digest_of: u64) -> usize {
    let truth = truth(&[(2, put("k", "a")), (3, put("k", "b"))]);
    let digest = truth.at(digest_of).digest();
    let standing = Standing { node: 1, leader: Some(1), applied, digest };
    let rest = Rest { when: "now".into(), at: ms(9), failed: None, replicas: vec![standing] };
    check(&truth, &[wrote(put("k", "b"), 3, 0, 1)], &[rest]).len()
}

#[test]
fn the_whole_sequence_is_fine() {
    assert_eq!(found(3, 3), 0);
    assert_eq!(found(7, 3), 0, "entries without a command follow");
}

#[test]
fn a_lost_end_is_caught() {
    assert_eq!(found(2, 2), 1);
}

#[test]
fn other_tables_are_caught() {
    assert_eq!(found(3, 2), 1);
}
