//! `mqadmin` of both versions.

use super::ours::{NAME, Ours};
use super::{Side, home};
use crate::stage::CLUSTER;
use crate::stock::Version;
use crate::stock::mqadmin::{Mqadmin, Printed};
use crate::stock::printed;

pub(super) async fn mqadmin(side: &Side, broker: &Ours) {
    let mut tool = Tool {
        mqadmin: Mqadmin::start(side.version, &home(&side.homes, "mqadmin")).await,
        name_servers: side.name_servers.clone(),
    };
    let address = broker.address();
    let (topic, group) = (side.named("shared"), side.named("shared-group"));

    let clusters = printed::clusters(&tool.call(&["clusterList"]).await);
    let ours = clusters.iter().find(|row| row[1] == NAME).expect("our broker is listed");
    let version = format!("SIGNPOST_{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(ours[..], [CLUSTER, NAME, "0", &address, &version], "{clusters:?}");
    let status = printed::statuses(&tool.call(&["brokerStatus", "-b", &address]).await);
    assert!(status.iter().any(|name| name.ends_with("putTps")), "{status:?}");

    let made = side.named("made");
    let words = ["updateTopic", "-b", &address, "-t", &made, "-r", "3", "-w", "3"];
    let said = tool.call(&words).await;
    assert!(said.contains("success") && said.contains(&made), "{said}");
    let said = tool.until(&["topicRoute", "-t", &made], "queueDatas").await;
    let route = printed::route(&said);
    assert_eq!(route["queueDatas"][0]["readQueueNums"], 3, "{route}");
    let said = tool.call(&["topicStatus", "-t", &made]).await;
    let rows = said.lines().filter(|line| line.trim().starts_with(NAME)).count();
    assert_eq!(rows, 3, "{said}");

    let said = tool.call(&["consumerProgress", "-g", &group]).await;
    let rows = said.lines().filter(|line| line.starts_with(&topic)).count();
    assert_eq!(rows, 4, "{said}");
    let said = tool.call(&["consumerConnection", "-g", &group]).await;
    assert!(said.contains("CLUSTERING") && said.contains(&topic), "{said}");

    let kinds = side.named("kinds");
    let sent = side.one.sent("sync-3");
    let id = |name: &str| sent[name].as_str().expect("an id").to_owned();
    // 5.x wants the topic as well, 4.9 does not know the option.
    let topic: &[&str] = if side.version == Version::Five { &["-t", &kinds] } else { &[] };
    let said = tool.call(&[&["queryMsgById", "-i", &id("at")], topic].concat()).await;
    assert!(said.contains("key-sync-3") && said.contains(&id("id")), "{said}");
    let said = tool.call(&["queryMsgByUniqueKey", "-t", &kinds, "-i", &id("id")]).await;
    assert!(said.contains("key-sync-3"), "{said}");
    for key in ["key-sync-3", "key-batched-7"] {
        let said = tool.call(&["queryMsgByKey", "-t", &kinds, "-k", key]).await;
        let found = said.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        assert_eq!(found.count(), 1, "{key}: {said}");
    }

    let said = tool.call(&["deleteTopic", "-c", CLUSTER, "-t", &made]).await;
    assert!(said.contains("success"), "{said}");
    let said = tool.mqadmin.call(&tool.name_servers, &["topicRoute", "-t", &made]).await;
    assert!(printed::refusal(&said.err).is_some_and(|refusal| refusal.contains("17")), "{said:?}");
}

/// The tool at our name servers.
struct Tool {
    mqadmin: Mqadmin,
    name_servers: String,
}

impl Tool {
    /// A call that must not fail.
    async fn call(&mut self, words: &[&str]) -> String {
        let Printed { out, err } = self.mqadmin.call(&self.name_servers, words).await;
        assert!(!err.contains("Exception"), "{words:?}: {out}\n{err}");
        out
    }

    /// A call that is made until it prints something: the name cluster is told in a moment.
    async fn until(&mut self, words: &[&str], what: &str) -> String {
        for _ in 0..50 {
            let said = self.mqadmin.call(&self.name_servers, words).await;
            if said.out.contains(what) {
                return said.out;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{words:?} never prints {what}");
    }
}
