//! `etl diff`: what is planted is found, and nothing else.
//!
//! What differs is said by SQL of `psql`, or stands in files that are written by hand.

mod large;

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::program::{Ended, bash, copied, etl};
use crate::server;

/// Compares in `folder` and gives the report.
fn compared(folder: &Path, words: &[&str]) -> (i32, Json) {
    let ended = etl(folder, &[&["diff", "-q", "--output", "json"], words].concat());
    let report = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", ended.stderr));
    (ended.code, report)
}

/// The members of a report that tell how many rows are what.
fn counts(report: &Json) -> [u64; 6] {
    ["rowsA", "rowsB", "equal", "onlyInA", "onlyInB", "different"].map(|name| report[name].as_u64().unwrap())
}

/// What is shown: the key's first column, and what is wrong with it.
fn shown(report: &Json) -> Vec<(Json, String)> {
    let key = report["key"][0].as_str().unwrap();
    let of = |shown: &Json| {
        let row = if shown["a"].is_null() { &shown["b"] } else { &shown["a"] };
        (row[key].clone(), shown["what"].as_str().unwrap().to_owned())
    };
    report["differences"].as_array().unwrap().iter().map(of).collect()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

const ROWS: &str = "
    (1, 'plain', 12.5000, true, '2024-02-29', '2024-02-29 12:34:56.123456', 0.1),
    (2, 'say \"hi\", it''s me', -0.0001, false, '1969-12-31', '1969-12-31 23:59:59', -1.5),
    (3, 'two\nlines', 99999999.9999, NULL, '9999-12-31', '9999-12-31 23:59:59.999999', 1e300),
    (4, '', 0.0000, true, '0001-01-01', '0001-01-01 00:00:00', 1e-7),
    (5, NULL, NULL, NULL, NULL, NULL, NULL),
    (6, '007', 7.0000, true, '1970-01-01', '1970-01-01 00:00:00', 123456789.125),
    (-7, 'e\u{301} \u{1F600}', -11.1111, false, '2024-03-31', '2024-03-31 02:30:00', 2.5)";

#[test]
fn every_pair_is_equal_or_differs_where_it_was_planted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let url = server::postgres();
    let sql = format!(
        "create table truth (id bigint primary key, name text, price numeric(12,4), ok boolean, day date, at timestamp, \
         ratio double precision); insert into truth values {ROWS};
         create table other (like truth including all); insert into other table truth;
         delete from other where id = 3; insert into other (id, name) values (100, 'new');
         update other set name = null where id = 4; update other set price = 12.5001, ratio = 0.2 where id = 1"
    );
    server::psql(&url, &sql);
    let postgres = |table: &str| format!("{url}#{table}");
    let place = |kind: &str, table: &str| match kind {
        "postgres" => postgres(table),
        "sqlite" => format!("{table}.db#{table}"),
        extension => format!("{table}.{extension}"),
    };
    let kinds = ["postgres", "sqlite", "parquet", "csv"];
    for (kind, table) in kinds.iter().skip(1).flat_map(|kind| [(kind, "truth"), (kind, "other")]) {
        copied(folder, &[&postgres(table), &place(kind, table)]);
    }
    for (a, b) in kinds.iter().flat_map(|a| kinds.iter().map(move |b| (a, b))) {
        let (code, same) = compared(folder, &[&place(a, "truth"), &place(b, "truth"), "--key", "id"]);
        assert_eq!((code, counts(&same)), (0, [7, 7, 7, 0, 0, 0]), "{a} {b}: {same}");
        let (code, other) = compared(folder, &[&place(a, "truth"), &place(b, "other"), "--key", "id"]);
        assert_eq!((code, counts(&other)), (4, [7, 7, 4, 1, 1, 2]), "{a} {b}: {other}");
        let wrong = [(json!(1), "different"), (json!(3), "onlyInA"), (json!(4), "different"), (json!(100), "onlyInB")];
        assert_eq!(shown(&other), wrong.map(|(key, what)| (key, what.to_owned())), "{a} {b}");
        let differing = other["columns"].as_array().unwrap().iter().map(|column| &column["different"]);
        let differing: Vec<&Json> = differing.collect();
        let expected = [json!(null), json!(1), json!(1), json!(0), json!(0), json!(0), json!(1)];
        assert_eq!(differing, expected.iter().collect::<Vec<_>>(), "{a} {b}");
        assert_eq!(other["differences"][2]["a"]["name"], "", "{a} {b}");
        assert_eq!(other["differences"][2]["b"]["name"], Json::Null, "{a} {b}");
    }
}

