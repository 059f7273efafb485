//! Files that have been written and not synced yet.

use std::collections::BTreeSet;
use std::io;

use super::files::OpenFiles;

/// The files that a checkpoint has to sync first.
#[derive(Debug, Default)]
pub(super) struct Dirty(BTreeSet<(String, u64)>);

impl Dirty {
    pub(super) fn add(&mut self, directory: &str, start: u64) {
        self.0.insert((directory.to_owned(), start));
    }

    /// Syncs all of them.
    pub(super) fn sync(&mut self, files: &OpenFiles) -> io::Result<()> {
        while let Some((directory, start)) = self.0.first() {
            match files.get(directory, *start).and_then(|file| file.sync()) {
                // Its topic has been deleted since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
            self.0.pop_first();
        }
        Ok(())
    }
}
