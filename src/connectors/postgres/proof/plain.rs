//! Hashes that take the server less time, for columns of which every value that was sent is one that they tell from all others.
//!
//! A stage that holds another value all the same has another sum, or none: [`is_refused`].

use arrow::array::{ArrayRef, AsArray as _};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type};

use super::super::encode::{Column, Layout, Sign, numeric_groups};
use super::super::errors;
use super::super::name::identifier;
use super::digest::{Digest, double_of, is_told};
use crate::error::Error;
use crate::formats::fields::Fields;

/// Above every number below zero that a `numeric` with a bound holds, of which no scale is above 1000, and no such number itself.
const BELOW_ZERO: &str = "-1e-1001";

/// SQLSTATE of an infinite date from which days are subtracted.
const OUT_OF_RANGE: &str = "22008";

/// What hashes a `column` of plain values as its `digest` says; none where there is nothing plainer.
pub(super) fn hash_of(column: &Column, digest: Digest) -> Option<String> {
    let name = identifier(&column.name);
    Some(match (digest, &column.layout) {
        // The greater one comes unpacked, which takes the server as long as a hash, and below zero it is always the same.
        (Digest::Groups, _) => format!("hash_numeric_extended(numeric_larger({name}, '{BELOW_ZERO}'), 0)"),
        (Digest::Word, Layout::Date) => format!("hashint4extended({name} - date '2000-01-01', 0)"),
        (Digest::Float, Layout::Float4) => format!("hashfloat4extended({name}, 0)"),
        (Digest::Float, Layout::Float8) => format!("hashfloat8extended({name}, 0)"),
        _ => return None,
    })
}

/// Whether all values of `array` are plain: numbers not below zero, finite dates, floats other than zeros and NaNs.
pub(super) fn tells(digest: Digest, column: &Column, array: &ArrayRef) -> bool {
    match (digest, array.data_type()) {
        // Infinity is another number there.
        _ if column.wire => false,
        (Digest::Groups, DataType::Decimal128(..)) => {
            array.as_primitive::<Decimal128Type>().iter().flatten().all(|value| value >= 0)
        }
        (Digest::Word, DataType::Date32) => true,
        (Digest::Float, DataType::Float32) => {
            array.as_primitive::<Float32Type>().iter().flatten().all(|value| is_told(value.into()))
        }
        (Digest::Float, DataType::Float64) => array.as_primitive::<Float64Type>().iter().flatten().all(is_told),
        _ => false,
    }
}

/// The same of the fields of raw frames.
pub(super) fn tells_fields(digest: Digest, layout: &Layout, fields: Fields<'_>) -> bool {
    let mut wires = fields.iter().flatten();
    match (digest, layout) {
        (Digest::Groups, _) => wires.all(|wire| matches!(numeric_groups(wire), Some((_, _, Sign::Positive)))),
        (Digest::Word, Layout::Date) => {
            wires.all(|wire| !matches!(<[u8; 4]>::try_from(wire).map(i32::from_be_bytes), Ok(i32::MIN | i32::MAX)))
        }
        (Digest::Float, _) => wires.all(|wire| double_of(wire).is_some_and(is_told)),
        _ => false,
    }
}

