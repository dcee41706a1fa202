//! Incremental copies as a user runs them: round after round, with what comes late, fails, or is lost between.

mod late;

use std::path::Path;
use std::process::{Command, Stdio};

use arrow_etl::error::ErrorKind;
use arrow_etl::job::{Incremental, Job, Place};
use arrow_etl::run::{Between, Surroundings, copy};
use arrow_etl::sink::{Merge, WriteMode};
use arrow_etl::testing::faults::{Fault, Faults, Point};

use crate::program::{Ended, command};
use crate::server::{postgres, psql, sqlite3};

/// Runs an incremental copy whose log of runs is in `folder`.
fn incremental(folder: &Path, from: &str, to: &str, words: &[&str]) -> Ended {
    let all = [&["copy", from, to, "--progress", "none", "--output", "json", "--mode", "incremental"], words].concat();
    let output = command(folder, &all).env("XDG_STATE_HOME", folder).output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Rows that were copied, and the position that was reached.
fn done(ended: &Ended) -> (u64, String) {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let result: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    (result["rows"].as_u64().unwrap(), result["position"].as_str().unwrap_or_default().to_owned())
}

fn failed(ended: &Ended, word: &str) {
    assert!(ended.code == 1 || ended.code == 2, "{} {}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
}

#[test]
fn five_rounds_with_inserts_and_updates_between() {
    let server = late::still();
    assert_eq!(takes_five_rounds(&server.url()), [100, 100, 3, 3, 2, 2, 4, 4, 6, 6]);
}

/// How many rows each of five rounds into two targets has read.
pub(crate) fn takes_five_rounds(url: &str) -> Vec<u64> {
    let (folder, mut read) = (tempfile::tempdir().unwrap(), Vec::new());
    psql(
        url,
        "create table s (id int primary key, name text, at timestamptz not null);
        insert into s select g, 'v1', timestamptz '2024-01-01Z' + g * interval '1 minute' from generate_series(1, 100) g",
    );
    let file = folder.path().join("t.db").display().to_string();
    let (source, into_postgres, into_sqlite) = (format!("{url}#s"), format!("{url}#t"), format!("{file}#t"));
    let rounds = [
        "select",
        // The row at the border is read once more.
        "insert into s values (101, 'v1', '2024-01-01 02:00Z'), (102, 'v1', '2024-01-01 03:00Z')",
        "update s set name = 'v2', at = '2024-01-01 04:00Z' where id in (7, 102)",
        // What has the cursor of the position comes late, and the rows with it are read again.
        "insert into s values (103, 'v1', '2024-01-01 04:00Z'), (104, 'v1', '2024-01-01 04:00Z')",
        "insert into s values (105, 'v1', '2024-01-01 05:00Z'); update s set name = 'v3', at = now() where id = 1",
    ];
    for (round, sql) in rounds.into_iter().enumerate() {
        psql(url, sql);
        for target in [&into_postgres, &into_sqlite] {
            read.push(done(&incremental(folder.path(), &source, target, &["--cursor", "at", "--key", "id"])).0);
        }
        assert_eq!(psql(url, "(table s except table t) union all (table t except table s)"), "", "round {round}");
        assert_eq!(psql(url, "select count(*) = (select count(*) from s) from t"), "t", "round {round}");
        let names = "select id, name from t order by id";
        assert_eq!(sqlite3(Path::new(&file), names), psql(url, "select id, name from s order by id"), "round {round}");
    }
    read
}

#[test]
fn without_a_key_rows_are_added_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(&url, "create table s (id int not null, n int); insert into s select g, g from generate_series(1, 10) g");
    let (source, target) = (format!("{url}#s"), format!("{url}#t"));
    let run = || done(&incremental(folder.path(), &source, &target, &["--cursor", "id"]));
    assert_eq!(run(), (10, "10".to_owned()));
    assert_eq!(run(), (0, "10".to_owned()));
    psql(&url, "insert into s values (11, 11), (11, 12), (12, 13)");
    assert_eq!(run(), (3, "12".to_owned()));
    // The rows of the position are gone: it never moves back.
    psql(&url, "delete from s where id > 11");
    assert_eq!(run(), (0, "12".to_owned()));
    assert_eq!(psql(&url, "select count(*), count(distinct n), max(id) from t"), "13|13|12");
    // Another log of runs, as on another machine: the target knows the position.
    let elsewhere = tempfile::tempdir().unwrap();
    psql(&url, "insert into s values (13, 14)");
    assert_eq!(done(&incremental(elsewhere.path(), &source, &target, &["--cursor", "id"])), (1, "13".to_owned()));
    assert_eq!(psql(&url, "select position from etl.positions"), "13");
    // Who drops the target begins anew.
    psql(&url, "drop table t");
    assert_eq!(run(), (13, "13".to_owned()));
}

#[test]
fn rows_of_an_unknown_origin_are_not_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(&url, "create table s (id int primary key); insert into s values (1), (2); create table t as table s");
    let (source, target) = (format!("{url}#s"), format!("{url}#t"));
    failed(&incremental(folder.path(), &source, &target, &["--cursor", "id"]), "no position of this copy is known");
    assert_eq!(psql(&url, "select count(*) from t"), "2");
    assert_eq!(done(&incremental(folder.path(), &source, &target, &["--cursor", "id", "--key", "id"])).0, 2);
    assert_eq!(psql(&url, "select count(*) from t"), "2");
}

