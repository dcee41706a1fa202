//! DuckDB through the suite of all connectors, and against its own client, which says what is true: its files, who has them open,
//! tables that are there and those that are made.

mod values;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit};
use arrow_etl::connectors;
use arrow_etl::endpoint::{Endpoint, ObjectRef, OpenRequest};
use arrow_etl::error::Result;
use arrow_etl::sink::WriteMode;
use arrow_etl::testing::conformance::{self, Fixture, Target};
use arrow_etl::testing::generate::{self, Limits};
use async_trait::async_trait;
use serde_json::json;

use crate::program::{copied, etl, killed_at, records, refused, start};
use crate::server::duckdb;

fn endpoint(path: &Path) -> Arc<dyn Endpoint> {
    connectors::find("duckdb").unwrap().endpoint(&json!({ "url": format!("duckdb:{}", path.display()) })).unwrap()
}

fn table(name: &str) -> ObjectRef {
    ObjectRef::Table(name.to_owned())
}

/// A table of a file that is not there yet, or of one that has another table.
#[derive(Debug)]
struct DuckDb {
    before: Option<&'static str>,
    table: &'static str,
}

#[async_trait]
impl Fixture for DuckDb {
    async fn target(&self) -> Result<Target> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("conformance.duckdb");
        if let Some(sql) = self.before {
            duckdb(&path, sql);
        }
        Ok(Target::opened_by(move || Ok(endpoint(&path)), table(self.table))?.keeping(folder))
    }

    async fn debris(&self, target: &Target) -> Result<Vec<String>> {
        let label = target.endpoint.label();
        let path = Path::new(label.strip_prefix("duckdb:").unwrap());
        let entries = std::fs::read_dir(path.parent().unwrap())?;
        let mut debris = Vec::new();
        for entry in entries {
            debris.push(entry?.file_name().into_string().unwrap());
        }
        // The log goes when the last connection has ended.
        debris.retain(|name| !["conformance.duckdb", "conformance.duckdb.wal"].contains(&name.as_str()));
        if path.exists() {
            let sql = "select table_name from duckdb_tables() where table_name not in ('other', 'conformance')";
            debris.extend(duckdb(path, sql).lines().map(str::to_owned));
        }
        Ok(debris)
    }

    fn modes(&self) -> Vec<WriteMode> {
        conformance::modes_by_key()
    }

    fn fields(&self) -> Vec<Field> {
        // It has no decimals of more than 38 digits: they become text.
        let kept = |field: &Field| !matches!(field.data_type(), DataType::Decimal256(..));
        generate::fields().into_iter().filter(kept).collect()
    }

    fn limits(&self) -> Limits {
        // Its compression takes the two zeros for one.
        Limits { negative_zero: false, years: (-4712, 200_000), ..Limits::default() }
    }

    fn returned(&self, field: &Field) -> DataType {
        match field.data_type() {
            DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            other => other.clone(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance() {
    for fixture in [
        DuckDb { before: None, table: "conformance" },
        DuckDb { before: Some("create table other (a int); create schema \"S 1\""), table: "\"S 1\".conformance" },
    ] {
        let report = conformance::check(&fixture).await;
        assert!(report.passed(), "{fixture:?}: {report}");
    }
}

const LARGE: &str =
    "create table t as select range as id, 'value ' || range as v, range % 7 = 0 as odd from range(1000000)";

#[test]
fn large_tables_go_by_several_readers_and_writers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    duckdb(
        &path.join("large.duckdb"),
        &format!("{LARGE}; delete from t where id % 10 = 3 or id between 200000 and 500000"),
    );
    let plan = etl(path, &["plan", "large.duckdb#t", "copy.duckdb#t", "-j", "4"]);
    assert!(plan.stdout.contains("4 ranges of ") && plan.stdout.contains(" groups of rows"), "{}", plan.stdout);
    copied(path, &["large.duckdb#t", "copy.duckdb#t", "-j", "4", "--verify", "checksum"]);
    let sql = format!(
        "attach '{}' as other (read_only); select count(*), (select count(*) from other.t), \
         (select count(*) from (from t except all from other.t)) from t",
        path.join("copy.duckdb").display()
    );
    let rows = duckdb(&path.join("large.duckdb"), "select count(*) from t");
    assert_eq!(duckdb(&path.join("large.duckdb"), &sql), format!("{rows}|{rows}|0"));
}

/// Rows behind whole groups wait beside the stage: they are there in the end, in their order, and the table has no group more
/// than it needs.
#[test]
fn the_last_rows_of_a_task_come_after_whole_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let view = "create view v as select range as id, 'value ' || range as v from range(300000)";
    duckdb(&path.join("source.duckdb"), view);
    let target = path.join("target.duckdb");
    for mode in ["create", "append"] {
        copied(path, &["source.duckdb#v", "target.duckdb#t", "--mode", mode]);
        if mode == "create" {
            let sql = "select count(*), count(*) filter (id = rowid and v = 'value ' || id) from t";
            assert_eq!(duckdb(&target, sql), "300000|300000");
            assert_eq!(duckdb(&target, "select count(distinct row_group_id) from pragma_storage_info('t')"), "3");
        }
        assert_eq!(duckdb(&target, "select string_agg(table_name, ' ') from duckdb_tables()"), "t");
    }
    assert_eq!(duckdb(&target, "select count(*), sum(id) from t"), "600000|89999700000");
}

#[test]
fn filters_mean_the_same_in_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    duckdb(
        &path.join("t.duckdb"),
        "create table t (id int, v varchar, n varchar collate nocase, f double, d date);
         insert into t values (1, 'a', 'A', 'nan', '2024-01-01'), (2, 'B', 'b', -0.0, '2024-06-01'), (3, null, null, null, null)",
    );
    copied(path, &["t.duckdb#t", "t.csv"]);
    for filter in
        ["v < 'a'", "n = 'a'", "n < 'a'", "f > 1", "f = 0.0", "d >= date '2024-02-01'", "v is null or id in (1, 2)"]
    {
        copied(path, &["t.duckdb#t", "a.csv", "--where", filter, "--mode", "replace"]);
        copied(
            path,
            &[
                "t.csv", "b.csv", "--where", filter, "--mode", "replace", "--cast", "f:double", "--cast", "id:int",
                "--cast", "d:date",
            ],
        );
        let text = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
        assert_eq!(text("a.csv"), text("b.csv"), "{filter}");
    }
}

