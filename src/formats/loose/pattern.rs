//! Dates in Java's notation, and the zone in which they are read and written.

use std::io::Write as _;

use arrow::datatypes::TimeUnit;
use chrono::format::{Fixed, Item, Numeric, Pad, Parsed};
use chrono::{DateTime, FixedOffset, NaiveDateTime, Timelike as _};

use super::options::usage;
use crate::error::Result;
use crate::formats::value::time::{self, Zone};

const MICROS: i64 = 1_000_000;

/// How a date is written: `yyyy-MM-dd'T'HH:mm:ss.SSSZ`.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    written: Vec<Item<'static>>,
    read: Vec<Item<'static>>,
    /// Whether it has hours of half a day and does not say which half: then 12 is 0, and what is beyond is taken, too.
    half_day: bool,
}

/// The offset of a zone like `+08:00`, `GMT+8` or `UTC`.
pub(super) fn offset(zone: &str) -> Option<FixedOffset> {
    let rest = zone.strip_prefix("GMT").or_else(|| zone.strip_prefix("UTC")).unwrap_or(zone);
    if rest.is_empty() || rest == "Z" {
        return FixedOffset::east_opt(0);
    }
    let (sign, digits) = match rest.as_bytes().first()? {
        b'+' => (1, &rest[1..]),
        b'-' => (-1, &rest[1..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60).then(|| FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))).flatten()
}

impl Pattern {
    /// Reads the notation of `SimpleDateFormat`.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) for a letter that is not known.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let letters: Vec<char> = text.chars().collect();
        let mut items = Vec::new();
        let mut at = 0;
        while at < letters.len() {
            let letter = letters[at];
            let run = letters[at..].iter().take_while(|other| **other == letter).count();
            match letter {
                '\'' => {
                    let (literal, used) = quoted(&letters[at..]);
                    items.push(Item::OwnedLiteral(literal.into()));
                    at += used;
                    continue;
                }
                _ if letter.is_ascii_alphabetic() => items.push(item(letter, run).ok_or_else(|| {
                    let word: String = std::iter::repeat_n(letter, run).collect();
                    usage(format!("the date format {text:?} holds {word:?}, which is not known"))
                        .with_hint("use y, M, d, H, h, m, s, S, a, E, Z and X, and other letters in single quotes")
                })?),
                _ => items.push(Item::OwnedLiteral(std::iter::repeat_n(letter, run).collect::<String>().into())),
            }
            at += run;
        }
        let is_half = |item: &Item<'_>| matches!(item, Item::Numeric(Numeric::Hour12, _));
        let says_which = items.iter().any(|item| matches!(item, Item::Fixed(Fixed::UpperAmPm)));
        let half_day = !says_which && items.iter().any(is_half);
        let mut read = items.clone();
        for item in read.iter_mut().filter(|item| half_day && is_half(item)) {
            *item = Item::Numeric(Numeric::Hour, Pad::Zero);
        }
        Ok(Self { written: items, read, half_day })
    }

    /// What the clock of `text` shows, or its moment in UTC where it says its zone. What the pattern has not is as at the begin of
    /// 1970; a date that does not exist is none.
    fn read(&self, text: &str) -> Option<Read> {
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, self.read.iter()).ok()?;
        complete(&mut parsed)?;
        let clock = parsed.to_naive_time().ok()?;
        let clock = if self.half_day && clock.hour() == 12 { clock.with_hour(0)? } else { clock };
        let micros = NaiveDateTime::new(parsed.to_naive_date().ok()?, clock).and_utc().timestamp_micros();
        Some(match parsed.offset() {
            Some(east) => Read::Moment(micros.checked_sub(i64::from(east) * MICROS)?),
            None => Read::Clock(micros),
        })
    }

    /// Appends what the clocks of `zone` show `micros` after 1970.
    pub(super) fn write(&self, micros: i64, zone: FixedOffset, out: &mut Vec<u8>) {
        if let Some(utc) = DateTime::from_timestamp_micros(micros) {
            // Writing into a vector cannot fail.
            let _ = write!(out, "{}", utc.with_timezone(&zone).format_with_items(self.written.iter()));
        }
    }
}

