//! MySQL and MariaDB against their own client, which says what is true. Each test runs on both.

mod hosts;
mod locks;
mod login;
mod merge;
mod own;
mod sessions;
mod traps;
#[cfg(target_arch = "x86_64")]
mod versions;
mod zombies;

use std::path::Path;

use crate::program::{copied, etl};
use crate::server::{mariadb, mariadb_client, mysql, postgres, psql};

/// A fresh database on each of the two servers.
fn databases() -> [String; 2] {
    [mysql(), mariadb()]
}

fn table(url: &str, name: &str) -> String {
    format!("{url}#{name}")
}

/// One column of every type, two rows of extremes, one of NULLs.
const EVERY_TYPE: &str = "
    create table every_type (
      id int primary key, t tinyint, ut tinyint unsigned, s smallint, m mediumint unsigned, b bigint, ub bigint unsigned,
      f float, d double, dec1 decimal(10,2), dec2 decimal(65,30), bit1 bit(1), bit9 bit(9), y year, da date, dt datetime(6),
      dt0 datetime, ts timestamp(6) null, ti time(6), c char(5), v varchar(20), l latin1col, tx longtext, e enum('a','b''c'),
      st set('x','y'), bi binary(3), vb varbinary(9), bl longblob, g geometry, pt point
    ) default character set utf8mb4;
    insert into every_type values
      (1, -128, 0, -32768, 0, -9223372036854775808, 0, -1.5, -1.7976931348623157e308, -99999999.99,
       -99999999999999999999999999999999999.999999999999999999999999999999, b'0', b'0', 1901, '1000-01-01',
       '1000-01-01 00:00:00.000001', '1000-01-01 00:00:00', '1970-01-01 00:00:01.000001', '00:00:00.000001', '', '',
       'é', 'a\\tb\\nc\\\\d', 'a', 'x,y', x'000000', x'', x'00ff', ST_GeomFromText('LINESTRING(0 0, 1 2)'),
       ST_GeomFromText('POINT(1 2)')),
      (2, 127, 255, 32767, 16777215, 9223372036854775807, 18446744073709551615, 3.4028234e38, 2.2250738585072014e-308,
       99999999.99, 99999999999999999999999999999999999.999999999999999999999999999999, b'1', b'111111111', 2155,
       '9999-12-31', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59', '2038-01-19 03:14:07.999999', '23:59:59.999999',
       '😀', 'ünï', '€', repeat('雪', 1000), 'b''c', '', x'ffffff', x'0102', repeat(x'00', 300),
       ST_GeomFromText('POLYGON((0 0, 1 0, 1 1, 0 0))', 4326), ST_GeomFromText('POINT(3 4)', 4326)),
      (3, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
       null, null, null, null, null, null, null, null, null, null, null);";

fn with_every_type(url: &str) {
    // The shell's time zone is not that of the copy: instants do not depend on it.
    let sql = EVERY_TYPE.replace("l latin1col", "l varchar(9) character set latin1");
    mariadb_client(url, &format!("set time_zone = '+00:00'; {sql}"));
}

#[test]
fn a_copy_of_a_table_has_the_same_checksum() {
    for url in databases() {
        copies_every_type(&url);
    }
}

fn copies_every_type(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    with_every_type(url);
    copied(folder.path(), &[&table(url, "every_type"), &table(url, "again")]);
    let sums = mariadb_client(url, "checksum table every_type, again");
    let sums: Vec<&str> = sums.lines().map(|line| line.split_once('\t').unwrap().1).collect();
    assert_eq!(sums[0], sums[1], "{url}");
    // The definition, too, but for what a copy does not know of: defaults and indexes beside the key.
    let columns = |name: &str| {
        mariadb_client(
            url,
            &format!(
                "select column_name, column_type, is_nullable, column_key from information_schema.columns \
                 where table_schema = database() and table_name = '{name}' order by ordinal_position"
            ),
        )
    };
    assert_eq!(columns("again"), columns("every_type"), "{url}");
    assert_eq!(mariadb_client(url, "show tables like 'etl_stage%'"), "");
    let comment = "select table_comment from information_schema.tables where table_name = 'again'";
    assert_eq!(mariadb_client(url, &format!("{comment} and table_schema = database()")), "");
}

#[test]
fn every_type_arrives_in_postgres() {
    for url in databases() {
        copies_every_type_to_postgres(&url);
    }
}

