mod properties;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StringViewArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema, SchemaRef, TimeUnit};

use super::{Csv, CsvOptions, LineEnd, Numbers};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::{Pattern, parse_type};
use crate::formats::{Extent, Inferred, Piece, RecordFormat, Typing};

fn csv(options: CsvOptions) -> Csv {
    Csv::new(options).unwrap()
}

fn bare() -> CsvOptions {
    CsvOptions { header: false, ..CsvOptions::default() }
}

fn text_only() -> CsvOptions {
    CsvOptions { typing: Typing { all_strings: true, casts: Vec::new(), ..Typing::default() }, ..bare() }
}

fn cast(column: &str, sql_type: &str) -> CsvOptions {
    let field = Arc::new(parse_type(sql_type).unwrap().with_name(column));
    CsvOptions {
        typing: Typing { all_strings: false, casts: vec![field], ..Typing::default() },
        ..CsvOptions::default()
    }
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
    // More of the file may end the first record, which can be long, but not a line of names.
    let endless = vec![b'x'; crate::formats::SAMPLE_BYTES + 1];
    assert_eq!(refused(&endless, Extent::Head), ErrorKind::Corrupt);
    assert_eq!(csv(bare()).start(&endless, Extent::Head).unwrap_err().kind(), ErrorKind::Resource);
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
        let rows = read(&csv(CsvOptions::default()), file.as_bytes()).map(|rows| rows.num_rows());
        assert_eq!(rows.ok(), Some(texts.len()), "what was sampled is not read: {texts:?}");
    }
    let zero = read(&csv(CsvOptions::default()), b"x\n-0\n").unwrap();
    assert!(zero.column(0).as_primitive::<Float64Type>().value(0).is_sign_negative());
    let file = "x\n0123\n";
    assert_eq!(types(cast("x", "int"), file), [DataType::Int32]);
    let all = Typing { all_strings: true, casts: Vec::new(), ..Typing::default() };
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
fn lines_end_as_they_are_told_to() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\nb"), None]));
    let options = CsvOptions { line_end: LineEnd::CrLf, ..CsvOptions::default() };
    assert_eq!(csv(options.clone()).record_end(), b"\r\n");
    assert_eq!(written(options, vec![("s", texts)]).unwrap(), "s\r\n\"a\nb\"\r\n\r\n");
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
fn records_are_passed_over_where_no_header_names_columns() {
    let after = |skip_records: usize, file: &str| {
        let format = csv(CsvOptions { skip_records, ..text_only() });
        let start = format.start(file.as_bytes(), Extent::Whole).unwrap();
        (start.line, rows(&read(&format, file.as_bytes()).unwrap()).concat().join(","))
    };
    assert_eq!(after(1, "a,\"b\nc\"\r\n\r\n1,2\r\n3,4\r\n"), (3, "1,2,3,4".to_owned()));
    assert_eq!(after(2, "a,b\n1,2\n3,4"), (3, "3,4".to_owned()));
    assert_eq!(after(3, "a,b\n1,2").1, "");
    // A record that may be cut off is not counted, and one of another width is none.
    let format = csv(CsvOptions { skip_records: 2, ..text_only() });
    assert_eq!(format.start(b"a,b\n1,2", Extent::Head).unwrap_err().kind(), ErrorKind::Resource);
    assert_eq!(format.start(b"a,b\n1\n", Extent::Whole).unwrap_err().kind(), ErrorKind::Corrupt);
    let named = CsvOptions { skip_records: 1, ..CsvOptions::default() };
    assert_eq!(Csv::new(named).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn columns_without_names_are_numbered() {
    let format = csv(CsvOptions { numbers: Numbers::FromZero, ..text_only() });
    let inferred = format.infer(b"a,b\n", Extent::Whole).unwrap();
    assert_eq!(inferred.layout.columns, ["0", "1"]);
    assert!(format.nameless().is_none());
    let two = csv(CsvOptions { columns_when_empty: Some(2), ..text_only() }).nameless().unwrap();
    assert_eq!((two.fields().len(), two.field(1).name().as_str()), (2, "c2"));
    assert!(csv(CsvOptions { columns_when_empty: Some(2), ..CsvOptions::default() }).nameless().is_none());
}

#[test]
fn forms_and_decimals_may_lose_what_is_behind_them() {
    let stamps: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_704_164_645_123_456]));
    let decimal = |value: i128| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(38, 3).unwrap())
    };
    let options = CsvOptions {
        forms: [(1, Pattern::lenient("dd.MM.yyyy").unwrap()), (2, Pattern::lenient("yyyy").unwrap())].into(),
        short_decimals: true,
        ..bare()
    };
    let columns = vec![
        ("a", Arc::clone(&stamps)),
        ("b", stamps),
        ("c", decimal(1500)),
        ("d", decimal(100_000)),
        ("e", decimal(-1)),
        ("f", decimal(0)),
    ];
    assert_eq!(written(options.clone(), columns).unwrap(), "2024-01-02 03:04:05.123456,02.01.2024,1.5,100,-0.001,0\n");
    // Go's `strconv.FormatFloat(value, 'f', -1, 64)`, without a sign of zero.
    let float = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    let values = [1.0, -0.0, 0.1, -20.0, 1e21, 1.5e-7, f64::NAN];
    let columns = ["a", "b", "c", "d", "e", "f", "g"].into_iter().zip(values.map(float)).collect();
    let options = CsvOptions { forms: std::collections::BTreeMap::new(), ..options };
    assert_eq!(written(options, columns).unwrap(), "1,0,0.1,-20,1000000000000000000000,0.00000015,NaN\n");
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

