//! The programs of the tests, as cargo builds them with the planted bugs, and what they say when they
//! are run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than any of them takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// Between two looks whether one has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Names the bugs and faults that are planted in a process.
const PLANTED: &str = "SIGNPOST_PLANTED";

/// A built test program, and the directory that cargo would run it in.
#[derive(Debug, Clone)]
struct Program {
    path: PathBuf,
    package: PathBuf,
}

/// All of them, by the names of their targets.
#[derive(Debug)]
pub(crate) struct Programs(BTreeMap<String, Program>);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None: it had to be ended.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) said: String,
    pub(crate) took: Duration,
}

impl Programs {
    /// Has cargo build these, as it has built this one; mostly it has nothing to do.
    ///
    /// # Panics
    /// When that fails.
    pub(crate) fn build(targets: &[&str]) -> Self {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        command.args(["test", "--workspace", "--locked", "--features", "planted-bugs"]);
        command.args(["--no-run", "--message-format", "json"]);
        for target in targets {
            command.args(["--test", target]);
        }
        let built = command.stderr(Stdio::inherit()).output().expect("cargo can be run");
        assert!(built.status.success(), "the tests cannot be built");
        let messages = String::from_utf8_lossy(&built.stdout);
        let program = |line: &str| {
            let message: Value = serde_json::from_str(line).ok()?;
            let path =
                message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?;
            let name = message["target"]["name"].as_str()?.replace('-', "_");
            let manifest = PathBuf::from(message["manifest_path"].as_str()?);
            let package = manifest.parent()?.to_owned();
            Some((name, Program { path: path.into(), package }))
        };
        Self(messages.lines().filter_map(program).collect())
    }

    /// Runs one with these arguments and, if any, this bug.
    ///
    /// # Panics
    /// When there is no such program, or it does not start.
    pub(crate) fn run(&self, target: &str, arguments: &[&str], bug: Option<&str>) -> Ended {
        let program = self.0.get(target).unwrap_or_else(|| panic!("no program {target} was built"));
        let output = tempfile::NamedTempFile::new().expect("a temporary file");
        let handle = || File::options().append(true).open(output.path()).expect("it is there");
        let begun = Instant::now();
        let mut child = Command::new(&program.path)
            .args(arguments)
            .current_dir(&program.package)
            .env_remove(PLANTED)
            .envs(bug.map(|bug| (PLANTED, bug)))
            .stdin(Stdio::null())
            .stdout(handle())
            .stderr(handle())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.path.display()));
        let status = loop {
            match child.try_wait().expect("a child can be waited for") {
                Some(status) => break Some(status),
                None if begun.elapsed() > PATIENCE => {
                    child.kill().expect("our own child");
                    child.wait().expect("our own child");
                    break None;
                }
                None => sleep(LOOK_INTERVAL),
            }
        };
        let said = fs::read(output.path()).expect("it is there");
        let said = String::from_utf8_lossy(&said).into_owned();
        Ended { status, said, took: begun.elapsed() }
    }
}
