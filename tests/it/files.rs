//! Local files: folders of parts through the conformance suite, and whole copies from and to every format.
//!
//! Single files of every format are among the fixtures of the suite itself.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field};
use arrow_etl::connectors;
use arrow_etl::endpoint::{ObjectRef, OpenRequest};
use arrow_etl::error::Result;
use arrow_etl::job::{Job, Place};
use arrow_etl::run::report::Summary;
use arrow_etl::run::{Between, Surroundings, copy};
use arrow_etl::sink::WriteMode;
use arrow_etl::source::{Scan, SplitGoal};
use arrow_etl::testing::conformance::{self, Fixture, Target};
use arrow_etl::testing::generate;
use async_trait::async_trait;
use futures::TryStreamExt as _;
use serde_json::json;

/// A folder of part files.
#[derive(Debug)]
struct Folder {
    format: &'static str,
}

impl Folder {
    fn is_text(&self) -> bool {
        self.format == "csv"
    }
}

#[async_trait]
impl Fixture for Folder {
    async fn target(&self) -> Result<Target> {
        let folder = tempfile::tempdir()?;
        let url = format!("{}/parts/", folder.path().display());
        let endpoint = connectors::find("file")?.endpoint(&json!({"url": url, "format": self.format}))?;
        Ok(Target::new(Arc::clone(&endpoint), ObjectRef::Whole).keeping(folder))
    }

    fn fields(&self) -> Vec<Field> {
        if self.is_text() {
            // What inference finds again by itself; casts are tested with single files.
            return generate::fields_named(&["bool", "int64", "float64", "text", "date", "timestamp", "timestamptz"]);
        }
        // Parquet and Avro have no interval of months, days and nanoseconds: it becomes text.
        generate::fields().into_iter().filter(|field| field.name() != "interval").collect()
    }

    fn returned(&self, field: &Field) -> DataType {
        match field.data_type() {
            DataType::UInt64 if self.format == "avro" => DataType::Decimal128(20, 0),
            other => other.clone(),
        }
    }

    /// Text without rows says nothing of types.
    fn keeps_empty_columns(&self) -> bool {
        !self.is_text()
    }
}

async fn passes(fixture: Folder) {
    let report = conformance::check(&fixture).await;
    assert!(report.passed(), "{fixture:?}: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_of_parquet() {
    passes(Folder { format: "parquet" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_of_avro() {
    passes(Folder { format: "avro" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_of_csv() {
    passes(Folder { format: "csv" }).await;
}

fn place(folder: &Path, name: &str) -> Place {
    Place::new("file", json!({"url": folder.join(name).to_str().unwrap()}), ObjectRef::Whole)
}

async fn copied(folder: &Path, from: &str, to: &str, mode: WriteMode) -> Result<Summary> {
    let mut job = Job::new(place(folder, from), place(folder, to));
    job.mode = mode;
    job.limits.jobs = Some(2);
    copy(&job, Between::of(&job)?, &Surroundings::default()).await
}

async fn rows(folder: &Path, name: &str) -> RecordBatch {
    let endpoint = connectors::find("file").unwrap().endpoint(&place(folder, name).options).unwrap();
    let request = OpenRequest { objects: vec![ObjectRef::Whole], readers: 1, ..OpenRequest::default() };
    let session = endpoint.open(&request).await.unwrap();
    let source = session.source(&ObjectRef::Whole).unwrap();
    let schema = source.describe().await.unwrap().schema;
    let scan = Scan {
        schema: Arc::clone(&schema),
        filters: Vec::new().into(),
        limit: None,
        batch_rows: 1000,
        batch_bytes: 1 << 20,
    };
    let plan = source.plan(&scan, &SplitGoal::new(1 << 30, 1)).await.unwrap();
    let token = arrow_etl::attempt::Token { run: "r".to_owned(), transfer: 0, sink: 0, epoch: 0 };
    let mut batches = Vec::new();
    for split in &plan.splits {
        let attempt = arrow_etl::attempt::Attempt::new(token.clone(), 0, vec![split.id]);
        batches.extend(source.read(&scan, split, &attempt, None).await.unwrap().try_collect::<Vec<_>>().await.unwrap());
    }
    concat_batches(&schema, &batches).unwrap()
}

/// A file of twenty thousand rows in which some values are NULL, some empty, some hold what needs quotes.
fn write_source(folder: &Path) {
    let mut text = "id,amount,name,day\n".to_owned();
    for id in 0..20_000 {
        let name = match id % 4 {
            0 => String::new(),
            1 => "\"\"".to_owned(),
            2 => format!("\"a, \"\"b\"\" é\n{id}\""),
            _ => format!("name {id}"),
        };
        writeln!(text, "{id},{}.5,{name},2024-01-{:02}", id * 3, id % 28 + 1).unwrap();
    }
    std::fs::write(folder.join("a.csv"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_a_source_and_a_target_of_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_source(folder);
    let first = rows(folder, "a.csv").await;
    let names =
        ["b.jsonl", "c.tsv", "d.jsonl.gz", "e.parquet", "f.jsonl.zst", "g.arrow", "h.csv.gz", "i.arrows", "l.avro"];
    let mut from = "a.csv";
    for to in names.into_iter().chain(["j.ndjson", "k.csv"]) {
        assert_eq!(copied(folder, from, to, WriteMode::Create).await.unwrap().rows, 20_000, "{from} to {to}");
        assert_eq!(rows(folder, to).await.columns(), first.columns(), "{from} to {to}");
        from = to;
    }
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(text("k.csv"), text("a.csv"));
    let left = std::fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0, "something hidden is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_append_twice_doubles_the_rows_of_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_source(folder);
    for to in ["t.csv", "t.tsv.gz", "t.jsonl", "t.parquet", "t.avro", "t.arrow", "t.arrows", "parts/"] {
        for times in 1..=2 {
            copied(folder, "a.csv", to, WriteMode::Append).await.unwrap();
            assert_eq!(rows(folder, to).await.num_rows(), times * 20_000, "{to}");
        }
    }
}
