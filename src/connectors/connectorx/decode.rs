//! ConnectorX's arrays as what was described: the same values in a narrower or more usual type, or parsed from their texts.
//!
//! Rows with a text that is no value, or with infinity, can be left out. What ConnectorX itself fails at cannot: it says neither
//! which row that is, nor gives the rows behind it.

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::backend::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::parting::{Odd, Refuse};
use crate::formats::value::parse::{Form, Misfit, Texts, sift_column};
use crate::reject::Sifted;

/// The columns of `batch` at `places` as those of `schema`, without rows that have a value which is none of its column: these come
/// beside it. `before` rows came before the batch.
///
/// # Errors
/// Those that are no matter of a value.
pub(super) fn decoded(
    backend: Backend,
    batch: &RecordBatch,
    places: &[usize],
    schema: &SchemaRef,
    before: u64,
) -> Result<Sifted> {
    let mut odd = Odd::default();
    let mut arrays = Vec::with_capacity(places.len());
    for (position, (place, field)) in places.iter().zip(schema.fields()).enumerate() {
        let mut refuse = odd.refuse((position, field.name()), before);
        let array = column(batch.column(*place), field, &mut refuse);
        let array = array.map_err(|error| error.at("column", field.name()))?;
        // Others have no infinity.
        if backend == Backend::Postgres {
            refuse_infinity(&array, &mut refuse);
        }
        arrays.push(array);
    }
    odd.part(schema, batch.num_rows(), arrays)
}

fn column(array: &ArrayRef, field: &Field, refuse: &mut Refuse<'_>) -> Result<ArrayRef> {
    if array.data_type() == field.data_type() {
        return Ok(ArrayRef::clone(array));
    }
    if let Some(texts) = array.as_string_opt::<i32>() {
        let mut note = |misfit: Misfit| {
            let Misfit::Row(row) = misfit else { return Err(misfit) };
            refuse(row, Some(texts.value(row).to_owned()), misfitting(misfit, field));
            Ok(())
        };
        let parsed = sift_column(&Column(texts), field, Form::Any, &mut note);
        return parsed.map_err(|misfit| misfitting(misfit, field));
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

fn misfitting(misfit: Misfit, field: &Field) -> Error {
    match misfit {
        Misfit::Row(_) | Misfit::Encoding(..) => {
            let message = format!("a value is none of {}", field.data_type());
            Error::new(ErrorKind::Value, message).with_hint("cast the column to text in a --query")
        }
        Misfit::Type => Error::new(ErrorKind::Internal, format!("no text is read as {}", field.data_type())),
        Misfit::Size => Error::new(ErrorKind::Resource, "the texts of a batch are too long"),
    }
}

/// Refuses infinity, for which ConnectorX gives the last day that it has.
fn refuse_infinity(array: &ArrayRef, refuse: &mut Refuse<'_>) {
    match array.data_type() {
        DataType::Date32 => {
            let day = |date: NaiveDate| date.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days() as i32;
            let ends = [day(NaiveDate::MIN), day(NaiveDate::MAX)].map(|day| [day; 2]);
            refuse_ends(array.as_primitive::<Date32Type>(), ends, refuse);
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let ends = [
                [NaiveDateTime::MIN.and_utc(), DateTime::<Utc>::MIN_UTC],
                [NaiveDateTime::MAX.and_utc(), DateTime::<Utc>::MAX_UTC],
            ];
            let ends = ends.map(|moments| moments.map(|moment| moment.timestamp_micros()));
            refuse_ends(array.as_primitive::<TimestampMicrosecondType>(), ends, refuse);
        }
        _ => {}
    }
}

/// Refuses values that are one of the `least`, or of the `greatest`.
fn refuse_ends<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    [least, greatest]: [[T::Native; 2]; 2],
    refuse: &mut Refuse<'_>,
) {
    for (row, value) in array.iter().enumerate() {
        let Some(value) = value else { continue };
        let text = match (least.contains(&value), greatest.contains(&value)) {
            (true, _) => "-infinity",
            (_, true) => "infinity",
            _ => continue,
        };
        let error = Error::new(ErrorKind::Value, "ConnectorX reads infinity as a day of a far year")
            .with_hint("cast the column to text in a --query, or read it with 'postgres:'");
        refuse(row, Some(text.to_owned()), error);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int64Array};
    use arrow::datatypes::{Decimal128Type, Int32Type, Schema};

    use super::*;
    use crate::reject::set_aside;

    fn sifted(array: ArrayRef, data_type: DataType) -> Result<Sifted> {
        let batch = RecordBatch::try_from_iter([("c", array)]).unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("c", data_type, true)]));
        decoded(Backend::Postgres, &batch, &[0], &schema, 10)
    }

    fn one(array: ArrayRef, data_type: DataType) -> Result<ArrayRef> {
        set_aside(None, sifted(array, data_type)?).map(|batch| Arc::clone(batch.column(0)))
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

    #[test]
    fn rows_that_can_be_left_out_are_told_with_what_the_database_has() {
        // The first and the last day of chrono: -262143-01-01 and 262142-12-31.
        let days = Date32Array::from(vec![Some(0), None, Some(95_026_236), Some(-96_465_292), Some(1)]);
        let (batch, rejects) = sifted(Arc::new(days), DataType::Date32).unwrap();
        assert_eq!(batch.column(0).as_primitive::<Date32Type>().iter().collect::<Vec<_>>(), [Some(0), None, Some(1)]);
        let rejects = rejects.unwrap();
        let told: Vec<_> = rejects.rows.column(0).as_string::<i32>().iter().collect();
        assert_eq!(told, [Some("infinity"), Some("-infinity")]);
        let texts = Arc::new(StringArray::from(vec![Some("1"), Some("NaN"), None]));
        let (batch, rejects) = sifted(texts, DataType::Decimal128(5, 2)).unwrap();
        assert_eq!((batch.num_rows(), batch.column(0).null_count()), (2, 1));
        let rejects = rejects.unwrap();
        assert_eq!(rejects.rows.column(0).as_string::<i32>().value(0), "NaN");
        assert!(rejects.errors[0].to_string().starts_with("row 12: column c: "), "{:?}", rejects.errors);
    }
}
