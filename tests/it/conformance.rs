//! Every connector of this build through the one suite. A new connector adds its fixture and one line.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema};
use arrow_etl::connectors;
use arrow_etl::endpoint::{Endpoint, ObjectRef};
use arrow_etl::error::Result;
use arrow_etl::run::state::SqliteStateLog;
use arrow_etl::sink::WriteMode;
use arrow_etl::state::StateLog;
use arrow_etl::testing::conformance::{self, Fixture, Target};
use arrow_etl::testing::generate::{self, Limits};
use arrow_etl::testing::memory::Memory;
use async_trait::async_trait;
use serde_json::{Value as Json, json};

fn endpoint(scheme: &str, options: &Json) -> Result<Arc<dyn Endpoint>> {
    connectors::find(scheme)?.endpoint(options)
}

fn table() -> ObjectRef {
    ObjectRef::Table("conformance".to_owned())
}

async fn passes(fixture: &dyn Fixture) {
    let report = conformance::check(fixture).await;
    assert!(report.passed(), "{fixture:?}: {report}");
}

#[derive(Debug)]
struct InMemory;

#[async_trait]
impl Fixture for InMemory {
    async fn target(&self) -> Result<Target> {
        Ok(Target::new(Memory::new().endpoint(), table()))
    }
    fn modes(&self) -> Vec<WriteMode> {
        conformance::modes_by_key()
    }

