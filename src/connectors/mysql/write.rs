//! The sink of one table: stages, commits and what they leave, over writers that load rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::agree::{self, Detail, refuse_rows};
use super::connect::Connection;
use super::connections::Connections;
use super::errors::is_reply;
use super::marker;
use super::name::Name;
use super::proof;
use super::publish::{self, Ready};
use super::stage::{self, Stage};
use crate::attempt::{Attempt, Token};
use crate::bridge::connections::Pooled as _;
use crate::endpoint::ObjectRef;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::proof::{Prover, Verdict};
use crate::reject::Refuse;
use crate::sink::{Agreement, Merged, Noted, Progress, Receipt, Sink, WriteRequest, Writer};
use crate::source::TableShape;
use crate::sql::beside::still_held;

mod progress;
mod writer;

use writer::LoadWriter;

/// One table of one server.
#[derive(Debug)]
pub(super) struct MySink {
    shared: Arc<Shared>,
    name: Name,
}

/// What a sink and its writers share.
#[derive(Debug)]
struct Shared {
    connections: Arc<Connections>,
    state: Mutex<State>,
    /// Who makes a stage makes it alone.
    staging: tokio::sync::Mutex<()>,
}

/// What is kept between calls.
#[derive(Debug, Default)]
struct State {
    /// Connections that hold the stage of a token.
    leases: HashMap<Token, Connection>,
    /// Those of them that broke, of which the server may not know.
    broken: HashMap<Token, u32>,
    /// Tokens whose stage this process has made, or found and gone on with.
    staged: HashSet<Token>,
    /// Transactions that were flushed and wait for their commit, by attempt.
    held: Vec<(Token, String, Connection)>,
    /// The connection of the last writer whose transaction will be held.
    elders: HashMap<Token, u32>,
    commits: HashMap<Token, Commit>,
    merges: HashMap<Token, Merged>,
}

/// How far the commit of a token has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    /// The statement that commits may have been sent, and nothing is known of its answer.
    Begun,
    Done,
}

impl Shared {
    /// Makes the stage of `token` and holds it; removes those of earlier runs that nobody holds any more. One that is there is
    /// held again and left as it is: tasks may be writing into it.
    async fn stage(&self, detail: &Detail, token: &Token) -> Result<()> {
        let stage = Stage::of(&detail.target, token);
        let mut lease = self.hold(&stage, token).await?;
        stage::hold_job(&mut lease, detail).await?;
        let mut connection = self.connections.take().await?;
        stage::sweep_orphans(&mut connection, &detail.target).await?;
        if !stage.is_there(&mut connection, detail.path).await? {
            if self.state.lock().staged.contains(token)
                && !marker::stands(&mut connection, &detail.target, token).await?
            {
                let message = "the table that held the rows before the commit is gone";
                return Err(Error::new(ErrorKind::NotFound, message).with_hint("run the copy again"));
            }
            self.make(&mut connection, detail, (&stage, token)).await?;
        }
        self.connections.put_back(connection);
        let mut state = self.state.lock();
        state.staged.insert(token.clone());
        state.leases.insert(token.clone(), lease);
        Ok(())
    }

    /// What holds `stage`: the connection of this process that does so, else a new one.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) while another process of the run holds it.
    async fn hold(&self, stage: &Stage, token: &Token) -> Result<Connection> {
        let known = self.state.lock().leases.remove(token);
        if let Some(mut lease) = known {
            if lease.answers_in_time().await {
                return Ok(lease);
            }
            self.state.lock().broken.insert(token.clone(), lease.id());
        }
        let mut lease = self.connections.open().await?;
        let broken = self.state.lock().broken.get(token).copied();
        if let Some(broken) = broken {
            stage.end_broken(&mut lease, broken).await?;
        }
        if stage.hold(&mut lease).await? {
            self.state.lock().broken.remove(token);
            return Ok(lease);
        }
        Err(still_held())
    }

