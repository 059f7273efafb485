use crate::story::{local, read};
use signpost_chaos::checks::min_index::check;

#[test]
fn at_or_above_is_fine() {
    let history = [
        local(read(None, 7, 0, 1), Some(7)),
        local(read(None, 9, 0, 1), Some(7)),
        local(read(None, 1, 0, 1), None),
    ];
    assert_eq!(check(&history), []);
}

#[test]
fn below_is_caught() {
    assert_eq!(check(&[local(read(None, 6, 0, 1), Some(7))]).len(), 1);
}
