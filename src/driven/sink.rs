//! The sink of one table: a run holds one connection, on a thread of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::agree::Terms;
use super::load::{Filler, Load};
use super::name::Name;
use crate::attempt::{Attempt, Token};
use crate::bridge::blocking::{self, Worker};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Verdict;
use crate::schema::batch_bytes;
use crate::shape::TableShape;
use crate::sink::{Agreement, Progress, Receipt, Sink, WriteRequest, Writer};
use crate::sql::located::Located;
use crate::sql::runs::{Commits, Committed, Open};

/// A database that takes rows. All calls block.
pub trait Database: Located {
    /// A connection that fills a table.
    type Filler: Filler;

    /// Looks at the table `name`, and says how `incoming` lands in it. The detail of the agreement is its [`Terms`].
    fn agree(&self, name: &Name, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement>;

    /// Connects, to fill the table of `terms` with rows of `schema`.
    fn connect(&self, terms: &Terms, schema: &SchemaRef) -> Result<Self::Filler>;

    /// How many rows the table `name` has; none where it is not there, or the driver does not tell.
    fn count(&self, name: &Name) -> Result<Option<u64>>;
}

/// What became of the tokens of an endpoint.
pub struct Stages<F: Filler> {
    open: Open<Held<F>>,
    commits: Commits,
}

impl<F: Filler> Default for Stages<F> {
    fn default() -> Self {
        Self { open: Open::default(), commits: Commits::default() }
    }
}

impl<F: Filler> fmt::Debug for Stages<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stages").field("open", &self.open).field("commits", &self.commits).finish()
    }
}

/// The open connection of one run.
struct Held<F: Filler> {
    worker: Worker<Option<Load<F>>>,
    stop: Box<dyn Fn() + Send + Sync>,
}

impl<F: Filler> Drop for Held<F> {
    fn drop(&mut self) {
        // Nobody wants its rows any more. The thread is not waited for: it ends when its statement has.
        (self.stop)();
    }
}

impl<F: Filler> Held<F> {
    async fn on_load<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Load<F>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let over = || Error::new(ErrorKind::Internal, "this run is over");
        self.worker.call(move |load| work(load.as_mut().ok_or_else(over)?)).await
    }

    /// Closes the connection.
    async fn close(&self) -> Result<()> {
        self.worker
            .call(|load| {
                drop(load.take());
                Ok(())
            })
            .await
    }

    /// Takes back what was written, also when writers are still there.
    async fn abort(&self) -> Result<()> {
        let abort = self.worker.call(|load| load.take().map_or(Ok(()), |mut load| load.abort()));
        blocking::insist(abort, || (self.stop)()).await
    }
}

/// One table.
pub struct TableSink<D: Database> {
    database: D,
    name: Name,
    stages: Arc<Stages<D::Filler>>,
    /// The connections that this sink opened: they end with it.
    own: Mutex<HashMap<Token, Arc<Held<D::Filler>>>>,
}

impl<D: Database> fmt::Debug for TableSink<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSink").field("database", &self.database).field("name", &self.name).finish_non_exhaustive()
    }
}

impl<D: Database> TableSink<D> {
    /// The table `name` of `database`, whose endpoint has `stages`.
    pub fn new(database: D, name: Name, stages: Arc<Stages<D::Filler>>) -> Self {
        Self { database, name, stages, own: Mutex::default() }
    }

    /// Whether the table, which was new or empty, has the rows of `receipts`: nothing else tells of a commit by a process that
    /// is gone.
    async fn arrived(&self, agreement: &Agreement, receipts: &[Receipt]) -> Result<bool> {
        let terms = Terms::of(agreement)?;
        if !terms.tell_by_rows() {
            return Ok(false);
        }
        let there = self.database.asked("count", move |database| database.count(&terms.name)).await?;
        Ok(there == Some(rows_of(receipts)))
    }
}

fn rows_of(receipts: &[Receipt]) -> u64 {
    receipts.iter().map(|receipt| receipt.rows).sum()
}

