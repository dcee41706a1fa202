//! Kernels between dates, times, timestamps, durations and intervals. Nothing is cut off unless `nearest` asks for it.

use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Int32Type, Int64Type, IntervalDayTime, IntervalDayTimeType,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use num_traits::{CheckedSub, Euclid};

use super::Reason;
use super::exact::{Ratio, ranged};
use super::kernel::{Kernel, primitive, relabelled};
use crate::formats::value::time::{NANOS, per_second};

const DAY_MILLIS: i128 = 86_400_000;
const DAY_NANOS: i128 = 86_400_000_000_000;

/// The kernel between two different types of dates and times.
pub(super) fn kernel(from: &DataType, to: &DataType) -> Option<Kernel> {
    use DataType as T;
    match (from, to) {
        (T::Interval(from), T::Interval(to)) => return interval(*from, *to),
        (T::Duration(unit), T::Interval(IntervalUnit::MonthDayNano)) => return Some(elapsed(*unit, to)),
        (T::Timestamp(_, zone), T::Timestamp(_, other)) if zone.is_some() != other.is_some() => return None,
        // By way of the date, so that a time of day is seen.
        (T::Timestamp(_, None), T::Date64) => {
            return Some(kernel(from, &T::Date32)?.then(kernel(&T::Date32, to)?));
        }
        _ => {}
    }
    let (have, want) = (Clock::of(from)?, Clock::of(to)?);
    if !have.kind.becomes(want.kind) {
        return None;
    }
    if have.nanos == want.nanos && from.primitive_width() == to.primitive_width() {
        return Some(relabelled(to));
    }
    let ratio = match (have.nanos / want.nanos, want.nanos / have.nanos) {
        (1, _) => Ratio::Same,
        (0, factor) => Ratio::Over(factor),
        (factor, _) => Ratio::Times(factor),
    };
    let bits = to.primitive_width()? * 8 - 1;
    let bounds = (-(1i128 << bits), (1i128 << bits) - 1);
    with_source(from, to, (ratio, bounds))
}

/// Brings values of `from` down to whole units of the coarser type `to`, in their own type.
pub(super) fn floor(from: &DataType, to: &DataType) -> Option<Kernel> {
    // Milliseconds that count whole days.
    let to = if *to == DataType::Date64 { &DataType::Date32 } else { to };
    let units = Clock::of(to)?.nanos / Clock::of(from)?.nanos;
    Some(if units > 1 { floor_to(from, units as i64) } else { Kernel::Same })
}

/// Brings values down to multiples of `units`, also before 1970.
pub(super) fn floor_to(data_type: &DataType, units: i64) -> Kernel {
    fn floored<I: ArrowPrimitiveType>(units: I::Native, (between, to): (&DataType, &DataType)) -> Kernel
    where
        I::Native: Euclid + CheckedSub,
    {
        let floor = primitive::<I, I>(between, Reason::Time, move |value| {
            let floor = value.checked_sub(&value.rem_euclid(&units));
            (floor.unwrap_or(value), floor.is_some())
        });
        relabelled(between).then(floor).then(relabelled(to))
    }
    match data_type.primitive_width() {
        Some(4) => floored::<Int32Type>(units as i32, (&DataType::Int32, data_type)),
        _ => floored::<Int64Type>(units, (&DataType::Int64, data_type)),
    }
}

/// What a count of time units counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Date,
    Local,
    Zoned,
    Time,
    Duration,
}

impl Kind {
    fn becomes(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Date, Self::Local) | (Self::Local, Self::Date))
    }
}

struct Clock {
    kind: Kind,
    /// Nanoseconds of one unit.
    nanos: i128,
}

impl Clock {
    fn of(data_type: &DataType) -> Option<Self> {
        use DataType as T;
        let (kind, nanos) = match data_type {
            T::Date32 => (Kind::Date, DAY_NANOS),
            T::Date64 => (Kind::Date, DAY_NANOS / DAY_MILLIS),
            T::Timestamp(unit, None) => (Kind::Local, nanos(*unit)),
            T::Timestamp(unit, Some(_)) => (Kind::Zoned, nanos(*unit)),
            T::Time32(unit) | T::Time64(unit) => (Kind::Time, nanos(*unit)),
            T::Duration(unit) => (Kind::Duration, nanos(*unit)),
            _ => return None,
        };
        Some(Self { kind, nanos })
    }
}

fn nanos(unit: TimeUnit) -> i128 {
    i128::from(NANOS / per_second(unit))
}

type Step = (Ratio<i128>, (i128, i128));

