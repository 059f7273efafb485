//! The topic table on disk, and everybody's view of it. A change is on disk before anybody sees it,
//! and is then told to the name cluster.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use signpost_client::TopicChange;
use signpost_client::types::TopicConfig;
use tokio::sync::{Mutex, mpsc};

use crate::durable;
use crate::topics::{NoTopic, TopicTable};

/// Why a topic was not made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Refused(#[from] NoTopic),
    #[error("the topic table cannot be written: {0}")]
    Disk(#[from] io::Error),
}

pub(crate) struct TopicFile {
    path: PathBuf,
    limit: usize,
    table: RwLock<Arc<TopicTable>>,
    /// Held while a change is on its way to the disk: changes are made one after the other.
    changing: Mutex<()>,
    changes: mpsc::UnboundedSender<TopicChange>,
}

impl TopicFile {
    /// Reads the table, empty if there is none yet. Changes are sent to `changes`.
    pub(crate) fn open(
        path: PathBuf,
        limit: usize,
        prepare: impl FnOnce(&mut TopicTable) -> bool,
        changes: mpsc::UnboundedSender<TopicChange>,
    ) -> io::Result<Self> {
        let mut table = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let what = format!("{} is not a topic table: {error}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => TopicTable::default(),
            Err(error) => return Err(error),
        };
        if prepare(&mut table) {
            write(&path, &table)?;
        }
        let table = RwLock::new(Arc::new(table));
        Ok(Self { path, limit, table, changing: Mutex::new(()), changes })
    }

    /// The table as it is now.
    pub(crate) fn table(&self) -> Arc<TopicTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes a topic to what `decide` says, which sees the table as it is when its turn comes;
    /// if that says none, nothing is changed. Answers the topic as it then is.
    pub(crate) async fn change(
        self: &Arc<Self>,
        name: &str,
        now_ms: i64,
        decide: impl FnOnce(&TopicTable) -> Result<Option<TopicConfig>, NoTopic>,
    ) -> Result<Option<TopicConfig>, ChangeError> {
        let _turn = self.changing.lock().await;
        let mut table = TopicTable::clone(&self.table());
        let Some(topic) = decide(&table)? else {
            return Ok(table.topics.remove(name));
        };
        table.put(name, topic.clone(), self.limit, now_ms)?;
        let (path, written) = (self.path.clone(), table.clone());
        let wrote = tokio::task::spawn_blocking(move || write(&path, &written)).await;
        wrote.map_err(|error| io::Error::other(error.to_string()))??;
        let data_version = Some(table.data_version);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        let topics = BTreeMap::from([(name.to_owned(), Some(topic.clone()))]);
        // Nobody listens only when the broker is stopping: the next start registers it.
        let _ = self.changes.send(TopicChange { topics, data_version });
        Ok(Some(topic))
    }
}

fn write(path: &Path, table: &TopicTable) -> io::Result<()> {
    durable::write_file(path, &serde_json::to_vec_pretty(table)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    fn open(path: &Path) -> (Arc<TopicFile>, mpsc::UnboundedReceiver<TopicChange>) {
        let (changes, told) = mpsc::unbounded_channel();
        let prepare = |table: &mut TopicTable| table.add_system_topics(&BrokerConfig::default(), 1);
        (Arc::new(TopicFile::open(path.to_owned(), 100, prepare, changes).unwrap()), told)
    }

    #[tokio::test]
    async fn a_change_is_on_disk_then_seen_then_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("topics.json");
        let (file, mut told) = open(&path);
        let topic = TopicConfig { read_queue_nums: 3, ..Default::default() };
        let decided = topic.clone();
        let made = file.change("T", 9, move |_| Ok(Some(decided))).await.unwrap();
        assert_eq!(made, Some(topic.clone()));
        assert_eq!(file.table().topics["T"], topic);
        let change = told.recv().await.unwrap();
        assert_eq!(change.topics["T"], Some(topic.clone()));
        assert_eq!(change.data_version.unwrap().counter, 2);
        let (again, mut silent) = open(&path);
        assert_eq!(again.table(), file.table());
        assert_eq!(again.change("T", 10, |_| Ok(None)).await.unwrap(), Some(topic));
        assert!(silent.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_not_seen_and_what_cannot_be_read_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gone/topics.json");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let (file, mut told) = open(&path);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let failed = file.change("T", 9, |_| Ok(Some(TopicConfig::default()))).await;
        assert!(matches!(failed, Err(ChangeError::Disk(_))));
        assert!(!file.table().topics.contains_key("T") && told.try_recv().is_err());
        let bad = directory.path().join("bad.json");
        std::fs::write(&bad, "{\"topicConfigTable\":[]}").unwrap();
        let (changes, _) = mpsc::unbounded_channel();
        let error = TopicFile::open(bad, 1, |_| false, changes).err().unwrap();
        assert!(error.to_string().contains("is not a topic table"), "{error}");
    }
}
