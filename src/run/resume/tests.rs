use serde_json::json;

use super::*;
use crate::attempt::{Attempt, Token};
use crate::endpoint::{ObjectRef, SnapshotId};
use crate::job::{ErrorPolicy, Place};
use crate::testing::memory::Memory;

fn started() -> StateRecord {
    StateRecord::Started { job: json!({}), fingerprint: "f".to_owned() }
}

async fn planned(snapshot: Snapshot) -> StateRecord {
    let sink = Memory::new().endpoint().sink(&ObjectRef::Table("t".to_owned())).unwrap();
    let shape = crate::source::TableShape::of(std::sync::Arc::new(arrow::datatypes::Schema::empty()));
    let request = crate::sink::WriteRequest::new(crate::sink::WriteMode::Append);
    let agreements = vec![sink.agree(&shape, &request).await.unwrap()];
    let (splits, cut) = (Vec::new(), Cut::Fastest);
    StateRecord::Planned { transfer: 0, snapshot, splits, cut, at: None, together: false, agreements }
}

fn wrote(task: u32) -> StateRecord {
    wrote_into(0, task)
}

fn wrote_into(sink: u32, task: u32) -> StateRecord {
    let token = Token { run: "r".to_owned(), transfer: 0, sink, epoch: 0 };
    let receipt = Receipt::of(&Attempt::new(token, task, vec![task]), 5, 50, Json::Null);
    StateRecord::Wrote { transfer: 0, receipt }
}

