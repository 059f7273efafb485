//! One stock broker.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::artifacts::Version;
use super::java::{Memory, stock_program};
use super::name_server::boots;
use crate::support::ports::Ports;
use crate::support::process::Process;

/// What a stock broker is to be.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Its release.
    pub(crate) version: Version,
    /// Its RocketMQ cluster.
    pub(crate) cluster: String,
    /// Its name, shared by a master and its slaves.
    pub(crate) name: String,
    /// 0 is the master.
    pub(crate) id: u64,
    /// Its name servers, separated by `;`; or `http://` and an address server that knows them, which
    /// it asks after ten seconds.
    pub(crate) name_servers: String,
    /// Further settings.
    pub(crate) more: Vec<(&'static str, String)>,
}

/// The ports of one broker: a stock broker listens on three.
#[derive(Debug, Clone, Copy)]
struct Places {
    /// What clients dial; and two below it, which some clients dial instead.
    listen: SocketAddr,
    /// Where slaves follow. 4.x takes the one above the first, whatever its settings say.
    ha: SocketAddr,
}

impl Places {
    /// The third and fourth of four ports in a row.
    fn take(ports: &mut Ports) -> Self {
        let mut row = [ports.take(), ports.take(), ports.take(), ports.take()];
        while row[3].port() - row[0].port() != 3 {
            row.rotate_left(1);
            row[3] = ports.take();
        }
        Self { listen: row[2], ha: row[3] }
    }
}

/// A stock broker with its own directory; it may be stopped and started again.
#[derive(Debug)]
pub(crate) struct Broker {
    settings: Settings,
    places: Places,
    home: PathBuf,
    process: Option<Process>,
}

impl Broker {
    /// One that has never run, with a directory of its own below `dir`.
    pub(crate) fn prepare(settings: Settings, ports: &mut Ports, dir: &Path) -> Self {
        let home = dir.join(format!("{}-{}", settings.name, settings.id));
        fs::create_dir_all(&home).expect("a directory of the test's own");
        Self { settings, places: Places::take(ports), home, process: None }
    }

    /// Starts it, for the first time or once more, with the store that it left, and waits until it
    /// has registered and serves.
    pub(crate) async fn run(&mut self) {
        assert!(self.process.is_none(), "{} does not run", self.name());
        let memory = Memory { heap_mib: 256, direct_mib: 128 };
        let main = "org.apache.rocketmq.broker.BrokerStartup";
        let config = self.config();
        let command = stock_program(self.settings.version, &self.home, memory, main, &config).await;
        let starts = self.home.join(format!("broker-{}.log", log_count(&self.home)));
        let mut process = Process::start(&self.name(), command, starts);
        boots(&mut process).await;
        self.process = Some(process);
    }

    /// From its next start on it has this id: a slave becomes the master with 0.
    pub(crate) fn become_id(&mut self, id: u64) {
        self.settings.id = id;
    }

    /// What clients dial, as it registers it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.places.listen
    }

    /// Its broker name.
    pub(crate) fn broker_name(&self) -> &str {
        &self.settings.name
    }

    /// Its broker id.
    pub(crate) fn id(&self) -> u64 {
        self.settings.id
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGTERM: it takes itself out of the name servers and ends, for which this waits.
    pub(crate) async fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.terminate();
        process.ended().await;
    }

    /// SIGSTOP.
    pub(crate) async fn pause(&self) {
        self.process.as_ref().expect("it runs").pause().await;
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.process.as_ref().expect("it runs").resume();
    }

    fn name(&self) -> String {
        let Settings { version, name, id, .. } = &self.settings;
        format!("stock broker {name} {id} ({})", version.number())
    }

    fn config(&self) -> Vec<(String, String)> {
        let store = self.home.join("store");
        let Settings { cluster, name, id, name_servers, more, .. } = &self.settings;
        let address_server = name_servers.strip_prefix("http://");
        let role = if *id == 0 { "ASYNC_MASTER" } else { "SLAVE" };
        let settings = [
            ("brokerClusterName", cluster.clone()),
            ("brokerName", name.clone()),
            ("brokerId", id.to_string()),
            ("brokerRole", role.to_owned()),
            ("fetchNamesrvAddrByAddressServer", address_server.is_some().to_string()),
            match address_server {
                Some(address) => ("rmqAddressServerDomain", address.to_owned()),
                None => ("namesrvAddr", name_servers.clone()),
            },
            ("listenPort", self.places.listen.port().to_string()),
            ("haListenPort", self.places.ha.port().to_string()),
            ("brokerIP1", self.places.listen.ip().to_string()),
            ("brokerIP2", self.places.ha.ip().to_string()),
            // As often as a stock broker can.
            ("registerNameServerPeriod", "10000".to_owned()),
            ("storePathRootDir", store.display().to_string()),
            ("storePathCommitLog", store.join("commitlog").display().to_string()),
            ("autoCreateTopicEnable", "true".to_owned()),
            // Small files: 4.x and 5.x spell the first one differently, and ignore the other's.
            ("mapedFileSizeCommitLog", "16777216".to_owned()),
            ("mappedFileSizeCommitLog", "16777216".to_owned()),
            ("mappedFileSizeConsumeQueue", "60000".to_owned()),
            ("maxHashSlotNum", "10000".to_owned()),
            ("maxIndexNum", "40000".to_owned()),
            ("mappedFileSizeTimerLog", "1048576".to_owned()),
            // Not refusing messages that have waited for a busy machine, as it does after 200 ms.
            ("waitTimeMillsInSendQueue", "3000".to_owned()),
            ("osPageCacheBusyTimeOutMills", "3000".to_owned()),
            ("diskMaxUsedSpaceRatio", "95".to_owned()),
        ];
        settings
            .into_iter()
            .chain(more.iter().cloned())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// Each start has a log of its own, so that `boot success` is this start's.
fn log_count(home: &Path) -> usize {
    let names = fs::read_dir(home).expect("it is there").filter_map(Result::ok);
    names.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log")).count()
}
