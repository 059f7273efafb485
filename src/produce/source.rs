//! [`Source`]: the messages to send, one after the other: the same again and again, or the lines of
//! a file.

use std::io;
use std::path::Path;

use bytes::Bytes;
use signpost_producer::Message;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::cli::produce::Options;

/// What fills bodies that were not given.
const FILLER: &[u8] = b"signpost";
/// Longest line: what RocketMQ's brokers take as a body.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Where messages come from.
pub(super) enum Source {
    /// This one, so many times more.
    Same { message: Box<Message>, left: u64 },
    /// A line each; empty ones are none.
    Lines { lines: Box<dyn AsyncBufRead + Send + Unpin>, like: Box<Message> },
}

impl Source {
    /// What the options ask for.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) async fn open(options: &Options) -> io::Result<Self> {
        let Some(path) = &options.input else {
            let body: Bytes = match &options.body {
                Some(text) => text.clone().into(),
                None => FILLER.iter().copied().cycle().take(options.size).collect(),
            };
            let message = Box::new(options.message(body));
            return Ok(Self::Same { message, left: options.count });
        };
        let like = Box::new(options.message(Bytes::new()));
        let lines: Box<dyn AsyncBufRead + Send + Unpin> = match path == Path::new("-") {
            true => Box::new(BufReader::new(tokio::io::stdin())),
            false => {
                let file = tokio::fs::File::open(path).await.map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
                Box::new(BufReader::new(file))
            }
        };
        Ok(Self::Lines { lines, like })
    }

    /// How many there are, if that is known.
    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Self::Same { left, .. } => Some(*left),
            Self::Lines { .. } => None,
        }
    }

    /// The next `most` messages, fewer at the end; empty: there are no more.
    ///
    /// # Errors
    /// When the file cannot be read, or a line is longer than a body may be.
    pub(super) async fn next(&mut self, most: u64) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        while (messages.len() as u64) < most {
            let Some(message) = self.one().await? else { break };
            messages.push(message);
        }
        Ok(messages)
    }

    async fn one(&mut self) -> io::Result<Option<Message>> {
        match self {
            Self::Same { message, left } => {
                let is_left = *left > 0;
                *left = left.saturating_sub(1);
                Ok(is_left.then(|| (**message).clone()))
            }
            Self::Lines { lines, like } => loop {
                let mut line = Vec::new();
                if lines.take(LINE_BYTES_MAX + 2).read_until(b'\n', &mut line).await? == 0 {
                    return Ok(None);
                }
                let body = line.strip_suffix(b"\n").unwrap_or(&line);
                let body = body.strip_suffix(b"\r").unwrap_or(body);
                if body.len() as u64 > LINE_BYTES_MAX {
                    let problem = format!("a line has more than {LINE_BYTES_MAX} bytes");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
                if !body.is_empty() {
                    let body = Bytes::copy_from_slice(body);
                    return Ok(Some(Message { body, ..(**like).clone() }));
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Source {
        let lines = Box::new(io::Cursor::new(text.to_vec()));
        Source::Lines { lines, like: Box::new(Message::new("t", "").with_tag("A")) }
    }

    #[tokio::test]
    async fn each_line_is_a_message() {
        let mut source = lines(b"one\r\n\ntwo\nthree");
        let bodies = |messages: Vec<Message>| -> Vec<Bytes> {
            assert!(messages.iter().all(|message| message.tag.as_deref() == Some("A")));
            messages.into_iter().map(|message| message.body).collect()
        };
        assert_eq!(bodies(source.next(2).await.expect("lines")), ["one", "two"]);
        assert_eq!(bodies(source.next(2).await.expect("lines")), ["three"]);
        assert!(source.next(2).await.expect("the end").is_empty());
    }

    #[tokio::test]
    async fn a_line_as_long_as_a_body_goes_and_a_longer_one_is_refused() {
        let mut text = vec![b'x'; LINE_BYTES_MAX as usize];
        assert_eq!(lines(&text).next(1).await.expect("a line").len(), 1);
        text.push(b'x');
        let error = lines(&text).next(1).await.expect_err("too long").to_string();
        assert!(error.contains("4194304 bytes"), "{error}");
    }

    #[tokio::test]
    async fn the_same_message_comes_as_often_as_asked() {
        let mut source = Source::Same { message: Box::new(Message::new("t", "x")), left: 3 };
        assert_eq!(source.count(), Some(3));
        assert_eq!(source.next(2).await.expect("two").len(), 2);
        assert_eq!(source.next(2).await.expect("one").len(), 1);
        assert!(source.next(2).await.expect("none").is_empty());
    }
}
