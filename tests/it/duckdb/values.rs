//! Types and values of DuckDB: those that come as they were, those that have no place elsewhere, and infinity, which has one in
//! PostgreSQL.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::program::{copied, etl, refused};
use crate::server::{duckdb, postgres, psql};

/// Extremes of every type, told in SQL: name of the column, type, values.
const TYPES: &[(&str, &str, &[&str])] = &[
    ("b", "boolean", &["true", "false"]),
    ("i8", "tinyint", &["-128", "127"]),
    ("i16", "smallint", &["-32768", "32767"]),
    ("i32", "integer", &["-2147483648", "2147483647"]),
    ("i64", "bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("i128", "hugeint", &["-170141183460469231731687303715884105728", "170141183460469231731687303715884105727", "-1"]),
    ("u8", "utinyint", &["0", "255"]),
    ("u16", "usmallint", &["65535"]),
    ("u32", "uinteger", &["4294967295"]),
    ("u64", "ubigint", &["18446744073709551615", "9223372036854775808"]),
    ("u128", "uhugeint", &["340282366920938463463374607431768211455", "0"]),
    ("f32", "float", &["nan", "inf", "-inf", "1e-45", "3.4028235e38"]),
    ("f64", "double", &["nan", "inf", "-inf", "5e-324", "1.7976931348623157e308", "0.1"]),
    ("d4", "decimal(4,1)", &["-999.9", "0.1"]),
    ("d18", "decimal(18,3)", &["999999999999999.999"]),
    ("d38", "decimal(38,0)", &["99999999999999999999999999999999999999", "-1"]),
    ("dd", "decimal(38,38)", &["0.99999999999999999999999999999999999999"]),
    ("t", "varchar", &["", "it''s", "zwei\nZeilen", "😀 \u{202E}"]),
    ("bl", "blob", &["", "\\x00\\xFF", "a"]),
    ("bits", "bit", &["0", "1", "0101010101", "111111111"]),
    ("big", "bignum", &["-123456789012345678901234567890123456789012345678901234567890", "0", "7"]),
    ("u", "uuid", &["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
    ("j", "json", &["{\"a\": [1, 2.50, 12345678901234567890123]}", "null", "\"x\""]),
    ("e", "enum('a', 'it''s', '')", &["a", "it''s", ""]),
    ("da", "date", &["5877642-06-25 (BC)", "5881580-07-10", "0001-01-01", "0044-03-15 (BC)"]),
    ("ti", "time", &["00:00:00", "23:59:59.999999"]),
    ("tn", "time_ns", &["23:59:59.999999999"]),
    ("tz", "timetz", &["00:00:00-15:59:59", "23:59:59.999999+15:59", "12:30:00+05:30"]),
    ("ts", "timestamp", &["290309-12-22 (BC) 00:00:00", "294247-01-10 04:00:54.775806", "1969-12-31 23:59:59.999999"]),
    ("tss", "timestamp_s", &["1969-12-31 23:59:59", "9999-12-31 23:59:59"]),
    ("tsm", "timestamp_ms", &["1969-12-31 23:59:59.999"]),
    ("tsn", "timestamp_ns", &["1969-12-31 23:59:59.999999999", "2262-04-11 23:47:16.854775806"]),
    ("tstz", "timestamptz", &["2024-06-30 23:59:59.5+05:30", "294247-01-10 04:00:54.775806+00"]),
    ("iv", "interval", &["-14 months -3 days -00:00:01.5", "2562047:47:16.854775", "1 year 30 days", "00:00:00"]),
    ("l", "integer[]", &["[]", "[1, NULL, 3]"]),
    ("ll", "varchar[][]", &["[[], NULL, [a, NULL]]"]),
    ("lh", "hugeint[]", &["[-170141183460469231731687303715884105728, NULL]"]),
    ("li", "interval[]", &["[1 year 3 days, NULL]"]),
    ("lb", "boolean[]", &["[true, NULL, false]"]),
    ("ar", "double[3]", &["[1.5, NULL, -2.5]"]),
    (
        "st",
        "struct(a integer, \"b c\" varchar, u uuid)",
        &["{'a': 1, 'b c': x, 'u': ffffffff-ffff-ffff-ffff-ffffffffffff}"],
    ),
    ("sx", "struct(tz timetz, e enum('a', 'b'), l bit[])", &["{'tz': 12:30:00+05:30, 'e': b, 'l': [101]}"]),
    ("m", "map(varchar, decimal(4,1))", &["{a=1.5, b=NULL}", "{}"]),
    ("mh", "map(bignum, integer[])", &["{12345678901234567890123=[1]}"]),
];

/// A table with a column and its extremes for each of [`TYPES`]; a row of NULLs is in it, too.
fn all_types(path: &Path, name: &str) {
    let columns: Vec<String> = TYPES.iter().map(|(column, declared, _)| format!("{column} {declared}")).collect();
    let most = TYPES.iter().map(|(_, _, values)| values.len()).max().unwrap();
    let mut sql = format!("create table {name} (id integer primary key, {});", columns.join(", "));
    for row in 0..=most {
        let values = TYPES.iter().map(|(_, declared, values)| match values.get(row) {
            Some(value) if *declared == "blob" => format!("'{value}'::blob"),
            Some(value) if value.starts_with("{'") => format!("'{}'::{declared}", value.replace('\'', "''")),
            Some(value) => format!("'{value}'::{declared}"),
            None => "NULL".to_owned(),
        });
        let _ = write!(sql, "insert into {name} values ({row}, {});", values.collect::<Vec<_>>().join(", "));
    }
    duckdb(path, &sql);
}

/// What `from` has of `table` and `to` has not, both ways, and the types of the columns, which are to be the same.
fn differences(from: &Path, to: &Path, table: &str) -> String {
    // A text of each value: -0.0, NaN and the parts of an interval are told apart.
    let columns: Vec<String> = TYPES.iter().map(|(column, ..)| format!("{column}::varchar")).collect();
    let columns = format!("id, {}", columns.join(", "));
    let kinds = |database: &str| {
        format!(
            "select column_name, data_type, is_nullable from duckdb_columns() where database_name = '{database}' and table_name = '{table}'"
        )
    };
    let sql = format!(
        "attach '{}' as other;
         select 'lost', * from (select {columns} from {table} except all select {columns} from other.{table})
         union all select 'new', * from (select {columns} from other.{table} except all select {columns} from {table});",
        to.display()
    );
    let own = from.file_stem().unwrap().to_str().unwrap();
    let types = format!("attach '{}' as other; {} except {}", to.display(), kinds(own), kinds("other"));
    format!("{}{}", duckdb(from, &sql), duckdb(from, &types))
}

#[test]
fn every_type_arrives_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    all_types(&path("all.duckdb"), "t");
    copied(folder.path(), &["all.duckdb#t", "new.duckdb#t", "--verify", "checksum"]);
    assert_eq!(differences(&path("all.duckdb"), &path("new.duckdb"), "t"), "", "into a new file");
    // Once more, now into a table that is there; through a file that knows the types, and within one file.
    copied(folder.path(), &["all.duckdb#t", "new.duckdb#t", "--mode", "replace", "--verify", "checksum"]);
    assert_eq!(differences(&path("all.duckdb"), &path("new.duckdb"), "t"), "", "into a table");
    copied(folder.path(), &["all.duckdb#t", "all.duckdb#again"]);
    let columns: Vec<String> = TYPES.iter().map(|(column, ..)| format!("{column}::varchar")).collect();
    let rows = |table: &str| format!("select id, {} from {table}", columns.join(", "));
    let sql = format!("({} except all {}) union all ({1} except all {0})", rows("t"), rows("again"));
    assert_eq!(duckdb(&path("all.duckdb"), &sql), "", "within one file");
}

/// The bulk path has room for 2048 rows of a column that it casts, and looks at no end of it.
#[test]
fn many_rows_of_types_that_the_bulk_path_casts_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let rows = "select i, i::varchar::bignum big, ('101' || (i % 2))::bit bits, '12:30:00+05:30'::timetz tz, 'row ' || i t from range(20000) r(i)";
    duckdb(&path("many.duckdb"), &format!("create table t as {rows};"));
    copied(folder.path(), &["many.duckdb#t", "new.duckdb#t"]);
    let sql = format!("(select * from t except all {rows}) union all ({rows} except all select * from t);");
    assert_eq!(duckdb(&path("new.duckdb"), &sql), "");
}

/// What is read is what the client reads: a CSV file has nothing but text, which the client compares with its own.
#[test]
fn every_value_is_read_as_the_client_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("all.duckdb");
    all_types(&database, "t");
    let plain = [
        "i8", "i16", "i32", "i64", "i128", "u8", "u16", "u32", "u64", "u128", "d4", "d18", "d38", "dd", "t", "bits",
        "big", "u", "j", "e", "ti", "tn", "tz", "tss", "tsm", "tsn", "f64",
    ];
    let query = format!("select id, {} from t", plain.join(", "));
    copied(folder.path(), &["all.duckdb", "all.csv", "--query", &query]);
    let texts = plain
        .map(|name| if name == "f64" { "f64::varchar::double as f64".to_owned() } else { format!("{name}::varchar") });
    let read = plain.map(|name| match name {
        "f64" => "f64::double as f64".to_owned(),
        // The client writes no zero before the point.
        "dd" => "dd::decimal(38,38)::varchar as dd".to_owned(),
        name => name.to_owned(),
    });
    let sql = format!(
        "with copied as (select id::integer, {} from read_csv('{}', all_varchar = true, header = true, nullstr = '', allow_quoted_nulls = false)),
         truth as (select id, {} from t)
         select 'lost', * from (table truth except all table copied) union all select 'new', * from (table copied except all table truth)",
        read.join(", "),
        folder.path().join("all.csv").display(),
        texts.join(", ")
    );
    assert_eq!(duckdb(&database, &sql), "");
}

