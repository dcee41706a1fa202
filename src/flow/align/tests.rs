//! The table of casts, the two ways out of each, and properties that compare values as text and big integers.

mod clock;
mod nearest;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, DictionaryArray,
    DurationSecondArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, LargeStringArray, ListArray, RecordBatch, StringArray, StringViewArray, StructArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, IntervalMonthDayNano, IntervalUnit, Schema, SchemaRef, TimeUnit, i256,
};
use proptest::prelude::*;

use super::{Aligner, Kernel, Misfits, Reason, Unaligned, kernel};
use crate::error::ErrorKind;
use crate::fate::{fate, possible};
use crate::schema::{DIGITS, EXTENSION, EXTENSION_UUID, FORM, WIRE, with_metadata, with_native};
use crate::sink::{ColumnFate, ColumnPlan};

fn plan(incoming: &str, target: &str) -> ColumnPlan {
    ColumnPlan { incoming: Some(incoming.to_owned()), ..ColumnPlan::exact(target, "") }
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// Casts one nullable column.
fn cast(array: ArrayRef, to: &Field) -> Result<ArrayRef, Misfits> {
    let from = Field::new("c", array.data_type().clone(), true);
    cast_field(array, from, to)
}

fn cast_field(array: ArrayRef, from: Field, to: &Field) -> Result<ArrayRef, Misfits> {
    let (source, target) = (schema(vec![from]), schema(vec![to.clone().with_name("c")]));
    let aligner = Aligner::new(&source, &target, &[plan("c", "c")]).unwrap();
    let batch = RecordBatch::try_new(source, vec![array]).unwrap();
    match aligner.align(&batch) {
        Ok(batch) => Ok(Arc::clone(batch.column(0))),
        Err(Unaligned::Misfits(misfits)) => Err(misfits),
        Err(Unaligned::Error(error)) => panic!("{error:?}"),
    }
}

fn to(data_type: DataType) -> Field {
    Field::new("c", data_type, true)
}

fn fits(array: impl Array + 'static, data_type: DataType, expected: impl Array + 'static) {
    let from = array.data_type().clone();
    let found = cast(Arc::new(array), &to(data_type)).unwrap_or_else(|misfits| panic!("{from}: {misfits:?}"));
    let expected: ArrayRef = Arc::new(expected);
    assert_eq!(&found, &expected);
}

/// The rows that do not fit.
fn misfits(array: impl Array + 'static, data_type: DataType) -> Vec<usize> {
    let misfits = cast(Arc::new(array), &to(data_type)).unwrap_err();
    misfits.rows().set_indices().collect()
}

fn decimal(values: Vec<Option<i128>>, precision: u8, scale: i8) -> Decimal128Array {
    Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap()
}

#[test]
fn integers_keep_their_range() {
    fits(
        Int64Array::from(vec![Some(1), None, Some(-5)]),
        DataType::Int32,
        Int32Array::from(vec![Some(1), None, Some(-5)]),
    );
    assert_eq!(misfits(Int64Array::from(vec![1, i64::MAX, 2, i64::MIN]), DataType::Int32), [1, 3]);
    assert_eq!(misfits(Int32Array::from(vec![0, -1]), DataType::UInt64), [1]);
    assert_eq!(misfits(UInt64Array::from(vec![u64::MAX, 1 << 63, (1 << 63) - 1]), DataType::Int64), [0, 1]);
    fits(Int32Array::from(vec![0, 1]), DataType::Boolean, BooleanArray::from(vec![false, true]));
    assert_eq!(misfits(Int32Array::from(vec![0, 2]), DataType::Boolean), [1]);
}

#[test]
fn floats_lose_no_fraction_and_no_digit() {
    fits(Float64Array::from(vec![2.0, -0.0]), DataType::Int32, Int32Array::from(vec![2, 0]));
    let odd = vec![1.9, 2.0, f64::NAN, f64::INFINITY, 2_147_483_648.0, -2_147_483_649.0, -2_147_483_648.0];
    assert_eq!(misfits(Float64Array::from(odd), DataType::Int32), [0, 2, 3, 4, 5]);
    // 2^63 is no i64, and the largest double below it is one.
    assert_eq!(
        misfits(Float64Array::from(vec![9_223_372_036_854_774_784.0, 9_223_372_036_854_775_808.0]), DataType::Int64),
        [1]
    );
    let single = cast(Arc::new(Float64Array::from(vec![0.5, f64::NAN])), &to(DataType::Float32)).unwrap();
    assert!(single.as_any().downcast_ref::<Float32Array>().unwrap().value(1).is_nan());
    assert_eq!(misfits(Float64Array::from(vec![0.5, 0.1, 1e300]), DataType::Float32), [1, 2]);
    let dense = 1i64 << 53;
    assert_eq!(
        misfits(Int64Array::from(vec![dense, dense + 1, dense + 2, i64::MAX, i64::MIN]), DataType::Float64),
        [1, 3]
    );
}

#[test]
fn doubles_of_digits_are_singles_of_the_same_digits() {
    let read = with_metadata(to(DataType::Float64), DIGITS, "decimal");
    let cast =
        |values: Vec<f64>| cast_field(Arc::new(Float64Array::from(values)), read.clone(), &to(DataType::Float32));
    let same = cast(vec![0.1, -2.5, 1e-45, 3.402_823_5e38, 16_777_216.0, f64::INFINITY]).unwrap();
    let same = same.as_any().downcast_ref::<Float32Array>().unwrap();
    // What is expected is parsed as single floats.
    assert_eq!(same.values(), &[0.1_f32, -2.5, 1e-45, f32::MAX, 16_777_216.0, f32::INFINITY]);
    let others = cast(vec![0.123_456_789, 1e300, 0.1, 16_777_217.0, 1e-50]).unwrap_err();
    assert_eq!(others.rows().set_indices().collect::<Vec<_>>(), [0, 1, 3, 4]);
}

#[test]
fn decimals_lose_no_digit() {
    let two = DataType::Decimal128(5, 2);
    assert_eq!(misfits(decimal(vec![Some(12345), Some(12300), None], 6, 3), two.clone()), [0]);
    fits(decimal(vec![Some(12300), None], 6, 3), two.clone(), decimal(vec![Some(1230), None], 5, 2));
    assert_eq!(misfits(decimal(vec![Some(99_999), Some(100_000)], 7, 2), two.clone()), [1]);
    assert_eq!(misfits(Int64Array::from(vec![999, 1000, i64::MIN]), two.clone()), [1, 2]);
    fits(decimal(vec![Some(200)], 5, 2), DataType::Int32, Int32Array::from(vec![2]));
    assert_eq!(misfits(decimal(vec![Some(201)], 5, 2), DataType::Int32), [0]);
    fits(Float64Array::from(vec![0.1, 12.3, -0.0]), two.clone(), decimal(vec![Some(10), Some(1230), Some(0)], 5, 2));
    assert_eq!(misfits(Float64Array::from(vec![0.125, 1e3, f64::NAN, 0.1 + 0.2]), two), [0, 1, 2, 3]);
    fits(decimal(vec![Some(10), Some(-1)], 5, 2), DataType::Float64, Float64Array::from(vec![0.1, -0.01]));
    let long = decimal(vec![Some(12_345_678_901_234_567_890), Some(1 << 60), Some(10_000_000_000_000_000_000)], 20, 0);
    assert_eq!(misfits(long, DataType::Float64), [0]);
    let wide = Decimal256Array::from(vec![i256::from_i128(12345)]).with_precision_and_scale(60, 3).unwrap();
    assert_eq!(misfits(wide.clone(), DataType::Decimal128(20, 2)), [0]);
    fits(wide, DataType::Decimal128(20, 4), decimal(vec![Some(123_450)], 20, 4));
    let widest = Decimal256Array::from(vec![i256::from_i128(12)]).with_precision_and_scale(76, 70).unwrap();
    fits(decimal(vec![Some(0)], 38, 0), DataType::Decimal256(76, 70), {
        Decimal256Array::from(vec![i256::ZERO]).with_precision_and_scale(76, 70).unwrap()
    });
    assert_eq!(misfits(widest, DataType::Decimal128(38, 2)), [0]);
}

#[test]
fn a_double_beyond_2_to_53_has_to_say_the_same_in_text() {
    let power = (1u64 << 60) as f64;
    // Exactly 1152921504606846976, shortest text 1.152921504606847e18.
    assert_eq!(misfits(Float64Array::from(vec![power]), DataType::Decimal128(38, 0)), [0]);
    fits(Float64Array::from(vec![1e22]), DataType::Decimal128(38, 0), decimal(vec![Some(10i128.pow(22))], 38, 0));
    fits(Float64Array::from(vec![power]), DataType::Int64, Int64Array::from(vec![1i64 << 60]));
}

#[test]
fn times_lose_no_part() {
    let zone = |zone: &str, unit| DataType::Timestamp(unit, Some(zone.into()));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let nanos = TimestampNanosecondArray::from(vec![Some(1_000), Some(1_001), None, Some(-1_000)]);
    assert_eq!(misfits(nanos, micros.clone()), [1]);
    let micro = TimestampMicrosecondArray::from(vec![86_400_000_000, -86_400_000_000, 1]);
    assert_eq!(misfits(micro.clone(), DataType::Date32), [2]);
    fits(micro.slice(0, 2), DataType::Date32, Date32Array::from(vec![1, -1]));
    fits(Date32Array::from(vec![1, -1]), micros, micro.slice(0, 2));
    assert_eq!(misfits(Date32Array::from(vec![0, 200_000]), DataType::Timestamp(TimeUnit::Nanosecond, None)), [1]);
    let far = TimestampSecondArray::from(vec![i64::MAX / 1000, i64::MAX / 1000 + 1]);
    assert_eq!(misfits(far, DataType::Timestamp(TimeUnit::Millisecond, None)), [1]);
    let utc = TimestampMicrosecondArray::from(vec![5]).with_timezone("UTC");
    let oslo = TimestampMicrosecondArray::from(vec![5]).with_timezone("Europe/Oslo");
    fits(utc, zone("Europe/Oslo", TimeUnit::Microsecond), oslo);
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let days = IntervalMonthDayNano::new(0, 0, -3 * 86_400_000_000_000);
    fits(
        DurationSecondArray::from(vec![Some(-3 * 86_400), None]),
        interval.clone(),
        IntervalMonthDayNanoArray::from(vec![Some(days), None]),
    );
    assert_eq!(misfits(DurationSecondArray::from(vec![1, i64::MAX]), interval), [1]);
}

#[test]
fn zones_appear_and_vanish_by_no_cast() {
    let local = schema(vec![to(DataType::Timestamp(TimeUnit::Microsecond, None))]);
    let zoned = schema(vec![to(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))]);
    for (from, to) in [(&local, &zoned), (&zoned, &local)] {
        let error = Aligner::new(from, to, &[plan("c", "c")]).unwrap_err();
        assert_eq!((error.kind(), error.frames()[0].which.as_str()), (ErrorKind::Schema, "c"));
    }
}

