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
use futures::future::try_join;
use serde_json::Value as Json;
use tokio_postgres::CopyInSink;

use super::super::agree::{CopyLength, Detail, Path};
use super::super::connect::Connection;
use super::super::encode::{Encoder, Format};
use super::super::errors;
use super::super::name::{Name, identifiers, literal};
use super::super::patience::{self, affected};
use super::super::prepared;
use super::super::publish::{self, check_rows};
use super::super::stage::{self, Stage};
use super::Shared;
use super::replay::{self, Replay};
use crate::attempt::{Attempt, Token};
use crate::bridge::cpu;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::reject::{Refusals, Settled};
use crate::sink::{Receipt, Writer};
use crate::sql::tasks;

/// Bytes after which a COPY is ended, so that a refused row is heard of.
const COPY_BYTES: u64 = 64 << 20;

/// How long an earlier attempt at the same splits is waited for before it is ended.
const ELDER_TIME: Duration = Duration::from_secs(3);

/// How long a task may wait for a lock that another task of this very copy may have, which ends after it.
const KEY_LIMIT: &str = "SET LOCAL lock_timeout = '30s'";

/// What is said when it has waited for so long.
const KEY_WAITS: &str = "a row may have a key that a row of another task, or of another session, has: look for keys that come twice, \
                         or leave --publish prepared out";

/// Encoded bytes that may wait while the next batch is encoded; more are sent before.
const OVERLAP_BYTES: usize = 4 << 20;

/// The bulk path into one table.
pub(super) struct CopyWriter {
    shared: Arc<Shared>,
    pub(super) detail: Detail,
    attempt: Attempt,
    pub(super) encoder: Arc<Encoder>,
    /// `COPY t (…) FROM STDIN …`
    pub(super) statement: String,
    /// The part of the source that is written, where the stage notes it with each row.
    pub(super) part: Option<i32>,
    /// What is kept to be sent again, where rows that are refused are left out.
    pub(super) replay: Option<Replay>,
    /// None once it is flushed or has failed.
    connection: Option<Connection>,
    /// Rows of an earlier attempt at the same splits, where they stand: then those that come here are dropped.
    standing: Option<u64>,
    pub(super) copy: Option<Pin<Box<CopyInSink<Bytes>>>>,
    /// Encoded, and sent while the next batch is encoded.
    pub(super) waiting: Vec<Bytes>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
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
        let part = detail.is_placed().then(|| stage::part(&attempt.splits, attempt.task));
        let mut columns = detail.columns.clone();
        columns.extend(part.iter().flat_map(|_| replay::places()));
        let names = identifiers(columns.iter().map(|column| column.name.as_str()));
        let list = if columns.is_empty() { String::new() } else { format!(" ({names})") };
        let format = match detail.format {
            Format::Binary => "FORMAT binary",
            Format::Text => "FORMAT text, ENCODING 'UTF8'",
        };
        let mut writer = Self {
            encoder: Arc::new(Encoder::new(detail.format, columns)),
            statement: format!("COPY {}{list} FROM STDIN ({format})", into.quoted()),
            part,
            replay: (detail.refusals == Refusals::LeftOut).then(Replay::default),
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
        let stage = Stage::of(&self.detail.target, &self.attempt.token);
        if self.detail.path == Path::Prepared
            && let Some(rows) = prepared::standing(connection, &stage, &self.attempt).await?
        {
            return Ok(Some(rows));
        }
        let done = stage.done.quoted();
        let keys = self.keys();
        let attempt = literal(&self.attempt.id);
        let values: Vec<String> = keys.iter().map(|key| format!("({key}, {attempt}, 0)")).collect();
        let values = values.join(", ");
        let insert =
            format!("{begin}; INSERT INTO {done} (part, attempt, rows) VALUES {values} ON CONFLICT DO NOTHING");
        let fresh = self.noted(connection, &insert).await?;
        if fresh == keys.len() as u64 {
            if !self.detail.path.stages() {
                publish::keep_definition(connection, &self.detail).await?;
            }
            if self.detail.path == Path::Prepared {
                connection.run(KEY_LIMIT).await?;
            }
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
        tasks::keys(&self.attempt.splits, self.attempt.task).iter().map(|part| literal(part)).collect()
    }

    pub(super) fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(ended)
    }

    pub(super) async fn begin_copy(&mut self) -> Result<()> {
        let connection = self.connection.as_ref().ok_or_else(ended)?;
        let (savepoint, statement) = (self.replay.as_ref().map(|_| replay::BEFORE_COPY), self.statement.as_str());
        let noted = async {
            match savepoint {
                Some(savepoint) => connection.run(savepoint).await,
                None => Ok(()),
            }
        };
        let copy = async { connection.copy_in(statement).await.map_err(errors::error) };
        // Sent together: behind a savepoint that fails a COPY does, too.
        let ((), copy) = try_join(noted, copy).await?;
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
        self.ended(self.rows).await
    }

    /// Notes that the first `rows` rows are settled, and that no COPY is under way.
    pub(super) async fn ended(&mut self, rows: u64) -> Result<()> {
        self.ended_rows = rows;
        self.ended_bytes = self.bytes;
        if let Some(replay) = &mut self.replay {
            replay.settle(rows);
            self.connection()?.run(replay::AFTER_COPY).await?;
        }
        Ok(())
    }

    /// Sends what waits and ends the COPY.
    pub(super) async fn end_sent(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.send(waiting).await?;
        self.end_copy().await
    }

