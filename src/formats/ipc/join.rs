//! Joining: the messages of several files or streams in one, copied without decoding them.

use std::ops::Range;

use ::parquet::file::reader::{ChunkReader, Length};
use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::IpcSchemaEncoder;
use arrow::ipc::{Block, FooterBuilder, MetadataVersion};

use super::{Codec, Encoder, File, Kind, MAGIC, damaged, place};
use crate::error::{Error, ErrorKind, Result};

/// Ends the messages: no message follows.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Messages begin at multiples of this many bytes.
const ALIGNMENT: u64 = 8;

/// Makes one file or stream out of the messages of others that were written with the same columns.
///
/// Gives bytes that are to be written, and ranges of the parts that are to be copied, in this order: what
/// [`Joiner::new`] gives, the ranges of each part, what [`Joiner::finish`] gives.
#[derive(Debug)]
pub struct Joiner {
    kind: Kind,
    schema: SchemaRef,
    /// Bytes so far.
    offset: u64,
    batches: Vec<Block>,
}

impl Joiner {
    /// A joiner of rows of `schema`, and the first bytes of the file.
    pub fn new(kind: Kind, schema: &SchemaRef) -> Result<(Self, Vec<u8>)> {
        let start = Encoder::new(kind, schema, Codec::None)?.take();
        let schema = SchemaRef::clone(schema);
        Ok((Self { kind, schema, offset: start.len() as u64, batches: Vec::new() }, start))
    }

    /// Where the batches of a file stand.
    pub fn file<R: ChunkReader>(&mut self, part: &R) -> Result<Vec<Range<u64>>> {
        let file = File::open(part)?;
        let mut ranges = Vec::with_capacity(file.batches.len());
        for block in &file.batches {
            let (from, bytes) = place(block).ok_or_else(damaged)?;
            let offset = i64::try_from(self.offset).map_err(|_| damaged())?;
            self.batches.push(Block::new(offset, block.metaDataLength(), block.bodyLength()));
            self.offset += bytes as u64;
            ranges.push(from..from + bytes as u64);
        }
        Ok(ranges)
    }

    /// Where the batches of a stream of our own stand, whose schema takes `header` bytes.
    pub fn stream<R: Length>(&mut self, part: &R, header: u64) -> Result<Range<u64>> {
        let end = part.len().checked_sub(END.len() as u64).filter(|end| *end >= header);
        let end = end.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a part ends too early"))?;
        self.offset += end - header;
        Ok(header..end)
    }

    /// The last bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut end = END.to_vec();
        if self.kind == Kind::File {
            let footer = self.footer();
            end.extend_from_slice(&footer);
            end.extend_from_slice(&(footer.len() as u32).to_le_bytes());
            end.extend_from_slice(MAGIC);
        }
        end
    }

    fn footer(&self) -> Vec<u8> {
        let mut builder = IpcSchemaEncoder::new().schema_to_fb(&self.schema);
        builder.reset();
        let dictionaries = builder.create_vector::<Block>(&[]);
        let batches = builder.create_vector(&self.batches);
        let schema = IpcSchemaEncoder::new().schema_to_fb_offset(&mut builder, &self.schema);
        let root = {
            let mut footer = FooterBuilder::new(&mut builder);
            footer.add_version(MetadataVersion::V5);
            footer.add_schema(schema);
            footer.add_dictionaries(dictionaries);
            footer.add_recordBatches(batches);
            footer.finish()
        };
        builder.finish(root, None);
        builder.finished_data().to_vec()
    }
}

impl File {
    /// Whether its batches may stand as they are in a file of `schema`: stored in just these columns, and aligned.
    pub fn is_joinable(&self, schema: &SchemaRef) -> bool {
        let aligned = |block: &Block| {
            place(block).is_some_and(|(offset, bytes)| {
                offset.is_multiple_of(ALIGNMENT) && (bytes as u64).is_multiple_of(ALIGNMENT)
            })
        };
        self.stored.fields() == schema.fields()
            && self.version == MetadataVersion::V5
            && self.dictionaries.is_empty()
            && self.batches.iter().all(aligned)
    }
}
