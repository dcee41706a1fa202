//! Rows merged by key, as databases do it in their own ways.

use std::collections::HashMap;
use std::slice::from_ref;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, concat_batches, sort_to_indices, take_record_batch};
use arrow::row::{OwnedRow, RowConverter, SortField};

use crate::error::{Error, ErrorKind, Result};
use crate::merge::{Duplicates, Merge, Merged, duplicate_key};
use crate::sink::WriteMode;

/// `old` after the rows `new` were merged into it as `mode` says by `merge`, of which the key is settled.
pub(super) fn merged(
    old: &RecordBatch,
    new: &RecordBatch,
    mode: &WriteMode,
    merge: &Merge,
) -> Result<(RecordBatch, Merged)> {
    let new = one_per_key(new, merge)?;
    let (old_keys, new_keys) = (rows_of(old, &merge.key)?, rows_of(&new, &merge.key)?);
    let place: HashMap<&OwnedRow, usize> = new_keys.iter().zip(0..).collect();
    let all: Vec<String> = old.schema().fields().iter().map(|field| field.name().clone()).collect();
    let (old_rows, new_rows) = (rows_of(old, &all)?, rows_of(&new, &all)?);
    let both = concat_batches(&old.schema(), [old, &new])?;
    let mut counts = Merged { inserted: new.num_rows() as u64, ..Merged::default() };
    let mut kept: Vec<u64> = Vec::new();
    for (at, key) in old_keys.iter().enumerate() {
        match place.get(key) {
            Some(found) => {
                counts.inserted -= 1;
                counts.updated += u64::from(old_rows[at] != new_rows[*found]);
            }
            None if matches!(mode, WriteMode::Sync(_)) => counts.deleted += 1,
            None => kept.push(at as u64),
        }
    }
    kept.extend((0..new.num_rows()).map(|at| (old.num_rows() + at) as u64));
    Ok((take_record_batch(&both, &UInt64Array::from(kept))?, counts))
}

/// The rows of which each key keeps one.
fn one_per_key(rows: &RecordBatch, merge: &Merge) -> Result<RecordBatch> {
    let (rows, order) = match &merge.duplicates {
        Duplicates::Refuse | Duplicates::FirstArrived => (rows.clone(), None),
        Duplicates::LastArrived => {
            let places: Vec<u64> = (0..rows.num_rows() as u64).rev().collect();
            (take_record_batch(rows, &UInt64Array::from(places))?, None)
        }
        Duplicates::First(column) => (sorted(rows, column, false)?, Some(column)),
        Duplicates::Last(column) => (sorted(rows, column, true)?, Some(column)),
    };
    let by_arrival = matches!(merge.duplicates, Duplicates::FirstArrived | Duplicates::LastArrived);
    let ranks = order.map(|column| rows_of(&rows, from_ref(column))).transpose()?;
    let mut first: HashMap<OwnedRow, usize> = HashMap::new();
    let mut kept: Vec<u64> = Vec::new();
    for (at, key) in rows_of(&rows, &merge.key)?.into_iter().enumerate() {
        let known = *first.entry(key).or_insert(at);
        if known == at {
            kept.push(at as u64);
        } else if !by_arrival && ranks.as_ref().is_none_or(|ranks| ranks[known] == ranks[at]) {
            return Err(duplicate_key(&merge.key, &merge.duplicates, &format!("{} and {}", known + 1, at + 1)));
        }
    }
    Ok(take_record_batch(&rows, &UInt64Array::from(kept))?)
}

fn sorted(rows: &RecordBatch, column: &str, descending: bool) -> Result<RecordBatch> {
    let options = SortOptions { descending, nulls_first: false };
    Ok(take_record_batch(rows, &sort_to_indices(&column_of(rows, column)?, Some(options), None)?)?)
}

fn rows_of(rows: &RecordBatch, names: &[String]) -> Result<Vec<OwnedRow>> {
    let columns = names.iter().map(|name| column_of(rows, name)).collect::<Result<Vec<_>>>()?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
    Ok(rows.iter().map(|row| row.owned()).collect())
}

fn column_of(rows: &RecordBatch, name: &str) -> Result<ArrayRef> {
    let lacking = || Error::new(ErrorKind::Schema, "there is no such column").at("column", name);
    rows.column_by_name(name).cloned().ok_or_else(lacking)
}
