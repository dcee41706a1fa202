//! Local files through the conformance suite, one fixture per format and compression.

use std::sync::Arc;

use arrow::datatypes::Field;
use arrow_etl::connectors;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::Result;
use arrow_etl::testing::conformance::{self, Fixture, Target};
use arrow_etl::testing::generate;
use async_trait::async_trait;
use serde_json::json;

/// A file, or a folder where the name ends in a slash.
#[derive(Debug)]
struct Written {
    name: &'static str,
    format: Option<&'static str>,
}

impl Written {
    fn file(name: &'static str) -> Self {
        Self { name, format: None }
    }

    fn is_text(&self) -> bool {
        let name = self.format.unwrap_or(self.name);
        ["csv", "tsv", "jsonl"].iter().any(|text| name.contains(text))
    }
}

#[async_trait]
impl Fixture for Written {
    async fn target(&self) -> Result<Target> {
        let folder = tempfile::tempdir()?;
        let url = format!("{}/{}", folder.path().display(), self.name);
        let mut options = json!({"url": url});
        if let Some(format) = self.format {
            options["format"] = json!(format);
        }
        let endpoint = connectors::find("file")?.endpoint(&options)?;
        Ok(Target::new(Arc::clone(&endpoint), ObjectRef::Whole).keeping(folder))
    }

    fn fields(&self) -> Vec<Field> {
        if self.is_text() {
            // What inference finds again by itself; casts are tested with the formats.
            return generate::fields_named(&["bool", "int64", "float64", "text", "date", "timestamp", "timestamptz"]);
        }
        // Parquet has no interval of months, days and nanoseconds: it becomes text.
        let held = |field: &Field| !self.name.contains("parquet") || field.name() != "interval";
        generate::fields().into_iter().filter(held).collect()
    }

    /// Text without rows says nothing of types.
    fn keeps_empty_columns(&self) -> bool {
        !self.is_text()
    }
}

async fn passes(fixture: Written) {
    let report = conformance::check(&fixture).await;
    assert!(report.passed(), "{fixture:?}: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn csv() {
    passes(Written::file("t.csv")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_gz() {
    passes(Written::file("t.csv.gz")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tsv_zst() {
    passes(Written::file("t.tsv.zst")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jsonl() {
    passes(Written::file("t.jsonl")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet() {
    passes(Written::file("t.parquet")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_file() {
    passes(Written::file("t.arrow")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_stream() {
    passes(Written::file("t.arrows")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_of_parquet() {
    passes(Written::file("parquet-parts/")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_of_csv() {
    passes(Written { name: "parts/", format: Some("csv") }).await;
}
