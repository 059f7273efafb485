use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use signpost_remoting::{Connection, Handler, Reply, ServerLimits, serve};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;

/// One queue on RocketMQ's wire, from an offset on.
struct Broker {
    first: i64,
    tags: Mutex<Vec<&'static str>>,
}

impl Broker {
    fn message(&self, offset: i64, tag: &str) -> StoredMessage {
        let mut text = String::new();
        properties::append(&mut text, properties::TAGS, tag);
        let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        StoredMessage {
            queue_id: 2,
            flag: 0,
            queue_offset: offset,
            physical_offset: offset * 100,
            sys_flag: 0,
            born_timestamp_ms: 1,
            born_host: host,
            store_timestamp_ms: 2,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: format!("body {offset}").into(),
            topic: "t".to_owned(),
            properties: text,
        }
    }

    fn pull(&self, header: &PullHeader) -> RemotingCommand {
        assert_eq!((header.consumer_group.as_str(), header.queue_id), (GROUP, 2));
        assert!(header.has(sys_flag::SUBSCRIPTION));
        let tags = self.tags.lock().expect("no panic").clone();
        let max = self.first + tags.len() as i64;
        let at = header.queue_offset;
        let (code, next, body) = match at {
            _ if at < self.first => (response::PULL_OFFSET_MOVED, self.first, BytesMut::new()),
            _ if at >= max => (response::PULL_NOT_FOUND, max, BytesMut::new()),
            _ => {
                // Two at a time, so that it takes several pulls.
                let mut body = BytesMut::new();
                let from = usize::try_from(at - self.first).expect("it is there");
                for (tag, offset) in tags[from..].iter().zip(at..).take(2) {
                    self.message(offset, tag).encode_into(&mut body).expect("a sound message");
                }
                (response::SUCCESS, (at + 2).min(max), body)
            }
        };
        let place = PullResponse {
            suggest_which_broker_id: 0,
            next_begin_offset: next,
            min_offset: self.first,
            max_offset: max,
        };
        RemotingCommand::response(code).with_ext(place.encode()).with_body(body.freeze())
    }
}

impl Handler for Broker {
    fn request(&self, _: &Connection, request: RemotingCommand) -> Reply {
        let count = self.tags.lock().expect("no panic").len() as i64;
        let offset = |offset: i64| {
            RemotingCommand::response(0).with_ext(ExtFields::new().with("offset", offset))
        };
        Reply::Now(match request.code {
            request::GET_MIN_OFFSET => offset(self.first),
            request::GET_MAX_OFFSET => offset(self.first + count),
            request::PULL_MESSAGE => self.pull(&PullHeader::decode(&request.ext).expect("sound")),
            code => RemotingCommand::not_supported(code),
        })
    }
}

async fn stage(tags: &[&'static str]) -> (Arc<Broker>, Queue, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let broker = Arc::new(Broker { first: 5, tags: Mutex::new(tags.to_vec()) });
    let stop = CancellationToken::new();
    let limits = ServerLimits { drain: Duration::ZERO, ..ServerLimits::default() };
    tokio::spawn(serve(listener, Arc::clone(&broker) as _, limits, stop.clone()));
    let queue = Queue { topic: "t".into(), broker: "b".into(), address, id: 2 };
    (broker, queue, stop.drop_guard())
}

fn reader(from: From, tags: Option<&str>, follow: bool) -> Reader {
    let brokers = Client::new(signpost_remoting::ClientOptions::default());
    Reader { brokers, from, tags: tags.map(str::to_owned), follow }
}

async fn offsets(reader: Reader, queue: Queue) -> Vec<i64> {
    let (messages, mut arriving) = mpsc::channel(100);
    reader.read(queue, messages).await.expect("read to its end");
    let mut offsets = Vec::new();
    while let Some(message) = arriving.recv().await {
        offsets.push(message.queue_offset);
    }
    offsets
}

#[tokio::test]
async fn a_queue_is_read_from_its_oldest_message_to_its_end() {
    let (_broker, queue, _stop) = stage(&["A", "B", "A", "C", "B"]).await;
    let all = offsets(reader(From::Earliest, None, false), queue.clone()).await;
    assert_eq!(all, [5, 6, 7, 8, 9]);
    let some = offsets(reader(From::Earliest, Some("A || C"), false), queue.clone()).await;
    assert_eq!(some, [5, 7, 8], "others of the same hash are left out");
    let none = offsets(reader(From::Latest, None, false), queue).await;
    assert_eq!(none, [0_i64; 0]);
}

#[tokio::test]
async fn following_shows_what_arrives() {
    let (broker, queue, _stop) = stage(&["A"]).await;
    let (messages, mut arriving) = mpsc::channel(1);
    let reader = reader(From::Earliest, None, true);
    let reading = tokio::spawn(async move { reader.read(queue, messages).await });
    assert_eq!(arriving.recv().await.expect("the first").queue_offset, 5);
    broker.tags.lock().expect("no panic").push("B");
    assert_eq!(arriving.recv().await.expect("the second").queue_offset, 6);
    drop(arriving);
    broker.tags.lock().expect("no panic").push("C");
    reading.await.expect("no panic").expect("it ends when nobody takes what it reads");
}

#[tokio::test]
async fn a_broker_that_refuses_is_named() {
    let (_broker, queue, _stop) = stage(&[]).await;
    let failure = reader(From::Earliest, None, false);
    let failure = failure.offset(&queue, request::SEARCH_OFFSET_BY_TIMESTAMP).await;
    let failure = failure.expect_err("refused").to_string();
    assert!(failure.contains("queue 2 of broker b") && failure.contains("answered 3"), "{failure}");
}
