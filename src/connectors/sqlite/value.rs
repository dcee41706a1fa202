//! Values that SQLite keeps as text: dates, times, decimals, UUIDs; from text and to text, both exact.
//!
//! Dates are ISO, with a sign and more digits beyond the years 0 to 9999. Fractions of seconds lose trailing zeros,
//! so that texts of one kind sort as their instants do. Instants end in `+00:00`.

use arrow::datatypes::i256;
use chrono::{Datelike as _, NaiveDate, NaiveTime, Timelike as _};

const DAYS_TO_EPOCH: i32 = 719_163;
const SECOND_NANOS: i128 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Days since 1970 of `2024-02-29` or `+12024-02-29`.
pub(super) fn parse_date(text: &[u8]) -> Option<i32> {
    let (date, rest) = leading_date(text)?;
    rest.is_empty().then_some(date)
}

/// A date at the start of `text`, and what follows it.
fn leading_date(text: &[u8]) -> Option<(i32, &[u8])> {
    let (negative, signed, body) = match text.first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let width = body.iter().position(|byte| !byte.is_ascii_digit())?;
    if !(width == 4 || (signed && (4..=6).contains(&width))) || body.len() < width + 6 {
        return None;
    }
    let (year, rest) = body.split_at(width);
    if rest[0] != b'-' || rest[3] != b'-' {
        return None;
    }
    let year = digits(year)?.cast_signed();
    let date =
        NaiveDate::from_ymd_opt(if negative { -year } else { year }, digits(&rest[1..3])?, digits(&rest[4..6])?)?;
    Some((date.num_days_from_ce() - DAYS_TO_EPOCH, &rest[6..]))
}

/// A point in time as SQLite's own date functions read it, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    nanos: i128,
    /// Whether the text named a zone; the value is then UTC.
    pub(super) zoned: bool,
}

impl Moment {
    /// Parses `2024-02-29`, `2024-02-29 12:30`, `2024-02-29T12:30:01.5Z`, `… 12:30:01 +02:00`.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (days, rest) = leading_date(text)?;
        let midnight = i128::from(days) * i128::from(DAY_SECONDS) * SECOND_NANOS;
        if rest.is_empty() {
            return Some(Self { nanos: midnight, zoned: false });
        }
        let rest = rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"T"))?;
        let (time, rest) = leading_time(rest)?;
        let zone = rest.strip_prefix(b" ").unwrap_or(rest);
        let offset = parse_zone(zone)?;
        let shift = i128::from(offset.unwrap_or(0)) * SECOND_NANOS;
        Some(Self { nanos: midnight + i128::from(time) - shift, zoned: offset.is_some() })
    }

    /// In units of `unit_nanos`; none when it would be rounded or does not fit.
    pub(super) fn in_units(self, unit_nanos: i64) -> Option<i64> {
        let unit = i128::from(unit_nanos);
        (self.nanos % unit == 0).then(|| i64::try_from(self.nanos / unit).ok()).flatten()
    }
}

/// Nanoseconds since midnight of `12:30`, `12:30:01`, `12:30:01.123456789`.
pub(super) fn parse_time(text: &[u8]) -> Option<i64> {
    let (time, rest) = leading_time(text)?;
    rest.is_empty().then_some(time)
}

fn leading_time(text: &[u8]) -> Option<(i64, &[u8])> {
    if text.len() < 5 || text[2] != b':' {
        return None;
    }
    let (hour, minute) = (digits(&text[..2])?, digits(&text[3..5])?);
    let (second, rest) = match text[5..].strip_prefix(b":") {
        Some(rest) => (digits(rest.get(..2)?)?, &rest[2..]),
        None => (0, &text[5..]),
    };
    let (nanos, rest) = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let width = fraction.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(fraction.len());
            // More than nine digits could only be kept when they are zeros.
            let (kept, surplus) = fraction[..width].split_at(width.min(9));
            if kept.is_empty() || surplus.iter().any(|byte| *byte != b'0') {
                return None;
            }
            (digits(kept)? * 10_u32.pow(9 - kept.len() as u32), &fraction[width..])
        }
        None => (0, rest),
    };
    let time = NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?;
    Some((i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(nanos), rest))
}