    async fn make(&self, connection: &mut Connection, detail: &Detail, (stage, token): (&Stage, &Token)) -> Result<()> {
        if detail.path == agree::Path::PerTask {
            if detail.must_be_empty {
                refuse_rows(connection, &detail.target).await?;
            }
            if let Some(new) = &detail.create {
                connection.run(&new.create(&detail.target.quoted(), &detail.comment)).await?;
            }
        }
        for statement in stage.create(detail, token) {
            connection.run(&statement).await?;
        }
        Ok(())
    }

    /// Whether this process has made the stage of `token`, and holds it.
    fn is_staged(&self, token: &Token) -> bool {
        let state = self.state.lock();
        state.staged.contains(token) && state.leases.get(token).is_some_and(Connection::is_ready)
    }

    /// Ends what this process still holds open for `token`.
    async fn let_go(&self, token: &Token) {
        let (held, lease) = {
            let mut state = self.state.lock();
            let (own, others): (Vec<_>, Vec<_>) = state.held.drain(..).partition(|(of, ..)| of == token);
            state.held = others;
            state.elders.remove(token);
            (own, state.leases.remove(token))
        };
        for (.., mut connection) in held {
            // A connection that is broken has rolled back by itself.
            let _ = connection.run("ROLLBACK").await;
            connection.close().await;
        }
        if let Some(lease) = lease {
            lease.close().await;
        }
    }

    /// Sends the COMMIT and finds out what became of it.
    async fn conclude(&self, mut connection: Connection, detail: &Detail, token: &Token) -> Result<()> {
        self.state.lock().commits.insert(token.clone(), Commit::Begun);
        let Err(error) = connection.run("COMMIT").await else {
            // It may hold the lock of the job.
            connection.close().await;
            return Ok(());
        };
        drop(connection);
        self.outcome(detail, token, error).await
    }

    /// What became of a commit whose answer was `error`.
    async fn outcome(&self, detail: &Detail, token: &Token, error: Error) -> Result<()> {
        match self.is_committed(detail, token).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.state.lock().commits.remove(token);
                // What the server has said itself is no answer that was lost.
                let is_known = error.kind() == ErrorKind::Timeout && is_reply(&error);
                Err(if is_known { error.as_kind(ErrorKind::Transient) } else { error })
            }
            // Another process is at it, and that is what `error` says.
            Err(_) if error.kind() == ErrorKind::Busy => Err(error),
            Err(_) => Err(doubtful(error)),
        }
    }

    /// The transaction that was kept for the attempt with this id.
    fn take_held(&self, attempt: &str) -> Option<Connection> {
        let mut state = self.state.lock();
        let place = state.held.iter().position(|(_, id, _)| id == attempt)?;
        Some(state.held.swap_remove(place).2)
    }

    /// Removes the stage of a commit. What is left goes with a later run.
    async fn sweep(&self, detail: &Detail, token: &Token) {
        if let Ok(mut connection) = self.connections.take().await
            && Stage::of(&detail.target, token).drop(&mut connection).await.is_ok()
        {
            self.connections.put_back(connection);
        }
    }

    /// Whether `token` is committed. A commit whose answer is lost may still be under way: it is waited for.
    async fn is_committed(&self, detail: &Detail, token: &Token) -> Result<bool> {
        // Those that are idle may be lost, too.
        let mut connection = self.connections.open().await?;
        let stage = Stage::of(&detail.target, token);
        if detail.path.renames() {
            stage.lock_commit(&mut connection).await?;
        }
        let stands = marker::stands(&mut connection, &detail.target, token).await?;
        if detail.path.renames() {
            stage.unlock_commit(&mut connection).await?;
        }
        self.connections.put_back(connection);
        Ok(stands)
    }
}

/// Under what the transaction is kept that has sifted the stage of `token` and only needs its COMMIT.
fn sifted(token: &Token) -> String {
    format!("sifted {token}")
}

fn doubtful(error: Error) -> Error {
    Error::new(ErrorKind::Connection, "whether the rows are committed is not known: the server does not answer")
        .with_hint("run it again with --resume when the server is back: it looks for its mark first")
        .with_source(error)
}

