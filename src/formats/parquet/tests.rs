//! Round trips through bytes in memory.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use bytes::Bytes;

use super::types;
use super::*;
use crate::error::Result;
use crate::schema::{EXTENSION, EXTENSION_JSON, EXTENSION_UUID, is_json, is_uuid, with_metadata};

fn settings() -> Settings {
    Settings { codec: Codec::Zstd, level: None, row_group: RowGroupLimit { rows: 1000, bytes: 64 << 20 } }
}

fn write(batches: &[RecordBatch]) -> Result<Bytes> {
    let mut encoder = Encoder::new(Vec::new(), &batches[0].schema(), &settings(), None)?;
    for batch in batches {
        if encoder.encode(std::slice::from_ref(batch))? {
            encoder.close_group()?;
            encoder.write_groups()?;
        }
    }
    encoder.close_group()?;
    encoder.write_groups()?;
    Ok(Bytes::from(encoder.finish()?))
}

fn read(bytes: &Bytes, columns: &[&str], threads: usize) -> Result<RecordBatch> {
    let file = File::open(bytes)?;
    let wanted: Vec<usize> = columns.iter().map(|name| file.schema().index_of(name).unwrap()).collect();
    let schema = Arc::new(file.schema().project(&wanted).unwrap());
    let mut batches = Vec::new();
    for group in 0..file.groups() {
        let scan =
            GroupScan { group, schema: schema.clone(), batch_rows: 300, batch_bytes: 1 << 20, limit: None, threads };
        let mut reader = file.read(bytes, &scan)?;
        while let Some(batch) = reader.next_batch()? {
            batches.push(batch);
        }
    }
    Ok(arrow::compute::concat_batches(&schema, &batches)?)
}

