//! In which type of DuckDB values of an Arrow field are kept.

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

use super::{Kind, PRODUCT};
use crate::formats::exchange;
use crate::schema::{is_json, is_uuid, native_of};

/// Elements of an ARRAY, at most.
const MOST_ELEMENTS: i32 = 100_000;

/// The kind in which values of any `field` are held; none where there is none.
pub(in super::super) fn kind_for(field: &Field) -> Option<Kind> {
    use DataType as T;
    // What DuckDB itself has read comes back as it was, where it means the same.
    let own = native_of(field, PRODUCT).and_then(Kind::parse);
    if let Some(own) = own.filter(|own| own.data_type() == *field.data_type()) {
        return Some(own);
    }
    if is_uuid(field) {
        return Some(Kind::Uuid);
    }
    Some(match field.data_type() {
        T::Boolean => Kind::Boolean,
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => {
            let (bits, signed) = exchange::integer_of(field.data_type())?;
            Kind::Integer { bits, signed }
        }
        T::Float16 | T::Float32 => Kind::Float,
        T::Float64 => Kind::Double,
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => decimal(*precision, *scale),
        T::Utf8 | T::LargeUtf8 | T::Utf8View if is_json(field) => Kind::Json,
        T::Null | T::Utf8 | T::LargeUtf8 | T::Utf8View => Kind::Text,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => Kind::Blob,
        T::Date32 | T::Date64 => Kind::Date,
        T::Time64(TimeUnit::Nanosecond) => Kind::Time(TimeUnit::Nanosecond),
        T::Time32(_) | T::Time64(_) => Kind::Time(TimeUnit::Microsecond),
        T::Timestamp(unit, None) => Kind::Timestamp(*unit),
        T::Timestamp(_, Some(_)) => Kind::Instant,
        T::Interval(_) | T::Duration(_) => Kind::Interval,
        T::Dictionary(_, values) => kind_for(&Field::new("", (**values).clone(), true))?,
        T::RunEndEncoded(_, values) => kind_for(values)?,
        T::List(item) | T::LargeList(item) | T::ListView(item) | T::LargeListView(item) => {
            Kind::List(Box::new(kind_for(item)?))
        }
        T::FixedSizeList(item, count) if (1..=MOST_ELEMENTS).contains(count) => {
            Kind::Array(Box::new(kind_for(item)?), *count)
        }
        T::FixedSizeList(item, _) => Kind::List(Box::new(kind_for(item)?)),
        T::Struct(members) if !members.is_empty() => Kind::Struct(kinds_for(members.iter())?),
        T::Struct(_) => return None,
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(both) if both.len() == 2 => Kind::Map(Box::new((kind_for(&both[0])?, kind_for(&both[1])?))),
            _ => return None,
        },
        T::Union(..) => return None,
    })
}

fn kinds_for<'a>(members: impl Iterator<Item = &'a FieldRef>) -> Option<Vec<(String, Kind)>> {
    let mut known: Vec<(String, Kind)> = Vec::new();
    for member in members {
        let name = member.name();
        if name.is_empty() || known.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return None;
        }
        known.push((name.clone(), kind_for(member)?));
    }
    Some(known)
}

/// A decimal that DuckDB has, with a negative scale written out; more digits than it has are text.
fn decimal(precision: u8, scale: i8) -> Kind {
    let (precision, places) = exchange::decimal_digits(precision, scale);
    if precision <= 38 { Kind::Decimal { precision, scale: places as i8 } } else { Kind::Text }
}
