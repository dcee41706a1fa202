//! The buffer: rows on disk between the source and a slow target. Splits are read ahead of the tasks that want them, so that
//! the source can be let go while the target still takes rows.
//!
//! ```text
//! source → Filler: next split · put batches … end          Buffer::rows → task → receipt → Buffer::settled
//!                  └── on disk; without room, hand to hand to the task that waits for it ──┘
//! ```
//! Splits are read in the order in which tasks want them. So a reader that has no room holds a split that nobody wants yet,
//! or one whose task takes its rows from hand to hand: nothing waits for what cannot come. What a failure sends back to the
//! beginning is read first: a reader without room gives its split up for it.
//!
//! Rows stay in the buffer until the receipt of their task, so that another attempt finds them again ([`Replay`]).

mod segment;
mod taker;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::{Mutex, MutexGuard};

use segment::{Chunk, Room, Segment, Stored};

use crate::error::{Context as _, Error, ErrorKind, Result};

/// Files of a buffer, about: each is open until the last of its rows is settled.
const SEGMENTS: u64 = 64;

/// Bytes of one file, between which they are chosen while the buffer is not very large.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(64 << 20);

/// No more files than this, however large the buffer is.
const SEGMENTS_MAX: u64 = 512;

/// What becomes of rows that a task has taken and not settled, when there is no room for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// They stay: the source is let go when every task could be begun anew from the buffer.
    Always,
    /// They make room, and the source is let go all the same: a task that fails then ends the run.
    WhileRoom,
}

/// Rows on disk, bounded in bytes.
#[derive(Debug)]
pub struct Buffer {
    folder: PathBuf,
    segment_bytes: u64,
    replay: Replay,
    room: Arc<Room>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// One for each split, in the order in which they are wanted.
    pieces: Vec<Piece>,
    /// Places of splits in it.
    places: HashMap<u32, usize>,
    /// Places of those that nobody has begun to read.
    unread: BTreeSet<usize>,
    reading: usize,
    /// The source is not asked any more.
    is_released: bool,
}

/// One split.
#[derive(Debug)]
struct Piece {
    split: u32,
    phase: Phase,
    /// Its batches so far; none for one that is not in the buffer, or not any more.
    chunks: Vec<Option<Chunk>>,
    /// How many of them its task has taken.
    taken: usize,
    /// Who takes them.
    taker: Option<u64>,
    /// A batch on its way from hand to hand.
    hand: Option<RecordBatch>,
    /// How often it was sent back to the beginning.
    turn: u32,
}

#[derive(Debug)]
enum Phase {
    Unread,
    Reading,
    /// Its reader failed; the task that wants it is told once.
    Failed(Option<Error>),
    Whole,
    /// Its task has a receipt.
    Settled,
}

impl Piece {
    fn new(split: u32) -> Self {
        Self { split, phase: Phase::Unread, chunks: Vec::new(), taken: 0, taker: None, hand: None, turn: 0 }
    }

    /// Whether all that was read of it is there.
    fn is_kept(&self) -> bool {
        self.chunks.iter().all(Option::is_some)
    }

    /// Whether another attempt finds all of it.
    fn is_there(&self) -> bool {
        matches!(self.phase, Phase::Whole) && self.is_kept() || matches!(self.phase, Phase::Settled)
    }
}

impl Buffer {
    /// A buffer of `limit_bytes` on disk, in files in `folder`. Makes nothing yet.
    pub fn new(folder: &Path, limit_bytes: u64, replay: Replay) -> Self {
        let segment_bytes = (limit_bytes / SEGMENTS).clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
        Self {
            folder: folder.to_owned(),
            segment_bytes: segment_bytes.max(limit_bytes / SEGMENTS_MAX),
            replay,
            room: Arc::new(Room::new(limit_bytes)),
            state: Mutex::default(),
        }
    }

    /// Refuses a folder in which no files can be made.
    pub fn probe(folder: &Path) -> Result<()> {
        let probed = segment::probe(folder).at("buffer", || folder.display());
        probed.map_err(|error| error.with_hint("name a folder that exists and can be written"))
    }

    /// Begins with `splits`, in the order in which tasks will want them.
    pub fn begin(&self, splits: impl IntoIterator<Item = u32>) {
        let mut state = self.state.lock();
        *state = State { pieces: splits.into_iter().map(Piece::new).collect(), ..State::default() };
        state.places = state.pieces.iter().enumerate().map(|(place, piece)| (piece.split, place)).collect();
        state.unread = (0..state.pieces.len()).collect();
    }

    /// A reader's end of it.
    pub fn filler(self: &Arc<Self>) -> Filler {
        Filler { buffer: Arc::clone(self), segment: None, place: 0, turn: 0 }
    }