fn copies_every_type_to_postgres(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    with_every_type(url);
    let target = postgres();
    copied(folder.path(), &[&table(url, "every_type"), &table(&target, "every_type")]);
    let rows = psql(
        &target,
        "set time zone 'UTC'; set extra_float_digits = 1; select id, t, ut, s, m, b, ub, f, d, dec1, dec2, bit1, bit9, \
         y, da, dt, dt0, ts, ti, c, v, l, md5(tx), e, st, bi, vb, bl, g, pt from every_type where id < 3 order by id",
    );
    let rows: Vec<&str> = rows.lines().collect();
    let max = "99999999999999999999999999999999999.999999999999999999999999999999";
    assert_eq!(
        rows[0],
        format!(
            "1|-128|0|-32768|0|-9223372036854775808|0|-1.5|-1.7976931348623157e+308|-99999999.99|-{max}|f|0|1901|\
             1000-01-01|1000-01-01 00:00:00.000001|1000-01-01 00:00:00|1970-01-01 00:00:01.000001+00|00:00:00.000001|||é|\
             {}|a|x,y|\\x000000|\\x|\\x00ff|\
             \\x01020000000200000000000000000000000000000000000000000000000000f03f0000000000000040|\
             \\x0101000000000000000000f03f0000000000000040",
            psql(&target, "select md5(e'a\\tb\\nc\\\\d')")
        ),
        "{url}"
    );
    assert!(
        rows[1].starts_with(&format!(
            "2|127|255|32767|16777215|9223372036854775807|18446744073709551615|3.4028235e+38|2.2250738585072014e-308|\
             99999999.99|{max}|t|511|2155|9999-12-31|9999-12-31 23:59:59.999999|9999-12-31 23:59:59|\
             2038-01-19 03:14:07.999999+00|23:59:59.999999|😀|ünï|€|{}|b'c||\\xffffff|\\x0102|\\x{}|",
            psql(&target, "select md5(repeat('雪', 1000))"),
            "00".repeat(300)
        )),
        "{url}: {}",
        rows[1]
    );
    // The reference system goes into the form that PostGIS has for it: the flag, then 4326 with the least byte first.
    let stored = mariadb_client(url, "select lower(hex(pt)) from every_type where id = 2");
    let rest = stored.strip_prefix("e61000000101000000").unwrap();
    assert!(rows[1].ends_with(&format!("|\\x0101000020e6100000{rest}")), "{url}: {}", rows[1]);
    assert!(rows[1].contains("|\\x0103000020e6100000"), "{url}: {}", rows[1]);
    assert_eq!(psql(&target, "select count(*) from every_type where id = 3 and t is null and pt is null"), "1");
}

const DATES: &str = "
    set sql_mode = 'ALLOW_INVALID_DATES';
    create table dates (id int primary key, d date, dt datetime(6), ts timestamp null, t time(6));
    insert into dates values (1, '0000-00-00', '0000-00-00', '0000-00-00', '838:59:59'), (2, '2024-02-00', '2024-00-10 01:02:03',
      null, '-838:59:59'), (3, '2024-02-29', '2024-02-29 12:00:00.5', '2024-02-29 12:00:00', '-00:00:00.000001');";

#[test]
fn dates_with_zeros_and_long_times_are_refused_read_as_wished_or_kept() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(&url, DATES);
        let source = table(&url, "dates");
        let refused = etl(folder.path(), &["copy", &source, "out.csv", "--select", "id,d"]);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("column d"), "{}", refused.stderr);
        assert!(refused.stderr.contains("zeroDates=null"), "{}", refused.stderr);
        let refused = etl(folder.path(), &["copy", &source, "out.csv", "--select", "id,t"]);
        assert!(refused.stderr.contains("time=duration"), "{}", refused.stderr);
        assert!(!folder.path().join("out.csv").exists());

        let with = |options: &str| format!("{url}?{options}#dates");
        copied(folder.path(), &[&with("zeroDates=null&time=duration"), "null.csv"]);
        let text = std::fs::read_to_string(folder.path().join("null.csv")).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[1], "1,,,,838:59:59");
        assert_eq!(rows[2], "2,,,,-838:59:59");
        assert_eq!(rows[3], "3,2024-02-29,2024-02-29 12:00:00.5,2024-02-29 12:00:00+00:00,-00:00:00.000001");
        // As text they find back.
        mariadb_client(&url, "create table back like dates");
        copied(folder.path(), &["null.csv", &table(&url, "back"), "--mode", "append"]);
        let times = mariadb_client(&url, "select id, t from back order by id");
        assert_eq!(times.trim_end(), "1\t838:59:59.000000\n2\t-838:59:59.000000\n3\t-00:00:00.000001", "{url}");
        copied(folder.path(), &[&with("zeroDates=text&time=duration"), "text.csv"]);
        let text = std::fs::read_to_string(folder.path().join("text.csv")).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[1], "1,0000-00-00,0000-00-00 00:00:00.000000,0000-00-00 00:00:00,838:59:59");
        assert_eq!(rows[2], "2,2024-02-00,2024-00-10 01:02:03.000000,,-838:59:59");

        // Within one product they are what they are.
        copied(folder.path(), &[&source, &table(&url, "again")]);
        let sums = mariadb_client(&url, "checksum table dates, again");
        let sums: Vec<&str> = sums.lines().map(|line| line.split_once('\t').unwrap().1).collect();
        assert_eq!(sums[0], sums[1], "{url}");
        // But for what is said of dates.
        copied(folder.path(), &[&with("zeroDates=null"), &table(&url, "nulls")]);
        let counts = mariadb_client(&url, "select count(*), count(d), count(dt), count(ts), count(t) from nulls");
        assert_eq!(counts.trim_end(), "3\t1\t1\t1\t3", "{url}");
    }
}

