//! The pages of one row group, where Zstandard is undone with one context for each thread.
//!
//! The library keeps a context of some 100 kB for every column that it reads. A thousand columns would make that more than
//! all else that a reader holds.

use std::cell::RefCell;
use std::io::Read;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::RowGroups;
use ::parquet::basic::Compression;
use ::parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use ::parquet::file::reader::{ChunkReader, SerializedPageReader};
use bytes::Bytes;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

/// Bytes of a page, at most: its header counts them in 31 bits.
const PAGE_BYTES: u64 = i32::MAX as u64;

thread_local! {
    static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// One row group of a file.
pub(super) struct Group<R> {
    pub(super) reader: Arc<R>,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) index: usize,
}

impl<R> Group<R> {
    fn group(&self) -> &RowGroupMetaData {
        self.metadata.row_group(self.index)
    }
}

impl<R: ChunkReader + 'static> RowGroups for Group<R> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.group().num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.group().column(leaf);
        let open = |chunk| SerializedPageReader::new(Arc::clone(&self.reader), chunk, self.num_rows(), None);
        let pages: Box<dyn PageReader> = match chunk.compression() {
            // The library hands pages on as they are when it takes them for uncompressed.
            Compression::ZSTD(_) => {
                let plain = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
                Box::new(Decompressing(open(&plain)?))
            }
            _ => Box::new(open(chunk)?),
        };
        Ok(Box::new(OneChunk(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.group()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The pages of a column: one chunk, since there is one row group.
struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}

/// Pages of a reader that gives them compressed.
struct Decompressing<R: ChunkReader>(SerializedPageReader<R>);

impl<R: ChunkReader> Iterator for Decompressing<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl<R: ChunkReader> PageReader for Decompressing<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some(mut page) = self.0.get_next_page()? else { return Ok(None) };
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = decompressed(buf, 0)?,
            // Levels are never compressed in such a page.
            Page::DataPageV2 { buf, is_compressed: true, def_levels_byte_len, rep_levels_byte_len, .. } => {
                *buf = decompressed(buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)?;
            }
            Page::DataPageV2 { .. } => {}
        }
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.0.at_record_boundary()
    }
}

/// `page` with all behind its first `plain` bytes decompressed.
fn decompressed(page: &Bytes, plain: usize) -> Result<Bytes> {
    let damaged = || ParquetError::General("a page cannot be decompressed".to_owned());
    let (head, frame) = page.split_at_checked(plain).ok_or_else(damaged)?;
    // A page of NULLs alone has no values to compress.
    if frame.is_empty() {
        return Ok(page.clone());
    }
    let values = in_one_piece(frame).or_else(|| piece_by_piece(frame)).ok_or_else(damaged)?;
    Ok(if head.is_empty() { values.into() } else { [head, &values].concat().into() })
}

/// The content of `frame` where it says how long it is.
fn in_one_piece(frame: &[u8]) -> Option<Vec<u8>> {
    let length = get_frame_content_size(frame).ok()?.filter(|length| *length <= PAGE_BYTES)?;
    CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(Decompressor::new().ok()?),
        };
        context.decompress(frame, length as usize).ok()
    })
}

/// The content of one frame or several, whatever they say of their length.
fn piece_by_piece(frames: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let decoder = zstd::stream::Decoder::with_buffer(frames).ok()?;
    let length = decoder.take(PAGE_BYTES + 1).read_to_end(&mut content).ok()?;
    (length as u64 <= PAGE_BYTES).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_without_their_length_and_several_in_a_row_are_undone() {
        let text = "abcdefgh".repeat(50_000);
        let sized = zstd::bulk::compress(text.as_bytes(), 1).unwrap();
        let unsized_frame = zstd::stream::encode_all(text.as_bytes(), 1).unwrap();
        assert!(in_one_piece(&sized).is_some() && in_one_piece(&unsized_frame).is_none());
        let twice = [unsized_frame.as_slice(), &sized].concat();
        for (frames, copies) in [(sized, 1), (unsized_frame, 1), (twice, 2)] {
            let page: Bytes = [b"levels".as_slice(), &frames].concat().into();
            let whole = decompressed(&page, 6).unwrap();
            assert_eq!(whole, format!("levels{}", text.repeat(copies)));
            assert!(decompressed(&page, 0).is_err(), "levels are no frame");
            assert!(decompressed(&page.slice(..page.len() - 3), 6).is_err(), "it is cut off");
        }
        let levels = Bytes::from_static(b"levels");
        assert_eq!(decompressed(&levels, 6).unwrap(), levels);
        assert!(decompressed(&levels, 7).is_err());
    }
}
