//! Names, and what a database says of its tables.

use arrow::array::{Array, AsArray as _, StructArray};
use arrow::datatypes::{Int64Type, SchemaRef};
use serde::{Deserialize, Serialize};

use super::config::Quote;
use super::database::Connection;
use crate::bridge::adbc::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::dialect::split_name;

/// Schemas that hold what the database itself has.
const SYSTEM: [&str; 3] = ["pg_catalog", "information_schema", "pg_toast"];

/// The exact name of a table; what is not named is the connection's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) catalog: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl Name {
    /// The name that the user's `typed` name means: letters as they stand, whatever a database makes of unquoted ones.
    pub(super) fn parse(typed: &str) -> Result<Self> {
        let mut parts: Vec<String> = split_name(typed)?.into_iter().map(|part| part.text).collect();
        let table = parts.pop().unwrap_or_default();
        let (schema, catalog) = (parts.pop(), parts.pop());
        if !parts.is_empty() {
            let error = Error::new(ErrorKind::Usage, format!("the name {typed:?} has more than three parts"));
            return Err(error.with_hint("write table, schema.table or catalog.schema.table"));
        }
        Ok(Self { catalog, schema, table })
    }

    /// For statements.
    pub(super) fn quoted(&self, quote: Quote) -> String {
        let parts = [&self.catalog, &self.schema].into_iter().flatten().chain([&self.table]);
        parts.map(|part| quoted(part, quote)).collect::<Vec<_>>().join(".")
    }

    /// For a bulk load.
    pub(super) fn place(&self) -> Place<'_> {
        Place { catalog: self.catalog.as_deref(), schema: self.schema.as_deref(), table: &self.table }
    }
}

/// `name` as an identifier that means exactly these letters.
pub(super) fn quoted(name: &str, quote: Quote) -> String {
    match quote {
        Quote::Double => format!("\"{}\"", name.replace('"', "\"\"")),
        Quote::Backtick => format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")),
    }
}

/// The columns of a table, in the driver's own form; none where there is no such table.
pub(super) fn columns(connection: &mut Connection, name: &Name) -> Result<Option<SchemaRef>> {
    let sql = format!("SELECT * FROM {}", name.quoted(connection.config().quote));
    match connection.columns(&sql) {
        Ok(columns) => Ok(Some(columns)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a table has rows.
pub(super) fn is_filled(connection: &mut Connection, name: &Name) -> Result<bool> {
    let sql = format!("SELECT 1 FROM {} LIMIT 1", name.quoted(connection.config().quote));
    Ok(connection.batches(&sql)?.iter().any(|batch| batch.num_rows() > 0))
}

/// How many rows a table has; none where the driver's number is of another type than any seen.
pub(super) fn count(connection: &mut Connection, name: &Name) -> Result<Option<u64>> {
    let sql = format!("SELECT count(*) FROM {}", name.quoted(connection.config().quote));
    let batches = connection.batches(&sql)?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() == 1 && batch.num_columns() == 1) else {
        return Ok(None);
    };
    let number = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Int64).ok();
    let number = number.filter(|column| column.is_valid(0)).map(|column| column.as_primitive::<Int64Type>().value(0));
    Ok(number.and_then(|number| u64::try_from(number).ok()))
}

/// What each column of an SQLite table is declared as.
pub(super) fn declared(connection: &mut Connection, name: &Name) -> Result<Vec<(String, String)>> {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let schema = name.schema.as_ref().map(|schema| format!(", {}", literal(schema))).unwrap_or_default();
    let sql = format!("SELECT name, type FROM pragma_table_info({}{schema})", literal(&name.table));
    let mut all = Vec::new();
    for batch in connection.batches(&sql)? {
        let text = |place: usize, row: usize| {
            batch.column(place).as_string_opt::<i32>().map(|texts| texts.value(row).to_owned()).unwrap_or_default()
        };
        all.extend((0..batch.num_rows()).map(|row| (text(0, row), text(1, row))));
    }
    Ok(all)
}

/// The tables and views whose names match `pattern`, as a locator names them.
pub(super) fn tables(connection: &mut Connection, pattern: &str) -> Result<Vec<String>> {
    let (schemas, tables) = pattern.split_once('.').unwrap_or(("*", pattern));
    let glob =
        |text: &str| glob::Pattern::new(text).map_err(|_| Error::new(ErrorKind::Usage, "the pattern of names is none"));
    let (schemas, tables) = (glob(schemas)?, glob(tables)?);
    let mut found = Vec::new();
    for batch in connection.tables()? {
        let Some(catalogs) = batch.column_by_name("catalog_db_schemas") else { continue };
        for schema in structs(catalogs.as_ref()) {
            let named = texts(&schema, "db_schema_name");
            for (row, name) in named.into_iter().enumerate() {
                let name = name.unwrap_or_default();
                if SYSTEM.contains(&name.as_str()) || !(name.is_empty() || schemas.matches(&name)) {
                    continue;
                }
                let within = schema.slice(row, 1);
                let lists = within.column_by_name("db_schema_tables").map(|lists| structs(lists.as_ref()));
                let each = lists.into_iter().flatten().flat_map(|tables| rows_of_tables(&tables));
                found.extend(each.filter(|table| tables.matches(table)).map(|table| shown(&name, &table)));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The names of what rows can be read from.
fn rows_of_tables(tables: &StructArray) -> Vec<String> {
    let kinds = texts(tables, "table_type");
    let names = texts(tables, "table_name").into_iter().zip(kinds);
    let readable = |kind: Option<String>| {
        let kind = kind.unwrap_or_default().to_lowercase();
        kind.is_empty() || kind.contains("table") || kind.contains("view")
    };
    names.filter_map(|(name, kind)| name.filter(|_| readable(kind))).collect()
}

fn shown(schema: &str, table: &str) -> String {
    let part = |name: &str| {
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if plain { name.to_owned() } else { quoted(name, Quote::Double) }
    };
    if ["", "main", "public"].contains(&schema) { part(table) } else { format!("{}.{}", part(schema), part(table)) }
}

/// The structs in each list of `lists`; none where it is no column of lists.
fn structs(lists: &dyn Array) -> Vec<StructArray> {
    let Some(lists) = lists.as_list_opt::<i32>() else { return Vec::new() };
    let rows = (0..lists.len()).filter(|row| lists.is_valid(*row));
    rows.filter_map(|row| lists.value(row).as_struct_opt().cloned()).collect()
}

fn texts(structs: &StructArray, column: &str) -> Vec<Option<String>> {
    let Some(texts) = structs.column_by_name(column).and_then(|column| column.as_string_opt::<i32>()) else {
        return vec![None; structs.len()];
    };
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_letters() {
        let name = Name::parse("lake.\"S 1\".Orders").unwrap();
        assert_eq!(name.quoted(Quote::Double), r#""lake"."S 1"."Orders""#);
        assert_eq!(Name::parse("a\u{60}b").unwrap().quoted(Quote::Backtick), "`a\\`b`");
        let place = name.place();
        assert_eq!((place.catalog, place.schema, place.table), (Some("lake"), Some("S 1"), "Orders"));
        assert_eq!(Name::parse("a.b.c.d").unwrap_err().kind(), ErrorKind::Usage);
    }
}
