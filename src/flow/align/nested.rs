//! Kernels of lists by element, structs by field name, maps by key and value.
//!
//! A misfit within a value is a misfit of its row. Elements that no row shows (under NULL, or cut off) do not count.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray,
    UInt32Array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;

use super::Reason;
use super::kernel::{Cast, Kernel, kernel as inner, misfits, reshaped};
use crate::error::Result;

/// The kernel between two different nested types.
pub(super) fn kernel(from: &DataType, to: &DataType) -> Option<Kernel> {
    use DataType as T;
    match (from, to) {
        (T::List(source), T::List(target)) => list::<i32>(source, target),
        (T::LargeList(source), T::LargeList(target)) => list::<i64>(source, target),
        // Another layout of the same elements first, or last.
        (
            T::List(source) | T::ListView(source) | T::LargeListView(source) | T::FixedSizeList(source, _),
            T::LargeList(_),
        ) => via(from, &T::LargeList(Arc::clone(source)), to),
        (
            T::LargeList(source) | T::ListView(source) | T::LargeListView(source) | T::FixedSizeList(source, _),
            T::List(_),
        ) => via(from, &T::List(Arc::clone(source)), to),
        (T::FixedSizeList(_, have), T::FixedSizeList(target, want)) if have == want => {
            via_last(from, &T::List(Arc::clone(target)), to)
        }
        (T::List(_), T::FixedSizeList(target, length)) => {
            let between = T::List(Arc::clone(target));
            let same = if *from == between { Kernel::Same } else { kernel(from, &between)? };
            Some(same.then_of_fitting(fixed(target, *length)))
        }
        (T::LargeList(source) | T::ListView(source) | T::LargeListView(source), T::FixedSizeList(..)) => {
            via(from, &T::List(Arc::clone(source)), to)
        }
        (_, T::ListView(target)) if is_list(from) => via_last(from, &T::List(Arc::clone(target)), to),
        (_, T::LargeListView(target)) if is_list(from) => via_last(from, &T::LargeList(Arc::clone(target)), to),
        (T::Struct(source), T::Struct(target)) => structure(source, target),
        (T::Map(source, _), T::Map(target, sorted)) => map(source, target, *sorted),
        _ => None,
    }
}

fn is_list(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(data_type, T::List(_) | T::LargeList(_) | T::ListView(_) | T::LargeListView(_) | T::FixedSizeList(..))
}

fn via(from: &DataType, between: &DataType, to: &DataType) -> Option<Kernel> {
    let first = if from == between { return None } else { reshaped(between) };
    if between == to { Some(first) } else { Some(first.then(kernel(between, to)?)) }
}

fn via_last(from: &DataType, between: &DataType, to: &DataType) -> Option<Kernel> {
    let first = if from == between { Kernel::Same } else { kernel(from, between)? };
    Some(first.then(reshaped(to)))
}

fn list<O: OffsetSizeTrait>(source: &Field, target: &FieldRef) -> Option<Kernel> {
    let inner = inner(source, target)?;
    let target = Arc::clone(target);
    Some(Kernel::map(move |array| {
        let list = &own_elements(array.as_list::<O>());
        let cast = inner.run(list.values())?;
        let rows = |bad: &BooleanBuffer| {
            let offsets = list.offsets();
            rows_of(bad, list.len(), |row| (offsets[row].as_usize(), offsets[row + 1].as_usize()))
        };
        let misfits = cast.misfits.and_then(|(bad, _)| misfits(rows(&bad), list.nulls(), Reason::Nested));
        let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
        let made = GenericListArray::<O>::try_new(Arc::clone(&target), offsets, cast.array, nulls);
        let data_type = GenericListArray::<O>::DATA_TYPE_CONSTRUCTOR(Arc::clone(&target));
        judged(made.map(|array| Arc::new(array) as ArrayRef), misfits, (array, &data_type))
    }))
}

/// The kernel from lists of elements `item` to those of `length` of them.
fn fixed(item: &FieldRef, length: i32) -> Kernel {
    let item = Arc::clone(item);
    let width = length as usize;
    Kernel::map(move |array| {
        let list = array.as_list::<i32>();
        let offsets = list.offsets();
        let fits = |row: usize| list.is_valid(row) && offsets[row + 1] - offsets[row] == length;
        let misfits = misfits(BooleanBuffer::collect_bool(list.len(), |row| !fits(row)), list.nulls(), Reason::Nested);
        let place = |at: usize| fits(at / width).then(|| offsets[at / width] as u32 + (at % width) as u32);
        let places: UInt32Array = (0..list.len() * width).map(place).collect();
        let elements = take(list.values(), &places, None)?;
        let made = match length {
            // Without elements the length of the array would be lost.
            0 => FixedSizeListArray::try_new_with_length(
                Arc::clone(&item),
                0,
                elements,
                list.nulls().cloned(),
                list.len(),
            ),
            _ => FixedSizeListArray::try_new(Arc::clone(&item), length, elements, list.nulls().cloned()),
        };
        let to = DataType::FixedSizeList(Arc::clone(&item), length);
        judged(made.map(|array| Arc::new(array) as ArrayRef), misfits, (array, &to))
    })
}

