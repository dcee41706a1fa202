//! Tasks that fail in passing are begun anew: no row is lost or doubled, and what does not pass ends the run.

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use arrow_etl::testing::faults::{Fault, Faults, Point};

use super::*;

/// A copy of 100 rows in four splits by two channels, with `faults` on both sides and hardly a pause between attempts.
async fn copied(faults: &Faults, retries: Option<u32>, sql: Option<&str>) -> (Result<Summary>, Memory) {
    copied_by(faults, retries, (None, sql)).await
}

/// The same by so many writers, where the job says so.
async fn copied_by(
    faults: &Faults,
    retries: Option<u32>,
    (writers, sql): (Option<usize>, Option<&str>),
) -> (Result<Summary>, Memory) {
    let (source, target) = (source(100, 4), Memory::new());
    let between = Between {
        source: faults.endpoint(source.endpoint()),
        target: faults.endpoint(target.endpoint()),
        also: Vec::new(),
    };
    let mut job = job();
    (job.limits.jobs, job.limits.retries, job.limits.retry_max_milliseconds) = (Some(2), retries, Some(1));
    job.limits.writers = writers;
    job.transform.sql = sql.map(str::to_owned);
    let result = copy(&job, between, &Surroundings::default()).await;
    assert_eq!((target.staged(), target.counts().open_writers, source.counts().open_reads), (0, 0, 0));
    (result, target)
}

pub(super) fn ids(target: &Memory) -> Vec<i64> {
    let table = target.table("dst").unwrap();
    let mut ids = table.rows.column(0).as_primitive::<Int64Type>().values().to_vec();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_in_passing_is_begun_anew() {
    let queries = [None, Some("select id from src order by id")];
    for point in [Point::Read, Point::Batch, Point::Writer, Point::Write, Point::Flush] {
        for fault in [Fault::Fail(ErrorKind::Connection), Fault::FailAfter(ErrorKind::Transient)] {
            for sql in queries {
                let faults = Faults::new().nth(point, 1, fault);
                let (summary, target) = copied(&faults, None, sql).await;
                let summary = summary.unwrap();
                assert_eq!(ids(&target), (0..100).collect::<Vec<_>>(), "{point:?} {fault:?} {sql:?}");
                assert_eq!((summary.rows, summary.meter.retries), (100, 1), "{point:?} {fault:?} {sql:?}");
                let note = "a task was begun anew after a failure that passed";
                assert!(summary.notes.iter().any(|known| known == note), "{:?}", summary.notes);
            }
        }
    }
}

/// Which rows a writer gets differs from attempt to attempt: what those that had ended have staged must not stay.
#[tokio::test(flavor = "multi_thread")]
async fn writers_that_share_all_rows_are_begun_anew_together() {
    let grouped = Some("select id from src group by id");
    for point in [Point::Read, Point::Batch, Point::Writer, Point::Write, Point::Flush] {
        for fault in [Fault::Fail(ErrorKind::Connection), Fault::FailAfter(ErrorKind::Transient)] {
            for (nth, writers, sql) in [(1, Some(3), None), (2, Some(3), None), (1, None, grouped), (2, None, grouped)]
            {
                let case = format!("{fault:?} at {point:?} {nth}, {writers:?} {sql:?}");
                let faults = Faults::new().nth(point, nth, fault);
                let (summary, target) = copied_by(&faults, None, (writers, sql)).await;
                let summary = summary.unwrap();
                assert_eq!(ids(&target), (0..100).collect::<Vec<_>>(), "{case}");
                assert_eq!((summary.rows, summary.meter.retries), (100, 1), "{case}");
                assert_eq!((summary.tasks, target.counts().aborts), (writers.unwrap_or(2), 1), "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_fails_in_passing_is_one_more_failure() {
    let faults = Faults::new().nth(Point::Flush, 2, Fault::Fail(ErrorKind::Connection));
    let faults = faults.nth(Point::Abort, 1, Fault::Fail(ErrorKind::Connection));
    let (summary, target) = copied_by(&faults, None, (Some(3), None)).await;
    assert_eq!((summary.unwrap().meter.retries, faults.calls(Point::Abort)), (2, 2));
    assert_eq!(ids(&target), (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_of_all_writers_have_an_end() {
    let faults = Faults::new().each(Point::Writer, Fault::Fail(ErrorKind::Connection));
    let (result, target) = copied_by(&faults, Some(1), (Some(3), None)).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), rows(&target)), (ErrorKind::Connection, None));
    assert!(error.to_string().contains("attempt 2 of 2: "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_have_an_end() {
    for (retries, attempts) in [(Some(0), 1), (Some(2), 3), (None, 4)] {
        let faults = Faults::new().each(Point::Flush, Fault::Fail(ErrorKind::Connection));
        let (result, target) = copied(&faults, retries, Some("select id from src order by id limit 3")).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), faults.calls(Point::Flush), rows(&target)), (ErrorKind::Connection, attempts, None));
        let counted = error.to_string().contains(&format!("attempt {attempts} of {attempts}: "));
        assert_eq!(counted, attempts > 1, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_ends_the_run_at_once() {
    for kind in [ErrorKind::Constraint, ErrorKind::Value, ErrorKind::Resource] {
        let faults = Faults::new().each(Point::Flush, Fault::Fail(kind));
        let (result, _) = copied(&faults, None, Some("select id from src order by id")).await;
        assert_eq!((result.unwrap_err().kind(), faults.calls(Point::Flush)), (kind, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_point_in_time_nothing_is_read_again() {
    let faults = Faults::new().each(Point::Read, Fault::Fail(ErrorKind::Connection));
    let faults = faults.each(Point::Check, Fault::Fail(ErrorKind::Timeout));
    let (result, _) = copied(&faults, None, Some("select id from src order by id limit 3")).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), faults.calls(Point::Check)), (ErrorKind::Timeout, 1));
    // What led to the question is told, too.
    assert!(error.to_string().contains("a fault at Check") && error.to_string().contains("a fault at Read"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_back_yet_is_waited_for() {
    let faults = Faults::new().nth(Point::Write, 1, Fault::Fail(ErrorKind::Connection));
    // The first time is before the tasks.
    let faults = faults.nth(Point::Prepare, 2, Fault::Fail(ErrorKind::Connection));
    let (summary, target) = copied(&faults, None, Some("select id from src order by id")).await;
    assert_eq!((summary.unwrap().meter.retries, ids(&target).len(), faults.calls(Point::Prepare)), (2, 100, 3));
}
