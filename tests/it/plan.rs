//! Plans: how many reads they hold open, what they refuse, how they travel, and where their errors point.

mod codec;
mod columns;
mod pushdown;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::{Error, ErrorKind};
use arrow_etl::job::{Job, Place, Toggle, Transform};
use arrow_etl::run::report::Summary;
use arrow_etl::run::{Between, Surroundings, copy, plan};
use arrow_etl::testing::memory::Memory;

use crate::engine::{self, between, sorted};

/// Long past what any of these copies takes: a plan that waits for itself fails here instead of for ever.
const HANGS: Duration = Duration::from_mins(5);

fn job(transform: Transform) -> Job {
    Job { transform, ..engine::job() }
}

fn sql(text: &str) -> Transform {
    Transform { sql: Some(text.to_owned()), ..Transform::default() }
}

async fn run(job: &Job, source: &Memory, target: &Memory) -> Result<Summary, Error> {
    tokio::time::timeout(HANGS, engine::run(job, source, target)).await.expect("the copy waits for itself")
}

/// A table of `rows` rows of about a kilobyte each: id counts up, ref is the id of another row, pad is long.
fn wide(rows: i64, splits: usize) -> Memory {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let refs: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|id| (id * 7 + 3) % rows)));
    let pads: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|id| format!("{id:01000}"))));
    let memory = Memory::new();
    memory.insert("src", RecordBatch::try_from_iter([("id", ids), ("ref", refs), ("pad", pads)]).unwrap(), splits);
    memory
}

fn ids(target: &Memory) -> Vec<i64> {
    engine::integers(target, "id")
}

