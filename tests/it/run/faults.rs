//! Every fault at every call: what passes is got over, what does not ends the run, and the target has all rows or none.

use std::path::Path;
use std::time::Duration;

use arrow_etl::job::{ErrorPolicy, MaxErrors, OnError};
use arrow_etl::testing::faults::{Fault, Faults, Point};
use serde_json::json;

use super::retry::ids;
use super::*;

const POINTS: [Point; 8] =
    [Point::Open, Point::Describe, Point::Plan, Point::Read, Point::Write, Point::Flush, Point::Commit, Point::Abort];

/// One that passes and one that does not, before and after the work, and one that is no failure.
const FAULTS: [Fault; 6] = [
    Fault::Reject,
    Fault::Fail(ErrorKind::Connection),
    Fault::Fail(ErrorKind::Corrupt),
    Fault::FailAfter(ErrorKind::Connection),
    Fault::FailAfter(ErrorKind::Corrupt),
    Fault::Slow(Duration::from_millis(20)),
];

/// The kind of error that `fault` makes.
fn kind(fault: Fault) -> Option<ErrorKind> {
    match fault {
        Fault::Fail(kind) | Fault::FailAfter(kind) => Some(kind),
        Fault::Reject => Some(ErrorKind::Constraint),
        Fault::Hang | Fault::Slow(_) => None,
    }
}

/// Copies 100 rows in four splits by two channels.
async fn copied(mut job: Job, faults: &Faults) -> (Result<Summary>, Memory, Memory) {
    let (source, target) = (source(100, 4), Memory::new());
    let between = Between {
        source: faults.endpoint(source.endpoint()),
        target: faults.endpoint(target.endpoint()),
        also: Vec::new(),
    };
    (job.limits.jobs, job.limits.retry_max_milliseconds) = (Some(2), Some(1));
    (copy(&job, between, &Surroundings::default()).await, source, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_call_leaves_all_rows_or_none() {
    for (point, fault) in POINTS.into_iter().flat_map(|point| FAULTS.map(|fault| (point, fault))) {
        let case = format!("{fault:?} at {point:?}");
        let mut faults = Faults::new().nth(point, 1, fault);
        if point == Point::Abort {
            // Nothing is swept but after a failure.
            faults = faults.each(Point::Flush, Fault::FailAfter(ErrorKind::Io));
        }
        let (result, source, target) = copied(job(), &faults).await;
        assert!(faults.calls(point) > 0, "{case}");
        assert_eq!((source.counts().open_reads, target.counts().open_writers), (0, 0), "{case}");
        let is_done_anew = [Point::Read, Point::Write, Point::Flush].contains(&point);
        let wanted = match kind(fault) {
            _ if point == Point::Abort => Some(ErrorKind::Io),
            Some(ErrorKind::Connection) if is_done_anew => None,
            kind => kind,
        };
        assert_eq!(result.as_ref().err().map(Error::kind), wanted, "{case}: {result:?}");
        let is_committed = wanted.is_none() || point == Point::Commit && matches!(fault, Fault::FailAfter(_));
        if is_committed {
            assert_eq!(ids(&target), (0..100).collect::<Vec<_>>(), "{case}");
        } else {
            assert_eq!(rows(&target), None, "{case}");
        }
        let is_unswept = point == Point::Abort && matches!(fault, Fault::Fail(_) | Fault::Reject);
        assert_eq!(target.staged() > 0, is_unswept, "{case}");
    }
}

/// A job that leaves out so many rows that its target rejects, and keeps them in a file.
fn skipping(folder: &Path, max_errors: u64) -> Job {
    let mut job = job();
    let file = json!({ "url": folder.join("bad.jsonl") });
    let rejects = Some(Place::new("file", file, ObjectRef::Whole));
    job.errors = ErrorPolicy {
        on_error: OnError::Skip,
        max_errors: Some(MaxErrors::Rows(max_errors)),
        rejects,
        ..ErrorPolicy::default()
    };
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_target_rejects_is_left_out_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let faults = || Faults::new().nth(Point::Write, 2, Fault::Reject);
    let (result, _, target) = copied(skipping(folder.path(), 1), &faults()).await;
    let summary = result.unwrap();
    assert_eq!((summary.rows, summary.rejected), (99, 1));
    let told = std::fs::read_to_string(folder.path().join("bad.jsonl")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let left_out: i64 = told["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(ids(&target), (0..100).filter(|id| *id != left_out).collect::<Vec<_>>());

    let folder = tempfile::tempdir().unwrap();
    let (result, _, target) = copied(skipping(folder.path(), 0), &faults()).await;
    assert_eq!((result.unwrap_err().kind(), rows(&target), target.staged()), (ErrorKind::Value, None, 0));
}
