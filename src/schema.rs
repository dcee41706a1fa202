//! Names that travel in Arrow schemas: native types, value forms, reserved columns.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field};

/// Field metadata: the source's own type, `postgres:numeric(18,4)`. Never decides how Arrow reads the column.
pub const NATIVE: &str = "etl.native";

/// Field metadata of a native form: [`WIRE`] or [`TEXT`]. Absent in an Arrow form.
pub const FORM: &str = "etl.form";

/// Value of [`FORM`]: the column is Binary and holds the type's binary wire bytes.
pub const WIRE: &str = "wire";

/// Value of [`FORM`]: the column is Utf8 and holds the type's own text form.
pub const TEXT: &str = "text";

/// Field metadata of a text column: the most characters (not bytes) that it takes. See [`crate::fate::max_chars`].
pub const MAX_CHARS: &str = "etl.max_chars";

/// Field metadata: the comment on the column.
pub const COMMENT: &str = "etl.comment";

/// Arrow's canonical extension names, as field metadata.
pub const EXTENSION: &str = "ARROW:extension:name";
/// Extension name of JSON text in Utf8.
pub const EXTENSION_JSON: &str = "arrow.json";
/// Extension name of a UUID in FixedSizeBinary(16).
pub const EXTENSION_UUID: &str = "arrow.uuid";

/// Reserved columns of change feeds; a source column of such a name is refused.
pub const RESERVED: [&str; 4] = ["__op", "__position", "__before_key", "__absent"];

/// `field` with its native type noted.
#[must_use]
pub fn with_native(field: Field, native: &str) -> Field {
    with_metadata(field, NATIVE, native)
}

/// `field` with one more metadata entry.
#[must_use]
pub fn with_metadata(field: Field, key: &str, value: &str) -> Field {
    let mut metadata: HashMap<String, String> = field.metadata().clone();
    metadata.insert(key.to_owned(), value.to_owned());
    field.with_metadata(metadata)
}

/// The native type of `field` if `product` named it: `numeric(18,4)` for `postgres:numeric(18,4)`.
pub fn native_of<'a>(field: &'a Field, product: &str) -> Option<&'a str> {
    field.metadata().get(NATIVE)?.strip_prefix(product)?.strip_prefix(':')
}

/// Whether `field` holds JSON text.
pub fn is_json(field: &Field) -> bool {
    field.metadata().get(EXTENSION).is_some_and(|name| name == EXTENSION_JSON)
}

/// Whether `field` holds a UUID.
pub fn is_uuid(field: &Field) -> bool {
    *field.data_type() == DataType::FixedSizeBinary(16)
        && field.metadata().get(EXTENSION).is_some_and(|name| name == EXTENSION_UUID)
}