#[test]
fn a_lag_says_how_late_rows_may_come() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(&url, "create table s (id int primary key, at timestamptz); insert into s values (1, '2024-01-01 00:00Z')");
    let (source, target) = (format!("{url}#s"), format!("{url}#t"));
    let run = |words: &[&str]| {
        done(&incremental(folder.path(), &source, &target, &[&["--cursor", "at", "--key", "id"], words].concat()))
    };
    let mut open =
        Command::new("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", &url]).stdin(Stdio::piped()).spawn().unwrap();
    let mut tell = |sql: &str| {
        use std::io::Write as _;
        open.stdin.as_mut().unwrap().write_all(sql.as_bytes()).unwrap();
    };
    tell("begin; insert into s values (2, '2024-01-01 00:09Z'), (3, '2024-01-01 00:01Z');\n");
    let inserted =
        "select count(*) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'";
    while psql(&url, inserted) != "1" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    psql(&url, "insert into s values (4, '2024-01-01 00:10Z')");
    assert_eq!(run(&[]), (2, "2024-01-01T00:10:00Z".to_owned()));
    tell("commit;\n");
    drop(open.stdin.take());
    assert!(open.wait().unwrap().success());
    // Rows 2 and 3 lie below the position. A lag of five minutes reaches row 2, and row 3 is outside its promise.
    assert_eq!(run(&["--lag", "5m"]).0, 2);
    assert_eq!(psql(&url, "select string_agg(id::text, ',' order by id) from t"), "1,2,4");
    assert_eq!(run(&["--lag", "1d"]).0, 4);
    assert_eq!(psql(&url, "select string_agg(id::text, ',' order by id) from t"), "1,2,3,4");
}

#[test]
fn a_failed_run_between_two_good_ones() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(&url, "create table s (id int primary key, n int); insert into s values (1, 1);");
    let (source, target) = (format!("{url}#s"), format!("{url}#t"));
    for words in [&["--cursor", "id"][..], &["--cursor", "id", "--key", "id"]] {
        psql(&url, "drop table if exists t; delete from s where id > 1; drop schema if exists etl cascade");
        let run = || incremental(folder.path(), &source, &target, words);
        assert_eq!(done(&run()), (1, "1".to_owned()));
        psql(&url, "alter table t add constraint few check (n < 5); insert into s values (2, 2), (3, 30)");
        let noted = || psql(&url, "select id from t; select position from etl.positions");
        let before = noted();
        failed(&run(), "few");
        assert_eq!(noted(), before);
        psql(&url, "update s set n = 3 where id = 3");
        assert_eq!(done(&run()).1, "3");
        assert_eq!(psql(&url, "select * from t order by id"), "1|1\n2|2\n3|3");
    }
}

#[test]
fn files_as_source_and_as_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("s.csv"), "id,day\n1,2024-01-01\n2,2024-01-02\n3,\n").unwrap();
    let database = path.join("t.db");
    let words = ["--cursor", "day", "--cast", "day:date"];
    let into = |target: &str, more: &[&str]| incremental(path, "s.csv", target, &[&words, more].concat());
    failed(&into("t.db#t", &[]), "the cursor of 1 row is NULL: it would never be copied");
    failed(&into("t.db#t", &["--null-cursor", "always"]), "--key");
    failed(&into("t.db#t", &["--lag", "1d"]), "--key");
    failed(&into("t.db#t", &["--null-cursor", "skip", "--limit", "1"]), "no --limit");
    assert_eq!(done(&into("t.db#t", &["--null-cursor", "skip"])), (2, "2024-01-02".to_owned()));
    assert_eq!(done(&into("out.csv", &["--null-cursor", "skip"])), (2, "2024-01-02".to_owned()));
    assert_eq!(done(&into("k.db#t", &["--null-cursor", "always", "--key", "id"])).0, 3);
    std::fs::write(path.join("s.csv"), "id,day\n3,\n4,2024-01-03\n2,2024-01-02\n1,2024-01-01\n").unwrap();
    assert_eq!(done(&into("t.db#t", &["--null-cursor", "skip"])), (1, "2024-01-03".to_owned()));
    assert_eq!(done(&into("out.csv", &["--null-cursor", "skip"])), (1, "2024-01-03".to_owned()));
    assert_eq!(done(&into("k.db#t", &["--null-cursor", "always", "--key", "id", "--lag", "0d"])).0, 3);
    assert_eq!(sqlite3(&database, "select id from t order by id"), "1\n2\n4");
    assert_eq!(sqlite3(&path.join("k.db"), "select id from t order by id"), "1\n2\n3\n4");
    assert_eq!(
        std::fs::read_to_string(path.join("out.csv")).unwrap(),
        "id,day\n1,2024-01-01\n2,2024-01-02\n4,2024-01-03\n"
    );
    // A file that is gone takes its rows with it.
    std::fs::remove_file(path.join("out.csv")).unwrap();
    assert_eq!(done(&into("out.csv", &["--null-cursor", "skip"])).0, 3);
}