/// Seconds east of UTC: of nothing none, of `Z` zero, of `+02:00`, `+0200` and `+02` two hours. The outer option is
/// empty for any other text.
#[expect(clippy::option_option, reason = "a wrong zone and no zone are two things")]
fn parse_zone(text: &[u8]) -> Option<Option<i32>> {
    let (sign, body) = match text {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(0)),
        [b'+', body @ ..] => (1, body),
        [b'-', body @ ..] => (-1, body),
        _ => return None,
    };
    let minutes = match body {
        [_, _] => 0,
        [_, _, b':', minutes @ ..] | [_, _, minutes @ ..] if minutes.len() == 2 => digits(minutes)?,
        _ => return None,
    };
    let hours = digits(&body[..2])?;
    (hours <= 15 && minutes < 60).then(|| Some(sign * (hours * 3600 + minutes * 60).cast_signed()))
}

fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |value, byte| value * 10 + u32::from(byte - b'0')))
}

/// Appends the date `days` after 1970 to `text`; `false` for years beyond ±262,000.
pub(super) fn write_date(text: &mut String, days: i32) -> bool {
    let Some(date) = days.checked_add(DAYS_TO_EPOCH).and_then(NaiveDate::from_num_days_from_ce_opt) else {
        return false;
    };
    let year = date.year();
    if !(0..=9999).contains(&year) {
        text.push(if year < 0 { '-' } else { '+' });
    }
    let years = year.unsigned_abs();
    write_digits(text, years, years.max(1000).ilog10() + 1);
    text.push('-');
    write_digits(text, date.month(), 2);
    text.push('-');
    write_digits(text, date.day(), 2);
    true
}

/// Appends `value` in units of `unit_nanos` since 1970, as `2024-02-29 12:30:01.5`.
pub(super) fn write_moment(text: &mut String, value: i64, unit_nanos: i64) -> bool {
    let per_day = DAY_SECONDS * (1_000_000_000 / unit_nanos);
    let Ok(days) = i32::try_from(value.div_euclid(per_day)) else { return false };
    if !write_date(text, days) {
        return false;
    }
    text.push(' ');
    write_time(text, value.rem_euclid(per_day) * unit_nanos);
    true
}

/// Appends `nanos` since midnight, less than a day, as `12:30:01.5`.
pub(super) fn write_time(text: &mut String, nanos: i64) {
    let (seconds, mut fraction) = ((nanos / 1_000_000_000) as u32, (nanos % 1_000_000_000) as u32);
    write_digits(text, seconds / 3600, 2);
    text.push(':');
    write_digits(text, seconds / 60 % 60, 2);
    text.push(':');
    write_digits(text, seconds % 60, 2);
    if fraction > 0 {
        let mut width = 9;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        text.push('.');
        write_digits(text, fraction, width);
    }
}

fn write_digits(text: &mut String, value: u32, width: u32) {
    for place in (0..width).rev() {
        text.push(char::from(b'0' + (value / 10_u32.pow(place) % 10) as u8));
    }
}

