//! HTTP/1.1 on one kept-alive connection, with as little work for each answer as there can be: the
//! caller shares the machine with what it measures.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is read from the socket at once.
const READ_BYTES: usize = 16 * 1024;
/// No answer that is asked for here is longer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer, valid until the next request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'c> {
    pub(crate) status: u16,
    /// Status line and headers, without the empty line.
    pub(crate) head: &'c [u8],
    pub(crate) body: &'c [u8],
}

impl Answer<'_> {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.body).into_owned()
    }

    /// An error with the answer's words unless it is a success.
    pub(crate) fn expect_success(&self) -> io::Result<()> {
        match self.status {
            200..=299 => Ok(()),
            status => Err(io::Error::other(format!("status {status}: {}", self.text()))),
        }
    }
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends the bytes of one request and reads its answer, which must say its length.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (head_end, length) = loop {
            self.read_more().await?;
            if let Some(end) = position(&self.buffer, b"\r\n\r\n") {
                break (end, content_length(&self.buffer[..end])?);
            }
        };
        let whole = head_end + 4 + length;
        while self.buffer.len() < whole {
            self.read_more().await?;
        }
        let (head, body) = (&self.buffer[..head_end], &self.buffer[head_end + 4..whole]);
        Ok(Answer { status: status(head)?, head, body })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.buffer.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other("an answer that is too long"));
        }
        self.buffer.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The bytes of a request; a body is JSON.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(160 + body.len());
    write_request(&mut bytes, method, path, body);
    bytes
}

/// The same, appended.
pub(crate) fn write_request(to: &mut Vec<u8>, method: &str, path: &str, body: &[u8]) {
    for part in [method, " ", path, " HTTP/1.1\r\nhost: bench\r\n"] {
        to.extend_from_slice(part.as_bytes());
    }
    if !body.is_empty() {
        let length = body.len();
        let head = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
        to.extend_from_slice(head.as_bytes());
    }
    to.extend_from_slice(b"\r\n");
    to.extend_from_slice(body);
}

/// One request on a connection of its own; the status and the body.
pub(crate) async fn once(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &[u8],
) -> io::Result<(u16, String)> {
    let mut connection = Connection::open(address).await?;
    let answer = connection.ask(&request(method, path, body)).await?;
    Ok((answer.status, answer.text()))
}

fn status(head: &[u8]) -> io::Result<u16> {
    let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::other("an answer that is not HTTP/1.1"))
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    const NAME: &[u8] = b"content-length:";
    for line in head.split(|byte| *byte == b'\n') {
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let text = std::str::from_utf8(&line[NAME.len()..]).unwrap_or_default();
            return text.trim().parse().map_err(io::Error::other);
        }
    }
    Err(io::Error::other("an answer without content-length"))
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
