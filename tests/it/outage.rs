//! Servers that stop and start, and networks that cut and stall, in the middle of a copy by the real binary.

mod disk;
mod locked;
mod proxy;
mod rights;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use self::proxy::Proxy;
use crate::program::{self, command, done, end, records};
use crate::server::own::Own;
use crate::server::{psql, until};

const ROWS: &str = "gen:id:seq,note:text(100..100)?rows=200000";
const COUNTED: &str = "select count(*), count(distinct id), sum(id) from t";
const ONCE: &str = "200000|200000|20000100000";
const COPYING: &str = "select count(*) from pg_stat_activity where datname = current_database() \
                       and query ilike 'copy%' and application_name like 'etl%'";
const LEFT: &str = "select count(*) from pg_class where relname like 'etl\\_stage%' or relname like 'etl\\_own%'";

fn start(folder: &Path, words: &[&str]) -> Child {
    let words = [&["copy", "--progress", "none", "--limit-rate", "100k rows/s", "--retry", "10"], words].concat();
    let mut copy = command(folder, &words);
    copy.env("XDG_STATE_HOME", folder.join("state")).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a copy says in whose midst `server` is stopped, by a signal, and started.
fn stopped_and_started(server: &mut Own, signal: &str, folder: &Path, words: &[&str]) -> String {
    let copy = start(folder, words);
    until(&server.url(), COPYING, |count| count != "0");
    std::thread::sleep(Duration::from_millis(400));
    server.end(signal);
    std::thread::sleep(Duration::from_millis(300));
    server.begin();
    done(copy)
}

#[test]
fn a_target_that_is_stopped_and_started_gets_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Own::start();
    let url = server.url();
    for (signal, mode, jobs, publish) in [
        ("-QUIT", "create", "2", "once"),
        ("-QUIT", "append", "1", "once"),
        ("-QUIT", "append", "2", "once"),
        ("-QUIT", "append", "2", "task"),
        ("-QUIT", "append", "2", "prepared"),
        ("-INT", "replace", "2", "once"),
    ] {
        psql(&url, "drop table if exists t");
        if mode != "create" {
            psql(&url, "create table t (id bigint, note text)");
        }
        let words = [ROWS, &format!("{url}#t"), "--mode", mode, "-j", jobs, "--publish", publish];
        let said = stopped_and_started(&mut server, signal, folder.path(), &words);
        assert!(said.contains("begun anew"), "{signal} {mode} {jobs}: {said}");
        assert_eq!(psql(&url, COUNTED), ONCE, "{signal} {mode} {jobs}");
        assert_eq!(psql(&url, LEFT), "0", "{signal} {mode} {jobs}");
    }
}

/// What one of them gets, another one may get the next time.
#[test]
fn writers_that_share_all_rows_get_over_a_stop_of_their_target() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Own::start();
    let url = server.url();
    psql(&url, "create table t (id bigint, note text)");
    let words = [ROWS, &format!("{url}#t"), "--mode", "append", "-j", "1", "--writers", "3"];
    let said = stopped_and_started(&mut server, "-QUIT", folder.path(), &words);
    assert!(said.contains("begun anew"), "{said}");
    assert_eq!((psql(&url, COUNTED), psql(&url, LEFT)), (ONCE.to_owned(), "0".to_owned()));
}

/// Of an unlogged table nothing outlives a crash, and of its stage neither; what notes its tasks does not say otherwise.
#[test]
fn a_crash_that_takes_rows_of_an_unlogged_stage_ends_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Own::start();
    psql(&server.url(), "create unlogged table t (id bigint, note text)");
    let copy = start(folder.path(), &[ROWS, &format!("{}#t", server.url()), "--mode", "append", "-j", "2"]);
    program::until(|| records(folder.path(), "wrote") > 0);
    server.end("-QUIT");
    std::thread::sleep(Duration::from_millis(300));
    server.begin();
    let ended = end(copy);
    assert_ne!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(psql(&server.url(), "select count(*) from t"), "0");
    assert_eq!(psql(&server.url(), LEFT), "0");
}

#[test]
fn a_source_that_is_stopped_ends_the_copy_with_nothing_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Own::start();
    psql(&server.url(), "create table s as select g as id, repeat('x', 300) as note from generate_series(1, 200000) g");
    let copy = start(folder.path(), &[&format!("{}#s", server.url()), "t.csv", "-j", "2"]);
    until(&server.url(), COPYING, |count| count != "0");
    server.end("-QUIT");
    let ended = end(copy);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(!folder.path().join("t.csv").exists());
    let hidden = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".etl"));
    assert_eq!(hidden.count(), 0, "{}", ended.stderr);
}

#[test]
fn connections_that_are_cut_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Own::start();
    let proxy = Proxy::start(server.port());
    for (mode, jobs) in [("create", "2"), ("append", "1"), ("append", "2")] {
        psql(&server.url(), "drop table if exists t; create table t (id bigint, note text)");
        let copy = start(folder.path(), &[ROWS, &format!("{}#t", proxy.url()), "--mode", mode, "-j", jobs]);
        for _ in 0..2 {
            until(&server.url(), COPYING, |count| count != "0");
            std::thread::sleep(Duration::from_millis(300));
            proxy.cut();
        }
        done(copy);
        assert_eq!(psql(&server.url(), COUNTED), ONCE, "{mode} {jobs}");
        assert_eq!(psql(&server.url(), LEFT), "0", "{mode} {jobs}");
    }
}

#[test]
fn a_network_that_stalls_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Own::start();
    let proxy = Proxy::start(server.port());
    let copy = start(folder.path(), &[ROWS, &format!("{}#t", proxy.url()), "-j", "2"]);
    until(&server.url(), COPYING, |count| count != "0");
    proxy.stall();
    std::thread::sleep(Duration::from_secs(2));
    proxy.go_on();
    done(copy);
    assert_eq!(psql(&server.url(), COUNTED), ONCE);
}
