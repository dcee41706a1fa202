//! Rows of transactions that are under way while an incremental copy reads. Where rows are counted the server is the test's own: the
//! transactions of others are under way, too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use arrow_etl::error::ErrorKind;
use arrow_etl::sink::{Merge, WriteMode};
use arrow_etl::testing::faults::{Fault, Faults, Point};

use super::{done, faulty, incremental};
use crate::program::{command, run};
use crate::server::own::Own;
use crate::server::{postgres, psql, sqlite3};

/// A session of `psql` that stays open.
struct Open {
    psql: Child,
    answers: BufReader<ChildStdout>,
}

impl Open {
    fn begin(url: &str) -> Self {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut psql = psql.spawn().unwrap();
        let answers = BufReader::new(psql.stdout.take().unwrap());
        Self { psql, answers }
    }

    /// Runs `sql`, which gives no rows, to its end.
    fn run(&mut self, sql: &str) {
        writeln!(self.psql.stdin.as_mut().unwrap(), "{sql};\n\\echo done").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "{sql}");
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.psql.stdin.take());
        let _ = self.psql.wait();
    }
}

/// A server in which nothing happens by itself.
pub(super) fn still() -> Own {
    let server = Own::start();
    psql(&server.url(), "alter system set autovacuum = off; select pg_reload_conf()");
    server
}

/// What is said of the copy that `ended` is the end of.
fn notes(ended: &crate::program::Ended) -> String {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let result: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    result["notes"].to_string()
}

#[test]
fn rows_of_transactions_that_ran_are_found_by_the_next_copy() {
    let (server, folder) = (still(), tempfile::tempdir().unwrap());
    let url = server.url();
    let cases: [(&str, &[&str]); 3] = [("", &[]), ("", &["--no-pushdown"]), (" partition by range (id)", &[])];
    for (number, (kind, words)) in cases.into_iter().enumerate() {
        let row = |id: u32, minute: u32| format!("insert into s{number} values ({id}, '2024-01-01 00:{minute:02}Z')");
        psql(&url, &format!("create table s{number} (id int primary key, at timestamptz not null){kind}"));
        if !kind.is_empty() {
            let of = format!("partition of s{number} for values from");
            psql(&url, &format!("create table p1 {of} (0) to (3); create table p2 {of} (3) to (99)"));
        }
        psql(&url, &row(1, 0));
        let (source, target) = (format!("{url}#s{number}"), format!("{url}#t{number}"));
        let words = [&["--cursor", "at", "--key", "id"], words].concat();
        let run = || done(&incremental(folder.path(), &source, &target, &words));
        let (mut writer, mut reader) = (Open::begin(&url), Open::begin(&url));
        writer.run(&format!("begin; {}; savepoint a; {}; release savepoint a", row(2, 9), row(3, 1)));
        writer.run(&format!("savepoint b; {}; rollback to savepoint b", row(9, 1)));
        // It will have a number when it writes.
        reader.run("begin");
        psql(&url, &row(4, 10));
        assert_eq!(run(), (2, "2024-01-01T00:10:00Z".to_owned()), "{kind} {words:?}");
        reader.run(&row(5, 2));
        reader.run("commit");
        writer.run("commit");
        // These three, and the row at the position.
        assert_eq!(run(), (4, "2024-01-01T00:10:00Z".to_owned()), "{kind} {words:?}");
        let differing =
            format!("(table s{number} except table t{number}) union all (table t{number} except table s{number})");
        assert_eq!(psql(&url, &differing), "");
        assert_eq!(psql(&url, &format!("select string_agg(id::text, ',' order by id) from t{number}")), "1,2,3,4,5");
        assert_eq!(run().0, 1);
    }
}

