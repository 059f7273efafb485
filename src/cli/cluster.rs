//! `signpost cluster`: the name cluster itself.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use signpost_client::types::{ClusterStatus, Member, Written};
use tokio::task::JoinSet;

use super::target::{Admin, Target};
use crate::failure::{FAILED, Failure, OK};
use crate::output::{self, Format, Table};
use crate::probe;
use crate::units::parse_host_port;

/// Shows and operates the name cluster
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    admin: Admin,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Asks every replica how it stands; exit code 1 unless all voters answer and one leads
    Status,
    /// Lists the members
    Members,
    /// Adds a replica that was started with --join, as a learner
    Add {
        /// Its number, never used before in this cluster
        id: u64,
        /// Its peers' port, HOST:PORT
        #[arg(value_parser = parse_host_port)]
        peer: String,
    },
    /// Gives a learner a vote
    Promote {
        /// Its number
        id: u64,
    },
    /// Removes a member, for good: its number is never used again
    Remove {
        /// Its number
        id: u64,
    },
    /// Hands leadership to another voter
    Transfer {
        /// Its number
        id: u64,
    },
    /// Has the replica that is asked save a snapshot of its tables and cut its log
    Snapshot,
    /// Lists the alarms
    Alarms,
    /// Confirms an alarm; for mass-expiry: lets the brake go
    Release {
        /// The alarm's kind, as `alarms` lists it
        kind: String,
    },
}

/// Does what was asked for.
pub(crate) async fn run(options: &Options, format: Format) -> Result<u8, Failure> {
    let Options { target, admin, action } = options;
    let said = |written: Written, what: String| {
        let text = format!("{what}, at index {}\n", written.index);
        output::answer(format, &written, || text).map(|()| OK).map_err(Failure::from)
    };
    match action {
        Action::Status => status(target, format).await,
        Action::Members => {
            let members = target.client()?.cluster_status().await?.value.members;
            output::answer(format, &members, || member_table(&members).to_string())?;
            Ok(OK)
        }
        Action::Add { id, peer } => {
            let written = target.admin_client(admin)?.add_member(*id, peer).await?.value;
            said(written, format!("replica {id} is a learner; give it a vote with `promote {id}`"))
        }
        Action::Promote { id } => {
            let written = target.admin_client(admin)?.promote_member(*id).await?.value;
            said(written, format!("replica {id} is a voter"))
        }
        Action::Remove { id } => {
            let written = target.admin_client(admin)?.remove_member(*id).await?.value;
            said(written, format!("replica {id} is removed"))
        }
        Action::Transfer { id } => {
            let answer = target.admin_client(admin)?.transfer_leadership(*id).await?.value;
            output::answer(format, &answer, || format!("replica {id} leads\n"))?;
            Ok(OK)
        }
        Action::Snapshot => {
            let written = target.admin_client(admin)?.snapshot().await?.value;
            said(written, "a snapshot is saved".to_owned())
        }
        Action::Alarms => {
            let client = match admin.token_file {
                Some(_) => target.admin_client(admin)?,
                None => target.client()?,
            };
            let alarms = client.alarms().await?.value;
            output::answer(format, &alarms, || {
                let mut table = Table::new(["ALARM", "AGE_MS", "DETAIL"]);
                for alarm in &alarms.alarms {
                    let age = alarm.age_ms.map(|age| age.to_string()).unwrap_or_default();
                    table.row([alarm.kind.clone(), age, alarm.detail.clone()]);
                }
                table.to_string()
            })?;
            Ok(OK)
        }
        Action::Release { kind } => {
            let answer = target.admin_client(admin)?.release_alarm(kind).await?.value;
            output::answer(format, &answer, || format!("{kind} is released\n"))?;
            Ok(OK)
        }
    }
}

fn member_table(members: &[Member]) -> Table {
    let mut table = Table::new(["ID", "ROLE", "PEER", "HTTP", "REMOTING", "DISK"]);
    for Member { id, role, peer, http, remoting, disk_id } in members {
        let [role, peer, http] = [role, peer, http].map(String::clone);
        table.row([id.to_string(), role, peer, http, remoting.clone(), disk_id.clone()]);
    }
    table
}

/// How the cluster stands, by the words of each of its replicas.
#[derive(Debug, Serialize)]
struct Standing {
    /// All voters answer, and agree on who leads.
    ok: bool,
    replicas: Vec<ReplicaStanding>,
}

