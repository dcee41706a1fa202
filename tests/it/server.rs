//! The servers of the tests, and their own clients, which say what is true.
#![allow(dead_code, reason = "each build of the tests uses some of these")]

pub(crate) mod own;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// URL of a fresh, empty database on the private server that `tests/run` started.
pub(crate) fn postgres() -> String {
    let Ok(server) = std::env::var("ETL_TEST_POSTGRES") else {
        panic!("this test needs PostgreSQL: run it by `tests/run`, which starts a private server");
    };
    let name = format!("t{}", uuid::Uuid::now_v7().simple());
    psql(&server, &format!("create database {name}"));
    let (before, _) = server.rsplit_once('/').expect("ETL_TEST_POSTGRES is a URL that ends in a database");
    format!("{before}/{name}")
}

/// What `psql` prints for `sql`: unaligned rows, fields parted by `|`, NULL as nothing. Fails on any SQL error.
pub(crate) fn psql(url: &str, sql: &str) -> String {
    feed(Command::new("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", url]), sql)
}

/// What `sqlite3` prints for `sql`: rows with fields parted by `|`, NULL as nothing. Fails on any SQL error.
pub(crate) fn sqlite3(database: &Path, sql: &str) -> String {
    feed(Command::new("sqlite3").args(["-batch", "-bail"]).arg(database), sql)
}

fn feed(command: &mut Command, input: &str) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} does not start ({error}): run the tests by `tests/run`"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // On a thread of its own: a client that prints much before it has read all would wait for us, and we for it.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let written = writer.join().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed: {complaint}");
    written.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.strip_suffix('\n').unwrap_or(&printed).to_owned()
}

#[test]
fn every_call_is_an_empty_database() {
    let (one, other) = (postgres(), postgres());
    psql(&one, "create table t (a int); insert into t values (1), (null)");
    assert_eq!(psql(&one, "table t"), "1\n");
    assert_eq!(psql(&other, "select count(*) from pg_class where relname = 't'"), "0");
}
