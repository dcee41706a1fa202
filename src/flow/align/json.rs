//! Kernels from JSON texts to lists, structs and maps: what [`text`](super::text) has written of them, and what files say.
//!
//! A text is taken apart into the texts of its elements or members, of all rows together; these go through the kernel of their
//! own type. So a number is parsed as exactly as one that stands alone. NULL is a member that is absent; one that is there twice
//! or is not known is a misfit, as is a number where a text is wanted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StringBuilder, StructArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use serde_json::value::RawValue;

use super::Reason;
use super::kernel::{Cast, Kernel, kernel as any_kernel, misfits, reshaped};
use super::nested::{judged, kernel as nested_kernel, rows_of};
use crate::error::Result;
use crate::fate::{is_text, plain};
use crate::formats::json::Members;
use crate::schema::is_json;

/// The kernel from any type of text to `to`, which is nested.
pub(super) fn kernel(to: &DataType) -> Option<Kernel> {
    use DataType as T;
    let parsed = match to {
        T::List(item) => list(item)?,
        T::LargeList(item) | T::FixedSizeList(item, _) => {
            let between = T::List(Arc::clone(item));
            list(item)?.then_of_fitting(nested_kernel(&between, to)?)
        }
        T::Struct(fields) => structure(fields)?,
        T::Map(entries, sorted) => map(entries, *sorted)?,
        _ => return None,
    };
    Some(reshaped(&T::Utf8).then(parsed))
}

/// The kernel of the texts of one member.
fn member(to: &Field) -> Option<Kernel> {
    any_kernel(&Field::new("", DataType::Utf8, true), to)
}

/// The texts of a member over all rows, and which of them are none of its type.
#[derive(Default)]
struct Texts {
    texts: StringBuilder,
    bad: Vec<bool>,
}

impl Texts {
    /// Adds the value of a member of type `to`.
    fn add(&mut self, raw: &str, to: &Field) {
        let quoted = raw.starts_with('"');
        let is_plain_text = is_text(plain(to.data_type())) && !is_json(to);
        let text = match raw {
            "null" => return self.add_null(),
            _ if quoted && !is_json(to) => serde_json::from_str::<String>(raw).ok(),
            _ if is_plain_text => None,
            raw => Some(raw.to_owned()),
        };
        self.bad.push(text.is_none());
        self.texts.append_option(text);
    }

    fn add_null(&mut self) {
        self.bad.push(false);
        self.texts.append_null();
    }

    /// Their values.
    fn cast(mut self, kernel: &Kernel) -> Result<Cast> {
        let texts: ArrayRef = Arc::new(self.texts.finish());
        let bad = BooleanBuffer::from(self.bad);
        Ok(kernel.run(&texts)?.and(misfits(bad, None, Reason::Nested)))
    }
}

/// Rows of one column while they are taken apart.
struct Rows {
    nulls: Option<NullBuffer>,
    lengths: Vec<usize>,
    bad: Vec<bool>,
}

impl Rows {
    /// Takes each text of `array` apart by `take`, which says how many elements it has; none where it is no such JSON.
    fn of(array: &ArrayRef, mut take: impl FnMut(Option<&str>) -> Option<usize>) -> Self {
        let texts = array.as_string::<i32>();
        let (mut lengths, mut bad) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
        for text in texts {
            let length = take(text);
            bad.push(length.is_none());
            lengths.push(length.unwrap_or(0));
        }
        Self { nulls: texts.nulls().cloned(), lengths, bad }
    }

    fn offsets(&self) -> OffsetBuffer<i32> {
        OffsetBuffer::from_lengths(self.lengths.iter().copied())
    }

    /// The rows that are no such JSON, and those with an element in `found`.
    fn misfits(
        &self,
        found: Option<(BooleanBuffer, Reason)>,
        range: impl Fn(usize) -> (usize, usize),
    ) -> Option<(BooleanBuffer, Reason)> {
        let bad = misfits(BooleanBuffer::from(self.bad.as_slice()), None, Reason::Text);
        let within =
            found.and_then(|(elements, _)| misfits(rows_of(&elements, self.bad.len(), range), None, Reason::Nested));
        match (bad, within) {
            (Some((rows, reason)), Some((more, _))) => Some((&rows | &more, reason)),
            (one, None) | (None, one) => one,
        }
    }
}

