//! A file that is read from many threads at once, each from its own place. All of it blocks.

use std::fs;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;

use crate::bridge::ffi;
use crate::error::{Context as _, Error, ErrorKind, Result};

const BUFFER_BYTES: usize = 128 << 10;

/// Bytes in which the header of a page is looked for: what is behind it is read once more, at its full length.
const HEADER_BYTES: usize = 8 << 10;

/// A file with its length, and perhaps some of its bytes.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    file: Arc<Watched>,
    bytes: u64,
    /// Bytes fetched beforehand, ascending.
    fetched: Option<Arc<Vec<(u64, Bytes)>>>,
}

/// A file that remembers what the system refused: libraries between here and the caller keep the words alone.
#[derive(Debug)]
struct Watched {
    file: fs::File,
    /// The code of the last error of the system; 0 for none.
    refused: AtomicI32,
}

impl Watched {
    fn note<T>(&self, result: std::io::Result<T>) -> std::io::Result<T> {
        if let Some(code) = result.as_ref().err().and_then(std::io::Error::raw_os_error) {
            self.refused.store(code, Ordering::Relaxed);
        }
        result
    }
}

impl Chunks {
    /// The bytes of `file`, read from any place.
    pub(super) fn of(file: fs::File) -> Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file: Arc::new(Watched { file, refused: AtomicI32::new(0) }), bytes, fetched: None })
    }

    /// `error`, unless the system had refused a read: then it is that. Bytes that could not be read are not damaged.
    pub(super) fn cause(&self, error: Error) -> Error {
        match self.file.refused.swap(0, Ordering::Relaxed) {
            0 => error,
            _ if error.kind() != ErrorKind::Corrupt => error,
            code => std::io::Error::from_raw_os_error(code).into(),
        }
    }

    /// A file of our own, which nobody else changes.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::of(fs::File::open(path).at("file", || path.display())?)
    }

    /// The file from its start, to be read from any place.
    pub(super) fn seekable(&self) -> BufReader<FilePlace> {
        BufReader::with_capacity(BUFFER_BYTES, FilePlace { file: Arc::clone(&self.file), offset: 0, bytes: self.bytes })
    }

    /// The same file with `ranges` (ascending) in memory, so that decoding them waits for no disk.
    pub(super) fn fetch(&self, ranges: &[std::ops::Range<u64>]) -> std::io::Result<Self> {
        let read = |range: &std::ops::Range<u64>| {
            let end = range.end.min(self.bytes);
            Ok((range.start, self.read_at(range.start, end.saturating_sub(range.start) as usize)?))
        };
        let fetched = ranges.iter().map(read).collect::<std::io::Result<Vec<_>>>()?;
        Ok(Self { fetched: Some(Arc::new(fetched)), ..self.clone() })
    }

    /// Lets the system have `ranges` in its own memory soon, so that decoding them seldom waits for the disk.
    pub(super) fn expect(&self, ranges: &[std::ops::Range<u64>]) {
        for range in ranges {
            ffi::read_ahead(&self.file.file, range);
        }
    }

    /// `length` bytes from `offset` on.
    pub(super) fn read_at(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
        if let Some(bytes) = self.in_memory(offset).filter(|bytes| bytes.len() >= length) {
            return Ok(bytes.slice(..length));
        }
        if offset.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        self.file.note(self.file.file.read_exact_at(&mut bytes, offset))?;
        Ok(bytes.into())
    }

    fn in_memory(&self, offset: u64) -> Option<Bytes> {
        let fetched = self.fetched.as_ref()?;
        let index = fetched.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        let (start, bytes) = &fetched[index];
        let skip = usize::try_from(offset - start).ok().filter(|skip| *skip < bytes.len())?;
        Some(bytes.slice(skip..))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> ::parquet::errors::Result<Self::T> {
        if let Some(bytes) = self.in_memory(start) {
            return Ok(Box::new(Cursor::new(bytes)));
        }
        let place = FilePlace { file: Arc::clone(&self.file), offset: start, bytes: self.bytes };
        Ok(Box::new(BufReader::with_capacity(HEADER_BYTES, place)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ::parquet::errors::Result<Bytes> {
        Ok(self.read_at(start, length)?)
    }
}

/// Reads on from one place, without the shared position of the file.
pub(super) struct FilePlace {
    file: Arc<Watched>,
    offset: u64,
    /// Of the whole file.
    bytes: u64,
}

impl Seek for FilePlace {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.offset.checked_add_signed(by),
        };
        self.offset = place.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.offset)
    }
}

impl Read for FilePlace {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.file.note(self.file.file.read_at(buffer, self.offset))?;
        self.offset += bytes as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_the_system_refuses_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        // Opened for writing alone, every read is refused.
        let file = fs::File::create(folder.path().join("a")).unwrap();
        file.set_len(1 << 20).unwrap();
        let chunks = Chunks::of(file).unwrap();
        let damaged = || Error::new(ErrorKind::Corrupt, "the data are damaged");
        assert_eq!(chunks.cause(damaged()).kind(), ErrorKind::Corrupt);
        assert!(chunks.get_bytes(0, 10).is_err());
        assert_eq!(chunks.cause(damaged()).kind(), ErrorKind::Io);
        let error = crate::formats::parquet::File::open(&chunks).unwrap_err();
        assert_eq!(chunks.cause(error).kind(), ErrorKind::Io);
    }
}
