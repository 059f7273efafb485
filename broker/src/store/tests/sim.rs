//! A disk in memory that loses, keeps or tears what was not synced, fills up, and fails.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::disk::{Disk, DiskFile};

/// What a power cut keeps or loses as a whole.
const SECTOR_BYTES: usize = 64;

#[derive(Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<u64, FileState>,
    /// Writes and syncs until everything fails; none: never.
    operations_left: Option<u64>,
    /// Bytes that further writes may take; none: any.
    room_bytes: Option<usize>,
    sync_fails: bool,
    syncs: u64,
}

#[derive(Clone, Default)]
struct FileState {
    durable: Vec<u8>,
    cached: Vec<u8>,
}

impl SimDisk {
    pub(super) fn fail_after(&self, operations: u64) {
        self.0.lock().unwrap().operations_left = Some(operations);
    }

    pub(super) fn set_room(&self, bytes: Option<usize>) {
        self.0.lock().unwrap().room_bytes = bytes;
    }

    pub(super) fn fail_syncs(&self) {
        self.0.lock().unwrap().sync_fails = true;
    }

    pub(super) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    /// The power goes: of each sector that was not synced the old or the new content is left, as
    /// the coin says.
    pub(super) fn power_cut(&self, mut coin: impl FnMut() -> bool) {
        let mut state = self.0.lock().unwrap();
        for file in state.files.values_mut() {
            let FileState { durable, cached } = file;
            // A length that was not synced may be lost, too.
            if durable.len() != cached.len() && coin() {
                durable.resize(cached.len(), 0);
            }
            let starts = (0..durable.len().min(cached.len())).step_by(SECTOR_BYTES);
            for start in starts {
                let end = (start + SECTOR_BYTES).min(durable.len()).min(cached.len());
                if durable[start..end] != cached[start..end] && coin() {
                    durable[start..end].copy_from_slice(&cached[start..end]);
                }
            }
            *cached = durable.clone();
        }
        (state.operations_left, state.room_bytes, state.sync_fails) = (None, None, false);
    }

    fn step(state: &mut State) -> io::Result<()> {
        match &mut state.operations_left {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<(u64, u64)>> {
        let state = self.0.lock().unwrap();
        Ok(state.files.iter().map(|(start, file)| (*start, file.cached.len() as u64)).collect())
    }

    fn open(&self, start: u64) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SimFile { disk: self.clone(), start }))
    }

    fn create(&self, start: u64, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock().unwrap();
        // The name may be there without the length.
        state.files.insert(start, FileState::default());
        Self::step(&mut state)?;
        let zeros = vec![0; bytes as usize];
        let file = FileState { durable: zeros.clone(), cached: zeros };
        state.files.insert(start, file);
        Ok(Box::new(SimFile { disk: self.clone(), start }))
    }

    fn used_ratio(&self) -> io::Result<f64> {
        Ok(0.5)
    }
}

struct SimFile {
    disk: SimDisk,
    start: u64,
}

impl SimFile {
    fn with<T>(
        &self,
        act: impl FnOnce(&mut State, &mut FileState) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.disk.0.lock().unwrap();
        let mut file = state.files.remove(&self.start).expect("open files are there");
        let outcome = act(&mut state, &mut file);
        state.files.insert(self.start, file);
        outcome
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.with(|_, file| {
            let rest = file.cached.get(position as usize..).unwrap_or_default();
            let bytes = rest.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&rest[..bytes]);
            Ok(bytes)
        })
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.with(|state, file| {
            let (start, mut taken) = (position as usize, bytes.len());
            let failed = SimDisk::step(state).err();
            if let Some(room) = &mut state.room_bytes {
                taken = taken.min(*room);
                *room -= taken;
            }
            if failed.is_some() {
                taken /= 2;
            }
            file.cached[start..start + taken].copy_from_slice(&bytes[..taken]);
            match failed {
                Some(error) => Err(error),
                None if taken < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
                None => Ok(()),
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state, file| {
            SimDisk::step(state)?;
            if state.sync_fails {
                return Err(io::Error::other("sync failed"));
            }
            state.syncs += 1;
            file.durable = file.cached.clone();
            Ok(())
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.with(|state, file| {
            SimDisk::step(state)?;
            file.cached.resize(bytes as usize, 0);
            Ok(())
        })
    }
}
