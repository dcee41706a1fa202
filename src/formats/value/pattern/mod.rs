//! Dates and times in forms that the user names: `dd.MM.yyyy HH:mm` as Java has it, `%d.%m.%Y %H:%M` as strftime.
//!
//! A pattern is compiled once into parts, and each text is walked along them. Reading is exact, but for numbers with fewer
//! digits than the pattern shows, which may lack their zeros where no digit follows. Printing loses nothing: a value that
//! the pattern has no place for is told beforehand ([`Pattern::holds`]). A lenient pattern ([`Pattern::lenient`]) takes more,
//! and prints what it has a place for.

mod columns;
mod compile;
mod read;

#[cfg(test)]
mod tests;

use arrow::datatypes::{DataType, TimeUnit};

use super::time::{self, DAY_SECONDS, NANOS};
use crate::error::{Error, ErrorKind, Result};

pub(crate) use columns::column;
pub(crate) use read::zone;

/// The nanoseconds of a day.
const DAY_NANOS: u64 = (DAY_SECONDS * NANOS) as u64;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Monday on.
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// How dates and times are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    /// Whether it has year, month and day.
    dated: bool,
    /// Nanoseconds of its finest part, where it has a time of day.
    finest: Option<u64>,
    zoned: bool,
    /// The first and the last day that it can show.
    days: (i64, i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Number {
        of: Unit,
        digits: u8,
        width: Width,
    },
    /// Digits behind the point of the seconds.
    Fraction {
        digits: u8,
        width: Width,
    },
    Month(Names),
    Weekday(Names),
    HalfDay,
    Zone {
        /// What UTC is printed as.
        utc: &'static str,
        /// What stands between the hours and the minutes of another offset; none where it has no minutes.
        minutes: Option<&'static str>,
    },
}

/// How many digits a number may have when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Exact,
    /// Also fewer; of a fraction up to nine.
    Free,
    /// Also fewer, behind blanks.
    Lenient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// Three letters.
    Short,
    Full,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Year,
    /// The last two digits of a year from 1969 to 2068.
    ShortYear,
    Month,
    Day,
    DayOfYear,
    Hour,
    /// From 1 to 12.
    HalfDayHour,
    Minute,
    Second,
}

