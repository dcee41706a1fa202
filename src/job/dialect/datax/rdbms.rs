//! Readers and writers of relational databases.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::super::driver::Way;
use super::super::jdbc;
use super::super::name::{self, is_star};
use super::super::product::Product;
use super::super::product::options::{self, Times};
use super::super::sql;
use super::lacks::{QUERY_READERS, READERS, WRITERS};
use super::{Context, Goal, Read, Source, Target, tasks};
use crate::error::Result;
use crate::job::tree::Node;
use crate::job::{Place, TransformStep};
use crate::merge::{Duplicates, KeyOf, Merge, Rest};
use crate::object::ObjectRef;
use crate::sink::{SchemaPolicy, WriteMode};

/// The product of a plugin, by its name without `reader` and `writer`.
pub(super) fn product_of(plugin: &str) -> Option<Product> {
    Some(match plugin {
        "mysql" | "drds" | "adbmysql" | "oceanbasev10" => Product::Mysql,
        "postgresql" | "gaussdb" | "kingbasees" => Product::Postgres,
        "sqlserver" => Product::SqlServer,
        "oracle" => Product::Oracle,
        "rdbms" | "db2" | "dm" => Product::Generic,
        _ => return None,
    })
}

/// What is read: each table of each connection, or each of its queries.
pub(super) fn read(product: Product, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Read> {
    context.idle(READERS, parameter);
    let connections = parameter.need("connection")?.one_or_more();
    let both = connections.iter().find_map(|connection| named(connection, "table").and(named(connection, "querySql")));
    if let Some(query) = both {
        return Err(query.error("both 'table' and 'querySql' name what is read").with_hint("leave one of them out"));
    }
    let by_query = connections.iter().filter(|connection| named(connection, "querySql").is_some()).count();
    if by_query > 0 && by_query < connections.len() {
        return Err(parameter.need("connection")?.error("some connections name tables and others queries"));
    }
    let filter = parameter.get("where").map(|filter| filter.text()).transpose()?;
    let filter = filter.map(|text| text.trim().trim_end_matches(';').trim().to_owned()).filter(|text| !text.is_empty());
    let columns = if by_query > 0 {
        context.idle(QUERY_READERS, parameter);
        None
    } else {
        Some(Columns { filter, ..Columns::read(parameter)? })
    };
    context.has_names = columns.as_ref().is_some_and(|columns| columns.names.is_empty());
    let mut sources = Vec::new();
    let mut counts = Vec::new();
    for connection in &connections {
        let node = connection.need("jdbcUrl")?;
        let urls = jdbc::read_all(product, &node, &mut context.notes)?;
        let login = options::login(parameter)?;
        let told = (&mut context.notes, &mut context.parameters);
        let mut options = options::of((product, Way::Reading), &urls, (parameter, &node), login, told)?;
        // Of other products' tables none holds a time beyond 24 hours.
        let times = if context.goal == Goal::Table { Times::OfDay } else { Times::Durations };
        options::for_reading(product, &mut options, times);
        let connector = options::connector(product, &options);
        if connector == "mysql" {
            // The driver of these jobs takes what the server's clock shows for what that of the job shows.
            let timestamps = if context.goal.is_text() { "clock" } else { "server" };
            options.insert("timestamp".to_owned(), timestamps.into());
        }
        let place = |object| Place::new(connector, Json::Object(options.clone()), object);
        let before = sources.len();
        match &columns {
            Some(columns) => {
                let tables = name::tables(&connection.need("table")?)?;
                sources.extend(tables.iter().map(|table| columns.source((connector, table), context.steps, place)));
            }
            None => {
                for query in connection.need("querySql")?.one_or_more() {
                    let query = query.text()?.trim().trim_end_matches(';').to_owned();
                    let place = place(ObjectRef::Query(query));
                    sources.push(Source { place, select: Vec::new(), query: None, width: None, ragged: false });
                }
            }
        }
        counts.push(sources.len() - before);
    }
    let key = parameter.get("splitPk").and_then(|key| key.text().ok()).filter(|key| !key.trim().is_empty());
    let factor = parameter.get("splitFactor").and_then(|factor| factor.integer().ok()).unwrap_or(SPLIT_FACTOR);
    let factor = key.and_then(|_| u64::try_from(factor).ok());
    let tasks = match by_query {
        0 => tasks::of_tables(&counts, context.settings.channels, factor),
        _ => sources.len() as u64,
    };
    Ok(Read { sources, tasks: Some(tasks) })
}

/// What `key` of `connection` says; none where it is blank, as it stands in many files beside what is meant.
fn named<'a>(connection: &Node<'a>, key: &str) -> Option<Node<'a>> {
    let says = |one: &Node<'_>| !one.text().is_ok_and(|text| text.trim().is_empty());
    connection.get(key).filter(|node| node.one_or_more().iter().any(says))
}

/// Into how many times more ranges DataX cuts the only table of a connection, unless the reader says it.
const SPLIT_FACTOR: i64 = 5;

/// The column list of a reader, and its condition: SQL, as it stands.
struct Columns {
    names: Vec<String>,
    filter: Option<String>,
}

impl Columns {
    fn read(parameter: &Node<'_>) -> Result<Self> {
        let node = parameter.need("column")?;
        if is_star(&node) {
            return Ok(Self { names: Vec::new(), filter: None });
        }
        let names = node.one_or_more().iter().map(Node::text).collect::<Result<Vec<_>>>()?;
        if names.is_empty() {
            return Err(node.error("no column is named"));
        }
        Ok(Self { names, filter: None })
    }

