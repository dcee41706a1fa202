//! The sink of one table, over writers that load rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::agree::{self, Detail, Target};
use super::catalog;
use super::connect::Connection;
use super::connections::Connections;
use super::marker;
use super::name::Name;
use super::publish;
use super::stage::{self, Stage};
use crate::attempt::{Attempt, Token};
use crate::bridge::connections::Pooled as _;
use crate::endpoint::ObjectRef;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::proof::Verdict;
use crate::sink::{Agreement, Progress, Receipt, Sink, WriteRequest, Writer};
use crate::source::TableShape;
use crate::sql::beside::still_held;

mod writer;

use writer::BulkWriter;

/// One table of one server.
#[derive(Debug)]
pub(super) struct MsSink {
    connections: Arc<Connections>,
    name: Name,
    state: Mutex<State>,
    /// Who makes a stage makes it alone.
    staging: tokio::sync::Mutex<()>,
}

/// What is kept between calls.
#[derive(Debug, Default)]
struct State {
    /// Connections that hold the stage of a token.
    leases: HashMap<Token, Connection>,
    /// Tokens whose stage this process has prepared.
    prepared: HashSet<Token>,
    committed: HashSet<Token>,
    /// Tokens whose COMMIT may have been sent, and of whose answer nothing is known.
    doubtful: HashSet<Token>,
}

impl MsSink {
    /// The sink of `object`. Opens nothing.
    pub(super) fn of(connections: Arc<Connections>, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        let name = Name::of(object)?;
        Ok(Arc::new(Self { connections, name, state: Mutex::default(), staging: tokio::sync::Mutex::default() }))
    }

    /// What the target is like now.
    async fn look(&self, connection: &mut Connection) -> Result<Target> {
        match catalog::find(connection, &self.name).await? {
            Some(table) => {
                let filled = !table.is_view && catalog::is_filled(connection, &table.name).await?;
                Ok(Target::Table { table: Box::new(table), filled })
            }
            None => Ok(Target::Missing(self.name.clone().within(&catalog::own_schema(connection).await?))),
        }
    }

    /// Holds the stage of `token`, and removes those of earlier runs that nobody holds any more.
    async fn stage(&self, detail: &Detail, token: &Token) -> Result<()> {
        let mut lease = self.hold(detail, token).await?;
        stage::hold_job(&mut lease, detail).await?;
        let mut connection = self.connections.take().await?;
        marker::make(&mut connection, &detail.target).await?;
        stage::sweep_orphans(&mut connection, &detail.target).await?;
        self.connections.put_back(connection);
        let mut state = self.state.lock();
        state.leases.insert(token.clone(), lease);
        state.prepared.insert(token.clone());
        Ok(())
    }

    /// What holds the stage of `token`: the connection of this process that does so, else a new one.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) while another process of the run holds it.
    async fn hold(&self, detail: &Detail, token: &Token) -> Result<Connection> {
        let known = self.state.lock().leases.remove(token);
        if let Some(mut lease) = known
            && lease.answers_in_time().await
        {
            return Ok(lease);
        }
        let mut lease = self.connections.open().await?;
        if Stage::of(&detail.target, token).hold(&mut lease).await? {
            return Ok(lease);
        }
        Err(still_held())
    }

    /// Whether this process has prepared the stage of `token`, and holds it.
    fn is_prepared(&self, token: &Token) -> bool {
        let state = self.state.lock();
        state.prepared.contains(token) && state.leases.get(token).is_some_and(Connection::is_ready)
    }

    async fn publish(&self, detail: &Detail, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let mut connection = self.connections.take().await?;
        if marker::stands(&mut connection, &detail.target, token).await? {
            self.connections.put_back(connection);
            return Ok(());
        }
        if let Err(error) = publish::bring(&mut connection, detail, token, receipts).await {
            drop(connection);
            // Another process of the run may have been faster.
            return self.outcome(detail, token, error).await;
        }
        self.state.lock().doubtful.insert(token.clone());
        let Err(error) = connection.run("COMMIT").await else {
            self.state.lock().doubtful.remove(token);
            self.connections.put_back(connection);
            return Ok(());
        };
        drop(connection);
        self.outcome(detail, token, error).await
    }

