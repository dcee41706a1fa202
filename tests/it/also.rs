//! One read, several targets: each has all rows once, or none; what one of them refuses, the others get.

mod memory;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::program::{self, Ended, copied, end, etl, start};
use crate::server::{postgres, psql, sqlite3};

/// Rows enough for many splits.
const ROWS: &str = "gen:id:seq,note:text(200..200)?rows=160000";
const COUNTED: &str = "select count(*), count(distinct id), sum(id) from t";
const ONCE: &str = "160000|160000|12800080000";

fn run(folder: &Path, words: &[&str]) -> Ended {
    end(start(folder, words))
}

/// A copy that must succeed, with its result.
fn result(folder: &Path, words: &[&str]) -> Json {
    let done = run(folder, &[&["copy", "--progress", "none", "--output", "json"], words].concat());
    assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

/// Starts a copy and kills it once it has so many records of this kind.
fn killed_at(folder: &Path, words: &[&str], at: (&str, u64)) {
    program::killed_at(folder, &[&["copy", "-q"], words].concat(), at);
}

/// Tables of a stage that are left in the database.
fn stages(url: &str) -> String {
    psql(url, "select count(*) from pg_class where relname like 'etl_stage%' or relname like 'etl_own%'")
}

fn hidden(folder: &Path) -> usize {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
    std::fs::read_dir(folder).unwrap().map(name).filter(|name| name.starts_with(".etl-")).count()
}

#[test]
fn a_table_lands_in_postgres_parquet_and_sqlite() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(
        &url,
        "create table s (id bigint primary key, name text, amount numeric(12,2), d date, at timestamp, u uuid);
        insert into s select g, case when g % 7 = 0 then null else 'näme ' || g end, g * 1.25, date '2020-01-01' + (g % 900)::int,
        timestamp '2021-02-03 04:05:06.000007' + g * interval '1 second', md5(g::text)::uuid from generate_series(1, 20000) g",
    );
    let (source, target) = (format!("{url}#s"), format!("{url}#t"));
    let done =
        result(path, &[&source, &target, "--also", "t.parquet", "--also", "t.db#t", "--also", "null:", "-j", "2"]);
    assert_eq!((&done["rows"], &done["meter"]["rowsRead"]), (&json!(20000), &json!(20000)), "it is read once");
    let told: Vec<_> = done["targets"].as_array().unwrap().iter().map(|target| target["rows"].clone()).collect();
    assert_eq!(told, vec![json!(20000); 4]);
    let same = |table: &str| {
        let sql = format!("select count(*) from (select * from s except select * from {table}) x");
        (psql(&url, &sql), psql(&url, &format!("select count(*) from {table}")))
    };
    let all = || ("0".to_owned(), "20000".to_owned());
    assert_eq!(same("t"), all());
    copied(path, &["t.parquet", &format!("{url}#from_parquet")]);
    assert_eq!(same("from_parquet"), all());
    let sums = "select count(*), count(name), sum(id), min(d), max(d) from";
    assert_eq!(sqlite3(&path.join("t.db"), &format!("{sums} t")), psql(&url, &format!("{sums} s")));
    let rows = "select id, name, d, at from";
    let some = "where id % 1000 = 7 order by id";
    assert_eq!(sqlite3(&path.join("t.db"), &format!("{rows} t {some}")), psql(&url, &format!("{rows} s {some}")));
    assert_eq!((stages(&url), hidden(path)), ("0".to_owned(), 0));
}

#[test]
fn frames_pass_to_two_tables_of_postgres_as_they_are() {
    let (folder, url, other) = (tempfile::tempdir().unwrap(), postgres(), postgres());
    psql(
        &url,
        "create table s as select g id, (g || '.5')::numeric n, 'infinity'::timestamp at from generate_series(1, 9999) g;
        insert into s values (0, 'NaN', '-infinity')",
    );
    let (source, one, two) = (format!("{url}#s"), format!("{url}#t"), format!("{other}#t"));
    let words = [source.as_str(), &one, "--also", &two, "--also", "null:"];
    let plan = run(folder.path(), &[&["plan"], &words[..]].concat());
    assert!(plan.stdout.contains("raw="), "{}", plan.stdout);
    result(folder.path(), &words);
    let sums = "select count(*), sum(id), min(n), max(n), min(at), max(at) from";
    let expected = "10000|49995000|1.5|NaN|-infinity|infinity";
    assert_eq!(psql(&url, &format!("{sums} t")), expected);
    assert_eq!(psql(&other, &format!("{sums} t")), expected);
    // Parquet has no such values: then nobody gets them.
    let refused = run(folder.path(), &["copy", "-q", &source, &format!("{url}#u"), "--also", "u.parquet"]);
    assert_eq!(refused.code, 1);
    assert_eq!(psql(&url, "select count(*) from pg_class where relname = 'u'"), "0");
    assert!(!folder.path().join("u.parquet").exists());
}