#[test]
fn a_key_is_needed_and_may_be_of_several_columns() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.csv", "region,code,v\neu,x,1\neu,y,2\nus,x,3\n,x,4\n");
    write(folder, "b.csv", "v,code,region\n4,x,\n3,x,us\n5,y,eu\n1,x,eu\n");
    let none = etl(folder, &["diff", "a.csv", "b.csv"]);
    assert_eq!((none.code, none.stdout.as_str()), (2, ""));
    assert!(none.stderr.contains("neither side has a primary key") && none.stderr.contains("--key"), "{}", none.stderr);
    let (code, report) = compared(folder, &["a.csv", "b.csv", "--key", "region,code"]);
    assert_eq!((code, counts(&report)), (4, [4, 4, 3, 0, 0, 1]));
    let expected = json!({"region": "eu", "code": "y", "v": 2});
    assert_eq!(report["differences"][0]["a"], expected);
}

#[test]
fn a_key_that_stands_twice_is_told_and_never_matched() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.csv", "id,v\n1,a\n2,b\n2,b\n3,c\n4,d\n");
    write(folder, "b.csv", "id,v\n1,a\n2,b\n3,c\n3,x\n3,c\n4,d\n");
    let (code, report) = compared(folder, &["a.csv", "b.csv", "--key", "id"]);
    assert_eq!((code, counts(&report)), (4, [5, 6, 2, 0, 0, 0]));
    assert_eq!((&report["duplicateKeysA"], &report["duplicateKeysB"]), (&json!(1), &json!(1)));
    assert_eq!(shown(&report), [(json!(2), "duplicate".to_owned()), (json!(3), "duplicate".to_owned())]);
    assert_eq!((&report["differences"][1]["rowsA"], &report["differences"][1]["rowsB"]), (&json!(1), &json!(3)));
    // The same on both sides is no better: nobody knows which row is which.
    let (code, report) = compared(folder, &["a.csv", "a.csv", "--key", "id"]);
    assert_eq!((code, counts(&report)), (4, [5, 5, 3, 0, 0, 0]));
}

#[test]
fn columns_and_rows_may_be_chosen_and_what_is_left_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.csv", "id,v,w,only\n1,a,1,x\n2,b,2,x\n30,c,3,x\n");
    write(folder, "b.csv", "id,v,w,extra\n1,a,9,y\n2,b,2,y\n");
    let (code, report) = compared(folder, &["a.csv", "b.csv", "--key", "id", "--where", "id < 10"]);
    assert_eq!((code, counts(&report)), (4, [2, 2, 1, 0, 0, 1]));
    assert_eq!((&report["columnsOnlyInA"], &report["columnsOnlyInB"]), (&json!(["only"]), &json!(["extra"])));
    // Rows alone are equal, yet a side has a column more.
    let all_columns = ["a.csv", "b.csv", "--key", "id", "--where", "id = 2"];
    let (code, report) = compared(folder, &all_columns);
    assert_eq!((code, &report["isEqual"], counts(&report)), (4, &json!(false), [1, 1, 1, 0, 0, 0]));
    let (code, report) = compared(folder, &["a.csv", "b.csv", "--key", "id", "--where", "id < 10", "--select", "v"]);
    assert_eq!((code, counts(&report)), (0, [2, 2, 2, 0, 0, 0]));
    let missing = etl(folder, &["diff", "a.csv", "b.csv", "--key", "id", "--select", "extra"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (2, ""));
    assert!(missing.stderr.contains("A has no column \"extra\""), "{}", missing.stderr);
}

#[test]
fn an_empty_side_lacks_all_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    server::sqlite3(
        &folder.join("a.db"),
        "create table t (id integer primary key, v text); create table u as select 1 id, 'a' v where 0",
    );
    server::sqlite3(
        &folder.join("b.db"),
        "create table t (id integer primary key, v text); insert into t values (1, 'x'), (2, null)",
    );
    for (a, b, expected) in [
        ("a.db#t", "b.db#t", [0, 2, 0, 0, 2, 0]),
        ("b.db#t", "a.db#t", [2, 0, 0, 2, 0, 0]),
        ("a.db#u", "b.db#t", [0, 2, 0, 0, 2, 0]),
    ] {
        let (code, report) = compared(folder, &[a, b]);
        assert_eq!((code, counts(&report)), (4, expected), "{a} {b}");
    }
    let (code, report) = compared(folder, &["a.db#t", "a.db#t"]);
    assert_eq!((code, counts(&report)), (0, [0; 6]));
}

#[test]
fn values_that_no_type_of_arrow_holds_are_compared_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let url = server::postgres();
    let columns = "id int primary key, day date, n numeric";
    server::psql(
        &url,
        &format!(
            "create table a ({columns}); create table b ({columns});
        insert into a values (1, 'infinity', 'NaN'), (2, '2024-01-01', 1.5), (3, '-infinity', 2);
        insert into b values (1, 'infinity', 'NaN'), (2, '2024-01-01', 1.5), (3, 'infinity', 2)"
        ),
    );
    let (code, report) = compared(folder.path(), &[&format!("{url}#a"), &format!("{url}#b")]);
    assert_eq!((code, counts(&report)), (4, [3, 3, 2, 0, 0, 1]), "{report}");
    assert_eq!(report["differences"][0]["a"]["day"], "-infinity");
    assert_eq!(report["differences"][0]["b"]["day"], "infinity");
}

