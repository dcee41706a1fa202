//! Rows that are left out of a batch, since a value of theirs has no place in its column, and what is told of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, filter};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};

use super::value::binary::print_hex;
use super::value::print;
use crate::error::{Error, Result};
use crate::reject::{Rejects, Sifted, Stage};
use crate::schema::record_batch;

/// Which rows of a batch stay, and why the others do not.
#[derive(Debug)]
pub struct Parting {
    staying: BooleanArray,
    errors: BTreeMap<usize, Error>,
}

/// One column of a batch that is parted.
#[derive(Debug)]
pub enum Column {
    /// It holds the values of all rows.
    Whole(ArrayRef),
    /// The values that stay, and what is told of those that are left out.
    Parted(ArrayRef, ArrayRef),
}

impl Parting {
    /// Of `rows` rows those in `errors` are left out.
    pub fn new(rows: usize, errors: BTreeMap<usize, Error>) -> Self {
        let staying = BooleanBuffer::collect_bool(rows, |row| !errors.contains_key(&row));
        Self { staying: BooleanArray::new(staying, None), errors }
    }

    /// The rows that stay, ascending.
    pub fn rows(&self) -> impl Iterator<Item = usize> {
        self.staying.values().set_indices()
    }

    /// The values of `array` in the rows that stay.
    pub fn staying(&self, array: &dyn Array) -> Result<ArrayRef> {
        Ok(filter(array, &self.staying)?)
    }

    /// The column `field`, which does not hold all values, of which `staying` stay. Of each row that is left out `value` gives what
    /// the column holds, and `text` what is told where that is nothing.
    pub fn parted(
        &self,
        field: &Field,
        staying: ArrayRef,
        value: impl Fn(usize) -> Option<ArrayRef>,
        text: impl Fn(usize) -> Option<String>,
    ) -> Result<Column> {
        let left = self.errors.keys().copied();
        if field.data_type().is_nested() {
            // They have no text: what has no place is NULL.
            let nothing = || new_null_array(field.data_type(), 1);
            let values: Vec<ArrayRef> = left.map(|row| value(row).unwrap_or_else(nothing)).collect();
            let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
            return Ok(Column::Parted(staying, concat(&values)?));
        }
        let told = |row| match value(row) {
            Some(one) => printed(one.as_ref(), field, 0),
            None => text(row),
        };
        Ok(Column::Parted(staying, Arc::new(left.map(told).collect::<StringArray>())))
    }

    /// The rows that stay as a batch of `schema`, which has these `columns`, and the others beside it.
    pub fn batches(self, schema: &SchemaRef, columns: Vec<Column>) -> Result<(RecordBatch, Rejects)> {
        let left = BooleanArray::new(!self.staying.values(), None);
        let (mut staying, mut told, mut fields) = (Vec::new(), Vec::new(), Vec::<FieldRef>::new());
        for (column, field) in columns.into_iter().zip(schema.fields()) {
            match column {
                Column::Whole(array) => {
                    staying.push(self.staying(&array)?);
                    told.push(filter(&array, &left)?);
                    fields.push(Arc::clone(field));
                }
                Column::Parted(array, others) => {
                    staying.push(array);
                    fields.push(Arc::new(Field::new(field.name(), others.data_type().clone(), true)));
                    told.push(others);
                }
            }
        }
        let staying = record_batch(schema, staying, self.staying.len() - self.errors.len())?;
        let errors: Vec<Error> = self.errors.into_values().collect();
        let told = record_batch(&Arc::new(Schema::new(fields)), told, errors.len())?;
        Ok((staying, Rejects::new(Stage::Read, told, errors)))
    }
}

/// Takes the row of a value that has no place in its column, what is told of the value, and why.
pub type Refuse<'a> = dyn FnMut(usize, Option<String>, Error) + 'a;

/// Values that have no place in their columns, noted while rows are read.
#[derive(Debug, Default)]
pub struct Odd {
    errors: BTreeMap<usize, Error>,
    /// What is told of them, by column and row.
    texts: BTreeMap<(usize, usize), Option<String>>,
}

impl Odd {
    /// Notes a value in `row` of the column at `position`, of which `text` is told. Of a row the first `error` counts.
    pub fn note(&mut self, (position, row): (usize, usize), text: Option<String>, error: Error) {
        self.errors.entry(row).or_insert(error);
        self.texts.insert((position, row), text);
    }

    /// What notes values of the column `name` at `position`, in rows before which `before` others were.
    pub fn refuse(&mut self, (position, name): (usize, &str), before: u64) -> impl FnMut(usize, Option<String>, Error) {
        move |row, text, error| {
            self.note((position, row), text, error.at("column", name).at("row", before + row as u64 + 1));
        }
    }