/// The rows of `file`, which are the same wherever it is cut at the record ends that the scanner finds.
fn cut_anywhere(format: &Csv, file: &str) -> Vec<Vec<String>> {
    let whole = rows(&read(format, file.as_bytes()).unwrap());
    let inferred = format.infer(file.as_bytes(), Extent::Whole).unwrap();
    assert!(!inferred.start.splittable);
    for size in 1..file.len() {
        let mut scanner = format.scanner();
        let (mut ends, mut before) = (Vec::new(), 0);
        for bytes in file.as_bytes().chunks(size) {
            if let Some(end) = scanner.feed(bytes) {
                ends.push(before + end.offset);
            }
            before += bytes.len();
        }
        let mut start = 0;
        let mut found = Vec::new();
        for end in ends.into_iter().chain([file.len()]) {
            let piece = Piece { bytes: &file.as_bytes()[start..end], first_line: 1 };
            found.extend(rows(&format.decode(&piece, &inferred.layout, &inferred.schema).unwrap()));
            start = end;
        }
        assert_eq!(found, whole, "{file:?} in pieces of {size}");
    }
    whole
}

#[test]
fn comments_are_no_records_and_their_quotes_no_quotes() {
    let options = || CsvOptions { comment: Some(b'#'), ..text_only() };
    let cases: [(&str, &[&[&str]]); 7] = [
        ("# it's \"so\na,b\n", &[&["a", "b"]]),
        ("a,b\n#c,d\ne,f", &[&["a", "b"], &["e", "f"]]),
        ("a,b\r\n#\"\r\n# x\r\ne,f\r\n", &[&["a", "b"], &["e", "f"]]),
        ("a,b\r#\"\re,f\r", &[&["a", "b"], &["e", "f"]]),
        ("a,#b\n\"#c\",\"d\n#e\"\n", &[&["a", "#b"], &["#c", "d\n#e"]]),
        ("a,b\n#", &[&["a", "b"]]),
        ("#1\n#2\n#3\na,b\n", &[&["a", "b"]]),
    ];
    for (file, expected) in cases {
        assert_eq!(cut_anywhere(&csv(options()), file), expected, "{file:?}");
    }
    let header = csv(CsvOptions { comment: Some(b'#'), ..CsvOptions::default() });
    let inferred = header.infer(b"# made today\nid\n1\n", Extent::Whole).unwrap();
    assert_eq!((inferred.start.data_start, inferred.start.line), (16, 3));
    let batch = RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["#x", "x#"])) as ArrayRef)]).unwrap();
    let mut out = Vec::new();
    csv(options()).encode(&batch, &mut out).unwrap();
    assert_eq!(out, b"\"#x\"\nx#\n");
}

