//! Instants and times without a zone by a clock, against what `date` of GNU shows in its zones.

use arrow::compute::cast as parsed;

use super::*;
use crate::schema::{CLOCK, DATE_FORMATS};

fn local(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, None)
}

fn instant(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

/// Texts as values of `data_type`, by the parser of Arrow.
fn times(texts: &[&str], data_type: &DataType) -> ArrayRef {
    parsed(&StringArray::from(texts.to_vec()), data_type).unwrap()
}

/// The rows that are refused, or else what becomes of `array` by the clock of `zone`.
fn by_clock(zone: &str, array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Vec<usize>> {
    let from = with_metadata(to(array.data_type().clone()), CLOCK, zone);
    assert_eq!(fate(&from, &to(target.clone())), ColumnFate::Lossy);
    cast_field(Arc::clone(array), from, &to(target.clone())).map_err(|misfits| {
        assert!(misfits.columns().iter().all(|column| column.reason == Reason::Clock), "{misfits:?}");
        misfits.rows().set_indices().collect()
    })
}

#[test]
fn an_instant_is_what_a_clock_shows() {
    let micros = TimeUnit::Microsecond;
    for (zone, shown, then) in [
        ("+08:00", "2024-02-01T04:00:00.123456", "2024-01-31T20:00:00.123456Z"),
        ("-03:30", "1969-12-31T20:29:59.999999", "1969-12-31T23:59:59.999999Z"),
        ("Europe/Berlin", "2024-07-01T12:00:00", "2024-07-01T10:00:00Z"),
        ("Europe/Berlin", "2024-03-31T03:30:00", "2024-03-31T01:30:00Z"),
        ("Asia/Shanghai", "1988-07-01T09:00:00", "1988-07-01T00:00:00Z"),
    ] {
        let (shown, then) = (times(&[shown], &local(micros)), times(&[then], &instant(micros)));
        assert_eq!(&by_clock(zone, &then, shown.data_type()).unwrap(), &shown, "{zone}");
        assert_eq!(&by_clock(zone, &shown, then.data_type()).unwrap(), &then, "{zone}");
    }
    // The second of two times that the clock shows the same.
    let then = times(&["2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z"], &instant(micros));
    let shown = times(&["2024-10-27T02:30:00", "2024-10-27T02:30:00"], &local(micros));
    assert_eq!(&by_clock("Europe/Berlin", &then, &local(micros)).unwrap(), &shown);
}

#[test]
fn a_time_that_is_shown_twice_or_never_is_no_instant() {
    let texts = ["2024-03-31T01:59:59", "2024-03-31T02:30:00", "2024-10-27T02:30:00", "2024-10-27T03:00:00"];
    let shown = times(&texts, &local(TimeUnit::Second));
    assert_eq!(by_clock("Europe/Berlin", &shown, &instant(TimeUnit::Microsecond)).unwrap_err(), [1, 2]);
    let last: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(i64::MAX), None, Some(0)]));
    for zone in ["-08:00", "America/Los_Angeles"] {
        assert_eq!(by_clock(zone, &last, &instant(TimeUnit::Microsecond)).unwrap_err(), [0], "{zone}");
    }
}

#[test]
fn units_and_clocks_change_together() {
    let then = times(&["2024-01-31T20:00:00Z"], &instant(TimeUnit::Second));
    let shown = times(&["2024-02-01T04:00:00"], &local(TimeUnit::Nanosecond));
    assert_eq!(&by_clock("+08:00", &then, shown.data_type()).unwrap(), &shown);
    let finer = times(&["2024-01-31T20:00:00.5Z"], &instant(TimeUnit::Microsecond));
    let (source, target) = (with_metadata(to(finer.data_type().clone()), CLOCK, "+08:00"), to(local(TimeUnit::Second)));
    let refused = cast_field(Arc::clone(&finer), source.clone(), &target).unwrap_err();
    assert_eq!(refused.first().unwrap().reason, Reason::Time);
    let cut = super::super::kernel::lossy_kernel(&source, &target).unwrap().run(&finer).unwrap();
    assert_eq!(&cut.array, &times(&["2024-02-01T04:00:00"], &local(TimeUnit::Second)));
}

/// A text that names its offset needs no clock.
#[test]
fn a_text_without_an_offset_is_an_instant_by_the_clock() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![
        Some("2024-07-01 12:00:00"),
        Some("20240701"),
        Some("2024-07-01T12:00:00Z"),
        None,
        Some("2024-03-31 02:30:00"),
        Some("2024-10-27 02:30:00"),
        Some("noon"),
    ]));
    let plain = with_metadata(to(DataType::Utf8), DATE_FORMATS, "yyyyMMdd");
    let target = to(instant(TimeUnit::Microsecond));
    let cast = |from: &Field, target: &Field| {
        let cast = kernel(from, target).unwrap().run(&texts).unwrap();
        let refused = cast.misfits.map_or_else(Vec::new, |(rows, _)| rows.set_indices().collect::<Vec<_>>());
        (cast.array.slice(0, 3), refused)
    };
    let in_berlin = with_metadata(plain.clone(), CLOCK, "Europe/Berlin");
    let then = times(&["2024-07-01T10:00:00Z", "2024-06-30T22:00:00Z", "2024-07-01T12:00:00Z"], target.data_type());
    assert_eq!(cast(&in_berlin, &target), (then, vec![4, 5, 6]));
    let of_server = with_metadata(target.clone(), CLOCK, "+09:00");
    let then = times(&["2024-07-01T03:00:00Z", "2024-06-30T15:00:00Z", "2024-07-01T12:00:00Z"], target.data_type());
    assert_eq!(cast(&in_berlin, &of_server), (then, vec![6]), "the clock of the instants counts");
    assert_eq!(cast(&plain, &target).1, [0, 1, 4, 5, 6]);
    let unknown = with_metadata(plain, CLOCK, "SYSTEM");
    assert!(!possible(&unknown, &target) && kernel(&unknown, &target).is_none());
    // What holds no instants goes by no clock.
    assert!(possible(&unknown, &to(local(TimeUnit::Second))) && possible(&unknown, &to(DataType::Date32)));
}

/// Without a clock, and by one that nobody knows, they are kept apart.
#[test]
fn without_a_clock_there_is_no_cast() {
    let (instants, locals) = (to(instant(TimeUnit::Second)), to(local(TimeUnit::Second)));
    let unknown = with_metadata(instants.clone(), CLOCK, "SYSTEM");
    for (from, target) in [(&instants, &locals), (&locals, &instants), (&unknown, &locals), (&locals, &unknown)] {
        assert!(!possible(from, target) && kernel(from, target).is_none());
    }
    let known = with_metadata(locals.clone(), CLOCK, "UTC");
    assert!(possible(&known, &instants) && kernel(&instants, &known).is_some());
    assert!(!possible(&known, &unknown), "the clock of the instants counts");
}
