//! Readers and writers of relational databases.

mod range;
mod upsert;

use serde_json::{Map, Value as Json};

use super::super::name::is_star;
use super::lacks::{READERS, WRITERS};
use super::{Context, Goal, Source, Target, dsn, flag, known, text, texts};
use crate::error::Result;
use crate::job::dialect::driver::Way;
use crate::job::dialect::sql;
use crate::job::tree::Node;
use crate::job::{Place, Trim};
use crate::merge::{Duplicates, KeyOf, Merge, Rest};
use crate::object::ObjectRef;
use crate::sink::{SchemaPolicy, WriteMode};

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Mysql,
    Postgres,
    Db2,
    Oracle,
    SqlServer,
    Sqlite,
    Dm,
}

impl Product {
    /// The product of a plugin, by its name without `reader` and `writer`.
    pub(super) fn of(plugin: &str) -> Option<Self> {
        Some(match plugin {
            "mysql" => Self::Mysql,
            "postgres" => Self::Postgres,
            "db2" => Self::Db2,
            "oracle" => Self::Oracle,
            "sqlserver" => Self::SqlServer,
            "sqlite3" => Self::Sqlite,
            "dm" => Self::Dm,
            _ => return None,
        })
    }

    /// Its name, for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Mysql => "MySQL",
            Self::Postgres => "PostgreSQL",
            Self::Db2 => "Db2",
            Self::Oracle => "Oracle",
            Self::SqlServer => "SQL Server",
            Self::Sqlite => "SQLite",
            Self::Dm => "DM",
        }
    }

    /// The signs around names.
    fn quotes(self) -> (char, char) {
        match self {
            Self::Mysql => ('`', '`'),
            Self::SqlServer => ('[', ']'),
            _ => ('"', '"'),
        }
    }

    /// `name` as an identifier that means exactly these letters.
    fn quoted(self, name: &str) -> String {
        let (open, close) = self.quotes();
        format!("{open}{}{close}", name.replace(close, &format!("{close}{close}")))
    }

    /// The column that `entry` of a list names; none where it is an expression.
    fn column(self, entry: &str) -> Option<String> {
        let entry = entry.trim();
        let (open, close) = self.quotes();
        let inner = entry.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        // Double quotes name columns besides where they are no texts.
        let inner = inner.or_else(|| {
            let named = self != Self::Mysql && open != '"';
            entry.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|_| named)
        });
        if let Some(inner) = inner {
            return (!inner.is_empty() && !inner.contains([open, close, '"'])).then(|| inner.to_owned());
        }
        let letter = |sign: char| sign.is_alphabetic() || sign == '_';
        let is_name = entry.starts_with(letter)
            && entry.chars().all(|sign| letter(sign) || sign.is_numeric() || sign == '$')
            && !WORDS.contains(&entry.to_lowercase().as_str());
        is_name.then(|| match self {
            Self::Postgres => entry.to_lowercase(),
            Self::Db2 | Self::Oracle | Self::Dm => entry.to_uppercase(),
            // These take no notice of case.
            Self::Mysql | Self::SqlServer | Self::Sqlite => entry.to_owned(),
        })
    }

    /// Whether two columns of these names are one.
    fn is_same(self, one: &str, other: &str) -> bool {
        match self {
            Self::Mysql | Self::SqlServer | Self::Sqlite => one.eq_ignore_ascii_case(other),
            Self::Postgres | Self::Db2 | Self::Oracle | Self::Dm => one == other,
        }
    }

    /// The parts of the name of a table, of which the last is its own.
    fn table(self, table: &Node<'_>) -> Result<Vec<String>> {
        let above = match self {
            Self::Mysql | Self::Dm => Some("db"),
            Self::Postgres | Self::Db2 | Self::Oracle | Self::SqlServer => Some("schema"),
            Self::Sqlite => None,
        };
        let above = above.map(|key| text(table, key)).transpose()?.flatten();
        let name = text(table, "name")?.ok_or_else(|| table.error("no table is named"))?;
        Ok(above.into_iter().chain([name]).collect())
    }
}

/// Words that look like names of columns and are values, or columns that no table lists.
const WORDS: [&str; 16] = [
    "null",
    "true",
    "false",
    "user",
    "current_user",
    "session_user",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "sysdate",
    "systimestamp",
    "rowid",
    "rownum",
    "ctid",
];

