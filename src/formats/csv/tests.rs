use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StringViewArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;

use super::tokenize::{Faulty, Records, Width, tokenize};
use super::{Csv, CsvOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::split::{RecordStart, stitch};
use crate::formats::value::parse_type;
use crate::formats::{Extent, Inferred, Piece, RecordFormat, Typing};

fn csv(options: CsvOptions) -> Csv {
    Csv::new(options).unwrap()
}

fn bare() -> CsvOptions {
    CsvOptions { header: false, ..CsvOptions::default() }
}

fn text_only() -> CsvOptions {
    CsvOptions { typing: Typing { all_strings: true, casts: Vec::new() }, ..bare() }
}

fn cast(column: &str, sql_type: &str) -> CsvOptions {
    let field = Arc::new(parse_type(sql_type).unwrap().with_name(column));
    CsvOptions { typing: Typing { all_strings: false, casts: vec![field] }, ..CsvOptions::default() }
}

fn read(format: &Csv, file: &[u8]) -> Result<RecordBatch> {
    let inferred = format.infer(file, Extent::Whole)?;
    let piece = Piece { bytes: &file[inferred.start.data_start..], first_line: inferred.start.line };
    format.decode(&piece, &inferred.layout, &inferred.schema)
}

/// Rows of texts, NULL as `∅`.
fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let column = |row: usize| {
        move |column: &ArrayRef| {
            let column = column.as_string::<i32>();
            if column.is_null(row) { "∅".to_owned() } else { column.value(row).to_owned() }
        }
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(column(row)).collect()).collect()
}

fn types(options: CsvOptions, file: &str) -> Vec<DataType> {
    let Inferred { schema, .. } = csv(options).infer(file.as_bytes(), Extent::Whole).unwrap();
    schema.fields().iter().map(|field| field.data_type().clone()).collect()
}

#[test]
fn records_are_told_apart() {
    let cases: [(&str, &[&[&str]]); 16] = [
        ("a,b\n", &[&["a", "b"]]),
        ("a,b", &[&["a", "b"]]),
        ("a,b\r\nc,d\r\n", &[&["a", "b"], &["c", "d"]]),
        ("a,b\rc,d\r", &[&["a", "b"], &["c", "d"]]),
        ("a,b\n\n\nc,d\n\n", &[&["a", "b"], &["c", "d"]]),
        (",\n", &[&["∅", "∅"]]),
        ("\"\",\n", &[&["", "∅"]]),
        ("a,", &[&["a", "∅"]]),
        ("\"a,\"\"b\"\"\n\r\nc\",d\n", &[&["a,\"b\"\n\r\nc", "d"]]),
        ("\"\"\"\",\"\"\"\"\"\"\n", &[&["\"", "\"\""]]),
        ("a,\"b\"", &[&["a", "b"]]),
        ("a,\"b\"\r", &[&["a", "b"]]),
        (" a , b \n", &[&[" a ", " b "]]),
        ("a\n\nb\n", &[&["a"], &["∅"], &["b"]]),
        ("\r\n\r\n", &[&["∅"], &["∅"]]),
        ("ä,ö\u{2028}\n", &[&["ä", "ö\u{2028}"]]),
    ];
    for (file, expected) in cases {
        let batch = read(&csv(text_only()), file.as_bytes()).unwrap();
        assert_eq!(rows(&batch), expected, "{file:?}");
    }
}

