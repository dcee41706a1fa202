//! Whom a copy into MySQL or MariaDB keeps waiting: what the plan says of it, and what is so.

use std::time::{Duration, Instant};

use super::{databases, table};
use crate::program::{end, etl, refused, start};
use crate::server::mariadb_client;

const ROWS: &str = "gen:id:seq,v:seq?rows=4000";

/// What becomes of `sql` with a wait of at most a second: it `goes` or it `waits`.
fn tried(url: &str, sql: &str) -> String {
    mariadb_client(
        url,
        &format!(
            "delimiter //\ndrop procedure if exists tried //\n\
             create procedure tried() begin declare exit handler for 1205 select 'waits'; {sql}; select 'goes'; end //\n\
             set lock_wait_timeout = 1, innodb_lock_wait_timeout = 1 //\ncall tried() //"
        ),
    )
}

/// A table that is emptied in the transaction that fills it, since it refers to another.
fn with_table(url: &str) {
    mariadb_client(
        url,
        "create table parent (id int primary key);
         create table t (id bigint primary key, v bigint, parent int, foreign key (parent) references parent (id));
         insert into t values (0, 0, null);
         create table alone (id bigint primary key, v bigint); insert into alone values (0, 0);
         create table plain (id bigint, v bigint) engine = MyISAM; insert into plain values (0, 0)",
    );
}

#[test]
fn the_plan_says_whom_locks_keep_waiting() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        with_table(&url);
        let cases: [(&str, &[&str], &str); 7] = [
            ("alone", &["append", "-j", "1"], "others can read and write the table, and neither alter nor truncate it"),
            ("t", &["truncate", "-j", "1"], "from the first row to the commit who changes rows of the table waits"),
            (
                "alone",
                &["truncate"],
                "until the moment of the exchange, which waits for transactions that have used it",
            ),
            ("alone", &["upsert"], "who changes rows that the merge changes waits"),
            (
                "alone",
                &["append", "-j", "1", "--verify", "checksum"],
                "not alter it while rows are inserted at the end",
            ),
            ("t", &["truncate", "-j", "1", "--verify", "checksum"], "waits while they are exchanged at the end"),
            ("plain", &["append", "-j", "1"], "each statement that brings rows locks the whole table"),
        ];
        for (name, words, said) in cases {
            let target = table(&url, name);
            let words = [&["plan", "--output", "json", ROWS, &target, "--schema", "ignore", "--mode"], words].concat();
            let planned = etl(folder.path(), &words);
            assert!(planned.stdout.contains(said), "{words:?}: {}{}", planned.stdout, planned.stderr);
        }
        let planned = etl(folder.path(), &["plan", &table(&url, "alone"), "out.csv"]);
        assert!(planned.stdout.contains("TRUNCATE, RENAME and DROP of what is read wait"), "{planned:?}");
        // Nobody waits for what is not there yet.
        let planned = etl(folder.path(), &["plan", ROWS, &table(&url, "new")]);
        assert!(planned.code == 0 && !planned.stdout.contains("others can"), "{}{}", planned.stdout, planned.stderr);
    }
}

#[test]
fn a_table_that_is_emptied_and_filled_can_be_read_and_not_changed() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        with_table(&url);
        let target = table(&url, "t");
        let words = ["copy", "-q", ROWS, &target, "--mode", "truncate", "-j", "1", "--schema", "ignore"];
        let mut copy = start(folder.path(), &[&words[..], &["--limit-rate", "200 rows/s"]].concat());
        let begin = Instant::now();
        while tried(&url, "update t set v = 1 where id = 0") == "goes" {
            assert!(copy.try_wait().unwrap().is_none(), "{url}: {:?}", end(copy));
            assert!(begin.elapsed() < Duration::from_secs(15), "{url}: nobody waits");
        }
        assert_eq!(tried(&url, "alter table t comment 'x'"), "waits", "{url}");
        assert_eq!(mariadb_client(&url, "select count(*) from t where id = 0"), "1", "{url}");
        copy.kill().unwrap();
        copy.wait().unwrap();
    }
}

/// The server has said that it does not wait any longer: nothing is in doubt.
#[test]
fn a_lock_of_somebody_else_is_told_and_nothing_lands() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        with_table(&url);
        let target = table(&url, "alone");
        let holder = std::thread::spawn({
            let url = url.clone();
            move || mariadb_client(&url, "lock tables alone write; select sleep(10)")
        });
        let begin = Instant::now();
        while tried(&url, "update alone set v = 1 where id = 1") == "goes" {
            assert!(begin.elapsed() < Duration::from_secs(5), "{url}: nobody waits");
        }
        let said = refused(folder.path(), &[ROWS, &target, "--mode", "upsert"]);
        assert!(said.contains("another session holds a lock"), "{url}: {said}");
        assert!(!said.contains("the answer was lost"), "{url}: {said}");
        holder.join().unwrap();
        assert_eq!(mariadb_client(&url, "select count(*) from alone"), "1", "{url}");
        assert_eq!(mariadb_client(&url, "show tables like 'etl\\_stage%'"), "", "{url}");
    }
}

/// A server left to itself would let us wait for a day, or a year.
#[test]
fn a_table_that_somebody_has_locked_is_waited_for_and_named() {
    let check = |url: &str| {
        let folder = tempfile::tempdir().unwrap();
        with_table(url);
        let held = |seconds: u32| {
            let owned = url.to_owned();
            let lock = format!("lock tables alone write; do sleep({seconds})");
            let holder = std::thread::spawn(move || mariadb_client(&owned, &lock));
            let begin = Instant::now();
            while tried(url, "select 1 from alone limit 0") == "goes" {
                assert!(begin.elapsed() < Duration::from_secs(5), "{url}: nobody waits");
            }
            holder
        };
        let holder = held(6);
        let done = etl(folder.path(), &["copy", "-q", &table(url, "alone"), "alone.csv"]);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{url}");
        assert_eq!(std::fs::read_to_string(folder.path().join("alone.csv")).unwrap(), "id,v\n0,0\n", "{url}");
        holder.join().unwrap();
        let holder = held(16);
        let said = refused(folder.path(), &[&table(url, "alone"), "no.csv"]);
        assert!(said.contains("`alone`") && said.contains("another session holds a lock"), "{url}: {said}");
        assert!(said.contains("SHOW PROCESSLIST") && !folder.path().join("no.csv").exists(), "{url}: {said}");
        holder.join().unwrap();
    };
    let urls = databases();
    std::thread::scope(|scope| {
        for url in &urls {
            scope.spawn(|| check(url));
        }
    });
}
