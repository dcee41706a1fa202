//! One attempt of one task: a transaction with one COPY after another into the target or its stage.
//!
//! A COPY is ended and begun anew every so many bytes, because the driver hears of a refused row only at its end; not
//! where the target would notice, because it checks or fires something at the end of each statement.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::SinkExt as _;
use serde_json::Value as Json;
use tokio_postgres::CopyInSink;

use super::super::agree::{CopyLength, Detail};
use super::super::connect::Connection;
use super::super::encode::{Encoder, Format};
use super::super::errors;
use super::super::name::{Name, literal};
use super::super::patience::{self, affected};
use super::super::publish::{self, check_rows};
use super::super::stage::Stage;
use super::Shared;
use crate::attempt::{Attempt, Token};
use crate::bridge::cpu;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::sink::{Receipt, Writer};

/// Bytes after which a COPY is ended, so that a refused row is heard of.
const COPY_BYTES: u64 = 64 << 20;

/// How long an earlier attempt at the same splits is waited for before it is ended.
const ELDER_TIME: Duration = Duration::from_secs(3);

/// Encoded bytes that may wait while the next batch is encoded; more are sent before.
const OVERLAP_BYTES: usize = 4 << 20;

/// The bulk path into one table.
pub(super) struct CopyWriter {
    shared: Arc<Shared>,
    detail: Detail,
    attempt: Attempt,
    encoder: Arc<Encoder>,
    /// `COPY t (…) FROM STDIN …`
    statement: String,
    /// None once it is flushed or has failed.
    connection: Option<Connection>,
    /// Rows of an earlier attempt at the same splits, where they stand: then those that come here are dropped.
    standing: Option<u64>,
    copy: Option<Pin<Box<CopyInSink<Bytes>>>>,
    /// Encoded, and sent while the next batch is encoded.
    waiting: Vec<Bytes>,
    rows: u64,
    bytes: u64,
    /// Rows and bytes that earlier COPYs of this transaction took.
    ended_rows: u64,
    ended_bytes: u64,
}

impl CopyWriter {
    /// Opens the transaction and its first COPY.
    pub(super) async fn open(shared: Arc<Shared>, detail: Detail, attempt: &Attempt) -> Result<Self> {
        let connection = shared.connections.take().await?;
        if detail.path.held() {
            replace_elders(&shared, &detail, attempt).await?;
        }
        let into = into(&detail, attempt);
        let columns = if detail.columns.is_empty() { String::new() } else { format!(" ({})", detail.column_list()) };
        let format = match detail.format {
            Format::Binary => "FORMAT binary",
            Format::Text => "FORMAT text, ENCODING 'UTF8'",
        };
        let mut writer = Self {
            encoder: Arc::new(Encoder::new(detail.format, detail.columns.clone())),
            statement: format!("COPY {}{columns} FROM STDIN ({format})", into.quoted()),
            shared,
            attempt: attempt.clone(),
            connection: None,
            standing: None,
            copy: None,
            waiting: Vec::new(),
            rows: 0,
            bytes: 0,
            ended_rows: 0,
            ended_bytes: 0,
            detail,
        };
        writer.standing = writer.begin(&connection).await?;
        writer.connection = Some(connection);
        if writer.standing.is_none() {
            writer.begin_copy().await?;
        }
        Ok(writer)
    }

    /// Opens the transaction. The first statement of one into a stage notes the splits, so that of two attempts at the same
    /// one, whatever they know of each other, one alone can write. Gives the rows that stand from an earlier attempt.
    async fn begin(&self, connection: &Connection) -> Result<Option<u64>> {
        let begin = super::begin(connection, &self.detail, &self.attempt);
        if self.detail.path.held() {
            return super::open(connection, &self.detail, &begin).await.map(|()| None);
        }
        let done = Stage::of(&self.detail.target, &self.attempt.token).done.quoted();
        let keys = self.keys();
        let attempt = literal(&self.attempt.id);
        let values: Vec<String> = keys.iter().map(|key| format!("({key}, {attempt}, 0)")).collect();
        let values = values.join(", ");
        let insert =
            format!("{begin}; INSERT INTO {done} (part, attempt, rows) VALUES {values} ON CONFLICT DO NOTHING");
        let fresh = self.noted(connection, &insert).await?;
        if fresh == keys.len() as u64 {
            return Ok(None);
        }
        let sql = format!("ROLLBACK; SELECT sum(rows) FROM {done} WHERE part IN ({})", keys.join(", "));
        let rows = connection.rows(&sql).await?;
        match rows.first().and_then(|row| row.get(0)?.parse().ok()) {
            Some(rows) if fresh == 0 => Ok(Some(rows)),
            _ => Err(Error::new(ErrorKind::Internal, "another task wrote a part of these splits before")),
        }
    }

    /// The keys of the progress rows, as literals.
    fn keys(&self) -> Vec<String> {
        publish::parts(&self.attempt.splits, self.attempt.task).iter().map(|part| literal(part)).collect()
    }

    async fn begin_copy(&mut self) -> Result<()> {
        let connection = self.connection.as_ref().ok_or_else(ended)?;
        let copy = connection.copy_in(self.statement.as_str()).await.map_err(errors::error)?;
        let mut copy = Box::pin(copy);
        let header = Encoder::header(self.detail.format);
        if !header.is_empty() {
            copy.feed(Bytes::from_static(header)).await.map_err(errors::error)?;
        }
        self.copy = Some(copy);
        Ok(())
    }