    /// What became of a commit whose answer was `error`.
    async fn outcome(&self, detail: &Detail, token: &Token, error: Error) -> Result<()> {
        let doubtful = |error: Error| {
            Error::new(ErrorKind::Connection, "whether the rows are committed is not known: the server does not answer")
                .with_hint("run it again with --resume when the server is back: it looks for its mark first")
                .with_source(error)
        };
        let Ok(mut connection) = self.connections.open().await else { return Err(doubtful(error)) };
        match marker::stands(&mut connection, &detail.target, token).await {
            Ok(stands) => {
                self.state.lock().doubtful.remove(token);
                if stands { Ok(()) } else { Err(error) }
            }
            Err(_) => Err(doubtful(error)),
        }
    }

    /// Removes what `token` staged, and ends what holds it. What is left goes with a later run.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) where another process has gone on with the run: then all of it is its.
    async fn sweep(&self, detail: &Detail, token: &Token) -> Result<()> {
        let lease = self.hold(detail, token).await?;
        let mut connection = self.connections.take().await?;
        let dropped = Stage::of(&detail.target, token).drop(&mut connection).await;
        self.connections.put_back(connection);
        self.state.lock().prepared.remove(token);
        lease.close().await;
        dropped
    }

    async fn is_committed(&self, detail: &Detail, token: &Token) -> Result<bool> {
        let mut connection = self.connections.take().await?;
        let stands = marker::stands(&mut connection, &detail.target, token).await?;
        self.connections.put_back(connection);
        Ok(stands)
    }

    async fn progressed(&self, detail: &Detail, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        // Before the look, so that nobody changes what is found: neither its process, nor a run that sweeps.
        let lease = self.hold(detail, token).await;
        if self.is_committed(detail, token).await? {
            return Ok(Progress::Committed);
        }
        self.state.lock().leases.insert(token.clone(), lease?);
        let mut connection = self.connections.take().await?;
        let kept = Stage::of(&detail.target, token).kept(&mut connection, logged).await?;
        self.connections.put_back(connection);
        Ok(Progress::Kept(kept))
    }
}

#[async_trait]
impl Sink for MsSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let mut connection = self.connections.take().await?;
        let target = self.look(&mut connection).await?;
        self.connections.put_back(connection);
        agree::agree(incoming, request, &target)
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        // Several tasks may be begun anew at once.
        let _alone = self.staging.lock().await;
        if self.is_prepared(token) {
            return Ok(());
        }
        self.stage(&Detail::of(agreement)?, token).await.at("table", || &agreement.label)
    }

    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let writer = BulkWriter::open(Arc::clone(&self.connections), Detail::of(agreement)?, attempt).await;
        Ok(Box::new(writer.at("table", || &agreement.label)?))
    }

    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        self.progressed(&Detail::of(agreement)?, token, logged).await.at("table", || &agreement.label)
    }

    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        let stage = Stage::of(&Detail::of(agreement)?.target, token);
        let mut connection = self.connections.take().await?;
        let (mut found, mut equal) = (0, true);
        for receipt in receipts {
            let count = stage.count(&mut connection, &receipt.attempt).await.at("table", || &agreement.label)?;
            found += count.unwrap_or(0);
            equal &= count == Some(receipt.rows);
        }
        self.connections.put_back(connection);
        let wanted: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
        let message = || format!("the stage holds {found} rows of these tasks, it should hold {wanted}");
        Ok(if equal { Verdict::Equal } else { Verdict::Unequal(message()) })
    }

    fn holds_up(&self, agreement: &Agreement) -> Option<String> {
        Detail::of(agreement).ok()?.holds_up().map(str::to_owned)
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if self.state.lock().committed.contains(token) {
            return Ok(());
        }
        let detail = Detail::of(agreement)?;
        self.publish(&detail, token, receipts).await.at("table", || &agreement.label)?;
        self.state.lock().committed.insert(token.clone());
        // The rows are there: what cannot be removed now goes with a later run.
        let _ = self.sweep(&detail, token).await;
        Ok(())
    }

    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        if self.state.lock().committed.contains(token) {
            return Ok(());
        }
        let detail = Detail::of(agreement)?;
        // What may be committed must not be swept.
        let in_doubt = self.state.lock().doubtful.contains(token);
        if in_doubt && self.is_committed(&detail, token).await? {
            self.state.lock().committed.insert(token.clone());
        }
        self.sweep(&detail, token).await.at("table", || &agreement.label)
    }
}

/// Forgets marks beside the target of `agreement` that nobody will ask for any more.
pub(super) async fn finish(connection: &mut Connection, agreement: &Agreement) -> Result<()> {
    marker::forget(connection, &Detail::of(agreement)?.target).await
}
