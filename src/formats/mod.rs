//! Bytes to batches and back: the codecs of files, and the text forms of values.
//!
//! Nothing here does I/O. A [`RecordFormat`] is a format of records that stand one after the other (CSV, JSON lines):
//! its reader infers columns from the head of a file, cuts the bytes at record ends, alone ([`RecordScanner`]) or in
//! parallel ([`split`]), and decodes pieces of whole records, in any order and on any thread, into the same rows
//! wherever the cuts fall. Parquet, Avro, Arrow IPC and workbooks have containers of their own and are not record formats.

pub mod avro;
pub mod charset;
pub mod compress;
pub mod csv;
pub mod cut;
pub mod exchange;
pub mod extension;
pub mod fields;
pub mod ipc;
pub mod json;
pub mod legible;
pub mod loose;
pub mod parquet;
pub mod parting;
pub mod plain;
pub mod split;
pub mod value;
pub mod workbook;

mod block;
mod guess;
mod quote;
mod sift;

use std::collections::HashMap;
use std::fmt::Debug;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::reject::Rejects;
use split::ChunkScan;
use value::Pattern;
use value::parse::Form;

/// Bytes of the head of a file that are worth giving to [`RecordFormat::infer`].
pub const SAMPLE_BYTES: usize = 4 << 20;

/// Bytes of the head of a file in which a header most often ends, for [`RecordFormat::start`].
pub const HEADER_BYTES: usize = 64 << 10;

/// Records that are looked at to find the types of columns.
pub const SAMPLE_ROWS: usize = 10_000;

/// A format of records, with its options. One object serves all files of a set, from many threads.
pub trait RecordFormat: Debug + Send + Sync {
    /// Where the records of a file begin and how they are laid out. Cheap; to be asked for every file of a set.
    ///
    /// `head` is the first bytes of the file, at most [`SAMPLE_BYTES`] are needed.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the header is damaged,
    /// [`Schema`](crate::error::ErrorKind::Schema) when it names a column twice,
    /// [`Resource`](crate::error::ErrorKind::Resource) when it does not end within `head`: a longer one may do.
    fn start(&self, head: &[u8], extent: Extent) -> Result<Start>;

    /// [`RecordFormat::start`] and the columns, with types from the first [`SAMPLE_ROWS`] records of `head`.
    ///
    /// A file without a byte has no columns, which is no error here.
    ///
    /// # Errors
    /// Those of `start` and `decode`; [`Resource`](crate::error::ErrorKind::Resource) when no record ends within
    /// `head`: a longer one may do; [`NotFound`](crate::error::ErrorKind::NotFound) for a cast of a column that
    /// is not there.
    fn infer(&self, head: &[u8], extent: Extent) -> Result<Inferred>;

    /// The columns of a file without a record, where that is no error.
    fn nameless(&self) -> Option<SchemaRef> {
        None
    }

    /// The column of files that are read together, of which two have it as `left` and `right`: one that holds the values of
    /// both.
    fn join(&self, left: &Field, right: &Field) -> Field {
        if left == right { left.clone() } else { Field::new(left.name(), DataType::Utf8, true) }
    }

    /// Whether files that are read together may have fewer columns than others: columns have their places for names then.
    fn is_ragged(&self) -> bool {
        false
    }

    /// Whether every record names its columns: one that it lacks is NULL then, and a whole file may lack it.
    fn is_keyed(&self) -> bool {
        false
    }

    /// A scanner to be fed with the bytes from [`Start::data_start`] on.
    fn scanner(&self) -> Box<dyn RecordScanner>;

    /// Looks for record ends in a chunk that begins anywhere in a file, for [`split::stitch`]. Only of use where
    /// [`Start::splittable`].
    fn scan_chunk(&self, bytes: &[u8]) -> ChunkScan;

