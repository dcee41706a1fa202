//! Columns in which loss is allowed, against integers, neighbours and texts as the standard library has them.

use arrow::array::{AsArray, Float32Builder, TimestampMillisecondArray};
use arrow::datatypes::{
    DECIMAL256_MAX_PRECISION, Decimal128Type, Decimal256Type, Float32Type, Int64Type, TimestampMicrosecondType,
};

use super::super::kernel::lossy_kernel;
use super::*;
use crate::fate::{Loss, loss};
use crate::schema::{MAX_CHARS, STEP_MICROS};

/// Casts one column, in which loss is allowed; it must be possible.
fn lossy(array: impl Array + 'static, target: &Field) -> Result<ArrayRef, Misfits> {
    let array: ArrayRef = Arc::new(array);
    let from = to(array.data_type().clone());
    assert!(loss(&from, target).is_some(), "{} -> {}", array.data_type(), target.data_type());
    let (source, target) = (schema(vec![from]), schema(vec![target.clone()]));
    let plan = ColumnPlan { fate: ColumnFate::LossAllowed, ..plan("c", "c") };
    let aligner = Aligner::new(&source, &target, &[plan]).unwrap();
    match aligner.align(&RecordBatch::try_new(source, vec![array]).unwrap()) {
        Ok(batch) => Ok(Arc::clone(batch.column(0))),
        Err(Unaligned::Misfits(misfits)) => Err(misfits),
        Err(Unaligned::Error(error)) => panic!("{error:?}"),
    }
}

/// Each row must become the text in `expected`; where that has none it must be a misfit.
fn becomes(array: impl Array, target: &DataType, expected: &[Option<&str>]) {
    for (row, expected) in expected.iter().enumerate() {
        let found = lossy(array.slice(row, 1), &to(target.clone()));
        let found = found.ok().map(|found| shown(&found, 0));
        assert_eq!(found.as_deref(), *expected, "row {row}: {} -> {target}", array.data_type());
    }
}

#[test]
fn halves_go_away_from_zero_and_the_range_holds() {
    use DataType as T;
    let money = || decimal(vec![Some(12345), Some(-12345), Some(4), Some(-5), Some(999_994), Some(999_995)], 6, 3);
    let two = [Some("12.35"), Some("-12.35"), Some("0.00"), Some("-0.01"), Some("999.99"), None];
    becomes(money(), &T::Decimal128(5, 2), &two);
    becomes(money(), &T::Decimal32(5, 2), &two);
    becomes(money(), &T::Decimal256(5, 2), &two);
    becomes(money(), &T::UInt8, &[Some("12"), None, Some("0"), Some("0"), None, None]);
    becomes(
        Int64Array::from(vec![149, 150, -150, i64::MAX]),
        &T::Decimal64(4, -2),
        &[Some("100"), Some("200"), Some("-200"), None],
    );
    let floats = || Float64Array::from(vec![1.5, 2.5, -0.5, 1.005, f64::NAN, 1e300, f64::INFINITY, 127.5]);
    becomes(floats(), &T::Int8, &[Some("2"), Some("3"), Some("-1"), Some("1"), None, None, None, None]);
    becomes(
        floats(),
        &T::Decimal128(5, 2),
        &[Some("1.50"), Some("2.50"), Some("-0.50"), Some("1.01"), None, None, None, Some("127.50")],
    );
    becomes(
        floats(),
        &T::Float32,
        &[Some("1.5"), Some("2.5"), Some("-0.5"), Some("1.005"), Some("NaN"), None, Some("inf"), Some("127.5")],
    );
    // Beyond 2^53 a double is the integer that it is, and an integer is the nearest double.
    becomes(Float64Array::from(vec![(1u64 << 60) as f64]), &T::Decimal128(38, 1), &[Some("1152921504606846976.0")]);
    becomes(
        UInt64Array::from(vec![(1 << 53) + 1, (1 << 53) + 3]),
        &T::Float64,
        &[Some("9007199254740992.0"), Some("9007199254740996.0")],
    );
    let long = format!("0.{}1", "0".repeat(100));
    let texts = vec!["12.345", "-1e-9", "1e400", " 99.995", "x", "NaN", "0.5e1", &long, "995e-4", "1e-99999999"];
    becomes(
        StringViewArray::from(texts.clone()),
        &T::Decimal32(4, 2),
        &[Some("12.35"), Some("0.00"), None, None, None, None, Some("5.00"), Some("0.00"), Some("0.10"), Some("0.00")],
    );
    becomes(
        StringArray::from(vec!["1.5", "-2.5", "255.49", "255.5", ""]),
        &T::UInt8,
        &[Some("2"), None, Some("255"), None, None],
    );
    becomes(
        LargeStringArray::from(vec!["0.12345678901234567890", "1e39", "inf"]),
        &T::Float32,
        &[Some("0.12345679"), None, Some("inf")],
    );
}

