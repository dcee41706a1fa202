use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float32Array, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use proptest::prelude::*;

use super::serial::{self, DAY_MICROS, Epoch};
use super::*;
use crate::error::Result;

fn settings(sheet: &str) -> Settings {
    Settings { sheet: Some(sheet.to_owned()), header: true, ..Settings::default() }
}

fn options() -> Options {
    Options { sheet: None, area: Area::default(), header: true, null: None, typing: Typing::default() }
}

fn written(batch: &RecordBatch) -> Result<Vec<u8>> {
    written_with(batch, None)
}

fn written_with(batch: &RecordBatch, null: Option<&str>) -> Result<Vec<u8>> {
    let settings = Settings { null: null.map(str::to_owned), ..settings("Data") };
    let mut encoder = Encoder::new(&batch.schema(), &settings, None)?;
    let half = batch.num_rows() / 2;
    encoder.encode(&batch.slice(0, half), 0)?;
    encoder.encode(&batch.slice(half, batch.num_rows() - half), half as u64)?;
    let mut bytes = Vec::new();
    let count = encoder.finish(&mut bytes)?;
    assert_eq!(count, bytes.len() as u64);
    Ok(bytes)
}

fn opened(bytes: &[u8], options: &Options) -> Result<Sheet> {
    read(Cursor::new(bytes), (Format::Xlsx, bytes.len() as u64), options)
}

