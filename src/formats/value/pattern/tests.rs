//! Both notations, what they read and refuse, and that all that is printed comes back.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, Time32SecondArray, TimestampMicrosecondArray};
use arrow::datatypes::Field;
use proptest::prelude::*;

use super::*;
use crate::formats::value::time::Zone;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// Seconds since 1970 of 2024-01-02 03:04:05.
const MOMENT: i64 = 1_704_164_645;

fn microseconds(form: &str, text: &str) -> Option<i64> {
    pattern(form).timestamp(text.as_bytes(), TimeUnit::Microsecond, Zone::Zoned)
}

/// The values are those of Java's and Python's documentation and of `date -u -d @1704164645`.
#[test]
fn one_moment_in_many_forms() {
    let cases = [
        ("yyyy-MM-dd HH:mm:ss", "2024-01-02 03:04:05"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSS", "2024-01-02T03:04:05.000"),
        ("yyyyMMddHHmmss", "20240102030405"),
        ("d.M.yy H:mm:ss", "2.1.24 3:04:05"),
        ("MM/dd/yyyy hh:mm:ss a", "01/02/2024 03:04:05 AM"),
        ("EEE, d MMM yyyy HH:mm:ss Z", "Tue, 2 Jan 2024 03:04:05 +0000"),
        ("EEEE, MMMM dd, yyyy 'at' HH 'o''clock' mm:ss XXX", "Tuesday, January 02, 2024 at 03 o'clock 04:05 Z"),
        ("yyyy年MM月dd日 HH时mm分ss秒", "2024年01月02日 03时04分05秒"),
        ("yyyy.DDD HH:mm:ss z", "2024.002 03:04:05 UTC"),
        ("%Y-%m-%d %H:%M:%S", "2024-01-02 03:04:05"),
        ("%d.%m.%y %T", "02.01.24 03:04:05"),
        ("%D %I:%M:%S %p", "01/02/24 03:04:05 AM"),
        ("%a, %-d %b %Y %H:%M:%S %:z", "Tue, 2 Jan 2024 03:04:05 +00:00"),
        ("%F %T.%6f%%", "2024-01-02 03:04:05.000000%"),
        ("%A %B %j %Y %T", "Tuesday January 002 2024 03:04:05"),
    ];
    for (form, text) in cases {
        assert_eq!(microseconds(form, text), Some(MOMENT * 1_000_000), "{form}");
        let mut printed = Vec::new();
        pattern(form).print(MOMENT / 86_400, (MOMENT % 86_400) as u64 * 1_000_000_000, &mut printed);
        assert_eq!(String::from_utf8(printed).unwrap(), text, "{form}");
    }
}

#[test]
fn zones_lead_to_utc_and_fractions_have_their_digits() {
    let form = "yyyy-MM-dd HH:mm:ss.SSS X";
    for zone in ["Z", "+00", "UTC", "GMT", "-0000"] {
        assert_eq!(microseconds(form, &format!("2024-01-02 03:04:05.250 {zone}")), Some(MOMENT * 1_000_000 + 250_000));
    }
    for zone in ["+08", "+0800", "+08:00", "GMT+8", "UTC+08:00"] {
        assert_eq!(microseconds(form, &format!("2024-01-02 11:04:05.250 {zone}")), Some(MOMENT * 1_000_000 + 250_000));
    }
    assert_eq!(microseconds("%F %T.%f", "2024-01-02 03:04:05.25"), Some(MOMENT * 1_000_000 + 250_000));
    assert_eq!(microseconds(form, "2024-01-02 03:04:05.25 Z"), None);
    // A nanosecond is no microsecond.
    assert_eq!(microseconds("%F %T.%9f", "2024-01-02 03:04:05.000000001"), None);
}

#[test]
fn what_is_no_date_or_is_written_otherwise_is_not_read() {
    let cases = [
        ("yyyy-MM-dd", "2024-02-30"),
        ("yyyy-MM-dd", "2023-02-29"),
        ("yyyy-MM-dd", "2024-13-01"),
        ("yyyy-MM-dd", "0000-01-01"),
        ("yyyy-MM-dd", "24-01-02"),
        ("yyyy-MM-dd", "2024-01-02 "),
        ("yyyy-MM-dd", "2024/01/02"),
        ("yyyy-MM-dd", ""),
        ("yyyy-MM-dd HH:mm", "2024-01-02 24:00"),
        ("yyyy-MM-dd HH:mm", "2024-01-02"),
        ("yyyy-MM-dd hh:mm a", "2024-01-02 13:00 PM"),
        ("yyyyMMdd", "2024102"),
        ("EEE yyyy-MM-dd", "Mon 2024-01-02"),
        ("dd MMM yyyy", "02 Mai 2024"),
        ("yyyy-DDD", "2023-366"),
        ("yyyy-MM-dd XXX", "2024-01-02 CET"),
    ];
    for (form, text) in cases {
        assert!(!pattern(form).reads(text.as_bytes()), "{form}: {text}");
    }
    assert!(pattern("yyyy-MM-dd").reads(b"2024-1-2"));
    assert!(pattern("yyyy-MM-dd hh a").reads(b"2024-01-02 12 pm"));
}

#[test]
fn a_pattern_that_is_none_says_why() {
    let cases = [
        ("yyyy-MM-dd QQ", "the date format has no meaning for \"QQ\""),
        ("%Y-%m-%d %Q", "the date format has no meaning for \"%Q\""),
        ("%Y-%m-%d %3H", "the date format has no meaning for \"%3H\""),
        ("yyyy-mm-dd", "the date format has no whole date"),
        ("yyyy-MM", "the date format has no whole date"),
        ("yyyy-MM-dd mm:ss", "the date format has no whole time"),
        ("yyyy-MM-dd hh:mm:ss", "the date format has an hour of 1 to 12 without its half of the day"),
        ("'only text'", "the date format has neither a date nor a time of day"),
        ("", "the date format has neither a date nor a time of day"),
        ("yyyyMd", "numbers of the date format run together, and one of them has no fixed digits"),
        ("yyyy-MM-dd 'open", "a quote of the date format is never closed"),
        ("%Y-%m-%d %", "the date format ends behind a %"),
    ];
    for (form, message) in cases {
        let error = Pattern::parse(form).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, message), "{form}");
    }
}

