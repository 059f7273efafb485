//! The data directory: whose it is, who has it open, and which process this is.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::config::BrokerConfig;
use crate::durable;

/// Incarnations stay below this: JSON numbers are exact only so far.
const INCARNATION_LIMIT: u64 = 1 << 53;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another process has it open.
    #[error("{0} is in use by another broker process: stop that one, or give this one its own")]
    InUse(PathBuf),
    /// It belongs to another broker.
    #[error(
        "{path} belongs to broker {theirs}, not to {ours}: use that broker's cluster and name, or \
         another directory"
    )]
    OtherBroker {
        /// The directory.
        path: PathBuf,
        /// `cluster/name/id` that it belongs to.
        theirs: String,
        /// `cluster/name/id` of this broker.
        ours: String,
    },
    /// No number above the last incarnation is left.
    #[error("the last incarnation {0} leaves none above it: repair `incarnation` in identity.json")]
    NoIncarnation(u64),
    /// Reading or writing failed.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// `identity.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    cluster: String,
    name: String,
    id: u64,
    /// Tells this broker's commit log from every other.
    log_id: u64,
    /// The last incarnation that was used.
    incarnation: u64,
}

/// A data directory that this process has to itself until the lock is dropped.
pub(crate) struct DataDir {
    pub(crate) path: PathBuf,
    pub(crate) log_id: u64,
    /// This process: above every former one. Durable before anybody sees it.
    pub(crate) incarnation: u64,
    /// The lock goes with the descriptor, however the process ends.
    pub(crate) lock: File,
}

impl DataDir {
    /// Opens or makes the directory and begins a new incarnation: one above the last, or the wall
    /// clock in ms if that is more, so that a directory that was lost does not matter either.
    pub(crate) fn open(config: &BrokerConfig, now_ms: u64) -> Result<Self, DataDirError> {
        let path = &config.data_dir;
        durable::create_directory(path).map_err(|error| io_error(path, error))?;
        let lock = lock(path)?;
        let file = path.join("identity.json");
        let known = read(&file)?;
        let ours = |identity: &Identity| {
            let Identity { cluster, name, id, .. } = identity;
            format!("{cluster}/{name}/{id}")
        };
        let mut identity = known.unwrap_or_else(|| Identity {
            cluster: config.cluster.clone(),
            name: config.name.clone(),
            id: config.id,
            log_id: uuid::Uuid::new_v4().as_u64_pair().0,
            incarnation: 0,
        });
        let expected = format!("{}/{}/{}", config.cluster, config.name, config.id);
        if ours(&identity) != expected {
            let theirs = ours(&identity);
            return Err(DataDirError::OtherBroker { path: path.clone(), theirs, ours: expected });
        }
        let last = identity.incarnation;
        identity.incarnation = last.saturating_add(1).max(now_ms);
        if identity.incarnation >= INCARNATION_LIMIT {
            return Err(DataDirError::NoIncarnation(last));
        }
        let text = serde_json::to_vec_pretty(&identity)
            .map_err(|error| io_error(&file, io::Error::other(error)))?;
        durable::write_file(&file, &text).map_err(|error| io_error(&file, error))?;
        let Identity { log_id, incarnation, .. } = identity;
        Ok(Self { path: path.clone(), log_id, incarnation, lock })
    }

    pub(crate) fn topics(&self) -> PathBuf {
        self.path.join("topics.json")
    }

    pub(crate) fn groups(&self) -> PathBuf {
        self.path.join("subscriptionGroup.json")
    }

    pub(crate) fn offsets(&self) -> PathBuf {
        self.path.join("consumerOffset.json")
    }

    pub(crate) fn delays(&self) -> PathBuf {
        self.path.join("delayOffset.json")
    }
}

/// The number that tells the commit log of a data directory from others, for reading it offline.
pub fn log_id(data_dir: &Path) -> Result<u64, DataDirError> {
    let file = data_dir.join("identity.json");
    match read(&file)? {
        Some(identity) => Ok(identity.log_id),
        None => Err(io_error(&file, io::ErrorKind::NotFound.into())),
    }
}

fn read(file: &Path) -> Result<Option<Identity>, DataDirError> {
    match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
            io_error(file, io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(file, error)),
    }
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let file = path.join("lock");
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(false).open(&file);
    let opened = opened.map_err(|error| io_error(&file, error))?;
    match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(opened),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::InUse(path.to_owned())),
        Err(error) => Err(io_error(&file, error.into())),
    }
}

fn io_error(path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_is_above_the_last_whatever_the_clock_says() {
        let directory = tempfile::tempdir().unwrap();
        let config = BrokerConfig { data_dir: directory.path().join("b"), ..Default::default() };
        let open = |now_ms| DataDir::open(&config, now_ms).map(|dir| (dir.incarnation, dir.log_id));
        let (first, log) = open(1000).unwrap();
        assert_eq!(first, 1000);
        assert_eq!(open(500).unwrap(), (1001, log));
        assert_eq!(open(5000).unwrap(), (5000, log));
        assert_eq!(log_id(&config.data_dir).unwrap(), log);
        assert!(matches!(open(1 << 53), Err(DataDirError::NoIncarnation(5000))));
    }

    #[test]
    fn a_directory_serves_one_process_and_one_broker() {
        let directory = tempfile::tempdir().unwrap();
        let config = BrokerConfig { data_dir: directory.path().into(), ..Default::default() };
        let held = DataDir::open(&config, 1).unwrap();
        assert!(matches!(DataDir::open(&config, 1), Err(DataDirError::InUse(_))));
        drop(held);
        let other = BrokerConfig { name: "broker-b".into(), ..config.clone() };
        let error = DataDir::open(&other, 1).err().unwrap();
        assert!(
            error.to_string().contains("belongs to broker DefaultCluster/broker-a/0"),
            "{error}"
        );
        std::fs::write(directory.path().join("identity.json"), "{").unwrap();
        assert!(matches!(DataDir::open(&config, 1), Err(DataDirError::Io { .. })));
    }
}
