//! What the schema of a database file says of one table, view or query.

use rusqlite::{Connection, OptionalExtension as _};

use super::error::failed;
use super::marker;
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::ddl::identifiers;
use crate::sql::dialect::{Dialect as _, Sqlite, split_name};
use crate::sql::select::{distinct_in_any_case, name_apart};

/// A table, view or query, as its schema declares it.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// The exact name; `(query)` for a query.
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) columns: Vec<Column>,
}

/// How a relation can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A table with row ids, and a name for them that no column hides.
    Rowid {
        alias: String,
    },
    /// A WITHOUT ROWID table, a table whose columns hide every name of the row id, a virtual table.
    Keyed,
    View,
    /// The query as it stands after FROM, without its final semicolon.
    Query(String),
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the catalog, none excludes another")]
pub(super) struct Column {
    pub(super) name: String,
    /// Its declared type, possibly empty.
    pub(super) declared: String,
    pub(super) not_null: bool,
    /// Place in the primary key, from 1; 0 outside it.
    pub(super) key: u32,
    /// It is the row id: `INTEGER PRIMARY KEY`.
    pub(super) is_rowid: bool,
    /// Whether a row may be inserted without it.
    pub(super) has_default: bool,
    /// Computed by the table itself.
    pub(super) generated: bool,
}

impl Relation {
    /// The columns of the primary key, in its order.
    pub(super) fn key(&self) -> Vec<String> {
        let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        key.into_iter().map(|column| column.name.clone()).collect()
    }

    /// Whether a row may have NULL in its primary key, as SQLite alone allows.
    pub(super) fn has_null_keys(&self) -> bool {
        self.columns.iter().any(|column| column.key > 0 && !column.not_null)
    }

    /// Whether its rows lie in the order of a key that the user gave them.
    pub(super) fn is_ordered_by_key(&self) -> bool {
        matches!(self.shape, Shape::Keyed) || self.columns.iter().any(|column| column.is_rowid)
    }

    /// What stands after FROM.
    pub(super) fn sql(&self) -> String {
        match &self.shape {
            Shape::Query(query) => query.clone(),
            _ => quoted(&self.name),
        }
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.shape, Shape::Rowid { .. } | Shape::Keyed)
    }
}

/// `name` of a table of the main database, quoted.
pub(super) fn quoted(name: &str) -> String {
    format!("main.{}", Sqlite.identifier(name))
}

/// The relation that `object` names.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) naming what there is instead.
pub(super) fn relation(connection: &Connection, object: &ObjectRef) -> Result<Relation> {
    let missing = |message: String| {
        let names = tables(connection, "*")?;
        let error = Error::new(ErrorKind::NotFound, message);
        Err(if names.is_empty() {
            error.with_hint("the database has no tables")
        } else {
            error.with_hint(format!("it has {}", abridged(&names)))
        })
    };
    match object {
        ObjectRef::Query(query) => query_relation(connection, query),
        ObjectRef::Table(typed) => match find(connection, typed)? {
            Some(relation) => Ok(relation),
            None => missing(format!("there is no table or view {typed}")),
        },
        ObjectRef::Whole => match tables(connection, "*")?.as_slice() {
            [only] => relation(connection, &ObjectRef::Table(Sqlite.identifier(only))),
            _ => missing("the locator names no table".to_owned()),
        },
    }
}

fn abridged(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut list = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        list.push_str(", …");
    }
    list
}

/// Tables and views whose name matches the glob `pattern`, without SQLite's own and those of our marks and positions.
pub(super) fn tables(connection: &Connection, pattern: &str) -> Result<Vec<String>> {
    let sql = "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') AND name GLOB ?1 \
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT IN (?2, ?3) \
               AND name NOT IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow') \
               ORDER BY name";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let names = statement.query_map([pattern, marker::TABLE, marker::POSITIONS], |row| row.get(0)).map_err(failed)?;
    names.collect::<Result<_, _>>().map_err(failed)
}

/// The exact name that the user's `typed` name means, whether or not such a table exists.
pub(super) fn resolve(typed: &str) -> Result<String> {
    let mut parts = split_name(typed)?;
    match parts.as_mut_slice() {
        [_] => Ok(parts.remove(0).text),
        [schema, _] if schema.text.eq_ignore_ascii_case("main") => Ok(parts.remove(1).text),
        _ => Err(Error::new(ErrorKind::Usage, format!("{typed} names no table of this database"))
            .with_hint("an SQLite file has the one schema main; quote a name that holds a dot: \"a.b\"")),
    }
}

