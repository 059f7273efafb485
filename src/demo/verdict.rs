//! The promises, kept or broken, each with its figures.

use std::fmt;

/// What the story has shown so far.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    kept: bool,
    promise: &'static str,
    figures: String,
}

impl Verdict {
    /// Adds a promise, whether it was kept, and what was counted or measured.
    pub(super) fn find(&mut self, promise: &'static str, kept: bool, figures: impl fmt::Display) {
        self.findings.push(Finding { kept, promise, figures: figures.to_string() });
    }

    /// Whether there were promises, and all were kept.
    pub(super) fn is_kept(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|finding| finding.kept)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.promise.len()).max().unwrap_or(0);
        for Finding { kept, promise, figures } in &self.findings {
            let mark = if *kept { "kept  " } else { "BROKEN" };
            writeln!(f, "  {mark}  {promise:<width$}  {figures}")?;
        }
        let broken = self.findings.iter().filter(|finding| !finding.kept).count();
        match broken {
            0 => write!(f, "All {} promises were kept.", self.findings.len()),
            _ => write!(f, "{broken} of {} promises were BROKEN.", self.findings.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broken_promise_is_enough() {
        let mut verdict = Verdict::default();
        assert!(!verdict.is_kept(), "nothing shown is nothing kept");
        verdict.find("no send fails", true, "10 of 10");
        assert!(verdict.is_kept());
        verdict.find("no acknowledged write is lost", false, "1 of 7 lost");
        assert!(!verdict.is_kept());
        let shown = verdict.to_string();
        assert!(shown.contains("BROKEN  no acknowledged write is lost  1 of 7 lost"), "{shown}");
        assert!(shown.ends_with("1 of 2 promises were BROKEN."), "{shown}");
    }
}
