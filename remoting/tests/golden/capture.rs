//! Reads the files of golden frames.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use signpost_remoting::{FrameCodec, RemotingCommand};
use tokio_util::codec::Decoder as _;

pub(crate) fn codec() -> FrameCodec {
    FrameCodec::default()
}

/// One file.
pub(crate) struct Capture {
    /// Its name, without the extension.
    pub(crate) name: String,
    pub(crate) request_bytes: Vec<u8>,
    pub(crate) request: RemotingCommand,
    pub(crate) answer: Option<RemotingCommand>,
}

impl Capture {
    pub(crate) fn all() -> Vec<Self> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
        files.sort();
        files.iter().map(|file| Self::read(file)).collect()
    }

    pub(crate) fn load(name: &str) -> Self {
        Self::read(&folder().join(format!("{name}.txt")))
    }

    pub(crate) fn commands(&self) -> impl Iterator<Item = &RemotingCommand> {
        std::iter::once(&self.request).chain(&self.answer)
    }

    /// The answer's body.
    pub(crate) fn answer_body(&self) -> &[u8] {
        &self.answer.as_ref().expect("it has an answer").body
    }

    fn read(file: &Path) -> Self {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (mut request_bytes, mut answer_bytes) = (Vec::new(), Vec::new());
        let mut section: Option<&mut Vec<u8>> = None;
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "#" => {}
                "request" => section = Some(&mut request_bytes),
                "answer" => section = Some(&mut answer_bytes),
                "text" => section.as_mut().unwrap().extend_from_slice(rest.as_bytes()),
                "hex" => section.as_mut().unwrap().extend(hex(rest)),
                _ => panic!("{name}: what is `{word}`?"),
            }
        }
        let answer = (!answer_bytes.is_empty()).then(|| command(&name, &answer_bytes));
        Self { request: command(&name, &request_bytes), name, request_bytes, answer }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn command(name: &str, bytes: &[u8]) -> RemotingCommand {
    let mut inbox = BytesMut::from(bytes);
    let command = codec().decode(&mut inbox).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(inbox.is_empty(), "{name}: {} bytes are left", inbox.len());
    command.unwrap_or_else(|| panic!("{name}: not a whole frame"))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    let byte = |pair: &[char]| {
        u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hexadecimal")
    };
    digits.chunks(2).map(byte).collect()
}
