//! What a database says of its tables.

use arrow::array::{Array, AsArray as _, StructArray};
use arrow::datatypes::{Int64Type, SchemaRef};

use super::database::Connection;
use crate::driven::name::{Name, Pattern, listed};
use crate::error::{ErrorKind, Result};

/// Schemas that hold what the database itself has.
const SYSTEM: [&str; 3] = ["pg_catalog", "information_schema", "pg_toast"];
/// Schemas whose tables are named without them.
const OWN: [&str; 2] = ["main", "public"];

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
    let pattern = Pattern::parse(pattern)?;
    let mut found = Vec::new();
    for batch in connection.tables()? {
        let Some(catalogs) = batch.column_by_name("catalog_db_schemas") else { continue };
        for schema in structs(catalogs.as_ref()) {
            let named = texts(&schema, "db_schema_name");
            for (row, name) in named.into_iter().enumerate() {
                let name = name.unwrap_or_default();
                if SYSTEM.contains(&name.as_str()) {
                    continue;
                }
                let within = schema.slice(row, 1);
                let lists = within.column_by_name("db_schema_tables").map(|lists| structs(lists.as_ref()));
                let each = lists.into_iter().flatten().flat_map(|tables| rows_of_tables(&tables));
                found.extend(
                    each.filter(|table| pattern.matches(&name, table)).map(|table| listed(&name, &table, &OWN)),
                );
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
