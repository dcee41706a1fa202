use std::time::Duration;

use arrow::array::{ArrayRef, AsArray as _, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt as _;
use tempfile::TempDir;

use super::*;
use crate::source::BatchStream;

const LIMIT: u64 = 1 << 30;

/// Bytes of a batch on disk, at least: they do not compress.
const BATCH_BYTES: u64 = 64 << 10;

/// A batch that is told by its number.
fn batch(number: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![number]));
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise as u8
    };
    let bytes: Vec<u8> = (0..BATCH_BYTES).map(|_| next()).collect();
    let noise: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([bytes].into_iter()).unwrap());
    RecordBatch::try_from_iter([("number", numbers), ("noise", noise)]).unwrap()
}

fn number(batch: &RecordBatch) -> i64 {
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

async fn numbers(rows: BatchStream) -> Vec<i64> {
    rows.map_ok(|batch| number(&batch)).try_collect().await.unwrap()
}

fn buffer(limit_bytes: u64, replay: Replay, splits: u32) -> (TempDir, Arc<Buffer>) {
    let folder = tempfile::tempdir().unwrap();
    let buffer = Buffer::new(folder.path(), limit_bytes, replay);
    buffer.begin(0..splits);
    (folder, Arc::new(buffer))
}

/// Reads splits with three batches each, numbered by split, until there are no more.
async fn fill(buffer: Arc<Buffer>) -> Vec<u32> {
    let (mut filler, mut read) = (buffer.filler(), Vec::new());
    while let Some(split) = filler.next().await {
        read.push(split);
        let mut whole = true;
        for number in 0..3 {
            whole = filler.put(&batch(i64::from(split) * 10 + number)).await.unwrap();
            if !whole {
                break;
            }
        }
        if whole {
            filler.end(Ok(()));
        }
    }
    read
}

/// Whether `work` is still waiting when all else has come to rest.
async fn waits(work: &mut (impl Future + Unpin)) -> bool {
    tokio::time::timeout(Duration::from_millis(100), work).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_let_go_before_any_row_is_taken() {
    let (folder, buffer) = buffer(LIMIT, Replay::Always, 4);
    let filling = tokio::spawn(fill(Arc::clone(&buffer)));
    buffer.read_out().await;
    assert_eq!(filling.await.unwrap(), [0, 1, 2, 3]);
    assert!(buffer.is_released());
    assert!(buffer.peak_bytes() >= 12 * BATCH_BYTES);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the files have no names");
    for split in [2, 0, 1, 3] {
        let first = i64::from(split) * 10;
        assert_eq!(numbers(buffer.rows(split)).await, [first, first + 1, first + 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_attempt_finds_the_rows_again_until_the_receipt() {
    let (_folder, buffer) = buffer(LIMIT, Replay::Always, 2);
    let filling = tokio::spawn(fill(Arc::clone(&buffer)));
    buffer.read_out().await;
    filling.await.unwrap();
    assert_eq!(numbers(buffer.rows(0)).await, [0, 1, 2]);
    buffer.rewind(&[0]).unwrap();
    assert_eq!(numbers(buffer.rows(0)).await, [0, 1, 2]);
    let used = buffer.room.used();
    buffer.settled(&[0, 1]);
    assert!(used >= 6 * BATCH_BYTES && buffer.room.used() == 0, "{used} bytes before, {} after", buffer.room.used());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_rows_go_from_hand_to_hand_and_the_source_is_kept_for_their_task() {
    let limit = 4 * BATCH_BYTES;
    let (_folder, buffer) = buffer(limit, Replay::Always, 4);
    let filling = tokio::spawn(fill(Arc::clone(&buffer)));
    let mut read_out = Box::pin(buffer.read_out());
    assert!(waits(&mut read_out).await, "not all of it has room");
    assert_eq!(numbers(buffer.rows(0)).await, [0, 1, 2]);
    assert_eq!(numbers(buffer.rows(1)).await, [10, 11, 12]);
    assert_eq!(numbers(buffer.rows(2)).await, [20, 21, 22]);
    assert_eq!(numbers(buffer.rows(3)).await, [30, 31, 32]);
    assert!(waits(&mut read_out).await, "another attempt would have to ask the source again");
    // Read again and handed over once more.
    buffer.rewind(&[2]).unwrap();
    assert_eq!(numbers(buffer.rows(2)).await, [20, 21, 22]);
    buffer.settled(&[1, 2, 3]);
    read_out.await;
    assert_eq!(filling.await.unwrap(), [0, 1, 2, 3, 2]);
    assert!(buffer.peak_bytes() <= limit, "{} bytes", buffer.peak_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_on_its_way_stays_there_when_there_is_room_again() {
    // Room for one batch.
    let (_folder, buffer) = buffer(2 * BATCH_BYTES, Replay::Always, 2);
    let mut first = buffer.filler();
    assert_eq!(first.next().await, Some(0));
    assert!(first.put(&batch(0)).await.unwrap());
    first.end(Ok(()));
    drop(first);
    let mut filler = buffer.filler();
    assert_eq!(filler.next().await, Some(1));
    let rows = buffer.rows(1);
    assert!(filler.put(&batch(10)).await.unwrap());
    buffer.settled(&[0]);
    assert!(filler.put(&batch(11)).await.unwrap());
    filler.end(Ok(()));
    assert_eq!(numbers(rows).await, [10, 11]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_task_makes_room_of_what_it_has_taken() {
    let limit = 4 * BATCH_BYTES;
    let (_folder, mut buffer) = buffer(limit, Replay::WhileRoom, 6);
    Arc::get_mut(&mut buffer).unwrap().segment_bytes = BATCH_BYTES;
    let filling = tokio::spawn(fill(Arc::clone(&buffer)));
    for split in 0..5 {
        let first = i64::from(split) * 10;
        assert_eq!(numbers(buffer.rows(split)).await, [first, first + 1, first + 2]);
    }
    // The last one has room, since all before it was taken.
    buffer.read_out().await;
    assert_eq!(filling.await.unwrap(), [0, 1, 2, 3, 4, 5]);
    assert!(buffer.peak_bytes() <= limit, "{} bytes", buffer.peak_bytes());
    let error = buffer.rewind(&[0, 1, 2, 3, 4, 5]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resource);
    assert_eq!(numbers(buffer.rows(5)).await, [50, 51, 52]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_without_room_gives_way_to_what_must_be_read_again() {
    let (_folder, buffer) = buffer(4 * BATCH_BYTES, Replay::Always, 3);
    let filling = tokio::spawn(fill(Arc::clone(&buffer)));
    // The second split goes from hand to hand, and the only reader waits with the third.
    assert_eq!(numbers(buffer.rows(0)).await, [0, 1, 2]);
    assert_eq!(numbers(buffer.rows(1)).await, [10, 11, 12]);
    while !buffer.state.lock().unread.is_empty() {
        tokio::task::yield_now().await;
    }
    buffer.rewind(&[1]).unwrap();
    assert_eq!(numbers(buffer.rows(1)).await, [10, 11, 12]);
    buffer.settled(&[0, 1]);
    assert_eq!(numbers(buffer.rows(2)).await, [20, 21, 22]);
    buffer.settled(&[2]);
    buffer.read_out().await;
    assert_eq!(filling.await.unwrap(), [0, 1, 2, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_source_is_told_once_to_the_task_that_wants_it() {
    let (_folder, buffer) = buffer(LIMIT, Replay::WhileRoom, 1);
    let mut filler = buffer.filler();
    assert_eq!(filler.next().await, Some(0));
    assert!(filler.put(&batch(0)).await.unwrap());
    filler.end(Err(Error::new(ErrorKind::Connection, "cut")));
    let error = buffer.rows(0).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Connection, "cut"));
    buffer.rewind(&[0]).unwrap();
    let filling = tokio::spawn(fill(Arc::clone(&buffer)));
    assert_eq!(numbers(buffer.rows(0)).await, [0, 1, 2]);
    buffer.read_out().await;
    assert_eq!(filling.await.unwrap(), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_be_written_is_an_error_with_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    assert_eq!(Buffer::probe(&gone).unwrap_err().kind(), ErrorKind::NotFound);
    let buffer = Arc::new(Buffer::new(&gone, LIMIT, Replay::Always));
    buffer.begin([0]);
    let mut filler = buffer.filler();
    filler.next().await;
    let error = filler.put(&batch(0)).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("buffer {}", gone.display())), "{error}");
}
