//! The task that owns a connection's stream.
//!
//! One round does, in this order: finished answers and queued requests into the outbox, bytes that
//! have arrived through the decoder to the handler, the outbox to the peer. Rounds go on while
//! something moves. Every buffer has a bound: at it the round skips the step that would fill it,
//! so a peer that does not read its answers soon finds that we do not read its requests.
//!
//! A turn of the task is nearly always for one request that has arrived. So it asks the stream alone;
//! orders, queue and timer are asked when one of them has woken the task ([`Woken`]).

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::codec::Decoder;
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;

use super::{
    Cause, CloseReason, Connection, ConnectionLimits, Ended, Handler, InvokeError, Outgoing, Ready,
    Reply, Stop,
    calls::{Call, Calls},
    woken::Woken,
};
use crate::frame::done_with;
use crate::{FrameCodec, FrameError, HeaderKind, RemotingCommand, response};

/// What one read asks for at first; doubled while reads fill it, up to the maximum.
const READ_MIN_BYTES: usize = 1024;
const READ_MAX_BYTES: usize = 64 * 1024;
/// An outbox that has grown beyond this is given back once it is empty.
const OUTBOX_KEPT_BYTES: usize = 64 * 1024;

/// Drives one connection to its end. `opened` receives the handle before anything is read.
pub(crate) async fn run<Io: AsyncRead + AsyncWrite + Unpin>(
    io: Io,
    id: u64,
    peer: SocketAddr,
    handler: Arc<dyn Handler>,
    limits: ConnectionLimits,
    stop: Stop,
    opened: impl FnOnce(&Connection),
) -> CloseReason {
    let closed = stop.close.child_token();
    let (connection, outgoing) = Connection::new(id, peer, limits.max_calls, closed);
    handler.connected(&connection);
    let mut end = End {
        connection: connection.clone(),
        handler: handler.clone(),
        ended: Ended {
            reason: CloseReason::Requested,
            unanswered: 0,
            last_answer_code: None,
            draining: false,
        },
    };
    opened(&connection);
    let now = Instant::now();
    let mut engine = Engine {
        io,
        codec: FrameCodec::new(limits.frame),
        inbox: BytesMut::new(),
        arrived: RemotingCommand::request(0),
        read_bytes: READ_MIN_BYTES,
        outbox: BytesMut::new(),
        unsent_since: None,
        partial_since: None,
        written_total: 0,
        answers: FuturesUnordered::new(),
        outgoing,
        calls: Calls::default(),
        owed: 0,
        last_answer_code: None,
        ending: None,
        draining: false,
        moved: false,
        last_moved: now,
        woken: Woken::new(),
        ask_queue: true,
        ask_timer: true,
        timer: Box::pin(sleep_until(now + idle_look(&limits))),
        told: [
            Told::once(connection.0.closed.clone(), Told::Close),
            Told::once(stop.drain, Told::Drain),
        ]
        .into_iter()
        .collect(),
        connection,
        handler,
        limits,
    };
    let reason = poll_fn(|cx| engine.poll(cx)).await;
    engine.fail_calls();
    end.ended = engine.ended(reason);
    end.ended.reason.clone()
}

/// Says that the connection has ended, also when its task was dropped or the handler panicked.
struct End {
    connection: Connection,
    handler: Arc<dyn Handler>,
    ended: Ended,
}

impl Drop for End {
    fn drop(&mut self) {
        self.connection.0.closed.cancel();
        self.connection.0.calls.close();
        if std::thread::panicking() {
            self.ended.reason = CloseReason::Panicked;
        }
        self.handler.ended(&self.connection, &self.ended);
    }
}