/// All rows, in batches of three, with the columns of `schema`.
fn rows(sheet: &Sheet, schema: &SchemaRef) -> Result<RecordBatch> {
    let starts = (0..sheet.rows()).step_by(3);
    let batches = starts.map(|from| sheet.decode(from..(from + 3).min(sheet.rows()), schema));
    Ok(concat_batches(schema, &batches.collect::<Result<Vec<_>>>()?)?)
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

#[test]
fn days_have_the_numbers_that_excel_gives_them() {
    // 2008-01-01 is 39448, says Microsoft of DATEVALUE; the epochs are 1462 days apart.
    let day = i64::from(crate::formats::value::time::date(b"2008-01-01").unwrap());
    assert_eq!(serial::day(day), Some(39_448));
    assert_eq!(Epoch::Year1900.unix_day(39_448), Some(day));
    assert_eq!(Epoch::Year1904.unix_day(39_448 - 1462), Some(day));
    let march = i64::from(crate::formats::value::time::date(b"1900-03-01").unwrap());
    assert_eq!((serial::day(march), serial::day(march - 1)), (Some(61), None));
    let last = i64::from(crate::formats::value::time::date(b"9999-12-31").unwrap());
    assert_eq!((serial::day(last), serial::day(last + 1)), (Some(2_958_465), None));
    // Noon is a half, six in the evening three quarters.
    assert_eq!(serial::micros(0.5), Some(DAY_MICROS / 2));
    assert_eq!(serial::exact(DAY_MICROS / 4 * 3), Some(0.75));
    // 12:59:02.4 of a day, as its number is shown.
    assert_eq!(serial::micros(45_943.541), Some(45_943 * DAY_MICROS + 46_742_400_000));
    // The same, and 23:59:59, as other programs write them: with 15 digits.
    assert_eq!(serial::micros(45_351.524_268_391_2), Some(45_351 * DAY_MICROS + 45_296_789_000));
    assert_eq!(serial::micros(0.999_988_425_925_926), Some(DAY_MICROS - 1_000_000));
    assert_eq!((serial::exact(1000).is_some(), serial::exact(1)), (true, None));
    assert_eq!(serial::micros(f64::INFINITY), None);
}

/// Of several workbooks in a folder each goes on counting.
#[test]
fn a_row_is_counted_from_the_begin_of_its_task() {
    let batch = table(vec![("n", Arc::new(Int64Array::from(vec![1, 9_007_199_254_740_993])) as ArrayRef)]);
    let mut encoder = Encoder::new(&batch.schema(), &settings("Data"), None).unwrap();
    let error = encoder.encode(&batch, 1000).unwrap_err().to_string();
    assert!(error.contains("row 1002: ") && error.contains("column n"), "{error}");
    let mut encoder = Encoder::new(&batch.schema(), &settings("Data"), None).unwrap();
    let nulls = RecordBatch::new_empty(batch.schema());
    encoder.encode(&nulls, 5).unwrap();
    let blank = table(vec![("n", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef)]);
    let error = encoder.encode(&blank, 5).unwrap_err().to_string();
    assert!(error.contains("row 7: a row of NULLs alone"), "{error}");
}

/// What is taken into memory as a whole has a bound, whatever its archive says of itself.
#[test]
fn a_part_that_unpacks_to_too_much_is_refused() {
    use crate::formats::compress::{Compression, Packer};
    let archive = |raw: Vec<u8>| {
        let mut packer = Packer::new(Compression::Zip, None, "xl/sharedStrings.xml");
        let mut bytes = packer.start();
        let piece = packer.pack(raw).unwrap();
        bytes.extend(packer.add(piece));
        bytes.extend(packer.end());
        bytes
    };
    let refused = |bytes: &[u8], most: u64| parts::refuse_large(&mut Cursor::new(bytes), "sharedStrings.xml", most);
    let strings = b"<sst uniqueCount=\"3\">".repeat(5000);
    let (bytes, size) = (archive(strings.clone()), strings.len() as u64);
    assert!(bytes.len() < 5000, "it is packed well");
    refused(&bytes, size).unwrap();
    let error = refused(&bytes, size - 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resource);
    assert!(error.message().starts_with("the texts of the workbook take more than"), "{error}");
    assert_eq!(error.hint(), Some("save the sheet as CSV"));
    // The directory that lies about it.
    let mut lying = bytes.clone();
    let entry = lying.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
    lying[entry + 24..entry + 28].copy_from_slice(&9_u32.to_le_bytes());
    assert!(refused(&lying, size - 1).is_err());
    // Room for more texts than there can be is never asked for.
    let many = archive(b"<sst count=\"1\" uniqueCount=\"99999999999\"><si/></sst>".to_vec());
    assert!(refused(&many, 1 << 30).is_err());
    // Nor where the number hides: behind a comment, in blanks, in UTF-16.
    let behind = format!("<!--{}--><sst uniqueCount = '99999999999'>", "x".repeat(5000));
    let wide: Vec<u8> = behind.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for raw in [behind.into_bytes(), wide] {
        assert_eq!(refused(&archive(raw), 1 << 30).unwrap_err().kind(), ErrorKind::Resource);
    }
    // Another reader could find another end, or another directory.
    let elsewhere = [bytes.as_slice(), b"PK\x05\x06".as_slice()].concat();
    assert_eq!(refused(&elsewhere, size).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(
        refused(&[b"PK\x03\x04".as_slice(), bytes.as_slice()].concat(), size).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    let mut short = bytes.clone();
    short[entry + 28] -= 1;
    assert_eq!(refused(&short, size).unwrap_err().kind(), ErrorKind::Corrupt);
    // What is no archive is for others to say.
    refused(b"PK\x03\x04", 1).unwrap();
    refused(b"", 1).unwrap();
}

#[test]
fn cells_and_ranges_have_their_names() {
    for (column, name) in [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA"), (16_383, "XFD")] {
        assert_eq!(column_name(column), name);
    }
    let area = Area::parse("b2:F200").unwrap();
    assert!(area.has(1, 1) && area.has(199, 5) && !area.has(0, 1) && !area.has(1, 6));
    assert!(Area::parse("A:F").unwrap().has(1_048_575, 0));
    assert!(Area::parse("A5:F").unwrap().has(1_048_575, 5) && !Area::parse("A5:F").unwrap().has(3, 0));
    for wrong in ["", "A1", "F:A", "A0:B1", "A1:B1048577", "A:XFE", "1:2", "A:é", "A:AAAA"] {
        assert_eq!(Area::parse(wrong).map_err(|error| error.kind()), Err(ErrorKind::Usage), "{wrong}");
    }
}

#[test]
fn what_begins_a_file_tells_its_kind() {
    let zip = |name: &str| [b"PK\x03\x04", [0; 26].as_slice(), name.as_bytes()].concat();
    assert_eq!(detect(&zip("[Content_Types].xml")), Some(Format::Xlsx));
    assert_eq!(detect(&zip("mimetypeapplication/vnd.oasis.opendocument.spreadsheet")), Some(Format::Ods));
    assert_eq!(detect(&zip("orders.csv")), None);
    assert_eq!(detect(COMPOUND), Some(Format::Xls));
    assert_eq!(detect(b"a,b\n"), None);
}

#[test]
fn values_come_back_in_the_types_that_a_sheet_has() {
    let batch = table(vec![
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None])) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![Some(-1), Some(0), Some(1 << 53), Some(-(1 << 53))]))),
        ("ratio", Arc::new(Float64Array::from(vec![Some(0.1), Some(-0.0), None, Some(1e300)]))),
        ("name", Arc::new(StringArray::from(vec![Some(""), None, Some(" 007\r\n\t"), Some("=a_x0041_\u{1}<&雪😀")]))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), Some(-25_508), Some(2_932_896), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1000), None, Some(1_709_210_096_123_000), Some(0)]))),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![Some(0), Some(86_399_999_000), None, Some(1000)]))),
        (
            "took",
            Arc::new(DurationMicrosecondArray::from(vec![Some(-1_000_000), Some(360_000_000_000), None, Some(0)])),
        ),
        ("none", Arc::new(StringArray::from(vec![None::<&str>; 4]))),
    ]);
    let sheet = opened(&written(&batch).unwrap(), &options()).unwrap();
    assert_eq!(sheet.schema().unwrap(), batch.schema());
    assert_eq!(rows(&sheet, &batch.schema()).unwrap(), batch);
    // A part of the columns, in another order; and no column.
    let some = Arc::new(Schema::new(vec![batch.schema().field(3).clone(), batch.schema().field(1).clone()]));
    assert_eq!(rows(&sheet, &some).unwrap(), batch.project(&[3, 1]).unwrap());
    assert_eq!(sheet.decode(0..4, &Arc::new(Schema::empty())).unwrap().num_rows(), 4);
}

