use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Int64Type};
use proptest::prelude::*;

use super::*;
use crate::schema::{DIGITS, WHOLE, with_metadata};

/// The rows of DataX's own runs (`tr.txt`): midnight of 2024-01-02 in GMT+8 is 1704124800 s after 1970.
fn golden() -> RecordBatch {
    let texts = StringArray::from(vec![Some("dataxTest"), None, Some("xyz"), Some(""), Some("中文字符abc")]);
    let longs = Int64Array::from(vec![Some(10), None, Some(-3), Some(9), Some(100)]);
    let doubles = Float64Array::from(vec![Some(1.5), None, Some(10.0), Some(f64::NAN), Some(100.0)]);
    let flags = BooleanArray::from(vec![Some(true), None, Some(false), Some(true), Some(true)]);
    // By the clock: DataX read these texts in GMT+8.
    let midnight = 1_704_153_600;
    let moments = [Some(midnight), None, Some(8 * 3600), Some(midnight + 1), Some(midnight + 86_400)];
    let moments = TimestampSecondArray::from(moments.to_vec());
    batch([
        ("s", Arc::new(texts)),
        ("l", Arc::new(longs)),
        ("d", Arc::new(doubles)),
        ("b", Arc::new(flags)),
        ("t", Arc::new(moments)),
    ])
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn step(function: &str, column_index: usize, parameters: &[&str]) -> TransformStep {
    let parameters = parameters.iter().map(|text| (*text).to_owned()).collect();
    TransformStep { function: function.to_owned(), column_index, parameters }
}

fn worked(batch: &RecordBatch, steps: &[TransformStep]) -> Worked {
    Steps::try_new(steps, &batch.schema()).unwrap().run(batch).unwrap()
}

fn column(batch: &RecordBatch, index: usize) -> Vec<Option<String>> {
    let texts = arrow::compute::cast(batch.column(index), &DataType::Utf8).unwrap();
    texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

/// One step over texts: what becomes of them; none where there is nothing left.
fn one(function: &str, parameters: &[&str], texts: &[Option<&str>]) -> Vec<Option<String>> {
    let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    column(&worked(&batch([("s", texts)]), &[step(function, 0, parameters)]).rows, 0)
}

/// Numbers that keep their text are compared as DataX compares its doubles, and stay as they were written.
#[test]
fn texts_that_are_numbers_are_compared_as_numbers() {
    let texts: ArrayRef =
        Arc::new(StringArray::from(vec![Some("1.50"), Some("1e3"), None, Some("10"), Some("Infinity")]));
    let field = with_metadata(Field::new("d", DataType::Utf8, true), DIGITS, "decimal");
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![texts]).unwrap();
    let left = worked(&batch, &[step("dx_filter", 0, &[">", "9.5"])]).rows;
    assert_eq!(column(&left, 0), [Some("1.50".to_owned()), None]);
}

/// Whole numbers of any length are compared as DataX compares its longs: one beyond 64 bits cannot be.
#[test]
fn texts_that_are_whole_numbers_are_compared_as_longs() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("9"), Some("10"), None, Some("18446744073709551615")]));
    let field = with_metadata(Field::new("d", DataType::Utf8, true), DIGITS, WHOLE);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![texts]).unwrap();
    let worked = worked(&batch, &[step("dx_filter", 0, &[">", "9"])]);
    assert_eq!(column(&worked.rows, 0), [Some("9".to_owned()), None]);
    assert_eq!(worked.transformed, Transformed { succeeded: 3, failed: 1, filtered: 1 });
}

const N: &str = "<NULL>";