#[test]
fn where_nothing_ran_the_table_is_not_looked_through() {
    let (server, folder) = (still(), tempfile::tempdir().unwrap());
    let (url, path) = (server.url(), folder.path());
    psql(&url, "create table s (id int primary key, n int not null); insert into s values (1, 10), (4, 40)");
    let (source, words) = (format!("{url}#s"), ["--cursor", "n", "--key", "id"]);
    let copy = || done(&incremental(path, &source, "t.db#t", &words));
    let noted = || sqlite3(&path.join("t.db"), "select position from etl_positions");
    let plan = || {
        let all =
            [&["plan", source.as_str(), "t.db#t", "--output", "json", "--mode", "incremental"], &words[..]].concat();
        let planned = run(command(path, &all).env("XDG_STATE_HOME", path));
        assert_eq!(planned.code, 0, "{}", planned.stderr);
        planned.stdout
    };
    assert_eq!(copy(), (2, "40".to_owned()));
    assert!(noted().contains("\"running\":false"), "{}", noted());
    let planned = plan();
    assert!(!planned.contains("xmin") && !planned.contains("are running"), "{planned}");
    assert_eq!(copy(), (1, "40".to_owned()));
    // It has the last number that anybody has: the snapshot does not list it.
    let mut writer = Open::begin(&url);
    writer.run("begin; insert into s values (2, 20)");
    assert_eq!(psql(&url, "select pg_snapshot_xmin(s) = pg_snapshot_xmax(s) from pg_current_snapshot() s"), "t");
    assert_eq!(copy(), (1, "40".to_owned()));
    assert!(noted().contains("\"running\":true"), "{}", noted());
    writer.run("commit");
    let planned = plan();
    assert!(planned.contains("xmin") && planned.contains("the whole table is looked through"), "{planned}");
    assert_eq!(copy(), (2, "40".to_owned()));
    assert_eq!(sqlite3(&path.join("t.db"), "select id from t order by id"), "1\n2\n4");
    assert!(!plan().contains("xmin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_moves_with_the_commit_alone() {
    let url = postgres();
    psql(&url, "create table s (id int primary key); insert into s values (10)");
    let mut writer = Open::begin(&url);
    writer.run("begin; insert into s values (1)");
    let copy = async |faults: Faults| faulty(&url, None, &faults, WriteMode::Upsert(Merge::default())).await;
    let noted = || psql(&url, "select position from etl.positions");
    copy(Faults::new()).await.unwrap();
    writer.run("commit");
    let before = noted();
    assert!(before.contains("\"running\":true"), "{before}");
    let failed = copy(Faults::new().nth(Point::Commit, 1, Fault::Fail(ErrorKind::Constraint))).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Constraint);
    assert_eq!((noted(), psql(&url, "select id from t")), (before.clone(), "10".to_owned()));
    // It is carried out, and nobody hears of it.
    let lost = copy(Faults::new().nth(Point::Commit, 1, Fault::FailAfter(ErrorKind::Connection))).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Connection);
    assert_ne!(noted(), before);
    assert_eq!(psql(&url, "select id from t order by id"), "1\n10");
    copy(Faults::new()).await.unwrap();
    assert_eq!(psql(&url, "select id from t order by id"), "1\n10");
}

#[test]
fn what_is_not_found_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(&url, "create table s (id int primary key); insert into s values (10)");
    let into = |path: &Path, target: &str, words: &[&str]| {
        let words = [&["--cursor", "id"], words].concat();
        notes(&incremental(path, &format!("{url}#s"), &format!("{url}#{target}"), &words))
    };
    let copy = || into(folder.path(), "t", &["--key", "id"]);
    let mut writer = Open::begin(&url);
    writer.run("begin; insert into s values (1)");
    let said = into(folder.path(), "added", &[]);
    assert!(said.contains("is not copied: --key finds it"), "{said}");
    let said = copy();
    assert!(said.contains("is found by the next copy"), "{said}");
    writer.run("commit");
    psql(&url, r#"update etl.positions set position = replace(position, '"system":"', '"system":"9')"#);
    let said = copy();
    assert!(said.contains("this is another server") && said.contains("one copy of all rows"), "{said}");
    assert_eq!(psql(&url, "select id from t"), "10");
    // As it was noted before there were marks.
    psql(&url, "update etl.positions set position = position::json ->> 'position' where position like '{%'");
    let said = copy();
    assert!(said.contains("nothing but the position was kept"), "{said}");
    assert_eq!(psql(&url, r#"select count(*) from etl.positions where position like '%"oldest":%'"#), "1");
}
