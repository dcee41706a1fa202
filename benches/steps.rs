//! The steps of a transform: rows per second of one thread, of which 5 million are wanted.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_etl::job::TransformStep;
use arrow_etl::plan::steps::Steps;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ROWS: i64 = 8192;

/// Texts in ASCII and in Chinese, and numbers, all long enough that no row fails; one row in ten is NULL.
fn batch() -> RecordBatch {
    let of = |text: fn(i64) -> String| (0..ROWS).map(|row| (row % 10 != 0).then(|| text(row))).collect::<StringArray>();
    let columns: [(&str, ArrayRef); 3] = [
        ("ascii", Arc::new(of(|row| format!("customer number {row}")))),
        ("chinese", Arc::new(of(|row| format!("客户编号{row}的名字")))),
        ("number", Arc::new((0..ROWS).map(|row| (row % 10 != 0).then_some(row * 977)).collect::<Int64Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn steps(criterion: &mut Criterion) {
    let calls: [(&str, &[&str]); 7] = [
        ("dx_substr", &["2", "5"]),
        ("dx_pad", &["l", "24", "0"]),
        ("dx_replace", &["1", "2", "****"]),
        ("dx_digest", &["md5", "toUpperCase"]),
        ("dx_digest", &["sha1", "toLowerCase"]),
        ("dx_filter", &[">", "500000"]),
        ("dx_filter", &["like", ".*7"]),
    ];
    let batch = batch();
    let mut group = criterion.benchmark_group("steps");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (function, parameters) in calls {
        for (column_index, name) in ["ascii", "chinese", "number"].into_iter().enumerate() {
            let parameters = parameters.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            let label = format!("{name} {}", parameters.join(" "));
            let step = TransformStep { function: function.to_owned(), column_index, parameters };
            let steps = Steps::try_new(&[step], &batch.schema()).unwrap();
            group.bench_with_input(BenchmarkId::new(function, label), &batch, |bencher, batch| {
                bencher.iter(|| steps.apply(black_box(batch)).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
