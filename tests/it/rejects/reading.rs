//! Rows that a source cannot decode: they are told with what the database has, and the rows around them are exact.

use std::path::Path;

use serde_json::json;

use super::lines;
use crate::program::copied;
use crate::server::{clickhouse, clickhouse_client, duckdb, sqlite3};
#[cfg(any(feature = "adbc", feature = "connectorx", feature = "odbc"))]
use crate::server::{postgres, psql};

/// Copies what can be read of `from` into a CSV file, and gives that with what is told of all other rows: id, row, column, and what
/// stood in that.
fn sifted(folder: &Path, from: &str) -> (String, Vec<String>) {
    for file in ["good.csv", "bad.jsonl"] {
        let _ = std::fs::remove_file(folder.join(file));
    }
    copied(folder, &[from, "good.csv", "--on-error", "skip", "--rejects", "bad.jsonl"]);
    let told = lines(&folder.join("bad.jsonl")).into_iter().map(|line| {
        let reject = &line["__reject"];
        assert_eq!((&reject["stage"], &reject["kind"]), (&json!("read"), &json!("Value")), "{line}");
        let column = reject["column"].as_str().unwrap();
        format!("{} {} {column} {}", line["id"].as_str().unwrap(), reject["row"], line[column])
    });
    (std::fs::read_to_string(folder.join("good.csv")).unwrap(), told.collect())
}

#[test]
fn values_of_duckdb_that_arrow_lacks() {
    let folder = tempfile::tempdir().unwrap();
    for (declared, good, bad) in [
        ("date", "2024-01-01", "infinity"),
        ("timestamp", "2024-01-01 12:34:56", "infinity"),
        ("timestamp_ns", "2024-01-01 12:34:56", "-infinity"),
        ("timestamptz", "2024-01-01 12:34:56+00:00", "-infinity"),
        ("time", "12:34:56", "24:00:00"),
    ] {
        let rows = format!("(1, '{good}'), (2, '{bad}'), (3, null), (4, '{good}')");
        let table = format!("create or replace table t (id int, v {declared}); insert into t values {rows}");
        duckdb(&folder.path().join("t.duckdb"), &table);
        let (kept, told) = sifted(folder.path(), "t.duckdb#t");
        assert_eq!(kept, format!("id,v\n1,{good}\n3,\n4,{good}\n"), "{declared}");
        assert_eq!(told, [format!("2 2 v \"{bad}\"")], "{declared}");
    }
    // 2562048 hours are more than nanoseconds in 64 bits, and lists have no text.
    for (declared, bad, shown) in
        [("interval", "2562048:00:00", "\"2562048:00:00\""), ("timestamp[]", "[infinity]", "null")]
    {
        let rows = format!("(1, null), (2, '{bad}'), (3, null)");
        let table = format!("create or replace table t (id int, v {declared}); insert into t values {rows}");
        duckdb(&folder.path().join("t.duckdb"), &table);
        let (kept, told) = sifted(folder.path(), "t.duckdb#t");
        assert_eq!((kept.as_str(), told), ("id,v\n1,\n3,\n", vec![format!("2 2 v {shown}")]), "{declared}");
    }
}