#[async_trait]
impl<D: Database> Sink for TableSink<D> {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let (name, incoming, request) = (self.name.clone(), incoming.clone(), request.clone());
        self.database.asked("agree", move |database| database.agree(&name, &incoming, &request)).await
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        self.stages.open.bury().await;
        if self.stages.commits.has(token) || self.stages.open.held(token).is_some() {
            return Ok(());
        }
        let (terms, schema) = (Terms::of(agreement)?, SchemaRef::clone(&agreement.target));
        let begin = move |database: &D| Load::begin(&terms, || database.connect(&terms, &schema));
        let load = self.database.asked("begin", begin).await?;
        let stop = load.stop();
        let worker = Worker::start(&format!("{}-write", D::CONNECTOR), Some(load))?;
        let ended = worker.ended();
        let held = Arc::new(Held { worker, stop });
        self.stages.open.add(token, &held, ended);
        self.own.lock().insert(token.clone(), held);
        Ok(())
    }

    async fn writer(&self, _agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let Some(held) = self.stages.open.held(&attempt.token) else {
            let message = "the connection of this run is not open in this process";
            return Err(self.database.placed(Error::new(ErrorKind::Internal, message)));
        };
        let (id, task) = (attempt.id.clone(), attempt.task);
        held.on_load(move |load| load.open(&id, task)).await.map_err(|error| self.database.placed(error))?;
        Ok(Box::new(Rows { database: self.database.clone(), held, attempt: attempt.clone(), bytes: 0 }))
    }

    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        let there = self.stages.commits.has(token)
            || self.stages.open.held(token).is_none() && !logged.is_empty() && self.arrived(agreement, logged).await?;
        Ok(if there { Progress::Committed } else { Progress::Kept(Vec::new()) })
    }

    async fn verify(&self, _agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        let Some(held) = self.stages.open.held(token) else { return Ok(Verdict::Unknown) };
        let sent = rows_of(receipts);
        held.on_load(move |load| load.verify(sent)).await.map_err(|error| self.database.placed(error))
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if self.stages.commits.has(token) {
            return Ok(());
        }
        let Some(held) = self.stages.open.held(token) else {
            if self.arrived(agreement, receipts).await? {
                return Ok(());
            }
            let message = "the transaction of this run is not open in this process: none of its rows were kept";
            return Err(self.database.placed(Error::new(ErrorKind::Internal, message)));
        };
        let attempts: Vec<String> = receipts.iter().map(|receipt| receipt.attempt.clone()).collect();
        held.on_load(move |load| load.commit(&attempts)).await.map_err(|error| self.database.placed(error))?;
        self.stages.commits.add(token, Committed::default());
        self.stages.open.remove(token);
        self.own.lock().remove(token);
        held.close().await
    }

    async fn abort(&self, _agreement: &Agreement, token: &Token) -> Result<()> {
        if self.stages.commits.has(token) {
            return Ok(());
        }
        let own = self.own.lock().remove(token);
        let mut aborted = Ok(());
        if let Some(held) = own.or_else(|| self.stages.open.held(token)) {
            aborted = held.abort().await;
        }
        self.stages.open.bury().await;
        self.stages.open.remove(token);
        aborted.map_err(|error| self.database.placed(error))
    }
}

/// The rows of one attempt.
struct Rows<D: Database> {
    database: D,
    held: Arc<Held<D::Filler>>,
    attempt: Attempt,
    bytes: u64,
}

#[async_trait]
impl<D: Database> Writer for Rows<D> {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += batch_bytes(&batch) as u64;
        let id = self.attempt.id.clone();
        let written = self.held.on_load(move |load| load.write(&id, batch)).await;
        written.map_err(|error| self.database.placed(error))
    }

    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        if *token != self.attempt.token {
            return Err(Error::new(ErrorKind::Internal, "the rows of an attempt belong to its own run"));
        }
        let id = self.attempt.id.clone();
        let rows = self.held.on_load(move |load| load.flush(&id)).await;
        let rows = rows.map_err(|error| self.database.placed(error))?;
        Ok(Receipt::of(&self.attempt, rows, self.bytes, Json::Null))
    }
}
