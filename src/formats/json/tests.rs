use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int32Array,
    Int32Builder, Int64Array, MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
    TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use proptest::prelude::*;

use super::JsonLines;
use crate::error::{ErrorKind, Result};
use crate::formats::value::parse_type;
use crate::formats::{Extent, Inferred, Layout, Piece, RecordFormat, Typing};
use crate::schema::is_json;

fn read(format: &JsonLines, file: &str) -> Result<RecordBatch> {
    let inferred = format.infer(file.as_bytes(), Extent::Whole)?;
    let piece = Piece { bytes: &file.as_bytes()[inferred.start.data_start..], first_line: 1 };
    format.decode(&piece, &inferred.layout, &inferred.schema)
}

fn typing(all_strings: bool, casts: &[(&str, &str)]) -> JsonLines {
    let casts = casts.iter().map(|(name, text)| Arc::new(parse_type(text).unwrap().with_name(*name))).collect();
    JsonLines::new(Typing { all_strings, casts, ..Typing::default() })
}

fn written(batch: &RecordBatch) -> String {
    let mut out = Vec::new();
    JsonLines::default().encode(batch, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn types_are_found_where_nothing_is_lost() {
    use DataType::{Boolean, Date32, Decimal128, Float64, Int64, Utf8};
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let cases: [(&[&str], DataType, bool); 19] = [
        (&["1", "null", "-5"], Int64, false),
        (&["1", "9223372036854775808"], Decimal128(38, 0), false),
        (&["1.5", "2.25", "3"], Float64, false),
        (&["1.10", "2.5"], Float64, false),
        (&["1e5"], Float64, false),
        (&["12.34", "12.30"], Decimal128(38, 2), false),
        (&["0.12345678901234567890", "1.5"], Decimal128(38, 20), false),
        (&["1e400"], Utf8, true),
        (&["1.5", "\"NaN\"", "\"-inf\""], Float64, false),
        (&["true", "false"], Boolean, false),
        (&["\"x\"", "\"1\""], Utf8, false),
        (&["\"1\""], Utf8, false),
        (&["1", "\"1\""], Utf8, true),
        (&["true", "1"], Utf8, true),
        (&["{\"b\":1}", "[1, 2.10]"], Utf8, true),
        (&["\"2024-02-29\""], Date32, false),
        (&["\"2024-02-29\"", "\"x\""], Utf8, false),
        (&["\"2024-01-02T03:04:05Z\""], stamp, false),
        (&["null"], Utf8, false),
    ];
    for (values, data_type, json) in cases {
        let file = values.iter().fold(String::new(), |file, value| file + "{\"a\": " + value + "}\n");
        let inferred = JsonLines::default().infer(file.as_bytes(), Extent::Whole).unwrap();
        let field = inferred.schema.field(0);
        assert_eq!((field.data_type(), is_json(field)), (&data_type, json), "{values:?}");
        let batch = read(&JsonLines::default(), &file).unwrap();
        assert_eq!(batch.num_rows(), values.len());
    }
}

#[test]
fn keys_are_columns_in_any_order() {
    let file = "\u{feff}{\"a\":1,\"b\\u0020c\":\"x\\n\\u00e9\\ud83d\\ude00\\\"\"}\r\n\n {\"b c\":null , \"a\":2}\n{}\n";
    let batch = read(&JsonLines::default(), file).unwrap();
    assert_eq!(batch.schema().field(1).name(), "b c");
    assert_eq!(batch.column(0).as_ref(), &Int64Array::from(vec![Some(1), Some(2), None]) as &dyn Array);
    let expected = StringArray::from(vec![Some("x\né😀\""), None, None]);
    assert_eq!(batch.column(1).as_ref(), &expected as &dyn Array);
    assert_eq!(read(&JsonLines::default(), "{}\n{}\n").unwrap().num_rows(), 2);
    assert_eq!(read(&JsonLines::default(), "").unwrap().num_columns(), 0);
}

#[test]
fn json_columns_keep_their_text() {
    let file = "{\"a\": {\"z\": 1.10, \"a\": [1,  2], \"a\": 12345678901234567890123}}\n{\"a\": \"x\\u00e9\"}\n{\"a\": 1.50}\n";
    let batch = read(&JsonLines::default(), file).unwrap();
    let texts = StringArray::from(vec![
        "{\"z\": 1.10, \"a\": [1,  2], \"a\": 12345678901234567890123}",
        "\"x\\u00e9\"",
        "1.50",
    ]);
    assert_eq!(batch.column(0).as_ref(), &texts as &dyn Array);
    assert_eq!(
        written(&batch),
        file.replace("{\"a\": {", "{\"a\":{").replace("{\"a\": \"", "{\"a\":\"").replace(": 1.50", ":1.50")
    );
}

#[test]
fn what_the_user_says_of_types_holds() {
    let file = "{\"a\": 1.10, \"b\": \"007\", \"c\": {\"d\": 1}}\n";
    let strings = read(&typing(true, &[]), file).unwrap();
    let texts: Vec<ArrayRef> =
        ["1.10", "007", "{\"d\": 1}"].map(|text| Arc::new(StringArray::from(vec![text])) as _).into();
    assert_eq!(strings.columns(), texts);
    let batch = read(&typing(false, &[("a", "decimal(5,2)"), ("b", "int"), ("new", "text")]), file).unwrap();
    let decimal = Decimal128Array::from(vec![110]).with_precision_and_scale(5, 2).unwrap();
    assert_eq!(batch.column(0).as_ref(), &decimal as &dyn Array);
    assert_eq!(batch.column(1).as_ref(), &Int32Array::from(vec![7]) as &dyn Array);
    assert_eq!(batch.schema().field(3).name(), "new");
    assert!(read(&typing(false, &[("a", "int")]), file).is_err());
}

#[test]
fn damaged_input_is_an_error_with_its_line() {
    let cases = [
        ("{\"a\":1}\n{\"a\":1,\"a\":2}\n", ErrorKind::Corrupt, "line 2: key a: the object has this key twice"),
        ("{\"a\":1}\n[1]\n", ErrorKind::Corrupt, "line 2: the record is not a JSON object"),
        ("{\"a\":1}\n\"secret\"\n", ErrorKind::Corrupt, "line 2: the record is not a JSON object"),
        ("{\"a\":1}\n{\"a\":01}\n", ErrorKind::Corrupt, "line 2: the record is not valid JSON"),
        ("{\"a\":1} {\"a\":2}\n", ErrorKind::Corrupt, "line 1: the record is not valid JSON"),
        ("{\"a\":1}\n{\"a\":", ErrorKind::Corrupt, "line 2: the record is not valid JSON"),
        (
            "{\"a\":\"\\ud800\"}\n",
            ErrorKind::Value,
            "line 1: column a: the string has an escape that is half of a character",
        ),
        ("[{\"a\":1} {\"a\":2}]", ErrorKind::Corrupt, "line 1: a comma is missing between two objects of the array"),
        ("[{\"a\":1}]x", ErrorKind::Corrupt, "line 1: there is something after the array of objects"),
        ("[{\"a\":1},", ErrorKind::Corrupt, "line 1: an object is missing after a comma"),
    ];
    for (file, kind, expected) in cases {
        let error = read(&JsonLines::default(), file).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, expected), "{file}");
        assert!(!format!("{error:?}").contains("secret"));
    }
    let format = JsonLines::default();
    let layout = Layout { columns: vec!["a".to_owned()] };
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let late = [
        (b"\n{\"b\":1}" as &[u8], "line 8: key b: no record of the sample has this key"),
        (b"{\"a\":1}\n{\"a\":1.5}", "line 8: column a: the value is no bigint"),
        (b"{\"a\":1}\n{\"a\":\"1\"}", "line 8: column a: the value is no bigint"),
        (b"{\"a\":1}\n{\"a\":true}", "line 8: column a: the value is no bigint"),
        (b"{\"a\":1}\n \xff", "line 8: the text is not UTF-8 from byte 2 of the line on"),
    ];
    for (bytes, expected) in late {
        let error = format.decode(&Piece { bytes, first_line: 7 }, &layout, &schema).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn an_array_is_read_in_pieces() {
    let file = " [ {\"a\":1,\"b\":\"}]\\\"\"} ,\n\n{\"a\":2}\n,{\"b\":\n\"x\"}\n] \n";
    let whole = read(&JsonLines::default(), file).unwrap();
    assert_eq!(whole.num_rows(), 3);
    for size in 1..file.len() {
        let sizes = [size];
        let (batch, lines) = in_pieces(file.as_bytes(), &sizes);
        assert_eq!(batch, whole);
        assert_eq!(lines, 5);
    }
    let mut scanner = JsonLines::default().scanner();
    scanner.feed(b"[{\"a\":1}");
    assert_eq!(scanner.finish().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(read(&JsonLines::default(), "[]").unwrap().num_rows(), 0);
    assert!(!JsonLines::default().start(b" [", Extent::Head).unwrap().splittable);
}

/// All rows, by way of a scanner; and the line behind the last piece.
fn in_pieces(file: &[u8], sizes: &[usize]) -> (RecordBatch, u64) {
    let format = JsonLines::default();
    let Inferred { schema, layout, start, .. } = format.infer(file, Extent::Whole).unwrap();
    let mut scanner = format.scanner();
    let mut rest = &file[start.data_start..];
    let (mut pending, mut first_line) = (Vec::new(), 1);
    let mut batches = Vec::new();
    for size in sizes.iter().cycle() {
        let (buffer, after) = rest.split_at((*size).clamp(0, rest.len()));
        rest = after;
        let end = scanner.feed(buffer);
        let cut = end.map_or(buffer.len(), |end| end.offset);
        pending.extend_from_slice(&buffer[..cut]);
        if end.is_some() || rest.is_empty() {
            if end.is_none() || rest.is_empty() && cut < buffer.len() {
                pending.extend_from_slice(&buffer[cut..]);
            }
            batches.push(format.decode(&Piece { bytes: &pending, first_line }, &layout, &schema).unwrap());
            pending = if rest.is_empty() { Vec::new() } else { buffer[cut..].to_vec() };
            first_line += end.map_or(0, |end| end.lines);
        }
        if rest.is_empty() {
            break;
        }
    }
    scanner.finish().unwrap();
    (concat_batches(&schema, &batches).unwrap(), first_line)
}

#[test]
fn nested_values_are_written() {
    let mut map = MapBuilder::new(None, Int32Builder::new(), StringBuilder::new());
    map.keys().append_value(7);
    map.values().append_value("x\"");
    map.append(true).unwrap();
    map.append(false).unwrap();
    let fields = Fields::from(vec![Field::new("n", DataType::Float64, true), Field::new("b", DataType::Binary, true)]);
    let members: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![1.0, f64::INFINITY])),
        Arc::new(BinaryArray::from(vec![b"\x01" as &[u8], b""])),
    ];
    let object = StructArray::new(fields, members, None);
    let batch = RecordBatch::try_from_iter(vec![
        ("m", Arc::new(map.finish()) as ArrayRef),
        ("o\n", Arc::new(object)),
        ("d", Arc::new(Decimal128Array::from(vec![5, -110]).with_precision_and_scale(38, 2).unwrap())),
    ])
    .unwrap();
    let expected = "{\"m\":{\"7\":\"x\\\"\"},\"o\\n\":{\"n\":1.0,\"b\":\"\\\\x01\"},\"d\":0.05}\n\
        {\"m\":null,\"o\\n\":{\"n\":\"inf\",\"b\":\"\\\\x\"},\"d\":-1.10}\n";
    assert_eq!(written(&batch), expected);
    for line in expected.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn json_columns_are_checked_and_kept_on_one_line() {
    let field = parse_type("json").unwrap().with_name("j");
    let batch = |text: &str| {
        let schema = Arc::new(Schema::new(vec![field.clone()]));
        RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(vec![text]))]).unwrap()
    };
    assert_eq!(written(&batch("{\r\n \"a\": 1.10}")), "{\"j\":{   \"a\": 1.10}}\n");
    for text in ["{", "", "{\"a\":1}{", "\"\n\""] {
        let error = JsonLines::default().encode(&batch(text), &mut Vec::new()).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("column j")), (ErrorKind::Value, true));
    }
    let twice = Schema::new(vec![field.clone(), field]);
    assert_eq!(JsonLines::default().header(&Arc::new(twice)).unwrap_err().kind(), ErrorKind::Schema);
}

