//! Cuts a table into ranges of its key: each is one query to ConnectorX.
//!
//! Only a whole number that no row lacks is cut by: ranges of others mean what a collation or a rounding makes of them.

use serde::{Deserialize, Serialize};

use arrow::datatypes::DataType;

use super::catalog;
use super::config::Config;
use super::table::Table;
use crate::error::Result;
use crate::source::{Cut, ReadPlan, Scan, Split, SplitGoal};
use crate::sql::keyset::{self, KeyRange, Spread};

/// A split has at least so many rows, and a table at most so many splits.
const LEAST_SPLIT_ROWS: u64 = 4096;
const MOST_SPLITS: u64 = 10_000;

/// What a split holds: a range of the key, or all of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    keys: Option<(String, KeyRange)>,
}

impl Part {
    /// The rows that it means, for a WHERE.
    pub(super) fn condition(&self, config: &Config) -> Option<String> {
        let (column, range) = self.keys.as_ref()?;
        range.condition(&config.backend.quote().around(column))
    }

    fn place(&self) -> Option<String> {
        self.keys.as_ref().and_then(|(column, range)| range.shown(column))
    }
}

/// Cuts `table` for `goal`. Blocks.
pub(super) fn plan(config: &Config, table: &Table, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
    let stock = &table.stock;
    let (rows, bytes) = (stock.rows.unwrap_or(0), stock.bytes.unwrap_or(0));
    let most = rows / LEAST_SPLIT_ROWS;
    let wanted = (bytes / goal.split_bytes.max(1)).max(goal.channels as u64).min(most).clamp(1, MOST_SPLITS);
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
    let Some((min, max)) = catalog::ends(config, name, key)? else {
        return whole(table, "the table is empty, or its keys are beyond 64 bits");
    };
    let ranges = keyset::cut(&Spread { min, max, sample: Vec::new() }, wanted as usize);
    let note = format!("{} even ranges of {key}, each a query of its own, seen at its own time", ranges.len());
    let parts = ranges.into_iter().map(|range| Part { keys: Some((key.to_owned(), range)) }).collect();
    splits(table, parts, note)
}

/// The primary key, where it is one whole number.
fn key(table: &Table) -> Option<&str> {
    let [name] = table.stock.key.as_slice() else { return None };
    let field = table.schema.field_with_name(name).ok()?;
    let is_whole = field.data_type().is_integer() && *field.data_type() != DataType::UInt64;
    is_whole.then_some(name.as_str())
}

fn whole(table: &Table, why: &str) -> Result<ReadPlan> {
    splits(table, vec![Part::default()], format!("one stream: {why}"))
}

/// Numbers the parts, with rows and bytes dealt evenly.
fn splits(table: &Table, parts: Vec<Part>, note: String) -> Result<ReadPlan> {
    let count = parts.len() as u64;
    let split = |(id, part): (usize, Part)| {
        Ok(Split {
            id: id as u32,
            source: 0,
            rows: table.stock.rows.map(|rows| rows / count),
            bytes: table.stock.bytes.map(|bytes| bytes / count),
            place: part.place(),
            detail: serde_json::to_value(part)?,
        })
    };
    let splits = parts.into_iter().enumerate().map(split).collect::<Result<_>>()?;
    // A range means the same keys at any time, and one split all of them.
    Ok(ReadPlan { splits, notes: vec![note], cut: Cut::ByKey, ..ReadPlan::default() })
}
