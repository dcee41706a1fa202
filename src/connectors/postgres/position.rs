//! Positions of incremental copies: one row each, moved in the transaction that brings the rows.

use serde::{Deserialize, Serialize};

use super::connect::Connection;
use super::marker;
use super::name::{Name, filled, literal};
use super::patience::affected;
use crate::error::Result;
use crate::sink::{Advance, Noted, moved_meanwhile};

/// Who may use what for a table of positions; a schema that may not be used may not be looked into, either. $SCHEMA is the target's schema
/// as a literal, $BESIDE the table in it.
const RIGHTS: &str = "
SELECT
  CASE
    WHEN to_regnamespace('etl') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
    -- Who may not look into the schema may not even ask what is in it.
    WHEN NOT has_schema_privilege('etl', 'USAGE') THEN false
    WHEN to_regclass('etl.positions') IS NULL THEN has_schema_privilege('etl', 'CREATE')
    ELSE has_table_privilege('etl.positions', 'SELECT') AND has_table_privilege('etl.positions', 'INSERT')
      AND has_table_privilege('etl.positions', 'UPDATE')
  END,
  to_regnamespace('etl') IS NOT NULL,
  to_regclass($BESIDE) IS NOT NULL OR has_schema_privilege($SCHEMA, 'CREATE')";

/// The table of positions of one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Positions {
    /// The table, quoted.
    table: String,
    /// What makes it when it is missing.
    make: String,
}

impl Positions {
    /// In the schema `etl` where it may be used or made, else beside `target`, whose schema is known; none where this
    /// user may create nothing.
    pub(super) async fn find(connection: &Connection, target: &Name) -> Result<Option<Self>> {
        let beside = target.beside("etl_positions").quoted();
        let schema = target.schema.as_deref().map_or_else(|| "current_schema()".to_owned(), literal);
        let sql = filled(RIGHTS, &[("SCHEMA", &schema), ("BESIDE", &literal(&beside))]);
        let rows = connection.rows(&sql).await?;
        let is = |at: usize| rows.first().is_some_and(|row| row.get(at) == Some("t"));
        let create = |table: &str| {
            format!(
                "CREATE TABLE IF NOT EXISTS {table} (stream text PRIMARY KEY, position text NOT NULL, \
                 moved_at timestamptz NOT NULL DEFAULT now())"
            )
        };
        let own = "etl.positions";
        Ok(match (is(0), is(1), is(2)) {
            (true, true, _) => Some(Self { table: own.to_owned(), make: create(own) }),
            (true, false, _) => {
                let make = format!("CREATE SCHEMA IF NOT EXISTS etl; {}", create(own));
                Some(Self { table: own.to_owned(), make })
            }
            (false, _, true) => Some(Self { make: create(&beside), table: beside }),
            (false, _, false) => None,
        })
    }

    async fn is_there(&self, connection: &Connection) -> Result<bool> {
        let found = connection.rows(&format!("SELECT to_regclass({})", literal(&self.table))).await?;
        Ok(found.first().is_some_and(|row| row.get(0).is_some()))
    }

    /// Moves the position in the open transaction, if it is still where it was when the copy was planned.
    pub(super) async fn advance(&self, connection: &Connection, advance: &Advance) -> Result<()> {
        if !self.is_there(connection).await? {
            marker::make(connection, &self.make).await?;
        }
        let (table, stream, to) = (&self.table, literal(&advance.stream), literal(&advance.to));
        let sql = match &advance.from {
            Noted::At(from) => format!(
                "UPDATE {table} SET position = {to}, moved_at = now() WHERE stream = {stream} AND position = {}",
                literal(from)
            ),
            // Of two runs that make the table, one fails.
            Noted::NoTarget => format!(
                "INSERT INTO {table} (stream, position) VALUES ({stream}, {to}) \
                 ON CONFLICT (stream) DO UPDATE SET position = excluded.position, moved_at = now()"
            ),
            Noted::Nothing | Noted::Nowhere => {
                format!("INSERT INTO {table} (stream, position) VALUES ({stream}, {to}) ON CONFLICT DO NOTHING")
            }
        };
        if affected(connection, &sql).await? == 1 { Ok(()) } else { Err(moved_meanwhile()) }
    }
}

/// What the target `name` notes of `stream`.
pub(super) async fn noted(connection: &Connection, name: &Name, stream: &str) -> Result<Noted> {
    let sql = format!(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass({})",
        literal(&name.quoted())
    );
    let rows = connection.rows(&sql).await?;
    let schema = rows.first().and_then(|row| row.get(0)).map(str::to_owned);
    let target = Name { schema: schema.clone().or_else(|| name.schema.clone()), table: name.table.clone() };
    if schema.is_none() {
        return Ok(Noted::NoTarget);
    }
    let Some(positions) = Positions::find(connection, &target).await? else { return Ok(Noted::Nowhere) };
    if !positions.is_there(connection).await? {
        return Ok(Noted::Nothing);
    }
    let sql = format!("SELECT position FROM {} WHERE stream = {}", positions.table, literal(stream));
    let rows = connection.rows(&sql).await?;
    Ok(rows.first().and_then(|row| row.get(0)).map_or(Noted::Nothing, |position| Noted::At(position.to_owned())))
}
