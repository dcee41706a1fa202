//! What a database says of one table, view or query.

use super::database::Connection;
use super::marker::{self, literal};
use super::typemap::{Kind, name_of, parts};
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::identifiers;
use crate::sql::dialect::{Dialect as _, DuckDb, split_name};
use crate::sql::select::{distinct_in_any_case, name_apart};

/// The schema of a name that names none.
pub(super) const MAIN: &str = "main";
/// How the tables of a stage begin.
pub(super) const STAGE: &str = "etl_stage_";

/// The exact name of a table, in or out of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) schema: String,
    pub(super) table: String,
}

impl Name {
    /// Quoted, for statements.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", DuckDb.identifier(&self.schema), DuckDb.identifier(&self.table))
    }

    /// As a user types it.
    pub(super) fn shown(&self) -> String {
        if self.schema == MAIN { self.table.clone() } else { format!("{}.{}", self.schema, self.table) }
    }
}

/// A table, view or query.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// None for a query.
    pub(super) name: Option<Name>,
    pub(super) shape: Shape,
    pub(super) columns: Vec<Column>,
    /// Columns of the primary key, in its order.
    pub(super) key: Vec<String>,
    pub(super) comment: Option<String>,
}

/// How a relation can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A table, and whether its rows have an id by which they can be found.
    Table {
        rowid: bool,
    },
    View,
    /// The query as it stands after FROM, without its final semicolon.
    Query(String),
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the catalog, none excludes another")]
pub(super) struct Column {
    pub(super) name: String,
    /// Its type in DuckDB's words.
    pub(super) declared: String,
    /// None for a type that is not read.
    pub(super) kind: Option<Kind>,
    pub(super) not_null: bool,
    /// Whether a row may be inserted without it.
    pub(super) has_default: bool,
    /// Computed by the table itself.
    pub(super) generated: bool,
    /// Whether its texts compare in another way than by bytes.
    pub(super) collated: bool,
    pub(super) comment: Option<String>,
}

impl Column {
    /// What a value of it is.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a type that has no place in Arrow.
    pub(super) fn kind(&self) -> Result<&Kind> {
        self.kind.as_ref().ok_or_else(|| refused(&self.declared).at("column", &self.name))
    }
}

/// The error of a column of the type `name`.
pub(super) fn refused(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("values of the type {name} are not copied"))
        .with_hint("leave the column out with --drop, or cast it in a --query")
}

impl Relation {
    pub(super) fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| "(query)".to_owned(), Name::shown)
    }

    /// What stands after FROM.
    pub(super) fn sql(&self) -> String {
        match (&self.shape, &self.name) {
            (Shape::Query(query), _) => query.clone(),
            (_, Some(name)) => name.quoted(),
            (_, None) => String::new(),
        }
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.shape, Shape::Table { .. })
    }
}

/// The relation that `object` names.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) naming what there is instead.
pub(super) fn relation(connection: &mut Connection, object: &ObjectRef) -> Result<Relation> {
    match object {
        ObjectRef::Query(query) => query_relation(connection, query),
        ObjectRef::Table(typed) => match find(connection, typed)? {
            Some(relation) => Ok(relation),
            None => Err(missing(connection, format!("there is no table or view {typed}"))?),
        },
        ObjectRef::Whole => match tables(connection, "*")?.as_slice() {
            [only] => relation(connection, &ObjectRef::Table(only.clone())),
            _ => Err(missing(connection, "the locator names no table".to_owned())?),
        },
    }
}

fn missing(connection: &mut Connection, message: String) -> Result<Error> {
    const SHOWN: usize = 20;
    let names = tables(connection, "*.*")?;
    let error = Error::new(ErrorKind::NotFound, message);
    if names.is_empty() {
        return Ok(error.with_hint("the database has no tables"));
    }
    let mut list = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        list.push_str(", …");
    }
    Ok(error.with_hint(format!("it has {list}")))
}

