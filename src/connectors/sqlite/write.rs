//! The sink of one table: one transaction in an existing database, a new file built beside its name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use rusqlite::OpenFlags;
use serde_json::Value as Json;

use super::agree::{File, Target, agree};
use super::catalog;
use super::config::{Config, connect};
use super::describe::describe;
use super::error::failed;
use super::session::{placed, release_readers};
use super::stage::{Detail, Stage, is_filled};
use crate::attempt::{Attempt, Token};
use crate::bridge::blocking::{self, Worker};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Receipt, Sink, WriteRequest, Writer};
use crate::source::TableShape;

/// The open transactions of an endpoint, by token. A token stays when it was committed, so that it is not again.
pub(super) type Stages = Arc<Mutex<HashMap<Token, State>>>;

/// What became of a token.
#[derive(Clone, Debug)]
pub(super) enum State {
    Open(Arc<Held>),
    Committed,
}

/// One open transaction and where it will be visible.
#[derive(Debug)]
pub(super) struct Held {
    worker: Worker<Option<Stage>>,
    /// The file that is built; none for a transaction in the target itself.
    building: Option<Building>,
}

/// A file under a hidden name, removed when dropped.
#[derive(Debug)]
struct Building(PathBuf);

impl Drop for Building {
    fn drop(&mut self) {
        // It is not there when it was published or never made; nobody could do anything about another failure.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// One table of one file.
#[derive(Debug)]
pub(super) struct SqliteSink {
    config: Config,
    typed: String,
    stages: Stages,
}

impl SqliteSink {
    pub(super) fn new(config: Config, typed: String, stages: Stages) -> Self {
        Self { config, typed, stages }
    }

    fn stages(&self) -> MutexGuard<'_, HashMap<Token, State>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, token: &Token) -> Option<State> {
        self.stages().get(token).cloned()
    }

    fn place(&self, error: Error) -> Error {
        placed(&self.config, error)
    }
}

#[async_trait]
impl Sink for SqliteSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let (config, typed) = (self.config.clone(), self.typed.clone());
        let (incoming, request) = (incoming.clone(), request.clone());
        let work = move || {
            let target = look(&config, &typed)?;
            agree(&incoming, &request, &target)
        };
        blocking::run("sqlite-agree", work).await.map_err(|error| self.place(error))
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        if self.state(token).is_some() {
            return Ok(());
        }
        let detail: Detail = serde_json::from_value(agreement.detail.clone())?;
        let config = self.config.clone();
        let opened = blocking::run("sqlite-begin", move || begin(&config, detail)).await;
        let (stage, building) = opened.map_err(|error| self.place(error))?;
        let worker = Worker::start("sqlite-write", Some(stage))?;
        self.stages().insert(token.clone(), State::Open(Arc::new(Held { worker, building })));
        Ok(())
    }

    async fn writer(&self, _agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let Some(State::Open(held)) = self.state(&attempt.token) else {
            let message = "the transaction of this run is not open in this process";
            return Err(self.place(Error::new(ErrorKind::Internal, message)));
        };
        let (id, task) = (attempt.id.clone(), attempt.task);
        held.on_stage(move |stage| stage.open(&id, task)).await.map_err(|error| self.place(error))?;
        Ok(Box::new(SqliteWriter { config: self.config.clone(), held, attempt: attempt.clone(), bytes: 0 }))
    }

    async fn commit(&self, _agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let held = match self.state(token) {
            Some(State::Committed) => return Ok(()),
            Some(State::Open(held)) => held,
            None => {
                let message = "the transaction of this run is not open in this process: none of its rows were kept";
                return Err(self.place(Error::new(ErrorKind::Internal, message)));
            }
        };
        let wanted: Vec<String> = receipts.iter().map(|receipt| receipt.attempt.clone()).collect();
        let committed = held.commit(&self.config, wanted).await;
        committed.map_err(|error| self.place(error))?;
        self.stages().insert(token.clone(), State::Committed);
        Ok(())
    }

    async fn abort(&self, _agreement: &Agreement, token: &Token) -> Result<()> {
        if let Some(State::Open(held)) = self.state(token) {
            // Closing the connection rolls back; the file that was built goes with the last holder.
            let close = |stage: &mut Option<Stage>| {
                *stage = None;
                Ok(())
            };
            held.worker.call(close).await?;
            self.stages().remove(token);
        }
        Ok(())
    }
}

