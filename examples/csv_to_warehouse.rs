//! Files into the tables of a warehouse, here a DuckDB database: a first load, and a later one that merges by key.
//!
//! `cargo run --example csv_to_warehouse`. DuckDB's library has to be there: `DUCKDB_LIB` names it.
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::fs;

use arrow::util::pretty::pretty_format_batches;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::job::{Job, Place};
use arrow_etl::proof::Verify;
use arrow_etl::run::{Between, Surroundings, copy, head};
use arrow_etl::sink::{Merge, WriteMode};
use serde_json::json;

const ORDERS: &str = "id,customer,amount,paid_on\n1,Ada,19.90,2024-02-28\n2,Grace,5.00,\n3,Edsger,120.50,2024-03-01\n";
/// Grace has paid, and there is a fourth order.
const LATER: &str = "id,customer,amount,paid_on\n2,Grace,5.00,2024-03-02\n4,Barbara,7.25,2024-03-02\n";

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("orders.csv"), ORDERS)?;
    fs::write(path("later.csv"), LATER)?;
    let csv = |name: &str| Place::new("file", json!({ "url": path(name) }), ObjectRef::Whole);
    let orders = ObjectRef::Table("orders".to_owned());
    let warehouse = Place::new("duckdb", json!({ "url": path("warehouse.duckdb") }), orders);
    let by_id = || WriteMode::Upsert(Merge { key: vec!["id".to_owned()], ..Merge::default() });

    for file in ["orders.csv", "later.csv"] {
        let mut load = Job::new(csv(file), warehouse.clone());
        load.mode = by_id();
        // What arrived is compared with what was sent, before it is seen.
        load.verify = Verify::Checksum;
        let loaded = copy(&load, Between::of(&load)?, &Surroundings::default()).await?;
        println!("{file}: {} rows, verified", loaded.rows);
    }
    let (_, rows) = head(&warehouse, 10).await?;
    println!("{}", pretty_format_batches(&rows)?);
    Ok(())
}
