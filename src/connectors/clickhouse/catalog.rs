//! What a server says of one table, view or query.

use super::config::{Config, Strings};
use super::connect::Server;
use super::errors::{code, code_of};
use super::name::{Name, identifier, literal};
use super::typemap::{Mark, Type};
use crate::error::{Error, ErrorKind, Result};

/// How the tables of a stage begin.
pub(super) const STAGE: &str = "etl_stage_";

/// A table, view or query.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) origin: Origin,
    pub(super) columns: Vec<Column>,
    /// Columns of the sorting key, in its order; empty where it has expressions.
    pub(super) order: Vec<String>,
    pub(super) comment: String,
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// What rows come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Table(Table),
    Query(String),
}

/// What is special of a table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: Name,
    /// `MergeTree`, `ReplicatedMergeTree`, `View`.
    pub(super) engine: String,
    /// How many blocks it remembers, so that one that comes again is left out.
    pub(super) window: u64,
    /// Whether other tables get what is inserted, by materialized views.
    pub(super) feeds: bool,
    /// Whether its database exchanges tables in one step.
    pub(super) atomic: bool,
    /// Whether rows or values vanish after a time.
    pub(super) forgets: bool,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type in ClickHouse's words.
    pub(super) declared: String,
    /// None for one that is neither read nor written.
    pub(super) declared_as: Option<Type>,
    pub(super) default: DefaultKind,
    /// Its comment, where that is no mark of ours.
    pub(super) comment: Option<String>,
}

/// What fills a column when nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DefaultKind {
    /// The default of its type.
    None,
    /// An expression.
    Default,
    /// An expression, always.
    Computed,
}

impl Column {
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a type that is neither read nor written.
    pub(super) fn known(&self) -> Result<&Type> {
        self.declared_as.as_ref().ok_or_else(|| refused(&self.declared).at("column", &self.name))
    }
}

/// The error of a column of the type `name`.
pub(super) fn refused(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("columns of the type {name} are not copied"))
        .with_hint("read it as another type with --query, as by toString(column), or leave it out with --drop")
}

impl Table {
    /// Whether it keeps rows in parts.
    pub(super) fn has_parts(&self) -> bool {
        self.engine.ends_with("MergeTree")
    }

    /// Whether another server has the same rows.
    pub(super) fn is_replicated(&self) -> bool {
        self.engine.starts_with("Replicated") || self.engine.starts_with("Shared")
    }

    pub(super) fn is_view(&self) -> bool {
        self.engine.ends_with("View")
    }
}

impl Relation {
    /// What follows FROM.
    pub(super) fn sql(&self) -> String {
        match &self.origin {
            Origin::Table(table) => table.name.quoted(),
            Origin::Query(query) => format!("({query}\n)"),
        }
    }

    /// For messages.
    pub(super) fn shown(&self) -> String {
        match &self.origin {
            Origin::Table(table) => table.name.shown(),
            Origin::Query(_) => "(query)".to_owned(),
        }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.origin {
            Origin::Table(table) => Some(table),
            Origin::Query(_) => None,
        }
    }

    /// Columns that a SELECT of all gives.
    pub(super) fn plain(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.default != DefaultKind::Computed)
    }
}

