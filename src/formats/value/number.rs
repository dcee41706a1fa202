//! Integers, decimals and floats, from and to text.

use std::num::NonZeroI32;

use arrow::datatypes::i256;
use lexical_core::{FromLexical, ToLexical, ToLexicalWithOptions, WriteFloatOptions};

/// The parts of a number in text: `-12.50e3`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    pub(crate) negative: bool,
    /// Digits before the point.
    pub(crate) whole: &'a [u8],
    /// Digits after the point.
    pub(crate) fraction: &'a [u8],
    /// Whether there is a point.
    pub(crate) point: bool,
    /// The exponent, if there is one.
    pub(crate) exponent: Option<i32>,
}

impl<'a> Number<'a> {
    /// Splits `sign? digits? (. digits?)? (e sign? digits)?` with at least one digit.
    pub(crate) fn split(text: &'a [u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        let (whole, rest) = digits(rest);
        let (point, fraction, rest) = match rest {
            [b'.', rest @ ..] => {
                let (fraction, rest) = digits(rest);
                (true, fraction, rest)
            }
            rest => (false, &rest[..0], rest),
        };
        let exponent = match rest {
            [] => None,
            // An exponent beyond 32 bits is that of zero, infinity or an error, in any type.
            [b'e' | b'E', exponent @ ..] => Some(lexical_core::parse::<i32>(exponent).ok()?),
            _ => return None,
        };
        (whole.len() + fraction.len() > 0).then_some(Self { negative, whole, fraction, point, exponent })
    }

    /// The digits that count: without zeros in front and at the end. Empty for zero.
    pub(crate) fn significant(&self) -> impl Iterator<Item = u8> + Clone + 'a {
        let (whole, fraction) = (self.whole, self.fraction);
        let leading = whole.iter().chain(fraction).take_while(|digit| **digit == b'0').count();
        let trailing = fraction.iter().rev().chain(whole.iter().rev()).take_while(|digit| **digit == b'0').count();
        let length = (whole.len() + fraction.len() - leading).saturating_sub(trailing);
        whole.iter().chain(fraction).skip(leading).take(length).copied()
    }

    /// The power of ten of the first digit that counts; 0 for zero.
    pub(crate) fn magnitude(&self) -> i64 {
        let exponent = i64::from(self.exponent.unwrap_or(0));
        let leading = self.whole.iter().chain(self.fraction).take_while(|digit| **digit == b'0').count();
        if leading == self.whole.len() + self.fraction.len() {
            return 0;
        }
        self.whole.len() as i64 - leading as i64 - 1 + exponent
    }

    fn equals(&self, other: &Number<'_>) -> bool {
        self.negative == other.negative
            && self.magnitude() == other.magnitude()
            && self.significant().eq(other.significant())
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

/// Whether a number is written as programs write it: no plus sign, no zero in front, no negative integer zero.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    !matches!(
        text,
        [b'+', ..] | [b'0', b'0'..=b'9', ..] | [b'-', b'0', b'0'..=b'9', ..] | [b'-', b'0'] | [b'-', b'+', ..]
    )
}

/// An integer of the width of `T`; none beyond its range.
pub(crate) fn integer<T: FromLexical>(text: &[u8]) -> Option<T> {
    lexical_core::parse(text).ok()
}

/// Prints an integer.
pub(crate) fn print_integer<T: ToLexical>(value: T, out: &mut Vec<u8>) {
    let mut buffer = [0; lexical_core::BUFFER_SIZE];
    out.extend_from_slice(lexical_core::write(value, &mut buffer));
}

/// A binary floating point type.
pub(crate) trait Float: FromLexical + ToLexicalWithOptions<Options = WriteFloatOptions> + Copy {
    /// Decimal digits that always survive.
    const DIGITS: usize;
    /// Whether a value of few digits survives too: it is normal and finite.
    fn is_normal(self) -> bool;
    /// Whether it is zero.
    fn is_zero(self) -> bool;
    /// Its exact value, rounded to `digits` digits after the first.
    fn rounded(self, digits: usize) -> String;
}

macro_rules! float {
    ($type:ty) => {
        impl Float for $type {
            const DIGITS: usize = <$type>::DIGITS as usize;

            fn is_normal(self) -> bool {
                <$type>::is_normal(self)
            }

            fn is_zero(self) -> bool {
                self == 0.0
            }

            fn rounded(self, digits: usize) -> String {
                format!("{self:.digits$e}")
            }
        }
    };
}

