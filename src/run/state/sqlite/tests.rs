use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::attempt::{Attempt, Token};
use crate::endpoint::{Snapshot, Step};
use crate::sink::Receipt;
use crate::source::Split;

fn records() -> Vec<StateRecord> {
    let token = Token { run: "r".into(), transfer: 0, sink: 0, epoch: 0 };
    let split = Split { id: 0, source: 0, rows: Some(5), bytes: None, place: None, detail: json!({"low": 1}) };
    vec![
        StateRecord::Started { job: json!({"source": "sqlite:a.db"}), fingerprint: "f".into() },
        StateRecord::Step { step: Step::PreSql, index: 0 },
        StateRecord::Planned {
            transfer: 0,
            snapshot: Snapshot::Private,
            splits: vec![split],
            cut: crate::shape::Cut::Fastest,
            at: None,
            together: false,
            agreements: Vec::new(),
        },
        StateRecord::Wrote { transfer: 0, receipt: Receipt::of(&Attempt::new(token, 0, vec![0]), 5, 50, json!(null)) },
        StateRecord::Committed { transfer: 0, sink: 0, epoch: 0, position: None, marked: false },
        StateRecord::Finished { rows: 5, read: 0, rejected: 0 },
    ]
}

async fn ids(log: &SqliteStateLog) -> Vec<String> {
    log.runs().await.unwrap().into_iter().map(|entry| entry.run).collect()
}

fn shown(records: &[StateRecord]) -> Vec<String> {
    records.iter().map(|record| serde_json::to_string(record).unwrap()).collect()
}

#[tokio::test]
async fn records_keep_their_order_and_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/etl/state.db");
    let written = records();
    for record in &written {
        // Opened anew each time, as by one process after another.
        let log = SqliteStateLog::open(&path).await.unwrap();
        log.append("one", record).await.unwrap();
        log.append("other", &StateRecord::Finished { rows: 1, read: 0, rejected: 0 }).await.unwrap();
    }
    let log = SqliteStateLog::open(&path).await.unwrap();
    assert_eq!(shown(&log.read("one").await.unwrap()), shown(&written));
    assert_eq!(log.read("other").await.unwrap().len(), written.len());
    assert_eq!(ids(&log).await, ["one", "other"]);
    assert!(log.read("none").await.unwrap().is_empty());
}

#[tokio::test]
async fn behind_a_record_that_is_synced_a_lease_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteStateLog::open(&folder.path().join("state.db")).await.unwrap();
    let normal = 1;
    for record in records() {
        let sql = "PRAGMA synchronous";
        let found = log.call(move |connection| connection.query_row(sql, [], |row| row.get(0)).map_err(failed));
        let found: i64 = found.await.unwrap();
        assert_eq!(found, normal);
        log.append("one", &record).await.unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteStateLog::open(&folder.path().join("etl/state.db")).await.unwrap();
    log.append("r", &records()[0]).await.unwrap();
    for entry in std::fs::read_dir(folder.path().join("etl")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_append_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = Arc::new(folder.path().join("state.db"));
    let mut runs = tokio::task::JoinSet::new();
    for run in 0..4 {
        let path = Arc::clone(&path);
        runs.spawn(async move {
            let log = SqliteStateLog::open(&path).await.unwrap();
            for rows in 0..20 {
                log.append(&run.to_string(), &StateRecord::Finished { rows, read: 0, rejected: 0 }).await.unwrap();
            }
        });
    }
    runs.join_all().await;
    let log = SqliteStateLog::open(&path).await.unwrap();
    for run in ids(&log).await {
        let rows: Vec<u64> = log
            .read(&run)
            .await
            .unwrap()
            .iter()
            .map(|record| if let StateRecord::Finished { rows, .. } = record { *rows } else { u64::MAX })
            .collect();
        assert_eq!(rows, (0..20).collect::<Vec<_>>());
    }
    assert_eq!(log.runs().await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_new_log_is_opened_by_many_at_once() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let runs = (0..8).map(|run: u64| {
            let path = path.clone();
            tokio::spawn(async move {
                let log = SqliteStateLog::open(&path).await.unwrap();
                log.append(&run.to_string(), &StateRecord::Finished { rows: run, read: 0, rejected: 0 }).await.unwrap();
            })
        });
        for run in runs.collect::<Vec<_>>() {
            run.await.unwrap();
        }
        assert_eq!(SqliteStateLog::open(&path).await.unwrap().runs().await.unwrap().len(), 8);
    }
}

#[tokio::test]
async fn a_process_that_died_in_an_append_leaves_the_records_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let log = SqliteStateLog::open(&path).await.unwrap();
    for record in records() {
        log.append("r", &record).await.unwrap();
    }
    let wal = std::fs::read(folder.path().join("state.db-wal")).unwrap();
    let torn = folder.path().join("torn.db");
    std::fs::copy(&path, &torn).unwrap();
    // The last append reached the file only in part.
    std::fs::write(folder.path().join("torn.db-wal"), &wal[..wal.len() - 1000]).unwrap();
    let log = SqliteStateLog::open(&torn).await.unwrap();
    let written = records();
    assert_eq!(log.read("r").await.unwrap().len(), written.len() - 1);
    log.append("r", &written[5]).await.unwrap();
    assert_eq!(log.read("r").await.unwrap().len(), written.len());
}

#[tokio::test]
async fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let kind = async |name: &str| SqliteStateLog::open(&folder.path().join(name)).await.unwrap_err().kind();
    std::fs::write(folder.path().join("text"), "no database".repeat(100)).unwrap();
    assert_eq!(kind("text").await, ErrorKind::Corrupt);
    let make = |name: &str, sql: &str| Connection::open(folder.path().join(name)).unwrap().execute_batch(sql).unwrap();
    make("other.db", "create table t (a)");
    make("other2.db", "create table record (a); pragma user_version = 2");
    for name in ["other.db", "other2.db"] {
        let before = std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(kind(name).await, ErrorKind::Corrupt);
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), before, "{name} is as it was");
    }
    make("later.db", "pragma user_version = 3");
    assert_eq!(kind("later.db").await, ErrorKind::Unsupported);
    assert_eq!(kind("").await, ErrorKind::Io);
}
