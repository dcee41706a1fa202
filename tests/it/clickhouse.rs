//! ClickHouse, whose own text says what is true. Its embedded engine behind HTTP, as `tests/servers/clickhouse.py` serves it.

mod lost;
mod tls;
mod zombies;

use crate::program::{copied, end, etl, start};
use crate::server::{clickhouse, clickhouse_client, postgres, psql};

fn table(url: &str, name: &str) -> String {
    format!("{url}#{name}")
}

fn rows_of(url: &str, name: &str) -> String {
    clickhouse_client(url, &format!("select * from {name} order by all"))
}

/// Name and type of each column, in its order.
fn types_of(url: &str, name: &str) -> String {
    let sql = "select name, type from system.columns where database = currentDatabase() and table =";
    clickhouse_client(url, &format!("{sql} '{name}' order by position"))
}

/// One column of every type that is read, two rows of extremes and one of NULLs and empty values.
fn with_every_type(url: &str) {
    clickhouse_client(
        url,
        "create table every_type (
           id Int32, i8 Int8, i16 Int16, i64 Int64, u8 UInt8, u64 UInt64, i128 Int128, u128 UInt128, i256 Int256, u256 UInt256,
           f Float32, d Float64, dec1 Decimal(9, 2), dec2 Decimal(38, 38), dec3 Decimal(76, 38), b Bool, s String, ns Nullable(String),
           lc LowCardinality(String), lcn LowCardinality(Nullable(String)), fs FixedString(3), u UUID, da Date, da32 Date32,
           dt DateTime('UTC'), dto DateTime('Europe/Oslo'), dt0 DateTime64(0, 'UTC'), dt1 DateTime64(1, 'UTC'),
           dt3 DateTime64(3, 'UTC'), dt9 DateTime64(9, 'Asia/Tokyo'), ti Time, ti6 Time64(6), e8 Enum8('a' = -128, 'b\\'c' = 1),
           e16 Nullable(Enum16('x' = 1000)), ip4 IPv4, ip6 Nullable(IPv6), iv IntervalMicrosecond, ar Array(Nullable(Int32)),
           ae Array(Enum8('p' = 1)), ai Array(IPv4), m Map(String, Array(UInt8)), tn Tuple(x Int32, `y z` Nullable(String)), tu Tuple(Int8, String)
         ) engine = MergeTree order by id",
    );
    let max = "9".repeat(38);
    clickhouse_client(
        url,
        &format!(
            "insert into every_type values
             (1, -128, -32768, -9223372036854775808, 0, 0, -170141183460469231731687303715884105728, 0,
              -57896044618658097711785492504343953926634992332820282019728792003956564819968, 0, -1.5, -1.7976931348623157e308,
              '-9999999.99', '-0.{max}', '-{max}.{max}', false, '', '', '', '', 'abc', '00000000-0000-0000-0000-000000000000',
              '1970-01-01', '1900-01-01', '1970-01-01 00:00:00', '1970-01-02 00:00:00', '1900-01-01 00:00:00', '1900-01-01 00:00:00.1',
              '1900-01-01 00:00:00.001', '1969-12-31 23:59:59.999999999', '00:00:00', '00:00:00.000001', 'a', 'x', '0.0.0.0', '::',
              -5, [1, null], ['p'], ['1.2.3.4'], {{}}, (-1, null), (1, 'a')),
             (2, 127, 32767, 9223372036854775807, 255, 18446744073709551615, 170141183460469231731687303715884105727,
              340282366920938463463374607431768211455,
              57896044618658097711785492504343953926634992332820282019728792003956564819967,
              115792089237316195423570985008687907853269984665640564039457584007913129639935, 3.4028235e38, nan,
              '9999999.99', '0.{max}', '{max}.{max}', true, '雪 😀 \\0 \\\\ \\n', 'x', 'y', 'z', '\\0\\0\\0',
              '61f0c404-5cb3-11e7-907b-a6006ad3dba0', '2149-06-06', '2299-12-31', '2106-02-07 06:28:15', '2024-07-01 12:00:00',
              '2299-12-31 23:59:59', '2299-12-31 23:59:59.9', '2299-12-31 23:59:59.999', '2262-04-11 23:47:16.854775807',
              '23:59:59', '23:59:59.999999', 'b\\'c', null, '255.255.255.255', '2001:db8::ff', 5, [], [], [], {{'k': [1, 2], '': []}},
              (7, 'n'), (2, '')),
             (3, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0.0, inf, '0', '0', '0', false, 'x', null, 'l', null, 'xyz',
              '00112233-4455-6677-8899-aabbccddeeff', '2024-02-29', '2024-02-29', '2024-02-29 12:00:00', '2024-02-29 12:00:00',
              '2024-02-29 12:00:00', '2024-02-29 12:00:00.5', '2024-02-29 12:00:00.25', '2024-02-29 12:00:00.123456789',
              '12:00:00', '12:00:00', 'a', null, '1.2.3.4', null, 0, [null], ['p', 'p'], ['::ffff:1.2.3.4'::IPv6::IPv4], {{'a': [9]}}, (0, ''), (0, 'é'))"
        ),
    );
}

