//! Choosing the kernel of a column by its two types, and what a kernel gives back.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, make_array, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field};

use super::{Reason, bytes, clock, float, json, nearest, nested, number, temporal, text};
use crate::error::Result;
use crate::fate::{is_barred, is_bytes, is_text, loss, plain};
use crate::schema::{DIGITS, FORM};

/// A column after its cast. It has the right type and length; rows that do not fit, and where a nested type has such rows all
/// of them, are not to be used.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) array: ArrayRef,
    /// Rows that do not fit, at least one, and the reason of the first.
    pub(crate) misfits: Option<(BooleanBuffer, Reason)>,
}

impl Cast {
    pub(super) fn exact(array: ArrayRef) -> Self {
        Self { array, misfits: None }
    }

    /// Adds the misfits of another step.
    pub(super) fn and(self, other: Option<(BooleanBuffer, Reason)>) -> Self {
        let misfits = match (self.misfits, other) {
            (Some((rows, reason)), Some((more, other))) => {
                let reason = if first(&more) < first(&rows) { other } else { reason };
                Some((&rows | &more, reason))
            }
            (one, None) | (None, one) => one,
        };
        Self { array: self.array, misfits }
    }
}

fn first(rows: &BooleanBuffer) -> usize {
    rows.set_indices().next().unwrap_or(usize::MAX)
}

type Function = dyn Fn(&ArrayRef) -> Result<Cast> + Send + Sync;

/// The cast of whole arrays of one type.
pub(crate) enum Kernel {
    /// The array is what is wanted already.
    Same,
    /// A new array.
    Map(Box<Function>),
}

impl Kernel {
    pub(super) fn map(function: impl Fn(&ArrayRef) -> Result<Cast> + Send + Sync + 'static) -> Self {
        Self::Map(Box::new(function))
    }

    pub(crate) fn run(&self, array: &ArrayRef) -> Result<Cast> {
        match self {
            Self::Same => Ok(Cast::exact(Arc::clone(array))),
            Self::Map(function) => function(array),
        }
    }

    pub(super) fn is_same(&self) -> bool {
        matches!(self, Self::Same)
    }

    /// First this one, then `next`, which judges no array of which nothing is to be used.
    pub(super) fn then_of_fitting(self, next: Self) -> Self {
        match (self, next) {
            (Self::Same, one) | (one, Self::Same) => one,
            (one, next) => Self::map(move |array| match one.run(array)? {
                fitting @ Cast { misfits: None, .. } => next.run(&fitting.array),
                refused => Ok(refused),
            }),
        }
    }

    /// First this one, then `next`.
    pub(super) fn then(self, next: Self) -> Self {
        match (self, next) {
            (Self::Same, one) | (one, Self::Same) => one,
            (one, next) => Self::map(move |array| {
                let before = one.run(array)?;
                let after = next.run(&before.array)?;
                // Of a row that both refuse the first reason counts: what could not be cast is NULL for the next one.
                Ok(Cast { array: after.array, misfits: before.misfits }.and(after.misfits))
            }),
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_same() { "Same" } else { "Map" })
    }
}

/// The kernel from `from` to `to`, with the checks that `to` as a column wants: no NULL, so many characters.
/// None where [`possible`](crate::fate::possible) says so.
pub(crate) fn kernel(from: &Field, to: &Field) -> Option<Kernel> {
    if from.metadata().contains_key(FORM) || to.metadata().contains_key(FORM) {
        return crate::fate::possible(from, to).then_some(Kernel::Same).map(|same| same.then(not_null(to)));
    }
    if from.data_type() == to.data_type() && !is_text(plain(to.data_type())) {
        return Some(not_null(to));
    }
    let values = values(from, to)?.then(text::limit(from, to));
    if values.is_same() && from.data_type() == to.data_type() {
        return Some(not_null(to));
    }
    let cast = decoded(from.data_type()).then(values).then(encoded(to.data_type()));
    let nested = plain(to.data_type()).is_nested();
    Some(if nested { cast.then_of_fitting(not_null(to)) } else { cast.then(not_null(to)) })
}

/// [`kernel`], but values lose what [`loss`] says instead of being refused.
pub(super) fn lossy_kernel(from: &Field, to: &Field) -> Option<Kernel> {
    if loss(from, to).is_none() {
        return kernel(from, to);
    }
    let values = nearest::kernel(from, to)?;
    Some(decoded(from.data_type()).then(values).then(encoded(to.data_type())).then(not_null(to)))
}

