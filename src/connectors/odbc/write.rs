//! The sink of one table: a run holds one connection, on a thread of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use serde_json::Value as Json;

use super::agree::{Before, Table, Target, Transactions, agree, detail};
use super::catalog::{self, Name};
use super::config::Config;
use super::database::Connection;
use super::endpoint::placed;
use super::load::Load;
use crate::attempt::{Attempt, Token};
use crate::bridge::blocking::{self, Ended, Worker};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Verdict;
use crate::schema::batch_bytes;
use crate::sink::{Agreement, Progress, Receipt, Sink, WriteRequest, Writer};
use crate::source::TableShape;

/// What became of the tokens of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Stages(Mutex<HashMap<Token, State>>);

#[derive(Clone, Debug)]
enum State {
    /// Open while somebody holds it: the sink that prepared it, or a writer of it. It is gone when it has ended.
    Open(Weak<Held>, Ended),
    Committed,
}

/// The open connection of one run.
#[derive(Debug)]
struct Held {
    worker: Worker<Option<Load>>,
}

impl Held {
    async fn on_load<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Load) -> Result<T> + Send + 'static,
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
}

impl Stages {
    fn all(&self) -> MutexGuard<'_, HashMap<Token, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_committed(&self, token: &Token) -> bool {
        matches!(self.all().get(token), Some(State::Committed))
    }

    fn held(&self, token: &Token) -> Option<Arc<Held>> {
        match self.all().get(token) {
            Some(State::Open(held, _)) => held.upgrade(),
            _ => None,
        }
    }

    /// Forgets the runs that nobody holds any more, and waits until their connections are gone.
    async fn bury(&self) {
        let mut dead = Vec::new();
        self.all().retain(|_, state| match state {
            State::Open(held, ended) if held.strong_count() == 0 => {
                dead.push(ended.clone());
                false
            }
            _ => true,
        });
        for ended in dead {
            ended.wait().await;
        }
    }
}

/// One table.
#[derive(Debug)]
pub(super) struct OdbcSink {
    config: Config,
    name: Name,
    stages: Arc<Stages>,
    /// The connections that this sink opened: they end with it.
    own: Mutex<HashMap<Token, Arc<Held>>>,
}

impl OdbcSink {
    pub(super) fn new(config: Config, name: Name, stages: Arc<Stages>) -> Self {
        Self { config, name, stages, own: Mutex::default() }
    }

    fn own(&self) -> MutexGuard<'_, HashMap<Token, Arc<Held>>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, error: Error) -> Error {
        placed(&self.config, error)
    }

    /// Whether the table, which was new or empty, has the rows of `receipts`: nothing else tells of a commit by a process that
    /// is gone.
    async fn arrived(&self, agreement: &Agreement, receipts: &[Receipt]) -> Result<bool> {
        let detail = detail(agreement)?;
        if !matches!(detail.before, Before::Make | Before::Refuse) || detail.transactions == Transactions::Missing {
            return Ok(false);
        }
        let (config, sent) = (self.config.clone(), receipts.iter().map(|receipt| receipt.rows).sum::<u64>());
        let count = blocking::run("odbc-count", move || {
            let connection = Connection::open(&config)?;
            match catalog::columns(&connection, &detail.name)? {
                Some(_) => catalog::count(&connection, &detail.name),
                None => Ok(None),
            }
        });
        Ok(count.await.map_err(|error| self.place(error))? == Some(sent))
    }
}

