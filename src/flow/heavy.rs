//! Rows that are larger than a batch should be: few of them pass at once, and one that can never fit is refused.
//!
//! A batch ends at the first row that reaches its bytes, so a much larger one holds a long row. Such rows are copied
//! on their way, and every channel may meet one at the same time; so they share a number of bytes of the whole job.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bridge::ffi;
use crate::error::{Error, ErrorKind, Result};

/// A row exists so often at most: received and decoded, the next one as well, encoded, compressed, sent.
const ROW_COPIES: u64 = 8;

/// A batch is heavy from so many times its wanted bytes on.
const HEAVY_BATCHES: usize = 2;

/// Bytes of one permit.
const PERMIT_BYTES: u64 = 1024;

/// Bytes of the longest row that a job of `memory_bytes` can hold in all its copies.
pub fn row_bytes_max(memory_bytes: u64) -> u64 {
    memory_bytes / ROW_COPIES
}

/// Permission to have one heavy batch in use; dropping it lets the next one pass.
pub type Heavy = OwnedSemaphorePermit;

/// The door for heavy batches. The default lets everything pass.
#[derive(Debug, Default)]
pub struct HeavyDoor {
    memory_bytes: Option<u64>,
    from_bytes: usize,
    room: Option<(Arc<Semaphore>, u32)>,
}

impl HeavyDoor {
    /// A door for a job of `memory_bytes` whose batches should have `batch_bytes`. It refuses what can never fit.
    pub fn new(memory_bytes: u64, batch_bytes: usize) -> Self {
        Self { memory_bytes: Some(memory_bytes), from_bytes: HEAVY_BATCHES * batch_bytes, room: None }
    }

    /// The same door, which also holds heavy batches back while others of `room_bytes` are in use.
    ///
    /// Only where each channel goes on by itself: an operator that waits for several readers would wait for ever.
    #[must_use]
    pub fn holding(self, room_bytes: usize) -> Self {
        let permits = (room_bytes as u64 / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(1 << 31) as u64) as u32;
        Self { room: Some((Arc::new(Semaphore::new(permits as usize)), permits)), ..self }
    }

    /// Whether a batch of `bytes` holds a row much longer than a batch should be.
    pub fn is_heavy(&self, bytes: u64) -> bool {
        self.memory_bytes.is_some() && bytes > self.from_bytes as u64
    }

    /// Waits until a batch of `bytes` may be in use. One of usual size may at once.
    pub async fn room(&self, bytes: u64) -> Option<Heavy> {
        let (room, permits) = self.room.as_ref().filter(|_| self.is_heavy(bytes))?;
        // Nobody closes it; a permit that is not to be had would hold nothing back.
        Arc::clone(room).acquire_many_owned(permits_for(bytes, *permits)).await.ok()
    }

    /// Waits until a batch of so many rows and bytes may go on, for which `room` was made. A batch of usual size passes at
    /// once.
    ///
    /// # Errors
    /// [`Resource`](ErrorKind::Resource) for a single row whose copies exceed the memory of the job.
    pub async fn pass(&self, (rows, bytes): (u64, u64), room: Option<Heavy>) -> Result<Option<Heavy>> {
        let Some(memory_bytes) = self.memory_bytes else { return Ok(None) };
        let needed = bytes.saturating_mul(ROW_COPIES);
        if rows == 1 && needed > memory_bytes {
            return Err(too_large(bytes, needed));
        }
        if self.is_heavy(bytes) {
            // What one copy of it leaves behind is not to stand beside the next, here or in what comes after it.
            ffi::give_back_after(Duration::ZERO);
        }
        let all = self.room.as_ref().map_or(0, |(_, permits)| *permits);
        match room {
            Some(room) if self.is_heavy(bytes) && room.num_permits() >= permits_for(bytes, all) as usize => {
                Ok(Some(room))
            }
            // What is held is given back first: two that wait for more would wait for each other.
            room => {
                drop(room);
                Ok(self.room(bytes).await)
            }
        }
    }
}

/// Permits of a batch of `bytes`, of `all` that there are.
fn permits_for(bytes: u64, all: u32) -> u32 {
    u32::try_from(bytes / PERMIT_BYTES).unwrap_or(u32::MAX).clamp(1, all.max(1))
}

fn too_large(bytes: u64, needed: u64) -> Error {
    let (row, all) = (grouped(bytes), grouped(needed));
    let message = format!("a row of {row} bytes needs about {all} bytes of memory, with its copies");
    let hint = format!("give --memory at least {}MB", needed.div_ceil(1_000_000));
    Error::new(ErrorKind::Resource, message).with_hint(hint)
}

/// `52,428,800`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const MB: u64 = 1 << 20;

    #[tokio::test]
    async fn one_heavy_batch_at_a_time_and_usual_ones_beside_it() {
        let door = HeavyDoor::new(512 * MB, MB as usize).holding(64 * MB as usize);
        assert!(door.is_heavy(50 * MB) && !door.is_heavy(2 * MB));
        let first = door.pass((1, 50 * MB), None).await.unwrap();
        assert!(first.is_some());
        assert!(door.pass((1, 50 * MB), None).now_or_never().is_none(), "the second waits");
        assert!(door.pass((1000, 2 * MB), None).now_or_never().unwrap().unwrap().is_none(), "a usual batch does not");
        drop(first);
        assert!(door.pass((1, 50 * MB), None).now_or_never().unwrap().unwrap().is_some());
    }

    #[tokio::test]
    async fn a_batch_larger_than_the_room_passes_alone() {
        let door = HeavyDoor::new(512 * MB, MB as usize).holding(8 * MB as usize);
        let first = door.pass((1, 60 * MB), None).await.unwrap();
        assert!(first.is_some());
        assert!(door.pass((1, 3 * MB), None).now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_has_made_room_passes_and_gives_back_what_is_not_needed() {
        let door = HeavyDoor::new(512 * MB, MB as usize).holding(64 * MB as usize);
        let all = || door.room.as_ref().unwrap().0.available_permits() as u64 * PERMIT_BYTES;
        let room = door.room(50 * MB).await;
        let passed = door.pass((1, 40 * MB), room).await.unwrap();
        assert!(passed.is_some());
        assert_eq!(all(), 14 * MB);
        assert!(door.room(20 * MB).now_or_never().is_none(), "another one waits before it is read");
        drop(passed);
        let room = door.room(20 * MB).await;
        let longer = door.pass((1, 60 * MB), room).now_or_never().unwrap().unwrap();
        assert_eq!(all(), 4 * MB, "what was held does not stand in the way of more");
        drop(longer);
        let room = door.room(20 * MB).await;
        assert!(door.pass((9, MB), room).await.unwrap().is_none());
        assert_eq!(all(), 64 * MB);
        assert!(door.room(MB).await.is_none(), "batches of usual size need none");
    }

    #[tokio::test]
    async fn a_row_that_can_never_fit_is_refused_with_its_figure() {
        let error = HeavyDoor::new(128 * MB, MB as usize).pass((1, 50 * MB), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Resource);
        assert!(error.message().contains("a row of 52,428,800 bytes needs about 419,430,400 bytes"), "{error}");
        assert_eq!(error.hint(), Some("give --memory at least 420MB"));
        assert!(HeavyDoor::new(420_000_000, 1).pass((1, 50 * MB), None).await.is_ok());
        assert!(
            HeavyDoor::new(128 * MB, MB as usize).pass((2, 50 * MB), None).await.is_ok(),
            "two rows are two smaller ones"
        );
        assert!(HeavyDoor::default().pass((1, u64::MAX), None).await.unwrap().is_none());
    }
}
