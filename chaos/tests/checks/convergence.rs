use crate::story::ms;
use signpost_chaos::checks::convergence::{Rest, Standing, check, is_uniform};

fn found(second: Standing, failed: Option<&str>) -> usize {
    let replicas = vec![standing(), second];
    let failed = failed.map(str::to_owned);
    check(&[Rest { when: "now".into(), at: ms(0), failed, replicas }]).len()
}

fn standing() -> Standing {
    Standing { node: 1, leader: Some(2), applied: 7, digest: 9 }
}

#[test]
fn alike_under_one_leader_is_fine() {
    assert_eq!(found(Standing { node: 2, ..standing() }, None), 0);
}

#[test]
fn each_difference_is_caught() {
    assert_eq!(found(Standing { digest: 8, ..standing() }, None), 1);
    assert_eq!(found(Standing { applied: 8, ..standing() }, None), 1);
    assert_eq!(found(Standing { leader: Some(1), ..standing() }, None), 1);
    assert_eq!(found(Standing { leader: None, ..standing() }, None), 1);
    assert_eq!(found(standing(), Some("no registration was acknowledged")), 1);
}

#[test]
fn nobody_at_all_is_not_uniform() {
    assert!(!is_uniform(&[]));
}
