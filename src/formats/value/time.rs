//! Dates, times, timestamps and durations, from and to text.
//!
//! The forms are those that PostgreSQL prints: `2024-01-02 03:04:05.123456+00:00`, years beyond 9999 with all their
//! digits, years before 1 as `0044-03-15 BC`. Reading also takes `T` and `Z`. Fractions are printed without zeros at
//! the end. All arithmetic is on whole numbers, in the proleptic Gregorian calendar, without leap seconds.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Offset, TimeZone};

pub(crate) const DAY_SECONDS: i64 = 86_400;

/// Nanoseconds of a second.
pub(crate) const NANOS: i64 = 1_000_000_000;

/// Parts of `unit` in a second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => NANOS,
    }
}

/// Whether a timestamp in text says how far it is from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// It must, and is taken to UTC.
    Zoned,
    /// It must not.
    Local,
}

/// The parts of a timestamp in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Seconds since 1970, of the clock on the wall.
    seconds: i64,
    nanos: i64,
    /// Seconds east of UTC, if it says so.
    pub(crate) offset: Option<i64>,
    /// Digits of the fraction of a second.
    pub(crate) digits: usize,
    /// Whether there is a time of day.
    pub(crate) timed: bool,
}

/// Days since 1970 of `2024-01-02`.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    let (text, before_christ) = strip_era(text);
    let (days, rest) = leading_date(text, before_christ)?;
    rest.is_empty().then(|| i32::try_from(days).ok())?
}

/// The day since 1970 of a timestamp without a zone, and whether that is at midnight.
pub(super) fn day(text: &[u8]) -> Option<(i32, bool)> {
    let moment = moment(text).filter(|moment| moment.offset.is_none())?;
    let day = i32::try_from(moment.seconds.div_euclid(DAY_SECONDS)).ok()?;
    Some((day, moment.seconds.rem_euclid(DAY_SECONDS) == 0 && moment.nanos == 0))
}

/// A time of day of `unit`; none at or beyond 24:00 or with more digits than the unit holds.
pub(crate) fn time(text: &[u8], unit: TimeUnit) -> Option<i64> {
    let (seconds, nanos, _, rest) = leading_time(text)?;
    rest.is_empty().then(|| in_unit(seconds, nanos, unit))?
}

/// A timestamp of `unit` since 1970; none where `zone` does not fit, or digits or range do not.
pub(crate) fn timestamp(text: &[u8], unit: TimeUnit, zone: Zone) -> Option<i64> {
    stamp(text, unit).filter(|(_, said)| *said == zone).map(|(number, _)| number)
}

/// A timestamp of `unit` since 1970, and whether its text names a zone; none where digits or range do not fit.
pub(super) fn stamp(text: &[u8], unit: TimeUnit) -> Option<(i64, Zone)> {
    let moment = moment(text)?;
    let (seconds, zone) = match moment.offset {
        Some(offset) => (moment.seconds.checked_sub(offset)?, Zone::Zoned),
        None => (moment.seconds, Zone::Local),
    };
    Some((in_unit(seconds, moment.nanos, unit)?, zone))
}

/// Splits `2024-01-02[(T| )03:04[:05[.123]][zone]]`.
pub(crate) fn moment(text: &[u8]) -> Option<Moment> {
    let (text, before_christ) = strip_era(text);
    let (days, rest) = leading_date(text, before_christ)?;
    let midnight = days * DAY_SECONDS;
    let (b'T' | b't' | b' ', rest) = rest.split_first().map_or((b'T', rest), |(first, rest)| (*first, rest)) else {
        return None;
    };
    if rest.is_empty() {
        let timed = text.last().is_some_and(|last| !last.is_ascii_digit());
        return (!timed).then_some(Moment { seconds: midnight, nanos: 0, offset: None, digits: 0, timed: false });
    }
    let (seconds, nanos, digits, rest) = leading_time(rest)?;
    let offset = if rest.is_empty() { None } else { Some(zone(rest)?) };
    Some(Moment { seconds: midnight + seconds, nanos, offset, digits, timed: true })
}

/// A number of `unit`; none where the nanoseconds or the range do not fit.
pub(super) fn in_unit(seconds: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    let per_second = per_second(unit);
    let nanos_each = NANOS / per_second;
    if nanos % nanos_each != 0 {
        return None;
    }
    let value = i128::from(seconds) * i128::from(per_second) + i128::from(nanos / nanos_each);
    i64::try_from(value).ok()
}

/// The instant at which `clock` shows `local`, a timestamp of `unit`; none where it shows that twice or never.
pub(crate) fn instant(local: i64, unit: TimeUnit, clock: Tz) -> Option<i64> {
    let units = per_second(unit);
    let shown = DateTime::from_timestamp(local.div_euclid(units), 0)?.naive_utc();
    let ahead = clock.offset_from_local_datetime(&shown).single()?.fix().local_minus_utc();
    local.checked_sub(i64::from(ahead) * units)
}

fn strip_era(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC").map_or((text, false), |text| (text, true))
}

fn leading_date(text: &[u8], before_christ: bool) -> Option<(i64, &[u8])> {
    let year_digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(4..=7).contains(&year_digits) {
        return None;
    }
    let (year, rest) = text.split_at(year_digits);
    let year = year.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let [b'-', m1, m2, b'-', d1, d2, rest @ ..] = rest else { return None };
    let (month, day) = (two(*m1, *m2)?, two(*d1, *d2)?);
    // No year 0: 1 BC comes before 1.
    let year = match (year, before_christ) {
        (0, _) => return None,
        (year, true) => 1 - year,
        (year, false) => year,
    };
    ((1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day))
        .then(|| (days_from_civil(year, month, day), rest))
}

