//! Round trips through bytes in memory, and bytes that are no Avro. Other readers and writers are asked in `tests/it`.

mod damage;
mod properties;

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use bytes::Bytes;

use super::schema::parse;
use super::types::schema_of;
use super::*;
use crate::error::Result;
use crate::schema::{COMMENT, EXTENSION, EXTENSION_JSON, EXTENSION_UUID, NATIVE, with_metadata};

fn settings(codec: Codec) -> Settings {
    Settings { codec, level: None, sync: *b"0123456789abcdef" }
}

fn write(batches: &[RecordBatch], codec: Codec) -> Result<Bytes> {
    write_into(batches, codec, None).map(|(header, rows)| Bytes::from([header, rows].concat()))
}

/// The header, and the blocks.
fn write_into(batches: &[RecordBatch], codec: Codec, old: Option<&File>) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut encoder = Encoder::new(&batches[0].schema(), &settings(codec), old)?;
    let header = encoder.take();
    encoder.encode(batches)?;
    encoder.finish()?;
    Ok((header, encoder.take()))
}

fn read(bytes: &Bytes, columns: &[&str]) -> Result<RecordBatch> {
    let file = File::open(bytes)?;
    let wanted: Vec<usize> = columns.iter().map(|name| file.schema().index_of(name).unwrap()).collect();
    let schema = Arc::new(file.schema().project(&wanted).unwrap());
    let wanted = Wanted { schema: Arc::clone(&schema), batch_rows: 300, batch_bytes: 1 << 20 };
    let mut batches = Vec::new();
    for segment in file.segments() {
        let mut reader = file.read(file.fetch(bytes, segment)?, &wanted)?;
        while let Some(batch) = reader.next_batch()? {
            assert!(batch.num_rows() <= 300);
            batches.push(batch);
        }
    }
    Ok(arrow::compute::concat_batches(&schema, &batches)?)
}

fn read_all(bytes: &Bytes) -> Result<RecordBatch> {
    let schema = Arc::clone(File::open(bytes)?.schema());
    read(bytes, &schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>())
}

fn item(data_type: DataType) -> FieldRef {
    Arc::new(Field::new_list_field(data_type, true))
}

/// Every type that Avro holds as it is, `rows` rows of NULLs and others.
fn mixed(rows: i32) -> RecordBatch {
    let of = |at: usize, n: i32| (!(n as usize).is_multiple_of(at + 3)).then_some(n);
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for data_type in exact_types() {
        let at = columns.len();
        let numbers: ArrayRef = match data_type {
            DataType::Boolean => Arc::new((0..rows).map(|n| of(at, n).map(|n| n % 2 == 0)).collect::<BooleanArray>()),
            _ => Arc::new((0..rows).map(|n| of(at, n).map(|n| n % 100)).collect::<Int32Array>()),
        };
        let array = match &data_type {
            DataType::FixedSizeBinary(width) => {
                let bytes = (0..rows).map(|n| of(at, n).map(|n| vec![n as u8; *width as usize]));
                Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, *width).unwrap()) as ArrayRef
            }
            DataType::Null => new_null_array(&DataType::Null, rows as usize),
            DataType::Binary => {
                arrow::compute::cast(&arrow::compute::cast(&numbers, &DataType::Utf8).unwrap(), &data_type).unwrap()
            }
            other => {
                let longs = arrow::compute::cast(&numbers, &DataType::Int64);
                arrow::compute::cast(&numbers, other).or_else(|_| arrow::compute::cast(&longs.unwrap(), other)).unwrap()
            }
        };
        columns.push((Field::new(format!("c{at}"), data_type, true), array));
    }
    let mut list = ListBuilder::new(Int64Builder::new());
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for n in 0..rows {
        (0..n % 3).for_each(|value| list.values().append_option((value > 0).then_some(i64::from(value))));
        list.append(n % 7 != 0);
        map.keys().append_value(format!("k{n}"));
        map.values().append_value(n);
        map.append(n % 4 != 0).unwrap();
    }
    let (list, map) = (list.finish(), map.finish());
    let map = arrow::compute::cast(&map, &map_type()).unwrap();
    let inner: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(f64::from)));
    let nulls: arrow::buffer::NullBuffer = (0..rows).map(|n| n % 5 != 0).collect();
    let fields = Fields::from(vec![Field::new("a b", DataType::Float64, false)]);
    let nested = StructArray::new(fields, vec![inner], Some(nulls));
    columns.push((Field::new("list", list.data_type().clone(), true), Arc::new(list)));
    columns.push((Field::new("map", map.data_type().clone(), true), map));
    columns.push((Field::new("nested", nested.data_type().clone(), true), Arc::new(nested)));
    let ids = Int64Array::from_iter_values((0..rows).map(i64::from));
    columns.push((Field::new("id", DataType::Int64, false), Arc::new(ids)));
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn map_type() -> DataType {
    let entries = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
}

