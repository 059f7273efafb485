//! `signpost demo`: a narrated failover on a cluster of its own. Real processes, real kills; what
//! it says is what it counted and measured, and its exit code tells whether a promise was broken.
//!
//! | module | holds |
//! | --- | --- |
//! | [`story`] | what happens, in order; the good times |
//! | [`deaths`] | the acts in which something dies |
//! | [`traffic`] | what goes on meanwhile: sends, writes to the name service, reads of it |
//! | [`compare`] | do all replicas say the same? |
//! | [`audit`] | is every acknowledged message in a broker's log? |
//! | [`verdict`] | the promises, kept or broken |

mod audit;
mod compare;
mod deaths;
mod story;
mod traffic;
mod verdict;

use tokio::time::Instant;

use self::story::Story;
use self::verdict::Verdict;
use crate::cli::demo::Options;
use crate::failure::{FAILED, Failure, OK};
use crate::local::cluster::LocalCluster;
use crate::local::plan::Plan;
use crate::output;
use crate::stop;
use crate::units::readable_duration;

/// Offsets that are tried, spread over the ports below those that systems hand out themselves.
const OFFSETS_TRIED: u16 = 100;
const OFFSET_STEP: u16 = 191;

/// Plays it.
///
/// # Errors
/// When the cluster does not come up, or something happens that the story cannot go on with.
pub(crate) async fn run(options: &Options) -> Result<u8, Failure> {
    let begun = Instant::now();
    let stop = stop::on_signals()?;
    let directory = tempfile::Builder::new().prefix("signpost-demo-").tempdir()?;
    let plan = plan(options, directory.path())?;
    output::line(
        "A name cluster of three replicas, and two brokers, as processes on this machine.",
    );
    let mut cluster = LocalCluster::prepare(plan)?;
    let mut verdict = Verdict::default();
    let mut story = Story::new(&mut cluster, begun, &mut verdict);
    let played = tokio::select! {
        played = story.play() => played,
        () = stop.cancelled() => Err(Failure::failed("stopped before its end")),
    };
    // Before anything else: what runs keeps writing to the directory.
    cluster.stop().await;
    let audited = match played {
        Ok(messages) => audit::messages(&cluster.plan, &messages, &mut verdict).await,
        Err(failure) => Err(failure),
    };
    let elapsed = readable_duration(begun.elapsed());
    let kept = audited.is_ok() && verdict.is_kept();
    if !kept && !stop.is_cancelled() {
        let logs = directory.keep().join("logs");
        output::complain(format!("what each process said is in {}", logs.display()));
    }
    audited?;
    output::line(format!("\nThe end, after {elapsed}:\n{verdict}"));
    Ok(if kept { OK } else { FAILED })
}

/// A plan on ports that are free now.
fn plan(options: &Options, directory: &std::path::Path) -> Result<Plan, Failure> {
    let mut plan = Plan {
        data_dir: directory.to_owned(),
        port_offset: 0,
        lease_ttl: options.lease_ttl,
        scan_interval: options.scan_interval,
    };
    // Several demos at once begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(OFFSETS_TRIED)).unwrap_or(0);
    for turn in 0..OFFSETS_TRIED {
        plan.port_offset = 1000 + (start + turn) % OFFSETS_TRIED * OFFSET_STEP;
        if plan.check_ports().is_ok() {
            return Ok(plan);
        }
    }
    Err(Failure::failed(plan.check_ports().err().unwrap_or_default()))
}