float!(f32);
float!(f64);

/// No float has more digits that count than this.
const LONGEST_FLOAT: usize = 767;

/// A float, or none where its digits would be lost: the text must be the float's exact value rounded to as many
/// digits as the text has. So `0.1`, `0.30000000000000004` and `0.10000000000000001` are doubles, but
/// `0.12345678901234567890` and `1e400` are not. NaN and infinities by name.
pub(crate) fn float<F: Float>(text: &[u8]) -> Option<F> {
    let value: F = lexical_core::parse(text).ok()?;
    if value.is_normal() && text.iter().filter(|byte| byte.is_ascii_digit()).count() <= F::DIGITS {
        return Some(value);
    }
    // Most long texts are the shortest ones of their floats.
    if write_float(value, &mut [0; FLOAT_BYTES]) == text {
        return Some(value);
    }
    // Named values are no numbers in digits; an infinity that came from digits is an overflow.
    let Some(number) = Number::split(text) else { return Some(value) };
    let digits = number.significant().count();
    if value.is_normal() && digits <= F::DIGITS || value.is_zero() && digits == 0 {
        return Some(value);
    }
    if value.is_zero() || digits > LONGEST_FLOAT {
        return None;
    }
    // Allocates, but only for texts of many digits in an unusual form.
    let exact = value.rounded(digits.saturating_sub(1));
    Number::split(exact.as_bytes()).is_some_and(|exact| exact.equals(&number)).then_some(value)
}

const FLOAT_OPTIONS: WriteFloatOptions = WriteFloatOptions::builder()
    .positive_exponent_break(NonZeroI32::new(15))
    .negative_exponent_break(NonZeroI32::new(-5))
    .nan_string(Some(b"NaN"))
    .inf_string(Some(b"inf"))
    .build_strict();

/// Prints the shortest text that parses back to the same float: `1.0`, `0.1`, `1.0e16`, `NaN`, `-inf`.
pub(crate) fn print_float<F: Float>(value: F, out: &mut Vec<u8>) {
    out.extend_from_slice(write_float(value, &mut [0; FLOAT_BYTES]));
}

const FLOAT_BYTES: usize = FLOAT_OPTIONS.buffer_size_const::<f64, { lexical_core::format::STANDARD }>();

fn write_float<F: Float>(value: F, buffer: &mut [u8; FLOAT_BYTES]) -> &[u8] {
    const FORMAT: u128 = lexical_core::format::STANDARD;
    lexical_core::write_with_options::<_, FORMAT>(value, buffer, &FLOAT_OPTIONS)
}

/// Whether the shortest text of `narrow` is parsed as `value`.
pub(crate) fn is_printed_as(narrow: f32, value: f64) -> bool {
    let mut buffer = [0; FLOAT_BYTES];
    let parsed = lexical_core::parse::<f64>(write_float(narrow, &mut buffer));
    parsed.is_ok_and(|parsed| parsed.total_cmp(&value).is_eq())
}

/// A decimal as the integer `value × 10^scale`; none when it has more digits than `precision` and `scale` hold.
pub(crate) fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let number = Number::split(text)?;
    let (digits, zeros) = scaled(&number, scale)?;
    let mut magnitude: u128 = 0;
    if number.whole.len() + number.fraction.len() < 20 {
        // No 19 digits overflow a word.
        magnitude = digits.fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0')).into();
    } else {
        for digit in digits {
            magnitude = magnitude.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
        }
    }
    let limit = 10_u128.checked_pow(u32::from(precision))?;
    if magnitude != 0 {
        magnitude = magnitude.checked_mul(10_u128.checked_pow(zeros)?)?;
    }
    let value = i128::try_from(magnitude).ok().filter(|_| magnitude < limit)?;
    Some(if number.negative { -value } else { value })
}

/// [`decimal`] for up to 76 digits.
pub(crate) fn decimal256(text: &[u8], precision: u8, scale: i8) -> Option<i256> {
    if let Some(value) = decimal(text, precision.min(38), scale) {
        return Some(i256::from_i128(value));
    }
    let number = Number::split(text)?;
    let (digits, zeros) = scaled(&number, scale)?;
    let mut plain: Vec<u8> = digits.skip_while(|digit| *digit == b'0').collect();
    if !plain.is_empty() {
        plain.resize(plain.len().checked_add(zeros as usize).filter(|length| *length <= 76)?, b'0');
    }
    if plain.len() > usize::from(precision) {
        return None;
    }
    if plain.is_empty() {
        return Some(i256::ZERO);
    }
    let value = i256::from_string(std::str::from_utf8(&plain).ok()?)?;
    Some(if number.negative { value.wrapping_neg() } else { value })
}

