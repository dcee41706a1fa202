//! The user's expressions as a DataFusion query over the table `src`.
//!
//! Order: columns → sql → trim → where → set → cast → rename → select and drop → names. The limit is not a part of it: it needs an
//! order, which [`GatherExec`](crate::plan::gather::GatherExec) keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Fields, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::functions::expr_fn::btrim;
use datafusion::logical_expr::{Expr, LogicalPlan, cast};
use datafusion::prelude::SessionContext;

use crate::bridge::opaque::Opaque;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::fate::is_padded;
use crate::job::{Toggle, Transform, Trim};
use crate::plan::columns::described;
use crate::plan::error::from_datafusion;
use crate::plan::rowwise::Labels;

/// Name of the source's table in the user's SQL.
pub(super) const TABLE: &str = "src";

/// Rows of a source.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What keeps them.
    pub filter: Opaque<Expr>,
    /// A column of the source beyond its shape, at which the filter looks. It is left out behind it.
    pub beyond: Option<FieldRef>,
}

/// One output column: what it is, and its name.
type Output = (Expr, String);

/// The query of `transform` over those rows of `table` that are in the `window`.
pub(super) async fn query(
    context: &SessionContext,
    table: Arc<dyn TableProvider>,
    (window, transform): (Option<&Chosen>, &Transform),
) -> Result<DataFrame> {
    let name = TableReference::bare(transform.table.as_deref().unwrap_or(TABLE));
    let mut frame = named(context, &name, table).await?;
    if let Some(Chosen { filter, beyond }) = window {
        // It knows the columns of the source.
        frame = frame.filter(Expr::clone(filter)).map_err(from_datafusion)?;
        if let Some(beyond) = beyond {
            frame = drop_columns(frame, std::slice::from_ref(beyond.name()))?;
        }
    }
    if !transform.columns.is_empty() {
        frame = described(frame, &transform.columns)?;
    }
    if let Some(sql) = &transform.sql {
        if window.is_some() || !transform.columns.is_empty() {
            named(context, &name, frame.into_view()).await?;
        }
        frame = selected(context, sql).await.at("option", || "--sql")?;
    }
    if transform.trim == Some(Trim::Padded) {
        frame = trimmed(frame)?;
    }
    if let Some(text) = &transform.filter {
        let predicate = parse(&frame, text).at("option", || "--where")?;
        frame = frame.filter(predicate).map_err(from_datafusion).at("option", || "--where")?;
    }
    for (name, text) in &transform.set {
        frame = set(frame, name, text).at("option", || format!("--set {name}"))?;
    }
    for (name, text) in &transform.cast {
        frame = cast_column(frame, name, text).at("option", || format!("--cast {name}"))?;
    }
    for (old, new) in &transform.rename {
        frame = rename(frame, old, new).at("option", || format!("--rename {old}"))?;
    }
    if !transform.select.is_empty() {
        frame = select(frame, &transform.select).at("option", || "--select")?;
    }
    if !transform.drop.is_empty() {
        // Which of them it was, nobody knows any more.
        frame = drop_columns(frame, &transform.drop).at("option", || "--drop, or '-' in --select")?;
    }
    if !transform.names.is_empty() {
        frame = name_all(frame, &transform.names)?;
    }
    Ok(frame)
}

/// The places of those columns of `fields` that pass as they are, in their order, where nothing happens but `select` and `names`; none
/// where these do more than to leave some out.
pub(super) fn passed(fields: &Fields, select: &[String], names: &[String]) -> Option<Vec<usize>> {
    let all = fields.iter().map(|field| field.name().as_str());
    let chosen: Vec<usize> = match select {
        [] => (0..fields.len()).collect(),
        select => select.iter().map(|name| place(all.clone(), name)).collect::<Option<_>>()?,
    };
    let in_order = chosen.is_sorted_by(|one, next| one < next);
    let as_named = names.is_empty() || names.iter().eq(chosen.iter().map(|place| fields[*place].name()));
    (in_order && as_named).then_some(chosen)
}

/// `table` under this name.
async fn named(context: &SessionContext, name: &TableReference, table: Arc<dyn TableProvider>) -> Result<DataFrame> {
    context.deregister_table(name.clone()).map_err(from_datafusion)?;
    context.register_table(name.clone(), table).map_err(from_datafusion)?;
    context.table(name.clone()).await.map_err(from_datafusion)
}

