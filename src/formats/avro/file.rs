//! The header of a file, and where its blocks stand.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use ::parquet::file::reader::ChunkReader;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use bytes::Bytes;

use super::codec::Codec;
use super::cursor::{Cursor, LONG_BYTES};
use super::schema::{Member, parse};
use super::{MAGIC, SYNC_BYTES, cut_off, damaged};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain;

/// Bytes in which a header most often ends, and the most that one may have.
const HEADER_BYTES: usize = 64 << 10;
const HEADER_BYTES_MAX: usize = 64 << 20;

/// Bytes that are read at once to find where the next blocks stand.
const LOOK_BYTES: u64 = 4 << 10;

/// Stored bytes of blocks that are read together.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Rows of a block whose records take no byte.
const EMPTY_ROWS: i64 = 1 << 32;

/// Metadata of a header that speaks of the file.
const SCHEMA_KEY: &[u8] = b"avro.schema";
const CODEC_KEY: &[u8] = b"avro.codec";

/// The header of one file, and where its blocks stand.
#[derive(Clone, Debug)]
pub struct File {
    header: Header,
    schema: SchemaRef,
    segments: Vec<Segment>,
}

/// The header of one file.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// Its bytes, the marker at its end included.
    pub(super) bytes: Bytes,
    pub(super) members: Arc<[Member]>,
    pub(super) codec: Codec,
    pub(super) sync: [u8; SYNC_BYTES],
}

/// Blocks that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where they stand in the file.
    pub range: Range<u64>,
    /// Their rows.
    pub rows: u64,
}

type Metadata<'a> = HashMap<&'a [u8], &'a [u8]>;

impl Header {
    /// The header in the first bytes of a file; none where they are too few.
    pub(super) fn parse(head: &Bytes) -> Result<Option<Self>> {
        let mut cursor = Cursor::new(head);
        match Self::walk(&mut cursor) {
            Err(error) if error.kind() == ErrorKind::Corrupt && cursor.is_short() => Ok(None),
            Err(error) => Err(error),
            Ok((metadata, sync)) => {
                let codec = Codec::of_name(metadata.get(CODEC_KEY).copied())?;
                let schema = metadata.get(SCHEMA_KEY).ok_or_else(damaged)?;
                let bytes = head.slice(..head.len() - cursor.left());
                Ok(Some(Self { bytes, members: parse(schema)?, codec, sync }))
            }
        }
    }

    /// What a header says by key, and its marker.
    fn walk<'a>(cursor: &mut Cursor<'a>) -> Result<(Metadata<'a>, [u8; SYNC_BYTES])> {
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(damaged());
        }
        let mut metadata = HashMap::new();
        while let Some(entries) = cursor.items()? {
            for _ in 0..entries {
                let key = cursor.bytes()?;
                metadata.insert(key, cursor.bytes()?);
            }
        }
        Ok((metadata, cursor.array()?))
    }
}

impl File {
    /// Reads the header and finds all blocks. Blocks.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) for a file that is cut off or damaged,
    /// [`Unsupported`](ErrorKind::Unsupported) for one with other types or another compression than can be read.
    pub fn open<R: ChunkReader>(reader: &R) -> Result<Self> {
        let header = read_header(reader)?;
        let fields: Vec<FieldRef> = header.members.iter().map(Member::field).collect();
        let schema = plain::schema(&Schema::new(fields))?;
        let segments = find_blocks(reader, &header)?;
        Ok(Self { header, schema, segments })
    }

    /// All columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Its blocks, in pieces that are worth reading at once.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// How its blocks are compressed.
    pub fn codec(&self) -> Codec {
        self.header.codec
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Fetches a segment, for [`File::read`]. Blocks.
    pub fn fetch<R: ChunkReader>(&self, reader: &R, segment: &Segment) -> Result<Bytes> {
        bytes_at(reader, segment.range.start, (segment.range.end - segment.range.start) as usize)
    }
}

fn read_header<R: ChunkReader>(reader: &R) -> Result<Header> {
    let length = usize::try_from(reader.len()).unwrap_or(usize::MAX);
    let mut bytes = HEADER_BYTES;
    loop {
        let head = bytes_at(reader, 0, bytes.min(length))?;
        if let Some(header) = Header::parse(&head)? {
            return Ok(header);
        }
        if bytes >= length {
            return Err(cut_off());
        }
        if bytes >= HEADER_BYTES_MAX {
            let message = format!("the header of the Avro file has more than {HEADER_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::Resource, message));
        }
        bytes *= 4;
    }
}

/// Goes from block to block by what each says of its size, and looks at the marker behind it.
fn find_blocks<R: ChunkReader>(reader: &R, header: &Header) -> Result<Vec<Segment>> {
    let length = reader.len();
    let is_empty = header.members.iter().all(|member| member.of.is_empty());
    let mut at = header.bytes.len() as u64;
    let mut segments = Vec::new();
    let mut segment = Segment { range: at..at, rows: 0 };
    let mut window = Window { start: 0, bytes: Bytes::new() };
    while at < length {
        let head = window.at(reader, at, (2 * LONG_BYTES as u64).min(length - at))?;
        let mut cursor = Cursor::new(&head);
        let (rows, bytes) = (cursor.long()?, cursor.length()?);
        let data = at + (head.len() - cursor.left()) as u64;
        let end = data.checked_add(bytes as u64).and_then(|end| end.checked_add(SYNC_BYTES as u64));
        let end = end.filter(|end| *end <= length).ok_or_else(cut_off)?;
        let sync = window.at(reader, end - SYNC_BYTES as u64, SYNC_BYTES as u64)?;
        if sync[..] != header.sync || rows < 0 || (is_empty && rows > EMPTY_ROWS) {
            return Err(damaged().at("block", format!("at byte {at}")));
        }
        segment.range.end = end;
        segment.rows = segment.rows.saturating_add(rows.unsigned_abs());
        if end - segment.range.start >= SEGMENT_BYTES {
            segments.push(std::mem::replace(&mut segment, Segment { range: end..end, rows: 0 }));
        }
        at = end;
    }
    if !segment.range.is_empty() {
        segments.push(segment);
    }
    Ok(segments)
}

/// A few bytes of a file that were read at once.
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    fn at<R: ChunkReader>(&mut self, reader: &R, offset: u64, bytes: u64) -> Result<Bytes> {
        let end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + bytes > end {
            self.bytes = bytes_at(reader, offset, LOOK_BYTES.max(bytes).min(reader.len() - offset) as usize)?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.slice(from..from + bytes as usize))
    }
}

fn bytes_at<R: ChunkReader>(reader: &R, offset: u64, length: usize) -> Result<Bytes> {
    reader.get_bytes(offset, length).map_err(|source| cut_off().with_source(source))
}