impl MySink {
    /// The sink of `object`. Opens nothing.
    pub(super) fn of(connections: Arc<Connections>, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        let name = Name::of(object, connections.config().database.as_deref())?;
        let shared = Shared { connections, state: Mutex::default(), staging: tokio::sync::Mutex::default() };
        Ok(Arc::new(Self { shared: Arc::new(shared), name }))
    }

    async fn commit_held(&self, detail: &Detail, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let attempt = match receipts {
            [receipt] => receipt.attempt.clone(),
            [] => {
                // A transaction as a writer without rows would leave it.
                let attempt = Attempt::new(token.clone(), 0, Vec::new());
                let mut writer = LoadWriter::open(Arc::clone(&self.shared), detail.clone(), &attempt).await?;
                writer.flush(token).await?;
                attempt.id
            }
            _ => {
                let message = "a transaction that is held open has one task, and several were committed";
                return Err(Error::new(ErrorKind::Internal, message));
            }
        };
        let Some(mut connection) = self.shared.take_held(&attempt) else {
            // An earlier call may have committed it.
            let gone = Error::new(ErrorKind::Connection, "the transaction that held the rows is gone");
            return self.shared.outcome(detail, token, gone.with_hint("run the copy again")).await;
        };
        let mark = (token, detail.advance.as_ref());
        marker::set(&mut connection, &detail.target, mark).await?;
        self.shared.conclude(connection, detail, token).await
    }

    async fn commit_staged(&self, detail: &Detail, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let sifted = self.shared.take_held(&sifted(token));
        if let Some(connection) = sifted {
            self.shared.conclude(connection, detail, token).await?;
            self.shared.sweep(detail, token).await;
            return Ok(());
        }
        let mut connection = self.shared.connections.take().await?;
        if detail.path.renames() {
            self.shared.state.lock().commits.insert(token.clone(), Commit::Begun);
        }
        match publish::staged(&mut connection, detail, (token, receipts), None).await {
            Ok(Ready::Done) => self.shared.connections.put_back(connection),
            Ok(Ready::ToCommit(merged)) => {
                self.shared.state.lock().merges.extend(merged.map(|merged| (token.clone(), merged)));
                self.shared.conclude(connection, detail, token).await?;
            }
            Err(error) => {
                // Its answer may be lost, or another process of the run have been faster.
                drop(connection);
                self.shared.outcome(detail, token, error).await?;
            }
        }
        self.shared.sweep(detail, token).await;
        Ok(())
    }
}