struct Engine<Io> {
    io: Io,
    codec: FrameCodec,
    inbox: BytesMut,
    /// What has arrived last; its memory serves the next, unless somebody takes it.
    arrived: RemotingCommand,
    read_bytes: usize,
    outbox: BytesMut,
    /// Since when the peer has taken nothing of what waits for it.
    unsent_since: Option<Instant>,
    /// Since when the peer is sending a frame, while we would take it.
    partial_since: Option<Instant>,
    /// Bytes ever taken from the outbox by the peer's side.
    written_total: u64,
    answers: FuturesUnordered<Answer>,
    outgoing: mpsc::Receiver<Outgoing>,
    calls: Calls,
    /// Requests of the peer that it has no answer to yet, one-way ones aside.
    owed: usize,
    last_answer_code: Option<i32>,
    /// Set when nothing more is read; what stands in the outbox is still written.
    ending: Option<CloseReason>,
    /// Set at shutdown: requests begun are answered, none is begun.
    draining: bool,
    /// Whether something has moved since the timer went off last; reading the clock each time costs
    /// more.
    moved: bool,
    /// No earlier than the latest move that the timer has seen, and at most [`idle_look`] later.
    last_moved: Instant,
    woken: Woken,
    /// Whether the queue may have something, and the timer may have gone off.
    ask_queue: bool,
    ask_timer: bool,
    timer: Pin<Box<Sleep>>,
    /// What others may tell this connection to do.
    told: FuturesUnordered<Pin<Box<dyn Future<Output = Told> + Send>>>,
    connection: Connection,
    handler: Arc<dyn Handler>,
    limits: ConnectionLimits,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Engine<Io> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if self.woken.take(cx) {
            (self.ask_queue, self.ask_timer) = (true, true);
            while let Poll::Ready(Some(told)) =
                Pin::new(&mut self.told).poll_next(&mut self.woken.context())
            {
                match told {
                    Told::Close => return Poll::Ready(CloseReason::Requested),
                    Told::Drain => self.draining = true,
                }
            }
        }
        loop {
            let mut moved = self.collect(cx);
            moved |= self.read(cx);
            match self.write(cx) {
                Ok(wrote) => moved |= wrote,
                Err(error) => {
                    // Who has left takes no more answers: that it left is what counts.
                    let reason = self.ending.take();
                    return Poll::Ready(reason.unwrap_or_else(|| CloseReason::of_error(&error)));
                }
            }
            if moved {
                self.moved = true;
                continue;
            }
            if self.outbox.is_empty() {
                if let Some(reason) = self.ending.take() {
                    return Poll::Ready(reason);
                }
                if self.draining && self.answers.is_empty() {
                    return Poll::Ready(CloseReason::Drained);
                }
            }
            return if self.ask_timer { self.poll_timer() } else { Poll::Pending };
        }
    }

    /// Moves finished answers and queued requests into the outbox.
    fn collect(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.answers.is_empty() && self.has_room() && self.ending.is_none() {
            match Pin::new(&mut self.answers).poll_next(cx) {
                Poll::Ready(Some((asked, Some(answer)))) => self.answer(asked, answer),
                Poll::Ready(Some((_, None))) => {}
                Poll::Ready(None) | Poll::Pending => break,
            }
            moved = true;
        }
        while self.ask_queue && self.has_room() && self.ending.is_none() {
            match self.outgoing.poll_recv(&mut self.woken.context()) {
                Poll::Ready(Some(outgoing)) => {
                    self.send(outgoing);
                    moved = true;
                }
                // It wakes this task when it has something again, or is closed.
                Poll::Ready(None) | Poll::Pending => self.ask_queue = false,
            }
        }
        moved
    }

    /// Reads once and hands every whole frame on.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = self.dispatch();
        if !self.may_dispatch() {
            return moved;
        }
        if self.inbox.capacity() - self.inbox.len() < self.read_bytes / 2 {
            self.inbox.reserve(self.read_bytes);
        }
        let room = self.inbox.capacity() - self.inbox.len();
        let read = match poll_read_buf(Pin::new(&mut self.io), cx, &mut self.inbox) {
            Poll::Pending => return moved,
            Poll::Ready(Ok(0)) => {
                self.end(CloseReason::ByPeer);
                return true;
            }
            Poll::Ready(Ok(read)) => read,
            Poll::Ready(Err(error)) => {
                self.end(CloseReason::of_error(&error));
                return true;
            }
        };
        self.connection.received(read);
        if read == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_MAX_BYTES);
        }
        moved = true;
        self.dispatch();
        moved
    }

    fn dispatch(&mut self) -> bool {
        let mut moved = false;
        let mut partial = false;
        while self.may_dispatch() {
            match self.codec.decode_into(&mut self.inbox, &mut self.arrived) {
                Ok(true) if self.arrived.is_response() => self.calls.complete(self.arrived.take()),
                Ok(true) => self.begin(),
                Ok(false) => {
                    partial = !self.inbox.is_empty();
                    break;
                }
                Err(error) => self.end(CloseReason::Protocol(error.to_string())),
            }
            moved = true;
        }
        if moved || !partial {
            self.partial_since = None;
        }
        if partial && self.partial_since.is_none() {
            self.partial_since = Some(Instant::now());
            self.look_within(self.limits.frame_time);
        }
        moved
    }

    /// Begins the request that has arrived.
    fn begin(&mut self) {
        let RemotingCommand { opaque, header, .. } = self.arrived;
        let asked = Asked { opaque, header, oneway: self.arrived.is_oneway() };
        self.owed += usize::from(!asked.oneway);
        if let Some(Ready { answer, body }) = self.handler.ready(&self.connection, &self.arrived) {
            if !asked.oneway {
                let (code, to) = (answer.code(), &mut self.outbox);
                let put = self.codec.encode_prepared(answer, opaque, header, &body, to);
                self.answered(asked, code, put);
            }
            return;
        }
        match self.handler.request(&self.connection, self.arrived.take()) {
            Reply::Now(answer) => self.answer(asked, answer),
            Reply::Later(future) => self.answers.push(Answer { asked, future }),
            Reply::Nothing => {}
        }
    }

    fn answer(&mut self, asked: Asked, mut answer: RemotingCommand) {
        if asked.oneway {
            return;
        }
        answer.mark_response_to(asked.opaque, asked.header);
        let put = self.put(&answer);
        self.answered(asked, answer.code, put);
    }

    /// An answer with this code was put into the outbox, or could not be: then it says so instead.
    fn answered(&mut self, asked: Asked, mut code: i32, put: Result<(), FrameError>) {
        if let Err(error) = put {
            tracing::warn!(peer = %self.connection.peer(), code, %error, "an answer cannot be sent");
            let mut instead = RemotingCommand::error(response::SYSTEM_ERROR, error.to_string());
            instead.mark_response_to(asked.opaque, asked.header);
            code = instead.code;
            if let Err(error) = self.put(&instead) {
                self.end(CloseReason::Failed(error.to_string()));
                return;
            }
        }
        self.owed -= 1;
        self.last_answer_code = Some(code);
    }

    fn send(&mut self, outgoing: Outgoing) {
        let Outgoing { mut command, reply } = outgoing;
        if reply.as_ref().is_some_and(oneshot::Sender::is_closed) {
            return; // The caller has given up; nothing of the request has left.
        }
        command.opaque = self.calls.next_opaque();
        let start = self.written_total + self.outbox.len() as u64;
        match (self.put(&command), reply) {
            (Ok(()), Some(reply)) => self.calls.insert(command.opaque, Call { start, reply }),
            (Ok(()), None) => {}
            (Err(error), Some(reply)) => {
                // A caller who no longer listens does not need to know.
                let _ = reply.send(Err(InvokeError::NotSent(Cause::Frame(error.to_string()))));
            }
            (Err(error), None) => {
                tracing::warn!(peer = %self.connection.peer(), code = command.code, %error, "a one-way request cannot be sent");
            }
        }
    }

    fn put(&mut self, command: &RemotingCommand) -> Result<(), FrameError> {
        self.codec.encode_into(command, &mut self.outbox)
    }

    fn write(&mut self, cx: &mut Context<'_>) -> std::io::Result<bool> {
        let mut moved = false;
        while !self.outbox.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &self.outbox) {
                Poll::Pending => {
                    if self.unsent_since.is_none() || moved {
                        self.watch_reader();
                    }
                    return Ok(moved);
                }
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    done_with(&mut self.outbox, written);
                    self.written_total += written as u64;
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        self.unsent_since = None;
        if self.outbox.capacity() > OUTBOX_KEPT_BYTES {
            self.outbox = BytesMut::new();
        }
        ready_or_pending(Pin::new(&mut self.io).poll_flush(cx))?;
        Ok(moved)
    }

    /// Begins (again) to count how long the peer takes nothing.
    fn watch_reader(&mut self) {
        self.unsent_since = Some(Instant::now());
        self.look_within(self.limits.stall);
    }

    /// Has the timer go off no later than after this time.
    fn look_within(&mut self, time: Duration) {
        let due = Instant::now() + time;
        if due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
            self.ask_timer = true;
        }
    }

    fn poll_timer(&mut self) -> Poll<CloseReason> {
        loop {
            if self.timer.as_mut().poll(&mut self.woken.context()).is_pending() {
                self.ask_timer = false;
                return Poll::Pending;
            }
            let now = Instant::now();
            if std::mem::take(&mut self.moved) {
                self.last_moved = now;
            }
            let ConnectionLimits { idle, stall, frame_time, .. } = self.limits;
            let unread = self.unsent_since.map(|since| since + stall);
            if unread.is_some_and(|due| due <= now) {
                return Poll::Ready(CloseReason::SlowReader(stall));
            }
            let unended = self.partial_since.map(|since| since + frame_time);
            if unended.is_some_and(|due| due <= now) {
                return Poll::Ready(CloseReason::SlowWriter(frame_time));
            }
            let idle_at = self.last_moved + idle;
            if idle_at <= now {
                return Poll::Ready(CloseReason::Idle(idle));
            }
            let look_at = idle_at.min(now + idle_look(&self.limits));
            let next = [unread, unended].into_iter().flatten().fold(look_at, Instant::min);
            self.timer.as_mut().reset(next);
        }
    }

    fn has_room(&self) -> bool {
        self.outbox.len() < self.limits.max_unsent_bytes
    }

    fn may_dispatch(&self) -> bool {
        self.ending.is_none()
            && !self.draining
            && self.has_room()
            && self.answers.len() < self.limits.max_in_flight
    }

    fn end(&mut self, reason: CloseReason) {
        self.ending.get_or_insert(reason);
    }

    /// The end, as the handler is told of it.
    fn ended(&mut self, reason: CloseReason) -> Ended {
        let mut unanswered = self.owed + usize::from(!self.outbox.is_empty());
        while let Ok(Some(command)) = self.codec.decode(&mut self.inbox) {
            unanswered += usize::from(!command.is_response() && !command.is_oneway());
        }
        let last_answer_code = self.last_answer_code;
        Ended { reason, unanswered, last_answer_code, draining: self.draining }
    }

    /// Tells every caller that still waits whether its request can have left.
    fn fail_calls(&mut self) {
        self.outgoing.close();
        while let Ok(Outgoing { reply, .. }) = self.outgoing.try_recv() {
            if let Some(reply) = reply {
                let _ = reply.send(Err(InvokeError::NotSent(Cause::Closed)));
            }
        }
        self.calls.fail(self.written_total);
    }
}

