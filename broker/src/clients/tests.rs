use signpost_remoting::body::heartbeat::ProducerData;

use super::*;

fn member(id: &str, connection: u64, seen_ms: i64) -> Member<u64> {
    let shown = ClientConnection { client_id: id.to_owned(), ..ClientConnection::default() };
    Member { shown, seen_ms, connection }
}

fn beat(group: &str, topics: &[(&str, i64)]) -> Heartbeat {
    let subscription = |(topic, version): &(&str, i64)| Subscription {
        sub_version: *version,
        sub_string: format!("tag{version}"),
        ..Subscription::of_tags(topic, "*").unwrap()
    };
    let data = ConsumerData {
        group_name: group.to_owned(),
        message_model: "CLUSTERING".to_owned(),
        subscription_data_set: topics.iter().map(subscription).collect(),
        ..ConsumerData::default()
    };
    Heartbeat { consumer_data_set: vec![data], ..Heartbeat::default() }
}

fn told(changed: Vec<Changed<u64>>) -> Vec<(String, Vec<u64>)> {
    changed.into_iter().map(|one| (one.group, one.members)).collect()
}

#[test]
fn all_members_are_told_when_one_comes_or_goes_and_only_then() {
    let mut clients = Clients::default();
    let g = |members: &[u64]| vec![("g".to_owned(), members.to_vec())];
    assert_eq!(told(clients.heartbeat(1, &member("a", 1, 0), beat("g", &[("T", 1)]))), g(&[1]));
    assert_eq!(told(clients.heartbeat(1, &member("a", 1, 5), beat("g", &[("T", 1)]))), []);
    assert_eq!(told(clients.heartbeat(2, &member("b", 2, 5), beat("g", &[("T", 1)]))), g(&[1, 2]));
    assert_eq!(clients.ids("g"), ["a", "b"]);
    // The same client on a new connection: its going is not noticed before its coming.
    assert_eq!(told(clients.heartbeat(3, &member("b", 3, 6), beat("g", &[("T", 1)]))), []);
    assert_eq!(told(clients.closed(2)), []);
    assert_eq!(clients.ids("g"), ["a", "b"]);
    assert_eq!(told(clients.unregister(3, None, Some("g"))), g(&[1]));
    assert_eq!(told(clients.unregister(1, None, Some("other"))), []);
    assert_eq!(told(clients.closed(1)), [], "nobody is left to be told");
    assert_eq!(clients.subscribed("g", "T"), Subscribed::NoGroup);
}

#[test]
fn the_newest_subscription_counts_and_topics_come_and_go() {
    let mut clients = Clients::default();
    clients.heartbeat(1, &member("a", 1, 0), beat("g", &[("T", 5), ("U", 5)]));
    let version = |clients: &Clients<u64>, topic| match clients.subscribed("g", topic) {
        Subscribed::To { subscription, broadcasting: false } => subscription.sub_version,
        other => panic!("{other:?}"),
    };
    assert_eq!(clients.heartbeat(1, &member("a", 1, 0), beat("g", &[("T", 4), ("U", 6)])).len(), 0);
    assert_eq!((version(&clients, "T"), version(&clients, "U")), (5, 6));
    assert_eq!(clients.heartbeat(1, &member("a", 1, 0), beat("g", &[("T", 5)])).len(), 1);
    assert_eq!(clients.subscribed("g", "U"), Subscribed::NoTopic);
    assert_eq!(clients.groups_of("T").into_iter().collect::<Vec<_>>(), ["g"]);
    assert!(clients.groups_of("U").is_empty());
}

#[test]
fn the_silent_are_taken_out_after_two_minutes() {
    let mut clients = Clients::default();
    clients.heartbeat(1, &member("a", 1, 0), beat("g", &[("T", 1)]));
    clients.heartbeat(2, &member("b", 2, 1), beat("g", &[("T", 1)]));
    let producer = Heartbeat {
        producer_data_set: vec![ProducerData { group_name: "p".to_owned() }],
        ..Heartbeat::default()
    };
    clients.heartbeat(1, &member("a", 1, 0), producer);
    assert_eq!(clients.producers("p").unwrap()[0].client_id, "a");
    assert!(clients.expire(SILENCE_MS).1.is_empty());
    let (changed, silent) = clients.expire(SILENCE_MS + 1);
    assert_eq!(told(changed), [("g".to_owned(), vec![2])]);
    assert_eq!(silent, [1]);
    assert_eq!(clients.producers("p"), None);
    assert_eq!(clients.counts().0, 0);
}
