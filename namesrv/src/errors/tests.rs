use signpost_remoting::response;

use super::*;

fn one_of_each() -> Vec<(ServiceError, u16)> {
    let highest = Claim { incarnation: 9, seq: 2 };
    vec![
        (ServiceError::invalid("perm", "0 to 7"), 400),
        (ServiceError::Unauthorized, 401),
        (ServiceError::NotFound(Missing::Topic { topic: "t".into(), modified: 3 }), 404),
        (ServiceError::Superseded { highest }, 409),
        (ServiceError::LiveElsewhere { address: "a:1".into() }, 409),
        (ServiceError::NameInOtherCluster { cluster: "c".into() }, 409),
        (ServiceError::Stale { highest }, 409),
        (ServiceError::Moved { epoch: 4 }, 409),
        (ServiceError::OtherHistory { cluster: None }, 409),
        (ServiceError::Expired, 410),
        (ServiceError::IndexMismatch { modified: 1 }, 412),
        (ServiceError::TooLarge { what: "bytes of body".into(), limit: 1 }, 413),
        (ServiceError::Removed { peers: vec!["h:1".into()] }, 421),
        (ServiceError::overloaded("proposals"), 429),
        (Unavailable::NoLeader.into(), 503),
        (ServiceError::unknown("lost"), 504),
    ]
}

#[test]
fn statuses_follow_the_contract_and_only_504_is_indefinite() {
    for (error, status) in one_of_each() {
        assert_eq!(error.wire().status, status, "{error}");
        assert_eq!(error.is_definite(), status != 504, "{error}");
    }
}

#[test]
fn conflicts_carry_a_reason_that_clients_know() {
    let known = ["superseded", "live-elsewhere", "stale", "moved", "other-history"];
    for (error, status) in one_of_each() {
        if status == 409 {
            let reason = error.wire().reason.expect("a conflict names its reason");
            assert!(known.contains(&reason), "{reason}");
        }
    }
}

#[test]
fn remarks_are_rocketmqs_own_where_it_has_some() {
    let topic = Missing::Topic { topic: "T".into(), modified: 1 };
    let remark = ServiceError::NotFound(topic).remark();
    assert!(
        remark.starts_with("No topic route info in name server for the topic: T\n"),
        "{remark}"
    );
    let key = Missing::KvKey { namespace: "N".into(), key: "K".into() };
    assert_eq!(ServiceError::NotFound(key).remark(), "No config item, Namespace: N Key: K");
    let namespace = ServiceError::NotFound(Missing::KvNamespace("N".into()));
    assert_eq!(namespace.remark(), "No config item, Namespace: N");
    assert_eq!(namespace.wire().code, response::QUERY_NOT_FOUND);
    for (error, _) in one_of_each() {
        assert!(!error.remark().is_empty(), "{error:?}");
    }
}

#[test]
fn errors_survive_the_forward_hop() {
    for (error, _) in one_of_each() {
        let bytes = signpost_raft::codec::encode(&error).expect("an error is small");
        let back: ServiceError = signpost_raft::codec::decode(&bytes).expect("own encoding");
        assert_eq!(back, error);
    }
}
