//! What a heartbeat finds.

use signpost_namesrv::routes::HeartbeatVerdict;

use crate::build::*;

#[test]
fn a_heartbeat_renews_only_the_registration_it_means() {
    let mut log = Log::new();
    log.begin(&with_claim(&broker("a", 0, &["T"]), 2, 1));
    let judge = |log: &Log, incarnation, epoch| {
        log.tables.judge_heartbeat(&key("a", 0), incarnation, epoch)
    };
    let renewable = HeartbeatVerdict::Renewable { ttl_ms: 120_000, epoch: 1 };
    let superseded = HeartbeatVerdict::Superseded { highest: claim(2, 1) };
    assert_eq!(judge(&log, Some(2), 1), renewable);
    assert_eq!(judge(&log, None, 1), renewable);
    assert_eq!(judge(&log, None, 7), HeartbeatVerdict::Moved { epoch: 1 });
    assert_eq!(judge(&log, Some(1), 1), superseded);
    assert_eq!(judge(&log, Some(3), 1), HeartbeatVerdict::NotRegistered);
    log.expire(&key("a", 0), 1);
    assert_eq!(judge(&log, Some(2), 1), HeartbeatVerdict::NotRegistered);
    assert_eq!(judge(&log, None, 1), HeartbeatVerdict::NotRegistered);
    assert_eq!(judge(&log, Some(1), 1), superseded, "a former process, though none is live");
}