fn exact_types() -> Vec<DataType> {
    use DataType as T;
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
        T::Float32,
        T::Float64,
        T::Utf8,
        T::Binary,
        T::FixedSizeBinary(3),
        T::FixedSizeBinary(3),
        T::Date32,
        T::Time32(TimeUnit::Millisecond),
        T::Time64(TimeUnit::Microsecond),
        T::Decimal128(9, 2),
        T::Decimal128(38, 10),
        T::Decimal256(76, 38),
    ];
    for unit in [TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        let zones = [None, Some("UTC"), Some("Europe/Oslo"), Some("+05:30")];
        types.extend(zones.map(|zone| T::Timestamp(unit, zone.map(Into::into))));
    }
    types.extend(
        [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond].map(DataType::Duration),
    );
    types
}

#[test]
fn every_type_comes_back_from_several_blocks_of_every_codec() {
    let batch = mixed(5000);
    for codec in [Codec::None, Codec::Deflate, Codec::Snappy, Codec::Zstd] {
        let bytes = write(&[batch.slice(0, 1200), batch.slice(1200, 3800)], codec).unwrap();
        let file = File::open(&bytes).unwrap();
        assert_eq!(file.segments().iter().map(|segment| segment.rows).sum::<u64>(), 5000);
        assert_eq!(file.codec(), codec);
        assert_eq!(read_all(&bytes).unwrap(), batch, "{codec:?}");
        let some = read(&bytes, &["id", "nested", "c3"]).unwrap();
        assert_eq!(
            (some.column(0), some.column(1), some.column(2)),
            (batch.column_by_name("id").unwrap(), batch.column_by_name("nested").unwrap(), batch.column(3))
        );
        assert_eq!(read(&bytes, &[]).unwrap().num_rows(), 5000);
    }
}

#[test]
fn large_files_are_cut_into_segments_and_large_values_into_batches() {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..500).map(|n| n.to_string().repeat(4000))));
    let batch = RecordBatch::try_from_iter([("t", texts)]).unwrap();
    let bytes = write(std::slice::from_ref(&batch), Codec::None).unwrap();
    let file = File::open(&bytes).unwrap();
    assert!(file.segments().len() > 3, "{:?}", file.segments());
    let wanted = Wanted { schema: Arc::clone(file.schema()), batch_rows: 1000, batch_bytes: 100_000 };
    let mut rows = 0;
    for segment in file.segments() {
        let mut reader = file.read(file.fetch(&bytes, segment).unwrap(), &wanted).unwrap();
        while let Some(part) = reader.next_batch().unwrap() {
            assert!(crate::schema::batch_bytes(&part) < 200_000);
            assert_eq!(part.column(0), &batch.column(0).slice(rows, part.num_rows()));
            rows += part.num_rows();
        }
    }
    assert_eq!(rows, 500);
}

