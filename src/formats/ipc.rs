//! Arrow IPC: files (with a footer, read in any order) and streams, to batches and back.
//!
//! Works on bytes and readers handed in, opens nothing. Dictionaries, views and runs come out plain.
//!
//! The end marker of a stream is optional, so a stream that is cut off just behind a batch looks whole; one that is cut
//! anywhere else is damage.

mod join;
mod message;

use std::io::Read;
use std::sync::Arc;

use ::parquet::file::reader::ChunkReader;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::read_footer_length;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow::ipc::{Block, CompressionType, MetadataVersion, root_as_footer};
use serde::{Deserialize, Serialize};

use super::plain;
use crate::error::{Error, ErrorKind, Result};
use message::Dictionaries;

pub use join::Joiner;
pub use message::Message;

/// First bytes of an IPC file, and its last.
pub const MAGIC: &[u8] = b"ARROW1";

/// First bytes of an IPC stream.
pub const STREAM_MAGIC: &[u8] = &[0xff, 0xff, 0xff, 0xff];

/// First bytes of the old Feather format, which is not Arrow IPC.
pub const FEATHER_1_MAGIC: &[u8] = b"FEA1";

const TRAILER_BYTES: usize = 10;

/// How buffers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Codec {
    /// Not at all.
    None,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// The two forms of Arrow IPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// With magic and footer.
    File,
    /// Messages only.
    Stream,
}

/// The footer of one IPC file.
#[derive(Clone, Debug)]
pub struct File {
    stored: SchemaRef,
    schema: SchemaRef,
    version: MetadataVersion,
    dictionaries: Vec<Block>,
    batches: Vec<Block>,
}

impl File {
    /// Reads the footer.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) for a file that is cut off or damaged.
    pub fn open<R: ChunkReader>(reader: &R) -> Result<Self> {
        let length = reader.len();
        let trailer_start = length.checked_sub(TRAILER_BYTES as u64).ok_or_else(cut_off)?;
        let trailer = bytes_at(reader, trailer_start, TRAILER_BYTES)?;
        let trailer: [u8; TRAILER_BYTES] = trailer.as_ref().try_into().map_err(|_| cut_off())?;
        let footer_bytes = read_footer_length(trailer).map_err(|_| cut_off())?;
        let start = trailer_start.checked_sub(footer_bytes as u64).ok_or_else(cut_off)?;
        let footer = bytes_at(reader, start, footer_bytes)?;
        let footer = root_as_footer(&footer).map_err(|source| damaged().with_source(source.to_string()))?;
        let stored = footer.schema().ok_or_else(damaged)?;
        let stored: SchemaRef = Arc::new(message::schema(stored)?);
        let dictionaries = footer.dictionaries().iter().flatten().copied().collect::<Vec<_>>();
        let batches = footer.recordBatches().iter().flatten().copied().collect::<Vec<_>>();
        let within = |block: &Block| place(block).is_some_and(|(offset, bytes)| offset + bytes as u64 <= length);
        if !dictionaries.iter().chain(&batches).all(within) {
            return Err(damaged());
        }
        Ok(Self { schema: plain::schema(&stored)?, stored, version: footer.version(), dictionaries, batches })
    }

    /// All columns, in plain types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Bytes of each batch in the file.
    pub fn batch_bytes(&self) -> impl Iterator<Item = u64> {
        self.batches.iter().map(|block| place(block).map_or(0, |(_, bytes)| bytes as u64))
    }

    /// A decoder of the columns of `schema`, which knows the file's dictionaries. Reads them.
    pub fn decoder<R: ChunkReader>(&self, reader: &R, schema: &SchemaRef) -> Result<Decoder> {
        let mut dictionaries = Dictionaries::new();
        for block in &self.dictionaries {
            fetch(reader, block)?.dictionary(&self.stored, &mut dictionaries)?;
        }
        let known = schema.fields().iter().filter_map(|field| self.stored.index_of(field.name()).ok()).collect();
        Ok(Decoder { stored: Arc::clone(&self.stored), known, dictionaries, schema: Arc::clone(schema) })
    }

