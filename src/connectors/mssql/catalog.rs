//! What the server says of tables, views and queries.

use super::connect::{Connection, number, text};
use super::name::{Name, literal};
use super::typemap::{Kind, SqlType, refused};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::columns::{Known, Unfilled};
use crate::sql::select::{distinct, name_apart};

/// Bytes of a page.
const PAGE_BYTES: i64 = 8192;
/// Names that an error lists.
const MOST_SHOWN: usize = 20;

/// A table or view.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// With its schema.
    pub(super) name: Name,
    pub(super) is_view: bool,
    pub(super) columns: Vec<Column>,
    /// Columns of the primary key, in key order.
    pub(super) key: Vec<String>,
    /// Estimates.
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// A column of a table or of the rows of a query.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) declared: String,
    /// None for a type that is not copied.
    pub(super) sql_type: Option<SqlType>,
    pub(super) nullable: bool,
    pub(super) filled_by: FilledBy,
    pub(super) collation: Option<String>,
}

/// Who fills a column into which nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FilledBy {
    Nobody,
    Default,
    /// Numbers of the server; others go in where that is switched on.
    Identity,
    /// The server alone.
    Server,
}

impl Column {
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a type that is not copied.
    pub(super) fn known(&self) -> Result<&SqlType> {
        self.sql_type.as_ref().ok_or_else(|| refused(&self.declared).at("column", &self.name))
    }

    /// What of it matters when columns are matched.
    pub(super) fn matched(&self) -> Known<'_> {
        let unfilled = match self.filled_by {
            FilledBy::Server => Unfilled::Computed,
            FilledBy::Default | FilledBy::Identity => Unfilled::Default,
            FilledBy::Nobody if self.nullable => Unfilled::Null,
            FilledBy::Nobody => Unfilled::Refused,
        };
        Known { name: &self.name, native_type: &self.declared, unfilled }
    }
}

/// The schema of names that say none.
pub(super) async fn own_schema(connection: &mut Connection) -> Result<String> {
    Ok(connection.text("SELECT SCHEMA_NAME()").await?.unwrap_or_else(|| "dbo".to_owned()))
}

/// The table or view `name`; none where there is no such.
pub(super) async fn find(connection: &mut Connection, name: &Name) -> Result<Option<Table>> {
    let object = literal(&name.quoted());
    let sql = format!(
        "SELECT s.name, o.name, RTRIM(CAST(o.type AS nvarchar(2))), \
         (SELECT CAST(SUM(p.rows) AS bigint) FROM sys.partitions p WHERE p.object_id = o.object_id AND p.index_id IN (0, 1)), \
         (SELECT CAST(SUM(a.used_pages) AS bigint) FROM sys.partitions p JOIN sys.allocation_units a \
          ON a.container_id IN (p.partition_id, p.hobt_id) WHERE p.object_id = o.object_id AND p.index_id IN (0, 1)) \
         FROM sys.objects o JOIN sys.schemas s ON s.schema_id = o.schema_id \
         WHERE o.object_id = OBJECT_ID({object}) AND o.type IN ('U', 'V')"
    );
    let rows = connection.rows(&sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (Some(schema), Some(table)) = (text(row, 0), text(row, 1)) else { return Ok(None) };
    let is_view = text(row, 2).as_deref() == Some("V");
    let count = |index: usize| number(row, index).and_then(|count| u64::try_from(count).ok()).filter(|_| !is_view);
    let (rows, bytes) = (count(3), count(4).map(|pages| pages * PAGE_BYTES as u64));
    let name = Name { schema: Some(schema), table };
    let object = literal(&name.quoted());
    Ok(Some(Table {
        columns: columns(connection, &object).await?,
        key: key(connection, &object).await?,
        name,
        is_view,
        rows,
        bytes,
    }))
}

/// The table that `name` means, which must be there.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) naming what there is instead.
pub(super) async fn expect(connection: &mut Connection, name: &Name) -> Result<Table> {
    if let Some(table) = find(connection, name).await? {
        return Ok(table);
    }
    let error = Error::new(ErrorKind::NotFound, format!("there is no table {}", name.quoted()));
    let there = list(connection).await?;
    let shown: Vec<String> = there.iter().take(MOST_SHOWN).map(Name::quoted).collect();
    Err(match shown.as_slice() {
        [] => error.with_hint("there are no tables that this user may see"),
        shown => error.with_hint(format!("there are {}", shown.join(", "))),
    })
}

/// All tables and views of users, in the order of their names.
pub(super) async fn list(connection: &mut Connection) -> Result<Vec<Name>> {
    let sql = "SELECT s.name, o.name FROM sys.objects o JOIN sys.schemas s ON s.schema_id = o.schema_id \
               WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0 ORDER BY s.name, o.name";
    let rows = connection.rows(sql).await?;
    Ok(rows.iter().filter_map(|row| Some(Name { schema: text(row, 0), table: text(row, 1)? })).collect())
}

/// The columns of the object whose name is the literal `object`.
async fn columns(connection: &mut Connection, object: &str) -> Result<Vec<Column>> {
    // What a CLR type is called, its own row alone says.
    let sql = format!(
        "SELECT c.name, CASE WHEN c.system_type_id = 240 THEN TYPE_NAME(c.user_type_id) ELSE TYPE_NAME(c.system_type_id) END, \
         CAST(c.max_length AS bigint), CAST(c.precision AS bigint), CAST(c.scale AS bigint), CAST(c.is_nullable AS bigint), \
         CAST(c.is_identity AS bigint), \
         CAST(CASE WHEN c.is_computed = 1 OR c.system_type_id = 189 \
              OR COLUMNPROPERTY(c.object_id, c.name, 'GeneratedAlwaysType') > 0 THEN 1 ELSE 0 END AS bigint), \
         CAST(c.default_object_id AS bigint), c.collation_name \
         FROM sys.columns c WHERE c.object_id = OBJECT_ID({object}) ORDER BY c.column_id"
    );
    let column = |row: &tiberius::Row| {
        let flag = |index: usize| number(row, index).is_some_and(|flag| flag != 0);
        let size = |index: usize| number(row, index).unwrap_or(0);
        let declared = declared(&text(row, 1).unwrap_or_default(), size(2), (size(3), size(4)));
        let filled_by = match (flag(7), flag(6), flag(8)) {
            (true, ..) => FilledBy::Server,
            (_, true, _) => FilledBy::Identity,
            (.., true) => FilledBy::Default,
            _ => FilledBy::Nobody,
        };
        Some(Column {
            name: text(row, 0)?,
            sql_type: SqlType::declared(&declared),
            declared,
            nullable: flag(5),
            filled_by,
            collation: text(row, 9),
        })
    };
    Ok(connection.rows(&sql).await?.iter().filter_map(column).collect())
}

/// The type as it would be declared: the catalog has its parts.
fn declared(name: &str, bytes: i64, (precision, scale): (i64, i64)) -> String {
    match name {
        "decimal" | "numeric" => format!("{name}({precision},{scale})"),
        "time" | "datetime2" | "datetimeoffset" => format!("{name}({scale})"),
        "char" | "varchar" | "nchar" | "nvarchar" | "binary" | "varbinary" if bytes < 0 => format!("{name}(max)"),
        "nchar" | "nvarchar" => format!("{name}({})", bytes / 2),
        "char" | "varchar" | "binary" | "varbinary" => format!("{name}({bytes})"),
        // Its old name means something else in the standard.
        "timestamp" => "rowversion".to_owned(),
        _ => name.to_owned(),
    }
}

/// The columns of the primary key, in its order.
async fn key(connection: &mut Connection, object: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT c.name FROM sys.indexes i JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id \
         JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id \
         WHERE i.object_id = OBJECT_ID({object}) AND i.is_primary_key = 1 ORDER BY k.key_ordinal"
    );
    Ok(connection.rows(&sql).await?.iter().filter_map(|row| text(row, 0)).collect())
}

