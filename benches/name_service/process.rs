//! One process: started with its output in a file, measured through /proc, killed when dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Result;

/// One tick of /proc/PID/stat: USER_HZ is 100 on every architecture of Linux that we build for.
const TICK: Duration = Duration::from_millis(10);
/// Longer than any start takes.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at something that is awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A running process. It gets SIGKILL when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command`, its output appended to the file `log`. Its stdin stays open until it is
    /// dropped, so that a child which watches it never outlives us.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SIGNPOST_") {
                command.env_remove(name);
            }
        }
        let child = command
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Self { log: log.to_owned(), child })
    }

    /// kill -9; returns when it is gone.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself, which whoever waits for it finds out.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// CPU time that it has used, in user and kernel, to within a hundredth of a second.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold anything; utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(')').ok_or("a stat line without a name")?.1;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        Ok(TICK * ticks.sum::<Result<u32, _>>()?)
    }

    /// Resident memory in bytes: now, and the most so far.
    pub(crate) fn resident(&self) -> Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            Ok(number.ok_or_else(|| format!("no {name} in its status"))?.parse::<u64>()? * 1024)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// Waits until its output holds `words`.
    pub(crate) async fn says(&mut self, words: &str) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !String::from_utf8_lossy(&fs::read(&self.log)?).contains(words) {
            self.still_runs()?;
            if Instant::now() > deadline {
                return Err(format!("{} never said {words:?}", self.log.display()).into());
            }
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// An error with its last words when it has ended.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let said = fs::read(&self.log)?;
                let tail = String::from_utf8_lossy(&said[said.len().saturating_sub(2048)..]);
                Err(format!("it ended by itself ({status}):\n{tail}").into())
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Looks until there is an answer, or `within` is over; `look` says what is still missing.
pub(crate) async fn until<T, F>(within: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        match look().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= deadline => {
                return Err(format!("not within {within:?}: {error}").into());
            }
            Err(_) => sleep(LOOK_INTERVAL).await,
        }
    }
}
