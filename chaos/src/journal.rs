//! What replicas applied, from their journals. Claim 9 at its simplest: wherever two replicas' journals overlap, they applied the same
//! command at the same index, with the same outcome and the same digest after it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use signpost_raft::store::journal::{JournalRecord, read_journal};

/// What is wrong with these journals, if anything.
#[must_use]
pub fn disagreement(journals: &[PathBuf]) -> Option<String> {
    let mut known: BTreeMap<u64, (&Path, JournalRecord)> = BTreeMap::new();
    for path in journals.iter().filter(|path| path.exists()) {
        let records = match read_journal(path) {
            Ok(records) => records,
            Err(error) => return Some(format!("{}: {error}", path.display())),
        };
        for record in records {
            match known.get(&record.index) {
                None => {
                    known.insert(record.index, (path, record));
                }
                Some((_, same)) if *same == record => {}
                Some((other, differs)) => {
                    let (here, there) = (path.display(), other.display());
                    return Some(format!("{here} has {record:?}\n{there} has {differs:?}"));
                }
            }
        }
    }
    None
}

/// The indices that a replica has applied by itself; those between came in a snapshot.
///
/// # Errors
/// What the system says, or that a record is damaged.
pub fn indices(journal: &Path) -> io::Result<BTreeSet<u64>> {
    Ok(read_journal(journal)?.iter().map(|record| record.index).collect())
}
