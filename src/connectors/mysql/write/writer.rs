//! The rows of one attempt: encoded on the processor pool, loaded in pieces, of which one is under way while the next is made.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value as Json;
use tokio::task::JoinHandle;

use super::super::agree::{Detail, Emptying, Path, refuse_rows};
use super::super::connect::Connection;
use super::super::encode::{LeftOut, Rows, Sparing, encode, encode_sparing};
use super::super::put::{self, Put};
use super::super::stage::{self, Stage};
use super::Shared;
use crate::attempt::{Attempt, Token};
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::{Refusal, Refusals, Settled};
use crate::sink::{Receipt, Writer};
use crate::sql::tasks::refuse_untold;

/// Bytes that one statement loads, about: they are kept until the server has taken them, to find rows that it refuses.
const LOAD_BYTES: usize = 16 << 20;

/// The rows of one attempt.
#[derive(Debug)]
pub(super) struct LoadWriter {
    shared: Arc<Shared>,
    detail: Arc<Detail>,
    stage: Stage,
    attempt: Attempt,
    /// Rows of an earlier attempt at the same splits, where they stand: then those that come here are dropped.
    standing: Option<u64>,
    put: Put,
    work: Work,
    /// Rows that wait to be loaded, each piece with the place of its first row in the attempt.
    waiting: Vec<(u64, Rows)>,
    waiting_bytes: usize,
    /// Rows among them that are refused already.
    waiting_refused: Vec<Refusal>,
    /// Rows that were written before those that wait.
    loaded: u64,
    /// Rows that were written, those that the server has decided on, and those of them that it took.
    written: u64,
    settled: u64,
    taken: u64,
    bytes: u64,
    refused: Vec<Refusal>,
}

/// What a piece that is loaded gives.
type Loaded = (Connection, Result<Vec<Refusal>>);

/// Who has the connection.
#[derive(Debug)]
enum Work {
    Idle(Box<Connection>),
    /// A piece of so many rows is loaded.
    Loading(JoinHandle<Loaded>, u64),
    /// A load failed, or all is flushed.
    Over,
}

impl Drop for LoadWriter {
    fn drop(&mut self) {
        // Its connection goes with it, and with that the transaction.
        if let Work::Loading(task, _) = &self.work {
            task.abort();
        }
    }
}

impl LoadWriter {
    /// Begins the transaction of `attempt`.
    pub(super) async fn open(shared: Arc<Shared>, detail: Detail, attempt: &Attempt) -> Result<Self> {
        let stage = Stage::of(&detail.target, &attempt.token);
        let mut connection = shared.connections.take().await?;
        let into = match detail.path {
            Path::Held(_) | Path::PerTask => &detail.target,
            _ => &stage.table,
        };
        let put = Put::new(&detail, &into.quoted());
        let standing = if let Path::Held(emptying) = detail.path {
            begin_held(&mut connection, &shared, (&detail, emptying), &attempt.token).await?;
            None
        } else {
            stage.begin(&mut connection, attempt).await?
        };
        Ok(Self {
            shared,
            detail: Arc::new(detail),
            stage,
            attempt: attempt.clone(),
            standing,
            put,
            work: Work::Idle(Box::new(connection)),
            waiting: Vec::new(),
            waiting_bytes: 0,
            waiting_refused: Vec::new(),
            loaded: 0,
            written: 0,
            settled: 0,
            taken: 0,
            bytes: 0,
            refused: Vec::new(),
        })
    }

    /// Waits for the piece that is under way, and gives the connection.
    async fn idle(&mut self) -> Result<Connection> {
        match std::mem::replace(&mut self.work, Work::Over) {
            Work::Idle(connection) => Ok(*connection),
            Work::Loading(task, rows) => {
                let (connection, loaded) = task.await.map_err(|source| {
                    Error::new(ErrorKind::Internal, "a load ended in an unforeseen way").with_source(source)
                })?;
                let refused = loaded?;
                self.settled += rows;
                self.taken += rows - refused.len() as u64;
                self.refused.extend(refused);
                Ok(connection)
            }
            Work::Over => Err(Error::new(ErrorKind::Internal, "this writer takes no more rows")),
        }
    }

    /// Begins to load what waits.
    async fn load(&mut self) -> Result<()> {
        let mut connection = self.idle().await?;
        let pieces = std::mem::take(&mut self.waiting);
        let mut refused = std::mem::take(&mut self.waiting_refused);
        self.waiting_bytes = 0;
        let count = self.written - self.loaded;
        if count == 0 {
            self.work = Work::Idle(Box::new(connection));
            return Ok(());
        }
        let (put, refusals, before) = (self.put.clone(), self.detail.refusals, self.loaded);
        self.loaded = self.written;
        let task = tokio::spawn(async move {
            let (places, rows) = together(pieces);
            let loaded = match refusals {
                Refusals::Fail => put.all(&mut connection, &rows, before).await.map(|()| refused),
                Refusals::LeftOut => put.sparing(&mut connection, &rows).await.map(|by_server| {
                    let of_attempt = |row: put::Refused| Refusal { row: place(&places, row.row), error: row.error };
                    refused.extend(by_server.into_iter().map(of_attempt));
                    refused.sort_by_key(|refusal| refusal.row);
                    refused
                }),
            };
            (connection, loaded)
        });
        self.work = Work::Loading(task, count);
        Ok(())
    }