#[test]
fn damaged_records_are_errors_with_their_line() {
    let cases = [
        ("a,b\nc\n", "line 2: the record has 1 field, expected 2"),
        ("a,b\nc,\"x\ny\"\nd,e,f\n", "line 4: the record has 3 fields, expected 2"),
        ("a,b\r\nc,d\r\ne,\"f", "line 3: a quote that opens a field here is never closed"),
        ("a,b\nc,\"d\n\n", "line 2: a quote that opens a field here is never closed"),
        ("a,b\nc\"d,e\n", "line 2: a quote stands within an unquoted field"),
        ("a,b\n\"c\"d,e\n", "line 2: text follows the closing quote of a field"),
        ("a,b\n\"c\" ,e\n", "line 2: text follows the closing quote of a field"),
        ("a,b\rc,\"d\"e", "line 2: text follows the closing quote of a field"),
    ];
    for (file, expected) in cases {
        let error = read(&csv(text_only()), file.as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Corrupt, expected), "{file:?}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn the_header_names_the_columns() {
    let format = csv(CsvOptions::default());
    let file = b"\xef\xbb\xbfid,\"full\nname\",\r\n1,Ann,x\r\n";
    let inferred = format.infer(file, Extent::Whole).unwrap();
    assert_eq!(inferred.layout.columns, ["id", "full\nname", "c3"]);
    assert_eq!((inferred.start.data_start, inferred.start.line), (20, 3));
    let piece = Piece { bytes: &file[20..], first_line: 3 };
    let wanted = Arc::new(Schema::new(vec![inferred.schema.field(2).clone(), inferred.schema.field(0).clone()]));
    let batch = format.decode(&piece, &inferred.layout, &wanted).unwrap();
    assert_eq!(batch.column(1).as_ref(), &Int64Array::from(vec![1]) as &dyn Array);
    let counted = format.decode(&piece, &inferred.layout, &Arc::new(Schema::empty())).unwrap();
    assert_eq!(counted.num_rows(), 1);
    let missing = Arc::new(Schema::new(vec![Field::new("nobody", DataType::Utf8, true)]));
    assert_eq!(format.decode(&piece, &inferred.layout, &missing).unwrap_err().kind(), ErrorKind::Schema);

    let refused = |head: &[u8], extent| format.start(head, extent).unwrap_err().kind();
    assert_eq!(refused(b"a,b,a\n", Extent::Whole), ErrorKind::Schema);
    assert_eq!(refused(b"a,b", Extent::Head), ErrorKind::Resource);
    assert_eq!(refused(b"a,\"b\n", Extent::Head), ErrorKind::Resource);
    assert_eq!(format.infer(b"a,b\n1,", Extent::Head).unwrap_err().kind(), ErrorKind::Resource);
    assert_eq!(refused(b"a,\xff\n", Extent::Whole), ErrorKind::Value);
    assert_eq!(refused(b"\xff\xfea\0", Extent::Whole), ErrorKind::Corrupt);
    assert_eq!(format.start(b"", Extent::Whole).unwrap().layout, None);
    assert_eq!(format.infer(b"", Extent::Whole).unwrap().schema.fields().len(), 0);
    assert_eq!(read(&format, b"a,b").unwrap().num_rows(), 0);
}

#[test]
fn types_are_found_where_nothing_is_lost() {
    use DataType::{Boolean, Date32, Decimal128, Float64, Int64, Utf8};
    let stamp = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let cases: [(&[&str], DataType); 34] = [
        (&["1", "-20", "0"], Int64),
        (&["1", "", "9223372036854775807"], Int64),
        (&["1", "9223372036854775808"], Decimal128(38, 0)),
        (&["007"], Utf8),
        (&["+1"], Utf8),
        (&["-0"], Float64),
        (&["1", "\"\""], Utf8),
        (&["1 "], Utf8),
        (&["12.34", "12.30"], Decimal128(38, 2)),
        (&["0.1", "-2.25", "3"], Float64),
        (&["1.0", "2.0"], Float64),
        (&["1.10", "1.5"], Utf8),
        (&["12.30", "1"], Utf8),
        (&["-0.00"], Utf8),
        (&["0.12345678901234567890"], Decimal128(38, 20)),
        (&["0.12345678901234567891", "0.5"], Utf8),
        (&["1e20", "1.5e-7"], Float64),
        (&["2E5"], Utf8),
        (&["1.5", "NaN", "-inf"], Float64),
        (&["00.5"], Utf8),
        (&[".5"], Utf8),
        (&["true", "false"], Boolean),
        (&["True"], Utf8),
        (&["2024-02-29", ""], Date32),
        (&["2024-02-30"], Utf8),
        (&["2024-01-02 03:04:05.123456", "2024-01-02T03:04:05"], stamp(None)),
        (&["2024-01-02T03:04:05Z", "2024-01-02 03:04:05+02:00"], stamp(Some("UTC"))),
        (&["2024-01-02T03:04:05Z", "2024-01-02T03:04:05"], Utf8),
        (&["2024-01-02 03:04:05.1234567"], Utf8),
        (&["2024-01-02", "2024-01-02 00:00:00"], Utf8),
        (&["03:04:05", "23:59:59.999999"], DataType::Time64(TimeUnit::Microsecond)),
        (&["03:04"], Utf8),
        (&["24:00:00"], Utf8),
        (&["", ""], Utf8),
    ];
    for (texts, expected) in cases {
        let file = texts.iter().fold("x,y\n".to_owned(), |file, text| file + text + ",.\n");
        assert_eq!(types(CsvOptions::default(), &file)[0], expected, "{texts:?}");
    }
    let file = "x\n0123\n";
    assert_eq!(types(cast("x", "int"), file), [DataType::Int32]);
    let all = Typing { all_strings: true, casts: Vec::new() };
    assert_eq!(types(CsvOptions { typing: all, ..CsvOptions::default() }, "x\n5\n"), [Utf8]);
    let error = csv(cast("z", "int")).infer(file.as_bytes(), Extent::Whole).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn the_sample_ends_with_its_last_whole_record() {
    let format = csv(CsvOptions::default());
    let inferred = format.infer(b"a\n12\n3.", Extent::Head).unwrap();
    assert_eq!(inferred.schema.field(0).data_type(), &DataType::Int64);
    let inferred = format.infer(b"a\n12\n3\r", Extent::Head).unwrap();
    assert_eq!(inferred.schema.field(0).data_type(), &DataType::Int64);
}

#[test]
fn a_later_value_that_does_not_fit_is_an_error() {
    let decode = |options: CsvOptions, sql_type: &str, file: &str| -> Result<RecordBatch, Error> {
        let format = csv(options);
        let start = format.start(file.as_bytes(), Extent::Whole).unwrap();
        let schema = Arc::new(Schema::new(vec![parse_type(sql_type).unwrap().with_name("x")]));
        let piece = Piece { bytes: &file.as_bytes()[start.data_start..], first_line: start.line };
        format.decode(&piece, &start.layout.unwrap(), &schema)
    };
    let refused = [
        ("bigint", "007"),
        ("bigint", "1.9"),
        ("bigint", "9223372036854775808"),
        ("decimal(38,2)", "12.345"),
        ("decimal(5,2)", "1000.00"),
        ("double", "0.12345678901234567890"),
        ("boolean", "t"),
        ("date", "2024-02-30"),
        ("timestamp", "2024-01-02 03:04:05.1234567"),
        ("timestamp", "2024-01-02 03:04:05Z"),
        ("timestamptz", "2024-01-02 03:04:05"),
        ("bytea", "00"),
        ("int", "\"\""),
    ];
    for (sql_type, text) in refused {
        let file = format!("x,y\n,\n,\"two\nlines\"\n{text},\n");
        let error = decode(CsvOptions::default(), sql_type, &file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().starts_with("line 5: column x: the value is no "), "{error}");
        assert!(text.len() < 3 || !error.to_string().contains(text), "{error}");
        assert!(error.hint().unwrap().contains("--cast x:text"));
    }
    // A type that was given reads all texts of it.
    for (sql_type, text) in [("int", "007"), ("int", " +5 "), ("boolean", "T"), ("decimal(5,2)", "1e2")] {
        decode(cast("x", sql_type), sql_type, &format!("x,y\n{text},\n")).unwrap();
    }
    let error = csv(text_only()).infer(b"a,b\n", Extent::Whole).and_then(|inferred| {
        let piece = Piece { bytes: b"a,b\nc,d\xff\n", first_line: 1 };
        csv(text_only()).decode(&piece, &inferred.layout, &inferred.schema)
    });
    assert_eq!(error.unwrap_err().to_string(), "line 2: column c2: the text is not UTF-8 from its byte 2 on");
}

#[test]
fn options_that_cannot_be_told_apart_are_refused() {
    for (delimiter, quote, null) in [(b'"', b'"', ""), (b'\n', b'"', ""), (b',', b'\r', ""), (b',', b'"', "a,b")] {
        let options = CsvOptions { delimiter, quote: Some(quote), null: null.to_owned(), ..bare() };
        assert_eq!(Csv::new(options).unwrap_err().kind(), ErrorKind::Usage);
    }
}

fn written(options: CsvOptions, columns: Vec<(&str, ArrayRef)>) -> Result<String> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))?;
    let format = csv(options);
    let mut out = format.header(batch.schema_ref())?;
    format.encode(&batch, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn values_are_written_in_full() {
    let stamps = TimestampMicrosecondArray::from(vec![Some(1_704_164_645_123_456), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("s", Arc::new(StringArray::from(vec![Some(""), None]))),
        ("v", Arc::new(StringViewArray::from(vec!["a\"b,\n", "plain"]))),
        ("d", Arc::new(["x", "x"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("n", Arc::new(Decimal128Array::from(vec![-5, 12345]).with_precision_and_scale(38, 2).unwrap())),
        ("f", Arc::new(Float64Array::from(vec![f64::NAN, 0.1]))),
        ("z", Arc::new(stamps.clone().with_timezone("Europe/Berlin"))),
        ("t", Arc::new(stamps)),
        ("b", Arc::new(BinaryArray::from(vec![b"\x00\xff" as &[u8], b""]))),
        ("a list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]))),
    ];
    let expected = "s,v,d,n,f,z,t,b,a list\n\
        \"\",\"a\"\"b,\n\",x,-0.05,NaN,2024-01-02 03:04:05.123456+00:00,2024-01-02 03:04:05.123456,\\x00ff,\"[1,null]\"\n\
        ,plain,x,123.45,0.1,,,\\x,\n";
    assert_eq!(written(CsvOptions::default(), columns).unwrap(), expected);
}

#[test]
fn texts_that_look_like_something_else_are_quoted() {
    let strings: ArrayRef = Arc::new(StringArray::from(vec![Some("\\N"), Some("\\."), Some("N"), None, Some("\r")]));
    let options = || CsvOptions { null: "\\N".to_owned(), ..bare() };
    let text = written(options(), vec![("a", Arc::clone(&strings))]).unwrap();
    assert_eq!(text, "\"\\N\"\n\"\\.\"\nN\n\\N\n\"\r\"\n");
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(0), None, Some(-1)]));
    let zero = CsvOptions { null: "0".to_owned(), delimiter: b'-', ..bare() };
    assert_eq!(written(zero, vec![("a", numbers)]).unwrap(), "\"0\"\n0\n\"-1\"\n");
    let unquoted = CsvOptions { quote: None, ..options() };
    assert_eq!(written(unquoted.clone(), vec![("a", strings)]).unwrap_err().kind(), ErrorKind::Value);
    let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("\"a\""), None]));
    assert_eq!(written(unquoted, vec![("a", plain)]).unwrap(), "\"a\"\n\\N\n");
}

