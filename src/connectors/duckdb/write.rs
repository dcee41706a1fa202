//! The sink of one table: a stage in its file, one transaction per attempt, one for the commit.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::agree::{Target, agree};
use super::catalog;
use super::config::Config;
use super::database::{Access, Connection, Database};
use super::load::Load;
use super::stage::{self, Detail};
use super::{marker, proof, sift};
use crate::attempt::{Attempt, Token};
use crate::bridge::adbc::{Interrupt, Library};
use crate::bridge::blocking::{self, Worker};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{Prover, Verdict};
use crate::reject::{Refusal, Refuse, Settled};
use crate::schema::batch_bytes;
use crate::sink::{Agreement, Merged, Noted, Progress, Receipt, Sink, WriteRequest, Writer};
use crate::source::TableShape;
use crate::sql::located::Located as _;
use crate::sql::runs::{Commits, Committed};

/// One table of one file.
#[derive(Debug)]
pub(super) struct DuckdbSink {
    config: Config,
    typed: String,
    commits: Arc<Commits>,
    /// The file stays open as long as a run of this sink is under way.
    own: Mutex<HashMap<Token, Arc<Database>>>,
}

impl DuckdbSink {
    pub(super) fn new(config: Config, typed: String, commits: Arc<Commits>) -> Self {
        Self { config, typed, commits, own: Mutex::default() }
    }

    /// Runs `work` with a connection that may write, on a thread of its own.
    async fn connected<T: Send + 'static>(
        &self,
        does: &str,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.config.asked(does, move |config| work(&mut Database::open(config, Access::Write)?.connect()?)).await
    }
}

fn detail(agreement: &Agreement) -> Result<Detail> {
    Ok(serde_json::from_value(agreement.detail.clone())?)
}

#[async_trait]
impl Sink for DuckdbSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let (typed, incoming, request) = (self.typed.clone(), incoming.clone(), request.clone());
        self.config.asked("agree", move |config| agree(&incoming, &request, &look(config, &typed)?)).await
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        if self.commits.has(token) {
            return Ok(());
        }
        let (detail, of) = (detail(agreement)?, token.clone());
        let prepare = move |config: &Config| {
            let new_file = !config.path.exists();
            let database = Database::open(config, Access::Create)?;
            stage::prepare(&mut database.connect()?, &detail, &of, new_file)?;
            Ok(database)
        };
        let database = self.config.asked("prepare", prepare).await?;
        self.own.lock().insert(token.clone(), database);
        Ok(())
    }

    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let (detail, begun) = (detail(agreement)?, attempt.clone());
        let load = self.connected("begin", move |connection| Load::begin(connection.another()?, &detail, begun));
        let load = load.await?;
        let interrupt = load.interrupt();
        let worker = Worker::start("duckdb-write", load)?;
        Ok(Box::new(DuckdbWriter {
            config: self.config.clone(),
            worker,
            interrupt,
            attempt: attempt.clone(),
            bytes: 0,
            rows: 0,
            refused: Vec::new(),
        }))
    }

    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        if self.commits.has(token) {
            return Ok(Progress::Committed);
        }
        if !self.config.path.exists() {
            return Ok(Progress::Kept(Vec::new()));
        }
        let (detail, token, logged) = (detail(agreement)?, token.clone(), logged.to_vec());
        self.connected("progress", move |connection| {
            if marker::stands(connection, &token)? {
                return Ok(Progress::Committed);
            }
            let stage = detail.stage(&token);
            if !stage::exists(connection, &stage)? {
                return Ok(Progress::Kept(Vec::new()));
            }
            stage::gather(connection, &detail, &token)?;
            let counts = stage::counts(connection, &stage)?;
            let held = |receipt: &Receipt| {
                let found = counts.iter().find(|(attempt, _)| *attempt == receipt.attempt);
                found.map_or(0, |(_, count)| *count) == receipt.rows
            };
            Ok(Progress::Kept(logged.into_iter().filter(held).collect()))
        })
        .await
    }

    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        if self.commits.has(token) {
            return Ok(Verdict::Unknown);
        }
        let (detail, schema) = (detail(agreement)?, Arc::clone(&agreement.target));
        let (token, receipts) = (token.clone(), receipts.to_vec());
        let verify =
            move |connection: &mut Connection| proof::verify(connection, (&detail, &schema), &token, &receipts);
        self.connected("verify", verify).await
    }

    fn checksum(&self, _agreement: &Agreement) -> Option<String> {
        Some(proof::WAY.to_owned())
    }

    fn prover(&self, agreement: &Agreement) -> Result<Prover> {
        let kinds = detail(agreement)?.kinds()?;
        Ok(Prover::new(move |batch| proof::proofs(&kinds, batch)))
    }

    async fn sift(
        &self,
        agreement: &Agreement,
        token: &Token,
        receipts: &[Receipt],
        refuse: &dyn Refuse,
    ) -> Result<()> {
        if self.commits.has(token) {
            return Ok(());
        }
        loop {
            let (detail, token, receipts) = (detail(agreement)?, token.clone(), receipts.to_vec());
            let next = move |connection: &mut Connection| sift::next(connection, &detail, &token, &receipts);
            match self.connected("sift", next).await? {
                Some(refused) => refuse.refuse(refused).await?,
                None => return Ok(()),
            }
        }
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if self.commits.has(token) {
            return Ok(());
        }
        let (detail, of, receipts) = (detail(agreement)?, token.clone(), receipts.to_vec());
        let commit = move |connection: &mut Connection| {
            let commit = |connection: &mut Connection| -> Result<_> {
                let merged = stage::commit(connection, &detail, (&of, &receipts))?;
                connection.needs_all();
                Ok((merged, unwritten(connection.execute("CHECKPOINT"))))
            };
            if !detail.is_inserted() {
                return connection.with_all_threads(commit);
            }
            let needed = stage::inserting_bytes(connection, &detail, &receipts)?;
            connection.needs(needed);
            match commit(connection) {
                // The transaction was rolled back.
                Err(error) if error.kind() == ErrorKind::Resource && !connection.has_all() => {
                    connection.needs_all();
                    commit(connection)
                }
                done => done,
            }
        };
        let (merged, note) = self.connected("commit", commit).await?;
        self.commits.add(token, Committed { marked: true, merged, note });
        self.close(token).await
    }

    async fn position(&self, stream: &str) -> Result<Noted> {
        let (typed, stream) = (self.typed.clone(), stream.to_owned());
        let noted = move |config: &Config| {
            if !config.path.exists() {
                return Ok(Noted::NoTarget);
            }
            let mut connection = Database::open(config, Access::Read)?.connect()?;
            match catalog::find(&mut connection, &typed)? {
                Some(_) => marker::noted(&mut connection, &stream),
                None => Ok(Noted::NoTarget),
            }
        };
        self.config.asked("position", noted).await
    }

    fn merged(&self, token: &Token) -> Option<Merged> {
        self.commits.get(token)?.merged
    }

    fn notes(&self, token: &Token) -> Vec<String> {
        self.commits.get(token).and_then(|commit| commit.note).into_iter().collect()
    }

    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        if self.commits.has(token) {
            return Ok(());
        }
        if !self.config.path.exists() {
            return self.close(token).await;
        }
        let (detail, of, config) = (detail(agreement)?, token.clone(), self.config.clone());
        self.connected("abort", move |connection| {
            if stage::abort(connection, &detail, &of)? {
                connection.execute("CHECKPOINT")?;
                // While this process still has it: whoever opens the path after that makes a new file.
                std::fs::remove_file(&config.path)?;
            }
            Ok(())
        })
        .await?;
        self.close(token).await
    }
}

