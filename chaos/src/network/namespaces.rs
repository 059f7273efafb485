//! Each replica in a network namespace of its own, all on one bridge; nftables drops their packets.
//!
//! Everything is made inside a network and a mount namespace that this process has been started in
//! ([`enter`]), so that nothing of the machine is touched and nothing is left behind, however the
//! run ends. Root is not needed where users may make namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use signpost_raft::machine::NodeId;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::{Link, Trouble};
use crate::error::Error;

/// The first three bytes of all addresses; nothing outside the namespaces sees them.
const NET: [u8; 3] = [10, 66, 0];
/// This process, on the bridge.
const HUB: u8 = 254;
/// Replicas with higher numbers have no address.
pub const NODE_MAX: NodeId = 200;
/// A link so narrow that heartbeats wait behind log entries.
const NARROW: &[&str] = &["tbf", "rate", "400kbit", "burst", "1600", "latency", "400ms"];
/// Where the kernel has it: delay, as on a line across a continent, and jitter.
const DELAYED: &[&str] = &["netem", "delay", "60ms", "20ms"];

/// The ways into namespaces of one's own, the one without need of user namespaces first.
const WAYS: [&[&str]; 2] =
    [&["--net", "--mount"], &["--user", "--map-root-user", "--net", "--mount"]];

/// What has to work inside.
const PROBE: &str = "ip link set lo up && ip link add hub type bridge && mount -t tmpfs none /run \
    && mkdir /run/netns && ip netns add probe && ip link add h1 type veth peer name eth0 netns probe \
    && ip netns exec probe nft add table inet chaos";

/// The words before a command that start it inside fresh namespaces; None when this machine does not
/// allow them, or has no `unshare`, `ip` and `nft`.
pub async fn enter() -> Option<Vec<String>> {
    for way in WAYS {
        let mut probe = Command::new("unshare");
        probe.args(way).args(["sh", "-c", PROBE]);
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if probe.status().await.is_ok_and(|status| status.success()) {
            let words = std::iter::once("unshare").chain(way.iter().copied()).chain(["--"]);
            return Some(words.map(str::to_owned).collect());
        }
    }
    None
}

/// The address of a replica.
#[must_use]
pub fn address(node: NodeId) -> Ipv4Addr {
    let last = u8::try_from(node.min(NODE_MAX)).unwrap_or(u8::MAX);
    Ipv4Addr::new(NET[0], NET[1], NET[2], last)
}

/// The address of this process as the replicas see it.
#[must_use]
pub fn hub() -> Ipv4Addr {
    Ipv4Addr::new(NET[0], NET[1], NET[2], HUB)
}

/// The words before a command that start it in a replica's namespace.
#[must_use]
pub fn launcher(node: NodeId) -> Vec<String> {
    ["ip", "netns", "exec", &namespace(node)].map(str::to_owned).to_vec()
}

fn namespace(node: NodeId) -> String {
    format!("r{node}")
}

/// The namespaces of a run.
#[derive(Debug)]
pub struct Namespaces {
    delays: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeSet<NodeId>,
    troubles: BTreeMap<Link, Trouble>,
}

impl Namespaces {
    /// Makes the bridge. This process is inside namespaces of its own ([`enter`]).
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn create() -> Result<Namespaces, Error> {
        run("mount", ["-t", "tmpfs", "none", "/run"]).await?;
        run("mkdir", ["-p", "/run/netns"]).await?;
        run("ip", ["link", "set", "lo", "up"]).await?;
        run("ip", ["link", "add", "hub", "type", "bridge"]).await?;
        run("ip", ["addr", "add", &format!("{}/24", hub()), "dev", "hub"]).await?;
        run("ip", ["link", "set", "hub", "up"]).await?;
        let delays = run("tc", words("qdisc add dev lo root", DELAYED)).await.is_ok();
        if delays {
            run("tc", ["qdisc", "del", "dev", "lo", "root"]).await?;
        }
        Ok(Namespaces { delays, state: Mutex::default() })
    }