/// As PostgreSQL's COPY means its ESCAPE: before a quote or itself, within quotes alone.
#[test]
fn quotes_may_be_escaped_instead_of_doubled() {
    let format = csv(CsvOptions { escape: Some(b'\\'), ..text_only() });
    let cases: [(&str, &[&[&str]]); 6] = [
        (r#""a\"b","c\\""#, &[&["a\"b", "c\\"]]),
        (r#""\n\x",\n"#, &[&["\\n\\x", "\\n"]]),
        ("\"a,\\\"\n\",b\n\"\\\\\",\"\\\"\"\n", &[&["a,\"\n", "b"], &["\\", "\""]]),
        ("\"\\\r\n\",a\\\r\nb,c", &[&["\\\r\n", "a\\"], &["b", "c"]]),
        ("\"\",\n", &[&["", "∅"]]),
        ("\\,\"\\\\\\\"\"", &[&["\\", "\\\""]]),
    ];
    for (file, expected) in cases {
        assert_eq!(cut_anywhere(&format, file), expected, "{file:?}");
    }
    for wrong in ["\"a\"\"b\",c\n", "\"a\"\\,b\n", "a\\\"b,c\n", "\"a\\\",b"] {
        assert_eq!(read(&format, wrong.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt, "{wrong:?}");
    }
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"b\\"), Some("\\n"), Some(""), None]));
    assert_eq!(
        written(CsvOptions { escape: Some(b'\\'), ..bare() }, vec![("a", texts)]).unwrap(),
        "\"a\\\"b\\\\\"\n\\n\n\"\"\n\n"
    );
    for (quote, escape) in [(None, b'\\'), (Some(b'"'), b'"'), (Some(b'"'), b','), (Some(b'"'), b'\n')] {
        let options = CsvOptions { quote, escape: Some(escape), ..bare() };
        assert_eq!(Csv::new(options).unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[test]
fn blanks_around_fields_are_trimmed_on_request() {
    let format = csv(CsvOptions { trim: true, ..text_only() });
    let cases: [(&str, &[&[&str]]); 4] = [
        (" a ,\tb c\t\n", &[&["a", "b c"]]),
        ("  \" a \" , \"b\"\"\"\t\n", &[&[" a ", "b\""]]),
        (" , \"\" \n", &[&["∅", ""]]),
        ("a, \"b\" ", &[&["a", "b"]]),
    ];
    for (file, expected) in cases {
        assert_eq!(rows(&read(&format, file.as_bytes()).unwrap()), expected, "{file:?}");
    }
    for wrong in ["a, \"b\" c\n", "a, b \"c\"\n", "\"a\" \"b\",c\n"] {
        assert_eq!(read(&format, wrong.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt, "{wrong:?}");
    }
    let batch =
        RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec![" x", "x y"])) as ArrayRef)]).unwrap();
    let mut out = Vec::new();
    format.encode(&batch, &mut out).unwrap();
    assert_eq!(out, b"\" x\"\nx y\n");
}

#[test]
fn dates_are_read_and_written_in_the_form_that_is_named() {
    let pattern = |text: &str| Some(crate::formats::value::Pattern::parse(text).unwrap());
    let named = |text: &str| CsvOptions {
        typing: Typing { pattern: pattern(text), ..Typing::default() },
        ..CsvOptions::default()
    };
    let file = "d,n,iso,t\n31.12.2024,1,2024-12-31,03:04:05\n,2,2024-12-30,\n";
    let time = DataType::Time64(TimeUnit::Microsecond);
    assert_eq!(types(named("dd.MM.yyyy"), file), [DataType::Date32, DataType::Int64, DataType::Utf8, time]);
    // The user's word counts: these are dates and not numbers.
    assert_eq!(types(named("yyyyMMdd"), "d\n20241231\n"), [DataType::Date32]);
    assert_eq!(types(named("yyyyMMdd"), "d\n20241232\n"), [DataType::Int64]);
    let format = csv(named("dd.MM.yyyy"));
    let batch = read(&format, file.as_bytes()).unwrap();
    // 2024-12-31 is 20088 days after 1970-01-01.
    assert_eq!(batch.column(0).as_ref(), &Date32Array::from(vec![Some(20_088), None]) as &dyn Array);
    let mut out = format.header(batch.schema_ref()).unwrap();
    format.encode(&batch, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), file);
    let error = read(&format, b"d\n31.12.2024\n31.11.2024\n").map(|batch| batch.schema().field(0).data_type().clone());
    assert_eq!(error.unwrap(), DataType::Utf8);
    let late = format!("d\n{}31.11.2024\n", "31.12.2024\n".repeat(crate::formats::SAMPLE_ROWS));
    let error = read(&format, late.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("line 10002"), "{error}");
}