    /// Batch `index`, for [`Decoder::decode`]. Blocks.
    pub fn batch<R: ChunkReader>(&self, reader: &R, index: usize) -> Result<Message> {
        fetch(reader, self.batches.get(index).ok_or_else(damaged)?)
    }
}

/// Decodes batches of one file.
#[derive(Debug)]
pub struct Decoder {
    stored: SchemaRef,
    /// Places of the columns in the file.
    known: Vec<usize>,
    dictionaries: Dictionaries,
    schema: SchemaRef,
}

impl Decoder {
    /// The batch that [`File::batch`] fetched. Processor work.
    pub fn decode(&self, fetched: &Message) -> Result<RecordBatch> {
        let batch = fetched.batch(&self.stored, Some(&self.known), &self.dictionaries)?.ok_or_else(damaged)?;
        plain::select(&batch, &self.schema)
    }
}

/// The batches of an IPC stream, one after the other.
pub struct Stream {
    reader: Box<dyn Read + Send>,
    stored: SchemaRef,
    schema: SchemaRef,
    dictionaries: Dictionaries,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Stream {
    /// Reads the schema. Blocks.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) for a stream that is cut off or damaged.
    pub fn open(mut reader: Box<dyn Read + Send>) -> Result<Self> {
        let first = Message::next(&mut *reader)?.ok_or_else(damaged)?;
        let stored = Arc::new(first.schema()?);
        Ok(Self { reader, schema: plain::schema(&stored)?, stored, dictionaries: Dictionaries::new() })
    }

    /// All columns, in plain types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next batch, in the columns of `schema`. Blocks.
    pub fn next_batch(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        while let Some(message) = Message::next(&mut *self.reader)? {
            if let Some(batch) = message.batch(&self.stored, None, &self.dictionaries)? {
                return plain::select(&batch, schema).map(Some);
            }
            message.dictionary(&self.stored, &mut self.dictionaries)?;
        }
        // Behind the last message a compressed file has its checksum, which is looked at only when it is read.
        std::io::copy(&mut self.reader, &mut std::io::sink()).map_err(super::compress::damage)?;
        Ok(None)
    }
}

/// Makes the bytes of a file or stream. All of it is processor work.
pub struct Encoder(Target);

enum Target {
    File(Box<FileWriter<Vec<u8>>>),
    Stream(Box<StreamWriter<Vec<u8>>>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder of rows of `schema`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) when this build lacks the codec.
    pub fn new(kind: Kind, schema: &Schema, codec: Codec) -> Result<Self> {
        let compression = match codec {
            Codec::None => None,
            Codec::Lz4 => Some(CompressionType::LZ4_FRAME),
            Codec::Zstd => Some(CompressionType::ZSTD),
        };
        let options = IpcWriteOptions::default().try_with_compression(compression).map_err(refused)?;
        Ok(Self(match kind {
            Kind::File => {
                Target::File(Box::new(FileWriter::try_new_with_options(Vec::new(), schema, options).map_err(refused)?))
            }
            Kind::Stream => {
                let writer = StreamWriter::try_new_with_options(Vec::new(), schema, options);
                Target::Stream(Box::new(writer.map_err(refused)?))
            }
        }))
    }

    /// Adds the rows of `batch`.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.0 {
            Target::File(writer) => writer.write(batch).map_err(refused),
            Target::Stream(writer) => writer.write(batch).map_err(refused),
        }
    }

    /// The footer, or the end of the stream.
    pub fn finish(&mut self) -> Result<()> {
        match &mut self.0 {
            Target::File(writer) => writer.finish().map_err(refused),
            Target::Stream(writer) => writer.finish().map_err(refused),
        }
    }

    /// Takes the bytes that were made since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.0 {
            Target::File(writer) => writer.get_mut(),
            Target::Stream(writer) => writer.get_mut(),
        })
    }
}

