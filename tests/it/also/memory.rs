//! The same in memory, with faults at chosen calls of one of the targets.

use std::sync::{Arc, Mutex};

use arrow::array::{Array as _, ArrayRef, Int64Array, RecordBatch};
use arrow_etl::attempt::Token;
use arrow_etl::endpoint::{Endpoint, ObjectRef};
use arrow_etl::error::{ErrorKind, Result};
use arrow_etl::job::{Job, Place};
use arrow_etl::run::report::Summary;
use arrow_etl::run::{Between, Surroundings, copy};
use arrow_etl::sink::{Receipt, Writer};
use arrow_etl::testing::faults::{Fault, Faults, Point};
use arrow_etl::testing::memory::Memory;
use async_trait::async_trait;

fn job() -> Job {
    let place = |name: &str| Place::new("memory", serde_json::Value::Null, ObjectRef::Table(name.to_owned()));
    let mut job = Job::new(place("src"), place("one"));
    job.also.push(place("two"));
    (job.limits.jobs, job.limits.retry_max_milliseconds) = (Some(2), Some(1));
    job
}

fn source() -> Memory {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    let memory = Memory::new();
    memory.insert("src", RecordBatch::try_from_iter([("id", ids)]).unwrap(), 10);
    memory
}

/// Copies a thousand rows into two memories, with faults of each.
async fn copied(first: &Faults, second: &Faults) -> (Result<Summary>, [Option<usize>; 2], [Memory; 2]) {
    let targets = [Memory::new(), Memory::new()];
    let between = Between {
        source: source().endpoint(),
        target: first.endpoint(targets[0].endpoint()),
        also: vec![second.endpoint(targets[1].endpoint())],
    };
    let result = copy(&job(), between, &Surroundings::default()).await;
    let rows = |target: &Memory, name| target.table(name).map(|table| table.rows.num_rows());
    let found = [rows(&targets[0], "one"), rows(&targets[1], "two")];
    (result, found, targets)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_either_before_the_commits_leaves_both_without_a_row() {
    for point in [Point::Agree, Point::Prepare, Point::Writer, Point::Write, Point::Flush, Point::Verify] {
        for which in [0, 1] {
            let fault = Faults::new().each(point, Fault::Fail(ErrorKind::Constraint));
            let (first, second) = if which == 0 { (fault, Faults::new()) } else { (Faults::new(), fault) };
            let (result, rows, targets) = copied(&first, &second).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Constraint, "{point:?} {which}");
            assert_eq!(rows, [None, None], "{point:?} {which}");
            assert!(targets.iter().all(|target| target.staged() == 0), "{point:?} {which}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_in_one_target_is_begun_anew_in_both() {
    for point in [Point::Writer, Point::Write, Point::Flush] {
        let faults = Faults::new().nth(point, 3, Fault::FailAfter(ErrorKind::Connection));
        let (result, rows, _) = copied(&Faults::new(), &faults).await;
        let summary = result.unwrap();
        assert_eq!((summary.rows, summary.meter.retries, rows), (1000, 1, [Some(1000); 2]), "{point:?}");
        assert_eq!(summary.targets.iter().map(|target| target.rows).collect::<Vec<_>>(), [1000, 1000]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_first_is_the_only_one() {
    let fault = Faults::new().each(Point::Commit, Fault::Fail(ErrorKind::Constraint));
    let second = Faults::new();
    let (result, rows, targets) = copied(&fault, &second).await;
    assert!(!result.unwrap_err().to_string().contains("committed"));
    assert_eq!((rows, second.calls(Point::Commit)), ([None, None], 0));
    assert!(targets.iter().all(|target| target.staged() == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_later_says_what_is_committed() {
    let fault = Faults::new().each(Point::Commit, Fault::Fail(ErrorKind::Constraint));
    let (result, rows, targets) = copied(&Faults::new(), &fault).await;
    let error = result.unwrap_err();
    assert!(error.to_string().starts_with("committed: "), "{error}");
    assert!(error.to_string().contains("one; not committed: "), "{error}");
    assert_eq!((rows, targets[1].staged()), ([Some(1000), None], 0));
}

/// A writer that notes where the values are that it gets.
struct NotingWriter {
    inner: Box<dyn Writer>,
    seen: Arc<Mutex<Vec<usize>>>,
}

#[async_trait]
impl Writer for NotingWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.seen.lock().unwrap().push(batch.column(0).to_data().buffers()[0].as_ptr() as usize);
        self.inner.write(batch).await
    }
    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        self.inner.flush(token).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_targets_get_the_same_arrays() {
    let seen = [Arc::<Mutex<Vec<usize>>>::default(), Arc::default()];
    let noting = |which: usize| -> Arc<dyn Endpoint> {
        let seen = Arc::clone(&seen[which]);
        let note = move |inner| -> Box<dyn Writer> { Box::new(NotingWriter { inner, seen: Arc::clone(&seen) }) };
        Faults::new().wrapping(note).endpoint(Memory::new().endpoint())
    };
    let between = Between { source: source().endpoint(), target: noting(0), also: vec![noting(1)] };
    let mut one_at_a_time = job();
    one_at_a_time.limits.jobs = Some(1);
    copy(&one_at_a_time, between, &Surroundings::default()).await.unwrap();
    let [first, second] = seen.map(|seen| std::mem::take(&mut *seen.lock().unwrap()));
    assert!(first.len() >= 10, "{}", first.len());
    assert_eq!(first, second);
}
