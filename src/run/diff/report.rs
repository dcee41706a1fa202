//! What a comparison says: plain data for the command line and for scripts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::Result;
use crate::formats::json;
use crate::plan::diff::columns::{Column, Columns};
use crate::plan::diff::merge::{Difference, Findings};
use crate::plan::diff::{Codec, Side};

/// What a comparison says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// A without secrets.
    pub a: String,
    /// B without secrets.
    pub b: String,
    /// Whether all rows and columns are equal.
    pub is_equal: bool,
    /// Columns of the key.
    pub key: Vec<String>,
    /// Rows of A.
    pub rows_a: u64,
    /// Rows of B.
    pub rows_b: u64,
    /// Rows that are the same on both sides.
    pub equal: u64,
    /// Rows whose key B lacks.
    pub only_in_a: u64,
    /// Rows whose key A lacks.
    pub only_in_b: u64,
    /// Rows of both sides with one key and other values.
    pub different: u64,
    /// Keys that stand more than once in A; their rows are matched with none.
    pub duplicate_keys_a: u64,
    /// Keys that stand more than once in B.
    pub duplicate_keys_b: u64,
    /// Every column that was compared.
    pub columns: Vec<ColumnReport>,
    /// Columns that only A has.
    pub columns_only_in_a: Vec<String>,
    /// Columns that only B has.
    pub columns_only_in_b: Vec<String>,
    /// The first differences in the order of the key.
    pub differences: Vec<Shown>,
    /// How many rows of A were sent again; none where that was not wanted.
    pub sent: Option<u64>,
}

/// One column of a comparison.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// What its values were compared as.
    pub compared_as: String,
    /// In how many rows of both sides it differs; none for the key.
    pub different: Option<u64>,
    /// Where the comparison is not exact: why.
    pub note: Option<String>,
}

/// A row: JSON values by column, with all their digits.
pub type Values = BTreeMap<String, Box<RawValue>>;

/// One difference.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// What it is.
    pub what: What,
    /// Rows of A with this key.
    pub rows_a: u64,
    /// Rows of B with this key.
    pub rows_b: u64,
    /// The row of A; the first where there are several.
    pub a: Option<Values>,
    /// The row of B.
    pub b: Option<Values>,
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// B lacks it.
    OnlyInA,
    /// A lacks it.
    OnlyInB,
    /// Both have it with other values.
    Different,
    /// It stands more than once on a side.
    Duplicate,
}

/// The report of what was found between the places of `labels`.
pub(super) fn of(labels: [String; 2], columns: &Columns, codec: &Codec, found: &Findings) -> Result<Report> {
    let [a, b] = labels;
    let unmatched = |side: Side| -> Vec<String> {
        columns.unmatched.iter().filter(|(of, _)| *of == side).map(|(_, name)| name.clone()).collect()
    };
    let column = |column: &Column, different: Option<u64>| ColumnReport {
        name: column.name.clone(),
        compared_as: column.compared.data_type().to_string(),
        different,
        note: column.refusing.map(|side| match different {
            Some(_) => format!("a value of {side} that is not one of this type counts as different"),
            None => format!("a value of {side} that is not one of this type is an error"),
        }),
    };
    let different = |at: usize| Some(found.columns.get(at).copied().unwrap_or(0));
    let keys = columns.key.iter().map(|key| column(key, None));
    let values = columns.values.iter().enumerate().map(|(at, value)| column(value, different(at)));
    let column_reports = keys.chain(values).collect();
    let differing = found.only[0] + found.only[1] + found.different + found.duplicate_rows[0] + found.duplicate_rows[1];
    Ok(Report {
        a,
        b,
        is_equal: differing == 0 && columns.unmatched.is_empty(),
        key: columns.key.iter().map(|column| column.name.clone()).collect(),
        rows_a: found.rows[0],
        rows_b: found.rows[1],
        equal: found.equal,
        only_in_a: found.only[0],
        only_in_b: found.only[1],
        different: found.different,
        duplicate_keys_a: found.duplicate_keys[0],
        duplicate_keys_b: found.duplicate_keys[1],
        columns: column_reports,
        columns_only_in_a: unmatched(Side::A),
        columns_only_in_b: unmatched(Side::B),
        differences: found.shown.iter().map(|difference| shown(codec, difference)).collect::<Result<_>>()?,
        sent: None,
    })
}

fn shown(codec: &Codec, difference: &Difference) -> Result<Shown> {
    let row = |side: usize| -> Result<Option<Values>> {
        let Some(row) = &difference.rows[side] else { return Ok(None) };
        let decoded = codec.decode(&[&difference.key], &[row])?;
        let mut line = Vec::new();
        json::encode(&decoded.batch, &mut line)?;
        let mut values: Values = serde_json::from_slice(&line)?;
        for (name, text) in decoded.misfits_of(0) {
            values.insert(name.to_owned(), to_raw_value(text)?);
        }
        Ok(Some(values))
    };
    let [rows_a, rows_b] = difference.counts;
    let what = match difference.counts {
        [1, 0] => What::OnlyInA,
        [0, 1] => What::OnlyInB,
        [1, 1] => What::Different,
        _ => What::Duplicate,
    };
    Ok(Shown { what, rows_a, rows_b, a: row(0)?, b: row(1)? })
}