#[test]
fn texts_are_parsed_exactly_and_printed_as_in_csv() {
    let text = |values: Vec<&str>| StringArray::from(values);
    assert_eq!(misfits(text(vec!["1", "1.5", "x", "99999999999"]), DataType::Int32), [1, 2, 3]);
    assert_eq!(misfits(text(vec!["12.30", "12.345"]), DataType::Decimal128(5, 2)), [1]);
    fits(
        StringViewArray::from(vec![Some("2024-01-02"), None]),
        DataType::Date32,
        Date32Array::from(vec![Some(19_724), None]),
    );
    fits(decimal(vec![Some(1230), None], 5, 2), DataType::Utf8, StringArray::from(vec![Some("12.30"), None]));
    fits(BinaryArray::from(vec![b"\x00\xff" as &[u8]]), DataType::LargeUtf8, LargeStringArray::from(vec!["\\x00ff"]));
    let small = DataType::Decimal32(4, 1);
    assert_eq!(misfits(text(vec!["123.4", "1234.5"]), small), [1]);
    let uuid = with_metadata(to(DataType::FixedSizeBinary(16)), EXTENSION, EXTENSION_UUID);
    let word = "0188bac7-2c2b-7c4e-9b3e-000102030405";
    let bytes = cast(Arc::new(text(vec![word])), &uuid).unwrap();
    let back = cast_field(bytes, uuid, &to(DataType::Utf8)).unwrap();
    assert_eq!(back.as_any().downcast_ref::<StringArray>().unwrap().value(0), word);
}