/// The table or view that the user's `typed` name means; case does not count, as in SQLite.
pub(super) fn find(connection: &Connection, typed: &str) -> Result<Option<Relation>> {
    // A name with dots may be typed without quotes where no schema is meant.
    let exact = look_up(connection, typed)?;
    let found = match exact {
        Some(found) => Some(found),
        None => look_up(connection, &resolve(typed)?)?,
    };
    found.map(|(name, kind)| described(connection, name, &kind)).transpose()
}

fn look_up(connection: &Connection, name: &str) -> Result<Option<(String, String)>> {
    let sql = "SELECT name, type FROM main.sqlite_schema \
               WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    connection.query_row(sql, [name], row).optional().map_err(failed)
}

fn described(connection: &Connection, name: String, kind: &str) -> Result<Relation> {
    let mut columns = columns(connection, &name)?;
    let table_kind: Option<(String, bool)> = connection
        .query_row("SELECT type, wr FROM pragma_table_list(?1) WHERE schema = 'main'", [&name], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map_err(failed)?;
    let plain = matches!(&table_kind, Some((kind, false)) if kind == "table");
    let shape = match (kind, rowid_alias(&columns)) {
        ("view", _) => Shape::View,
        (_, Some(alias)) if plain => Shape::Rowid { alias: alias.to_owned() },
        _ => Shape::Keyed,
    };
    if plain {
        mark_rowid(connection, &name, &mut columns)?;
    }
    Ok(Relation { name, shape, columns })
}

fn columns(connection: &Connection, name: &str) -> Result<Vec<Column>> {
    let sql = "SELECT name, type, \"notnull\", pk, dflt_value IS NOT NULL, hidden \
               FROM pragma_table_xinfo(?1, 'main') ORDER BY cid";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let column = |row: &rusqlite::Row<'_>| {
        let hidden: i64 = row.get(5)?;
        let column = Column {
            name: row.get(0)?,
            declared: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
            not_null: row.get(2)?,
            key: row.get(3)?,
            is_rowid: false,
            has_default: row.get(4)?,
            generated: hidden > 1,
        };
        // 1 marks the control columns of virtual tables, which hold no data.
        Ok((hidden != 1).then_some(column))
    };
    let columns = statement.query_map([name], column).map_err(failed)?;
    let columns: Vec<Option<Column>> = columns.collect::<Result<_, _>>().map_err(failed)?;
    Ok(columns.into_iter().flatten().collect())
}

/// What the row id of `table`, an exact name, is called; none where columns hide every name.
pub(super) fn row_id(connection: &Connection, table: &str) -> Result<Option<&'static str>> {
    Ok(rowid_alias(&columns(connection, table)?))
}

/// A name of the row id that no column has taken.
fn rowid_alias(columns: &[Column]) -> Option<&'static str> {
    let free = |alias: &&&str| columns.iter().all(|column| !column.name.eq_ignore_ascii_case(alias));
    ["rowid", "_rowid_", "oid"].iter().find(free).copied()
}

/// `INTEGER PRIMARY KEY` is the row id itself: it has no index of its own and is never NULL.
fn mark_rowid(connection: &Connection, name: &str, columns: &mut [Column]) -> Result<()> {
    let mut key = columns.iter_mut().filter(|column| column.key > 0);
    let (Some(column), None) = (key.next(), key.next()) else { return Ok(()) };
    if column.declared.eq_ignore_ascii_case("INTEGER") {
        let sql = "SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'";
        let indexed = connection.prepare(sql).and_then(|mut statement| statement.exists([name])).map_err(failed)?;
        column.is_rowid = !indexed;
        column.not_null |= !indexed;
    }
    Ok(())
}