impl DuckdbSink {
    /// Lets go of the file: the last one writes it out, which takes its time.
    async fn close(&self, token: &Token) -> Result<()> {
        let Some(database) = self.own.lock().remove(token) else { return Ok(()) };
        blocking::run("duckdb-close", move || {
            drop(database);
            Ok(())
        })
        .await
    }
}

/// What is told of the `checkpoint` after a commit, if it failed: the rows are there all the same. Where somebody else is at work it
/// is left to the closing of the file.
fn unwritten(checkpoint: Result<()>) -> Option<String> {
    let error = checkpoint.err().filter(|error| error.kind() != ErrorKind::Transient)?;
    Some(format!(
        "the rows are committed, in the log beside the file; writing them into the file failed ({error}), and DuckDB does it when \
         it opens the file next"
    ))
}

/// What the target is like now.
fn look(config: &Config, typed: &str) -> Result<Target> {
    if !config.path.exists() {
        super::database::look_at_file(&config.path, Access::Create)?;
        // What cannot be loaded is said before anything is begun.
        Library::DUCKDB.driver()?;
        return Ok(Target::Missing { name: catalog::resolve(typed)?, new_file: true });
    }
    let mut connection = Database::open(config, Access::Read)?.connect()?;
    let Some(relation) = catalog::find(&mut connection, typed)? else {
        return Ok(Target::Missing { name: catalog::named(&mut connection, typed)?, new_file: false });
    };
    let name = relation.name.clone().filter(|_| relation.is_table());
    let filled = name.map_or(Ok(false), |name| stage::is_filled(&mut connection, &name))?;
    Ok(Target::Table { relation, filled })
}

/// The rows of one attempt.
struct DuckdbWriter {
    config: Config,
    worker: Worker<Load>,
    interrupt: Interrupt,
    attempt: Attempt,
    bytes: u64,
    /// Rows that were written, whether or not they were refused.
    rows: u64,
    refused: Vec<Refusal>,
}

impl Drop for DuckdbWriter {
    fn drop(&mut self) {
        // Nobody wants what it may still be doing. The connection goes with the thread, and with it what is not committed.
        self.interrupt.interrupt();
    }
}

#[async_trait]
impl Writer for DuckdbWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += batch_bytes(&batch) as u64;
        let (before, count) = (self.rows, batch.num_rows() as u64);
        let added = self.worker.call(move |load| load.add(&batch, before)).await;
        self.refused.extend(added.map_err(|error| self.config.placed(error))?);
        self.rows += count;
        Ok(())
    }

    fn settled(&mut self) -> Settled {
        Settled { rows: self.rows, refused: std::mem::take(&mut self.refused) }
    }

    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        if *token != self.attempt.token {
            return Err(Error::new(ErrorKind::Internal, "the rows of an attempt belong to its own run"));
        }
        let rows = self.worker.call(Load::end).await.map_err(|error| self.config.placed(error))?;
        Ok(Receipt::of(&self.attempt, rows, self.bytes, Json::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_that_fails_is_told_unless_others_are_at_work() {
        let failed = |kind| unwritten(Err(Error::new(kind, "no room")));
        assert!(failed(ErrorKind::Io).unwrap().contains("the rows are committed"));
        assert!(failed(ErrorKind::Resource).unwrap().contains("(no room)"));
        assert_eq!((failed(ErrorKind::Transient), unwritten(Ok(()))), (None, None));
    }
}
