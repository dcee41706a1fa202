//! What the servers and their tables are set to: modes of a session, keys with NULLs, engines without transactions, and connections
//! that are ended in the midst of a copy.

use std::process::Command;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{databases, table};
use crate::program::{copied, end, etl, records, refused, start, until};
use crate::server::{mariadb_client, mysql};

/// Modes in which texts, names and `char` columns are read otherwise, and another zone.
const SESSION: &str =
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH', time_zone = '+09:00'";

/// The locator of `name`, in sessions that are told `sql` first.
fn told(url: &str, sql: &str, name: &str) -> String {
    format!("{url}?session={}#{name}", utf8_percent_encode(sql, NON_ALPHANUMERIC))
}

#[test]
fn no_mode_of_a_session_changes_a_value() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        mariadb_client(
            &url,
            "set sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';
             create table t (id int auto_increment primary key, c char(5), v varchar(20), at timestamp null);
             insert into t values (0, 'ab', 'a\\\\b\"c''d', '2024-02-29 12:00:00'), (1, '', '', null), (7, null, 'x\\ny', null)",
        );
        copied(path, &[&told(&url, SESSION, "t"), "t.csv", "--where", "id < 7"]);
        assert_eq!(
            std::fs::read_to_string(path.join("t.csv")).unwrap(),
            "id,c,v,at\n0,ab,\"a\\b\"\"c'd\",2024-02-29 12:00:00+00:00\n1,\"\",\"\",\n",
            "{url}"
        );
        // A zero in a numbered column is a zero.
        mariadb_client(&url, "create table again like t");
        copied(path, &[&told(&url, SESSION, "t"), &told(&url, SESSION, "again"), "--mode", "append"]);
        let sums = mariadb_client(&url, "checksum table t, again");
        let sums: Vec<&str> = sums.lines().map(|line| line.split_once('\t').unwrap().1).collect();
        assert_eq!(sums[0], sums[1], "{url}");
        // Nor does a session without any strictness.
        std::fs::write(path.join("in.csv"), "id,c\n20,ok\n21,too long\n").unwrap();
        let lenient = told(&url, "SET sql_mode = ''", "again");
        let said = refused(path, &["in.csv", &lenient, "--mode", "append", "--schema", "ignore"]);
        assert!(said.contains("column c") && said.contains("row 2"), "{url}: {said}");
        assert_eq!(mariadb_client(&url, "select count(*) from again where id > 7"), "0", "{url}");
    }
}

#[test]
fn no_limit_of_a_session_leaves_rows_out() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        mariadb_client(&url, "create table t (id int primary key, v int); insert into t values (1, 1), (2, 2), (3, 3)");
        mariadb_client(&url, "create table u like t; insert into u values (1, 0), (4, 0)");
        let limits = "SET sql_select_limit = 1, sql_big_selects = 0, max_join_size = 1, sql_safe_updates = 1";
        for mode in ["upsert", "sync", "truncate"] {
            copied(path, &[&told(&url, limits, "t"), &told(&url, limits, "u"), "--mode", mode]);
            let kept = if mode == "upsert" { "1,2,3,4" } else { "1,2,3" };
            assert_eq!(mariadb_client(&url, "select group_concat(id order by id) from u"), kept, "{url} {mode}");
        }
        let query = ["--query", "select v from t order by v"];
        copied(path, &[&[told(&url, limits, "t").split('#').next().unwrap(), "v.csv"], &query[..]].concat());
        assert_eq!(std::fs::read_to_string(path.join("v.csv")).unwrap(), "v\n1\n2\n3\n", "{url}");
    }
}

#[test]
fn a_server_that_wants_a_key_in_each_table_takes_rows() {
    let url = mysql();
    let folder = tempfile::tempdir().unwrap();
    mariadb_client(&url, "create table t (id int primary key, v int); insert into t values (1, 1), (2, 2)");
    mariadb_client(&url, "create table u like t; insert into u values (3, 3)");
    let target = told(&url, "SET sql_require_primary_key = 1", "u");
    // Into a table beside first.
    copied(folder.path(), &[&table(&url, "t"), &target, "--mode", "append", "--verify", "checksum"]);
    assert_eq!(mariadb_client(&url, "select group_concat(v order by id) from u"), "1,2,3");
}

