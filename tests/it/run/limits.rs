//! Limits hold: channels, speed, and the memory of single rows.

use arrow::array::StringArray;
use arrow_etl::job::Speed;
use arrow_etl::run::plan;
use arrow_etl::testing::faults::{Fault, Faults, Point};

use super::*;
use crate::engine::{between, run};

async fn arithmetic(job: &Job, source: &Memory) -> Vec<String> {
    plan(job, between(source, &Memory::new())).await.unwrap().sizing.arithmetic
}

/// Rows of one long value each.
fn long_rows(count: usize, bytes: usize) -> Memory {
    let value = "x".repeat(bytes);
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&value, count)));
    let memory = Memory::new();
    memory.insert("src", RecordBatch::try_from_iter([("v", values)]).unwrap(), count);
    memory
}

#[tokio::test(flavor = "multi_thread")]
async fn no_copy_is_faster_than_its_limit() {
    let slow = |speed: Speed| {
        let mut job = job();
        (job.limits.jobs, job.limits.speed) = (Some(3), speed);
        job
    };
    // Only less time than the limit leaves would be wrong; how much longer it takes is the machine's matter.
    let rows = slow(Speed { job_rows: Some(1000), ..Speed::default() });
    let bytes = slow(Speed { job_bytes: Some(8_000), ..Speed::default() });
    let channels = slow(Speed { job_rows: Some(900), channel_rows: Some(900), ..Speed::default() });
    for job in [rows, bytes, channels] {
        let (source, target) = (source(400, 3), Memory::new());
        let summary = run(&job, &source, &target).await.unwrap();
        assert_eq!(summary.rows, 400);
        assert!(summary.meter.seconds >= 0.39, "{:?} took {} s", job.limits.speed, summary.meter.seconds);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_held_to_its_own_limit() {
    let (source, target) = (source(400, 1), Memory::new());
    let mut job = job();
    job.limits.speed = Speed { channel_rows: Some(1000), ..Speed::default() };
    let summary = run(&job, &source, &target).await.unwrap();
    assert!(summary.meter.seconds >= 0.39, "{} s", summary.meter.seconds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_the_least_time_of_a_limited_copy() {
    let mut job = job();
    job.limits.speed = Speed { job_rows: Some(50), ..Speed::default() };
    let plan = plan(&job, between(&source(1000, 4), &Memory::new())).await.unwrap();
    assert_eq!(plan.least_seconds, Some(20.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bounds_the_channels_is_in_the_arithmetic() {
    let mut job = job();
    job.limits.jobs = Some(200);
    job.limits.memory_bytes = Some(128_000_000);
    let said = arithmetic(&job, &source(1000, 500)).await;
    assert_eq!(said[1], "30 channels are all that 128 MB of memory feed", "{said:?}");
    job.limits.memory_bytes = Some(64_000_000);
    let said = arithmetic(&job, &long_rows(4, 3_500_000)).await;
    assert!(said.iter().any(|line| line.ends_with("2 channels are all that 64 MB of memory feed")), "{said:?}");
    job.limits = arrow_etl::job::Limits { jobs: Some(7), ..job.limits };
    job.transform.limit = Some(5);
    let said = arithmetic(&job, &source(1000, 100)).await;
    assert_eq!(said.last().unwrap(), "1 writer, 7 readers: one plan");
}

/// One reader and four writers, as `readerChannel` and `writerChannel` of FlinkX have it; more readers than writers; and a query.
#[tokio::test(flavor = "multi_thread")]
async fn writers_share_all_batches_whoever_has_read_them() {
    for (jobs, writers, sql) in [(1, 4, false), (4, 2, false), (3, 1, false), (2, 3, true)] {
        let (source, target) = (source(1_000, 6), Memory::new());
        let mut job = job();
        (job.limits.jobs, job.limits.writers) = (Some(jobs), Some(writers));
        job.transform.sql = sql.then(|| "select id from src group by id".to_owned());
        let said = arithmetic(&job, &source).await;
        let readers = if jobs == 1 { "1 reader".to_owned() } else { format!("{jobs} readers") };
        let writing = if writers == 1 { "1 writer".to_owned() } else { format!("{writers} writers") };
        assert_eq!(said.last(), Some(&format!("{writing}, {readers}: one plan")));
        let summary = run(&job, &source, &target).await.unwrap();
        assert_eq!((summary.rows, summary.tasks), (1_000, writers), "{jobs} {writers} {sql}");
        assert_eq!(super::retry::ids(&target), (0..1_000).collect::<Vec<_>>());
        let (read, wrote) = (source.counts(), target.counts());
        assert!(read.peak_reads <= jobs && wrote.peak_writers <= writers, "{read:?} {wrote:?}");
        assert_eq!((read.open_reads, wrote.open_writers, target.staged()), (0, 0, 0));
    }
}

/// What one of them meets ends the attempt of all, and it is what the user hears of.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_one_reader_or_writer_ends_them_all() {
    for point in [Point::Read, Point::Batch, Point::Writer, Point::Write, Point::Flush] {
        let faults = Faults::new().nth(point, 2, Fault::Fail(ErrorKind::Connection));
        let (source, target) = (source(1_000, 6), Memory::new());
        let between = Between {
            source: faults.endpoint(source.endpoint()),
            target: faults.endpoint(target.endpoint()),
            also: Vec::new(),
        };
        let mut job = job();
        (job.limits.jobs, job.limits.writers, job.limits.retries) = (Some(2), Some(3), Some(0));
        let error = copy(&job, between, &Surroundings::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{point:?}: {error}");
        assert_eq!((rows(&target), target.staged(), source.counts().open_reads), (None, 0, 0), "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_exceeds_the_memory_is_an_error_with_the_figure() {
    let mut job = job();
    job.limits.memory_bytes = Some(64_000_000);
    let target = Memory::new();
    let error = run(&job, &long_rows(1, 20_000_000), &target).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resource);
    assert!(error.to_string().contains("needs about 160,"), "{error}");
    assert!(error.hint().unwrap().starts_with("give --memory at least 16"), "{:?}", error.hint());
    assert_eq!((rows(&target), target.staged()), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_rows_pass_one_at_a_time() {
    let mut job = job();
    (job.limits.jobs, job.limits.memory_bytes) = (Some(4), Some(200_000_000));
    let target = Memory::new();
    assert_eq!(run(&job, &long_rows(12, 8_000_000), &target).await.unwrap().rows, 12);
    // With operators between that look at several readers at once nobody may wait for another.
    job.transform.sql = Some("select length(v) as v, count(*) as n from src group by 1".to_owned());
    let target = Memory::new();
    assert_eq!(run(&job, &long_rows(12, 8_000_000), &target).await.unwrap().rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sort_of_many_channels_fits_into_the_default_memory() {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..4000).map(|id| format!("n{}", id % 777))));
    let source = Memory::new();
    source.insert("src", RecordBatch::try_from_iter([("name", names)]).unwrap(), 80);
    let (mut job, target) = (job(), Memory::new());
    job.limits.jobs = Some(64);
    job.transform.sql = Some("select name from src order by name".to_owned());
    assert_eq!(run(&job, &source, &target).await.unwrap().rows, 4000);
}