#[test]
fn lengths_count_characters_and_bytes_their_width() {
    let varchar = with_native(to(DataType::Utf8), "postgres:character varying(3)");
    let found = cast(Arc::new(StringArray::from(vec![Some("äöü"), Some("abcd"), None])), &varchar).unwrap_err();
    assert_eq!(found.rows().set_indices().collect::<Vec<_>>(), [1]);
    assert_eq!(found.columns()[0].reason, Reason::Length { room: 3 });
    let long = cast(Arc::new(Int32Array::from(vec![999, 1000])), &varchar).unwrap_err();
    assert_eq!(long.first().unwrap().row, 1);
    assert_eq!(misfits(BinaryArray::from(vec![b"ab" as &[u8], b"abc"]), DataType::FixedSizeBinary(2)), [1]);
    fits(BinaryArray::from(vec![b"ab" as &[u8]]), DataType::FixedSizeBinary(2), {
        FixedSizeBinaryArray::try_from_iter([b"ab"].into_iter()).unwrap()
    });
}

#[test]
fn nulls_and_reasons_are_told_by_row_and_column() {
    let source = schema(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]);
    let target = schema(vec![Field::new("B", DataType::Int16, false), Field::new("A", DataType::Int64, false)]);
    let aligner = Aligner::new(&source, &target, &[plan("a", "A"), plan("b", "B")]).unwrap();
    let a = Int64Array::from(vec![Some(1), None, Some(3)]);
    let b = Int64Array::from(vec![Some(1), Some(2), Some(70_000)]);
    let batch = RecordBatch::try_new(source, vec![Arc::new(a), Arc::new(b)]).unwrap();
    let Err(Unaligned::Misfits(found)) = aligner.align(&batch) else { panic!() };
    let first = found.first().unwrap();
    assert_eq!((first.row, first.column.as_str(), first.reason), (1, "A", Reason::Null));
    assert_eq!(found.count(), 2);
    let error = found.into_error(100);
    assert_eq!(error.to_string(), "row 101: column A: NULL in a column that takes none (and 1 more row nearby)");
    let good = aligner.align(&batch.slice(0, 1)).unwrap();
    assert_eq!(good.schema(), target);
}

