//! Upsert and sync as a user runs them, into PostgreSQL and SQLite. What is there afterwards is asked of the clients.

use std::path::{Path, PathBuf};

use crate::program::{Ended, copied, etl};
use crate::server::{mariadb, mariadb_client, postgres, psql, sqlite3};

/// A target: how it is named and asked.
struct Target {
    locator: String,
    ask: Box<dyn Fn(&str) -> String>,
}

/// One target of each kind, in which `sql` was run.
fn targets(folder: &Path, sql: &str) -> [Target; 2] {
    let url = postgres();
    psql(&url, sql);
    let file = fresh(folder);
    sqlite3(&file, sql);
    [
        Target { locator: url.clone(), ask: Box::new(move |sql| psql(&url, sql)) },
        Target { locator: file.display().to_string(), ask: Box::new(move |sql| sqlite3(&file, sql)) },
    ]
}

fn fresh(folder: &Path) -> PathBuf {
    folder.join(format!("t{}.db", uuid::Uuid::now_v7().simple()))
}

fn csv(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn merge(folder: &Path, from: &str, to: &Target, words: &[&str]) -> Ended {
    let into = format!("{}#t", to.locator);
    etl(folder, &[&["copy", from, &into, "--progress", "none", "--output", "json"], words].concat())
}

/// Inserted, updated and deleted rows as the result says.
fn counts(done: &Ended) -> (u64, u64, u64) {
    assert_eq!(done.code, 0, "{}", done.stderr);
    let result: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let number = |name: &str| result["merged"][name].as_u64().unwrap();
    (number("inserted"), number("updated"), number("deleted"))
}

fn refused(done: &Ended, words: &[&str]) {
    assert_eq!(done.code, 1, "{} {}", done.stdout, done.stderr);
    for word in words {
        assert!(done.stderr.contains(word), "{word}: {}", done.stderr);
    }
}

const SHOP: &str = "create table t (id int primary key, name text, extra int default 7);
                    insert into t values (1, 'one', 1), (2, 'two', 2), (3, null, 3)";

#[test]
fn rows_that_differ_are_updated_and_new_ones_inserted() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "id,name\n1,one\n2,zwei\n3,drei\n4,vier\n");
    for target in targets(folder.path(), SHOP) {
        for words in [&["--mode", "upsert"][..], &["--mode", "upsert", "--key", "id", "-j", "1"]] {
            let done = merge(folder.path(), "a.csv", &target, &[words, &["--schema", "ignore"]].concat());
            let expected = if words.len() == 2 { (1, 2, 0) } else { (0, 0, 0) };
            assert_eq!(counts(&done), expected, "{}", target.locator);
            // A column that only the target has keeps its value, and gets its default.
            assert_eq!((target.ask)("select * from t order by id"), "1|one|1\n2|zwei|2\n3|drei|3\n4|vier|7");
        }
    }
}

#[test]
fn a_sync_makes_the_target_equal() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "id,name\n1,one\n3,drei\n4,vier\n");
    csv(folder.path(), "none.csv", "id,name\n");
    for target in targets(folder.path(), SHOP) {
        let sync = |from: &str, words: &[&str]| {
            let all = [&["--mode", "sync", "--schema", "ignore", "--cast", "id:int"], words].concat();
            merge(folder.path(), from, &target, &all)
        };
        assert_eq!(counts(&sync("a.csv", &[])), (1, 1, 1), "{}", target.locator);
        assert_eq!((target.ask)("select * from t order by id"), "1|one|1\n3|drei|3\n4|vier|7");
        refused(&sync("none.csv", &[]), &["a sync would delete all rows", "--allow-empty"]);
        assert_eq!((target.ask)("select count(*) from t"), "3");
        assert_eq!(counts(&sync("none.csv", &["--allow-empty"])), (0, 0, 3));
        assert_eq!((target.ask)("select count(*) from t"), "0");
    }
}

