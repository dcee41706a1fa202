//! What databases say of their tables, read through ConnectorX: columns with their native types, the key, sizes, names.
//!
//! ConnectorX itself knows types without their digits, and panics on a table that has one it does not know. Of databases whose
//! catalog is not read here it is asked nevertheless.

use super::backend::Backend;
use super::config::Config;
use super::database::texts;
use crate::driven::name::{Name, Pattern, listed};
use crate::error::{Error, ErrorKind, Result};

/// A column as its database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Native {
    pub(super) name: String,
    /// The type in small letters: `int4`, `numeric`.
    pub(super) word: String,
    /// Digits in all and behind the point, of decimals that have bounds.
    pub(super) digits: Option<(u8, i8)>,
}

/// What is known of a table beside its columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Stock {
    pub(super) key: Vec<String>,
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// The columns of a table; none where the catalog is not read, or has no such table. Of MySQL those that this user may not read are
/// not among them.
pub(super) fn columns(config: &Config, name: &Name) -> Result<Vec<Native>> {
    let backend = config.backend;
    let table = literal(backend, &name.table);
    let schema = name.schema.as_ref().map(|schema| literal(backend, schema));
    let sql = match backend {
        // As in information_schema.columns, which would hide columns that this user may not read.
        Backend::Postgres => format!(
            "SELECT CAST(a.attname AS text), CAST(coalesce(b.typname, t.typname) AS text), \
             CAST(information_schema._pg_numeric_precision(information_schema._pg_truetypid(a, t), \
             information_schema._pg_truetypmod(a, t)) AS text), \
             CAST(information_schema._pg_numeric_scale(information_schema._pg_truetypid(a, t), \
             information_schema._pg_truetypmod(a, t)) AS text) \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype \
             WHERE a.attrelid = to_regclass({}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            literal(backend, &name.quoted(backend.quote()))
        ),
        Backend::MySql => format!(
            "SELECT CAST(COLUMN_NAME AS CHAR), CAST(DATA_TYPE AS CHAR), CAST(NUMERIC_PRECISION AS CHAR), \
             CAST(NUMERIC_SCALE AS CHAR) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {table} \
             ORDER BY ORDINAL_POSITION",
            schema.as_deref().unwrap_or("DATABASE()")
        ),
        // Empty where it is not declared; a first row tells ConnectorX that all of it is text.
        // Generated columns are among them, as in SELECT *; those that a virtual table hides are not.
        Backend::Sqlite => format!("SELECT name, lower(type) FROM pragma_table_xinfo({table}) WHERE hidden <> 1"),
        Backend::BigQuery | Backend::ClickHouse | Backend::Oracle | Backend::Trino => return Ok(Vec::new()),
    };
    let native = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter();
        let mut cell = || cells.next().flatten();
        let (name, word) = (cell().unwrap_or_default(), cell().unwrap_or_default());
        let (precision, scale) = (cell(), cell());
        let digits = precision.and_then(|digits| digits.parse().ok()).zip(scale.and_then(|digits| digits.parse().ok()));
        Native { name, word, digits }
    };
    let found = texts(config, &sql);
    // SQLite has no such table, or ConnectorX no row to tell types by: it says so when the table itself is read.
    let rows = if backend == Backend::Sqlite { found.unwrap_or_default() } else { found? };
    Ok(rows.into_iter().map(native).collect())
}

/// Key and sizes of a table, as far as they are known.
pub(super) fn stock(config: &Config, name: &Name) -> Result<Stock> {
    let backend = config.backend;
    let sql = match backend {
        Backend::Postgres => format!(
            "SELECT CAST(a.attname AS text), CAST(greatest(c.reltuples, 0)::bigint AS text), \
             CAST(pg_table_size(c.oid) AS text) FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) \
             AND array_position(i.indkey::int2[], a.attnum) - array_lower(i.indkey::int2[], 1) \
             < coalesce((to_jsonb(i) ->> 'indnkeyatts')::int, i.indnatts) \
             WHERE c.oid = to_regclass({}) ORDER BY array_position(i.indkey::int2[], a.attnum)",
            literal(backend, &name.quoted(backend.quote()))
        ),
        Backend::MySql => format!(
            "SELECT CAST(k.COLUMN_NAME AS CHAR), CAST(t.TABLE_ROWS AS CHAR), CAST(t.DATA_LENGTH AS CHAR) \
             FROM information_schema.TABLES t LEFT JOIN information_schema.STATISTICS k ON k.TABLE_SCHEMA = t.TABLE_SCHEMA \
             AND k.TABLE_NAME = t.TABLE_NAME AND k.INDEX_NAME = 'PRIMARY' WHERE t.TABLE_SCHEMA = {} AND t.TABLE_NAME = {} \
             ORDER BY k.SEQ_IN_INDEX",
            name.schema.as_ref().map_or("DATABASE()".to_owned(), |schema| literal(backend, schema)),
            literal(backend, &name.table)
        ),
        _ => return Ok(Stock::default()),
    };
    let mut stock = Stock::default();
    for mut row in texts(config, &sql)? {
        let number = |cell: Option<&Option<String>>| cell.and_then(|text| text.as_ref()?.parse().ok());
        (stock.rows, stock.bytes) = (number(row.get(1)), number(row.get(2)));
        stock.key.extend(row.first_mut().and_then(Option::take));
    }
    // Zero rows are a table without statistics.
    stock.rows = stock.rows.filter(|rows| *rows > 0);
    Ok(stock)
}

/// The least and the greatest value of the whole number `column`; none where there is no row, or they are too large.
pub(super) fn ends(config: &Config, name: &Name, column: &str) -> Result<Option<(i64, i64)>> {
    let quote = config.backend.quote();
    let column = quote.around(column);
    let (Some(least), Some(greatest)) =
        (config.backend.text(&format!("MIN({column})")), config.backend.text(&format!("MAX({column})")))
    else {
        return Ok(None);
    };
    let rows = texts(config, &format!("SELECT {least}, {greatest} FROM {}", name.quoted(quote)))?;
    let end = |index: usize| rows.first()?.get(index)?.as_ref()?.parse().ok();
    Ok(end(0).zip(end(1)))
}

/// The tables and views whose names match `pattern`, as a locator names them.
pub(super) fn tables(config: &Config, pattern: &str) -> Result<Vec<String>> {
    let pattern = Pattern::parse(pattern)?;
    let sql = match config.backend {
        Backend::Postgres => {
            "SELECT CAST(table_schema AS text), CAST(table_name AS text) FROM information_schema.tables \
             WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        }
        Backend::MySql => {
            "SELECT CAST('' AS CHAR(1)), CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        }
        Backend::Sqlite => {
            "SELECT '', name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        }
        other => {
            let message = format!("ConnectorX lists no tables of {}", other.name());
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint("name them one by one"));
        }
    };
    let mut names = Vec::new();
    for row in texts(config, sql)? {
        let [Some(schema), Some(table)] = row.as_slice() else { continue };
        if pattern.matches(schema, table) {
            names.push(listed(schema, table, &["public"]));
        }
    }
    names.sort();
    Ok(names)
}

/// `text` as a literal.
fn literal(backend: Backend, text: &str) -> String {
    let doubled = text.replace('\'', "''");
    let escaped = if backend == Backend::MySql { doubled.replace('\\', "\\\\") } else { doubled };
    format!("'{escaped}'")
}
