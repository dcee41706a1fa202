//! A target that somebody else has locked, and two copies into one target at once.

use super::*;
use crate::program::Ended;
use crate::server::{postgres, sqlite3};

const LOCKED: &str = "select count(*) from pg_locks where granted and mode = 'AccessExclusiveLock' \
                      and relation = to_regclass('t') and database = (select oid from pg_database where datname = current_database())";
const HALF: &str = "gen:id:seq,note:text(100..100)?rows=100000";

/// A target with one row, and its URL as a place.
fn target() -> (String, String) {
    let url = postgres();
    psql(&url, "create table t (id bigint, note text); insert into t values (0, 'old')");
    (format!("{url}#t"), url)
}

/// Locks the target for some seconds.
fn lock(url: &str, seconds: u64) -> std::thread::JoinHandle<String> {
    let holder = url.to_owned();
    let holder = std::thread::spawn(move || psql(&holder, &format!("begin; lock table t; select pg_sleep({seconds})")));
    until(url, LOCKED, |count| count == "1");
    holder
}

/// Side by side, as all of them wait. A wait for a lock is begun anew after three seconds: each does that.
#[test]
fn a_target_that_is_locked_for_a_while_is_waited_for() {
    let waits = |(mode, jobs, publish): (&str, &str, &str)| {
        let folder = tempfile::tempdir().unwrap();
        let (target, url) = target();
        let holder = lock(&url, 6);
        let words = [HALF, &target, "--mode", mode, "-j", jobs, "--publish", publish];
        done(start(folder.path(), &words));
        holder.join().unwrap();
        let rows = if mode == "append" { "100001" } else { "100000" };
        assert_eq!(psql(&url, "select count(*) from t"), rows, "{words:?}");
        assert_eq!(psql(&url, LEFT), "0", "{words:?}");
    };
    std::thread::scope(|threads| {
        for case in [
            ("append", "1", "once"),
            ("append", "2", "once"),
            ("append", "2", "task"),
            ("append", "2", "prepared"),
            ("replace", "2", "once"),
            ("truncate", "1", "once"),
        ] {
            threads.spawn(move || waits(case));
        }
    });
}

#[test]
fn a_target_that_stays_locked_ends_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (target, url) = target();
    let holder = lock(&url, 600);
    let ended =
        program::end(program::start(folder.path(), &["copy", HALF, &target, "--mode", "append", "--retry", "0"]));
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("lock"), "{}", ended.stderr);
    psql(&url, "select pg_terminate_backend(pid) from pg_locks where granted and relation = 't'::regclass");
    holder.join().unwrap_err();
    assert_eq!(psql(&url, "select * from t"), "0|old");
}

#[test]
fn two_copies_into_one_table_at_once_both_arrive() {
    let folder = tempfile::tempdir().unwrap();
    for publish in ["once", "prepared", "task"] {
        let (target, url) = target();
        let words = |rows| [rows, &*target, "--mode", "append", "-j", "2", "--publish", publish];
        let (one, two) = (start(folder.path(), &words(ROWS)), start(folder.path(), &words(HALF)));
        done(one);
        done(two);
        assert_eq!(psql(&url, "select count(*), count(distinct id) from t"), "300001|200001", "{publish}");
        assert_eq!(psql(&url, LEFT), "0", "{publish}");
    }
}

#[test]
fn of_two_copies_that_make_one_table_one_does() {
    for target in ["postgres", "sqlite", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let url = postgres();
        let place = match target {
            "postgres" => format!("{url}#t"),
            "sqlite" => "t.db#t".to_owned(),
            _ => "t.parquet".to_owned(),
        };
        let words = |rows| [rows, &*place, "-j", "2"];
        let copies = [("200000", start(folder.path(), &words(ROWS))), ("100000", start(folder.path(), &words(HALF)))];
        let mut made = Vec::new();
        for (rows, copy) in copies {
            match end(copy) {
                Ended { code: 0, .. } => made.push(rows),
                Ended { code, stderr, .. } => assert!(
                    code == 1 && ["exists", "made by somebody else"].iter().any(|word| stderr.contains(word)),
                    "{target}: {code} {stderr}"
                ),
            }
        }
        let counted = program::etl(folder.path(), &["count", &place]);
        assert_eq!(made, [counted.stdout.trim()], "{target}: {}", counted.stderr);
        assert_eq!(psql(&url, LEFT), "0", "{target}");
    }
}

#[test]
fn the_plan_says_whom_locks_keep_waiting() {
    let (folder, (target, url)) = (tempfile::tempdir().unwrap(), target());
    psql(&url, "alter table t add primary key (id)");
    sqlite3(&folder.path().join("old.db"), "create table t (id integer, note text)");
    let cases: [(&[&str], &str); 7] = [
        (&[&target, "out.csv"], "TRUNCATE, VACUUM FULL, DROP and most ALTER TABLE of what is read wait"),
        (&[HALF, &target, "--mode", "append", "-j", "1"], "neither alter, truncate nor index it"),
        (&[HALF, &target, "--mode", "append", "-j", "2"], "not alter it while rows are inserted at the end"),
        (&[HALF, &target, "--mode", "truncate", "-j", "1"], "nobody else can read or write it"),
        (&[HALF, &target, "--mode", "replace", "-j", "2"], "then it is locked for the moment of the exchange"),
        (&[HALF, &target, "--mode", "upsert", "-j", "2"], "not alter it while rows are merged at the end"),
        (&[HALF, "old.db#t", "--mode", "append"], "other writers of the file wait from the first row to the commit"),
    ];
    for (words, said) in cases {
        let planned = program::etl(folder.path(), &[&["plan", "--output", "json"], words].concat());
        assert!(planned.stdout.contains(said), "{words:?}: {}{}", planned.stdout, planned.stderr);
    }
    // Nobody waits for what is not there yet.
    let planned = program::etl(folder.path(), &["plan", HALF, &format!("{url}#new"), "-j", "2"]);
    assert!(planned.code == 0 && !planned.stdout.contains("others can"), "{}{}", planned.stdout, planned.stderr);
}
