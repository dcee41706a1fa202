//! Where buffered batches lie: files without names, and the room that all of them share.
//!
//! A file is unlinked before the first byte is in it (`O_TMPFILE` where the file system has it), so the system takes it
//! back when its last holder is gone, be that the end of the run, a failure or `kill -9`. Each chunk of it is an Arrow IPC
//! stream of one batch, compressed with LZ4.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use tokio::sync::Notify;

use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result};

/// The bytes that all files of a buffer share.
#[derive(Debug)]
pub(super) struct Room {
    limit: AtomicU64,
    used: AtomicU64,
    peak: AtomicU64,
    disk_was_full: AtomicBool,
    /// Told of everything that somebody may wait for.
    pub(super) changed: Notify,
}

impl Room {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self {
            limit: limit_bytes.into(),
            used: AtomicU64::default(),
            peak: AtomicU64::default(),
            disk_was_full: AtomicBool::default(),
            changed: Notify::new(),
        }
    }

    /// Whether anything could be put into it at this moment.
    pub(super) fn is_open(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Sets `bytes` aside. `false` when there are not so many.
    fn reserve(&self, bytes: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: u64| used.checked_add(bytes).filter(|all| *all <= limit);
        let reserved = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if let Ok(before) = reserved {
            self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        }
        reserved.is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// The disk takes no more than there is: from now on that is the limit.
    fn ends_here(&self) {
        self.limit.fetch_min(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
        self.disk_was_full.store(true, Ordering::Relaxed);
    }

    /// The most bytes that were in it at once.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Whether the disk took less than the limit.
    pub(super) fn disk_was_full(&self) -> bool {
        self.disk_was_full.load(Ordering::Relaxed)
    }
}

/// One file without a name. Dropping the last chunk of it gives its room back.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    bytes: AtomicU64,
    room: Arc<Room>,
}

impl Segment {
    /// Makes one in `folder`. Blocks.
    fn create(folder: &Path, room: &Arc<Room>) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self { file, bytes: AtomicU64::default(), room: Arc::clone(room) })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds `bytes`, for which room was set aside. Blocks. What fails leaves nothing.
    fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.bytes();
        if let Err(error) = self.file.write_all_at(bytes, offset) {
            // What cannot be cut off goes with the file.
            let _ = self.file.set_len(offset);
            return Err(error);
        }
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(offset)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.room.give_back(self.bytes());
    }
}

/// Whether files can be made in `folder`.
pub(super) fn probe(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// One batch on disk.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) segment: Arc<Segment>,
    offset: u64,
    bytes: usize,
}

/// What became of a batch that was to be stored.
pub(super) enum Stored {
    Chunk(Chunk),
    /// There is no room, or the disk is full.
    NoRoom,
}

/// Stores `encoded` at the end of `segment`, or of a new one in `folder` where there is none.
///
/// # Errors
/// Those of the disk, but for a full one.
pub(super) async fn store(
    (folder, room): (&Path, &Arc<Room>),
    segment: Option<Arc<Segment>>,
    encoded: &Arc<Vec<u8>>,
) -> Result<Stored> {
    let bytes = encoded.len();
    if !room.reserve(bytes as u64) {
        return Ok(Stored::NoRoom);
    }
    let (folder, shared, encoded) = (folder.to_owned(), Arc::clone(room), Arc::clone(encoded));
    let write = move || -> io::Result<Chunk> {
        let segment = segment.map_or_else(|| Segment::create(&folder, &shared).map(Arc::new), Ok)?;
        let offset = segment.append(&encoded)?;
        Ok(Chunk { segment, offset, bytes })
    };
    match waited(write).await? {
        Ok(chunk) => Ok(Stored::Chunk(chunk)),
        Err(error) => {
            room.give_back(bytes as u64);
            if !is_full(&error) {
                return Err(error.into());
            }
            room.ends_here();
            Ok(Stored::NoRoom)
        }
    }
}

/// The batch in `chunk`.
pub(super) async fn fetch(chunk: Chunk) -> Result<RecordBatch> {
    let read = move || {
        let mut bytes = vec![0; chunk.bytes];
        chunk.segment.file.read_exact_at(&mut bytes, chunk.offset).map(|()| bytes)
    };
    let bytes = waited(read).await??;
    cpu::run(move || decode(bytes)).await?
}

/// `batch` as the bytes of one chunk.
pub(super) async fn encode(batch: &RecordBatch) -> Result<Vec<u8>> {
    let batch = batch.clone();
    let encode = move || {
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options)?;
        writer.write(&batch)?;
        writer.into_inner().map_err(Error::from)
    };
    cpu::run(encode).await?
}

fn decode(bytes: Vec<u8>) -> Result<RecordBatch> {
    let (mut decoder, mut bytes) = (StreamDecoder::new(), Buffer::from_vec(bytes));
    while !bytes.is_empty() {
        if let Some(batch) = decoder.decode(&mut bytes)? {
            return Ok(batch);
        }
    }
    Err(Error::new(ErrorKind::Corrupt, "a batch in the buffer is cut off"))
}

/// Whether a disk, a quota or a limit on files lets nothing more in.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind as Io;
    matches!(error.kind(), Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge)
}

async fn waited<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let died = |death| Error::new(ErrorKind::Internal, "the buffer failed in an unforeseen way").with_source(death);
    tokio::task::spawn_blocking(work).await.map_err(died)
}