/// A copy of `s` into `t` by `id`, with faults at the target.
async fn faulty(url: &str, file: Option<&Path>, faults: &Faults, mode: WriteMode) -> arrow_etl::error::Result<u64> {
    let table = |name: &str| arrow_etl::endpoint::ObjectRef::Table(name.to_owned());
    let source = Place::new("postgres", serde_json::json!({ "url": url }), table("s"));
    let target = match file {
        Some(file) => {
            Place::new("sqlite", serde_json::json!({ "url": format!("sqlite:{}", file.display()) }), table("t"))
        }
        None => Place::new("postgres", serde_json::json!({ "url": url }), table("t")),
    };
    let mut job = Job::new(source, target);
    job.mode = mode;
    job.limits.retry_max_milliseconds = Some(10);
    job.incremental = Some(Incremental::by("id"));
    let mut between = Between::of(&job)?;
    between.target = faults.endpoint(between.target);
    copy(&job, between, &Surroundings::default()).await.map(|summary| summary.rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_retries_leave_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    for file in [None, Some(folder.path().join("t.db"))] {
        for mode in [WriteMode::Append, WriteMode::Upsert(Merge::default())] {
            let url = postgres();
            psql(&url, "create table s (id int primary key); insert into s select generate_series(1, 50)");
            if let Some(file) = &file {
                let _ = std::fs::remove_file(file);
            }
            let ask = |sql: &str| file.as_ref().map_or_else(|| psql(&url, sql), |file| sqlite3(file, sql));
            let run = |faults: Faults| {
                let (url, file, mode) = (url.clone(), file.clone(), mode.clone());
                async move { faulty(&url, file.as_deref(), &faults, mode).await }
            };
            // The commit is carried out, its answer is lost, and so is the log.
            let lost = run(Faults::new().nth(Point::Commit, 1, Fault::FailAfter(ErrorKind::Connection))).await;
            assert_eq!(lost.unwrap_err().kind(), ErrorKind::Connection);
            psql(&url, "insert into s values (51)");
            let again = run(Faults::new().nth(Point::Flush, 1, Fault::Fail(ErrorKind::Connection))).await.unwrap();
            // Rows that came while others were at work in the server may be read again by key.
            assert!(if mode == WriteMode::Append { again == 1 } else { again >= 2 }, "{again} {mode:?} {file:?}");
            let failed = run(Faults::new().nth(Point::Commit, 1, Fault::Fail(ErrorKind::Constraint))).await;
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::Constraint);
            psql(&url, "insert into s values (52)");
            run(Faults::new()).await.unwrap();
            assert_eq!(ask("select count(*), count(distinct id), max(id) from t"), "52|52|52", "{mode:?} {file:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_runs_at_once_one_counts() {
    let url = postgres();
    psql(&url, "create table s (id int not null); insert into s values (1)");
    faulty(&url, None, &Faults::new(), WriteMode::Append).await.unwrap();
    psql(&url, "insert into s values (2)");
    let slow = Faults::new().nth(Point::Commit, 1, Fault::Slow(std::time::Duration::from_millis(1500)));
    let none = Faults::new();
    let (one, other) =
        tokio::join!(faulty(&url, None, &slow, WriteMode::Append), faulty(&url, None, &none, WriteMode::Append));
    // One holds the job in the target. The other waits for it, and finds the position moved.
    let (done, error) = match (one, other) {
        (Ok(done), Err(error)) | (Err(error), Ok(done)) => (done, error),
        both => panic!("{both:?}"),
    };
    assert_eq!(done, 1);
    assert!(error.to_string().contains("another run has moved the position"), "{error}");
    assert_eq!(psql(&url, "select id from t order by id"), "1\n2");
}
