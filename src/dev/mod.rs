//! `signpost dev`: starts a local cluster, says where everything is, and tells what happens to it
//! until it is told to stop. It restarts nothing by itself, for that is what one wants to watch.
//!
//! | module | holds |
//! | --- | --- |
//! | [`picture`] | what was seen, and how to tell the difference between two looks |

mod picture;

use std::fmt::Write as _;
use std::time::Duration;

use signpost_chaos::process::{Process, ending};
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::picture::{Broker, Picture, Replica, differences};
use crate::cli::dev::Options;
use crate::failure::{Failure, OK};
use crate::local::cluster::{LocalCluster, leader_of};
use crate::local::plan::{BROKERS, Plan, REPLICAS, replica_name};
use crate::output;
use crate::stop;
use crate::units::{exact_duration, readable_duration};

/// Between two looks at the cluster.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Runs the cluster until Ctrl-C.
///
/// # Errors
/// When it does not come up.
pub(crate) async fn run(options: &Options) -> Result<u8, Failure> {
    let stop = stop::on_signals()?;
    let (data_dir, mut temporary) = match &options.data_dir {
        Some(dir) => (std::path::absolute(dir)?, None),
        None => {
            let dir = tempfile::Builder::new().prefix("signpost-dev-").tempdir()?;
            (dir.path().to_owned(), Some(dir))
        }
    };
    let plan = Plan {
        data_dir,
        port_offset: options.port_offset,
        lease_ttl: options.lease_ttl,
        scan_interval: options.scan_interval,
    };
    let begun = Instant::now();
    output::line("starting three replicas and two brokers …");
    let mut cluster = LocalCluster::prepare(plan)?;
    let ended = tokio::select! {
        ended = start_and_watch(&mut cluster, begun) => ended,
        () = stop.cancelled() => Ok(()),
    };
    if let (Err(_), Some(dir)) = (&ended, &mut temporary) {
        // The failure holds the last words of who failed; the logs tell the rest.
        dir.disable_cleanup(true);
        output::complain(format!("the logs are in {}", dir.path().join("logs").display()));
    }
    output::line("\nstopping …");
    cluster.stop().await;
    ended?;
    match &temporary {
        Some(_) => output::line("stopped; the temporary data is removed"),
        None => {
            let dir = cluster.plan.data_dir.display();
            output::line(format!("stopped; data and logs are in {dir}"));
        }
    }
    Ok(OK)
}

/// Starts everything, then looks at it again and again and tells what has changed. Ends only with
/// a failure.
async fn start_and_watch(cluster: &mut LocalCluster, begun: Instant) -> Result<(), Failure> {
    cluster.start_replicas().await?;
    cluster.start_brokers().await?;
    output::line(format!("… all up after {}\n", readable_duration(begun.elapsed())));
    let begun = Instant::now();
    let mut before = look(cluster).await;
    output::text(&introduction(cluster, &before))?;
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaderless_since: Option<Instant> = None;
    loop {
        ticks.tick().await;
        let now = look(cluster).await;
        let without_leader = leaderless_since.map(|since| since.elapsed());
        for event in differences(&before, &now, without_leader) {
            output::line(format!("{:>8.2}s  {event}", begun.elapsed().as_secs_f64()));
        }
        leaderless_since = match now.leader {
            None => leaderless_since.or_else(|| Some(Instant::now())),
            Some(_) => None,
        };
        before = now;
    }
}

/// One look: every replica's own words, the processes, and the brokers' registrations.
async fn look(cluster: &mut LocalCluster) -> Picture {
    let mut picture = Picture::default();
    for (id, process) in &mut cluster.replicas {
        let (end, restart) = (end_of(process), process.command_line());
        picture.replicas.insert(*id, Replica { end, answers: false, restart });
    }
    for (name, process) in &mut cluster.brokers {
        let (end, restart) = (end_of(process), process.command_line());
        let broker = Broker { end, epoch: None, restart };
        picture.brokers.insert(name.clone(), broker);
    }
    let (statuses, registered) = tokio::join!(cluster.statuses(), cluster.registered());
    picture.leader = leader_of(&statuses);
    for (id, status) in &statuses {
        if let Some(replica) = picture.replicas.get_mut(id) {
            replica.answers = status.is_some();
        }
    }
    picture.registered_is_known = registered.is_some();
    for entry in registered.into_iter().flatten() {
        if let Some(broker) = picture.brokers.get_mut(&entry.name) {
            broker.epoch = Some(entry.epoch);
        }
    }
    picture
}

fn end_of(process: &mut Process) -> Option<String> {
    process.ended().map(ending)
}

/// Where everything is, and what to try.
fn introduction(cluster: &LocalCluster, now: &Picture) -> String {
    let plan = &cluster.plan;
    let mut text = String::new();
    let mut table = output::Table::new(["PROCESS", "PID", "LISTENS ON", "LOG"]);
    for id in REPLICAS {
        let name = replica_name(id);
        table.row([
            name.clone(),
            cluster.replicas.get(&id).map(|p| p.pid().to_string()).unwrap_or_default(),
            format!(
                "{} (RocketMQ's protocol), http://{}, peers {}",
                plan.remoting(id),
                plan.http(id),
                plan.peer(id)
            ),
            plan.log_of(&name).display().to_string(),
        ]);
    }
    for name in BROKERS {
        table.row([
            name.to_owned(),
            cluster.brokers.get(name).map(|p| p.pid().to_string()).unwrap_or_default(),
            format!("{} (RocketMQ's protocol)", plan.broker(name)),
            plan.log_of(name).display().to_string(),
        ]);
    }
    let leader = now.leader.map(|(_, id)| id);
    let leads = leader.map_or("nobody leads yet".to_owned(), |id| format!("replica {id} leads"));
    let token = plan.dir_of(&replica_name(1)).join("admin-token");
    let _ =
        write!(text, "{table}\n{leads}; brokers' leases last {}; ", exact_duration(plan.lease_ttl));
    let _ = writeln!(text, "admin token: {}", token.display());
    let _ = writeln!(text, "for RocketMQ's programs: namesrvAddr={}\n", plan.namesrv_addr());
    text.push_str(&suggestions(cluster, leader));
    text
}

/// What to try next, as lines to copy.
fn suggestions(cluster: &LocalCluster, leader: Option<u64>) -> String {
    let plan = &cluster.plan;
    // The commands' default replicas are those of an unshifted cluster.
    let at = match plan.port_offset {
        0 => String::new(),
        _ => format!(" --namesrv {}", plan.namesrv()),
    };
    // As it was typed: under `cargo run` that is the path of the built executable.
    let signpost = std::env::args().next().unwrap_or_else(|| "signpost".to_owned());
    let leader = leader.and_then(|id| cluster.replicas.get(&id));
    let broker = cluster.brokers.values().next();
    let kill = |process: &Process| format!("kill -9 {}", process.pid());
    let lines = [
        (leader.map(kill), "the leader: watch who takes over"),
        (Some(format!("{signpost} produce --topic demo --count 10000{at}")), "messages, meanwhile"),
        (Some(format!("{signpost} route demo --watch{at}")), "its route, as it changes"),
        (broker.map(kill), "a broker: its routes go when its lease ends"),
        (Some(format!("{signpost} cluster status{at}")), "the replicas: equal digests everywhere"),
    ];
    let mut text = String::from("Try, in another terminal:\n");
    for (line, why) in lines.into_iter().filter_map(|(line, why)| Some((line?, why))) {
        let _ = writeln!(text, "  {line}    # {why}");
    }
    text.push_str("Ctrl-C stops everything.\n\n");
    text
}