#[test]
fn what_cannot_be_cast_is_no_null() {
    let source = schema(vec![Field::new("a", DataType::Utf8, true)]);
    let target = schema(vec![Field::new("A", DataType::Int32, false)]);
    let aligner = Aligner::new(&source, &target, &[plan("a", "A")]).unwrap();
    let batch = RecordBatch::try_new(source, vec![Arc::new(StringArray::from(vec![Some("x"), None]))]).unwrap();
    let Err(Unaligned::Misfits(found)) = aligner.align(&batch) else { panic!() };
    assert_ne!(found.first().unwrap().reason, Reason::Null);
    let Err(Unaligned::Misfits(found)) = aligner.align(&batch.slice(1, 1)) else { panic!() };
    assert_eq!(found.first().unwrap().reason, Reason::Null);
}

#[test]
fn garbage_under_null_is_no_misfit() {
    let values = vec![1i64, i64::MAX, 3];
    let nulls = vec![true, false, true].into();
    let array = Int64Array::new(values.into(), Some(nulls));
    fits(array, DataType::Int32, Int32Array::from(vec![Some(1), None, Some(3)]));
}

#[test]
fn alike_columns_are_not_copied() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let target = with_native(to(DataType::Int64), "postgres:bigint");
    let found = cast(Arc::clone(&array), &target).unwrap();
    assert!(Arc::ptr_eq(&array, &found));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    assert!(Arc::ptr_eq(&text, &cast(Arc::clone(&text), &to(DataType::Utf8)).unwrap()));
}

