//! The sink of one table: one transaction in an existing database, a new file built beside its name.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::InterruptHandle;
use serde_json::Value as Json;

use super::agree::{File, Target, agree};
use super::building::{self, Building};
use super::catalog;
use super::config::Config;
use super::describe::describe;
use super::marker;
use super::proof;
use super::stage::{Detail, Stage, is_filled};
use crate::attempt::{Attempt, Token};
use crate::bridge::blocking::{self, Worker};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{Prover, Verdict};
use crate::reject::{Refusal, Refuse, Settled};
use crate::schema::batch_bytes;
use crate::sink::{Agreement, Merged, Noted, Progress, Publish, Receipt, Sink, WriteRequest, Writer};
use crate::source::TableShape;
use crate::sql::file;
use crate::sql::located::Located as _;
use crate::sql::runs::{Commits, Committed, Open};

/// How often a new file is made again because another run swept it before it was locked.
const BUILD_ATTEMPTS: usize = 3;

/// What became of the tokens of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Stages {
    open: Open<Held>,
    pub(super) commits: Commits,
}

/// One open transaction and where it will be visible.
struct Held {
    worker: Worker<Option<Stage>>,
    interrupt: InterruptHandle,
    /// The file that is built; none for a transaction in the target itself.
    building: Option<Arc<Building>>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("worker", &self.worker).field("building", &self.building).finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Nobody wants its rows any more. The thread is not waited for: it ends when its statement has.
        self.interrupt.interrupt();
        if let Some(building) = &self.building {
            building.remove();
        }
    }
}

/// One table of one file.
#[derive(Debug)]
pub(super) struct SqliteSink {
    config: Config,
    typed: String,
    stages: Arc<Stages>,
    /// The transactions that this sink prepared: they end with it.
    own: Mutex<HashMap<Token, Arc<Held>>>,
}

impl SqliteSink {
    pub(super) fn new(config: Config, typed: String, stages: Arc<Stages>) -> Self {
        Self { config, typed, stages, own: Mutex::default() }
    }

    fn place(&self, error: Error) -> Error {
        self.config.placed(error)
    }

    /// Whether the target says that `token` is committed: by a process that is gone, or by a call whose answer was lost.
    async fn is_marked(&self, token: &Token) -> Result<bool> {
        let token = token.clone();
        let stands =
            move |config: &Config| Ok(config.path.exists() && marker::stands(&config.open_to_read()?, &token)?);
        self.config.asked("mark", stands).await
    }
}

