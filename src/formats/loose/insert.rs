//! Records as statements of SQL.

use super::options::InsertOptions;
use crate::formats::quote;

/// How rows become statements.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    /// Up to the first value.
    begin: Vec<u8>,
    columns: usize,
    commit_rows: usize,
}

impl Statements {
    pub(super) fn new(options: &InsertOptions, columns: &[String]) -> Self {
        let InsertOptions { table, quote, commit_rows } = options;
        let quoted = |name: &str| {
            let inner = if quote.is_empty() { name.to_owned() } else { name.replace(quote, &quote.repeat(2)) };
            format!("{quote}{inner}{quote}")
        };
        let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
        let begin = format!("INSERT INTO {} ({}) VALUES(", quoted(table), names.join(",")).into_bytes();
        Self { begin, columns: columns.len(), commit_rows: *commit_rows }
    }

    /// How many values a statement has.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.begin);
    }

    /// Puts quotes around the text that begins at `start`.
    pub(super) fn quote(out: &mut Vec<u8>, start: usize) {
        quote::put(out, start, b'\'', b'\'');
    }

    /// Ends the statement of the row at `row` of `rows` that are written together: what is behind the last of them is committed.
    pub(super) fn end(&self, (row, rows): (usize, usize), line_end: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b");");
        out.extend_from_slice(line_end);
        if (row + 1).is_multiple_of(self.commit_rows) || row + 1 == rows {
            out.extend_from_slice(b"commit;");
            out.extend_from_slice(line_end);
        }
    }
}
