//! Columns that no one type of the reader holds whole: they are read once more, in another one.
//!
//! Times of 96 bits are read in nanoseconds and, to see which of them wrapped around, in microseconds. An INTERVAL has months, days and
//! milliseconds: it is read as its days and milliseconds and as its months, unless Arrow wrote the file and says which of these it has.

use std::sync::Arc;

use ::parquet::arrow::ARROW_SCHEMA_META_KEY;
use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use ::parquet::basic::Type as Physical;
use ::parquet::schema::types::Type;
use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::try_binary;
use arrow::datatypes::{
    DataType, Field, FieldRef, IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use arrow::error::ArrowError;

use crate::error::{Context as _, Error, ErrorKind, Result};

/// The columns of `file` with the types in which some of them are read once more; none where there are none.
pub(super) fn schema(file: &ArrowReaderMetadata) -> Option<SchemaRef> {
    let (schema, by_arrow) = (file.schema(), is_by_arrow(file));
    let mut found = false;
    let mut other = |(field, column): (&FieldRef, &Arc<Type>)| {
        let data_type = match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone)
                if column.is_primitive() && column.get_physical_type() == Physical::INT96 =>
            {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            DataType::Interval(IntervalUnit::DayTime) if !by_arrow => DataType::Interval(IntervalUnit::YearMonth),
            _ => return Arc::clone(field),
        };
        found = true;
        Arc::new(Field::clone(field).with_data_type(data_type))
    };
    let columns = file.parquet_schema().root_schema().get_fields();
    let fields: Vec<FieldRef> = schema.fields().iter().zip(columns).map(&mut other).collect();
    found.then(|| Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// `schema` with whole intervals for those of which `again` has the months.
pub(super) fn whole(schema: &SchemaRef, again: &SchemaRef) -> SchemaRef {
    let whole = |(field, again): (&FieldRef, &FieldRef)| match again.data_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            Arc::new(Field::clone(field).with_data_type(DataType::Interval(IntervalUnit::MonthDayNano)))
        }
        _ => Arc::clone(field),
    };
    let differs = |(field, again): &(&FieldRef, &FieldRef)| field.data_type() != again.data_type();
    let fields = schema.fields().iter().zip(again.fields());
    let fields: Vec<FieldRef> =
        fields.map(|pair| if differs(&pair) { whole(pair) } else { Arc::clone(pair.0) }).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Names of the columns with intervals within lists and structs, of which the months would be lost.
pub(super) fn torn(file: &ArrowReaderMetadata) -> Vec<String> {
    if is_by_arrow(file) {
        return Vec::new();
    }
    let torn = |field: &&FieldRef| field.data_type().is_nested() && holds_interval(field.data_type());
    file.schema().fields().iter().filter(torn).map(|field| field.name().clone()).collect()
}

fn is_by_arrow(file: &ArrowReaderMetadata) -> bool {
    let pairs = file.metadata().file_metadata().key_value_metadata();
    pairs.is_some_and(|pairs| pairs.iter().any(|pair| pair.key == ARROW_SCHEMA_META_KEY))
}

fn holds_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) => true,
        DataType::List(item) | DataType::Map(item, _) => holds_interval(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_interval(field.data_type())),
        _ => false,
    }
}

/// Checks and completes `columns`, those of `parts` in the types of `schema`, by what was read `again`.
pub(super) fn complete(
    columns: &mut [ArrayRef],
    schema: &Schema,
    again: &RecordBatch,
    parts: &[RecordBatch],
) -> Result<()> {
    for (field, other) in again.schema_ref().fields().iter().zip(again.columns()) {
        let first = parts.iter().find_map(|part| part.column_by_name(field.name())).ok_or_else(unforeseen)?;
        if let DataType::Interval(_) = field.data_type() {
            columns[schema.index_of(field.name())?] = interval(first, other).at("column", || field.name())?;
        } else {
            check_times(first, other).at("column", || field.name())?;
        }
    }
    Ok(())
}

/// 96-bit times that 64 bits of nanoseconds cannot hold wrap around without a word; in microseconds they do not.
fn check_times(nanos: &ArrayRef, micros: &ArrayRef) -> Result<()> {
    let nanos = nanos.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(unforeseen)?;
    let micros = micros.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(unforeseen)?;
    let same = |(nanos, micros): (Option<i64>, Option<i64>)| nanos.map(|nanos| nanos.div_euclid(1000)) == micros;
    if nanos.iter().zip(micros).all(same) {
        return Ok(());
    }
    let message = "a 96-bit time lies before 1677 or after 2262, where nanoseconds end";
    Err(Error::new(ErrorKind::Value, message).with_hint("write the file anew with times of 64 bits in microseconds"))
}

/// Intervals of their days and milliseconds and of their months. In the file these are unsigned.
fn interval(rest: &ArrayRef, months: &ArrayRef) -> Result<ArrayRef> {
    let rest = rest.as_primitive_opt::<IntervalDayTimeType>().ok_or_else(unforeseen)?;
    let months = months.as_primitive_opt::<IntervalYearMonthType>().ok_or_else(unforeseen)?;
    let whole = |rest: IntervalDayTime, months: i32| {
        if rest.days < 0 || months < 0 {
            return Err(ArrowError::ArithmeticOverflow(String::new()));
        }
        let nanoseconds = i64::from(rest.milliseconds.cast_unsigned()) * 1_000_000;
        Ok(IntervalMonthDayNano::new(months, rest.days, nanoseconds))
    };
    let whole = try_binary::<_, _, _, IntervalMonthDayNanoType>(rest, months, whole);
    let beyond = |_| Error::new(ErrorKind::Value, "an interval has more than 2147483647 months or days");
    Ok(Arc::new(whole.map_err(beyond)?))
}

fn unforeseen() -> Error {
    Error::new(ErrorKind::Internal, "a column that is read twice has an unforeseen type")
}
