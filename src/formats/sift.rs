//! Records that are left out of a batch, for the formats that can tell where a bad one ends.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema};

use super::value::parse::{Misfit, Texts};
use crate::error::{Error, Result};
use crate::reject::{Rejects, Stage};
use crate::schema::record_batch;

/// A record that is left out.
pub(super) struct Refused {
    /// Where it begins in its piece.
    pub(super) offset: usize,
    /// Which row of the batch it is; none where it is not in it.
    pub(super) row: Option<usize>,
    /// Its text, where it is no row of the batch, or stands for none.
    pub(super) record: Option<String>,
    /// Why.
    pub(super) error: Error,
}

/// The misfits of a batch, and in which column each is, as columns are parsed one after the other.
#[derive(Default)]
pub(super) struct Misfits(Vec<(usize, usize, Misfit)>);

impl Misfits {
    /// Notes a misfit of `column`. One that is no matter of a row comes back.
    pub(super) fn note(&mut self, column: usize, misfit: Misfit) -> Result<(), Misfit> {
        match misfit {
            Misfit::Row(row) | Misfit::Encoding(row, _) => self.0.push((row, column, misfit)),
            Misfit::Type | Misfit::Size => return Err(misfit),
        }
        Ok(())
    }

    /// The first of each row, with row and column, rows ascending.
    pub(super) fn of_rows(mut self) -> Vec<(usize, usize, Misfit)> {
        // The sort is stable: of each row the first column stays in front.
        self.0.sort_by_key(|(row, ..)| *row);
        self.0.dedup_by_key(|(row, ..)| *row);
        self.0
    }
}

/// `all` without the rows that are `refused`, and those beside it, with the texts that `columns` have for them. Errors get
/// their lines: the piece begins on `first_line`, and `lines` counts the line ends in a part of it.
pub(super) fn part(
    all: &RecordBatch,
    columns: &[impl Texts],
    (mut refused, first_line): (Vec<Refused>, u64),
    lines: impl Fn(Range<usize>) -> u64,
) -> Result<(RecordBatch, Option<Rejects>)> {
    if refused.is_empty() {
        return Ok((all.clone(), None));
    }
    refused.sort_by_key(|record| record.offset);
    let mut kept = BooleanBufferBuilder::new(all.num_rows());
    kept.append_n(all.num_rows(), true);
    refused.iter().filter_map(|record| record.row).for_each(|row| kept.set_bit(row, false));
    let mut scratch = Vec::new();
    let mut text = |column: &_, record: &Refused| {
        let text = Texts::text(column, record.row?, &mut scratch)?;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let texts: Vec<ArrayRef> = columns
        .iter()
        .map(|column| {
            let texts: StringArray = refused.iter().map(|record| text(column, record)).collect();
            Arc::new(texts) as ArrayRef
        })
        .collect();
    let fields = all.schema_ref().fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
    let rows = record_batch(&Arc::new(Schema::new(fields.collect::<Vec<_>>())), texts, refused.len())?;
    let (mut offset, mut line) = (0, first_line);
    let located = refused.into_iter().map(|record| {
        // Counted on from the one before: from the begin each time would take longer than decoding.
        line += lines(offset..record.offset);
        offset = record.offset;
        (record.record, record.error.at("line", line))
    });
    let (records, errors) = located.unzip();
    let rejects = Rejects { records, ..Rejects::new(Stage::Read, rows, errors) };
    Ok((filter_record_batch(all, &BooleanArray::new(kept.finish(), None))?, Some(rejects)))
}
