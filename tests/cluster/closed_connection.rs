//! A broker on 9876 that closes its connection to one replica and keeps the others stays; once the
//! last is closed it is gone everywhere, long before its lease has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use signpost_remoting::body::{RegisterBody, TopicConfig};
use signpost_remoting::namesrv::RegisterBrokerHeader;
use signpost_remoting::{Client, ClientOptions, RemotingCommand, request, response};

use crate::support::cluster::{Cluster, Settings};
use crate::support::http;
use crate::support::wait::{PATIENCE, throughout};

/// So long a broker has for coming back, and once more.
const TWO_GRACES: Duration = Duration::from_millis(2_500);

#[tokio::test]
async fn who_closes_one_connection_stays_and_who_closes_all_goes() {
    let cluster = Cluster::start(Settings::default()).await;
    let (leader, _) = cluster.leader().await;
    let connect = |id| (id, Client::new(ClientOptions::default()));
    let mut connections: BTreeMap<u64, Client> = cluster.ids().into_iter().map(connect).collect();
    // Each replica has seen it renew the same epoch.
    for _ in 0..2 {
        for (id, connection) in &connections {
            let address = cluster.remoting(*id).to_string();
            let answer = connection.invoke(&address, registration(), PATIENCE).await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.code, answer.remark), (response::SUCCESS, None));
        }
    }
    cluster.same_everywhere("/v1/routes/topic", |_| true).await.ok();

    let last = connections.remove(&leader).expect("it has one to the leader");
    for (id, connection) in connections {
        connection.close();
        throughout(TWO_GRACES, async || {
            for at in cluster.ids() {
                let path = "/v1/routes/topic?consistency=local";
                let answered = http::get(cluster.http(at), path).await.expect("an answer");
                assert_eq!(answered.status, 200, "taken away: it had only left replica {id}");
            }
        })
        .await;
    }
    last.close();
    cluster.same_everywhere("/v1/routes/topic", |seen| seen.status == 404).await;
}

fn registration() -> RemotingCommand {
    let header = RegisterBrokerHeader {
        broker_name: "stock".into(),
        broker_addr: "stock.test:10911".into(),
        cluster_name: "C".into(),
        ..RegisterBrokerHeader::default()
    };
    let topics = ["topic", "other"].map(|topic| (topic.to_owned(), TopicConfig::default()));
    let body = RegisterBody { topics: topics.into(), ..RegisterBody::default() };
    RemotingCommand::request(request::REGISTER_BROKER)
        .with_ext(header.to_ext())
        .with_body(body.encode_json(409))
}