#[test]
fn a_text_that_is_no_value_differs_and_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    server::sqlite3(
        &folder.join("t.db"),
        "create table t (id integer primary key, n bigint); insert into t values (1, 5), (2, 6)",
    );
    write(folder, "a.csv", "id,n\n1,5\n2,six\n");
    for (a, b, side) in [("a.csv", "t.db#t", "a"), ("t.db#t", "a.csv", "b")] {
        let (code, report) = compared(folder, &[a, b]);
        assert_eq!((code, counts(&report)), (4, [2, 2, 1, 0, 0, 1]), "{report}");
        assert_eq!(report["differences"][0][side]["n"], "six");
        assert!(report["columns"][1]["note"].as_str().unwrap().contains("counts as different"), "{report}");
    }
    write(folder, "key.csv", "id,n\none,5\n");
    let ended = etl(folder, &["diff", "key.csv", "t.db#t"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("side A") && ended.stderr.contains("column id"), "{}", ended.stderr);
}

#[test]
fn people_see_which_values_differ() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.csv", "id,v,w\n1,a,1\n2,b,2\n3,c,3\n");
    write(folder, "b.csv", "id,v,w\n1,a,1\n2,,2\n4,d,4\n");
    let ended = etl(folder, &["diff", "-q", "a.csv", "b.csv", "--key", "id"]);
    let expected = "A            a.csv\nB            b.csv\nkey          id\nrows         3 rows in A, 3 rows in B\n\
                    equal        1 row\nonly in A    1 row\nonly in B    1 row\ndifferent    1 row\n\n\
                    columns\n  column  compared as  different\n  v       Utf8         1\n\n\
                    differences\n  id             column  A  B\n  2   different  v       b  NULL\n  3   only in A\n  4   only in B\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (4, expected));
    assert!(ended.stderr.starts_with("error: A and B are not equal"), "{}", ended.stderr);
    let few = etl(folder, &["diff", "-q", "a.csv", "b.csv", "--key", "id", "--limit-shown", "1"]);
    assert!(few.stdout.ends_with("  2   different  v       b  NULL\n"), "{}", few.stdout);
    let same = etl(folder, &["diff", "-q", "a.csv", "a.csv", "--key", "id"]);
    assert_eq!((same.code, same.stderr.as_str()), (0, ""));
}

#[test]
fn rows_that_b_lacks_or_has_otherwise_can_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let state = format!("XDG_STATE_HOME={}", folder.join("state").display());
    write(folder, "a.csv", "id,v,n\n1,a,1.50\n2,b,2.25\n3,c,3.00\n4,,4.00\n");
    write(folder, "b.csv", "id,v,n\n1,a,1.50\n2,x,2.25\n3,c,3.00\n9,z,9.00\n");
    let send = |words: &str| -> Ended { bash(folder, &format!("{state} $ETL diff -q {words}")) };
    let sent = send("a.csv b.csv --key id --to again.csv");
    assert_eq!(sent.code, 4, "{}", sent.stderr);
    assert!(sent.stdout.contains("\nsent         2 rows\n"), "{}", sent.stdout);
    let again = std::fs::read_to_string(folder.join("again.csv")).unwrap();
    let mut lines: Vec<&str> = again.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(lines, ["id,v,n", "2,b,2.25", "4,,4.00"]);
    // Nothing is sent where nothing is missing, and no target is made.
    let none = send("b.csv b.csv --key id --to none.csv");
    assert_eq!((none.code, folder.join("none.csv").exists()), (0, false), "{}", none.stderr);
    assert!(none.stdout.contains("\nsent         0 rows\n"), "{}", none.stdout);
}

#[test]
fn tables_larger_than_the_memory_are_compared_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let url = server::postgres();
    // 400 bytes a row that do not compress, in another order on each side.
    let pad = "repeat(md5(i::text), 12)";
    let sql = format!(
        "create table a as select i id, {pad} pad from generate_series(1, 250000) i;
        create table b as select i id, case when i = 77777 then 'x' else {pad} end pad
        from generate_series(250001, 2, -1) i"
    );
    server::psql(&url, &sql);
    let (a, b) = (format!("{url}#a"), format!("{url}#b"));
    let (code, report) = compared(folder, &[&a, &b, "--key", "id", "--memory", "64MB", "-j", "2"]);
    assert_eq!((code, counts(&report)), (4, [250_000, 250_000, 249_998, 1, 1, 1]));
    let wrong = [(json!(1), "onlyInA"), (json!(77_777), "different"), (json!(250_001), "onlyInB")];
    assert_eq!(shown(&report), wrong.map(|(key, what)| (key, what.to_owned())));
}
