//! Columns that are called as the row id is: `rowid`, in SQLite also `_rowid_` and `oid`, whatever their case. They hide it, and what goes
//! by row ids must not take them for it. What is there afterwards is asked of the databases' own clients.

use std::path::Path;

use serde_json::Value as Json;

use crate::program::{Ended, copied, etl, refused};
use crate::server::{duckdb, sqlite3};

/// More than eight megabytes each, so that several readers come.
const LARGE: &str = "
    create table a (ROWID int, v text);
    create table b (rowid int, _Rowid_ int, v text);
    create table c (rowid int, _rowid_ int, oid int, v text);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000)
    insert into a select -i, printf('%0200d', i) from n;
    insert into b select 7, ROWID, v from a;
    insert into c select 7, 7, ROWID, v from a;";

#[test]
fn tables_of_sqlite_are_cut_by_a_name_that_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let (path, from) = (folder.path(), folder.path().join("from.db"));
    sqlite3(&from, LARGE);
    for (table, says) in [("a", "ranges of \"_rowid_\""), ("b", "ranges of \"oid\""), ("c", "one stream: ")] {
        let (source, target) = (format!("from.db#{table}"), format!("to.db#{table}"));
        let plan = etl(path, &["plan", &source, &target, "-j", "3"]);
        assert!(plan.stdout.contains(says), "{}", plan.stdout);
        copied(path, &[&source, &target, "-j", "3", "--verify", "checksum"]);
        let sql = format!(
            "attach '{}' as other; select count(*), (select count(*) from other.{table}), \
             (select count(*) from (select * from main.{table} except select * from other.{table})) from main.{table}",
            path.join("to.db").display()
        );
        assert_eq!(sqlite3(&from, &sql), "50000|50000|0", "{table}");
    }
}

#[test]
fn tables_of_duckdb_are_read_by_one_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rows = "create table t as select 7 as ROWID, range as id, 'v' || range as v from range(300000)";
    duckdb(&path.join("from.duckdb"), rows);
    let plan = etl(path, &["plan", "from.duckdb#t", "to.duckdb#t", "-j", "3"]);
    assert!(plan.stdout.contains("one stream: a column of the table hides its row ids"), "{}", plan.stdout);
    copied(path, &["from.duckdb#t", "to.duckdb#t", "-j", "3", "--verify", "checksum"]);
    let sql = "select count(*), sum(id), min(rowid), max(rowid), count(distinct v) from t";
    assert_eq!(duckdb(&path.join("to.duckdb"), sql), "300000|44999850000|7|7|300000");
    let columns = "select string_agg(column_name, ' ' order by column_index) from duckdb_columns() where not internal";
    assert_eq!(duckdb(&path.join("to.duckdb"), columns), "ROWID id v");
}

type Ask = Box<dyn Fn(&str) -> String>;

/// One target of each of the two, by its name, and how it is asked.
fn targets(folder: &Path) -> [(&'static str, Ask); 2] {
    let (lite, duck) = (folder.join("t.db"), folder.join("t.duckdb"));
    [("t.db", Box::new(move |sql| sqlite3(&lite, sql))), ("t.duckdb", Box::new(move |sql| duckdb(&duck, sql)))]
}

#[test]
fn one_row_of_each_key_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let cases: [(&str, &str, &[&str], &str); 4] = [
        ("a", "rowid,k,v\n7,a,1\n7,b,2\n7,a,3\n", &["k", "--on-duplicate", "last-arrived"], "7|a|3\n7|b|2"),
        (
            "b",
            "k,ROWID,v\nx,1,2\ny,1,1\nz,2,9\n",
            &["ROWID", "--on-duplicate", "first", "--order-by", "v"],
            "y|1|1\nz|2|9",
        ),
        ("c", "rowid,k\n5,a\n9,a\n1,b\n", &["k", "--on-duplicate", "last", "--order-by", "rowid"], "9|a\n1|b"),
        (
            "d",
            "rowid,_rowid_,oid,k\n7,7,7,a\n7,7,7,b\n8,8,8,a\n",
            &["k", "--on-duplicate", "last-arrived"],
            "8|8|8|a\n7|7|7|b",
        ),
    ];
    for (name, rows, _, _) in &cases {
        std::fs::write(path.join(format!("{name}.csv")), rows).unwrap();
    }
    for (target, ask) in targets(path) {
        for (name, _, words, expected) in &cases {
            let done = upserted(path, name, target, words);
            assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{target}: {name}");
            assert_eq!(ask(&format!("select * from {name} order by k")), *expected, "{target}: {name}");
        }
        let done = upserted(path, "b", target, &["ROWID"]);
        assert!(done.code == 1 && done.stderr.contains("key ROWID: rows 1 and 2"), "{target}: {}", done.stderr);
        assert_eq!(ask("select * from b order by k"), "y|1|1\nz|2|9", "{target}");
    }
}

