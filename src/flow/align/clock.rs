//! Kernels between instants and timestamps without a zone, by a clock that shows the former as the latter.
//!
//! What a clock shows twice, when summer ends, or never, when it begins, is a misfit. An instant it shows always.

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use chrono::{DateTime, Offset, TimeZone};

use super::Reason;
use super::kernel::{Kernel, primitive, relabelled};
use super::temporal;
use crate::fate::{self, clock_name, plain};
use crate::formats::value::time::{instant, per_second};

/// The kernel between the values of two fields of which [`clock`](crate::fate::clock) says a clock.
pub(super) fn kernel(from: &Field, to: &Field) -> Option<Kernel> {
    let clock = fate::clock(from, to)?;
    let (source, target) = (plain(from.data_type()), plain(to.data_type()));
    let (DataType::Timestamp(unit, zone), DataType::Timestamp(_, other)) = (source, target) else { return None };
    let units = per_second(*unit);
    let shift = match (clock_name(from, to).and_then(|name| steady(name, clock)), zone.is_some()) {
        (Some(seconds), true) => moved(seconds * units),
        (Some(seconds), false) => moved(-seconds * units),
        (None, true) => shown(clock, units),
        (None, false) => read(clock, *unit),
    };
    let between = DataType::Timestamp(*unit, other.clone());
    let last = if between == *target { Kernel::Same } else { temporal::kernel(&between, target)? };
    Some(relabelled(&DataType::Int64).then(shift).then(relabelled(&between)).then(last))
}

/// The seconds by which a clock that is named by them is ahead of UTC.
fn steady(name: &str, clock: Tz) -> Option<i64> {
    let is_offset = name.starts_with(['+', '-']);
    is_offset.then(|| seconds_ahead(&clock.offset_from_utc_datetime(&DateTime::UNIX_EPOCH.naive_utc())))
}

fn seconds_ahead(offset: &impl Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc())
}

/// Moves all values by so many units.
fn moved(by: i64) -> Kernel {
    primitive::<Int64Type, Int64Type>(&DataType::Int64, Reason::Clock, move |value| {
        let (moved, overflows) = value.overflowing_add(by);
        (moved, !overflows)
    })
}

/// Makes of instants what the clock shows then.
fn shown(clock: Tz, units: i64) -> Kernel {
    changed(move |instant| {
        let time = DateTime::from_timestamp(instant.div_euclid(units), 0)?;
        instant.checked_add(seconds_ahead(&clock.offset_from_utc_datetime(&time.naive_utc())) * units)
    })
}

/// Makes of what the clock shows the one instant at which it does.
fn read(clock: Tz, unit: TimeUnit) -> Kernel {
    changed(move |local| instant(local, unit, clock))
}

/// Makes of each value what `by` finds for it.
fn changed(by: impl Fn(i64) -> Option<i64> + Send + Sync + 'static) -> Kernel {
    primitive::<Int64Type, Int64Type>(&DataType::Int64, Reason::Clock, move |value| {
        let found = by(value);
        (found.unwrap_or(value), found.is_some())
    })
}
