//! A copy that is watched while it runs: how much is done, and who waits for whom. It makes its own rows.
//!
//! `cargo run --example watch_progress`
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::sync::Arc;
use std::time::Duration;

use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::flow::meter::{Meter, Reading};
use arrow_etl::job::{Job, Place};
use arrow_etl::run::{Between, Surroundings, copy};
use serde_json::json;

const ROWS: u64 = 400_000;

#[tokio::main]
async fn main() -> Result<()> {
    let made = json!({ "url": format!("gen:id:seq,price:decimal(12,2),note:text(10)?rows={ROWS}") });
    let mut job = Job::new(
        Place::new("stream", made, ObjectRef::Whole),
        Place::new("stream", json!({ "url": "null:" }), ObjectRef::Whole),
    );
    // Slow enough to be watched.
    job.limits.speed.job_rows = Some(ROWS / 2);

    let surroundings = Surroundings::default();
    let meter = Arc::clone(&surroundings.meter);
    let watching = tokio::spawn(watch(Arc::clone(&meter)));
    let summary = copy(&job, Between::of(&job)?, &surroundings).await?;
    watching.await.expect("watching does not panic");
    println!("{} rows", summary.rows);
    Ok(())
}

/// Says each quarter when it is reached. A program would draw a bar here, and show `rows_written / seconds` and
/// `bottleneck()`.
async fn watch(meter: Arc<Meter>) {
    for percent in [25, 50, 75, 100] {
        let reached = |reading: &Reading| reading.share().is_some_and(|share| share * 100.0 >= f64::from(percent));
        while !reached(&meter.reading()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        println!("{percent} %");
    }
}
