//! Rows that wait on disk: the source is let go early, and no failure loses or doubles a row.

use std::path::Path;

use arrow_etl::job::{BufferLimit, OnError};
use arrow_etl::testing::faults::{Fault, Faults, Point};

use super::retry::ids;
use super::*;

fn buffered(folder: &Path, bytes: u64) -> Job {
    let mut job = job();
    job.limits.buffer = Some(BufferLimit { folder: folder.display().to_string(), bytes });
    (job.limits.jobs, job.limits.retry_max_milliseconds) = (Some(2), Some(1));
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_closed_while_the_target_hangs() {
    for jobs in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let (source, target, surroundings) = (source(50_000, 40), Memory::new(), Surroundings::default());
        let (reads, writes) = (Faults::new(), Faults::new().nth(Point::Write, 2, Fault::Hang));
        let between = Between {
            source: reads.endpoint(source.endpoint()),
            target: writes.endpoint(target.endpoint()),
            also: Vec::new(),
        };
        let mut job = buffered(folder.path(), 1 << 30);
        job.limits.jobs = Some(jobs);
        let stop = surroundings.stop.clone();
        let copying = tokio::spawn(async move { copy(&job, between, &surroundings).await });
        while reads.calls(Point::Close) == 0 {
            assert!(!copying.is_finished(), "{:?}", copying.await);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!((rows(&target), source.counts().reads), (None, 40), "{jobs} channels");
        stop.cancel();
        assert_eq!(copying.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!((target.staged(), target.counts().open_writers, source.counts().open_reads), (0, 0, 0));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_in_passing_finds_its_rows_in_the_buffer() {
    for point in [Point::Writer, Point::Write, Point::Flush] {
        for fault in [Fault::Fail(ErrorKind::Connection), Fault::FailAfter(ErrorKind::Transient)] {
            for jobs in [1, 2] {
                let folder = tempfile::tempdir().unwrap();
                let (source, target) = (source(1000, 10), Memory::new());
                let faults = Faults::new().nth(point, 1, fault);
                let between =
                    Between { source: source.endpoint(), target: faults.endpoint(target.endpoint()), also: Vec::new() };
                let mut job = buffered(folder.path(), 1 << 30);
                job.limits.jobs = Some(jobs);
                let summary = copy(&job, between, &Surroundings::default()).await.unwrap();
                assert_eq!(ids(&target), (0..1000).collect::<Vec<_>>(), "{point:?} {fault:?} {jobs}");
                assert_eq!((summary.meter.retries, source.counts().reads), (1, 10), "{point:?} {fault:?} {jobs}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_in_passing_is_read_again() {
    for point in [Point::Read, Point::Batch] {
        for bytes in [1 << 30, 1] {
            let folder = tempfile::tempdir().unwrap();
            let (source, target) = (source(1000, 10), Memory::new());
            let faults = Faults::new().nth(point, 3, Fault::Fail(ErrorKind::Connection));
            let between =
                Between { source: faults.endpoint(source.endpoint()), target: target.endpoint(), also: Vec::new() };
            let summary = copy(&buffered(folder.path(), bytes), between, &Surroundings::default()).await.unwrap();
            assert_eq!(ids(&target), (0..1000).collect::<Vec<_>>(), "{point:?} {bytes}");
            assert_eq!(summary.meter.retries, 1, "{point:?} {bytes}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::new().nth(Point::Batch, 3, Fault::Fail(ErrorKind::Corrupt));
    let (source, target) = (source(1000, 10), Memory::new());
    let between = Between { source: faults.endpoint(source.endpoint()), target: target.endpoint(), also: Vec::new() };
    let error = copy(&buffered(folder.path(), 1 << 30), between, &Surroundings::default()).await.unwrap_err();
    assert_eq!((error.kind(), rows(&target), target.staged()), (ErrorKind::Corrupt, None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_that_holds_nothing_holds_nothing_up() {
    for (jobs, point) in [(1, None), (2, None), (7, None), (2, Some(Point::Write)), (1, Some(Point::Write))] {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (source(20_000, 300), Memory::new());
        let faults =
            point.map_or_else(Faults::new, |point| Faults::new().nth(point, 1, Fault::Fail(ErrorKind::Connection)));
        let between =
            Between { source: source.endpoint(), target: faults.endpoint(target.endpoint()), also: Vec::new() };
        let mut job = buffered(folder.path(), 1);
        job.limits.jobs = Some(jobs);
        copy(&job, between, &Surroundings::default()).await.unwrap();
        assert_eq!(ids(&target), (0..20_000).collect::<Vec<_>>(), "{jobs} {point:?}");
        assert!(source.counts().peak_reads <= jobs, "{} reads at once", source.counts().peak_reads);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_buffer_is_of_no_use_it_is_said_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut query = buffered(folder.path(), 1 << 30);
    query.transform.sql = Some("select id from src order by id".to_owned());
    let mut limited = buffered(folder.path(), 1 << 30);
    limited.transform.limit = Some(3);
    let mut skipping = buffered(folder.path(), 1 << 30);
    skipping.errors.on_error = OnError::Skip;
    for (job, count) in [(query, 100), (limited, 3), (skipping, 100)] {
        let (source, target) = (source(100, 4), Memory::new());
        let between = || Between { source: source.endpoint(), target: target.endpoint(), also: Vec::new() };
        let report = arrow_etl::run::plan(&job, between()).await.unwrap();
        assert!(report.buffer.len() == 1 && report.buffer[0].starts_with("not used: "), "{:?}", report.buffer);
        copy(&job, between(), &Surroundings::default()).await.unwrap();
        assert_eq!(rows(&target), Some(count));
    }
    let missing = folder.path().join("missing");
    let (source, target) = (source(100, 4), Memory::new());
    let between = Between { source: source.endpoint(), target: target.endpoint(), also: Vec::new() };
    let error = copy(&buffered(&missing, 1 << 30), between, &Surroundings::default()).await.unwrap_err();
    assert_eq!((error.kind(), source.counts().sessions), (ErrorKind::NotFound, 0));
}
