//! What the catalog says: which relations there are, how large they are, what their columns mean.
//!
//! All queries are simple ones, several in one round trip, answered as text, so that they pass every pooler.

use arrow::datatypes::DataType;
use tokio_postgres::{Column as Described, SimpleQueryRow};

use super::connect::Connection;
use super::name::literal;
use super::typemap::{Codec, PgType, Read};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::dialect::{self, Dialect as _};
use crate::sql::filter::Compares;
use crate::sql::select::distinct;

/// OIDs below are the same in every server; none of these types is a domain. See `FirstGenbkiObjectId` in PostgreSQL's `transam.h`.
pub(super) const BUILT_IN: u32 = 10_000;

/// A relation as the leader found it inside its snapshot.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// `"schema"."name"`.
    pub(super) sql: String,
    pub(super) oid: u32,
    /// `relkind`: r, p, v, m, f, S.
    pub(super) kind: u8,
    /// Policies hide rows of it from this user.
    pub(super) row_security: bool,
    /// The heaps below it, itself included; for a plain table it alone.
    pub(super) leaves: Vec<Leaf>,
}

impl Relation {
    /// Rows lie in other tables, partitions or heirs, which are read by their own names.
    pub(super) fn is_divided(&self) -> bool {
        self.kind == b'p' || self.leaves.len() > 1
    }

    /// Policies hide rows of it or of a part of it. Policies count where a query names their table: what is read
    /// through the whole knows those of the whole only, and a part read alone those of the part.
    pub(super) fn has_row_security(&self) -> bool {
        self.row_security || self.leaves.iter().any(|leaf| leaf.row_security)
    }
}

/// Something that stores rows.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) sql: String,
    /// Policies would hide rows of it from this user, were it read by itself.
    pub(super) row_security: bool,
    /// Pages and rows can be addressed by ctid: the access method is the built-in heap.
    pub(super) heap: bool,
    /// This user may read it by itself.
    pub(super) readable: bool,
    pub(super) pages: u64,
    /// Its own pages and those of long values.
    pub(super) bytes: u64,
    /// As the statistics have it.
    pub(super) rows: Option<u64>,
    /// The file that it lies in: another one after it was rewritten, where rows have other places.
    pub(super) file: u64,
}

/// One column of a relation or query.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its name in SQL.
    pub(super) sql: String,
    pub(super) pg: PgType,
    /// Type of its Arrow form.
    pub(super) arrow: DataType,
    pub(super) not_null: bool,
    pub(super) comment: Option<String>,
    pub(super) compares: Compares,
    /// Place in the primary key, from 1.
    pub(super) key: Option<u32>,
}

/// `name`, as users type it, for `to_regclass`: quoted, schema before it where one was given.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) when it is no name.
pub(super) fn quoted(name: &str) -> Result<String> {
    let parts = dialect::split_name(name)?;
    let parts: Vec<String> = parts.iter().map(|part| part.resolve(&dialect::Postgres)).collect();
    Ok(parts.iter().map(|part| dialect::Postgres.identifier(part)).collect::<Vec<_>>().join("."))
}

/// A row of the first look at a relation, before the transaction: what can be locked.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) sql: String,
    pub(super) kind: u8,
    /// The user may read the whole of it, and so lock it.
    pub(super) lockable: bool,
}

impl Found {
    /// Whether LOCK TABLE takes it.
    pub(super) fn can_be_locked(&self) -> bool {
        self.lockable && matches!(self.kind, b'r' | b'p' | b'v')
    }
}

