//! Ports that no other run has: blocks below the system's ephemeral range, each held by a lock on a
//! file. Binding port 0 and closing it again would give the port to whoever comes first.

use std::fs::{File, OpenOptions, create_dir_all};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rustix::fs::{FlockOperation, flock};
use rustix::process::getuid;

/// The first port of all blocks. Linux gives out ephemeral ports from 32768 on.
const FIRST: u16 = 12_000;
/// Ports in a block.
const BLOCK: u16 = 24;
/// How many blocks there are.
const BLOCKS: u16 = 320;
/// Where the locks are, in the system's directory for temporary files; each user has a directory of
/// their own, for nobody may lock another one's files. (Their ports are still told apart: by binding.)
const LOCKS: &str = "signpost-ports";

/// Ports of loopback, ours until dropped.
#[derive(Debug, Default)]
pub struct Ports {
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    next: u16,
    end: u16,
    /// Only held: the lock ends with it, however this process ends.
    _lock: File,
}

impl Ports {
    /// The next port that no stranger listens on.
    ///
    /// # Errors
    /// When all ports are in use, or the locks cannot be written.
    pub fn take(&mut self) -> io::Result<SocketAddr> {
        loop {
            if let Some(block) = self.blocks.last_mut() {
                while block.next < block.end {
                    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, block.next));
                    block.next += 1;
                    if TcpListener::bind(address).is_ok() {
                        return Ok(address);
                    }
                }
            }
            self.blocks.push(Block::reserve()?);
        }
    }
}

impl Block {
    fn reserve() -> io::Result<Block> {
        let dir = std::env::temp_dir().join(format!("{LOCKS}-{}", getuid().as_raw()));
        create_dir_all(&dir)?;
        // Runs that start together do not all try the same blocks.
        let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap_or(0);
        for turn in 0..BLOCKS {
            let block = (start + turn) % BLOCKS;
            let path = dir.join(block.to_string());
            let lock = OpenOptions::new().create(true).append(true).open(&path)?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let next = FIRST + block * BLOCK;
                return Ok(Block { next, end: next + BLOCK, _lock: lock });
            }
        }
        Err(io::Error::other(format!("all {BLOCKS} blocks of ports are in use")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_never_get_the_same_port() {
        let (mut one, mut other) = (Ports::default(), Ports::default());
        let mut taken = std::collections::BTreeSet::new();
        for _ in 0..BLOCK {
            assert!(taken.insert(one.take().expect("a port")));
            assert!(taken.insert(other.take().expect("a port")));
        }
    }
}
