//! Intervals of months, days and nanoseconds, from and to text.
//!
//! Printed as PostgreSQL prints them (`1 year 2 mons -3 days +04:05:06.5`); ISO 8601 (`P1Y2M-3DT4H5M6.5S`) is read too.

use arrow::datatypes::{IntervalMonthDayNano, TimeUnit};

use super::{number, time};

const SECOND: i64 = 1_000_000_000;

#[derive(Clone, Copy, Default)]
struct Sum {
    months: i64,
    days: i64,
    nanos: i64,
}

impl Sum {
    fn add(mut self, count: i64, unit: Unit) -> Option<Self> {
        let (sum, each) = match unit {
            Unit::Months(each) => (&mut self.months, each),
            Unit::Days(each) => (&mut self.days, each),
            Unit::Nanos(each) => (&mut self.nanos, each),
        };
        *sum = count.checked_mul(each)?.checked_add(*sum)?;
        Some(self)
    }

    /// Adds `-1.5`: a fraction only where it stays exact, in parts of a second.
    fn add_text(self, text: &[u8], unit: Unit) -> Option<Self> {
        let parts = number::Number::split(text).filter(|parts| parts.exponent.is_none() && !parts.whole.is_empty())?;
        let whole: i64 = number::integer(parts.whole)?;
        let sign = if parts.negative { -1 } else { 1 };
        let sum = self.add(sign * whole, unit)?;
        match unit {
            _ if !parts.point => Some(sum),
            Unit::Nanos(SECOND) => {
                let (nanos, _, _) = time::fraction(parts.fraction)?;
                sum.add(sign * nanos, Unit::Nanos(1))
            }
            _ => None,
        }
    }

    fn finish(self) -> Option<IntervalMonthDayNano> {
        let (months, days) = (i32::try_from(self.months).ok()?, i32::try_from(self.days).ok()?);
        Some(IntervalMonthDayNano::new(months, days, self.nanos))
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Months(i64),
    Days(i64),
    Nanos(i64),
}

/// An interval; none when a part of it would be rounded or is out of range.
pub(crate) fn interval(text: &[u8]) -> Option<IntervalMonthDayNano> {
    match text {
        [b'P', rest @ ..] => iso(rest),
        _ => verbose(std::str::from_utf8(text).ok()?),
    }
}

fn verbose(text: &str) -> Option<IntervalMonthDayNano> {
    let mut sum = Sum::default();
    let mut words = text.split_ascii_whitespace().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (sign, clock) = match word.as_bytes() {
                [b'-', clock @ ..] => (-1, clock),
                [b'+', clock @ ..] | clock => (1, clock),
            };
            let (seconds, nanos) = time::clock(clock)?;
            sum = sum.add(sign * seconds, Unit::Nanos(SECOND))?.add(sign * nanos, Unit::Nanos(1))?;
        } else {
            let unit = match words.next()? {
                "year" | "years" => Unit::Months(12),
                "mon" | "mons" | "month" | "months" => Unit::Months(1),
                "week" | "weeks" => Unit::Days(7),
                "day" | "days" => Unit::Days(1),
                "hour" | "hours" => Unit::Nanos(3600 * SECOND),
                "min" | "mins" | "minute" | "minutes" => Unit::Nanos(60 * SECOND),
                "sec" | "secs" | "second" | "seconds" => Unit::Nanos(SECOND),
                _ => return None,
            };
            sum = sum.add_text(word.as_bytes(), unit)?;
        }
    }
    sum.finish()
}

fn iso(text: &[u8]) -> Option<IntervalMonthDayNano> {
    let mut sum = Sum::default();
    let mut rest = text;
    let mut in_time = false;
    if rest.is_empty() || rest.ends_with(b"T") {
        return None;
    }
    while !rest.is_empty() {
        if let [b'T', after @ ..] = rest {
            if in_time {
                return None;
            }
            in_time = true;
            rest = after;
            continue;
        }
        let length = rest.iter().position(u8::is_ascii_alphabetic)?;
        let unit = match (in_time, rest[length]) {
            (false, b'Y') => Unit::Months(12),
            (false, b'M') => Unit::Months(1),
            (false, b'W') => Unit::Days(7),
            (false, b'D') => Unit::Days(1),
            (true, b'H') => Unit::Nanos(3600 * SECOND),
            (true, b'M') => Unit::Nanos(60 * SECOND),
            (true, b'S') => Unit::Nanos(SECOND),
            _ => return None,
        };
        sum = sum.add_text(&rest[..length], unit)?;
        rest = &rest[length + 1..];
    }
    sum.finish()
}

/// Prints an interval; a part after a negative one carries its sign.
pub(crate) fn print_interval(value: IntervalMonthDayNano, out: &mut Vec<u8>) {
    let start = out.len();
    let (months, days, nanos) = (value.months, value.days, value.nanoseconds);
    let mut negative = false;
    for (count, one, many) in [(months / 12, "year", "years"), (months % 12, "mon", "mons"), (days, "day", "days")] {
        if count == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        if negative && count > 0 {
            out.push(b'+');
        }
        number::print_integer(count, out);
        out.push(b' ');
        out.extend_from_slice(if count == 1 { one } else { many }.as_bytes());
        negative = count < 0;
    }
    if nanos != 0 || out.len() == start {
        if out.len() > start {
            out.push(b' ');
        }
        if negative && nanos > 0 {
            out.push(b'+');
        }
        time::print_time(nanos, TimeUnit::Nanosecond, out);
    }
}