fn mixed(rows: i32) -> RecordBatch {
    let json = with_metadata(Field::new("json", DataType::Utf8, true), EXTENSION, EXTENSION_JSON);
    let uuid = with_metadata(Field::new("uuid", DataType::FixedSizeBinary(16), false), EXTENSION, EXTENSION_UUID);
    let ids = (0..rows).map(|n| [n as u8; 16]);
    let mut list = ListBuilder::new(Int64Builder::new());
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for n in 0..rows {
        (0..n % 3).for_each(|item| list.values().append_value(i64::from(item)));
        list.append(n % 7 != 0);
        map.keys().append_value("k");
        map.values().append_value(n);
        map.append(true).unwrap();
    }
    let (list, map) = (list.finish(), map.finish());
    let decimal = Decimal256Array::from_iter_values((0..rows).map(|n| i256::from(i64::from(n) - 7)));
    let decimal = decimal.with_precision_and_scale(60, 5).unwrap();
    let zoned = TimestampMicrosecondArray::from_iter_values((0..rows).map(|n| i64::from(n) * -1_000_003));
    let inner = Arc::new(Field::new("x", DataType::Float64, true));
    let floats: ArrayRef = Arc::new((0..rows).map(|n| (n % 5 != 0).then_some(f64::from(n))).collect::<Float64Array>());
    let nested = StructArray::from(vec![(inner, floats)]);
    let fields = vec![
        Field::new("n", DataType::Int32, false),
        json,
        uuid,
        Field::new("list", list.data_type().clone(), true),
        Field::new("map", map.data_type().clone(), false),
        Field::new("decimal", decimal.data_type().clone(), false),
        Field::new("zoned", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("nested", nested.data_type().clone(), false),
        Field::new("long", DataType::Duration(TimeUnit::Nanosecond), false),
        Field::new("unsigned", DataType::UInt64, false),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(0..rows)),
        Arc::new((0..rows).map(|n| (n % 2 == 0).then(|| format!("{{\"n\":{n}}}"))).collect::<StringArray>()),
        Arc::new(FixedSizeBinaryArray::try_from_iter(ids).unwrap()),
        Arc::new(list),
        Arc::new(map),
        Arc::new(decimal),
        Arc::new(zoned.with_timezone("UTC")),
        Arc::new(nested),
        Arc::new(DurationNanosecondArray::from_iter_values((0..rows).map(i64::from))),
        Arc::new(UInt64Array::from_iter_values((0..rows).map(|n| u64::MAX - n as u64))),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

#[test]
fn every_type_comes_back_from_several_row_groups() {
    let batch = mixed(2500);
    let bytes = write(&[batch.slice(0, 1200), batch.slice(1200, 1300)]).unwrap();
    assert_eq!(File::open(&bytes).unwrap().groups(), 2);
    let all = names(&batch);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let back = read(&bytes, &all, 1).unwrap();
    assert_eq!(back, batch);
    let back = read(&bytes, &["unsigned", "nested", "n"], 1).unwrap();
    assert_eq!(back.column(2), batch.column(0));
    assert_eq!(back.column(1), batch.column(7));
    assert_eq!(read(&bytes, &[], 1).map(|batch| batch.num_rows()).unwrap(), 2500);
}

#[test]
fn several_threads_decode_the_same_rows() {
    let rows = 400_000;
    let columns = (0..6).map(|column| {
        let values = Int64Array::from_iter_values((0..rows).map(|row| row * 7919 % (column + 3)));
        (format!("c{column}"), Arc::new(values) as ArrayRef)
    });
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let bytes = write(std::slice::from_ref(&batch)).unwrap();
    let all = ["c3", "c0", "c5", "c1"];
    let (one, four) = (read(&bytes, &all, 1).unwrap(), read(&bytes, &all, 4).unwrap());
    assert_eq!(one, four);
    assert_eq!(one.column(0), batch.column(3));
}

#[test]
fn json_and_uuid_are_parquets_own_types_without_arrows_schema() {
    let bytes = write(&[mixed(10)]).unwrap();
    let options = ::parquet::arrow::arrow_reader::ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let bare = ::parquet::arrow::arrow_reader::ArrowReaderMetadata::load(&bytes, options).unwrap();
    let schema = types::with_extensions(bare.schema(), bare.parquet_schema());
    assert!(is_json(schema.field_with_name("json").unwrap()));
    assert!(is_uuid(schema.field_with_name("uuid").unwrap()));
}

#[test]
fn joined_parts_are_one_file_with_the_rows_in_order() {
    let batch = mixed(3000);
    let parts = [write(&[batch.slice(0, 1100)]).unwrap(), write(&[batch.slice(1100, 1900)]).unwrap()];
    let mut joiner = Joiner::new(Vec::new(), &batch.schema(), &settings(), None).unwrap();
    for part in &parts {
        joiner.append(part).unwrap();
    }
    let whole = Bytes::from(joiner.finish().unwrap());
    let all = names(&batch);
    assert_eq!(read(&whole, &all.iter().map(String::as_str).collect::<Vec<_>>(), 1).unwrap(), batch);
    let bounds = File::open(&whole).unwrap().bounds(1, "n").unwrap();
    assert_eq!(bounds.min.as_primitive::<Int32Type>().value(0), 1100);
    assert_eq!(bounds.max.as_primitive::<Int32Type>().value(0), 2999);
    assert_eq!((bounds.nulls, bounds.rows), (Some(0), 1900));

    let other = write(&[mixed(5).project(&[0, 1]).unwrap()]).unwrap();
    let mut joiner = Joiner::new(Vec::new(), &batch.schema(), &settings(), None).unwrap();
    assert_eq!(joiner.append(&other).unwrap_err().kind(), ErrorKind::Schema);
}

#[test]
fn long_rows_have_neither_dictionary_nor_bounds_and_join_with_others() {
    let texts =
        |text: &str| RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(vec![text; 2])) as ArrayRef)]);
    let (short, long) = (texts("short").unwrap(), texts(&"x".repeat(2 << 20)).unwrap());
    let settings = Settings { row_group: RowGroupLimit { rows: 1000, bytes: 4 << 20 }, ..settings() };
    let mut encoder = Encoder::new(Vec::new(), &short.schema(), &settings, None).unwrap();
    // The long ones close the row group before them, and what comes behind would join theirs.
    assert!(!encoder.encode(std::slice::from_ref(&short)).unwrap());
    encoder.encode(std::slice::from_ref(&long)).unwrap();
    encoder.close_group().unwrap();
    encoder.encode(std::slice::from_ref(&short)).unwrap();
    encoder.close_group().unwrap();
    encoder.write_groups().unwrap();
    let part = Bytes::from(encoder.finish().unwrap());
    let mut joiner = Joiner::new(Vec::new(), &short.schema(), &settings, None).unwrap();
    for _ in 0..2 {
        joiner.append(&part).unwrap();
    }
    let whole = Bytes::from(joiner.finish().unwrap());
    let all = [&short, &long, &short, &short, &long, &short];
    assert_eq!(read(&whole, &["t"], 2).unwrap(), arrow::compute::concat_batches(&short.schema(), all).unwrap());
    let file = File::open(&whole).unwrap();
    for (group, batch) in all.into_iter().enumerate() {
        assert_eq!(file.bounds(group, "t").is_some_and(|bounds| bounds.min.is_valid(0)), batch == &short, "{group}");
    }
}

#[test]
fn batches_shrink_when_rows_turn_out_longer_than_their_average() {
    let long = "x".repeat(10_000);
    let texts = |row: usize| if row < 900 { "short" } else { long.as_str() };
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..1000).map(texts)));
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..1000));
    let whole = RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap();
    let bytes = write(std::slice::from_ref(&whole)).unwrap();
    let file = File::open(&bytes).unwrap();
    let limit = 100_000;
    let scan = GroupScan {
        group: 0,
        schema: file.schema().clone(),
        batch_rows: 1000,
        batch_bytes: limit,
        limit: None,
        threads: 2,
    };
    let mut reader = file.read(&bytes, &scan).unwrap();
    let batches: Vec<RecordBatch> = std::iter::from_fn(|| reader.next_batch().unwrap()).collect();
    let large = batches.iter().filter(|batch| crate::schema::batch_bytes(batch) > 2 * limit).count();
    assert!(large <= 1, "{large} batches are too large");
    assert_eq!(arrow::compute::concat_batches(file.schema(), &batches).unwrap().columns(), whole.columns());
}

