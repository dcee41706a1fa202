//! `numeric`: base-10000 digits into an integer of a fixed scale, or into exact text.
//!
//! The wire form is ndigits, weight, sign, dscale (16 bits each), then the digits, most significant first; the first
//! digit counts 10000^weight. Source: `numeric_send` and the comments in PostgreSQL's numeric.c.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Decimal256Array, StringArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, i256};

use crate::error::ErrorKind;
use crate::formats::fields::{Fault, Fields, nulls};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

const SPECIAL: &str = "NaN and infinity have no place in an Arrow decimal";
const UNFIT: &str = "the number does not fit precision and scale of its column";

/// One numeric, taken apart.
#[derive(Clone, Copy)]
struct Numeric<'a> {
    weight: i32,
    sign: u16,
    scale: usize,
    /// Two bytes each, at most 9999.
    digits: &'a [u8],
}

impl<'a> Numeric<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, digits) = bytes.split_first_chunk::<8>()?;
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let count = usize::from(word(0));
        let valid = digits.len() == count * 2 && matches!(word(4), 0 | NEGATIVE | NAN | INFINITY | MINUS_INFINITY);
        let numeric =
            Self { weight: i32::from(word(2) as i16), sign: word(4), scale: usize::from(word(6) & 0x3fff), digits };
        (valid && numeric.digits().all(|digit| digit < 10_000)).then_some(numeric)
    }

    fn digits(&self) -> impl DoubleEndedIterator<Item = u16> + ExactSizeIterator + 'a {
        self.digits.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair))
    }

    fn is_special(&self) -> bool {
        self.sign & NAN == NAN
    }
}

/// Decodes a column into `data_type`: `Decimal128`, `Decimal256` or Utf8.
pub(super) fn column(data_type: &DataType, fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    match data_type {
        DataType::Decimal128(precision, scale) => {
            let limit = 10_i128.pow(u32::from((*precision).min(38)));
            let values = values(fields, |number| decimal128(number, i32::from(*scale), limit))?;
            let array = Decimal128Array::new(ScalarBuffer::from(values), nulls(fields));
            Ok(Arc::new(array.with_precision_and_scale(*precision, *scale).map_err(|_| internal())?))
        }
        DataType::Decimal256(precision, scale) => {
            let limit = ten_to(u32::from(*precision)).ok_or_else(internal)?;
            let values = values(fields, |number| decimal256(number, i32::from(*scale), limit))?;
            let array = Decimal256Array::new(ScalarBuffer::from(values), nulls(fields));
            Ok(Arc::new(array.with_precision_and_scale(*precision, *scale).map_err(|_| internal())?))
        }
        _ => text(fields),
    }
}

fn internal() -> Fault {
    Fault { row: 0, kind: ErrorKind::Internal, why: "a numeric column has bounds that no decimal has" }
}

fn values<T: Default>(fields: Fields<'_>, read: impl Fn(Numeric<'_>) -> Option<T>) -> Result<Vec<T>, Fault> {
    let mut values = Vec::with_capacity(fields.spans.len());
    for (row, field) in fields.iter().enumerate() {
        let value = match field {
            Some(bytes) => {
                let number = Numeric::parse(bytes).ok_or_else(|| Fault::corrupt(row))?;
                if number.is_special() {
                    return Err(Fault::value(row, SPECIAL));
                }
                read(number).ok_or_else(|| Fault::value(row, UNFIT))?
            }
            None => T::default(),
        };
        values.push(value);
    }
    Ok(values)
}

/// `number` times 10^scale, if that is a whole number below `limit`.
fn decimal128(number: Numeric<'_>, scale: i32, limit: i128) -> Option<i128> {
    let value = match of_few_digits(number, scale) {
        Some(value) => value.into(),
        None => of_any_digits(number, scale)?,
    };
    let value = if number.sign == NEGATIVE { -value } else { value };
    (-limit < value && value < limit).then_some(value)
}

/// `number` without its sign times 10^scale, if all of that is within 64 bits.
fn of_few_digits(number: Numeric<'_>, scale: i32) -> Option<u64> {
    if number.digits.len() > 8 {
        return None;
    }
    let sum = number.digits().fold(0, |sum, digit| sum * 10_000 + u64::from(digit));
    match shift(number, scale) {
        shift @ 0..=9 => sum.checked_mul(10_u64.pow(shift as u32)),
        // The last digit may reach beyond the scale: only with zeros.
        shift @ -3..=-1 => {
            Some(10_u64.pow(shift.unsigned_abs())).filter(|cut| sum.is_multiple_of(*cut)).map(|cut| sum / cut)
        }
        _ => None,
    }
}