    /// The columns `arrays` of `rows` rows, with anything in place of what was noted, without the rows of that. Then nothing is
    /// noted any more.
    pub fn part(&mut self, schema: &SchemaRef, rows: usize, arrays: Vec<ArrayRef>) -> Result<Sifted> {
        let Self { errors, texts } = std::mem::take(self);
        if errors.is_empty() {
            return Ok((record_batch(schema, arrays, rows)?, None));
        }
        let parting = Parting::new(rows, errors);
        let mut columns = Vec::with_capacity(arrays.len());
        for (position, (array, field)) in arrays.into_iter().zip(schema.fields()).enumerate() {
            if texts.range((position, 0)..(position + 1, 0)).next().is_none() {
                columns.push(Column::Whole(array));
                continue;
            }
            let noted = |row: usize| texts.get(&(position, row));
            let value = |row: usize| noted(row).is_none().then(|| array.slice(row, 1));
            let staying = parting.staying(&array)?;
            columns.push(parting.parted(field, staying, value, |row| noted(row).cloned().flatten())?);
        }
        let (staying, rejects) = parting.batches(schema, columns)?;
        Ok((staying, Some(rejects)))
    }
}

/// The text of the value in `row` of `array`; none for NULL, and where values of `field` have no text.
pub fn printed(array: &dyn Array, field: &Field, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    let mut text = Vec::new();
    (print::column(array, field)?.print)(row, &mut text);
    String::from_utf8(text).ok()
}

/// What is told of bytes that should be a text.
pub fn told(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| hex(bytes), str::to_owned)
}

/// What is told of bytes that are no text: `\x00ff`.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    print_hex(bytes, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray as _, Int32Array, ListArray};
    use arrow::datatypes::{DataType, Int32Type};

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn rows_that_are_left_out_are_told_as_far_as_they_are_known() {
        let lists = [Some(vec![Some(1)]), None, Some(vec![Some(2), None])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![10, 20, 30]));
        let field = |name: &str, array: &ArrayRef| Field::new(name, array.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field("n", &numbers), field("odd", &numbers), field("l", &lists)]));
        let errors = [0, 2].map(|row| (row, Error::new(ErrorKind::Value, format!("wrong {row}"))));
        let parting = Parting::new(3, BTreeMap::from(errors));
        assert_eq!(parting.rows().collect::<Vec<_>>(), [1]);
        // The value of row 0 is the odd one, and the list of row 2.
        let value = |array: &ArrayRef, row: usize, odd: usize| (row != odd).then(|| array.slice(row, 1));
        let odd = parting.staying(&numbers).unwrap();
        let odd = parting.parted(schema.field(1), odd, |row| value(&numbers, row, 0), |_| Some("ten".to_owned()));
        let list = parting.staying(&lists).unwrap();
        let list = parting.parted(schema.field(2), list, |row| value(&lists, row, 2), |_| None);
        let columns = vec![Column::Whole(Arc::clone(&numbers)), odd.unwrap(), list.unwrap()];
        let (staying, rejects) = parting.batches(&schema, columns).unwrap();
        assert_eq!((staying.num_rows(), staying.schema()), (1, schema));
        assert_eq!(staying.column(1).as_primitive::<Int32Type>().value(0), 20);
        assert_eq!(rejects.rows.column(0).as_primitive::<Int32Type>().values()[..], [10, 30]);
        assert_eq!(rejects.rows.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("ten"), Some("30")]);
        let told = rejects.rows.column(2).as_list::<i32>();
        assert_eq!((told.value(0).len(), told.is_null(1)), (1, true));
        let told: Vec<&str> = rejects.errors.iter().map(Error::message).collect();
        assert_eq!((told, rejects.stage), (vec!["wrong 0", "wrong 2"], Stage::Read));
        assert_eq!(*staying.column(1).data_type(), DataType::Int32);
        assert_eq!(hex(b"\x00\xff"), r"\x00ff");
    }

    #[test]
    fn what_was_noted_is_left_out_once() {
        let numbers = || -> ArrayRef { Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])) };
        let field = |name| Field::new(name, DataType::Int32, false);
        let schema = Arc::new(Schema::new(vec![field("a"), field("b")]));
        let error = |why: &str| Error::new(ErrorKind::Value, why);
        let mut odd = Odd::default();
        odd.note((0, 1), Some("x".to_owned()), error("first"));
        odd.note((1, 1), None, error("second"));
        let (staying, rejects) = odd.part(&schema, 3, vec![numbers(), numbers()]).unwrap();
        assert_eq!(staying.column(1).as_primitive::<Int32Type>().values()[..], [1, 3]);
        let rejects = rejects.unwrap();
        assert_eq!((rejects.errors.len(), rejects.errors[0].message()), (1, "first"));
        assert_eq!(rejects.rows.column(0).as_string::<i32>().value(0), "x");
        assert!(rejects.rows.column(1).is_null(0));
        let whole: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        assert!(odd.part(&schema, 1, vec![Arc::clone(&whole), whole]).unwrap().1.is_none());
    }
}
