//! What the disk must hold: the vote and the log's end as of the last sync, kept apart from the
//! tables ([`Disk::put_mark`](crate::disk::Disk::put_mark)).
//!
//! The tables alone cannot tell a log that lost its end to damage from one that was never longer:
//! sled drops what is damaged near the end of its file, as it drops a write that a crash has cut
//! short. A replica that starts so has forgotten what it acknowledged, and perhaps whom it voted
//! for. The mark remembers.
//!
//! It follows the tables and never leads: it is put once a sync has made durable what it says, and
//! before that is acknowledged. Where the log gets shorter, in a truncation, the mark does so first,
//! durably. So whatever crash comes, the tables hold at least what the mark says, unless they are
//! damaged. A power cut may leave an older mark, by the tenth of a second after which
//! [`flusher`](super::flusher) syncs it.

use std::cmp::Ordering;
use std::io;

use serde::{Deserialize, Serialize};

use super::convert::{DiskLogId, DiskVote};
use super::record::{seal, unseal};
use super::{damaged, untrusted};
use crate::codec;
use crate::disk::{Disk, MARK_BYTES_MAX, Table};
use crate::types::{LogId, Vote};

const KEY: &[u8] = b"mark";

/// What a disk must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    pub(super) vote: Option<Vote>,
    /// The last entry, or what the log is purged up to.
    pub(super) last: Option<LogId>,
    /// Beside them, for a restart: what was known to be committed. It is at most `last`.
    pub(super) committed: Option<LogId>,
}

#[derive(Serialize, Deserialize)]
struct DiskMark {
    vote: Option<DiskVote>,
    last: Option<DiskLogId>,
    committed: Option<DiskLogId>,
}

impl Mark {
    /// Puts it as the disk's mark.
    pub(super) fn put(&self, disk: &dyn Disk) -> io::Result<()> {
        let mark = DiskMark {
            vote: self.vote.as_ref().map(Into::into),
            last: self.last.as_ref().map(Into::into),
            committed: self.committed.as_ref().map(Into::into),
        };
        let body = codec::encode(&mark).map_err(io::Error::other)?;
        debug_assert!(body.len() + 5 <= MARK_BYTES_MAX);
        disk.put_mark(&seal(Table::Meta, KEY, &[&body]))
    }

    /// Gets the disk's mark, if there ever was one.
    pub(super) fn get(disk: &dyn Disk) -> io::Result<Option<Mark>> {
        let Some(value) = disk.mark() else { return Ok(None) };
        let body = unseal(Table::Meta, KEY, &value)?;
        let mark: DiskMark =
            codec::decode(body).map_err(|error| damaged(Table::Meta, KEY, error))?;
        Ok(Some(Mark {
            vote: mark.vote.map(Into::into),
            last: mark.last.map(Into::into),
            committed: mark.committed.map(Into::into),
        }))
    }

    /// Checks that `held`, what the tables hold, is all of this.
    ///
    /// # Errors
    /// `InvalidData` when something is missing.
    pub(super) fn check(&self, held: &Mark) -> io::Result<()> {
        // Votes of one term for different candidates do not compare: one of them is forgotten.
        let voted =
            matches!(held.vote.partial_cmp(&self.vote), Some(Ordering::Greater | Ordering::Equal));
        if !voted {
            return Err(untrusted(format_args!(
                "the data on this disk is damaged: its last vote is {}, but this replica has voted {}",
                display(held.vote),
                display(self.vote)
            )));
        }
        if held.last < self.last {
            return Err(untrusted(format_args!(
                "the data on this disk is damaged: the last entry of its log is {}, but this replica \
                 has acknowledged {}",
                display(held.last),
                display(self.last)
            )));
        }
        Ok(())
    }
}

fn display(what: Option<impl std::fmt::Display>) -> String {
    what.map_or_else(|| "none".to_owned(), |what| what.to_string())
}