#[derive(Debug, Serialize)]
struct ReplicaStanding {
    /// Where it was asked.
    http: String,
    #[serde(flatten)]
    answer: ReplicaAnswer,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum ReplicaAnswer {
    #[serde(rename = "status")]
    Status(ClusterStatus),
    Error(String),
}

/// Asks the replicas given, and those that they name as members, each by itself.
async fn status(target: &Target, format: Format) -> Result<u8, Failure> {
    let mut answers: BTreeMap<String, ReplicaAnswer> = BTreeMap::new();
    let mut asking = JoinSet::new();
    let mut asked = Vec::new();
    let within = target.timeout;
    let mut ask = |asking: &mut JoinSet<_>, address: &str| {
        let address = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        if !address.is_empty() && !asked.contains(&address) {
            asked.push(address.clone());
            asking.spawn(async move { (probe::status(&address, within).await, address) });
        }
    };
    // Refuses addresses that cannot be read.
    for address in target.client()?.replicas() {
        ask(&mut asking, &address);
    }
    while let Some(joined) = asking.join_next().await {
        let (answer, address) = joined.map_err(Failure::failed)?;
        let answer = match answer {
            Ok(status) => {
                status.members.iter().for_each(|member| ask(&mut asking, &member.http));
                ReplicaAnswer::Status(status)
            }
            Err(error) => ReplicaAnswer::Error(error),
        };
        answers.insert(address, answer);
    }
    let replicas =
        answers.into_iter().map(|(http, answer)| ReplicaStanding { http, answer }).collect();
    let standing = judge(replicas);
    output::answer(format, &standing, || standing_table(&standing))?;
    Ok(if standing.ok { OK } else { FAILED })
}

fn judge(mut replicas: Vec<ReplicaStanding>) -> Standing {
    // One replica may be known under two addresses: its number counts.
    let mut seen = Vec::new();
    replicas.retain(|replica| match &replica.answer {
        ReplicaAnswer::Error(_) => true,
        ReplicaAnswer::Status(status) => {
            let new = !seen.contains(&status.node_id);
            seen.push(status.node_id);
            new
        }
    });
    replicas.sort_by_key(|replica| match &replica.answer {
        ReplicaAnswer::Status(status) => status.node_id,
        ReplicaAnswer::Error(_) => u64::MAX,
    });
    let statuses: Vec<&ClusterStatus> = replicas
        .iter()
        .filter_map(|replica| match &replica.answer {
            ReplicaAnswer::Status(status) => Some(status),
            ReplicaAnswer::Error(_) => None,
        })
        .collect();
    let leader = statuses.iter().find(|status| status.role == "leader").map(|s| s.node_id);
    let members = statuses.iter().max_by_key(|status| status.applied).map(|s| &s.members);
    let voters_answer = members.into_iter().flatten().filter(|m| m.role == "voter").all(|voter| {
        statuses.iter().any(|status| status.node_id == voter.id && status.leader == leader)
    });
    let ok = leader.is_some() && voters_answer;
    Standing { ok, replicas }
}

fn standing_table(standing: &Standing) -> String {
    let mut table = Table::new(["ID", "ROLE", "TERM", "LEADER", "APPLIED", "DIGEST", "HTTP"]);
    let mut notes = String::new();
    for replica in &standing.replicas {
        match &replica.answer {
            ReplicaAnswer::Status(status) => table.row([
                status.node_id.to_string(),
                status.role.clone(),
                status.term.to_string(),
                status.leader.map(|leader| leader.to_string()).unwrap_or_default(),
                status.applied.to_string(),
                status.digest.clone(),
                replica.http.clone(),
            ]),
            ReplicaAnswer::Error(error) => {
                let nothing = String::new;
                let role = "unreachable".to_owned();
                let http = replica.http.clone();
                table.row([nothing(), role, nothing(), nothing(), nothing(), nothing(), http]);
                notes.push_str(&format!("{}: {error}\n", replica.http));
            }
        }
    }
    format!("{table}{notes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, role: &str) -> Member {
        Member { id, role: role.to_owned(), ..Member::default() }
    }

    fn up(node_id: u64, role: &str, leader: Option<u64>) -> ReplicaStanding {
        let members = vec![member(1, "voter"), member(2, "voter"), member(3, "learner")];
        let role = role.to_owned();
        let status = ClusterStatus { node_id, role, leader, members, ..ClusterStatus::default() };
        ReplicaStanding { http: format!("h:{node_id}"), answer: ReplicaAnswer::Status(status) }
    }

    fn down(http: &str) -> ReplicaStanding {
        let answer = ReplicaAnswer::Error("failed: nobody there".to_owned());
        ReplicaStanding { http: http.to_owned(), answer }
    }

    #[test]
    fn a_cluster_stands_when_every_voter_answers_and_follows_one_leader() {
        assert!(judge(vec![up(2, "follower", Some(1)), up(1, "leader", Some(1))]).ok);
        let learner_down = vec![up(1, "leader", Some(1)), up(2, "follower", Some(1)), down("h:3")];
        assert!(judge(learner_down).ok, "a learner does not count");
        assert!(!judge(vec![up(1, "leader", Some(1)), down("h:2")]).ok);
        assert!(!judge(vec![up(1, "follower", Some(2)), up(2, "follower", None)]).ok);
        assert!(!judge(vec![up(1, "leader", Some(1)), up(2, "follower", None)]).ok);
        assert!(!judge(vec![down("h:1")]).ok);
        assert!(!judge(Vec::new()).ok);
    }

    #[test]
    fn a_replica_under_two_addresses_is_one() {
        let standing = judge(vec![up(1, "leader", Some(1)), up(1, "leader", Some(1)), down("h:2")]);
        assert_eq!(standing.replicas.len(), 2);
        let shown = standing_table(&standing);
        assert_eq!(shown.lines().count(), 4, "headers, one up, one down and why:\n{shown}");
        let json = serde_json::to_value(&standing).expect("JSON");
        assert_eq!(json["replicas"][0]["status"]["nodeId"], 1);
        assert_eq!(json["replicas"][1]["error"], "failed: nobody there");
    }
}
