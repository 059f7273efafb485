//! One stock name server.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::artifacts::Version;
use super::java::{Memory, stock_program};
use crate::support::process::Process;
use crate::support::wait::until_within;

/// Several JVMs that start at once share two cores.
const BOOT_TIMEOUT: Duration = Duration::from_secs(90);

/// A running stock name server.
#[derive(Debug)]
pub(crate) struct NameServer {
    address: SocketAddr,
    /// Only held: dropping it kills the process.
    _process: Process,
}

impl NameServer {
    /// Starts one with its own directory `home`, and waits until it serves. `more` are settings
    /// beside its defaults.
    pub(crate) async fn start(
        version: Version,
        address: SocketAddr,
        home: &Path,
        more: &[(&str, &str)],
    ) -> Self {
        let mut config = vec![("listenPort".to_owned(), address.port().to_string())];
        config.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let memory = Memory { heap_mib: 128, direct_mib: 64 };
        let main = "org.apache.rocketmq.namesrv.NamesrvStartup";
        let command = stock_program(version, home, memory, main, &config).await;
        let mut process = Process::start("stock name server", command, home.join("namesrv.log"));
        boots(&mut process).await;
        Self { address, _process: process }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Waits until a stock program says that it has started.
pub(super) async fn boots(process: &mut Process) {
    let (what, process) =
        (format!("{process:?} says `boot success`"), std::sync::Mutex::new(process));
    until_within(BOOT_TIMEOUT, &what, || async {
        let mut process = process.lock().expect("no panic under this lock");
        if let Some(status) = process.end() {
            panic!("it ended by itself: {status}\n{}", process.log());
        }
        if process.log().contains("boot success") { Ok(()) } else { Err("it has not yet") }
    })
    .await;
}
