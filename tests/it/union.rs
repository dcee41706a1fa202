//! Several sources, one transfer: every row of each once, in common types, or nothing.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::program::{copied, end, etl, killed_at, refused, start};
use crate::server::{postgres, psql, sqlite3};

/// A file with these tables.
fn shop(folder: &Path, sql: &str) {
    sqlite3(&folder.join("shop.db"), sql);
}

fn result(folder: &Path, words: &[&str]) -> Json {
    let done = etl(folder, &[&["copy", "--progress", "none", "--output", "json"], words].concat());
    assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

#[test]
fn tables_and_files_land_as_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    shop(
        path,
        "create table a (id integer, name text); insert into a values (1, 'one'), (2, null);
         create table b (name text, id integer); insert into b values ('two', 2), ('three', 3);",
    );
    fs::write(path.join("c.csv"), "id,name\n4,four\n5000000000,five\n").unwrap();
    let done = result(path, &["shop.db#a", "all.csv", "--union", "shop.db#b", "--union", "c.csv", "-j", "2"]);
    assert_eq!((&done["rows"], &done["source"]), (&json!(6), &json!("sqlite:shop.db#a, sqlite:shop.db#b, c.csv")));
    let wanted = "id,name\n1,one\n2,\n2,two\n3,three\n4,four\n5000000000,five\n";
    assert_eq!(fs::read_to_string(path.join("all.csv")).unwrap(), wanted);
}

#[test]
fn postgres_tables_of_other_widths_are_widened_and_filtered() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table a (id int, amount numeric(6,2), at timestamptz);
         create table b (id bigint, amount numeric(12,4), at timestamptz);
         insert into a select g, g * 0.25, '2020-01-01Z' from generate_series(1, 1000) g;
         insert into b select g * 10000000000, g * 0.0625, '2021-01-01Z' from generate_series(1, 1000) g",
    );
    let (a, b, all) = (format!("{url}#a"), format!("{url}#b"), format!("{url}#all_of_them"));
    copied(folder.path(), &[&a, &all, "--union", &b, "--where", "id > 500"]);
    let lacks = "select count(*) from ((select * from a where id > 500 union all select * from b) except all \
                 select * from all_of_them) x";
    assert_eq!(
        (psql(&url, lacks), psql(&url, "select count(*) from all_of_them")),
        ("0".to_owned(), "1500".to_owned())
    );
    let types = "select string_agg(format_type(atttypid, atttypmod), ',' order by attnum) from pg_attribute \
                 where attrelid = 'all_of_them'::regclass and attnum > 0";
    assert_eq!(psql(&url, types), "bigint,numeric(12,4),timestamp with time zone");
    let plan = etl(folder.path(), &["plan", &a, "null:", "--union", &b]).stdout;
    assert!(!plan.contains("no one point in time"), "one database has one snapshot: {plan}");
}

#[test]
fn sources_that_do_not_fit_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("a.csv"), "id,name\n1,one\n").unwrap();
    fs::write(path.join("b.csv"), "id\n1\n").unwrap();
    fs::write(path.join("c.csv"), "id,name\nx,one\n").unwrap();
    let error = refused(path, &["a.csv", "out.csv", "--union", "b.csv"]);
    assert!(error.contains("b.csv") && error.contains("column name") && error.contains("lacks a column"), "{error}");
    let error = refused(path, &["a.csv", "out.csv", "--union", "c.csv"]);
    assert!(error.contains("column id") && error.contains("no type in common"), "{error}");
    let error = refused(path, &["a.csv", "out.csv", "--union", "a.csv", "--verify", "rows"]);
    assert!(error.contains("several sources"), "{error}");
    assert!(!path.join("out.csv").exists());
}

#[test]
fn a_killed_copy_of_several_files_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["a.csv", "b.csv"] {
        copied(path, &["gen:id:seq,note:text(200..200)?rows=80000", name]);
    }
    let url = postgres();
    let target = format!("{url}#t");
    let words = ["copy", "-q", "a.csv", &target, "--union", "b.csv", "-j", "2"];
    killed_at(path, &[&words[..], &["--limit-rate", "50k rows/s"]].concat(), ("wrote", 2));
    let done = end(start(path, &[&words[..], &["--resume"]].concat()));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let counted = "select count(*), count(distinct id), sum(id) from t";
    // Each has 1 to 80000.
    assert_eq!(psql(&url, counted), "160000|80000|6400080000");
}

/// By their places, as jobs of DataX say it: names do not matter, and what has no type in common becomes text.
#[test]
fn columns_are_paired_by_their_places() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(
        &url,
        "create table a (id int, v numeric(6,2), at date); insert into a values (1, 1.50, '2020-01-01'), (2, null, null);
         create table b (v bigint, id numeric(12,4), note text); insert into b values (5000000000, 0.0625, 'x')",
    );
    let place = |table: &str| format!("{{\"locator\": \"{url}#{table}\"}}");
    let job = |union: &str, filter: &str| {
        format!(
            "{{\"transfers\": [{{\"sources\": [{}, {}], \"unionBy\": \"place\", \
             \"target\": {{\"locator\": \"out.csv\"}}, \"mode\": \"replace\", \"transform\": {{{filter}}}}}]}}",
            place("a"),
            place(union)
        )
    };
    let run = |text: String| {
        fs::write(path.join("job.json"), text).unwrap();
        etl(path, &["run", "-q", "job.json"])
    };
    let written = || fs::read_to_string(path.join("out.csv")).unwrap();
    let done = run(job("b", ""));
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(written(), "id,v,at\n1,1.5000,2020-01-01\n2,,\n5000000000,0.0625,x\n");
    // A filter by the common names, of which the other table has one at another place.
    let done = run(job("b", "\"filter\": \"id > 1\""));
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert_eq!(written(), "id,v,at\n2,,\n5000000000,0.0625,x\n");
    psql(&url, "create table c (id int, v numeric)");
    let refused = run(job("c", ""));
    assert!(refused.code != 0 && refused.stderr.contains("has 2 of 3"), "{}", refused.stderr);
}

/// Rows that a source cannot give are told by the names that all sources have.
#[test]
fn rejects_of_columns_that_are_paired_by_their_places_keep_their_values() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(
        &url,
        "create table a (id int, at date); insert into a values (1, '2020-01-01'), (2, 'infinity');
         create table b (n int, d date); insert into b values (3, '2020-01-03'), (4, '-infinity')",
    );
    let place = |table: &str| json!({"locator": format!("{url}#{table}")});
    let transfer = json!({"sources": [place("a"), place("b")], "unionBy": "place",
        "target": {"locator": "out.csv"},
        "errors": {"onError": "skip", "rejects": {"connector": "file", "url": "bad.jsonl"}}});
    fs::write(path.join("job.json"), json!({"transfers": [transfer]}).to_string()).unwrap();
    let done = etl(path, &["run", "-q", "job.json"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(fs::read_to_string(path.join("out.csv")).unwrap(), "id,at\n1,2020-01-01\n3,2020-01-03\n");
    let bad = fs::read_to_string(path.join("bad.jsonl")).unwrap();
    let mut told: Vec<Json> = bad.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    told.sort_by_key(|row| row["id"].to_string());
    let values: Vec<_> = told.iter().map(|row| (&row["id"], &row["at"])).collect();
    assert_eq!(values, [(&json!("2"), &json!("infinity")), (&json!("4"), &json!("-infinity"))]);
}