#[test]
fn values_without_a_place_in_arrow_are_told() {
    for (declared, value) in [
        ("date", "infinity"),
        ("date", "-infinity"),
        ("timestamp", "infinity"),
        ("timestamp_ns", "-infinity"),
        ("timestamptz", "infinity"),
        ("time", "24:00:00"),
        ("interval", "2562048:00:00"),
        ("timestamp[]", "[infinity]"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("t.duckdb");
        duckdb(
            &database,
            &format!("create table t (id int, v {declared}); insert into t values (1, null), (2, '{value}')"),
        );
        let done = etl(folder.path(), &["copy", "-q", "t.duckdb#t", "t.parquet"]);
        assert_eq!(done.code, 1, "{declared} {value}");
        assert!(done.stderr.contains("column v") && done.stderr.contains("row 2"), "{}", done.stderr);
        assert!(!folder.path().join("t.parquet").exists());
    }
}

#[test]
fn types_that_are_not_read_are_named() {
    for declared in ["union(n int, s varchar)", "variant", "geometry", "variant[]"] {
        let folder = tempfile::tempdir().unwrap();
        // The form of the file that is the default has no room for some of them.
        let sql = format!(
            "attach '{}' as newest (storage_version 'latest'); create table newest.t (id int, v {declared})",
            folder.path().join("t.duckdb").display()
        );
        duckdb(&folder.path().join("other.duckdb"), &sql);
        let done = etl(folder.path(), &["copy", "-q", "t.duckdb#t", "t.parquet"]);
        let name = declared.split(['(', '[']).next().unwrap().to_uppercase();
        assert_eq!(done.code, 1, "{declared}: {}", done.stderr);
        assert!(done.stderr.contains("column v") && done.stderr.contains(&name), "{declared}: {}", done.stderr);
        copied(folder.path(), &["t.duckdb", "t.csv", "--query", "select id from t"]);
    }
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    duckdb(&folder.path().join("t.duckdb"), "create table t as select 1 as id, 'x' as v union all select 5, 'y'");
    let query = "select id, v, id + 1 as \"ID\", id from t order by id desc -- all";
    let read = |file: &str, words: &[&str]| {
        copied(folder.path(), &[&["t.duckdb", file, "--query", query], words].concat());
        std::fs::read_to_string(folder.path().join(file)).unwrap()
    };
    assert_eq!(read("all.csv", &[]), "id,v,ID_2,id_3\n5,y,6,5\n1,x,2,1\n");
    assert_eq!(read("one.csv", &["--where", "id_3 = 1", "--drop", "v"]), "id,ID_2,id_3\n1,2,1\n");
}

#[test]
fn values_that_would_become_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let database = path.join("t.duckdb");
    for (declared, text) in [
        ("bignum", "007"),
        ("bit", "12"),
        ("timetz", "12:30"),
        ("enum('a')", "b"),
        ("hugeint", "1.5"),
        ("utinyint", "256"),
        ("decimal(4,1)", "1.25"),
        ("timestamp_s", "2024-01-01 00:00:00.5"),
        ("date", "2024-01-01 10:00:00"),
    ] {
        duckdb(&database, &format!("create or replace table t (id bigint, v {declared})"));
        std::fs::write(path.join("t.csv"), format!("id,v\n1,\n2,{text}\n")).unwrap();
        let done = etl(path, &["copy", "-q", "t.csv", "t.duckdb#t", "--mode", "append", "--cast", "v:text"]);
        assert_eq!(done.code, 1, "{declared} {text}: {}", done.stderr);
        assert!(done.stderr.contains("column v"), "{declared}: {}", done.stderr);
        assert_eq!(duckdb(&database, "select count(*) from t"), "0", "{declared}");
        let done = etl(
            path,
            &[
                "copy",
                "-q",
                "t.csv",
                "t.duckdb#t",
                "--mode",
                "append",
                "--cast",
                "v:text",
                "--on-error",
                "skip",
                "--rejects",
                "bad.jsonl",
            ],
        );
        assert_eq!(done.code, 0, "{declared} {text}: {}", done.stderr);
        assert_eq!(duckdb(&database, "select count(*), count(v) from t"), "1|0", "{declared}");
        std::fs::remove_file(path.join("bad.jsonl")).unwrap();
    }
}