/// Whether the client gets through with `sql`, in `mode`.
fn tried(path: &Path, sql: &str, read_only: &str) -> bool {
    let python = std::env::var("ETL_TEST_PYTHON").expect("run the tests by `tests/run`");
    let program =
        format!("import duckdb, sys; duckdb.connect(sys.argv[1], read_only={read_only}).execute(sys.argv[2])");
    Command::new(python).args(["-c", &program]).arg(path).arg(sql).output().unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_reads_what_is_read_and_cannot_change_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.duckdb");
    duckdb(&path, "create table t as select 1 as a");
    let request = OpenRequest { objects: vec![table("t")], readers: 2, ..OpenRequest::default() };
    let session = endpoint(&path).open(&request).await.unwrap();
    assert!(tried(&path, "from t", "True"));
    assert!(!tried(&path, "insert into t values (2)", "False"));
    endpoint(&path).ping().await.unwrap();
    assert!(!tried(&path, "insert into t values (2)", "False"), "the lock is gone");
    session.close().await.unwrap();
    assert!(tried(&path, "insert into t values (2)", "False"));
}

#[test]
fn a_file_that_another_program_holds_is_said_to_be_held() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    duckdb(&path.join("t.duckdb"), "create table t as select 1 as a");
    let python = std::env::var("ETL_TEST_PYTHON").expect("run the tests by `tests/run`");
    let hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()";
    let mut holder = Command::new(python)
        .args(["-c", hold])
        .arg(path.join("t.duckdb"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.as_mut().unwrap()), &mut line).unwrap();
    for words in [["t.duckdb?busyTimeout=0#t", "out.csv"], ["gen:id:seq?rows=1", "t.duckdb?busyTimeout=0#n"]] {
        let done = etl(path, &[&["copy", "-q"], &words[..]].concat());
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains("another program has the database file open"), "{}", done.stderr);
    }
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

