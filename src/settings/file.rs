//! The TOML file: its keys are the options' long names.
//!
//! A file may be flat (the options of the one command it is for) or have a table for each command
//! (`[namesrv]`, `[broker]`), so that all processes of a machine can share it. A key that no
//! option has is an error in either, also in the tables of commands that are not being run.

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use super::is_flag_only;

/// Makes the values of the file the defaults of the options of that name.
///
/// # Errors
/// What is wrong with the file, with the key's full name.
pub(super) fn layer(tree: Command, command_path: &[String], text: &str) -> Result<Command, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let Some(run) = command_path.first() else { return Ok(tree) };
    let mut tree = tree;
    for (key, value) in table {
        if let (Some(name), Value::Table(section)) = (command_name(&tree, &key), &value) {
            // Before the options: `[namesrv]` is a table also for commands with `--namesrv`.
            tree = within(tree, &name, section, &key)?;
        } else if option(&tree, &key).is_some() {
            tree = set(tree, &key, &key, &value)?;
        } else if tree.find_subcommand(run).is_some_and(|run| option(run, &key).is_some()) {
            let mut outcome = Ok(());
            tree = tree.mut_subcommand(run, |run| attempt(&mut outcome, run, &key, &key, &value));
            outcome?;
        } else {
            let known = tree.get_subcommands().map(|command| command.get_name().to_owned());
            let run = tree.find_subcommand(run).into_iter().flat_map(option_names);
            let known = known.chain(option_names(&tree)).chain(run);
            return Err(unknown(&key, &key, known.collect()));
        }
    }
    Ok(tree)
}

/// Layers the table of one command.
fn within(tree: Command, name: &str, section: &Table, path: &str) -> Result<Command, String> {
    let mut outcome = Ok(());
    let tree = tree.mut_subcommand(name, |mut command| {
        for (key, value) in section {
            let path = format!("{path}.{key}");
            if option(&command, key).is_none() {
                let mut known: Vec<String> = option_names(&command).collect();
                known.extend(command.get_subcommands().map(|c| c.get_name().to_owned()));
                match (command_name(&command, key), value) {
                    (Some(name), Value::Table(section)) => {
                        match within(command.clone(), &name, section, &path) {
                            Ok(layered) => command = layered,
                            Err(why) => outcome = Err(why),
                        }
                    }
                    _ => outcome = Err(unknown(key, &path, known)),
                }
            } else {
                command = attempt(&mut outcome, command, key, &path, value);
            }
            if outcome.is_err() {
                break;
            }
        }
        command
    });
    outcome.map(|()| tree)
}

/// [`set`] inside clap's closures, which cannot fail.
fn attempt(
    outcome: &mut Result<(), String>,
    command: Command,
    key: &str,
    path: &str,
    value: &Value,
) -> Command {
    match set(command.clone(), key, path, value) {
        Ok(command) => command,
        Err(why) => {
            *outcome = Err(why);
            command
        }
    }
}

fn set(command: Command, key: &str, path: &str, value: &Value) -> Result<Command, String> {
    let Some(arg) = option(&command, key) else { return Ok(command) };
    let values = values_of(value).map_err(|why| format!("{path}: {why}"))?;
    let many = matches!(arg.get_action(), ArgAction::Append);
    if !many && values.len() != 1 {
        return Err(format!("{path}: expected one value, got {}", values.len()));
    }
    let id = arg.get_id().clone();
    Ok(command.mut_arg(id, |arg| arg.required(false).default_values(values)))
}

/// A scalar is one value, an array many; a table lists `key=value` (as `--peers` takes them).
fn values_of(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(values) => values.iter().map(scalar).collect(),
        Value::Table(table) => {
            let pair = |(key, value)| Ok(format!("{key}={}", scalar(value)?));
            table.iter().map(pair).collect()
        }
        value => Ok(vec![scalar(value)?]),
    }
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        other => {
            Err(format!("expected a string, a number or a truth value, got {}", other.type_str()))
        }
    }
}

fn option<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_opts().find(|arg| arg.get_long() == Some(key) && !is_flag_only(arg))
}

fn option_names(command: &Command) -> impl Iterator<Item = String> {
    let options = command.get_opts().filter(|arg| !is_flag_only(arg));
    options.filter_map(|arg| arg.get_long().map(str::to_owned))
}

fn command_name(command: &Command, key: &str) -> Option<String> {
    command.find_subcommand(key).map(|found| found.get_name().to_owned())
}

fn unknown(key: &str, path: &str, known: Vec<String>) -> String {
    let nearest = known.into_iter().min_by_key(|name| strsim::damerau_levenshtein(name, key));
    match nearest {
        Some(name) => format!("unknown key {path:?}; the nearest known one is {name:?}"),
        None => format!("unknown key {path:?}"),
    }
}
