//! References between rows: which are broken by a load that SQLite does not check row by row.
//!
//! A table that refers to itself may get a row before the one that it refers to: its references are checked at the
//! commit. A table that is emptied and refilled is loaded without checks; no reference may be broken then that was whole.

use rusqlite::{Connection, OptionalExtension as _};

use super::error::failed;
use crate::error::{Error, ErrorKind, Result};

/// The broken references of the table ?1 and of those that refer to it; rows without a row id are told apart by number.
const ORPHANS: &str = "
    SELECT c.\"table\" AS child, c.rowid AS place, c.fkid AS reference,
        row_number() OVER (PARTITION BY c.\"table\", c.rowid, c.fkid) AS number
    FROM (SELECT DISTINCT m.name FROM main.sqlite_schema AS m, pragma_foreign_key_list(m.name, 'main') AS f
          WHERE m.type = 'table' AND (f.\"table\" = ?1 COLLATE NOCASE OR m.name = ?1)) AS related,
        pragma_foreign_key_check(related.name, 'main') AS c";

/// Whether rows of `table` may refer to rows of the same table.
pub(super) fn refers_to_itself(connection: &Connection, table: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM pragma_foreign_key_list(?1, 'main') WHERE \"table\" = ?1 COLLATE NOCASE";
    connection.prepare(sql).and_then(|mut found| found.exists([table])).map_err(failed)
}

/// A table whose rows would change if some of `table` were deleted, because its foreign key says so.
pub(super) fn changed_by_deletion(connection: &Connection, table: &str) -> Result<Option<String>> {
    let sql = "SELECT m.name FROM main.sqlite_schema AS m, pragma_foreign_key_list(m.name, 'main') AS f \
               WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE AND m.name <> ?1 COLLATE NOCASE \
               AND f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT')";
    connection.query_row(sql, [table], |row| row.get(0)).optional().map_err(failed)
}

/// Notes the references of `table` and to it that are broken now, on disk: there may be many.
pub(super) fn note_orphans(connection: &Connection, table: &str) -> Result<()> {
    let make = "CREATE TABLE temp.etl_orphans (child, place, reference, number)";
    connection.execute_batch(make).map_err(failed)?;
    let fill = format!("INSERT INTO temp.etl_orphans {ORPHANS}");
    connection.execute(&fill, [table]).map_err(failed).map(drop)
}

/// Row ids of `table` whose reference is broken now and was not when [`note_orphans`] looked.
pub(super) fn new_orphans(connection: &Connection, table: &str) -> Result<Vec<i64>> {
    let sql = format!(
        "SELECT DISTINCT place FROM ({ORPHANS} EXCEPT SELECT * FROM temp.etl_orphans) \
         WHERE child = ?1 COLLATE NOCASE AND place IS NOT NULL LIMIT 1000"
    );
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let rows = statement.query_map([table], |row| row.get(0)).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

/// Refuses references that are broken now and were not when [`note_orphans`] looked.
pub(super) fn refuse_new_orphans(connection: &Connection, table: &str) -> Result<()> {
    let sql = format!("SELECT child, place FROM ({ORPHANS} EXCEPT SELECT * FROM temp.etl_orphans) LIMIT 1");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?));
    let Some((child, place)) = connection.query_row(&sql, [table], row).optional().map_err(failed)? else {
        return connection.execute_batch("DROP TABLE temp.etl_orphans").map_err(failed);
    };
    let message = "after the copy there would be rows that refer to rows which are no longer there";
    let error =
        Error::new(ErrorKind::Constraint, message).with_hint("PRAGMA foreign_key_check lists those that are there now");
    Err(placed(error, place).at("table", child))
}

/// The error of a commit that `table` refuses for its references, with a row that breaks one: the last, as most are new.
pub(super) fn broken(connection: &Connection, table: &str) -> Error {
    let error = Error::new(ErrorKind::Constraint, "the target refuses the rows: FOREIGN KEY constraint failed");
    let sql = "SELECT max(rowid) FROM pragma_foreign_key_check(?1, 'main')";
    let place = connection.query_row(sql, [table], |row| row.get::<_, Option<i64>>(0));
    placed(error, place.unwrap_or_default()).at("table", table)
}

fn placed(error: Error, place: Option<i64>) -> Error {
    match place {
        Some(place) => error.at("row", format!("with rowid {place}")),
        None => error,
    }
}
