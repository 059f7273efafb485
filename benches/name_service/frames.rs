//! RocketMQ's frames on one connection, as cheap as they can be: the same request again and again,
//! and answers of which only the length is looked at.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, BytesMut};
use signpost_remoting::{FrameCodec, FrameLimits, RemotingCommand, response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::codec::Decoder as _;

use crate::Result;
use crate::load::{Caller, Callers};

/// What is read from the socket at once.
const READ_BYTES: usize = 64 * 1024;
/// The length before each frame.
const PREFIX_BYTES: usize = 4;

/// Sends the same request, some at a time, and waits for as many answers.
#[derive(Debug)]
pub(crate) struct RepeatFrame {
    stream: TcpStream,
    /// As many copies of the request as are in flight at once.
    requests: Vec<u8>,
    in_flight: usize,
    /// What each answer must have: an error has another length.
    answer_bytes: usize,
    buffer: BytesMut,
}

impl RepeatFrame {
    /// `count` callers with `in_flight` requests each, which get a success of this length.
    pub(crate) async fn callers(
        address: SocketAddr,
        request: &[u8],
        count: usize,
        in_flight: usize,
    ) -> Result<Callers<Self>> {
        let answer_bytes = Peer::connect(address).await?.ask(request).await?.len();
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            callers.push(Self {
                stream: connect(address).await?,
                requests: request.repeat(in_flight),
                in_flight,
                answer_bytes,
                buffer: BytesMut::with_capacity(READ_BYTES),
            });
        }
        Ok(Callers::new(callers))
    }
}

impl Caller for RepeatFrame {
    async fn call(&mut self, _: u64) -> io::Result<()> {
        self.stream.write_all(&self.requests).await?;
        for _ in 0..self.in_flight {
            let length = frame_length(&mut self.stream, &mut self.buffer).await?;
            if length != self.answer_bytes {
                let wanted = self.answer_bytes;
                let what = format!("an answer of {length} bytes instead of {wanted}");
                return Err(io::Error::other(what));
            }
            self.buffer.advance(length);
        }
        Ok(())
    }
}

/// One connection, as long as it is kept: a name server removes a broker whose connection ends.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Peer {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: connect(address).await?, buffer: BytesMut::new() })
    }

    /// The bytes of the answer to these bytes of a request, which must be a success.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.stream.write_all(request).await?;
        let length = frame_length(&mut self.stream, &mut self.buffer).await?;
        let bytes = self.buffer[..length].to_vec();
        let mut codec = FrameCodec::new(FrameLimits::default());
        let answer = codec.decode(&mut self.buffer)?.ok_or("half an answer")?;
        match answer.code {
            response::SUCCESS => Ok(bytes),
            code => Err(format!("code {code}: {:?}", answer.remark).into()),
        }
    }
}

/// The bytes of a request.
pub(crate) fn bytes_of(request: &RemotingCommand) -> Result<Vec<u8>> {
    let mut bytes = BytesMut::new();
    FrameCodec::new(FrameLimits::default()).encode_into(request, &mut bytes)?;
    Ok(bytes.to_vec())
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads until the next frame is there as a whole; its length with the prefix.
async fn frame_length(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<usize> {
    loop {
        if let Some(prefix) = buffer.first_chunk::<PREFIX_BYTES>() {
            let whole = PREFIX_BYTES + u32::from_be_bytes(*prefix) as usize;
            if buffer.len() >= whole {
                return Ok(whole);
            }
        }
        buffer.reserve(READ_BYTES);
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