    /// The tasks of `splits` have receipts: their rows are not wanted again.
    pub fn settled(&self, splits: &[u32]) {
        let mut state = self.state.lock();
        for split in splits {
            if let Some(piece) = state.piece(*split) {
                (piece.phase, piece.chunks) = (Phase::Settled, Vec::new());
            }
        }
        self.told(state);
    }

    /// Sends a task that failed back to the beginning of `splits`. What is not in the buffer is read again.
    ///
    /// # Errors
    /// [`Resource`](ErrorKind::Resource) where the source was let go and rows are not in the buffer any more.
    pub fn rewind(&self, splits: &[u32]) -> Result<()> {
        let mut state = self.state.lock();
        let places: Vec<usize> = splits.iter().filter_map(|split| state.places.get(split).copied()).collect();
        if state.is_released && !places.iter().all(|place| state.pieces[*place].is_there()) {
            let message = "its rows are not in the buffer any more, and the source was let go";
            return Err(
                Error::new(ErrorKind::Resource, message).with_hint("start the copy again, with a larger --buffer")
            );
        }
        for place in places {
            state.rewind(place);
        }
        self.told(state);
        Ok(())
    }

    /// Waits until all splits have been read and the source is not needed again. From then on no split is read.
    pub async fn read_out(&self) {
        loop {
            let mut changed = pin!(self.room.changed.notified());
            changed.as_mut().enable();
            if self.is_released_now() {
                return self.room.changed.notify_waiters();
            }
            changed.await;
        }
    }

    fn is_released_now(&self) -> bool {
        let mut state = self.state.lock();
        state.is_released |= state.is_read_out(self.replay);
        state.is_released
    }

    /// The most bytes that were on disk at once.
    pub fn peak_bytes(&self) -> u64 {
        self.room.peak_bytes()
    }

    /// Whether the disk took less than it was to.
    pub fn disk_was_full(&self) -> bool {
        self.room.disk_was_full()
    }

    /// Whether the source was let go before the last row was written.
    pub fn is_released(&self) -> bool {
        self.state.lock().is_released
    }

    /// Makes room of what was taken. `false` when nothing can go.
    fn evict(&self) -> bool {
        if self.replay == Replay::Always {
            return false;
        }
        // Dropped after the lock: closing a large file takes time.
        let mut evicted: Vec<Chunk> = Vec::new();
        let mut state = self.state.lock();
        for slot in state.pieces.iter_mut().flat_map(|piece| piece.chunks.iter_mut().take(piece.taken)) {
            let is_next =
                |chunk: &Chunk| evicted.first().is_none_or(|first| Arc::ptr_eq(&first.segment, &chunk.segment));
            if slot.as_ref().is_some_and(is_next) {
                evicted.extend(slot.take());
            }
        }
        drop(state);
        !evicted.is_empty()
    }

    /// Lets go of `state` and wakes whoever waits for a change of it.
    fn told(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.room.changed.notify_waiters();
    }
}

impl State {
    fn piece(&mut self, split: u32) -> Option<&mut Piece> {
        self.places.get(&split).map(|place| &mut self.pieces[*place])
    }

    /// Whether the source is not needed again, as far as is known.
    fn is_read_out(&self, replay: Replay) -> bool {
        if !self.unread.is_empty() || self.reading > 0 {
            return false;
        }
        self.pieces.iter().all(|piece| match replay {
            Replay::Always => piece.is_there(),
            Replay::WhileRoom => !matches!(piece.phase, Phase::Failed(_)),
        })
    }

    /// Lets a piece be taken from its beginning; read anew where that is gone.
    fn rewind(&mut self, place: usize) {
        let piece = &mut self.pieces[place];
        (piece.taken, piece.taker) = (0, None);
        if piece.is_kept() && matches!(piece.phase, Phase::Whole | Phase::Reading) {
            return;
        }
        self.reading -= usize::from(matches!(piece.phase, Phase::Reading));
        *piece = Piece { turn: piece.turn + 1, ..Piece::new(piece.split) };
        self.unread.insert(place);
    }
}

/// A reader's end of a buffer: it reads one split after the other.
#[derive(Debug)]
pub struct Filler {
    buffer: Arc<Buffer>,
    /// The file that it writes.
    segment: Option<Arc<Segment>>,
    /// The split that it reads, and its turn.
    place: usize,
    turn: u32,
}

/// What a reader has to do next.
enum Next {
    Split(u32),
    /// A task that fails may send a split back.
    Later,
    End,
}

