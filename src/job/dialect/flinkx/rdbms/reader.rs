//! Readers of relational databases: a table or a query, from a value on where one grows, again and again where it is asked for.

use std::time::Duration;

use serde_json::Value as Json;

use super::super::super::driver::Way;
use super::super::super::name;
use super::super::super::product::Product;
use super::super::super::product::options;
use super::super::columns::Columns;
use super::super::lacks::{COLUMNS, READERS, WHOLE_READERS};
use super::super::plugins::Shards;
use super::super::settings::{Restore, Settings};
use super::super::{Context, Source, flag_of, integer_of, present, text_of};
use super::{connected, first, login, tables};
use crate::error::Result;
use crate::job::tree::Node;
use crate::job::{Highest, Incremental, NullCursor, Place};
use crate::object::ObjectRef;
use crate::shape::Cut;

/// Milliseconds between two rounds, unless the job says it.
const PAUSE: i64 = 5000;

/// What is read of the tables or the query that `parameter` names.
pub(in super::super) fn source(
    (product, shards): (Product, Shards),
    parameter: &Node<'_>,
    context: &mut Context<'_>,
) -> Result<Source> {
    context.idle(READERS, parameter);
    parameter.need("column")?.one_or_more().iter().for_each(|column| context.idle(COLUMNS, column));
    let patience = integer_of(parameter, "queryTimeOut")?.and_then(|seconds| u64::try_from(seconds).ok());
    let answer_milliseconds = patience.filter(|seconds| *seconds > 0).map(|seconds| seconds.saturating_mul(1000));
    let columns = Columns::read(parameter)?;
    let split = text_of(parameter, "splitPk")?;
    if split.is_none() && shards == Shards::First && context.settings.channels > 1 {
        let message = format!("{} channels need the key of the table in splitPk", context.settings.channels);
        return Err(parameter.error(message).with_hint("name it, or set the channels to 1"));
    }
    let cut = cut(&columns, context.settings)?;
    let mut places = places((product, shards), parameter, context)?;
    let (incremental, again_after) = growing(&columns, parameter, context)?;
    if incremental.is_some() && places.len() > 1 {
        let message =
            format!("{} tables have one position: rows of those that grow more slowly would be lost", places.len());
        let error = parameter.need("increColumn")?.error(message);
        return Err(error.with_hint("read each table by a job of its own, or leave increColumn out"));
    }
    let (place, width) = (places.remove(0), columns.width());
    let columns = columns.into_listed();
    Ok(Source { place, union: places, columns, width, incremental, again_after, answer_milliseconds, cut })
}

/// By what tables are cut, so that a run can be gone on with.
fn cut(columns: &Columns, settings: &Settings<'_>) -> Result<Cut> {
    match &settings.restore {
        Restore::Off => Ok(Cut::Fastest),
        Restore::On { column } => {
            column.as_ref().map(|column| columns.find(column)).transpose()?;
            Ok(Cut::ByKey)
        }
    }
}

/// Where the rows are: one place, or one for each table of each connection.
fn places((product, shards): (Product, Shards), parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<Place>> {
    let custom = text_of(parameter, "customSql")?;
    let filter = text_of(parameter, "where")?;
    let filter = filter.map(|text| text.trim().trim_end_matches(';').trim().to_owned());
    if custom.is_some() && filter.is_some() {
        context.note("where is not added to the customSql, as FlinkX does");
    }
    let connections = match shards {
        Shards::First => vec![first(parameter, context)?],
        Shards::All => parameter.need("connection")?.one_or_more(),
    };
    let mut places = Vec::new();
    for connection in &connections {
        let login = login(parameter, connection)?;
        let mut options = connected((product, Way::Reading), (parameter, connection), login, context)?;
        options::for_reading(product, &mut options, context.times);
        let place = |object| Place::new(options::connector(product, &options), Json::Object(options.clone()), object);
        if let Some(sql) = &custom {
            if let Some(table) = connection.get("table") {
                table.json();
            }
            places.push(place(ObjectRef::Query(sql.trim().trim_end_matches(';').trim_end().to_owned())));
            continue;
        }
        let mut tables = tables(connection)?;
        if shards == Shards::First && tables.len() > 1 {
            context.note(format!("only the first of {} tables is read, as FlinkX does", tables.len()));
            tables.truncate(1);
        }
        places.extend(tables.into_iter().map(|table| {
            place(match &filter {
                Some(filter) => ObjectRef::Query(format!("select * from {} where ({filter})", in_sql(product, &table))),
                None => ObjectRef::Table(name::standard(&table)),
            })
        }));
    }
    if places.is_empty() {
        return Err(parameter.need("connection")?.error("no connection is named"));
    }
    Ok(places)
}

/// `table` as the SQL of its database has it: quoted where it means the same.
fn in_sql(product: Product, table: &str) -> String {
    if product != Product::Mysql || table.contains(['`', '"']) {
        return table.to_owned();
    }
    table.split('.').map(|part| product.quoted(part)).collect::<Vec<_>>().join(".")
}

/// The rows that are new, and how long to wait for others.
fn growing(
    columns: &Columns,
    parameter: &Node<'_>,
    context: &mut Context<'_>,
) -> Result<(Option<Incremental>, Option<Duration>)> {
    let polling = flag_of(parameter, "polling")?;
    let pause = integer_of(parameter, "pollingInterval")?.unwrap_or(PAUSE);
    let Some(node) = present(parameter, "increColumn") else {
        if polling {
            return Err(parameter.error("polling needs an increColumn: it says which rows are new"));
        }
        context.idle(WHOLE_READERS, parameter);
        return Ok((None, None));
    };
    let highest = if flag_of(parameter, "useMaxFunc")? { Highest::Left } else { Highest::Copied };
    let start = text_of(parameter, "startLocation")?;
    let incremental =
        Incremental { null_cursor: NullCursor::First, start, highest, ..Incremental::by(columns.find(&node)?) };
    let again_after = polling.then(|| Duration::from_millis(u64::try_from(pause).unwrap_or_default()));
    if let Some(pause) = again_after {
        context.note(format!("polling: rows that are new are looked for every {pause:?}, until Ctrl-C"));
    }
    Ok((Some(incremental), again_after))
}