#[test]
fn names_and_metadata_come_back() {
    let named = |name: &str| Field::new(name, DataType::Int32, true);
    let noted = with_metadata(with_metadata(named("noted"), NATIVE, "postgres:integer"), COMMENT, "how \"many\"");
    let json = with_metadata(Field::new("json", DataType::Utf8, true), EXTENSION, EXTENSION_JSON);
    let uuid = with_metadata(Field::new("uuid", DataType::FixedSizeBinary(16), false), EXTENSION, EXTENSION_UUID);
    let uuids = Field::new("uuids", DataType::List(Arc::new(uuid.clone().with_name("item"))), true);
    let jsons = Field::new("jsons", DataType::List(Arc::new(json.clone().with_name("item"))), true);
    let fields = vec![
        named("a b"),
        named("a_x20b"),
        named(""),
        named("1st"),
        named("größe"),
        named("_"),
        named("row"),
        noted,
        json,
        uuid,
        uuids,
        jsons,
    ];
    let schema = Arc::new(Schema::new(fields));
    let avro = schema_of(&schema).unwrap();
    let names: Vec<&str> =
        avro["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(names[..8], ["a_x20b_2", "a_x20b", "__2", "_1st", "gr_xF6_xDFe", "_", "row", "noted"]);
    assert_eq!(avro["fields"][7]["doc"], "how \"many\"");
    let bytes = write(&[RecordBatch::new_empty(Arc::clone(&schema))], Codec::Snappy).unwrap();
    assert_eq!(File::open(&bytes).unwrap().schema(), &schema);
}

#[test]
fn parts_of_one_marker_have_one_header_and_are_joined_by_their_blocks() {
    let batch = mixed(3000);
    let parts = [batch.slice(0, 1000), batch.slice(1000, 2000)];
    let parts = parts.map(|part| write_into(&[part], Codec::Zstd, None).unwrap());
    assert_eq!(parts[0].0, parts[1].0);
    let whole = Bytes::from([parts[0].0.as_slice(), &parts[0].1, &parts[1].1].concat());
    assert_eq!(read_all(&whole).unwrap(), batch);
}

/// The header of a file of `schema`, without blocks.
fn header(schema: &str, codec: &str) -> Bytes {
    let mut out = MAGIC.to_vec();
    super::cursor::put_long(&mut out, 2);
    for text in ["avro.codec", codec, "avro.schema", schema] {
        super::cursor::put_bytes(&mut out, text.as_bytes());
    }
    super::cursor::put_long(&mut out, 0);
    out.extend_from_slice(b"another marker..");
    Bytes::from(out)
}

#[test]
fn rows_are_added_to_files_that_are_laid_out_in_other_ways() {
    let schema = r#"{"type": "record", "name": "r", "namespace": "n", "fields": [
        {"name": "late", "type": ["long", "null"]},
        {"name": "colour", "type": {"type": "enum", "name": "colour", "symbols": ["RED", "GREEN"]}},
        {"name": "price", "type": {"type": "fixed", "name": "price", "size": 5, "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "again", "type": ["null", "n.colour"]},
        {"name": "id", "type": {"type": "fixed", "name": "id", "size": 16, "logicalType": "uuid"}},
        {"name": "took", "type": {"type": "fixed", "name": "took", "size": 12, "logicalType": "duration"}}]}"#;
    let old = header(schema, "deflate");
    let file = File::open(&old).unwrap();
    let rows = |colour: &str, price: i128, took: IntervalMonthDayNano| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![None, Some(-5)])),
            Arc::new(StringArray::from(vec!["RED", colour])),
            Arc::new(Decimal128Array::from(vec![-1, price]).with_precision_and_scale(9, 2).unwrap()),
            Arc::new(StringArray::from(vec![Some("GREEN"), None])),
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1; 16], [2; 16]].into_iter()).unwrap()),
            Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 0, 0), took])),
        ];
        RecordBatch::try_new(Arc::clone(file.schema()), columns).unwrap()
    };
    let added = rows("GREEN", 999_999_999, IntervalMonthDayNano::new(1, 2, 3_000_000));
    let (head, blocks) = write_into(std::slice::from_ref(&added), Codec::None, Some(&file)).unwrap();
    assert_eq!(head, old);
    let twice = Bytes::from([old.to_vec(), blocks.clone(), blocks].concat());
    let all = read_all(&twice).unwrap();
    assert_eq!(all, arrow::compute::concat_batches(file.schema(), [&added, &added]).unwrap());
    for wrong in [
        rows("BLUE", 0, IntervalMonthDayNano::new(0, 0, 0)),
        rows("RED", 0, IntervalMonthDayNano::new(-1, 0, 0)),
        rows("RED", 0, IntervalMonthDayNano::new(0, 0, 1)),
    ] {
        let error = write_into(&[wrong], Codec::None, Some(&file)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
    }
}

