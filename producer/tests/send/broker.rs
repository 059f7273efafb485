//! A broker in memory behind a real TCP port, on RocketMQ's wire; it misbehaves when told to.

#![allow(dead_code, unreachable_pub, reason = "each test crate uses its part")]

use std::sync::{Arc, Mutex};

use signpost_remoting::message::batch;
use signpost_remoting::send::{SendHeader, SendResponse};
use signpost_remoting::{
    Connection, Handler, RemotingCommand, Reply, ServerLimits, request, serve,
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the broker does with sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Up,
    /// Stores nothing and answers this code.
    Answers(i32),
    /// Stores, and answers this code.
    StoresAndAnswers(i32),
    /// Stores nothing and never answers.
    Hung,
    /// Stores, and answers once it is told something else.
    Slow,
    /// Stores, and closes the connection.
    Mute,
    /// Stores, and answers 0 without the fields that belong to it.
    Bare,
}

pub struct Broker {
    pub address: String,
    state: Arc<State>,
    shutdown: Option<DropGuard>,
}

struct State {
    stored: Mutex<Vec<Stored>>,
    seen: Mutex<usize>,
    /// Of the other requests: code, body and fields.
    others: Mutex<Vec<RemotingCommand>>,
    changed: tokio::sync::watch::Sender<Mode>,
}

#[derive(Debug, Clone)]
pub struct Stored {
    pub code: i32,
    pub header: SendHeader,
    pub body: Vec<u8>,
    pub oneway: bool,
}

impl Broker {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            others: Mutex::default(),
            changed: tokio::sync::watch::Sender::new(Mode::Up),
            stored: Mutex::default(),
            seen: Mutex::default(),
        });
        let shutdown = CancellationToken::new();
        let limits = ServerLimits { drain: std::time::Duration::ZERO, ..ServerLimits::default() };
        tokio::spawn(serve(listener, Arc::clone(&state) as _, limits, shutdown.clone()));
        Self { address, state, shutdown: Some(shutdown.drop_guard()) }
    }

    pub fn set(&self, mode: Mode) {
        self.state.changed.send_replace(mode);
    }

    pub fn stored(&self) -> Vec<Stored> {
        self.state.stored.lock().unwrap().clone()
    }

    /// Send requests seen, stored or not.
    pub fn seen(&self) -> usize {
        *self.state.seen.lock().unwrap()
    }

    /// Requests of this code that are no sends.
    pub fn others(&self, code: i32) -> Vec<RemotingCommand> {
        let others = self.state.others.lock().unwrap();
        others.iter().filter(|request| request.code == code).cloned().collect()
    }

    /// Closes the port and all connections.
    pub async fn stop(&mut self) {
        self.shutdown = None;
        while tokio::net::TcpStream::connect(&self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

impl State {
    fn store(&self, request: &RemotingCommand) -> SendResponse {
        let header = SendHeader::decode(request.code, &request.ext).expect("a sound header");
        let queue_id = header.queue_id;
        let mut stored = self.stored.lock().unwrap();
        let same_queue = |other: &&Stored| other.header.queue_id == queue_id;
        let queue_offset = stored.iter().filter(same_queue).count() as i64;
        let (body, oneway) = (request.body.to_vec(), request.is_oneway());
        stored.push(Stored { code: request.code, header, body, oneway });
        let count = match request.code {
            request::SEND_BATCH_MESSAGE => batch::decode(request.body.clone(), 100).unwrap().len(),
            _ => 1,
        };
        let ids: Vec<_> = (0..count).map(|n| format!("{:032X}", stored.len() + n)).collect();
        let message_id = ids.join(",");
        SendResponse { message_id, queue_id, queue_offset, transaction_id: None }
    }
}

impl Handler for State {
    fn request(&self, connection: &Connection, request: RemotingCommand) -> Reply {
        if ![request::SEND_MESSAGE_V2, request::SEND_BATCH_MESSAGE].contains(&request.code) {
            self.others.lock().unwrap().push(request.clone());
            let answers = request.code == request::GET_MAX_OFFSET;
            return match *self.changed.borrow() {
                Mode::Hung => Reply::Nothing,
                _ if answers => Reply::Now(RemotingCommand::response(0)),
                // As a broker that knows producers by their sends only.
                _ => Reply::Now(RemotingCommand::not_supported(request.code)),
            };
        }
        *self.seen.lock().unwrap() += 1;
        let mode = *self.changed.borrow();
        match mode {
            Mode::Up => {
                let response = self.store(&request);
                Reply::Now(RemotingCommand::response(0).with_ext(response.encode()))
            }
            Mode::Answers(code) => Reply::Now(RemotingCommand::error(code, "as told")),
            Mode::StoresAndAnswers(code) => {
                let response = self.store(&request);
                Reply::Now(RemotingCommand::response(code).with_ext(response.encode()))
            }
            Mode::Hung => Reply::Nothing,
            Mode::Slow => {
                let mut changed = self.changed.subscribe();
                let response = self.store(&request).encode();
                Reply::later(async move {
                    changed.wait_for(|mode| *mode != Mode::Slow).await.expect("the broker lives");
                    RemotingCommand::response(0).with_ext(response)
                })
            }
            Mode::Mute => {
                self.store(&request);
                connection.close();
                Reply::Nothing
            }
            Mode::Bare => {
                self.store(&request);
                Reply::Now(RemotingCommand::response(0))
            }
        }
    }
}