#[async_trait]
impl Sink for SqliteSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let (typed, incoming, request) = (self.typed.clone(), incoming.clone(), request.clone());
        self.config.asked("agree", move |config| agree(&incoming, &request, &look(config, &typed)?)).await
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        self.stages.open.bury().await;
        if self.stages.commits.has(token) || self.stages.open.held(token).is_some() {
            return Ok(());
        }
        let detail: Detail = serde_json::from_value(agreement.detail.clone())?;
        let (of, schema) = (token.clone(), Arc::clone(&agreement.target));
        let begin = move |config: &Config| begin(config, (&detail, &schema), &of);
        let (stage, building) = self.config.asked("begin", begin).await?;
        let interrupt = stage.interrupt_handle();
        let worker = Worker::start("sqlite-write", Some(stage))?;
        let ended = worker.ended();
        let held = Arc::new(Held { worker, interrupt, building: building.map(Arc::new) });
        self.stages.open.add(token, &held, ended);
        self.own.lock().insert(token.clone(), held);
        Ok(())
    }

    async fn writer(&self, _agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let Some(held) = self.stages.open.held(&attempt.token) else {
            let message = "the transaction of this run is not open in this process";
            return Err(self.place(Error::new(ErrorKind::Internal, message)));
        };
        let (id, task) = (attempt.id.clone(), attempt.task);
        held.on_stage(move |stage| stage.open(&id, task)).await.map_err(|error| self.place(error))?;
        Ok(Box::new(SqliteWriter {
            config: self.config.clone(),
            held,
            attempt: attempt.clone(),
            bytes: 0,
            rows: 0,
            refused: Vec::new(),
        }))
    }

    async fn progress(&self, _agreement: &Agreement, token: &Token, _logged: &[Receipt]) -> Result<Progress> {
        let committed = self.stages.commits.has(token) || self.is_marked(token).await?;
        Ok(if committed { Progress::Committed } else { Progress::Kept(Vec::new()) })
    }

    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        let Some(held) = self.stages.open.held(token) else { return Ok(Verdict::Unknown) };
        let (receipts, schema) = (receipts.to_vec(), Arc::clone(&agreement.target));
        held.on_stage(move |stage| stage.verify(&receipts, &schema)).await.map_err(|error| self.place(error))
    }

    fn holds_up(&self, agreement: &Agreement) -> Option<String> {
        let note = "other writers of the file wait from the first row to the commit; with a rollback journal readers wait, too, \
                    once the transaction is larger than 32 MB";
        // A file that is built has no other writers.
        (agreement.publish == Publish::Held).then(|| note.to_owned())
    }

    fn checksum(&self, agreement: &Agreement) -> Option<String> {
        let detail: Detail = serde_json::from_value(agreement.detail.clone()).ok()?;
        Some(proof::way(&detail))
    }

    fn prover(&self, _agreement: &Agreement) -> Result<Prover> {
        Ok(Prover::new(proof::proofs))
    }

    async fn sift(&self, _: &Agreement, token: &Token, receipts: &[Receipt], refuse: &dyn Refuse) -> Result<()> {
        // Of one that is committed nothing is left to sift.
        let Some(held) = self.stages.open.held(token) else { return Ok(()) };
        let (wanted, of) = (ids(receipts), token.clone());
        let settled = held.on_stage(move |stage| stage.settle(&wanted, &of)).await;
        settled.map_err(|error| self.place(error))?;
        while let Some(refused) = held.on_stage(|stage| stage.left_out()).await.map_err(|error| self.place(error))? {
            refuse.refuse(refused).await?;
        }
        Ok(())
    }

    async fn commit(&self, _agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if self.stages.commits.has(token) {
            return Ok(());
        }
        let Some(held) = self.stages.open.held(token) else {
            self.stages.open.bury().await;
            if self.is_marked(token).await? {
                return Ok(());
            }
            let message = "the transaction of this run is not open in this process: none of its rows were kept";
            return Err(self.place(Error::new(ErrorKind::Internal, message)));
        };
        let merged = held.commit(token.clone(), ids(receipts)).await.map_err(|error| self.place(error))?;
        self.stages.commits.add(token, Committed { marked: true, merged, note: None });
        self.stages.open.remove(token);
        self.own.lock().remove(token);
        Ok(())
    }

    async fn position(&self, stream: &str) -> Result<Noted> {
        let (typed, stream) = (self.typed.clone(), stream.to_owned());
        let noted = move |config: &Config| {
            if !config.path.exists() {
                return Ok(Noted::NoTarget);
            }
            let connection = config.open_to_read()?;
            match catalog::find(&connection, &typed)? {
                Some(_) => marker::noted(&connection, &stream),
                None => Ok(Noted::NoTarget),
            }
        };
        self.config.asked("position", noted).await
    }

    fn merged(&self, token: &Token) -> Option<Merged> {
        self.stages.commits.get(token)?.merged
    }

    async fn abort(&self, _agreement: &Agreement, token: &Token) -> Result<()> {
        if self.stages.commits.has(token) {
            return Ok(());
        }
        let own = self.own.lock().remove(token);
        if let Some(held) = own.or_else(|| self.stages.open.held(token)) {
            held.abort().await?;
        }
        self.stages.open.bury().await;
        self.stages.open.remove(token);
        let token = token.clone();
        self.config.asked("abort", move |config| building::discard(&config.path, &token)).await
    }
}

/// The attempts that count.
fn ids(receipts: &[Receipt]) -> Vec<String> {
    receipts.iter().map(|receipt| receipt.attempt.clone()).collect()
}

