//! Faults around brokers: embedded ones that die, and storms of registrations.

use std::time::Duration;

use super::kind::Kind;
use super::schedule::Planned;
use super::strike::{Begun, Stage, Undo};
use crate::error::Error;
use crate::workload::storm;

/// How long the brokers of a storm try to register, and then to unregister.
const STORM_TIMEOUT: Duration = Duration::from_secs(12);

pub(super) async fn begin(stage: &Stage, planned: Planned) -> Result<Begun, Error> {
    if planned.kind == Kind::BrokerChurn {
        let names: Vec<String> = stage.cluster.broker_dirs().into_keys().collect();
        if names.is_empty() {
            return Err(Error::new("there are no brokers"));
        }
        let name = names[(planned.choice % names.len() as u64) as usize].clone();
        stage.cluster.kill_broker(&name).await?;
        return Ok(Begun::new([], format!("{name} killed"), Undo::Broker(name)));
    }
    let (leader, _) = stage.cast(planned.choice)?;
    stage.cluster.kill(leader).await?;
    let (number, count) = (stage.next_storm(), stage.storm_brokers);
    let storm = async { storm::rage(&stage.common, number, count, STORM_TIMEOUT).await };
    let restart = async {
        tokio::time::sleep(planned.hold).await;
        stage.cluster.start_replica(leader, None).await
    };
    let (storm, restarted) = tokio::join!(storm, restart);
    restarted?;
    let (done, took) = (storm.registered, storm.took);
    let note = format!(
        "replica {leader} killed; {done} of {count} brokers registered within {:.1} s",
        took.as_secs_f64()
    );
    Ok(Begun::new([leader], note, Undo::Nothing))
}
