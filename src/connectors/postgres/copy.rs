//! The receiving side of `COPY … TO STDOUT (FORMAT binary)`: tuples gathered into chunks, and the connection left clean.
//!
//! PostgreSQL sends one message per tuple, the header before the first and a trailer at the end. Messages are copied
//! into one buffer at once, which gives the driver's own buffer back; only a tuple as large as a chunk stays as it is.
//! Whoever is done with a chunk gives its buffer back to the session, where the next chunk finds it.

use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::try_join;
use futures::{Stream, StreamExt as _, stream};
use tokio_postgres::CopyOutStream;

use super::decode::Chunk;
use super::errors;
use super::session::{Core, Lane};
use crate::bridge::farewell;
use crate::error::{Error, ErrorKind, Result};

/// Signature, flags and extension length of a binary COPY.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// What stands where the next tuple's number of fields would.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Reads on the leader stand behind this savepoint, so that none of them can end its transaction.
const SAVEPOINT: &str = "etl_read";

type MessageResult = std::result::Result<Bytes, tokio_postgres::Error>;

/// When a chunk is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// Starts `sql` on `lane`. Dropping the stream ends the COPY, and with it a worker's connection.
pub(super) async fn chunks(
    core: Arc<Core>,
    lane: Lane,
    sql: &str,
    limits: Limits,
) -> Result<impl Stream<Item = Result<Chunk>> + Send + use<>> {
    let mut guard = Guard { core, lane: Some(lane) };
    let stream = match guard.start(sql).await {
        Ok(stream) => stream,
        Err(error) => {
            guard.recover().await;
            return Err(error);
        }
    };
    let copy =
        Copy { stream: Box::pin(stream), guard, limits, expected: 0, next: None, first_row: 0, state: State::Header };
    Ok(stream::try_unfold(copy, |mut copy| async move { Ok(copy.chunk().await?.map(|chunk| (chunk, copy))) }))
}

/// Holds the lane of a running COPY. Dropped in the middle, it cancels the COPY on the leader and lets a worker go.
struct Guard {
    core: Arc<Core>,
    lane: Option<Lane>,
}

impl Guard {
    async fn start(&self, sql: &str) -> Result<CopyOutStream> {
        let lane = self.lane.as_ref().expect("a lane is there until the COPY ends");
        let copy = async { lane.connection().copy_out(sql).await.map_err(errors::error) };
        if !matches!(lane, Lane::Leader(..)) {
            return copy.await;
        }
        // Sent together: behind a savepoint that fails a COPY does, too.
        let savepoint = format!("SAVEPOINT {SAVEPOINT}");
        Ok(try_join(lane.connection().run(&savepoint), copy).await?.1)
    }

    /// The next message. One as large as a batch holds the connection back until the one behind it is asked for.
    async fn next(&self, stream: &mut Pin<Box<CopyOutStream>>, large_bytes: usize) -> Option<MessageResult> {
        let gate = self.lane.as_ref().expect("a lane is there until the COPY ends").connection().gate();
        gate.release();
        let message = stream.next().await;
        if matches!(&message, Some(Ok(message)) if message.len() >= large_bytes) {
            gate.hold();
        }
        message
    }

    /// After an orderly end.
    async fn finish(&mut self) -> Result<()> {
        let Some(lane) = self.lane.take() else { return Ok(()) };
        if let Lane::Leader(connection, _) = &lane {
            connection.run(&format!("RELEASE SAVEPOINT {SAVEPOINT}")).await?;
        }
        self.core.put_back(lane);
        Ok(())
    }

    /// After an error of the server: the leader's transaction lives on, a worker's does not.
    async fn recover(&mut self) {
        if let Some(Lane::Leader(connection, turn)) = self.lane.take() {
            // If this fails too, the next check of the session says so.
            let _ = connection.run(&back()).await;
            drop(turn);
        }
    }
}

