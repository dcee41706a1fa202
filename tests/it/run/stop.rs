//! Ctrl-C: a run stops wherever it hangs, and leaves the target as it was; a commit that has begun is finished.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow_etl::testing::faults::{Fault, Faults, Point};
use tokio_util::sync::CancellationToken;

use super::*;

/// Cancels `stop` as soon as `point` was called.
async fn stop_at(faults: &Faults, point: Point, stop: &CancellationToken) {
    while faults.calls(point) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_run_wherever_it_hangs() {
    let points = [
        Point::Open,
        Point::Reach,
        Point::Describe,
        Point::Plan,
        Point::Execute,
        Point::Agree,
        Point::Prepare,
        Point::Read,
        Point::Writer,
        Point::Write,
        Point::Flush,
        Point::Check,
        Point::Close,
    ];
    for point in points {
        let (source, target, journal) = (source(100, 4), Memory::new(), Journal::default());
        let faults = Faults::new().nth(point, 1, Fault::Hang);
        let target_endpoint = faults.endpoint(journal.endpoint(target.endpoint()));
        let between = Between { source: faults.endpoint(source.endpoint()), target: target_endpoint, also: Vec::new() };
        let mut job = job();
        job.pre_sql = vec!["pre".to_owned()];
        let surroundings = journal.surroundings();
        let (result, ()) =
            tokio::join!(copy(&job, between, &surroundings), stop_at(&faults, point, &surroundings.stop));
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{point:?}: {error:?}");
        assert_eq!((rows(&target), target.staged()), (None, 0), "{point:?}");
        assert_eq!((source.counts().open_reads, target.counts().open_writers), (0, 0), "{point:?}");
        assert!(!journal.has("committed") && !journal.has("finished"), "{point:?}");
        let before_the_run = [Point::Open, Point::Reach, Point::Describe, Point::Plan].contains(&point);
        assert_eq!(journal.has("aborted"), !before_the_run, "{point:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_readers_of_a_plan_that_gathers() {
    for sql in ["select id % 7 as id, count(*) as n from src group by 1", "select id from src order by id"] {
        let (source, target, surroundings) = (source(100, 4), Memory::new(), Surroundings::default());
        let faults = Faults::new().nth(Point::Batch, 3, Fault::Hang);
        let between =
            Between { source: faults.endpoint(source.endpoint()), target: target.endpoint(), also: Vec::new() };
        let mut job = job();
        job.limits.jobs = Some(4);
        job.transform.sql = Some(sql.to_owned());
        let (result, ()) =
            tokio::join!(copy(&job, between, &surroundings), stop_at(&faults, Point::Batch, &surroundings.stop));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled, "{sql}");
        assert_eq!((source.counts().open_reads, target.counts().open_writers), (0, 0), "{sql}");
        assert_eq!((rows(&target), target.staged()), (None, 0), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_has_begun_is_finished() {
    let (source, target, journal) = (source(100, 4), Memory::new(), Journal::default());
    let faults = Faults::new().nth(Point::Commit, 1, Fault::Slow(Duration::from_millis(50)));
    let between = Between { source: source.endpoint(), target: faults.endpoint(target.endpoint()), also: Vec::new() };
    let (job, surroundings) = (job(), journal.surroundings());
    let (result, ()) =
        tokio::join!(copy(&job, between, &surroundings), stop_at(&faults, Point::Commit, &surroundings.stop));
    let notes = result.unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("its commit had begun")), "{notes:?}");
    assert_eq!(rows(&target), Some(100));
    assert!(journal.has("finished"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_post_sql_says_that_the_data_are_committed() {
    let (source, target, journal) = (source(100, 4), Memory::new(), Journal::default());
    let faults = Faults::new().nth(Point::Execute, 1, Fault::Hang);
    let between = Between {
        source: source.endpoint(),
        target: faults.endpoint(journal.endpoint(target.endpoint())),
        also: Vec::new(),
    };
    let mut job = job();
    job.post_sql = vec!["post".to_owned()];
    let surroundings = journal.surroundings();
    let (result, ()) =
        tokio::join!(copy(&job, between, &surroundings), stop_at(&faults, Point::Execute, &surroundings.stop));
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(error.to_string(), "the data are committed: post-SQL 1: the run was stopped");
    assert_eq!((rows(&target), journal.has("aborted")), (Some(100), false));
}

#[test]
fn a_real_interrupt_is_code_5_and_leaves_the_target_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("out.csv");
    std::fs::write(&target, "id\n7\n").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_etl"))
        .args(["copy", "gen:id:seq?rows=1000000", target.to_str().unwrap(), "--mode", "replace"])
        .args(["--limit-rate", "1000 rows/s", "--progress", "json"])
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A rate of 1000 rows a second leaves it a quarter of an hour: once rows were written, it is in mid-copy.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let moving = |line: String| {
        let reading: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        reading["rowsWritten"].as_u64().is_some_and(|rows| rows > 0)
    };
    assert!(lines.by_ref().map_while(std::result::Result::ok).any(moving), "it ended before it wrote a row");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let said: Vec<String> = lines.map_while(std::result::Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(5), "{said:?}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "id\n7\n");
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["out.csv", "state"]);
}
