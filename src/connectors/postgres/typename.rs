//! In which type of PostgreSQL values of an Arrow field are kept.

use arrow::datatypes::{DataType, Field};

use super::typemap::PRODUCT;
use crate::error::{Error, ErrorKind, Result};
use crate::fate::plain;
use crate::schema;

/// The PostgreSQL type for a column of `field`: its own if it came from PostgreSQL, else what holds every value of its
/// Arrow type.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for unions.
pub(super) fn type_name(field: &Field) -> Result<String> {
    if let Some(native) = schema::native_of(field, PRODUCT) {
        return Ok(native.to_owned());
    }
    if schema::is_json(field) {
        return Ok("json".to_owned());
    }
    if schema::is_uuid(field) {
        return Ok("uuid".to_owned());
    }
    arrow_type_name(field.data_type()).map_err(|error| error.at("column", field.name()))
}

/// The PostgreSQL type that holds every value of an Arrow type.
fn arrow_type_name(data_type: &DataType) -> Result<String> {
    let name = match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt32 => "bigint",
        DataType::UInt64 => "numeric(20,0)",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => return Ok(numeric_name(i32::from(*digits), i32::from(*scale))),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Duration(_) | DataType::Interval(_) => "interval",
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            // An array of arrays is one array of more dimensions.
            let element = type_name(item)?;
            let written = plain(item.data_type()).is_nested() && element == "json";
            return Ok(if written || element.ends_with("[]") { element } else { format!("{element}[]") });
        }
        DataType::Struct(_) | DataType::Map(..) => "json",
        DataType::Dictionary(_, value) => return arrow_type_name(value),
        DataType::RunEndEncoded(_, values) => return type_name(values),
        other => {
            return Err(Error::new(ErrorKind::Unsupported, format!("PostgreSQL has no type for Arrow's {other}"))
                .with_hint("cast the column to text with --cast, or leave it out with --drop"));
        }
    };
    Ok(name.to_owned())
}

/// `numeric(p,s)`; servers before 15 know no negative scale.
fn numeric_name(digits: i32, scale: i32) -> String {
    if scale < 0 { format!("numeric({},0)", digits - scale) } else { format!("numeric({},{scale})", digits.max(scale)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn names_for_arrow_types() {
        assert_eq!(arrow_type_name(&DataType::UInt64).unwrap(), "numeric(20,0)");
        assert_eq!(arrow_type_name(&DataType::Decimal128(10, -2)).unwrap(), "numeric(12,0)");
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
        let nested = DataType::List(Arc::new(Field::new("item", list, true)));
        assert_eq!(arrow_type_name(&nested).unwrap(), "integer[]");
        let object = DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into());
        assert_eq!(arrow_type_name(&object).unwrap(), "json");
        let objects = DataType::List(Arc::new(Field::new("item", object, true)));
        assert_eq!(arrow_type_name(&objects).unwrap(), "json");
    }
}
