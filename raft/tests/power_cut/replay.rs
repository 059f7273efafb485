//! Replays a record onto files that remember what was synchronised.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::trace::{Call, Event};

/// What is torn is torn between sectors.
const SECTOR_BYTES: usize = 512;

/// A repeatable sequence of numbers (SplitMix64).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// A file: what surely survives, and what may.
#[derive(Default)]
struct Inode {
    durable: Vec<u8>,
    /// Each with the event at which it was made, and whether the call has returned.
    pending: Vec<(usize, bool, Change)>,
}

struct OpenFile {
    path: PathBuf,
    /// Absent for directories and for files that do not belong to the data.
    inode: Option<usize>,
    position: usize,
}

/// The state of the data directory at some point of the record.
pub(super) struct Replay {
    data: PathBuf,
    acknowledged: PathBuf,
    inodes: Vec<Inode>,
    /// What each name stands for: now, and surely after a crash. A change of names is durable once
    /// the directory was synchronised.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    open: BTreeMap<i64, OpenFile>,
    /// Calls under way, by thread, with the event at which they were made.
    under_way: BTreeMap<u32, (usize, Call)>,
    acknowledgements: u64,
}

impl Replay {
    pub(super) fn new(data: &Path, acknowledged: &Path) -> Replay {
        Replay {
            data: data.to_owned(),
            acknowledged: acknowledged.to_owned(),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            open: BTreeMap::new(),
            under_way: BTreeMap::new(),
            acknowledgements: 0,
        }
    }

    /// Replays events until so many acknowledgements were given, and as many events more as chance
    /// says, up to the next acknowledgement.
    pub(super) fn run(&mut self, events: &[Event], acknowledgements: u64, chance: &mut Chance) {
        let mut end = events.len();
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Called { thread, call } => {
                    self.called(at, call);
                    self.under_way.insert(*thread, (at, call.clone()));
                }
                Event::Returned { thread, result } => {
                    let (called_at, call) =
                        self.under_way.remove(thread).expect("what returns was called");
                    self.returned(called_at, &call, *result);
                }
            }
            if self.acknowledgements == acknowledgements && end == events.len() {
                let more = events[at + 1..].iter().take_while(|event| !self.acknowledges(event));
                end = at + chance.below(1 + more.count() as u64) as usize;
            }
            if at >= end {
                return;
            }
        }
        panic!("{} acknowledgements in the record, not {acknowledgements}", self.acknowledgements);
    }

    fn acknowledges(&self, event: &Event) -> bool {
        let Event::Called { call: Call::Write { file, .. }, .. } = event else { return false };
        self.open.get(file).is_some_and(|open| open.path == self.acknowledged)
    }

    fn inode_of(&mut self, file: i64) -> Option<&mut Inode> {
        let inode = self.open.get(&file)?.inode?;
        Some(&mut self.inodes[inode])
    }

    fn called(&mut self, at: usize, call: &Call) {
        match call {
            Call::Write { file, bytes, offset } => {
                let position = self.open.get(file).map_or(0, |open| open.position);
                let offset = offset.map_or(position, |offset| offset as usize);
                let change = Change::Write { offset, bytes: bytes.clone() };
                if let Some(inode) = self.inode_of(*file) {
                    inode.pending.push((at, false, change));
                }
            }
            Call::Truncate { file, bytes } => {
                if let Some(inode) = self.inode_of(*file) {
                    inode.pending.push((at, false, Change::Truncate(*bytes as usize)));
                }
            }
            _ => {}
        }
    }

    fn returned(&mut self, called_at: usize, call: &Call, result: i64) {
        if result < 0 {
            return;
        }
        match call {
            Call::Open { path, create, truncate } => {
                self.opened(called_at, Path::new(path), *create, *truncate, result);
            }
            Call::Close { file } => {
                self.open.remove(file);
            }
            Call::Write { file, offset, .. } => {
                self.complete(*file, called_at);
                if let Some(open) = self.open.get_mut(file) {
                    if offset.is_none() {
                        open.position += result as usize;
                    }
                    self.acknowledgements += u64::from(open.path == self.acknowledged);
                }
            }
            Call::Truncate { file, .. } => self.complete(*file, called_at),
            Call::Sync { file } => self.synced(*file, called_at),
            Call::Rename { from, to } => {
                if let Some(inode) = self.names.remove(Path::new(from)) {
                    self.names.insert(PathBuf::from(to), inode);
                }
            }
            Call::Unlink { path } => {
                self.names.remove(Path::new(path));
            }
            Call::MakeDirectory | Call::Other => {}
        }
    }

    fn opened(&mut self, at: usize, path: &Path, create: bool, truncate: bool, file: i64) {
        let known = self.names.get(path).copied();
        let inode = match known {
            None if create && path.starts_with(&self.data) => {
                self.inodes.push(Inode::default());
                self.names.insert(path.to_owned(), self.inodes.len() - 1);
                Some(self.inodes.len() - 1)
            }
            known => known,
        };
        if let (true, Some(inode)) = (truncate, inode) {
            self.inodes[inode].pending.push((at, true, Change::Truncate(0)));
        }
        self.open.insert(file, OpenFile { path: path.to_owned(), inode, position: 0 });
    }

    fn complete(&mut self, file: i64, called_at: usize) {
        if let Some(inode) = self.inode_of(file) {
            for (at, complete, _) in &mut inode.pending {
                *complete |= *at == called_at;
            }
        }
    }

    /// A sync that was called at an event covers the writes that had returned before it. Those that
    /// return while it runs count as not covered: whether they are is luck.
    fn synced(&mut self, file: i64, called_at: usize) {
        if let Some(inode) = self.inode_of(file) {
            let mut rest = Vec::new();
            for (at, complete, change) in std::mem::take(&mut inode.pending) {
                if complete && at < called_at {
                    apply(&mut inode.durable, &change);
                } else {
                    rest.push((at, complete, change));
                }
            }
            inode.pending = rest;
        } else if let Some(directory) = self.open.get(&file).map(|open| open.path.clone()) {
            let within = |path: &Path| path.parent() == Some(&directory);
            self.durable_names.retain(|path, _| !within(path));
            let names = self.names.iter().filter(|(path, _)| within(path));
            self.durable_names.extend(names.map(|(path, inode)| (path.clone(), *inode)));
        }
    }

    /// Writes the data directory as a power cut leaves it.
    pub(super) fn write_image(&self, image: &Path, chance: &mut Chance) {
        fs::create_dir_all(image).expect("made");
        let names = if chance.below(2) == 0 { &self.names } else { &self.durable_names };
        let kind = chance.below(4);
        for (path, inode) in names {
            let inode = &self.inodes[*inode];
            let mut content = inode.durable.clone();
            for (_, _, change) in &inode.pending {
                match kind {
                    0 => {}
                    1 if chance.below(2) == 0 => {}
                    2 => apply_torn(&mut content, change, chance),
                    _ => apply(&mut content, change),
                }
            }
            let relative = path.strip_prefix(&self.data).expect("only the data has inodes");
            let path = image.join(relative);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, content).expect("written");
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(bytes) => content.resize(*bytes, 0),
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(bytes);
        }
    }
}

fn apply_torn(content: &mut Vec<u8>, change: &Change, chance: &mut Chance) {
    let Change::Write { offset, bytes } = change else { return apply(content, change) };
    for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
        if chance.below(2) == 0 {
            let offset = offset + number * SECTOR_BYTES;
            apply(content, &Change::Write { offset, bytes: sector.to_vec() });
        }
    }
}
