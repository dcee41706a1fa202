//! Cuts a table into ranges of its key, where that begins with a whole number.

use super::catalog::Table;
use super::connect::{Connection, number};
use super::name::identifier;
use super::typemap::Kind;
use crate::error::Result;
use crate::shape::counted;
use crate::source::{Cut, ReadPlan, Scan, SplitGoal};
use crate::sql::parts;

pub(super) use crate::sql::parts::Part;

/// A table has at most so many splits.
const MOST_SPLITS: u64 = 2_000;

/// All rows in one split.
pub(super) fn whole(table: Option<&Table>, why: &str) -> Result<ReadPlan> {
    let sizes = table.map_or((None, None), |table| (table.rows, table.bytes));
    ReadPlan::by_key(&[Part::default()], Part::place, sizes, vec![format!("one stream: {why}")])
}

/// Cuts `table` for `goal`, with as many readers as there are.
pub(super) async fn plan(
    connection: &mut Connection,
    (table, readers): (&Table, usize),
    scan: &Scan,
    goal: &SplitGoal,
) -> Result<ReadPlan> {
    let sizes = (table.rows, table.bytes);
    let wanted = parts::wanted(sizes, goal, MOST_SPLITS);
    if goal.cut == Cut::Fastest && (goal.channels < 2 || readers < 2) {
        return whole(Some(table), "there is one reader");
    }
    if scan.limit.is_some() {
        return whole(Some(table), "few rows are wanted");
    }
    if wanted < 2 {
        return whole(Some(table), "the table is small, or a view");
    }
    let Some(column) = key(table) else {
        return whole(Some(table), "the primary key begins with no whole number");
    };
    let name = identifier(column);
    let sql = format!("SELECT CAST(MIN({name}) AS bigint), CAST(MAX({name}) AS bigint) FROM {}", table.name.quoted());
    let ends = connection.rows(&sql).await?;
    let end = |index: usize| ends.first().and_then(|row| number(row, index));
    let (Some(min), Some(max)) = (end(0), end(1)) else { return whole(Some(table), "the table is empty") };
    let parts = Part::even(column, (min, max), wanted);
    let notes = vec![format!("{} of {name}", counted(parts.len(), "even range"))];
    ReadPlan::by_key(&parts, Part::place, sizes, notes)
}

/// The first column of the primary key, where it is a whole number.
fn key(table: &Table) -> Option<&str> {
    let name = table.key.first()?;
    let column = table.columns.iter().find(|column| column.name == *name)?;
    let kind = column.sql_type.as_ref()?.kind;
    matches!(kind, Kind::TinyInt | Kind::SmallInt | Kind::Int | Kind::BigInt).then_some(name.as_str())
}