#[test]
fn a_copy_of_a_table_is_printed_alike() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    with_every_type(&url);
    let rows = rows_of(&url, "every_type");
    assert_eq!(rows.lines().count(), 3);
    copied(folder.path(), &[&table(&url, "every_type"), &table(&url, "again"), "--verify", "checksum"]);
    assert_eq!(rows_of(&url, "again"), rows);
    assert_eq!(types_of(&url, "again"), types_of(&url, "every_type"));
    let keys = "select name, sorting_key, comment from system.tables where database = currentDatabase() and name != 'etl_commits' order by name";
    assert_eq!(clickhouse_client(&url, keys), "again\tid\t\nevery_type\tid\t");

    // By way of a file that knows all types, too, and into a table that is there.
    copied(folder.path(), &[&table(&url, "every_type"), "every.arrow"]);
    clickhouse_client(&url, "create table third as every_type");
    copied(folder.path(), &["every.arrow", &table(&url, "third"), "--mode", "append"]);
    assert_eq!(rows_of(&url, "third"), rows);
}

#[test]
fn values_arrive_in_postgres_as_they_are() {
    let (url, target, folder) = (clickhouse(), postgres(), tempfile::tempdir().unwrap());
    with_every_type(&url);
    copied(folder.path(), &[&table(&url, "every_type"), &table(&target, "t"), "--drop", "m,tn,tu,ae,ai,s,dt9"]);
    let rows = psql(
        &target,
        "set time zone 'UTC'; set extra_float_digits = 1; select i8, u64, i128, u256, f, d, dec1, b, lcn, fs, u, da, da32, dt, dto, dt1, \
         ti6, e8, e16, ip4, ip6, ar from t where id < 3 order by id",
    );
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(
        rows,
        [
            "-128|0|-170141183460469231731687303715884105728|0|-1.5|-1.7976931348623157e+308|-9999999.99|f||\\x616263|\
             00000000-0000-0000-0000-000000000000|1970-01-01|1900-01-01|1970-01-01 00:00:00+00|1970-01-01 23:00:00+00|\
             1900-01-01 00:00:00.1+00|00:00:00.000001|a|x|0.0.0.0|::|{1,NULL}",
            "127|18446744073709551615|170141183460469231731687303715884105727|\
             115792089237316195423570985008687907853269984665640564039457584007913129639935|3.4028235e+38|NaN|9999999.99|t|z|\\x000000|\
             61f0c404-5cb3-11e7-907b-a6006ad3dba0|2149-06-06|2299-12-31|2106-02-07 06:28:15+00|2024-07-01 10:00:00+00|\
             2299-12-31 23:59:59.9+00|23:59:59.999999|b'c||255.255.255.255|2001:db8::ff|{}",
        ]
    );
}