#[test]
fn a_cut_file_is_damage_and_never_a_panic() {
    let bytes = write(&[mixed(500)]).unwrap();
    for cut in [0, 3, 4, 11, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(File::open(&bytes.slice(..cut)).unwrap_err().kind(), ErrorKind::Corrupt, "cut at {cut}");
    }
    let mut changed = bytes.to_vec();
    changed[8..200].fill(0xa5);
    assert_eq!(read(&Bytes::from(changed), &["n", "json"], 1).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn bounds_are_not_trusted_for_floating_point() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
    let bytes = write(&[RecordBatch::try_from_iter([("x", floats)]).unwrap()]).unwrap();
    assert!(File::open(&bytes).unwrap().bounds(0, "x").is_none());
}

#[test]
fn what_fits_can_be_written_and_what_does_not_is_told_before() {
    for data_type in [
        DataType::Null,
        DataType::Float16,
        DataType::Date64,
        DataType::Interval(IntervalUnit::DayTime),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Duration(TimeUnit::Second),
        DataType::Decimal256(76, 10),
    ] {
        assert_eq!(fit(&data_type), Fit::Exact);
        let batch = RecordBatch::try_from_iter([("c", new_null_array(&data_type, 3))]).unwrap();
        assert_eq!(read(&write(std::slice::from_ref(&batch)).unwrap(), &["c"], 1).unwrap(), batch, "{data_type}");
    }
    let wide = DataType::Interval(IntervalUnit::MonthDayNano);
    assert_eq!(fit(&wide), Fit::Text);
    assert_eq!(fit(&DataType::Struct(vec![Field::new("i", wide.clone(), true)].into())), Fit::Text);
    let batch = RecordBatch::try_from_iter([("c", new_null_array(&wide, 3))]).unwrap();
    assert_eq!(write(&[batch]).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(
        fit(&DataType::Timestamp(TimeUnit::Second, None)),
        Fit::Widened(DataType::Timestamp(TimeUnit::Millisecond, None))
    );
}

#[test]
fn times_of_96_bits_are_read_where_nanoseconds_can_hold_them() {
    use ::parquet::data_type::{Int96, Int96Type};
    let write = |days: u32| {
        let schema = ::parquet::schema::parser::parse_message_type("message m { required int96 at; }").unwrap();
        let mut file =
            ::parquet::file::writer::SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default()).unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let mut value = Int96::new();
        // 1.5 microseconds after midnight of a Julian day.
        value.set_data(1500, 0, days);
        column.typed::<Int96Type>().write_batch(&[value], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        Bytes::from(file.into_inner().unwrap())
    };
    let epoch: u32 = 2_440_588;
    let times = read(&write(epoch + 1), &["at"], 1).unwrap();
    assert_eq!(times.column(0).as_primitive::<TimestampNanosecondType>().value(0), 86_400_000_001_500);
    let before = read(&write(epoch - 1), &["at"], 1).unwrap();
    assert_eq!(before.column(0).as_primitive::<TimestampNanosecondType>().value(0), -86_400_000_000_000 + 1500);
    // 9999-12-31
    let error = read(&write(5_373_484), &["at"], 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
}

#[test]
fn intervals_of_other_programs_keep_all_their_parts() {
    use ::parquet::data_type::{FixedLenByteArray, FixedLenByteArrayType};
    let write = |message: &str, level: i16, values: [[u32; 3]; 2]| {
        let schema = ::parquet::schema::parser::parse_message_type(message).unwrap();
        let mut file =
            ::parquet::file::writer::SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default()).unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let values = values.map(|parts| FixedLenByteArray::from(parts.map(u32::to_le_bytes).concat()));
        column.typed::<FixedLenByteArrayType>().write_batch(&values, Some(&[level, 0, level]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        Bytes::from(file.into_inner().unwrap())
    };
    let plain = "message m { optional fixed_len_byte_array(12) i (INTERVAL); }";
    let whole = read(&write(plain, 1, [[1, 2, 3], [0, 0, 3_600_000_000]]), &["i"], 1).unwrap();
    let expected = [
        Some(IntervalMonthDayNano::new(1, 2, 3_000_000)),
        None,
        Some(IntervalMonthDayNano::new(0, 0, 3_600_000_000_000_000)),
    ];
    assert_eq!(whole.column(0).as_primitive::<IntervalMonthDayNanoType>().iter().collect::<Vec<_>>(), expected);
    let beyond = read(&write(plain, 1, [[1 << 31, 0, 0], [0; 3]]), &["i"], 1).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::Value);
    let within = "message m { optional group s { optional fixed_len_byte_array(12) i (INTERVAL); } }";
    let torn = read(&write(within, 2, [[1, 2, 3], [0; 3]]), &["s"], 1).unwrap_err();
    assert_eq!(torn.kind(), ErrorKind::Unsupported);
}