#[test]
fn keys_of_several_columns_and_of_text() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "a,b,n\nx,1,10\nX,1,20\n\u{e9},2,30\n\"it's \"\"x\"\"\",2,40\n");
    let sql = "create table t (b int, a text, n int, primary key (a, b)); \
               insert into t values (1, 'x', 1), (1, 'y', 2), (2, '\u{e9}', 3)";
    for target in targets(folder.path(), sql) {
        assert_eq!(counts(&merge(folder.path(), "a.csv", &target, &["--mode", "upsert"])), (2, 2, 0));
        let expected = "it's \"x\"|2|40\nX|1|20\nx|1|10\ny|1|2\n\u{e9}|2|30";
        let rows = (target.ask)("select a, b, n from t order by n, a");
        let mut rows: Vec<&str> = rows.lines().collect();
        rows.sort_unstable();
        let mut expected: Vec<&str> = expected.lines().collect();
        expected.sort_unstable();
        assert_eq!(rows, expected, "{}", target.locator);
    }
}

/// Statements that look for keys which come twice have words of their own for a row's place and rank.
#[test]
fn a_key_may_be_called_place_or_rank() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "place,rank\n5,1\n1,2\n5,2\n");
    for target in targets(folder.path(), "create table t (place int, rank int)") {
        for key in ["place", "rank"] {
            let done = merge(folder.path(), "a.csv", &target, &["--mode", "upsert", "--key", key]);
            refused(&done, &[&format!("key {key}: "), "have the same key"]);
        }
        let words = ["--mode", "upsert", "--key", "place", "--on-duplicate", "last-arrived", "-j", "1"];
        assert_eq!(counts(&merge(folder.path(), "a.csv", &target, &words)), (2, 0, 0));
        assert_eq!((target.ask)("select * from t order by place"), "1|2\n5|2", "{}", target.locator);
    }
}

#[test]
fn a_collation_that_ignores_case_makes_keys_the_same() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "name,n\nANNA,2\nbob,3\n");
    csv(folder.path(), "twice.csv", "name,n\nANNA,2\nanna,3\n");
    let url = postgres();
    psql(
        &url,
        "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        create table t (name text collate blind primary key, n int); insert into t values ('Anna', 1)",
    );
    let file = fresh(folder.path());
    sqlite3(&file, "create table t (name text collate nocase primary key, n int); insert into t values ('Anna', 1)");
    let (asked, filed) = (url.clone(), file.clone());
    let targets = [
        Target { locator: url, ask: Box::new(move |sql| psql(&asked, sql)) },
        Target { locator: file.display().to_string(), ask: Box::new(move |sql| sqlite3(&filed, sql)) },
    ];
    for target in targets {
        refused(&merge(folder.path(), "twice.csv", &target, &["--mode", "upsert"]), &["key name", "have the same key"]);
        assert_eq!(counts(&merge(folder.path(), "a.csv", &target, &["--mode", "upsert"])), (1, 1, 0));
        assert_eq!((target.ask)("select * from t order by n"), "Anna|2\nbob|3", "{}", target.locator);
    }
}

#[test]
fn a_key_without_an_index_merges_too() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "id,name\n2,zwei\n5,\n");
    let sql = "create table t (id int, name text); insert into t values (1, 'one'), (2, 'two'), (null, 'none')";
    for target in targets(folder.path(), sql) {
        refused_usage(&merge(folder.path(), "a.csv", &target, &["--mode", "upsert"]), "neither source nor target has");
        assert_eq!(counts(&merge(folder.path(), "a.csv", &target, &["--mode", "upsert", "--key", "id"])), (1, 1, 0));
        assert_eq!((target.ask)("select * from t where id is not null order by id"), "1|one\n2|zwei\n5|");
        assert_eq!((target.ask)("select count(*) from t"), "4", "{}", target.locator);
    }
}

fn refused_usage(done: &Ended, word: &str) {
    assert!(done.code == 2 || done.code == 1, "{}", done.stderr);
    assert!(done.stderr.contains(word), "{}", done.stderr);
}

#[test]
fn null_in_a_key_names_row_and_column() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "id,name\n5,five\n,secret\n");
    for target in targets(folder.path(), "create table t (id int unique, name text); insert into t values (1, 'one')") {
        let done = merge(folder.path(), "a.csv", &target, &["--mode", "upsert", "--key", "id"]);
        refused(&done, &["column id", "row 2"]);
        assert!(!done.stderr.contains("secret"), "{}", done.stderr);
        assert_eq!((target.ask)("select * from t"), "1|one", "{}", target.locator);
    }
}