/// Looks the names up.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) for a relation that is not there, [`Permission`](ErrorKind::Permission) for one
/// that may not be read, [`Unsupported`](ErrorKind::Unsupported) for an index or a composite type.
pub(super) async fn find(connection: &Connection, names: &[&str]) -> Result<Vec<Found>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect::<Result<_>>()?;
    let list: Vec<String> = quoted.iter().map(|name| literal(name)).collect();
    let rows = connection
        .rows(&format!(
            "SELECT c.relkind, n.nspname, c.relname, has_table_privilege(c.oid, 'SELECT'), \
             has_any_column_privilege(c.oid, 'SELECT'), w.ord \
             FROM unnest(ARRAY[{}]) WITH ORDINALITY AS w(name, ord) \
             LEFT JOIN pg_catalog.pg_class c ON c.oid = to_regclass(w.name) \
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY w.ord",
            list.join(", ")
        ))
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for (row, name) in rows.iter().zip(names) {
        let Some(kind) = row.get(0).and_then(|kind| kind.bytes().next()) else {
            return Err(not_found(connection, name).await);
        };
        if matches!(kind, b'i' | b'I' | b'c') {
            return Err(Error::new(ErrorKind::Unsupported, "it is no table or view").at("table", name));
        }
        let (whole, some) = (row.get(3) == Some("t"), row.get(4) == Some("t"));
        if !some {
            let error = Error::new(ErrorKind::Permission, format!("user {} may not read it", connection.server().user));
            return Err(error.with_hint("GRANT SELECT on it, or connect as another user").at("table", name));
        }
        found.push(Found { sql: full_name(row, 1), kind, lockable: whole });
    }
    Ok(found)
}

async fn not_found(connection: &Connection, name: &str) -> Error {
    let database = &connection.server().database;
    let error = Error::new(ErrorKind::NotFound, format!("there is no such table in database {database}"));
    let wanted = name.rsplit('.').next().unwrap_or(name).trim_matches('"');
    let like = literal(&wanted.to_lowercase());
    let similar = connection
        .rows(&format!(
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r','p','v','m','f') AND n.nspname !~ '^pg_(toast|temp)' \
             AND (lower(c.relname) = {like} OR n.nspname !~ '^(pg_|information_schema$)' \
               AND (strpos(lower(c.relname), {like}) > 0 OR strpos({like}, lower(c.relname)) > 0)) \
             ORDER BY lower(c.relname) <> {like}, n.nspname LIKE 'pg\\_%', 1 LIMIT 4"
        ))
        .await
        .unwrap_or_default();
    let similar: Vec<&str> = similar.iter().filter_map(|row| row.get(0)).collect();
    let error = match similar.len() {
        0 => error.with_hint("see what there is with psql's \\dt *.*; names without quotes are lower case"),
        _ => error.with_hint(format!("is it {}?", similar.join(" or "))),
    };
    error.at("table", name)
}

/// `"schema"."name"` from two fields of a row.
fn full_name(row: &SimpleQueryRow, at: usize) -> String {
    let part = |index| dialect::Postgres.identifier(row.get(index).unwrap_or_default());
    format!("{}.{}", part(at), part(at + 1))
}

/// The query for the relations of `names` with all that is below them, one row per leaf.
pub(super) fn sizes_sql(names: &[&str], version_number: u32) -> String {
    let list: Vec<String> = names.iter().map(|name| literal(name)).collect();
    let detached = if version_number >= 140_000 { "AND NOT i.inhdetachpending" } else { "" };
    // Of a table that was never counted an older server says that it has no rows on no pages.
    let counted = if version_number >= 140_000 { "c.reltuples >= 0" } else { "c.reltuples > 0 OR c.relpages > 0" };
    let method = if version_number >= 120_000 { "coalesce(c.relam = 2, true)" } else { "true" };
    format!(
        "WITH RECURSIVE tree(root, oid) AS (\
           SELECT w.ord, to_regclass(w.name)::oid FROM unnest(ARRAY[{}]::text[]) WITH ORDINALITY AS w(name, ord) \
           UNION SELECT t.root, i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid {detached}) \
         SELECT t.root, c.oid, c.relkind, n.nspname, c.relname, row_security_active(c.oid), {method}, \
           has_table_privilege(c.oid, 'SELECT'), \
           CASE WHEN c.relkind IN ('r','m') THEN pg_relation_size(c.oid) / current_setting('block_size')::int8 END, \
           CASE WHEN c.relkind IN ('r','m') THEN pg_relation_size(c.oid) + \
             CASE WHEN c.reltoastrelid <> 0 THEN pg_relation_size(c.reltoastrelid) ELSE 0 END END, \
           CASE WHEN {counted} THEN c.reltuples::int8 END, \
           c.oid = to_regclass((ARRAY[{}]::text[])[t.root])::oid, pg_relation_filenode(c.oid) \
         FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY t.root, 12 DESC, c.oid",
        list.join(", "),
        list.join(", ")
    )
}