#[test]
fn unions_of_several_types_become_the_wider_one_or_json() {
    let schema = r#"{"type": "record", "name": "r", "fields": [
        {"name": "number", "type": ["int", "null", "long"]},
        {"name": "any", "type": ["null", "string", "int", {"type": "array", "items": "boolean"}]},
        {"name": "one", "type": ["string"]}]}"#;
    let mut bytes = header(schema, "null").to_vec();
    // long 300, string "1"; NULL, int 1; int -1, array [true]: each with the branch before it.
    let rows = b"\x04\xd8\x04\x02\x021\x00\x02a\x02\x04\x02\x00\x00\x00\x01\x06\x02\x01\x00\x00\x02b";
    bytes.extend_from_slice(&[6, (rows.len() * 2) as u8]);
    bytes.extend_from_slice(rows);
    bytes.extend_from_slice(b"another marker..");
    let batch = read_all(&Bytes::from(bytes)).unwrap();
    let texts = |at: usize| batch.column(at).as_string::<i32>().iter().collect::<Vec<_>>();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(300), None, Some(-1)]));
    assert_eq!(texts(1), [Some("\"1\""), Some("1"), Some("[true]")]);
    assert_eq!(texts(2), [Some("a"), Some(""), Some("b")]);
    let schema = batch.schema();
    assert!(crate::schema::is_json(schema.field(1)) && !crate::schema::is_json(schema.field(2)));
}

#[test]
fn what_avro_lacks_is_widened_or_text() {
    use DataType as T;
    for data_type in exact_types().into_iter().chain([map_type(), T::List(item(T::Int8))]) {
        assert_eq!(held(&data_type), Some(data_type));
    }
    let day_time = T::Interval(IntervalUnit::DayTime);
    let cases = [
        (T::UInt64, T::Decimal128(20, 0)),
        (T::Float16, T::Float32),
        (T::Date64, T::Timestamp(TimeUnit::Millisecond, None)),
        (T::Time32(TimeUnit::Second), T::Time32(TimeUnit::Millisecond)),
        (T::Time64(TimeUnit::Nanosecond), T::Utf8),
        (T::Timestamp(TimeUnit::Second, Some("UTC".into())), T::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        (T::Interval(IntervalUnit::MonthDayNano), T::Utf8),
        (day_time.clone(), T::Utf8),
        (T::Decimal32(5, 2), T::Decimal128(5, 2)),
        (T::Decimal128(5, -3), T::Decimal128(8, 0)),
        (T::Decimal128(38, -3), T::Decimal256(41, 0)),
        (T::Decimal256(76, -3), T::Utf8),
        (T::FixedSizeBinary(0), T::Binary),
        (T::FixedSizeList(item(T::UInt64), 2), T::List(item(T::Decimal128(20, 0)))),
        (
            T::Struct(vec![Field::new("i", day_time, true)].into()),
            T::Struct(vec![Field::new("i", T::Utf8, true)].into()),
        ),
    ];
    for (from, to) in cases {
        assert_eq!(held(&from), Some(to.clone()));
        let batch = RecordBatch::try_from_iter_with_nullable([("c", new_null_array(&to, 3), true)]).unwrap();
        assert_eq!(read_all(&write(std::slice::from_ref(&batch), Codec::None).unwrap()).unwrap(), batch, "{to}");
    }
    let union = UnionFields::from_fields([Field::new("a", T::Int32, true)]);
    assert_eq!(held(&T::Union(union, UnionMode::Dense)), None);
}

#[test]
fn files_without_columns_or_rows_or_bytes_of_records_keep_their_rows() {
    let none = RecordBatchOptions::new().with_row_count(Some(1234));
    let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &none).unwrap();
    let nulls = [("n", new_null_array(&DataType::Null, 1234), true)];
    let nulls = RecordBatch::try_from_iter_with_nullable(nulls).unwrap();
    for codec in [Codec::None, Codec::Deflate, Codec::Snappy, Codec::Zstd] {
        for batch in [&none, &nulls] {
            let bytes = write(std::slice::from_ref(batch), codec).unwrap();
            assert_eq!(&read_all(&bytes).unwrap(), batch);
        }
        let empty = mixed(1).slice(0, 0);
        assert_eq!(read_all(&write(std::slice::from_ref(&empty), codec).unwrap()).unwrap(), empty);
    }
}

