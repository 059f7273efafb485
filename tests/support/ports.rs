//! Ports that no other test has: blocks below the system's ephemeral range, each held by a lock on
//! a file. Binding port 0 and closing it again would give the port to whoever comes first.

use std::fs::{File, OpenOptions, create_dir_all};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rustix::fs::{FlockOperation, flock};

/// The first port of all blocks. Linux gives out ephemeral ports from 32768 on.
const FIRST: u16 = 12_000;
/// Ports in a block.
const BLOCK: u16 = 24;
/// How many blocks there are.
const BLOCKS: u16 = 320;

/// A block of ports, ours until dropped.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
    end: u16,
    /// Only held: the lock ends with it, however this process ends.
    _lock: File,
}

impl Ports {
    /// Takes a block that nobody holds.
    pub(crate) fn reserve() -> Self {
        let dir = std::env::temp_dir().join("signpost-test-ports");
        create_dir_all(&dir).expect("the directory of port locks");
        // Tests that start together do not all try the same blocks.
        let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).expect("a small number");
        for turn in 0..BLOCKS {
            let block = (start + turn) % BLOCKS;
            let path = dir.join(block.to_string());
            let open = OpenOptions::new().create(true).append(true).open(&path);
            let lock = open.expect("a port lock");
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let next = FIRST + block * BLOCK;
                return Self { next, end: next + BLOCK, _lock: lock };
            }
        }
        panic!("all {BLOCKS} blocks of test ports are in use");
    }

    /// The next port on loopback that no stranger listens on.
    pub(crate) fn take(&mut self) -> SocketAddr {
        while self.next < self.end {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.next));
            self.next += 1;
            if TcpListener::bind(address).is_ok() {
                return address;
            }
        }
        panic!("this test needs more than {BLOCK} ports");
    }
}