#[test]
fn a_library_that_is_missing_or_another_one_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let of = |library: &Path| {
        let mut etl = crate::program::command(path, &["copy", "-q", "gen:id:seq?rows=1", "t.duckdb#t"]);
        let done = etl.env("DUCKDB_LIB", library).output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, told) = of(Path::new("/nowhere/libduckdb.so"));
    assert_eq!(code, Some(1));
    assert!(told.contains("/nowhere/libduckdb.so") && told.contains("https://duckdb.org/install"), "{told}");
    let other = std::fs::read_dir("/usr/lib/x86_64-linux-gnu").unwrap().flatten().map(|entry| entry.path());
    let other = other.into_iter().find(|path| path.to_string_lossy().contains("/libm.so.")).expect("there is a libm");
    let (_, told) = of(&other);
    assert!(told.contains("no function duckdb_adbc_init"), "{told}");
    std::fs::write(path.join("libduckdb.so"), "no library").unwrap();
    let (_, told) = of(path);
    assert!(told.contains("does not load"), "{told}");
    let Some(old) = std::env::var_os("ETL_TEST_OLD_DUCKDB") else {
        panic!("this test needs an old library of DuckDB: run it by `tests/run`, which fetches it");
    };
    let (code, told) = of(Path::new(&old));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("this library is DuckDB v1.1.3, and 1.2 is the first that is understood"), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{told}");
    assert!(!path.join("t.duckdb").exists());
}

#[test]
fn files_that_are_no_database_are_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("t.duckdb"), "no database at all, but some text").unwrap();
    for words in [["t.duckdb#t", "t.csv"], ["gen:id:seq?rows=1", "t.duckdb#t"]] {
        let done = etl(path, &[&["copy", "-q"], &words[..]].concat());
        assert!(done.stderr.contains("the file is no DuckDB database"), "{}", done.stderr);
    }
    assert_eq!(std::fs::read_to_string(path.join("t.duckdb")).unwrap(), "no database at all, but some text");
    let done = etl(path, &["copy", "-q", "missing.duckdb#t", "t.csv"]);
    assert!(done.code == 1 && done.stderr.contains("it does not exist"), "{}", done.stderr);
    assert!(!path.join("missing.duckdb").exists());
}

/// A copy that is killed leaves the target as it was, and the tasks that had ended are not done again.
#[test]
fn a_killed_copy_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    duckdb(&path.join("source.duckdb"), LARGE);
    for (mode, before) in [
        ("create", None),
        ("append", Some("create table t (id bigint, v varchar, odd boolean); insert into t values (-1, 'old', false)")),
    ] {
        let target = path.join(format!("{mode}.duckdb"));
        if let Some(sql) = before {
            duckdb(&target, sql);
        }
        let locator = format!("{mode}.duckdb#t");
        let words =
            ["copy", "-q", "source.duckdb#t", &locator, "--mode", mode, "-j", "2", "--limit-rate", "300k rows/s"];
        let done = records(path, "wrote");
        killed_at(path, &words, ("wrote", done + 1));
        let sql = "select count(*) from duckdb_tables() where table_name = 't'";
        assert_eq!(duckdb(&target, sql), if before.is_some() { "1" } else { "0" }, "{mode}");
        if before.is_some() {
            assert_eq!(duckdb(&target, "select count(*) from t"), "1", "{mode}");
        }
        let mut resumed = words.to_vec();
        resumed.truncate(8);
        let ended =
            crate::program::end(start(path, &[&["copy", "--resume", "--output", "json"], &resumed[2..]].concat()));
        assert_eq!(ended.code, 0, "{mode}: {}", ended.stderr);
        let sql = "select count(*), count(distinct id), sum(id) from t where id >= 0";
        assert_eq!(duckdb(&target, sql), "1000000|1000000|499999500000", "{mode}");
        let sql = "select string_agg(table_name, ' ') from duckdb_tables()";
        assert_eq!(duckdb(&target, sql), "t", "{mode}");
    }
}