#[test]
fn texts_become_what_datax_made_of_them() {
    let cases: [(&str, usize, &[&str], &[&str]); 10] = [
        ("dx_substr", 0, &["2", "5"], &["taxTe", N, "z", "字符abc"]),
        ("dx_substr", 0, &["5", "10"], &["Test", N, "bc"]),
        ("dx_substr", 0, &["0", "0"], &["", N, "", "", ""]),
        ("dx_substr", 1, &["0", "1"], &["1", N, "-", "9", "1"]),
        ("dx_substr", 0, &["-1", "2"], &[N]),
        ("dx_pad", 1, &["l", "5", "0"], &["00010", "00000", "000-3", "00009", "00100"]),
        ("dx_replace", 0, &["2", "4", "****"], &["da****est", N, "xy****", "中文****c"]),
        ("dx_replace", 0, &["5", "10", "****"], &["datax****", N, "中文字符a****"]),
        ("dx_replace", 1, &["0", "1", "9"], &["90", N, "93", "9", "900"]),
        (
            "dx_digest",
            0,
            &["md5", "toUpperCase"],
            &[
                "2A289020F144A4B2304B87E02435FFAA",
                "D41D8CD98F00B204E9800998ECF8427E",
                "D16FB36F0911F878998C136191AF705E",
                "D41D8CD98F00B204E9800998ECF8427E",
                "93390F7E943AAC1A8155E9338019E9C2",
            ],
        ),
    ];
    for (function, index, parameters, expected) in cases {
        let worked = worked(&golden(), &[step(function, index, parameters)]);
        let found: Vec<String> =
            column(&worked.rows, index).into_iter().map(|text| text.unwrap_or_else(|| N.to_owned())).collect();
        assert_eq!(found, expected, "{function} {parameters:?}");
        let (kept, failed) = (expected.len() as u64, 5 - expected.len() as u64);
        assert_eq!(
            worked.transformed,
            Transformed { succeeded: kept, failed, filtered: 0 },
            "{function} {parameters:?}"
        );
        assert_eq!(worked.refused.len() as u64, failed);
    }
}

#[test]
fn capitals_choose_another_digest_as_in_datax() {
    let digests = one("dx_digest", &["SHA1", "TOUPPERCASE"], &[Some("dataxTest"), None, Some("中文字符abc")]);
    let expected = [
        "888e91b36b5cdc5b69abf0803d4333da9d3b0aab",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "141622f0d108b8b9e87b03256996e117cb1ac4e8",
    ];
    assert_eq!(digests, expected.map(|digest| Some(digest.to_owned())));
    assert_eq!(one("dx_digest", &["MD5", "toLowerCase"], &[None]), [Some(expected[1].to_owned())]);
}

#[test]
fn rows_are_dropped_and_counted_as_datax_did() {
    type Case<'a> = (usize, &'a [&'a str], &'a [usize], [u64; 3]);
    let cases: [Case<'_>; 11] = [
        (1, &[">", "9"], &[1, 2, 3], [5, 0, 2]),
        (1, &[">=", "9"], &[1, 2], [5, 0, 3]),
        (1, &["<", "9"], &[0, 1, 3, 4], [5, 0, 1]),
        (1, &["=", "10"], &[1, 2, 3, 4], [5, 0, 1]),
        (1, &["=", "null"], &[], [1, 4, 1]),
        (1, &["!=", "10"], &[0], [5, 0, 4]),
        (0, &[">", "e"], &[0, 1, 3], [5, 0, 2]),
        (3, &["=", "true"], &[1, 2], [5, 0, 3]),
        (4, &[">", "1704124800000"], &[0, 1, 2], [5, 0, 2]),
        (4, &[">", "2024-01-01"], &[1], [1, 4, 0]),
        (1, &[">", "9.5"], &[1], [1, 4, 0]),
    ];
    for (index, parameters, kept, [succeeded, failed, filtered]) in cases {
        let worked = worked(&golden(), &[step("dx_filter", index, parameters)]);
        assert_eq!(worked.transformed, Transformed { succeeded, failed, filtered }, "{parameters:?}");
        assert_eq!(places(&worked), kept, "{parameters:?}");
        assert_eq!(worked.rows.num_rows(), kept.len());
    }
}

fn places(worked: &Worked) -> Vec<usize> {
    worked.keep.as_ref().map_or_else(|| (0..5).collect(), |keep| keep.values().set_indices().collect())
}