#[async_trait]
impl Sink for OdbcSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let (config, name) = (self.config.clone(), self.name.clone());
        let (incoming, request) = (incoming.clone(), request.clone());
        let work = move || agree(&config, &incoming, &request, &look(&config, name)?);
        blocking::run("odbc-agree", work).await.map_err(|error| self.place(error))
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        self.stages.bury().await;
        if self.stages.is_committed(token) || self.stages.held(token).is_some() {
            return Ok(());
        }
        let (detail, config, schema) = (detail(agreement)?, self.config.clone(), Arc::clone(&agreement.target));
        let begin = blocking::run("odbc-begin", move || Load::begin(&config, detail, &schema));
        let load = begin.await.map_err(|error| self.place(error))?;
        let worker = Worker::start("odbc-write", Some(load))?;
        let ended = worker.ended();
        let held = Arc::new(Held { worker });
        self.stages.all().insert(token.clone(), State::Open(Arc::downgrade(&held), ended));
        self.own().insert(token.clone(), held);
        Ok(())
    }

    async fn writer(&self, _agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let Some(held) = self.stages.held(&attempt.token) else {
            let message = "the connection of this run is not open in this process";
            return Err(self.place(Error::new(ErrorKind::Internal, message)));
        };
        let (id, task) = (attempt.id.clone(), attempt.task);
        held.on_load(move |load| load.open(&id, task)).await.map_err(|error| self.place(error))?;
        Ok(Box::new(OdbcWriter { config: self.config.clone(), held, attempt: attempt.clone(), bytes: 0 }))
    }

    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        let there = self.stages.is_committed(token)
            || self.stages.held(token).is_none() && !logged.is_empty() && self.arrived(agreement, logged).await?;
        Ok(if there { Progress::Committed } else { Progress::Kept(Vec::new()) })
    }

    async fn verify(&self, _agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        let Some(held) = self.stages.held(token) else { return Ok(Verdict::Unknown) };
        let sent = receipts.iter().map(|receipt| receipt.rows).sum();
        held.on_load(move |load| load.verify(sent)).await.map_err(|error| self.place(error))
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if self.stages.is_committed(token) {
            return Ok(());
        }
        let Some(held) = self.stages.held(token) else {
            if self.arrived(agreement, receipts).await? {
                return Ok(());
            }
            let message = "the transaction of this run is not open in this process: none of its rows were kept";
            return Err(self.place(Error::new(ErrorKind::Internal, message)));
        };
        let attempts: Vec<String> = receipts.iter().map(|receipt| receipt.attempt.clone()).collect();
        held.on_load(move |load| load.commit(&attempts)).await.map_err(|error| self.place(error))?;
        self.stages.all().insert(token.clone(), State::Committed);
        self.own().remove(token);
        held.close().await
    }

    async fn abort(&self, _agreement: &Agreement, token: &Token) -> Result<()> {
        if self.stages.is_committed(token) {
            return Ok(());
        }
        let own = self.own().remove(token);
        let mut aborted = Ok(());
        if let Some(held) = own.or_else(|| self.stages.held(token)) {
            aborted = held.worker.call(|load| load.take().map_or(Ok(()), |mut load| load.abort())).await;
        }
        self.stages.bury().await;
        self.stages.all().remove(token);
        aborted.map_err(|error| self.place(error))
    }
}

/// What the target is like now.
fn look(config: &Config, name: Name) -> Result<Target> {
    let connection = Connection::open(config)?;
    let table = match catalog::columns(&connection, &name)? {
        None => None,
        Some(columns) => Some(Table { columns, filled: catalog::is_filled(&connection, &name)? }),
    };
    // The last thing asked of this connection.
    let transactions = match connection.try_transaction() {
        Ok(()) => Transactions::Had,
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Usage) => Transactions::Missing,
        Err(error) => return Err(error),
    };
    Ok(Target { name, product: connection.product(), quote: connection.quote(), table, transactions })
}

/// The rows of one attempt.
struct OdbcWriter {
    config: Config,
    held: Arc<Held>,
    attempt: Attempt,
    bytes: u64,
}

#[async_trait]
impl Writer for OdbcWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += batch_bytes(&batch) as u64;
        let id = self.attempt.id.clone();
        let written = self.held.on_load(move |load| load.write(&id, &batch)).await;
        written.map_err(|error| placed(&self.config, error))
    }

    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        if *token != self.attempt.token {
            return Err(Error::new(ErrorKind::Internal, "the rows of an attempt belong to its own run"));
        }
        let id = self.attempt.id.clone();
        let rows = self.held.on_load(move |load| load.flush(&id)).await;
        let rows = rows.map_err(|error| placed(&self.config, error))?;
        Ok(Receipt::of(&self.attempt, rows, self.bytes, Json::Null))
    }
}
