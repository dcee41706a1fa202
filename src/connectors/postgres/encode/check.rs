//! What a server changes without a word when a value comes in: digits rounded off, blanks cut, fields zeroed.
//!
//! A value to which that would happen is refused here instead. What the server itself refuses is left to it.

use arrow::array::{Array, AsArray as _, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, Int64Type};
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::numeric::{self, fraction_digits};

/// The limit that the target's type sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Check {
    /// None that the server would apply silently.
    #[default]
    None,
    /// Digits after the point of a numeric.
    Fraction(i32),
    /// Characters of a text.
    Characters(u32),
    /// Bytes of a name.
    Bytes(u32),
    /// The single byte of a `"char"`.
    OneByte,
    /// Microseconds of a time or timestamp come in multiples of this.
    Micros(i64),
    /// Fields of an interval.
    Interval {
        /// Months come in multiples of this.
        months: i32,
        /// Whether days may be there.
        days: bool,
        /// Microseconds come in multiples of this; 0 when there may be none.
        micros: i64,
    },
}

/// Why `value`, in wire form, does not fit; none when it does.
pub(super) fn wire(check: Check, value: &[u8]) -> Option<String> {
    let damaged = || Some("the value is not in the wire form of its type".to_owned());
    match check {
        // Such a byte comes from a column of the same type.
        Check::None | Check::OneByte => None,
        Check::Fraction(most) => match fraction_digits(value) {
            Some(digits) => fraction(digits, most),
            None => damaged(),
        },
        Check::Characters(most) => match std::str::from_utf8(value) {
            Ok(text) => characters(text, most),
            Err(_) => damaged(),
        },
        Check::Bytes(most) => bytes(value.len(), most),
        Check::Micros(step) => match value.first_chunk::<8>() {
            Some(bytes) => micros(i64::from_be_bytes(*bytes), step),
            None => damaged(),
        },
        Check::Interval { .. } => match value.first_chunk::<16>() {
            Some(bytes) => {
                let word = u128::from_be_bytes(*bytes);
                interval(check, (word as i32, (word >> 32) as i32, (word >> 64) as i64))
            }
            None => damaged(),
        },
    }
}

/// Why the value that `text` spells does not fit; none when it does, or when the server will refuse it anyway.
pub(super) fn spelled(check: Check, text: &str) -> Option<String> {
    match check {
        Check::None => None,
        Check::Fraction(_) => {
            let mut value = Vec::new();
            numeric::put_text(text, &mut value).then(|| wire(check, &value)).flatten()
        }
        Check::Characters(most) => characters(text, most),
        Check::Bytes(most) => bytes(text.len(), most),
        Check::OneByte => one_byte(text),
        Check::Micros(step) => {
            let kept = 6 - step.checked_ilog10().unwrap_or(0) as usize;
            finer(text, kept).then(|| "the time is finer than the column keeps".to_owned())
        }
        Check::Interval { .. } => Some("the fields of an interval cannot be told from its text".to_owned()),
    }
}

/// Whether a fraction in `text` has more than `kept` digits that count.
fn finer(text: &str, kept: usize) -> bool {
    text.split('.').skip(1).any(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit);
        digits.skip(kept).any(|digit| digit != b'0')
    })
}

/// Calls `each` with every element of the array that `text` spells, but for NULLs, until it gives something.
pub(super) fn spelled_elements(text: &str, mut each: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let mut element = String::new();
    let (mut quoted, mut was_quoted) = (false, false);
    // Bounds may stand before the first brace.
    let mut chars = text.get(text.find('{')?..)?.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => element.extend(chars.next()),
            '"' => (quoted, was_quoted) = (!quoted, true),
            '{' | ',' | '}' if !quoted => {
                let value = if was_quoted { element.as_str() } else { element.trim_ascii() };
                let counts = was_quoted || !(value.is_empty() || value.eq_ignore_ascii_case("null"));
                if let Some(why) = counts.then(|| each(value)).flatten() {
                    return Some(why);
                }
                element.clear();
                was_quoted = false;
            }
            char => element.push(char),
        }
    }
    None
}

/// Why a number with `digits` after the point, or so many zeros before it, does not fit.
pub(super) fn fraction(digits: i32, most: i32) -> Option<String> {
    if digits <= most {
        return None;
    }
    Some(match u32::try_from(-most) {
        Ok(zeros @ 1..) => format!("the number does not end in {zeros} zeros, to which the column rounds"),
        _ => format!("the number has {digits} digits after the point, the column keeps {most}"),
    })
}

/// Why `text` is too long.
pub(super) fn characters(text: &str, most: u32) -> Option<String> {
    let most = most as usize;
    // No text has more characters than bytes.
    if text.len() <= most {
        return None;
    }
    let count = text.chars().count();
    (count > most).then(|| format!("the text has {count} characters, the column holds {most}"))
}

/// Why a name of `length` bytes is too long.
pub(super) fn bytes(length: usize, most: u32) -> Option<String> {
    (length > most as usize).then(|| format!("the name has {length} bytes, the column holds {most}"))
}

/// Why `text` is more than a byte, which may be spelled in octal digits where it is not ASCII.
fn one_byte(text: &str) -> Option<String> {
    let is_octal = matches!(text.as_bytes(), [b'\\', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7']);
    (text.len() > 1 && !is_octal).then(|| "the text is more than the one byte that the column holds".to_owned())
}

/// Why a point in time is finer than the column.
pub(super) fn micros(value: i64, step: i64) -> Option<String> {
    let infinite = value == i64::MIN || value == i64::MAX;
    (!infinite && value % step != 0).then(|| "the time is finer than the column keeps".to_owned())
}

/// Why an interval of months, days and microseconds loses a field.
pub(super) fn interval(check: Check, (months, days, micros): (i32, i32, i64)) -> Option<String> {
    let Check::Interval { months: step, days: with_days, micros: unit } = check else { return None };
    let fits =
        months % step == 0 && (with_days || days == 0) && if unit == 0 { micros == 0 } else { micros % unit == 0 };
    (!fits).then(|| "the interval has fields that the column does not keep".to_owned())
}

/// The first row of `array` that `why` refuses.
pub(super) fn rows(array: &dyn Array, mut why: impl FnMut(usize) -> Option<String>) -> Result<(), Refusal> {
    for row in 0..array.len() {
        if array.is_valid(row)
            && let Some(message) = why(row)
        {
            return Err(Refusal::new(row, message));
        }
    }
    Ok(())
}

/// Refuses the first value of `array` that is finer than `step` microseconds.
pub(super) fn steps<T>(array: &PrimitiveArray<T>, check: Check) -> Result<(), Refusal>
where
    T: ArrowPrimitiveType<Native = i64>,
{
    let Check::Micros(step) = check else { return Ok(()) };
    let array: PrimitiveArray<Int64Type> = array.reinterpret_cast();
    let values = array.values();
    rows(&array, |row| micros(values[row], step))
}

/// Refuses the first wire value of `array` that does not pass `check`.
pub(super) fn wires(array: &dyn Array, check: Check) -> Result<(), Refusal> {
    match (check, array.as_binary_opt::<i32>()) {
        (Check::None, _) | (_, None) => Ok(()),
        (_, Some(array)) => rows(array, |row| wire(check, array.value(row))),
    }
}
