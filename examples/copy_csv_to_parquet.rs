//! A CSV file into a Parquet file, and a look at what arrived.
//!
//! `cargo run --example copy_csv_to_parquet`
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use arrow::util::pretty::pretty_format_batches;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::job::{Job, Place};
use arrow_etl::run::{Between, Surroundings, copy, describe, head};
use serde_json::json;

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/airports.csv");

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |url: &str| Place::new("file", json!({ "url": url }), ObjectRef::Whole);
    let parquet = file(&folder.path().join("airports.parquet").display().to_string());

    let job = Job::new(file(AIRPORTS), parquet.clone());
    let summary = copy(&job, Between::of(&job)?, &Surroundings::default()).await?;
    println!("{} airports", summary.rows);

    // The types were guessed from the texts; Parquet keeps them.
    for field in describe(&parquet).await?.schema.fields() {
        println!("{}: {}", field.name(), field.data_type());
    }
    let (_, rows) = head(&parquet, 3).await?;
    println!("{}", pretty_format_batches(&rows)?);
    Ok(())
}
