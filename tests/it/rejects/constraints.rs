//! Rows that only the target can refuse: by keys, references, checks, triggers and values that it cannot read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::lines;
use crate::program::{Ended, copied, etl};
use crate::server::{postgres, psql, sqlite3};

/// Copies `from`, leaving bad rows out, and gives what the summary says: rows and rejected ones.
fn skipped(folder: &Path, from: &str, target: &str, words: &[&str]) -> (u64, u64) {
    let done = skipping(folder, from, target, words);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{from} {words:?}");
    let summary: Json = serde_json::from_str(&done.stdout).unwrap();
    (summary["rows"].as_u64().unwrap(), summary["rejected"].as_u64().unwrap())
}

fn skipping(folder: &Path, from: &str, target: &str, words: &[&str]) -> Ended {
    let _ = std::fs::remove_file(folder.join("bad.jsonl"));
    let flags = ["--on-error", "skip", "--rejects", "bad.jsonl", "--output", "json", "-q"];
    etl(folder, &[&["copy", from, target], &flags[..], words].concat())
}

/// The member `what` of each reject, by its id.
fn told(folder: &Path, what: &str) -> BTreeMap<String, Json> {
    let id = |line: &Json| line["id"].as_str().unwrap_or("?").to_owned();
    lines(&folder.join("bad.jsonl")).iter().map(|line| (id(line), line["__reject"][what].clone())).collect()
}

fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, Json> {
    pairs.iter().map(|(id, name)| ((*id).to_owned(), json!(name))).collect()
}

#[test]
fn each_rule_of_a_table_takes_its_rows_out() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(
        &url,
        "create table p (a int, b int, primary key (a, b)); insert into p values (1, 1);
         create table t (id int primary key, mail text, a int, b int, n int constraint positive check (n > 0),
           constraint parent foreign key (a, b) references p match full);
         create unique index mails on t (lower(mail)) where n < 100;
         insert into t values (1, 'There@x', 1, 1, 5), (2, 'free@x', null, null, 100)",
    );
    let rows = [
        "10,a@x,1,1,1",
        "11,A@x,1,1,1",   // as row 10
        "12,a@X,1,1,100", // outside of the index
        "10,b@x,1,1,1",   // id of row 10
        "1,c@x,1,1,1",    // id of a row that is there
        "13,THERE@x,,,1", // mail of a row that is there
        "14,free@x,,,1",
        "15,d@x,1,2,1", // no such parent
        "16,e@x,1,,1",  // a part of a key
        "17,f@x,,,0",   // not positive
        "18,g@x,,,",    // not known to be positive: a check lets it pass
        "19,h@x,,,-1",  // not positive, and the first h@x
        "20,h@x,,,1",
        "21,,,,1",
        "22,,,,1",
    ];
    std::fs::write(path.join("in.csv"), format!("id,mail,a,b,n\n{}\n", rows.join("\n"))).unwrap();
    let target = format!("{url}#t");
    assert_eq!(skipped(path, "in.csv", &target, &["--mode", "append"]), (7, 8));
    let ids = "select string_agg(id::text, ' ' order by id), count(*) from t";
    assert_eq!(psql(&url, ids), "1 2 10 12 14 18 20 21 22|9");
    assert_eq!(psql(&url, "select mail from t where id in (1, 10) order by id"), "There@x\na@x");
    let expected = [("1", "t_pkey"), ("10", "t_pkey"), ("11", "mails"), ("13", "mails")];
    let expected =
        [&expected[..], &[("15", "parent"), ("16", "parent"), ("17", "positive"), ("19", "positive")]].concat();
    assert_eq!(told(path, "constraint"), named(&expected));
    assert_eq!(told(path, "column")["16"], json!("a, b"));
    let lines = lines(&path.join("bad.jsonl"));
    let doubled = lines.iter().find(|line| line["id"] == "10").unwrap();
    assert_eq!(
        (&doubled["mail"], &doubled["a"], &doubled["__reject"]["row"], &doubled["__reject"]["stage"]),
        (&json!("b@x"), &json!("1"), &json!(4), &json!("write"))
    );

    // Without the flag the first of them fails the copy, as ever.
    let failed = etl(path, &["copy", "-q", "in.csv", &target, "--mode", "append"]);
    assert_eq!((failed.code, psql(&url, ids).as_str()), (1, "1 2 10 12 14 18 20 21 22|9"));
}

/// Rows of [`many`], and which of them a rule refuses.
const MANY: u64 = 10_000;
const SOUND: &str = "select count(*), count(distinct id), sum(id), min(v) from t";