#[test]
fn keys_that_come_twice() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "id,name,at\n1,early,10\n2,only,5\n1,late,20\n1,never,\n");
    csv(folder.path(), "tie.csv", "id,name,at\n1,a,10\n1,b,10\n1,c,5\n");
    for target in targets(folder.path(), "create table t (id int primary key, name text, at int)") {
        let upsert = |from: &str, words: &[&str]| {
            let by_name = ["--mode", "upsert"];
            merge(folder.path(), from, &target, &[&by_name, words].concat())
        };
        let done = upsert("a.csv", &[]);
        refused(&done, &["have the same key", "key id", "rows 1 and 4", "--on-duplicate"]);
        assert!(!done.stderr.contains("early"), "{}", done.stderr);
        assert_eq!((target.ask)("select count(*) from t"), "0");
        assert_eq!(counts(&upsert("a.csv", &["--on-duplicate", "first", "--order-by", "at"])), (2, 0, 0));
        assert_eq!((target.ask)("select * from t order by id"), "1|early|10\n2|only|5", "{}", target.locator);
        assert_eq!(counts(&upsert("a.csv", &["--on-duplicate", "last", "--order-by", "at"])), (0, 1, 0));
        assert_eq!((target.ask)("select * from t order by id"), "1|late|20\n2|only|5", "{}", target.locator);
        let tie = upsert("tie.csv", &["--on-duplicate", "last", "--order-by", "at"]);
        refused(&tie, &["does not say which one counts", "key id", "rows 1 and 2"]);
        // What is not the last may be there twice.
        assert_eq!(counts(&upsert("tie.csv", &["--on-duplicate", "first", "--order-by", "at"])), (0, 1, 0));
        assert_eq!((target.ask)("select * from t where id = 1"), "1|c|5");
    }
}

/// Rows of many lengths, so that a server fills the room that it left in earlier pages, and the place of a row says nothing.
#[test]
fn the_last_to_arrive_stays_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let line = |row: usize| format!("{},{row},{}\n", row % 100, "x".repeat(row * 37 % 1500));
    csv(folder.path(), "a.csv", &format!("id,n,name\n{}", (0..6000).map(line).collect::<String>()));
    let sql = "create table t (id int primary key, n int, name text); insert into t values (7, -1, 'old')";
    let url = mariadb();
    mariadb_client(&url, sql);
    let asked = url.clone();
    let ask = move |sql: &str| mariadb_client(&asked, sql).trim_end().replace('\t', "|");
    let in_mariadb = Target { locator: url, ask: Box::new(ask) };
    for target in targets(folder.path(), sql).into_iter().chain([in_mariadb]) {
        let words = |which: &'static str| ["--mode", "upsert", "-j", "1", "--on-duplicate", which];
        let last = merge(folder.path(), "a.csv", &target, &words("last-arrived"));
        assert_eq!(counts(&last), (99, 1, 0), "{}", target.locator);
        let all = "select count(*), min(n - id), max(n - id), min(length(name) - n * 37 % 1500) from t";
        assert_eq!((target.ask)(all), "100|5900|5900|0", "{}", target.locator);
        let first = merge(folder.path(), "a.csv", &target, &words("first-arrived"));
        assert_eq!(counts(&first), (0, 100, 0), "{}", target.locator);
        assert_eq!((target.ask)(all), "100|0|0|0", "{}", target.locator);
        // A table that is made keeps no column of ours.
        (target.ask)("drop table t");
        let key = [&words("last-arrived")[..], &["--key", "id"]].concat();
        assert_eq!(counts(&merge(folder.path(), "a.csv", &target, &key)), (100, 0, 0), "{}", target.locator);
        assert_eq!((target.ask)(all), "100|5900|5900|0", "{}", target.locator);
        let row = (target.ask)("select * from t where id = 0");
        assert_eq!(row.split('|').collect::<Vec<_>>(), ["0", "5900", &"x".repeat(800)], "{}", target.locator);
        let into = format!("{}#t", target.locator);
        let plan = etl(folder.path(), &[&["plan", "a.csv", &into], &words("last-arrived")[..]].concat());
        assert!(plan.stdout.contains("of several rows with one key the last to arrive stays"), "{}", plan.stdout);
    }
}

