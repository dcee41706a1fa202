//! A task's end of the buffer: the batches of one split, from disk or from hand to hand.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use futures::{StreamExt as _, stream};

use super::segment::{self, Chunk};
use super::{Buffer, Phase};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::source::BatchStream;

/// Takers so far: tells a new one from one that was told to end and still is there.
static TAKERS: AtomicU64 = AtomicU64::new(0);

impl Buffer {
    /// The batches of `split`, as they come.
    pub fn rows(self: &Arc<Self>, split: u32) -> BatchStream {
        let id = TAKERS.fetch_add(1, Ordering::Relaxed);
        if let Some(piece) = self.state.lock().piece(split) {
            (piece.taker, piece.taken) = (Some(id), 0);
        }
        self.room.changed.notify_waiters();
        let taker = Taker { buffer: Arc::clone(self), split, id };
        stream::unfold(taker, |taker| async { taker.next().await.transpose().map(|item| (item, taker)) }).boxed()
    }
}

struct Taker {
    buffer: Arc<Buffer>,
    split: u32,
    id: u64,
}

/// What a taker finds.
enum Found {
    Stored(Chunk),
    Handed(RecordBatch),
    End,
    /// Nothing yet.
    Nothing,
}

impl Taker {
    async fn next(&self) -> Result<Option<RecordBatch>> {
        loop {
            let mut changed = pin!(self.buffer.room.changed.notified());
            changed.as_mut().enable();
            match self.find()? {
                Found::Nothing => changed.await,
                Found::End => return Ok(None),
                Found::Handed(batch) => return Ok(Some(batch)),
                Found::Stored(chunk) => {
                    let batch = segment::fetch(chunk).await.at("buffer", || self.buffer.folder.display());
                    return batch.map(Some);
                }
            }
        }
    }

    fn find(&self) -> Result<Found> {
        let mut state = self.buffer.state.lock();
        let piece = state.piece(self.split).filter(|piece| piece.taker == Some(self.id));
        let gone = || Error::new(ErrorKind::Internal, "the buffer does not have this split");
        let piece = piece.ok_or_else(gone)?;
        let found = match piece.chunks.get(piece.taken) {
            Some(Some(chunk)) => Found::Stored(chunk.clone()),
            Some(None) => Found::Handed(piece.hand.take().ok_or_else(gone)?),
            None => match &mut piece.phase {
                Phase::Whole => Found::End,
                Phase::Failed(error) => return Err(error.take().unwrap_or_else(gone)),
                Phase::Unread | Phase::Reading | Phase::Settled => Found::Nothing,
            },
        };
        if matches!(found, Found::Stored(_) | Found::Handed(_)) {
            piece.taken += 1;
            self.buffer.told(state);
        }
        Ok(found)
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        if let Some(piece) = self.buffer.state.lock().piece(self.split).filter(|piece| piece.taker == Some(self.id)) {
            piece.taker = None;
        }
        self.buffer.room.changed.notify_waiters();
    }
}