#[test]
fn rows_with_dates_and_times_without_a_place_are_left_out_and_told() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(
            &url,
            &format!("{DATES} insert into dates values (4, '2024-02-29', '2024-02-29', null, '12:00')"),
        );
        let (source, flags) = (table(&url, "dates"), ["--on-error", "skip", "--rejects", "bad.jsonl"]);
        copied(folder.path(), &[&[source.as_str(), "good.csv", "--select", "id,d,dt,t"][..], &flags[..]].concat());
        let good = std::fs::read_to_string(folder.path().join("good.csv")).unwrap();
        let good: Vec<&str> = good.lines().collect();
        assert_eq!(good, ["id,d,dt,t", "4,2024-02-29,2024-02-29 00:00:00,12:00:00"]);
        let bad = std::fs::read_to_string(folder.path().join("bad.jsonl")).unwrap();
        let bad: Vec<serde_json::Value> = bad.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let place = |line: &serde_json::Value| {
            let told = &line["__reject"];
            (told["column"].as_str().unwrap().to_owned(), told["row"].as_u64().unwrap())
        };
        let places: Vec<_> = bad.iter().map(place).collect();
        assert_eq!(places, [("d".to_owned(), 1), ("d".to_owned(), 2), ("t".to_owned(), 3)], "{url}");
        // What has no place stands there as the client shows it.
        let stored = mariadb_client(&url, "select d, dt, t from dates where id < 3 order by id");
        let told = bad[..2].iter().map(|line| ["d", "dt", "t"].map(|name| line[name].as_str().unwrap()).join("\t"));
        assert_eq!(told.collect::<Vec<_>>().join("\n"), stored, "{url}");
        assert_eq!(bad[2]["t"], "-00:00:00.000001");
    }
}

/// What does not fit is refused with column and row, though the server would only warn.
#[test]
fn what_the_server_would_change_is_refused_and_nothing_lands() {
    for url in databases() {
        refuses_what_would_change(&url);
    }
}

fn refuses_what_would_change(url: &str) {
    let cases = [
        ("v varchar(3)", "abcd", "v"),
        ("v tinyint", "128", "v"),
        ("v char(5)", "ends in a space ", "v"),
        ("v enum('a','b')", "c", "v"),
        ("v enum('a','b')", "A", "v"),
        ("v set('a','b')", "b,b", "v"),
        ("v varchar(9) character set latin1", "雪", "v"),
        ("v bit(3)", "8", "v"),
        ("v year", "1900", "v"),
        ("v int not null", "", "v"),
    ];
    for (column, value, name) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        mariadb_client(url, &format!("drop table if exists t; create table t (id int primary key, {column})"));
        let good = if column.contains("int") || column.contains("bit") { "1" } else { "a" };
        let good = if column.contains("year") { "2000" } else { good };
        std::fs::write(path.join("in.csv"), format!("id,v\n1,{good}\n2,\"{value}\"\n3,{good}\n").replace("\"\"", ""))
            .unwrap();
        let target = table(url, "t");
        let done = etl(path, &["copy", "in.csv", &target, "--mode", "append"]);
        assert_eq!(done.code, 1, "{url} {column}: {}", done.stderr);
        assert!(done.stderr.contains(&format!("column {name}")), "{url} {column}: {}", done.stderr);
        assert!(!done.stderr.contains(value) || value.len() < 3, "{url} {column}: {}", done.stderr);
        assert_eq!(mariadb_client(url, "select count(*) from t"), "0", "{url} {column}");

        let words = ["copy", "in.csv", &target, "--mode", "append", "--on-error", "skip", "--rejects", "bad.jsonl"];
        let done = etl(path, &words);
        assert_eq!(done.code, 0, "{url} {column}: {}", done.stderr);
        assert_eq!(mariadb_client(url, "select group_concat(id order by id) from t"), "1,3", "{url} {column}");
        let rejects = std::fs::read_to_string(path.join("bad.jsonl")).unwrap();
        assert_eq!(rejects.lines().count(), 1, "{url} {column}: {rejects}");
    }
}