/// The pieces of `file` that a scanner gives when it is fed with `buffers` bytes at a time.
fn pieces(format: &Csv, file: &[u8], buffers: &[usize]) -> Vec<(Vec<u8>, u64)> {
    let mut scanner = format.scanner();
    let mut rest = file;
    let mut sizes = buffers.iter().copied().cycle();
    let (mut pending, mut line) = (Vec::new(), 1);
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (buffer, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        rest = after;
        match scanner.feed(buffer) {
            Some(end) => {
                pending.extend_from_slice(&buffer[..end.offset]);
                pieces.push((std::mem::replace(&mut pending, buffer[end.offset..].to_vec()), line));
                line += end.lines;
            }
            None => pending.extend_from_slice(buffer),
        }
    }
    pieces.push((pending, line));
    pieces
}

fn decode_all(format: &Csv, pieces: &[(Vec<u8>, u64)], inferred: &Inferred) -> Result<RecordBatch> {
    let decode = |(bytes, first_line): &(Vec<u8>, u64)| {
        let piece = Piece { bytes, first_line: *first_line };
        format.decode(&piece, &inferred.layout, &inferred.schema)
    };
    let batches: Vec<RecordBatch> = pieces.iter().map(decode).collect::<Result<_>>()?;
    Ok(concat_batches(&inferred.schema, &batches).unwrap())
}

