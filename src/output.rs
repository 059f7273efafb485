//! What commands print: tables for people, JSON for programs. To stdout; everything else (logs,
//! progress, errors) goes to stderr, so that a pipe carries answers only.

use std::fmt;
use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;

/// Who reads the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    Table,
    /// One JSON document per answer and line, for programs.
    Json,
}

/// Prints an answer in the form that was asked for.
///
/// # Errors
/// When stdout cannot be written. A reader that has gone away (`| head`) is none.
pub(crate) fn answer<T: Serialize + ?Sized>(
    format: Format,
    value: &T,
    for_people: impl FnOnce() -> String,
) -> io::Result<()> {
    match format {
        Format::Table => text(&for_people()),
        Format::Json => {
            let mut line = serde_json::to_string(value).map_err(io::Error::other)?;
            line.push('\n');
            text(&line)
        }
    }
}

/// Prints text as it is.
///
/// # Errors
/// See [`answer`].
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints one line of a running report (`dev`, `demo`).
pub(crate) fn line(line: impl fmt::Display) {
    // Nobody listens any more: the command's end will say what there is to say.
    let _ = text(&format!("{line}\n"));
}

/// A line to stderr.
pub(crate) fn complain(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Columns, aligned to the left, two blanks between them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headers.
    pub(crate) fn new<const N: usize>(headers: [&str; N]) -> Self {
        Self { rows: vec![headers.map(str::to_owned).to_vec()] }
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell });
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_last_letter() {
        let mut table = Table::new(["ID", "ROLE", "HTTP"]);
        table.row(["1".into(), "leader".into(), "127.0.0.1:8876".into()]);
        table.row(["12".into(), String::new(), "é".into()]);
        let expected = "ID  ROLE    HTTP\n1   leader  127.0.0.1:8876\n12  -       é\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_table_without_rows_still_says_what_it_would_show() {
        assert_eq!(Table::new(["TOPIC"]).to_string(), "TOPIC\n");
    }
}
