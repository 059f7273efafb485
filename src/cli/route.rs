//! `signpost route`: where a topic's messages go, as a replica answers it.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde::Serialize;
use signpost_client::types::Route;
use signpost_client::{Answer, Consistency, ReadMode, WatchOptions};

use super::target::Target;
use crate::failure::{FAILED, Failure, OK};
use crate::output::{self, Format, Table};
use crate::stop;

/// Shows a topic's route
///
/// Exit codes: 0 shown, 1 there is no such topic or no replica could answer, 64 wrong options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The topic
    topic: String,
    #[command(flatten)]
    target: Target,
    /// linearizable: everything acknowledged before, needs a quorum; local: what the replica knows
    #[arg(long, value_enum, default_value = "linearizable", value_name = "HOW")]
    consistency: HowFresh,
    /// Ask this replica only
    #[arg(long, value_name = "URL")]
    replica: Option<String>,
    /// Go on showing the route whenever it changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HowFresh {
    Linearizable,
    Local,
}

/// What programs get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    topic: &'a str,
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistency: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum_age_ms: Option<u64>,
    /// null: there is no such topic.
    route: Option<&'a Route>,
}

impl<'a> Shown<'a> {
    fn of(topic: &'a str, answer: &'a Answer<Option<Route>>) -> Self {
        let freshness = &answer.freshness;
        Shown {
            topic,
            index: freshness.index,
            modified: freshness.modified,
            node: freshness.node,
            consistency: freshness.consistency.map(|consistency| match consistency {
                Consistency::Linearizable => "linearizable",
                Consistency::Local => "local",
            }),
            quorum_age_ms: freshness.quorum_age_ms,
            route: answer.value.as_ref(),
        }
    }

    fn for_people(&self) -> String {
        let mut text = format!("{} at index {}", self.topic, self.index);
        let mut add = |what: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(text, ", {what}{value}");
            }
        };
        add("last changed at ", self.modified.map(|index| index.to_string()));
        add("from replica ", self.node.map(|node| node.to_string()));
        add("", self.consistency.map(str::to_owned));
        if self.consistency == Some("local") {
            add("sure of a quorum ", self.quorum_age_ms.map(|age| format!("{age} ms ago")));
        }
        text.push('\n');
        match self.route {
            Some(route) => text.push_str(&queues(route).to_string()),
            None => text.push_str("there is no such topic\n"),
        }
        text
    }
}

/// One line for each broker's queues; a broker without queues of the topic has a line, too.
fn queues(route: &Route) -> Table {
    let mut table = Table::new(["BROKER", "CLUSTER", "MASTER", "READ", "WRITE", "PERM"]);
    for broker in &route.broker_datas {
        let queues = route.queue_datas.iter().find(|q| q.broker_name == broker.broker_name);
        let number = |count: Option<u32>| count.map(|n| n.to_string()).unwrap_or_default();
        table.row([
            broker.broker_name.clone(),
            broker.cluster.clone(),
            broker.master().unwrap_or_default().to_owned(),
            number(queues.map(|q| q.read_queue_nums)),
            number(queues.map(|q| q.write_queue_nums)),
            queues.map(|q| permission(q.perm)).unwrap_or_default(),
        ]);
    }
    table
}

/// `RW`, `R-`, `-W`, `--`: RocketMQ's bits 4 (read) and 2 (write).
fn permission(perm: u32) -> String {
    let letter = |bit, letter| if perm & bit != 0 { letter } else { '-' };
    [letter(4, 'R'), letter(2, 'W')].into_iter().collect()
}

/// Shows the route, once or whenever it changes.
pub(crate) async fn run(options: &Options, format: Format) -> Result<u8, Failure> {
    let mut target = options.target.clone();
    if let Some(replica) = &options.replica {
        target.namesrv = vec![replica.clone()];
    }
    let client = target.client()?;
    if options.watch {
        return watch(&client, &options.topic, format).await;
    }
    let mode = match options.consistency {
        HowFresh::Linearizable => ReadMode::Linearizable,
        HowFresh::Local => ReadMode::AnyLocal,
    };
    let answer = client.route(&options.topic, mode).await?;
    let shown = Shown::of(&options.topic, &answer);
    output::answer(format, &shown, || shown.for_people())?;
    Ok(if answer.value.is_some() { OK } else { FAILED })
}

async fn watch(
    client: &signpost_client::Client,
    topic: &str,
    format: Format,
) -> Result<u8, Failure> {
    let stop = stop::on_signals()?;
    let watch = client.watch([topic], WatchOptions::default()).map_err(Failure::usage)?;
    let mut changes = watch.changes();
    let mut last = None;
    loop {
        let table = changes.borrow_and_update().clone();
        if let Some(route) = table.routes.get(topic)
            && last.as_ref() != Some(route)
        {
            let shown = Shown {
                topic,
                index: table.index,
                modified: None,
                node: None,
                consistency: None,
                quorum_age_ms: None,
                route: route.as_deref(),
            };
            output::answer(format, &shown, || shown.for_people() + "\n")?;
            last = Some(route.clone());
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(OK),
            changed = changes.changed() => {
                changed.map_err(|_| Failure::failed("the watch has ended"))?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use signpost_client::types::{BrokerData, QueueData};

    use super::*;

    #[test]
    fn people_see_each_broker_with_its_queues() {
        let broker = |name: &str| BrokerData {
            broker_addrs: BTreeMap::from([(0, format!("{name}:10911"))]),
            broker_name: name.to_owned(),
            cluster: "C".to_owned(),
            ..BrokerData::default()
        };
        let queues = QueueData {
            broker_name: "broker-a".to_owned(),
            perm: 4,
            read_queue_nums: 16,
            write_queue_nums: 8,
            topic_sys_flag: 0,
        };
        let route = Route {
            broker_datas: vec![broker("broker-a"), broker("broker-b")],
            queue_datas: vec![queues],
            ..Route::default()
        };
        let shown = Shown {
            topic: "orders",
            index: 12,
            modified: Some(9),
            node: Some(2),
            consistency: Some("local"),
            quorum_age_ms: Some(40),
            route: Some(&route),
        };
        let expected = "orders at index 12, last changed at 9, from replica 2, local, sure of a \
                        quorum 40 ms ago\n\
                        BROKER    CLUSTER  MASTER          READ  WRITE  PERM\n\
                        broker-a  C        broker-a:10911  16    8      R-\n\
                        broker-b  C        broker-b:10911  -     -      -\n";
        assert_eq!(shown.for_people(), expected);
        let json = serde_json::to_value(&shown).expect("JSON");
        assert_eq!(json["route"]["brokerDatas"][0]["brokerName"], "broker-a");
        assert_eq!(json["quorumAgeMs"], 40);
    }

    #[test]
    fn an_absent_topic_is_null_for_programs() {
        let shown = Shown {
            topic: "t",
            index: 1,
            modified: None,
            node: None,
            consistency: None,
            quorum_age_ms: None,
            route: None,
        };
        assert!(shown.for_people().contains("there is no such topic"));
        let json = serde_json::to_string(&shown).expect("JSON");
        assert_eq!(json, r#"{"topic":"t","index":1,"route":null}"#);
    }
}