/// Seconds, nanoseconds, digits of the fraction, and what follows.
fn leading_time(text: &[u8]) -> Option<(i64, i64, usize, &[u8])> {
    let [h1, h2, b':', m1, m2, rest @ ..] = text else { return None };
    let (hour, minute) = (two(*h1, *h2)?, two(*m1, *m2)?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (two(*s1, *s2)?, rest),
        rest => (0, rest),
    };
    let (nanos, digits, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        rest => (0, 0, rest),
    };
    (hour < 24 && minute < 60 && second < 60).then_some((hour * 3600 + minute * 60 + second, nanos, digits, rest))
}

/// Nanoseconds of the digits after a point; none beyond nine that are not zero.
pub(super) fn fraction(text: &[u8]) -> Option<(i64, usize, &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    let (held, beyond) = digits.split_at(count.min(9));
    if count == 0 || beyond.iter().any(|digit| *digit != b'0') {
        return None;
    }
    let value = held.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((value * 10_i64.pow(9 - held.len() as u32), count, rest))
}

/// `Z` → 0, `+05`, `-0530`, `+05:30`, `+05:30:15` → seconds east of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hour, minute, second) = match rest {
        [h1, h2] => (two(*h1, *h2)?, 0, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (two(*h1, *h2)?, two(*m1, *m2)?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?),
        _ => return None,
    };
    (hour < 24 && minute < 60 && second < 60).then_some(sign * (hour * 3600 + minute * 60 + second))
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of a month of the proleptic Gregorian calendar.
pub(crate) fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years are counted from March, so that the leap day is the last of its year.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month < 3);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year (1 BC is 0), month and day.
pub(super) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month < 3), month, day)
}

/// Prints the day that is `days` after 1970-01-01.
pub(crate) fn print_date(days: i64, out: &mut Vec<u8>) {
    let era = print_calendar(days, out);
    out.extend_from_slice(era);
}

/// Prints a date without its era, and returns that.
fn print_calendar(days: i64, out: &mut Vec<u8>) -> &'static [u8] {
    let (year, month, day) = civil_from_days(days);
    let (shown, era): (i64, &[u8]) = if year > 0 { (year, b"") } else { (1 - year, b" BC") };
    if shown < 10_000 {
        out.extend_from_slice(&digits2(shown / 100));
        out.extend_from_slice(&digits2(shown % 100));
    } else {
        super::number::print_integer(shown, out);
    }
    let [m1, m2] = digits2(month);
    let [d1, d2] = digits2(day);
    out.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
    era
}

/// Prints a timestamp; one in UTC ends in `+00:00`.
pub(crate) fn print_timestamp(value: i64, unit: TimeUnit, zone: Zone, out: &mut Vec<u8>) {
    let per_day = per_second(unit) * DAY_SECONDS;
    let era = print_calendar(value.div_euclid(per_day), out);
    out.push(b' ');
    print_clock(value.rem_euclid(per_day) as u64, unit, out);
    if zone == Zone::Zoned {
        out.extend_from_slice(b"+00:00");
    }
    out.extend_from_slice(era);
}

/// Prints a time of day or a duration: `03:04:05.5`, `-100:00:00`.
pub(crate) fn print_time(value: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    print_clock(value.unsigned_abs(), unit, out);
}

fn print_clock(value: u64, unit: TimeUnit, out: &mut Vec<u8>) {
    let per_second = per_second(unit) as u64;
    let (seconds, part) = (value / per_second, value % per_second);
    let hours = seconds / 3600;
    if hours < 100 {
        out.extend_from_slice(&digits2(hours as i64));
    } else {
        super::number::print_integer(hours, out);
    }
    let [m1, m2] = digits2((seconds / 60 % 60) as i64);
    let [s1, s2] = digits2((seconds % 60) as i64);
    out.extend_from_slice(&[b':', m1, m2, b':', s1, s2]);
    if part > 0 {
        out.push(b'.');
        let mut rest = part * (NANOS as u64 / per_second);
        let mut place = NANOS as u64 / 10;
        while rest > 0 {
            out.push(b'0' + (rest / place) as u8);
            rest %= place;
            place /= 10;
        }
    }
}

/// A duration in the form of [`print_time`].
pub(crate) fn duration(text: &[u8], unit: TimeUnit) -> Option<i64> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |text| (true, text));
    let (seconds, nanos) = clock(text)?;
    let per_second = i128::from(per_second(unit));
    let nanos_each = i128::from(NANOS) / per_second;
    let value = i128::from(seconds) * per_second + i128::from(nanos) / nanos_each;
    (i128::from(nanos) % nanos_each == 0).then(|| i64::try_from(if negative { -value } else { value }).ok())?
}

/// Seconds and nanoseconds of `100:04:05.5`, hours without a limit.
pub(super) fn clock(text: &[u8]) -> Option<(i64, i64)> {
    let colon = text.iter().position(|byte| *byte == b':').filter(|colon| (1..=16).contains(colon))?;
    let (hours, rest) = text.split_at(colon);
    if !hours.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let hours = hours.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let [b':', m1, m2, rest @ ..] = rest else { return None };
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (two(*s1, *s2)?, rest),
        rest => (0, rest),
    };
    let (nanos, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest).map(|(nanos, _, rest)| (nanos, rest))?,
        rest => (0, rest),
    };
    let minute = two(*m1, *m2)?;
    (rest.is_empty() && minute < 60 && second < 60)
        .then(|| hours.checked_mul(3600)?.checked_add(minute * 60 + second).map(|seconds| (seconds, nanos)))?
}

fn digits2(value: i64) -> [u8; 2] {
    [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]
}
