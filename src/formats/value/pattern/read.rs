//! Texts along the parts of a pattern.

use arrow::datatypes::TimeUnit;

use super::{MONTHS, Names, Part, Pattern, Unit, WEEKDAYS, Width, weekday};
use crate::formats::value::time::{self, DAY_SECONDS, Zone, in_unit};

/// What a text says.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// Days since 1970, and the seconds and nanoseconds of the day, of the clock on the wall.
    days: i64,
    seconds: i64,
    nanos: i64,
    /// Seconds east of UTC.
    offset: i64,
}

/// The numbers of a text, as far as it was read.
struct Numbers {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: Option<i64>,
    weekday: Option<usize>,
    hour: i64,
    /// The hour of a clock of twelve.
    half_hour: Option<i64>,
    /// Hours that the half of the day adds.
    half: Option<i64>,
    minute: i64,
    second: i64,
    nanos: i64,
    offset: i64,
}

impl Pattern {
    /// Days since 1970 of a text; one with a time of day must say midnight.
    pub(crate) fn date(&self, text: &[u8]) -> Option<i32> {
        self.day(text).and_then(|(day, is_midnight)| is_midnight.then_some(day))
    }

    /// The day since 1970 of a text, and whether it says midnight.
    pub(crate) fn day(&self, text: &[u8]) -> Option<(i32, bool)> {
        let found = self.read(text)?;
        Some((i32::try_from(found.days).ok()?, found.seconds == 0 && found.nanos == 0))
    }

    /// A time of day of `unit`; none with more digits than the unit holds.
    pub(crate) fn time(&self, text: &[u8], unit: TimeUnit) -> Option<i64> {
        let found = self.read(text)?;
        in_unit(found.seconds, found.nanos, unit)
    }

    /// A timestamp of `unit` since 1970; one of a zone is taken to UTC.
    pub(crate) fn timestamp(&self, text: &[u8], unit: TimeUnit, zone: Zone) -> Option<i64> {
        let found = self.read(text)?;
        let offset = if zone == Zone::Zoned { found.offset } else { 0 };
        in_unit(found.days * DAY_SECONDS + found.seconds - offset, found.nanos, unit)
    }

    /// What the whole of `text` says; none where it is not written so, or names no day of the calendar.
    pub(super) fn read(&self, text: &[u8]) -> Option<Found> {
        let mut numbers = Numbers {
            year: 1970,
            month: 1,
            day: 1,
            day_of_year: None,
            weekday: None,
            hour: 0,
            half_hour: None,
            half: None,
            minute: 0,
            second: 0,
            nanos: 0,
            offset: 0,
        };
        let mut rest = text;
        for part in &self.parts {
            rest = numbers.take(part, rest)?;
        }
        if rest.is_empty() { numbers.found() } else { None }
    }
}