/// The relations from the rows of [`sizes_sql`], in the order of its names.
pub(super) fn relations(rows: &[SimpleQueryRow]) -> Vec<Relation> {
    let mut relations: Vec<Relation> = Vec::new();
    let mut root = None;
    for row in rows {
        let number = |at: usize| row.get(at).and_then(|text| text.parse::<u64>().ok());
        let kind = row.get(2).and_then(|kind| kind.bytes().next()).unwrap_or_default();
        let sql = full_name(row, 3);
        if root != row.get(0) {
            root = row.get(0);
            relations.push(Relation {
                sql: sql.clone(),
                oid: number(1).unwrap_or_default() as u32,
                kind,
                row_security: row.get(5) == Some("t"),
                leaves: Vec::new(),
            });
        }
        if let Some(relation) = relations.last_mut().filter(|_| kind != b'p') {
            relation.leaves.push(Leaf {
                sql,
                row_security: row.get(5) == Some("t"),
                heap: matches!(kind, b'r' | b'm') && row.get(6) == Some("t"),
                readable: row.get(7) == Some("t"),
                pages: number(8).unwrap_or_default(),
                bytes: number(9).unwrap_or_default(),
                rows: number(10),
                file: number(12).unwrap_or_default(),
            });
        }
    }
    relations
}

/// The columns of a relation, and the comment on it.
pub(super) async fn columns(connection: &Connection, relation: &Relation) -> Result<(Vec<Column>, Option<String>)> {
    let oid = relation.oid;
    let mut rows = connection.rows(&plain_columns_sql(connection, oid)).await?;
    if rows.iter().any(|row| row.get(18) != Some("t")) {
        let head = format!(
            "SELECT a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attcollation, \
               col_description({oid}, a.attnum), array_position(k.conkey, a.attnum) \
             FROM pg_catalog.pg_attribute a \
             LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'p' \
             WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped"
        );
        rows = connection.rows(&columns_sql(connection, &head, &format!("obj_description({oid}, 'pg_class')"))).await?;
    }
    let comment = rows.first().and_then(|row| row.get(16)).map(str::to_owned);
    Ok((read_columns(&rows, is_utf8(connection))?, comment))
}

/// What [`columns_sql`] gives for the relation `oid`, where all of its columns are of built-in types that are no arrays; the last field
/// says so of each. The whole query costs a new server process several milliseconds before it begins.
fn plain_columns_sql(connection: &Connection, oid: u32) -> String {
    let (deterministic, provider) = since(connection);
    let database =
        |field: &str| format!("(SELECT {field} FROM pg_catalog.pg_database d WHERE d.datname = current_database())");
    format!(
        "SELECT a.attname, a.attnotnull, format_type(a.atttypid, a.atttypmod), NULL, t.oid, a.atttypmod, t.typtype, \
           NULL, NULL, 'pg_catalog.' || quote_ident(p.proname), col_description({oid}, a.attnum), \
           array_position((SELECT c.conkey FROM pg_catalog.pg_constraint c WHERE c.conrelid = {oid} AND c.contype = 'p'), a.attnum), \
           k.collname, {deterministic}, {}, {}, obj_description({oid}, 'pg_class'), NULL, \
           t.oid < {BUILT_IN} AND t.typtype = 'b' AND t.typcategory <> 'A' \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         JOIN pg_catalog.pg_proc p ON p.oid = t.typoutput LEFT JOIN pg_catalog.pg_collation k ON k.oid = a.attcollation \
         WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        database("d.datcollate"),
        database(provider),
    )
}

