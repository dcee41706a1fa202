//! The sink: agreement, stage, writers by binary COPY, commit and abort.
//!
//! Four ways (see `agree/path.rs`). Held: one transaction stays open from the first row to the commit. Staged: each task is
//! a transaction into a hidden table that begins with its progress rows; the commit publishes the table in one step. Prepared and
//! per task: each is such a transaction into the target itself, which waits for the commit or does not.

mod copy;
mod prepared;
mod progress;
mod registry;
mod replay;
mod verdict;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join;

use self::copy::CopyWriter;
use self::registry::{Commit, Registry};
use self::verdict::{Verdict, unknown};
use super::agree::{self, Detail, Emptying, Path};
use super::connect::Connection;
use super::connections::Connections;
use super::name::{Name, literal};
use super::patience::{self, BEFORE_WRITING};
use super::position;
use super::prepared as waiting;
use super::proof;
use super::publish::{self, Ready};
use super::stage::{self, Stage};
use crate::attempt::{Attempt, Token};
use crate::endpoint::ObjectRef;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::proof::{Prover, Verify};
use crate::reject::Refuse;
use crate::sink::{Agreement, Merged, Noted, Progress, Receipt, Sink, WriteRequest, Writer};
use crate::source::{Encoding, TableShape};

/// One table of one database as a target.
#[derive(Debug)]
pub(super) struct PostgresSink {
    shared: Arc<Shared>,
    name: Name,
}

/// What the sink and its writers have in common.
#[derive(Debug)]
struct Shared {
    connections: Arc<Connections>,
    registry: Registry,
    /// Who has it makes a stage.
    staging: tokio::sync::Mutex<()>,
}

impl PostgresSink {
    /// A sink of `object`. Opens nothing.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) when `object` names no table.
    pub(super) fn of(connections: Arc<Connections>, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        let name = Name::of(object)?;
        Ok(Arc::new(Self {
            shared: Arc::new(Shared {
                connections,
                registry: Registry::default(),
                staging: tokio::sync::Mutex::default(),
            }),
            name,
        }))
    }
}