#[test]
fn times_are_cut_to_their_unit_and_texts_to_their_length() {
    let nanos = || TimestampNanosecondArray::from(vec![1_999, -1, i64::MIN]);
    let micros = || DataType::Timestamp(TimeUnit::Microsecond, None);
    becomes(
        nanos(),
        &micros(),
        &[
            Some("1970-01-01T00:00:00.000001"),
            Some("1969-12-31T23:59:59.999999"),
            // Below it is no nanosecond that 64 bits count.
            None,
        ],
    );
    becomes(nanos(), &DataType::Date32, &[Some("1970-01-01"), Some("1969-12-31"), None]);
    becomes(TimestampMillisecondArray::from(vec![-1]), &DataType::Date64, &[Some("1969-12-31T00:00:00")]);
    let step = with_metadata(to(micros()), STEP_MICROS, "1000");
    let found = lossy(TimestampNanosecondArray::from(vec![-1, 1_000_000, 999_999]), &step).unwrap();
    assert_eq!(found.as_primitive::<TimestampMicrosecondType>().values(), &[-1000, 1000, 0]);
    let varchar = with_metadata(to(DataType::Utf8), MAX_CHARS, "3");
    let texts = StringViewArray::from(vec![Some("äöüß"), Some("😀😀😀"), Some(""), None]);
    let found = lossy(texts, &varchar).unwrap();
    assert_eq!(found.as_ref(), &StringArray::from(vec![Some("äöü"), Some("😀😀😀"), Some(""), None]) as &dyn Array);
    let packed: DictionaryArray<Int32Type> = ["long", "no"].into_iter().collect();
    assert_eq!(lossy(packed, &varchar).unwrap().as_ref(), &StringArray::from(vec!["lon", "no"]) as &dyn Array);
}

#[test]
fn texts_lose_the_time_behind_their_date() {
    let texts = || {
        StringArray::from(vec![
            "2024-01-03 12:30:00.5",
            "2024-01-03",
            "1969-12-31T23:59",
            "2024-01-03 12:30:00+08",
            "2024-02-30 12:30:00",
            "noon",
        ])
    };
    let (day, eve) = ("2024-01-03", "1969-12-31");
    becomes(texts(), &DataType::Date32, &[Some(day), Some(day), Some(eve), None, None, None]);
    let (day, eve) = ("2024-01-03T00:00:00", "1969-12-31T00:00:00");
    becomes(texts(), &DataType::Date64, &[Some(day), Some(day), Some(eve), None, None, None]);
    let number = with_metadata(to(DataType::Utf8), DIGITS, "");
    assert_eq!(loss(&number, &to(DataType::Date32)), None);
}

#[test]
fn what_is_never_allowed() {
    let whole = |nullable| Field::new("c", DataType::Int32, nullable);
    assert_eq!(lossy(Float64Array::from(vec![Some(0.5), None]), &whole(false)).unwrap_err().first().unwrap().row, 1);
    assert!(lossy(Float64Array::from(vec![Some(0.5), None]), &whole(true)).unwrap().is_null(1));
    let varchar = with_metadata(to(DataType::Utf8), MAX_CHARS, "3");
    let (number, text) = (with_native(to(DataType::Utf8), "postgres:numeric"), to(DataType::Utf8));
    assert_eq!([loss(&to(DataType::Int32), &varchar), loss(&number, &varchar)], [None, None]);
    assert_eq!(loss(&text, &varchar), Some(Loss::Cut));
    for (from, target) in [
        (DataType::Int64, DataType::Int32),
        (DataType::Int32, DataType::Int64),
        (DataType::Int64, DataType::Boolean),
        (DataType::Decimal128(9, 2), DataType::Decimal128(5, 2)),
        (DataType::Timestamp(TimeUnit::Second, None), DataType::Timestamp(TimeUnit::Nanosecond, None)),
        (DataType::Utf8, DataType::Timestamp(TimeUnit::Second, None)),
        (DataType::Utf8, DataType::Utf8),
    ] {
        assert_eq!(loss(&to(from.clone()), &to(target.clone())), None, "{from} -> {target}");
    }
}

/// Where loss may be allowed there is a cast that does it, and everywhere else the exact one.
#[test]
fn losses_and_kernels_agree() {
    for from in types() {
        for target in types() {
            let (source, to) = (to(from.clone()), to(target.clone()));
            let found = lossy_kernel(&source, &to);
            assert_eq!(found.is_some(), possible(&source, &to), "{from} -> {target}");
            let Some(kernel) = found else { continue };
            let cast = kernel.run(&arrow::array::new_null_array(&from, 3)).unwrap();
            assert_eq!((cast.array.data_type(), cast.array.logical_null_count()), (&target, 3), "{from} -> {target}");
            if loss(&source, &to).is_some() {
                assert_eq!(fate(&source, &to), ColumnFate::Lossy, "{from} -> {target}");
            }
        }
    }
}