#[test]
fn wrong_parameters_fail_for_each_row_and_wrong_names_at_once() {
    let wrong: [(&str, &[&str]); 6] = [
        ("dx_substr", &["x", "1"]),
        ("dx_substr", &["1"]),
        ("dx_filter", &["~", "9"]),
        ("dx_filter", &["=", ""]),
        ("dx_pad", &["m", "5", "0"]),
        ("dx_digest", &["sha256", "toLowerCase"]),
    ];
    for (function, parameters) in wrong {
        let worked = worked(&golden(), &[step(function, 1, parameters)]);
        assert_eq!(
            worked.transformed,
            Transformed { succeeded: 0, failed: 5, filtered: 0 },
            "{function} {parameters:?}"
        );
    }
    let usage = [
        (step("dx_nope", 0, &["0", "1"]), "transformer dx_nope: there is no transformer of this name"),
        (step("dx_substr", 5, &["0", "1"]), "transformer dx_substr: column 5 is out of range"),
        (step("dx_filter", 0, &["like", "a(?=b)"]), "transformer dx_filter: this pattern cannot be matched"),
        (step("dx_filter", 0, &["like", "a++b"]), "transformer dx_filter: this pattern cannot be matched"),
    ];
    for (step, expected) in usage {
        let error = Steps::try_new(&[step], &golden().schema()).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, expected));
    }
}

#[test]
fn steps_follow_one_another_and_a_row_leaves_once() {
    let steps = [
        step("dx_filter", 1, &["=", "100"]),
        step("dx_substr", 0, &["1", "2"]),
        step("dx_pad", 0, &["r", "4", "ab"]),
        step("dx_filter", 0, &["like", "y.*"]),
    ];
    let batch = golden();
    let worked = worked(&batch, &steps);
    assert_eq!(column(&worked.rows, 0), [Some("atab".to_owned()), Some("abab".to_owned())]);
    assert_eq!(worked.transformed, Transformed { succeeded: 4, failed: 1, filtered: 2 });
    assert_eq!(places(&worked), [0, 1]);
    let [(3, error)] = worked.refused.as_slice() else { panic!("{:?}", worked.refused) };
    assert_eq!(error.to_string(), "transformer dx_substr: column s: it is to begin behind the end of the text");
    let failed = Steps::try_new(&steps, &batch.schema()).unwrap().work(&batch, OnError::Fail);
    assert!(failed.is_err_and(|failed| failed.row == Some(3)));
}

#[test]
fn numbers_and_moments_have_the_texts_of_datax() {
    let columns: [(&str, ArrayRef); 6] = [
        ("d", Arc::new(Float64Array::from(vec![1.5, 1e16, f64::NEG_INFINITY]))),
        ("n", Arc::new(Decimal128Array::from(vec![150, -5, 0]).with_precision_and_scale(10, 2).unwrap())),
        ("day", Arc::new(Date32Array::from(vec![0, 19_724, -1]))),
        ("t", Arc::new(TimestampMicrosecondArray::from(vec![1_704_153_600_999_999, 0, -1]))),
        ("z", Arc::new(TimestampMicrosecondArray::from(vec![1_704_124_800_000_000, 0, -1]).with_timezone("UTC"))),
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 7]))),
    ];
    let expected = [
        ["1.5", "10000000000000000", "-Infinity"],
        ["1.50", "-0.05", "0.00"],
        ["1970-01-01", "2024-01-02", "1969-12-31"],
        ["2024-01-02 00:00:00", "1970-01-01 00:00:00", "1969-12-31 23:59:59"],
        ["2024-01-02 00:00:00", "1970-01-01 08:00:00", "1970-01-01 07:59:59"],
        ["18446744073709551615", "0", "7"],
    ];
    let batch = batch(columns);
    for (index, expected) in expected.into_iter().enumerate() {
        let worked = worked(&batch, &[step("dx_substr", index, &["0", "99"])]);
        assert_eq!(column(&worked.rows, index), expected.map(|text| Some(text.to_owned())));
        assert_eq!(*worked.rows.schema().field(index).data_type(), DataType::Utf8);
    }
    let kept = |index, parameters: &[&str]| worked(&batch, &[step("dx_filter", index, parameters)]).rows.num_rows();
    assert_eq!(kept(1, &[">", "1.4 "]), 2);
    assert_eq!(kept(0, &["<", "-1e300d"]), 2);
    assert_eq!(kept(4, &["=", "0"]), 2);
    // The largest does not fit into 64 bits: that row fails.
    assert_eq!(kept(5, &["=", "7"]), 1);
}