#[async_trait]
impl Sink for PostgresSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let connection = self.shared.connections.take().await?;
        let mut waits = 0;
        let agreement = loop {
            let look = patience::run(&connection, patience::LOOK);
            // The first question is sent together with what begins the transaction.
            let agreed = try_join(look, agree::agree(&connection, &self.name, incoming, request)).await;
            waits += 1;
            match agreed {
                Err(error) if waits < BEFORE_WRITING && patience::is_over(&error) => connection.run("ROLLBACK").await?,
                agreed => break agreed?.1,
            }
        };
        connection.run("ROLLBACK").await?;
        self.shared.connections.put_back(connection);
        Ok(agreement)
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let detail = Detail::of(agreement)?;
        if detail.path.held() {
            return Ok(());
        }
        // Several tasks may be begun anew at once.
        let _alone = self.shared.staging.lock().await;
        if self.shared.registry.is_leased(token) {
            return Ok(());
        }
        self.shared.stage(&detail, token).await.at("table", || &agreement.label)
    }

    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let detail = Detail::of(agreement)?;
        let writer = CopyWriter::open(Arc::clone(&self.shared), detail, attempt).await;
        Ok(Box::new(writer.at("table", || &agreement.label)?))
    }

    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        let detail = Detail::of(agreement)?;
        self.shared.progress(&detail, token, logged).await.at("table", || &agreement.label)
    }

    async fn verify(
        &self,
        agreement: &Agreement,
        token: &Token,
        receipts: &[Receipt],
    ) -> Result<crate::proof::Verdict> {
        let detail = Detail::of(agreement)?;
        if detail.path.held() || detail.path == Path::Prepared {
            // Its rows were counted when the server took them.
            return Ok(crate::proof::Verdict::Equal);
        }
        let connection = self.shared.connections.take().await?;
        // Those that wrote have nothing to do now.
        let idle = self.shared.connections.idle_count();
        let verified = proof::verify(&connection, agreement, &detail, (token, receipts), idle).await;
        let verdict = verified.at("table", || &agreement.label)?;
        self.shared.connections.put_back(connection);
        Ok(verdict)
    }

    fn checksum(&self, agreement: &Agreement) -> Option<String> {
        proof::way(agreement, &Detail::of(agreement).ok()?)
    }

    fn holds_up(&self, agreement: &Agreement) -> Option<String> {
        Detail::of(agreement).ok()?.holds_up().map(str::to_owned)
    }

    fn prover(&self, agreement: &Agreement) -> Result<Prover> {
        Ok(proof::prover(agreement, Detail::of(agreement)?))
    }

    async fn sift(
        &self,
        agreement: &Agreement,
        token: &Token,
        receipts: &[Receipt],
        refuse: &dyn Refuse,
    ) -> Result<()> {
        let detail = Detail::of(agreement)?;
        if detail.path.held() || detail.path == Path::Prepared {
            // The server has taken its rows already.
            return Ok(());
        }
        let connection = self.shared.connections.take().await?;
        let ready = publish::staged((&connection, &detail), token, receipts, Some(refuse)).await;
        match ready.map_err(|error| taken(error, &detail)).at("table", || &agreement.label)? {
            Ready::ToCommit(merged) => {
                self.shared.registry.merged(token, merged);
                self.shared.registry.hold(&sifted(token), connection);
            }
            Ready::Committed => self.shared.connections.put_back(connection),
        }
        Ok(())
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if self.shared.registry.commit(token) == Some(Commit::Done) {
            return Ok(());
        }
        let detail = Detail::of(agreement)?;
        let committed = match detail.path {
            path if path.held() => self.commit_held(&detail, token, receipts).await,
            Path::Prepared => self.shared.commit_prepared(&detail, token, receipts).await,
            _ => self.commit_staged(&detail, token, receipts).await,
        };
        committed.map_err(|error| taken(error, &detail)).at("table", || &agreement.label)?;
        self.shared.registry.settle(token);
        self.shared.let_go(token).await;
        Ok(())
    }

    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let detail = Detail::of(agreement)?;
        match self.shared.registry.commit(token) {
            // What waits stays for who goes on with the run and finds out.
            Some(Commit::Doubtful) if detail.path == Path::Prepared => {
                return Err(unknown(&detail, token).at("table", &agreement.label));
            }
            // What nobody can be sure of must not be swept: it may be all that there is of the rows.
            Some(Commit::Done | Commit::Doubtful) => return Ok(()),
            Some(Commit::Begun) => match self.shared.verdict(&detail, token).await {
                Verdict::Committed if detail.path == Path::Prepared => {
                    return self.shared.finish_failed(&detail, token).await.at("table", || &agreement.label);
                }
                Verdict::Committed => {
                    self.shared.registry.settle(token);
                    return Ok(());
                }
                Verdict::RolledBack => {}
                Verdict::Unknown => return Err(unknown(&detail, token).at("table", &agreement.label)),
            },
            None => {}
        }
        self.shared.let_go(token).await;
        let stage = Stage::of(&detail.target, token);
        if detail.path == Path::Prepared {
            waiting::give_up(&self.shared.connections, &stage).await.at("table", || &agreement.label)?;
        }
        let connection = self.shared.connections.take().await?;
        publish::sweep(&connection, &stage, detail.path).await.at("table", || &agreement.label)?;
        self.shared.connections.put_back(connection);
        Ok(())
    }

    async fn position(&self, stream: &str) -> Result<Noted> {
        let connection = self.shared.connections.take().await?;
        let noted = position::noted(&connection, &self.name, stream).await?;
        self.shared.connections.put_back(connection);
        Ok(noted)
    }

    fn merged(&self, token: &Token) -> Option<Merged> {
        self.shared.registry.merged_by(token)
    }

    fn notes(&self, token: &Token) -> Vec<String> {
        let note =
            "an earlier copy, whose process had died in its commit, was completed: its rows are in the table, too";
        if self.shared.registry.has_completed_another(token) { vec![note.to_owned()] } else { Vec::new() }
    }

    fn takes(&self, agreement: &Agreement, encoding: &Encoding, verify: Verify) -> bool {
        Detail::of(agreement).is_ok_and(|detail| {
            let told = verify < Verify::Checksum || proof::is_told_by_raw(agreement, &detail);
            told && detail.raw.as_ref() == Some(encoding)
        })
    }
}

impl Shared {
    /// Makes the stage of `token` and holds it; removes those of earlier runs that nobody holds any more. One that is there
    /// is held again and left as it is: tasks may be writing into it.
    async fn stage(&self, detail: &Detail, token: &Token) -> Result<()> {
        let stage = Stage::of(&detail.target, token);
        let lease = if let Some(claim) = self.registry.take_claim(token) {
            stage::hold_job(&claim, &stage::job_lock(detail)).await?;
            claim
        } else {
            let lease = self.connections.open().await?;
            stage::hold(&lease, &stage, detail).await?;
            lease
        };
        let connection = self.connections.take().await?;
        let of_others = (&detail.target, &stage);
        stage::sweep_orphans(&connection, of_others).await?;
        if waiting::sweep_orphans(&self.connections, &connection, of_others).await? {
            self.registry.complete_another(token);
        }
        if connection.rows(&stage.lookup(detail.path)).await?.is_empty() {
            if self.registry.was_leased(token) {
                let message = "the table that held the rows before the commit is gone";
                return Err(Error::new(ErrorKind::NotFound, message).with_hint("run the copy again"));
            }
            if detail.path == Path::PerTask && detail.must_be_empty {
                publish::refuse_rows(&connection, &detail.target).await?;
            }
            patience::commit(&connection, &stage.create(detail, token), &detail.target, BEFORE_WRITING).await?;
        }
        self.connections.put_back(connection);
        self.registry.lease(token, lease);
        Ok(())
    }