/// `unscaled / 10^scale` in units of `10^-target`, halves away from zero.
fn rounded(unscaled: i128, scale: i32, target: i32) -> i128 {
    let power = 10i128.pow(scale.abs_diff(target));
    if target >= scale {
        return unscaled * power;
    }
    unscaled.signum() * ((2 * unscaled.abs() + power) / (2 * power))
}

/// A decimal text without an exponent as digits, and how many of them are behind the point.
fn unscaled(text: &str) -> (i128, i32) {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    (format!("{whole}{fraction}").parse().unwrap(), fraction.len() as i32)
}

fn any_unscaled() -> impl Strategy<Value = i64> {
    prop_oneof![-3000i64..3000, any::<i64>(), (-3000i64..3000).prop_map(|half| half * 10 + 5)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn decimals_become_the_nearest(value in any_unscaled(), scale in 0i8..9, target in -3i8..9, precision in 9u8..20, form in 0..3) {
        let target = target.min(scale - 1);
        let source = decimal(vec![Some(value.into())], 19, scale);
        let wanted = rounded(value.into(), scale.into(), target.into());
        let type_wanted = to(DataType::Decimal128(precision, target));
        let found = match form {
            0 => lossy(source, &type_wanted),
            1 => {
                let wide = Decimal256Array::from(vec![i256::from_i128(value.into())]);
                lossy(wide.with_precision_and_scale(DECIMAL256_MAX_PRECISION, scale).unwrap(), &type_wanted)
            }
            _ => lossy(StringArray::from(vec![format!("{value}e-{scale}")]), &type_wanted),
        };
        let fits = wanted.abs() < 10i128.pow(precision.into());
        prop_assert_eq!(found.ok().map(|found| found.as_primitive::<Decimal128Type>().value(0)), fits.then_some(wanted));
        if scale > 0 {
            let whole = lossy(decimal(vec![Some(value.into())], 19, scale), &to(DataType::Int64)).unwrap();
            prop_assert_eq!(i128::from(whole.as_primitive::<Int64Type>().value(0)), rounded(value.into(), scale.into(), 0));
        }
    }

    #[test]
    fn floats_become_the_nearest(value in prop_oneof![any::<f64>(), any::<f32>().prop_map(|single| f64::from(single) * (1.0 + f64::EPSILON)), -1e9f64..1e9, (-3000i32..3000).prop_map(|half| f64::from(half) / 2.0)]) {
        prop_assume!(value.is_finite());
        // Half a step above the largest single, which would be rounded to 2^128.
        let fits = value.abs() < f64::from(f32::MAX) + 2f64.powi(103);
        let single = lossy(Float64Array::from(vec![value]), &to(DataType::Float32)).ok();
        prop_assert_eq!(single.is_some(), fits);
        if let Some(single) = single.map(|single| single.as_primitive::<Float32Type>().value(0)) {
            let away = |single: f32| (value - f64::from(single)).abs();
            prop_assert!(away(single) <= away(single.next_up()) && away(single) <= away(single.next_down()), "{value}");
        }
        if value.abs() < 1e15 {
            let whole = lossy(Float64Array::from(vec![value]), &to(DataType::Int64)).unwrap();
            let rest = value - value.trunc();
            let wanted = value.trunc() as i64 + i64::from(rest >= 0.5) - i64::from(rest <= -0.5);
            prop_assert_eq!(whole.as_primitive::<Int64Type>().value(0), wanted);
        }
        let text = value.to_string();
        // Beyond, two texts may be as short and as near.
        if value.abs() < 5e14 && text.len() < 30 {
            let money = lossy(Float64Array::from(vec![value]), &to(DataType::Decimal256(40, 2))).unwrap();
            let (digits, scale) = unscaled(&text);
            prop_assert_eq!(money.as_primitive::<Decimal256Type>().value(0), i256::from_i128(rounded(digits, scale, 2)));
        }
    }

    #[test]
    fn decimals_become_the_nearest_float(value in any::<i64>(), scale in 0i8..12) {
        let source = decimal(vec![Some(value.into())], 25, scale);
        let found = lossy(source, &to(DataType::Float32)).unwrap();
        let mut wanted = Float32Builder::new();
        wanted.append_value(format!("{value}e-{scale}").parse().unwrap());
        prop_assert_eq!(found.as_ref(), &wanted.finish() as &dyn Array);
    }

    #[test]
    fn instants_are_cut_down(value in prop_oneof![any::<i64>(), -5000i64..5000]) {
        let units = [(TimeUnit::Microsecond, 1_000), (TimeUnit::Millisecond, 1_000_000), (TimeUnit::Second, 1_000_000_000)];
        for (unit, nanos) in units {
            let found = lossy(TimestampNanosecondArray::from(vec![value]), &to(DataType::Timestamp(unit, None)));
            let wanted = value.div_euclid(nanos);
            let fits = wanted.checked_mul(nanos).is_some();
            let found = found.ok().map(|found| i64::from_ne_bytes(found.to_data().buffers()[0].as_slice().try_into().unwrap()));
            prop_assert_eq!(found, fits.then_some(wanted));
        }
    }
}
