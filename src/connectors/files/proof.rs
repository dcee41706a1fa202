//! The parts of a stage, read back and summed up, against what was sent.
//!
//! By the Parquet library's own reader, which shares nothing with the code that reads sources. Text and Arrow IPC have no
//! such proof: their rows were counted when they were written.

use std::fs;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::landing::{Landing, Shape};
use super::stage::{Stage, parts_in_order};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::extension::Format;
use crate::proof::{ColumnProof, Verdict, sums, total};
use crate::sink::{Agreement, Receipt};

/// How sums are compared, for the plan; none where they are not.
pub(super) fn way(landing: &Landing) -> Option<String> {
    let way = "the parts are read back and summed up before rows become visible: one reading of what was written";
    let is_staged = !matches!(landing.shape, Shape::Pipe(_));
    (landing.format == Format::Parquet && is_staged).then(|| way.to_owned())
}

/// Compares the parts of `stage` with `receipts`: the rows that their footers count, and the sums of the columns where
/// receipts carry them.
pub(super) fn verify(stage: &Stage, agreement: &Agreement, receipts: &[Receipt]) -> Result<Verdict> {
    let wanted = total(receipts.iter().map(|receipt| receipt.columns.as_ref()));
    let mut found: Option<Vec<ColumnProof>> = None;
    for part in parts_in_order(receipts)? {
        let path = stage.part(&part.name);
        let read = || {
            let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path)?).map_err(damage)?;
            let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
            if wanted.is_none() || rows != part.rows {
                return Ok((rows, None));
            }
            let batches = reader.build().map_err(damage)?;
            let mut columns = None;
            for batch in batches {
                let batch = batch?;
                let names = agreement.target.fields().iter().map(|field| batch.schema_ref().index_of(field.name()));
                let sums = Some(sums::of(&batch.project(&names.collect::<Result<Vec<_>, _>>()?)?));
                columns = if columns.is_none() { sums } else { total([columns.as_ref(), sums.as_ref()]) };
            }
            Ok::<_, Error>((rows, columns))
        };
        let (rows, columns) = read().at("file", || path.display())?;
        if rows != part.rows {
            return Ok(Verdict::Unequal(format!("a part holds {rows} of the {} rows that were sent", part.rows)));
        }
        found = if found.is_none() { columns } else { total([found.as_ref(), columns.as_ref()]).or(found) };
    }
    let (Some(wanted), Some(found)) = (wanted, found) else { return Ok(Verdict::Equal) };
    let columns = agreement.target.fields().iter().zip(wanted.iter().zip(&found));
    let names: Vec<&str> =
        columns.filter(|(_, (wanted, found))| wanted != found).map(|(field, _)| field.name().as_str()).collect();
    if names.is_empty() {
        return Ok(Verdict::Equal);
    }
    Ok(Verdict::Unequal(format!("the parts hold other values than were sent, in the columns {}", names.join(", "))))
}

fn damage(source: ::parquet::errors::ParquetError) -> Error {
    Error::new(ErrorKind::Corrupt, "what was written cannot be read back").with_source(source)
}