    /// Ends the transaction so that its rows are kept. Where the answer is lost, the stage tells.
    async fn commit(&self, mut connection: Connection) -> Result<()> {
        connection.run(&self.stage.note(&self.attempt, self.taken)).await?;
        match connection.run("COMMIT").await {
            Ok(()) => {
                // Without that the next task has a connection of its own.
                if Stage::end(&mut connection, &self.attempt).await.is_ok() {
                    self.shared.connections.put_back(connection);
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Connection => {
                drop(connection);
                let mut other = self.shared.connections.take().await?;
                let is_there = self.stage.has(&mut other, &self.attempt.id).await?;
                self.shared.connections.put_back(other);
                if is_there { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }
}

/// The rows of several pieces as one, and for each piece how many rows come before it here, and in the attempt.
fn together(mut pieces: Vec<(u64, Rows)>) -> (Vec<(usize, u64)>, Rows) {
    if pieces.len() == 1 {
        let (first, rows) = pieces.swap_remove(0);
        return (vec![(0, first)], rows);
    }
    let mut bytes = Vec::with_capacity(pieces.iter().map(|(_, rows)| rows.bytes.len()).sum());
    let mut ends = Vec::with_capacity(pieces.iter().map(|(_, rows)| rows.count()).sum());
    let mut places = Vec::with_capacity(pieces.len());
    for (first, rows) in pieces {
        places.push((ends.len(), first));
        ends.extend(rows.ends.iter().map(|end| bytes.len() + end));
        bytes.extend_from_slice(&rows.bytes);
    }
    (places, Rows { bytes: Bytes::from(bytes), ends })
}

/// The place in the attempt of the row `row` of those that were put together.
fn place(places: &[(usize, u64)], row: usize) -> u64 {
    let piece = places.partition_point(|(before, _)| *before <= row).saturating_sub(1);
    places.get(piece).map_or(0, |(before, first)| first + (row - before) as u64)
}

/// Begins a transaction on the target itself. An earlier attempt of the same run is ended: its rows would stand in the way.
async fn begin_held(
    connection: &mut Connection,
    shared: &Shared,
    (detail, emptying): (&Detail, Emptying),
    token: &Token,
) -> Result<()> {
    let elder = shared.state.lock().elders.insert(token.clone(), connection.id());
    if let Some(elder) = elder {
        // It may have ended by itself.
        let _ = connection.run(&format!("KILL {elder}")).await;
    }
    stage::hold_job(connection, detail).await?;
    connection.run("START TRANSACTION").await?;
    if detail.must_be_empty {
        refuse_rows(connection, &detail.target).await?;
    }
    match emptying {
        Emptying::Keep => Ok(()),
        Emptying::Delete => connection.run(&format!("DELETE FROM {}", detail.target.quoted())).await,
    }
}

#[async_trait]
impl Writer for LoadWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let (detail, style, before) = (Arc::clone(&self.detail), self.put.style(), self.written);
        let count = batch.num_rows() as u64;
        if self.standing.is_some() {
            self.written += count;
            return Ok(());
        }
        let Sparing { written, left } = cpu::run(move || match encode(&batch, &detail.columns, style, before) {
            Ok(rows) => Ok(Sparing { written: vec![(0, rows)], left: Vec::new() }),
            Err(error) if detail.refusals == Refusals::LeftOut && error.kind() == ErrorKind::Value => {
                encode_sparing(&batch, &detail.columns, style)
            }
            Err(error) => Err(error),
        })
        .await??;
        let of_attempt = |left: LeftOut| Refusal { row: before + left.row as u64, error: left.error };
        self.waiting_refused.extend(left.into_iter().map(of_attempt));
        self.written += count;
        for (from, rows) in written {
            self.bytes += rows.bytes.len() as u64;
            self.waiting_bytes += rows.bytes.len();
            self.waiting.push((before + from as u64, rows));
        }
        if self.waiting_bytes >= LOAD_BYTES {
            self.load().await?;
        }
        Ok(())
    }

    fn settled(&mut self) -> Settled {
        if self.standing.is_some() {
            return Settled { rows: self.written, refused: Vec::new() };
        }
        Settled { rows: self.settled, refused: std::mem::take(&mut self.refused) }
    }

    async fn flush(&mut self, _token: &Token) -> Result<Receipt> {
        if let Some(rows) = self.standing {
            refuse_untold(self.detail.refusals, (rows, self.written))?;
            let connection = self.idle().await?;
            self.shared.connections.put_back(connection);
            return Ok(Receipt::of(&self.attempt, rows, 0, Json::Null));
        }
        self.load().await?;
        let connection = self.idle().await?;
        if self.detail.path.held() {
            let held = (self.attempt.token.clone(), self.attempt.id.clone(), connection);
            self.shared.state.lock().held.push(held);
        } else {
            self.commit(connection).await?;
        }
        Ok(Receipt::of(&self.attempt, self.taken, self.bytes, Json::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_know_their_place_when_pieces_are_put_together() {
        let rows = |texts: &[&str]| {
            let ends = texts.iter().scan(0, |end, text| {
                *end += text.len();
                Some(*end)
            });
            Rows { bytes: Bytes::from(texts.concat()), ends: ends.collect() }
        };
        // Row 2 and rows 5 to 6 of the attempt were left out.
        let (places, all) = together(vec![(0, rows(&["a", "bb"])), (3, rows(&["c", "d"])), (7, rows(&["e"]))]);
        assert_eq!((all.bytes.as_ref(), all.ends.as_slice()), (b"abbcde".as_slice(), [1, 3, 4, 5, 6].as_slice()));
        assert_eq!((0..5).map(|row| place(&places, row)).collect::<Vec<_>>(), [0, 1, 3, 4, 7]);
        let (places, _) = together(vec![(4, rows(&["a", "b"]))]);
        assert_eq!(place(&places, 1), 5);
    }
}
