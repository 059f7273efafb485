//! Claim 9, at the end of each test: wherever two replicas' journals overlap, they applied the same
//! command at the same index, with the same outcome and the same digest after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use signpost_raft::store::journal::{JournalRecord, read_journal};

/// What is wrong with these journals, if anything.
pub(crate) fn disagreement(journals: &[PathBuf]) -> Option<String> {
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
pub(crate) fn indices(journal: &Path) -> Vec<u64> {
    let records = read_journal(journal).expect("a readable journal");
    let mut indices: Vec<u64> = records.iter().map(|record| record.index).collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}