/// [`decimal256`] of the nearest decimal that has so few digits behind its point, halves away from zero; none beyond `precision`.
pub(crate) fn nearest_decimal256(text: &[u8], precision: u8, scale: i8) -> Option<i256> {
    let number = Number::split(text)?;
    let digits = || number.whole.iter().chain(number.fraction).copied();
    let count = (number.whole.len() + number.fraction.len()) as i64;
    let shift = i64::from(number.exponent.unwrap_or(0)) - number.fraction.len() as i64 + i64::from(scale);
    // Where less than nothing is kept, a zero is the first digit that goes.
    let kept = usize::try_from(count + shift.min(0));
    let up = kept.is_ok_and(|kept| digits().nth(kept).is_some_and(|digit| digit >= b'5'));
    let mut plain: Vec<u8> = digits().take(kept.unwrap_or(0)).skip_while(|digit| *digit == b'0').collect();
    if !plain.is_empty() {
        let length = plain.len() as i64 + shift.max(0);
        plain.resize(usize::try_from(length).ok().filter(|length| *length <= 76)?, b'0');
    }
    let below = if plain.is_empty() { i256::ZERO } else { i256::from_string(std::str::from_utf8(&plain).ok()?)? };
    let value = if up { below.wrapping_add(i256::ONE) } else { below };
    let limit = i256::from_i128(10).checked_pow(u32::from(precision))?;
    (value < limit).then(|| if number.negative { value.wrapping_neg() } else { value })
}

/// The float nearest to the number in `text`; none for one that is beyond its range. NaN and infinities by name.
pub(crate) fn nearest_float<F: Float + num_traits::Float>(text: &[u8]) -> Option<F> {
    let value: F = lexical_core::parse(text).ok()?;
    (value.is_finite() || Number::split(text).is_none()).then_some(value)
}

/// The digits of `number × 10^scale`, and how many zeros follow them; none when a digit would be cut off.
fn scaled<'a>(number: &Number<'a>, scale: i8) -> Option<(impl Iterator<Item = u8> + 'a, u32)> {
    let (whole, fraction) = (number.whole, number.fraction);
    let shift = i64::from(number.exponent.unwrap_or(0)) - fraction.len() as i64 + i64::from(scale);
    let count = whole.len() + fraction.len();
    let cut = usize::try_from(-shift).unwrap_or(0).min(count);
    let digits = || whole.iter().chain(fraction).copied();
    let zeros = u32::try_from(shift.max(0)).ok()?;
    if cut > 0 && digits().skip(count - cut).any(|digit| digit != b'0') {
        return None;
    }
    Some((digits().take(count - cut), zeros))
}

/// Prints `value / 10^scale` with all its digits.
pub(crate) fn print_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let mut buffer = [0; lexical_core::BUFFER_SIZE];
    let magnitude = value.unsigned_abs();
    let digits = match u64::try_from(magnitude) {
        Ok(small) => lexical_core::write(small, &mut buffer),
        Err(_) => lexical_core::write(magnitude, &mut buffer),
    };
    print_scaled(value < 0, digits, scale, out);
}

/// [`print_decimal`] of 256 bits.
pub(crate) fn print_decimal256(value: i256, scale: i8, out: &mut Vec<u8>) {
    if let Some(small) = value.to_i128() {
        print_decimal(small, scale, out);
        return;
    }
    let text = value.to_string();
    let digits = text.trim_start_matches('-');
    print_scaled(digits.len() < text.len(), digits.as_bytes(), scale, out);
}

fn print_scaled(negative: bool, digits: &[u8], scale: i8, out: &mut Vec<u8>) {
    if negative {
        out.push(b'-');
    }
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        out.extend_from_slice(digits);
        if digits != b"0" {
            out.resize(out.len() + places, b'0');
        }
    } else if digits.len() > places {
        let (whole, fraction) = digits.split_at(digits.len() - places);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + places - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}