#[test]
fn values_of_postgres_are_printed_alike() {
    let (url, source, folder) = (clickhouse(), postgres(), tempfile::tempdir().unwrap());
    psql(
        &source,
        "create table t (id bigint primary key, n numeric(20,5), t text, y bytea, d date, at timestamp, tz timestamptz, j json, ti time, ok boolean, a int[]);
         insert into t values (1, -12.5, E'a\\tb', '\\x00ff', '1900-01-01', '2299-12-31 23:59:59.999999', '2024-07-01 12:00:00.5+02', '{\"a\": 1.50}', '12:34:56.7', true, '{1,null}'),
           (2, null, null, null, null, null, null, null, null, null, '{}')",
    );
    copied(folder.path(), &[&table(&source, "t"), &table(&url, "t")]);
    assert_eq!(
        clickhouse_client(&url, "select * except y from t order by id"),
        "1\t-12.5\ta\\tb\t1900-01-01\t2299-12-31 23:59:59.999999\t2024-07-01 10:00:00.500000\t{\"a\": 1.50}\t12:34:56.700000\ttrue\t[1,NULL]\n\
         2\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t[]"
    );
    assert_eq!(clickhouse_client(&url, "select hex(y) from t where id = 1"), "00FF");
    assert!(types_of(&url, "t").starts_with("id\tInt64\nn\tNullable(Decimal(20, 5))\nt\tNullable(String)\ny\tNullable(String)\nd\tNullable(Date32)\nat\tNullable(DateTime64(6, \\'UTC\\'))"));
    // What the types do not say, comments do: bytes, no zone, JSON come back.
    copied(folder.path(), &[&table(&url, "t"), &table(&source, "back")]);
    let differs = "select count(*) from (select id, n, t, y, d, at, tz, j::text, ti, ok, a from";
    assert_eq!(
        psql(&source, &format!("{differs} t except select id, n, t, y, d, at, tz, j::text, ti, ok, a from back) x")),
        "0"
    );
    let declared = "select string_agg(data_type, ',' order by ordinal_position) from information_schema.columns where table_name =";
    assert!(
        psql(&source, &format!("{declared} 'back'"))
            .contains("bytea,date,timestamp without time zone,timestamp with time zone,json")
    );
}

/// What would be changed is refused, with its column and row, and nothing is left.
#[test]
fn values_that_clickhouse_would_change_are_refused() {
    let (url, source, folder) = (clickhouse(), postgres(), tempfile::tempdir().unwrap());
    let cases = [
        ("date '1899-12-31'", "d"),
        ("timestamp '2300-01-01 00:00:00'", "d"),
        ("timestamptz '0001-01-01 00:00:00+00'", "d"),
        ("null::int[]", "d"),
    ];
    for (value, column) in cases {
        psql(&source, &format!("drop table if exists t; create table t as select 1 as id, null as x, {value} as d"));
        let failed = etl(folder.path(), &["copy", "-q", &table(&source, "t"), &table(&url, "t")]);
        assert_eq!(failed.code, 1, "{value}: {}", failed.stderr);
        assert!(
            failed.stderr.contains(&format!("column {column}")) && failed.stderr.contains("row 1"),
            "{value}: {}",
            failed.stderr
        );
        assert_eq!(clickhouse_client(&url, "show tables"), "", "{value}");
    }
    // Rows that do not fit can be left out.
    psql(
        &source,
        "drop table if exists t; create table t as select g as id, date '1890-01-01' + g * 365 as d from generate_series(1, 20) g",
    );
    copied(
        folder.path(),
        &[&table(&source, "t"), &table(&url, "some"), "--on-error", "skip", "--rejects", "bad.jsonl"],
    );
    assert_eq!(clickhouse_client(&url, "select count(), min(d) from some"), "10\t1900-12-30");
    assert_eq!(std::fs::read_to_string(folder.path().join("bad.jsonl")).unwrap().lines().count(), 10);
}

#[test]
fn bytes_that_are_no_text_are_told_and_can_be_read() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    clickhouse_client(&url, "create table t (id Int32, s String) engine = MergeTree order by id");
    clickhouse_client(&url, "insert into t values (1, 'a'), (2, unhex('ff00'))");
    let failed = etl(folder.path(), &["copy", "-q", &table(&url, "t"), "t.parquet"]);
    assert_eq!(failed.code, 1);
    assert!(
        failed.stderr.contains("column s")
            && failed.stderr.contains("row 2")
            && failed.stderr.contains("strings=binary"),
        "{}",
        failed.stderr
    );
    assert!(!folder.path().join("t.parquet").exists());
    copied(folder.path(), &[&format!("{url}?strings=binary#t"), &table(&url, "again")]);
    assert_eq!(clickhouse_client(&url, "select id, hex(s) from again order by id"), "1\t61\n2\tFF00");
}

#[test]
fn types_that_are_not_read_are_named() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    let types = ["Dynamic", "Variant(Int8, String)", "AggregateFunction(sum, UInt64)", "BFloat16", "Point"];
    for declared in types {
        clickhouse_client(
            &url,
            &format!("create or replace table t (id Int32, x {declared}) engine = MergeTree order by id"),
        );
        let failed = etl(folder.path(), &["copy", "-q", &table(&url, "t"), "t.parquet"]);
        assert_eq!(failed.code, 1, "{declared}");
        assert!(
            failed.stderr.contains("column x") && failed.stderr.contains(declared.split('(').next().unwrap()),
            "{}",
            failed.stderr
        );
    }
    clickhouse_client(&url, "create table j (id Int32, x JSON) engine = MergeTree order by id");
    clickhouse_client(&url, "insert into j values (1, '{\"b\": [1, null], \"a\": \"x\"}')");
    copied(folder.path(), &[&table(&url, "j"), "j.csv"]);
    let printed = clickhouse_client(&url, "select x from j format TSVRaw");
    let csv = std::fs::read_to_string(folder.path().join("j.csv")).unwrap();
    assert_eq!(csv.lines().nth(1).unwrap(), format!("1,\"{}\"", printed.replace('"', "\"\"")));
}