/// The query of `sql`, which may only read. It is looked at before anything runs: DataFusion would create and drop at once.
async fn selected(context: &SessionContext, sql: &str) -> Result<DataFrame> {
    let plan = context.state().create_logical_plan(sql).await.map_err(|error| match error {
        DataFusionError::NotImplemented(text) if text.contains("single SQL statement") => {
            Error::new(ErrorKind::Usage, "these are several statements").with_hint("join them to one SELECT")
        }
        error => from_datafusion(error),
    })?;
    let reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let shows = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_));
    if shows || reads.verify_plan(&plan).is_err() {
        let message = "only a SELECT can transform rows, and its table is src";
        return Err(Error::new(ErrorKind::Usage, message).with_hint("for SQL of the source itself, use --query"));
    }
    context.execute_logical_plan(plan).await.map_err(from_datafusion)
}

/// `columns` that are read, but for the one beyond the shape of the source at which `window` looks.
pub(super) fn within_shape(columns: SchemaRef, window: Option<&Chosen>) -> SchemaRef {
    let Some(beyond) = window.and_then(|window| window.beyond.as_ref()) else { return columns };
    let others = columns.fields().iter().filter(|field| field.name() != beyond.name());
    Arc::new(Schema::new(others.cloned().collect::<Vec<_>>()))
}

/// The limit that the source itself may keep: only where each of its rows is one of the result.
pub(super) fn early_limit(transform: &Transform) -> Option<u64> {
    let all_rows = transform.steps.is_empty() && transform.filter.is_none() && transform.sql.is_none();
    transform.limit.filter(|_| all_rows && transform.pushdown == Toggle::On)
}

/// Which option each expression of the query comes from, for errors: all that it may be where the optimizer joins those of several.
pub(super) fn labels(transform: &Transform) -> Labels {
    let [sql, filter, sets, casts] = computing(transform);
    let mut columns: BTreeMap<String, String> = BTreeMap::new();
    for ((name, _), option) in transform.set.iter().chain(&transform.cast).zip(sets.iter().chain(&casts)) {
        let known = columns.get(name).filter(|known| *known != option);
        let option = known.map_or_else(|| option.clone(), |known| format!("{known}, {option}"));
        columns.insert(name.clone(), option);
    }
    for (old, new) in &transform.rename {
        if let Some(option) = columns.get(old).cloned() {
            columns.insert(new.clone(), option);
        }
    }
    Labels { filter: listed(&[sql.clone(), filter].concat()), columns, others: listed(&[sql, sets].concat()) }
}

/// The options that a constant of the query may come from, for errors: constants are computed before it is known where they stand.
pub(super) fn of_constants(transform: &Transform) -> Option<String> {
    listed(&computing(transform).concat())
}

/// The options with expressions, as they are typed: those of `--sql`, `--where`, `--set` and `--cast`.
fn computing(transform: &Transform) -> [Vec<String>; 4] {
    let whole = |text: Option<&String>, option: &str| text.iter().map(|_| option.to_owned()).collect();
    let each = |columns: &[(String, String)], option: &str| {
        columns.iter().map(|(name, _)| format!("{option} {name}")).collect()
    };
    [
        whole(transform.sql.as_ref(), "--sql"),
        whole(transform.filter.as_ref(), "--where"),
        each(&transform.set, "--set"),
        each(&transform.cast, "--cast"),
    ]
}

fn listed(options: &[String]) -> Option<String> {
    (!options.is_empty()).then(|| options.join(", "))
}

/// Texts of columns that pad them, without the blanks around them.
fn trimmed(frame: DataFrame) -> Result<DataFrame> {
    let padded: Vec<bool> = frame.schema().fields().iter().map(|field| is_padded(field)).collect();
    let mut outputs = outputs(&frame);
    for ((value, _), _) in outputs.iter_mut().zip(padded).filter(|(_, padded)| *padded) {
        *value = btrim(vec![value.clone()]);
    }
    project(frame, outputs)
}

fn parse(frame: &DataFrame, text: &str) -> Result<Expr> {
    frame.parse_sql_expr(text).map_err(from_datafusion)
}

fn set(frame: DataFrame, name: &str, text: &str) -> Result<DataFrame> {
    let value = parse(&frame, text)?;
    let mut outputs = outputs(&frame);
    match outputs.iter_mut().find(|(_, existing)| existing == name) {
        Some(output) => output.0 = value,
        None => outputs.push((value, name.to_owned())),
    }
    project(frame, outputs)
}