/// Moments that have a zone are shown by the clock of the job; those without are by the clock already.
#[test]
fn moments_are_shown_by_the_clock_of_the_zone() {
    let moments = TimestampMicrosecondArray::from(vec![1_704_124_800_000_000]);
    let batch = batch([
        ("z", Arc::new(moments.clone().with_timezone("UTC")) as ArrayRef),
        ("t", Arc::new(moments) as ArrayRef),
    ]);
    for (zone, shown) in [
        (None, "2024-01-02 00:00:00"),
        (Some("+00:00"), "2024-01-01 16:00:00"),
        (Some("-03:30"), "2024-01-01 12:30:00"),
    ] {
        let steps = |column| {
            let steps = [step("dx_substr", column, &["0", "99"])];
            Steps::by_clock(&steps, &batch.schema(), zone).unwrap().run(&batch).unwrap().rows
        };
        assert_eq!(column(&steps(0), 0), [Some(shown.to_owned())]);
        assert_eq!(column(&steps(1), 1), [Some("2024-01-01 16:00:00".to_owned())]);
        // Compared are milliseconds since 1970: of what has no zone, as the clock makes them.
        let equal = [step("dx_filter", 0, &["=", "1704124800000"])];
        assert_eq!(Steps::by_clock(&equal, &batch.schema(), zone).unwrap().run(&batch).unwrap().rows.num_rows(), 0);
    }
    let error = Steps::by_clock(&[], &batch.schema(), Some("Mars")).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "\"Mars\" is no zone"));
}

#[test]
fn patterns_mean_what_java_means() {
    let texts = [Some("12"), Some("１２"), Some("a\u{85}b"), None];
    let kept = |operator, pattern| one("dx_filter", &[operator, pattern], &texts).len();
    assert_eq!(kept("like", r"\d+"), 3);
    assert_eq!(kept("like", "1"), 4);
    assert_eq!(kept("like", "a.b"), 4);
    assert_eq!(kept("like", "(?s)a.b"), 3);
    assert_eq!(kept("like", r"[\d]+?"), 3);
    assert_eq!(kept("LIKE", r"\p{Alnum}+"), 3);
    assert_eq!(kept("like", r"\Q12\E"), 3);
    assert_eq!(kept("not like", r"\D.*"), 1);
}

#[test]
fn a_character_that_is_cut_in_two_becomes_a_question_mark() {
    assert_eq!(one("dx_substr", &["0", "2"], &[Some("a😀b")]), [Some("a?".to_owned())]);
    assert_eq!(one("dx_substr", &["2", "9"], &[Some("a😀b")]), [Some("?b".to_owned())]);
    assert_eq!(one("dx_pad", &["l", "4", "😀"], &[Some("x")]), [Some("😀?x".to_owned())]);
}

/// What Java's `new String(units)` writes.
fn written(units: &[u16]) -> String {
    char::decode_utf16(units.iter().copied()).map(|unit| unit.unwrap_or('?')).collect()
}

