//! The rows of one attempt: gathered, then loaded in bulk into a table of their own.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use serde_json::Value as Json;
use tiberius::{ExecuteResult, Query, SqlBulkCopyOption};

use super::super::agree::{Column, Detail};
use super::super::connect::Connection;
use super::super::connections::Connections;
use super::super::ddl::staged;
use super::super::encode::{Cells, Way};
use super::super::errors::of_driver;
use super::super::name::Name;
use super::super::stage::{self, Stage};
use super::super::typemap::Kind;
use crate::attempt::{Attempt, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::batch_bytes;
use crate::sink::{Receipt, Writer};

/// Bytes of rows that one bulk load brings, at most and at least; the memory of the writer decides between them.
const MOST_LOAD_BYTES: u64 = 32 << 20;
const LEAST_LOAD_BYTES: u64 = 1 << 20;

/// The rows of one attempt.
#[derive(Debug)]
pub(super) struct BulkWriter {
    connections: Arc<Connections>,
    load: Load,
    memory_bytes: u64,
    attempt: Attempt,
    /// None once all is flushed, or after a failure.
    connection: Option<Connection>,
    waiting: Vec<RecordBatch>,
    waiting_bytes: u64,
    /// Rows that are loaded, and bytes of all that came.
    rows: u64,
    bytes: u64,
}

/// What rows go into.
#[derive(Debug)]
struct Load {
    table: Name,
    columns: Vec<Column>,
    kinds: Vec<Kind>,
}

/// A batch on its way.
struct Part<'a> {
    cells: Cells<'a>,
    rows: usize,
    /// How many rows of the same attempt came before it.
    first: u64,
}

impl Part<'_> {
    /// The rows that go in that way.
    fn going(&self, way: Way) -> impl Iterator<Item = usize> + Send + '_ {
        (0..self.rows).filter(move |row| self.cells.way(*row) == way)
    }
}

impl BulkWriter {
    /// Makes the table of `attempt`.
    pub(super) async fn open(connections: Arc<Connections>, detail: Detail, attempt: &Attempt) -> Result<Self> {
        let mut connection = connections.take().await?;
        let stage = Stage::of(&detail.target, &attempt.token);
        let table = stage.make(&mut connection, &detail, &attempt.id).await?;
        Ok(Self {
            connections,
            load: Load { table, kinds: detail.kinds()?, columns: detail.columns },
            memory_bytes: detail.memory_bytes,
            attempt: attempt.clone(),
            connection: Some(connection),
            waiting: Vec::new(),
            waiting_bytes: 0,
            rows: 0,
            bytes: 0,
        })
    }

    /// Loads what waits.
    async fn bring(&mut self) -> Result<()> {
        let over = || Error::new(ErrorKind::Internal, "this writer takes no more rows");
        // A load that fails or is given up leaves a connection of which nothing is known.
        let mut connection = self.connection.take().ok_or_else(over)?;
        let waiting = std::mem::take(&mut self.waiting);
        Box::pin(self.load.batches(&mut connection, &waiting, self.rows)).await?;
        self.rows += waiting.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        self.waiting_bytes = 0;
        self.connection = Some(connection);
        Ok(())
    }
}

impl Load {
    /// Loads `batches`, before which `before` rows of the same attempt came: in one bulk load, but for rows that it cannot take.
    async fn batches(&self, connection: &mut Connection, batches: &[RecordBatch], before: u64) -> Result<()> {
        let mut parts = Vec::with_capacity(batches.len());
        let mut first = before;
        for batch in batches {
            let cells = Cells::of(batch, (&self.columns, &self.kinds))?;
            parts.push(Part { cells, rows: batch.num_rows(), first });
            first += batch.num_rows() as u64;
        }
        let is_any = |way: Way| parts.iter().any(|part| part.going(way).next().is_some());
        let (bulk, alone) = (is_any(Way::Bulk), is_any(Way::Alone));
        if bulk {
            self.bulk(connection, &parts).await?;
        }
        if alone {
            for part in &parts {
                for row in part.going(Way::Alone) {
                    self.alone(connection, part, row).await?;
                }
            }
        }
        Ok(())
    }

    async fn bulk(&self, connection: &mut Connection, parts: &[Part<'_>]) -> Result<()> {
        let table = self.table.quoted();
        // Nobody else writes into it.
        let options = SqlBulkCopyOption::TableLock.into();
        let mut request =
            connection.driver().bulk_insert_with_options(&table, &["*"], options, &[]).await.map_err(of_driver)?;
        let mut sent = 0;
        for part in parts {
            for row in part.going(Way::Bulk) {
                request.send(part.cells.row(row, part.first)?).await.map_err(of_driver)?;
                sent += 1;
            }
        }
        let loaded = request.finalize().await.map(ExecuteResult::total).map_err(of_driver)?;
        connection.ended();
        if loaded == sent {
            return Ok(());
        }
        let message = format!("the server took {loaded} rows of {sent}");
        Err(Error::new(ErrorKind::Mismatch, message))
    }

    async fn alone(&self, connection: &mut Connection, part: &Part<'_>, row: usize) -> Result<()> {
        let count = self.columns.len();
        let columns: Vec<String> = (0..count).map(staged).collect();
        let places = Query::placeholders(1, count);
        let sql = format!("INSERT INTO {} ({}) VALUES ({places})", self.table.quoted(), columns.join(", "));
        let mut query = Query::new(sql);
        for value in part.cells.parameters(row, part.first)? {
            query.bind(value);
        }
        query.execute(connection.driver()).await.map_err(of_driver)?;
        connection.ended();
        Ok(())
    }
}

#[async_trait]
impl Writer for BulkWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let bytes = batch_bytes(&batch) as u64;
        self.bytes += bytes;
        self.waiting_bytes += bytes;
        self.waiting.push(batch);
        let most = (self.memory_bytes / 2).clamp(LEAST_LOAD_BYTES, MOST_LOAD_BYTES);
        if self.waiting_bytes >= most { self.bring().await } else { Ok(()) }
    }

    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        if *token != self.attempt.token {
            return Err(Error::new(ErrorKind::Internal, "the rows of an attempt belong to its own run"));
        }
        self.bring().await?;
        let over = || Error::new(ErrorKind::Internal, "this writer is flushed");
        let mut connection = self.connection.take().ok_or_else(over)?;
        let there = stage::count(&mut connection, &self.load.table).await?;
        self.connections.put_back(connection);
        if there != self.rows {
            let message = format!("the table of the task holds {there} rows, {} were written", self.rows);
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        Ok(Receipt::of(&self.attempt, self.rows, self.bytes, Json::Null))
    }
}