/// The columns of the rows that `query` gives, each with a name of its own.
///
/// # Errors
/// What the server says against the query.
pub(super) async fn of_query(connection: &mut Connection, query: &str) -> Result<Vec<Column>> {
    let sql = format!(
        "SELECT name, COALESCE(system_type_name, user_type_name), CAST(COALESCE(is_nullable, 1) AS bigint), error_message \
         FROM sys.dm_exec_describe_first_result_set({}, NULL, 0) WHERE COALESCE(is_hidden, 0) = 0 ORDER BY column_ordinal",
        literal(query)
    );
    let mut columns: Vec<Column> = Vec::new();
    for row in connection.rows(&sql).await? {
        if let Some(message) = text(&row, 3) {
            let message = crate::sql::message::lower_start(message.trim().trim_end_matches('.'));
            return Err(Error::new(ErrorKind::Usage, message).with_hint("correct the query"));
        }
        let declared = text(&row, 1).unwrap_or_default();
        columns.push(Column {
            // One that is computed has none.
            name: text(&row, 0).unwrap_or_default(),
            // The driver would read it as a float, which changes large amounts.
            sql_type: SqlType::declared(&declared)
                .filter(|sql_type| !matches!(sql_type.kind, Kind::Money | Kind::SmallMoney)),
            declared,
            nullable: number(&row, 2) != Some(0),
            filled_by: FilledBy::Nobody,
            collation: None,
        });
    }
    if columns.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "the query gives no rows").with_hint("write a SELECT"));
    }
    // They are read by their place.
    name_apart(&mut columns, |column| &mut column.name, distinct);
    Ok(columns)
}

/// Whether the table has a row.
pub(super) async fn is_filled(connection: &mut Connection, name: &Name) -> Result<bool> {
    Ok(!connection.rows(&format!("SELECT TOP (1) 1 FROM {}", name.quoted())).await?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_put_together_from_their_parts() {
        let cases = [
            ("decimal", 9, (18, 4), "decimal(18,4)"),
            ("datetime2", 8, (27, 7), "datetime2(7)"),
            ("nvarchar", 40, (0, 0), "nvarchar(20)"),
            ("nvarchar", -1, (0, 0), "nvarchar(max)"),
            ("varbinary", 8000, (0, 0), "varbinary(8000)"),
            ("timestamp", 8, (0, 0), "rowversion"),
            ("int", 4, (10, 0), "int"),
        ];
        for (name, bytes, digits, expected) in cases {
            assert_eq!(declared(name, bytes, digits), expected);
        }
    }
}