#[test]
fn a_copy_that_begins_anew_removes_what_a_killed_one_staged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let target = path.join("t.duckdb");
    duckdb(&path.join("source.duckdb"), LARGE);
    duckdb(&target, "create table t (id bigint, v varchar, odd boolean)");
    let job = ["source.duckdb#t", "t.duckdb#t", "--mode", "append", "-j", "2"];
    let slowly = ["--limit-rate", "300k rows/s"];
    killed_at(path, &[&["copy", "-q"], &job[..], &slowly].concat(), ("wrote", records(path, "wrote") + 1));
    let tables = "select string_agg(table_name, ' ' order by table_name) from duckdb_tables()";
    assert!(duckdb(&target, tables).contains("etl_stage_"));
    // With the same record of runs.
    crate::program::done(start(path, &[&["copy", "-q"], &job[..]].concat()));
    assert_eq!(duckdb(&target, tables), "t");
    assert_eq!(duckdb(&target, "select count(*), count(distinct id) from t"), "1000000|1000000");
}

#[test]
fn a_copy_that_fails_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("t.csv"), "id\n1\n2\nx\n").unwrap();
    let done = etl(path, &["copy", "-q", "t.csv", "t.duckdb#t", "--cast", "id:int"]);
    assert_eq!(done.code, 1);
    let mut left: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.retain(|name| name != "state");
    assert_eq!(left, ["t.csv"]);
}

/// The file has the rows in its log then, from which its own client reads them.
#[test]
fn a_checkpoint_that_fails_after_the_commit_is_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let (path, database) = (folder.path(), folder.path().join("t.duckdb"));
    duckdb(&database, "create table s as select range as id from range(1000)");
    // The source holds the database open, and with it the setting.
    let failing = "set global debug_checkpoint_abort = 'before_header'";
    let done = etl(path, &["copy", "t.duckdb#s", "t.duckdb#t", "--pre-sql", failing]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("note: ") && done.stderr.contains("writing them into the file failed"),
        "{}",
        done.stderr
    );
    assert_eq!(duckdb(&database, "select count(*), sum(id) from t"), "1000|499500");
    let done = etl(path, &["copy", "t.duckdb#s", "t.duckdb#other"]);
    assert!(done.code == 0 && !done.stderr.contains("failed"), "{}", done.stderr);
}

/// Loads need little of DuckDB's memory; a view of the same file may need more than they leave.
#[test]
fn a_view_that_needs_memory_is_copied_within_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, database) = (folder.path(), folder.path().join("t.duckdb"));
    duckdb(
        &database,
        "create table s as select range as id, md5(range::varchar) as v from range(400000);
         create view w as select id, length(string_agg(v, '') over (partition by id % 7 order by id
             rows between 3 preceding and current row)) as letters from s",
    );
    copied(path, &["t.duckdb#w", "t.duckdb#t"]);
    // Of seven parts the first three rows have fewer than four texts of 32 letters.
    let sums = "select count(*), count(distinct id), sum(letters) from t";
    assert_eq!(duckdb(&database, sums), "400000|400000|51198656");
}

/// DuckDB has little memory to read a table; a long text may need more of it, when many rows were handed over already.
#[test]
fn a_long_text_behind_many_short_ones_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, database) = (folder.path(), folder.path().join("t.duckdb"));
    duckdb(
        &database,
        "create table t as select range as id, 'value ' || range as v from range(300000);
         insert into t select 300000, repeat('long text ', 4000000);
         insert into t select range, 'value ' || range from range(300001, 310000)",
    );
    for channels in ["1", "3"] {
        let target = format!("copy{channels}.duckdb");
        copied(path, &["t.duckdb#t", &format!("{target}#t"), "-j", channels]);
        let sql = "select count(*), count(distinct id), sum(id), max(length(v)), \
                   count(*) filter (v = 'value ' || id) from t";
        assert_eq!(duckdb(&path.join(target), sql), "310000|310000|48049845000|40000000|309999", "{channels}");
    }
    copied(path, &["t.duckdb#t", "copy1.duckdb#t", "--mode", "append"]);
    let sql = "select count(*), sum(id), count(*) filter (length(v) = 40000000) from t";
    assert_eq!(duckdb(&path.join("copy1.duckdb"), sql), "620000|96099690000|2");
    copied(path, &["t.duckdb#t", "some.duckdb#t", "--where", "id >= 299990 and id < 300010"]);
    assert_eq!(duckdb(&path.join("some.duckdb"), "select count(*), sum(length(v)) from t"), "20|40000228");
}