/// `number` without its sign times 10^scale, if that is a whole number.
fn of_any_digits(number: Numeric<'_>, scale: i32) -> Option<i128> {
    let mut digits = number.digits();
    let Some(last) = digits.next_back() else { return Some(0) };
    let mut sum = 0_i128;
    for digit in digits {
        sum = sum.checked_mul(10_000)?.checked_add(i128::from(digit))?;
    }
    let shift = shift(number, scale);
    // The last digit may reach beyond the scale: only with zeros.
    let (factor, tail) = if shift >= 0 {
        let factor = 10_i128.checked_pow(shift as u32)?;
        // The factor of the other digits may overflow where there are none.
        (factor.checked_mul(10_000), factor.checked_mul(i128::from(last))?)
    } else {
        let cut = 10_u16.checked_pow(shift.unsigned_abs()).filter(|cut| *cut <= 1_000)?;
        (Some(i128::from(10_000 / cut)), exact_div(last, cut).map(i128::from)?)
    };
    if sum == 0 { Some(tail) } else { sum.checked_mul(factor?)?.checked_add(tail) }
}

fn decimal256(number: Numeric<'_>, scale: i32, limit: i256) -> Option<i256> {
    let mut digits = number.digits();
    let Some(last) = digits.next_back() else { return Some(i256::ZERO) };
    let mut sum = i256::ZERO;
    for digit in digits {
        sum = sum.checked_mul(i256::from(10_000))?.checked_add(i256::from(i32::from(digit)))?;
    }
    let shift = shift(number, scale);
    let (factor, tail) = if shift >= 0 {
        let factor = ten_to(shift as u32)?;
        (factor.checked_mul(i256::from(10_000)), factor.checked_mul(i256::from(i32::from(last)))?)
    } else {
        let cut = 10_u16.checked_pow(shift.unsigned_abs()).filter(|cut| *cut <= 1_000)?;
        (Some(i256::from(i32::from(10_000 / cut))), i256::from(i32::from(exact_div(last, cut)?)))
    };
    let value = if sum == i256::ZERO { tail } else { sum.checked_mul(factor?)?.checked_add(tail)? };
    let value = if number.sign == NEGATIVE { value.checked_neg()? } else { value };
    (value < limit && value.checked_neg()? < limit).then_some(value)
}

/// Decimal places that the last digit of `number` stands left of the end of `scale` places.
fn shift(number: Numeric<'_>, scale: i32) -> i32 {
    4 * (number.weight + 1 - number.digits().len() as i32) + scale
}

fn exact_div(value: u16, by: u16) -> Option<u16> {
    value.is_multiple_of(by).then(|| value / by)
}

fn ten_to(power: u32) -> Option<i256> {
    i256::from(10).checked_pow(power)
}

/// Numbers of any size, as PostgreSQL writes them.
fn text(fields: Fields<'_>) -> Result<ArrayRef, Fault> {
    let mut out = Vec::with_capacity(fields.spans.len() * 8);
    let mut offsets = Vec::with_capacity(fields.spans.len() + 1);
    offsets.push(0);
    for (row, field) in fields.iter().enumerate() {
        if let Some(bytes) = field {
            write(&mut out, Numeric::parse(bytes).ok_or_else(|| Fault::corrupt(row))?);
        }
        let too_long = Fault { row, kind: ErrorKind::Resource, why: "a batch holds more than 2 GiB in one column" };
        offsets.push(i32::try_from(out.len()).map_err(|_| too_long)?);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = StringArray::try_new(offsets, out.into(), nulls(fields)).map_err(|_| internal())?;
    Ok(Arc::new(array))
}

/// The text of a numeric; none when it is damaged.
pub(super) fn text_of(wire: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    put_text(wire, &mut text)?;
    String::from_utf8(text).ok()
}

/// Appends the text of a numeric; none when it is damaged.
pub(super) fn put_text(wire: &[u8], out: &mut Vec<u8>) -> Option<()> {
    write(out, Numeric::parse(wire)?);
    Some(())
}

fn write(out: &mut Vec<u8>, number: Numeric<'_>) {
    match number.sign {
        NAN => return out.extend_from_slice(b"NaN"),
        INFINITY => return out.extend_from_slice(b"Infinity"),
        MINUS_INFINITY => return out.extend_from_slice(b"-Infinity"),
        NEGATIVE => out.push(b'-'),
        _ => {}
    }
    let digits = number.digits.as_chunks::<2>().0;
    // The digit that counts 10000^power.
    let digit = |power: i32| {
        usize::try_from(number.weight - power)
            .ok()
            .and_then(|at| digits.get(at))
            .map_or(0, |pair| u16::from_be_bytes(*pair))
    };
    let start = out.len();
    for power in (0..=number.weight).rev() {
        let group = four(digit(power));
        // Zeros before the first digit that counts are not written.
        let skip = if out.len() == start { group.iter().take_while(|byte| **byte == b'0').count() } else { 0 };
        out.extend_from_slice(&group[skip..]);
    }
    if out.len() == start {
        out.push(b'0');
    }
    if number.scale > 0 {
        out.push(b'.');
        let end = out.len() + number.scale;
        let mut power = -1;
        while out.len() < end {
            let group = four(digit(power));
            let wanted = (end - out.len()).min(4);
            out.extend_from_slice(&group[..wanted]);
            power -= 1;
        }
    }
}

fn four(digit: u16) -> [u8; 4] {
    [digit / 1_000, digit / 100 % 10, digit / 10 % 10, digit % 10].map(|part| b'0' + part as u8)
}
