//! An answer in Arrow's stream, as batches.
//!
//! An error in the middle of an answer comes in its body, behind a status that was good: as text, in newer versions between two
//! lines `__exception__`. Whatever ends without Arrow's mark of the end is an error, never a shorter table.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use bytes::Bytes;

use super::connect::{Reply, Server};
use super::errors;
use crate::error::{Error, ErrorKind, Result};

/// The mark of the end: no more messages.
const END: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
/// Bytes of the end of a body that are kept, in which an exception is looked for.
const TAIL_BYTES: usize = 16 << 10;
/// Bytes that are decoded at once, about.
const PIECE_BYTES: usize = 1 << 20;

/// An answer that is still coming.
pub(super) struct Answer {
    server: Arc<Server>,
    reply: Reply,
    tail: Vec<u8>,
}

/// Some of its bytes.
pub(super) enum Pieces {
    /// More may come.
    Some(Vec<Bytes>),
    /// These are the last, and they end as they should.
    Last(Vec<Bytes>),
}

impl Answer {
    pub(super) fn new(server: Arc<Server>, reply: Reply) -> Self {
        Self { server, reply, tail: Vec::new() }
    }

    /// The next megabyte or so.
    ///
    /// # Errors
    /// What the server says in the middle, and [`Corrupt`](ErrorKind::Corrupt) where the end is missing.
    pub(super) async fn pieces(&mut self) -> Result<Pieces> {
        let limit = self.server.config().timeout;
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        while bytes < PIECE_BYTES {
            match self.reply.piece(&self.server, limit).await {
                Ok(Some(piece)) => {
                    self.remember(&piece);
                    bytes += piece.len();
                    pieces.push(piece);
                }
                Ok(None) if self.tail.ends_with(&END) => return Ok(Pieces::Last(pieces)),
                Ok(None) => {
                    let message = "the answer of ClickHouse ends before its end: rows are missing";
                    return Err(self.exception().unwrap_or_else(|| Error::new(ErrorKind::Connection, message)));
                }
                // The server breaks off behind its exception.
                Err(error) => return Err(self.exception().unwrap_or(error)),
            }
        }
        Ok(Pieces::Some(pieces))
    }

    /// The exception in which the bytes so far end.
    pub(super) fn exception(&self) -> Option<Error> {
        let text = String::from_utf8_lossy(&self.tail);
        let text = text.rfind("Code: ").map(|start| &text[start..])?;
        errors::is_exception(text).then(|| errors::of_text(text))
    }

    fn remember(&mut self, piece: &[u8]) {
        let new = &piece[piece.len().saturating_sub(TAIL_BYTES)..];
        let room = TAIL_BYTES - new.len();
        let surplus = self.tail.len().saturating_sub(room);
        self.tail.drain(..surplus);
        self.tail.extend_from_slice(new);
    }
}

/// Makes batches of the bytes of an answer.
#[derive(Debug, Default)]
pub(super) struct Decoding(StreamDecoder);

impl Decoding {
    /// Hands over the batches that `pieces` complete.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) for what is no stream of Arrow, and what `take` gives.
    pub(super) fn feed(&mut self, pieces: Vec<Bytes>, mut take: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        for piece in pieces {
            let mut buffer = Buffer::from(piece);
            while !buffer.is_empty() {
                if let Some(batch) = self.0.decode(&mut buffer).map_err(damaged)? {
                    take(batch)?;
                }
            }
        }
        Ok(())
    }

    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) in the middle of a message.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.0.finish().map_err(damaged)
    }
}

fn damaged(source: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::Corrupt, "the answer of ClickHouse is no stream of Arrow").with_source(source)
}