/// Columns that may be infinite, with rows in which they are.
const ENDLESS: &str = "(id int primary key, d date, moment timestamp, zoned timestamptz);
    insert into t values (1, 'infinity', '-infinity', 'infinity'), (2, '-infinity', 'infinity', '-infinity'),
      (3, '2024-02-29', '1969-12-31 23:59:59.999999', '2024-06-30 23:59:59.5+05:30'), (4, null, null, null)";

/// The rows of [`ENDLESS`] as both clients write them.
const ENDLESS_ROWS: &str = "1|infinity|-infinity|infinity
2|-infinity|infinity|-infinity
3|2024-02-29|1969-12-31 23:59:59.999999|2024-06-30 18:29:59.5+00
4|||";

fn texts(table: &str) -> String {
    format!("select id, d::varchar, moment::varchar, zoned::varchar from {table} order by id")
}

#[test]
fn infinity_passes_between_duckdb_and_postgres() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let (path, file) = (folder.path(), folder.path().join("t.duckdb"));
    duckdb(&file, &format!("create table t {ENDLESS}"));
    psql(&url, &format!("create table t {ENDLESS}"));
    let of_postgres = |table: &str| psql(&url, &format!("set timezone = 'UTC'; {}", texts(table)));
    let of_duckdb = |file: &str, table: &str| duckdb(&path.join(file), &texts(table));
    assert_eq!((of_postgres("t"), of_duckdb("t.duckdb", "t")), (ENDLESS_ROWS.to_owned(), ENDLESS_ROWS.to_owned()));
    let there = format!("{url}#t");
    let verify = ["--verify", "checksum"];
    for (from, file) in [("t.duckdb#t", "own.duckdb"), (there.as_str(), "other.duckdb")] {
        let to = format!("{file}#t");
        copied(path, &[&[from, &to], &verify[..]].concat());
        assert_eq!(of_duckdb(file, "t"), ENDLESS_ROWS, "{from}");
        // Now into a table that is there.
        copied(path, &[&[from, &to, "--mode", "replace"], &verify[..]].concat());
        assert_eq!(of_duckdb(file, "t"), ENDLESS_ROWS, "{from}");
    }
    let made = format!("{url}#made");
    for mode in ["create", "replace", "truncate"] {
        copied(path, &[&["t.duckdb#t", &made, "--mode", mode], &verify[..]].concat());
        assert_eq!(of_postgres("made"), ENDLESS_ROWS, "{mode}");
    }
    // By key, too: the rows there are the same.
    copied(path, &["t.duckdb#t", &made, "--mode", "upsert", "--key", "id"]);
    assert_eq!(of_postgres("made"), ENDLESS_ROWS);
    // And within DuckDB in all units.
    let units = "create table u (id int, s timestamp_s, m timestamp_ms, n timestamp_ns);
                 insert into u values (1, 'infinity', '-infinity', 'infinity'), (2, '-infinity', 'infinity', null)";
    duckdb(&file, units);
    copied(path, &[&["t.duckdb#u", "own.duckdb#u"], &verify[..]].concat());
    let rows = "select id, s::varchar, m::varchar, n::varchar from u order by id";
    assert_eq!(duckdb(&path.join("own.duckdb"), rows), "1|infinity|-infinity|infinity\n2|-infinity|infinity|");
}