prop_compose! {
    fn any_batch()(rows in 0_usize..30)(
        strings in prop::collection::vec(prop::option::of("[\"\\\\\r\n\u{1}xé{}\\[\\],:]{0,8}|\\PC{0,80}"), rows),
        integers in prop::collection::vec(prop::option::of(any::<i64>()), rows),
        doubles in prop::collection::vec(prop::option::of(any::<f64>().prop_map(|x| if x.is_nan() { f64::INFINITY } else { x })), rows),
        booleans in prop::collection::vec(prop::option::of(any::<bool>()), rows),
        decimals in prop::collection::vec(prop::option::of(-10_i128.pow(38) + 1..10_i128.pow(38)), rows),
        stamps in prop::collection::vec(prop::option::of(any::<i64>()), rows),
        bytes in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..10)), rows),
        ids in prop::collection::vec(prop::option::of(any::<[u8; 16]>()), rows),
    ) -> RecordBatch {
        let field = |name: &str, sql_type: &str| parse_type(sql_type).unwrap().with_name(name);
        let schema = Schema::new(vec![
            field("a\"", "text"), field("i", "bigint"), field("f", "double"), field("b", "boolean"),
            field("n", "decimal(38,7)"), field("z", "timestamptz"), field("x", "bytea"), field("u", "uuid"),
        ]);
        let ids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.iter().copied(), 16).unwrap();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(strings)),
            Arc::new(Int64Array::from(integers)),
            Arc::new(Float64Array::from(doubles)),
            Arc::new(BooleanArray::from(booleans)),
            Arc::new(Decimal128Array::from(decimals).with_precision_and_scale(38, 7).unwrap()),
            Arc::new(TimestampMicrosecondArray::from(stamps).with_timezone("UTC")),
            Arc::new(BinaryArray::from_iter(bytes)),
            Arc::new(ids),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }
}

