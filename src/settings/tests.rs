use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::cli::Command as Run;

const REPLICA: &str = "node-id = 2\ncluster-id = \"c\"\ndata-dir = \"/d\"\n";

fn words(line: &str) -> Vec<OsString> {
    std::iter::once("signpost").chain(line.split_whitespace()).map(OsString::from).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn with_file(text: &str, line: &str) -> Result<Cli, clap::Error> {
    let file = file(text);
    let mut args = words(line);
    args.push("--config".into());
    args.push(file.path().into());
    parse(&args)
}

fn namesrv(cli: Cli) -> crate::cli::namesrv::Options {
    match cli.command {
        Run::Namesrv(options) => *options,
        other => panic!("another command: {other:?}"),
    }
}

fn refused(text: &str, line: &str) -> String {
    with_file(text, line).expect_err("must be refused").to_string()
}

#[test]
fn the_tree_of_commands_is_sound() {
    with_environment(Cli::command()).debug_assert();
}

#[test]
fn a_flat_file_gives_the_options_of_the_command_that_runs() {
    let text =
        format!("{REPLICA}lease-ttl = \"3s\"\npeers = [\"1=a:1\", \"2=b:1\"]\njoin = true\n");
    let options = namesrv(with_file(&text, "namesrv").expect("read"));
    assert_eq!(options.node_id, 2);
    assert_eq!(options.lease_ttl, Duration::from_secs(3));
    assert_eq!(options.peers.len(), 2);
    assert!(options.join);
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_defaults() {
    let text = format!("{REPLICA}lease-ttl = \"3s\"\njoin = true\npeers = \"1=a:1,2=b:1\"\n");
    let line = "namesrv --lease-ttl 7s --peers 2=x:1 --join=false";
    let options = namesrv(with_file(&text, line).expect("read"));
    assert_eq!(options.lease_ttl, Duration::from_secs(7));
    assert_eq!(options.peers.len(), 1, "replaced, not added to");
    assert!(!options.join);
    assert_eq!(options.scan_interval, Duration::from_secs(10), "the default");
}

#[test]
fn each_command_has_a_table_and_peers_may_be_one() {
    let text = "log = \"debug\"\n[namesrv]\nnode-id = 1\ncluster-id = \"c\"\ndata-dir = \"/d\"\n\
                brake-share = 0.25\n[namesrv.peers]\n1 = \"a:1\"\n2 = \"b:1\"\n\
                [broker]\nname = \"broker-a\"\n";
    let cli = with_file(text, "namesrv --node-id 2").expect("read");
    assert_eq!(cli.global.log.as_deref(), Some("debug"));
    let options = namesrv(cli);
    assert_eq!(options.node_id, 2);
    assert_eq!(options.peers[1].address, "b:1");
    assert!((options.brake_share - 0.25).abs() < f64::EPSILON);
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let flat = refused(&format!("{REPLICA}lease-tll = \"3s\"\n"), "namesrv");
    assert!(flat.contains("\"lease-tll\"") && flat.contains("\"lease-ttl\""), "{flat}");
    let section = refused("[namesrv]\nscan_interval = \"3s\"\n", "namesrv");
    assert!(section.contains("\"namesrv.scan_interval\""), "{section}");
    assert!(section.contains("\"scan-interval\""), "{section}");
    let other = refused(&format!("{REPLICA}[broker]\nnaem = \"a\"\n"), "namesrv");
    assert!(other.contains("\"broker.naem\"") && other.contains("\"name\""), "{other}");
    let table = refused(&format!("{REPLICA}[namesrc]\n"), "namesrv");
    assert!(table.contains("\"namesrv\""), "{table}");
    let hidden = refused("[namesrv]\nexit-on-stdin-close = true\n", "namesrv");
    assert!(hidden.contains("unknown key"), "{hidden}");
}

#[test]
fn a_bad_value_is_refused_with_what_was_expected_and_where_it_stands() {
    let text = format!("{REPLICA}lease-ttl = 120\n");
    let said = refused(&text, "namesrv");
    assert!(said.contains("unit") && said.contains("--lease-ttl"), "{said}");
    assert!(said.contains("options were also read from"), "{said}");
    let said = refused(&format!("{REPLICA}lease-ttl = [\"1s\", \"2s\"]\n"), "namesrv");
    assert!(said.contains("lease-ttl: expected one value, got 2"), "{said}");
    let said = refused("node-id = = 1", "namesrv");
    assert!(said.contains("configuration file"), "{said}");
}

#[test]
fn a_missing_file_and_a_missing_option_are_said() {
    let said = parse(&words("namesrv --config /does/not/exist")).expect_err("no file").to_string();
    assert!(said.contains("/does/not/exist"), "{said}");
    let said = refused("lease-ttl = \"3s\"\n", "namesrv");
    assert!(said.contains("--node-id") && said.contains("--data-dir"), "{said}");
}

#[test]
fn every_option_has_a_variable_named_after_it() {
    let tree = with_environment(Cli::command());
    let namesrv = tree.find_subcommand("namesrv").expect("a command");
    let arg = namesrv.get_arguments().find(|arg| arg.get_id() == "lease_ttl").expect("an option");
    assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some("SIGNPOST_LEASE_TTL"));
    let hidden = namesrv.get_arguments().find(|arg| arg.get_id() == "exit_on_stdin_close");
    assert_eq!(hidden.expect("an option").get_env(), None);
}

/// The samples and units in `deploy/`, read as the services would read them.
mod deploy {
    use super::*;

    fn exec_start(unit: &str, instance: &str, config: &tempfile::NamedTempFile) -> Vec<OsString> {
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
        let line = line.expect("an ExecStart").replace("%i", instance).replace("%S", "/var/lib");
        let mut words = line.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let at = words.iter().position(|word| word == "--config").expect("a --config");
        words[at + 1] = config.path().into();
        words
    }

    #[test]
    fn the_sample_cluster_and_its_unit_are_understood() {
        let sample = file(include_str!("../../deploy/signpost.toml"));
        let unit = include_str!("../../deploy/systemd/signpost-namesrv@.service");
        for (instance, id) in [("1", 1), ("3", 3)] {
            let cli = parse(&exec_start(unit, instance, &sample)).expect("understood");
            assert_eq!(cli.global.log_format, crate::logging::LogFormat::Json);
            let options = namesrv(cli);
            assert_eq!((options.node_id, options.peers.len()), (id, 3));
            assert_eq!(options.data_dir.as_os_str(), &*format!("/var/lib/signpost-namesrv-{id}"));
            assert!(unit.contains("StateDirectory=signpost-namesrv-%i"));
        }
    }

    #[test]
    fn the_sample_broker_and_its_unit_are_understood() {
        let sample = file(include_str!("../../deploy/broker.toml"));
        let unit = include_str!("../../deploy/systemd/signpost-broker@.service");
        let cli = parse(&exec_start(unit, "broker-a", &sample)).expect("understood");
        let Run::Broker(options) = cli.command else { panic!("another command") };
        assert_eq!((&*options.name, options.namesrv.len()), ("broker-a", 3));
        assert_eq!(options.data_dir.as_os_str(), "/var/lib/signpost-broker-broker-a");
        assert!(unit.contains("StateDirectory=signpost-broker-%i"));
    }

    #[test]
    fn values_that_are_commented_out_are_the_defaults() {
        for (text, command) in [
            (include_str!("../../deploy/signpost.toml"), "namesrv"),
            (include_str!("../../deploy/broker.toml"), "broker"),
        ] {
            let tree = Cli::command();
            let command = tree.find_subcommand(command).expect("a command");
            for line in text.lines() {
                let Some((key, value)) = line.strip_prefix("# ").and_then(|l| l.split_once(" = "))
                else {
                    continue;
                };
                let arg = command.get_opts().chain(tree.get_opts());
                let arg = arg.into_iter().find(|arg| arg.get_long() == Some(key));
                let arg = arg.unwrap_or_else(|| panic!("{key} is no option"));
                let default = arg.get_default_values().first().and_then(|value| value.to_str());
                if let Some(default) = default {
                    assert_eq!(default, value.trim_matches('"'), "{key}");
                }
            }
        }
    }
}

#[test]
fn what_is_asked_for_may_be_said_before_or_after_the_subcommand() {
    for line in [
        "cluster --namesrv http://a:1,b:2 --token-file t transfer 2",
        "cluster transfer 2 --namesrv http://a:1,b:2 --token-file t -o json",
        "topic delete orders --namesrv http://a:1 --timeout 1s",
        "topic --namesrv http://a:1 list",
    ] {
        let cli = parse(&words(line));
        cli.unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let text = "[topic.create]\nread-queues = 8\n[cluster]\ntimeout = \"9s\"\n";
    with_file(text, "topic create orders").expect("tables of subcommands");
    let said = refused("[topic.create]\nread-queue = 8\n", "topic create orders");
    assert!(said.contains("\"topic.create.read-queue\"") && said.contains("\"read-queues\""));
}
