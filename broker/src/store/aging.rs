//! Queues and index follow the log when old segments go.

use std::io;

use super::LOG_DIRECTORY;
use super::derived::{Derived, queue_directory};
use super::queues::ENTRY_BYTES;
use super::work::Dirty;

impl Derived {
    /// Sets the log's first offset, and each queue's to its first message from there on; then
    /// removes, once a checkpoint says so, what lies before: segments, queue files, index files.
    pub(super) fn drop_before<E: From<io::Error>>(
        &self,
        log_offset: u64,
        dirty: &mut Dirty,
        log_is_synced: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let moved = self.move_minima(log_offset)?;
        self.checkpoint(dirty, log_is_synced)?;
        for (start, bytes) in self.files.disk.list(LOG_DIRECTORY)? {
            if start + bytes <= log_offset {
                self.files.remove(LOG_DIRECTORY, start)?;
            }
        }
        for (topic, queue_id, min, next) in moved {
            let directory = queue_directory(&topic, queue_id);
            // The file that is being written stays, whatever is in it.
            let keep = min.min(next - 1).max(0).cast_unsigned() * ENTRY_BYTES;
            for (start, _) in self.files.disk.list(&directory)? {
                if start + self.queue_file_bytes <= keep {
                    self.files.remove(&directory, start)?;
                }
            }
        }
        Ok(self.index().drop_before(&self.files, log_offset)?)
    }

    fn move_minima(&self, log_offset: u64) -> io::Result<Vec<(String, i32, i64, i64)>> {
        let all: Vec<(String, i32)> = {
            let queues = self.queues();
            let topics = queues.topics.iter();
            topics
                .flat_map(|(topic, queues)| queues.keys().map(|id| (topic.clone(), *id)))
                .collect()
        };
        let mut moved = Vec::new();
        for (topic, queue_id) in all {
            let bounds = self.queues().bounds(&topic, queue_id);
            let (mut low, mut high) = (bounds.min_offset, bounds.max_offset);
            while low < high {
                // The first is looked at first: mostly it is far enough.
                let middle = if low == bounds.min_offset { low } else { low + (high - low) / 2 };
                let Some(entry) = self.entry(&topic, queue_id, middle)? else {
                    // The topic has been deleted meanwhile.
                    low = bounds.min_offset;
                    break;
                };
                match entry.physical_offset < log_offset {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            if low == bounds.min_offset {
                continue;
            }
            let mut queues = self.queues_mut();
            let queue = queues.topics.get_mut(&topic).and_then(|of| of.get_mut(&queue_id));
            // A topic made anew under that name is not meant.
            if let Some(queue) = queue.filter(|queue| queue.next() >= bounds.max_offset) {
                queue.min = low;
                moved.push((topic, queue_id, low, queue.next()));
            }
        }
        let mut queues = self.queues_mut();
        queues.log_min = queues.log_min.max(log_offset);
        Ok(moved)
    }
}
