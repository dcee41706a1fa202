use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::*;
use crate::endpoint::ObjectRef;
use crate::job::Place;
use crate::run::Between;
use crate::run::resume::Unfinished;
use crate::run::stages;
use crate::run::state::SqliteStateLog;
use crate::state::RunEntry;
use crate::testing::faults::{Fault, Faults, Point};
use crate::testing::memory::Memory;

const SOON: Duration = Duration::from_millis(5);

/// Runs a copy of ten rows between tables in memory, both of which have `faults`, with short times.
async fn failing(faults: Faults) -> (Error, Memory) {
    failing_in(faults, Surroundings::default()).await
}

async fn failing_in(faults: Faults, surroundings: Surroundings) -> (Error, Memory) {
    failing_with(faults, &surroundings, |_| {}).await
}

async fn failing_with(faults: Faults, surroundings: &Surroundings, change: impl FnOnce(&mut Job)) -> (Error, Memory) {
    let (source, target) = (Memory::new(), Memory::new());
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    source.insert("t", RecordBatch::try_from_iter([("id", ids)]).unwrap(), 5);
    let between = Between {
        source: faults.endpoint(source.endpoint()),
        target: faults.endpoint(target.endpoint()),
        also: Vec::new(),
    };
    let place = || Place::new("memory", serde_json::Value::Null, ObjectRef::Table("t".to_owned()));
    let mut job = Job::new(place(), place());
    change(&mut job);
    let opened = Opened::open(&job, between, stages::Past::default()).await.unwrap();
    let life = Life { check_every: SOON, sweep_time: SOON, ..Life::new(&job, &opened, surroundings) };
    (life.live().await.unwrap_err(), target)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_point_in_time_ends_the_tasks_at_once() {
    let faults = Faults::new().each(Point::Flush, Fault::Hang);
    let (error, target) = failing(faults.each(Point::Check, Fault::Fail(ErrorKind::Transient))).await;
    assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    assert_eq!((target.staged(), target.counts().open_writers, target.counts().aborts), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_and_closing_that_hang_are_given_up() {
    let faults = Faults::new().each(Point::Flush, Fault::Fail(ErrorKind::Constraint));
    let faults = faults.each(Point::Abort, Fault::Hang).each(Point::Close, Fault::Hang);
    let (error, _) = failing(faults).await;
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert!(error.to_string().starts_with("what was staged was not removed within 0 s: "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_to_sweep_is_told_beside_the_first() {
    let faults = Faults::new().each(Point::Commit, Fault::Fail(ErrorKind::Constraint));
    let (error, _) = failing(faults.each(Point::Abort, Fault::Fail(ErrorKind::Io))).await;
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert!(error.to_string().starts_with("what was staged could not be removed (a fault at Abort"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_staged_stays_where_the_job_wants_it() {
    for (wanted, is_kept) in [(Toggle::On, true), (Toggle::Off, false)] {
        let folder = tempfile::tempdir().unwrap();
        let log: Arc<dyn StateLog> = Arc::new(SqliteStateLog::open(&folder.path().join("state.db")).await.unwrap());
        let surroundings = Surroundings { state: Some(Arc::clone(&log)), ..Surroundings::default() };
        let faults = Faults::new().each(Point::Commit, Fault::Fail(ErrorKind::Constraint));
        let (error, target) = failing_with(faults, &surroundings, |job| job.keep_stage = wanted).await;
        assert_eq!((target.staged() > 0, target.counts().aborts == 0), (is_kept, is_kept), "{error}");
        let told = error.to_string().starts_with("what was staged stays, and the run can be gone on with: ");
        assert_eq!(told, is_kept, "{error}");
        let run = log.runs().await.unwrap().remove(0).run;
        assert_eq!(Unfinished::of(&run, log.read(&run).await.unwrap()).is_some(), is_kept);
        assert_eq!(log.holders().await.unwrap().iter().any(|holder| holder.run == run), is_kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_answer_in_time_is_not_waited_for() {
    for point in [Point::Read, Point::Batch] {
        let faults = Faults::new().each(point, Fault::Hang);
        let (error, _) = failing_with(faults, &Surroundings::default(), |job| {
            (job.limits.answer_milliseconds, job.limits.retries) = (Some(20), Some(0));
        })
        .await;
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert!(error.to_string().contains("the source gave no row within 0.02 s"), "{error}");
    }
}

/// A log in which another run takes the lease when this one has asked for it so often.
#[derive(Debug)]
struct Overtaken {
    after: u32,
    asked: AtomicU32,
}

impl Overtaken {
    fn after(after: u32) -> Arc<dyn StateLog> {
        Arc::new(Self { after, asked: AtomicU32::new(0) })
    }
}

#[async_trait]
impl StateLog for Overtaken {
    async fn read(&self, _run: &str) -> Result<Vec<StateRecord>> {
        Ok(Vec::new())
    }

    async fn append(&self, _run: &str, record: &StateRecord) -> Result<()> {
        assert!(!matches!(record, StateRecord::Aborted { .. }), "it is not this process that ended it");
        Ok(())
    }

    async fn runs(&self) -> Result<Vec<RunEntry>> {
        Ok(Vec::new())
    }

    async fn lease(&self, _job: &str, _run: &str) -> Result<()> {
        if self.asked.fetch_add(1, Ordering::SeqCst) >= self.after {
            return Err(Error::new(ErrorKind::Busy, "another run has it"));
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stage_of_a_run_that_was_overtaken_is_left_to_the_other() {
    let surroundings = Surroundings { state: Some(Overtaken::after(1)), ..Surroundings::default() };
    let (error, target) = failing_in(Faults::new(), surroundings).await;
    assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
    assert!(target.staged() > 0);
    assert_eq!(target.counts().aborts, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_a_run_that_was_overtaken_and_has_not_heard_of_it_sweeps_nothing() {
    let surroundings = Surroundings { state: Some(Overtaken::after(1)), ..Surroundings::default() };
    let faults = Faults::new().each(Point::Flush, Fault::Fail(ErrorKind::Constraint));
    let (error, target) = failing_in(faults, surroundings).await;
    assert_eq!(error.kind(), ErrorKind::Constraint, "{error:?}");
    assert_eq!(target.counts().aborts, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_overtaken_in_its_commit_leaves_what_comes_after_to_the_other() {
    let surroundings = Surroundings { state: Some(Overtaken::after(2)), ..Surroundings::default() };
    // What would come is not reached.
    let faults = Faults::new().each(Point::Finish, Fault::Fail(ErrorKind::Internal));
    let (error, target) = failing_in(faults, surroundings).await;
    assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
    assert!(error.to_string().starts_with("the data are committed: "), "{error}");
    assert_eq!((target.staged(), target.counts().aborts), (0, 0));
}

/// A log that is away when a task has been written.
#[derive(Debug)]
struct Away;

#[async_trait]
impl StateLog for Away {
    async fn read(&self, _run: &str) -> Result<Vec<StateRecord>> {
        Ok(Vec::new())
    }

    async fn append(&self, _run: &str, record: &StateRecord) -> Result<()> {
        match record {
            StateRecord::Wrote { .. } | StateRecord::Held { .. } => Err(Error::new(ErrorKind::Connection, "away")),
            _ => Ok(()),
        }
    }

    async fn runs(&self) -> Result<Vec<RunEntry>> {
        Ok(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_not_begun_anew_because_the_log_is_away() {
    for sql in [None, Some("SELECT id FROM src ORDER BY id")] {
        let surroundings = Surroundings { state: Some(Arc::new(Away)), ..Surroundings::default() };
        let sql = sql.map(str::to_owned);
        let (error, target) = failing_with(Faults::new(), &surroundings, |job| job.transform.sql = sql).await;
        assert_eq!((error.kind(), surroundings.meter.reading().retries), (ErrorKind::Io, 0), "{error:?}");
        assert_eq!((target.staged(), target.counts().aborts), (0, 1));
    }
}