#[test]
fn where_infinity_has_no_place_its_row_is_told() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    duckdb(
        &path.join("t.duckdb"),
        "create table t (id int, s timestamp_s); insert into t values (1, null), (2, 'infinity')",
    );
    let endless = |to: &str, words: &[&str]| etl(path, &[&["copy", "-q", "t.duckdb#t", to], words].concat());
    // PostgreSQL has no such unit: a column of it would be another type.
    for to in [format!("{url}#t"), "t.parquet".to_owned(), "t.db#t".to_owned()] {
        let done = endless(&to, &[]);
        assert_eq!(done.code, 1, "{to}");
        for word in ["column s", "row 2", "infinity is no point in time that Arrow has"] {
            assert!(done.stderr.contains(word), "{to}: {}", done.stderr);
        }
        // The remedies: its row is never read, or left out.
        let found = endless(&to, &["--where", "s < '2200-01-01'"]);
        assert_eq!(found.code, 0, "{to}: {}", found.stderr);
        let skipped = endless(&to, &["--on-error", "skip", "--mode", "replace"]);
        assert_eq!(skipped.code, 0, "{to}: {}", skipped.stderr);
    }
    assert_eq!(psql(&url, "select * from t"), "1|");
    // What stands between sees dates and times of Arrow alone.
    duckdb(&path.join("t.duckdb"), &format!("create or replace table t {ENDLESS}"));
    let done = endless(&format!("{url}#computed"), &["--set", "next=d + interval '1 day'"]);
    assert!(done.code == 1 && done.stderr.contains("column d"), "{}", done.stderr);
}

