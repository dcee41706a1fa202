//! The stage of one commit: a table in the target's own file, filled by many transactions and published by one.
//!
//! ```text
//! prepare   CREATE TABLE etl_stage_TOKEN (columns, __etl_attempt) [· CREATE TABLE etl_stage_TOKEN_rest]
//! task      BEGIN · rows, each with the id of its attempt · COMMIT
//! gather    [BEGIN · INSERT INTO the stage SELECT … FROM the rest · COMMIT]
//! commit    BEGIN · [DELETE rows of attempts that no receipt names] · publish · mark · COMMIT
//! publish   a new table, all of the stage:  ALTER the stage into what is wanted · RENAME it
//!           else:  [CREATE] · [DELETE] · INSERT … SELECT, or merge by key · DROP the stage
//! ```
//!
//! A stage that becomes the table has groups of rows that are whole, or nearly so. What is left of each attempt waits in a table
//! beside until all have ended: between the groups of others it would make DuckDB write these once more.
//!
//! What a dead process has staged is there for the next one, which knows the attempts by their receipts.

use serde::{Deserialize, Serialize};

use super::catalog::{self, Name, STAGE, is};
use super::database::Connection;
use super::marker::{self, literal};
use super::memory::COLUMN_BYTES;
use super::merge::Merging;
use super::read::GROUP_ROWS;
use super::typemap::{Kind, Way};
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{Advance, Merged, Receipt};
use crate::sql::beside::{Before, has_rows};
use crate::sql::ddl::{self, identifiers};
use crate::sql::dialect::{Dialect as _, DuckDb};

/// The column that says which attempt wrote a row.
pub(super) const ATTEMPT: &str = "__etl_attempt";
/// What a column called rowid is called in a stage, whose row ids it would hide.
const ROWID: &str = "__etl_rowid";
/// What stands in the comment of a stage whose file was made for it.
const NEW_FILE: &str = "the file was made with it";

/// What is to be done to the target: the sink's own part of an agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    /// The exact name of the table.
    pub(super) schema: String,
    pub(super) table: String,
    /// The primary key of a table that is made, possibly none; absent when the table is there.
    pub(super) create: Option<Vec<String>>,
    pub(super) before: Before,
    /// How rows are merged by key; none where they are added.
    pub(super) merging: Option<Merging>,
    /// The position that the commit moves.
    pub(super) advance: Option<Advance>,
    /// Columns that are filled, in the order of the agreement's target, their types, and which take no NULL.
    pub(super) columns: Vec<String>,
    pub(super) types: Vec<String>,
    pub(super) not_null: Vec<bool>,
    /// What becomes of rows that the table does not take.
    pub(super) refusals: Refusals,
    /// Bytes that a writer may hold.
    pub(super) memory_bytes: u64,
}

impl Detail {
    pub(super) fn name(&self) -> Name {
        Name { schema: self.schema.clone(), table: self.table.clone() }
    }

    /// The kinds of the columns.
    pub(super) fn kinds(&self) -> Result<Vec<Kind>> {
        let lost = || Error::new(ErrorKind::Internal, "the agreement names a type that is not known");
        self.types.iter().map(|name| Kind::parse(name).ok_or_else(lost)).collect()
    }

    /// Where the rows of `token` wait.
    pub(super) fn stage(&self, token: &Token) -> Name {
        let token = token.to_string().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
        Name { schema: self.schema.clone(), table: format!("{STAGE}{token}") }
    }

    /// Where the last rows of attempts wait beside a stage that becomes the table.
    pub(super) fn rest(&self, token: &Token) -> Option<Name> {
        let Name { schema, table } = self.stage(token);
        self.is_renamed().then(|| Name { schema, table: format!("{table}_rest") })
    }

    /// The columns of the stage in the types of the target, and by their names there.
    pub(super) fn published(&self) -> String {
        let column = |(name, declared): (&String, &String)| {
            let (waits, name) = (DuckDb.identifier(waits_as(name)), DuckDb.identifier(name));
            match staged(declared) {
                Some(_) => format!("CAST({waits} AS {declared}) AS {name}"),
                None if waits == name => name,
                None => format!("{waits} AS {name}"),
            }
        };
        self.columns.iter().zip(&self.types).map(column).collect::<Vec<_>>().join(", ")
    }

