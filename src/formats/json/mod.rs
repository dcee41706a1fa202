//! JSON lines: one object per line; on reading also one array of objects, over any lines.
//!
//! Keys are columns; a key that an object lacks, and `null`, are NULL; a key that stands twice, or that no object of the
//! sample had, is an error. Numbers keep the digits of the file until they are typed. Objects, arrays and columns of
//! different things are JSON columns, which hold the text as it stands in the file. What is written: see `encode.rs`.

mod decode;
mod encode;
mod infer;
mod members;
mod records;
mod scan;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef};

use super::split::ChunkScan;
use super::{Extent, Inferred, Layout, Piece, RecordFormat, RecordScanner, Start, Typing};
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Rejects;

pub use encode::encode;
pub(crate) use encode::{Write, writer};
pub use members::Members;

/// The JSON lines format.
#[derive(Clone, Debug, Default)]
pub struct JsonLines {
    typing: Typing,
}

impl JsonLines {
    /// The format, with what the user says of types.
    #[must_use]
    pub fn new(typing: Typing) -> Self {
        Self { typing }
    }
}

impl RecordFormat for JsonLines {
    fn start(&self, head: &[u8], _extent: Extent) -> Result<Start> {
        infer::start(head)
    }

    fn infer(&self, head: &[u8], extent: Extent) -> Result<Inferred> {
        infer::infer(&self.typing, head, extent)
    }

    fn join(&self, left: &Field, right: &Field) -> Field {
        infer::join(left, right)
    }

    fn is_keyed(&self) -> bool {
        true
    }

    fn scanner(&self) -> Box<dyn RecordScanner> {
        Box::new(scan::Scanner::default())
    }

    fn scan_chunk(&self, bytes: &[u8]) -> ChunkScan {
        ChunkScan::of_lines(bytes)
    }

    fn decode(&self, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<RecordBatch> {
        decode::decode(&self.typing, piece, layout, schema)
    }

    fn sift(&self, piece: &Piece<'_>, layout: &Layout, schema: &SchemaRef) -> Result<(RecordBatch, Option<Rejects>)> {
        decode::sift(&self.typing, piece, layout, schema)
    }

    fn header(&self, schema: &SchemaRef) -> Result<Vec<u8>> {
        let mut seen = HashSet::new();
        match schema.fields().iter().find(|field| !seen.insert(field.name())) {
            Some(field) => Err(Error::new(ErrorKind::Schema, "two columns have this name, but a key stands once")
                .at("column", field.name())),
            None => Ok(Vec::new()),
        }
    }

    fn encode(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        encode::encode_typed(&self.typing, batch, out)
    }
}