/// Tables and views whose name matches the glob `pattern`, without those of our stages, marks and positions. A pattern without
/// a dot means the schema `main`.
pub(super) fn tables(connection: &mut Connection, pattern: &str) -> Result<Vec<String>> {
    let (schema, table) = pattern.split_once('.').unwrap_or((MAIN, pattern));
    let all = "SELECT schema_name, table_name, internal, database_name FROM duckdb_tables() UNION ALL \
               SELECT schema_name, view_name, internal, database_name FROM duckdb_views()";
    let sql = format!(
        "SELECT schema_name, table_name FROM ({all}) WHERE NOT internal AND database_name = current_database() \
         AND schema_name GLOB {} AND table_name GLOB {} AND NOT starts_with(table_name, '{STAGE}') \
         AND table_name NOT IN ('{}', '{}') ORDER BY 1, 2",
        literal(schema),
        literal(table),
        marker::TABLE,
        marker::POSITIONS
    );
    let part = |name: &str| {
        let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if plain { name.to_owned() } else { DuckDb.identifier(name) }
    };
    let rows = connection.texts(&sql)?.into_iter().filter_map(|row| {
        let [Some(schema), Some(table)] = <[Option<String>; 2]>::try_from(row).ok()? else { return None };
        Some(if schema == MAIN { part(&table) } else { format!("{}.{}", part(&schema), part(&table)) })
    });
    Ok(rows.collect())
}

/// The name that the user's `typed` name means, whether or not such a table exists.
pub(super) fn resolve(typed: &str) -> Result<Name> {
    let mut parts: Vec<String> = split_name(typed)?.into_iter().map(|part| part.text).collect();
    let table = parts.pop().unwrap_or_default();
    match parts.as_slice() {
        [] => Ok(Name { schema: MAIN.to_owned(), table }),
        [schema] if schema.eq_ignore_ascii_case(MAIN) => Ok(Name { schema: MAIN.to_owned(), table }),
        [schema] => Ok(Name { schema: schema.clone(), table }),
        _ => Err(Error::new(ErrorKind::Usage, format!("{typed} names no table of this database"))
            .with_hint("write table or schema.table; quote a name that holds a dot: \"a.b\"")),
    }
}

/// The same, with the schema as it is called where it is there.
pub(super) fn named(connection: &mut Connection, typed: &str) -> Result<Name> {
    let name = resolve(typed)?;
    let sql = format!(
        "SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database() \
         AND lower(schema_name) = lower({})",
        literal(&name.schema)
    );
    let known = connection.texts(&sql)?.into_iter().flatten().flatten().next();
    Ok(match known {
        Some(schema) => Name { schema, ..name },
        None => name,
    })
}

/// The table or view that the user's `typed` name means; case does not count, as in DuckDB.
pub(super) fn find(connection: &mut Connection, typed: &str) -> Result<Option<Relation>> {
    let typed = resolve(typed)?;
    let all = "SELECT schema_name, table_name, 'table' AS what, comment, temporary, database_name FROM duckdb_tables() \
               UNION ALL SELECT schema_name, view_name, 'view', comment, temporary, database_name FROM duckdb_views()";
    let sql = format!(
        "SELECT schema_name, table_name, what, comment FROM ({all}) WHERE database_name = current_database() \
         AND NOT temporary AND lower(schema_name) = lower({}) AND lower(table_name) = lower({})",
        literal(&typed.schema),
        literal(&typed.table)
    );
    let Some(row) = connection.texts(&sql)?.into_iter().next() else { return Ok(None) };
    let Ok([Some(schema), Some(table), Some(what), comment]) = <[Option<String>; 4]>::try_from(row) else {
        return Ok(None);
    };
    let name = Name { schema, table };
    let columns = columns(connection, &name)?;
    let key = key(connection, &name)?;
    // A column of that name hides the id of the row.
    let rowid = columns.iter().all(|column| !column.name.eq_ignore_ascii_case("rowid"));
    let shape = if what == "view" { Shape::View } else { Shape::Table { rowid } };
    Ok(Some(Relation { name: Some(name), shape, columns, key, comment }))
}