#[test]
fn dictionaries_are_unpacked_and_packed() {
    let packed: DictionaryArray<Int32Type> = vec![Some("1"), None, Some("2"), Some("1")].into_iter().collect();
    fits(packed.clone(), DataType::Int64, Int64Array::from(vec![Some(1), None, Some(2), Some(1)]));
    let text = StringArray::from(vec![Some("1"), None, Some("2"), Some("1")]);
    fits(text, packed.data_type().clone(), packed);
}

#[test]
fn nested_values_are_cast_within() {
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let values = Int64Array::from(vec![1, i64::MAX, 3, 4, i64::MAX]);
    let offsets = OffsetBuffer::from_lengths([1, 1, 2, 1]);
    let nulls = vec![true, false, true, true].into();
    let list = ListArray::new(item(DataType::Int64), offsets, Arc::new(values), Some(nulls));
    let narrow = DataType::List(Arc::new(Field::new("element", DataType::Int32, true)));
    // The second list is NULL: its element does not count.
    assert_eq!(misfits(list.clone(), narrow.clone()), [3]);
    assert_eq!(cast(Arc::new(list.slice(0, 3)), &to(narrow)).unwrap().len(), 3);
    let large = cast(Arc::new(list), &to(DataType::LargeList(item(DataType::Float64))));
    assert_eq!(large.unwrap_err().columns()[0].reason, Reason::Nested);

    let fields = |a, b| Fields::from(vec![Field::new("a", a, true), Field::new("b", b, true)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(Float64Array::from(vec![1.0, 2.5]))];
    let array = StructArray::new(fields(DataType::Int64, DataType::Float64), columns, None);
    let target = DataType::Struct(fields(DataType::Utf8, DataType::Int64));
    assert_eq!(misfits(array, target), [1]);
}

#[test]
fn native_forms_only_pass() {
    let native = |name: &str| with_metadata(with_native(to(DataType::Binary), name), FORM, WIRE);
    let array: ArrayRef = Arc::new(BinaryArray::from(vec![b"x" as &[u8]]));
    let same = cast_field(Arc::clone(&array), native("postgres:numeric"), &native("postgres:numeric")).unwrap();
    assert!(Arc::ptr_eq(&array, &same));
    let (from, to) = (schema(vec![native("postgres:numeric")]), schema(vec![to(DataType::Binary)]));
    assert_eq!(Aligner::new(&from, &to, &[plan("c", "c")]).unwrap_err().kind(), ErrorKind::Schema);
}

fn types() -> Vec<DataType> {
    use DataType as T;
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    let mut types = vec![
        T::Null,
        T::Boolean,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Float16,
        T::Float32,
        T::Float64,
        T::Decimal32(5, 2),
        T::Decimal64(12, 2),
        T::Decimal128(20, 4),
        T::Decimal128(30, 0),
        T::Decimal256(60, 10),
        T::Utf8,
        T::LargeUtf8,
        T::Utf8View,
        T::Binary,
        T::LargeBinary,
        T::BinaryView,
        T::FixedSizeBinary(4),
        T::Date32,
        T::Date64,
        T::Time32(TimeUnit::Second),
        T::Time32(TimeUnit::Millisecond),
        T::Time64(TimeUnit::Microsecond),
        T::Time64(TimeUnit::Nanosecond),
        T::Interval(IntervalUnit::YearMonth),
        T::Interval(IntervalUnit::DayTime),
        T::Interval(IntervalUnit::MonthDayNano),
        T::Dictionary(Box::new(T::Int32), Box::new(T::Utf8)),
        T::List(item(T::Int32)),
        T::LargeList(item(T::Int64)),
        T::FixedSizeList(item(T::Int32), 2),
        T::ListView(item(T::Int32)),
        T::Struct(vec![Field::new("a", T::Int32, true)].into()),
    ];
    for unit in units {
        types.extend([T::Timestamp(unit, None), T::Timestamp(unit, Some("UTC".into())), T::Duration(unit)]);
    }
    types
}

/// What `fate` says, the kernels do: for every pair of types, on an empty array and one of NULLs.
#[test]
fn fates_and_kernels_agree() {
    for from in types() {
        for target in types() {
            let (source, to) = (to(from.clone()), to(target.clone()));
            let found: Option<Kernel> = kernel(&source, &to);
            assert_eq!(found.is_some(), possible(&source, &to), "{from} -> {target}");
            let Some(kernel) = found else { continue };
            for rows in [0, 3] {
                let array = arrow::array::new_null_array(&from, rows);
                let cast = kernel.run(&array).unwrap_or_else(|error| panic!("{from} -> {target}: {error:?}"));
                assert_eq!(cast.array.data_type(), &target, "{from} -> {target}");
                assert_eq!((cast.array.len(), cast.misfits.is_none()), (rows, true), "{from} -> {target}");
                assert_eq!(cast.array.logical_null_count(), rows, "{from} -> {target}");
            }
            if from == target {
                assert_eq!(fate(&source, &to), ColumnFate::Exact);
            }
        }
    }
}

/// The value of a row as text, by Arrow's own printer and not by ours.
fn shown(array: &ArrayRef, row: usize) -> String {
    arrow::util::display::array_value_to_string(array, row).unwrap()
}

/// A decimal text as digits without zeros around them and the power of ten of the last.
fn canonical(text: &str) -> (bool, String, i64) {
    let (text, exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) => (text, exponent.parse().unwrap()),
        None => (text, 0),
    };
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
    if digits.is_empty() {
        return (false, digits, 0);
    }
    let trailing = (all.len() - all.trim_end_matches('0').len()) as i64;
    (negative, digits, exponent - fraction.len() as i64 + trailing)
}