/// `list` without the elements that others have which it is a slice of: what is wrong with those is not its matter.
fn own_elements<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> GenericListArray<O> {
    let offsets = list.offsets();
    let (start, end) = (offsets[0].as_usize(), offsets[list.len()].as_usize());
    let (DataType::List(field) | DataType::LargeList(field)) = list.data_type() else { return list.clone() };
    if end - start == list.values().len() {
        return list.clone();
    }
    let values = list.values().slice(start, end - start);
    let offsets = OffsetBuffer::from_lengths(offsets.lengths());
    GenericListArray::new(Arc::clone(field), offsets, values, list.nulls().cloned())
}

/// What was made of `array`. Values that do not fit may be in the way of making anything: then it is an array of the right
/// type, in which nothing is to be used.
pub(super) fn judged(
    made: Result<ArrayRef, ArrowError>,
    misfits: Option<(BooleanBuffer, Reason)>,
    (array, to): (&ArrayRef, &DataType),
) -> Result<Cast> {
    match made {
        Ok(array) => Ok(Cast { array, misfits }),
        Err(_) if misfits.is_some() => Ok(Cast { array: new_null_array(to, array.len()), misfits }),
        Err(error) => Err(error.into()),
    }
}

/// Rows whose range of elements has one that is bad.
pub(super) fn rows_of(bad: &BooleanBuffer, rows: usize, range: impl Fn(usize) -> (usize, usize)) -> BooleanBuffer {
    BooleanBuffer::collect_bool(rows, |row| {
        let (start, end) = range(row);
        bad.slice(start, end - start).count_set_bits() > 0
    })
}

fn structure(source: &Fields, target: &Fields) -> Option<Kernel> {
    if source.len() != target.len() {
        return None;
    }
    let find = |field: &FieldRef| {
        let (position, from) = source.find(field.name())?;
        Some((position, inner(from, field)?))
    };
    let kernels: Vec<(usize, Kernel)> = target.iter().map(find).collect::<Option<_>>()?;
    let target = target.clone();
    Some(Kernel::map(move |array| {
        let source = array.as_struct();
        let mut found: Option<(BooleanBuffer, Reason)> = None;
        let mut columns = Vec::with_capacity(kernels.len());
        for (position, kernel) in &kernels {
            let cast = kernel.run(source.column(*position))?;
            let seen = cast.misfits.and_then(|(rows, _)| misfits(rows, source.nulls(), Reason::Nested));
            found = match (found, seen) {
                (Some((rows, reason)), Some((more, _))) => Some((&rows | &more, reason)),
                (one, None) | (None, one) => one,
            };
            columns.push(cast.array);
        }
        let made = StructArray::try_new_with_length(target.clone(), columns, source.nulls().cloned(), source.len());
        let data_type = DataType::Struct(target.clone());
        judged(made.map(|array| Arc::new(array) as ArrayRef), found, (array, &data_type))
    }))
}

fn map(source: &Field, target: &FieldRef, sorted: bool) -> Option<Kernel> {
    let (DataType::Struct(from), DataType::Struct(to)) = (source.data_type(), target.data_type()) else { return None };
    if from.len() != 2 || to.len() != 2 {
        return None;
    }
    // Keys and values count by their place: products name them differently.
    let (keys, values) = (inner(&from[0], &to[0])?, inner(&from[1], &to[1])?);
    let (target, fields) = (Arc::clone(target), to.clone());
    Some(Kernel::map(move |array| {
        let source = array.as_map();
        let keys = keys.run(source.keys())?;
        let values = values.run(source.values())?.and(keys.misfits);
        let offsets = source.offsets();
        let found = values.misfits.and_then(|(bad, _)| {
            let rows = rows_of(&bad, source.len(), |row| (offsets[row] as usize, offsets[row + 1] as usize));
            misfits(rows, source.nulls(), Reason::Nested)
        });
        let entries = StructArray::try_new(fields.clone(), vec![keys.array, values.array], entry_nulls(source));
        let made = entries.and_then(|entries| {
            MapArray::try_new(Arc::clone(&target), offsets.clone(), entries, source.nulls().cloned(), sorted)
        });
        let data_type = DataType::Map(Arc::clone(&target), sorted);
        judged(made.map(|array| Arc::new(array) as ArrayRef), found, (array, &data_type))
    }))
}

fn entry_nulls(map: &MapArray) -> Option<NullBuffer> {
    map.entries().nulls().cloned()
}