#[test]
fn rows_with_a_key_that_is_there_are_found_and_left_out() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        mariadb_client(&url, "create table t (id int primary key, v varchar(9)); insert into t values (7, 'old')");
        let rows: Vec<String> = (0..2000).map(|id| format!("{},v{id}\n", id % 1500)).collect();
        std::fs::write(path.join("in.csv"), format!("id,v\n{}", rows.concat())).unwrap();
        let target = table(&url, "t");
        let done = etl(path, &["copy", "in.csv", &target, "--mode", "append", "-j", "1"]);
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains("row 8:"), "{url}: {}", done.stderr);
        assert_eq!(mariadb_client(&url, "select count(*) from t"), "1");
        let words =
            ["copy", "in.csv", &target, "--mode", "append", "-j", "1", "--on-error", "skip", "--rejects", "bad.jsonl"];
        let done = etl(path, &words);
        assert_eq!(done.code, 0, "{url}: {}", done.stderr);
        assert_eq!(
            mariadb_client(&url, "select count(*), count(distinct id), min(v) from t where id <> 7"),
            "1499\t1499\tv0"
        );
        let rejects = std::fs::read_to_string(path.join("bad.jsonl")).unwrap();
        assert_eq!(rejects.lines().count(), 501, "{url}");
    }
}

/// Keys of several kinds are cut into ranges in the server's own order; no row is lost or doubled.
#[test]
fn ranges_of_any_key_hold_every_row_once() {
    let keys = [
        ("k bigint unsigned", "n * 3 + cast(9223372036854775807 as unsigned)"),
        ("k int", "if(n % 2, n, -n * 1000)"),
        ("k varchar(40) character set utf8mb4", "concat(elt(n % 4 + 1, 'a', 'Á', 'ß ', 'z\\''), n)"),
        ("k varchar(40) character set latin1 collate latin1_german2_ci", "concat(elt(n % 3 + 1, 'ä', 'ae', 'Z'), n)"),
        ("k varbinary(28)", "unhex(sha2(n, 224))"),
        ("k datetime(6)", "timestamp '2024-01-01 00:00:00' + interval n * 77 second"),
        ("k decimal(30,10)", "n / 7 * pow(-1, n)"),
    ];
    for url in databases() {
        for (column, value) in keys {
            let folder = tempfile::tempdir().unwrap();
            mariadb_client(
                &url,
                &format!(
                    "drop table if exists t; create table t ({column} not null, n int, pad varchar(2000), primary key (k, n))"
                ),
            );
            let digits = "(select 0 d union select 1 union select 2 union select 3 union select 4 union select 5 union select 6 \
                          union select 7 union select 8 union select 9)";
            mariadb_client(
                &url,
                &format!(
                    "insert into t select {value}, n, repeat('x', 1600) from (select a.d + b.d * 10 + c.d * 100 + e.d * 1000 + \
                     f.d * 10000 as n from {digits} a, {digits} b, {digits} c, {digits} e, {digits} f where f.d < 3) x; \
                     analyze table t"
                ),
            );
            let plan = etl(folder.path(), &["plan", &table(&url, "t"), "out.parquet", "-j", "4"]);
            assert!(plan.stdout.contains(" ranges of `k`"), "{url} {column}: {}{}", plan.stdout, plan.stderr);
            copied(folder.path(), &[&table(&url, "t"), &table(&url, "u"), "-j", "4"]);
            let sums = mariadb_client(&url, "checksum table t, u");
            let sums: Vec<&str> = sums.lines().map(|line| line.split_once('\t').unwrap().1).collect();
            assert_eq!(
                mariadb_client(&url, "select count(*), count(distinct n) from u"),
                "30000\t30000",
                "{url} {column}"
            );
            assert_eq!(sums[0], sums[1], "{url} {column}");
            mariadb_client(&url, "drop table u");
        }
    }
}

