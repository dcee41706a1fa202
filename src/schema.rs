//! Names that travel in Arrow schemas: native types, value forms, reserved columns; and the size of what is in them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayData, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, SchemaRef};

use crate::error::Result;

/// Field metadata: the source's own type, `postgres:numeric(18,4)`. Never decides how Arrow reads the column.
pub const NATIVE: &str = "etl.native";

/// Field metadata of a native form: [`WIRE`], [`TEXT`] or [`INFINITE`]. Absent in an Arrow form.
pub const FORM: &str = "etl.form";

/// Value of [`FORM`]: the column is Binary and holds the type's binary wire bytes.
pub const WIRE: &str = "wire";

/// Value of [`FORM`]: the column is Utf8 and holds the type's own text form.
pub const TEXT: &str = "text";

/// Value of [`FORM`]: the column is a date or timestamp of Arrow, whose greatest number and the opposite of that are infinity.
pub const INFINITE: &str = "infinite";

/// Field metadata of a text column: the most characters (not bytes) that it takes. See [`crate::fate::max_chars`].
pub const MAX_CHARS: &str = "etl.max_chars";

/// Field metadata of a time or timestamp in microseconds: the column keeps multiples of so many of them.
pub const STEP_MICROS: &str = "etl.step_micros";

/// Field metadata of doubles that were read from decimal digits and mean those: 0.1 is a tenth, and no binary fraction near it. Of
/// texts: each is a number.
pub const DIGITS: &str = "etl.digits";

/// A value of [`DIGITS`]: each text is a whole number, of any length.
pub const WHOLE: &str = "whole";

/// Field metadata of a text column: an empty text is NULL where it becomes a number, or anything but text and bytes.
pub const EMPTY_IS_NULL: &str = "etl.empty_is_null";

/// A value of [`EMPTY_IS_NULL`]: where it becomes a number.
pub const NUMBERS: &str = "numbers";

/// A value of [`EMPTY_IS_NULL`]: where it becomes anything but text and bytes.
pub const ALL_TYPES: &str = "all types";

/// Field metadata of a text column: forms in Java's notation, one a line, in which a text may be a date or a timestamp that is none in
/// the usual form. The first that fits counts.
pub const DATE_FORMATS: &str = "etl.date_formats";

/// Field metadata of a text column: [`BY_VALUE`] where a number that has the value of an integer becomes one, as `12.0` and `1e3` do.
pub const INTEGERS: &str = "etl.integers";

/// Value of [`INTEGERS`].
pub const BY_VALUE: &str = "by value";

/// Field metadata of a text column: no record says that it is there. Columns are paired by their places with as many of these as the target
/// has.
pub const PERHAPS: &str = "etl.perhaps";

/// Field metadata of a timestamp or a text column: by which clock an instant and a time without a zone stand for each other, as `+08:00`
/// or `Asia/Shanghai`. See [`crate::fate::clock`].
pub const CLOCK: &str = "etl.clock";

/// Value of [`CLOCK`] where several sources are read as one and their clocks differ: it is none, so that neither one of theirs nor
/// that of the transfer is taken.
pub const SEVERAL_CLOCKS: &str = "several clocks";

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

/// Whether `field` has whole numbers as text, because they may be of any length.
pub(crate) fn is_whole(field: &Field) -> bool {
    field.metadata().get(DIGITS).is_some_and(|digits| digits == WHOLE)
}

/// A batch of `rows` rows, which has no columns where `schema` has none.
///
/// # Errors
/// Where `columns` are not those of `schema`.
pub fn record_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Bytes of the rows of `batch`. What a slice shares with other batches is not counted: only its own part.
pub fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| data_bytes(&column.to_data())).sum()
}

fn data_bytes(data: &ArrayData) -> usize {
    // The children of a sliced list are whole: only those between its offsets are its own.
    let own = match data.data_type() {
        DataType::List(_) | DataType::Map(..) => offsets::<i32>(data),
        DataType::LargeList(_) => offsets::<i64>(data),
        DataType::FixedSizeList(_, width) => {
            let width = usize::try_from(*width).unwrap_or_default();
            Some((data.offset() * width, data.len() * width))
        }
        DataType::Struct(_) => None,
        // Views and runs have no slice of their own to speak of.
        _ => return data.get_slice_memory_size().unwrap_or_else(|_| data.get_array_memory_size()),
    };
    let nulls = if data.nulls().is_some() { data.len().div_ceil(8) } else { 0 };
    let widths = data.buffers().first().map_or(0, |_| data.len() * if is_wide(data.data_type()) { 8 } else { 4 });
    let children = data.child_data().iter().map(|child| match own {
        Some((start, length)) if start + length <= child.len() => data_bytes(&child.slice(start, length)),
        _ => data_bytes(child),
    });
    nulls + widths + children.sum::<usize>()
}

fn is_wide(data_type: &DataType) -> bool {
    matches!(data_type, DataType::LargeList(_))
}

/// Start and length of what the offsets of `data` span.
fn offsets<T: arrow::array::OffsetSizeTrait>(data: &ArrayData) -> Option<(usize, usize)> {
    let offsets: &[T] = data.buffers().first()?.typed_data();
    let (first, last) = (offsets.get(data.offset())?, offsets.get(data.offset() + data.len())?);
    Some((first.as_usize(), last.as_usize() - first.as_usize()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn slices_weigh_their_part_alone() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..1000).map(|row| format!("{row:010}"))));
        let lists = (0..1000).map(|row| Some(vec![Some(row), None]));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        for (name, column, each) in [("numbers", numbers, 8), ("texts", texts, 14), ("lists", lists, 20)] {
            let batch = RecordBatch::try_from_iter([(name, column)]).unwrap();
            let (whole, part) = (batch_bytes(&batch), batch_bytes(&batch.slice(500, 10)));
            assert!((each * 1000..each * 1000 + 500).contains(&whole), "{name} {whole}");
            assert!((each * 10..each * 10 + 20).contains(&part), "{name} {part}");
        }
    }
}