/// 10,000 rows of which every hundredth breaks a rule; `mended` ones break none.
fn many(path: &Path, is_bad: impl Fn(u64) -> bool) {
    let mut text = "id,parent,v,at,ok\n".to_owned();
    for row in 1..=MANY {
        let (mut id, mut parent, mut v) = (row, row % 7 + 1, 1);
        match row / 100 % 3 {
            _ if !is_bad(row) => {}
            0 => id = row - 1,
            1 => parent = 99,
            _ => v = -1,
        }
        writeln!(text, "{id},{parent},{v},2024-02-29 12:00:00,true").unwrap();
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn one_bad_row_in_a_hundred_and_all_are_there_when_it_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    many(&path.join("in.csv"), |row| row % 100 == 0);
    let casts = ["--cast", "id:bigint", "--cast", "parent:int", "--cast", "v:int"];
    for mode in ["append", "create", "truncate", "replace"] {
        let url = postgres();
        psql(
            &url,
            "create table p (id int primary key); insert into p select generate_series(1, 7);
             create table t (id bigint primary key, parent int references p, v int check (v > 0), at timestamp, ok boolean)",
        );
        if matches!(mode, "truncate" | "replace") {
            psql(&url, "insert into t select n, 1, 1 from generate_series(1, 50) n");
        }
        let target = format!("{url}#t");
        let words = [&["--mode", mode, "--verify", "checksum", "--max-errors", "1%", "-j", "3"], &casts[..]].concat();
        assert_eq!(skipped(path, "in.csv", &target, &words), (9_900, 100), "{mode}");
        let sum = (1..=MANY).filter(|row| row % 100 > 0).sum::<u64>();
        assert_eq!(psql(&url, SOUND), format!("9900|9900|{sum}|1"), "{mode}");
        assert_eq!(psql(&url, "select count(*) from pg_class where relname like 'etl%'"), "0", "{mode}");

        // What stands in the file is mended by its place.
        let mut text = String::new();
        for mut line in lines(&path.join("bad.jsonl")) {
            let row = line["__reject"]["row"].as_u64().unwrap();
            let says = (&line["at"], &line["ok"], &line["__reject"]["source"]);
            assert_eq!(says, (&json!("2024-02-29 12:00:00"), &json!("true"), &json!("in.csv")), "{line}");
            (line["id"], line["parent"], line["v"]) = (json!(row), json!(1), json!(1));
            writeln!(text, "{line}").unwrap();
        }
        std::fs::write(path.join("mended.jsonl"), text).unwrap();
        copied(path, &[&["mended.jsonl", &target, "--mode", "append"], &casts[..]].concat());
        assert_eq!(psql(&url, SOUND), format!("10000|10000|{}|1", MANY * (MANY + 1) / 2), "{mode}");
    }
}

#[test]
fn too_many_leave_the_target_as_it_was() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    many(&path.join("in.csv"), |row| row % 100 == 0);
    psql(&url, "create table t (id bigint primary key, parent int, v int check (v > 0), at timestamp, ok boolean)");
    psql(&url, "insert into t values (0, 1, 1)");
    let target = format!("{url}#t");
    for mode in ["append", "replace"] {
        // 33 have the id of another row, 33 are negative.
        let failed = skipping(path, "in.csv", &target, &["--mode", mode, "--max-errors", "65"]);
        assert_eq!(failed.code, 1, "{}", failed.stderr);
        assert!(failed.stderr.contains("more rows were rejected than the 65 that may be"), "{}", failed.stderr);
        assert_eq!(psql(&url, SOUND), "1|1|0|1");
        assert_eq!(lines(&path.join("bad.jsonl")).len(), 66);
        assert_eq!(psql(&url, "select count(*) from pg_class where relname like 'etl%'"), "0");
    }
    assert_eq!(skipped(path, "in.csv", &target, &["--mode", "append", "--max-errors", "66"]), (9_934, 66));
}