#[test]
fn a_view_a_query_and_a_table_without_a_key() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        mariadb_client(
            &url,
            "create table t (a int, b varchar(9)); insert into t values (1, 'x'), (1, 'x'), (null, null); \
             create view v as select a + 1 as a, b from t",
        );
        copied(path, &[&table(&url, "t"), "t.csv"]);
        assert_eq!(read(path, "t.csv"), "a,b\n1,x\n1,x\n,\n");
        copied(path, &[&table(&url, "v"), "v.csv"]);
        assert_eq!(read(path, "v.csv"), "a,b\n2,x\n2,x\n,\n");
        let query = "select sum(a) as total, 0.5 as half, 'it''s' as text, now() > '2000-01-01' as late from t -- all";
        copied(path, &[&url, "q.csv", "--query", query]);
        assert_eq!(read(path, "q.csv"), "total,half,text,late\n2,0.5,it's,1\n");
        // Names that differ in case alone are one to the server.
        let query = ["--query", "select 1 as x, 2 as a, 3 as A, 4 as a"];
        copied(path, &[&[url.as_str(), "names.csv"], &query[..]].concat());
        assert_eq!(read(path, "names.csv"), "x,a,A_2,a_3\n1,2,3,4\n");
        copied(path, &[&[url.as_str(), "some.csv", "--drop", "a"], &query[..]].concat());
        assert_eq!(read(path, "some.csv"), "x,A_2,a_3\n1,3,4\n");
        copied(path, &[&table(&url, "t"), "few.csv", "--where", "a = 1", "--limit", "1"]);
        assert_eq!(read(path, "few.csv"), "a,b\n1,x\n");

        for (words, wanted) in [
            (vec!["copy", &table(&url, "nothing"), "x.csv"], "it has t, v"),
            (vec!["copy", "t.csv", &table(&url, "v"), "--mode", "append"], "it is a view"),
            (vec!["copy", "t.csv", &table(&url, "t"), "--mode", "upsert"], "--key"),
            (vec!["copy", "q.csv", &table(&url, "t"), "--mode", "append"], "total"),
            (vec!["copy", &url, "x.csv", "--query", "select * from"], "error"),
            (vec!["copy", &url, "x.csv", "--query", "select 1 as a; select 2 as b"], "error"),
        ] {
            let done = etl(path, &words);
            assert_ne!(done.code, 0, "{words:?}");
            assert!(done.stderr.contains(wanted), "{words:?}: {}", done.stderr);
        }
    }
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn keys_comments_and_computed_columns() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        mariadb_client(
            &url,
            "create table t (id int auto_increment primary key, a int comment 'it''s', twice int as (a * 2) stored, \
             made timestamp default current_timestamp) comment 'Orders'; insert into t (a) values (1), (2)",
        );
        copied(path, &[&table(&url, "t"), &table(&url, "copy")]);
        let comments = "select concat_ws('|', column_name, column_comment) from information_schema.columns \
                        where table_schema = database() and table_name = 'copy' order by ordinal_position";
        assert_eq!(mariadb_client(&url, comments), "id|\na|it's\ntwice|\nmade|");
        let comment = "select table_comment from information_schema.tables \
                       where table_schema = database() and table_name = 'copy'";
        assert_eq!(mariadb_client(&url, comment), "Orders");
        // A column that the target computes is left out, an existing table keeps its definition and its comment.
        for mode in ["append", "truncate", "replace", "upsert"] {
            mariadb_client(
                &url,
                "drop table if exists u; create table u like t; insert into u (id, a) values (1, 9), (0, 3)",
            );
            mariadb_client(&url, "set sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; update u set id = 0 where id = 2");
            let words = [&table(&url, "t"), &table(&url, "u"), "--mode", mode, "--schema", "ignore"];
            if mode == "append" {
                mariadb_client(&url, "delete from u where id = 1");
            }
            copied(path, &words);
            let rows = mariadb_client(&url, "select id, a, twice from u order by id");
            let kept = if ["append", "upsert"].contains(&mode) { "0\t3\t6\n" } else { "" };
            assert_eq!(rows, format!("{kept}1\t1\t2\n2\t2\t4"), "{url} {mode}");
            assert_eq!(mariadb_client(&url, &comment.replace("copy", "u")), "Orders", "{url} {mode}");
        }
    }
}