#[test]
fn infinity_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    duckdb(&folder.path().join("t.duckdb"), &format!("create table t {ENDLESS}"));
    let shown = etl(folder.path(), &["head", "t.duckdb#t"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("infinity") && shown.stdout.contains("2024-02-29"), "{}", shown.stdout);
}

/// A month is as long as 30 days, and a collation takes two texts for the same: such a row is updated, and such a key comes twice.
#[test]
fn what_the_database_takes_for_equal_is_merged_as_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path(), folder.path().join("t.duckdb"));
    duckdb(
        &path.join("in.duckdb"),
        "create table t (id int primary key, i interval, l interval[], s varchar);
         insert into t values (1, interval '1 month', [interval '1 month'], 'A')",
    );
    duckdb(
        &target,
        "create table t (id int primary key, i interval, l interval[], s varchar collate nocase);
         insert into t values (1, interval '30 days', [interval '30 days'], 'a');
         create table k (s varchar collate nocase, n int); insert into k values ('Anna', 1)",
    );
    copied(path, &["in.duckdb#t", "t.duckdb#t", "--mode", "upsert"]);
    assert_eq!(duckdb(&target, "select i::varchar, l::varchar, s from t"), "1 month|[1 month]|A");

    std::fs::write(path.join("k.csv"), "s,n\nANNA,2\nanna,3\n").unwrap();
    let by_key = ["k.csv", "t.duckdb#k", "--mode", "upsert", "--key", "s"];
    let said = refused(path, &by_key);
    assert!(said.contains("key s: rows 1 and 2"), "{said}");
    copied(path, &[&by_key[..], &["--on-duplicate", "first", "--order-by", "n"]].concat());
    assert_eq!(duckdb(&target, "select * from k"), "Anna|2");
}