    /// Whether the stage becomes the table: it has the names and types of a table that is made, and loses no row. Rows that attempts
    /// without a receipt left in it are seen at the commit alone.
    fn is_renamed(&self) -> bool {
        // An index that is built then would hold rows that are deleted and that a reader may still see.
        self.create.is_some()
            && self.merging.is_none()
            && self.refusals == Refusals::Fail
            && self.types.iter().all(|declared| staged(declared).is_none())
            && self.columns.iter().all(|name| waits_as(name) == name.as_str())
    }

    /// Whether the rows are brought over from the stage by one INSERT that keeps their order. Two threads of the engine take twice the
    /// memory and processor time of one for it, and longer: they write what they have put in order once more.
    pub(super) fn is_inserted(&self) -> bool {
        self.merging.is_none() && !self.is_renamed()
    }

    /// The statements that bring the rows of `stage`, which is quoted, into a table that is there.
    pub(super) fn statements(&self, stage: &str) -> Vec<String> {
        let table = self.name().quoted();
        let mut statements = Vec::new();
        if self.before == Before::Empty {
            statements.push(format!("DELETE FROM {table}"));
        }
        match &self.merging {
            Some(merging) => statements.extend(merging.statements(self, stage).into_iter().flatten()),
            None => statements.push(format!(
                "INSERT INTO {table} ({}) SELECT {} FROM {stage}",
                identifiers(&DuckDb, &self.columns),
                self.published()
            )),
        }
        statements
    }
}

/// What the column `name` is called in a stage.
pub(super) fn waits_as(name: &str) -> &str {
    if name.eq_ignore_ascii_case("rowid") { ROWID } else { name }
}

/// The type in which a column of type `declared` waits, where that is another one.
fn staged(declared: &str) -> Option<String> {
    let kind = Kind::parse(declared)?;
    // What is no part of something else is cast by the bulk path itself, but for enumerations.
    match kind {
        Kind::TimeTz | Kind::Bit | Kind::Bignum => None,
        kind => kind.carrier(Way::In).map(|carrier| carrier.sql()),
    }
}

/// Makes the stage of `token`, unless it is there or no more needed.
pub(super) fn prepare(connection: &mut Connection, detail: &Detail, token: &Token, new_file: bool) -> Result<()> {
    let stage = detail.stage(token);
    connection.transaction(|connection| {
        if marker::stands(connection, token)? || exists(connection, &stage)? {
            return Ok(());
        }
        refuse_rows(connection, detail)?;
        connection.execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", DuckDb.identifier(&detail.schema)))?;
        let types: Vec<String> =
            detail.types.iter().map(|declared| staged(declared).unwrap_or_else(|| declared.clone())).collect();
        let columns = detail.columns.iter().zip(&types);
        let mut columns: Vec<ddl::Column<'_>> = columns
            .map(|(name, native_type)| ddl::Column { name: waits_as(name), native_type, not_null: false })
            .collect();
        columns.push(ddl::Column { name: ATTEMPT, native_type: "VARCHAR", not_null: false });
        for name in std::iter::once(&stage).chain(&detail.rest(token)) {
            connection.execute(&ddl::create_table(&DuckDb, &name.quoted(), &columns, &[]))?;
        }
        if new_file {
            connection.execute(&format!("COMMENT ON TABLE {} IS '{NEW_FILE}'", stage.quoted()))?;
        }
        Ok(())
    })
}

pub(super) fn exists(connection: &mut Connection, name: &Name) -> Result<bool> {
    let sql = format!("SELECT count(*) FROM duckdb_tables() WHERE {}", is(name));
    Ok(connection.number(&sql)? == Some(1))
}

fn refuse_rows(connection: &mut Connection, detail: &Detail) -> Result<()> {
    let name = detail.name();
    if detail.create.is_none() && detail.before == Before::Refuse && is_filled(connection, &name)? {
        return Err(has_rows(name.shown()));
    }
    Ok(())
}

/// Whether a table has any row.
pub(super) fn is_filled(connection: &mut Connection, name: &Name) -> Result<bool> {
    Ok(connection.number(&format!("SELECT 1::BIGINT FROM {} LIMIT 1", name.quoted()))?.is_some())
}