#[test]
fn floating_point_keeps_every_bit() {
    let values = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, f64::MIN_POSITIVE / 4.0];
    let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).chain([0x7ff8_0000_dead_beef]).collect();
    let array: ArrayRef = Arc::new(Float64Array::from_iter_values(bits.iter().map(|bits| f64::from_bits(*bits))));
    let bytes = write(&[RecordBatch::try_from_iter([("x", array)]).unwrap()], Codec::None).unwrap();
    let back = read_all(&bytes).unwrap();
    let back = back.column(0).as_primitive::<Float64Type>().values().iter().map(|value| value.to_bits());
    assert_eq!(back.collect::<Vec<_>>(), bits);
}

#[test]
fn a_schema_that_is_none_is_refused() {
    let record = |fields: &str| format!(r#"{{"type": "record", "name": "r", "fields": [{fields}]}}"#);
    let field = |of: &str| record(&format!(r#"{{"name": "a", "type": {of}}}"#));
    let deep = (0..100).fold("\"int\"".to_owned(), |inner, _| format!(r#"{{"type": "array", "items": {inner}}}"#));
    let doubled = (1..20).fold(field("\"int\""), |inner, level| {
        let again = if level == 1 { "r".to_owned() } else { format!("r{}", level - 1) };
        format!(
            r#"{{"type": "record", "name": "r{level}", "fields": [{{"name": "a", "type": {inner}}}, {{"name": "b", "type": "{again}"}}]}}"#
        )
    });
    for (schema, kind) in [
        ("{".to_owned(), ErrorKind::Corrupt),
        ("\"int\"".to_owned(), ErrorKind::Unsupported),
        (field("\"other\""), ErrorKind::Corrupt),
        (field("[]"), ErrorKind::Corrupt),
        (field("[\"null\", [\"int\"]]"), ErrorKind::Corrupt),
        (field("[\"null\", \"r\"]"), ErrorKind::Unsupported),
        (field(r#"{"type": "fixed", "name": "f", "size": -1}"#), ErrorKind::Unsupported),
        (field(r#"{"type": "bytes", "logicalType": "decimal", "precision": 77}"#), ErrorKind::Unsupported),
        (field(&deep), ErrorKind::Unsupported),
        (doubled, ErrorKind::Unsupported),
    ] {
        assert_eq!(parse(schema.as_bytes()).map(drop).unwrap_err().kind(), kind, "{schema}");
    }
    let twice = record(r#"{"name": "a", "type": "int"}, {"name": "a", "type": "int"}"#);
    assert_eq!(File::open(&header(&twice, "null")).unwrap_err().kind(), ErrorKind::Schema);
    assert_eq!(File::open(&header(&field("\"int\""), "bzip2")).unwrap_err().kind(), ErrorKind::Unsupported);
    // What makes no decimal is ignored, as the specification says.
    let odd = field(r#"{"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}"#);
    assert_eq!(parse(odd.as_bytes()).unwrap()[0].field().data_type(), &DataType::Binary);
}
