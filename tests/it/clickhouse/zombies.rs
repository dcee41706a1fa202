//! Two processes of one run: one that was taken for dead, and one that goes on. Each has an endpoint of its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_etl::attempt::{Attempt, Token};
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::sink::{Agreement, Progress, Receipt, Sink, Tasks, WriteMode, WriteRequest};
use arrow_etl::source::TableShape;
use serde_json::json;

use crate::server::{clickhouse, clickhouse_client};

/// The table `t` as another process has it.
fn sink(url: &str) -> Arc<dyn Sink> {
    let endpoint = arrow_etl::connectors::find("clickhouse").unwrap().endpoint(&json!({ "url": url })).unwrap();
    endpoint.sink(&ObjectRef::Table("t".to_owned())).unwrap()
}

/// The row of a task: its number.
fn row(task: u32) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int32, false)]);
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![task as i32]));
    RecordBatch::try_new(Arc::new(schema), vec![ids]).unwrap()
}

/// Writes the row of `task`, whose only split has its number.
async fn write(sink: &dyn Sink, agreement: &Agreement, token: &Token, task: u32) -> Receipt {
    let mut writer = sink.writer(agreement, &Attempt::new(token.clone(), task, vec![task])).await.unwrap();
    let ids = cast(row(task).column(0), agreement.target.field(0).data_type()).unwrap();
    writer.write(RecordBatch::try_new(Arc::clone(&agreement.target), vec![ids]).unwrap()).await.unwrap();
    writer.flush(token).await.unwrap()
}

/// A run of two tasks, that only has to be committed, for each way that is promised to be exactly once; and the rows after it.
async fn scenes() -> Vec<(String, Agreement, Token, [Receipt; 2], &'static str)> {
    let remembers = "engine = MergeTree order by id settings non_replicated_deduplication_window = 100";
    let mut scenes = Vec::new();
    for (mode, engine, expected) in [
        (WriteMode::Create, None, "0 1"),
        (WriteMode::Append, Some(remembers), "0 1 9"),
        (WriteMode::Replace, Some("engine = MergeTree order by id"), "0 1"),
        (WriteMode::Replace, Some("engine = SummingMergeTree order by id"), "0 1"),
    ] {
        let url = clickhouse();
        if let Some(engine) = engine {
            clickhouse_client(&url, &format!("create table t (id Int32) {engine}"));
            clickhouse_client(&url, "insert into t values (9)");
        }
        let token = Token { run: uuid::Uuid::now_v7().simple().to_string(), transfer: 0, sink: 0, epoch: 0 };
        let dead = sink(&url);
        let request = WriteRequest { tasks: Tasks::Many, ..WriteRequest::new(mode) };
        let agreement = dead.agree(&TableShape::of(row(0).schema()), &request).await.unwrap();
        dead.prepare(&agreement, &token).await.unwrap();
        let receipts = [write(&*dead, &agreement, &token, 0).await, write(&*dead, &agreement, &token, 1).await];
        scenes.push((url, agreement, token, receipts, expected));
    }
    scenes
}

/// What is there: the rows, and all tables.
fn there(url: &str) -> (String, String) {
    let rows = clickhouse_client(url, "select id from t order by id");
    (rows.lines().collect::<Vec<_>>().join(" "), clickhouse_client(url, "show tables"))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_commits_at_once_one_is_done() {
    for (url, agreement, token, receipts, expected) in scenes().await {
        let (one, other) = (sink(&url), sink(&url));
        let (here, there_too) =
            tokio::join!(one.commit(&agreement, &token, &receipts), other.commit(&agreement, &token, &receipts));
        assert!(here.is_ok() || there_too.is_ok(), "{here:?} {there_too:?}");
        assert_eq!(sink(&url).progress(&agreement, &token, &receipts).await.unwrap(), Progress::Committed);
        assert_eq!(there(&url), (expected.to_owned(), "etl_commits\nt".to_owned()));
    }
}

/// Rows that another process still brings into the stage that it knew are in none that is published.
#[tokio::test(flavor = "multi_thread")]
async fn the_stage_of_a_run_that_is_gone_on_with_has_another_name() {
    for (url, agreement, token, receipts, expected) in scenes().await {
        let stages = || {
            clickhouse_client(
                &url,
                "select name from system.tables where database = currentDatabase() and comment like 'etl: staging %' and length(name) < 70 order by name",
            )
        };
        let known = stages();
        let next = sink(&url);
        assert_eq!(next.progress(&agreement, &token, &receipts).await.unwrap(), Progress::Kept(receipts.to_vec()));
        assert_ne!(stages(), known);
        next.prepare(&agreement, &token).await.unwrap();
        next.commit(&agreement, &token, &receipts).await.unwrap();
        assert_eq!(there(&url), (expected.to_owned(), "etl_commits\nt".to_owned()));
    }
}
