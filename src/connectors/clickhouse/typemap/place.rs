//! In which type of ClickHouse values of an Arrow field are kept.

use arrow::datatypes::{DataType, Field, FieldRef};

use super::{Kind, PRODUCT, Type, digits_of};
use crate::fate::is_text;
use crate::formats::exchange;
use crate::schema::{is_json, is_uuid, native_of};

/// The zone that instants are shown in.
const ZONE: &str = "UTC";
/// Digits of the widest decimal.
const DECIMAL_DIGITS: u8 = 76;

/// The type in which values of `field` are held; none where there is none. It takes NULL where the field does and the type can.
pub(in super::super) fn type_for(field: &Field) -> Option<Type> {
    // What ClickHouse itself has read comes back as it was, where it means the same.
    let own = native_of(field, PRODUCT).and_then(Type::parse).filter(|own| {
        own.data_type() == *field.data_type()
            && own.kind != Kind::Json
            && is_json(field) == matches!(own.kind, Kind::JsonText)
    });
    if let Some(own) = own {
        return Some(Type { nullable: field.is_nullable() && own.kind.can_be_null(), ..own });
    }
    let kind = if is_json(field) && is_text(field.data_type()) { Kind::JsonText } else { kind_for(field)? };
    Some(nullable(kind, field))
}

fn nullable(kind: Kind, field: &Field) -> Type {
    Type { nullable: field.is_nullable() && kind.can_be_null(), ..Type::plain(kind) }
}

/// As [`type_for`], within another value, where no comment can mark what it is.
fn member_for(field: &Field) -> Option<Type> {
    let own = native_of(field, PRODUCT).and_then(Type::parse).filter(|own| own.data_type() == *field.data_type());
    let kind = match own {
        Some(own) => own.kind,
        None => kind_for(field)?,
    };
    (!matches!(kind, Kind::Wall(_))).then(|| nullable(kind, field))
}

fn kind_for(field: &Field) -> Option<Kind> {
    use DataType as T;
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
        T::Null | T::Utf8 | T::LargeUtf8 | T::Utf8View => Kind::Text,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(0) => Kind::Bytes,
        T::FixedSizeBinary(bytes) => Kind::Fixed(*bytes),
        T::Date32 | T::Date64 => Kind::Date32,
        T::Time32(unit) | T::Time64(unit) => Kind::Time64(digits_of(*unit)),
        T::Timestamp(unit, None) => Kind::Wall(digits_of(*unit)),
        T::Timestamp(unit, Some(_)) => Kind::DateTime64(digits_of(*unit), Some(ZONE.to_owned())),
        T::Duration(unit) => Kind::Duration(*unit),
        // Months, days and seconds together: as text.
        T::Interval(_) => Kind::Text,
        T::Dictionary(_, values) => kind_for(&Field::new("", (**values).clone(), true))?,
        T::RunEndEncoded(_, values) => kind_for(values)?,
        T::List(item) | T::LargeList(item) | T::ListView(item) | T::LargeListView(item) | T::FixedSizeList(item, _) => {
            Kind::Array(Box::new(member_for(item)?))
        }
        T::Struct(members) => Kind::Tuple(members_for(members.iter())?),
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(both) if both.len() == 2 => {
                let key = Type { nullable: false, ..member_for(&both[0])? };
                Kind::Map(Box::new((key, member_for(&both[1])?)))
            }
            _ => return None,
        },
        T::Union(..) => return None,
    })
}

fn members_for<'a>(members: impl Iterator<Item = &'a FieldRef>) -> Option<Vec<(Option<String>, Type)>> {
    let mut known: Vec<(Option<String>, Type)> = Vec::new();
    for member in members {
        let name = Some(member.name().clone());
        if member.name().is_empty() || known.iter().any(|(other, _)| *other == name) {
            return None;
        }
        known.push((name, member_for(member)?));
    }
    (!known.is_empty()).then_some(known)
}

/// A decimal that ClickHouse has, with a negative scale written out; more digits than it has are text.
fn decimal(precision: u8, scale: i8) -> Kind {
    let (precision, scale) = exchange::decimal_digits(precision, scale);
    if precision <= DECIMAL_DIGITS { Kind::Decimal { precision, scale } } else { Kind::Text }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn other_types_find_a_place() {
        let of = |data_type: DataType| type_for(&Field::new("c", data_type, true)).map(|found| found.sql());
        let list = |item| DataType::List(std::sync::Arc::new(Field::new_list_field(item, true)));
        assert_eq!(of(DataType::Decimal256(76, 38)).unwrap(), "Nullable(Decimal(76, 38))");
        assert_eq!(of(DataType::Decimal128(5, -3)).unwrap(), "Nullable(Decimal(8, 0))");
        assert_eq!(of(DataType::Binary).unwrap(), "Nullable(String)");
        assert_eq!(of(DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap(), "Nullable(DateTime64(6, 'UTC'))");
        assert_eq!(of(DataType::Time32(TimeUnit::Second)).unwrap(), "Nullable(Time64(0))");
        assert_eq!(of(list(DataType::Int32)).unwrap(), "Array(Nullable(Int32))");
        assert_eq!(of(list(DataType::Timestamp(TimeUnit::Microsecond, None))), None);
        assert_eq!(of(DataType::Struct(arrow::datatypes::Fields::empty())), None);
    }
}