/// How often it is looked whether anything has moved, and so how much later than after the idle time
/// a connection is closed at most.
fn idle_look(limits: &ConnectionLimits) -> Duration {
    limits.idle / 8
}

/// An error of a flush, if it has one already; one that is still to come will show at a write.
fn ready_or_pending(flush: Poll<std::io::Result<()>>) -> std::io::Result<()> {
    match flush {
        Poll::Ready(flushed) => flushed,
        Poll::Pending => Ok(()),
    }
}

/// What a connection is told from outside, each once in its life.
enum Told {
    /// To end at once.
    Close,
    /// To begin nothing new.
    Drain,
}

impl Told {
    /// Says this when the token is cancelled.
    fn once(by: CancellationToken, what: Self) -> Pin<Box<dyn Future<Output = Self> + Send>> {
        Box::pin(by.cancelled_owned().map(|()| what))
    }
}

/// What an answer must repeat of its request.
#[derive(Clone, Copy)]
struct Asked {
    opaque: i32,
    header: HeaderKind,
    oneway: bool,
}

/// A request being handled.
struct Answer {
    asked: Asked,
    future: Pin<Box<dyn Future<Output = Option<RemotingCommand>> + Send>>,
}

impl Future for Answer {
    type Output = (Asked, Option<RemotingCommand>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.future.as_mut().poll(cx));
        Poll::Ready((self.asked, answer))
    }
}