/// Chunks of `sizes`, stitched, as pieces.
fn stitched(format: &Csv, file: &[u8], sizes: &[usize]) -> Vec<(Vec<u8>, u64)> {
    let mut chunks = Vec::new();
    let mut rest = file;
    let mut sizes = sizes.iter().copied().cycle();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        chunks.push(format.scan_chunk(chunk));
        rest = after;
    }
    let starts = stitch(RecordStart { offset: 0, line: 1 }, &chunks);
    let ends = starts.iter().skip(1).map(|start| start.offset as usize).chain([file.len()]);
    starts.iter().zip(ends).map(|(start, end)| (file[start.offset as usize..end].to_vec(), start.line)).collect()
}

/// [`tokenize`], byte by byte.
fn slowly(bytes: &[u8], null: &str) -> Option<Vec<Vec<String>>> {
    let (mut rows, mut row) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < bytes.len() || !row.is_empty() {
        let mut text = Vec::new();
        let quoted = bytes.get(at) == Some(&b'"');
        if quoted {
            at += 1;
            loop {
                match (bytes.get(at)?, bytes.get(at + 1)) {
                    (b'"', Some(b'"')) => {
                        text.push(b'"');
                        at += 2;
                    }
                    (b'"', _) => break at += 1,
                    (byte, _) => {
                        text.push(*byte);
                        at += 1;
                    }
                }
            }
        } else {
            while bytes.get(at).is_some_and(|byte| !b",\r\n".contains(byte)) {
                if bytes[at] == b'"' {
                    return None;
                }
                text.push(bytes[at]);
                at += 1;
            }
        }
        let text = String::from_utf8(text).unwrap();
        row.push(if !quoted && text == null { "∅".to_owned() } else { text });
        let next = bytes.get(at).copied();
        at += 1;
        match next {
            Some(b',') => continue,
            Some(b'\r') if bytes.get(at) == Some(&b'\n') => at += 1,
            None | Some(b'\r' | b'\n') => {}
            Some(_) => return None,
        }
        let row = std::mem::take(&mut row);
        match row.len() {
            2 => rows.push(row),
            1 if row[0] == "∅" => {}
            _ => return None,
        }
    }
    Some(rows)
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a\",\r\n\\\\xN. é0]{0,6}",
        "\\PC{0,80}",
        Just(String::new()),
        Just("\\N".to_owned()),
        Just("x".repeat(70)),
    ]
}