impl Pattern {
    /// Compiles a pattern: strftime's where there is a `%`, else Java's.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a letter that is unknown, and for a pattern without a whole date or time.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = if text.contains('%') { compile::strftime(text) } else { compile::java(text) };
        parts.and_then(compile::joined).and_then(Self::of).map_err(|error| error.at("date format", text))
    }

    /// Compiles Java's notation as `SimpleDateFormat` takes it: what is not said is that of 1970-01-01 00:00:00, numbers may
    /// have fewer digits and blanks before them, and an hour of 1 to 12 may lack its half of the day.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a letter that is unknown.
    pub(crate) fn lenient(text: &str) -> Result<Self> {
        let mut parts = compile::java(text).map_err(|error| error.at("date format", text))?;
        for part in &mut parts {
            if let Part::Number { width, .. } = part {
                *width = Width::Lenient;
            }
        }
        let parts = compile::joined(parts).map_err(|error| error.at("date format", text))?;
        let zoned = parts.iter().any(|part| matches!(part, Part::Zone { .. }));
        Ok(Self { parts, dated: true, finest: Some(1), zoned, days: (i64::MIN, i64::MAX) })
    }

    fn of(parts: Vec<Part>) -> Result<Self> {
        let counts = |unit: Unit| parts.iter().any(|part| matches!(part, Part::Number { of, .. } if *of == unit));
        let has = |wanted: fn(&Part) -> bool| parts.iter().any(wanted);
        let month = counts(Unit::Month) || has(|part| matches!(part, Part::Month(_)));
        let year = counts(Unit::Year) || counts(Unit::ShortYear);
        let day = counts(Unit::DayOfYear) || (month && counts(Unit::Day));
        let half = has(|part| matches!(part, Part::HalfDay));
        let hour = counts(Unit::Hour) || counts(Unit::HalfDayHour);
        let (minute, second) = (counts(Unit::Minute), counts(Unit::Second));
        let fraction = parts.iter().find_map(|part| match part {
            Part::Fraction { digits, .. } => Some(*digits),
            _ => None,
        });
        let usage = |message: &str, hint: &'static str| Err(Error::new(ErrorKind::Usage, message).with_hint(hint));
        let dated = year && day;
        let weekday = has(|part| matches!(part, Part::Weekday(_)));
        if !dated && (year || month || weekday || counts(Unit::Day) || counts(Unit::DayOfYear)) {
            return usage("the date format has no whole date", "a date is year, month (M, %m) and day (d, %d)");
        }
        if (minute && !hour) || (second && !minute) || (fraction.is_some() && !second) {
            return usage(
                "the date format has no whole time",
                "a time is hour (H, %H), minute (m, %M) and second (s, %S)",
            );
        }
        if counts(Unit::HalfDayHour) != half || (half && counts(Unit::Hour)) {
            return usage(
                "the date format has an hour of 1 to 12 without its half of the day",
                "use HH or %H, or add a or %p",
            );
        }
        let zoned = has(|part| matches!(part, Part::Zone { .. }));
        if !dated && (!hour || zoned) {
            return usage(
                "the date format has neither a date nor a time of day",
                "write for example yyyy-MM-dd HH:mm:ss",
            );
        }
        let finest = match (hour, minute, second, fraction) {
            (false, ..) => None,
            (_, false, ..) => Some(3600 * NANOS as u64),
            (_, _, false, _) => Some(60 * NANOS as u64),
            (.., fraction) => Some(10_u64.pow(9 - u32::from(fraction.unwrap_or(0).min(9)))),
        };
        let (first, last) = if counts(Unit::ShortYear) { (1969, 2068) } else { (1, 9999) };
        let days = (time::days_from_civil(first, 1, 1), time::days_from_civil(last, 12, 31));
        Ok(Self { parts, dated, finest, zoned, days })
    }

    /// The type of texts that are written so.
    pub(crate) fn data_type(&self) -> DataType {
        let zone = self.zoned.then(|| "UTC".into());
        match (self.dated, self.finest) {
            (false, _) => DataType::Time64(TimeUnit::Microsecond),
            (true, None) => DataType::Date32,
            (true, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, zone),
        }
    }

    /// Whether values of a type are read and written so. A moment of a zone is taken as UTC where the pattern has no zone.
    pub(crate) fn handles(&self, data_type: &DataType) -> bool {
        match data_type {
            DataType::Date32 | DataType::Timestamp(_, None) => self.dated && !self.zoned,
            DataType::Timestamp(_, Some(_)) => self.dated,
            DataType::Time32(_) | DataType::Time64(_) => !self.dated,
            _ => false,
        }
    }

    /// Whether texts name their offset from UTC.
    pub(crate) fn is_zoned(&self) -> bool {
        self.zoned
    }

    /// Whether a text is written so.
    pub(crate) fn reads(&self, text: &[u8]) -> bool {
        self.read(text).is_some()
    }

    /// Whether the pattern has a place for all of a value: a day since 1970, and the nanoseconds of the day.
    pub(crate) fn holds(&self, days: i64, nanos: u64) -> bool {
        let (first, last) = self.days;
        nanos.is_multiple_of(self.finest.unwrap_or(DAY_NANOS)) && (!self.dated || (first..=last).contains(&days))
    }

    /// Prints the value of a day since 1970 and the nanoseconds of the day, in UTC.
    pub(crate) fn print(&self, days: i64, nanos: u64, out: &mut Vec<u8>) {
        self.print_at((days, nanos), 0, out);
    }

    /// Prints the day since 1970 and the nanoseconds of the day that clocks show which are `east` seconds before UTC.
    pub(crate) fn print_at(&self, (days, nanos): (i64, u64), east: i64, out: &mut Vec<u8>) {
        let (year, month, day) = time::civil_from_days(days);
        let seconds = nanos / NANOS as u64;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Number { of, digits, .. } => {
                    let number = match of {
                        // Years before the first are counted back from it, as Java does where no era is asked for.
                        Unit::Year => (if year > 0 { year } else { 1 - year }) as u64,
                        Unit::ShortYear => year.rem_euclid(100) as u64,
                        Unit::Month => month as u64,
                        Unit::Day => day as u64,
                        Unit::DayOfYear => (days - time::days_from_civil(year, 1, 1) + 1) as u64,
                        Unit::Hour => seconds / 3600,
                        Unit::HalfDayHour => (seconds / 3600 + 11) % 12 + 1,
                        Unit::Minute => seconds / 60 % 60,
                        Unit::Second => seconds % 60,
                    };
                    print_number(number, u32::from(*digits), out);
                }
                Part::Fraction { digits, .. } => {
                    let digits = u32::from(*digits).min(9);
                    print_number(nanos % NANOS as u64 / 10_u64.pow(9 - digits), digits, out);
                }
                Part::Month(names) => out.extend_from_slice(names.of(&MONTHS, month as usize - 1)),
                Part::Weekday(names) => out.extend_from_slice(names.of(&WEEKDAYS, weekday(days))),
                Part::HalfDay => out.extend_from_slice(if seconds < 43_200 { b"AM" } else { b"PM" }),
                Part::Zone { utc, .. } if east == 0 => out.extend_from_slice(utc.as_bytes()),
                Part::Zone { minutes, .. } => print_offset(east, *minutes, out),
            }
        }
    }
}

impl Names {
    fn of(self, names: &[&'static str], index: usize) -> &'static [u8] {
        let name = names.get(index).map_or(b"" as &[u8], |name| name.as_bytes());
        match self {
            Self::Short => &name[..name.len().min(3)],
            Self::Full => name,
        }
    }
}

/// The day of the week from Monday on, 0 to 6. The first of January 1970 was a Thursday.
fn weekday(days: i64) -> usize {
    (days + 3).rem_euclid(7) as usize
}

/// Seconds east of UTC as hours, and as minutes behind what stands between them.
fn print_offset(east: i64, minutes: Option<&str>, out: &mut Vec<u8>) {
    out.push(if east < 0 { b'-' } else { b'+' });
    let all = east.unsigned_abs() / 60;
    print_number(all / 60, 2, out);
    if let Some(between) = minutes {
        out.extend_from_slice(between.as_bytes());
        print_number(all % 60, 2, out);
    }
}

/// At least `digits` digits.
fn print_number(number: u64, digits: u32, out: &mut Vec<u8>) {
    let mut place = 10_u64.pow(digits.saturating_sub(1));
    while number / place >= 10 {
        place *= 10;
    }
    while place > 0 {
        out.push(b'0' + (number / place % 10) as u8);
        place /= 10;
    }
}