/// What only shows when all rows are there: references, another unique key, a check.
#[test]
fn rows_that_the_target_refuses_at_the_end_are_left_out_and_told() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        mariadb_client(
            &url,
            "create table parent (id int primary key); insert into parent values (1), (2);
             create table child (id int primary key, parent int, name varchar(20) unique, n int check (n < 1000), elder int,
               foreign key (parent) references parent (id), foreign key (elder) references child (id));
             insert into child values (9000, 1, 'there', 1, null)",
        );
        // 40 of 4000 rows have no parent, one has a name that is there, one breaks the check; 10 refer to a later row.
        let row = |id: u32| {
            let parent = if id % 100 == 7 { 3 } else { id % 2 + 1 };
            let name = if id == 50 { "there".to_owned() } else { format!("n{id}") };
            let n = if id == 60 { 1000 } else { 5 };
            let elder = if id.is_multiple_of(400) { (id + 1).to_string() } else { String::new() };
            format!("{id},{parent},{name},{n},{elder}\n")
        };
        let rows: String = (0..4000).map(row).collect();
        std::fs::write(path.join("in.csv"), format!("id,parent,name,n,elder\n{rows}")).unwrap();
        let target = table(&url, "child");
        let words = ["copy", "in.csv", &target, "--mode", "append", "-j", "2"];
        assert_eq!(etl(path, &words).code, 1);
        assert_eq!(mariadb_client(&url, "select count(*) from child"), "1");
        for mode in ["append", "upsert"] {
            let done = etl(
                path,
                &["copy", "in.csv", &target, "--mode", mode, "-j", "2", "--on-error", "skip", "--rejects", "bad.jsonl"],
            );
            assert_eq!(done.code, 0, "{url} {mode}: {}", done.stderr);
            let left = "select count(*), sum(parent = 3), sum(elder is not null) from child where id < 9000";
            assert_eq!(mariadb_client(&url, left), "3958\t0\t10", "{url} {mode}");
            let rejects = std::fs::read_to_string(path.join("bad.jsonl")).unwrap();
            assert_eq!(rejects.lines().count(), 42, "{url} {mode}");
            std::fs::remove_file(path.join("bad.jsonl")).unwrap();
            mariadb_client(&url, "update child set elder = null; delete from child where id < 9000");
        }
        assert_eq!(mariadb_client(&url, "show tables like 'etl\\_stage%'"), "");
    }
}

/// Rows that are moved all the time are read as they were at one moment.
fn reads_one_point_in_time(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    mariadb_client(
        url,
        "create table t (id int primary key, v int, pad varchar(1000)); \
         insert into t values (0, 0, repeat('x', 900)); \
         insert into t select id + 1, 0, pad from t; insert into t select id + 2, 0, pad from t; \
         insert into t select id + 4, 0, pad from t; insert into t select id + 8, 0, pad from t; \
         insert into t select id + 16, 0, pad from t; insert into t select id + 32, 0, pad from t; \
         insert into t select id + 64, 0, pad from t; insert into t select id + 128, 0, pad from t; \
         insert into t select id + 256, 0, pad from t; insert into t select id + 512, 0, pad from t; \
         insert into t select id + 1024, 0, pad from t; insert into t select id + 2048, 0, pad from t; \
         insert into t select id + 4096, 0, pad from t; insert into t select id + 8192, 0, pad from t; analyze table t",
    );
    // Each transaction moves one from the first row to the last: the sum is always 0.
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (writer, stopped) = (url.to_owned(), std::sync::Arc::clone(&stop));
    let moving = std::thread::spawn(move || {
        let one =
            "start transaction; update t set v = v - 1 where id = 0; update t set v = v + 1 where id = 16383; commit;";
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            mariadb_client(&writer, &one.repeat(50));
        }
    });
    let plan = etl(folder.path(), &["plan", &table(url, "t"), "out.csv", "-j", "4"]);
    assert!(plan.stdout.contains(" readers began at one point in time"), "{url}: {plan:?}");
    for round in 0..5 {
        let target = format!("out{round}.csv");
        copied(folder.path(), &[&table(url, "t"), &target, "-j", "4", "--select", "id,v"]);
        let text = std::fs::read_to_string(folder.path().join(&target)).unwrap();
        let values: Vec<i64> =
            text.lines().skip(1).map(|line| line.split_once(',').unwrap().1.parse().unwrap()).collect();
        assert_eq!((values.len(), values.iter().sum::<i64>()), (16384, 0), "{url}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    moving.join().unwrap();
}

#[test]
fn all_readers_see_one_point_in_time() {
    for url in databases() {
        reads_one_point_in_time(&url);
    }
}
