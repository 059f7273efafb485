//! What a log may say.

use std::fs;
use std::path::Path;

/// How many of a log's last lines are shown when a test fails.
const TAIL_LINES: usize = 40;

/// The lines of a log that must not be there: warnings, errors and panics, but for those with a
/// fragment that is `allowed`.
pub(crate) fn unexpected(log: &str, allowed: &[&str]) -> Vec<String> {
    let is_bad = |line: &&str| {
        line.contains(" WARN ") || line.contains(" ERROR ") || line.contains("panicked at")
    };
    let is_allowed = |line: &str| allowed.iter().any(|fragment| line.contains(fragment));
    log.lines().filter(is_bad).filter(|line| !is_allowed(line)).map(str::to_owned).collect()
}

/// All that a process has said.
pub(crate) fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Its end, without what the logging library of a Java program says of itself.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains(" |-")).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[test]
fn unexpected_lines_are_found() {
    let log = "t  INFO a: fine\nt  WARN b: odd\nt ERROR c: bad\nthread 'x' panicked at y\n";
    assert_eq!(unexpected(log, &[]).len(), 3);
    assert_eq!(unexpected(log, &["b: odd", "c: "]), ["thread 'x' panicked at y"]);
}
