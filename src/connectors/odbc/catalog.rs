//! What a database says of its tables.

use super::columns::Column;
use super::database::Connection;
use crate::driven::name::{Name, Pattern, listed};
use crate::error::{ErrorKind, Result};

/// Schemas that hold what the database itself has, in small letters.
const SYSTEM: [&str; 6] = ["pg_catalog", "information_schema", "pg_toast", "sys", "system", "syscat"];

/// The columns of a table; none where there is no such table.
pub(super) fn columns(connection: &Connection, name: &Name) -> Result<Option<Vec<Column>>> {
    let sql = format!("SELECT * FROM {}", name.quoted(connection.quote()));
    match connection.columns(&sql) {
        Ok(columns) => Ok(Some(columns)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a table has rows.
pub(super) fn is_filled(connection: &Connection, name: &Name) -> Result<bool> {
    let table = name.quoted(connection.quote());
    if connection.product().has_limit() {
        return Ok(connection.number(&format!("SELECT 1 FROM {table} LIMIT 1"))?.is_some());
    }
    // SQL has no way in common to look at one row.
    Ok(count(connection, name)?.is_none_or(|rows| rows > 0))
}

/// How many rows a table has; none where the driver's answer is no number.
pub(super) fn count(connection: &Connection, name: &Name) -> Result<Option<u64>> {
    connection.number(&format!("SELECT COUNT(*) FROM {}", name.quoted(connection.quote())))
}

/// The tables and views whose names match `pattern`, as a locator names them.
pub(super) fn tables(connection: &Connection, pattern: &str) -> Result<Vec<String>> {
    let pattern = Pattern::parse(pattern)?;
    let is_meant = |(schema, table): &(String, String)| {
        !SYSTEM.contains(&schema.to_lowercase().as_str()) && pattern.matches(schema, table)
    };
    let found = connection.tables()?.into_iter().filter(is_meant);
    let mut names: Vec<String> = found.map(|(schema, table)| listed(&schema, &table, &["public"])).collect();
    names.sort();
    Ok(names)
}