#[test]
fn values_that_the_server_cannot_read_are_told_as_they_came() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    let types = "create type mood as enum ('good', 'bad'); create domain small as int check (value < 10)";
    psql(&url, types);
    let mut text = "id,what,how,n\n".to_owned();
    for row in 1..=2000 {
        let line = match row {
            7 => "7,{\"a\":,good,1".to_owned(),
            900 => "900,{},fine,1".to_owned(),
            901 => "901,{},good,12".to_owned(),
            2000 => "2000,[,good,1".to_owned(),
            _ => format!("{row},{{}},bad,{}", row % 10),
        };
        writeln!(text, "{line}").unwrap();
    }
    std::fs::write(path.join("in.csv"), text).unwrap();
    let all = [(7, "good"), (900, "fine"), (901, "good"), (2000, "good")];
    // Where nothing but types refuses rows they go straight into the table.
    for (mode, key, small) in [("append", "", "int"), ("append", "primary key", "small"), ("replace", "", "small")] {
        psql(&url, &format!("drop table if exists t; create table t (id int {key}, what jsonb, how mood, n {small})"));
        let bad: Vec<(u64, &str)> = all.into_iter().filter(|(row, _)| small == "small" || *row != 901).collect();
        let (count, sum) = bad.iter().fold((2000, 2_001_000), |(count, sum), (row, _)| (count - 1, sum - row));
        let proof = if small == "small" { "checksum" } else { "count" };
        let words = ["--mode", mode, "--verify", proof];
        let done = skipped(path, "in.csv?quote='", &format!("{url}#t"), &words);
        assert_eq!(done, (count, bad.len() as u64), "{mode} {key}");
        assert_eq!(psql(&url, "select count(*), sum(id) from t"), format!("{count}|{sum}"));
        let rows: Vec<(Json, Json)> = lines(&path.join("bad.jsonl"))
            .into_iter()
            .map(|line| (line["__reject"]["row"].clone(), line["how"].clone()))
            .collect();
        let bad: Vec<(Json, Json)> = bad.into_iter().map(|(row, how)| (json!(row), json!(how))).collect();
        assert_eq!(rows, bad, "{mode} {key}");
        let constraint = if small == "small" { json!("small_check") } else { Json::Null };
        assert_eq!(told(path, "constraint").get("901").cloned().unwrap_or_default(), constraint);
    }
}

/// Columns that pass in PostgreSQL's own form are told as anybody reads them.
#[test]
fn numbers_and_dates_in_a_form_of_their_own_are_told_as_texts() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table s (id int primary key, how text, n numeric, at timestamp, day date, l int[]);
         insert into s values (1, 'good', 1.50, 'infinity', '2024-01-01', '{}'),
           (2, 'fine', -2.50, '2024-02-29 01:02:03.5', 'infinity', '{1,null}');
         create type mood as enum ('good');
         create table t (id int, how mood, n numeric(20, 2), at timestamp, day date, l int[])",
    );
    let words = ["--mode", "append"];
    assert_eq!(skipped(folder.path(), &format!("{url}#s"), &format!("{url}#t"), &words), (1, 1));
    let line = &lines(&folder.path().join("bad.jsonl"))[0];
    let texts = ["n", "at", "day"].map(|name| line[name].as_str().unwrap());
    assert_eq!(texts, ["-2.50", "2024-02-29 01:02:03.500000", "infinity"]);
    assert_eq!(line["l"], json!([1, null]));
}

#[test]
fn what_no_query_finds_is_found_by_halves() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(
        &url,
        "create table t (id int, span int4range, exclude using gist (span with &&), unique (id) deferrable initially deferred);
         insert into t values (1, '[100000,100010)');
         create function odd() returns trigger language plpgsql as $$ begin
           if new.id % 500 = 1 then raise exception 'no %', new.id; end if; return new; end $$;
         create trigger odd before insert on t for each row execute function odd()",
    );
    let mut text = "id;span\n".to_owned();
    for row in 1..=3000 {
        let start = if row == 20 { 100_005 } else { row * 10 };
        writeln!(text, "{};[{start},{})", if row == 30 { 29 } else { row }, start + 10).unwrap();
    }
    std::fs::write(path.join("in.csv"), text).unwrap();
    let words = ["--mode", "append", "--delim", ";"];
    assert_eq!(skipped(path, "in.csv", &format!("{url}#t"), &words), (2992, 8));
    assert_eq!(psql(&url, "select count(*), count(distinct id) from t"), "2993|2993");
    let ids: Vec<String> = told(path, "reason").into_keys().collect();
    assert_eq!(ids, ["1", "1001", "1501", "20", "2001", "2501", "29", "501"]);
    assert_eq!(told(path, "reason")["501"], json!("no 501"));
    assert_eq!(told(path, "constraint")["20"], json!("t_span_excl"));
    assert_eq!(told(path, "row")["20"], json!(20));
}