#[tokio::test]
async fn what_was_written_before_a_new_plan_does_not_count() {
    let lasting = || Snapshot::Lasting("a".to_owned());
    let records =
        vec![started(), planned(Snapshot::Private).await, wrote(0), wrote(1), planned(lasting()).await, wrote(2)];
    let run = Unfinished::of("r", records).unwrap();
    assert_eq!(run.planned.unwrap().snapshot, lasting());
    assert_eq!(run.wrote.iter().map(|receipt| receipt.task).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_run_that_ended_in_order_is_none() {
    assert!(Unfinished::of("r", Vec::new()).is_none());
    assert!(Unfinished::of("r", vec![started(), StateRecord::Finished { rows: 1, read: 0, rejected: 0 }]).is_none());
    assert!(Unfinished::of("r", vec![started(), StateRecord::Aborted { reason: "x".to_owned() }]).is_none());
    let committed = StateRecord::Committed { transfer: 0, sink: 0, epoch: 0, position: None, marked: false };
    assert_eq!(Unfinished::of("r", vec![started(), committed]).unwrap().committed, [0]);
}

#[tokio::test]
async fn what_is_visible_in_one_target_counts_after_a_new_plan_for_the_others() {
    let plan = || planned(Snapshot::Private);
    let committed = StateRecord::Committed { transfer: 0, sink: 1, epoch: 0, position: None, marked: false };
    let records = vec![started(), plan().await, wrote(0), wrote_into(1, 0), committed, plan().await, wrote(3)];
    let run = Unfinished::of("r", records).unwrap();
    let receipts: Vec<_> = run.wrote.iter().map(|receipt| (receipt.sink, receipt.task)).collect();
    assert_eq!((run.committed, receipts), (vec![1], vec![(1, 0), (0, 3)]));
}

#[test]
fn steps_are_known_by_their_last_record() {
    let (step, index) = (Step::PreSql, 0);
    let begun = |index| StateRecord::StepBegun { step, index };
    let records = vec![started(), begun(0), StateRecord::Step { step, index }, begun(1)];
    let run = Unfinished::of("r", records).unwrap();
    assert_eq!([0, 1, 2].map(|index| run.past(step, index)), [Past::Done, Past::Begun, Past::NotBegun]);
    assert_eq!(run.past(Step::PostSql, 0), Past::NotBegun);
}

#[test]
fn only_what_lasts_is_the_same_point() {
    let job = Job { snapshot: Some(SnapshotId("held".to_owned())), ..job() };
    let same_point = |then: &Snapshot, now: &Snapshot| same_point(&job, then, now);
    let lasting = |text: &str| Snapshot::Lasting(text.to_owned());
    assert!(same_point(&lasting("a 5 bytes"), &lasting("a 5 bytes")));
    assert!(!same_point(&lasting("a 5 bytes"), &lasting("a 6 bytes")));
    assert!(!same_point(&Snapshot::Private, &Snapshot::Private));
    let shared = |id: &str| Snapshot::Shared(SnapshotId(id.to_owned()));
    assert!(same_point(&shared("00000003-1"), &shared("00000003-1")));
    assert!(!same_point(&shared("00000003-1"), &shared("00000004-1")));
    let alone = Job { snapshot: None, ..job.clone() };
    assert!(!super::same_point(&alone, &shared("00000003-1"), &shared("00000003-1")), "nobody holds it");
}

fn job() -> Job {
    let place = || Place::new("memory", Json::Null, ObjectRef::Whole);
    Job::new(place(), place())
}

#[test]
fn grades_depend_on_both_ends_and_the_plan() {
    let (lasting, shared) = (Snapshot::Lasting("a".to_owned()), Snapshot::Shared(SnapshotId("1".to_owned())));
    let job = job();
    let held = Job { snapshot: Some(SnapshotId("1".to_owned())), ..job.clone() };
    let skipping = Job { errors: ErrorPolicy { on_error: OnError::Skip, ..ErrorPolicy::default() }, ..job.clone() };
    let grade = |job: &Job, snapshot: &Snapshot, shape, kept| {
        grade(job, (snapshot, Cut::ByKey), shape, (kept, Publish::AtOnce)).grade
    };
    let rowwise = PlanShape::Rowwise;
    assert_eq!(grade(&job, &lasting, rowwise, Kept::Tasks), ResumeGrade::Exact);
    assert_eq!(grade(&skipping, &lasting, rowwise, Kept::Tasks), ResumeGrade::Restart);
    assert_eq!(grade(&job, &lasting, PlanShape::Wide, Kept::Tasks), ResumeGrade::Restart);
    assert_eq!(grade(&job, &lasting, rowwise, Kept::Commit), ResumeGrade::Restart);
    assert_eq!(grade(&job, &lasting, rowwise, Kept::Nothing), ResumeGrade::Restart);
    assert_eq!(grade(&held, &shared, rowwise, Kept::Tasks), ResumeGrade::Exact);
    assert_eq!(grade(&job, &shared, rowwise, Kept::Tasks), ResumeGrade::Restart);
    assert_eq!(grade(&job, &Snapshot::Private, rowwise, Kept::Tasks), ResumeGrade::Restart);
    let seen = super::grade(&job, (&Snapshot::Private, Cut::Fastest), rowwise, (Kept::Tasks, Publish::PerTask));
    assert!(seen.reason.ends_with("the rows of its tasks must be removed before"), "{}", seen.reason);
}

#[test]
fn columns_that_changed_are_refused() {
    let run = Unfinished { run: "r7".to_owned(), fingerprint: "f".to_owned(), ..Unfinished::default() };
    assert!(run.refuse_other("f").is_ok());
    let error = run.refuse_other("g").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("run r7"), "{error}");
}

#[tokio::test]
async fn a_changed_job_is_refused_by_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let log = crate::run::state::SqliteStateLog::open(&folder.path().join("state.db")).await.unwrap();
    let place = |name: &str| Place::new("memory", json!({"url": "memory:x"}), ObjectRef::Table(name.to_owned()));
    let job = Job::new(place("a"), place("b"));
    let begun = StateRecord::Started { job: fingerprint::recorded(&job), fingerprint: "f".to_owned() };
    log.append("r1", &begun).await.unwrap();
    // A lease that nobody has renewed for long.
    log.lease(&fingerprint::identity(&job), "r1").await.unwrap();
    let database = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    database.execute("UPDATE lease SET renewed_at = 0", []).unwrap();

    assert_eq!(unfinished(&job, &log).await.unwrap().unwrap().run, "r1");
    let mut changed = job.clone();
    changed.transform.filter = Some("id > 7".to_owned());
    changed.mode = crate::sink::WriteMode::Append;
    assert!(unfinished(&changed, &log).await.unwrap().is_none());
    let error = refuse_changed(&changed, &log).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().ends_with("run r1 is of another job, which differs in transform, mode"), "{error}");
    let other = Job::new(place("a"), place("c"));
    refuse_changed(&other, &log).await.unwrap();
    // The same job differs in nothing.
    refuse_changed(&job, &log).await.unwrap();
}

