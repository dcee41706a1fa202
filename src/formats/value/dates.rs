//! Texts that are dates and timestamps beside the usual ones.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;

use super::pattern::Pattern;
use super::time::{self, Zone};

/// What is taken for dates and timestamps beside the usual texts.
#[derive(Debug)]
pub(crate) struct Dates {
    /// In these forms, of which the first that fits counts.
    pub(crate) patterns: Vec<Pattern>,
    /// By this clock what names no zone is an instant.
    pub(crate) clock: Option<Tz>,
    /// What becomes of a time of day where a date is wanted.
    pub(crate) times: TimesOfDay,
}

/// What becomes of a time of day, other than midnight, behind a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimesOfDay {
    /// The text is no date.
    Refused,
    /// It is cut off.
    Cut,
}

impl Dates {
    /// Days since 1970, in the usual form or one of the others, behind which a time of day may stand. What names a zone has no day that is
    /// the same everywhere.
    pub(super) fn date(&self, text: &[u8]) -> Option<i32> {
        let whole = |(day, is_midnight): (i32, bool)| (is_midnight || self.times == TimesOfDay::Cut).then_some(day);
        let other = |pattern: &Pattern| {
            if pattern.is_zoned() { pattern.date(text) } else { pattern.day(text).and_then(whole) }
        };
        time::day(text).and_then(whole).or_else(|| self.patterns.iter().find_map(other))
    }

    /// A timestamp of `unit` since 1970, in the usual form or one of the others.
    pub(super) fn timestamp(&self, text: &[u8], unit: TimeUnit, zone: Zone) -> Option<i64> {
        let usual = time::stamp(text, unit);
        let read = |zone: Zone| {
            // What has no zone is no instant by itself.
            let fits = |pattern: &&Pattern| pattern.is_zoned() == (zone == Zone::Zoned);
            let other = || self.patterns.iter().filter(fits).find_map(|pattern| pattern.timestamp(text, unit, zone));
            usual.filter(|(_, said)| *said == zone).map(|(number, _)| number).or_else(other)
        };
        let clock = self.clock.filter(|_| zone == Zone::Zoned);
        let by_clock = clock.and_then(|clock| time::instant(read(Zone::Local)?, unit, clock));
        by_clock.or_else(|| read(zone))
    }
}
