//! The engine between two connectors in memory: channels, order, expressions, failures.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray as _, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::{Error, ErrorKind};
use arrow_etl::job::{Job, Place, Speed, Toggle};
use arrow_etl::run::report::Summary;
use arrow_etl::run::{Between, Surroundings, copy, plan};
use arrow_etl::sink::WriteMode;
use arrow_etl::testing::faults::{Fault, Faults, Point};
use arrow_etl::testing::memory::Memory;

pub(crate) fn job() -> Job {
    let place = |name: &str| Place::new("memory", serde_json::Value::Null, ObjectRef::Table(name.to_owned()));
    Job::new(place("src"), place("dst"))
}

pub(crate) fn between(source: &Memory, target: &Memory) -> Between {
    Between { source: source.endpoint(), target: target.endpoint(), also: Vec::new() }
}

pub(crate) async fn run(job: &Job, source: &Memory, target: &Memory) -> Result<Summary, Error> {
    copy(job, between(source, target), &Surroundings::default()).await
}

/// A table of `rows` rows: id counts up, name repeats, amount is half of id.
fn source(rows: i64, splits: usize) -> Memory {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|id| format!("n{}", id % 10))));
    let amounts: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(|id| id as f64 / 2.0)));
    let memory = Memory::new();
    memory.insert(
        "src",
        RecordBatch::try_from_iter([("id", ids), ("name", names), ("amount", amounts)]).unwrap(),
        splits,
    );
    memory
}

pub(crate) fn integers(target: &Memory, column: &str) -> Vec<i64> {
    let rows = target.table("dst").expect("the target was made").rows;
    rows.column_by_name(column).expect("the column is there").as_primitive::<Int64Type>().values().to_vec()
}

