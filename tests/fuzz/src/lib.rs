//! The parsers, included from the crate's own files.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use formats::split::{RecordStart, stitch};
use formats::{Extent, Inferred, Piece, RecordFormat};

#[path = "../../../src/error.rs"]
pub mod error;
#[path = "../../../src/formats/mod.rs"]
pub mod formats;
#[path = "../../../src/schema.rs"]
pub mod schema;

pub mod postgres;

/// Small chunks, so that cuts fall everywhere.
const CHUNK_BYTES: usize = 7;

/// Reads `bytes` as a whole file and, where the format allows it, in pieces: both give the same rows or both fail.
pub fn cut_and_whole(format: &dyn RecordFormat, bytes: &[u8]) {
    let Ok(inferred) = format.infer(bytes, Extent::Whole) else { return };
    let start = &inferred.start;
    let body = &bytes[start.data_start.min(bytes.len())..];
    let whole = format.decode(&Piece { bytes: body, first_line: start.line }, &inferred.layout, &inferred.schema);
    if !start.splittable || body.is_empty() {
        return;
    }
    let pieces = pieces(format, body, &inferred);
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
        (Err(_), Err(_)) => {}
        (whole, pieces) => panic!("whole: {:?}, in pieces: {:?}", whole.map(drop), pieces.map(drop)),
    }
}

fn pieces(format: &dyn RecordFormat, body: &[u8], inferred: &Inferred) -> error::Result<RecordBatch> {
    let chunks: Vec<_> = body.chunks(CHUNK_BYTES).map(|chunk| format.scan_chunk(chunk)).collect();
    let starts = stitch(RecordStart { offset: 0, line: inferred.start.line }, &chunks);
    let ends = starts.iter().skip(1).map(|next| next.offset as usize).chain([body.len()]);
    let mut batches = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        let piece = Piece { bytes: &body[start.offset as usize..end], first_line: start.line };
        batches.push(format.decode(&piece, &inferred.layout, &inferred.schema)?);
    }
    Ok(concat_batches(&inferred.schema, &batches)?)
}
