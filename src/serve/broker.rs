//! An embedded broker, until it is told to stop or must not go on.

use std::time::Duration;

use signpost_broker::store::StoreError;
use signpost_broker::{Broker, BrokerConfig, Exit, FlushMode, StartError};

use crate::cli::broker::{Flush, Options};
use crate::failure::{Failure, OK};
use crate::stop;
use crate::units::{host_of, is_every_address};

/// Runs a broker.
///
/// # Errors
/// When it cannot start, was superseded, or its log failed.
pub(crate) async fn run(options: &Options) -> Result<u8, Failure> {
    let config = config(options).map_err(Failure::usage)?;
    let stop = stop::on_signals()?;
    if options.exit_on_stdin_close {
        stop::when_stdin_closes(stop.clone())?;
    }
    let mut broker = Broker::start(config).await.map_err(|error| match error {
        StartError::Config(_) | StartError::Namesrv(_) => Failure::usage(error),
        StartError::Store(StoreError::Damaged { .. }) => Failure::cannot_go_on(error),
        error => Failure::failed(error),
    })?;
    let exit = tokio::select! {
        exit = broker.ended() => exit,
        () = stop.cancelled() => broker.shutdown().await,
    };
    match exit {
        Exit::Stopped { .. } => {
            tracing::info!("{exit}");
            Ok(OK)
        }
        Exit::Superseded => Err(Failure::cannot_go_on(exit)),
        // A restart finds out what is stored, and says so if it is damaged.
        Exit::Failed(_) => Err(Failure::failed(exit)),
    }
}

fn config(options: &Options) -> Result<BrokerConfig, String> {
    let advertise = match &options.advertise {
        Some(address) => address.clone(),
        None if is_every_address(host_of(&options.listen)) => {
            return Err(format!(
                "advertise: expected HOST:PORT, for no client can reach {}",
                options.listen
            ));
        }
        None => options.listen.clone(),
    };
    let config = BrokerConfig {
        namesrv: options.namesrv.clone(),
        cluster: options.cluster.clone(),
        name: options.name.clone(),
        id: options.id,
        listen: options.listen.clone(),
        advertise: Some(advertise),
        data_dir: options.data_dir.clone(),
        lease_ttl_ms: options.lease_ttl.as_ref().map(ms),
        takeover: options.takeover,
        auto_create_topics: options.auto_create_topics,
        default_topic_queue_nums: options.default_topic_queues,
        max_topics: options.topics_max as usize,
        max_groups: options.groups_max as usize,
        delay_levels_ms: options.delay_levels.iter().map(delay_ms).collect(),
        max_message_bytes: usize::try_from(options.message_size_max).unwrap_or(usize::MAX),
        max_pending_bytes: usize::try_from(options.pending_max).unwrap_or(usize::MAX),
        reads_at_once: options.reads_at_once as usize,
        max_pending_reads: options.reads_max as usize,
        max_held_pulls: options.held_pulls_max as usize,
        segment_bytes: options.segment_size,
        flush: match options.flush {
            Flush::Sync => FlushMode::Sync,
            Flush::Async => FlushMode::Async,
        },
        flush_interval_ms: ms(&options.flush_interval),
        checkpoint_interval_ms: ms(&options.checkpoint_interval),
        retention_ms: ms(&options.retention),
        disk_clean_above: options.disk_clean_above,
        disk_refuse_above: options.disk_refuse_above,
        max_connections: options.connections_max as usize,
        max_in_flight: options.in_flight_max as usize,
        metrics_listen: options.metrics_listen.clone(),
        ..BrokerConfig::default()
    };
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

fn ms(duration: &Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn delay_ms(delay: &Duration) -> i64 {
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn options(more: &str) -> Options {
        let line = format!("signpost broker --namesrv http://n:8876 --name a --data-dir d {more}");
        match Cli::try_parse_from(line.split_whitespace()).expect("options").command {
            Command::Broker(options) => *options,
            other => panic!("another command: {other:?}"),
        }
    }

    #[test]
    fn the_defaults_fit_together() {
        let config = config(&options("--advertise a.example:10911")).expect("valid");
        assert_eq!(config.advertise.as_deref(), Some("a.example:10911"));
        assert_eq!((config.id, config.lease_ttl_ms, &*config.cluster), (0, None, "DefaultCluster"));
        assert!(config.auto_create_topics);
        let default = BrokerConfig::default();
        assert_eq!(config.delay_levels_ms, default.delay_levels_ms);
        assert_eq!(config.max_in_flight, default.max_in_flight);
        assert_eq!(config.max_pending_bytes, default.max_pending_bytes);
        assert_eq!((config.flush, config.flush_interval_ms), (FlushMode::Sync, 500));
        assert_eq!(config.retention_ms, default.retention_ms);
        assert_eq!(config.checkpoint_interval_ms, default.checkpoint_interval_ms);
        assert_eq!(config.disk_clean_above, default.disk_clean_above);
        assert_eq!(config.disk_refuse_above, default.disk_refuse_above);
    }

    #[test]
    fn every_address_is_no_address_to_advertise() {
        assert!(config(&options("")).expect_err("0.0.0.0").contains("advertise"));
        assert!(config(&options("--listen [::]:10911")).is_err());
        let config = config(&options("--listen 10.0.0.7:10911")).expect("valid");
        assert_eq!(config.advertise.as_deref(), Some("10.0.0.7:10911"));
    }

    #[test]
    fn what_the_broker_cannot_be_is_refused_here() {
        for wrong in [
            "--id 1",
            "--segment-size 4KiB",
            "--delay-levels 1s,0s",
            "--message-size-max 9MiB",
            "--pending-max 4KiB",
            "--retention 1h",
        ] {
            let said = config(&options(&format!("--advertise a:1 {wrong}"))).expect_err(wrong);
            let option = wrong.split_whitespace().next().unwrap_or_default();
            let named = option.trim_start_matches('-');
            assert!(said.starts_with(&format!("`{named}` ")), "{wrong}: {said}");
        }
        let short = config(&options("--advertise a:1 --lease-ttl 1500ms")).expect("valid");
        assert_eq!(short.lease_ttl_ms, Some(1500));
    }
}
