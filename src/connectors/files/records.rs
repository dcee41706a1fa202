//! Text in one file that is written: rows are encoded in parallel, brought into the encoding of the file, and compressed in
//! pieces.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use rayon::prelude::*;

use super::landing::{Landing, Shape};
use super::write::Sink;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::RecordFormat;
use crate::formats::charset::{Charset, Lacking};
use crate::formats::compress::{Compression, FRAME_BYTES, Packer};
use crate::schema::batch_bytes;

/// Text records, in compressed pieces.
pub(super) struct RecordOutput {
    coder: Coder,
    compression: Compression,
    packer: Packer,
    /// Raw bytes that are too few for a piece.
    rest: Vec<u8>,
    ready: Vec<Vec<u8>>,
    header: u64,
    written: u64,
    out: Sink,
}

/// Rows to text in the encoding of the file.
struct Coder {
    records: Arc<dyn RecordFormat>,
    charset: Charset,
}

impl RecordOutput {
    /// Begins a file of `landing` in `out`.
    pub(super) fn new(
        landing: &Landing,
        records: Arc<dyn RecordFormat>,
        (compression, level, charset): (Compression, Option<i32>, Charset),
        out: Sink,
    ) -> Result<Self> {
        let coder = Coder { records, charset };
        let mut packer = Packer::new(compression, level, &member(landing));
        let mut header = coder.header(&landing.schema)?;
        if !header.is_empty() {
            // A piece of its own, so that a join can leave it out.
            header = packer.pack(header).map(|piece| packer.add(piece))?;
        }
        let start = [packer.start(), header].concat();
        let bytes = start.len() as u64;
        let (rest, ready) = (Vec::new(), vec![start]);
        Ok(Self { coder, compression, packer, rest, ready, header: bytes, written: 0, out })
    }

    /// Takes rows, in order, `before` of which the task has written.
    pub(super) fn encode(&mut self, batches: &[RecordBatch], before: u64) -> Result<()> {
        let mut first = before;
        let placed = batches.iter().map(|batch| {
            first += batch.num_rows() as u64;
            (batch, first - batch.num_rows() as u64)
        });
        let (placed, coder) = (placed.collect::<Vec<_>>(), &self.coder);
        let encode = |(batch, first): &(&RecordBatch, u64)| {
            coder.text(batch).map_err(|error| coder.located(batch, *first, error))
        };
        let encoded = placed.par_iter().map(encode).collect::<Result<Vec<_>>>()?;
        if self.compression == Compression::None {
            self.ready.extend(encoded);
            return Ok(());
        }
        let mut pieces = Vec::new();
        for bytes in encoded {
            if self.rest.is_empty() {
                self.rest = bytes;
            } else {
                self.rest.extend_from_slice(&bytes);
            }
            if self.rest.len() >= FRAME_BYTES {
                pieces.push(std::mem::take(&mut self.rest));
            }
        }
        let packer = &self.packer;
        let packed = pieces.into_par_iter().map(|bytes| packer.pack(bytes)).collect::<Result<Vec<_>>>()?;
        for piece in packed {
            self.ready.push(self.packer.add(piece));
        }
        Ok(())
    }

    /// Encodes what is left; no rows come any more.
    pub(super) fn seal(&mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.rest);
        let blank = self.written == 0 && self.ready.iter().all(Vec::is_empty);
        // Without any frame the file would be empty, which is no valid gzip file.
        if !rest.is_empty() || (self.compression != Compression::None && blank) {
            let piece = self.packer.pack(rest)?;
            self.ready.push(self.packer.add(piece));
        }
        self.ready.push(self.packer.end());
        Ok(())
    }

    /// Writes what is encoded. The bytes of the file so far.
    pub(super) fn write(&mut self) -> Result<u64> {
        for bytes in self.ready.drain(..) {
            self.out.write_all(&bytes)?;
            self.written += bytes.len() as u64;
        }
        Ok(self.written)
    }

    /// The end of a file that is written: the bytes of its header.
    pub(super) fn close(mut self) -> Result<u64> {
        self.out.flush()?;
        Ok(self.header)
    }
}

impl Coder {
    /// What stands before the rows: the mark of the encoding, and the names of the columns.
    fn header(&self, schema: &SchemaRef) -> Result<Vec<u8>> {
        let header = self.records.header(schema)?;
        let header = self.charset.encode(header).map_err(|Lacking| {
            let lacks = |field: &&FieldRef| self.charset.encode(field.name().clone().into_bytes()).is_err();
            match schema.fields().iter().find(lacks) {
                Some(field) => self.lacking().at("column", field.name()),
                None => self.lacking(),
            }
        })?;
        Ok([self.charset.mark(), header.as_slice()].concat())
    }

    fn text(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
        // With room for delimiters and some quotes, so that long texts are not moved to larger places.
        let (rows, raw) = (batch.num_rows(), batch_bytes(batch));
        let mut bytes = Vec::with_capacity(raw + raw / 16 + rows * (2 * batch.num_columns() + 1));
        self.records.encode(batch, &mut bytes)?;
        self.charset.encode(bytes).map_err(|Lacking| self.lacking())
    }

    /// `error` with the column and the row that it comes from, where it is one of a value. `before` rows came earlier.
    #[cold]
    fn located(&self, batch: &RecordBatch, before: u64, error: Error) -> Error {
        if error.kind() != ErrorKind::Value {
            return error;
        }
        let alone = |row: usize| {
            let one = batch.slice(row, 1);
            self.text(&one).err().map(|error| (row, one, error))
        };
        let Some((row, one, error)) = (0..batch.num_rows()).find_map(alone) else { return error };
        let refused = |column: &usize| one.project(&[*column]).is_ok_and(|column| self.text(&column).is_err());
        let error = match (0..one.num_columns()).find(refused) {
            Some(column) => error.at("column", one.schema_ref().field(column).name()),
            None => error,
        };
        error.at("row", before + row as u64 + 1)
    }

    fn lacking(&self) -> Error {
        let message = format!("the text holds a character that {} lacks", self.charset);
        Error::new(ErrorKind::Value, message)
            .with_hint("write the file in utf-8, gb18030 or utf-16: they have all of them")
    }
}

/// The name of what a zip file holds.
fn member(landing: &Landing) -> String {
    let stem = match &landing.shape {
        Shape::Single(path) | Shape::Pipe(Some(path)) => {
            path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
        }
        _ => None,
    };
    let named = stem.filter(|stem| Path::new(stem).extension().is_some());
    named.unwrap_or_else(|| format!("rows.{}", landing.format.extension()))
}