#[test]
fn casts_parse_what_stands_in_a_cell() {
    let decimals = Decimal128Array::from(vec![Some(150), Some(-123_456_789_012_345), None, Some(0)]);
    let batch = table(vec![
        ("price", Arc::new(decimals.with_precision_and_scale(38, 2).unwrap()) as ArrayRef),
        ("single", Arc::new(Float32Array::from(vec![Some(0.1), Some(16_777_216.0), None, Some(-1.5e-20)]))),
        ("nothing", Arc::new(NullArray::new(4))),
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
    ]);
    let bytes = written(&batch).unwrap();
    let typing = Typing { casts: batch.schema().fields().iter().map(Arc::clone).collect(), ..Typing::default() };
    let sheet = opened(&bytes, &Options { typing, ..options() }).unwrap();
    assert_eq!(rows(&sheet, &sheet.schema().unwrap()).unwrap().columns(), batch.columns());
    let texts =
        opened(&bytes, &Options { typing: Typing { all_strings: true, ..Typing::default() }, ..options() }).unwrap();
    let schema = texts.schema().unwrap();
    assert!(schema.fields().iter().all(|field| *field.data_type() == DataType::Utf8));
    let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("1.5"), Some("-1234567890123.45"), None, Some("0")]));
    assert_eq!(rows(&texts, &schema).unwrap().column(0), &expected);
}

