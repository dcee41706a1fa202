//! Rows with a value that has no place in our column: they are left out of what a database gives, and told beside it.

use std::collections::BTreeMap;

use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::{Fit, Misfit};
use crate::error::{Error, Result};
use crate::formats::parting::{Column, Parting};
use crate::reject::Sifted;
use crate::schema::record_batch;

/// How the columns of a database become ours.
pub trait Decoder {
    /// The column at `position` of what was `given` for it, or of a part of that.
    fn array(&self, position: usize, given: &ArrayRef) -> Fit;

    /// What is told of the value in `row` of what was `given` for the column at `position`, which has no place there; none where
    /// it has no text.
    fn text(&self, position: usize, given: &ArrayRef, row: usize) -> Option<String>;

    /// What is said of `misfit` in the column at `position`.
    fn error(&self, position: usize, misfit: Misfit) -> Error;
}

/// `given` with the columns of `schema`, without rows that have a value which their column does not hold: these come beside it.
///
/// # Errors
/// Those that are no matter of a value.
pub fn sift(schema: &SchemaRef, given: &RecordBatch, decoder: &impl Decoder) -> Result<Sifted> {
    let rows = given.num_rows();
    let mut errors = BTreeMap::new();
    let mut arrays = Vec::with_capacity(schema.fields().len());
    for (position, column) in given.columns().iter().enumerate().take(schema.fields().len()) {
        let array = decoder.array(position, column);
        if array.is_err() {
            judge(decoder, (position, column), 0, &mut errors)?;
        }
        arrays.push(array);
    }
    if errors.is_empty() {
        let named = |(position, array): (usize, Fit)| array.map_err(|misfit| decoder.error(position, misfit));
        let columns = arrays.into_iter().enumerate().map(named).collect::<Result<_>>()?;
        return Ok((record_batch(schema, columns, rows)?, None));
    }
    let parting = Parting::new(rows, errors);
    let mut columns = Vec::with_capacity(arrays.len());
    for (position, (array, field)) in arrays.into_iter().zip(schema.fields()).enumerate() {
        if let Ok(array) = array {
            columns.push(Column::Whole(array));
            continue;
        }
        let column = given.column(position);
        let staying = decoder.array(position, &parting.staying(column)?);
        let staying = staying.map_err(|misfit| decoder.error(position, misfit))?;
        let value = |row: usize| decoder.array(position, &column.slice(row, 1)).ok();
        columns.push(parting.parted(field, staying, value, |row| decoder.text(position, column, row))?);
    }
    let (staying, rejects) = parting.batches(schema, columns)?;
    Ok((staying, Some(rejects)))
}

/// Notes all rows of a part of a column that do not fit, by halves, each with its first column; `from` is the place of its first
/// row. A column may name any of them: the first one of a struct is that of its first member.
fn judge(
    decoder: &impl Decoder,
    (position, given): (usize, &ArrayRef),
    from: usize,
    errors: &mut BTreeMap<usize, Error>,
) -> Result<()> {
    let Err(misfit) = decoder.array(position, given) else { return Ok(()) };
    if misfit.row.is_none() {
        return Err(decoder.error(position, misfit));
    }
    let count = given.len();
    if count <= 1 {
        errors.entry(from).or_insert_with(|| decoder.error(position, misfit.of_elements(|_| from)));
        return Ok(());
    }
    let half = count / 2;
    judge(decoder, (position, &given.slice(0, half)), from, errors)?;
    judge(decoder, (position, &given.slice(half, count - half)), from + half, errors)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray as _, Int64Array, StructArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::super::{kept, nested};
    use super::*;
    use crate::error::ErrorKind;

    /// Numbers below ten, and structs of them.
    struct Small(SchemaRef);

    fn odd(_: &ArrayRef) -> Misfit {
        Misfit::of_column("odd")
    }

    fn small(array: &ArrayRef) -> Fit {
        kept::<Int64Type>(array, |value| value < 10, "it is large", odd)
    }

    impl Decoder for Small {
        fn array(&self, position: usize, given: &ArrayRef) -> Fit {
            match self.0.field(position).data_type() {
                DataType::Int64 => small(given),
                wanted => nested(given, wanted, |_, member| small(member), odd),
            }
        }

        fn text(&self, _: usize, given: &ArrayRef, row: usize) -> Option<String> {
            given.as_primitive_opt::<Int64Type>().map(|numbers| format!("so many as {}", numbers.value(row)))
        }

        fn error(&self, position: usize, misfit: Misfit) -> Error {
            misfit.unread(self.0.field(position).name(), 100)
        }
    }

    fn numbers(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn all_rows_that_do_not_fit_are_found_whatever_member_they_are_in() {
        let members = ["a", "b"].map(|name| Arc::new(Field::new(name, DataType::Int64, true)));
        let pairs = StructArray::from(vec![
            (Arc::clone(&members[0]), numbers(&[1, 2, 3, 4, 50])),
            (Arc::clone(&members[1]), numbers(&[1, 20, 3, 4, 5])),
        ]);
        let columns = [("n", numbers(&[30, 2, 3, 4, 5])), ("pair", Arc::new(pairs) as ArrayRef)];
        let given = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
        let decoder = Small(given.schema());
        let (staying, rejects) = sift(&given.schema(), &given, &decoder).unwrap();
        assert_eq!(staying.column(0), &numbers(&[3, 4]));
        let rejects = rejects.unwrap();
        let told: Vec<String> = rejects.errors.iter().map(ToString::to_string).collect();
        let expected = [("n", 101), ("pair", 102), ("pair", 105)];
        assert_eq!(told, expected.map(|(column, row)| format!("row {row}: column {column}: it is large")));
        let texts = rejects.rows.column(0).as_string::<i32>();
        assert_eq!(texts.iter().collect::<Vec<_>>(), [Some("so many as 30"), Some("2"), Some("5")]);
        let pairs = rejects.rows.column(1);
        assert_eq!((pairs.is_valid(0), pairs.is_null(1), pairs.is_null(2)), (true, true, true));
    }

    #[test]
    fn a_column_that_is_none_of_its_type_is_an_error() {
        let given = RecordBatch::try_from_iter([("n", Arc::new(arrow::array::NullArray::new(2)) as ArrayRef)]).unwrap();
        let wanted = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let error = sift(&wanted, &given, &Small(Arc::clone(&wanted))).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Schema, "column n: odd"));
    }
}
