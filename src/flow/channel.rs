//! The lane: a queue of batches between the reader and the rest of a channel, bounded in bytes.
//!
//! It lets reading overlap with writing. A batch larger than the whole lane passes when the lane is empty. What was
//! received counts as in use until the next is asked for: so long is its [`Heavy`] permit held.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::error::Result;
use crate::flow::board::{Load, TaskMeter};
use crate::flow::heavy::Heavy;
use crate::flow::meter::Wait;

/// Bytes of one permit: small enough to count well, large enough for lanes of many gigabytes.
const PERMIT_BYTES: usize = 1024;

/// Batches in a lane, at most, however small they are.
const LANE_BATCHES: usize = 1024;

type Item = (Result<RecordBatch>, OwnedSemaphorePermit, Option<Heavy>, Load);

/// The end into which the reader puts batches.
#[derive(Debug)]
pub struct LaneSender {
    room: Arc<Semaphore>,
    permits: u32,
    queue: mpsc::Sender<Item>,
    meter: TaskMeter,
}

/// The end from which the next part takes them.
#[derive(Debug)]
pub struct LaneReceiver {
    queue: mpsc::Receiver<Item>,
    meter: TaskMeter,
    heavy: Option<Heavy>,
}

/// A lane of the task of `meter` that holds `lane_bytes` at most.
pub fn lane(lane_bytes: usize, meter: &TaskMeter) -> (LaneSender, LaneReceiver) {
    let permits = u32::try_from((lane_bytes / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let (sender, receiver) = mpsc::channel(LANE_BATCHES);
    let room = Arc::new(Semaphore::new(permits as usize));
    let sender = LaneSender { room, permits, queue: sender, meter: meter.clone() };
    (sender, LaneReceiver { queue: receiver, meter: meter.clone(), heavy: None })
}

impl LaneSender {
    /// Puts `item` of `bytes` into the lane, waiting for room. `false` when nobody takes any more.
    pub async fn send(&self, item: Result<RecordBatch>, bytes: usize) -> bool {
        let rows = item.as_ref().map_or(0, RecordBatch::num_rows);
        self.send_heavy(item, (rows as u64, bytes), None).await
    }

    /// As [`send`](Self::send) for an item of so many rows and bytes, with the permit of a batch that is larger than batches
    /// should be.
    pub async fn send_heavy(
        &self,
        item: Result<RecordBatch>,
        (rows, bytes): (u64, usize),
        heavy: Option<Heavy>,
    ) -> bool {
        let wanted = u32::try_from(bytes / PERMIT_BYTES).unwrap_or(u32::MAX).clamp(1, self.permits);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(wanted).await else { return false };
        self.queue.send((item, room, heavy, self.meter.load(rows, bytes as u64))).await.is_ok()
    }

    /// Waits until nobody takes any more.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }
}

impl LaneReceiver {
    /// The next batch; none when the reader is done.
    pub async fn receive(&mut self) -> Option<Result<RecordBatch>> {
        self.heavy = None;
        let waiting = self.meter.waiting(Wait::Reader);
        let item = self.queue.recv().await;
        drop(waiting);
        let (batch, _room, heavy, _load) = item?;
        self.heavy = heavy;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(rows: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        RecordBatch::try_from_iter([("a", column)]).unwrap()
    }

    #[tokio::test]
    async fn a_full_lane_holds_the_reader_back() {
        let (sender, mut receiver) = lane(10 * PERMIT_BYTES, &TaskMeter::default());
        assert!(sender.send(Ok(batch(1)), 6 * PERMIT_BYTES).await);
        let second = sender.send(Ok(batch(2)), 6 * PERMIT_BYTES);
        tokio::pin!(second);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err());
        assert_eq!(receiver.receive().await.unwrap().unwrap().num_rows(), 1);
        assert!(second.await);
        assert_eq!(receiver.receive().await.unwrap().unwrap().num_rows(), 2);
    }

    #[tokio::test]
    async fn a_batch_larger_than_the_lane_passes_alone() {
        let (sender, mut receiver) = lane(PERMIT_BYTES, &TaskMeter::default());
        assert!(sender.send(Ok(batch(3)), 1 << 30).await);
        assert_eq!(receiver.receive().await.unwrap().unwrap().num_rows(), 3);
    }

    #[tokio::test]
    async fn a_gone_receiver_is_told() {
        let (sender, receiver) = lane(PERMIT_BYTES, &TaskMeter::default());
        drop(receiver);
        assert!(!sender.send(Ok(batch(1)), 1).await);
        sender.closed().await;
    }

    #[tokio::test]
    async fn a_gone_sender_ends_the_lane_after_what_is_in_it() {
        let (sender, mut receiver) = lane(1 << 20, &TaskMeter::default());
        assert!(sender.send(Ok(batch(1)), 1).await);
        drop(sender);
        assert!(receiver.receive().await.is_some());
        assert!(receiver.receive().await.is_none());
    }
}
