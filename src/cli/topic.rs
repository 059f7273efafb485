//! `signpost topic`: creates, deletes and lists topics.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use signpost_client::types::TopicConfig;
use signpost_client::{Client, ReadMode};

use super::target::Target;
use crate::failure::{Failure, OK};
use crate::output::{self, Format, Table};

/// Creates, deletes and lists topics
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    /// Deletes a topic from all brokers' routes
    Delete {
        /// The topic
        topic: String,
    },
    /// Lists all topics
    List,
}

/// Creates a topic, or changes its queues
#[derive(Debug, Args)]
struct Create {
    /// The topic
    topic: String,
    /// Brokers that shall hold it, by name [default: all of --cluster, or all there are]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    brokers: Vec<String>,
    /// All brokers of this cluster
    #[arg(long, value_name = "NAME", conflicts_with = "brokers")]
    cluster: Option<String>,
    /// Queues on each broker that consumers read
    #[arg(long, value_name = "N", default_value = "16")]
    read_queues: u32,
    /// Queues on each broker that producers write
    #[arg(long, value_name = "N", default_value = "16")]
    write_queues: u32,
    /// Permission: 6 read and write, 4 read, 2 write
    #[arg(long, value_name = "BITS", default_value = "6",
          value_parser = clap::value_parser!(u32).range(0..=7))]
    perm: u32,
    /// Mark the topic as ordered
    #[arg(long)]
    order: bool,
}

/// Does what was asked for.
pub(crate) async fn run(options: &Options, format: Format) -> Result<u8, Failure> {
    let client = options.target.client()?;
    match &options.action {
        Action::Create(create) => run_create(&client, create, format).await,
        Action::Delete { topic } => {
            let written = client.delete_topic(topic).await?.value;
            let said = || format!("{topic} is deleted, at index {}\n", written.index);
            output::answer(format, &written, said)?;
            Ok(OK)
        }
        Action::List => {
            let answer = client.topics(ReadMode::Linearizable).await?;
            output::answer(format, &answer.value, || {
                let mut table = Table::new(["TOPIC"]);
                answer.value.topics.iter().for_each(|topic| table.row([topic.clone()]));
                table.to_string()
            })?;
            Ok(OK)
        }
    }
}

async fn run_create(client: &Client, create: &Create, format: Format) -> Result<u8, Failure> {
    let names = match create.brokers.as_slice() {
        [] => brokers_of(client, create.cluster.as_deref()).await?,
        named => named.to_vec(),
    };
    let config = TopicConfig {
        read_queue_nums: create.read_queues,
        write_queue_nums: create.write_queues,
        perm: create.perm,
        order: create.order,
        ..TopicConfig::default()
    };
    let brokers: BTreeMap<String, TopicConfig> =
        names.into_iter().map(|name| (name, config.clone())).collect();
    let on = brokers.keys().cloned().collect::<Vec<_>>().join(", ");
    let written = client.put_topic(&create.topic, brokers).await?.value;
    output::answer(format, &written, || {
        format!("{} is on {on}, at index {}\n", create.topic, written.index)
    })?;
    Ok(OK)
}

/// The names of a cluster's brokers, or of all.
async fn brokers_of(client: &Client, cluster: Option<&str>) -> Result<Vec<String>, Failure> {
    let clusters = client.clusters(ReadMode::Linearizable).await?.value.clusters;
    let chosen = clusters.iter().filter(|(name, _)| cluster.is_none_or(|wanted| wanted == *name));
    let names: Vec<String> = chosen.flat_map(|(_, names)| names.iter().cloned()).collect();
    match (names.is_empty(), cluster) {
        (false, _) => Ok(names),
        (true, None) => Err(Failure::failed("no broker is registered that could hold the topic")),
        (true, Some(cluster)) => {
            Err(Failure::failed(format!("no broker of cluster {cluster:?} is registered")))
        }
    }
}