#[test]
fn a_pattern_is_for_the_types_that_it_has_places_for() {
    let zoned = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let local = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let time = || DataType::Time64(TimeUnit::Microsecond);
    let cases = [
        ("yyyy-MM-dd", DataType::Date32, [true, true, true, false]),
        ("yyyy-MM-dd HH:mm", local(), [true, true, true, false]),
        ("yyyy-MM-dd HH:mm Z", zoned(), [false, false, true, false]),
        ("HH:mm", time(), [false, false, false, true]),
    ];
    for (form, kind, handled) in cases {
        assert_eq!(pattern(form).data_type(), kind);
        let types = [DataType::Date32, local(), zoned(), time()];
        assert_eq!(types.map(|data_type| pattern(form).handles(&data_type)), handled, "{form}");
    }
}

#[test]
fn a_value_without_a_place_is_refused_and_null_is_none() {
    let field = Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true);
    let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(MOMENT * 1_000_000), None, Some(-1)]));
    let (whole, short) = (pattern("yyyy-MM-dd HH:mm:ss.SSSSSS"), pattern("yyyy-MM-dd HH:mm:ss"));
    let printed = column(&array, &field, &whole).unwrap();
    let mut text = Vec::new();
    (printed.print)(2, &mut text);
    assert_eq!(text, b"1969-12-31 23:59:59.999999");
    assert!(printed.is_null(1));
    assert_eq!(column(&array, &field, &short).err().unwrap().kind(), ErrorKind::Value);
    assert!(column(&array.slice(0, 2), &field, &short).is_ok());
    let times: ArrayRef = Arc::new(Time32SecondArray::from(vec![11_045]));
    let form = pattern("HHmmss");
    let printed = column(&times, &Field::new("t", times.data_type().clone(), true), &form).unwrap();
    let mut text = Vec::new();
    (printed.print)(0, &mut text);
    assert_eq!(text, b"030405");
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(seconds in -62_135_596_800_i64..253_402_300_800, nanos in 0_i64..1_000_000_000) {
        let forms = [
            "yyyy-MM-dd HH:mm:ss.SSSSSSSSS", "d/M/yyyy H:m:s,SSSSSSSSS", "%j %Y %I-%M-%S.%9f %p %a",
            "yyyyMMddHHmmssSSSSSSSSS", "MMMM d, yyyy hh:mm:ss a SSSSSSSSS z",
        ];
        for form in forms {
            let form = pattern(form);
            let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
            prop_assert!(form.holds(days, (second * 1_000_000_000 + nanos) as u64));
            let mut text = Vec::new();
            form.print(days, (second * 1_000_000_000 + nanos) as u64, &mut text);
            let whole = form.timestamp(&text, TimeUnit::Second, Zone::Local);
            prop_assert_eq!(whole, (nanos == 0).then_some(seconds));
            let day = form.read(&text);
            prop_assert!(day.is_some());
        }
    }

    #[test]
    fn no_text_and_no_pattern_is_too_strange(form in ".{0,20}", text in ".{0,30}", letters in "[yMdHhmsSaEzZX' :%]{0,12}") {
        for form in [form, letters] {
            if let Ok(form) = Pattern::parse(&form) {
                form.reads(text.as_bytes());
                form.print(0, 0, &mut Vec::new());
            }
        }
    }
}
