//! The keys of a sample, and the types of their values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Schema};

use super::decode::twice;
use super::records::{Sink, line, walk};
use super::scan::{Scanner, is_array};
use crate::error::{Error, Result};
use crate::formats::csv::apply_casts;
use crate::formats::guess::{Guess, blank, typed};
use crate::formats::value::Pattern;
use crate::formats::{
    Extent, Inferred, Layout, Piece, RecordScanner as _, SAMPLE_ROWS, Start, Typing, endless, text_start,
};
use crate::schema::{EXTENSION, EXTENSION_JSON, is_json, with_metadata};

/// What stands in each record of a rejects file, see [`REJECT`](crate::reject::REJECT).
const REJECT_KEY: &[u8] = b"\"__reject\":";

/// Where the records begin.
pub(super) fn start(head: &[u8]) -> Result<Start> {
    let data_start = text_start(head)?;
    let lines = !is_array(&head[data_start..]);
    Ok(Start { layout: None, data_start, line: 1, splittable: lines, extendable: lines })
}

/// [`start`], and the columns in the order in which their keys first stand.
pub(super) fn infer(typing: &Typing, head: &[u8], extent: Extent) -> Result<Inferred> {
    let start = start(head)?;
    let body = &head[start.data_start..];
    let whole = match extent {
        Extent::Whole => body.len(),
        Extent::Head => Scanner::default().feed(body).ok_or_else(|| endless(head.len()))?.offset,
    };
    let texts = memchr::memmem::find(&body[..whole], REJECT_KEY).is_some();
    let mut sample = Sample { texts, pattern: typing.pattern.as_ref(), ..Sample::default() };
    let piece = Piece { bytes: &body[..whole], first_line: start.line };
    walk(&piece, &mut sample)?;
    // Reading refuses such records, or leaves them out as well. Where there are no others, nothing is known of the columns.
    if let Some((records, offset, error)) = sample.refused.take()
        && records == sample.records
    {
        return Err(error.at("line", line(&piece, offset)));
    }
    let field = |(column, (name, guess)): (usize, (&String, &Guess<'_>))| match typing.all_strings {
        true => Field::new(name, DataType::Utf8, true),
        false if sample.texts && !sample.nested[column] => guess.field(name),
        false => guess.json_field(name),
    };
    let mut fields: Vec<Field> = sample.columns.iter().zip(&sample.guesses).enumerate().map(field).collect();
    let blank = blank(&sample.guesses, &sample.columns, typing);
    let mut columns = sample.columns;
    // A cast also says that there is a key, should no object of the sample have it.
    for cast in typing.casts.iter().filter(|cast| !sample.index.contains_key(cast.name())) {
        columns.push(cast.name().clone());
        fields.push(cast.as_ref().clone());
    }
    let fields = apply_casts(typing, fields)?;
    Ok(Inferred { schema: Arc::new(Schema::new(fields)), layout: Layout { columns }, start, blank })
}

/// The column that holds the numbers, or the strings, of both, else JSON.
pub(super) fn join(left: &Field, right: &Field) -> Field {
    let scale = |field: &Field| match field.data_type() {
        DataType::Int64 => Some(0),
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    };
    let is_double = |field: &Field| *field.data_type() == DataType::Float64;
    let is_string = |field: &Field| {
        use DataType::{Date32, Time64, Timestamp, Utf8};
        !is_json(field) && matches!(field.data_type(), Utf8 | Date32 | Time64(_) | Timestamp(..))
    };
    match (scale(left), scale(right)) {
        _ if left == right => left.clone(),
        (Some(one), Some(other)) => typed(left.name(), DataType::Decimal128(DECIMAL128_MAX_PRECISION, one.max(other))),
        (Some(_), None) if is_double(right) => right.clone(),
        (None, Some(_)) if is_double(left) => left.clone(),
        _ if is_string(left) && is_string(right) => typed(left.name(), DataType::Utf8),
        _ => with_metadata(typed(left.name(), DataType::Utf8), EXTENSION, EXTENSION_JSON),
    }
}

#[derive(Default)]
struct Sample<'p> {
    /// How dates and times are written, where the user says it.
    pattern: Option<&'p Pattern>,
    columns: Vec<String>,
    guesses: Vec<Guess<'p>>,
    /// Record in which a column was last seen.
    seen: Vec<usize>,
    index: HashMap<String, usize>,
    records: usize,
    /// Records that cannot be read, and where the first stands and why.
    refused: Option<(usize, usize, Error)>,
    /// In a rejects file values count by their text, whether they stand in quotes or not.
    texts: bool,
    /// Columns with objects or arrays.
    nested: Vec<bool>,
}

impl<'a> Sink<'a> for Sample<'_> {
    fn begin(&mut self, _offset: usize) -> bool {
        self.records += 1;
        self.records <= SAMPLE_ROWS
    }

    fn member(&mut self, key: &str, raw: &'a str) -> Result<()> {
        let column = if let Some(column) = self.index.get(key) {
            *column
        } else {
            self.index.insert(key.to_owned(), self.columns.len());
            self.columns.push(key.to_owned());
            self.guesses.push(Guess::new(self.pattern));
            self.seen.push(0);
            self.nested.push(false);
            self.columns.len() - 1
        };
        if self.seen[column] == self.records {
            return Err(twice(key));
        }
        self.seen[column] = self.records;
        self.nested[column] |= raw.starts_with(['{', '[']);
        match raw.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
            _ if raw == "null" => {}
            Some(inner) if self.texts => self.guesses[column].see(inner.as_bytes()),
            None if self.texts && !self.nested[column] => self.guesses[column].see(raw.as_bytes()),
            _ => self.guesses[column].see_json(raw.as_bytes()),
        }
        Ok(())
    }

    fn refuse(&mut self, _record: &[u8], offset: usize, error: Error) -> Result<()> {
        let (records, ..) = self.refused.get_or_insert((0, offset, error));
        *records += 1;
        Ok(())
    }
}
