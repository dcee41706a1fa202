//! The codec of PostgreSQL's binary COPY: rows per second of one thread each way, and of all threads over many chunks.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int16Array,
    Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_etl::connectors::postgres::codec::CopyCodec;
use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;

const ROWS: i64 = 16_384;
const CHUNKS: usize = 16;

const COLUMNS: [(&str, &str); 13] = [
    ("id", "int8"),
    ("part", "int4"),
    ("kind", "int2"),
    ("amount", "numeric"),
    ("score", "float8"),
    ("active", "bool"),
    ("born", "date"),
    ("made", "timestamp"),
    ("seen", "timestamptz"),
    ("name", "text"),
    ("tags", "jsonb"),
    ("mark", "uuid"),
    ("raw", "bytea"),
];

/// One batch of mixed columns, the same in every run.
fn batch(codec: &CopyCodec) -> RecordBatch {
    let number = |row: i64| row.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let rows = || 0..ROWS;
    let micros = |row: i64| 1_700_000_000_000_000 + number(row) % 1_000_000_000_000;
    let amounts = rows().map(|row| i128::from(number(row)) * 1_000_000);
    let texts = |make: fn(i64) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows().map(make))) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows())),
        Arc::new(Int32Array::from_iter_values(rows().map(|row| number(row) as i32))),
        Arc::new(Int16Array::from_iter_values(rows().map(|row| number(row) as i16))),
        Arc::new(Decimal128Array::from_iter_values(amounts).with_precision_and_scale(38, 10).unwrap()),
        Arc::new(Float64Array::from_iter_values(rows().map(|row| number(row) as f64 / 1e12))),
        Arc::new(rows().map(|row| (row % 5 != 0).then_some(row % 3 == 0)).collect::<BooleanArray>()),
        Arc::new(Date32Array::from_iter_values(rows().map(|row| (number(row) % 20_000) as i32))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows().map(micros))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows().map(micros)).with_timezone("UTC")),
        texts(|row| format!("customer number {row}")),
        texts(|row| format!("{{\"k\": {row}}}")),
        Arc::new(FixedSizeBinaryArray::try_from_iter(rows().map(|row| i128::from(number(row)).to_be_bytes())).unwrap()),
        Arc::new(BinaryArray::from_iter_values(rows().map(|row| vec![row as u8; (row % 24) as usize]))),
    ];
    RecordBatch::try_new(Arc::clone(codec.schema()), columns).unwrap()
}

fn codec(criterion: &mut Criterion) {
    let codec = CopyCodec::of(&COLUMNS).unwrap();
    let batch = batch(&codec);
    let tuples = |batch: &RecordBatch| -> Bytes {
        let blocks = codec.encode(batch).unwrap();
        blocks
            .iter()
            .fold(BytesMut::new(), |mut all, block| {
                all.extend_from_slice(block);
                all
            })
            .freeze()
    };
    let bytes = tuples(&batch);
    assert_eq!(codec.decode(bytes.clone(), batch.num_rows()).unwrap(), batch);
    let mut group = criterion.benchmark_group("binary copy");
    group.sample_size(20).throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("encode", |bencher| bencher.iter(|| codec.encode(black_box(&batch))));
    group.bench_function("decode", |bencher| bencher.iter(|| codec.decode(black_box(bytes.clone()), batch.num_rows())));
    for (index, (name, type_name)) in COLUMNS.iter().enumerate() {
        let one = CopyCodec::of(&[(name, type_name)]).unwrap();
        let column = batch.project(&[index]).unwrap().with_schema(Arc::clone(one.schema())).unwrap();
        let blocks = one.encode(&column).unwrap().concat();
        let bytes = Bytes::from(blocks);
        group.bench_function(BenchmarkId::new("encode", type_name), |bencher| {
            bencher.iter(|| one.encode(black_box(&column)));
        });
        group.bench_function(BenchmarkId::new("decode", type_name), |bencher| {
            bencher.iter(|| one.decode(black_box(bytes.clone()), column.num_rows()));
        });
    }
    group.throughput(Throughput::Elements(ROWS as u64 * CHUNKS as u64));
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        group.bench_function(BenchmarkId::new("decode chunks, threads", threads), |bencher| {
            let decode = |_| codec.decode(bytes.clone(), batch.num_rows()).unwrap().num_rows();
            bencher.iter(|| pool.install(|| (0..CHUNKS).into_par_iter().map(decode).sum::<usize>()));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
