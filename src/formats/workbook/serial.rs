//! Time as workbooks count it: days and parts of a day since the start of 1900, or of 1904.

/// Microseconds of a day.
pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// The first day of 1900 that has a true number: before it the calendar of workbooks has a day that never was.
const FIRST_DAY: i64 = 61;

/// 9999-12-31.
const LAST_DAY: i64 = 2_958_465;

/// Days from the start of 1900 to that of 1904.
const FOUR_YEARS: i64 = 1462;

/// The number of 1970-01-01.
const UNIX_DAY: i64 = 25_569;

/// From which year a workbook counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    Year1900,
    Year1904,
}

impl Epoch {
    /// Days since 1970-01-01 of a day that the calendar has.
    pub(super) fn unix_day(self, day: i64) -> Option<i64> {
        let day = match self {
            Self::Year1900 => day,
            Self::Year1904 => day + FOUR_YEARS,
        };
        (FIRST_DAY..=LAST_DAY).contains(&day).then_some(day - UNIX_DAY)
    }
}

/// The number of a day of the 1900 system.
pub(super) fn day(unix_day: i64) -> Option<i64> {
    let day = unix_day.checked_add(UNIX_DAY)?;
    (FIRST_DAY..=LAST_DAY).contains(&day).then_some(day)
}

/// The number that stands for a time since the start.
pub(super) fn days(micros: i64) -> f64 {
    micros.div_euclid(DAY_MICROS) as f64 + micros.rem_euclid(DAY_MICROS) as f64 / DAY_MICROS as f64
}

/// The time that a number stands for, to the millisecond: programs for workbooks keep no parts of it, and many write
/// numbers of 15 digits, which have none. None beyond all calendars.
pub(super) fn micros(number: f64) -> Option<i64> {
    if !number.is_finite() || number.abs() > 2.0 * LAST_DAY as f64 {
        return None;
    }
    let whole = number.floor();
    let millis = ((number - whole) * (DAY_MICROS / 1000) as f64).round();
    Some(whole as i64 * DAY_MICROS + millis as i64 * 1000)
}

/// The number of a time, where it stands for no other.
pub(super) fn exact(time: i64) -> Option<f64> {
    let number = days(time);
    (micros(number) == Some(time)).then_some(number)
}
