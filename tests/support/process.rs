//! One process of the real binary: its signals, its log, its end.

use std::fs::{File, OpenOptions, read_dir, read_to_string};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::logs;
use super::wait::until;

/// A running process. It gets SIGKILL when this is dropped, a panic included, and stops by itself
/// when the test process is gone, however that ended.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    /// Only held: its end tells the process that its parent is gone.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts `signpost` with `args`, its output appended to the file `log`.
    pub(crate) fn spawn(
        name: &str,
        args: &[String],
        environment: &[(String, String)],
        log: PathBuf,
    ) -> Self {
        Self::launch(name, &[], args, environment, log)
    }

    /// The same by way of another program, whose last arguments the command line becomes.
    pub(crate) fn launch(
        name: &str,
        launcher: &[String],
        args: &[String],
        environment: &[(String, String)],
        log: PathBuf,
    ) -> Self {
        let mut command = signpost(launcher);
        command.args(args).arg("--exit-on-stdin-close").envs(environment.iter().cloned());
        Self::start(name, command, log)
    }

    /// Starts any program that stops when its stdin ends, its output appended to the file `log`.
    pub(crate) fn start(name: &str, mut command: Command, log: PathBuf) -> Self {
        let output = OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let errors = File::try_clone(&output).expect("a second handle");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let stdin = child.stdin.take();
        Self { name: name.to_owned(), log, child, _stdin: stdin }
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself; that is seen elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP; returns once all its threads have stopped.
    pub(crate) async fn pause(&self) {
        self.signal(Signal::STOP);
        until(&format!("{} stops", self.name), || async {
            match self.threads().into_iter().find(|state| !matches!(state, 'T' | 't' | 'Z' | 'X')) {
                Some(running) => Err(running),
                None => Ok(()),
            }
        })
        .await;
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM: a graceful stop begins.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let child = std::sync::Mutex::new(&mut self.child);
        until(&what, || async {
            let mut child = child.lock().expect("no panic under this lock");
            child.try_wait().expect("a child can be waited for").ok_or("it runs")
        })
        .await
    }

    /// How it ended, if it has.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// All that it and its forerunners of the same name have said.
    pub(crate) fn log(&self) -> String {
        logs::read(&self.log)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // Not reaped yet, so the number is still this process's own.
        kill_process(pid.expect("a process id"), signal).expect("our own child");
    }

    /// The state of each thread, as in /proc.
    fn threads(&self) -> Vec<char> {
        let tasks = read_dir(format!("/proc/{}/task", self.child.id())).expect("it has not ended");
        let state = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = read_to_string(task.ok()?.path().join("stat")).ok()?;
            // The name in parentheses may hold anything.
            stat.rsplit_once(')')?.1.trim_start().chars().next()
        };
        tasks.filter_map(state).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- the end of {}'s log\n{}", self.name, logs::tail(&self.log()));
        }
    }
}

/// The binary under test, behind its launcher if it has one, without the options of whoever runs the
/// tests.
fn signpost(launcher: &[String]) -> Command {
    let mut words = launcher.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_signpost")]);
    let mut command = Command::new(words.next().expect("there is a program"));
    command.args(words);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SIGNPOST_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

/// Runs a short command of the binary to its end, without holding up the runtime.
pub(crate) async fn run(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let whole = move || signpost(&[]).args(args).stdin(Stdio::null()).output();
    tokio::task::spawn_blocking(whole).await.expect("no panic").expect("the binary starts")
}