    fn fields(&self) -> Vec<Field> {
        generate::fields()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    passes(&InMemory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let report = conformance::check_state_log(|| async {
        let log: Arc<dyn StateLog> = Arc::new(SqliteStateLog::open(&path).await?);
        Ok(log)
    })
    .await;
    assert!(report.passed(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn state_log_in_postgres() {
    let url = crate::server::postgres();
    for object in [ObjectRef::Whole, ObjectRef::Table("\"Runs' of all\"".to_owned())] {
        let report = conformance::check_state_log(|| async {
            endpoint("postgres", &json!({"url": url}))?.state_log(&object).await
        })
        .await;
        assert!(report.passed(), "{object}: {report}");
    }
}

/// `null:` keeps nothing: only the calls are checked.
#[derive(Debug)]
struct Null;

#[async_trait]
impl Fixture for Null {
    async fn target(&self) -> Result<Target> {
        Target::opened_by(|| endpoint("null", &json!({"url": "null:"})), ObjectRef::Whole)
    }
    fn reader(&self, _target: &Target, _schema: &Schema) -> Result<Option<Arc<dyn Endpoint>>> {
        Ok(None)
    }
    fn fields(&self) -> Vec<Field> {
        generate::fields()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn null() {
    passes(&Null).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generator() {
    for url in ["gen:?rows=30000", "gen:tpch.supplier?sf=3"] {
        let endpoint = endpoint("gen", &json!({"url": url})).unwrap();
        let report = conformance::check_source(endpoint, ObjectRef::Whole).await;
        assert!(report.passed(), "{url}: {report}");
    }
}

/// A table of a database of its own.
#[derive(Debug)]
struct Postgres {
    database: fn() -> String,
}

#[async_trait]
impl Fixture for Postgres {
    async fn target(&self) -> Result<Target> {
        let url = (self.database)();
        Target::opened_by(move || endpoint("postgres", &json!({"url": url})), table())
    }

    async fn debris(&self, target: &Target) -> Result<Vec<String>> {
        // The table of marks belongs to no run.
        let sql = "select schemaname || '.' || tablename from pg_tables \
                   where schemaname not in ('pg_catalog', 'information_schema', 'etl') and tablename <> 'conformance'";
        Ok(crate::server::psql(&target.endpoint.label(), sql).lines().map(str::to_owned).collect())
    }

    fn modes(&self) -> Vec<WriteMode> {
        conformance::modes_by_key()
    }

    fn fields(&self) -> Vec<Field> {
        generate::fields()
    }

    fn limits(&self) -> Limits {
        Limits { nul: false, years: (-4712, 200_000), ..Limits::default() }
    }

    fn returned(&self, field: &Field) -> DataType {
        match field.data_type() {
            DataType::Int8 | DataType::UInt8 => DataType::Int16,
            DataType::UInt16 => DataType::Int32,
            DataType::UInt32 => DataType::Int64,
            DataType::UInt64 => DataType::Decimal128(20, 0),
            DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            other => other.clone(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    passes(&Postgres { database: crate::server::postgres }).await;
}

#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn older_postgres() {
    passes(&Postgres { database: || crate::server::older_postgres("10") }).await;
}

/// A table of a database of its own, in `MySQL` or `MariaDB`.
#[derive(Debug)]
struct Mysql {
    database: fn() -> String,
    /// The types for which it has no place, beside those that neither has.
    lacks: &'static [&'static str],
    negative_zero: bool,
}

#[async_trait]
impl Fixture for Mysql {
    async fn target(&self) -> Result<Target> {
        let url = (self.database)();
        Target::opened_by(move || endpoint("mysql", &json!({"url": url})), table())
    }

    async fn debris(&self, target: &Target) -> Result<Vec<String>> {
        // The table of marks belongs to no run.
        let tables = crate::server::mariadb_client(&target.endpoint.label(), "show tables");
        let own = ["conformance", "etl_commits"];
        Ok(tables.lines().filter(|name| !own.contains(name)).map(str::to_owned).collect())
    }

    fn modes(&self) -> Vec<WriteMode> {
        conformance::modes_by_key()
    }

    fn fields(&self) -> Vec<Field> {
        generate::fields_without(&[BOTH_LACK, self.lacks].concat())
    }

    fn limits(&self) -> Limits {
        Limits { nan: false, infinity: false, negative_zero: self.negative_zero, ..Limits::default() }
    }

    fn returned(&self, field: &Field) -> DataType {
        match field.data_type() {
            DataType::Boolean => DataType::Int8,
            other => other.clone(),
        }
    }

    fn widest(&self) -> usize {
        // A page of InnoDB holds some two hundred texts of a row.
        300
    }

    fn longest(&self) -> usize {
        // More than one packet; the servers of the tests take 64 MiB at once.
        20 << 20
    }
}

/// What neither `MySQL` nor `MariaDB` has a place for.
const BOTH_LACK: &[&str] = &[
    "decimal_38_38",
    "decimal_76_0",
    "decimal_76_38",
    "timestamptz",
    "duration",
    "interval",
    "int32_list",
    "text_list",
];

#[tokio::test(flavor = "multi_thread")]
async fn mysql() {
    passes(&Mysql { database: crate::server::mysql, lacks: &["uuid", "json"], negative_zero: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    passes(&Mysql { database: crate::server::mariadb, lacks: &[], negative_zero: false }).await;
}

/// One file of one format; `extension` says which.
#[derive(Debug)]
struct Files {
    extension: &'static str,
    /// The types for which the format has no place.
    lacks: &'static [&'static str],
    /// Whether the format keeps types; in the others casts say how text is parsed.
    typed: bool,
    nan: bool,
}

impl Files {
    fn endpoint(&self, target: &Target, casts: Json) -> Result<Arc<dyn Endpoint>> {
        endpoint("file", &json!({"url": target.endpoint.label(), "casts": casts}))
    }
}

#[async_trait]
impl Fixture for Files {
    async fn target(&self) -> Result<Target> {
        let folder = tempfile::tempdir()?;
        let url = folder.path().join(format!("conformance.{}", self.extension)).display().to_string();
        Ok(Target::opened_by(move || endpoint("file", &json!({"url": url})), ObjectRef::Whole)?.keeping(folder))
    }
    fn reader(&self, target: &Target, schema: &Schema) -> Result<Option<Arc<dyn Endpoint>>> {
        if self.typed {
            return Ok(Some(Arc::clone(&target.endpoint)));
        }
        let casts = schema.fields().iter().map(|field| (field.name().clone(), Json::from(cast_of(field))));
        self.endpoint(target, Json::Object(casts.collect())).map(Some)
    }
    fn fields(&self) -> Vec<Field> {
        generate::fields_without(self.lacks)
    }
    fn returned(&self, field: &Field) -> DataType {
        match field.data_type() {
            DataType::UInt64 if self.extension == "avro" => DataType::Decimal128(20, 0),
            other => other.clone(),
        }
    }
    fn limits(&self) -> Limits {
        Limits { nan: self.nan, infinity: self.nan, ..Limits::default() }
    }
    fn longest(&self) -> usize {
        // The compressed ones take the same way but for the compression, which takes its time in a debug build.
        if self.extension.contains('.') { 5 << 20 } else { 50 << 20 }
    }
    fn keeps_empty_columns(&self) -> bool {
        !self.extension.starts_with("jsonl")
    }
}

/// The word of `--cast` for a type.
fn cast_of(field: &Field) -> String {
    match field.data_type() {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Binary => "bytea".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::FixedSizeBinary(16) => "uuid".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        _ => "text".to_owned(),
    }
}

/// What is not asked back of formats of text.
const TEXT_LACKS: &[&str] = &[
    "int8",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "decimal_5_2",
    "decimal_76_0",
    "decimal_76_38",
    "duration",
    "interval",
    "json",
    "int32_list",
    "text_list",
];

#[tokio::test(flavor = "multi_thread")]
async fn csv() {
    for extension in ["csv", "tsv", "csv.gz", "csv.zst"] {
        passes(&Files { extension, lacks: TEXT_LACKS, typed: false, nan: true }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines() {
    for extension in ["jsonl", "jsonl.gz", "jsonl.zst"] {
        passes(&Files { extension, lacks: TEXT_LACKS, typed: false, nan: false }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn avro() {
    passes(&Files { extension: "avro", lacks: &["interval"], typed: true, nan: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet() {
    passes(&Files { extension: "parquet", lacks: &["duration", "interval"], typed: true, nan: true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_ipc() {
    for extension in ["arrow", "arrows"] {
        passes(&Files { extension, lacks: &[], typed: true, nan: true }).await;
    }
}

/// A table of a database of its own.
#[derive(Debug)]
struct Clickhouse;

#[async_trait]
impl Fixture for Clickhouse {
    async fn target(&self) -> Result<Target> {
        let url = crate::server::clickhouse();
        Target::opened_by(move || endpoint("clickhouse", &json!({"url": url})), table())
    }

    async fn debris(&self, target: &Target) -> Result<Vec<String>> {
        // The table of marks belongs to no run.
        let tables = crate::server::clickhouse_client(&target.endpoint.label(), "show tables");
        let own = ["conformance", "etl_commits"];
        Ok(tables.lines().filter(|name| !own.contains(name)).map(str::to_owned).collect())
    }

    fn fields(&self) -> Vec<Field> {
        // An Array takes no NULL, and an interval of months, days and time is text.
        generate::fields_without(&["int32_list", "text_list", "interval"])
    }

    fn limits(&self) -> Limits {
        Limits { years: (1900, 2299), ..Limits::default() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse() {
    passes(&Clickhouse).await;
}