/// Inserts `rows` rows in several parts.
fn with_parts(url: &str, name: &str, rows: u64) {
    clickhouse_client(
        url,
        &format!(
            "create table {name} (id UInt64, k String, x Float64) engine = MergeTree order by id \
             settings max_bytes_to_merge_at_max_space_in_pool = 1"
        ),
    );
    for part in 0..4 {
        let from = rows / 4 * part;
        let sql = format!(
            "insert into {name} select number + {from}, concat('row ', toString(number)), number / 3 from numbers({})",
            rows / 4
        );
        clickhouse_client(url, &sql);
    }
}

const SUMS: &str = "select count(), uniqExact(id), sum(id), sum(cityHash64(id, k, x)) from";

#[test]
fn a_large_table_is_read_by_its_parts() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    with_parts(&url, "big", 1_200_000);
    // They are new, and the server may want to merge them.
    let plan = etl(folder.path(), &["plan", &table(&url, "big"), &table(&url, "copy"), "--jobs", "4"]);
    assert!(plan.stdout.contains("its parts may soon be merged"), "{}", plan.stdout);
    let by_parts = format!("{url}?cut=parts#big");
    let plan = etl(folder.path(), &["plan", &by_parts, &table(&url, "copy"), "--jobs", "4"]);
    assert!(plan.stdout.contains(" splits of 4 parts"), "{}", plan.stdout);
    copied(folder.path(), &[&by_parts, &table(&url, "copy"), "--jobs", "4"]);
    assert_eq!(clickhouse_client(&url, &format!("{SUMS} copy")), clickhouse_client(&url, &format!("{SUMS} big")));
    copied(
        folder.path(),
        &[
            &format!("{url}?compress=lz4&cut=none&blockRows=100000#big"),
            &format!("{url}?compress=lz4#copy"),
            "--mode",
            "replace",
        ],
    );
    assert_eq!(clickhouse_client(&url, &format!("{SUMS} copy")), clickhouse_client(&url, &format!("{SUMS} big")));
    // One part has nothing to be merged with.
    clickhouse_client(&url, "create table whole engine = MergeTree order by id as select * from big limit 0");
    clickhouse_client(
        &url,
        "insert into whole select * from big settings max_insert_threads = 1, min_insert_block_size_rows = 2000000",
    );
    clickhouse_client(&url, "optimize table whole final");
    let plan = etl(folder.path(), &["plan", &table(&url, "whole"), "whole.parquet", "--jobs", "4"]);
    assert!(plan.stdout.contains(" of 1 part,"), "{}", plan.stdout);
    // Filters go to the server, and a query is read as it is.
    copied(folder.path(), &[&table(&url, "big"), "few.csv", "--where", "id >= 1199990 and k <> 'row 5'"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("few.csv")).unwrap().lines().count(), 11);
    let query = "select sum(id) as s, NULL::Nullable(Int8) as n from big";
    copied(folder.path(), &[&url, "sum.csv", "--query", query]);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("sum.csv")).unwrap(),
        format!("s,n\n{},\n", 1_199_999_u64 * 600_000)
    );
}

/// The error comes in the middle of an answer that began well: no shorter table.
#[test]
fn an_error_in_the_middle_fails_the_copy() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    let query = "select number, toString(number) as t, throwIf(number = 3000000) as x from numbers(5000000)";
    let failed = etl(folder.path(), &["copy", "-q", &url, "t.parquet", "--query", query]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("395"), "{}", failed.stderr);
    assert!(!folder.path().join("t.parquet").exists());
}