impl Held {
    async fn on_stage<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Stage) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let over = || Error::new(ErrorKind::Internal, "this transaction is over");
        self.worker.call(move |stage| work(stage.as_mut().ok_or_else(over)?)).await
    }

    async fn commit(&self, token: Token, wanted: Vec<String>) -> Result<Option<Merged>> {
        let building = self.building.clone();
        let commit = move |stage: &mut Stage| {
            stage.settle(&wanted, &token)?;
            stage.commit()?;
            building.map_or(Ok(()), |building| building.publish())?;
            Ok(stage.merged())
        };
        let merged = self.on_stage(commit).await?;
        self.worker.call(|stage| stage.take().map_or(Ok(()), Stage::close)).await?;
        Ok(merged)
    }

    /// Rolls back, also when writers are still there, and removes the file that was built.
    async fn abort(&self) -> Result<()> {
        let close = self.worker.call(|stage| {
            if let Some(stage) = stage.take() {
                roll_back(&stage);
            }
            Ok(())
        });
        blocking::insist(close, || self.interrupt.interrupt()).await?;
        if let Some(building) = &self.building {
            building.remove();
        }
        Ok(())
    }
}

/// Ends the transaction of `stage`.
fn roll_back(stage: &Stage) {
    let _ = stage.connection.execute_batch("ROLLBACK");
    // After a write that failed, for want of room for one, SQLite leaves the journal to whoever reads next.
    let _ = stage.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
}

/// The rows of one attempt.
struct SqliteWriter {
    config: Config,
    held: Arc<Held>,
    attempt: Attempt,
    bytes: u64,
    /// Rows that were written, whether or not they were refused.
    rows: u64,
    refused: Vec<Refusal>,
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += batch_bytes(&batch) as u64;
        let id = self.attempt.id.clone();
        let count = batch.num_rows() as u64;
        let inserted = self.held.on_stage(move |stage| stage.insert(&id, &batch)).await;
        let refused = inserted.map_err(|error| self.config.placed(error))?;
        let of_attempt = |refusal: Refusal| Refusal { row: self.rows + refusal.row, ..refusal };
        self.refused.extend(refused.into_iter().map(of_attempt));
        self.rows += count;
        Ok(())
    }

    fn settled(&mut self) -> Settled {
        Settled { rows: self.rows, refused: std::mem::take(&mut self.refused) }
    }

    async fn flush(&mut self, _token: &Token) -> Result<Receipt> {
        let id = self.attempt.id.clone();
        let rows = self.held.on_stage(move |stage| stage.flush(&id)).await;
        let rows = rows.map_err(|error| self.config.placed(error))?;
        Ok(Receipt::of(&self.attempt, rows, self.bytes, Json::Null))
    }
}

/// What the target is like now.
fn look(config: &Config, typed: &str) -> Result<Target> {
    let missing = |file| Ok(Target::Missing { name: catalog::resolve(typed)?, file });
    if !config.path.exists() {
        file::check_folder(&config.path)?;
        return missing(File::Missing);
    }
    let connection = config.open_to_read()?;
    let Some(relation) = catalog::find(&connection, typed)? else { return missing(File::There) };
    let filled = relation.is_table() && is_filled(&connection, &relation.sql())?;
    Ok(Target::Table { described: describe(&connection, relation)?, filled })
}

/// Begins the transaction of `token`, in the target or in a new file beside it.
fn begin(config: &Config, detail: (&Detail, &SchemaRef), token: &Token) -> Result<(Stage, Option<Building>)> {
    let (detail, schema) = detail;
    building::sweep(&config.path);
    if config.path.exists() {
        let stage = Stage::begin(config.open_to_write()?, (detail.clone(), schema), config.busy_timeout)?;
        return Ok((stage, None));
    }
    for _ in 0..BUILD_ATTEMPTS {
        let (connection, building) = Building::begin(config, token)?;
        let stage = Stage::begin(connection, (detail.clone(), schema), config.busy_timeout)?;
        if building.is_there() {
            return Ok((stage, Some(building)));
        }
    }
    Err(Error::new(ErrorKind::Transient, "another run removes the file that is being built").with_hint("try again"))
}
