//! A proxy before each replica's peers' port: who dials is read from the handshake, so that each
//! direction between two replicas can be cut, delayed or disturbed by itself.
//!
//! A cut holds data up, as the loss of packets does: TCP sends it again until it arrives, so what
//! was held up passes when the cut is mended.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use signpost_raft::codec;
use signpost_raft::machine::NodeId;
use signpost_raft::peer::hello::Hello;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Link, Trouble};

/// The largest first frame that is looked into; the replicas' own limit.
const HELLO_BYTES_MAX: usize = 64 * 1024;
/// A frame's length and its number stand before the message.
const LENGTH_BYTES: usize = 4;
const NUMBER_BYTES: usize = 8;
/// What is read at once, and how many such pieces wait for their time.
const PIECE_BYTES: usize = 16 * 1024;
const PIECES_MAX: usize = 64;
/// How long a slow link keeps each piece.
const SLOW: Duration = Duration::from_millis(60);
/// How long a lossy link keeps a piece whose packets it has "lost": the sender's next try.
const LOST: Duration = Duration::from_millis(200);

type Troubles = Arc<BTreeMap<Link, Trouble>>;

/// The proxies of a run.
#[derive(Debug)]
pub struct Proxies {
    troubles: watch::Sender<Troubles>,
    listeners: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl Default for Proxies {
    fn default() -> Proxies {
        let (troubles, _) = watch::channel(Troubles::default());
        Proxies { troubles, listeners: std::sync::Mutex::default() }
    }
}

impl Proxies {
    /// Puts a proxy before this replica.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn lay(&self, node: NodeId, at: SocketAddr, before: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::bind(at).await?;
        let troubles = self.troubles.subscribe();
        let task = tokio::spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                let troubles = troubles.clone();
                wires.spawn(async move {
                    // Whatever ends it, both ends learn of it when the wire is dropped.
                    let _ = pass(node, from, before, troubles).await;
                });
                while wires.try_join_next().is_some() {}
            }
        });
        self.listeners.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(task);
        Ok(())
    }

    /// From now on these links are in trouble, and no other.
    pub fn set(&self, troubles: &BTreeMap<Link, Trouble>) {
        self.troubles.send_replace(Arc::new(troubles.clone()));
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        let listeners = self.listeners.lock();
        for task in listeners.unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            task.abort();
        }
    }
}

async fn pass(
    node: NodeId,
    mut from: TcpStream,
    to: SocketAddr,
    troubles: watch::Receiver<Troubles>,
) -> io::Result<()> {
    from.set_nodelay(true)?;
    let (hello, who) = first_frame(&mut from).await?;
    // Dialling takes packets both ways.
    for link in [(who, node), (node, who)] {
        whole(&mut troubles.clone(), link).await;
    }
    let mut to = TcpStream::connect(to).await?;
    to.set_nodelay(true)?;
    to.write_all(&hello).await?;
    let ((from_read, from_write), (to_read, to_write)) = (from.split(), to.split());
    tokio::try_join!(
        one_way(from_read, to_write, troubles.clone(), (who, node)),
        one_way(to_read, from_write, troubles, (node, who)),
    )?;
    Ok(())
}

/// The bytes of the handshake's first frame, and who says it.
async fn first_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(Vec<u8>, NodeId)> {
    let mut frame = vec![0; LENGTH_BYTES];
    from.read_exact(&mut frame).await?;
    let length = frame.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    if !(NUMBER_BYTES..=HELLO_BYTES_MAX).contains(&length) {
        return Err(invalid("no handshake of a replica"));
    }
    frame.resize(LENGTH_BYTES + length, 0);
    from.read_exact(&mut frame[LENGTH_BYTES..]).await?;
    let hello = codec::decode::<Hello>(&frame[LENGTH_BYTES + NUMBER_BYTES..]);
    let who = hello.map_err(|error| invalid(&error.to_string()))?.from;
    Ok((frame, who))
}

/// Passes pieces on, each at its time and in their order, until the source ends.
async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut troubles: watch::Receiver<Troubles>,
    link: Link,
) -> io::Result<()> {
    let (put, mut take) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let mut count = 0_u64;
    let delays = troubles.clone();
    let reading = async move {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return Ok::<_, io::Error>(());
            }
            piece.truncate(length);
            count = count.wrapping_add(1);
            let delay = match delays.borrow().get(&link) {
                Some(Trouble::Slow) => SLOW,
                // Spread evenly, without chance: which piece is held up says the count.
                Some(Trouble::Lossy(share)) if count * 37 % 100 < u64::from(*share) => LOST,
                _ => Duration::ZERO,
            };
            if put.send((Instant::now() + delay, piece)).await.is_err() {
                return Ok(());
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = take.recv().await {
            sleep_until(due).await;
            whole(&mut troubles, link).await;
            to.write_all(&piece).await?;
        }
        whole(&mut troubles, link).await;
        to.shutdown().await
    };
    tokio::try_join!(reading, writing).map(|_| ())
}

/// Waits while the link is cut.
async fn whole(troubles: &mut watch::Receiver<Troubles>, link: Link) {
    let is_whole = |troubles: &Troubles| troubles.get(&link) != Some(&Trouble::Cut);
    if troubles.wait_for(is_whole).await.is_err() {
        // The run is over: nothing is to pass any more.
        sleep(Duration::from_secs(3600)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_holds_one_direction_up_and_loses_nothing() {
        let troubles = watch::Sender::new(Troubles::default());
        let (mut near, from) = tokio::io::duplex(64);
        let (to, mut far) = tokio::io::duplex(64);
        let passing = tokio::spawn(one_way(from, to, troubles.subscribe(), (1, 2)));
        near.write_all(b"before").await.expect("written");
        let mut read = [0; 6];
        far.read_exact(&mut read).await.expect("passed");
        assert_eq!(&read, b"before");

        troubles.send_replace(Arc::new(BTreeMap::from([((1, 2), Trouble::Cut)])));
        near.write_all(b"during").await.expect("written");
        let held = tokio::time::timeout(Duration::from_millis(50), far.read_exact(&mut read));
        assert!(held.await.is_err(), "held up");
        troubles.send_replace(Troubles::default());
        far.read_exact(&mut read).await.expect("passed");
        assert_eq!(&read, b"during");
        drop(near);
        passing.await.expect("no panic").expect("ended well");
    }

    #[tokio::test]
    async fn strangers_are_not_passed_on() {
        let mut short: &[u8] = &[0, 0, 0, 1, 9];
        assert!(first_frame(&mut short).await.is_err());
        let mut long: &[u8] = &[0xff, 0, 0, 0, 9];
        assert!(first_frame(&mut long).await.is_err());
    }
}