    /// Makes a replica's namespace and connects it.
    ///
    /// # Errors
    /// When the system refuses, or the number has no address.
    pub async fn add(&self, node: NodeId) -> Result<(), Error> {
        if node > NODE_MAX {
            return Err(Error::new(format!("there are no addresses above replica {NODE_MAX}")));
        }
        let (name, wire) = (namespace(node), format!("h{node}"));
        let address = format!("{}/24", address(node));
        run("ip", ["netns", "add", &name]).await?;
        let veth = ["link", "add", &wire, "type", "veth", "peer", "name", "eth0", "netns", &name];
        run("ip", veth).await?;
        run("ip", ["link", "set", &wire, "master", "hub", "up"]).await?;
        run("ip", ["-n", &name, "addr", "add", &address, "dev", "eth0"]).await?;
        run("ip", ["-n", &name, "link", "set", "eth0", "up"]).await?;
        run("ip", ["-n", &name, "link", "set", "lo", "up"]).await?;
        let table = "add table inet chaos\n\
            add chain inet chaos in { type filter hook input priority 0; }\n";
        nft(node, table).await?;
        self.state.lock().await.nodes.insert(node);
        Ok(())
    }

    /// From now on these links are in trouble, and no other.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn set(&self, troubles: &BTreeMap<Link, Trouble>) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        for node in state.nodes.clone() {
            let (old, new) = (into(&state.troubles, node), into(troubles, node));
            if old != new {
                nft(node, &rules(&new)).await?;
            }
            let (was, is) = (is_slow(&state.troubles, node), is_slow(troubles, node));
            if is && !was {
                let how = if self.delays { DELAYED } else { NARROW };
                let name = namespace(node);
                run("tc", words(&format!("-n {name} qdisc add dev eth0 root"), how)).await?;
            } else if was && !is {
                run("tc", ["-n", &namespace(node), "qdisc", "del", "dev", "eth0", "root"]).await?;
            }
        }
        state.troubles.clone_from(troubles);
        Ok(())
    }
}

/// What disturbs the way to this replica, by who sends.
fn into(troubles: &BTreeMap<Link, Trouble>, node: NodeId) -> BTreeMap<NodeId, Trouble> {
    let to = troubles.iter().filter(|((_, to), _)| *to == node);
    to.map(|((from, _), trouble)| (*from, *trouble)).collect()
}

fn is_slow(troubles: &BTreeMap<Link, Trouble>, from: NodeId) -> bool {
    troubles.iter().any(|((sender, _), trouble)| *sender == from && *trouble == Trouble::Slow)
}

/// The rules of a replica's own namespace.
fn rules(troubles: &BTreeMap<NodeId, Trouble>) -> String {
    let mut rules = "flush chain inet chaos in\n".to_owned();
    for (from, trouble) in troubles {
        let share = match trouble {
            Trouble::Cut => String::new(),
            Trouble::Lossy(share) => format!("numgen random mod 100 < {share} "),
            Trouble::Slow => continue,
        };
        let from = address(*from);
        rules += &format!("add rule inet chaos in ip saddr {from} {share}drop\n");
    }
    rules
}

async fn nft(node: NodeId, rules: &str) -> Result<(), Error> {
    let mut words = launcher(node);
    words.extend(["nft".to_owned(), "-f".to_owned(), "-".to_owned()]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("nft: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn words(first: &str, then: &[&str]) -> Vec<String> {
    first.split(' ').chain(then.iter().copied()).map(str::to_owned).collect()
}

async fn run<I>(program: &str, arguments: I) -> Result<(), Error>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output().await;
    let output = output.map_err(|error| Error::new(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(format!("{program} {:?}: {}", command.as_std().get_args(), said.trim())))
}

/// Puts a small file system of its own over a directory, to be filled up. It vanishes with the mount
/// namespace.
///
/// # Errors
/// When the system refuses.
pub async fn small_disk(at: &Path, mebibytes: u64) -> Result<(), Error> {
    let size = format!("size={mebibytes}m,mode=0700");
    let at = at.to_string_lossy();
    run("mount", ["-t", "tmpfs", "-o", &size, "none", &at]).await
}

/// Takes such a file system away again, so that its directory can be removed. It is gone at the latest
/// with the mount namespace.
pub async fn remove_disk(at: &Path) {
    let at = at.to_string_lossy();
    if let Err(error) = run("umount", ["-l", &at]).await {
        tracing::warn!(%error, "a small file system stays where it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_made_for_the_receiving_end() {
        let troubles = BTreeMap::from([
            ((1, 2), Trouble::Cut),
            ((2, 1), Trouble::Lossy(30)),
            ((3, 2), Trouble::Slow),
        ]);
        let cut = rules(&into(&troubles, 2));
        assert_eq!(
            cut,
            "flush chain inet chaos in\nadd rule inet chaos in ip saddr 10.66.0.1 drop\n"
        );
        let lossy = rules(&into(&troubles, 1));
        assert!(lossy.ends_with("10.66.0.2 numgen random mod 100 < 30 drop\n"), "{lossy}");
        assert!(is_slow(&troubles, 3) && !is_slow(&troubles, 2));
    }
}
