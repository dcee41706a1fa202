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
}

impl Dates {
    /// Days since 1970 in one of the forms.
    pub(super) fn date(&self, text: &[u8]) -> Option<i32> {
        self.patterns.iter().find_map(|pattern| pattern.date(text))
    }

    /// A timestamp of `unit` since 1970, in the usual form or one of the others.
    pub(super) fn timestamp(&self, text: &[u8], unit: TimeUnit, zone: Zone) -> Option<i64> {
        let by_clock = || {
            let clock = self.clock.filter(|_| zone == Zone::Zoned)?;
            time::instant(self.read(text, unit, Zone::Local)?, unit, clock)
        };
        by_clock().or_else(|| self.read(text, unit, zone))
    }

    fn read(&self, text: &[u8], unit: TimeUnit, zone: Zone) -> Option<i64> {
        // What has no zone is no instant by itself.
        let fits = |pattern: &&Pattern| pattern.is_zoned() == (zone == Zone::Zoned);
        let other = || self.patterns.iter().filter(fits).find_map(|pattern| pattern.timestamp(text, unit, zone));
        time::timestamp(text, unit, zone).or_else(other)
    }
}