#[test]
fn rows_that_the_table_refuses_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let database = path.join("t.duckdb");
    duckdb(
        &database,
        "create table p (a int primary key); insert into p values (1);
         create table t (id int primary key, mail varchar unique, a int references p(a), n int check (n > 0));
         insert into t values (1, 'x', 1, 1)",
    );
    let rows = ["10,a,1,1", "10,b,1,1", "1,c,1,1", "11,x,1,1", "12,d,2,1", "13,e,1,0", "14,f,,", "15,a,1,1"];
    std::fs::write(path.join("in.csv"), format!("id,mail,a,n\n{}\n", rows.join("\n"))).unwrap();
    let words = ["copy", "-q", "in.csv", "t.duckdb#t", "--mode", "append"];
    let done = etl(path, &words);
    assert!(done.code == 1 && done.stderr.contains("refuses a row"), "{}", done.stderr);
    assert_eq!(duckdb(&database, "select count(*) from t"), "1");
    let done = etl(path, &[&words[..], &["--on-error", "skip", "--rejects", "bad.jsonl"]].concat());
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(duckdb(&database, "select string_agg(id, ' ' order by id) from t"), "1 10 14");
    let bad = std::fs::read_to_string(path.join("bad.jsonl")).unwrap();
    assert_eq!(bad.lines().count(), 6, "{bad}");
}

#[test]
fn names_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let database = path.join("odd name.duckdb");
    duckdb(
        &database,
        "create schema \"My Schema\"; create table \"My Schema\".\"Order.s\" (\"a \"\"b\" int, \"select\" varchar); insert into \"My Schema\".\"Order.s\" values (1, 'x')",
    );
    copied(
        path,
        &["duckdb:odd name.duckdb#\"my schema\".\"order.s\"", "duckdb:odd name.duckdb#\"My Schema\".\"co\"\"py\""],
    );
    assert_eq!(duckdb(&database, "select \"a \"\"b\", \"select\" from \"My Schema\".\"co\"\"py\""), "1|x");
    // A schema that is not there is made, as is a file.
    copied(path, &["duckdb:odd name.duckdb#\"my schema\".\"order.s\"", "duckdb:new.duckdb#fresh.t"]);
    assert_eq!(duckdb(&path.join("new.duckdb"), "select count(*) from fresh.t"), "1");
    let listed = etl(path, &["list", "duckdb:odd name.duckdb"]);
    assert!(listed.stdout.is_empty() || listed.code == 0, "{}", listed.stderr);
}

#[test]
fn generated_columns_and_defaults_are_the_tables_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let database = path.join("t.duckdb");
    duckdb(
        &database,
        "create table t (id int, g int generated always as (id + 1), d varchar default 'x, GENERATED ALWAYS AS (1)')",
    );
    std::fs::write(path.join("in.csv"), "id\n5\n").unwrap();
    copied(path, &["in.csv", "t.duckdb#t", "--mode", "append", "--schema", "ignore"]);
    assert_eq!(duckdb(&database, "select id, g, d from t"), "5|6|x, GENERATED ALWAYS AS (1)");
    copied(path, &["t.duckdb#t", "out.csv"]);
    assert_eq!(std::fs::read_to_string(path.join("out.csv")).unwrap(), "id,g,d\n5,6,\"x, GENERATED ALWAYS AS (1)\"\n");
}

#[test]
fn a_column_that_is_not_read_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let value = "union_value(n := 1)::union(n int, s varchar)";
    duckdb(&path.join("t.duckdb"), &format!("create table t as select 1 as id, {value} as u, 'x' as v"));
    let text = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    copied(path, &["t.duckdb#t", "t.csv", "--drop", "u"]);
    assert_eq!(text("t.csv"), "id,v\n1,x\n");
    copied(path, &["t.duckdb#t", "some.csv", "--select", "v", "--where", "id = 1"]);
    assert_eq!(text("some.csv"), "v\nx\n");
    let query = format!("select {value} as u, 2 as id");
    copied(path, &["t.duckdb", "--query", &query, "query.csv", "--drop", "u"]);
    assert_eq!(text("query.csv"), "id\n2\n");
    for words in [&["t.duckdb#t", "no.csv"][..], &["t.duckdb#t", "no.csv", "--drop", "v"]] {
        let told = refused(path, words);
        assert!(told.contains("column u: values of the type UNION(n INTEGER, s VARCHAR) are not copied"), "{told}");
    }
    assert!(!path.join("no.csv").exists());
}
