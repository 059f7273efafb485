//! Where options come from: the command line wins over the environment, which wins over the file
//! of `--config`, which wins over the defaults.
//!
//! clap knows flags, environment and defaults, in that order; the file joins by becoming the
//! defaults. So an option has one name, one parser and one help text wherever it is given.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};

use crate::cli::Cli;

mod file;

/// A configuration file is read up to here.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Options that make no sense in a file or in the environment of a service.
const FLAG_ONLY: [&str; 3] = ["help", "version", "config"];

/// Reads the command line, the environment and the file.
///
/// # Errors
/// clap's, which prints itself and knows its exit code; help and version are among them.
pub(crate) fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let tree = with_environment(Cli::command());
    let Chosen { command_path, file } = choose(&tree, args)?;
    let (mut tree, source) = match file {
        None => (tree, None),
        Some(path) => {
            let layered = read(&path).and_then(|text| file::layer(tree, &command_path, &text));
            (layered.map_err(|why| file_error(&path, &why))?, Some(path))
        }
    };
    tree.try_get_matches_from_mut(args)
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches))
        .map_err(|error| name_source(error, source.as_deref()))
}

/// What must be known before the file can be read.
struct Chosen {
    /// The subcommand's name, and its subcommand's.
    command_path: Vec<String>,
    file: Option<PathBuf>,
}

/// A first look at the command line that forgives everything but `--help` and `--version`.
fn choose(tree: &Command, args: &[OsString]) -> Result<Chosen, clap::Error> {
    let matches = tree.clone().ignore_errors(true).try_get_matches_from(args)?;
    let mut file: Option<PathBuf> = matches.try_get_one("config").ok().flatten().cloned();
    let mut command_path = Vec::new();
    let mut level = &matches;
    while let Some((name, next)) = level.subcommand() {
        command_path.push(name.to_owned());
        if let Ok(Some(path)) = next.try_get_one::<PathBuf>("config") {
            file = Some(path.clone());
        }
        level = next;
    }
    Ok(Chosen { command_path, file })
}

/// Every long option may be given as `SIGNPOST_<OPTION>` too.
fn with_environment(command: Command) -> Command {
    let named = |arg: Arg| match arg.get_long() {
        Some(long) if long == "config" || !is_flag_only(&arg) => {
            let variable = format!("SIGNPOST_{}", long.replace('-', "_").to_ascii_uppercase());
            arg.env(variable).hide_env(true)
        }
        _ => arg,
    };
    command.mut_args(named).mut_subcommands(with_environment)
}

/// Options that a parent passes to its children are hidden, and stay out of files too.
fn is_flag_only(arg: &Arg) -> bool {
    arg.is_hide_set() || FLAG_ONLY.contains(&arg.get_id().as_str())
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let read = file.by_ref().take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    let bytes = read.map_err(|error| error.to_string())?;
    if bytes as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes, which no configuration is"));
    }
    Ok(text)
}

fn file_error(path: &Path, why: &str) -> clap::Error {
    let message = format!("configuration file {}: {}\n", path.display(), why.trim_end());
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, message)
}

/// A value that clap refuses may stand in the file: say so.
fn name_source(error: clap::Error, source: Option<&Path>) -> clap::Error {
    use clap::error::ErrorKind::{InvalidValue, ValueValidation};
    match (source, error.kind()) {
        (Some(path), InvalidValue | ValueValidation) => {
            let said = error.to_string();
            let said = said.strip_prefix("error: ").unwrap_or(&said).trim_end();
            let message = format!("{said}\n(options were also read from {})\n", path.display());
            clap::Error::raw(error.kind(), message)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests;
