//! The lane between reader and writer: batches per second through one, at several sizes.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_etl::flow::board::TaskMeter;
use arrow_etl::flow::channel::lane;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const BATCHES: usize = 1000;

fn through(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mut group = criterion.benchmark_group("lane");
    for rows in [100_i64, 10_000] {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let bytes = batch.get_array_memory_size();
        group.throughput(Throughput::Elements(BATCHES as u64));
        group.bench_with_input(BenchmarkId::new("batches", rows), &batch, |bencher, batch| {
            bencher.to_async(&runtime).iter(|| pass(batch.clone(), bytes));
        });
    }
    group.finish();
}

async fn pass(batch: RecordBatch, bytes: usize) {
    let (sender, mut receiver) = lane(4 << 20, &TaskMeter::default());
    let filling = async move {
        for _ in 0..BATCHES {
            assert!(sender.send(Ok(batch.clone()), bytes).await);
        }
    };
    let taking = async move { while receiver.receive().await.is_some() {} };
    futures::join!(filling, taking);
}

criterion_group!(benches, through);
criterion_main!(benches);