/// What this version has to say of a collation, and of who provides that of the database.
fn since(connection: &Connection) -> (&'static str, &'static str) {
    let version = connection.server().version_number;
    let deterministic = if version >= 120_000 { "k.collisdeterministic" } else { "true" };
    let provider = if version >= 150_000 { "d.datlocprovider" } else { "'c'" };
    (deterministic, provider)
}

/// The tables and views of users that a query reads, found by the locks that preparing it takes in a transaction.
pub(super) async fn query_tables(connection: &Connection, query: &str) -> Result<Vec<Found>> {
    connection.prepare(query).await.map_err(|source| connection.error(source))?;
    let rows = connection
        .rows(
            "SELECT DISTINCT n.nspname, c.relname, c.relkind, has_table_privilege(c.oid, 'SELECT') \
             FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database() \
             WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
             AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2",
        )
        .await?;
    let found = |row: &SimpleQueryRow| Found {
        sql: full_name(row, 0),
        kind: row.get(2).and_then(|kind| kind.bytes().next()).unwrap_or_default(),
        lockable: row.get(3) == Some("t"),
    };
    Ok(rows.iter().map(found).collect())
}

/// The columns that a query gives, each with a name of its own.
pub(super) async fn query_columns(connection: &Connection, query: &str) -> Result<Vec<Column>> {
    let statement = connection.prepare(query).await.map_err(|source| connection.error(source))?;
    if !statement.params().is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            "the query has parameters such as $1, and there is nothing to fill them",
        ));
    }
    let described: &[Described] = statement.columns();
    if described.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "the query gives no columns").with_hint("write a SELECT"));
    }
    let names: Vec<String> = described.iter().map(|column| column.name().to_owned()).collect();
    let values: Vec<String> = described
        .iter()
        .zip(distinct(&names))
        .enumerate()
        .map(|(index, (column, name))| {
            let (name, oid) = (literal(&name), column.type_().oid());
            format!("({index}, {name}, {oid}::oid, {}, false, 0::oid, NULL::text, NULL::int)", column.type_modifier())
        })
        .collect();
    let head = format!("VALUES {}", values.join(", "));
    let rows = connection.rows(&columns_sql(connection, &head, "NULL::text")).await?;
    read_columns(&rows, is_utf8(connection))
}

/// Text of the database is in the encoding that Arrow has: its byte order is Arrow's, and it holds every letter.
pub(super) fn is_utf8(connection: &Connection) -> bool {
    connection.server().encoding == "UTF8"
}

/// Everything about the columns of `head`: number, name, type, modifier, not null, collation, comment, key place.
fn columns_sql(connection: &Connection, head: &str, comment: &str) -> String {
    let (deterministic, provider) = since(connection);
    format!(
        "WITH RECURSIVE col(num, name, typid, typmod, not_null, coll, comment, key) AS ({head}), \
         base(num, oid, typmod, depth) AS (\
           SELECT num, typid, typmod, 0 FROM col \
           UNION ALL SELECT b.num, t.typbasetype, t.typtypmod, b.depth + 1 \
             FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'), \
         bottom AS (SELECT DISTINCT ON (num) * FROM base ORDER BY num, depth DESC), \
         item(num, oid, typmod, depth) AS (\
           SELECT b.num, t.typelem, b.typmod, 0 FROM bottom b JOIN pg_catalog.pg_type t ON t.oid = b.oid \
             WHERE t.typcategory = 'A' \
           UNION ALL SELECT i.num, t.typbasetype, t.typtypmod, i.depth + 1 \
             FROM item i JOIN pg_catalog.pg_type t ON t.oid = i.oid WHERE t.typtype = 'd'), \
         element AS (SELECT DISTINCT ON (num) * FROM item ORDER BY num, depth DESC) \
         SELECT c.name, c.not_null, format_type(c.typid, c.typmod), \
           CASE WHEN b.depth > 0 THEN format_type(b.oid, b.typmod) END, b.oid, coalesce(i.typmod, b.typmod), t.typtype, \
           e.oid, e.typtype, \
           quote_ident(n.nspname) || '.' || quote_ident(p.proname), c.comment, c.key, \
           k.collname, {deterministic}, d.datcollate, {provider}, {comment}, e.typdelim \
         FROM col c JOIN bottom b ON b.num = c.num JOIN pg_catalog.pg_type t ON t.oid = b.oid \
         LEFT JOIN element i ON i.num = c.num LEFT JOIN pg_catalog.pg_type e ON e.oid = i.oid \
         JOIN pg_catalog.pg_proc p ON p.oid = t.typoutput JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         JOIN pg_catalog.pg_database d ON d.datname = current_database() \
         LEFT JOIN pg_catalog.pg_collation k ON k.oid = c.coll ORDER BY c.num"
    )
}

