//! Reading a stage back: COPY in text format, taken apart by a parser of its own, which shares nothing with the binary way.

use std::borrow::Cow;

use futures::TryStreamExt as _;

use super::super::connect::Connection;
use super::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::proof::ColumnProof;

/// A column to be read back.
#[derive(Debug)]
pub(super) struct Column {
    /// Where it stands among the columns of the target.
    pub(super) at: usize,
    /// The expression that gives its text.
    pub(super) text: String,
    /// What of it is hashed.
    pub(super) digest: Digest,
}

/// Values, NULLs and digest of each of `columns`, in the transaction that is open.
pub(super) async fn sums(connection: &Connection, stage: &str, columns: &[Column]) -> Result<Vec<ColumnProof>> {
    let texts: Vec<&str> = columns.iter().map(|column| column.text.as_str()).collect();
    let sql = format!("COPY (SELECT {} FROM {stage}) TO STDOUT", texts.join(", "));
    let stream = connection.copy_out(sql.as_str()).await.map_err(|source| connection.error(source))?;
    let mut stream = std::pin::pin!(stream);
    let mut sums = vec![ColumnProof { digest: Some(0), ..ColumnProof::default() }; columns.len()];
    // What of a line has come.
    let mut rest: Vec<u8> = Vec::new();
    while let Some(bytes) = stream.try_next().await.map_err(|source| connection.error(source))? {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(part);
            if let Some(line) = rest.strip_suffix(b"\n") {
                add(line, columns, &mut sums)?;
                rest.clear();
            }
        }
    }
    if rest.is_empty() { Ok(sums) } else { Err(damaged()) }
}

/// Counts one row.
fn add(line: &[u8], columns: &[Column], sums: &mut [ColumnProof]) -> Result<()> {
    let mut fields = line.split(|byte| *byte == b'\t');
    for (column, sum) in columns.iter().zip(sums) {
        let field = fields.next().ok_or_else(damaged)?;
        if field == b"\\N" {
            sum.nulls += 1;
            continue;
        }
        let value = unescaped(field);
        let text = std::str::from_utf8(&value).map_err(|_| damaged())?;
        let more = column.digest.of_text(text).ok_or_else(damaged)?;
        sum.values += 1;
        sum.digest = sum.digest.map(|digest| digest.wrapping_add(more));
    }
    if fields.next().is_some() { Err(damaged()) } else { Ok(()) }
}

/// A field without its backslashes. The server writes tabs, line ends and backslashes as two characters each.
fn unescaped(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return field.into();
    }
    let mut value = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => bytes.next().map_or(b'\\', |letter| escaped(*letter)),
            byte => *byte,
        });
    }
    value.into()
}

/// What a letter after a backslash stands for.
fn escaped(letter: u8) -> u8 {
    match letter {
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        other => other,
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the server's answer to COPY is not in text format")
}

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::*;
    use crate::proof::hash::hash;

    #[test]
    fn lines_are_taken_apart_as_the_server_writes_them() {
        let column = |at| Column { at, text: String::new(), digest: Digest::Text(Form::Text) };
        let columns = [column(0), column(1)];
        let mut sums = [ColumnProof { digest: Some(0), ..ColumnProof::default() }; 2];
        for line in ["a\\tb\t\\N", "\t\\\\N", "\\r\\n\\b\té"] {
            add(line.as_bytes(), &columns, &mut sums).unwrap();
        }
        let digest = |texts: &[&str]| texts.iter().fold(0_u64, |all, text| all.wrapping_add(hash(text.as_bytes())));
        assert_eq!((sums[0].values, sums[0].nulls, sums[0].digest), (3, 0, Some(digest(&["", "a\tb", "\r\n\u{8}"]))));
        assert_eq!((sums[1].values, sums[1].nulls, sums[1].digest), (2, 1, Some(digest(&["é", "\\N"]))));
        assert!(add(b"one", &columns, &mut sums).is_err());
        assert!(add(b"1\t2\t3", &columns, &mut sums).is_err());
    }
}
