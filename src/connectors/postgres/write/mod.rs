//! The sink: agreement, stage, writers by binary COPY, commit and abort.
//!
//! Two ways (see `agree/path.rs`). Held: one transaction stays open from the first row to the commit. Staged: each task is
//! a transaction into a hidden table that ends with its progress rows; the commit publishes the table in one step.

mod copy;
mod registry;

use std::sync::Arc;

use async_trait::async_trait;

use self::copy::CopyWriter;
use self::registry::Registry;
use super::agree::{self, Detail, Emptying, Path};
use super::config::Config;
use super::connect::{Connection, connect};
use super::ddl::Stage;
use super::name::{Name, literal};
use super::publish;
use crate::attempt::{Attempt, Token};
use crate::endpoint::ObjectRef;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::sink::{Agreement, Receipt, Sink, WriteRequest, Writer};
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
    config: Config,
    registry: Registry,
}

impl PostgresSink {
    /// A sink of `object`. Opens nothing.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) when `object` names no table.
    pub(super) fn of(config: Config, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        let name = Name::of(object)?;
        Ok(Arc::new(Self { shared: Arc::new(Shared { config, registry: Registry::default() }), name }))
    }
}

impl Shared {
    /// An idle connection, or a new one.
    async fn connection(&self) -> Result<Connection> {
        match self.registry.idle() {
            Some(connection) => Ok(connection),
            None => connect(&self.config, "write").await,
        }
    }

    /// Runs `sql` on a connection of its own.
    async fn run(&self, sql: &str) -> Result<()> {
        let connection = self.connection().await?;
        connection.run(sql).await?;
        self.registry.put_back(connection);
        Ok(())
    }
}

#[async_trait]
impl Sink for PostgresSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let connection = self.shared.connection().await?;
        let agreement = agree::agree(&connection, &self.name, incoming, request).await?;
        self.shared.registry.put_back(connection);
        Ok(agreement)
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let detail = Detail::of(agreement)?;
        if detail.path.held() {
            return Ok(());
        }
        let sql = Stage::of(&detail.target, token).create(&detail, token);
        self.shared.run(&sql).await.at("table", || &agreement.label)
    }

    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let detail = Detail::of(agreement)?;
        let writer = CopyWriter::open(Arc::clone(&self.shared), detail, attempt).await;
        Ok(Box::new(writer.at("table", || &agreement.label)?))
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if self.shared.registry.committed(token) {
            return Ok(());
        }
        let detail = Detail::of(agreement)?;
        let committed = if detail.path.held() {
            self.commit_held(&detail, token, receipts).await
        } else {
            let connection = self.shared.connection().await?;
            let committed = publish::staged(&connection, &detail, token, receipts).await;
            if committed.is_ok() {
                self.shared.registry.put_back(connection);
            }
            committed
        };
        committed.map_err(|error| taken(error, &detail)).at("table", || &agreement.label)?;
        self.shared.registry.settle(token);
        for connection in self.shared.registry.forget(token) {
            connection.close().await;
        }
        Ok(())
    }

    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        if self.shared.registry.committed(token) {
            return Ok(());
        }
        let detail = Detail::of(agreement)?;
        for connection in self.shared.registry.forget(token) {
            // A connection that is broken has rolled back by itself.
            let _ = connection.run("ROLLBACK").await;
            connection.close().await;
        }
        let connection = self.shared.connection().await?;
        let stage = Stage::of(&detail.target, token);
        publish::sweep(&connection, &stage, detail.path).await.at("table", || &agreement.label)?;
        self.shared.registry.put_back(connection);
        Ok(())
    }

    fn takes(&self, agreement: &Agreement, encoding: &Encoding) -> bool {
        Detail::of(agreement).is_ok_and(|detail| detail.raw.as_ref() == Some(encoding))
    }
}

impl PostgresSink {
    async fn commit_held(&self, detail: &Detail, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let held = match receipts {
            [] => Some(self.held_without_rows(detail, token).await?),
            [receipt] => self.shared.registry.take(&receipt.attempt),
            _ => {
                let message = "a transaction that is held open has one task, and several were committed";
                return Err(Error::new(ErrorKind::Internal, message));
            }
        };
        let control = self.shared.connection().await?;
        let Some((connection, attempt)) = held else {
            let stands = detail.marker.ensure(&control).await.is_ok() && detail.marker.stands(&control, token).await?;
            let lost = || {
                Error::new(ErrorKind::Connection, "the transaction that held the rows is gone")
                    .with_hint("run the copy again")
            };
            return if stands { Ok(()) } else { Err(lost()) };
        };
        detail.marker.ensure(&control).await?;
        let own = Stage::own(&detail.target, &attempt);
        match connection.run(&publish::held(detail, &own, token)).await {
            Ok(()) => {
                self.shared.registry.put_back(connection);
                self.shared.registry.put_back(control);
                Ok(())
            }
            // The answer may be lost, or an earlier call may have set the mark.
            Err(error) => {
                drop(connection);
                if detail.marker.stands(&control, token).await.unwrap_or(false) { Ok(()) } else { Err(error) }
            }
        }
    }

    /// A transaction as a writer without rows would leave it.
    async fn held_without_rows(&self, detail: &Detail, token: &Token) -> Result<(Connection, String)> {
        let attempt = Attempt::new(token.clone(), 0, Vec::new());
        let connection = self.shared.connection().await?;
        connection.run(&opening(&connection, detail, &attempt)).await?;
        Ok((connection, attempt.id))
    }
}

/// The statements that open the transaction of `attempt`, up to its COPY.
fn opening(connection: &Connection, detail: &Detail, attempt: &Attempt) -> String {
    let settings = connection.server().settings();
    let writer = Stage::of(&detail.target, &attempt.token).writer;
    let first = match (detail.path, &detail.create) {
        (Path::NewHeld, Some(new)) => new.create(&Stage::own(&detail.target, &attempt.id).quoted()),
        (Path::Held(Emptying::Truncate), _) => format!("TRUNCATE {}", detail.target.quoted()),
        _ => String::new(),
    };
    format!("BEGIN; {settings}SET LOCAL application_name = {}; {first}", literal(&writer))
}

/// A new table whose name somebody else took in the meantime.
fn taken(error: Error, detail: &Detail) -> Error {
    if error.kind() == ErrorKind::AlreadyExists && detail.create.is_some() {
        return Error::new(ErrorKind::AlreadyExists, "somebody else made this table while it was being copied")
            .with_source(error);
    }
    error
}