proptest! {
    #[test]
    fn batches_come_back(batch in any_batch()) {
        let text = written(&batch);
        prop_assert_eq!(text.lines().count(), batch.num_rows());
        let columns = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        let piece = Piece { bytes: text.as_bytes(), first_line: 1 };
        let again = JsonLines::default().decode(&piece, &Layout { columns }, &batch.schema()).unwrap();
        prop_assert_eq!(again, batch);
    }

    #[test]
    fn no_bytes_panic(file: Vec<u8>, near in "[\\[\\]{}\"a:,1\\\\u\n ]{0,60}", size in 1_usize..20) {
        for file in [file.as_slice(), near.as_bytes()] {
            let format = JsonLines::default();
            let _ = format.infer(file, Extent::Head);
            let _ = format.infer(file, Extent::Whole);
            let mut scanner = format.scanner();
            for buffer in file.chunks(size) {
                prop_assert!(scanner.feed(buffer).is_none_or(|end| end.offset <= buffer.len()));
            }
            let _ = scanner.finish();
        }
    }
}

#[test]
fn records_that_cannot_be_read_are_left_out() {
    let format = JsonLines::default();
    let layout = Layout { columns: ["a", "b"].map(str::to_owned).to_vec() };
    let field = |name: &str, sql_type: &str| parse_type(sql_type).unwrap().with_name(name);
    let schema = Arc::new(Schema::new(vec![field("a", "bigint"), field("b", "text")]));
    let file = b"{\"a\":1,\"b\":\"x\"}\n{\"a\":\"2\",\"b\":\"y\"}\n{\"a\":3\n\n{\"b\":\"\xff\"}\n{\"c\":4}\n{\"a\":5,\"a\":6}\n{\"a\":7}\n{\"a\":\
                 1.5,\"b\":8}\n";
    let piece = Piece { bytes: file, first_line: 1 };
    let (batch, rejects) = format.sift(&piece, &layout, &schema).unwrap();
    assert_eq!(batch.column(0).as_ref(), &Int64Array::from(vec![1, 7]) as &dyn Array);
    let rejects = rejects.unwrap();
    let errors: Vec<String> = rejects.errors.iter().map(ToString::to_string).collect();
    let expected = [
        "line 2: column a: the value is no bigint",
        "line 3: the record is not valid JSON",
        "line 5: the text is not UTF-8 from byte 7 of the line on",
        "line 6: key c: no record of the sample has this key",
        "line 7: key a: the object has this key twice",
        "line 9: column a: the value is no bigint",
    ];
    assert_eq!(errors, expected);
    let records: Vec<Option<&str>> = rejects.records.iter().map(Option::as_deref).collect();
    let expected =
        [None, Some("{\"a\":3"), Some("{\"b\":\"\u{fffd}\"}"), Some("{\"c\":4}"), Some("{\"a\":5,\"a\":6}"), None];
    assert_eq!(records, expected);
    let texts = StringArray::from(vec![Some("2"), None, None, None, None, Some("1.5")]);
    assert_eq!(rejects.rows.column(0).as_ref(), &texts as &dyn Array);
    assert!(format.decode(&piece, &layout, &schema).is_err());
}

