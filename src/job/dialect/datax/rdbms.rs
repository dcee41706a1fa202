//! Readers and writers of relational databases.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::super::jdbc::{self, Url};
use super::super::name::{self, is_star};
use super::super::product::Product;
use super::super::product::options::{self, Times};
use super::{Context, Goal, Source, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Place;
use crate::job::tree::Node;
use crate::merge::Merge;
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

/// Keys of readers and writers that concern how rows are fetched and sent, which is chosen here.
const IDLE: &[&str] = &[
    "fetchSize",
    "splitFactor",
    "batchSize",
    "batchByteSize",
    "checkSlave",
    "samplePercentage",
    "weakRead",
    "readBatchSize",
];

/// What is read: each table of each connection, or each of its queries.
pub(super) fn sources(product: Product, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<Source>> {
    context.idle(parameter, IDLE);
    let connections = parameter.need("connection")?.one_or_more();
    let by_query = connections.iter().filter(|connection| connection.get("querySql").is_some()).count();
    if by_query > 0 && by_query < connections.len() {
        return Err(parameter.need("connection")?.error("some connections name tables and others queries"));
    }
    let columns = if by_query > 0 { None } else { Some(Columns::read(parameter)?) };
    reader_notes(parameter, by_query > 0, context)?;
    let several = connections.len() > 1;
    let mut sources = Vec::new();
    for connection in &connections {
        let node = connection.need("jdbcUrl")?;
        let urls = node.one_or_more().iter().map(|url| jdbc::read(product, url)).collect::<Result<Vec<_>>>()?;
        let login = options::login(parameter)?;
        let mut options = options::of(product, &urls, (parameter, &node), login, &mut context.notes)?;
        // Of other products' tables none holds a time beyond 24 hours.
        let times = if context.goal == Goal::Table { Times::OfDay } else { Times::Durations };
        options::for_reading(product, &mut options, times);
        let place = |object| Place::new(options::connector(product, &options), Json::Object(options.clone()), object);
        let Some(columns) = &columns else {
            for query in connection.need("querySql")?.one_or_more() {
                let object = ObjectRef::Query(query.text()?.trim().trim_end_matches(';').to_owned());
                sources.push(Source { place: place(object), select: Vec::new(), width: None, ragged: false });
            }
            continue;
        };
        let filter = parameter.get("where").map(|filter| filter.text()).transpose()?;
        let filter =
            filter.map(|text| text.trim().trim_end_matches(';').trim().to_owned()).filter(|text| !text.is_empty());
        let tables = name::tables(&connection.need("table")?)?;
        // Of several databases of one server each table has to say its own.
        let united = tables.len() > 1 || several;
        let own = urls.first().filter(|_| several && product == Product::Mysql).map(|url| url.database.clone());
        for table in tables {
            let table = match own.as_ref().filter(|_| !table.contains('.')) {
                Some(database) => format!("{}.{table}", product.quoted(database)),
                None => table,
            };
            // Functions count the columns of the list, so that the source has to give these and no others.
            let listed = columns.names.is_empty() || context.steps.is_empty();
            let plain = !united && filter.is_none() && listed && columns.is_plain();
            let (object, select) = if plain {
                (ObjectRef::Table(name::standard(&table)), columns.names.clone())
            } else {
                (ObjectRef::Query(columns.query(&table, filter.as_deref())), Vec::new())
            };
            sources.push(Source { place: place(object), select, width: columns.width(), ragged: false });
        }
    }
    Ok(sources)
}

fn reader_notes(parameter: &Node<'_>, by_query: bool, context: &mut Context<'_>) -> Result<()> {
    if by_query {
        let idle = ["column", "where", "splitPk"];
        context.idle(parameter, &idle);
    } else if let Some(key) = parameter.get("splitPk") {
        // Tables are cut by what is fastest, and rows without a key are among them.
        context
            .notes
            .push(format!("splitPk {:?} is not needed: a table is cut so that each row comes once", key.text()?));
    }
    if let Some(encoding) = parameter.get("mandatoryEncoding")
        && !encoding.text()?.is_empty()
    {
        let note = "mandatoryEncoding: texts come in the encoding that the server says, and NULL stays NULL";
        context.notes.push(note.to_owned());
    }
    context.idle(parameter, &["preSql", "hint", "readByPartition", "partitionName"]);
    Ok(())
}

/// The column list of a reader: SQL, as it stands.
struct Columns {
    names: Vec<String>,
}

impl Columns {
    fn read(parameter: &Node<'_>) -> Result<Self> {
        let node = parameter.need("column")?;
        if is_star(&node) {
            return Ok(Self { names: Vec::new() });
        }
        let names = node.one_or_more().iter().map(Node::text).collect::<Result<Vec<_>>>()?;
        if names.is_empty() {
            return Err(node.error("no column is named"));
        }
        Ok(Self { names })
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

    fn query(&self, table: &str, filter: Option<&str>) -> String {
        let columns = if self.names.is_empty() { "*".to_owned() } else { self.names.join(",") };
        let filter = filter.map_or_else(String::new, |filter| format!(" where ({filter})"));
        format!("select {columns} from {table}{filter}")
    }
}

/// Several sources of one server as one: all their rows.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where they are of several servers, or no queries.
pub(super) fn united(parameter: &Node<'_>, sources: Vec<Source>) -> Result<Source> {
    let mut sources = sources;
    // MySQL reaches all databases of a server over one connection; tables say which is theirs.
    let server = |place: &Place| {
        let mut options = place.options.clone();
        if let Json::Object(options) = &mut options {
            options.remove(if place.connector == "mysql" { "database" } else { "" });
        }
        (place.connector.clone(), options)
    };
    let queries: Option<Vec<String>> = sources
        .iter()
        .map(|source| match &source.place.object {
            ObjectRef::Query(query) => Some(format!("({query})")),
            _ => None,
        })
        .collect();
    let first = sources.first().map(|source| server(&source.place));
    let same = sources.iter().all(|source| Some(server(&source.place)) == first);
    let Some(queries) = queries.filter(|_| same) else {
        let error = parameter.error("tables of several servers cannot be written into one table by one job yet");
        return Err(Error::new(ErrorKind::Unsupported, error.to_string()).with_hint("run one job for each server"));
    };
    let mut united = sources.swap_remove(0);
    united.place.object = ObjectRef::Query(queries.join(" union all "));
    Ok(united)
}

/// What is written: each table.
pub(super) fn targets(product: Product, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<Target>> {
    context.idle(parameter, IDLE);
    let names = target_names(&parameter.need("column")?, context)?;
    let mode = mode(product, parameter, context)?;
    let mut targets = Vec::new();
    for connection in parameter.need("connection")?.one_or_more() {
        let node = connection.need("jdbcUrl")?;
        let urls = node.one_or_more().iter().map(|url| jdbc::read(product, url)).collect::<Result<Vec<Url>>>()?;
        let login = options::login(parameter)?;
        let options = options::of(product, &urls, (parameter, &node), login, &mut context.notes)?;
        for table in name::tables(&connection.need("table")?)? {
            let statements = |key: &str| statements(parameter, key, &table);
            targets.push(Target {
                mode: mode.clone(),
                names: names.clone(),
                schema: if names.is_empty() { SchemaPolicy::Strict } else { SchemaPolicy::Partial },
                pre_sql: statements("preSql")?,
                post_sql: statements("postSql")?,
                place: Place::new(
                    options::connector(product, &options),
                    Json::Object(options.clone()),
                    ObjectRef::Table(name::standard(&table)),
                ),
            });
        }
    }
    Ok(targets)
}

/// The columns of the target, by their place.
fn target_names(node: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<String>> {
    if is_star(node) {
        context
            .notes
            .push("the writer's column is *: columns are paired by their names, and not by their places".to_owned());
        return Ok(Vec::new());
    }
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for element in node.one_or_more() {
        let name = name::column(&element.text()?);
        if !seen.insert(name.to_lowercase()) {
            return Err(element.error(format!("the column {name:?} is named twice")));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(node.error("no column is named"));
    }
    Ok(names)
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
    if word.starts_with("replace") || word.starts_with("update") {
        context
            .notes
            .push("a row whose key is there already takes the place of the old one, by the primary key".to_owned());
        return Ok(WriteMode::Upsert(Merge::default()));
    }
    Err(node.error(format!("there is no write mode {word:?}")).with_hint("the modes are insert, replace and update"))
}
