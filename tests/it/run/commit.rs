//! Records in their order, and what a failure before or after the commit says and leaves.

use arrow_etl::error::{ErrorKind, exit_code};
use arrow_etl::run::state::SqliteStateLog;
use arrow_etl::testing::faults::{Fault, Faults, Point};

use super::*;

fn scripted() -> Job {
    let mut job = job();
    job.limits.jobs = Some(2);
    (job.pre_sql, job.post_sql) = (vec!["pre".to_owned()], vec!["post".to_owned()]);
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_in_the_order_of_the_run() {
    let (journal, source, target) = (Journal::default(), source(100, 4), Memory::new());
    journal.copy(&scripted(), &source, target.endpoint()).await.unwrap();
    let events = journal.events();
    let (wrote, others): (Vec<_>, Vec<_>) = events.iter().map(String::as_str).partition(|event| *event == "wrote");
    let (before, after) = (["started", "stepBegun", "pre", "step"], ["stepBegun", "post", "step", "finished"]);
    let order = [&before[..], &["planned", "committed", "finish"], &after].concat();
    assert_eq!(others, order);
    let place = |event: &str| events.iter().position(|known| known == event).unwrap();
    assert_eq!(place("wrote"), place("planned") + 1);
    assert_eq!(events[place("wrote")..place("committed")].len(), wrote.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_the_commit_is_the_last_record() {
    for point in [Point::Agree, Point::Prepare, Point::Writer, Point::Write, Point::Flush, Point::Commit] {
        let (journal, source, target) = (Journal::default(), source(100, 4), Memory::new());
        let faults = Faults::new().nth(point, 1, Fault::Fail(ErrorKind::Constraint));
        let error = journal.copy(&scripted(), &source, faults.endpoint(target.endpoint())).await.unwrap_err();
        assert!(error.to_string().starts_with("after pre-SQL, whose changes stay: "), "{point:?}: {error}");
        assert_eq!(journal.events().last().unwrap(), "aborted", "{point:?}");
        assert!(!journal.has("committed") && !journal.has("post"), "{point:?}");
        assert_eq!((rows(&target), target.staged()), (None, 0), "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_commit_says_that_the_data_are_there() {
    // The record or step that fails, which one of its name, and whether post-SQL ran all the same.
    for (failing, nth, post) in
        [("committed", 1, true), ("finish", 1, false), ("post", 1, true), ("step", 2, true), ("finished", 1, true)]
    {
        let (source, target) = (source(100, 4), Memory::new());
        let journal = Journal::refusing(failing, nth);
        let error = journal.copy(&scripted(), &source, target.endpoint()).await.unwrap_err();
        assert!(error.to_string().starts_with("the data are committed: "), "{failing}: {error}");
        assert_eq!((rows(&target), target.counts().aborts), (Some(100), 0), "{failing}");
        assert!(!journal.has("aborted"), "{failing}: {:?}", journal.events());
        // It would take away the only other sign of the commit.
        assert_eq!(journal.has("finish"), failing != "committed", "{failing}");
        assert_eq!(journal.has("post"), post, "{failing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_post_sql_is_a_failure_of_the_run_and_no_bad_usage() {
    let (journal, source, target) = (Journal::default(), source(100, 4), Memory::new());
    let mut job = scripted();
    job.post_sql.push("bad".to_owned());
    let error = journal.copy(&job, &source, target.endpoint()).await.unwrap_err();
    assert_eq!(exit_code(error.kind()), 1);
    assert_eq!(error.to_string(), "the data are committed: post-SQL 2: this SQL does not parse");
    assert_eq!(rows(&target), Some(100));
    assert!(!journal.has("aborted") && !journal.has("finished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pre_sql_did_is_said_by_every_later_failure() {
    let (journal, source, target) = (Journal::default(), source(100, 4), Memory::new());
    let mut job = scripted();
    job.pre_sql.push("bad".to_owned());
    let error = journal.copy(&job, &source, target.endpoint()).await.unwrap_err();
    assert_eq!(exit_code(error.kind()), 1);
    assert_eq!(error.to_string(), "after pre-SQL, whose changes stay: pre-SQL 2: this SQL does not parse");
    job.pre_sql = vec!["bad".to_owned()];
    let error = journal.copy(&job, &source, target.endpoint()).await.unwrap_err();
    assert_eq!((exit_code(error.kind()), error.to_string().as_str()), (1, "pre-SQL 1: this SQL does not parse"));

    for record in ["step", "planned", "wrote"] {
        let journal = Journal::refusing(record, 1);
        let error = journal.copy(&scripted(), &source, target.endpoint()).await.unwrap_err();
        assert!(error.to_string().starts_with("after pre-SQL, whose changes stay: "), "{record}: {error}");
        assert_eq!((journal.events().last().unwrap().as_str(), rows(&target)), ("aborted", None), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_refuses_the_first_record_keeps_all_from_happening() {
    let (journal, source, target) = (Journal::refusing("started", 1), source(100, 4), Memory::new());
    let error = journal.copy(&scripted(), &source, target.endpoint()).await.unwrap_err();
    assert_eq!(error.to_string(), "the disk of the log is full");
    assert_eq!((journal.events(), rows(&target)), (vec!["started".to_owned()], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_in_the_state_file() {
    let url = crate::server::postgres();
    crate::server::psql(&url, "create table t as select generate_series(1, 10) as id");
    let secret = "hunter2-in-no-file";
    let (before, after) = url.split_once('@').unwrap();
    let with_password = format!("{before}:{secret}@{after}");
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteStateLog::open(&folder.path().join("state.db")).await.unwrap();
    let options = serde_json::json!({ "url": with_password });
    let place = |table: &str| Place::new("postgres", options.clone(), ObjectRef::Table(table.to_owned()));
    let mut job = Job::new(place("t"), place("u"));
    job.post_sql.push(format!("comment on table u is '{secret}'"));
    let surroundings = Surroundings { state: Some(Arc::new(log)), ..Surroundings::default() };
    copy(&job, Between::of(&job).unwrap(), &surroundings).await.unwrap();
    assert_eq!(crate::server::psql(&url, "select count(*) from u"), "10");
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{}", path.display());
    }
}