#[test]
fn values_of_sqlite_that_are_none_of_their_column() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "create table t (id integer primary key, n int, d date, s text);
        insert into t values (1, 10, '2024-01-01', 'a'), (2, 'ten', '2024-01-02', null), (3, 30, 'someday', 'c'),
          (5, 50, '2024-01-05', cast(x'61ff' as text)), (6, 60, null, 'ü'), (7, null, '2024-01-07', x'00')";
    sqlite3(&folder.path().join("t.db"), rows);
    let (kept, told) = sifted(folder.path(), "t.db#t");
    assert_eq!(kept, "id,n,d,s\n1,10,2024-01-01,a\n6,60,,ü\n");
    assert_eq!(told, [r#"2 2 n "ten""#, r#"3 3 d "someday""#, r#"5 4 s "\\x61ff""#, r#"7 6 s "\\x00""#]);
    // Where it is wanted the row id is told, too.
    let reasons = lines(&folder.path().join("bad.jsonl"));
    assert!(reasons[2]["__reject"]["reason"].as_str().unwrap().contains("rowid 5"), "{}", reasons[2]);
}

#[test]
fn values_of_clickhouse_that_arrow_lacks() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    clickhouse_client(&url, "create table t (id Int32, s String, ti Nullable(Time)) engine = MergeTree order by id");
    let rows = "(1, 'a', '23:59:59'), (2, unhex('ff00'), '00:00:00'), (3, 'c', '25:00:00'), (4, 'ü', null)";
    clickhouse_client(&url, &format!("insert into t values {rows}"));
    let (kept, told) = sifted(folder.path(), &format!("{url}#t"));
    assert_eq!(kept, "id,s,ti\n1,a,23:59:59\n4,ü,\n");
    assert_eq!(told, [r#"2 2 s "\\xff00""#, r#"3 3 ti "25:00:00""#]);
}

#[cfg(feature = "connectorx")]
#[test]
fn values_that_connectorx_would_change() {
    let (url, folder) = (postgres(), tempfile::tempdir().unwrap());
    let rows = "(1, '2024-01-01', '2024-01-01 12:00:00+00', 1.5), (2, 'infinity', null, 2), (3, null, '-infinity', 3),
        (4, null, null, 'NaN'), (5, null, null, null)";
    psql(
        &url,
        &format!("create table t (id int, d date, at timestamptz, n numeric(9,2)); insert into t values {rows}"),
    );
    let (kept, told) = sifted(folder.path(), &format!("connectorx:{url}#t"));
    assert_eq!(kept, "id,d,at,n\n1,2024-01-01,2024-01-01 12:00:00+00:00,1.50\n5,,,\n");
    assert_eq!(told, [r#"2 2 d "infinity""#, r#"3 3 at "-infinity""#, r#"4 4 n "NaN""#]);
}

#[cfg(feature = "odbc")]
#[test]
fn values_that_a_driver_of_odbc_cuts_or_has_no_type_for() {
    let (url, folder) = (postgres(), tempfile::tempdir().unwrap());
    let long = "x".repeat(100);
    psql(
        &url,
        &format!(
            "create table t (id int, n numeric(9,2), t text);
             insert into t values (1, 1.5, 'ü'), (2, 'NaN', null), (3, 3, '{long}'), (4, null, repeat('y', 99))"
        ),
    );
    let from = format!("{}&textBytes=99#t", crate::odbc::of_postgres(&url));
    let (kept, told) = sifted(folder.path(), &from);
    assert_eq!(kept, format!("id,n,t\n1,1.50,ü\n4,,{}\n", "y".repeat(99)));
    assert_eq!(told, [r#"2 2 n "NaN""#, "3 3 t null"]);
    // What is behind the rows that are wanted does not matter.
    copied(folder.path(), &[&from, "first.csv", "--limit", "1"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("first.csv")).unwrap(), "id,n,t\n1,1.50,ü\n");
    let file = folder.path().join("t.db");
    sqlite3(&file, "create table t (id integer, n integer); insert into t values (1, 10), (2, 'ten'), (3, 30)");
    let (kept, told) = sifted(folder.path(), &format!("{}#t", crate::odbc::of_sqlite(&file)));
    assert_eq!((kept.as_str(), told), ("id,n\n1,10\n3,30\n", vec![r#"2 2 n "ten""#.to_owned()]));
}

#[cfg(feature = "adbc")]
#[test]
fn infinity_that_a_driver_of_adbc_would_make_a_day() {
    let (url, folder) = (postgres(), tempfile::tempdir().unwrap());
    let rows = "(1, '2024-01-01', '2024-01-01 12:00:00'), (2, 'infinity', null), (3, null, '-infinity'),
        (4, null, 'infinity'), (5, '-infinity', null), (6, null, null)";
    let table = format!("create table t (id int, d date, m timestamp); insert into t values {rows}");
    psql(&url, &table);
    duckdb(&folder.path().join("t.duckdb"), &table);
    for from in ["adbc:duckdb?path=t.duckdb#t".to_owned(), format!("adbc:postgresql?uri={url}#t")] {
        let (kept, told) = sifted(folder.path(), &from);
        assert_eq!(kept, "id,d,m\n1,2024-01-01,2024-01-01 12:00:00\n6,,\n", "{from}");
        let expected = [r#"2 2 d "infinity""#, r#"3 3 m "-infinity""#, r#"4 4 m "infinity""#, r#"5 5 d "-infinity""#];
        assert_eq!(told, expected, "{from}");
    }
}