    /// Ends the COPY; here the server tells of a refused row.
    async fn end_copy(&mut self) -> Result<()> {
        let mut copy = self.copy.take().ok_or_else(ended)?;
        let trailer = Encoder::trailer(self.detail.format);
        if !trailer.is_empty() {
            // A failure shows again, with its reason, when the COPY is finished.
            let _ = copy.feed(Bytes::from_static(trailer)).await;
        }
        let before = self.ended_rows;
        let taken = copy.as_mut().finish().await.map_err(|source| errors::copy_error(source, before))?;
        check_rows(taken, self.rows - self.ended_rows)?;
        self.ended_rows = self.rows;
        self.ended_bytes = self.bytes;
        Ok(())
    }

    /// Ends and begins the COPY when it is time.
    async fn renew_copy(&mut self) -> Result<()> {
        if self.detail.length == CopyLength::Whole || self.bytes - self.ended_bytes < COPY_BYTES {
            return Ok(());
        }
        self.end_copy().await?;
        self.begin_copy().await
    }

    /// Sends `blocks` within the COPY.
    async fn send(&mut self, blocks: Vec<Bytes>) -> Result<()> {
        for block in blocks {
            self.bytes += block.len() as u64;
            let copy = self.copy.as_mut().ok_or_else(ended)?;
            if copy.feed(block).await.is_err() {
                // The reason comes with the end of the COPY.
                self.end_copy().await?;
                return Err(Error::new(ErrorKind::Connection, "the connection to the server broke"));
            }
        }
        Ok(())
    }

    async fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let encoder = Arc::clone(&self.encoder);
        let (before, rows) = (self.rows, batch.num_rows() as u64);
        let waiting = std::mem::take(&mut self.waiting);
        let encode = cpu::run(move || encoder.encode(&batch, before));
        let (sent, ready) = futures::join!(self.send(waiting), encode);
        sent?;
        self.renew_copy().await?;
        let blocks = ready??;
        self.rows += rows;
        if blocks.iter().map(Bytes::len).sum::<usize>() <= OVERLAP_BYTES {
            self.waiting = blocks;
            return Ok(());
        }
        self.send(blocks).await
    }

    async fn take_raw(&mut self, bytes: Bytes, rows: u64) -> Result<()> {
        self.rows += rows;
        self.send(vec![bytes]).await?;
        self.renew_copy().await
    }

    async fn finish(&mut self) -> Result<Receipt> {
        if let Some(rows) = self.standing {
            self.shared.connections.put_back(self.connection.take().ok_or_else(ended)?);
            return Ok(Receipt::of(&self.attempt, rows, 0, Json::Null));
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.send(waiting).await?;
        self.end_copy().await?;
        let connection = self.connection.take().ok_or_else(ended)?;
        if self.detail.path.held() {
            self.shared.registry.close(&self.attempt);
            self.shared.registry.hold(&self.attempt, connection);
        } else {
            self.settle(&connection).await?;
            self.shared.connections.put_back(connection);
        }
        Ok(Receipt::of(&self.attempt, self.rows, self.bytes, Json::Null))
    }

    /// Fills the progress rows in and ends the transaction.
    async fn settle(&self, connection: &Connection) -> Result<()> {
        let done = Stage::of(&self.detail.target, &self.attempt.token).done.quoted();
        let key = self.keys().swap_remove(0);
        patience::run(connection, &format!("UPDATE {done} SET rows = {} WHERE part = {key}; COMMIT", self.rows)).await
    }

    /// Runs statements that end with the INSERT of the progress rows. It waits for an earlier attempt at the same splits that has not ended: one
    /// whose connection is lost, without the server knowing it, is ended by its name.
    async fn noted(&self, connection: &Connection, insert: &str) -> Result<u64> {
        let stage = Stage::of(&self.detail.target, &self.attempt.token);
        let mut noted = pin!(affected(connection, insert));
        loop {
            if let Ok(fresh) = tokio::time::timeout(ELDER_TIME, &mut noted).await {
                return fresh;
            }
            let elders = stage.dismissal_of_elders(&stage.writer_of(&self.attempt));
            // It is asked again; the INSERT may get through without.
            let _ = self.shared.connections.run(&elders).await;
        }
    }

    /// Notes a failure: the transaction is of no more use.
    fn settled<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.copy = None;
            self.connection = None;
            self.waiting = Vec::new();
        }
        result.at("table", || self.detail.target.quoted())
    }
}

#[async_trait]
impl Writer for CopyWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if self.standing.is_some() {
            return Ok(());
        }
        let result = self.take(batch).await;
        self.settled(result)
    }

    async fn write_raw(&mut self, bytes: Bytes, rows: u64) -> Result<()> {
        if self.standing.is_some() {
            return Ok(());
        }
        let result = self.take_raw(bytes, rows).await;
        self.settled(result)
    }

    async fn flush(&mut self, _token: &Token) -> Result<Receipt> {
        let result = self.finish().await;
        self.settled(result)
    }
}

/// The table that the rows of `attempt` go into.
fn into(detail: &Detail, attempt: &Attempt) -> Name {
    if detail.path == super::Path::NewHeld {
        return Stage::own(&detail.target, &attempt.id);
    }
    if detail.path.stages() { Stage::of(&detail.target, &attempt.token).table } else { detail.target.clone() }
}

/// Rolls back earlier attempts of the same task, and ends those that failed without the server hearing of it: their locks
/// and unique keys would make this one wait for ever.
async fn replace_elders(shared: &Shared, detail: &Detail, attempt: &Attempt) -> Result<()> {
    let writer = Stage::of(&detail.target, &attempt.token).writer_of(attempt);
    let elder = shared.registry.open(attempt, writer);
    for connection in elder.held {
        // A connection that is broken has rolled back by itself.
        let _ = connection.run("ROLLBACK").await;
    }
    for writer in elder.writers {
        shared.connections.run(&Stage::dismissal_of(&writer)).await?;
    }
    Ok(())
}

fn ended() -> Error {
    Error::new(ErrorKind::Internal, "this writer has been flushed or has failed")
}