/// Fills in what a text does not say.
fn complete(parsed: &mut Parsed) -> Option<()> {
    if parsed.year().is_none() && parsed.year_mod_100().is_none() {
        parsed.set_year(1970).ok()?;
    }
    if parsed.month().is_none() {
        parsed.set_month(1).ok()?;
    }
    if parsed.day().is_none() {
        parsed.set_day(1).ok()?;
    }
    if parsed.hour_mod_12().is_none() {
        parsed.set_hour(0).ok()?;
    }
    if parsed.minute().is_none() {
        parsed.set_minute(0).ok()?;
    }
    Some(())
}

enum Read {
    Clock(i64),
    Moment(i64),
}

/// Microseconds since 1970 of `text`: of the moment, where columns have a `zone`, else of the clock on the wall.
pub(super) fn read(text: &[u8], pattern: Option<&Pattern>, zone: Option<FixedOffset>) -> Option<i64> {
    let read = match pattern {
        Some(pattern) => pattern.read(std::str::from_utf8(text).ok()?)?,
        None => usual(text)?,
    };
    let east = zone.map_or(0, |zone| i64::from(zone.local_minus_utc()) * MICROS);
    Some(match read {
        Read::Clock(micros) => micros.checked_sub(east)?,
        Read::Moment(micros) => micros,
    })
}

/// The seconds of a day in UTC of a time with its zone, as `03:04:05.5+02` and `03:04:05-03:30`.
pub(super) fn zoned_seconds(text: &str) -> Option<i64> {
    let (clock, zone) = text.split_at(text.rfind(['+', '-'])?);
    let micros = time::time(clock.as_bytes(), TimeUnit::Microsecond)?;
    Some(micros.div_euclid(MICROS) - i64::from(offset(zone)?.local_minus_utc()))
}

/// `2024-01-02`, with or without a time and a zone; `20240102`; `03:04:05`.
fn usual(text: &[u8]) -> Option<Read> {
    if text.len() == 8 && text.iter().all(u8::is_ascii_digit) {
        let mut dashed = [b'-'; 10];
        dashed[..4].copy_from_slice(&text[..4]);
        dashed[5..7].copy_from_slice(&text[4..6]);
        dashed[8..].copy_from_slice(&text[6..]);
        return time::timestamp(&dashed, TimeUnit::Microsecond, Zone::Local).map(Read::Clock);
    }
    if text.get(2) == Some(&b':') {
        return time::time(text, TimeUnit::Microsecond).map(Read::Clock);
    }
    let clock = time::timestamp(text, TimeUnit::Microsecond, Zone::Local).map(Read::Clock);
    clock.or_else(|| time::timestamp(text, TimeUnit::Microsecond, Zone::Zoned).map(Read::Moment))
}

/// What stands between quotes, of which two stand for one, and how many characters that took.
fn quoted(letters: &[char]) -> (String, usize) {
    if letters.get(1) == Some(&'\'') {
        return ("'".to_owned(), 2);
    }
    let mut literal = String::new();
    let mut at = 1;
    while at < letters.len() {
        if letters[at] != '\'' {
            literal.push(letters[at]);
            at += 1;
        } else if letters.get(at + 1) == Some(&'\'') {
            literal.push('\'');
            at += 2;
        } else {
            return (literal, at + 1);
        }
    }
    (literal, at)
}

