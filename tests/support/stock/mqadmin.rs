//! Many `mqadmin` calls in one JVM.

use std::path::Path;
use std::time::Duration;

use super::artifacts::Version;
use super::java::{Memory, java};
use super::program::Program;

/// Longer than any call takes, its client's own timeouts included.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The stock `mqadmin` of one version.
#[derive(Debug)]
pub(crate) struct Mqadmin {
    program: Program,
}

/// What one call printed. Its exit code would tell nothing: it is 0 when it failed, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Printed {
    /// Stdout without the lines of its logging library.
    pub(crate) out: String,
    /// Stderr: stack traces.
    pub(crate) err: String,
}

impl Mqadmin {
    /// Starts the JVM, with its own directory `home`.
    pub(crate) async fn start(version: Version, home: &Path) -> Self {
        let memory = Memory { heap_mib: 128, direct_mib: 64 };
        let command = java(version, home, memory, "signpost.stock.Admin").await;
        let name = format!("stock mqadmin {}", version.number());
        Self { program: Program::start(&name, command, &home.join("mqadmin.log")).await }
    }

    /// One call at these name servers (separated by `;`).
    pub(crate) async fn call(&mut self, name_servers: &str, words: &[&str]) -> Printed {
        let line = [words, &["-n", name_servers]].concat().join("\t");
        let answer = self.program.ask(&line, CALL_TIMEOUT).await;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let out = text("out");
        let own = out.lines().filter(|line| !line.contains("|-"));
        Printed { out: own.collect::<Vec<_>>().join("\n"), err: text("err") }
    }
}
