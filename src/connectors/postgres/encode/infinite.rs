//! Dates and timestamps that come in the form [`INFINITE`](crate::schema::INFINITE), as the server counts them: from 2000 on, the
//! greatest and the least number being infinity.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BinaryArray, PrimitiveArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};

use super::{EPOCH_DAYS, EPOCH_MICROS, Refusal, check};

/// The days or microseconds of `array` as integers; any other array as it is.
pub(super) fn counted(array: &ArrayRef) -> Result<ArrayRef, Refusal> {
    match array.data_type() {
        DataType::Date32 => days(array.as_primitive()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => micros(array.as_primitive()),
        _ => Ok(Arc::clone(array)),
    }
}

/// The same as wire bytes.
pub(super) fn wires(array: &ArrayRef) -> Result<ArrayRef, Refusal> {
    let counted = counted(array)?;
    Ok(match counted.data_type() {
        DataType::Int32 => {
            let days = counted.as_primitive::<Int32Type>().iter();
            Arc::new(days.map(|days| days.map(i32::to_be_bytes)).collect::<BinaryArray>())
        }
        DataType::Int64 => {
            let micros = counted.as_primitive::<Int64Type>().iter();
            Arc::new(micros.map(|micros| micros.map(i64::to_be_bytes)).collect::<BinaryArray>())
        }
        _ => counted,
    })
}

fn days(array: &PrimitiveArray<Date32Type>) -> Result<ArrayRef, Refusal> {
    let is_endless = |day: i32| day.unsigned_abs() == i32::MAX.unsigned_abs();
    check::rows(array, |row| {
        let day = array.value(row);
        let fits = is_endless(day) || day.checked_sub(EPOCH_DAYS).is_some_and(|days| days != i32::MIN);
        (!fits).then(|| "the date is before the earliest that the server knows".to_owned())
    })?;
    let counted: PrimitiveArray<Int32Type> = array.unary(|day| match day {
        i32::MAX => i32::MAX,
        day if is_endless(day) => i32::MIN,
        day => day.wrapping_sub(EPOCH_DAYS),
    });
    Ok(Arc::new(counted))
}

fn micros(array: &PrimitiveArray<TimestampMicrosecondType>) -> Result<ArrayRef, Refusal> {
    let is_endless = |at: i64| at.unsigned_abs() == i64::MAX.unsigned_abs();
    check::rows(array, |row| {
        let at = array.value(row);
        let fits = is_endless(at) || at.checked_sub(EPOCH_MICROS).is_some_and(|micros| micros != i64::MIN);
        (!fits).then(|| "the time is before the earliest that the server knows".to_owned())
    })?;
    let counted: PrimitiveArray<Int64Type> = array.unary(|at| match at {
        i64::MAX => i64::MAX,
        at if is_endless(at) => i64::MIN,
        at => at.wrapping_sub(EPOCH_MICROS),
    });
    Ok(Arc::new(counted))
}