fn fetch<R: ChunkReader>(reader: &R, block: &Block) -> Result<Message> {
    let (offset, bytes) = place(block).ok_or_else(damaged)?;
    Message::of(block, &Buffer::from(bytes_at(reader, offset, bytes)?))
}

fn place(block: &Block) -> Option<(u64, usize)> {
    let offset = u64::try_from(block.offset()).ok()?;
    let metadata = usize::try_from(block.metaDataLength()).ok()?;
    let bytes = metadata.checked_add(usize::try_from(block.bodyLength()).ok()?)?;
    offset.checked_add(bytes as u64)?;
    Some((offset, bytes))
}

fn bytes_at<R: ChunkReader>(reader: &R, offset: u64, length: usize) -> Result<bytes::Bytes> {
    reader.get_bytes(offset, length).map_err(|source| cut_off().with_source(source))
}

fn cut_off() -> Error {
    Error::new(ErrorKind::Corrupt, "the Arrow file ends too early or has no footer")
        .with_hint("get the file anew, or read it as a stream with format=arrows")
}

fn truncated() -> Error {
    Error::new(ErrorKind::Corrupt, "the Arrow stream ends within a batch").with_hint("get the stream anew")
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the Arrow data are damaged")
}

/// What an error on reading means: an I/O error keeps its kind, all else is damage.
fn damage(source: ArrowError) -> Error {
    match source {
        ArrowError::IoError(_, io) => super::compress::damage(io),
        ArrowError::NotYetImplemented(_) => {
            Error::new(ErrorKind::Unsupported, "this Arrow file uses a feature that cannot be read").with_source(source)
        }
        source => damaged().with_source(source),
    }
}