#[test]
fn another_unique_index_that_refuses_a_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "id,mail\n2,one\n3,three\n");
    let sql = "create table t (id int primary key, mail text unique); insert into t values (1, 'one'), (2, 'two')";
    for target in targets(folder.path(), sql) {
        let done = merge(folder.path(), "a.csv", &target, &["--mode", "upsert"]);
        refused(&done, &["mail", "another key and the same value"]);
        assert_eq!((target.ask)("select * from t order by id"), "1|one\n2|two", "{}", target.locator);
        // By a sync the row with this value goes first.
        assert_eq!(counts(&merge(folder.path(), "a.csv", &target, &["--mode", "sync"])), (1, 1, 1));
        assert_eq!((target.ask)("select * from t order by id"), "2|one\n3|three", "{}", target.locator);
    }
}

#[test]
fn a_missing_table_is_made_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "id,name\n1,one\n2,two\n");
    csv(folder.path(), "b.csv", "id,name\n2,b\n1,a\n2,c\n");
    for target in targets(folder.path(), "create table other (id int)") {
        let twice = merge(folder.path(), "b.csv", &target, &["--mode", "upsert", "--key", "id"]);
        refused(&twice, &["have the same key"]);
        let first = ["--mode", "upsert", "--key", "id", "--on-duplicate", "first", "--order-by", "name"];
        assert_eq!(counts(&merge(folder.path(), "b.csv", &target, &first)), (2, 0, 0));
        assert_eq!((target.ask)("select * from t order by id"), "1|a\n2|b", "{}", target.locator);
        // The key that it was made with is the one that is merged by.
        assert_eq!(counts(&merge(folder.path(), "a.csv", &target, &["--mode", "upsert"])), (0, 2, 0));
        assert_eq!((target.ask)("select * from t order by id"), "1|one\n2|two", "{}", target.locator);
    }
}

#[test]
fn rows_of_postgres_pass_through_and_keep_their_forms() {
    let folder = tempfile::tempdir().unwrap();
    let url = postgres();
    psql(
        &url,
        "create table s (id int primary key, n numeric, j json, at timestamptz, big text);
        insert into s values (1, 1.00, '{\"a\": 1}', '2024-01-01 00:00Z', repeat('x', 9000)), (2, 'NaN', '{}', 'infinity', null);
        create table t (id int generated always as identity primary key, n numeric, j json, at timestamptz, big text);
        insert into t values (default, 1.0, '{\"a\":1}', '2024-01-01 00:00Z', repeat('x', 9000))",
    );
    let target = Target { locator: url.clone(), ask: Box::new(|_| String::new()) };
    let source = format!("{url}#s");
    // 1.0 and 1.00 are equal and look different.
    assert_eq!(counts(&merge(folder.path(), &source, &target, &["--mode", "upsert"])), (1, 1, 0));
    assert_eq!(
        psql(
            &url,
            "select id, n, j::text, at, length(big) from t except select id, n, j::text, at, length(big) from s"
        )
        .len(),
        0
    );
    assert_eq!(counts(&merge(folder.path(), &source, &target, &["--mode", "sync"])), (0, 0, 0));
}

#[test]
fn a_sync_does_not_change_other_tables() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "id\n1\n");
    let sql = "create table t (id int primary key); insert into t values (1), (2);
               create table child (id int references t on delete cascade); insert into child values (2)";
    for target in targets(folder.path(), sql) {
        let done = merge(folder.path(), "a.csv", &target, &["--mode", "sync"]);
        refused(&done, &["would change those of child", "--mode upsert"]);
        assert_eq!((target.ask)("select count(*) from t"), "2", "{}", target.locator);
    }
}

#[test]
fn a_plan_shows_the_statement_and_files_have_no_keys() {
    let folder = tempfile::tempdir().unwrap();
    csv(folder.path(), "a.csv", "id,name\n1,one\n");
    let url = postgres();
    psql(&url, "create table t (id int primary key, name text)");
    let into = format!("{url}#t");
    let plan = etl(folder.path(), &["plan", "a.csv", &into, "--mode", "upsert"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    for word in [
        "UPDATE ONLY",
        "ON CONFLICT (\"id\") DO UPDATE SET \"name\" = excluded.\"name\"",
        "written into a table beside",
    ] {
        assert!(plan.stdout.contains(word), "{word}: {}", plan.stdout);
    }
    let file = etl(folder.path(), &["copy", "-q", "a.csv", "b.csv", "--mode", "upsert", "--key", "id"]);
    assert_eq!((file.code, file.stderr.contains("files have no keys")), (2, true), "{}", file.stderr);
    copied(folder.path(), &["a.csv", &into, "--mode", "upsert"]);
    assert_eq!(psql(&url, "select * from t"), "1|one");
}