/// The rules of DataX, one text after the other; an error where the row fails.
fn reference(function: &str, parameters: &[String], text: Option<&str>) -> Result<Option<String>, ()> {
    let place = |index: usize| parameters[index].parse::<i64>().unwrap();
    let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    if function == "dx_pad" {
        let (text, fill, length) = (units(text.unwrap_or("")), units(&parameters[2]), place(1) as usize);
        if length <= text.len() {
            return Ok(Some(written(&text[..length])));
        }
        let fill: Vec<u16> = fill.iter().copied().cycle().take(length - text.len()).collect();
        let both = if parameters[0] == "l" { [fill, text] } else { [text, fill] };
        return Ok(Some(both.iter().map(|units| written(units)).collect()));
    }
    let Some(text) = text else { return Ok(None) };
    let (text, start, length) = (units(text), place(0), place(1));
    let all = text.len() as i64;
    if start < 0 || start > all || length < 0 {
        return Err(());
    }
    let (head, part) = text.split_at(start as usize);
    let part_end = (length as usize).min(part.len());
    Ok(Some(match function {
        "dx_substr" => written(&part[..part_end]),
        _ => [written(head), parameters[2].clone(), written(&part[part_end..])].concat(),
    }))
}

fn call() -> impl Strategy<Value = (&'static str, Vec<String>)> {
    let place = || (-1_i64..8).prop_map(|place| place.to_string());
    let size = || (0_i64..8).prop_map(|size| size.to_string());
    prop_oneof![
        (place(), place()).prop_map(|(start, length)| ("dx_substr", vec![start, length])),
        (place(), size(), "[a中😀]{0,3}").prop_map(|(start, length, text)| ("dx_replace", vec![start, length, text])),
        ("[lr]", size(), "[a中😀]{1,3}").prop_map(|(side, length, fill)| ("dx_pad", vec![side, length, fill])),
    ]
}

proptest! {
    #[test]
    fn kernels_follow_the_rules_row_by_row(
        (function, parameters) in call(),
        texts in prop::collection::vec(prop::option::of("[ab中\u{e000}😀]{0,6}"), 0..20),
    ) {
        let array: ArrayRef = Arc::new(StringArray::from(texts.clone()));
        let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
        let worked = worked(&batch([("s", array)]), &[step(function, 0, &parameters)]);
        let parameters: Vec<String> = parameters.iter().map(|text| (*text).to_owned()).collect();
        let rows = texts.iter().map(|text| reference(function, &parameters, text.as_deref()));
        let expected: Vec<Option<String>> = rows.clone().flatten().collect();
        prop_assert_eq!(column(&worked.rows, 0), expected);
        let failed: Vec<usize> = rows.enumerate().filter(|(_, row)| row.is_err()).map(|(row, _)| row).collect();
        prop_assert_eq!(worked.refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), failed);
    }

    #[test]
    fn texts_are_ordered_by_their_units(one in "[a~\u{ff}\u{e000}\u{ffff}😀]{0,4}", other in "[a~\u{ff}\u{e000}\u{ffff}😀]{0,4}") {
        let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        prop_assert_eq!(units::compare(&one, &other), units(&one).cmp(&units(&other)));
    }

    #[test]
    fn filters_follow_the_rules_row_by_row(
        operator in prop::sample::select(vec![">", ">=", "<", "<=", "=", "==", "!="]),
        value in -3_i64..3,
        longs in prop::collection::vec(prop::option::of(-3_i64..3), 0..40),
    ) {
        let array: ArrayRef = Arc::new(Int64Array::from(longs.clone()));
        let worked = worked(&batch([("l", array)]), &[step("dx_filter", 0, &[operator, &value.to_string()])]);
        let drops = |long: &Option<i64>| match (operator, long.map(|long| long.cmp(&value))) {
            ("!=", order) => order != Some(Ordering::Equal),
            (_, None) => false,
            (">", Some(order)) => order.is_gt(),
            (">=", Some(order)) => order.is_ge(),
            ("<", Some(order)) => order.is_lt(),
            ("<=", Some(order)) => order.is_le(),
            (_, Some(order)) => order.is_eq(),
        };
        let expected: Vec<Option<i64>> = longs.iter().filter(|long| !drops(long)).copied().collect();
        let found: Vec<Option<i64>> = worked.rows.column(0).as_primitive::<Int64Type>().iter().collect();
        prop_assert_eq!(found, expected);
    }
}