#[test]
fn rows_that_refer_to_each_other_fall_together() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(
        &url,
        "create table t (id int primary key, up int references t, u int unique); insert into t values (1, null, 1)",
    );
    let database = path.join("t.db");
    let made = "create table t (id integer primary key, up integer references t, u integer unique); insert into t values (1, null, 1)";
    sqlite3(&database, made);
    // 20 to 22 hang on 29, which is not there; 31 on 30, which has the u of another row; 12 comes before its parent.
    let rows = "id,up,u\n12,11,\n11,10,\n10,1,\n22,21,\n21,20,\n20,29,\n30,10,1\n31,30,\n13,13,\n";
    std::fs::write(path.join("in.csv"), rows).unwrap();
    for target in [format!("{url}#t"), "t.db#t".to_owned()] {
        assert_eq!(skipped(path, "in.csv", &target, &["--mode", "append"]), (4, 5), "{target}");
        let ids: Vec<String> = told(path, "kind").into_keys().collect();
        assert_eq!(ids, ["20", "21", "22", "30", "31"], "{target}");
    }
    let left = "select count(*), sum(id) from t";
    assert_eq!((psql(&url, left), sqlite3(&database, left)), ("5|47".to_owned(), "5|47".to_owned()));
    // All old rows go: those that refer to them, too.
    for target in [format!("{url}#t"), "t.db#t".to_owned()] {
        std::fs::write(path.join("in.csv"), "id,up,u\n12,11,\n11,1,\n13,13,\n14,13,\n").unwrap();
        assert_eq!(skipped(path, "in.csv", &target, &["--mode", "replace"]), (2, 2), "{target}");
    }
    assert_eq!((psql(&url, left), sqlite3(&database, left)), ("2|27".to_owned(), "2|27".to_owned()));
}

#[test]
fn nulls_that_are_equal_and_several_keys_at_once() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(&url, "create table t (id int primary key, a int, b int, c int unique, unique nulls not distinct (a, b))");
    psql(&url, "insert into t values (1, null, null, null), (2, null, 2, 20)");
    // 11 loses its c to 10, so its a and b are free for 12; 14 has those of a row that is there.
    let rows = "id,a,b,c\n10,5,,1\n11,6,,1\n12,6,,2\n13,,3,\n14,,2,\n15,,3,3\n16,7,,20\n17,7,,\n";
    std::fs::write(path.join("in.csv"), rows).unwrap();
    assert_eq!(skipped(path, "in.csv", &format!("{url}#t"), &["--mode", "append"]), (4, 4));
    assert_eq!(psql(&url, "select string_agg(id::text, ' ' order by id) from t"), "1 2 10 12 13 17");
    let expected = [("11", "t_c_key"), ("14", "t_a_b_key"), ("15", "t_a_b_key"), ("16", "t_c_key")];
    assert_eq!(told(path, "constraint"), named(&expected));
}

#[test]
fn merged_rows_are_left_out_where_they_break_another_rule() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let url = postgres();
    let made = "create table t (id integer primary key, c integer unique, v integer check (v > 0));
                insert into t values (1, 10, 1), (2, 20, 1), (3, 30, 1)";
    psql(&url, made);
    sqlite3(&path.join("t.db"), made);
    // 1 gets another c, which 4 takes over from it; 5 wants that of 3, which did not come.
    std::fs::write(path.join("in.csv"), "id,c,v\n1,11,1\n4,10,1\n5,30,1\n2,20,-2\n6,60,0\n7,70,7\n").unwrap();
    for target in [format!("{url}#t"), "t.db#t".to_owned()] {
        assert_eq!(skipped(path, "in.csv", &target, &["--mode", "upsert"]), (3, 3), "{target}");
        assert_eq!(told(path, "stage"), named(&[("2", "write"), ("5", "write"), ("6", "write")]), "{target}");
    }
    let rows = "select id, c, v from t order by id";
    let expected = "1|11|1\n2|20|1\n3|30|1\n4|10|1\n7|70|7";
    assert_eq!((psql(&url, rows), sqlite3(&path.join("t.db"), rows)), (expected.to_owned(), expected.to_owned()));
}

