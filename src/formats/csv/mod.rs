//! CSV and TSV after RFC 4180, with an own tokenizer.
//!
//! An unquoted field that equals the null text (by default: is empty) is NULL, a quoted one never is. Records end with
//! LF, CR LF or CR; fields in quotes may hold line ends. Records with too many or too few fields, misplaced quotes and
//! texts that are not of their column's type are errors with their line. Blank lines are skipped, except where there is
//! one column: there they are NULL. On request lines of comments are skipped, too, blanks around fields dropped, and quotes within quotes
//! escaped by another character instead of doubled.
//!
//! Written are LF (CR LF into a file that has them), quotes only where needed, NULL as the null text, the empty string as `""`, bytes
//! as `\x…`, lists, structs and maps as JSON.

mod decode;
mod encode;
mod infer;
mod options;
mod scan;
mod sift;
mod tokenize;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::split::ChunkScan;
use super::{Extent, Inferred, Layout, Piece, RecordFormat, RecordScanner, Start};
use crate::error::Result;
use crate::reject::Rejects;

pub(super) use decode::unescape;
pub(super) use infer::apply_casts;
pub use options::{CsvOptions, LineEnd, Numbers};

/// The CSV format.
#[derive(Clone, Debug)]
pub struct Csv {
    options: CsvOptions,
}

impl Csv {
    /// The format with `options`.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) when delimiter, quote and null text cannot be told apart.
    pub fn new(options: CsvOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
    }
}

impl RecordFormat for Csv {
    fn start(&self, head: &[u8], extent: Extent) -> Result<Start> {
        infer::start(&self.options, head, extent)
    }

    fn infer(&self, head: &[u8], extent: Extent) -> Result<Inferred> {
        infer::infer(&self.options, head, extent)
    }

    fn nameless(&self) -> Option<SchemaRef> {
        let columns = self.options.columns_when_empty.filter(|_| !self.options.header)?;
        let field = |place| Field::new(self.options.numbers.name(place), DataType::Utf8, true);
        Some(Arc::new(Schema::new((0..columns).map(field).collect::<Vec<_>>())))
    }

    fn scanner(&self) -> Box<dyn RecordScanner> {
        scan::of(&self.options)
    }

    fn scan_chunk(&self, bytes: &[u8]) -> ChunkScan {
        ChunkScan::new(bytes, self.options.quote)
    }

    fn decode(&self, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<RecordBatch> {
        decode::decode(&self.options, piece, layout, schema)
    }

    fn sift(&self, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<(RecordBatch, Option<Rejects>)> {
        sift::sift(&self.options, piece, layout, schema)
    }

    fn header(&self, schema: &SchemaRef) -> Result<Vec<u8>> {
        encode::header(&self.options, schema)
    }

    fn record_end(&self) -> &[u8] {
        self.options.line_end.bytes()
    }

    fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        encode::encode(&self.options, batch, out)
    }
}