/// The table `name`; none where it is missing.
pub(super) async fn find(server: &Server, name: &Name) -> Result<Option<Relation>> {
    let database = literal(&name.database);
    let sql = format!(
        "SELECT engine, engine_full, comment, sorting_key, total_rows, total_bytes, \
         notEmpty(dependencies_table), (SELECT engine FROM system.databases WHERE name = {database}), \
         position(create_table_query, ' TTL ') > 0, \
         (SELECT count() > 0 FROM system.settings WHERE startsWith(name, 'deduplicate_insert') AND value = 'disable') \
         FROM system.tables WHERE {}",
        name.is("name")
    );
    let rows = server.rows(&sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let text = |place: usize| row.get(place).cloned().flatten().unwrap_or_default();
    let (engine, full) = (text(0), text(1));
    let columns = columns(server, name).await?;
    let order = plain_columns(&text(3), &columns);
    let is = |place: usize| matches!(text(place).as_str(), "1" | "true");
    let table = Table {
        name: name.clone(),
        // A profile may say that nothing is remembered, and newer servers heed that more than the table.
        window: if is(9) { 0 } else { window(&engine, &full) },
        engine,
        feeds: is(6),
        atomic: text(7) != "Ordinary",
        forgets: is(8),
    };
    Ok(Some(Relation {
        origin: Origin::Table(table),
        columns,
        order,
        comment: text(2),
        rows: text(4).parse().ok(),
        bytes: text(5).parse().ok(),
    }))
}

/// As [`find`], but it has to be there.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound).
pub(super) async fn expect(server: &Server, name: &Name) -> Result<Relation> {
    let missing = || {
        Error::new(ErrorKind::NotFound, "the database has no such table")
            .at("table", name.shown())
            .with_hint("check the name, in which case counts; one of another database is written database.table")
    };
    find(server, name).await?.ok_or_else(missing)
}

/// The columns of `query`.
pub(super) async fn query(server: &Server, query: &str) -> Result<Relation> {
    let rows = server.rows(&format!("DESCRIBE TABLE ({query}\n)")).await?;
    let column = |row: Vec<Option<String>>| match row.as_slice() {
        [Some(name), Some(declared), ..] => Some(column(server.config(), name, declared, ("", ""))),
        _ => None,
    };
    let columns: Vec<Column> = rows.into_iter().filter_map(column).collect();
    let origin = Origin::Query(query.to_owned());
    Ok(Relation { origin, columns, order: Vec::new(), comment: String::new(), rows: None, bytes: None })
}

async fn columns(server: &Server, name: &Name) -> Result<Vec<Column>> {
    let sql = format!(
        "SELECT name, type, default_kind, comment FROM system.columns WHERE {} ORDER BY position",
        name.is("table")
    );
    let column = |row: Vec<Option<String>>| match row.as_slice() {
        [Some(name), Some(declared), Some(default), Some(comment)] => {
            Some(column(server.config(), name, declared, (default, comment)))
        }
        _ => None,
    };
    Ok(server.rows(&sql).await?.into_iter().filter_map(column).collect())
}

fn column(config: &Config, name: &str, declared: &str, (default, comment): (&str, &str)) -> Column {
    let mark = Mark::of(comment);
    let declared_as = Type::parse(declared).map(|known| {
        let known = known.marked(mark);
        if config.strings == Strings::Binary { known.into_bytes() } else { known }
    });
    Column {
        name: name.to_owned(),
        declared: declared.to_owned(),
        declared_as,
        default: match default {
            "" => DefaultKind::None,
            "DEFAULT" => DefaultKind::Default,
            _ => DefaultKind::Computed,
        },
        comment: (mark.is_none() && !comment.is_empty()).then(|| comment.to_owned()),
    }
}

/// Blocks that a table remembers. Replicated ones do unless they are told not to.
fn window(engine: &str, full: &str) -> u64 {
    let replicated = engine.starts_with("Replicated") || engine.starts_with("Shared");
    let name = if replicated { "replicated_deduplication_window = " } else { "non_replicated_deduplication_window = " };
    let told = full.match_indices(name).find(|(at, _)| !replicated || !full[..*at].ends_with("non_"));
    let number = told.and_then(|(at, _)| {
        let digits: String = full[at + name.len()..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    number.unwrap_or(if replicated { 100 } else { 0 })
}

/// The columns of a sorting key `a, b`; none where something else is in it.
fn plain_columns(key: &str, columns: &[Column]) -> Vec<String> {
    if key.is_empty() {
        return Vec::new();
    }
    let plain = |text: &str| {
        columns.iter().find(|column| column.name == text || identifier(&column.name) == text).map(|c| c.name.clone())
    };
    key.split(", ").map(plain).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The names of all tables and views of `database`, but for ours.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) where there is no such database.
pub(super) async fn list(server: &Server, database: &str) -> Result<Vec<String>> {
    let literal = literal(database);
    let known = server.number(&format!("SELECT count() FROM system.databases WHERE name = {literal}")).await?;
    if known == Some(0) {
        return Err(Error::new(ErrorKind::NotFound, "the server has no such database").at("database", database));
    }
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = {literal} AND NOT is_temporary AND NOT startsWith(name, '.inner') \
         AND NOT startsWith(name, '{STAGE}') AND name != '{}' ORDER BY name",
        super::marker::TABLE
    );
    Ok(server.rows(&sql).await?.into_iter().flatten().flatten().collect())
}

/// The comment of a table; none where it is missing.
pub(super) async fn comment(server: &Server, name: &Name) -> Result<Option<String>> {
    server.text(&format!("SELECT comment FROM system.tables WHERE {}", name.is("name"))).await
}

/// How many rows a table has; none where it is missing.
pub(super) async fn count(server: &Server, name: &Name) -> Result<Option<u64>> {
    match server.number(&format!("SELECT count() FROM {}", name.quoted())).await {
        Err(error) if matches!(code_of(&error), Some(code::UNKNOWN_TABLE | code::UNKNOWN_DATABASE)) => Ok(None),
        counted => counted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_found_in_definitions() {
        let full = "MergeTree ORDER BY k SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 7";
        assert_eq!(window("MergeTree", full), 7);
        assert_eq!(window("MergeTree", "MergeTree ORDER BY k"), 0);
        assert_eq!(window("ReplicatedMergeTree", full), 100);
        assert_eq!(window("ReplicatedMergeTree", "x SETTINGS replicated_deduplication_window = 0"), 0);
    }

    #[test]
    fn keys_are_columns_or_nothing() {
        let of = |name: &str| Column {
            name: name.to_owned(),
            declared: "Int8".to_owned(),
            declared_as: None,
            default: DefaultKind::None,
            comment: None,
        };
        let columns = [of("a"), of("b`c")];
        assert_eq!(plain_columns(r"a, `b\`c`", &columns), ["a", "b`c"]);
        assert!(plain_columns("a, toDate(b)", &columns).is_empty());
        assert!(plain_columns("", &columns).is_empty());
    }
}
