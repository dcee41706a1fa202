//! A table that is read through ConnectorX, into a Parquet file.
//!
//! `MYSQL_URL=mysql://… cargo run --features connectorx --example connectorx_to_parquet`. Of Oracle, Trino and `BigQuery` no more than the
//! URL is another one: `oracle://ADA:${PW}@db:1521/SHOP`. The table `elements` of the database is replaced.
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use arrow::util::pretty::pretty_format_batches;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::job::{Job, Place};
use arrow_etl::run::{Between, Surroundings, copy, describe, head};
use arrow_etl::sink::WriteMode;
use serde_json::json;

const ELEMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/elements.csv");

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = std::env::var("MYSQL_URL").unwrap_or_else(|_| "mysql://root@localhost/test".to_owned());
    let elements = ObjectRef::Table("elements".to_owned());
    let file = |path: &str| Place::new("file", json!({ "url": path }), ObjectRef::Whole);
    let parquet = file(&folder.path().join("elements.parquet").display().to_string());

    // ConnectorX only reads: the table comes there by the connector of the database.
    let mut load = Job::new(file(ELEMENTS), Place::new("mysql", json!({ "url": url }), elements.clone()));
    load.mode = WriteMode::Replace;
    copy(&load, Between::of(&load)?, &Surroundings::default()).await?;

    let through = Place::new("connectorx", json!({ "url": format!("connectorx:{url}") }), elements);
    let job = Job::new(through, parquet.clone());
    println!("{} elements through ConnectorX", copy(&job, Between::of(&job)?, &Surroundings::default()).await?.rows);

    for field in describe(&parquet).await?.schema.fields() {
        println!("{}: {}", field.name(), field.data_type());
    }
    let (_, rows) = head(&parquet, 3).await?;
    println!("{}", pretty_format_batches(&rows)?);
    Ok(())
}
