//! `--allow-lossy`: values that a narrower table does not hold are rounded and cut as the servers' own clients do it.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::program::{Ended, copied, end, etl, start};
use crate::server::{mariadb, mariadb_client, postgres, psql};

/// Halves on both sides of zero, times before 1970, numbers without bounds, texts of more bytes than characters.
const SOURCE: &str = "
    create table s (id bigint primary key, amount numeric(12,4), wide numeric, ratio float8, size float8, at timestamp,
                    day timestamptz, note text, units numeric(20,3));
    insert into s values
        (1, 12.345, 1.25, 0.1, 2.5, '2024-02-29 12:34:56.789999', '2024-02-29 23:59:59.9+00', 'ünïcödé 😀', 1.5),
        (2, -12.345, -1.25, 1e-30, -2.5, '1969-12-31 23:59:59.999999', '1969-12-31 23:59:59.9+00', 'short', -1.5),
        (3, 0.005, 1e-400, 16777217, 0.49999999999999994, '0001-01-01 00:00:00.000001', '1970-01-01 00:00+00', '', 0.499),
        (4, 9999.9949, 123456.05, 3.4028235e38, 1e9, '9999-12-31 23:59:59.9999', '2000-01-01 00:00:01+00', 'four4x', 2147483647.4),
        (5, null, null, 'NaN', null, null, null, null, null);
    insert into s select g, g / 1000.0, g / 7.0, g / 3.0, g / 2.0, timestamp '1960-01-01' + g * interval '0.123457 s' * 10000,
        null, repeat('é', g % 9), g / 8.0 from generate_series(6, 3000) g";

const TARGET: &str =
    "(id bigint, amount numeric(6,2), wide numeric(8,1), ratio real, size int, at timestamp(3), day timestamptz(0),
                       note varchar(5), units int)";

/// What PostgreSQL itself makes of it. Where it rounds in another way, the rule is written out.
const WANTED: &str = "select id, amount::numeric(6,2), wide::numeric(8,1), ratio::real,
    trunc(size) + case when abs(size - trunc(size)) >= 0.5 then sign(size) else 0 end,
    date_trunc('milliseconds', at), date_trunc('second', day), note::varchar(5), round(units)::int from s";

const COLUMNS: [&str; 4] = ["--allow-lossy", "amount,wide,ratio,size,at,day", "--allow-lossy", "note,units"];

fn fails(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.code, code, "{}", ended.stderr);
    for part in says {
        assert!(ended.stderr.contains(part), "{part:?} is missing: {}", ended.stderr);
    }
}

fn copy(folder: &Path, words: &[&str]) -> Ended {
    end(start(folder, &[&["copy", "--progress", "none", "--mode", "append", "-j", "2"], words].concat()))
}

#[test]
fn a_narrower_table_holds_what_postgres_would_make_of_it() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(&url, &format!("{SOURCE}; create table t {TARGET}; create table w {TARGET}; insert into w {WANTED}"));
    let (source, target) = (format!("{url}#s"), format!("{url}#t"));
    // Without the flag nothing is written, with a part of it neither.
    fails(&copy(path, &[&source, &target]), 1, &["column "]);
    fails(
        &copy(path, &[&source, &target, "--allow-lossy", "amount,wide,ratio,size,at,day,note"]),
        1,
        &["column units"],
    );
    assert_eq!(psql(&url, "select count(*) from t"), "0");
    let words =
        [&[source.as_str(), target.as_str(), "--output", "json", "--verify", "checksum"], &COLUMNS[..]].concat();
    let done = copy(path, &words);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let done: Json = serde_json::from_str(&done.stdout).unwrap();
    let said =
        "loss is allowed in amount, wide, ratio, size, at, day, note, units: what does not fit is rounded or cut there";
    let notes: Vec<&Json> = done["notes"].as_array().unwrap().iter().filter(|note| *note == said).collect();
    assert_eq!((&done["rows"], notes.len()), (&json!(3000), 1), "{done}");
    let text = |table: &str| psql(&url, &format!("select {table}::text from {table} order by id limit 12"));
    assert_eq!(text("t"), text("w"));
    for (one, other) in [("t", "w"), ("w", "t")] {
        let different =
            format!("select count(*) from (select {one}::text from {one} except select {other}::text from {other}) x");
        assert_eq!(psql(&url, &different), "0");
    }
    let plan = etl(path, &[&["plan", "--mode", "append", &source, &target], &COLUMNS[..]].concat());
    let line =
        plan.stdout.lines().find(|line| line.trim_start().starts_with("amount ")).unwrap_or_else(|| panic!("{plan:?}"));
    assert!(line.contains("lossy") && line.contains("loss is allowed: rounded"), "{line}");
}

#[test]
fn what_is_beyond_the_range_is_refused_and_nothing_is_written() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(&url, &format!("{SOURCE}; create table t {TARGET}"));
    let (source, target) = (format!("{url}#s"), format!("{url}#t"));
    for (column, value) in [
        ("amount", "9999.995"),
        ("wide", "'NaN'"),
        ("wide", "1e400"),
        ("ratio", "1e300"),
        ("size", "'NaN'"),
        ("size", "2147483647.5"),
        ("units", "2147483647.5"),
    ] {
        psql(&url, &format!("update s set {column} = {value} where id = 77"));
        let words = [&[source.as_str(), target.as_str()], &COLUMNS[..]].concat();
        fails(&copy(path, &words), 1, &[&format!("column {column}"), "row "]);
        assert_eq!(psql(&url, "select count(*) from t"), "0", "{column}");
        psql(&url, &format!("update s set {column} = null where id = 77"));
    }
    for (words, says) in [
        (
            &["--mode", "append", "--allow-lossy", "amuont"][..],
            "option --allow-lossy: column amuont: no column of this name is copied",
        ),
        (
            &["--mode", "append", "--allow-lossy", "id"],
            "column id: the target takes all values of this column as they are",
        ),
        (&["--allow-lossy", "amount", "--mode", "upsert", "--key", "amount"], "in a key no loss is allowed"),
        (&["--allow-lossy", "amount", "--mode", "truncate", "--verify", "rows"], "values that are rounded or cut"),
    ] {
        fails(&etl(path, &[&["copy", &source, &target], words].concat()), 2, &[says]);
    }
}

#[test]
fn a_datetime_of_mariadb_loses_its_fraction() {
    let (folder, url, other) = (tempfile::tempdir().unwrap(), postgres(), mariadb());
    psql(&url, SOURCE);
    mariadb_client(&other, "create table t (id bigint, at datetime, note varchar(3), amount decimal(6,1))");
    let (source, target) = (format!("{url}#s"), format!("{other}#t"));
    let words = [&source, &target, "--mode", "append", "--select", "id,at,note,amount", "--where", "id <> 3"];
    copied(folder.path(), &[&words[..], &["--allow-lossy", "at,note,amount"]].concat());
    let found = mariadb_client(&other, "select id, at, note, amount from t order by id");
    let wanted = "select id, coalesce(date_trunc('second', at)::text, 'NULL'), coalesce(note::varchar(3), 'NULL'),
        coalesce(amount::numeric(6,1)::text, 'NULL') from s where id <> 3 order by id";
    assert_eq!(found.replace('\t', "|"), psql(&url, wanted));
}