#[test]
fn ranges_and_sheets_are_chosen() {
    let batch = table(vec![
        ("a", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("b", Arc::new(StringArray::from(vec!["x", "y", "z"]))),
    ]);
    let bytes = written(&batch).unwrap();
    let area = |text: &str| Options { area: Area::parse(text).unwrap(), header: false, ..options() };
    let sheet = opened(&bytes, &area("B3:C4")).unwrap();
    let schema = sheet.schema().unwrap();
    assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["B", "C"]);
    let expected: ArrayRef = Arc::new(StringArray::from(vec!["y", "z"]));
    assert_eq!(rows(&sheet, &schema).unwrap().column(0), &expected);
    for sheet in ["Data", "1"] {
        assert_eq!(opened(&bytes, &Options { sheet: Some(sheet.to_owned()), ..options() }).unwrap().rows(), 3);
    }
    let missing = opened(&bytes, &Options { sheet: Some("Other".to_owned()), ..options() }).unwrap_err();
    assert_eq!((missing.kind(), missing.hint()), (ErrorKind::NotFound, Some("it has Data")));
}

#[test]
fn a_text_means_null_where_one_is_named() {
    let column = StringArray::from(vec![Some(""), None, Some("x")]);
    let batch = table(vec![("v", Arc::new(column) as ArrayRef)]);
    let bytes = written_with(&batch, Some("-")).unwrap();
    let named = opened(&bytes, &Options { null: Some("-".to_owned()), ..options() }).unwrap();
    assert_eq!(rows(&named, &batch.schema()).unwrap(), batch);
    let plain = opened(&bytes, &options()).unwrap();
    let expected: ArrayRef = Arc::new(StringArray::from(vec!["", "-", "x"]));
    assert_eq!(rows(&plain, &batch.schema()).unwrap().column(0), &expected);
    let error = written_with(&batch, Some("x")).unwrap_err();
    assert!(error.to_string().contains("row 3: column v: the text cannot be told"), "{error}");
}

