//! The program is killed, or its connection is: the target is as it was, and the next run works and sweeps.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use arrow_etl::attempt::Attempt;
use arrow_etl::error::ErrorKind;
use arrow_etl::sink::{Tasks, WriteMode};

use super::{LEFT, batch, fitted, request, shape, sink, token};
use crate::server::{postgres, psql, until};

fn etl(url: &str, folder: &Path, words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_etl"))
        .args(["copy", &format!("{url}#source"), &format!("{url}#t")])
        .args(words)
        .env("XDG_STATE_HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

const WRITING: &str = "select count(*) from pg_stat_activity where datname = current_database() \
                       and application_name like 'etl\\_write%'";
const CONNECTED: &str = "select count(*) from pg_stat_activity where datname = current_database() \
                         and application_name like 'etl%'";

/// Names of connections that the copy can lose and go on.
const LOST: [&str; 2] = ["etl_write%", "%reader"];

#[test]
fn a_copy_goes_on_when_its_connections_are_ended() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, jobs, publish) in [
        ("append", "1", "once"),
        ("append", "2", "once"),
        ("append", "2", "prepared"),
        ("replace", "2", "once"),
        ("create", "2", "once"),
        ("upsert", "2", "once"),
    ] {
        let url = postgres();
        psql(&url, "create table source as select g as id, repeat('x', 200) as name from generate_series(1, 40000) g");
        if mode != "create" {
            psql(&url, "create table t (id int primary key, name text); insert into t values (0, 'old')");
        }
        let words = ["--mode", mode, "--jobs", jobs, "--publish", publish, "--limit-rate", "4MB/s"];
        let mut child = etl(&url, folder.path(), &words);
        for name in LOST {
            // One reader alone is the source's point in time.
            if jobs == "1" && name != LOST[0] {
                continue;
            }
            let ended = format!(
                "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() \
                 and application_name like '{name}' and query ilike 'copy%'"
            );
            until(&url, &ended, |count| count != "0");
            std::thread::sleep(Duration::from_millis(300));
        }
        assert!(child.wait().unwrap().success(), "{mode} {jobs}");
        let old = i64::from(["append", "upsert"].contains(&mode));
        let expected = format!("{}|{}|{}", 40_000 + old, 40_000 + old, 40_000_i64 * 40_001 / 2);
        assert_eq!(psql(&url, "select count(*), count(distinct id), sum(id) from t"), expected, "{mode} {jobs}");
        assert_eq!(psql(&url, LEFT), "", "{mode} {jobs}");
    }
}

#[test]
fn a_killed_copy_leaves_the_target_and_the_next_one_sweeps() {
    let folder = tempfile::tempdir().unwrap();
    let modes = ["append", "append", "truncate", "replace", "create", "upsert", "sync"];
    for (mode, jobs) in modes.into_iter().zip(["1", "2", "1", "2", "2", "2", "1"]) {
        let url = postgres();
        psql(&url, "create table source as select g as id, repeat('x', 200) as name from generate_series(1, 100000) g");
        let there = mode != "create";
        if there {
            psql(&url, "create table t (id int primary key, name text); insert into t values (0, 'old')");
        }
        let mut child = etl(&url, folder.path(), &["--mode", mode, "--jobs", jobs, "--limit-rate", "2MB/s"]);
        until(&url, WRITING, |count| count != "0");
        // SIGKILL: nothing of the program runs any more.
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        until(&url, CONNECTED, |count| count == "0");
        if there {
            assert_eq!(psql(&url, "select * from t"), "0|old", "{mode} {jobs}");
        } else {
            assert_eq!(psql(&url, "select to_regclass('t')"), "", "{mode} {jobs}");
        }
        if jobs == "2" {
            assert_ne!(psql(&url, LEFT), "", "{mode} {jobs}");
        }
        assert!(etl(&url, folder.path(), &["--mode", mode, "--jobs", "2"]).wait().unwrap().success(), "{mode} {jobs}");
        let rows = if ["append", "upsert"].contains(&mode) { "100001" } else { "100000" };
        assert_eq!(psql(&url, "select count(*) from t"), rows, "{mode} {jobs}");
        assert_eq!(psql(&url, LEFT), "", "{mode} {jobs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_whose_connection_is_ended_says_so() {
    for (mode, tasks) in
        [(WriteMode::Append, Tasks::One), (WriteMode::Append, Tasks::Many), (WriteMode::Create, Tasks::One)]
    {
        let url = postgres();
        if mode == WriteMode::Append {
            psql(&url, "create table t (id int, name text)");
        }
        let rows = batch(&[(1, Some("one"))]);
        let sink = sink(&url, "t");
        let agreement = sink.agree(&shape(&rows), &request(mode, tasks)).await.unwrap();
        let token = token();
        sink.prepare(&agreement, &token).await.unwrap();
        let mut writer = sink.writer(&agreement, &Attempt::new(token.clone(), 0, vec![0])).await.unwrap();
        writer.write(fitted(&rows, &agreement)).await.unwrap();
        let ended = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() \
                     and application_name like 'etl\\_write%'";
        assert_eq!(psql(&url, ended), "t");
        until(&url, WRITING, |count| count == "0");
        let error = writer.flush(&token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        assert!(error.to_string().contains("\"t\""), "{error}");
        sink.abort(&agreement, &token).await.unwrap();
        assert_eq!(psql(&url, LEFT), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_dropped_ends_on_the_server_too() {
    let url = postgres();
    psql(
        &url,
        "create table t (id int, name text);
        create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(300); return new; end';
        create trigger slow before insert on t for each row execute function slow()",
    );
    let rows = batch(&[(1, Some("one"))]);
    let sink = sink(&url, "t");
    let agreement = sink.agree(&shape(&rows), &request(WriteMode::Append, Tasks::Many)).await.unwrap();
    let token = token();
    sink.prepare(&agreement, &token).await.unwrap();
    let receipt = super::task(&*sink, &agreement, &token, (0, &rows)).await.unwrap();
    let sleeping =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    let dropped = async {
        let asleep = tokio::task::spawn_blocking({
            let url = url.clone();
            move || until(&url, sleeping, |count| count == "1")
        });
        tokio::select! {
            _ = sink.commit(&agreement, &token, std::slice::from_ref(&receipt)) => panic!("it cannot end so soon"),
            asleep = asleep => asleep.unwrap(),
        }
    };
    dropped.await;
    tokio::task::spawn_blocking({
        let url = url.clone();
        move || until(&url, sleeping, |count| count == "0")
    })
    .await
    .unwrap();
    sink.abort(&agreement, &token).await.unwrap();
    assert_eq!(psql(&url, "select count(*) from t"), "0");
    assert_eq!(psql(&url, LEFT), "");
}
