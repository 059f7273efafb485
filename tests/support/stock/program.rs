//! A program that is told things on stdin and answers lines of JSON on stdout.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::{Duration, timeout};

use crate::support::logs;

/// A running program. It gets SIGKILL when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    log: PathBuf,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    child: Child,
}

/// The half that is told things, when another task listens.
#[derive(Debug)]
pub(crate) struct Teller {
    stdin: ChildStdin,
    /// Only held: dropping it kills the program.
    _child: Child,
}

/// The half that answers.
#[derive(Debug)]
pub(crate) struct Listener {
    name: String,
    log: PathBuf,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts it, its stderr in the file `log`, and waits for its first line.
    pub(crate) async fn start(name: &str, command: Command, log: &Path) -> Self {
        let errors = File::create(log).expect("a log file");
        let mut child = tokio::process::Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut program = Self { name: name.to_owned(), log: log.to_owned(), stdin, stdout, child };
        let first = program.answer(Duration::from_secs(60)).await;
        assert_eq!(first["ready"], true, "{name}: {first}");
        program
    }

    /// Tells it one line and waits for one.
    pub(crate) async fn ask(&mut self, line: &str, within: Duration) -> Value {
        tell(&mut self.stdin, line).await;
        self.answer(within).await
    }

    /// Both halves apart.
    pub(crate) fn split(self) -> (Teller, Listener) {
        let Self { name, log, stdin, stdout, child } = self;
        (Teller { stdin, _child: child }, Listener { name, log, stdout })
    }

    async fn answer(&mut self, within: Duration) -> Value {
        let answer = timeout(within, next(&mut self.stdout)).await;
        match answer {
            Ok(Some(value)) => value,
            Ok(None) => panic!("{} has ended:\n{}", self.name, tail(&self.log)),
            Err(_elapsed) => {
                panic!("{} said nothing within {within:?}:\n{}", self.name, tail(&self.log))
            }
        }
    }
}

impl Teller {
    /// Tells it one line.
    pub(crate) async fn tell(&mut self, line: &str) {
        tell(&mut self.stdin, line).await;
    }
}

impl Listener {
    /// The next line, or None when the program has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        next(&mut self.stdout).await
    }

    /// For whoever did not expect its end.
    pub(crate) fn last_words(&self) -> String {
        format!("{} has ended:\n{}", self.name, tail(&self.log))
    }
}

async fn tell(stdin: &mut ChildStdin, line: &str) {
    stdin.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
    stdin.flush().await.expect("it listens");
}

/// The next line that is JSON; stock classes print others too.
async fn next(stdout: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    loop {
        let line = stdout.next_line().await.ok()??;
        if let Ok(value @ Value::Object(_)) = serde_json::from_str(&line) {
            return Some(value);
        }
    }
}

fn tail(log: &Path) -> String {
    logs::tail(&logs::read(log))
}