    /// What is read of `table` by `connector`. Functions count the columns of the list, so that with them the source has to give these
    /// and no others.
    fn source(
        &self,
        (connector, table): (&str, &str),
        steps: &[TransformStep],
        place: impl Fn(ObjectRef) -> Place,
    ) -> Source {
        let query = self.query(table);
        let listed = self.names.is_empty() || steps.is_empty();
        let (width, ragged) = (self.width(), false);
        if self.filter.is_some() || !listed || !self.is_plain() {
            return Source { place: place(ObjectRef::Query(query)), select: Vec::new(), query: None, width, ragged };
        }
        let place = place(ObjectRef::Table(name::folded(connector, &name::standard(table))));
        let query = (!self.names.is_empty()).then_some(query);
        Source { place, select: self.names.clone(), query, width, ragged }
    }

    /// Whether all are names that mean the same in quotes, each once.
    fn is_plain(&self) -> bool {
        let twice = |(place, name): (usize, &String)| self.names[..place].contains(name);
        self.names.iter().all(|name| name::is_plain(name)) && !self.names.iter().enumerate().any(twice)
    }

    /// How many there are: an entry may hold several, or all.
    fn width(&self) -> Option<usize> {
        self.is_plain().then_some(self.names.len()).filter(|width| *width > 0)
    }

    fn query(&self, table: &str) -> String {
        let columns = if self.names.is_empty() { "*".to_owned() } else { sql::list(&self.names) };
        let filter = self.filter.as_ref().map_or_else(String::new, |filter| format!(" where ({filter})"));
        format!("select {columns} from {table}{filter}")
    }
}

/// What is written: each table.
pub(super) fn targets(product: Product, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<Target>> {
    context.idle(WRITERS, parameter);
    let columns = target_columns(&parameter.need("column")?, context)?;
    let mode = mode(product, parameter, context)?;
    let mut targets = Vec::new();
    for connection in parameter.need("connection")?.one_or_more() {
        let node = connection.need("jdbcUrl")?;
        let urls = jdbc::read_all(product, &node, &mut context.notes)?;
        let login = options::login(parameter)?;
        let told = (&mut context.notes, &mut context.parameters);
        let mut options = options::of((product, Way::Writing), &urls, (parameter, &node), login, told)?;
        let connector = options::connector(product, &options);
        if connector == "mysql" {
            options.insert("timestamp".to_owned(), "server".into());
        }
        let names: Vec<String> = columns.iter().map(|column| name::column(&name::folded(connector, column))).collect();
        for table in name::tables(&connection.need("table")?)? {
            let statements = |key: &str| statements(parameter, key, &table);
            targets.push(Target {
                mode: mode.clone(),
                names: names.clone(),
                schema: match (names.is_empty(), context.has_names) {
                    (false, _) => SchemaPolicy::Partial,
                    (true, true) => SchemaPolicy::Strict,
                    (true, false) => SchemaPolicy::ByPlace,
                },
                pre_sql: statements("preSql")?,
                post_sql: statements("postSql")?,
                place: Place::new(
                    connector,
                    Json::Object(options.clone()),
                    ObjectRef::Table(name::folded(connector, &name::standard(&table))),
                ),
            });
        }
    }
    Ok(targets)
}

/// The columns of the target by their place, as they stand there.
fn target_columns(node: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<String>> {
    if is_star(node) {
        if context.has_names {
            let note =
                "the columns of reader and writer are *: they are paired by their names, and not by their places";
            context.notes.push(note.to_owned());
        }
        return Ok(Vec::new());
    }
    let mut seen = BTreeSet::new();
    let mut columns = Vec::new();
    for element in node.one_or_more() {
        let column = element.text()?;
        let name = name::column(&column);
        if !seen.insert(name.to_lowercase()) {
            return Err(element.error(format!("the column {name:?} is named twice")));
        }
        columns.push(column);
    }
    if columns.is_empty() {
        return Err(node.error("no column is named"));
    }
    Ok(columns)
}

/// SQL of the user, with the table in place of `@table`.
fn statements(parameter: &Node<'_>, key: &str, table: &str) -> Result<Vec<String>> {
    let Some(node) = parameter.get(key) else { return Ok(Vec::new()) };
    let filled = node.one_or_more().into_iter().map(|sql| Ok(sql.text()?.replace("@table", table)));
    filled.filter(|sql: &Result<String>| !sql.as_ref().is_ok_and(|sql| sql.trim().is_empty())).collect()
}

fn mode(product: Product, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<WriteMode> {
    let Some(node) = parameter.get("writeMode") else { return Ok(WriteMode::Append) };
    let word = node.text()?.trim().to_lowercase();
    if product != Product::Mysql {
        context.notes.push(format!("DataX refuses writeMode for {}; here it has its meaning", product.title()));
    }
    if word.starts_with("insert") {
        return Ok(WriteMode::Append);
    }
    let rest = match word.as_str() {
        word if word.starts_with("replace") => Rest::Default,
        word if word.starts_with("update") => Rest::Kept,
        _ => {
            let error = node.error(format!("there is no write mode {word:?}"));
            return Err(error.with_hint("the modes are insert, replace and update"));
        }
    };
    let note = "a row whose key is there already takes the place of the old one, by the primary key, else by the only unique index";
    context.notes.push(note.to_owned());
    let (key_of, duplicates) = (KeyOf::Target, Duplicates::LastArrived);
    Ok(WriteMode::Upsert(Merge { duplicates, key_of, rest, ..Merge::default() }))
}
