//! The marker of a commit: one row per token, in the same transaction as the rows that it stands for. The position of an
//! incremental copy moves with it. Executed SQL of the user has a mark, too.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::connect::Connection;
use super::name::{Name, literal};
use super::patience;
use super::position::Positions;
use super::target::MarkerRights;
use crate::attempt::Token;
use crate::error::{ErrorKind, Result};
use crate::sink::{Advance, Guarantee};

/// How long a marker may be asked for: a run that is resumed later finds none.
const KEPT: &str = "90 days";

/// Where markers stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The table, quoted; none when this user may create nothing.
    table: Option<String>,
    /// What makes the table when it is missing.
    make: Option<String>,
    /// The position that the commit moves.
    advance: Option<(Positions, Advance)>,
}

/// Makes a table of ours in the open transaction, unless another run makes it at the same moment.
pub(super) async fn make(connection: &Connection, sql: &str) -> Result<()> {
    match connection.run(&format!("SAVEPOINT etl_marker; {sql}; RELEASE SAVEPOINT etl_marker")).await {
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Constraint) => {
            connection.run("ROLLBACK TO SAVEPOINT etl_marker").await
        }
        made => made,
    }
}

impl Marker {
    /// The schema `etl` where it may be used or made, else the target's own.
    pub(super) fn choose(rights: &MarkerRights, may_create: bool, target: &Name) -> Self {
        let columns = "(token text PRIMARY KEY, committed_at timestamptz NOT NULL DEFAULT now())";
        let create = |table: &str| format!("CREATE TABLE IF NOT EXISTS {table} {columns}");
        let own = "etl.commits";
        let (table, make) = match (rights.table, rights.schema) {
            (Some(true), _) => (own.to_owned(), None),
            (None, Some(true)) => (own.to_owned(), Some(create(own))),
            (None, None) if rights.database => {
                (own.to_owned(), Some(format!("CREATE SCHEMA IF NOT EXISTS etl; {}", create(own))))
            }
            _ if may_create => {
                let table = target.beside("etl_commits").quoted();
                let make = create(&table);
                (table, Some(make))
            }
            _ => return Self { table: None, make: None, advance: None },
        };
        Self { table: Some(table), make, advance: None }
    }

    /// What can be promised, with a note where it is less than everything.
    pub(super) fn guarantee(&self, notes: &mut Vec<String>) -> Guarantee {
        if self.table.is_some() {
            return Guarantee::ExactlyOnce;
        }
        notes.push(
            "no table may be created: a commit whose answer is lost cannot be told from one that failed".to_owned(),
        );
        Guarantee::AtLeastOnce
    }

    /// Moves the position and sets the mark of `token` in the open transaction, in which the table is made when it is missing. A second mark
    /// for the same token fails.
    pub(super) async fn set(&self, connection: &Connection, token: &(impl Display + Sync)) -> Result<()> {
        if let Some((positions, advance)) = &self.advance {
            positions.advance(connection, advance).await?;
        }
        let Some(table) = &self.table else { return Ok(()) };
        if let Some(sql) = &self.make {
            make(connection, sql).await?;
        }
        connection.run(&mark(table, token)).await
    }

    /// Begins a transaction and sets the mark of `token` in it: in one round trip where it can be done.
    pub(super) async fn begin(&self, connection: &Connection, token: &(impl Display + Sync)) -> Result<()> {
        if let Self { table: Some(table), make: None, advance: None } = self {
            return connection.run(&format!("BEGIN; {}", mark(table, token))).await;
        }
        connection.run("BEGIN").await?;
        self.set(connection, token).await
    }

    /// The same, which also moves a position.
    #[must_use]
    pub(super) fn advancing(self, advance: Option<(Positions, Advance)>) -> Self {
        Self { advance, ..self }
    }

    /// Runs `lock`, and sets the mark of `token` then, unless it is committed: in one round trip where it can be done. Whether it
    /// was set.
    pub(super) async fn set_under(&self, connection: &Connection, token: &Token, lock: &str) -> Result<bool> {
        if let Self { table: Some(table), make: None, advance: None } = self {
            // Each statement sees what was committed when it began.
            let sql = format!("{lock}; {} ON CONFLICT DO NOTHING", mark(table, token));
            return Ok(patience::affected(connection, &sql).await? == 1);
        }
        patience::run(connection, lock).await?;
        if self.stands(connection, token).await? {
            return Ok(false);
        }
        self.set(connection, token).await?;
        Ok(true)
    }

    /// Whether `token` is committed. Asked under the lock of its commit, so that none is under way.
    pub(super) async fn stands(&self, connection: &Connection, token: &(impl Display + Sync)) -> Result<bool> {
        let Some(table) = &self.table else { return Ok(false) };
        if self.make.is_some() {
            let there = connection.rows(&format!("SELECT to_regclass({})", literal(table))).await?;
            if there.first().is_none_or(|row| row.get(0).is_none()) {
                return Ok(false);
            }
        }
        Ok(!connection.rows(&question(table, token)).await?.is_empty())
    }

    /// Whether there is a place to ask in.
    pub(super) fn is_kept(&self) -> bool {
        self.table.is_some()
    }

    /// Where `token` can be looked for, in words.
    pub(super) fn place(&self, token: &Token) -> String {
        match &self.table {
            Some(table) => format!("look for the token {token} in {table}: the rows are in the target if it is there"),
            None => "look into the target whether the rows are there".to_owned(),
        }
    }

    /// Removes marks that nobody will ask for any more.
    pub(super) async fn tidy(&self, connection: &Connection) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        connection.run(&format!("DELETE FROM {table} WHERE committed_at < now() - interval '{KEPT}'")).await
    }
}

/// Sets the mark of `token`.
fn mark(table: &str, token: &impl Display) -> String {
    format!("INSERT INTO {table} (token) VALUES ({})", literal(&token.to_string()))
}

/// Has a row where `token` is committed.
fn question(table: &str, token: &impl Display) -> String {
    format!("SELECT 1 FROM {table} WHERE token = {}", literal(&token.to_string()))
}
