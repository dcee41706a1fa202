//! What the server would change without a word, looked for before it sees it.

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Float32Type, Float64Type, Int16Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use serde::{Deserialize, Serialize};

/// The first day of the year 1, and the first of the year 10000, since 1970.
const DAYS: std::ops::Range<i64> = -719_162..2_932_897;
const DAY_MICROS: i64 = 86_400_000_000;
/// 838:59:59, the longest time.
const LONGEST_MICROS: i64 = 3_020_399_000_000;
/// What a column of instants takes: from the first second of 1970 to the last of 32 bits.
const INSTANT_MICROS: std::ops::RangeInclusive<i64> = 1_000_000..=2_147_483_647_999_999;
/// So many digits are a float without a remainder.
const FLOAT_DIGITS: usize = 15;

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Check {
    /// Dates of the years 1 to 9999.
    Years,
    /// Instants that fit a `timestamp`.
    Instants,
    /// Times of no more than 838:59:59.
    Times,
    /// No more digits of a second than these.
    Digits(u8),
    /// No spaces at the end.
    TrailingSpaces,
    /// Exactly so many bytes: fewer would be filled up.
    Width(u32),
    /// Numbers within JSON that are not rounded.
    JsonNumbers(JsonFloats),
    /// One of these members of an `enum`, letter by letter: one that the collation takes for the same would be written in its place,
    /// and a number would count them.
    OneOf(Vec<String>),
    /// Some of these members of a `set`, each of them once, with commas between.
    SomeOf(Vec<String>),
    /// A year of four digits, or 0: others are taken for the last two of one.
    FullYears,
    /// No more digits behind the point than these.
    Decimals(i32),
}

/// How the server reads a number of JSON that is no integer of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum JsonFloats {
    /// As the float that is next to it.
    Nearest,
    /// As what its digits give by one multiplication or division by a power of ten, which may be a neighbour of that one: so do MySQL
    /// 5.7.22 and 8.0.15.
    Nearby,
}

/// What does not fit, and which row it is, from 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) row: usize,
    pub(super) why: &'static str,
}

/// Microseconds of the last of so many digits of a second.
fn unit_micros(digits: u8) -> i64 {
    10_i64.pow(6 - u32::from(digits.min(6)))
}

impl Check {
    /// The microseconds of which a time has to be a multiple.
    pub(super) fn step_micros(&self) -> Option<i64> {
        if let Self::Digits(digits) = self { Some(unit_micros(*digits)) } else { None }
    }

    /// Looks at every value.
    pub(super) fn look(&self, array: &ArrayRef) -> Result<(), Unfit> {
        let (found, why) = match self {
            Self::Years => (beyond_years(array), "MySQL has dates of the years 1 to 9999 only"),
            Self::Instants => {
                let found = micros(array).and_then(|values| unfit(values, |value| INSTANT_MICROS.contains(&value)));
                (found, "a timestamp of MySQL lies between 1970 and January 2038: use a datetime column for others")
            }
            Self::Times => {
                let fits = |value: i64| value.abs() <= LONGEST_MICROS;
                (micros(array).and_then(|values| unfit(values, fits)), "the longest time of MySQL is 838:59:59")
            }
            Self::Digits(digits) => {
                let unit = unit_micros(*digits);
                let found = micros(array).and_then(|values| unfit(values, |value| value % unit == 0));
                (found, "the column keeps fewer digits of a second: the value would be rounded")
            }
            Self::TrailingSpaces => {
                (text_where(array, |text| text.ends_with(' ')), "spaces at the end get lost in a char column")
            }
            Self::Width(width) => {
                let values = array.as_binary_opt::<i32>();
                let other = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| bytes.len() != *width as usize);
                let found = values.and_then(|values| values.iter().position(other));
                (found, "a binary column fills up shorter values with zeros, and takes no longer ones")
            }
            Self::JsonNumbers(floats) => (
                text_where(array, |text| !numbers_are_kept(text.as_bytes(), *floats)),
                "MySQL would round a number in the JSON: keep it in a text column, or write it with fewer digits",
            ),
            Self::OneOf(members) => {
                let other = |text: &str| !members.iter().any(|member| member == text);
                (text_where(array, other), "the text is, letter by letter, no member of the column")
            }
            Self::SomeOf(members) => (
                text_where(array, |text| !are_some_of(text, members)),
                "the text is, letter by letter, no list of members of the column, each of them once",
            ),
            Self::FullYears => {
                let years = array.as_primitive_opt::<Int16Type>();
                let short = |year: Option<i16>| year.is_some_and(|year| year != 0 && !(1901..=2155).contains(&year));
                (years.and_then(|years| years.iter().position(short)), "a year column holds 0 and 1901 to 2155 only")
            }
            Self::Decimals(digits) => {
                (rounded(array, *digits), "the column keeps fewer digits behind the point: the value would be rounded")
            }
        };
        found.map_or(Ok(()), |row| Err(Unfit { row, why }))
    }
}

