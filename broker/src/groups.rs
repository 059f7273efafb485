//! The settings of consumer groups, persisted. A group is made when its first member comes, with
//! RocketMQ's defaults. Source: RocketMQ `SubscriptionGroupManager`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use signpost_client::types::DataVersion;
use signpost_remoting::body::SubscriptionGroup;
use signpost_remoting::response;

use crate::refused::Refused;
use crate::table_file::TableFile;
use crate::topics::{self, RETRY_PREFIX};

/// All groups, as persisted: RocketMQ's `subscriptionGroup.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupTable {
    /// Grows with each change.
    pub(crate) data_version: DataVersion,
    /// By name.
    #[serde(rename = "subscriptionGroupTable")]
    pub(crate) groups: BTreeMap<String, SubscriptionGroup>,
}

/// Why a group's settings were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("the group's name {0}")]
    Name(String),
    #[error("the group's {0}")]
    Setting(&'static str),
    #[error("subscription group not made: there are {0} groups, the limit")]
    TooMany(usize),
    #[error("the table of groups cannot be written: {0}")]
    Disk(#[from] io::Error),
}

impl From<GroupError> for Refused {
    fn from(error: GroupError) -> Self {
        let code = match &error {
            GroupError::Name(_) | GroupError::Setting(_) => response::SYSTEM_ERROR,
            GroupError::TooMany(_) => response::SUBSCRIPTION_GROUP_NOT_EXIST,
            GroupError::Disk(error) => {
                tracing::error!(%error, "cannot write the table of groups");
                response::SERVICE_NOT_AVAILABLE
            }
        };
        Self::new(code, error.to_string())
    }
}

pub(crate) struct Groups {
    file: TableFile<GroupTable>,
    limit: usize,
}

/// The group that tools look with. It is there without being kept: a look changes nothing.
const TOOLS_GROUP: &str = "TOOLS_CONSUMER";
/// Most retries, and queues of a retry topic, that a group may be given.
const SETTING_MAX: i32 = 1024;

impl Groups {
    /// Reads the table, empty if there is none yet.
    pub(crate) fn open(path: PathBuf, limit: usize) -> io::Result<Self> {
        Ok(Self { file: TableFile::open(path, "a table of groups", |_| false)?, limit })
    }

    pub(crate) fn table(&self) -> Arc<GroupTable> {
        self.file.get()
    }

    /// The group's settings, made if there are none.
    pub(crate) async fn ensure(
        &self,
        name: &str,
        now_ms: i64,
    ) -> Result<SubscriptionGroup, GroupError> {
        if let Some(known) = self.table().groups.get(name) {
            return Ok(known.clone());
        }
        let made = SubscriptionGroup::named(name);
        if name == TOOLS_GROUP {
            return Ok(made);
        }
        self.put(made.clone(), now_ms, false).await?;
        Ok(self.table().groups.get(name).cloned().unwrap_or(made))
    }

    /// Makes or changes a group's settings.
    pub(crate) async fn set(
        &self,
        group: SubscriptionGroup,
        now_ms: i64,
    ) -> Result<(), GroupError> {
        if !(-1..=SETTING_MAX).contains(&group.retry_max_times) {
            return Err(GroupError::Setting("retryMaxTimes must be from -1 to 1024"));
        }
        if !(0..=SETTING_MAX).contains(&group.retry_queue_nums) {
            return Err(GroupError::Setting("retryQueueNums must be from 0 to 1024"));
        }
        self.put(group, now_ms, true).await
    }

    async fn put(
        &self,
        group: SubscriptionGroup,
        now_ms: i64,
        replace: bool,
    ) -> Result<(), GroupError> {
        check_name(&group.group_name)?;
        let decide = |table: &mut GroupTable| {
            let known = table.groups.get(&group.group_name);
            if known.is_some_and(|known| !replace || *known == group) {
                return Ok(None);
            }
            if known.is_none() && table.groups.len() >= self.limit {
                return Err(GroupError::TooMany(self.limit));
            }
            table.groups.insert(group.group_name.clone(), group);
            touch(table, now_ms);
            Ok(Some(()))
        };
        self.file.change(decide, |_, ()| ()).await.map(drop)
    }

    /// Removes a group's settings.
    pub(crate) async fn remove(&self, name: &str, now_ms: i64) -> Result<(), GroupError> {
        let decide = |table: &mut GroupTable| {
            let there = table.groups.remove(name).is_some();
            touch(table, now_ms);
            Ok::<_, GroupError>(there.then_some(()))
        };
        self.file.change(decide, |_, ()| ()).await.map(drop)
    }
}

fn touch(table: &mut GroupTable, now_ms: i64) {
    table.data_version.counter += 1;
    table.data_version.timestamp = now_ms;
}

/// A group's name must be a topic's, with room for the prefix of its retry topic.
pub(crate) fn check_name(name: &str) -> Result<(), GroupError> {
    topics::check_name(name).map_err(GroupError::Name)?;
    topics::check_name(&format!("{RETRY_PREFIX}{name}")).map_err(GroupError::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn groups_are_made_once_changed_and_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("groups.json");
        let groups = Groups::open(path.clone(), 2).unwrap();
        assert_eq!(groups.ensure("g", 1).await.unwrap(), SubscriptionGroup::named("g"));
        let strict = SubscriptionGroup { retry_max_times: 2, ..SubscriptionGroup::named("g") };
        groups.set(strict.clone(), 2).await.unwrap();
        assert_eq!(groups.ensure("g", 3).await.unwrap(), strict);
        groups.ensure("h", 3).await.unwrap();
        assert!(matches!(groups.ensure("i", 4).await, Err(GroupError::TooMany(2))));
        assert!(groups.ensure(TOOLS_GROUP, 4).await.is_ok(), "a look needs no place");
        assert_eq!(*Groups::open(path.clone(), 2).unwrap().table(), *groups.table());
        groups.remove("h", 5).await.unwrap();
        groups.ensure("i", 6).await.unwrap();
        let names: Vec<_> = groups.table().groups.keys().cloned().collect();
        assert_eq!(names, ["g", "i"]);
        for bad in ["", "a b", "a@b", &"g".repeat(121)] {
            assert!(matches!(groups.ensure(bad, 7).await, Err(GroupError::Name(_))), "{bad}");
        }
        let many = SubscriptionGroup { retry_queue_nums: 2000, ..SubscriptionGroup::named("g") };
        assert!(matches!(groups.set(many, 8).await, Err(GroupError::Setting(_))));
    }
}