pub(crate) fn sorted(mut values: Vec<i64>) -> Vec<i64> {
    values.sort_unstable();
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_splits_and_two_channels_open_two_reads() {
    let (source, target) = (source(20_000, 10_000), Memory::new());
    let mut job = job();
    job.limits.jobs = Some(2);
    let summary = run(&job, &source, &target).await.unwrap();
    assert_eq!(summary.rows, 20_000);
    assert_eq!(sorted(integers(&target, "id")), (0..20_000).collect::<Vec<_>>());
    let counts = source.counts();
    assert_eq!((counts.sessions, counts.reads, counts.open_reads), (1, 10_000, 0));
    assert!(counts.peak_reads <= 2, "{} reads at once", counts.peak_reads);
    assert!(target.counts().peak_writers <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_channels_in_groups_move_every_row_once() {
    let (source, target) = (source(5_000, 300), Memory::new());
    let mut job = job();
    job.limits.jobs = Some(17);
    let summary = run(&job, &source, &target).await.unwrap();
    assert_eq!(summary.channels, 17);
    assert_eq!(sorted(integers(&target, "id")), (0..5_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_source_makes_an_empty_target() {
    let (source, target) = (source(0, 1), Memory::new());
    assert_eq!(run(&job(), &source, &target).await.unwrap().rows, 0);
    assert_eq!(target.table("dst").unwrap().rows.num_rows(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_apply_in_their_order() {
    let (source, target) = (source(100, 7), Memory::new());
    let mut job = job();
    let transform = &mut job.transform;
    transform.filter = Some("id >= 90 and name <> 'n5'".to_owned());
    transform.set = vec![("id".to_owned(), "id * 2".to_owned()), ("more".to_owned(), "id + 1".to_owned())];
    transform.cast = vec![("amount".to_owned(), "text".to_owned())];
    transform.rename = vec![("name".to_owned(), "Label".to_owned())];
    transform.select = ["more", "id", "Label", "amount"].map(str::to_owned).to_vec();
    transform.drop = vec!["Label".to_owned()];
    run(&job, &source, &target).await.unwrap();
    let table = target.table("dst").unwrap();
    let names: Vec<&str> = table.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["more", "id", "amount"]);
    let kept: Vec<i64> = (90..100).filter(|id| id % 10 != 5).collect();
    assert_eq!(sorted(integers(&target, "id")), kept.iter().map(|id| id * 2).collect::<Vec<_>>());
    assert_eq!(sorted(integers(&target, "more")), kept.iter().map(|id| id * 2 + 1).collect::<Vec<_>>());
    assert!(
        table.rows.column_by_name("amount").unwrap().as_string::<i32>().iter().flatten().any(|text| text == "47.0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grouping_query_runs_as_one_plan() {
    let (source, target) = (source(1_000, 20), Memory::new());
    let mut job = job();
    job.limits.jobs = Some(3);
    job.transform.sql = Some("select name, count(*) as n, sum(id) as total from src group by name".to_owned());
    assert_eq!(run(&job, &source, &target).await.unwrap().rows, 10);
    assert_eq!(integers(&target, "n"), vec![100; 10]);
    assert_eq!(integers(&target, "total").iter().sum::<i64>(), (0..1_000).sum::<i64>());
    assert!(source.counts().peak_reads <= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_join_reads_each_side_once() {
    let (source, target) = (source(50, 5), Memory::new());
    let mut job = job();
    job.transform.sql = Some("select a.id as id, b.amount from src a join src b on a.id = b.id + 1".to_owned());
    assert_eq!(run(&job, &source, &target).await.unwrap().rows, 49);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_takes_the_first_rows_in_order_with_and_without_pushdown() {
    for pushdown in [Toggle::On, Toggle::Off] {
        let (source, target) = (source(1_000, 10), Memory::new());
        let mut job = job();
        job.transform.pushdown = pushdown;
        job.transform.limit = Some(250);
        assert_eq!(run(&job, &source, &target).await.unwrap().rows, 250);
        assert_eq!(integers(&target, "id"), (0..250).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_keep_the_same_rows_with_and_without_pushdown() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, 1.5, f64::NAN, f64::INFINITY]));
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5));
    for filter in ["v = 0.0", "v > 1", "v <> v", "flag", "not flag", "flag is null", "id in (1, 3) or v = 1.5"] {
        let mut answers = Vec::new();
        for pushdown in [Toggle::On, Toggle::Off] {
            let (source, target) = (Memory::new(), Memory::new());
            let columns = [("id", Arc::clone(&ids)), ("v", Arc::clone(&values)), ("flag", Arc::clone(&flags))];
            source.insert(
                "src",
                RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap(),
                2,
            );
            let mut job = job();
            job.transform.filter = Some(filter.to_owned());
            job.transform.pushdown = pushdown;
            run(&job, &source, &target).await.unwrap();
            answers.push(sorted(integers(&target, "id")));
        }
        assert_eq!(answers[0], answers[1], "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_column_names_those_there_are() {
    let (source, target) = (source(1, 1), Memory::new());
    for expression in ["amonut > 1", "nope(id) = 1", "id >"] {
        let mut job = job();
        job.transform.filter = Some(expression.to_owned());
        let error = run(&job, &source, &target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{expression}: {error:?}");
        assert!(error.to_string().contains("--where"), "{error}");
    }
    let mut job = job();
    job.transform.filter = Some("amonut > 1".to_owned());
    let error = run(&job, &source, &target).await.unwrap_err();
    assert!(format!("{error} {:?}", error.hint()).contains("amount"), "{error:?} {:?}", error.hint());
    assert!(target.table("dst").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn overflow_and_lossy_casts_are_errors_and_nothing_lands() {
    for (name, expression) in [
        ("x", "9223372036854775807 - id + 5"),
        ("x", "cast(amount as bigint)"),
        ("x", "9223372036854775800 * (id + 2)"),
        ("x", "1 / (id - 7)"),
    ] {
        let (source, target) = (source(100, 3), Memory::new());
        let mut job = job();
        job.transform.set = vec![(name.to_owned(), expression.to_owned())];
        let error = run(&job, &source, &target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value, "{expression}: {error:?}");
        assert!(target.table("dst").is_none(), "{expression}");
        assert_eq!(target.staged(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_append_twice_doubles_the_rows() {
    let (source, target) = (source(100, 4), Memory::new());
    let mut job = job();
    job.mode = WriteMode::Append;
    run(&job, &source, &target).await.unwrap();
    run(&job, &source, &target).await.unwrap();
    assert_eq!(target.table("dst").unwrap().rows.num_rows(), 200);
    assert_eq!(target.counts().commits, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_anywhere_leaves_nothing_behind() {
    let source_points = [Point::Open, Point::Describe, Point::Plan, Point::Read, Point::Batch, Point::Check];
    let target_points = [Point::Agree, Point::Prepare, Point::Writer, Point::Write, Point::Flush, Point::Commit];
    for point in source_points.into_iter().chain(target_points) {
        let (source, target) = (source(1_000, 20), Memory::new());
        let faults = Faults::new().nth(point, 1, Fault::Fail(ErrorKind::Connection));
        let between = match source_points.contains(&point) {
            true => Between { source: faults.endpoint(source.endpoint()), target: target.endpoint(), also: Vec::new() },
            false => {
                Between { source: source.endpoint(), target: faults.endpoint(target.endpoint()), also: Vec::new() }
            }
        };
        let mut job = job();
        job.limits.retries = Some(0);
        let error = copy(&job, between, &Surroundings::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{point:?}: {error:?}");
        assert!(target.table("dst").is_none(), "{point:?}");
        assert_eq!(target.staged(), 0, "{point:?}");
        let (read, written) = (source.counts(), target.counts());
        assert_eq!((read.open_reads, written.open_writers), (0, 0), "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_hanging_copy_and_sweeps() {
    let (source, target) = (source(1_000, 20), Memory::new());
    let faults = Faults::new().nth(Point::Flush, 2, Fault::Hang);
    let surroundings = Surroundings::default();
    let stop = surroundings.stop.clone();
    let between = Between { source: source.endpoint(), target: faults.endpoint(target.endpoint()), also: Vec::new() };
    let job = job();
    let stopping = async {
        while faults.calls(Point::Flush) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.cancel();
    };
    let (result, ()) = tokio::join!(copy(&job, between, &surroundings), stopping);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!((target.staged(), target.counts().open_writers), (0, 0));
    assert!(target.table("dst").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_holds_back_and_decides_the_channels() {
    let (source, target) = (source(1_000, 100), Memory::new());
    let mut job = job();
    job.limits.speed = Speed { job_rows: Some(1_000_000), channel_rows: Some(250_000), ..Speed::default() };
    let report = plan(&job, between(&source, &target)).await.unwrap();
    assert_eq!(report.sizing.channels, 4);
    assert!(report.sizing.arithmetic[0].contains("= 4 channels"), "{:?}", report.sizing.arithmetic);
    assert!(target.table("dst").is_none(), "a plan changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_lists_every_split_in_a_task_once() {
    let (source, target) = (source(1_000, 100), Memory::new());
    let mut job = job();
    job.limits.jobs = Some(7);
    let report = plan(&job, between(&source, &target)).await.unwrap();
    let mut splits: Vec<u32> = report.tasks.iter().flat_map(|task| task.splits.clone()).collect();
    splits.sort_unstable();
    assert_eq!(splits, (0..100).collect::<Vec<_>>());
    assert_eq!(report.sizing.groups, [4, 3]);
}