/// By the clock that the session has; what is written is an instant all the same.
#[test]
fn timestamps_are_read_by_a_clock_where_that_is_asked_for() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(
            &url,
            "set time_zone = '+00:00'; create table t (id int primary key, at timestamp null, d datetime);
             insert into t values (1, '2024-02-29 20:00:00', '2024-02-29 20:00:00'), (2, null, null); create table u like t",
        );
        let clock = told(&url, SESSION, "t").replace('#', "&timestamp=clock#");
        copied(folder.path(), &[&clock, "t.csv"]);
        let text = std::fs::read_to_string(folder.path().join("t.csv")).unwrap();
        assert_eq!(text, "id,at,d\n1,2024-03-01 05:00:00,2024-02-29 20:00:00\n2,,\n", "{url}");
        let target = told(&url, SESSION, "u").replace('#', "&timestamp=clock#");
        copied(folder.path(), &[&table(&url, "t"), &target, "--mode", "append"]);
        let shown = mariadb_client(&url, "set time_zone = '+00:00'; select at from u where id = 1");
        assert_eq!(shown.trim_end(), "2024-02-29 20:00:00", "{url}");
    }
}

#[test]
fn ranges_of_a_key_with_nulls_hold_every_row_once() {
    for url in databases() {
        reads_ranges_of_a_key_with_nulls(&url);
    }
}

pub(super) fn reads_ranges_of_a_key_with_nulls(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let doubled = "insert into t select k + pow(2, NUMBER), n + pow(2, NUMBER) from t; ";
    let doubled: String = (0..15).map(|number| doubled.replace("NUMBER", &number.to_string())).collect();
    mariadb_client(
        url,
        &format!(
            "create table t (k int unique, n int not null); insert into t values (0, 0); {doubled}
             update t set k = null where n % 10 = 0; analyze table t"
        ),
    );
    let plan = etl(folder.path(), &["plan", &table(url, "t"), "out.parquet", "-j", "4"]);
    assert!(plan.stdout.contains(" ranges of `k`"), "{url}: {}{}", plan.stdout, plan.stderr);
    copied(folder.path(), &[&table(url, "t"), &table(url, "u"), "-j", "4"]);
    let counts = "select count(*), count(distinct n), count(k), sum(k) from";
    let there = mariadb_client(url, &format!("{counts} u"));
    assert!(there.starts_with("32768\t32768\t29491\t"), "{url}: {there}");
    assert_eq!(there, mariadb_client(url, &format!("{counts} t")), "{url}");
}

#[test]
fn a_row_whose_other_unique_value_is_there_is_not_merged_into_that_one() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(
            &url,
            "create table t (id int primary key, mail varchar(9) unique, v int); insert into t values (1, 'a', 1), (2, 'b', 2)",
        );
        std::fs::write(folder.path().join("in.csv"), "id,mail,v\n2,b,20\n3,a,30\n").unwrap();
        let said = refused(folder.path(), &["in.csv", &table(&url, "t"), "--mode", "upsert"]);
        assert!(said.contains("its key is there already"), "{url}: {said}");
        assert_eq!(mariadb_client(&url, "select * from t order by id"), "1\ta\t1\n2\tb\t2", "{url}");
    }
}

#[test]
fn an_engine_without_transactions_is_said_to_promise_less() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        mariadb_client(&url, "create table t (id int) engine = MyISAM; insert into t values (1)");
        std::fs::write(path.join("in.csv"), "id\n2\n").unwrap();
        let plan = etl(path, &["plan", "in.csv", &table(&url, "t"), "--mode", "append"]);
        assert!(plan.stdout.contains("a repeated attempt may double rows"), "{url}: {plan:?}");
        assert!(plan.stdout.contains("MyISAM has no transactions"), "{url}: {plan:?}");
        let plan = etl(path, &["plan", &table(&url, "t"), "out.csv"]);
        assert!(plan.stdout.contains("the storage engine of t has no points in time"), "{url}: {plan:?}");
        copied(path, &["in.csv", &table(&url, "t"), "--mode", "append"]);
        assert_eq!(mariadb_client(&url, "select group_concat(id order by id) from t"), "1,2", "{url}");
    }
}

#[test]
fn sql_that_is_under_way_at_an_interrupt_ends_on_the_server_with_what_is_behind_it() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(&url, "create table t (id bigint); create table said (v int)");
        let sql = "insert into said values (1); do sleep(600); insert into said values (2)";
        let copy = start(
            folder.path(),
            &["copy", "-q", "gen:id:seq?rows=1", &table(&url, "t"), "--mode", "append", "--pre-sql", sql],
        );
        let asleep = "select count(*) from information_schema.processlist \
                      where db = database() and id <> connection_id() and info like '%sleep(600)%'";
        until(|| mariadb_client(&url, asleep) == "1");
        assert!(Command::new("kill").args(["-INT", &copy.id().to_string()]).status().unwrap().success());
        let ended = end(copy);
        assert_eq!(ended.code, 5, "{url}: {}", ended.stderr);
        until(|| mariadb_client(&url, asleep) == "0");
        let counted = "select (select count(*) from said) + (select count(*) from t)";
        assert_eq!(mariadb_client(&url, counted), "0", "{url}");
    }
}