/// The rows of `query`, whose columns each get a name of their own.
fn query_relation(connection: &Connection, query: &str) -> Result<Relation> {
    let text = query.trim_end_matches(|letter: char| letter == ';' || letter.is_whitespace());
    let statement = connection.prepare(text).map_err(failed).map_err(|error| error.at("object", "(query)"))?;
    if statement.column_count() == 0 || !statement.readonly() {
        return Err(Error::new(ErrorKind::Usage, "the query gives no rows").with_hint("write a SELECT"));
    }
    let column = |column: &rusqlite::Column<'_>| Column {
        name: column.name().to_owned(),
        declared: column.decl_type().unwrap_or_default().to_owned(),
        not_null: false,
        key: 0,
        is_rowid: false,
        has_default: false,
        generated: false,
    };
    let mut columns: Vec<Column> = statement.columns().iter().map(column).collect();
    // A line break ends a comment at the end of the query. Only WITH takes a list of names.
    let from = match name_apart(&mut columns, |column| &mut column.name, distinct_in_any_case) {
        Some(names) => {
            let list = identifiers(&Sqlite, &names);
            format!("(WITH etl_query ({list}) AS (\n{text}\n) SELECT * FROM etl_query)")
        }
        None => format!("(\n{text}\n)"),
    };
    Ok(Relation { name: "(query)".to_owned(), shape: Shape::Query(from), columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        let sql = "create table \"Order.s\" (id integer primary key, a text not null, b as (a || 'x'), c default 1);
                   create table keyed (a text, b int, primary key (b, a)) without rowid;
                   create table hidden (rowid, _rowid_, oid);
                   create table descending (id integer primary key desc);
                   create view v as select id, count(*) as n from \"Order.s\";
                   create virtual table f using fts5(body);";
        connection.execute_batch(sql).unwrap();
        connection
    }

    #[test]
    fn tables_are_found_as_sqlite_finds_them() {
        let connection = database();
        for typed in ["order.s", "\"Order.s\"", "main.\"order.s\""] {
            assert_eq!(find(&connection, typed).unwrap().unwrap().name, "Order.s");
        }
        assert!(find(&connection, "nothing").unwrap().is_none());
        let error = relation(&connection, &ObjectRef::Table("nothing".into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.hint().unwrap(), "it has Order.s, descending, f, hidden, keyed, v");
        assert_eq!(relation(&connection, &ObjectRef::Whole).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn keys_and_row_ids_are_known() {
        let connection = database();
        let find = |name: &str| find(&connection, name).unwrap().unwrap();
        let orders = find("Order.s");
        assert_eq!(orders.shape, Shape::Rowid { alias: "rowid".into() });
        assert_eq!(orders.key(), ["id"]);
        let facts: Vec<_> =
            orders.columns.iter().map(|c| (c.is_rowid, c.not_null, c.generated, c.has_default)).collect();
        let (t, f) = (true, false);
        assert_eq!(facts, [(t, t, f, f), (f, t, f, f), (f, f, t, f), (f, f, f, t)]);
        assert_eq!(find("keyed").key(), ["b", "a"]);
        assert_eq!(find("keyed").shape, Shape::Keyed);
        assert_eq!(find("hidden").shape, Shape::Keyed);
        assert_eq!(find("v").shape, Shape::View);
        assert_eq!(find("f").shape, Shape::Keyed);
        assert_eq!(find("f").columns.len(), 1);
        assert!(!find("descending").columns[0].not_null);
    }

    #[test]
    fn queries_are_looked_at_and_not_run() {
        let connection = database();
        let query = |sql: &str| relation(&connection, &ObjectRef::Query(sql.into()));
        let found = query("select id, a as b from \"Order.s\" -- all\n;\n").unwrap();
        assert_eq!(found.columns[0].declared, "INTEGER");
        assert_eq!(query("delete from keyed").unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(query("select 1; select 2").unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(query("select * from missing").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn columns_of_one_name_are_told_apart() {
        let connection = database();
        connection.execute_batch("insert into keyed values ('x', 1), ('y', 2)").unwrap();
        let sql = "with k as (select * from keyed) select a, b, b as A, a from k order by b desc -- all\n;";
        let found = relation(&connection, &ObjectRef::Query(sql.into())).unwrap();
        let columns = found.columns.iter().map(|column| (column.name.as_str(), column.declared.as_str()));
        let expected = [("a", "TEXT"), ("b", "INT"), ("A_2", "INT"), ("a_3", "TEXT")];
        assert_eq!(columns.collect::<Vec<_>>(), expected);
        let mut statement = connection.prepare(&format!("select a_3, \"A_2\" from {}", found.sql())).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).unwrap();
        let rows: Vec<_> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, [("y".to_owned(), 2), ("x".to_owned(), 1)]);
    }
}