/// The kernel of the values alone, from a type that is no dictionary to one that is none.
fn values(from: &Field, to: &Field) -> Option<Kernel> {
    let (source, target) = (plain(from.data_type()), plain(to.data_type()));
    if source == target {
        return Some(Kernel::Same);
    }
    if source.is_null() {
        let target = target.clone();
        return Some(Kernel::map(move |array| Ok(Cast::exact(new_null_array(&target, array.len())))));
    }
    if target.is_null() {
        return None;
    }
    if is_text(source) && is_text(target) || is_bytes(source) && is_bytes(target) {
        return Some(reshaped(target));
    }
    if is_text(target) {
        return text::print(from, to);
    }
    if is_barred(from, target) {
        return None;
    }
    if is_text(source) {
        return if target.is_nested() { json::kernel(target) } else { text::parse(from, to) };
    }
    if (source, target) == (&DataType::Float64, &DataType::Float32) && from.metadata().contains_key(DIGITS) {
        return Some(float::from_digits(target));
    }
    number::kernel(source, target)
        .or_else(|| temporal::kernel(source, target))
        .or_else(|| clock::kernel(from, to))
        .or_else(|| bytes::kernel(source, target))
        .or_else(|| nested::kernel(source, target))
}

/// Unpacks a dictionary or run ends.
fn decoded(from: &DataType) -> Kernel {
    if plain(from) == from { Kernel::Same } else { reshaped(plain(from)) }
}

/// Packs into a dictionary or run ends.
fn encoded(to: &DataType) -> Kernel {
    if plain(to) == to { Kernel::Same } else { reshaped(to) }
}

/// Another layout of the same values: here Arrow's cast moves bytes and looks into none of them.
pub(super) fn reshaped(to: &DataType) -> Kernel {
    let to = to.clone();
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Kernel::map(move |array| Ok(Cast::exact(cast_with_options(array, &to, &options)?)))
}

/// The same buffers under another type of the same layout.
pub(super) fn relabelled(to: &DataType) -> Kernel {
    let to = to.clone();
    Kernel::map(move |array| {
        let data = array.to_data().into_builder().data_type(to.clone()).build()?;
        Ok(Cast::exact(make_array(data)))
    })
}

fn not_null(to: &Field) -> Kernel {
    if to.is_nullable() {
        return Kernel::Same;
    }
    Kernel::map(|array| {
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let misfits = nulls.map(|nulls| (!nulls.inner(), Reason::Null));
        Ok(Cast { array: Arc::clone(array), misfits })
    })
}

/// A kernel over primitive values: `function` gives the new value and whether it is the same one.
///
/// It is also called for the slots of NULLs, whose values are arbitrary.
pub(super) fn primitive<I, O>(
    to: &DataType,
    reason: Reason,
    function: impl Fn(I::Native) -> (O::Native, bool) + Send + Sync + 'static,
) -> Kernel
where
    I: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
{
    let to = to.clone();
    Kernel::map(move |array| {
        let source = array.as_primitive::<I>();
        // Without a branch, so that the compiler can use vector instructions.
        let mut all = true;
        let values: Vec<O::Native> = source
            .values()
            .iter()
            .map(|value| {
                let (value, fits) = function(*value);
                all &= fits;
                value
            })
            .collect();
        let misfits = if all { None } else { unfit(source, reason, |value| function(value).1) };
        let array = PrimitiveArray::<O>::new(ScalarBuffer::from(values), source.nulls().cloned());
        Ok(Cast { array: Arc::new(array.with_data_type(to.clone())), misfits })
    })
}

/// The slow second look, only at batches that have a misfit (or garbage under a NULL).
fn unfit<I: ArrowPrimitiveType>(
    source: &PrimitiveArray<I>,
    reason: Reason,
    fits: impl Fn(I::Native) -> bool,
) -> Option<(BooleanBuffer, Reason)> {
    let values = source.values();
    let rows = BooleanBuffer::collect_bool(values.len(), |row| !fits(values[row]));
    misfits(rows, source.nulls(), reason)
}

/// `rows` that are not NULL, if there are any.
pub(super) fn misfits(
    rows: BooleanBuffer,
    nulls: Option<&NullBuffer>,
    reason: Reason,
) -> Option<(BooleanBuffer, Reason)> {
    let rows = match nulls {
        Some(nulls) => &rows & nulls.inner(),
        None => rows,
    };
    (rows.count_set_bits() > 0).then_some((rows, reason))
}
