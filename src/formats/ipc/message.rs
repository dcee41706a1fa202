//! Messages: metadata and a body of buffers, read without trust in the lengths that they tell.
//!
//! Arrow's reader panics, or asks for memory without bound, where a length is wrong: buffers are looked at before it gets
//! them, and its panics are damage.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow::ipc::{self as stored, Block, root_as_message};

use super::{damage, damaged, truncated};
use crate::bridge::guard::guarded;
use crate::error::Result;
use crate::formats::compress;

/// What the length of the metadata has in front since Arrow 0.15.
const CONTINUATION: [u8; LENGTH_BYTES] = [0xff; LENGTH_BYTES];
const LENGTH_BYTES: usize = 4;

/// How many times as long the raw bytes of a buffer may be: a block of Zstandard makes 128 KiB of four bytes.
const MOST_GROWTH: u64 = 32 << 10;

/// The raw length of a buffer that stands as it is.
const NOT_COMPRESSED: i64 = -1;

/// Dictionaries by their numbers.
pub(super) type Dictionaries = HashMap<i64, ArrayRef>;

/// One message, not yet decoded.
#[derive(Debug)]
pub struct Message {
    /// A flatbuffer.
    metadata: Buffer,
    body: Buffer,
}

impl Message {
    /// The next of a stream; none at its end, whose mark is optional.
    pub(super) fn next(reader: &mut dyn Read) -> Result<Option<Self>> {
        let mut length = take(reader, LENGTH_BYTES)?;
        if length.is_empty() {
            return Ok(None);
        }
        if length == CONTINUATION {
            length = take(reader, LENGTH_BYTES)?;
        }
        let length: [u8; LENGTH_BYTES] = length.try_into().map_err(|_| truncated())?;
        let length = usize::try_from(i32::from_le_bytes(length)).map_err(|_| damaged())?;
        if length == 0 {
            return Ok(None);
        }
        let metadata = whole(reader, length)?;
        let body_bytes = usize::try_from(parse(&metadata)?.bodyLength()).map_err(|_| damaged())?;
        Ok(Some(Self { metadata, body: whole(reader, body_bytes)? }))
    }

    /// The one of a file at `block`, whose bytes these are.
    pub(super) fn of(block: &Block, bytes: &Buffer) -> Result<Self> {
        let metadata_bytes = usize::try_from(block.metaDataLength()).map_err(|_| damaged())?;
        let prefix = if bytes.starts_with(&CONTINUATION) { 2 * LENGTH_BYTES } else { LENGTH_BYTES };
        let length = metadata_bytes.checked_sub(prefix).ok_or_else(damaged)?;
        if metadata_bytes > bytes.len() {
            return Err(damaged());
        }
        Ok(Self { metadata: bytes.slice_with_length(prefix, length), body: bytes.slice(metadata_bytes) })
    }

    /// The columns, if it is the message that tells them.
    pub(super) fn schema(&self) -> Result<Schema> {
        schema(parse(&self.metadata)?.header_as_schema().ok_or_else(damaged)?)
    }

    /// Its rows, in `columns` of `schema` or in all; none where it is no batch.
    pub(super) fn batch(
        &self,
        schema: &SchemaRef,
        columns: Option<&[usize]>,
        dictionaries: &Dictionaries,
    ) -> Result<Option<RecordBatch>> {
        let message = parse(&self.metadata)?;
        let Some(batch) = message.header_as_record_batch() else { return Ok(None) };
        self.check(&batch)?;
        let version = message.version();
        let rows = || {
            RecordBatchDecoder::try_new(&self.body, batch, Arc::clone(schema), dictionaries, &version)?
                .with_projection(columns)
                .read_record_batch()
        };
        read(rows).map(Some)
    }

    /// Adds the dictionary that it is to those that are known.
    pub(super) fn dictionary(&self, schema: &Schema, dictionaries: &mut Dictionaries) -> Result<()> {
        let message = parse(&self.metadata)?;
        let dictionary = message.header_as_dictionary_batch().ok_or_else(damaged)?;
        self.check(&dictionary.data().ok_or_else(damaged)?)?;
        read(|| read_dictionary(&self.body, dictionary, schema, dictionaries, &message.version()))
    }

    /// Looks at its rows and at its buffers: whether they lie in the body, and are as long raw as they may be.
    fn check(&self, batch: &stored::RecordBatch<'_>) -> Result<()> {
        let compressed = batch.compression().is_some();
        let is_right = |buffer: &stored::Buffer| {
            let place = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
            let bytes = place.and_then(|(offset, length)| self.body.get(offset..)?.get(..length));
            bytes.is_some_and(|bytes| !compressed || bytes.is_empty() || unpacks(bytes))
        };
        let all_right = batch.length() >= 0 && batch.buffers().iter().flatten().all(is_right);
        if all_right { Ok(()) } else { Err(damaged()) }
    }
}

/// Whether compressed bytes can be as many raw ones as they have in front.
fn unpacks(bytes: &[u8]) -> bool {
    let Some((length, packed)) = bytes.split_first_chunk() else { return false };
    match i64::from_le_bytes(*length) {
        NOT_COMPRESSED => true,
        raw => u64::try_from(raw).is_ok_and(|raw| raw <= (packed.len() as u64).saturating_mul(MOST_GROWTH)),
    }
}

/// Columns as they are stored.
pub(super) fn schema(stored: stored::Schema<'_>) -> Result<Schema> {
    read(|| Ok(fb_to_schema(stored)))
}

fn parse(metadata: &[u8]) -> Result<stored::Message<'_>> {
    root_as_message(metadata).map_err(|source| damaged().with_source(source.to_string()))
}

/// What Arrow reads. Where it panics, the data are damaged.
fn read<T>(work: impl FnOnce() -> std::result::Result<T, ArrowError>) -> Result<T> {
    guarded(work).map_err(|panic| damaged().with_source(panic))?.map_err(damage)
}

/// The next `bytes` of a stream.
fn whole(reader: &mut dyn Read, bytes: usize) -> Result<Buffer> {
    let taken = take(reader, bytes)?;
    if taken.len() < bytes { Err(truncated()) } else { Ok(Buffer::from_vec(taken)) }
}

/// Up to `bytes` of a stream, fewer at its end. Memory is only touched for what comes.
fn take(reader: &mut dyn Read, bytes: usize) -> Result<Vec<u8>> {
    let mut taken = Vec::new();
    taken.try_reserve_exact(bytes).map_err(|source| damaged().with_source(source))?;
    reader.take(bytes as u64).read_to_end(&mut taken).map_err(compress::damage)?;
    Ok(taken)
}