prop_compose! {
    fn any_batch()(rows in 0_usize..40)(
        strings in prop::collection::vec(prop::option::of(any_text()), rows),
        views in prop::collection::vec(prop::option::of(any_text()), rows),
        integers in prop::collection::vec(prop::option::of(any::<i64>()), rows),
        doubles in prop::collection::vec(prop::option::of(any::<f64>().prop_filter("one NaN", |x| !x.is_nan())), rows),
        booleans in prop::collection::vec(prop::option::of(any::<bool>()), rows),
        decimals in prop::collection::vec(prop::option::of(-10_i128.pow(38) + 1..10_i128.pow(38)), rows),
        days in prop::collection::vec(prop::option::of(any::<i32>()), rows),
        times in prop::collection::vec(prop::option::of(0..86_400_000_000_i64), rows),
        stamps in prop::collection::vec(prop::option::of(any::<i64>()), rows),
        bytes in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..10)), rows),
        ids in prop::collection::vec(prop::option::of(any::<[u8; 16]>()), rows),
    ) -> RecordBatch {
        let field = |name: &str, sql_type: &str| parse_type(sql_type).unwrap().with_name(name);
        let view = Field::new("view", DataType::Utf8View, true);
        let schema = Schema::new(vec![
            field("a", "text"), view, field("i", "bigint"), field("f", "double"), field("b", "boolean"),
            field("n", "decimal(38,7)"), field("d", "date"), field("t", "time"), field("s", "timestamp"),
            field("z", "timestamptz"), field("x", "bytea"), field("u", "uuid"),
        ]);
        let ids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.iter().copied(), 16).unwrap();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(strings)),
            Arc::new(StringViewArray::from_iter(views)),
            Arc::new(Int64Array::from(integers)),
            Arc::new(Float64Array::from(doubles)),
            Arc::new(BooleanArray::from(booleans)),
            Arc::new(Decimal128Array::from(decimals).with_precision_and_scale(38, 7).unwrap()),
            Arc::new(Date32Array::from(days)),
            Arc::new(Time64MicrosecondArray::from(times)),
            Arc::new(TimestampMicrosecondArray::from(stamps.clone())),
            Arc::new(TimestampMicrosecondArray::from(stamps).with_timezone("UTC")),
            Arc::new(BinaryArray::from_iter(bytes)),
            Arc::new(ids),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }
}

