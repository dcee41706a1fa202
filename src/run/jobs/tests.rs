use serde_json::json;

use super::*;
use crate::run::state::SqliteStateLog;

async fn log(folder: &tempfile::TempDir) -> SqliteStateLog {
    SqliteStateLog::open(&folder.path().join("state.db")).await.unwrap()
}

fn started() -> StateRecord {
    let place = |table: &str| json!({"connector": "sqlite", "options": {}, "object": {"table": table}});
    let job = json!({
        "source": place("a"), "target": place("b"), "sourceLabel": "shop.db", "targetLabel": "copy.db",
    });
    StateRecord::Started { job, fingerprint: "f".to_owned() }
}

#[tokio::test]
async fn each_run_is_told_by_its_records_and_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder).await;
    for run in ["1", "2", "3", "4"] {
        log.append(run, &started()).await.unwrap();
    }
    log.lease("job", "1").await.unwrap();
    log.append("2", &StateRecord::Aborted { reason: "the disk is full".to_owned() }).await.unwrap();
    log.append("3", &StateRecord::Finished { rows: 7, read: 0, rejected: 0 }).await.unwrap();
    let runs = list(&log).await.unwrap();
    let statuses: Vec<Status> = runs.iter().map(|run| run.status).collect();
    assert_eq!(statuses, [Status::Running, Status::Failed, Status::Finished, Status::Interrupted]);
    assert_eq!((runs[1].detail.as_deref(), runs[2].rows), (Some("the disk is full"), 7));
    assert_eq!((&*runs[3].source, &*runs[3].target), ("shop.db#a", "copy.db#b"));

    assert_eq!(clean(&log, "1", Removal::Whole).await.unwrap_err().kind(), ErrorKind::Busy);
    for run in ["2", "3", "4"] {
        clean(&log, run, Removal::Whole).await.unwrap();
    }
    assert_eq!(list(&log).await.unwrap().len(), 1);
}

#[tokio::test]
async fn all_targets_are_told_and_rows_are_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder).await;
    let StateRecord::Started { mut job, fingerprint } = started() else { unreachable!() };
    job["also"] = json!([{"connector": "file", "options": {}, "object": "whole"}]);
    job["alsoLabels"] = json!(["b.parquet"]);
    log.append("1", &StateRecord::Started { job, fingerprint }).await.unwrap();
    for sink in [0, 1] {
        let token = Token { run: "1".to_owned(), transfer: 0, sink, epoch: 0 };
        let receipt = crate::sink::Receipt::of(&crate::attempt::Attempt::new(token, 0, vec![0]), 5, 50, Json::Null);
        log.append("1", &StateRecord::Wrote { transfer: 0, receipt }).await.unwrap();
    }
    let run = list(&log).await.unwrap().remove(0);
    assert_eq!((&*run.target, run.also, run.rows), ("copy.db#b", vec!["b.parquet".to_owned()], 5));
    // What was committed stays.
    log.append("1", &StateRecord::Committed { transfer: 0, sink: 1, epoch: 0, position: None, marked: false })
        .await
        .unwrap();
    log.append("1", &StateRecord::Aborted { reason: "another run began in its place".to_owned() }).await.unwrap();
    let run = list(&log).await.unwrap().remove(0);
    assert_eq!((run.status, run.rows), (Status::Failed, 5));
}

#[tokio::test]
async fn runs_are_found_by_the_beginning_of_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder).await;
    for run in ["aab", "aac", "b"] {
        log.append(run, &started()).await.unwrap();
    }
    assert_eq!(find(&log, "aac").await.unwrap(), "aac");
    assert_eq!(find(&log, "b").await.unwrap(), "b");
    assert_eq!(find(&log, "aa").await.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(find(&log, "c").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_database_that_is_a_file_is_found_from_another_folder() {
    for (url, connector, found) in [
        ("duckdb:a/b.duckdb", DUCKDB, "duckdb:/home/ada/a/b.duckdb"),
        ("shop.db", SQLITE, "sqlite:/home/ada/shop.db"),
        ("sqlite:/srv/shop.db", SQLITE, "sqlite:/srv/shop.db"),
        ("postgres://ada@db/shop", "postgres", "postgres://ada@db/shop"),
    ] {
        assert_eq!(from_anywhere(url, connector, Some("/home/ada")), found);
        assert_eq!(from_anywhere(url, connector, None), url);
    }
}