/// A primary key tells texts apart that a collation takes for the same: such rows are none that the target would refuse.
#[test]
fn rows_that_a_key_takes_are_not_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path(), folder.path().join("t.duckdb"));
    duckdb(&target, "create table k (s varchar collate nocase primary key, n int); insert into k values ('Anna', 1)");
    std::fs::write(path.join("k.csv"), "s,n\nANNA,2\nanna,3\nAnna,4\n").unwrap();
    copied(path, &["k.csv", "t.duckdb#k", "--mode", "append", "--on-error", "skip", "--max-errors", "1"]);
    assert_eq!(duckdb(&target, "select * from k order by n"), "Anna|1\nANNA|2\nanna|3");
}

/// A refused row stands in the rejects file with all that it holds, and comes back from there.
#[test]
fn refused_rows_come_back_from_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path(), folder.path().join("t.duckdb"));
    let columns = "id int primary key, b blob, l int[], pair struct(a int, b varchar), i interval, f float, z timestamptz, d date";
    duckdb(
        &path.join("in.duckdb"),
        &format!(
            "create table t ({columns}); insert into t values (1, '\\x00a\\xFF'::blob, [1, 2, null], {{'a': 1, 'b': 'x'}},
             interval '1 month 2 days', 0.1, '2024-01-01 00:00:00+00', '2024-02-29')"
        ),
    );
    duckdb(&target, &format!("create table t ({columns}); insert into t (id) values (1)"));
    let words = ["--mode", "append", "--on-error", "skip", "--rejects", "bad.jsonl"];
    copied(path, &[&["in.duckdb#t", "t.duckdb#t"], &words[..]].concat());
    let rows = "select id, b, l::varchar, pair::varchar, i::varchar, f, z::varchar, d from t";
    assert_eq!(duckdb(&target, "select count(*), count(b) from t"), "1|0");
    duckdb(&target, "delete from t");
    copied(path, &["bad.jsonl", "t.duckdb#t", "--mode", "append"]);
    assert_eq!(duckdb(&target, rows), duckdb(&path.join("in.duckdb"), rows));
}

/// Where a struct is called as a statement might call a table, its members are no columns of that.
#[test]
fn a_struct_is_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path(), folder.path().join("t.duckdb"));
    let columns = "id int primary key, s struct(id int), t struct(id int)";
    let rows = "values (1, {'id': 2}, {'id': 3}), (2, {'id': 2}, {'id': 2})";
    duckdb(&path.join("in.duckdb"), &format!("create table x ({columns}); insert into x {rows}"));
    let before = "insert into x values (1, {'id': 1}, {'id': 1}), (3, {'id': 3}, {'id': 3})";
    duckdb(&target, &format!("create table x ({columns}); {before}"));
    copied(path, &["in.duckdb#x", "t.duckdb#x", "--mode", "append", "--on-error", "skip", "--max-errors", "1"]);
    assert_eq!(duckdb(&target, "select id, s.id, t.id from x order by all"), "1|1|1\n2|2|2\n3|3|3");
    copied(path, &["in.duckdb#x", "t.duckdb#x", "--mode", "sync"]);
    assert_eq!(duckdb(&target, "select id, s.id, t.id from x order by all"), "1|2|3\n2|2|2");
}