/// Brings the last rows of attempts into the stage of `token`, once no attempt is under way any more.
pub(super) fn gather(connection: &mut Connection, detail: &Detail, token: &Token) -> Result<()> {
    let Some(rest) = detail.rest(token) else { return Ok(()) };
    connection.transaction(|connection| {
        if !exists(connection, &rest)? || !is_filled(connection, &rest)? {
            return Ok(());
        }
        let rest = rest.quoted();
        connection.execute(&format!("INSERT INTO {} SELECT * FROM {rest}", detail.stage(token).quoted()))?;
        connection.execute(&format!("DELETE FROM {rest}"))
    })
}

/// How many rows each attempt has in the stage.
pub(super) fn counts(connection: &mut Connection, stage: &Name) -> Result<Vec<(String, u64)>> {
    let sql = format!("SELECT {ATTEMPT}, count(*)::VARCHAR FROM {} GROUP BY {ATTEMPT}", stage.quoted());
    let count = |row: Vec<Option<String>>| match row.as_slice() {
        [Some(attempt), Some(count)] => Some((attempt.clone(), count.parse().ok()?)),
        _ => None,
    };
    Ok(connection.texts(&sql)?.into_iter().filter_map(count).collect())
}

/// The condition that picks the rows of `receipts`.
pub(super) fn of(receipts: &[Receipt]) -> String {
    let attempts: Vec<String> = receipts.iter().map(|receipt| literal(&receipt.attempt)).collect();
    if attempts.is_empty() { "FALSE".to_owned() } else { format!("{ATTEMPT} IN ({})", attempts.join(", ")) }
}

