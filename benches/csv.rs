//! CSV and JSON lines: bytes per second of one thread, and of all threads over the pieces of one file.

#![allow(missing_docs, reason = "the macro makes a public function")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow_etl::formats::csv::{Csv, CsvOptions};
use arrow_etl::formats::json::JsonLines;
use arrow_etl::formats::split::{RecordStart, stitch};
use arrow_etl::formats::{Extent, Inferred, Piece, RecordFormat, Typing};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;

const ROWS: i64 = 100_000;
const CHUNK_BYTES: usize = 1 << 20;

/// Ten mixed columns; some texts need quotes.
fn batch() -> RecordBatch {
    // A fixed scramble: the same rows in every run.
    let number = |row: i64| row.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let rows = || 0..ROWS;
    let text = |row: i64| match row % 10 {
        0 => format!("said \"{row}\", and left"),
        _ => format!("customer number {row}"),
    };
    let amounts = Decimal128Array::from_iter_values(rows().map(|row| i128::from(number(row) % 10_000_000)));
    let stamps = rows().map(|row| 1_700_000_000_000_000 + number(row) % 1_000_000_000_000);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows()))),
        ("part", Arc::new(Int32Array::from_iter_values(rows().map(|row| (number(row) % 100_000) as i32)))),
        ("amount", Arc::new(amounts.with_precision_and_scale(38, 2).expect("38 digits hold it"))),
        ("score", Arc::new(Float64Array::from_iter_values(rows().map(|row| number(row) as f64 / 1e12)))),
        ("active", Arc::new(rows().map(|row| Some(row % 3 == 0)).collect::<BooleanArray>())),
        ("born", Arc::new(Date32Array::from_iter_values(rows().map(|row| (number(row) % 20_000) as i32)))),
        ("seen", Arc::new(TimestampMicrosecondArray::from_iter_values(stamps))),
        ("name", Arc::new(StringArray::from_iter_values(rows().map(text)))),
        ("note", Arc::new(rows().map(|row| (row % 4 == 0).then(|| "x".repeat(40))).collect::<StringArray>())),
        ("code", Arc::new(StringArray::from_iter_values(rows().map(|row| format!("{:08x}", number(row) as u32))))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("the columns have one length")
}

fn file(format: &dyn RecordFormat, batch: &RecordBatch) -> Vec<u8> {
    let mut out = format.header(batch.schema_ref()).expect("names are plain");
    format.encode(batch, &mut out).expect("all types have a text form");
    out
}

fn decode_parallel(format: &dyn RecordFormat, body: &[u8], inferred: &Inferred) -> usize {
    let chunks: Vec<_> = body.par_chunks(CHUNK_BYTES).map(|chunk| format.scan_chunk(chunk)).collect();
    let starts = stitch(RecordStart { offset: 0, line: 1 }, &chunks);
    let ends: Vec<usize> = starts[1..].iter().map(|start| start.offset as usize).chain([body.len()]).collect();
    let rows = starts.par_iter().zip(ends).map(|(start, end)| {
        let piece = Piece { bytes: &body[start.offset as usize..end], first_line: start.line };
        format.decode(&piece, &inferred.layout, &inferred.schema).expect("what was written is read").num_rows()
    });
    rows.sum()
}

fn codecs(criterion: &mut Criterion) {
    let batch = batch();
    let strings = Typing { all_strings: true, casts: Vec::new(), ..Typing::default() };
    let formats: [(&str, Box<dyn RecordFormat>); 3] = [
        ("csv", Box::new(Csv::new(CsvOptions::default()).expect("the defaults are valid"))),
        ("csv all strings", {
            let options = CsvOptions { typing: strings, ..CsvOptions::default() };
            Box::new(Csv::new(options).expect("the defaults are valid"))
        }),
        ("json", Box::new(JsonLines::default())),
    ];
    for (name, format) in &formats {
        let format = format.as_ref();
        let file = file(format, &batch);
        let inferred = format.infer(&file, Extent::Whole).expect("what was written is read");
        let body = &file[inferred.start.data_start..];
        let piece = Piece { bytes: body, first_line: 2 };
        let mut group = criterion.benchmark_group(*name);
        group.sample_size(20).throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function("infer", |bencher| bencher.iter(|| format.infer(black_box(&file), Extent::Whole)));
        group.bench_function("find records", |bencher| bencher.iter(|| format.scanner().feed(black_box(body))));
        group.bench_function("scan chunk", |bencher| bencher.iter(|| format.scan_chunk(black_box(body))));
        let nothing = Arc::new(arrow::datatypes::Schema::empty());
        group.bench_function("tokenize", |bencher| {
            bencher.iter(|| format.decode(black_box(&piece), &inferred.layout, &nothing));
        });
        group.bench_function("decode", |bencher| {
            bencher.iter(|| format.decode(black_box(&piece), &inferred.layout, &inferred.schema));
        });
        for threads in [1, 2, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
            group.bench_function(BenchmarkId::new("decode pieces", threads), |bencher| {
                bencher.iter(|| pool.install(|| decode_parallel(format, black_box(body), &inferred)));
            });
        }
        let mut out = Vec::with_capacity(file.len());
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                out.clear();
                format.encode(black_box(&batch), &mut out)
            });
        });
        group.finish();
    }
}

criterion_group!(benches, codecs);
criterion_main!(benches);
