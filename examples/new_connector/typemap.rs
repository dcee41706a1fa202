//! The one table of types: a type's own name beside the Arrow type that holds exactly its values.

use arrow::datatypes::DataType;

use crate::error::{Error, ErrorKind, Result};

const TYPES: &[(&str, DataType)] =
    &[("boolean", DataType::Boolean), ("bigint", DataType::Int64), ("text", DataType::Utf8)];

//# source
/// The Arrow type of a column declared as `declared`.
pub(super) fn data_type(declared: &str) -> Result<DataType> {
    let found = TYPES.iter().find(|(name, _)| *name == declared);
    found.map(|(_, data_type)| data_type.clone()).ok_or_else(|| unsupported(format!("type {declared} is not copied")))
}

//# end
//# sink
/// The type of a new column for values of `data_type`.
pub(super) fn type_name(data_type: &DataType) -> Result<&'static str> {
    let found = TYPES.iter().find(|(_, known)| known == data_type);
    found.map(|(name, _)| *name).ok_or_else(|| unsupported(format!("sample has no way to hold {data_type}")))
}

//# end
fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message).with_hint("leave the column out with --drop, or convert it with --cast")
}