fn back() -> String {
    format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}; RELEASE SAVEPOINT {SAVEPOINT}")
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(lane) = self.lane.take() else { return };
        lane.connection().gate().release();
        farewell::say(async move {
            // Without it the server may work on for long before it sees that nobody listens.
            lane.connection().canceller().cancel().await;
            if let Lane::Leader(connection, _) = &lane {
                // The request may arrive only now, and hit the rollback instead of the COPY: once more then.
                if connection.run(&back()).await.is_err() {
                    let _ = connection.run(&back()).await;
                }
            }
        });
    }
}

struct Copy {
    stream: Pin<Box<CopyOutStream>>,
    guard: Guard,
    limits: Limits,
    /// Bytes of the chunk before, and some more: room that is there from the start is not grown into by copying.
    expected: usize,
    /// A tuple too large to be copied, which is a chunk of its own.
    next: Option<Bytes>,
    first_row: u64,
    state: State,
}

/// How far a COPY has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

impl Copy {
    async fn chunk(&mut self) -> Result<Option<Chunk>> {
        let (mut rows, mut buffer) = (0, BytesMut::new());
        if let Some(bytes) = self.next.take() {
            return Ok(Some(self.full(bytes, 1)));
        }
        while self.state != State::Ended && rows < self.limits.rows && buffer.len() < self.limits.bytes {
            let message = match self.guard.next(&mut self.stream, self.limits.bytes / 2).await {
                Some(Ok(message)) => self.tuple(message)?,
                Some(Err(error)) => {
                    self.state = State::Ended;
                    self.guard.recover().await;
                    return Err(errors::error(error));
                }
                None => {
                    self.state = State::Ended;
                    self.guard.finish().await?;
                    break;
                }
            };
            let Some(tuple) = message else { continue };
            if tuple.len() < self.limits.bytes / 2 {
                if rows == 0 {
                    buffer = self.guard.core.buffers().take(self.expected);
                }
                buffer.extend_from_slice(&tuple);
            } else if rows == 0 {
                return Ok(Some(self.full(tuple, 1)));
            } else {
                self.next = Some(tuple);
                break;
            }
            rows += 1;
        }
        if rows == 0 {
            return Ok(None);
        }
        let bytes = buffer.freeze();
        self.expected = bytes.len() + bytes.len() / 8;
        Ok(Some(self.full(bytes, rows)))
    }

    fn full(&mut self, bytes: Bytes, rows: usize) -> Chunk {
        let first_row = self.first_row;
        self.first_row += rows as u64;
        Chunk { bytes, rows, first_row }
    }

    /// The tuple in a message, without the header before the first; none for the trailer.
    fn tuple(&mut self, mut message: Bytes) -> Result<Option<Bytes>> {
        if self.state == State::Header {
            message = without_header(&message)
                .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the server's answer to COPY is not in binary format"))?;
            self.state = State::Rows;
        }
        Ok((message[..] != TRAILER && !message.is_empty()).then_some(message))
    }
}

/// What follows the header: signature, 32 bits of flags, an extension with its length.
pub(super) fn without_header(message: &Bytes) -> Option<Bytes> {
    let rest = message.strip_prefix(SIGNATURE)?;
    let extension = u32::from_be_bytes(*rest.get(4..)?.first_chunk()?) as usize;
    let start = SIGNATURE.len() + 8 + extension;
    (start <= message.len()).then(|| message.slice(start..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let with = |extension: &[u8], rest: &[u8]| {
            let length = (extension.len() as u32).to_be_bytes();
            Bytes::from([SIGNATURE, &[0; 4], &length, extension, rest].concat())
        };
        assert_eq!(without_header(&with(b"", b"x")).unwrap(), "x");
        assert_eq!(without_header(&with(b"abc", b"")).unwrap(), "");
        assert_eq!(without_header(&with(b"abc", b"").slice(..20)), None);
        assert_eq!(without_header(&Bytes::from_static(b"1\t2\n")), None);
    }
}