#[test]
fn what_a_job_leaves_out_is_a_difference_too() {
    type Change = fn(&mut Job);
    let place = |name: &str| Place::new("memory", json!({"url": "memory:x"}), ObjectRef::Table(name.to_owned()));
    let job = Job::new(place("a"), place("b"));
    let changes: [(&str, Change); 4] = [
        ("publish", |job| job.visible = crate::sink::Visible::PerTask),
        ("onError", |job| job.errors.on_error = OnError::Skip),
        ("finerTimes", |job| job.finer_times = crate::job::FinerTimes::Cut),
        ("allowLossy", |job| _ = job.allow_lossy.insert("name".to_owned())),
    ];
    for (name, change) in changes {
        let mut then = job.clone();
        change(&mut then);
        assert_eq!(differing(&fingerprint::recorded(&then), &fingerprint::recorded(&job)), [name]);
        assert_eq!(differing(&fingerprint::recorded(&job), &fingerprint::recorded(&then)), [name]);
    }
}

#[tokio::test]
async fn the_last_run_that_finished_says_what_counts_against_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let log = crate::run::state::SqliteStateLog::open(&folder.path().join("state.db")).await.unwrap();
    let place = |name: &str| Place::new("memory", json!({"url": "memory:x"}), ObjectRef::Table(name.to_owned()));
    let job = |target: &str| Job::new(place("a"), place(target));
    let begun =
        |target: &str| StateRecord::Started { job: fingerprint::recorded(&job(target)), fingerprint: String::new() };
    for (run, target, rejected) in [("r1", "b", 1), ("r2", "b", 2), ("r3", "c", 4)] {
        log.append(run, &begun(target)).await.unwrap();
        log.append(run, &StateRecord::Finished { rows: 10 - rejected, read: 10, rejected }).await.unwrap();
    }
    log.append("r4", &begun("b")).await.unwrap();
    log.append("r4", &StateRecord::Aborted { reason: "x".to_owned() }).await.unwrap();
    assert_eq!(judged(&job("b"), &log).await.unwrap(), Some(Judged { read: 10, rejected: 2 }));
    assert_eq!(judged(&job("d"), &log).await.unwrap(), None);
    // A record of an earlier version says only how many rows became visible.
    let old = StateRecord::parse(r#"{"record": "finished", "rows": 3}"#).unwrap();
    assert!(matches!(old, StateRecord::Finished { rows: 3, read: 0, rejected: 0 }));
}

#[tokio::test]
async fn the_last_run_of_a_job_says_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let log = crate::run::state::SqliteStateLog::open(&folder.path().join("state.db")).await.unwrap();
    let place = |name: &str| Place::new("memory", json!({"url": "memory:x"}), ObjectRef::Table(name.to_owned()));
    let job = Job { pre_sql: vec!["delete from b".to_owned()], ..Job::new(place("a"), place("b")) };
    let begun = StateRecord::Started { job: fingerprint::recorded(&job), fingerprint: "f".to_owned() };
    let (step, index) = (Step::PreSql, 0);
    let aborted = || StateRecord::Aborted { reason: "x".to_owned() };
    assert_eq!(ending(&job, &log).await.unwrap(), None);
    let runs = [
        ("r1", vec![StateRecord::Finished { rows: 1, read: 0, rejected: 0 }], Ending::Finished),
        ("r2", vec![StateRecord::StepBegun { step, index }, aborted()], Ending::Failed { prepared: false }),
        ("r3", vec![StateRecord::Step { step, index }, aborted()], Ending::Failed { prepared: true }),
        // Its process is gone, and nobody holds its lease.
        ("r4", Vec::new(), Ending::Failed { prepared: false }),
    ];
    for (run, records, expected) in runs {
        for record in std::iter::once(&begun).chain(&records) {
            log.append(run, record).await.unwrap();
        }
        assert_eq!(ending(&job, &log).await.unwrap(), Some(expected), "{run}");
    }
    // A later round, which says at once that the target is prepared.
    let mut round = fingerprint::recorded(&job);
    round[PREPARED] = json!(true);
    let begun = StateRecord::Started { job: round, fingerprint: "f".to_owned() };
    log.append("r5", &begun).await.unwrap();
    assert_eq!(ending(&job, &log).await.unwrap(), Some(Ending::Failed { prepared: true }));
    let killed = Unfinished::of("r5", vec![begun]).unwrap();
    assert_eq!((killed.pre_sql(), Unfinished::default().pre_sql()), (PreSql::Done, PreSql::Wanted));
    let other = Job { pre_sql: Vec::new(), ..job.clone() };
    assert_eq!(ending(&other, &log).await.unwrap(), None);
    log.lease("r5", "r5").await.unwrap();
    assert_eq!(ending(&job, &log).await.unwrap(), None, "it is under way");
}