fn refused(source: ArrowError) -> Error {
    Error::new(ErrorKind::Unsupported, "Arrow IPC cannot hold this").with_source(source)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray as _, DictionaryArray, Int32Array, StringViewArray};
    use arrow::datatypes::{Int8Type, Int32Type};
    use bytes::Bytes;

    use super::*;

    fn batch(start: i32) -> RecordBatch {
        let words: DictionaryArray<Int8Type> = vec![Some("a"), None, Some("b")].into_iter().collect();
        RecordBatch::try_from_iter_with_nullable([
            ("n", Arc::new(Int32Array::from_iter_values(start..start + 3)) as ArrayRef, false),
            ("word", Arc::new(words) as ArrayRef, true),
            ("view", Arc::new(StringViewArray::from(vec!["x", "y", "longer than twelve bytes"])) as ArrayRef, true),
        ])
        .unwrap()
    }

    fn write(kind: Kind, codec: Codec) -> Bytes {
        let mut encoder = Encoder::new(kind, &batch(0).schema(), codec).unwrap();
        encoder.encode(&batch(0)).unwrap();
        let mut bytes = encoder.take();
        encoder.encode(&batch(3)).unwrap();
        encoder.finish().unwrap();
        bytes.extend(encoder.take());
        Bytes::from(bytes)
    }

    #[test]
    fn files_are_read_in_any_order_and_come_out_plain() {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let bytes = write(Kind::File, codec);
            let file = File::open(&bytes).unwrap();
            assert_eq!(file.batch_bytes().count(), 2);
            let schema = Arc::new(file.schema().project(&[2, 0, 1]).unwrap());
            let decoder = file.decoder(&bytes, &schema).unwrap();
            let second = decoder.decode(&file.batch(&bytes, 1).unwrap()).unwrap();
            assert_eq!(second.column(1).as_primitive::<Int32Type>().values(), &[3, 4, 5]);
            assert_eq!(second.column(2).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None, Some("b")]);
            assert_eq!(second.column(0).as_string::<i32>().value(2), "longer than twelve bytes");
            let none = Arc::new(Schema::empty());
            let decoder = file.decoder(&bytes, &none).unwrap();
            assert_eq!(decoder.decode(&file.batch(&bytes, 0).unwrap()).unwrap().num_rows(), 3);
        }
    }

    #[test]
    fn streams_are_read_in_order() {
        let bytes = write(Kind::Stream, Codec::Zstd);
        let mut stream = Stream::open(Box::new(std::io::Cursor::new(bytes))).unwrap();
        let schema = Arc::clone(stream.schema());
        assert_eq!(stream.next_batch(&schema).unwrap().unwrap().num_rows(), 3);
        let second = stream.next_batch(&schema).unwrap().unwrap();
        assert_eq!(second.column(0).as_primitive::<Int32Type>().values(), &[3, 4, 5]);
        assert!(stream.next_batch(&schema).unwrap().is_none());
    }

    #[test]
    fn what_is_cut_off_is_damage() {
        let bytes = write(Kind::File, Codec::None);
        for cut in [0, 5, 20, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(File::open(&bytes.slice(..cut)).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let bytes = write(Kind::Stream, Codec::None);
        // Within the last batch, within the length of a message, and in the middle of the end marker.
        let second = bytes.len() - 8;
        for cut in [bytes.len() - 40, second + 1, second + 4, second + 7] {
            let mut stream = Stream::open(Box::new(std::io::Cursor::new(bytes.slice(..cut)))).unwrap();
            let schema = Arc::clone(stream.schema());
            let all: Result<Vec<_>> = std::iter::from_fn(|| stream.next_batch(&schema).transpose()).collect();
            assert_eq!(all.unwrap_err().kind(), ErrorKind::Corrupt, "{cut} of {} bytes", bytes.len());
        }
        // The end marker itself is optional.
        let mut stream = Stream::open(Box::new(std::io::Cursor::new(bytes.slice(..second)))).unwrap();
        let schema = Arc::clone(stream.schema());
        let all: Result<Vec<_>> = std::iter::from_fn(|| stream.next_batch(&schema).transpose()).collect();
        assert_eq!(all.unwrap().len(), 2);
    }

    #[test]
    fn joined_messages_are_read_like_those_of_one_file() {
        let plain = |start| plain::select(&batch(start), &plain::schema(&batch(0).schema()).unwrap()).unwrap();
        let schema = plain(0).schema();
        for kind in [Kind::File, Kind::Stream] {
            let (mut joiner, mut all) = Joiner::new(kind, &schema).unwrap();
            for start in [0, 3] {
                let mut encoder = Encoder::new(kind, &schema, Codec::Zstd).unwrap();
                let mut part = encoder.take();
                let header = part.len() as u64;
                encoder.encode(&plain(start)).unwrap();
                encoder.finish().unwrap();
                part.extend(encoder.take());
                let part = Bytes::from(part);
                let ranges = match kind {
                    Kind::File => joiner.file(&part).unwrap(),
                    Kind::Stream => std::iter::once(joiner.stream(&part, header).unwrap()).collect(),
                };
                for range in &ranges {
                    all.extend_from_slice(&part[range.start as usize..range.end as usize]);
                }
            }
            all.extend(joiner.finish());
            let all = Bytes::from(all);
            let batches: Vec<RecordBatch> = if kind == Kind::File {
                let file = File::open(&all).unwrap();
                assert!(file.is_joinable(&schema));
                let decoder = file.decoder(&all, &schema).unwrap();
                (0..2).map(|index| decoder.decode(&file.batch(&all, index).unwrap()).unwrap()).collect()
            } else {
                let mut stream = Stream::open(Box::new(std::io::Cursor::new(all))).unwrap();
                std::iter::from_fn(|| stream.next_batch(&schema).unwrap()).collect()
            };
            assert_eq!(batches, [plain(0), plain(3)]);
        }
    }
}
