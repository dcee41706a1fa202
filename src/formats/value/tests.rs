use arrow::datatypes::{IntervalMonthDayNano, TimeUnit, i256};
use proptest::prelude::*;

use super::time::Zone;
use super::{binary, interval, number, time};

fn printed(print: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    print(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn decimals_are_exact_or_none() {
    let cases = [
        ("12.34", Some(1234)),
        ("-0.01", Some(-1)),
        ("12.340", Some(1234)),
        ("1.5e1", Some(1500)),
        ("150e-1", Some(1500)),
        ("+7", Some(700)),
        ("007", Some(700)),
        (".5", Some(50)),
        ("0", Some(0)),
        ("0e99999", Some(0)),
        ("999.99", Some(99999)),
        ("12.345", None),
        ("1000", None),
        ("1e3", None),
        ("1e-3", None),
        ("", None),
        (".", None),
        ("-", None),
        ("1e", None),
        ("1e99999999999", None),
        ("NaN", None),
        ("1,5", None),
    ];
    for (text, expected) in cases {
        assert_eq!(number::decimal(text.as_bytes(), 5, 2), expected, "{text}");
        assert_eq!(number::decimal256(text.as_bytes(), 5, 2), expected.map(i256::from_i128), "{text}");
    }
    assert_eq!(number::decimal(&[b'9'; 38], 38, 0), Some(10_i128.pow(38) - 1));
    assert_eq!(number::decimal(&[b'9'; 39], 38, 0), None);
    assert_eq!(number::decimal(b"12300", 3, -2), Some(123));
    assert_eq!(number::decimal(b"12301", 3, -2), None);
    assert!(number::decimal256(&[b'9'; 76], 76, 0).is_some());
    assert_eq!(number::decimal256(&[b'9'; 77], 76, 0), None);
}

#[test]
fn doubles_keep_every_digit_of_their_text() {
    for text in ["0.1", "0.30000000000000004", "0.10000000000000001", "1e5", "-0", "5e-324", "4.9e-324", "1.0e16"] {
        assert!(number::float::<f64>(text.as_bytes()).is_some(), "{text}");
    }
    for text in ["0.12345678901234567890", "9007199254740993", "1e400", "1e-400", "", "1.5x", "0x10", "4.5e-324"] {
        assert!(number::float::<f64>(text.as_bytes()).is_none(), "{text}");
    }
    assert!(number::float::<f32>(b"0.1").is_some());
    assert!(number::float::<f32>(b"16777217").is_none());
    assert!(number::float::<f64>(b"NaN").unwrap().is_nan());
    assert_eq!(number::float::<f64>(b"-Infinity"), Some(f64::NEG_INFINITY));
}

#[test]
fn floats_are_printed_short() {
    let cases = [(1.0, "1.0"), (0.1, "0.1"), (1e16, "1.0e16"), (1e15, "1000000000000000.0"), (-0.0, "-0.0")];
    for (value, expected) in cases {
        assert_eq!(printed(|out| number::print_float(value, out)), expected);
    }
    assert_eq!(printed(|out| number::print_float(f64::NEG_INFINITY, out)), "-inf");
    assert_eq!(printed(|out| number::print_float(f64::NAN, out)), "NaN");
    assert_eq!(printed(|out| number::print_float(0.1_f32, out)), "0.1");
}

#[test]
fn dates_are_those_of_the_calendar() {
    // Expected values: select date '…' - date '1970-01-01' in PostgreSQL.
    let cases = [
        ("1970-01-01", 0),
        ("2024-02-29", 19_782),
        ("1969-12-31", -1),
        ("0001-01-01", -719_162),
        ("0001-12-31 BC", -719_163),
        ("4713-01-01 BC", -2_440_550),
        ("9999-12-31", 2_932_896),
        ("294276-12-31", 106_762_939),
    ];
    for (text, days) in cases {
        assert_eq!(time::date(text.as_bytes()), Some(days), "{text}");
        assert_eq!(printed(|out| time::print_date(days.into(), out)), text);
    }
    for text in ["2024-02-30", "2023-02-29", "2024-13-01", "0000-01-01", "2024-1-1", "24-01-01", "2024-01-01 ", ""] {
        assert_eq!(time::date(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn timestamps_keep_zone_and_digits() {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let base = 1_704_164_645;
    let cases = [
        ("2024-01-02 03:04:05", Second, Zone::Local, Some(base)),
        ("2024-01-02T03:04:05.123456", Microsecond, Zone::Local, Some(base * 1_000_000 + 123_456)),
        ("2024-01-02T03:04:05.1234560", Microsecond, Zone::Local, Some(base * 1_000_000 + 123_456)),
        ("2024-01-02 03:04:05.1234567", Microsecond, Zone::Local, None),
        ("2024-01-02 03:04:05.123456789", Nanosecond, Zone::Local, Some(base * 1_000_000_000 + 123_456_789)),
        ("2024-01-02 03:04:05.1234567891", Nanosecond, Zone::Local, None),
        ("2024-01-02 05:04:05+02", Second, Zone::Zoned, Some(base)),
        ("2024-01-02 05:04:05+0200", Second, Zone::Zoned, Some(base)),
        ("2024-01-02 00:04:05-03:00", Second, Zone::Zoned, Some(base)),
        ("2024-01-02T03:04:05Z", Millisecond, Zone::Zoned, Some(base * 1000)),
        ("2024-01-02T03:04:05Z", Second, Zone::Local, None),
        ("2024-01-02 03:04:05", Second, Zone::Zoned, None),
        ("2024-01-02", Second, Zone::Local, Some(1_704_153_600)),
        ("2024-01-02 ", Second, Zone::Local, None),
        ("2024-01-02 24:00:00", Second, Zone::Local, None),
        ("2024-01-02 03:04:60", Second, Zone::Local, None),
        ("2024-01-02 03:04:05.", Second, Zone::Local, None),
        ("2024-01-02x03:04:05", Second, Zone::Local, None),
        ("9999-01-01 00:00:00", Nanosecond, Zone::Local, None),
        ("0044-03-15 12:00:00 BC", Second, Zone::Local, Some(-63_517_780_800)),
    ];
    for (text, unit, zone, expected) in cases {
        assert_eq!(time::timestamp(text.as_bytes(), unit, zone), expected, "{text}");
    }
    let show = |value, unit, zone| printed(|out| time::print_timestamp(value, unit, zone, out));
    assert_eq!(show(base * 1000 + 120, Millisecond, Zone::Zoned), "2024-01-02 03:04:05.12+00:00");
    assert_eq!(show(-1, Microsecond, Zone::Local), "1969-12-31 23:59:59.999999");
    assert_eq!(show(-63_517_780_800, Second, Zone::Local), "0044-03-15 12:00:00 BC");
}

#[test]
fn times_and_durations() {
    assert_eq!(time::time(b"23:59:59.999999", TimeUnit::Microsecond), Some(86_399_999_999));
    assert_eq!(time::time(b"03:04", TimeUnit::Second), Some(11_040));
    for text in ["24:00:00", "3:04:05", "03:60:00", "03:04:05Z", ""] {
        assert_eq!(time::time(text.as_bytes(), TimeUnit::Second), None, "{text}");
    }
    assert_eq!(time::duration(b"-100:00:00.5", TimeUnit::Millisecond), Some(-360_000_500));
    assert_eq!(printed(|out| time::print_time(-360_000_500, TimeUnit::Millisecond, out)), "-100:00:00.5");
}

#[test]
fn intervals_are_printed_as_by_postgres() {
    // Expected texts: select make_interval(months => …, days => …, secs => …) in PostgreSQL.
    let cases = [
        ((14, 3, 14_706_500_000_000), "1 year 2 mons 3 days 04:05:06.5"),
        ((-13, 3, -1_000_000_000), "-1 years -1 mons +3 days -00:00:01"),
        ((0, -1, 1_000_000_000), "-1 days +00:00:01"),
        ((0, 0, 0), "00:00:00"),
        ((-1, 0, 0), "-1 mons"),
        ((0, 0, 360_000_000_000_000), "100:00:00"),
    ];
    for ((months, days, nanos), text) in cases {
        let value = IntervalMonthDayNano::new(months, days, nanos);
        assert_eq!(printed(|out| interval::print_interval(value, out)), text);
        assert_eq!(interval::interval(text.as_bytes()), Some(value), "{text}");
    }
    let iso = IntervalMonthDayNano::new(14, -3, 14_706_500_000_000);
    assert_eq!(interval::interval(b"P1Y2M-3DT4H5M6.5S"), Some(iso));
    for text in ["", "P", "PT", "1", "1 day 2", "0.5 days", "P1H", "1 fortnight", "P1Y2"] {
        assert_eq!(interval::interval(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn bytes_and_uuids() {
    let parsed = |text: &[u8]| {
        let mut out = Vec::new();
        binary::hex(text, &mut out).map(|()| out)
    };
    assert_eq!(parsed(b"\\x00fF"), Some(vec![0, 255]));
    assert_eq!(parsed(b"\\x"), Some(vec![]));
    for text in ["", "00ff", "\\x0", "\\xzz"] {
        assert_eq!(parsed(text.as_bytes()), None, "{text}");
    }
    let text = "00112233-4455-6677-8899-aabbccddeeff";
    let bytes = binary::uuid(text.as_bytes()).unwrap();
    assert_eq!(printed(|out| binary::print_uuid(bytes, out)), text);
    assert_eq!(binary::uuid(b"00112233"), None);
}

proptest! {
    #[test]
    fn numbers_come_back(value: i128, scale in -10_i8..38, double: f64, single: f32) {
        let value = value / 2;
        let text = printed(|out| number::print_decimal(value, scale, out));
        prop_assert_eq!(number::decimal256(text.as_bytes(), 76, scale), Some(i256::from_i128(value)));
        if value.unsigned_abs() < 10_u128.pow(38) {
            prop_assert_eq!(number::decimal(text.as_bytes(), 38, scale), Some(value));
        }
        let text = printed(|out| number::print_float(double, out));
        prop_assert_eq!(number::float::<f64>(text.as_bytes()).unwrap().to_bits(), double.to_bits());
        let text = printed(|out| number::print_float(single, out));
        prop_assert_eq!(number::float::<f32>(text.as_bytes()).unwrap().to_bits(), single.to_bits());
    }

    #[test]
    fn moments_come_back(value: i64, months: i32, days: i32) {
        for unit in [TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            for zone in [Zone::Local, Zone::Zoned] {
                let text = printed(|out| time::print_timestamp(value, unit, zone, out));
                prop_assert_eq!(time::timestamp(text.as_bytes(), unit, zone), Some(value), "{}", text);
            }
            let text = printed(|out| time::print_time(value, unit, out));
            prop_assert_eq!(time::duration(text.as_bytes(), unit), Some(value));
        }
        let text = printed(|out| time::print_date(days.into(), out));
        prop_assert_eq!(time::date(text.as_bytes()), Some(days));
        let value = IntervalMonthDayNano::new(months, days, value);
        let text = printed(|out| interval::print_interval(value, out));
        prop_assert_eq!(interval::interval(text.as_bytes()), Some(value), "{}", text);
    }

    #[test]
    fn no_text_panics(text: Vec<u8>, near in "[-+]?[0-9.eE: TZPBC-]{0,30}") {
        for text in [text.as_slice(), near.as_bytes()] {
            let _ = (number::float::<f64>(text), number::decimal(text, 38, 10), number::decimal256(text, 76, -5));
            let _ = (time::moment(text), time::clock(text), time::date(text), interval::interval(text));
            let _ = (binary::uuid(text), binary::hex(text, &mut Vec::new()), super::boolean(text));
        }
    }
}
