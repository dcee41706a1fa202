//! Dates and moments that may be infinite: the forms in which they travel beside that of Arrow, which has no infinity.
//!
//! DuckDB's own ([`INFINITE`]) counts as Arrow does, and means infinity by the greatest number and its opposite. PostgreSQL's are the
//! bytes of its binary wire form: they count from 2000 on, the first byte is the highest, and infinity is the greatest and the least.
//! Sources: `date_t` and `timestamp_t` of DuckDB, `date_send` and `timestamp_send` of PostgreSQL.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BinaryArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, Date32Type, Field, TimeUnit, TimestampMicrosecondType};

use super::encode::{FIRST_MICRO, LAST_DAY, NO_SUCH_VALUE, wrong};
use super::typemap::{Kind, PRODUCT};
use crate::formats::exchange::{Fit, Misfit};
use crate::schema::{FORM, INFINITE, TEXT, WIRE, native_of};

/// PostgreSQL's name in native types.
const POSTGRES: &str = "postgres";
/// From 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// In which form a column travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As Arrow has it.
    Arrow,
    /// With DuckDB's infinity.
    Infinite,
    /// As wire bytes of PostgreSQL.
    Wire,
    /// As DuckDB's text.
    Text,
}

impl Form {
    pub(super) fn of(field: &Field) -> Self {
        match field.metadata().get(FORM).map(String::as_str) {
            Some(INFINITE) => Self::Infinite,
            Some(WIRE) => Self::Wire,
            Some(TEXT) => Self::Text,
            _ => Self::Arrow,
        }
    }
}

/// Whether values of the native form `native` go into columns of `kind` as they are.
pub(super) fn is_taken(native: &Field, kind: &Kind) -> bool {
    let of_postgres = |zone: &str| {
        native_of(native, POSTGRES).is_some_and(|name| name.starts_with("timestamp") && name.ends_with(zone))
    };
    match (Form::of(native), kind) {
        (Form::Infinite, _) => native_of(native, PRODUCT).and_then(Kind::parse).as_ref() == Some(kind),
        (Form::Wire, Kind::Date) => native_of(native, POSTGRES) == Some("date"),
        (Form::Wire, Kind::Timestamp(TimeUnit::Microsecond)) => of_postgres("without time zone"),
        (Form::Wire, Kind::Instant) => of_postgres("with time zone"),
        _ => false,
    }
}

/// What PostgreSQL's wire bytes in `array` are as `kind`, with DuckDB's infinity.
pub(super) fn of_wire(kind: &Kind, array: &ArrayRef) -> Fit {
    let wires = array.as_binary_opt::<i32>().ok_or_else(|| wrong(array))?;
    Ok(match kind {
        Kind::Date => Arc::new(values::<Date32Type, 4>(wires, day)?),
        Kind::Timestamp(TimeUnit::Microsecond) => Arc::new(values::<TimestampMicrosecondType, 8>(wires, moment)?),
        Kind::Instant => Arc::new(values::<TimestampMicrosecondType, 8>(wires, moment)?.with_timezone("UTC")),
        _ => return Err(wrong(array)),
    })
}

fn values<T: ArrowPrimitiveType, const WIDTH: usize>(
    wires: &BinaryArray,
    read: impl Fn([u8; WIDTH]) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>, Misfit> {
    let mut values = Vec::with_capacity(wires.len());
    for (row, wire) in wires.iter().enumerate() {
        let value = wire.map(|wire| <[u8; WIDTH]>::try_from(wire).ok().and_then(&read));
        values.push(match value {
            Some(value) => value.ok_or_else(|| Misfit::of_value(row, NO_SUCH_VALUE))?,
            None => T::Native::default(),
        });
    }
    Ok(PrimitiveArray::new(values.into(), wires.nulls().cloned()))
}

fn day(wire: [u8; 4]) -> Option<i32> {
    match i32::from_be_bytes(wire) {
        i32::MAX => Some(i32::MAX),
        i32::MIN => Some(-i32::MAX),
        days => days.checked_add(EPOCH_DAYS).filter(|day| (-LAST_DAY..=LAST_DAY).contains(day)),
    }
}

fn moment(wire: [u8; 8]) -> Option<i64> {
    match i64::from_be_bytes(wire) {
        i64::MAX => Some(i64::MAX),
        i64::MIN => Some(-i64::MAX),
        micros => micros.checked_add(EPOCH_MICROS).filter(|at| (FIRST_MICRO..i64::MAX).contains(at)),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;
    use crate::schema::{with_metadata, with_native};

    fn bytes<const WIDTH: usize>(values: &[Option<[u8; WIDTH]>]) -> ArrayRef {
        Arc::new(values.iter().map(Option::as_ref).collect::<BinaryArray>())
    }

    #[test]
    fn infinity_of_postgres_is_that_of_duckdb() {
        // date_send of 1970-01-01, infinity and -infinity.
        let days = bytes(&[Some((-10_957_i32).to_be_bytes()), Some([127, 255, 255, 255]), None, Some([128, 0, 0, 0])]);
        let days = of_wire(&Kind::Date, &days).unwrap();
        assert_eq!(
            days.as_primitive::<Date32Type>().iter().collect::<Vec<_>>(),
            [Some(0), Some(i32::MAX), None, Some(-i32::MAX)]
        );
        let moments = bytes(&[Some(0_i64.to_be_bytes()), Some(i64::MAX.to_be_bytes()), Some(i64::MIN.to_be_bytes())]);
        let at = of_wire(&Kind::Instant, &moments).unwrap();
        assert_eq!(*at.data_type(), DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
        let at = at.as_primitive::<TimestampMicrosecondType>().values().to_vec();
        assert_eq!(at, [EPOCH_MICROS, i64::MAX, -i64::MAX]);
        // 294276-12-31 23:59:59.999999 is beyond what DuckDB has.
        let far = bytes(&[None, Some(9_223_371_331_199_999_999_i64.to_be_bytes())]);
        assert_eq!(of_wire(&Kind::Timestamp(TimeUnit::Microsecond), &far).unwrap_err().row, Some(1));
        assert_eq!(of_wire(&Kind::Date, &far).unwrap_err().row, Some(1), "eight bytes are no date");
    }

    #[test]
    fn forms_go_into_their_own_types_alone() {
        let native = |name: &str, form: &str| {
            with_metadata(with_native(Field::new("c", DataType::Binary, true), name), FORM, form)
        };
        let taken = |name: &str, form: &str, kind: &str| is_taken(&native(name, form), &Kind::parse(kind).unwrap());
        assert!(taken("postgres:date", WIRE, "DATE"));
        assert!(taken("postgres:timestamp(3) without time zone", WIRE, "TIMESTAMP"));
        assert!(taken("postgres:timestamp with time zone", WIRE, "TIMESTAMP WITH TIME ZONE"));
        assert!(taken("duckdb:TIMESTAMP_NS", INFINITE, "TIMESTAMP_NS"));
        for (name, form, kind) in [
            ("postgres:timestamp with time zone", WIRE, "TIMESTAMP"),
            ("postgres:timestamp without time zone", WIRE, "TIMESTAMP_MS"),
            ("postgres:timestamp without time zone[]", WIRE, "TIMESTAMP"),
            ("postgres:numeric", WIRE, "DATE"),
            ("postgres:date", TEXT, "DATE"),
            ("duckdb:TIMESTAMP_S", INFINITE, "TIMESTAMP"),
        ] {
            assert!(!taken(name, form, kind), "{name} {kind}");
        }
    }
}
