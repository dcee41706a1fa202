//! Dates in Java's notation or the usual one, and the zone in which they are read and written.

use arrow::datatypes::TimeUnit;
use chrono::FixedOffset;

use crate::formats::value::time::{self, Zone};
use crate::formats::value::{self, Pattern};

const MICROS: i64 = 1_000_000;
pub(super) const DAY_MICROS: i64 = time::DAY_SECONDS * MICROS;

/// The offset of a zone like `+08:00`, `GMT+8` or `UTC`.
pub(super) fn offset(zone: &str) -> Option<FixedOffset> {
    let (east, rest) = value::zone(zone.as_bytes())?;
    if rest.is_empty() { FixedOffset::east_opt(i32::try_from(east).ok()?) } else { None }
}

/// Appends what the clocks of `zone` show `micros` after 1970.
pub(super) fn write(pattern: &Pattern, micros: i64, zone: FixedOffset, out: &mut Vec<u8>) {
    let east = i64::from(zone.local_minus_utc());
    let clock = micros.saturating_add(east * MICROS);
    let nanos = clock.rem_euclid(DAY_MICROS) as u64 * 1000;
    pattern.print_at((clock.div_euclid(DAY_MICROS), nanos), east, out);
}

enum Read {
    Clock(i64),
    Moment(i64),
}

/// Microseconds since 1970 of `text`: of the moment, where columns have a `zone`, else of the clock on the wall.
pub(super) fn read(text: &[u8], pattern: Option<&Pattern>, zone: Option<FixedOffset>) -> Option<i64> {
    let read = match pattern {
        Some(pattern) => {
            let micros = pattern.timestamp(text, TimeUnit::Microsecond, Zone::Zoned)?;
            if pattern.is_zoned() { Read::Moment(micros) } else { Read::Clock(micros) }
        }
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
        write(&Pattern::lenient("yyyy-MM-dd'T'HH:mm:ss.SSSZ").unwrap(), micros, east(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "2024-01-02T00:00:00.000+0800");
        assert_eq!(read(b"2024-01-02", None, Some(east())), Some(micros));
        assert_eq!(read(b"20240102", None, Some(east())), Some(micros));
        assert_eq!(read(b"2024-01-02T00:00:00+08:00", None, Some(east())), Some(micros));
        assert_eq!(read(b"2024-13-45", None, Some(east())), None);
        let slashes = Pattern::lenient("dd/MM/yyyy HH:mm").unwrap();
        assert_eq!(read(b"02/01/2024 00:00", Some(&slashes), Some(east())), Some(micros));
        assert!(Pattern::lenient("yyyy-QQ").is_err());
    }

    /// As the pages of `SimpleDateFormat` and of its calendar say.
    #[test]
    fn patterns_are_read_as_java_reads_them() {
        let day = 1_704_153_600_000_000;
        let hour = 3_600_000_000;
        let cases = [
            ("yyyy-MM-dd hh:mm", "2024-01-02 15:00", day + 15 * hour),
            ("yyyy-MM-dd hh:mm", "2024-01-02 12:00", day),
            ("yyyy-MM-dd hh:mm a", "2024-01-02 12:00 PM", day + 12 * hour),
            ("yyyy-MM", "2024-01", day - 24 * hour),
            ("MMM d yyyy", "Jan  2 2024", day),
            ("HH:mm", "3:00", 3 * hour),
            ("yyyyMMddHH", "2024010203", day + 3 * hour),
        ];
        for (form, text, micros) in cases {
            let form = Pattern::lenient(form).unwrap();
            assert_eq!(read(text.as_bytes(), Some(&form), None), Some(micros), "{text}");
        }
        for (form, text) in [("X", "+08"), ("XX", "+0800"), ("XXX", "+08:00"), ("Z", "+0800")] {
            let mut out = Vec::new();
            write(&Pattern::lenient(form).unwrap(), day, east(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text, "{form}");
        }
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
            let pattern = Pattern::lenient(pattern).unwrap();
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
        let days = Pattern::lenient("yyyy-MM-dd").unwrap();
        assert_eq!(read(b"2024-02-30", Some(&days), None), None);
    }
}
