//! One child process: its log, its signals, its end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};

/// How long a launcher may outlive the program that it started.
const LAUNCHER_GRACE: Duration = Duration::from_secs(10);
/// What of a log's end is shown when a child dies.
const TAIL_BYTES: u64 = 2048;

/// A running child process. It gets SIGKILL when this is dropped, and stops by itself when its stdin ends,
/// however the parent died.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: Vec<String>,
    log: PathBuf,
    pid: u32,
    child: Child,
    /// Only held: its end is the child's sign that the parent is gone.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts a program of ours, given with its options, its output appended to the file `log`. With
    /// a `launcher` (`ip netns exec NAME`, for instance) that is run instead, and is to become or to
    /// start the program.
    ///
    /// # Errors
    /// When the log cannot be opened or the process not be started.
    pub fn spawn(
        name: &str,
        launcher: &[String],
        program: Vec<String>,
        log: PathBuf,
    ) -> io::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut words = launcher.iter().chain(&program);
        let first = words.next().ok_or_else(|| io::Error::other("no program was named"))?;
        let mut command = Command::new(first);
        command
            .args(words)
            .arg("--exit-on-stdin-close")
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C at the terminal is for the parent, which stops its children in order.
            .process_group(0)
            .kill_on_drop(true);
        // Options of the parent are not for its children.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("SIGNPOST_") && text != "SIGNPOST_PLANTED" {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("the child has no process id"))?;
        let stdin = child.stdin.take();
        Ok(Self { name: name.to_owned(), program, log, pid, child, _stdin: stdin })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id; that of a child that has ended may belong to another process by now.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The line that starts the same process by hand.
    pub fn command_line(&self) -> String {
        self.program.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// SIGSTOP: it stands still, with its connections open, until [`Process::resume`].
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("no process id"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// From now on signals go to the only child of the launcher: for one that forks (`unshare
    /// --fork`), and dies with its child.
    ///
    /// # Errors
    /// When there is no such child after a second.
    pub async fn follow_fork(&mut self) -> io::Result<()> {
        let children = format!("/proc/{0}/task/{0}/children", self.pid);
        for _ in 0..100 {
            let listed = std::fs::read_to_string(&children)?;
            if let Some(pid) = listed.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
                self.pid = pid;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(io::Error::other("the launcher started nothing"))
    }

    /// kill -9, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> io::Result<()> {
        // Behind a launcher that forks, the launcher's end says that of the program: its sockets are
        // closed then, and its files. One that is gone already is no failure.
        let _ = self.signal(Signal::KILL);
        match tokio::time::timeout(LAUNCHER_GRACE, self.child.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(_elapsed) => self.child.kill().await,
        }
    }

    /// SIGTERM, and SIGKILL if it has not ended after `grace`.
    pub async fn stop(&mut self, grace: Duration) {
        if self.ended().is_some() {
            return;
        }
        let asked = self.signal(Signal::TERM).is_ok();
        if !asked || tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            // It may just have ended by itself.
            let _ = self.child.kill().await;
        }
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("{}: {error}", self.log.display()))
    }
}

/// How a process ended, in words.
pub fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(9), _) => "killed by signal 9 (SIGKILL)".to_owned(),
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(0)) => "stopped as asked".to_owned(),
        (None, code) => format!("exit code {}", code.unwrap_or(-1)),
    }
}

pub(crate) fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line is most likely cut.
    let text =
        if length > TAIL_BYTES { text.split_once('\n').map_or("", |(_, t)| t) } else { &text };
    Ok(text.trim_end().to_owned())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A program that was killed and is not gone yet still has its ports.
    #[tokio::test]
    async fn a_kill_waits_for_the_program_behind_a_launcher_that_forks() {
        let dir = tempfile::tempdir().expect("a directory of the test's own");
        let words =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let launcher = words(&["sh", "-c", "\"$@\"; exit 7", "launcher"]);
        let program = words(&["sh", "-c", "exec sleep 1000"]);
        let mut process =
            Process::spawn("sleeper", &launcher, program, dir.path().join("log")).expect("sh");
        process.follow_fork().await.expect("the launcher forks");
        process.kill().await.expect("killed");
        let end = process.ended().expect("it has ended");
        assert_eq!(end.code(), Some(7), "the launcher was not left to see the program's end");
    }

    #[test]
    fn words_are_quoted_as_a_shell_takes_them() {
        assert_eq!(quoted("--peers"), "--peers");
        assert_eq!(quoted("1=127.0.0.1:7876,2=b:1"), "1=127.0.0.1:7876,2=b:1");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn endings_are_told_in_words() {
        assert_eq!(ending(ExitStatus::from_raw(9)), "killed by signal 9 (SIGKILL)");
        assert_eq!(ending(ExitStatus::from_raw(11)), "killed by signal 11");
        assert_eq!(ending(ExitStatus::from_raw(3 << 8)), "exit code 3");
        assert_eq!(ending(ExitStatus::from_raw(0)), "stopped as asked");
    }

    #[test]
    fn the_tail_is_bounded_and_begins_with_a_whole_line() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(tail(file.path()).expect("read"), "");
        writeln!(file, "first").expect("written");
        assert_eq!(tail(file.path()).expect("read"), "first");
        for n in 0..1000 {
            writeln!(file, "line {n}").expect("written");
        }
        let shown = tail(file.path()).expect("read");
        assert!(shown.starts_with("line ") && shown.ends_with("line 999"), "{shown}");
        assert!(shown.len() as u64 <= TAIL_BYTES);
    }
}
