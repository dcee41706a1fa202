//! Delimited text as other programs write and read it: fields by their place, records of different length, quotes that
//! may stand anywhere, and written without any quotes at all.
//!
//! What is read: a quote opens a field only at its start, text behind the closing one is left out, and LF, CR LF and CR all end
//! a record, unless one character is named for it. A file is never cut: only from its start it is known which quotes count.

mod column;
mod decode;
mod encode;
mod escape;
mod insert;
mod options;
mod pattern;
mod scan;
mod tokenize;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};

use self::decode::Reading;
use self::encode::Writing;
pub use self::options::{
    BytesForm, Escape, FieldOptions, FloatForm, InsertOptions, Kind, LooseOptions, Quoting, Records,
};
use super::split::ChunkScan;
use super::{BYTE_ORDER_MARK, Extent, Inferred, Layout, Piece, RecordFormat, RecordScanner, SAMPLE_ROWS, Start};
use crate::error::Result;
use crate::reject::Rejects;
use crate::schema::{PERHAPS, with_metadata};

/// Loose text.
#[derive(Clone, Debug)]
pub struct Loose {
    /// None where the options can only be written with.
    reading: std::result::Result<Reading, String>,
    writing: Writing,
}

impl Loose {
    /// The format with `options`.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) for options that cannot be meant.
    pub fn new(options: &LooseOptions) -> Result<Self> {
        options.check()?;
        let reading = match options.ends() {
            Ok(ends) => Ok(Reading::new(options, ends)?),
            Err(error) => Err(error.to_string()),
        };
        Ok(Self { reading, writing: Writing::new(options)? })
    }

    fn reading(&self) -> Result<&Reading> {
        self.reading.as_ref().map_err(|message| options::usage(message.clone()))
    }
}

impl RecordFormat for Loose {
    fn start(&self, head: &[u8], extent: Extent) -> Result<Start> {
        let reading = self.reading()?;
        let mut at = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        for _ in 0..reading.options.skip_lines {
            match memchr::memchr2(b'\n', b'\r', &head[at..]) {
                Some(end) => at += end + tokenize::line_end(&head[at..], end),
                None if extent == Extent::Head => return Err(super::endless(head.len())),
                None => at = head.len(),
            }
        }
        let named = &reading.options.fields;
        let layout =
            (!named.is_empty()).then(|| Layout { columns: named.iter().map(|field| field.name.clone()).collect() });
        let line = 1 + reading.options.skip_lines as u64;
        Ok(Start { layout, data_start: at, line, splittable: false, extendable: true })
    }

    fn infer(&self, head: &[u8], extent: Extent) -> Result<Inferred> {
        let reading = self.reading()?;
        let start = self.start(head, extent)?;
        let body = &head[start.data_start.min(head.len())..];
        let whole = match extent {
            Extent::Whole => body.len(),
            Extent::Head => self.scanner().feed(body).ok_or_else(|| super::endless(head.len()))?.offset,
        };
        let schema = reading.schema(reading.widest(&body[..whole], SAMPLE_ROWS));
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        Ok(Inferred { schema, layout: Layout { columns }, start, blank: Vec::new() })
    }

    fn nameless(&self) -> Option<SchemaRef> {
        let reading = self.reading.as_ref().ok()?;
        let schema = reading.schema(reading.options.columns_when_empty.unwrap_or(1));
        let perhaps = |field: &FieldRef| with_metadata(field.as_ref().clone(), PERHAPS, "");
        Some(Arc::new(Schema::new(schema.fields().iter().map(perhaps).collect::<Vec<_>>())))
    }

    fn is_ragged(&self) -> bool {
        let ragged = |options: &LooseOptions| options.fields.is_empty() && options.records == Records::Ragged;
        self.reading.as_ref().is_ok_and(|reading| ragged(&reading.options))
    }

    fn scanner(&self) -> Box<dyn RecordScanner> {
        let marks = self.reading.as_ref().map(|reading| reading.marks);
        // Without a way to read there is nothing to scan: `start` says so before.
        Box::new(scan::Scanner::new(marks.unwrap_or_default()))
    }

    fn scan_chunk(&self, bytes: &[u8]) -> ChunkScan {
        ChunkScan::of_lines(bytes)
    }

    fn decode(&self, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<RecordBatch> {
        let (batch, rejects) = self.sift(piece, layout, schema)?;
        match rejects.map(|rejects| rejects.errors) {
            Some(errors) => Err(errors.into_iter().next().unwrap_or_else(|| options::usage("a record is refused"))),
            None => Ok(batch),
        }
    }

    fn sift(&self, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<(RecordBatch, Option<Rejects>)> {
        self.reading()?.sift(piece, layout, schema)
    }

    fn header(&self, _schema: &SchemaRef) -> Result<Vec<u8>> {
        Ok(self.writing.header())
    }

    fn record_end(&self) -> &[u8] {
        self.writing.record_end()
    }

    fn lost(&self, field: &Field) -> Option<String> {
        self.writing.lost(field)
    }

    fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.writing.encode(batch, out)
    }
}
