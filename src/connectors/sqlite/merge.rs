//! Merging by key: rows wait in a temporary table and find those of the target at the commit.
//!
//! The temporary table has the target's affinities and collations, so that two keys are the same there if they are in the
//! target. Values are compared as they are stored: what a collation takes for equal is updated all the same.

use rusqlite::{Connection, OptionalExtension as _, ffi};
use serde::{Deserialize, Serialize};

use super::catalog::quoted;
use super::error::failed;
use super::keys;
use super::stage::Detail;
use super::typemap::Affinity;
use crate::error::{Error, ErrorKind, Result};
use crate::merge::{Absent, Duplicates, Merge, Merged, duplicate_key};
use crate::sink::WriteMode;
use crate::sql::ddl::identifiers;
use crate::sql::dialect::{Dialect as _, Sqlite};
use crate::sql::merge::{self, PLACE, RANK, ROWS, TARGET};

/// The table in which rows wait. Its column [`PLACE`] is the row id, whose own names may be those of columns.
pub(super) const WAITING: &str = "temp.etl_merge";

/// How rows are merged into the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Merging {
    /// The columns of the key, by their names in the target.
    pub(super) key: Vec<String>,
    duplicates: Duplicates,
    absent: Absent,
}

impl Merging {
    /// How rows are merged by `merge`, which has the names of the target.
    pub(super) fn new(merge: Merge, mode: &WriteMode) -> Self {
        Self { key: merge.key, duplicates: merge.duplicates, absent: mode.absent() }
    }

    /// What the user should know.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            self.absent.note(&self.key),
            "rows are written into a temporary table first; the merge reads it and looks up each key".to_owned(),
        ];
        notes.extend(self.duplicates.note());
        notes
    }

    /// Refuses rows that are gone with others that nobody asked to change.
    pub(super) fn check(&self, connection: &Connection, table: &str) -> Result<()> {
        match keys::changed_by_deletion(connection, table)?.filter(|_| self.absent == Absent::Deleted) {
            Some(other) => {
                let message = format!("deleting rows would change those of {other}, whose foreign key refers to it");
                Err(Error::new(ErrorKind::Constraint, message).with_hint("use --mode upsert, which deletes nothing"))
            }
            None => Ok(()),
        }
    }

    /// The statements that merge the rows of `waiting`, a table or a part of it in parentheses, in their order: deletion, update and insertion, as far as each is needed.
    pub(super) fn statements(&self, detail: &Detail, waiting: &str) -> [Option<String>; 3] {
        let differs = |name: &String| {
            let name = Sqlite.identifier(name);
            format!("{TARGET}.{name} COLLATE BINARY IS NOT {ROWS}.{name}")
        };
        let parts = merge::Merging {
            dialect: &Sqlite,
            table: &quoted(&detail.table),
            columns: &detail.columns,
            key: &self.key,
            rows: &format!("{waiting} AS {ROWS}"),
            or: " OR ABORT",
            differs: &detail.columns.iter().map(differs).collect::<Vec<_>>(),
        };
        parts.statements(self.absent)
    }

    /// Merges the rows that wait, in the transaction that is open.
    pub(super) fn merge(&self, connection: &Connection, detail: &Detail) -> Result<Merged> {
        self.settle(connection)?;
        connection.execute_batch("PRAGMA defer_foreign_keys = ON").map_err(failed)?;
        let run = |sql: Option<String>| match sql {
            Some(sql) => connection.execute(&sql, []).map_err(refused),
            None => Ok(0),
        };
        let [delete, update, insert] = self.statements(detail, WAITING);
        let (deleted, updated, inserted) = (run(delete)?, run(update)?, run(insert)?);
        connection.execute_batch(&format!("DROP TABLE {WAITING}")).map_err(failed)?;
        Ok(Merged { inserted: inserted as u64, updated: updated as u64, deleted: deleted as u64 })
    }

    /// Leaves one row of each key, which are found quickly then.
    pub(super) fn settle(&self, connection: &Connection) -> Result<()> {
        self.settle_keys(connection)?;
        let index = format!("CREATE INDEX {WAITING}_key ON etl_merge ({})", identifiers(&Sqlite, &self.key));
        connection.execute_batch(&index).map_err(failed)
    }

    fn settle_keys(&self, connection: &Connection) -> Result<()> {
        let key = identifiers(&Sqlite, &self.key);
        let waiting = merge::Waiting { table: WAITING, place: PLACE, arrival: &[PLACE] };
        let ranked = merge::ranked(&Sqlite, waiting, &self.key, &self.duplicates);
        let several = format!(
            "SELECT min({PLACE}), max({PLACE}) FROM ({ranked}) WHERE {RANK} = 1 GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
        );
        let places = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        if let Some((one, other)) = connection.query_row(&several, [], places).optional().map_err(failed)? {
            return Err(duplicate_key(&self.key, &self.duplicates, &format!("{one} and {other}, as they came")));
        }
        if self.duplicates == Duplicates::Refuse {
            return Ok(());
        }
        let sql = format!("DELETE FROM {WAITING} WHERE {PLACE} IN (SELECT {PLACE} FROM ({ranked}) WHERE {RANK} > 1)");
        connection.execute(&sql, []).map_err(failed).map(drop)
    }
}

/// Makes the table in which rows wait.
pub(super) fn make_waiting(connection: &Connection, detail: &Detail) -> Result<()> {
    let column = |(name, declared): (&String, &String)| -> Result<String> {
        let (_, collation, ..) =
            connection.column_metadata(Some("main"), detail.table.as_str(), name).map_err(failed)?;
        let collation = collation.map_or_else(|| "BINARY".into(), std::ffi::CStr::to_string_lossy);
        let affinity = Affinity::of(declared).word();
        Ok(format!("{} {affinity} COLLATE {}", Sqlite.identifier(name), Sqlite.identifier(&collation)))
    };
    let columns = detail.columns.iter().zip(&detail.declared).map(column).collect::<Result<Vec<_>>>()?;
    let sql = format!("CREATE TABLE {WAITING} ({}, {PLACE} INTEGER PRIMARY KEY)", columns.join(", "));
    connection.execute_batch(&sql).map_err(failed)
}

/// The key decides which row is replaced: another unique index that refuses a row is a conflict that it does not solve.
fn refused(error: rusqlite::Error) -> Error {
    let unique = matches!(&error, rusqlite::Error::SqliteFailure(code, _)
        if [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY].contains(&code.extended_code));
    let error = failed(error);
    if unique { error.with_hint(merge::OTHER_KEY) } else { error }
}