/// What is read: a table, or each of the queries.
pub(super) fn sources(product: Product, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<Source>> {
    context.idle(READERS, parameter);
    let connection = connection(parameter)?;
    let (connector, mut options) = dsn::options(product, Way::Reading, (parameter, &connection), context)?;
    read_times(product, &mut options, context);
    if flag(parameter, "trimChar")? {
        context.trim = Some(Trim::Padded);
    }
    let place = |object| Place::new(connector, Json::Object(options.clone()), object);
    let queries = texts(parameter, "querySql")?;
    let queries: Vec<&str> = queries.iter().map(|sql| bare(sql)).filter(|sql| !sql.is_empty()).collect();
    if !queries.is_empty() {
        let unused = ["where", "split"].iter().filter(|key| is_said(parameter, key)).copied().collect::<Vec<_>>();
        if !unused.is_empty() {
            context.notes.push(format!("querySql is read as it stands, without {}", unused.join(" and ")));
        }
        known(parameter, &["column", "where", "split"]);
        known(&connection, &["table"]);
        return Ok(queries.into_iter().map(|sql| Source::whole(place(ObjectRef::Query(sql.to_owned())))).collect());
    }
    let table = product.table(&connection.need("table")?)?;
    let columns = columns(parameter)?;
    let filter = text(parameter, "where")?.map(|text| bare(&text).to_owned()).filter(|text| !text.is_empty());
    let range = range::condition(product, parameter, context)?;
    let conditions: Vec<String> = filter.into_iter().chain(range).map(|one| format!("({one})")).collect();
    let names: Option<Vec<String>> = columns.iter().map(|entry| product.column(entry)).collect();
    let names = names.filter(|names| !has_twice(product, names));
    let width = names.as_ref().map(Vec::len).filter(|width| *width > 0);
    // Functions count the columns of the list, so that the source has to give these and no others.
    let listed = columns.is_empty() || context.steps.is_empty();
    let source = match names {
        Some(select) if conditions.is_empty() && listed => {
            let places = vec![place(ObjectRef::Table(quoted(&table, Product::Postgres)))];
            Source { places, select, width }
        }
        _ => {
            let list = if columns.is_empty() { "*".to_owned() } else { sql::list(&columns) };
            let mut sql = format!("select {list} from {}", quoted(&table, product));
            if !conditions.is_empty() {
                sql = format!("{sql} where {}", conditions.join(" and "));
            }
            Source { width, ..Source::whole(place(ObjectRef::Query(sql))) }
        }
    };
    Ok(vec![source])
}

/// How times are read, as the driver of `product` gives them.
fn read_times(product: Product, options: &mut Map<String, Json>, context: &mut Context<'_>) {
    match (product, context.goal) {
        (Product::Mysql, goal) => {
            if !matches!(goal, Goal::Postgres | Goal::Table) {
                // A time beyond 24 hours stays what it is; other products have no such times.
                options.insert("time".to_owned(), "duration".into());
            }
            // Without a zone: what the clock of the server shows.
            let timestamps = if goal.is_file() { "clock" } else { "server" };
            options.insert("timestamp".to_owned(), timestamps.into());
        }
        (Product::Postgres, Goal::Postgres) => {
            // An instant as the clock of the session shows it, and a time without a zone as one of UTC.
            options.insert("timestamptz".to_owned(), "server".into());
            context.zone = Some("UTC".to_owned());
        }
        _ => {}
    }
}

/// What is written: one table.
pub(super) fn target(product: Product, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Target> {
    let connection = connection(parameter)?;
    let (connector, mut options) = dsn::options(product, Way::Writing, (parameter, &connection), context)?;
    if product == Product::Mysql {
        options.insert("timestamp".to_owned(), "server".into());
    }
    let table = product.table(&connection.need("table")?)?;
    let names = target_names(product, parameter)?;
    let mode = mode(product, parameter, context)?;
    context.idle(WRITERS, parameter);
    Ok(Target {
        place: Place::new(connector, Json::Object(options), ObjectRef::Table(quoted(&table, Product::Postgres))),
        mode,
        schema: if names.is_empty() { SchemaPolicy::ByPlace } else { SchemaPolicy::Partial },
        names,
        pre_sql: statements(parameter, "preSql")?,
        post_sql: statements(parameter, "postSql")?,
    })
}

fn connection<'a>(parameter: &Node<'a>) -> Result<Node<'a>> {
    let connection = parameter.need("connection")?;
    if connection.is_object() {
        return Ok(connection);
    }
    Err(connection
        .error("a connection of go-etl is an object with url and table")
        .with_hint("a job with jdbcUrl is one of DataX: say --compat datax"))
}