fn read_columns(rows: &[SimpleQueryRow], utf8: bool) -> Result<Vec<Column>> {
    let odd = || Error::new(ErrorKind::Unsupported, "the server's catalog is not that of PostgreSQL");
    rows.iter().map(|row| read_column(row, utf8).ok_or_else(odd)).collect()
}

fn read_column(row: &SimpleQueryRow, utf8: bool) -> Option<Column> {
    let text = |at: usize| row.get(at).map(str::to_owned);
    let class = |at: usize| row.get(at).and_then(|class| class.bytes().next());
    let name = text(0)?;
    let element = row.get(7).and_then(|oid| oid.parse().ok()).zip(class(8));
    let pg = PgType {
        name: text(2)?,
        base: text(3),
        oid: row.get(4)?.parse().ok()?,
        typmod: row.get(5)?.parse().ok()?,
        class: class(6)?,
        element,
        delimiter: class(17),
        output: text(9)?,
    };
    let compares = compares(&pg, Collation::read(row, utf8));
    Some(Column {
        sql: dialect::Postgres.identifier(&name),
        name,
        not_null: row.get(1) == Some("t"),
        comment: text(10),
        key: row.get(11).and_then(|place| place.parse().ok()),
        compares,
        arrow: pg.arrow(),
        pg,
    })
}

/// How text of a column compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collation {
    /// Byte by byte, of UTF-8.
    Bytes,
    /// Equal means equal bytes, order is that of a language.
    Language,
    /// Unknown, or different bytes may be equal.
    Loose,
}

impl Collation {
    fn read(row: &SimpleQueryRow, utf8: bool) -> Self {
        let name = match (row.get(12), row.get(15)) {
            // The database's own; the locale of the C library counts only where that provides it.
            (Some("default"), Some("c")) => row.get(14),
            (name, _) => name,
        };
        match (name, row.get(13)) {
            // In another encoding the order of bytes is not that of Arrow, which has them in UTF-8.
            (Some("C" | "POSIX" | "ucs_basic"), _) if utf8 => Self::Bytes,
            (Some(_), Some("t")) => Self::Language,
            _ => Self::Loose,
        }
    }
}

/// How far the server's comparisons are those of Arrow on what is read.
fn compares(pg: &PgType, collation: Collation) -> Compares {
    // char(n) ignores blanks at the end, name cuts literals, oid wraps negative ones.
    const BPCHAR: u32 = 1042;
    const NAME: u32 = 19;
    match pg.codec() {
        Codec::Scalar(Read::Bool | Read::Int2 | Read::Int4 | Read::Int8 | Read::Float4 | Read::Float8) => {
            Compares::Order
        }
        Codec::Scalar(Read::Date | Read::Timestamp | Read::TimestampTz) => Compares::Order,
        Codec::Scalar(Read::Numeric) if pg.precision().is_some() => Compares::Order,
        Codec::Scalar(Read::Text) if !matches!(pg.oid, BPCHAR | NAME) => match collation {
            Collation::Bytes => Compares::Order,
            Collation::Language => Compares::Equality,
            Collation::Loose => Compares::No,
        },
        _ => Compares::No,
    }
}