fn list(item: &FieldRef) -> Option<Kernel> {
    let inner = member(item)?;
    let item = Arc::clone(item);
    Some(Kernel::map(move |array| {
        let mut texts = Texts::default();
        let rows = Rows::of(array, |text| {
            let Some(text) = text else { return Some(0) };
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            for element in &elements {
                texts.add(element.get(), &item);
            }
            Some(elements.len())
        });
        let (cast, offsets) = (texts.cast(&inner)?, rows.offsets());
        let misfits = rows.misfits(cast.misfits, |row| (offsets[row] as usize, offsets[row + 1] as usize));
        let made = ListArray::try_new(Arc::clone(&item), offsets, cast.array, rows.nulls);
        let to = DataType::List(Arc::clone(&item));
        judged(made.map(|array| Arc::new(array) as ArrayRef), misfits, (array, &to))
    }))
}

fn structure(fields: &Fields) -> Option<Kernel> {
    let kernels: Vec<Kernel> = fields.iter().map(|field| member(field)).collect::<Option<_>>()?;
    let fields = fields.clone();
    Some(Kernel::map(move |array| {
        let mut texts: Vec<Texts> = fields.iter().map(|_| Texts::default()).collect();
        let rows = Rows::of(array, |text| {
            let members = text.map_or(Some(Members::default()), |text| serde_json::from_str(text).ok());
            let known = members.as_ref().is_some_and(|members| members.are_of(&fields));
            for (field, texts) in fields.iter().zip(&mut texts) {
                match members.as_ref().filter(|_| known).and_then(|members| members.get(field.name())) {
                    Some(raw) => texts.add(raw, field),
                    None => texts.add_null(),
                }
            }
            known.then_some(1)
        });
        let mut found: Option<(BooleanBuffer, Reason)> = None;
        let mut columns = Vec::with_capacity(kernels.len());
        for (texts, kernel) in texts.into_iter().zip(&kernels) {
            let cast = texts.cast(kernel)?;
            // What a row that is NULL or no JSON lacks is not missing.
            let seen = cast.misfits.and_then(|(bad, reason)| misfits(bad, rows.nulls.as_ref(), reason));
            found = match (found, seen) {
                (Some((all, reason)), Some((more, _))) => Some((&all | &more, reason)),
                (one, None) | (None, one) => one,
            };
            columns.push(cast.array);
        }
        let misfits = rows.misfits(found, |row| (row, row + 1));
        let made = StructArray::try_new_with_length(fields.clone(), columns, rows.nulls, array.len());
        judged(made.map(|array| Arc::new(array) as ArrayRef), misfits, (array, &DataType::Struct(fields.clone())))
    }))
}

fn map(entries: &FieldRef, sorted: bool) -> Option<Kernel> {
    let DataType::Struct(both) = entries.data_type() else { return None };
    let [key, value] = both.as_ref() else { return None };
    let (keys, values) = (member(key)?, member(value)?);
    let (entries, both) = (Arc::clone(entries), both.clone());
    Some(Kernel::map(move |array| {
        let (mut key_texts, mut value_texts) = (Texts::default(), Texts::default());
        let rows = Rows::of(array, |text| {
            let Some(text) = text else { return Some(0) };
            let members: Members<'_> = serde_json::from_str(text).ok().filter(Members::are_distinct)?;
            for (key, value) in &members.0 {
                key_texts.bad.push(false);
                key_texts.texts.append_value(key);
                value_texts.add(value.get(), &both[1]);
            }
            Some(members.0.len())
        });
        let offsets = rows.offsets();
        let keys = key_texts.cast(&keys)?;
        let values = value_texts.cast(&values)?.and(keys.misfits);
        let misfits = rows.misfits(values.misfits, |row| (offsets[row] as usize, offsets[row + 1] as usize));
        let made = StructArray::try_new(both.clone(), vec![keys.array, values.array], None)
            .and_then(|made| MapArray::try_new(Arc::clone(&entries), offsets, made, rows.nulls, sorted));
        let to = DataType::Map(Arc::clone(&entries), sorted);
        judged(made.map(|array| Arc::new(array) as ArrayRef), misfits, (array, &to))
    }))
}

