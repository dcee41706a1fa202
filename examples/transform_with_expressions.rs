//! Rows filtered, computed and renamed on their way, and a sum over groups; expressions are DataFusion's SQL.
//!
//! `cargo run --example transform_with_expressions`
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use arrow::util::pretty::pretty_format_batches;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::job::{Job, Place, Transform};
use arrow_etl::run::{Between, Surroundings, copy, head};
use serde_json::json;

const ELEMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/elements.csv");

#[tokio::main]
async fn main() -> Result<()> {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    // Row by row, in this order whatever the order here: filter, set, cast, rename, select.
    show(Transform {
        filter: Some("category = 'noble gas' AND melts_celsius IS NOT NULL".to_owned()),
        set: pairs(&[
            ("kelvin", "melts_celsius + CAST(273.15 AS decimal(8,2))"),
            ("century", "(discovered + 99) / 100"),
        ]),
        // A column of the file itself is parsed as the cast says: these numbers have two digits behind the point or fewer.
        cast: pairs(&[("melts_celsius", "decimal(8,2)"), ("century", "smallint")]),
        rename: pairs(&[("symbol", "element")]),
        select: ["element", "name", "kelvin", "century"].map(str::to_owned).to_vec(),
        ..Transform::default()
    })
    .await?;
    // All rows together.
    let sql = "SELECT category, count(*) AS elements, min(CAST(melts_celsius AS decimal(8,2))) AS coldest FROM src
               GROUP BY category ORDER BY elements DESC, category";
    show(Transform { sql: Some(sql.to_owned()), limit: Some(4), ..Transform::default() }).await
}

async fn show(transform: Transform) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |url: &str| Place::new("file", json!({ "url": url }), ObjectRef::Whole);
    let target = file(&folder.path().join("elements.arrow").display().to_string());
    let mut job = Job::new(file(ELEMENTS), target.clone());
    job.transform = transform;
    copy(&job, Between::of(&job)?, &Surroundings::default()).await?;
    let (_, rows) = head(&target, 100).await?;
    println!("{}", pretty_format_batches(&rows)?);
    Ok(())
}