#[test]
fn modes_keep_the_definition_and_the_promise_is_told() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    let csv = |rows: &str| std::fs::write(folder.path().join("in.csv"), format!("id,s\n{rows}")).unwrap();
    clickhouse_client(
        &url,
        "create table t (id Int64, s String, d Int32 default 7, twice Int64 materialized id * 2) engine = MergeTree \
         partition by id % 2 order by id comment 'mine'",
    );
    let made = "show create table t format TSVRaw";
    let definition = clickhouse_client(&url, made);
    let target = table(&url, "t");
    let copy = |mode: &str| copied(folder.path(), &["in.csv", &target, "--mode", mode, "--schema", "ignore"]);
    let all = || clickhouse_client(&url, "select id, s, d, twice from t order by id, s");
    csv("1,a\n2,b\n");
    copy("append");
    copy("append");
    assert_eq!(all(), "1\ta\t7\t2\n1\ta\t7\t2\n2\tb\t7\t4\n2\tb\t7\t4");
    csv("3,c\n");
    copy("truncate");
    assert_eq!(all(), "3\tc\t7\t6");
    csv("");
    copy("replace");
    assert_eq!(all(), "");
    copy("create");
    assert_eq!(clickhouse_client(&url, made), definition);
    assert_eq!(clickhouse_client(&url, "show tables"), "etl_commits\nt");

    let plan =
        |words: &[&str]| etl(folder.path(), &[&["plan", "in.csv", &target, "--schema", "ignore"], words].concat());
    let at_least = plan(&["--mode", "append"]);
    assert!(at_least.stdout.contains("may double rows"), "{}", at_least.stdout);
    clickhouse_client(&url, "alter table t modify setting non_replicated_deduplication_window = 100");
    let exactly = plan(&["--mode", "append"]);
    assert!(exactly.stdout.contains("every row exactly once"), "{}", exactly.stdout);
    csv("4,d\n5,e\n");
    copy("append");
    copy("append");
    assert_eq!(clickhouse_client(&url, "select count(), uniqExact(id) from t"), "4\t2");
    let upsert = plan(&["--mode", "upsert", "--key", "id"]);
    assert!(upsert.code == 1 && upsert.stderr.contains("ReplacingMergeTree"), "{}", upsert.stderr);
}

#[test]
fn other_engines_take_rows_and_views_take_none() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("in.csv"), "id,s\n1,a\n2,b\n").unwrap();
    for engine in ["Memory", "Log", "ReplacingMergeTree order by id"] {
        clickhouse_client(&url, &format!("create or replace table t (id Int64, s String) engine = {engine}"));
        copied(folder.path(), &["in.csv", &table(&url, "t"), "--mode", "append"]);
        assert_eq!(clickhouse_client(&url, "select * from t order by id"), "1\ta\n2\tb", "{engine}");
    }
    copied(folder.path(), &["in.csv", &table(&url, "t"), "--mode", "replace"]);
    assert_eq!(
        clickhouse_client(
            &url,
            "select engine, total_rows from system.tables where name = 't' and database = currentDatabase()"
        ),
        "ReplacingMergeTree\t2"
    );
    clickhouse_client(&url, "create table sums (n UInt64) engine = MergeTree order by n");
    clickhouse_client(&url, "create materialized view fed to sums as select count() as n from t");
    copied(folder.path(), &["in.csv", &table(&url, "t"), "--mode", "append"]);
    assert_eq!(clickhouse_client(&url, "select sum(n) from sums"), "2");
    let refused = etl(folder.path(), &["copy", "-q", "in.csv", &table(&url, "t"), "--mode", "replace"]);
    assert!(refused.code == 1 && refused.stderr.contains("materialized views"), "{}", refused.stderr);
    clickhouse_client(&url, "create view v as select * from t");
    copied(folder.path(), &[&table(&url, "v"), "v.csv"]);
    let refused = etl(folder.path(), &["copy", "-q", "in.csv", &table(&url, "v"), "--mode", "append"]);
    assert!(refused.code == 1 && refused.stderr.contains("view"), "{}", refused.stderr);
}

#[test]
fn a_column_that_is_not_read_can_be_left_out() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    clickhouse_client(&url, "create table t (id Int32, state AggregateFunction(uniq, Int32)) engine = Memory");
    clickhouse_client(&url, "insert into t select 1, uniqState(toInt32(5))");
    let from = table(&url, "t");
    copied(folder.path(), &[&from, "t.csv", "--drop", "state"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("t.csv")).unwrap(), "id\n1\n");
    let refused = etl(folder.path(), &["copy", "-q", &from, "no.csv"]);
    let words = "column state: columns of the type AggregateFunction(uniq, Int32) are not copied";
    assert!(refused.code == 1 && refused.stderr.contains(words), "{}", refused.stderr);
    assert!(!folder.path().join("no.csv").exists());
}