/// Makes exactly the rows of `receipts` visible and marks that with `token`. A second call does nothing.
pub(super) fn commit(
    connection: &mut Connection,
    detail: &Detail,
    (token, receipts): (&Token, &[Receipt]),
) -> Result<Option<Merged>> {
    let stage = detail.stage(token);
    gather(connection, detail, token)?;
    let merged = connection.transaction(|connection| {
        if marker::stands(connection, token)? {
            return Ok(None);
        }
        if !exists(connection, &stage)? {
            let message = "the stage of this run is gone: none of its rows were kept";
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let whole = keep_only(connection, &stage, detail, receipts)?;
        let published = publish(connection, detail, &stage, whole);
        let merged = published.map_err(|error| error.at("table", detail.name().shown()))?;
        drop_rest(connection, detail, token)?;
        if let Some(advance) = &detail.advance {
            marker::advance(connection, advance)?;
        }
        marker::set(connection, token)?;
        Ok(merged)
    })?;
    // A COMMIT of a transaction that was given up meanwhile says nothing.
    if !marker::stands(connection, token)? {
        return Err(Error::new(ErrorKind::Internal, "the commit has no effect"));
    }
    Ok(merged)
}

/// What DuckDB needs to bring the rows of `receipts` over from the stage, as far as that can be told: all, where the table has keys,
/// which it holds in memory. Else the group that is filled, as it is and as it is written, and one that is read.
pub(super) fn inserting_bytes(connection: &mut Connection, detail: &Detail, receipts: &[Receipt]) -> Result<u64> {
    let of = is(&detail.name());
    let keys = format!(
        "SELECT count(*) FROM (SELECT 1 FROM duckdb_indexes() WHERE {of} UNION ALL SELECT 1 FROM duckdb_constraints() \
         WHERE {of} AND constraint_type IN ('PRIMARY KEY', 'UNIQUE', 'FOREIGN KEY'))"
    );
    let makes_key = detail.create.as_ref().is_some_and(|key| !key.is_empty());
    if makes_key || connection.number(&keys)? != Some(0) {
        return Ok(u64::MAX);
    }
    let rows: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    let bytes: u64 = receipts.iter().map(|receipt| receipt.bytes).sum();
    let group_bytes = (bytes / rows.max(1)).saturating_mul(GROUP_ROWS);
    let columns_bytes = detail.columns.len() as u64 * COLUMN_BYTES;
    Ok(group_bytes.saturating_mul(3).saturating_add(2 * columns_bytes))
}

/// Whether the commit takes no row out of the stage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

/// Takes out of the stage what no receipt names.
fn keep_only(connection: &mut Connection, stage: &Name, detail: &Detail, receipts: &[Receipt]) -> Result<Whole> {
    let counts = counts(connection, stage)?;
    let held = |attempt: &String| counts.iter().find(|(id, _)| id == attempt).map_or(0, |(_, count)| *count);
    // Rows that the target refuses were taken out of the stage before.
    let as_told = |receipt: &Receipt| match detail.refusals {
        Refusals::Fail => held(&receipt.attempt) == receipt.rows,
        Refusals::LeftOut => held(&receipt.attempt) <= receipt.rows,
    };
    if !receipts.iter().all(as_told) {
        return Err(Error::new(ErrorKind::Internal, "the stage does not hold the rows that its receipts name"));
    }
    let quoted = stage.quoted();
    if counts.iter().any(|(id, _)| receipts.iter().all(|receipt| receipt.attempt != *id)) {
        connection.execute(&format!("DELETE FROM {quoted} WHERE NOT ({})", of(receipts)))?;
        return Ok(Whole::No);
    }
    Ok(Whole::Yes)
}

fn publish(connection: &mut Connection, detail: &Detail, stage: &Name, whole: Whole) -> Result<Option<Merged>> {
    let quoted = stage.quoted();
    if let Some(merging) = &detail.merging {
        merging.settle(connection, detail, &quoted)?;
    }
    match &detail.create {
        Some(key) if whole == Whole::Yes && detail.is_renamed() => {
            return rename(connection, detail, key, stage).map(|()| None);
        }
        Some(key) => {
            let columns = detail.columns.iter().zip(&detail.types).zip(&detail.not_null);
            let columns =
                columns.map(|((name, native_type), not_null)| ddl::Column { name, native_type, not_null: *not_null });
            let columns: Vec<ddl::Column<'_>> = columns.collect();
            connection.execute(&ddl::create_table(&DuckDb, &detail.name().quoted(), &columns, key))?;
        }
        None => refuse_rows(connection, detail)?,
    }
    let merged = if let Some(merging) = &detail.merging {
        Some(merging.merge(connection, detail, &quoted)?)
    } else {
        for statement in detail.statements(&quoted) {
            connection.execute(&statement)?;
        }
        None
    };
    connection.execute(&format!("DROP TABLE {quoted}"))?;
    Ok(merged)
}

/// Makes the stage the table that is wanted, and gives it its name.
fn rename(connection: &mut Connection, detail: &Detail, key: &[String], stage: &Name) -> Result<()> {
    let alter = format!("ALTER TABLE {}", stage.quoted());
    connection.execute(&format!("{alter} DROP COLUMN {ATTEMPT}"))?;
    for (name, _) in detail.columns.iter().zip(&detail.not_null).filter(|(_, not_null)| **not_null) {
        connection.execute(&format!("{alter} ALTER COLUMN {} SET NOT NULL", DuckDb.identifier(name)))?;
    }
    if !key.is_empty() {
        connection.execute(&format!("{alter} ADD PRIMARY KEY ({})", identifiers(&DuckDb, key)))?;
    }
    connection.execute(&format!("COMMENT ON TABLE {} IS NULL", stage.quoted()))?;
    connection.execute(&format!("{alter} RENAME TO {}", DuckDb.identifier(&detail.table)))
}

fn drop_rest(connection: &mut Connection, detail: &Detail, token: &Token) -> Result<()> {
    let Some(rest) = detail.rest(token) else { return Ok(()) };
    connection.execute(&format!("DROP TABLE IF EXISTS {}", rest.quoted()))
}

/// Drops the stage of `token`. Says whether nothing else is in a file that was made for it.
pub(super) fn abort(connection: &mut Connection, detail: &Detail, token: &Token) -> Result<bool> {
    let stage = detail.stage(token);
    let new_file = connection.transaction(|connection| {
        if marker::stands(connection, token)? || !exists(connection, &stage)? {
            return Ok(false);
        }
        let comment = connection.texts(&format!("SELECT comment FROM duckdb_tables() WHERE {}", is(&stage)))?;
        connection.execute(&format!("DROP TABLE {}", stage.quoted()))?;
        drop_rest(connection, detail, token)?;
        Ok(comment.into_iter().flatten().flatten().any(|comment| comment == NEW_FILE))
    })?;
    if !new_file {
        return Ok(false);
    }
    let left = "SELECT count(*) FROM duckdb_tables() WHERE NOT internal AND database_name = current_database()";
    Ok(connection.number(left)? == Some(0) && catalog::tables(connection, "*.*")?.is_empty())
}