fn with_source(from: &DataType, to: &DataType, step: Step) -> Option<Kernel> {
    use DataType as T;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Some(match from {
        T::Date32 => with_target::<Date32Type>(to, step),
        T::Date64 => with_target::<Date64Type>(to, step),
        T::Time32(Second) => with_target::<Time32SecondType>(to, step),
        T::Time32(_) => with_target::<Time32MillisecondType>(to, step),
        T::Time64(Nanosecond) => with_target::<Time64NanosecondType>(to, step),
        T::Time64(_) => with_target::<Time64MicrosecondType>(to, step),
        T::Timestamp(Second, _) => with_target::<TimestampSecondType>(to, step),
        T::Timestamp(Millisecond, _) => with_target::<TimestampMillisecondType>(to, step),
        T::Timestamp(Microsecond, _) => with_target::<TimestampMicrosecondType>(to, step),
        T::Timestamp(Nanosecond, _) => with_target::<TimestampNanosecondType>(to, step),
        T::Duration(Second) => with_target::<DurationSecondType>(to, step),
        T::Duration(Millisecond) => with_target::<DurationMillisecondType>(to, step),
        T::Duration(Microsecond) => with_target::<DurationMicrosecondType>(to, step),
        T::Duration(Nanosecond) => with_target::<DurationNanosecondType>(to, step),
        _ => return None,
    })
}

/// Sources differ in type alone; targets of 64 bits are counted first and then called what they are.
fn with_target<I>(to: &DataType, (ratio, bounds): Step) -> Kernel
where
    I: ArrowPrimitiveType,
    I::Native: num_traits::AsPrimitive<i128>,
{
    use DataType as T;
    match to {
        T::Date32 => ranged::<I, Date32Type>(to, ratio, bounds, Reason::Time),
        T::Time32(TimeUnit::Second) => ranged::<I, Time32SecondType>(to, ratio, bounds, Reason::Time),
        T::Time32(_) => ranged::<I, Time32MillisecondType>(to, ratio, bounds, Reason::Time),
        _ => ranged::<I, Int64Type>(&T::Int64, ratio, bounds, Reason::Time).then(relabelled(to)),
    }
}

/// A duration is an interval without months and days: those have no fixed length.
fn elapsed(unit: TimeUnit, to: &DataType) -> Kernel {
    fn of<I: ArrowPrimitiveType<Native = i64>>(to: &DataType, factor: i64) -> Kernel {
        primitive::<I, IntervalMonthDayNanoType>(to, Reason::Time, move |value| {
            let nanos = value.checked_mul(factor);
            (IntervalMonthDayNano::new(0, 0, nanos.unwrap_or_default()), nanos.is_some())
        })
    }
    match unit {
        TimeUnit::Second => of::<DurationSecondType>(to, 1_000_000_000),
        TimeUnit::Millisecond => of::<DurationMillisecondType>(to, 1_000_000),
        TimeUnit::Microsecond => of::<DurationMicrosecondType>(to, 1_000),
        TimeUnit::Nanosecond => of::<DurationNanosecondType>(to, 1),
    }
}

fn interval(from: IntervalUnit, to: IntervalUnit) -> Option<Kernel> {
    use IntervalUnit::{DayTime, MonthDayNano, YearMonth};
    let target = DataType::Interval(to);
    Some(match (from, to) {
        (YearMonth, MonthDayNano) => {
            primitive::<IntervalYearMonthType, IntervalMonthDayNanoType>(&target, Reason::Time, |months| {
                (IntervalMonthDayNano::new(months, 0, 0), true)
            })
        }
        (DayTime, MonthDayNano) => {
            primitive::<IntervalDayTimeType, IntervalMonthDayNanoType>(&target, Reason::Time, |value| {
                (IntervalMonthDayNano::new(0, value.days, i64::from(value.milliseconds) * 1_000_000), true)
            })
        }
        (MonthDayNano, YearMonth) => {
            primitive::<IntervalMonthDayNanoType, IntervalYearMonthType>(&target, Reason::Time, |value| {
                (value.months, value.days == 0 && value.nanoseconds == 0)
            })
        }
        (MonthDayNano, DayTime) => {
            primitive::<IntervalMonthDayNanoType, IntervalDayTimeType>(&target, Reason::Time, |value| {
                let millis = i32::try_from(value.nanoseconds / 1_000_000).ok();
                let fits = value.months == 0 && value.nanoseconds % 1_000_000 == 0 && millis.is_some();
                (IntervalDayTime::new(value.days, millis.unwrap_or_default()), fits)
            })
        }
        _ => return None,
    })
}
