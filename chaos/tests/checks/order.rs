use crate::story::{local, put, read, wrote};
use signpost_chaos::checks::order::check;

#[test]
fn indices_that_follow_time_are_fine() {
    let history = [
        wrote(put("k", "a"), 2, 0, 10),
        read(Some(("a", 2)), 2, 20, 30),
        read(Some(("a", 2)), 3, 20, 40),
        wrote(put("k", "b"), 4, 41, 50),
    ];
    assert_eq!(check(&history), []);
}

#[test]
fn calls_that_overlap_may_take_either_order() {
    let history = [wrote(put("k", "a"), 5, 0, 100), read(None, 4, 99, 200)];
    assert_eq!(check(&history), []);
}

#[test]
fn a_stale_read_is_caught() {
    let history = [wrote(put("k", "a"), 5, 0, 10), read(None, 4, 11, 20)];
    assert_eq!(check(&history).len(), 1);
}

#[test]
fn a_read_that_goes_back_is_caught() {
    let history = [read(None, 7, 0, 10), read(None, 6, 11, 20)];
    assert_eq!(check(&history).len(), 1);
    let after_a_local_one = [local(read(None, 7, 0, 10), None), read(None, 6, 11, 20)];
    assert_eq!(check(&after_a_local_one).len(), 1);
}

#[test]
fn a_local_read_may_be_old() {
    let history = [wrote(put("k", "a"), 5, 0, 10), local(read(None, 4, 11, 20), None)];
    assert_eq!(check(&history), []);
}

#[test]
fn a_write_below_what_was_seen_before_it_is_caught() {
    let equal = [read(None, 5, 0, 10), wrote(put("k", "a"), 5, 11, 20)];
    assert_eq!(check(&equal).len(), 1);
    let below = [wrote(put("k", "a"), 6, 0, 10), wrote(put("k", "b"), 5, 11, 20)];
    assert_eq!(check(&below).len(), 1);
}