#[test]
fn a_row_that_was_changed_on_its_way_stands_as_it_was_to_be_written() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(&url, "create table t (key int primary key, v int check (v < 10))");
    std::fs::write(path.join("in.csv"), "id,v\n1,2\n2,9\n1,3\n").unwrap();
    let target = format!("{url}#t");
    assert_eq!(skipped(path, "in.csv", &target, &["--mode", "append", "--rename", "id=key"]), (2, 1));
    // A new name is no change.
    assert_eq!(told(path, "row"), [("1".to_owned(), json!(3))].into_iter().collect());
    let words = ["--mode", "truncate", "--rename", "id=key", "--set", "v=v+1"];
    assert_eq!(skipped(path, "in.csv", &target, &words), (1, 2));
    let records: Vec<Json> =
        lines(&path.join("bad.jsonl")).into_iter().map(|line| line["__reject"]["record"].clone()).collect();
    let record = |text: &Json| serde_json::from_str::<Json>(text.as_str().unwrap()).unwrap();
    let records: Vec<Json> = records.iter().map(record).collect();
    assert_eq!(records, [json!({"key": 2, "v": 10}), json!({"key": 1, "v": 4})]);
    assert_eq!(psql(&url, "table t"), "1|3");
}

#[test]
fn sqlite_leaves_out_what_it_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    many(&path.join("in.csv"), |row| row % 100 == 0);
    let made = "create table p (id integer primary key);
                insert into p values (1), (2), (3), (4), (5), (6), (7);
                create table t (id integer primary key, parent integer references p, v integer constraint positive check (v > 0),
                  at text, ok boolean)";
    let sum = (1..=MANY).filter(|row| row % 100 > 0).sum::<u64>();
    for (mode, journal) in [("append", "delete"), ("append", "wal"), ("replace", "delete")] {
        let database = path.join(format!("{mode}{journal}.db"));
        sqlite3(&database, &format!("pragma journal_mode = {journal}; {made}"));
        let target = format!("{}#t", database.display());
        let words = ["--mode", mode, "--max-errors", "1%", "--cast", "at:text"];
        assert_eq!(skipped(path, "in.csv", &target, &words), (9_900, 100), "{mode} {journal}");
        assert_eq!(sqlite3(&database, SOUND), format!("9900|9900|{sum}|1"), "{mode} {journal}");
        let constraints = lines(&path.join("bad.jsonl"));
        let of = |line: &&Json| line["__reject"]["constraint"] == "positive" && line["v"] == "-1";
        assert_eq!(constraints.iter().filter(of).count(), 33, "{mode} {journal}");
        let of = |line: &&Json| line["__reject"]["column"] == "id" && line["parent"] != "99";
        assert_eq!(constraints.iter().filter(of).count(), 33, "{mode} {journal}");
        let of = |line: &&Json| line["parent"] == "99";
        assert_eq!(constraints.iter().filter(of).count(), 34, "{mode} {journal}");

        let few = ["--mode", mode, "--max-errors", "9", "--cast", "at:text"];
        assert_eq!(skipping(path, "in.csv", &target, &few).code, 1);
        assert_eq!(sqlite3(&database, SOUND), format!("9900|9900|{sum}|1"), "{mode} {journal}");
    }
}

#[test]
fn rows_that_wait_for_readers_to_go_are_left_out_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // A copy within one file with a rollback journal.
    let made = "create table s (id integer, v integer); insert into s values (1, 1), (2, 0), (1, 3), (4, 4);
                create table t (id integer primary key, v integer check (v > 0))";
    sqlite3(&path.join("t.db"), made);
    assert_eq!(skipped(path, "t.db#s", "t.db#t", &["--mode", "append"]), (2, 2));
    assert_eq!(sqlite3(&path.join("t.db"), "select * from t"), "1|1\n4|4");
    let columns = [("1".to_owned(), json!("id")), ("2".to_owned(), Json::Null)];
    assert_eq!(told(path, "column"), columns.into_iter().collect());
}

#[test]
fn a_row_that_another_session_brings_meanwhile_is_left_out() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(&url, "create table t (id int primary key)");
    std::fs::write(path.join("in.csv"), "id\n1\n2\n3\n").unwrap();
    // Nobody sees its row before it commits, and then the copy waits for it.
    let other = url.clone();
    let other = std::thread::spawn(move || psql(&other, "begin; insert into t values (2); select pg_sleep(3); commit"));
    let locked = "select count(*) from pg_locks where relation = 't'::regclass and mode = 'RowExclusiveLock'";
    while psql(&url, locked) == "0" {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(skipped(path, "in.csv", &format!("{url}#t"), &["--mode", "append"]), (2, 1));
    other.join().unwrap();
    assert_eq!(psql(&url, "select string_agg(id::text, ' ' order by id) from t"), "1 2 3");
    assert_eq!(told(path, "constraint"), named(&[("2", "t_pkey")]));
}
