//! `signpost brokers`: the live registrations.

use clap::Args;
use signpost_client::ReadMode;
use signpost_client::types::BrokerList;

use super::target::Target;
use crate::failure::{Failure, OK};
use crate::output::{self, Format, Table};

/// Lists the registered brokers
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
}

/// Lists them, as of one index.
pub(crate) async fn run(options: &Options, format: Format) -> Result<u8, Failure> {
    let answer = options.target.client()?.brokers(ReadMode::Linearizable).await?;
    output::answer(format, &answer.value, || table(&answer.value).to_string())?;
    Ok(OK)
}

fn table(list: &BrokerList) -> Table {
    let headers = ["CLUSTER", "BROKER", "ID", "ADDRESS", "EPOCH", "TTL_MS", "TOPICS"];
    let mut table = Table::new(headers);
    for broker in &list.brokers {
        table.row([
            broker.cluster.clone(),
            broker.name.clone(),
            broker.id.to_string(),
            broker.address.clone(),
            broker.epoch.to_string(),
            broker.lease_ttl_ms.to_string(),
            broker.topics.map(|topics| topics.to_string()).unwrap_or_default(),
        ]);
    }
    table
}