/// `id,v,name` with so many rows; of each hundred one has a `v` that no smallint holds, and one a long name.
fn csv(path: &Path, rows: u64) {
    let mut text = "id,v,name\n".to_owned();
    for row in 1..=rows {
        let v = if row % 100 == 50 { 70_000 } else { row % 9 };
        let name = if row % 100 == 0 { "much longer" } else { "short" };
        writeln!(text, "{row},{v},{name}").unwrap();
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_file_lands_in_two_tables_each_with_its_own_types() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    csv(&folder.path().join("in.csv"), 5000);
    psql(&url, "create table a (id int, v bigint, name text); create table b (name varchar(20), id text, v float8)");
    let (a, b) = (format!("{url}#a"), format!("{url}#b"));
    result(folder.path(), &["in.csv", &a, "--also", &b, "-j", "2"]);
    let sums = "select count(*), sum(id::int), sum(v::int), sum(length(name)) / 22 from";
    assert_eq!(psql(&url, &format!("{sums} a")), psql(&url, &format!("{sums} b")));
    let v: u64 = (1..=5000u64).map(|row| if row % 100 == 50 { 70_000 } else { row % 9 }).sum();
    let letters: u64 = (1..=5000u64).map(|row| if row % 100 == 0 { 11 } else { 5 }).sum();
    assert_eq!(psql(&url, &format!("{sums} a")), format!("5000|12502500|{v}|{}", letters / 22));
}

#[test]
fn a_target_that_fails_leaves_all_as_they_were() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    csv(&path.join("in.csv"), 5000);
    psql(&url, "create table a (id int, v int, name text); insert into a values (0, 0, 'old')");
    psql(&url, "create table b (id int, v smallint, name text); insert into b values (0, 0, 'old')");
    let (a, b) = (format!("{url}#a"), format!("{url}#b"));
    for jobs in ["1", "2"] {
        for words in [["in.csv", &a, "--also", &b], ["in.csv", &b, "--also", &a]] {
            let more = ["--also", "out.parquet", "--mode", "append", "-j", jobs, "--cast", "v:int"];
            let failed = run(path, &[&["copy", "-q"], &words[..], &more].concat());
            assert_eq!(failed.code, 1);
            assert!(
                failed.stderr.contains("#\"public\".\"b\"") && failed.stderr.contains("column v"),
                "{}",
                failed.stderr
            );
            assert!(!failed.stderr.contains("committed"), "{}", failed.stderr);
            assert_eq!(psql(&url, "select count(*) from a; select count(*) from b"), "1\n1");
            assert_eq!((stages(&url), hidden(path), path.join("out.parquet").exists()), ("0".to_owned(), 0, false));
        }
    }
}

#[test]
fn what_one_target_refuses_the_others_get() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    csv(&path.join("in.csv"), 5000);
    psql(&url, "create table a (id int, v smallint, name text); create table b (id int, v smallint, name varchar(5))");
    let (a, b) = (format!("{url}#a"), format!("{url}#b"));
    let skip = ["--on-error", "skip", "--cast", "v:int", "--rejects", "bad.jsonl", "--max-errors", "2%"];
    let done = result(path, &[&["in.csv", &a, "--also", &b, "--also", "t.db#t"], &skip[..]].concat());
    // 50 rows fit neither table, 50 more do not fit the second one: 100 rows, and 2 % of all.
    assert_eq!((&done["rejected"], &done["rejects"]), (&json!(100), &json!("bad.jsonl")));
    let told = done["targets"].as_array().unwrap().iter().map(|target| (&target["rows"], &target["rejected"]));
    let expected = [(4950, 50), (4900, 100), (5000, 0)].map(|(rows, rejected)| (json!(rows), json!(rejected)));
    assert!(told.eq(expected.iter().map(|(rows, rejected)| (rows, rejected))), "{done}");
    assert_eq!(psql(&url, "select count(*), count(*) filter (where id % 100 = 50) from a"), "4950|0");
    assert_eq!(psql(&url, "select count(*), count(*) filter (where id % 50 = 0) from b"), "4900|0");
    assert_eq!(sqlite3(&path.join("t.db"), "select count(*), count(distinct id) from t"), "5000|5000");

    let text = std::fs::read_to_string(path.join("bad.jsonl")).unwrap();
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |table: &str, column: &str| {
        let named = format!("#\"public\".\"{table}\"");
        let is = |line: &&Json| {
            let reason = &line["__reject"];
            reason["target"].as_str().unwrap().ends_with(&named) && reason["column"] == column
        };
        lines.iter().filter(is).count()
    };
    assert_eq!((of("a", "v"), of("b", "v"), of("b", "name"), lines.len()), (50, 50, 50, 150));
    let less = ["--on-error", "skip", "--cast", "v:int", "--max-errors", "1.9%", "--mode", "replace"];
    let failed = run(path, &[&["copy", "-q", "in.csv", &a, "--also", &b], &less[..]].concat());
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("100 of 5000 rows were rejected"), "{}", failed.stderr);
    assert_eq!(psql(&url, "select count(*) from a; select count(*) from b"), "4950\n4900");
}