    /// All records of `piece` as one batch of `schema`: the wanted columns, chosen by name, with the types of
    /// [`Inferred::schema`]. A schema without fields counts the records.
    ///
    /// `layout` is that of the file; for a file whose [`Start`] has none, that of the set ([`Inferred::layout`]).
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) for a damaged record,
    /// [`Value`](crate::error::ErrorKind::Value) for a value that is not of its column's type, both with the line;
    /// [`Schema`](crate::error::ErrorKind::Schema) for a column that the file does not have.
    fn decode(&self, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<RecordBatch>;

    /// As [`RecordFormat::decode`], but records that it refuses with `Corrupt` or `Value` are left out and given beside the
    /// rest, as texts. One of which nobody can say where it ends is an error all the same.
    fn sift(&self, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<(RecordBatch, Option<Rejects>)>;

    /// The bytes before the first record: the header of CSV, nothing for JSON lines.
    ///
    /// # Errors
    /// [`Unsupported`](crate::error::ErrorKind::Unsupported) for a type that has no text form.
    fn header(&self, schema: &SchemaRef) -> Result<Vec<u8>>;

    /// What stands behind each record that is written.
    fn record_end(&self) -> &[u8] {
        b"\n"
    }

    /// What of the values of `field` does not come back when they are written; none where all of it does.
    fn lost(&self, _field: &Field) -> Option<String> {
        None
    }

    /// Appends the records of `batch` to `out`, each with its end.
    ///
    /// # Errors
    /// [`Unsupported`](crate::error::ErrorKind::Unsupported) for a type that has no text form,
    /// [`Value`](crate::error::ErrorKind::Value) for a value that the format cannot hold.
    fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;
}

/// Finds record ends in consecutive buffers of one file.
pub trait RecordScanner: Send {
    /// Takes the next bytes and returns the last record end in them, if there is one.
    ///
    /// What stands behind it belongs to the next piece. Bytes that are left at the end of the file are a piece too.
    fn feed(&mut self, bytes: &[u8]) -> Option<RecordEnd>;

    /// To be called once after the last byte.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::ErrorKind::Corrupt) when the file is cut off in a way that decoding its last piece
    /// cannot see.
    fn finish(&mut self) -> Result<()>;
}

/// What [`RecordScanner::feed`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordEnd {
    /// Offset just after the last complete record, within the bytes just fed; may be 0.
    pub offset: usize,
    /// Line ends from the record end reported before (or the start) up to here.
    pub lines: u64,
}

/// Whether the bytes given are the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// They are: the last record may lack its line end.
    Whole,
    /// Only its head: the last record may be cut off.
    Head,
}

/// Whole records of one file.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The bytes, less than 1 GiB.
    pub bytes: &'a [u8],
    /// Line of the file on which they begin, from 1. For messages.
    pub first_line: u64,
}

/// Where the records of a file begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// How records are laid out; none where the file does not say it (JSON lines) or is empty.
    pub layout: Option<Layout>,
    /// Bytes before the first record: byte order mark and header.
    pub data_start: usize,
    /// Line of the first record, from 1.
    pub line: u64,
    /// Whether the file may be cut with [`RecordFormat::scan_chunk`].
    pub splittable: bool,
    /// Whether records may be added behind the last one: not behind the bracket that closes an array.
    pub extendable: bool,
}

/// How the records of a file are laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// The columns, in the order of the file; for JSON all keys that are known.
    pub columns: Vec<String>,
}

impl Layout {
    /// Where each column stands, by its name.
    fn places(&self) -> HashMap<&str, usize> {
        self.columns.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect()
    }
}

/// Columns and types, from the head of a file.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// All columns with their types.
    pub schema: SchemaRef,
    /// The layout of this file, and of those of the set that have none of their own.
    pub layout: Layout,
    /// Where its records begin.
    pub start: Start,
    /// Places of the columns of which nothing is known: they are text, unless another file of the set says more.
    pub blank: Vec<usize>,
}

/// What the user says of types.
#[derive(Clone, Debug, Default)]
pub struct Typing {
    /// Every column that has no cast is text.
    pub all_strings: bool,
    /// Columns by name, with the type their text is parsed as; see [`value::parse_cast`].
    pub casts: Vec<FieldRef>,
    /// Columns by name, with the form of their dates and times.
    pub patterns: HashMap<String, Pattern>,
    /// The form of the dates and times of all others that it handles.
    pub pattern: Option<Pattern>,
}

/// What some programs write before a text in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where the text of a file begins: at its start, or behind its mark.
fn text_start(head: &[u8]) -> Result<usize> {
    if matches!(head, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err(Error::new(ErrorKind::Corrupt, "the file is UTF-16, not UTF-8")
            .with_hint("name its encoding: --encoding utf-16"));
    }
    Ok(if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 })
}

/// The error for a head that is shorter than the first record.
fn endless(bytes: usize) -> Error {
    let message = format!("the first record does not end within {bytes} bytes");
    Error::new(ErrorKind::Resource, message).with_hint("check the format of the file, and its quote option")
}

impl Typing {
    /// The cast of a column, if there is one.
    pub fn cast(&self, column: &str) -> Option<&FieldRef> {
        self.casts.iter().find(|field| field.name() == column)
    }

    /// How the dates and times of `field` are written, where not as usual.
    fn pattern_of(&self, field: &Field) -> Option<&Pattern> {
        let handles = |pattern: &&Pattern| pattern.handles(field.data_type());
        self.patterns.get(field.name()).or(self.pattern.as_ref()).filter(handles)
    }

    /// Which texts of `field` are taken.
    fn form(&self, field: &Field) -> Form<'_> {
        let given = self.all_strings || self.cast(field.name()).is_some();
        match self.pattern_of(field) {
            Some(pattern) => Form::Pattern(pattern),
            None if given => Form::Any,
            None => Form::Plain,
        }
    }
}