    /// Ends and begins the COPY when it is time, with what waits.
    async fn renew_copy(&mut self) -> Result<()> {
        let is_due = match &self.replay {
            Some(replay) => replay.is_full(),
            None => self.detail.length == CopyLength::Cut && self.bytes - self.ended_bytes >= COPY_BYTES,
        };
        if !is_due {
            return Ok(());
        }
        self.end().await?;
        self.begin_copy().await
    }

    /// Ends the COPY, after which all rows are taken or refused.
    async fn end(&mut self) -> Result<()> {
        match self.replay {
            Some(_) => self.end_kept().await,
            None => self.end_sent().await,
        }
    }

    /// Sends what waits, in a new COPY when it is time.
    async fn advance(&mut self) -> Result<()> {
        self.renew_copy().await?;
        let waiting = std::mem::take(&mut self.waiting);
        let sent = self.send(waiting).await;
        self.mended(sent).await
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

    /// Takes a batch: it is encoded while those before it are sent.
    async fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let encoder = Arc::clone(&self.encoder);
        let (before, rows) = (self.rows, batch.num_rows() as u64);
        let placed = self.placed(batch.clone(), before)?;
        let encode = cpu::run(move || encoder.encode(&placed, before));
        let (sent, ready) = futures::join!(self.advance(), encode);
        sent?;
        if let Some(replay) = &mut self.replay {
            replay.keep(before, batch);
        }
        self.rows += rows;
        let sent = match ready? {
            Ok(blocks) if blocks.iter().map(Bytes::len).sum::<usize>() <= OVERLAP_BYTES => {
                self.waiting = blocks;
                return Ok(());
            }
            Ok(blocks) => self.send(blocks).await,
            Err(error) => Err(error),
        };
        self.mended(sent).await
    }

    async fn take_raw(&mut self, bytes: Bytes, rows: u64) -> Result<()> {
        self.rows += rows;
        self.send(vec![bytes]).await?;
        self.renew_copy().await
    }

    async fn finish(&mut self) -> Result<Receipt> {
        if let Some(rows) = self.standing {
            tasks::refuse_untold(self.detail.refusals, (rows, self.rows))?;
            self.shared.connections.put_back(self.connection.take().ok_or_else(ended)?);
            return Ok(Receipt::of(&self.attempt, rows, 0, Json::Null));
        }
        self.end().await?;
        let connection = self.connection.take().ok_or_else(ended)?;
        if self.detail.path.held() {
            self.shared.registry.close(&self.attempt);
            self.shared.registry.hold(&self.attempt, connection);
        } else {
            self.settle(&connection).await?;
            self.shared.connections.put_back(connection);
        }
        Ok(Receipt::of(&self.attempt, self.taken(), self.bytes, Json::Null))
    }

    /// Rows that the server has.
    fn taken(&self) -> u64 {
        self.rows - self.replay.as_ref().map_or(0, Replay::count)
    }

    /// Fills the progress rows in and ends the transaction, or lets it wait.
    async fn settle(&self, connection: &Connection) -> Result<()> {
        let stage = Stage::of(&self.detail.target, &self.attempt.token);
        let (done, rows, key) = (stage.done.quoted(), self.taken(), self.keys().swap_remove(0));
        let end = match self.detail.path {
            Path::Prepared => prepared::wait(&stage, &self.attempt, rows)?,
            _ => "COMMIT".to_owned(),
        };
        patience::run(connection, &format!("UPDATE {done} SET rows = {rows} WHERE part = {key}; {end}")).await
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
            if self.detail.path == Path::Prepared {
                let _ = prepared::roll_back_elders(&self.shared.connections, &stage, &self.attempt).await;
            }
        }
    }

    /// Notes a failure: the transaction is of no more use.
    fn done<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.copy = None;
            self.connection = None;
            self.waiting = Vec::new();
        }
        let result = result.map_err(|error| match (self.detail.path, error.kind()) {
            (Path::Prepared, ErrorKind::Timeout) => error.with_hint(KEY_WAITS),
            // Triggers of the target may do what the server lets no prepared transaction do.
            (Path::Prepared, ErrorKind::Unsupported) => error.with_hint("leave --publish prepared out"),
            _ => error,
        });
        result.at("table", || self.detail.target.quoted())
    }
}

#[async_trait]
impl Writer for CopyWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if self.standing.is_some() {
            self.rows += batch.num_rows() as u64;
            return Ok(());
        }
        let result = self.take(batch).await;
        self.done(result)
    }

    fn settled(&mut self) -> Settled {
        match &mut self.replay {
            Some(replay) if self.standing.is_none() => replay.settled(),
            _ => Settled { rows: u64::MAX, refused: Vec::new() },
        }
    }

    async fn write_raw(&mut self, bytes: Bytes, rows: u64) -> Result<()> {
        if self.standing.is_some() {
            self.rows += rows;
            return Ok(());
        }
        let result = self.take_raw(bytes, rows).await;
        self.done(result)
    }

    async fn flush(&mut self, _token: &Token) -> Result<Receipt> {
        let result = self.finish().await;
        self.done(result)
    }
}

/// The table that the rows of `attempt` go into.
fn into(detail: &Detail, attempt: &Attempt) -> Name {
    if detail.path == Path::NewHeld {
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

pub(super) fn ended() -> Error {
    Error::new(ErrorKind::Internal, "this writer has been flushed or has failed")
}
