//! A bundled file into a table of PostgreSQL, and that table into another one, which gets the same types and key.
//!
//! `PGHOST=… PGDATABASE=… cargo run --example postgres_to_postgres`: the server is found as `psql` finds it. The
//! tables `moons` and `moons_copy` of that database are replaced.
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use arrow::util::pretty::pretty_format_batches;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::job::{Job, Place};
use arrow_etl::run::{Between, Surroundings, copy, head, plan};
use arrow_etl::sink::WriteMode;
use serde_json::json;

const MOONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/moons.csv");

#[tokio::main]
async fn main() -> Result<()> {
    let moons = Place::new("file", json!({ "url": MOONS }), ObjectRef::Whole);
    // An empty URL leaves host, port, user and database to the environment.
    let table = |name: &str| Place::new("postgres", json!({ "url": "postgres:" }), ObjectRef::Table(name.to_owned()));

    let mut load = Job::new(moons, table("moons"));
    load.mode = WriteMode::Replace;
    let loaded = copy(&load, Between::of(&load)?, &Surroundings::default()).await?;
    println!("{} moons loaded", loaded.rows);

    let mut again = Job::new(table("moons"), table("moons_copy"));
    again.mode = WriteMode::Replace;
    for column in plan(&again, Between::of(&again)?).await?.target.columns {
        let name = column.plan.target.unwrap_or_default();
        println!("{name}: {} ({:?})", column.plan.target_type, column.plan.fate);
    }
    let copied = copy(&again, Between::of(&again)?, &Surroundings::default()).await?;
    println!("{} moons copied", copied.rows);

    let (_, rows) = head(&table("moons_copy"), 3).await?;
    println!("{}", pretty_format_batches(&rows)?);
    Ok(())
}