#[test]
fn rows_are_merged_into_each_target() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    let old =
        "create table t (id int primary key, name text); insert into t values (1, 'one'), (2, 'two'), (9, 'nine')";
    psql(&url, old);
    sqlite3(&path.join("t.db"), old);
    sqlite3(&path.join("t.db"), "insert into t values (3, 'three')");
    std::fs::write(path.join("in.csv"), "id,name\n1,one\n2,zwei\n3,drei\n4,vier\n").unwrap();
    let target = format!("{url}#t");
    let done = result(path, &["in.csv", &target, "--also", "t.db#t", "--mode", "upsert"]);
    let counts = |target: usize| {
        let merged = &done["targets"][target]["merged"];
        ["inserted", "updated", "deleted"].map(|what| merged[what].as_u64().unwrap())
    };
    assert_eq!((counts(0), counts(1)), ([2, 1, 0], [1, 2, 0]));
    let all = "1|one\n2|zwei\n3|drei\n4|vier\n9|nine";
    assert_eq!(psql(&url, "select * from t order by id"), all);
    assert_eq!(sqlite3(&path.join("t.db"), "select * from t order by id"), all);
    result(path, &["in.csv", &target, "--also", "t.db#t", "--mode", "sync"]);
    let gone = "1|one\n2|zwei\n3|drei\n4|vier";
    assert_eq!(psql(&url, "select * from t order by id"), gone);
    assert_eq!(sqlite3(&path.join("t.db"), "select * from t order by id"), gone);
}

#[test]
fn a_killed_copy_is_completed_in_both_targets() {
    for (target, kind) in [("t.parquet", ("wrote", 3)), ("t.csv", ("wrote", 4)), ("t.db#t", ("held", 1))] {
        let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
        let path = folder.path();
        let table = format!("{url}#t");
        let words = [ROWS, &table, "--also", target, "-j", "2"];
        // One writer makes one task, which is noted at its end.
        let kind = if target == "t.db#t" { ("planned", 1) } else { kind };
        killed_at(path, &[&words[..], &["--limit-rate", "50k rows/s"]].concat(), kind);
        let listed = run(path, &["jobs"]).stdout;
        assert!(listed.contains("#t, ") && listed.contains(target), "{listed}");
        let done = run(path, &[&["copy", "--progress", "none"], &words[..], &["--resume"]].concat());
        assert_eq!(done.code, 0, "{target}: {}", done.stderr);
        assert!(done.stderr.contains("going on with run"), "{target}: {}", done.stderr);
        assert_eq!(psql(&url, COUNTED), ONCE, "{target}");
        if target == "t.db#t" {
            assert_eq!(sqlite3(&path.join("t.db"), COUNTED), ONCE);
        } else {
            assert!(done.stderr.contains("splits were there from before"), "{target}: {}", done.stderr);
            psql(&url, "drop table t");
            copied(path, &[target, &table]);
            assert_eq!(psql(&url, COUNTED), ONCE, "{target}");
        }
        assert_eq!((stages(&url), hidden(path)), ("0".to_owned(), 0), "{target}");
    }
}

/// A table whose COMMIT does `what` when the row 7 came.
fn table_with_a_trigger(url: &str, what: &str) {
    psql(
        url,
        &format!(
            "create table t (id bigint, note text);
            create function late() returns trigger language plpgsql as $$ begin {what}; return null; end $$;
            create constraint trigger late after insert on t deferrable initially deferred
            for each row when (new.id = 7) execute function late()"
        ),
    );
}