#[test]
fn a_mended_rejects_file_is_read_by_its_texts() {
    let format = JsonLines::default();
    let file = "{\"id\":\"1\",\"d\":\"2024-01-02\",\"__reject\":{\"record\":null}}\n\
                {\"id\":22,\"d\":null,\"__reject\":{\"record\":\"22\"}}\n";
    let batch = read(&format, file).unwrap();
    assert_eq!(batch.column(0).as_ref(), &Int64Array::from(vec![1, 22]) as &dyn Array);
    assert_eq!(batch.column(1).data_type(), &DataType::Date32);
    let blank = file.replace("22,", "null,");
    let error = read(&format, &blank).unwrap_err();
    assert_eq!(error.to_string(), "line 2: the rejected record has no columns yet");
}

#[test]
fn a_rejected_record_that_is_rejected_again_keeps_its_text() {
    let format = JsonLines::default();
    let file = "{\"id\":1,\"__reject\":{\"line\":4,\"record\":null}}\n\
                {\"id\":null,\"__reject\":{\"line\":7, \"record\": \"2,\\\"x\\\",\"}}\n";
    let inferred = format.infer(file.as_bytes(), Extent::Whole).unwrap();
    let piece = Piece { bytes: file.as_bytes(), first_line: 1 };
    let schema = Arc::new(inferred.schema.project(&[0]).unwrap());
    let (batch, rejects) = format.sift(&piece, &inferred.layout, &schema).unwrap();
    let rejects = rejects.unwrap();
    assert_eq!((batch.num_rows(), rejects.rows.column(0).is_null(0)), (1, true));
    assert_eq!(rejects.records, [Some("2,\"x\",".to_owned())]);
    assert_eq!(rejects.errors[0].to_string(), "line 2: the rejected record has no columns yet");
}

#[test]
fn dates_are_read_and_written_in_the_form_that_is_named() {
    let pattern = Some(crate::formats::value::Pattern::parse("%d.%m.%Y %H:%M").unwrap());
    let format = JsonLines::new(Typing { pattern, ..Typing::default() });
    let file = "{\"at\":\"31.12.2024 23:59\",\"n\":1}\n{\"at\":null,\"n\":2}\n";
    let inferred = format.infer(file.as_bytes(), Extent::Whole).unwrap();
    let local = DataType::Timestamp(TimeUnit::Microsecond, None);
    assert_eq!(inferred.schema.field(0).data_type(), &local);
    let piece = Piece { bytes: file.as_bytes(), first_line: 1 };
    let batch = format.decode(&piece, &inferred.layout, &inferred.schema).unwrap();
    let mut out = Vec::new();
    format.encode(&batch, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), file);
}