/// The row of the first text that `is_unfit`.
fn text_where(array: &ArrayRef, is_unfit: impl Fn(&str) -> bool) -> Option<usize> {
    array.as_string_opt::<i32>()?.iter().position(|text| text.is_some_and(&is_unfit))
}

/// The row of the first float with more than so many digits behind the point.
#[expect(clippy::float_cmp, reason = "a value that is rounded to itself is the same")]
fn rounded(array: &ArrayRef, digits: i32) -> Option<usize> {
    if let Some(values) = array.as_primitive_opt::<Float32Type>() {
        let unit = 10_f32.powi(digits);
        let rounds = |value: f32| value.is_finite() && (value * unit).round() / unit != value;
        return values.iter().position(|value| value.is_some_and(rounds));
    }
    let unit = 10_f64.powi(digits);
    let rounds = |value: f64| value.is_finite() && (value * unit).round() / unit != value;
    array.as_primitive_opt::<Float64Type>()?.iter().position(|value| value.is_some_and(rounds))
}

/// Whether a text lists some of `members`, none of them twice.
fn are_some_of(text: &str, members: &[String]) -> bool {
    let listed = || text.split(',');
    let is_new = |(place, word): (usize, &str)| {
        members.iter().any(|member| member == word) && listed().take(place).all(|before| before != word)
    };
    text.is_empty() || listed().enumerate().all(is_new)
}

/// The row of the first value that does not fit.
fn unfit(values: impl Iterator<Item = Option<i64>>, fits: impl Fn(i64) -> bool) -> Option<usize> {
    let mut values = values;
    values.position(|value| value.is_some_and(|value| !fits(value)))
}

/// Microseconds of times and instants.
fn micros(array: &ArrayRef) -> Option<Box<dyn Iterator<Item = Option<i64>> + '_>> {
    Some(match array.data_type() {
        DataType::Timestamp(..) => Box::new(array.as_primitive_opt::<TimestampMicrosecondType>()?.iter()),
        DataType::Time64(_) => Box::new(array.as_primitive_opt::<Time64MicrosecondType>()?.iter()),
        DataType::Duration(_) => Box::new(array.as_primitive_opt::<DurationMicrosecondType>()?.iter()),
        _ => return None,
    })
}

fn beyond_years(array: &ArrayRef) -> Option<usize> {
    if let Some(days) = array.as_primitive_opt::<Date32Type>() {
        return unfit(days.iter().map(|day| day.map(i64::from)), |day| DAYS.contains(&day));
    }
    unfit(micros(array)?, |value| DAYS.contains(&value.div_euclid(DAY_MICROS)))
}

/// Whether every number in a JSON text is one that the server keeps: whole numbers of 64 bits, and floats that print with the digits
/// that they have here.
fn numbers_are_kept(json: &[u8], floats: JsonFloats) -> bool {
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at += string_length(&json[at..]),
            b'-' | b'0'..=b'9' => {
                let end =
                    json[at..].iter().position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
                let number = &json[at..end.map_or(json.len(), |end| at + end)];
                if !is_kept(number, floats) {
                    return false;
                }
                at += number.len();
            }
            _ => at += 1,
        }
    }
    true
}