fn number_types() -> Vec<DataType> {
    use DataType as T;
    vec![
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Float32,
        T::Float64,
        T::Decimal32(5, 2),
        T::Decimal64(18, 0),
        T::Decimal128(20, 4),
        T::Decimal128(38, 10),
        T::Decimal128(10, -2),
        T::Decimal256(60, 10),
        T::Decimal256(76, 0),
        T::Utf8,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Every number either stays the same number through any two casts, or is told as a misfit.
    #[test]
    fn numbers_stay_or_are_misfits(
        unscaled in prop_oneof![-300i64..300, any::<i64>(), prop::sample::select(vec![i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1])],
        scale in 0i8..6,
        first in 0usize..18,
        second in 0usize..18,
    ) {
        let source: ArrayRef = Arc::new(decimal(vec![Some(unscaled.into()), None], 25, scale));
        let types = number_types();
        let before = canonical(&shown(&source, 0));
        let Ok(one) = cast(Arc::clone(&source), &to(types[first].clone())) else { return Ok(()) };
        prop_assert!(one.is_null(1));
        prop_assert_eq!(one.data_type(), &types[first]);
        // Arrow's printer shows floats by their shortest text: a large double may be the same integer, written otherwise.
        let whole = unscaled % 10i64.pow(scale as u32) == 0;
        let same_integer = one.data_type().is_floating() && whole;
        prop_assert!(canonical(&shown(&one, 0)) == before || same_integer, "{} -> {}", shown(&source, 0), shown(&one, 0));
        // A double holds every float exactly, and its shortest text is another one.
        let widened = (&types[first], &types[second]) == (&DataType::Float32, &DataType::Float64);
        if let Ok(two) = cast(Arc::clone(&one), &to(types[second].clone())) {
            let same_integer = same_integer || widened || two.data_type().is_floating() && whole;
            prop_assert!(canonical(&shown(&two, 0)) == before || same_integer, "{} -> {}", shown(&one, 0), shown(&two, 0));
        }
        // What went there comes back; a large float is an integer by value and another by its text, and may be refused.
        let large = one.data_type().is_floating() && unscaled.unsigned_abs() > 1 << 24;
        let back = cast(one, &to(source.data_type().clone()));
        prop_assert!(back.map_or(large, |back| *back == *source), "{} by {}", shown(&source, 0), types[first]);
    }

    /// Doubles come back bit for bit from whatever takes them.
    #[test]
    fn doubles_come_back(value in prop_oneof![any::<f64>(), (-1000i32..1000).prop_map(|v| f64::from(v) / 8.0), (-1000i32..1000).prop_map(|v| f64::from(v) / 100.0)], kind in 0usize..18) {
        let source: ArrayRef = Arc::new(Float64Array::from(vec![value]));
        let Ok(there) = cast(Arc::clone(&source), &to(number_types()[kind].clone())) else { return Ok(()) };
        let back = cast(there, &to(DataType::Float64)).unwrap();
        let back = back.as_any().downcast_ref::<Float64Array>().unwrap().value(0);
        prop_assert!(back.total_cmp(&value).is_eq() || back == 0.0 && value == 0.0 || back.is_nan() && value.is_nan(), "{value} by {}", number_types()[kind]);
    }

    /// Instants come back from every unit that takes them.
    #[test]
    fn instants_come_back(value in prop_oneof![any::<i64>(), (-100_000i64..100_000).prop_map(|days| days * 86_400_000_000), (-1000i64..1000).prop_map(|v| v * 1000)], kind in 0usize..6) {
        let targets = [
            DataType::Timestamp(TimeUnit::Second, None), DataType::Timestamp(TimeUnit::Millisecond, None),
            DataType::Timestamp(TimeUnit::Nanosecond, None), DataType::Date32, DataType::Date64, DataType::Utf8,
        ];
        let source: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![value]));
        let Ok(there) = cast(Arc::clone(&source), &to(targets[kind].clone())) else { return Ok(()) };
        // A microsecond count beyond the years of text may be refused on the way back, never changed.
        let back = cast(there, &to(source.data_type().clone()));
        prop_assert!(back.map_or(kind == 5, |back| *back == *source));
    }
}

