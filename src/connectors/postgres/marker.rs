//! The marker of a commit: one row per token, in the same transaction as the rows that it stands for.

use serde::{Deserialize, Serialize};

use super::connect::Connection;
use super::name::{Name, literal};
use super::target::MarkerRights;
use crate::attempt::Token;
use crate::error::{ErrorKind, Result};
use crate::sink::Guarantee;

/// How long a marker may be asked for: a run that is resumed later finds none.
const KEPT: &str = "90 days";

/// Where markers stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The table, quoted; none when this user may create nothing.
    table: Option<String>,
    /// What makes the table when it is missing.
    make: Option<String>,
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
            _ => return Self { table: None, make: None },
        };
        Self { table: Some(table), make }
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

    /// Makes the table when it was missing.
    pub(super) async fn ensure(&self, connection: &Connection) -> Result<()> {
        let Some(make) = &self.make else { return Ok(()) };
        match connection.run(make).await {
            // Another run made it at the same moment.
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Constraint) => {
                connection.run(make).await
            }
            result => result,
        }
    }

    /// The statement that sets the mark; a second one for the same token fails.
    pub(super) fn set(&self, token: &Token) -> String {
        let Some(table) = &self.table else { return String::new() };
        format!(
            "DELETE FROM {table} WHERE committed_at < now() - interval '{KEPT}'; INSERT INTO {table} (token) VALUES ({});",
            literal(&token.to_string())
        )
    }

    /// Whether `token` is committed. Waits for a commit that is under way.
    pub(super) async fn stands(&self, connection: &Connection, token: &Token) -> Result<bool> {
        let Some(table) = &self.table else { return Ok(false) };
        // An insert meets the row of a transaction that has not ended, which a SELECT would not see.
        let token = literal(&token.to_string());
        let sql = format!(
            "BEGIN; INSERT INTO {table} (token) VALUES ({token}) ON CONFLICT DO NOTHING RETURNING token; ROLLBACK"
        );
        Ok(connection.rows(&sql).await?.is_empty())
    }
}
