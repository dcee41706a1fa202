//! ConnectorX's arrays as what was described: the same values in a narrower or more usual type, or parsed from their texts.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::parse::{Form, Misfit, Texts, parse_column};

/// The columns of `batch` at `places` as those of `schema`; `before` rows came before it.
///
/// # Errors
/// [`Value`](ErrorKind::Value) with column and row for a value that is none of its type.
pub(super) fn decoded(
    backend: Backend,
    batch: &RecordBatch,
    places: &[usize],
    schema: &SchemaRef,
    before: u64,
) -> Result<RecordBatch> {
    let column = |(place, field): (&usize, &Arc<Field>)| {
        let array = column(batch.column(*place), field, before).and_then(|array| {
            // Others have no infinity.
            if backend == Backend::Postgres {
                finite(&array, before)?;
            }
            Ok(array)
        });
        array.map_err(|error| error.at("column", field.name()))
    };
    let arrays = places.iter().zip(schema.fields()).map(column).collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(SchemaRef::clone(schema), arrays, &options)?)
}

fn column(array: &ArrayRef, field: &Field, before: u64) -> Result<ArrayRef> {
    if array.data_type() == field.data_type() {
        return Ok(ArrayRef::clone(array));
    }
    if let Some(texts) = array.as_string_opt::<i32>() {
        let parsed = parse_column(&Column(texts), field, Form::Any);
        return parsed.map_err(|misfit| misfitting(misfit, field, before));
    }
    // Arrow would cut the fraction off. SQLite may compute whole numbers when it is asked first, and others later.
    let is_cut = array.data_type().is_floating() && field.data_type().is_integer();
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let same = if is_cut { None } else { cast_with_options(array, field.data_type(), &strict).ok() };
    same.ok_or_else(|| {
        let message = format!("what ConnectorX reads is no {}, as the column was described", field.data_type());
        Error::new(ErrorKind::Schema, message).with_hint("cast the column in a --query")
    })
}

struct Column<'a>(&'a StringArray);

impl Texts for Column<'_> {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn text<'a>(&'a self, row: usize, _scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        self.0.is_valid(row).then(|| self.0.value(row).as_bytes())
    }
}

fn misfitting(misfit: Misfit, field: &Field, before: u64) -> Error {
    match misfit {
        Misfit::Row(row) | Misfit::Encoding(row, _) => {
            let message = format!("a value is none of {}", field.data_type());
            let error = Error::new(ErrorKind::Value, message).with_hint("cast the column to text in a --query");
            error.at("row", before + row as u64 + 1)
        }
        Misfit::Type => Error::new(ErrorKind::Internal, format!("no text is read as {}", field.data_type())),
        Misfit::Size => Error::new(ErrorKind::Resource, "the texts of a batch are too long"),
    }
}

/// Refuses infinity, for which ConnectorX gives the last day that it has.
fn finite(array: &ArrayRef, before: u64) -> Result<()> {
    match array.data_type() {
        DataType::Date32 => {
            let day = |date: NaiveDate| date.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days() as i32;
            without(array.as_primitive::<Date32Type>(), &[day(NaiveDate::MIN), day(NaiveDate::MAX)], before)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let moments = [
                NaiveDateTime::MIN.and_utc(),
                NaiveDateTime::MAX.and_utc(),
                DateTime::<Utc>::MIN_UTC,
                DateTime::<Utc>::MAX_UTC,
            ];
            let moments = moments.map(|moment| moment.timestamp_micros());
            without(array.as_primitive::<TimestampMicrosecondType>(), &moments, before)
        }
        _ => Ok(()),
    }
}

fn without<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, ends: &[T::Native], before: u64) -> Result<()> {
    let found = array.values().iter().enumerate().find(|(row, value)| ends.contains(value) && array.is_valid(*row));
    let Some((row, _)) = found else { return Ok(()) };
    Err(Error::new(ErrorKind::Value, "ConnectorX reads infinity as a day of a far year")
        .with_hint("cast the column to text in a --query, or read it with 'postgres:'")
        .at("row", before + row as u64 + 1))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int64Array};
    use arrow::datatypes::{Decimal128Type, Int32Type, Schema};

    use super::*;

    fn one(array: ArrayRef, data_type: DataType) -> Result<ArrayRef> {
        let batch = RecordBatch::try_from_iter([("c", array)]).unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("c", data_type, true)]));
        decoded(Backend::Postgres, &batch, &[0], &schema, 10).map(|batch| Arc::clone(batch.column(0)))
    }

    #[test]
    fn values_stay_the_same_in_another_type() {
        let texts = Arc::new(StringArray::from(vec![Some("1.123456789012345678"), None]));
        let array = one(texts, DataType::Decimal128(38, 18)).unwrap();
        let expected = Decimal128Array::from(vec![Some(1_123_456_789_012_345_678), None]);
        assert_eq!(array.as_primitive::<Decimal128Type>(), &expected.with_precision_and_scale(38, 18).unwrap());
        let array = one(Arc::new(Int64Array::from(vec![7])), DataType::Int32).unwrap();
        assert_eq!(array.as_primitive::<Int32Type>().value(0), 7);
        assert_eq!(
            one(Arc::new(Int64Array::from(vec![i64::MAX])), DataType::Int32).unwrap_err().kind(),
            ErrorKind::Schema
        );
        assert_eq!(
            one(Arc::new(Float64Array::from(vec![1.5])), DataType::Int64).unwrap_err().kind(),
            ErrorKind::Schema
        );
    }

    #[test]
    fn what_is_no_value_is_an_error_with_its_row() {
        let error = one(Arc::new(StringArray::from(vec!["1", "NaN"])), DataType::Decimal128(5, 2)).unwrap_err();
        assert!(error.to_string().contains("row 12") && !error.to_string().contains("NaN"), "{error}");
        // 262142-12-31, the last day of chrono.
        let error =
            one(Arc::new(Date32Array::from(vec![Some(0), None, Some(95_026_236)])), DataType::Date32).unwrap_err();
        assert!(error.to_string().contains("row 13") && error.to_string().contains("infinity"), "{error}");
    }
}