#[test]
fn what_a_cell_would_change_is_refused_with_its_row() {
    let twice =
        |column: ArrayRef| table(vec![("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef), ("v", column)]);
    let decimal = Decimal128Array::from(vec![1, 1_234_567_890_123_456]).with_precision_and_scale(20, 4).unwrap();
    let refused: Vec<(ArrayRef, &str)> = vec![
        (Arc::new(Int64Array::from(vec![0, (1 << 53) + 1])), "beyond 9007199254740992"),
        (Arc::new(UInt64Array::from(vec![0, u64::MAX])), "beyond 9007199254740992"),
        (Arc::new(Float64Array::from(vec![0.0, f64::NAN])), "NaN or infinite"),
        (Arc::new(Float32Array::from(vec![0.0, f32::INFINITY])), "NaN or infinite"),
        (Arc::new(decimal), "15 digits"),
        (Arc::new(Date32Array::from(vec![0, -25_509])), "1900-03-01"),
        (Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MIN])), "1900-03-01"),
        (Arc::new(TimestampMicrosecondArray::from(vec![0, 1])), "parts of a millisecond"),
        (Arc::new(Time64MicrosecondArray::from(vec![0, 1])), "parts of a millisecond"),
        (Arc::new(StringArray::from(vec![String::new(), "x".repeat(32_768)])), "32767 characters"),
    ];
    for (column, told) in refused {
        let error = written(&twice(column)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value, "{error}");
        let shown = error.to_string();
        assert!(shown.contains(told) && shown.contains("row 2") && shown.contains("column v"), "{shown}");
    }
    let nulls = table(vec![("v", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef)]);
    assert!(written(&nulls).unwrap_err().to_string().contains("row 2: a row of NULLs alone"));
    let wide =
        Schema::new((0..=SHEET_COLUMNS).map(|n| Field::new(format!("c{n}"), DataType::Utf8, true)).collect::<Vec<_>>());
    let error = Encoder::new(&Arc::new(wide), &settings("Data"), None).unwrap_err();
    assert!(error.to_string().contains("at most 16384 columns, and 16385 come"), "{error}");
    assert_eq!(Encoder::new(&nulls.schema(), &settings("a/b"), None).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn what_is_no_workbook_is_an_error() {
    let batch = table(vec![("a", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef)]);
    let bytes = written(&batch).unwrap();
    for end in [0, 1, 30, bytes.len() / 2, bytes.len() - 1] {
        for format in [Format::Xlsx, Format::Xls, Format::Ods] {
            let error = read(Cursor::new(&bytes[..end]), (format, end as u64), &options()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io), "{format:?} {end}: {error:?}");
        }
    }
    let error = read(Cursor::new(&bytes), (Format::Xlsx, FILE_BYTES + 1), &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resource);
}

proptest! {
    #[test]
    fn milliseconds_are_kept_until_the_end_of_all_days(millis in 0..LAST_MICROS / 1000) {
        prop_assert!(serial::exact(millis * 1000).is_some());
    }

    #[test]
    fn texts_come_back(texts in prop::collection::vec("(?s).{0,20}|[_x0-9A-F]{0,12}|[ \t\r\n]{0,3}", 1..8)) {
        let batch = table(vec![("t", Arc::new(StringArray::from(texts)) as ArrayRef)]);
        let sheet = opened(&written(&batch).unwrap(), &options()).unwrap();
        prop_assert_eq!(rows(&sheet, &batch.schema()).unwrap(), batch);
    }
}

const LAST_MICROS: i64 = 2_958_466 * DAY_MICROS;

#[test]
fn rows_go_on_in_the_next_sheet_where_there_is_one() {
    let names: Vec<String> = (1..=5).map(|number| format!("row {number}")).collect();
    let batch = table(vec![("name", Arc::new(StringArray::from(names)) as ArrayRef)]);
    let more = |sheets: &[&str]| Settings {
        sheets: sheets.iter().map(|name| (*name).to_owned()).collect(),
        sheet_rows: Some(3),
        ..settings("One")
    };
    let mut encoder = Encoder::new(&batch.schema(), &more(&["Two", "Three"]), None).unwrap();
    assert_eq!(encoder.room(), 6);
    encoder.encode(&batch, 0).unwrap();
    assert_eq!(encoder.room(), 1);
    let mut bytes = Vec::new();
    encoder.finish(&mut bytes).unwrap();
    let of = |sheet: &str| {
        let sheet = opened(&bytes, &Options { sheet: Some(sheet.to_owned()), ..options() }).unwrap();
        let rows = rows(&sheet, &batch.schema()).unwrap();
        rows.column(0).as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!([of("One"), of("Two"), of("Three")].map(|rows| rows.join(",")), ["row 1,row 2", "row 3,row 4", "row 5"]);
    let mut encoder = Encoder::new(&batch.schema(), &more(&["Two"]), None).unwrap();
    assert_eq!(encoder.encode(&batch, 0).unwrap_err().message(), "a sheet has at most 3 rows");
    for wrong in ["a[b", "ONE"] {
        let refused = Encoder::new(&batch.schema(), &more(&["Two", wrong]), None).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage, "{wrong}");
    }
    let unnamed = Settings { sheet: None, sheets: vec!["Sheet1".to_owned()], ..Settings::default() };
    assert_eq!(Encoder::new(&batch.schema(), &unnamed, None).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn dates_are_read_whatever_the_form_of_texts() {
    let days = Date32Array::from(vec![Some(19_724), None]);
    let notes = StringArray::from(vec![Some("02.01.2024"), None]);
    let names = StringArray::from(vec!["a", "b"]);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("day", Arc::new(days)), ("note", Arc::new(notes)), ("name", Arc::new(names))];
    let bytes = written(&table(columns)).unwrap();
    let (date, pattern) = crate::formats::value::parse_cast("date('dd.MM.yyyy')").unwrap();
    let mut typing = Typing::default();
    for name in ["day", "note"] {
        typing.casts.push(Arc::new(date.clone().with_name(name)));
        typing.patterns.insert(name.to_owned(), pattern.clone().unwrap());
    }
    let sheet = opened(&bytes, &Options { typing, ..options() }).unwrap();
    let read = rows(&sheet, &sheet.schema().unwrap()).unwrap();
    assert_eq!(read.column(0), read.column(1));
    assert_eq!(read.column(0).null_count(), 1);
}