/// In one transaction on the table itself, and into a table beside it.
#[test]
fn a_target_whose_connections_are_ended_ends_the_copy_with_nothing_done() {
    for url in databases() {
        mariadb_client(
            &url,
            "create table t (id bigint primary key, note text) character set utf8mb4; insert into t values (0, 'old')",
        );
        let target = table(&url, "t");
        for jobs in ["1", "2"] {
            let folder = tempfile::tempdir().unwrap();
            let rows = "gen:id:seq,note:text(100..100)?rows=6000";
            let words = ["copy", "-q", rows, &target, "--mode", "append", "-j", jobs, "--retry", "0"];
            let mut copy = start(folder.path(), &[&words[..], &["--limit-rate", "2k rows/s"]].concat());
            let ours = "from information_schema.processlist where db = database() and id <> connection_id()";
            let begin = Instant::now();
            while records(folder.path(), "planned") == 0
                || mariadb_client(&url, &format!("select count(*) {ours}")) == "0"
            {
                assert!(copy.try_wait().unwrap().is_none(), "{:?}", end(copy));
                assert!(begin.elapsed() < Duration::from_mins(1), "{url}");
                std::thread::sleep(Duration::from_millis(20));
            }
            // The writers begin.
            std::thread::sleep(Duration::from_secs(1));
            for id in mariadb_client(&url, &format!("select id {ours}")).lines() {
                mariadb_client(&url, &format!("kill {id}"));
            }
            let done = end(copy);
            assert_eq!(done.code, 1, "{url} {jobs}: {}", done.stderr);
            let sentences = done.stderr.lines().filter(|line| line.starts_with("error: ")).count();
            assert!(sentences == 1 && !done.stderr.contains("panicked"), "{url} {jobs}: {}", done.stderr);
            assert_eq!(mariadb_client(&url, "select count(*), max(note) from t"), "1\told", "{url} {jobs}");
        }
        // The next one finds nothing in its way, and leaves nothing.
        let folder = tempfile::tempdir().unwrap();
        copied(folder.path(), &["gen:id:seq,note:text(9..9)?rows=2000", &target, "--mode", "append", "-j", "2"]);
        assert_eq!(mariadb_client(&url, "select count(*) from t"), "2001", "{url}");
        assert_eq!(mariadb_client(&url, "show tables like 'etl\\_stage%'"), "", "{url}");
    }
}

/// Its rows are larger than all that may wait between the server and the file.
#[test]
fn a_source_whose_connections_are_ended_ends_the_copy_with_nothing_done() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let doubled = "insert into t select id + pow(2, NUMBER), pad from t; ";
        let doubled: String = (0..14).map(|number| doubled.replace("NUMBER", &number.to_string())).collect();
        mariadb_client(
            &url,
            &format!("create table t (id int, pad text); insert into t values (0, repeat('x', 6000)); {doubled}"),
        );
        let source = table(&url, "t");
        let words = ["copy", "-q", &source, "out.csv", "-j", "1", "--memory", "64MB", "--limit-rate", "200 rows/s"];
        let mut copy = start(folder.path(), &words);
        let ours = "from information_schema.processlist where db = database() and id <> connection_id()";
        let begin = Instant::now();
        while mariadb_client(&url, &format!("select count(*) {ours} and command = 'Execute'")) == "0" {
            assert!(copy.try_wait().unwrap().is_none(), "{:?}", end(copy));
            assert!(begin.elapsed() < Duration::from_mins(1), "{url}");
            std::thread::sleep(Duration::from_millis(20));
        }
        for id in mariadb_client(&url, &format!("select id {ours}")).lines() {
            mariadb_client(&url, &format!("kill {id}"));
        }
        let done = end(copy);
        assert_eq!(done.code, 1, "{url}: {}", done.stderr);
        assert_eq!(done.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{url}: {}", done.stderr);
        assert!(!done.stderr.contains("panicked"), "{url}: {}", done.stderr);
        assert!(!folder.path().join("out.csv").exists(), "{url}");
    }
}