/// The condition on the system's tables that picks `name`.
pub(super) fn is(name: &Name) -> String {
    format!(
        "database_name = current_database() AND schema_name = {} AND table_name = {}",
        literal(&name.schema),
        literal(&name.table)
    )
}

fn columns(connection: &mut Connection, name: &Name) -> Result<Vec<Column>> {
    let sql = format!(
        "SELECT column_name, data_type, is_nullable::VARCHAR, column_default, comment \
         FROM duckdb_columns() WHERE {} ORDER BY column_index",
        is(name)
    );
    let rows = connection.texts(&sql)?;
    let definitions = definitions(connection, name)?;
    let says = |name: &str, words: &str| definitions.iter().any(|(of, rest)| of == name && rest.contains(words));
    let column = |row: Vec<Option<String>>| {
        let [Some(name), Some(declared), nullable, default, comment] = <[Option<String>; 5]>::try_from(row).ok()?
        else {
            return None;
        };
        Some(Column {
            kind: Kind::parse(&declared),
            not_null: nullable.as_deref() == Some("false"),
            has_default: default.is_some(),
            generated: says(&name, "GENERATED ALWAYS AS"),
            collated: says(&name, " COLLATE "),
            name,
            declared,
            comment,
        })
    };
    Ok(rows.into_iter().filter_map(column).collect())
}

/// What only the definition of a table tells of its columns: by name, what stands behind it.
fn definitions(connection: &mut Connection, name: &Name) -> Result<Vec<(String, String)>> {
    let sql = format!("SELECT sql FROM duckdb_tables() WHERE {}", is(name));
    let definition = connection.texts(&sql)?.into_iter().flatten().flatten().next().unwrap_or_default();
    let mut quoted = false;
    let open = definition.char_indices().find(|(_, letter)| {
        quoted ^= *letter == '"';
        *letter == '(' && !quoted
    });
    let inside = open.and_then(|(at, _)| definition[at + 1..].rsplit_once(')')).map(|(inside, _)| inside);
    let columns = inside.and_then(parts).unwrap_or_default();
    let column = |part: &&str| name_of(part.trim()).map(|(name, rest)| (name, rest.to_owned()));
    Ok(columns.iter().filter_map(column).collect())
}

fn key(connection: &mut Connection, name: &Name) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT unnest(constraint_column_names) FROM duckdb_constraints() WHERE {} AND constraint_type = 'PRIMARY KEY'",
        is(name)
    );
    Ok(connection.texts(&sql)?.into_iter().flatten().flatten().collect())
}

/// The rows of `query`, whose columns each get a name of their own.
fn query_relation(connection: &mut Connection, query: &str) -> Result<Relation> {
    let text = query.trim().trim_end_matches(';').trim_end();
    let rows = connection.texts(&format!("SELECT column_name, column_type FROM (DESCRIBE (\n{text}\n))"));
    let rows = rows.map_err(|error| error.at("source", "--query"))?;
    let column = |row: Vec<Option<String>>| {
        let [Some(name), Some(declared)] = <[Option<String>; 2]>::try_from(row).ok()? else { return None };
        let kind = Kind::parse(&declared);
        Some(Column {
            name,
            declared,
            kind,
            not_null: false,
            has_default: false,
            generated: false,
            collated: false,
            comment: None,
        })
    };
    let mut columns: Vec<Column> = rows.into_iter().filter_map(column).collect();
    let mut from = format!("(\n{text}\n)");
    if let Some(names) = name_apart(&mut columns, |column| &mut column.name, distinct_in_any_case) {
        from = format!("{from} AS etl_query ({})", identifiers(&DuckDb, &names));
    }
    Ok(Relation { name: None, shape: Shape::Query(from), columns, key: Vec::new(), comment: None })
}
