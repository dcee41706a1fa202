//! `dx_filter`: drops the rows whose value compares as told with a text, or matches a pattern.

use std::cmp::Ordering;

use arrow::array::{Array as _, ArrayRef, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Field;
use regex::Regex;

use super::edit::Reason;
use super::text::Clock;
use super::{pattern, units};
use crate::error::Result;

const NO_LONG: Reason = "its value is no whole number, as whole numbers and moments are compared with";
const NO_DOUBLE: Reason = "its value is no number";
const TOO_LONG: Reason = "the number does not fit into 64 bits";
const EMPTY: Reason = "its value is empty";
const NO_OPERATOR: Reason = "its operator is none of like, not like, =, ==, !=, >, >=, <, <=";

/// Which rows are dropped.
#[derive(Debug)]
pub(super) enum Filter {
    Like(Regex),
    NotLike(Regex),
    Compare(Comparison, Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

/// What is compared with, as each kind of column takes it.
#[derive(Debug)]
pub(super) struct Value {
    text: String,
    long: Option<i64>,
    double: Option<f64>,
}

/// The rows that are dropped, and those that failed, which are not among them.
#[derive(Debug)]
pub(super) struct Sifted {
    pub(super) dropped: BooleanBuffer,
    pub(super) failed: Vec<(usize, Reason)>,
}

impl Filter {
    /// The filter of these parameters, or why every row fails.
    ///
    /// # Errors
    /// Those of [`pattern::compile`].
    pub(super) fn parse(operator: &str, value: &str) -> Result<Result<Self, Reason>> {
        if value.is_empty() {
            return Ok(Err(EMPTY));
        }
        let comparison = match operator.to_ascii_lowercase().as_str() {
            "like" => return Ok(Ok(Self::Like(pattern::compile(value)?))),
            "not like" => return Ok(Ok(Self::NotLike(pattern::compile(value)?))),
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            "=" | "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            _ => return Ok(Err(NO_OPERATOR)),
        };
        let value = Value { text: value.to_owned(), long: value.parse().ok(), double: double(value) };
        Ok(Ok(Self::Compare(comparison, value)))
    }

    /// Sifts `array`, a column of `field`, by `clock`.
    pub(super) fn run(&self, array: &ArrayRef, field: &Field, clock: Clock) -> Result<Sifted> {
        let dropped = match self {
            Self::Like(pattern) => matches(pattern, &clock.texts(array, field)?),
            // What has no text matches nothing.
            Self::NotLike(pattern) => !&matches(pattern, &clock.texts(array, field)?),
            Self::Compare(comparison, value) => return compared((*comparison, value), array, field, clock),
        };
        Ok(Sifted { dropped, failed: Vec::new() })
    }
}

fn matches(pattern: &Regex, texts: &StringArray) -> BooleanBuffer {
    BooleanBuffer::collect_bool(texts.len(), |row| texts.is_valid(row) && pattern.is_match(texts.value(row)))
}

fn compared(
    (comparison, value): (Comparison, &Value),
    array: &ArrayRef,
    field: &Field,
    clock: Clock,
) -> Result<Sifted> {
    let nulls = array.logical_nulls();
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let all = |reason: Reason| -> Vec<(usize, Reason)> {
        (0..array.len()).filter(|row| !is_null(*row)).map(|row| (row, reason)).collect()
    };
    let none = || BooleanBuffer::new_unset(array.len());
    let (hits, failed) = if let Some(longs) = clock.longs(array, field)? {
        match value.long {
            None => (none(), all(NO_LONG)),
            Some(value) => {
                let beyond = |row: &usize| longs.is_null(*row) && !is_null(*row);
                let failed: Vec<_> = match longs.null_count() - array.logical_null_count() {
                    0 => Vec::new(),
                    _ => (0..longs.len()).filter(beyond).map(|row| (row, TOO_LONG)).collect(),
                };
                let hits = by_value(longs.values(), comparison, value);
                (longs.nulls().map_or_else(|| hits.clone(), |valid| &hits & valid.inner()), failed)
            }
        }
    } else if let Some(doubles) = clock.doubles(array, field)? {
        match value.double {
            None => (none(), all(NO_DOUBLE)),
            Some(value) => (by_value(doubles.values(), comparison, value), Vec::new()),
        }
    } else {
        (by_text(&clock.texts(array, field)?, comparison, &value.text), Vec::new())
    };
    let Some(nulls) = nulls else { return Ok(Sifted { dropped: hits, failed }) };
    let hits = &hits & nulls.inner();
    let dropped = if drops_null(comparison, &value.text) { &hits | &!nulls.inner() } else { hits };
    Ok(Sifted { dropped, failed })
}

/// NULL is neither more nor less than anything, and equal to `null` alone.
fn drops_null(comparison: Comparison, value: &str) -> bool {
    match comparison {
        Comparison::Equal => value.eq_ignore_ascii_case("null"),
        Comparison::NotEqual => !value.eq_ignore_ascii_case("null"),
        _ => false,
    }
}

fn by_value<T: Copy + PartialOrd>(values: &[T], comparison: Comparison, value: T) -> BooleanBuffer {
    let rows = values.len();
    match comparison {
        Comparison::Greater => BooleanBuffer::collect_bool(rows, |row| values[row] > value),
        Comparison::GreaterOrEqual => BooleanBuffer::collect_bool(rows, |row| values[row] >= value),
        Comparison::Less => BooleanBuffer::collect_bool(rows, |row| values[row] < value),
        Comparison::LessOrEqual => BooleanBuffer::collect_bool(rows, |row| values[row] <= value),
        Comparison::Equal => BooleanBuffer::collect_bool(rows, |row| values[row] == value),
        Comparison::NotEqual => BooleanBuffer::collect_bool(rows, |row| values[row] != value),
    }
}

fn by_text(texts: &StringArray, comparison: Comparison, value: &str) -> BooleanBuffer {
    match comparison {
        Comparison::Greater => ordered(texts, value, Ordering::is_gt),
        Comparison::GreaterOrEqual => ordered(texts, value, Ordering::is_ge),
        Comparison::Less => ordered(texts, value, Ordering::is_lt),
        Comparison::LessOrEqual => ordered(texts, value, Ordering::is_le),
        Comparison::Equal => BooleanBuffer::collect_bool(texts.len(), |row| texts.value(row) == value),
        Comparison::NotEqual => BooleanBuffer::collect_bool(texts.len(), |row| texts.value(row) != value),
    }
}

fn ordered(texts: &StringArray, value: &str, is: impl Fn(Ordering) -> bool) -> BooleanBuffer {
    BooleanBuffer::collect_bool(texts.len(), |row| is(units::compare(texts.value(row), value)))
}

/// A number as Java reads it: blanks around it and a letter for its type are taken, other words than its own are not.
fn double(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    plain.then(|| digits.parse().ok())?
}