/// `12.50` as an integer at `scale`; none when it would be rounded or has more than `precision` digits.
pub(super) fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i256> {
    let (negative, body) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let point = body.iter().position(|byte| *byte == b'.').unwrap_or(body.len());
    let (whole, fraction) = (&body[..point], body.get(point + 1..).unwrap_or_default());
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let scale = usize::try_from(scale).ok()?;
    let (kept, surplus) = fraction.split_at(fraction.len().min(scale));
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) || surplus.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let start = whole.iter().position(|byte| *byte != b'0').unwrap_or(whole.len());
    let whole = &whole[start..];
    if whole.len() + scale > usize::from(precision) {
        return None;
    }
    // Up to 38 digits fit the plain integer, which is the usual case.
    let zeros = scale - kept.len();
    let value = if whole.len() + scale <= 38 {
        let value = whole.iter().chain(kept).fold(0_i128, |value, byte| value * 10 + i128::from(byte - b'0'));
        i256::from_i128(value * 10_i128.pow(zeros as u32))
    } else {
        let mut all = Vec::with_capacity(whole.len() + scale);
        all.extend_from_slice(whole);
        all.extend_from_slice(kept);
        all.resize(whole.len() + scale, b'0');
        i256::from_string(std::str::from_utf8(&all).ok()?)?
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Appends the decimal of `digits` (with its sign) at `scale`.
pub(super) fn write_decimal(text: &mut String, digits: &str, scale: i8) {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    text.push_str(sign);
    let Ok(scale) = usize::try_from(scale) else {
        text.push_str(digits);
        if digits != "0" {
            text.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
        }
        return;
    };
    let missing = (scale + 1).saturating_sub(digits.len());
    let zeros = std::iter::repeat_n('0', missing);
    if missing > 0 || scale > 0 {
        let point = text.len() + missing + digits.len() - scale;
        text.extend(zeros);
        text.push_str(digits);
        if scale > 0 {
            text.insert(point, '.');
        }
    } else {
        text.push_str(digits);
    }
}

/// The 16 bytes of `01890a5d-ac96-774b-bcce-b302099a8057`, in either case of letters.
pub(super) fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|place| text[*place] != b'-') {
        return None;
    }
    Some(uuid::Uuid::try_parse_ascii(text).ok()?.into_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_iso() {
        assert_eq!(parse_date(b"1970-01-01"), Some(0));
        assert_eq!(parse_date(b"2024-02-29"), Some(19_782));
        assert_eq!(parse_date(b"-0043-03-15"), Some(-735_160));
        for wrong in ["2023-02-29", "2024-2-29", "24-02-29", "2024-02-29 ", "20240229", "12024-01-01", "", "-", "now"] {
            assert_eq!(parse_date(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn moments_are_what_sqlite_itself_reads() {
        let nanos = |text: &str| Moment::parse(text.as_bytes()).map(|moment| (moment.nanos, moment.zoned));
        assert_eq!(nanos("1970-01-02"), Some((86_400_000_000_000, false)));
        assert_eq!(nanos("1970-01-01 00:01"), Some((60_000_000_000, false)));
        assert_eq!(nanos("1970-01-01T00:00:01.5"), Some((1_500_000_000, false)));
        assert_eq!(nanos("1970-01-01 02:00:00+02:00"), Some((0, true)));
        assert_eq!(nanos("1970-01-01 02:00:00 +0200"), Some((0, true)));
        assert_eq!(nanos("1970-01-01T00:00:00.000000000000Z"), Some((0, true)));
        for wrong in [
            "1970-01-01 ",
            "1970-01-01 1:00",
            "1970-01-01 24:00",
            "1970-01-01 00:00:00.",
            "1970-01-01 00:00 PM",
            "1970-01-01 00:00:00.0000000001",
            "1970-01-01 00:00:60",
        ] {
            assert_eq!(nanos(wrong), None, "{wrong}");
        }
        assert_eq!(Moment::parse(b"1970-01-01 00:00:00.0000005").unwrap().in_units(1_000), None);
    }

    #[test]
    fn decimals_keep_every_digit_or_are_none() {
        let parse = |text: &str| parse_decimal(text.as_bytes(), 5, 2).map(|value| value.to_string());
        assert_eq!(parse("12.5").unwrap(), "1250");
        assert_eq!(parse("-000.01").unwrap(), "-1");
        assert_eq!(parse("12.5000").unwrap(), "1250");
        assert_eq!(parse("+5.").unwrap(), "500");
        for wrong in ["12.345", "1000", "", "-", ".", "1e3", "0x1", " 1", "NaN"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let long = format!("{}.5", "9".repeat(75));
        assert_eq!(parse_decimal(long.as_bytes(), 76, 1).unwrap().to_string(), format!("{}5", "9".repeat(75)));
    }

    #[test]
    fn decimals_are_written_with_their_scale() {
        for (digits, scale, text) in [
            ("1250", 2, "12.50"),
            ("-1", 2, "-0.01"),
            ("0", 2, "0.00"),
            ("7", 0, "7"),
            ("12", -2, "1200"),
            ("100", 3, "0.100"),
        ] {
            let mut written = String::new();
            write_decimal(&mut written, digits, scale);
            assert_eq!(written, text);
        }
    }

    proptest! {
        #[test]
        fn dates_and_moments_round_trip(days in -90_000_000_i32..90_000_000, micros in any::<i64>(), nanos in 0..86_400_000_000_000_i64) {
            let mut text = String::new();
            prop_assert!(write_date(&mut text, days));
            prop_assert_eq!(parse_date(text.as_bytes()), Some(days));
            text.clear();
            if write_moment(&mut text, micros, 1_000) {
                prop_assert_eq!(Moment::parse(text.as_bytes()).unwrap().in_units(1_000), Some(micros));
            }
            text.clear();
            write_time(&mut text, nanos);
            prop_assert_eq!(parse_time(text.as_bytes()), Some(nanos));
        }

        #[test]
        fn no_bytes_make_the_parsers_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_date(&text), Moment::parse(&text), parse_time(&text), parse_uuid(&text));
            let _ = parse_decimal(&text, 76, 20);
        }

        #[test]
        fn nor_does_text_that_is_nearly_right(text in "[-+0-9:. TZ]{0,32}") {
            let text = text.as_bytes();
            let _ = (parse_date(text), Moment::parse(text), parse_time(text), parse_decimal(text, 38, 6));
        }
    }
}
