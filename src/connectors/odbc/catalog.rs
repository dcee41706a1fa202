//! Names, and what a database says of its tables.

use serde::{Deserialize, Serialize};

use super::columns::Column;
use super::database::Connection;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::dialect::split_name;

/// Schemas that hold what the database itself has, in small letters.
const SYSTEM: [&str; 6] = ["pg_catalog", "information_schema", "pg_toast", "sys", "system", "syscat"];

/// The exact name of a table; what is not named is the connection's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Name {
    parts: Vec<String>,
}

impl Name {
    /// The name that the user's `typed` name means: letters as they stand, whatever a database makes of unquoted ones.
    pub(super) fn parse(typed: &str) -> Result<Self> {
        let parts: Vec<String> = split_name(typed)?.into_iter().map(|part| part.text).collect();
        if parts.len() > 3 {
            let error = Error::new(ErrorKind::Usage, format!("the name {typed:?} has more than three parts"));
            return Err(error.with_hint("write table, schema.table or catalog.schema.table"));
        }
        Ok(Self { parts })
    }

    /// For statements, with the quotes of the database.
    pub(super) fn quoted(&self, quote: Option<char>) -> String {
        self.parts.iter().map(|part| quoted(part, quote)).collect::<Vec<_>>().join(".")
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        self.quoted(Some('"'))
    }
}

/// `name` as an identifier that means exactly these letters, where the database has quotes.
pub(super) fn quoted(name: &str, quote: Option<char>) -> String {
    match quote {
        Some(quote) => format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}"))),
        None => name.to_owned(),
    }
}

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
    let (schemas, tables) = pattern.split_once('.').unwrap_or(("*", pattern));
    let glob =
        |text: &str| glob::Pattern::new(text).map_err(|_| Error::new(ErrorKind::Usage, "the pattern of names is none"));
    let (schemas, tables) = (glob(schemas)?, glob(tables)?);
    let is_meant = |(schema, table): &(String, String)| {
        !SYSTEM.contains(&schema.to_lowercase().as_str())
            && (schema.is_empty() || schemas.matches(schema))
            && tables.matches(table)
    };
    let found = connection.tables()?.into_iter().filter(is_meant);
    let mut names: Vec<String> = found.map(|(schema, table)| shown(&schema, &table)).collect();
    names.sort();
    Ok(names)
}

fn shown(schema: &str, table: &str) -> String {
    let part = |name: &str| {
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if plain { name.to_owned() } else { quoted(name, Some('"')) }
    };
    if ["", "public"].contains(&schema) { part(table) } else { format!("{}.{}", part(schema), part(table)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_letters() {
        let name = Name::parse("lake.\"S 1\".Orders").unwrap();
        assert_eq!(name.quoted(Some('"')), r#""lake"."S 1"."Orders""#);
        assert_eq!(quoted("a`b", Some('`')), "`a``b`");
        assert_eq!(quoted("a", None), "a");
        assert_eq!(shown("S 1", "t"), r#""S 1".t"#);
        assert_eq!(Name::parse("a.b.c.d").unwrap_err().kind(), ErrorKind::Usage);
    }
}
