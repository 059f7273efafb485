//! Reads what strace has recorded.

/// The calls that make, change, name and synchronise files.
pub(super) const CALLS: [&str; 13] = [
    "openat",
    "close",
    "write",
    "pwrite64",
    "ftruncate",
    "fallocate",
    "lseek",
    "fsync",
    "fdatasync",
    "rename",
    "unlink",
    "mkdir",
    "rmdir",
];

/// One end of one call: a call that is under way while another thread's is recorded appears as two
/// events.
#[derive(Debug)]
pub(super) enum Event {
    /// It was called; it may have had all, none or some of its effect from here on.
    Called { thread: u32, call: Call },
    /// It has returned; negative for an error.
    Returned { thread: u32, result: i64 },
}

#[derive(Debug, Clone)]
pub(super) enum Call {
    Open { path: String, create: bool, truncate: bool },
    Close { file: i64 },
    Write { file: i64, bytes: Vec<u8>, offset: Option<u64> },
    Truncate { file: i64, bytes: u64 },
    Sync { file: i64 },
    Rename { from: String, to: String },
    Unlink { path: String },
    MakeDirectory,
    Other,
}

/// Parses a whole record.
pub(super) fn parse(record: &str) -> Vec<Event> {
    let mut events = Vec::new();
    for line in record.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let thread = thread.parse().unwrap_or_else(|_| panic!("no thread in {line:.80}"));
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            events.push(Event::Returned { thread, result: result(resumed) });
            continue;
        }
        let (name, arguments) = rest.split_once('(').unwrap_or_else(|| panic!("{line:.80}"));
        if let Some(arguments) = arguments.strip_suffix("<unfinished ...>") {
            events.push(Event::Called { thread, call: call(name, arguments) });
        } else {
            events.push(Event::Called { thread, call: call(name, arguments) });
            events.push(Event::Returned { thread, result: result(arguments) });
        }
    }
    events
}

fn result(text: &str) -> i64 {
    let (_, result) = text.rsplit_once(" = ").unwrap_or_else(|| panic!("no result: {text:.80}"));
    // A call that never came back, because the process ended, had no result to rely on.
    result.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(-1)
}

fn call(name: &str, arguments: &str) -> Call {
    let fields: Vec<&str> = arguments.split(", ").collect();
    let field = |number: usize| fields.get(number).copied().unwrap_or("").trim_end();
    let number = |text: &str| -> i64 {
        let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
        digits.parse().unwrap_or_else(|_| panic!("no number in {name}({arguments:.80}"))
    };
    let path = |text: &str| String::from_utf8(bytes(text)).expect("paths here are UTF-8");
    match name {
        "openat" => Call::Open {
            path: path(field(1)),
            create: field(2).contains("O_CREAT"),
            truncate: field(2).contains("O_TRUNC"),
        },
        "close" => Call::Close { file: number(field(0)) },
        "write" => Call::Write { file: number(field(0)), bytes: bytes(field(1)), offset: None },
        "pwrite64" => Call::Write {
            file: number(field(0)),
            bytes: bytes(field(1)),
            offset: Some(number(field(3)).try_into().expect("an offset")),
        },
        "ftruncate" => Call::Truncate {
            file: number(field(0)),
            bytes: number(field(1)).try_into().expect("a length"),
        },
        "fsync" | "fdatasync" => Call::Sync { file: number(field(0)) },
        "rename" => Call::Rename { from: path(field(0)), to: path(field(1)) },
        "unlink" => Call::Unlink { path: path(field(0)) },
        "mkdir" | "rmdir" => Call::MakeDirectory,
        _ => Call::Other,
    }
}

/// The bytes of `"\x61\x62"`.
fn bytes(text: &str) -> Vec<u8> {
    let text = text.split('"').nth(1).unwrap_or_else(|| panic!("no string: {text:.80}"));
    let hex = |digits: &str| {
        u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("no hex: {digits:.80}"))
    };
    text.split("\\x").skip(1).map(hex).collect()
}