#[test]
fn rows_that_do_not_fit_are_sifted_out_with_the_first_reason_of_each() {
    let list = |element: Field| DataType::List(Arc::new(element));
    let item = |data_type| Field::new("item", data_type, false);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), Some("x"), None, Some("4"), Some("5")]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 1, i64::MAX, 5]));
    let nested = ListArray::new(
        Arc::new(item(DataType::Utf8)),
        OffsetBuffer::from_lengths([1, 1, 1, 1, 1]),
        Arc::new(StringArray::from(vec!["1", "2", "3", "4", "y"])),
        None,
    );
    let from = schema(vec![
        Field::new("t", DataType::Utf8, true),
        Field::new("n", DataType::Int64, false),
        Field::new("l", list(item(DataType::Utf8)), true),
    ]);
    let to = schema(vec![
        Field::new("t", DataType::Int32, false),
        Field::new("n", DataType::Int32, false),
        Field::new("l", list(item(DataType::Int32)), false),
    ]);
    let aligner = Aligner::new(&from, &to, &[plan("t", "t"), plan("n", "n"), plan("l", "l")]).unwrap();
    let batch = RecordBatch::try_new(from, vec![texts, numbers, Arc::new(nested)]).unwrap();
    let sifted = aligner.sift(&batch).unwrap();
    assert_eq!(sifted.fitting.column(0).as_ref(), &Int32Array::from(vec![1]) as &dyn Array);
    assert_eq!(sifted.kept, Some(BooleanArray::from(vec![true, false, false, false, false])));
    let told: Vec<(usize, &str)> = sifted.misfits.iter().map(|misfit| (misfit.row, misfit.column.as_str())).collect();
    assert_eq!(told, [(1, "t"), (2, "t"), (3, "n"), (4, "l")]);
    let fitting = aligner.sift(&batch.slice(0, 1)).unwrap();
    assert_eq!((fitting.fitting.num_rows(), fitting.kept.is_none(), fitting.misfits.len()), (1, true, 0));
}

#[test]
fn an_empty_text_is_null_where_it_becomes_a_number_if_the_source_says_so() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), Some(""), None]));
    let plain = Field::new("a", DataType::Utf8, true);
    let marked = crate::schema::with_metadata(plain.clone(), crate::schema::EMPTY_IS_NULL, crate::schema::NUMBERS);
    let number = Field::new("a", DataType::Int32, true);
    let cast = kernel(&marked, &number).unwrap().run(&texts).unwrap();
    assert!(cast.misfits.is_none());
    assert_eq!((cast.array.null_count(), cast.array.is_valid(0)), (2, true));
    assert!(kernel(&plain, &number).unwrap().run(&texts).unwrap().misfits.is_some());
    // Other types know no empty text.
    let day = Field::new("a", DataType::Date32, true);
    let empty: ArrayRef = Arc::new(StringArray::from(vec![""]));
    assert!(kernel(&marked, &day).unwrap().run(&empty).unwrap().misfits.is_some());
    // Unless all are meant.
    let all = crate::schema::with_metadata(plain, crate::schema::EMPTY_IS_NULL, crate::schema::ALL_TYPES);
    for target in [&day, &number] {
        let cast = kernel(&all, target).unwrap().run(&empty).unwrap();
        assert!(cast.misfits.is_none() && cast.array.null_count() == 1, "{target}");
    }
}