proptest! {
    #[test]
    fn batches_come_back(
        batch in any_batch(),
        null in prop_oneof![Just(""), Just("\\N"), Just("0"), Just("true")],
        delimiter in prop_oneof![Just(b','), Just(b'\t'), Just(b'-'), Just(b'x')],
        sizes in prop::collection::vec(1_usize..300, 1..5),
    ) {
        let format = csv(CsvOptions { null: null.replace(char::from(delimiter), ""), delimiter, ..CsvOptions::default() });
        let mut file = format.header(batch.schema_ref()).unwrap();
        format.encode(&batch, &mut file).unwrap();
        let start = format.start(&file, Extent::Whole).unwrap();
        let layout = start.layout.clone().unwrap();
        let schema: SchemaRef = batch.schema();
        let inferred = Inferred { schema, layout, start };
        let body = &file[inferred.start.data_start..];
        prop_assert_eq!(&decode_all(&format, &[(body.to_vec(), 2)], &inferred).unwrap(), &batch);
        prop_assert_eq!(&decode_all(&format, &pieces(&format, body, &sizes), &inferred).unwrap(), &batch);
        prop_assert_eq!(&decode_all(&format, &stitched(&format, body, &sizes), &inferred).unwrap(), &batch);
    }

    #[test]
    fn the_tokenizer_is_the_slow_one(file in "[ab\",\r\n]{0,150}") {
        let options = text_only();
        let piece = Piece { bytes: file.as_bytes(), first_line: 1 };
        let layout = crate::formats::Layout { columns: vec!["c1".to_owned(), "c2".to_owned()] };
        let fields = layout.columns.iter().map(|name| Field::new(name, DataType::Utf8, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let found = csv(options).decode(&piece, &layout, &schema).ok().map(|batch| rows(&batch));
        prop_assert_eq!(found, slowly(file.as_bytes(), ""));
    }

    #[test]
    fn cuts_do_not_matter(
        file in "([ab]{0,3}(,|\r|\n|\r\n|\"\"|\"[ab,\r\n]{0,4}\")){0,60}",
        sizes in prop::collection::vec(1_usize..100, 1..5),
    ) {
        let format = csv(text_only());
        let file = file.as_bytes();
        let Ok(inferred) = format.infer(file, Extent::Whole) else { return Ok(()) };
        // The types of a file may be known of which some records cannot be read.
        let Ok(whole) = decode_all(&format, &[(file.to_vec(), 1)], &inferred) else { return Ok(()) };
        for pieces in [pieces(&format, file, &sizes), stitched(&format, file, &sizes)] {
            prop_assert_eq!(&decode_all(&format, &pieces, &inferred).unwrap(), &whole);
            let mut offset = 0;
            for (bytes, line) in &pieces {
                let all = Piece { bytes: file, first_line: 1 };
                prop_assert_eq!(super::decode::line(&all, offset), *line);
                offset += bytes.len();
            }
        }
    }

    #[test]
    fn no_bytes_panic(file: Vec<u8>, near in "[a0.\",\r\n-]{0,100}", sizes in prop::collection::vec(1_usize..100, 1..5)) {
        for file in [file.as_slice(), near.as_bytes()] {
            for options in [CsvOptions::default(), bare(), CsvOptions { quote: None, ..bare() }] {
                let format = csv(options);
                let _ = format.infer(file, Extent::Head);
                let _ = read(&format, file);
                let joined: Vec<u8> = pieces(&format, file, &sizes).into_iter().flat_map(|(bytes, _)| bytes).collect();
                prop_assert_eq!(joined.as_slice(), file);
                let joined: Vec<u8> = stitched(&format, file, &sizes).into_iter().flat_map(|(bytes, _)| bytes).collect();
                prop_assert_eq!(joined.as_slice(), file);
            }
        }
    }
}

#[test]
fn a_limit_stops_the_tokenizer() {
    let Records { width, end, .. } = tokenize(b"a,b\r\nc,d\n", &bare(), (Width::First, Faulty::Refused), 1).unwrap();
    assert_eq!((width, end), (2, 4));
}

/// What is left of a file, and of what is left out the record or the texts, with the error.
fn sifted(format: &Csv, file: &[u8], schema: &SchemaRef) -> Result<(Vec<usize>, Vec<(String, String)>)> {
    let start = format.start(file, Extent::Whole)?;
    let piece = Piece { bytes: &file[start.data_start..], first_line: start.line };
    let (batch, rejects) = format.sift(&piece, &start.layout.unwrap(), schema)?;
    let kept = batch.column(0).as_primitive::<Int32Type>().values().iter().map(|value| *value as usize).collect();
    let Some(rejects) = rejects else { return Ok((kept, Vec::new())) };
    let texts = rows(&rejects.rows);
    let told = rejects.records.into_iter().zip(rejects.errors).enumerate();
    let told = told.map(|(row, (record, error))| (record.unwrap_or_else(|| texts[row].join("|")), error.to_string()));
    Ok((kept, told.collect()))
}

#[test]
fn records_that_cannot_be_read_are_left_out() {
    let format = csv(cast("a", "int"));
    let field = |name: &str, sql_type: &str| parse_type(sql_type).unwrap().with_name(name);
    let schema = Arc::new(Schema::new(vec![field("a", "int"), field("b", "text"), field("c", "date")]));
    let file =
        b"a,b,c\r\n1,x,2024-01-02\r\n2\r\nthree,\"y\nz\",\r\n4,\xff,\r\n5,\"q\"q,\r\n6,p\"p,\r\n7,,2024-02-30\n\n\
                 eight,v,never\n9,,,\n10,ok,\n11,\"last";
    let (kept, told) = sifted(&format, file, &schema).unwrap();
    assert_eq!(kept, [1, 10]);
    let expected = [
        ("2", "line 3: the record has 1 field, expected 3"),
        ("three|y\nz|∅", "line 4: column a: the value is no int"),
        ("4|\u{fffd}|∅", "line 6: column b: the text is not UTF-8 from its byte 1 on"),
        ("5,\"q\"q,", "line 7: text follows the closing quote of a field"),
        ("6,p\"p,", "line 8: a quote stands within an unquoted field"),
        ("7|∅|2024-02-30", "line 9: column c: the value is no date"),
        ("eight|v|never", "line 11: column a: the value is no int"),
        ("9,,,", "line 12: the record has 4 fields, expected 3"),
        ("11,\"last", "line 14: a quote that opens a field here is never closed"),
    ];
    assert_eq!(told, expected.map(|(row, error)| (row.to_owned(), error.to_owned())));
    // Where a record that is spoiled ends is not certain when it has several lines.
    for file in ["a,b,c\n1,\"x\ny\"z,\n2,,\n", "a,b,c\n1,\"x,\n2,,\n"] {
        assert_eq!(sifted(&format, file.as_bytes(), &schema).unwrap_err().kind(), ErrorKind::Corrupt, "{file:?}");
    }
    assert_eq!(sifted(&format, b"a,b,c\n1,,\n", &schema).unwrap(), (vec![1], Vec::new()));
}

proptest! {
    #[test]
    fn what_is_left_is_what_is_read_without_the_rest(lines in prop::collection::vec("[1x],[a\"]{0,2}(,[b])?", 0..12)) {
        let format = csv(cast("a", "int"));
        let field = |name: &str, sql_type: &str| parse_type(sql_type).unwrap().with_name(name);
        let schema = Arc::new(Schema::new(vec![field("a", "int"), field("b", "text")]));
        let good = |line: &&String| {
            let file = format!("a,b\n{line}\n");
            let start = format.start(file.as_bytes(), Extent::Whole).unwrap();
            let piece = Piece { bytes: &file.as_bytes()[start.data_start..], first_line: 2 };
            format.decode(&piece, &start.layout.unwrap(), &schema).is_ok()
        };
        let file = format!("a,b\n{}\n", lines.join("\n"));
        // A quote that runs over a line end is no matter of one record.
        if let Ok((kept, told)) = sifted(&format, file.as_bytes(), &schema) {
            let balanced = lines.iter().all(|line| line.matches('"').count() % 2 == 0);
            prop_assert!(!balanced || kept.len() == lines.iter().filter(good).count(), "{file:?}: {told:?}");
        }
    }
}