    /// Ends what this process still holds open for `token`.
    async fn let_go(&self, token: &Token) {
        for connection in self.registry.forget(token) {
            // A connection that is broken has rolled back by itself.
            let _ = connection.run("ROLLBACK").await;
            connection.close().await;
        }
        for held in [self.registry.release(token), self.registry.take_claim(token)].into_iter().flatten() {
            held.close().await;
        }
    }

    /// Sends the COMMIT and finds out what became of it.
    async fn conclude(&self, connection: Connection, detail: &Detail, token: &Token) -> Result<()> {
        self.registry.begin(token);
        let outcome = match patience::run(&connection, "COMMIT").await {
            Ok(()) => {
                self.connections.put_back(connection);
                return Ok(());
            }
            Err(error) => {
                drop(connection);
                self.outcome(detail, token, error).await
            }
        };
        if outcome.is_err() && self.registry.commit(token) == Some(Commit::Begun) {
            self.registry.rolled_back(token);
        }
        outcome
    }
}

impl PostgresSink {
    async fn commit_staged(&self, detail: &Detail, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if let Some((connection, _)) = self.shared.registry.take(&sifted(token).id) {
            return self.shared.conclude(connection, detail, token).await;
        }
        let connection = self.shared.connections.take().await?;
        match publish::staged((&connection, detail), token, receipts, None).await? {
            Ready::ToCommit(merged) => {
                self.shared.registry.merged(token, merged);
                self.shared.conclude(connection, detail, token).await
            }
            Ready::Committed => {
                self.shared.connections.put_back(connection);
                Ok(())
            }
        }
    }

    async fn commit_held(&self, detail: &Detail, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let held = match receipts {
            [] => Some(self.held_without_rows(detail, token).await?),
            [receipt] => self.shared.registry.take(&receipt.attempt),
            _ => {
                let message = "a transaction that is held open has one task, and several were committed";
                return Err(Error::new(ErrorKind::Internal, message));
            }
        };
        let Some((connection, attempt)) = held else {
            // An earlier call may have committed it.
            let gone = Error::new(ErrorKind::Connection, "the transaction that held the rows is gone");
            return self.shared.outcome(detail, token, gone.with_hint("run the copy again")).await;
        };
        let own = Stage::own(&detail.target, &attempt);
        if publish::held(&connection, detail, &own, token).await? {
            return self.shared.conclude(connection, detail, token).await;
        }
        Ok(())
    }

    /// A transaction as a writer without rows would leave it.
    async fn held_without_rows(&self, detail: &Detail, token: &Token) -> Result<(Connection, String)> {
        let attempt = Attempt::new(token.clone(), 0, Vec::new());
        let connection = self.shared.connections.take().await?;
        open(&connection, detail, &begin(&connection, detail, &attempt)).await?;
        Ok((connection, attempt.id))
    }
}

/// Under what the transaction is kept that has sifted the stage of `token` and only needs its COMMIT.
fn sifted(token: &Token) -> Attempt {
    Attempt { token: token.clone(), task: 0, splits: Vec::new(), id: format!("sifted {token}"), rows: None }
}

/// The statements that begin the transaction of `attempt`.
fn begin(connection: &Connection, detail: &Detail, attempt: &Attempt) -> String {
    let settings = connection.server().settings();
    let writer = Stage::of(&detail.target, &attempt.token).writer_of(attempt);
    let own = match (detail.path, &detail.create) {
        (Path::NewHeld, Some(new)) => new.create(&Stage::own(&detail.target, &attempt.id).quoted()),
        _ => String::new(),
    };
    let name = literal(&writer);
    let job = if detail.path.held() { stage::job_lock(detail) } else { String::new() };
    format!("BEGIN ISOLATION LEVEL READ COMMITTED; {settings}SET LOCAL application_name = {name}; {job}{own}")
}

/// Opens a transaction that is held, up to its COPY.
async fn open(connection: &Connection, detail: &Detail, begin: &str) -> Result<()> {
    let locked = async {
        match detail.path {
            Path::Held(Emptying::Truncate) => {
                patience::lock(connection, &detail.truncate(), &detail.target, BEFORE_WRITING).await
            }
            Path::Held(_) => publish::keep_others_out(connection, detail, BEFORE_WRITING).await,
            _ => Ok(()),
        }
    };
    // Sent together: a lock begins with a savepoint, which fails where there is no transaction.
    try_join(stage::hold_job(connection, begin), locked).await.map(drop)
}

/// A new table whose name somebody else took in the meantime.
fn taken(error: Error, detail: &Detail) -> Error {
    if error.kind() == ErrorKind::AlreadyExists && detail.create.is_some() {
        return Error::new(ErrorKind::AlreadyExists, "somebody else made this table while it was being copied")
            .with_source(error);
    }
    error
}