#[test]
fn the_second_commit_fails_and_the_resume_writes_that_target_alone() {
    for jobs in ["1", "2"] {
        let (folder, one, two) = (tempfile::tempdir().unwrap(), postgres(), postgres());
        let path = folder.path();
        psql(&one, "create table t (id bigint, note text); insert into t values (0, 'old')");
        table_with_a_trigger(&two, "raise exception 'not today'");
        let (first, second) = (format!("{one}#t"), format!("{two}#t"));
        let words = [ROWS, &first, "--also", &second, "--mode", "append", "-j", jobs];
        let failed = run(path, &[&["copy", "-q"], &words[..]].concat());
        assert_eq!(failed.code, 1, "{}", failed.stderr);
        for word in ["committed: ", "; not committed: ", "not today", "--resume"] {
            assert!(failed.stderr.contains(word), "{jobs}: {word}: {}", failed.stderr);
        }
        // Begun anew, those of the first would come twice.
        let refused = run(path, &[&["copy", "-q"], &words[..]].concat());
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(refused.stderr.contains("they would come twice"), "{}", refused.stderr);
        assert_eq!(psql(&one, "select count(*) from t"), "160001");
        assert_eq!((psql(&two, "select count(*) from t"), stages(&two)), ("0".to_owned(), "0".to_owned()));
        psql(&two, "drop trigger late on t");
        let done = run(path, &[&["copy", "--progress", "none"], &words[..], &["--resume"]].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(done.stderr.contains("were not written again: "), "{}", done.stderr);
        assert_eq!(psql(&one, COUNTED), "160001|160001|12800080000");
        assert_eq!(psql(&two, COUNTED), ONCE);
        assert_eq!((stages(&one), stages(&two)), ("0".to_owned(), "0".to_owned()));
    }
}

#[test]
fn a_kill_between_two_commits_doubles_nothing() {
    let (folder, one, two) = (tempfile::tempdir().unwrap(), postgres(), postgres());
    let path = folder.path();
    psql(&one, "create table t (id bigint, note text)");
    table_with_a_trigger(&two, "perform pg_sleep(3)");
    let (first, second) = (format!("{one}#t"), format!("{two}#t"));
    let words = [ROWS, &first, "--also", &second, "--mode", "append", "-j", "2"];
    killed_at(path, &words, ("committed", 1));
    assert_eq!(psql(&one, COUNTED), ONCE);
    let done = run(path, &[&["copy", "--progress", "none"], &words[..], &["--resume"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!((psql(&one, COUNTED), psql(&two, COUNTED)), (ONCE.to_owned(), ONCE.to_owned()));
}

#[test]
fn positions_move_together_and_apart() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(&url, "create table s (id int, name text); insert into s select g, 'n' from generate_series(1, 100) g");
    let (source, table) = (format!("{url}#s"), format!("{url}#t"));
    let incremental = ["--mode", "incremental", "--cursor", "id"];
    let both = [&[source.as_str(), &table, "--also", "t.db#t", "--also", "t.csv"], &incremental[..]].concat();
    let add = |rows: &str| psql(&url, &format!("insert into s select g, 'n' from generate_series({rows}) g"));
    let there = || {
        let sums = "select count(*), count(distinct id), max(id) from t";
        let csv = std::fs::read_to_string(path.join("t.csv")).unwrap().lines().count() - 1;
        (psql(&url, sums), sqlite3(&path.join("t.db"), sums), csv)
    };
    let all = |rows: usize| (format!("{rows}|{rows}|{rows}"), format!("{rows}|{rows}|{rows}"), rows);
    assert_eq!(result(path, &both)["position"], "100");
    assert_eq!(there(), all(100));
    add("101, 150");
    let done = result(path, &both);
    assert_eq!((&done["rows"], &done["position"]), (&json!(50), &json!("150")));
    assert_eq!(there(), all(150));
    // One of them goes ahead alone.
    add("151, 160");
    assert_eq!(result(path, &[&[source.as_str(), "t.db#t"], &incremental[..]].concat())["rows"], 10);
    let refused = run(path, &[&["copy", "-q"], &both[..]].concat());
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("are at different positions"), "{}", refused.stderr);
    for behind in [table.as_str(), "t.csv"] {
        assert_eq!(result(path, &[&[source.as_str(), behind], &incremental[..]].concat())["rows"], 10, "{behind}");
    }
    add("161, 170");
    assert_eq!(result(path, &both)["rows"], 10);
    assert_eq!(there(), all(170));
}

#[test]
fn with_a_key_the_lowest_position_is_gone_on_with() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(&url, "create table s (id int, name text); insert into s select g, 'n' from generate_series(1, 100) g");
    let (source, table) = (format!("{url}#s"), format!("{url}#t"));
    let incremental = ["--mode", "incremental", "--cursor", "id", "--key", "id"];
    result(path, &[&[source.as_str(), &table], &incremental[..]].concat());
    psql(&url, "insert into s select g, 'n' from generate_series(101, 120) g");
    let done = result(path, &[&[source.as_str(), &table, "--also", "t.db#t"], &incremental[..]].concat());
    assert_eq!(done["targets"][1]["merged"]["inserted"], 120);
    assert_eq!(done["targets"][0]["merged"]["inserted"], 20);
    let sums = "select count(*), count(distinct id), max(id) from t";
    assert_eq!((psql(&url, sums), sqlite3(&path.join("t.db"), sums)), ("120|120|120".into(), "120|120|120".into()));
}

#[test]
fn targets_that_are_in_the_way_of_each_other_are_refused() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    std::fs::write(path.join("in.csv"), "id\n1\n").unwrap();
    let (short, long) = (format!("{url}#t"), format!("{url}#public.t"));
    psql(&url, "create table t (id int)");
    let whole = path.join("out.csv").display().to_string();
    let cases: [(&[&str], &str); 6] = [
        (&[&short, "--also", &long], "this target is named twice"),
        (&["out.csv", "--also", &whole], "this target is named twice"),
        (&["a.db#t", "--also", "./a.db#t"], "this target is named twice"),
        (&["a.db#t", "--also", "a.db#u"], "takes rows from one writer at a time"),
        (&["-", "--also", "-", "--to-format", "csv"], "stdout can be a target but once"),
        (&["out.csv", "--also", "out-*.csv"], "is a pattern"),
    ];
    for (words, message) in cases {
        let refused = run(path, &[&["copy", "-q", "in.csv"], words].concat());
        assert_eq!(refused.code, 2, "{words:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(message), "{words:?}: {}", refused.stderr);
    }
    assert_eq!(psql(&url, "select count(*) from t"), "0");
    let checked = run(path, &["copy", "-q", "in.csv", "out.parquet", "--also", "null:", "--verify", "checksum"]);
    assert!(checked.code == 2 && checked.stderr.contains("target null:"), "{}", checked.stderr);
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 2, "the source and the log of runs");
}