/// The parts of a name in the quotes of `product`; this program itself takes those of PostgreSQL.
fn quoted(parts: &[String], product: Product) -> String {
    parts.iter().map(|part| product.quoted(part)).collect::<Vec<_>>().join(".")
}

/// Whether `key` says anything.
fn is_said(parameter: &Node<'_>, key: &str) -> bool {
    parameter.get(key).is_some_and(|node| node.text().map_or(true, |text| !text.trim().is_empty()))
}

/// SQL without blanks and semicolons at its end.
fn bare(sql: &str) -> &str {
    sql.trim().trim_end_matches(';').trim()
}

/// The column list of a reader: SQL, as it stands. Empty for all.
fn columns(parameter: &Node<'_>) -> Result<Vec<String>> {
    let node = parameter.need("column")?;
    if is_star(&node) {
        return Ok(Vec::new());
    }
    let columns = node.one_or_more().iter().map(Node::text).collect::<Result<Vec<_>>>()?;
    if columns.is_empty() { Err(node.error("column is empty").with_hint("write [\"*\"] for all")) } else { Ok(columns) }
}

fn has_twice(product: Product, names: &[String]) -> bool {
    let twice = |(place, name): (usize, &String)| names[..place].iter().any(|other| product.is_same(other, name));
    names.iter().enumerate().any(twice)
}

/// The columns of the target, by their place; empty for all of them.
fn target_names(product: Product, parameter: &Node<'_>) -> Result<Vec<String>> {
    let node = parameter.need("column")?;
    let mut names: Vec<String> = Vec::new();
    if is_star(&node) {
        return Ok(names);
    }
    for element in node.one_or_more() {
        let text = element.text()?;
        let name = product.column(&text).ok_or_else(|| element.error(format!("{text:?} names no column to write")))?;
        if names.iter().any(|other| product.is_same(other, &name)) {
            return Err(element.error(format!("the column {name:?} is named twice")));
        }
        names.push(name);
    }
    if names.is_empty() { Err(node.error("column is empty").with_hint("write [\"*\"] for all")) } else { Ok(names) }
}

/// SQL of the user. A SELECT does nothing there, and go-etl refuses it.
fn statements(parameter: &Node<'_>, key: &str) -> Result<Vec<String>> {
    let Some(node) = parameter.get(key) else { return Ok(Vec::new()) };
    let mut statements = Vec::new();
    for element in node.one_or_more() {
        let sql = element.text()?;
        if sql.trim().to_lowercase().starts_with("select") {
            return Err(element.error("a statement beside the copy is no SELECT").with_hint("leave it out"));
        }
        if !sql.trim().is_empty() {
            statements.push(sql);
        }
    }
    Ok(statements)
}

fn mode(product: Product, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<WriteMode> {
    let Some(node) = parameter.get("writeMode") else { return Ok(WriteMode::Append) };
    match (node.text()?.trim().to_lowercase().as_str(), product) {
        ("" | "insert", _) | ("copyin", Product::Postgres | Product::SqlServer) => Ok(WriteMode::Append),
        ("replace", Product::Mysql) => {
            let note = "a row whose key is there already takes the place of the old one, by the primary key, else by the only \
                        unique index";
            context.notes.push(note.to_owned());
            let (key_of, duplicates, rest) = (KeyOf::Target, Duplicates::LastArrived, Rest::Default);
            Ok(WriteMode::Upsert(Merge { duplicates, key_of, rest, ..Merge::default() }))
        }
        ("upsert", Product::Postgres) => Ok(WriteMode::Upsert(upsert::merge(&parameter.need("upsertSql")?)?)),
        (word, _) => {
            let modes = match product {
                Product::Mysql => "insert and replace",
                Product::Postgres => "insert, copyIn and upsert",
                Product::SqlServer => "insert and copyIn",
                _ => "insert alone",
            };
            let message = format!("there is no write mode {word:?} for {}", product.title());
            Err(node.error(message).with_hint(format!("go-etl has {modes}")))
        }
    }
}