/// Queries over 12,000 rows, and how many rows each gives.
const QUERIES: [(&str, u64); 9] = [
    ("select a.id, b.pad from src a join src b on a.id = b.ref", 12_000),
    ("select a.id, b.pad from src a left join src b on a.id = b.ref join src c on b.id = c.ref", 12_000),
    ("select a.id from (select id from src where id < 5) a join src b on b.ref < a.id", 10),
    ("select id, pad from src union all select ref, pad from src", 24_000),
    ("select a.id from src a join src b on a.id = b.ref union all select id from src", 24_000),
    ("select id, pad from src order by ref", 12_000),
    ("select id from (select id, ref from src union all select ref, id from src) order by ref, id", 24_000),
    ("select ref as id, count(*) as n, max(pad) as pad from src group by ref", 12_000),
    ("select id, pad from src where id in (select ref from src where ref % 2 = 0) limit 100", 100),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_query_opens_more_reads_than_there_are_channels() {
    // Splits of 3 MB over lanes of 2 MB: a reader that nobody drains stops in the middle of its split.
    let source = wide(12_000, 4);
    source.limit_readers(4);
    for (query, rows) in QUERIES {
        let target = Memory::new();
        let mut job = job(sql(query));
        (job.limits.jobs, job.limits.memory_bytes) = (Some(4), Some(64 << 20));
        let summary = run(&job, &source, &target).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        assert_eq!(summary.rows, rows, "{query}");
        assert!(target.counts().peak_writers <= 4, "{query}: {:?}", target.counts());
    }
    let counts = source.counts();
    assert_eq!((counts.peak_reads, counts.open_reads), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_fewer_readers_than_channels_is_not_asked_for_more() {
    let everything = Transform::default();
    let limited = Transform { limit: Some(11_000), ..Transform::default() };
    for transform in [everything, limited, sql(QUERIES[0].0), sql(QUERIES[3].0), sql(QUERIES[5].0)] {
        let (source, target) = (wide(12_000, 12), Memory::new());
        source.limit_readers(2);
        let mut job = job(transform);
        (job.limits.jobs, job.limits.memory_bytes) = (Some(6), Some(64 << 20));
        let summary =
            run(&job, &source, &target).await.unwrap_or_else(|error| panic!("{:?}: {error:?}", job.transform));
        assert!(summary.rows >= 11_000, "{:?}", job.transform);
        assert!(source.counts().peak_reads <= 2);
        if job.transform.limit.is_some() {
            assert_eq!(ids(&target), (0..11_000).collect::<Vec<_>>());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_the_user_only_reads() {
    let (source, target) = (wide(10, 1), Memory::new());
    for statement in [
        "create table x as select 1",
        "create external table x (a int) stored as csv location '/there/is/no/such/folder/'",
        "drop table src",
        "set datafusion.execution.batch_size = 1",
        "insert into src select * from src",
        "copy src to '/there/is/no/such/folder/x.csv' stored as csv",
        "explain select * from src",
        "describe src",
    ] {
        let error = run(&job(sql(statement)), &source, &target).await.expect_err(statement);
        assert_eq!(error.kind(), ErrorKind::Usage, "{statement}: {error:?}");
        assert_eq!(
            error.to_string(),
            "option --sql: only a SELECT can transform rows, and its table is src",
            "{statement}"
        );
    }
    let error = run(&job(sql("select * from orders")), &source, &target).await.unwrap_err();
    assert_eq!(error.to_string(), "option --sql: there is no table \"orders\"");
    assert_eq!(error.hint(), Some("the table is src"));
    run(&job(sql("with a as (select id from src) select id + 1 as id from a")), &source, &target).await.unwrap();
    assert_eq!(ids(&target), (1..11).collect::<Vec<_>>());
}

/// The places of an error, from the outside inwards.
fn places(error: &Error) -> Vec<String> {
    error.frames().iter().rev().map(|frame| format!("{} {}", frame.what, frame.which)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_row_of_its_split() {
    // The row with id 7777 is the 278th of the last of four splits; batches and filters lie before it.
    let (source, target) = (wide(10_000, 4), Memory::new());
    let bad = "9223372036854775000 + case when id = 7777 then 9999 else 0 end";
    let mut transform =
        Transform { filter: Some("id % 7 = 0".to_owned()), pushdown: Toggle::Off, ..Transform::default() };
    transform.set = vec![("more".to_owned(), bad.to_owned())];
    let error = run(&job(transform), &source, &target).await.unwrap_err();
    let places = places(&error);
    assert_eq!(places[..2], ["split 3", "row 278"], "{error}");
    assert!(places[2].starts_with("option --set more") && places[3].starts_with("expression "), "{error}");

    let divided = Some("1 / (id - 7777) > 0".to_owned());
    let divided = Transform { filter: divided, pushdown: Toggle::Off, ..Transform::default() };
    let error = run(&job(divided), &source, &target).await.unwrap_err();
    assert!(error.to_string().starts_with("split 3: row 278: option --where: expression "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_each_option_that_it_may_come_from() {
    let (source, target) = (wide(10, 2), Memory::new());
    let set = |columns: [(&str, &str); 2]| {
        let set = columns.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Transform { set, ..Transform::default() }
    };
    let divided = Some("1 / (id - 7) > 0".to_owned());
    let filtered = Transform { filter: divided, pushdown: Toggle::Off, ..sql("select id from src") };
    for (transform, option) in [
        (sql("select sum(9223372036854775000 + id) as id from src"), "--sql"),
        (sql("select ref % 2 as odd, sum(9223372036854775000 + id) as id from src group by ref % 2"), "--sql"),
        (sql("select id from src order by 9223372036854775800 + id"), "--sql"),
        (set([("big", "9223372036854775000 + id"), ("total", "sum(big) over ()")]), "--set big, --set total"),
        (set([("a", "9223372036854775800 + id - 1"), ("b", "9223372036854775800 + id - 2")]), "--set a, --set b"),
        (filtered, "--sql, --where"),
    ] {
        let shown = format!("{transform:?}");
        let error = run(&job(transform), &source, &target).await.expect_err(&shown);
        assert_eq!(error.kind(), ErrorKind::Value, "{shown}: {error:?}");
        assert!(places(&error).contains(&format!("option {option}")), "{shown}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_is_named_with_target_split_row_and_column() {
    for limit in [None, Some(9_000)] {
        let (source, target) = (wide(10_000, 4), Memory::new());
        let narrow: ArrayRef = Arc::new(arrow::array::Int8Array::from(Vec::<i8>::new()));
        target.insert("dst", RecordBatch::try_from_iter_with_nullable([("id", narrow, true)]).unwrap(), 1);
        let mut transform = sql("select case when id = 7777 then 300 else 1 end as id from src where id % 7 = 0");
        (transform.limit, transform.pushdown) = (limit, Toggle::Off);
        let error = run(&job(transform), &source, &target).await.unwrap_err();
        assert_eq!(places(&error), ["target dst", "split 3", "row 278", "column id"], "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_s_size_is_that_of_the_rows_that_are_wanted() {
    let (source, target) = (wide(1_000, 4), Memory::new());
    let all = plan(&job(Transform::default()), between(&source, &target)).await.unwrap();
    let some = Transform { limit: Some(100), ..Transform::default() };
    let some = plan(&job(some), between(&source, &target)).await.unwrap();
    assert_eq!((all.rows, some.rows), (Some(1_000), Some(100)));
    assert_eq!(some.bytes, all.bytes.map(|bytes| bytes / 10));
    let none = Transform { filter: Some("id > 7".to_owned()), ..Transform::default() };
    let none = plan(&job(none), between(&source, &target)).await.unwrap();
    assert_eq!((none.rows, none.bytes), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cast_of_a_column_that_is_set_is_not_one_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    std::fs::write(&file, "id,code\n1,x1\n2,x2\n").unwrap();
    let options = serde_json::json!({ "url": file.display().to_string() });
    let mut job = job(Transform {
        set: vec![("code".to_owned(), "id * 10".to_owned())],
        cast: vec![("code".to_owned(), "int".to_owned())],
        ..Transform::default()
    });
    // As a number `code` cannot be read from the file, and need not be.
    job.source = Place::new("file", options, ObjectRef::Whole);
    job.target = Place::new("null", serde_json::json!({ "url": "null:" }), ObjectRef::Whole);
    let source = Between::of(&job).unwrap().source;
    let target = Memory::new();
    job.target = Place::new("memory", serde_json::Value::Null, ObjectRef::Table("dst".to_owned()));
    copy(&job, Between { source, target: target.endpoint(), also: Vec::new() }, &Surroundings::default())
        .await
        .unwrap();
    let codes = target.table("dst").unwrap().rows.column_by_name("code").unwrap().clone();
    assert_eq!(codes.as_primitive::<arrow::datatypes::Int32Type>().values(), &[10, 20]);
}
