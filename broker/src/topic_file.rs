//! The topic table on disk. A change is on disk before anybody sees it, and is then told to the
//! name cluster.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use signpost_client::TopicChange;
use signpost_client::types::TopicConfig;
use signpost_remoting::response;
use tokio::sync::mpsc;

use crate::refused::Refused;
use crate::table_file::TableFile;
use crate::topics::{NoTopic, TopicTable};

/// Why a topic was not made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Refused(#[from] NoTopic),
    #[error("the topic table cannot be written: {0}")]
    Disk(#[from] io::Error),
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Self {
        let code = match &error {
            ChangeError::Refused(NoTopic::Unknown(_)) => response::TOPIC_NOT_EXIST,
            ChangeError::Refused(NoTopic::TooMany { .. }) => response::SYSTEM_ERROR,
            ChangeError::Disk(error) => {
                tracing::error!(%error, "cannot write the topic table");
                response::SERVICE_NOT_AVAILABLE
            }
        };
        Self::new(code, error.to_string())
    }
}

pub(crate) struct TopicFile {
    file: TableFile<TopicTable>,
    limit: usize,
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
        let file = TableFile::open(path, "a topic table", prepare)?;
        Ok(Self { file, limit, changes })
    }

    /// The table as it is now.
    pub(crate) fn table(&self) -> Arc<TopicTable> {
        self.file.get()
    }

    /// A topic as it is now.
    pub(crate) fn get(&self, name: &str) -> Option<TopicConfig> {
        self.file.get().topics.get(name).cloned()
    }

    /// Changes a topic to what `decide` says, which sees the table as it is when its turn comes;
    /// if that says none, nothing is changed. Answers the topic as it then is.
    pub(crate) async fn change(
        &self,
        name: &str,
        now_ms: i64,
        decide: impl FnOnce(&TopicTable) -> Result<Option<TopicConfig>, NoTopic>,
    ) -> Result<Option<TopicConfig>, ChangeError> {
        let decide = |table: &mut TopicTable| {
            let Some(topic) = decide(table)? else { return Ok(None) };
            table.put(name, topic.clone(), self.limit, now_ms)?;
            Ok(Some(topic))
        };
        let tell = |table: &TopicTable, topic: &TopicConfig| {
            self.tell(table, name, Some(topic.clone()));
        };
        let changed = self.file.change::<_, ChangeError>(decide, tell).await?;
        Ok(changed.or_else(|| self.get(name)))
    }

    /// Removes a topic; says whether it was there.
    pub(crate) async fn remove(&self, name: &str, now_ms: i64) -> Result<bool, ChangeError> {
        let decide = |table: &mut TopicTable| Ok(table.remove(name, now_ms).then_some(()));
        let tell = |table: &TopicTable, (): &()| self.tell(table, name, None);
        Ok(self.file.change::<_, ChangeError>(decide, tell).await?.is_some())
    }

    /// Nobody listens only when the broker is stopping: the next start registers what there is.
    fn tell(&self, table: &TopicTable, name: &str, topic: Option<TopicConfig>) {
        let topics = BTreeMap::from([(name.to_owned(), topic)]);
        let _ = self.changes.send(TopicChange { topics, data_version: Some(table.data_version) });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::BrokerConfig;

    fn open(path: &Path) -> (TopicFile, mpsc::UnboundedReceiver<TopicChange>) {
        let (changes, told) = mpsc::unbounded_channel();
        let prepare = |table: &mut TopicTable| table.add_system_topics(&BrokerConfig::default(), 1);
        (TopicFile::open(path.to_owned(), 100, prepare, changes).unwrap(), told)
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
        assert!(again.remove("T", 11).await.unwrap());
        assert_eq!(silent.recv().await.unwrap().topics["T"], None);
        assert!(!again.remove("T", 12).await.unwrap() && silent.try_recv().is_err());
        assert!(open(&path).0.get("T").is_none());
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