impl Filler {
    /// The next split to read; none when the source is let go.
    pub async fn next(&mut self) -> Option<u32> {
        let buffer = Arc::clone(&self.buffer);
        loop {
            let mut changed = pin!(buffer.room.changed.notified());
            changed.as_mut().enable();
            match self.begun(&mut buffer.state.lock()) {
                Next::Split(split) => return Some(split),
                Next::End => return None,
                Next::Later => {}
            }
            changed.await;
        }
    }

    /// Begins the next split, if there is one.
    fn begun(&mut self, state: &mut State) -> Next {
        if state.is_released {
            return Next::End;
        }
        let Some(place) = state.unread.pop_first() else { return Next::Later };
        self.place = place;
        state.reading += 1;
        let piece = &mut state.pieces[self.place];
        (piece.phase, self.turn) = (Phase::Reading, piece.turn);
        Next::Split(piece.split)
    }

    /// Puts `batch` on disk, or hands it to the task that waits for it; waits until one of both is possible. `false` when
    /// the split is not to be read any further.
    ///
    /// # Errors
    /// Those of the disk; a full one is no error, but an end of room.
    pub async fn put(&mut self, batch: &RecordBatch) -> Result<bool> {
        let buffer = Arc::clone(&self.buffer);
        let mut encoded = None;
        loop {
            let mut changed = pin!(buffer.room.changed.notified());
            changed.as_mut().enable();
            if buffer.room.is_open() {
                let bytes = match encoded.take() {
                    Some(bytes) => bytes,
                    None => Arc::new(segment::encode(batch).await?),
                };
                let stored = self.stored(&bytes).await.at("buffer", || buffer.folder.display())?;
                if let Stored::Chunk(chunk) = stored {
                    return Ok(self.add(Some(chunk), None));
                }
                encoded = Some(bytes);
            }
            if self.gave_file_back() {
                continue;
            }
            if let Some(done) = self.handed(batch) {
                return Ok(done);
            }
            if !buffer.evict() {
                changed.await;
            }
        }
    }

    /// The split has come to its end, or failed.
    pub fn end(&mut self, result: Result<()>) {
        let mut state = self.buffer.state.lock();
        let piece = &mut state.pieces[self.place];
        if piece.turn == self.turn && matches!(piece.phase, Phase::Reading) {
            piece.phase = result.map_or_else(|error| Phase::Failed(Some(error)), |()| Phase::Whole);
            state.reading -= 1;
        }
        self.buffer.told(state);
    }

    async fn stored(&mut self, encoded: &Arc<Vec<u8>>) -> Result<Stored> {
        let room = (&*self.buffer.folder, &self.buffer.room);
        let segment = self.segment.take().filter(|segment| segment.bytes() < self.buffer.segment_bytes);
        let kept = segment.clone();
        let stored = segment::store(room, segment, encoded).await?;
        self.segment = match &stored {
            Stored::Chunk(chunk) => Some(Arc::clone(&chunk.segment)),
            Stored::NoRoom => kept,
        };
        Ok(stored)
    }

    /// Hands `batch` to the task that waits for it, or gives the split up where an earlier one must be read again.
    fn handed(&mut self, batch: &RecordBatch) -> Option<bool> {
        let mut state = self.buffer.state.lock();
        let (place, first) = (self.place, state.unread.first().copied());
        let piece = &mut state.pieces[place];
        if piece.turn != self.turn {
            return Some(false);
        }
        if piece.taker.is_some() && piece.taken == piece.chunks.len() && piece.hand.is_none() {
            drop(state);
            return Some(self.add(None, Some(batch.clone())));
        }
        if piece.taker.is_none() && first.is_some_and(|first| first < place) {
            // Its beginning goes as well: what is half read must not take the room of what is wanted.
            piece.chunks.push(None);
            state.rewind(place);
            self.buffer.told(state);
            return Some(false);
        }
        None
    }

    /// Notes the next batch of the split. `false` when it was sent back meanwhile.
    fn add(&mut self, chunk: Option<Chunk>, hand: Option<RecordBatch>) -> bool {
        let mut state = self.buffer.state.lock();
        let piece = &mut state.pieces[self.place];
        let is_current = piece.turn == self.turn;
        if is_current {
            piece.chunks.push(chunk);
            // One that is on its way stays there until it is taken, also where there is room again.
            piece.hand = hand.or(piece.hand.take());
        }
        self.buffer.told(state);
        is_current
    }

    /// Gives the file back that it writes, where nothing in it is wanted any more. `false` where something is.
    fn gave_file_back(&mut self) -> bool {
        let is_spent = self.segment.as_ref().is_some_and(|segment| Arc::strong_count(segment) == 1);
        if is_spent {
            self.segment = None;
        }
        is_spent
    }
}

#[cfg(test)]
mod tests;
