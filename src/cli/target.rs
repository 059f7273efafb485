//! Which name cluster a command talks to.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use signpost_client::{CallError, Client, Options as ClientOptions, Secret};

use crate::failure::{self, Failure};
use crate::units::parse_duration;

/// The replicas of `signpost dev`.
const DEV_REPLICAS: &str = "http://127.0.0.1:8876,http://127.0.0.1:8886,http://127.0.0.1:8896";

/// A token file is read up to here.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Options of every command that asks a name cluster; before or after its subcommand.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// Replicas of the name cluster; any of them will do [default: those of `signpost dev`]
    #[arg(long, global = true, value_name = "URL,…", value_delimiter = ',',
          default_value = DEV_REPLICAS, hide_default_value = true)]
    pub(crate) namesrv: Vec<String>,
    /// How long a call may take, all attempts at all replicas together
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s",
          value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// What calls on members, leadership, snapshots and alarms need.
#[derive(Debug, Clone, Args)]
pub(crate) struct Admin {
    /// File with the admin token of the replica that is asked: <data-dir>/admin-token there. Name
    /// that replica alone in --namesrv unless all have the same token
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

impl Target {
    /// A client of these replicas.
    ///
    /// # Errors
    /// When an address cannot be read.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.client_with(None)
    }

    /// A client that carries the admin token.
    ///
    /// # Errors
    /// When an address or the token cannot be read.
    pub(crate) fn admin_client(&self, admin: &Admin) -> Result<Client, Failure> {
        let Some(file) = &admin.token_file else {
            return Err(Failure::usage(
                "this needs the admin token: give --token-file <data-dir>/admin-token of the \
                 replica that is asked",
            ));
        };
        self.client_with(Some(read_token(file)?))
    }

    fn client_with(&self, admin_token: Option<Secret>) -> Result<Client, Failure> {
        let options =
            ClientOptions { call_timeout: self.timeout, admin_token, ..ClientOptions::default() };
        Client::new(&self.namesrv, options).map_err(Failure::usage)
    }
}

/// The token in a file, without the line's end.
///
/// # Errors
/// When the file cannot be read.
fn read_token(path: &Path) -> Result<Secret, Failure> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| Failure::failed(format!("admin token {}: {error}", path.display())))?;
    Ok(Secret::from(text.trim()))
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let code = if error.is_definite() { failure::FAILED } else { failure::UNKNOWN };
        Failure { code, message: error.to_string() }
    }
}