#[async_trait]
impl Sink for MySink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let mut connection = self.shared.connections.take().await?;
        let agreement = agree::agree(&mut connection, &self.name, incoming, request).await?;
        self.shared.connections.put_back(connection);
        Ok(agreement)
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let detail = Detail::of(agreement)?;
        if detail.path.held() {
            let mut connection = self.shared.connections.take().await?;
            let made = marker::make(&mut connection, &detail.target, detail.advance.as_ref()).await;
            self.shared.connections.put_back(connection);
            return made.at("table", || &agreement.label);
        }
        // Several tasks may be begun anew at once.
        let _alone = self.shared.staging.lock().await;
        if self.shared.is_staged(token) {
            return Ok(());
        }
        self.shared.stage(&detail, token).await.at("table", || &agreement.label)
    }

    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let writer = LoadWriter::open(Arc::clone(&self.shared), Detail::of(agreement)?, attempt).await;
        Ok(Box::new(writer.at("table", || &agreement.label)?))
    }

    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        let detail = Detail::of(agreement)?;
        self.shared.progress(&detail, token, logged).await.at("table", || &agreement.label)
    }

    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        let detail = Detail::of(agreement)?;
        if detail.path.held() {
            // Its rows were counted when the server took them.
            return Ok(Verdict::Equal);
        }
        let mut connection = self.shared.connections.take().await?;
        let verdict = proof::verify(&mut connection, (agreement, &detail), (token, receipts)).await;
        self.shared.connections.put_back(connection);
        verdict.at("table", || &agreement.label)
    }

    fn checksum(&self, agreement: &Agreement) -> Option<String> {
        proof::way(&Detail::of(agreement).ok()?)
    }

    fn holds_up(&self, agreement: &Agreement) -> Option<String> {
        Detail::of(agreement).ok()?.holds_up(agreement.guarantee).map(str::to_owned)
    }

    fn prover(&self, agreement: &Agreement) -> Result<Prover> {
        let detail = Detail::of(agreement)?;
        Ok(Prover::new(move |batch| proof::proofs(&detail, batch)))
    }

    async fn sift(
        &self,
        agreement: &Agreement,
        token: &Token,
        receipts: &[Receipt],
        refuse: &dyn Refuse,
    ) -> Result<()> {
        let detail = Detail::of(agreement)?;
        if !detail.is_sifted() {
            // The server has taken its rows already, or takes them under the rules of the target.
            return Ok(());
        }
        let mut connection = self.shared.connections.take().await?;
        let ready = publish::staged(&mut connection, &detail, (token, receipts), Some(refuse)).await;
        match ready.at("table", || &agreement.label)? {
            Ready::ToCommit(merged) => {
                let mut state = self.shared.state.lock();
                state.merges.extend(merged.map(|merged| (token.clone(), merged)));
                state.held.push((token.clone(), sifted(token), connection));
            }
            Ready::Done => self.shared.connections.put_back(connection),
        }
        Ok(())
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if self.shared.state.lock().commits.get(token) == Some(&Commit::Done) {
            return Ok(());
        }
        let detail = Detail::of(agreement)?;
        let committed = if detail.path.held() {
            self.commit_held(&detail, token, receipts).await
        } else {
            self.commit_staged(&detail, token, receipts).await
        };
        committed.at("table", || &agreement.label)?;
        self.shared.state.lock().commits.insert(token.clone(), Commit::Done);
        self.shared.let_go(token).await;
        Ok(())
    }

    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let detail = Detail::of(agreement)?;
        let commit = self.shared.state.lock().commits.get(token).copied();
        match commit {
            Some(Commit::Done) => return Ok(()),
            // What may be committed must not be swept.
            Some(Commit::Begun) if self.shared.is_committed(&detail, token).await? => {
                self.shared.state.lock().commits.insert(token.clone(), Commit::Done);
                return Ok(());
            }
            _ => {}
        }
        if detail.path.held() {
            self.shared.let_go(token).await;
            return Ok(());
        }
        let stage = Stage::of(&detail.target, token);
        // Another process may have gone on with the run: then all of it is its.
        let lease = self.shared.hold(&stage, token).await.at("table", || &agreement.label)?;
        self.shared.let_go(token).await;
        let mut connection = self.shared.connections.take().await?;
        stage.dismiss(&mut connection).await.at("table", || &agreement.label)?;
        stage.drop(&mut connection).await.at("table", || &agreement.label)?;
        self.shared.connections.put_back(connection);
        // Its tasks may be begun anew.
        self.shared.state.lock().staged.remove(token);
        lease.close().await;
        Ok(())
    }

    async fn position(&self, stream: &str) -> Result<Noted> {
        let mut connection = self.shared.connections.take().await?;
        let noted = marker::noted(&mut connection, &self.name, stream).await?;
        self.shared.connections.put_back(connection);
        Ok(noted)
    }

    fn merged(&self, token: &Token) -> Option<Merged> {
        self.shared.state.lock().merges.get(token).copied()
    }
}

/// Gives the target of `agreement` its own comment back, and keeps the mark of its commit elsewhere.
pub(super) async fn finish(connection: &mut Connection, agreement: &Agreement) -> Result<()> {
    let detail = Detail::of(agreement)?;
    let comment = marker::comment(connection, &detail.target).await?;
    let Some(token) = comment.as_deref().and_then(stage::marked_token) else { return Ok(()) };
    marker::keep(connection, &detail.target, token).await?;
    let comment = super::name::quoted_text(&detail.comment);
    let restore = format!("SET lock_wait_timeout = 3; ALTER TABLE {} COMMENT = {comment}", detail.target.quoted());
    match connection.run(&restore).await {
        // The data are there, and the mark does no harm: it goes with a later run.
        Err(error) if error.kind() == ErrorKind::Timeout => Ok(()),
        done => done,
    }
}
