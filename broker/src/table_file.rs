//! A table that is small enough to be written whole with each change, and everybody's view of it.
//! A change is on disk before anybody sees it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::durable;

pub(crate) struct TableFile<T> {
    path: PathBuf,
    table: RwLock<Arc<T>>,
    /// Held while a change is on its way to the disk: changes are made one after the other.
    changing: Mutex<()>,
}

impl<T> TableFile<T>
where
    T: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Reads the table, empty if there is none yet. `prepare` may change it, and says whether it did.
    pub(crate) fn open(
        path: PathBuf,
        what: &str,
        prepare: impl FnOnce(&mut T) -> bool,
    ) -> io::Result<Self> {
        let mut table = read(&path, what)?;
        if prepare(&mut table) {
            write(&path, &table)?;
        }
        Ok(Self { path, table: RwLock::new(Arc::new(table)), changing: Mutex::new(()) })
    }

    /// The table as it is now.
    pub(crate) fn get(&self) -> Arc<T> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the table as `decide` does, which sees it as it is when its turn comes and says
    /// none if nothing is to change. `then` is called before the next change has its turn.
    pub(crate) async fn change<R, E: From<io::Error>>(
        &self,
        decide: impl FnOnce(&mut T) -> Result<Option<R>, E>,
        then: impl FnOnce(&T, &R),
    ) -> Result<Option<R>, E> {
        let _turn = self.changing.lock().await;
        let mut table = T::clone(&self.get());
        let Some(outcome) = decide(&mut table)? else { return Ok(None) };
        let table = Arc::new(table);
        let (path, written) = (self.path.clone(), table.clone());
        let wrote = tokio::task::spawn_blocking(move || write(&path, &*written)).await;
        wrote.map_err(|error| io::Error::other(error.to_string()))??;
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table.clone();
        then(&table, &outcome);
        Ok(Some(outcome))
    }
}

/// Reads a table; the empty one if there is no file.
pub(crate) fn read<T: Default + DeserializeOwned>(path: &Path, what: &str) -> io::Result<T> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| {
            let what = format!("{} is not {what}: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error),
    }
}

/// Replaces the file.
pub(crate) fn write<T: Serialize>(path: &Path, table: &T) -> io::Result<()> {
    durable::write_file(path, &serde_json::to_vec_pretty(table)?)
}