/// Bytes of a string with its quotes.
fn string_length(json: &[u8]) -> usize {
    let mut at = 1;
    while at < json.len() {
        match json[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

fn is_kept(number: &[u8], floats: JsonFloats) -> bool {
    let Ok(text) = std::str::from_utf8(number) else { return false };
    if !text.contains(['.', 'e', 'E']) {
        // -0 would lose its sign.
        return text != "-0" && (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok());
    }
    let (Ok(value), Some(written)) = (text.parse::<f64>(), Digits::of(text)) else { return false };
    // Digits and power of ten are floats without a remainder then: one division or multiplication rounds as a reader should.
    let is_plain = written.each().count() <= FLOAT_DIGITS && written.power.unsigned_abs() <= 22;
    written.text.is_empty()
        || is_plain
        || match floats {
            JsonFloats::Nearest => Digits::of(&format!("{value:e}")).is_some_and(|kept| kept.is_same(written)),
            JsonFloats::Nearby => written.roughly().is_some_and(|read| read.to_bits() == value.abs().to_bits()),
        }
}

/// The digits of a number from the first that is not 0, with or without a point, and the power of ten of the last.
#[derive(Clone, Copy, Debug)]
struct Digits<'n> {
    text: &'n str,
    power: i64,
}

impl<'n> Digits<'n> {
    /// None for what has a power beyond all bounds.
    fn of(number: &'n str) -> Option<Self> {
        let (mantissa, power) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let power = i64::from(power.parse::<i32>().ok()?) - i64::try_from(fraction).ok()?;
        Some(Self { text: mantissa.trim_start_matches(['-', '0', '.']), power })
    }

    fn each(&self) -> impl Iterator<Item = u8> {
        self.text.bytes().filter(u8::is_ascii_digit)
    }

    /// Whether they are the digits of `other`, zeros at the end aside.
    fn is_same(self, other: Self) -> bool {
        let (one, other) = (self.without_zeros(), other.without_zeros());
        one.power == other.power && one.each().eq(other.each())
    }

    /// The same, to the last that is not 0.
    fn without_zeros(self) -> Self {
        let text = self.text.trim_end_matches(['0', '.']);
        let rest = &self.text[text.len()..];
        let zeros = rest.len() - usize::from(rest.contains('.'));
        Self { text, power: self.power + zeros as i64 }
    }

    /// What one multiplication or division by a power of ten, which is rounded itself, makes of them. None where that takes more.
    fn roughly(self) -> Option<f64> {
        if self.each().count() > FLOAT_DIGITS || self.power.unsigned_abs() > 308 {
            return None;
        }
        let digits = self.each().fold(0.0_f64, |number, digit| number * 10.0 + f64::from(digit - b'0'));
        let power = format!("1e{}", self.power.unsigned_abs()).parse::<f64>().ok()?;
        Some(if self.power < 0 { digits / power } else { digits * power })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, Date32Array, Float32Array, Float64Array, Int16Array, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    fn row(check: &Check, array: impl Array + 'static) -> Option<usize> {
        check.look(&(Arc::new(array) as ArrayRef)).err().map(|unfit| unfit.row)
    }

    #[test]
    fn dates_and_instants() {
        let days = |days: Vec<i32>| row(&Check::Years, Date32Array::from(days));
        assert_eq!(days(vec![-719_162, 2_932_896]), None);
        assert_eq!(days(vec![0, -719_163]), Some(1));
        assert_eq!(days(vec![2_932_897]), Some(0));
        let at = |check, micros: Vec<i64>| row(&check, TimestampMicrosecondArray::from(micros));
        assert_eq!(at(Check::Instants, vec![1_000_000, 2_147_483_647_999_999, 0]), Some(2));
        assert_eq!(at(Check::Digits(3), vec![5_000, -3_000, 1]), Some(2));
        assert_eq!(at(Check::Digits(0), vec![-2_000_000, 1_500_000]), Some(1));
        assert_eq!(at(Check::Digits(6), vec![1]), None);
    }

    #[test]
    fn texts_and_bytes() {
        assert_eq!(row(&Check::TrailingSpaces, StringArray::from(vec![Some(" a"), None, Some("b ")])), Some(2));
        assert_eq!(row(&Check::Width(2), BinaryArray::from(vec![Some(b"ab".as_slice()), None, Some(b"a")])), Some(2));
    }

    #[test]
    fn numbers_that_stand_for_something_else() {
        let members = || vec!["1".to_owned(), "a".to_owned()];
        let one = Check::OneOf(members());
        assert_eq!(row(&one, StringArray::from(vec![Some("1"), Some("a"), None, Some("2")])), Some(3));
        for other in ["", "A", "a ", "á", "1,a"] {
            assert_eq!(row(&one, StringArray::from(vec!["a", other])), Some(1), "{other}");
        }
        let some = Check::SomeOf(members());
        assert_eq!(row(&some, StringArray::from(vec!["", "1", "a,1", "1,a"])), None);
        for other in ["2", "A", "a,a", "a,", "1, a"] {
            assert_eq!(row(&some, StringArray::from(vec!["a", other])), Some(1), "{other}");
        }
        assert_eq!(row(&Check::FullYears, Int16Array::from(vec![0, 1901, 2155, 24])), Some(3));
        assert_eq!(row(&Check::Decimals(2), Float64Array::from(vec![1.25, 0.1, -3.0, 1.255])), Some(3));
        assert_eq!(row(&Check::Decimals(1), Float32Array::from(vec![0.1, 2.5, 2.25])), Some(2));
    }

    #[test]
    fn numbers_in_json() {
        for kept in [
            r#"{"a": 1, "b": -9223372036854775808, "c": 18446744073709551615}"#,
            "0.1",
            r#"["1e999", "\"2e999"]"#,
            "1e22",
            "1e300",
            "1.5e300",
            "0.0",
            "0e300",
            "-123456789.012345",
        ] {
            for floats in [JsonFloats::Nearest, JsonFloats::Nearby] {
                assert!(numbers_are_kept(kept.as_bytes(), floats), "{kept}");
            }
        }
        // As the servers did when they were asked.
        for nearest in [
            "0.30000000000000004",
            "-1.2345678901234500",
            "8.77975322568027e-236",
            "1.10e-29",
            "7000e-40",
            "1.7976931348623157e308",
            "5e-324",
        ] {
            assert!(numbers_are_kept(nearest.as_bytes(), JsonFloats::Nearest), "{nearest}");
            assert!(!numbers_are_kept(nearest.as_bytes(), JsonFloats::Nearby), "{nearest}");
        }
        for lost in [
            "18446744073709551616",
            "0.1234567890123456789",
            "1e999",
            "1e-999",
            "-0",
            "4.94065645841247e-324",
            "1e99999999999999999999",
            r#"{"a": [12345678901234567890123]}"#,
        ] {
            for floats in [JsonFloats::Nearest, JsonFloats::Nearby] {
                assert!(!numbers_are_kept(lost.as_bytes(), floats), "{lost}");
            }
        }
    }
}
