//! A table of MySQL or MariaDB into PostgreSQL, with what becomes of each column.
//!
//! `MYSQL_URL=mysql://… PGHOST=… PGDATABASE=… cargo run --example mysql_to_postgres`: what is left out is found as `mysql` and
//! `psql` find it. The table `elements` of both databases is replaced.
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use arrow::util::pretty::pretty_format_batches;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::job::{Job, Place};
use arrow_etl::proof::Verify;
use arrow_etl::run::{Between, Surroundings, copy, head, plan};
use arrow_etl::sink::WriteMode;
use serde_json::json;

const ELEMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/elements.csv");

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("MYSQL_URL").unwrap_or_else(|_| "mysql:///test".to_owned());
    let elements = ObjectRef::Table("elements".to_owned());
    let csv = Place::new("file", json!({ "url": ELEMENTS }), ObjectRef::Whole);
    let mysql = Place::new("mysql", json!({ "url": url }), elements.clone());
    let postgres = Place::new("postgres", json!({ "url": "postgres:" }), elements);

    let mut load = Job::new(csv, mysql.clone());
    load.mode = WriteMode::Replace;
    println!("{} elements in MySQL", copy(&load, Between::of(&load)?, &Surroundings::default()).await?.rows);

    let mut job = Job::new(mysql, postgres.clone());
    job.mode = WriteMode::Replace;
    job.verify = Verify::Checksum;
    for column in plan(&job, Between::of(&job)?).await?.target.columns {
        let (from, to) = (column.incoming_type.unwrap_or_default(), column.plan.target_type);
        println!("{}: {from} becomes {to} ({:?})", column.plan.target.unwrap_or_default(), column.plan.fate);
    }
    println!("{} elements in PostgreSQL", copy(&job, Between::of(&job)?, &Surroundings::default()).await?.rows);

    let (_, rows) = head(&postgres, 3).await?;
    println!("{}", pretty_format_batches(&rows)?);
    Ok(())
}