#[test]
fn a_text_is_a_date_in_the_first_form_that_fits() {
    let texts: ArrayRef =
        Arc::new(StringArray::from(vec!["2024-02-03", "20240203", "03/02/2024", "20240230", "2024020304", "2024"]));
    let plain = Field::new("a", DataType::Utf8, true);
    let marked =
        crate::schema::with_metadata(plain.clone(), crate::schema::DATE_FORMATS, "yyyyMMdd\ndd/MM/yyyy\nyyyyMMddHH");
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let refused = |from: &Field, target: &DataType| {
        let cast = kernel(from, &Field::new("a", target.clone(), true)).unwrap().run(&texts).unwrap();
        let misfits = cast.misfits.map_or_else(Vec::new, |(rows, _)| rows.set_indices().collect::<Vec<_>>());
        (cast.array, misfits)
    };
    let (days, misfits) = refused(&marked, &DataType::Date32);
    assert_eq!(misfits, [3, 4, 5]);
    assert_eq!([0, 1, 2].map(|row| shown(&days, row)), ["2024-02-03"; 3].map(str::to_owned));
    let (stamps, misfits) = refused(&marked, &micros);
    assert_eq!(misfits, [3, 5]);
    let told = [1, 2, 4].map(|row| shown(&stamps, row));
    assert_eq!(told, ["2024-02-03T00:00:00", "2024-02-03T00:00:00", "2024-02-03T04:00:00"].map(str::to_owned));
    // A midnight is no loss, but that of a zone.
    let texts: ArrayRef =
        Arc::new(StringArray::from(vec!["2024-02-03 00:00:00", "2024020300", "2024-02-03T00:00:00Z"]));
    let cast = kernel(&marked, &to(DataType::Date32)).unwrap().run(&texts).unwrap();
    assert_eq!([0, 1].map(|row| shown(&cast.array, row)), ["2024-02-03"; 2].map(str::to_owned));
    assert_eq!(cast.misfits.unwrap().0.set_indices().collect::<Vec<_>>(), [2]);
    // A text that names no zone is no instant, and who says nothing has the usual forms.
    let instants = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(refused(&marked, &instants).1.len(), 6);
    assert_eq!(refused(&plain, &DataType::Date32).1, [1, 2, 3, 4, 5]);
}

#[test]
fn a_text_is_an_integer_by_its_value_if_the_source_says_so() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["12.0", "1e3", " -0.0", "12.5", "1e30", "300.00"]));
    let plain = Field::new("a", DataType::Utf8, true);
    let marked = crate::schema::with_metadata(plain.clone(), crate::schema::INTEGERS, crate::schema::BY_VALUE);
    let refused = |from: &Field, target: &DataType| {
        let cast = kernel(from, &Field::new("a", target.clone(), true)).unwrap().run(&texts).unwrap();
        let misfits = cast.misfits.map_or_else(Vec::new, |(rows, _)| rows.set_indices().collect::<Vec<_>>());
        (cast.array, misfits)
    };
    let (numbers, misfits) = refused(&marked, &DataType::Int32);
    assert_eq!(misfits, [3, 4]);
    assert_eq!([0, 1, 2, 5].map(|row| shown(&numbers, row)), ["12", "1000", "0", "300"].map(str::to_owned));
    assert_eq!(refused(&marked, &DataType::UInt8).1, [1, 3, 4, 5]);
    assert_eq!(refused(&plain, &DataType::Int32).1, [0, 1, 2, 3, 4, 5]);
}