fn cast_column(frame: DataFrame, name: &str, text: &str) -> Result<DataFrame> {
    let (wanted, pattern) = crate::formats::value::parse_cast(text)?;
    let mut outputs = outputs(&frame);
    let index = position(&outputs, name)?;
    if frame.schema().field(index).data_type() == wanted.data_type() {
        return Ok(frame);
    }
    if pattern.is_some() {
        let message = "a date format in a cast is for columns of text files as they are read";
        return Err(Error::new(ErrorKind::Usage, message).with_hint("leave it out, or the --sql or --set before it"));
    }
    outputs[index].0 = cast(outputs[index].0.clone(), wanted.data_type().clone());
    project(frame, outputs)
}

fn rename(frame: DataFrame, old: &str, new: &str) -> Result<DataFrame> {
    let mut outputs = outputs(&frame);
    let index = position(&outputs, old)?;
    if old != new && outputs.iter().any(|(_, name)| name == new) {
        return Err(Error::new(ErrorKind::Usage, format!("there is a column {new:?} already")));
    }
    new.clone_into(&mut outputs[index].1);
    project(frame, outputs)
}

fn select(frame: DataFrame, names: &[String]) -> Result<DataFrame> {
    let outputs = outputs(&frame);
    let chosen = names.iter().map(|name| Ok(outputs[position(&outputs, name)?].clone())).collect::<Result<_>>()?;
    project(frame, chosen)
}

fn drop_columns(frame: DataFrame, names: &[String]) -> Result<DataFrame> {
    let mut outputs = outputs(&frame);
    for name in names {
        outputs.remove(position(&outputs, name)?);
    }
    if outputs.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "no column is left"));
    }
    project(frame, outputs)
}

fn name_all(frame: DataFrame, names: &[String]) -> Result<DataFrame> {
    let outputs = outputs(&frame);
    let (come, go) = (outputs.len(), names.len());
    if come != go {
        let message = format!("the source has {come} columns, and the target names {go}");
        return Err(Error::new(ErrorKind::Usage, message)
            .with_hint("they are paired by their place: name as many on both sides"));
    }
    project(frame, outputs.into_iter().zip(names).map(|((expr, _), name)| (expr, name.clone())).collect())
}

fn outputs(frame: &DataFrame) -> Vec<Output> {
    let column = |(qualifier, field): (Option<&_>, &Arc<arrow::datatypes::Field>)| {
        (Expr::Column(Column::from((qualifier, field))), field.name().clone())
    };
    frame.schema().iter().map(column).collect()
}

/// The place of the column `name` among `names`: the one that is written so, else the only one that is but for the case of its letters, as
/// databases take a name without quotes.
fn place<'a>(names: impl Iterator<Item = &'a str> + Clone, name: &str) -> Option<usize> {
    let exact = names.clone().position(|existing| existing == name);
    let alike = names.enumerate().filter(|(_, existing)| existing.eq_ignore_ascii_case(name));
    let mut alike = alike.map(|(place, _)| place);
    exact.or_else(|| alike.next().filter(|_| alike.next().is_none()))
}

fn position(outputs: &[Output], name: &str) -> Result<usize> {
    let names = outputs.iter().map(|(_, name)| name.as_str());
    place(names.clone(), name).ok_or_else(|| {
        let names: Vec<&str> = names.collect();
        Error::new(ErrorKind::Usage, format!("there is no column {name:?}"))
            .with_hint(format!("the columns are {}", names.join(", ")))
    })
}

fn project(frame: DataFrame, outputs: Vec<Output>) -> Result<DataFrame> {
    let aliased = outputs.into_iter().map(|(expr, name)| match &expr {
        Expr::Column(column) if column.name == name => expr,
        _ => expr.alias(name),
    });
    frame.select(aliased.collect::<Vec<_>>()).map_err(from_datafusion)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn columns_pass_where_they_keep_their_order_and_their_names() {
        let fields: Fields =
            ["id", "Name", "price"].map(|name| Field::new(name, DataType::Int64, true)).to_vec().into();
        let passed = |select: &[&str], names: &[&str]| {
            let [select, names] = [select, names].map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
            passed(&fields, &select, &names)
        };
        assert_eq!(passed(&[], &[]), Some(vec![0, 1, 2]));
        assert_eq!(passed(&["id", "name", "price"], &["id", "Name", "price"]), Some(vec![0, 1, 2]));
        assert_eq!(passed(&["id", "price"], &[]), Some(vec![0, 2]));
        let others: [(&[&str], &[&str]); 5] = [
            (&["price", "id"], &[]),
            (&["id", "id"], &[]),
            (&["id", "other"], &[]),
            (&["id"], &["id", "Name"]),
            (&[], &["id", "name", "price"]),
        ];
        for (select, names) in others {
            assert_eq!(passed(select, names), None, "{select:?} {names:?}");
        }
    }
}