impl Held {
    async fn on_stage<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Stage) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let over = || Error::new(ErrorKind::Internal, "this transaction is over");
        self.worker.call(move |stage| work(stage.as_mut().ok_or_else(over)?)).await
    }

    async fn commit(&self, config: &Config, wanted: Vec<String>) -> Result<()> {
        let settle = move |stage: &mut Stage| stage.settle(&wanted.iter().map(String::as_str).collect::<Vec<_>>());
        self.on_stage(settle).await?;
        if self.building.is_none() && !self.on_stage(|stage| Ok(stage.is_wal())).await? {
            // With a rollback journal our own readers of this file would stand in the way, and have read all.
            release_readers(&config.path).await?;
        }
        self.on_stage(Stage::commit).await?;
        self.worker.call(|stage| stage.take().map_or(Ok(()), Stage::close)).await?;
        if let Some(Building(path)) = &self.building {
            let (from, to) = (path.clone(), config.path.clone());
            blocking::run("sqlite-publish", move || publish(&from, &to)).await?;
        }
        Ok(())
    }
}

/// The rows of one attempt.
struct SqliteWriter {
    config: Config,
    held: Arc<Held>,
    attempt: Attempt,
    bytes: u64,
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += crate::schema::batch_bytes(&batch) as u64;
        let id = self.attempt.id.clone();
        let inserted = self.held.on_stage(move |stage| stage.insert(&id, &batch)).await;
        inserted.map_err(|error| placed(&self.config, error))
    }

    async fn flush(&mut self, _token: &Token) -> Result<Receipt> {
        let id = self.attempt.id.clone();
        let rows = self.held.on_stage(move |stage| stage.flush(&id)).await;
        let rows = rows.map_err(|error| placed(&self.config, error))?;
        Ok(Receipt::of(&self.attempt, rows, self.bytes, Json::Null))
    }
}

/// What the target is like now.
fn look(config: &Config, typed: &str) -> Result<Target> {
    let missing = |file| Ok(Target::Missing { name: catalog::resolve(typed)?, file });
    if !config.path.exists() {
        writable_folder(&config.path)?;
        return missing(File::Missing);
    }
    let connection = config.open_to_read()?;
    let Some(relation) = catalog::find(&connection, typed)? else { return missing(File::There) };
    let filled = relation.is_table() && is_filled(&connection, &relation)?;
    Ok(Target::Table { described: describe(&connection, relation)?, filled })
}

fn writable_folder(path: &Path) -> Result<()> {
    let folder = folder(path);
    if folder.is_dir() {
        return Ok(());
    }
    let error = Error::new(ErrorKind::NotFound, "the folder for the database file does not exist");
    Err(error.with_hint(format!("make it: mkdir -p '{}'", folder.display())))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Begins the transaction, in the target or in a new file beside it.
fn begin(config: &Config, detail: Detail) -> Result<(Stage, Option<Building>)> {
    if config.path.exists() {
        return Ok((Stage::begin(config.open_to_write()?, detail)?, None));
    }
    let name = config.path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = format!(".{name}.{}.etl", uuid::Uuid::now_v7().simple());
    let building = Building(folder(&config.path).join(hidden));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = connect(&building.0, flags, config.busy_timeout)?;
    // Nobody sees this file before it is complete and on disk; the journal in memory serves savepoints alone.
    let pragmas = "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE";
    connection.execute_batch(pragmas).map_err(failed)?;
    Ok((Stage::begin(connection, detail)?, Some(building)))
}

/// Gives the finished file its name, never over another one, and makes both durable.
fn publish(from: &Path, to: &Path) -> Result<()> {
    std::fs::File::open(from)?.sync_all()?;
    match std::fs::hard_link(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let message = "the database file was made by somebody else while this copy ran";
            return Err(Error::new(ErrorKind::AlreadyExists, message).with_hint("run the copy again to write into it"));
        }
        // Some file systems have no links: the name was free a moment ago.
        Err(_) => std::fs::rename(from, to)?,
    }
    std::fs::File::open(folder(to))?.sync_all()?;
    Ok(())
}