#[test]
fn the_plan_and_the_jobs_tell_of_each_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    csv(&path.join("in.csv"), 100);
    let words = ["in.csv", "out.parquet", "--also", "t.db", "--also", "null:"];
    let plan = run(path, &[&["plan"], &words[..]].concat());
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    for line in ["target       out.parquet", "also         ", "into         out.parquet", "into         null:"] {
        assert!(plan.stdout.lines().any(|known| known.starts_with(line)), "{line}: {}", plan.stdout);
    }
    assert_eq!(plan.stdout.matches("\ncolumns\n").count(), 3, "{}", plan.stdout);
    let json = run(path, &[&["plan", "--output", "json"], &words[..]].concat()).stdout;
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["target"], &json["also"][1]["target"]), (&json!("out.parquet"), &json!("null:")));
    assert_eq!(json["also"][0]["columns"].as_array().unwrap().len(), 3);
    // The rows pass on stdout, and the summary names every target.
    let done = run(path, &["copy", "--progress", "none", "in.csv", "-", "--to-format", "csv", "--also", "t.db"]);
    assert_eq!((done.code, done.stdout.lines().count()), (0, 101), "{}", done.stderr);
    assert!(done.stderr.contains("t.db#\"in\": 100 rows"), "{}", done.stderr);
    assert_eq!(sqlite3(&path.join("t.db"), "select count(*) from \"in\""), "100");
    let runs: Json = serde_json::from_str(&run(path, &["jobs", "--output", "json"]).stdout).unwrap();
    let id = runs["runs"][0]["run"].as_str().unwrap();
    let shown = run(path, &["jobs", "show", id]).stdout;
    assert!(shown.contains("also") && shown.contains("t.db#in") && shown.contains("100"), "{shown}");
    // What one of them cannot do is heard of before anything is done.
    let other = etl(path, &["plan", "in.csv", "out.parquet", "--also", "nowhere/out.csv"]);
    assert_ne!(other.code, 0, "{}", other.stdout);
}
