//! Cuts a table into ranges of its key: each is one query to ConnectorX.
//!
//! Only a whole number that no row lacks is cut by: ranges of others mean what a collation or a rounding makes of them.

use arrow::datatypes::DataType;

use super::catalog;
use super::config::Config;
use super::table::Table;
use crate::error::Result;
use crate::source::{Cut, ReadPlan, Scan, SplitGoal};
use crate::sql::parts;

pub(super) use crate::sql::parts::Part;

/// A table has at most so many splits.
const MOST_SPLITS: u64 = 10_000;

/// Cuts `table` for `goal`. Blocks.
pub(super) fn plan(config: &Config, table: &Table, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
    let wanted = parts::wanted((table.stock.rows, table.stock.bytes), goal, MOST_SPLITS);
    let (Some(name), Some(key)) = (table.name(), key(table)) else {
        return whole(table, "there is no primary key that is one whole number");
    };
    if goal.cut == Cut::Fastest && goal.channels < 2 {
        return whole(table, "there is one reader");
    }
    if scan.limit.is_some() {
        return whole(table, "few rows are wanted");
    }
    if wanted < 2 {
        return whole(table, "the table is small, or has no statistics");
    }
    let Some(ends) = catalog::ends(config, name, key)? else {
        return whole(table, "the table is empty, or its keys are beyond 64 bits");
    };
    let parts = Part::even(key, ends, wanted);
    let note = format!("{} even ranges of {key}, each a query of its own, seen at its own time", parts.len());
    splits(table, &parts, note)
}

/// The primary key, where it is one whole number.
fn key(table: &Table) -> Option<&str> {
    let [name] = table.stock.key.as_slice() else { return None };
    let field = table.schema.field_with_name(name).ok()?;
    let is_whole = field.data_type().is_integer() && *field.data_type() != DataType::UInt64;
    is_whole.then_some(name.as_str())
}

fn whole(table: &Table, why: &str) -> Result<ReadPlan> {
    splits(table, &[Part::default()], format!("one stream: {why}"))
}

fn splits(table: &Table, parts: &[Part], note: String) -> Result<ReadPlan> {
    ReadPlan::by_key(parts, Part::place, (table.stock.rows, table.stock.bytes), vec![note])
}
