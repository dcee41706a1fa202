//! Rows of a rejects file in Parquet that stood for no row of columns when they were rejected, and still have no value.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, BooleanArray, RecordBatch, StringArray, StructArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};

use crate::error::{Error, ErrorKind, Result};
use crate::reject::{REJECT, Rejects, Sifted, Stage};

/// The member of the reasons that has the text of such a record.
const RECORD: &str = "record";

/// The columns `wanted`, and behind them the reasons where `file` has them.
pub(super) fn with_reasons(wanted: &SchemaRef, file: &Schema) -> SchemaRef {
    let has_record = |members: &Fields| {
        members.iter().any(|member| member.name() == RECORD && *member.data_type() == DataType::Utf8)
    };
    let reasons = file.fields().iter().find(|field| {
        field.name() == REJECT && matches!(field.data_type(), DataType::Struct(members) if has_record(members))
    });
    match reasons {
        // Where only rows are counted nothing is read of them.
        Some(reasons) if !wanted.fields().is_empty() => {
            let fields: Vec<_> = wanted.fields().iter().chain([reasons]).cloned().collect();
            Arc::new(Schema::new_with_metadata(fields, wanted.metadata().clone()))
        }
        _ => Arc::clone(wanted),
    }
}

/// `batch` without the reasons that [`with_reasons`] adds, and without the rows that have no value yet, which are beside
/// it. They are rows of `file`, `rows_before` of which the split had before.
pub(super) fn sifted(batch: RecordBatch, file: &str, rows_before: u64) -> Result<Sifted> {
    let Some((place, _)) = batch.schema_ref().column_with_name(REJECT) else { return Ok((batch, None)) };
    let others: Vec<usize> = (0..batch.num_columns()).filter(|column| *column != place).collect();
    let rows = batch.project(&others)?;
    let Some(records) = batch.column(place).as_struct_opt().and_then(records) else { return Ok((rows, None)) };
    let is_blank = |row: &usize| records.is_valid(*row) && rows.columns().iter().all(|column| column.is_null(*row));
    let blank: Vec<usize> = (0..rows.num_rows()).filter(is_blank).collect();
    if blank.is_empty() {
        return Ok((rows, None));
    }
    let mut kept = vec![true; rows.num_rows()];
    for row in &blank {
        kept[*row] = false;
    }
    let left_out: BooleanArray = kept.iter().map(|kept| Some(!kept)).collect();
    let error = |row: &usize| unrepaired().at("row", rows_before + *row as u64 + 1).at("file", file);
    let errors = blank.iter().map(error).collect();
    let texts = blank.iter().map(|row| Some(records.value(*row).to_owned())).collect();
    let rejects = Rejects::new(Stage::Read, filter_record_batch(&rows, &left_out)?, errors);
    Ok((filter_record_batch(&rows, &BooleanArray::from(kept))?, Some(Rejects { records: texts, ..rejects })))
}

fn records(reasons: &StructArray) -> Option<&StringArray> {
    reasons.column_by_name(RECORD)?.as_string_opt()
}

fn unrepaired() -> Error {
    Error::new(ErrorKind::Value, "the rejected record has no columns yet")
        .with_hint("leave it out with --on-error skip; in a rejects file of JSON lines its values can be written down")
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::Field;

    use super::*;

    fn rejected(ids: Vec<Option<&str>>, records: Vec<Option<&str>>) -> RecordBatch {
        let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
        let rows = records.len() as i64;
        let lines: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let line = Arc::new(Field::new("line", DataType::Int64, true));
        let records: ArrayRef = Arc::new(StringArray::from(records));
        let reasons: ArrayRef = Arc::new(StructArray::from(vec![(line, lines), (text(RECORD), records)]));
        let fields = vec![text("id"), Arc::new(Field::new(REJECT, reasons.data_type().clone(), false))];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(StringArray::from(ids)), reasons]).unwrap()
    }

    #[test]
    fn records_without_columns_are_told_apart_from_rows() {
        let batch = rejected(vec![Some("1"), None, None, Some("4")], vec![None, Some("2,x"), None, Some("mended")]);
        let (rows, rejects) = sifted(batch, "r.parquet", 10).unwrap();
        assert_eq!(rows.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1"), None, Some("4")]);
        assert_eq!(rows.num_columns(), 1);
        let rejects = rejects.unwrap();
        assert_eq!((rejects.records, rejects.rows.num_rows()), (vec![Some("2,x".to_owned())], 1));
        assert_eq!(rejects.errors[0].to_string(), "file r.parquet: row 12: the rejected record has no columns yet");
    }

    #[test]
    fn other_files_are_read_as_they_are() {
        let file = rejected(vec![Some("1")], vec![None]);
        let wanted: SchemaRef = Arc::new(file.schema_ref().project(&[0]).unwrap());
        assert_eq!(with_reasons(&wanted, file.schema_ref()), *file.schema_ref());
        assert_eq!(with_reasons(&wanted, &wanted), wanted);
        let none: SchemaRef = Arc::new(Schema::empty());
        assert_eq!(with_reasons(&none, file.schema_ref()), none);
        let (rows, rejects) = sifted(file.project(&[0]).unwrap(), "a.parquet", 0).unwrap();
        assert!(rows.num_rows() == 1 && rejects.is_none());
    }
}