impl Numbers {
    /// Reads one part at the start of `text`, and returns what follows.
    fn take<'t>(&mut self, part: &Part, text: &'t [u8]) -> Option<&'t [u8]> {
        Some(match part {
            Part::Text(expected) => text.strip_prefix(expected.as_slice())?,
            Part::Number { of, digits, width } => {
                let most = if *width == Width::Exact { usize::from(*digits) } else { of.most_digits() };
                let least = if *width == Width::Exact { most } else { 1 };
                let text = if *width == Width::Lenient { text.trim_ascii_start() } else { text };
                let (number, _, rest) = number(text, least, most)?;
                self.set(*of, number);
                rest
            }
            Part::Fraction { digits, width } => {
                let most = if *width == Width::Exact { usize::from(*digits) } else { 9 };
                let least = if *width == Width::Exact { most } else { 1 };
                let (number, read, rest) = number(text, least, most)?;
                self.nanos = number * 10_i64.pow(9 - read as u32);
                rest
            }
            Part::Month(names) => {
                let (index, rest) = name(text, *names, &MONTHS)?;
                self.month = index as i64 + 1;
                rest
            }
            Part::Weekday(names) => {
                let (index, rest) = name(text, *names, &WEEKDAYS)?;
                self.weekday = Some(index);
                rest
            }
            Part::HalfDay => {
                let (half, rest) = text.split_at_checked(2)?;
                self.half = Some(match half {
                    [b'A' | b'a', b'M' | b'm'] => 0,
                    [b'P' | b'p', b'M' | b'm'] => 12,
                    _ => return None,
                });
                rest
            }
            Part::Zone { .. } => {
                let (offset, rest) = zone(text)?;
                self.offset = offset;
                rest
            }
        })
    }

    fn set(&mut self, unit: Unit, number: i64) {
        match unit {
            Unit::Year => self.year = number,
            Unit::ShortYear => self.year = if number < 69 { 2000 + number } else { 1900 + number },
            Unit::Month => self.month = number,
            Unit::Day => self.day = number,
            Unit::DayOfYear => self.day_of_year = Some(number),
            Unit::Hour => self.hour = number,
            Unit::HalfDayHour => self.half_hour = Some(number),
            Unit::Minute => self.minute = number,
            Unit::Second => self.second = number,
        }
    }

    /// What all of it says, if it is a day of the calendar and a time of the day.
    fn found(self) -> Option<Found> {
        let hour = match (self.half_hour, self.half) {
            (None, _) => self.hour,
            // Java takes it for one of the morning, and one behind 12 for what it says.
            (Some(12), None) => 0,
            (Some(hour), None) => hour,
            (Some(hour), Some(more)) => (1..=12).contains(&hour).then(|| hour % 12 + more)?,
        };
        let days = if let Some(day) = self.day_of_year {
            let first = time::days_from_civil(self.year, 1, 1);
            let next = time::days_from_civil(self.year + 1, 1, 1);
            (1..=next - first).contains(&day).then(|| first + day - 1)?
        } else {
            let is_day =
                (1..=12).contains(&self.month) && (1..=time::month_days(self.year, self.month)).contains(&self.day);
            is_day.then(|| time::days_from_civil(self.year, self.month, self.day))?
        };
        let is_time = hour < 24 && self.minute < 60 && self.second < 60;
        let is_weekday = self.weekday.is_none_or(|wanted| wanted == weekday(days));
        (is_time && is_weekday && self.year > 0).then_some(Found {
            days,
            seconds: hour * 3600 + self.minute * 60 + self.second,
            nanos: self.nanos,
            offset: self.offset,
        })
    }
}

impl Unit {
    fn most_digits(self) -> usize {
        match self {
            Self::Year => 4,
            Self::DayOfYear => 3,
            _ => 2,
        }
    }
}

/// A number of `least` to `most` digits, how many it has, and what follows.
#[inline]
fn number(text: &[u8], least: usize, most: usize) -> Option<(i64, usize, &[u8])> {
    let mut value = 0;
    let mut read = 0;
    while read < most {
        let Some(digit) = text.get(read).filter(|digit| digit.is_ascii_digit()) else { break };
        value = value * 10 + i64::from(digit - b'0');
        read += 1;
    }
    (read >= least).then(|| (value, read, &text[read..]))
}

/// Which of `names` stands at the start of `text`, in small or large letters, and what follows.
fn name<'t>(text: &'t [u8], form: Names, names: &[&'static str]) -> Option<(usize, &'t [u8])> {
    (0..names.len()).find_map(|index| {
        let name = form.of(names, index);
        let (found, rest) = text.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then_some((index, rest))
    })
}

/// `Z`, `UTC`, `GMT`, `GMT+8`, `+08`, `+0800`, `+08:00` as seconds east of UTC, and what follows.
pub(crate) fn zone(text: &[u8]) -> Option<(i64, &[u8])> {
    if let [b'Z' | b'z', rest @ ..] = text {
        return Some((0, rest));
    }
    let (named, rest) = match text {
        [b'U', b'T', b'C', rest @ ..] | [b'G', b'M', b'T', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (sign, rest) = match rest {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        rest => return named.then_some((0, rest)),
    };
    let (hours, _, rest) = number(rest, if named { 1 } else { 2 }, 2)?;
    let (minutes, rest) = match rest {
        [b':', after @ ..] => number(after, 2, 2).map(|(minutes, _, rest)| (minutes, rest))?,
        rest => number(rest, 2, 2).map_or((0, rest), |(minutes, _, rest)| (minutes, rest)),
    };
    (hours < 24 && minutes < 60).then_some((sign * (hours * 3600 + minutes * 60), rest))
}
