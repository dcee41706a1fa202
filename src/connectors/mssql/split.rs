//! Cuts a table into ranges of its key, where that begins with a whole number.

use serde::{Deserialize, Serialize};

use super::catalog::Table;
use super::connect::{Connection, number};
use super::name::identifier;
use super::typemap::Kind;
use crate::error::Result;
use crate::shape::counted;
use crate::source::{Cut, ReadPlan, Scan, Split, SplitGoal};
use crate::sql::keyset::{self, KeyRange, Spread};

/// A split has at least so many rows, and a table at most so many splits.
const LEAST_SPLIT_ROWS: u64 = 4096;
const MOST_SPLITS: u64 = 2_000;

/// One split: a range of a column; all rows without one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    keys: Option<(String, KeyRange)>,
}

impl Part {
    /// The rows of the part as a condition; none for all rows.
    pub(super) fn condition(&self) -> Option<String> {
        let (column, range) = self.keys.as_ref()?;
        range.condition(&identifier(column))
    }

    fn place(&self) -> Option<String> {
        let (column, range) = self.keys.as_ref()?;
        range.shown(column)
    }
}

/// All rows in one split.
pub(super) fn whole(table: Option<&Table>, why: &str) -> ReadPlan {
    let sizes = table.map_or((None, None), |table| (table.rows, table.bytes));
    splits(vec![Part::default()], sizes, vec![format!("one stream: {why}")])
}

/// Cuts `table` for `goal`, with as many readers as there are.
pub(super) async fn plan(
    connection: &mut Connection,
    (table, readers): (&Table, usize),
    scan: &Scan,
    goal: &SplitGoal,
) -> Result<ReadPlan> {
    let (rows, bytes) = (table.rows.unwrap_or(0), table.bytes.unwrap_or(0));
    let most = rows / LEAST_SPLIT_ROWS;
    let wanted = (bytes / goal.split_bytes.max(1)).max(goal.channels as u64).min(most).clamp(1, MOST_SPLITS);
    if goal.cut == Cut::Fastest && (goal.channels < 2 || readers < 2) {
        return Ok(whole(Some(table), "there is one reader"));
    }
    if scan.limit.is_some() {
        return Ok(whole(Some(table), "few rows are wanted"));
    }
    if wanted < 2 {
        return Ok(whole(Some(table), "the table is small, or a view"));
    }
    let Some(column) = key(table) else {
        return Ok(whole(Some(table), "the primary key begins with no whole number"));
    };
    let name = identifier(column);
    let sql = format!("SELECT CAST(MIN({name}) AS bigint), CAST(MAX({name}) AS bigint) FROM {}", table.name.quoted());
    let ends = connection.rows(&sql).await?;
    let end = |index: usize| ends.first().and_then(|row| number(row, index));
    let (Some(min), Some(max)) = (end(0), end(1)) else { return Ok(whole(Some(table), "the table is empty")) };
    let ranges = keyset::cut(&Spread { min, max, sample: Vec::new() }, wanted as usize);
    let notes = vec![format!("{} of {name}", counted(ranges.len(), "even range"))];
    let parts = ranges.into_iter().map(|range| Part { keys: Some((column.to_owned(), range)) }).collect();
    Ok(splits(parts, (table.rows, table.bytes), notes))
}

/// The first column of the primary key, where it is a whole number.
fn key(table: &Table) -> Option<&str> {
    let name = table.key.first()?;
    let column = table.columns.iter().find(|column| column.name == *name)?;
    let kind = column.sql_type.as_ref()?.kind;
    matches!(kind, Kind::TinyInt | Kind::SmallInt | Kind::Int | Kind::BigInt).then_some(name.as_str())
}

/// Numbers the parts, with rows and bytes dealt evenly.
fn splits(parts: Vec<Part>, (rows, bytes): (Option<u64>, Option<u64>), notes: Vec<String>) -> ReadPlan {
    let count = parts.len() as u64;
    let split = |(id, part): (usize, Part)| Split {
        id: id as u32,
        source: 0,
        rows: rows.map(|rows| rows / count),
        bytes: bytes.map(|bytes| bytes / count),
        place: part.place(),
        detail: serde_json::to_value(part).unwrap_or_default(),
    };
    // A range means the same keys at any time, and one split all of them.
    ReadPlan {
        splits: parts.into_iter().enumerate().map(split).collect(),
        notes,
        cut: Cut::ByKey,
        ..ReadPlan::default()
    }
}