/// Whether the server refuses to hash a value of a stage plainly: it holds one that was not sent.
pub(super) fn is_refused(error: &Error) -> bool {
    errors::state(error) == Some(OUT_OF_RANGE)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array};

    use super::*;
    use crate::connectors::postgres::encode::{Check, wires};
    use crate::formats::fields::Span;

    fn column(layout: Layout) -> Column {
        Column { name: "c".to_owned(), layout, wire: false, check: Check::None }
    }

    #[test]
    fn plain_are_the_values_that_a_plainer_hash_of_the_server_tells_from_others() {
        let number = |value: i128| -> ArrayRef {
            let cents = Decimal128Array::from(vec![Some(150), None, Some(value)]);
            Arc::new(cents.with_precision_and_scale(12, 2).unwrap())
        };
        let double = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![Some(0.5), None, Some(value)])) };
        let single = |value: f32| -> ArrayRef { Arc::new(Float32Array::from(vec![Some(0.5), None, Some(value)])) };
        let cases: [(Layout, Digest, ArrayRef, bool); 13] = [
            (Layout::Numeric, Digest::Groups, number(7), true),
            (Layout::Numeric, Digest::Groups, number(0), true),
            (Layout::Numeric, Digest::Groups, number(-1), false),
            (Layout::Date, Digest::Word, Arc::new(Date32Array::from(vec![Some(20_782), None, Some(-1)])), true),
            (Layout::Int4, Digest::Word, Arc::new(Int32Array::from(vec![1])), false),
            (Layout::Float8, Digest::Float, double(-1.5), true),
            (Layout::Float8, Digest::Float, double(f64::INFINITY), true),
            (Layout::Float8, Digest::Float, double(0.0), false),
            (Layout::Float8, Digest::Float, double(-0.0), false),
            (Layout::Float8, Digest::Float, double(f64::NAN), false),
            (Layout::Float4, Digest::Float, single(-1.5), true),
            (Layout::Float4, Digest::Float, single(0.0), false),
            (Layout::Float4, Digest::Float, single(f32::NAN), false),
        ];
        for (layout, digest, array, expected) in cases {
            let column = column(layout);
            assert_eq!(tells(digest, &column, &array), expected, "{:?} {array:?}", column.layout);
            // The bytes that are sent say the same.
            let sent = wires(&column, &array).unwrap();
            assert_eq!(of_fields(digest, &column, sent.iter()), expected, "{:?} {array:?}", column.layout);
        }
    }

    /// [`tells_fields`] of these wire forms.
    fn of_fields<'a>(digest: Digest, column: &Column, wires: impl IntoIterator<Item = Option<&'a [u8]>>) -> bool {
        let (mut bytes, mut spans) = (Vec::<u8>::new(), Vec::new());
        for wire in wires {
            spans.push(wire.map_or(Span::NULL, |wire| Span { start: bytes.len() as u32, length: wire.len() as i32 }));
            bytes.extend_from_slice(wire.unwrap_or_default());
        }
        tells_fields(digest, &column.layout, Fields::new(&bytes, &spans))
    }

    #[test]
    fn what_arrow_does_not_hold_is_not_plain() {
        for days in [i32::MIN, i32::MAX] {
            let wires = [20_782, days].map(i32::to_be_bytes);
            let wires = wires.iter().map(|wire| Some(wire.as_slice()));
            assert!(!of_fields(Digest::Word, &column(Layout::Date), wires), "{days}");
        }
        let not_a_number = [0, 0, 0, 0, 0xC0, 0, 0, 0];
        assert!(!of_fields(Digest::Groups, &column(Layout::Numeric), [Some(&not_a_number[..])]));
        let endless = Column { wire: true, ..column(Layout::Date) };
        let days: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX]));
        assert!(!tells(Digest::Word, &endless, &days));
    }

    #[test]
    fn a_plainer_hash_has_no_case() {
        let hash = |layout, digest| hash_of(&column(layout), digest);
        let expected = "hash_numeric_extended(numeric_larger(\"c\", '-1e-1001'), 0)";
        assert_eq!(hash(Layout::Numeric, Digest::Groups).as_deref(), Some(expected));
        let expected = "hashint4extended(\"c\" - date '2000-01-01', 0)";
        assert_eq!(hash(Layout::Date, Digest::Word).as_deref(), Some(expected));
        assert_eq!(hash(Layout::Float8, Digest::Float).as_deref(), Some("hashfloat8extended(\"c\", 0)"));
        assert_eq!(hash(Layout::Float4, Digest::Float).as_deref(), Some("hashfloat4extended(\"c\", 0)"));
        assert_eq!(hash(Layout::Int4, Digest::Word), None);
    }
}
