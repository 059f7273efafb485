//! 905, which is sent to brokers.

use std::net::SocketAddr;

use futures_util::StreamExt;
use signpost_namesrv::fake_log::{master, registration};
use signpost_namesrv::routes::command::{
    BrokerKey, Door as CameBy, Expire, ExpiryCause, Register, RouteCommand,
};
use signpost_remoting::namesrv::NotifyMinBrokerIdChangeHeader;
use signpost_remoting::{FrameCodec, RemotingCommand};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::codec::Framed;

use crate::door::{DEADLINE, Door};

/// A broker's port.
struct Broker {
    listener: TcpListener,
    address: SocketAddr,
    /// The connection that notices come over, once there is one.
    frames: Option<Framed<TcpStream, FrameCodec>>,
}

impl Broker {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        Self { listener, address, frames: None }
    }

    /// The next notice.
    async fn hear(&mut self) -> NotifyMinBrokerIdChangeHeader {
        let heard = async {
            if self.frames.is_none() {
                let (stream, _) = self.listener.accept().await.expect("a connection");
                self.frames = Some(Framed::new(stream, FrameCodec::default()));
            }
            let frames = self.frames.as_mut().expect("just made");
            frames.next().await.expect("a frame").expect("a whole one")
        };
        let notice: RemotingCommand = timeout(DEADLINE, heard).await.expect("a notice");
        assert!(notice.code == 905 && notice.is_oneway(), "{notice:?}");
        NotifyMinBrokerIdChangeHeader::from_ext(&notice.ext).expect("its header")
    }

    fn registers_as(&self, id: u64, acting: bool) -> Register {
        Register {
            key: key(id),
            door: CameBy::Remoting,
            claim: None,
            address: self.address.to_string(),
            ha_address: format!("ha-{id}:1"),
            enable_acting_master: Some(acting),
            ..registration("a", 1, &["T", "U"])
        }
    }
}

fn key(id: u64) -> BrokerKey {
    BrokerKey { id, ..master("a") }
}

async fn telling() -> Door {
    Door::open_with(|config| config.remoting.notify_min_id_changed = true).await
}

/// The watch counts from the moment at which the door opened; an answer shows that it has.
async fn opened(door: &Door) {
    door.ask(crate::door::request(106, &[])).await;
}

/// On a runtime of one thread, whoever is awake has had its turn after a few of ours.
async fn everybody_has_looked() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn expire(door: &Door, id: u64) {
    let epoch = door.service.reads().peek().tables.registration(&key(id)).expect("alive").epoch;
    door.apply(RouteCommand::Expire(Expire { key: key(id), epoch, cause: ExpiryCause::Silent }));
}

#[tokio::test]
async fn who_remains_is_told_when_the_smallest_leaves_and_when_a_smaller_comes() {
    let door = telling().await;
    opened(&door).await;
    let (zero, one, mut two) = tokio::join!(Broker::listen(), Broker::listen(), Broker::listen());
    door.register(one.registers_as(1, true));
    door.register(two.registers_as(2, true));
    // What changes and changes back between two looks is not told.
    everybody_has_looked().await;
    expire(&door, 1);
    let left = two.hear().await;
    assert_eq!((left.min_broker_id, left.ha_broker_addr), (Some(2), None));
    assert_eq!(left.min_broker_addr, Some(two.address.to_string()));
    assert_eq!(left.offline_broker_addr, Some(one.address.to_string()));
    door.register(zero.registers_as(0, true));
    let came = two.hear().await;
    assert_eq!((came.min_broker_id, came.offline_broker_addr), (Some(0), None));
    assert_eq!(came.min_broker_addr, Some(zero.address.to_string()));
    assert_eq!(came.ha_broker_addr.as_deref(), Some("ha-0:1"));
}

#[tokio::test]
async fn only_the_leader_tells_and_only_groups_that_may_act() {
    let door = telling().await;
    opened(&door).await;
    let (one, two, mut three) = tokio::join!(Broker::listen(), Broker::listen(), Broker::listen());
    for (broker, id) in [(&one, 1), (&two, 2), (&three, 3)] {
        door.register(broker.registers_as(id, false));
    }
    everybody_has_looked().await;
    expire(&door, 1); // Nobody may act as master: nobody is told.
    everybody_has_looked().await;
    door.log.begin_term(2, 2);
    door.register(one.registers_as(1, true)); // Another one leads: it tells.
    everybody_has_looked().await;
    door.log.begin_term(3, 1);
    door.register(two.registers_as(0, true));
    let first = three.hear().await;
    assert_eq!(first.min_broker_id, Some(0), "the first that is told at all");
}