#[test]
fn odd_names_are_typed_as_the_server_writes_them() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    let columns = r#"(`x"y` Int32, `p\`q` Int32, `b\\s` Int32)"#;
    clickhouse_client(&url, &format!(r#"create table `a"b\`c\\d` {columns} engine = MergeTree order by `x"y`"#));
    clickhouse_client(&url, r#"insert into `a"b\`c\\d` values (1, 2, 3)"#);
    copied(folder.path(), &[&table(&url, r#"`a"b\`c\\d`"#), "t.csv"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("t.csv")).unwrap(), "\"x\"\"y\",p`q,b\\s\n1,2,3\n");
    copied(folder.path(), &[&table(&url, r#""a""b`c\d""#), &table(&url, r#"`e"``\\`"#)]);
    assert_eq!(clickhouse_client(&url, r#"select `x"y`, `p\`q`, `b\\s` from `e"\`\\`"#), "1\t2\t3");
}

/// An append in several steps that is cut off has some of its rows in the table: the next run has to finish it and read nothing again.
#[test]
fn a_commit_that_was_cut_off_is_finished() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    clickhouse_client(
        &url,
        "create table t (id Int64, note String) engine = MergeTree order by id \
         settings non_replicated_deduplication_window = 1000",
    );
    let counted = || clickhouse_client(&url, "select count(), uniqExact(id) from t");
    // Many small blocks, so that there is time to see some of them.
    let target = table(&format!("{url}?blockRows=1000"), "t");
    let source = "gen:id:seq,note:text(10..30)?rows=400000";
    // Sums are those of one process: whoever goes on would begin anew.
    let words = ["copy", "-q", source, target.as_str(), "--mode", "append", "--verify", "checksum", "--resume"];
    let mut etl = start(folder.path(), &words);
    while counted() == "0\t0" {
        assert!(etl.try_wait().unwrap().is_none(), "{:?}", end(etl));
    }
    etl.kill().unwrap();
    etl.wait().unwrap();
    let some = counted();
    assert!(some != "0\t0" && some != "400000\t400000", "{some}");
    // Begun anew, it would bring them twice.
    let refused = end(start(folder.path(), &words[..words.len() - 1]));
    assert!(refused.code != 0 && refused.stderr.contains("its commit has begun"), "{}", refused.stderr);
    let done = end(start(folder.path(), &words));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(counted(), "400000\t400000");
    assert_eq!(clickhouse_client(&url, "show tables"), "etl_commits\nt");
}

/// A rule of the table that only the commit meets.
#[test]
fn a_commit_that_is_refused_leaves_nothing() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("in.csv"), "id\n1\n2\n3\n").unwrap();
    clickhouse_client(
        &url,
        "create table t (id Int64, constraint small check id < 3) engine = MergeTree order by id \
         settings non_replicated_deduplication_window = 10",
    );
    let refused = etl(folder.path(), &["copy", "-q", "in.csv", &table(&url, "t"), "--mode", "append"]);
    assert!(refused.code == 1 && refused.stderr.contains("breaks a rule of the table"), "{}", refused.stderr);
    assert_eq!(clickhouse_client(&url, "select count() from t"), "0");
    assert_eq!(clickhouse_client(&url, "show tables"), "t");
}

#[test]
fn logins_and_missing_things_are_told() {
    let (url, folder) = (clickhouse(), tempfile::tempdir().unwrap());
    let fails = |source: &str, words: &[&str]| {
        let failed = etl(folder.path(), &["copy", "-q", source, "t.csv"]);
        assert_eq!(failed.code, 1, "{source}");
        assert!(words.iter().all(|word| failed.stderr.contains(word)), "{source}: {}", failed.stderr);
        assert!(!failed.stderr.contains("s3cret"), "{}", failed.stderr);
    };
    fails(&table(&url.replace("default@", "default:s3cret@"), "t"), &["user or password"]);
    fails(&table(&url, "missing"), &["no such table", "missing"]);
    fails("clickhouse://127.0.0.1:1/d#t", &["cannot be reached"]);
    // A password with signs of its own.
    clickhouse_client(&url, "create table t (a Int8) engine = MergeTree order by a");
    copied(folder.path(), &[&table(&url.replace("default@", "ada:s3cret%2C%2F%3F@"), "t"), "t.csv"]);
    let ping = etl(folder.path(), &["ping", &url]);
    assert!(ping.code == 0 && ping.stdout.contains("ClickHouse 26."), "{ping:?}");
}
