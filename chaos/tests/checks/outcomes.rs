use crate::story::{put, refused, register, truth, unknown, wrote};
use signpost_chaos::checks::outcomes::check;

#[test]
fn each_outcome_as_it_should_be() {
    let truth = truth(&[(2, put("k", "a")), (3, put("k", "b"))]);
    let history = [
        wrote(put("k", "a"), 2, 0, 1),
        unknown(put("k", "b")),
        unknown(put("k", "never")),
        refused(put("k", "no")),
    ];
    assert_eq!(check(&truth, &history), []);
}

#[test]
fn a_refused_write_that_happened_is_caught() {
    let truth = truth(&[(2, put("k", "a"))]);
    assert_eq!(check(&truth, &[refused(put("k", "a"))]).len(), 1);
}

#[test]
fn a_refused_retry_of_an_unknown_write_is_fine() {
    let truth = truth(&[(2, register("b", 1))]);
    assert_eq!(check(&truth, &[unknown(register("b", 1)), refused(register("b", 1))]), []);
}

#[test]
fn a_write_that_happened_twice_is_caught() {
    let truth = truth(&[(2, put("k", "a")), (3, put("k", "b")), (4, put("k", "a"))]);
    let history = [unknown(put("k", "a")), wrote(put("k", "b"), 3, 0, 1)];
    assert_eq!(check(&truth, &history).len(), 1);
}

#[test]
fn a_repeat_without_effect_is_fine() {
    let truth = truth(&[(2, put("k", "a")), (3, put("k", "a"))]);
    assert_eq!(check(&truth, &[unknown(put("k", "a"))]), []);
}

#[test]
fn a_write_that_nobody_made_is_caught() {
    assert_eq!(check(&truth(&[(2, put("k", "a"))]), &[]).len(), 1);
}

#[test]
fn a_broker_that_no_client_wrote_as_is_somebody_elses() {
    let truth = truth(&[(2, register("b", 1)), (3, register("b", 2))]);
    assert_eq!(check(&truth, &[]), []);
    assert_eq!(check(&truth, &[unknown(register("b", 1))]).len(), 1, "but one of ours is not");
}