impl Members<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }

    fn are_distinct(&self) -> bool {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    }

    fn are_of(&self, fields: &Fields) -> bool {
        self.are_distinct() && self.0.iter().all(|(name, _)| fields.find(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use arrow::datatypes::TimeUnit;
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn item(data_type: DataType) -> FieldRef {
        Arc::new(Field::new("item", data_type, true))
    }

    /// What becomes of each of `texts`, by Arrow's own printer; `!` for a misfit.
    fn parsed(to: &DataType, texts: &[Option<&str>]) -> Vec<String> {
        let array: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let kernel = kernel(to).unwrap();
        let bad = kernel.run(&array).unwrap().misfits.map(|(bad, _)| bad);
        let row = |row: usize| match &bad {
            Some(bad) if bad.value(row) => "!".to_owned(),
            _ => {
                let cast = kernel.run(&array.slice(row, 1)).unwrap();
                assert!(cast.misfits.is_none());
                assert_eq!(cast.array.data_type(), to);
                if cast.array.is_null(0) { "NULL".to_owned() } else { array_value_to_string(&cast.array, 0).unwrap() }
            }
        };
        (0..texts.len()).map(row).collect()
    }

    #[test]
    fn lists() {
        let numbers = DataType::List(item(DataType::Decimal128(30, 2)));
        let texts = ["[]", "[1, null,12345678901234567890123.10]", "[1.234]", "[1", "{}", "1", "[\"1.5\"]", "[[1]]"];
        let texts: Vec<Option<&str>> = texts.into_iter().map(Some).chain([None]).collect();
        let expected = ["[]", "[1.00, , 12345678901234567890123.10]", "!", "!", "!", "!", "[1.50]", "!", "NULL"];
        assert_eq!(parsed(&numbers, &texts), expected);
        let words = DataType::LargeList(item(DataType::Utf8));
        assert_eq!(parsed(&words, &[Some(r#"["a","","\"ä\n"]"#), Some("[1]")]), ["[a, , \"ä\n]", "!"]);
        let deep = DataType::List(item(DataType::List(item(DataType::Int32))));
        assert_eq!(parsed(&deep, &[Some("[[1],[],null]"), Some("[1]")]), ["[[1], [], ]", "!"]);
        let three = DataType::FixedSizeList(item(DataType::Float64), 3);
        assert_eq!(parsed(&three, &[Some("[1.5,null,-2.5]"), Some("[1]"), None]), ["[1.5, , -2.5]", "!", "NULL"]);
    }

    #[test]
    fn objects() {
        let at = DataType::Timestamp(TimeUnit::Microsecond, None);
        let fields = vec![Field::new("a", DataType::Int8, true), Field::new("b c", at, true)];
        let object = DataType::Struct(fields.into());
        let texts = [
            r#"{"b c":"2024-02-29 12:00:00.5","a":1}"#,
            "{}",
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"x":2}"#,
            r#"{"a":300}"#,
            "[]",
            "null",
        ];
        let shown = parsed(&object, &texts.map(Some));
        assert_eq!(shown, ["{a: 1, b c: 2024-02-29T12:00:00.500}", "{a: , b c: }", "!", "!", "!", "!", "!"]);
        let strict = DataType::Struct(vec![Field::new("a", DataType::Int8, false)].into());
        assert_eq!(parsed(&strict, &[Some("{}"), None, Some(r#"{"a":1}"#)]), ["!", "NULL", "{a: 1}"]);
    }

    #[test]
    fn maps() {
        let entry = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
        let entries = vec![entry("keys", DataType::Int32, false), entry("values", DataType::Utf8, true)];
        let entries = Field::new("entries", DataType::Struct(entries.into()), false);
        let map = DataType::Map(Arc::new(entries), false);
        let texts = [r#"{"1":"x","2":null}"#, "{}", r#"{"one":"x"}"#, r#"{"1":"x","1":"y"}"#, r#"{"1":2}"#];
        assert_eq!(parsed(&map, &texts.map(Some)), ["{1: x, 2: }", "{}", "!", "!", "!"]);
    }
}