/// Merges the file and the table called `name`, by the key that `words` begin with.
fn upserted(folder: &Path, name: &str, target: &str, words: &[&str]) -> Ended {
    let (from, to) = (format!("{name}.csv"), format!("{target}#{name}"));
    etl(folder, &[&["copy", "-q", &from, &to, "--mode", "upsert", "-j", "1", "--key"], words].concat())
}

/// Copies `from`, leaving bad rows out, and gives what the summary says: rows and rejected ones.
fn skipped(folder: &Path, from: &str, target: &str, mode: &str) -> (u64, u64) {
    let words = ["copy", "-q", from, target, "--mode", mode, "--on-error", "skip", "--output", "json"];
    let done = etl(folder, &words);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{from} {mode}");
    let summary: Json = serde_json::from_str(&done.stdout).unwrap();
    (summary["rows"].as_u64().unwrap(), summary["rejected"].as_u64().unwrap())
}

#[test]
fn rows_that_sqlite_refuses_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path(), folder.path().join("t.db"));
    // The first refers to one behind it; of the last two one refers to nothing, and the other to that one.
    let rows = "2,1,3\n3,2,\n4,5,99\n5,1,4\n";
    std::fs::write(path.join("t.csv"), format!("id,rowid,up\n{rows}")).unwrap();
    sqlite3(&file, "create table t (id int primary key, rowid int, up int references t)");
    for mode in ["append", "truncate"] {
        assert_eq!(skipped(path, "t.csv", "t.db#t", mode), (2, 2), "{mode}");
        assert_eq!(sqlite3(&file, "select * from t order by id"), "2|1|3\n3|2|", "{mode}");
    }

    // Without a name for the row id rows can be tried one by one, but none can be taken out again.
    let hidden = "create table h (id int primary key, rowid int, _rowid_ int, oid int, up int references h)";
    sqlite3(&file, hidden);
    std::fs::write(path.join("h.csv"), "id,rowid,_rowid_,oid,up\n2,1,1,1,3\n3,1,1,1,\n4,1,1,1,99\n").unwrap();
    assert_eq!(skipped(path, "h.csv", "t.db#h", "append"), (2, 1));
    let told = refused(path, &["h.csv", "t.db#h", "--mode", "truncate", "--on-error", "skip"]);
    assert!(told.contains("there would be rows that refer to rows which are no longer there"), "{told}");
    assert_eq!(sqlite3(&file, "select * from h order by id"), "2|1|1|1|3\n3|1|1|1|");
}

#[test]
fn rows_that_duckdb_refuses_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path(), folder.path().join("t.duckdb"));
    duckdb(&file, "create table t (rowid int primary key, v int check (v > 0)); insert into t values (6, 6)");
    // A check fails, a key comes twice, and one is there.
    std::fs::write(path.join("t.csv"), "rowid,v\n7,1\n8,-1\n7,2\n9,3\n6,1\n").unwrap();
    assert_eq!(skipped(path, "t.csv", "t.duckdb#t", "append"), (2, 3));
    assert_eq!(duckdb(&file, "select * from t order by v"), "7|1\n9|3\n6|6");

    // A table that is made, with a key.
    sqlite3(
        &path.join("s.db"),
        "create table s (rowid int not null primary key, v text); insert into s values (5, 'a'), (3, 'b')",
    );
    copied(path, &["s.db#s", "t.duckdb#s", "--verify", "checksum"]);
    assert_eq!(duckdb(&file, "select * from s order by v"), "5|a\n3|b");
    let key = "select array_to_string(constraint_column_names, ' ') from duckdb_constraints() \
               where table_name = 's' and constraint_type = 'PRIMARY KEY'";
    assert_eq!(duckdb(&file, key), "rowid");
    assert_eq!(duckdb(&file, "select string_agg(table_name, ' ' order by table_name) from duckdb_tables()"), "s t");
}