fn item(letter: char, run: usize) -> Option<Item<'static>> {
    let numeric = |numeric: Numeric| Item::Numeric(numeric, if run > 1 { Pad::Zero } else { Pad::None });
    Some(match (letter, run) {
        ('y' | 'u', 2) => numeric(Numeric::YearMod100),
        ('y' | 'u', _) => Item::Numeric(Numeric::Year, Pad::Zero),
        ('M', 3) => Item::Fixed(Fixed::ShortMonthName),
        ('M', 4) => Item::Fixed(Fixed::LongMonthName),
        ('M', 1 | 2) => numeric(Numeric::Month),
        ('d', 1 | 2) => numeric(Numeric::Day),
        ('H', 1 | 2) => numeric(Numeric::Hour),
        ('h', 1 | 2) => numeric(Numeric::Hour12),
        ('m', 1 | 2) => numeric(Numeric::Minute),
        ('s', 1 | 2) => numeric(Numeric::Second),
        // The one name for a fraction without its point is that of the notation of strftime.
        ('S', 3 | 6 | 9) => chrono::format::StrftimeItems::new(match run {
            3 => "%3f",
            6 => "%6f",
            _ => "%9f",
        })
        .next()?,
        ('a', _) => Item::Fixed(Fixed::UpperAmPm),
        ('E', 1..=3) => Item::Fixed(Fixed::ShortWeekdayName),
        ('E', _) => Item::Fixed(Fixed::LongWeekdayName),
        ('Z', _) => Item::Fixed(Fixed::TimezoneOffset),
        ('X', 3) => Item::Fixed(Fixed::TimezoneOffsetColonZ),
        ('X', 1 | 2) => Item::Fixed(Fixed::TimezoneOffsetZ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn east() -> FixedOffset {
        offset("GMT+8").unwrap()
    }

    #[test]
    fn zones_are_read() {
        for (zone, seconds) in [("+08:00", 28_800), ("GMT+8", 28_800), ("UTC", 0), ("-0330", -12_600), ("GMT", 0)] {
            assert_eq!(offset(zone).map(|found| found.local_minus_utc()), Some(seconds), "{zone}");
        }
        assert!(offset("Asia/Shanghai").is_none());
    }

    #[test]
    fn moments_are_written_as_the_clocks_of_the_zone_show_them() {
        // 2024-01-02 00:00:00 GMT+8, as a job that filters by it says.
        let micros = 1_704_124_800_000 * 1000;
        let mut out = Vec::new();
        Pattern::parse("yyyy-MM-dd'T'HH:mm:ss.SSSZ").unwrap().write(micros, east(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "2024-01-02T00:00:00.000+0800");
        assert_eq!(read(b"2024-01-02", None, Some(east())), Some(micros));
        assert_eq!(read(b"20240102", None, Some(east())), Some(micros));
        assert_eq!(read(b"2024-01-02T00:00:00+08:00", None, Some(east())), Some(micros));
        assert_eq!(read(b"2024-13-45", None, Some(east())), None);
        let slashes = Pattern::parse("dd/MM/yyyy HH:mm").unwrap();
        assert_eq!(read(b"02/01/2024 00:00", Some(&slashes), Some(east())), Some(micros));
        assert!(Pattern::parse("yyyy-QQ").is_err());
    }

    #[test]
    fn times_with_a_zone_are_of_a_day_in_utc() {
        // The golden job of this type shows 09:04:05 in GMT+8.
        assert_eq!(zoned_seconds("03:04:05+02"), Some(3600 + 4 * 60 + 5));
        assert_eq!(zoned_seconds("03:04:05.5-03:30"), Some(6 * 3600 + 34 * 60 + 5));
        assert_eq!((zoned_seconds("03:04:05"), zoned_seconds("+02")), (None, None));
    }

    #[test]
    fn what_a_pattern_does_not_say_is_as_java_has_it() {
        let same = |pattern: &str, text: &str, whole: &str| {
            let pattern = Pattern::parse(pattern).unwrap();
            let found = read(text.as_bytes(), Some(&pattern), None);
            assert!(found.is_some() && found == read(whole.as_bytes(), None, None), "{text} is {found:?}");
        };
        same("yyyyMM", "202402", "2024-02-01");
        same("yyyy", "2024", "2024-01-01");
        same("yyyy-MM-dd HH", "2024-02-03 17", "2024-02-03 17:00:00");
        // Hours of half a day: 12 is 0, and 15 is taken for what is meant.
        same("yyyy-MM-dd hh:mm:ss", "2024-02-03 15:04:05", "2024-02-03 15:04:05");
        same("yyyy-MM-dd hh:mm:ss", "2024-02-03 12:04:05", "2024-02-03 00:04:05");
        same("yyyy-MM-dd hh:mm:ss a", "2024-02-03 03:04:05 PM", "2024-02-03 15:04:05");
        let days = Pattern::parse("yyyy-MM-dd").unwrap();
        assert_eq!(read(b"2024-02-30", Some(&days), None), None);
    }
}
