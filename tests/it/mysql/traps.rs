//! What MySQL makes something else of than it says: years of two digits, dates that no calendar has, clocks that were put back, numbers of
//! views, histories.

use super::own::OwnMariadb;
use super::{databases, table};
use crate::program::{copied, etl, refused};
use crate::server::{mariadb, mariadb_client, postgres, psql, sqlite3};

/// A table of 32,768 rows, with a key of `value`, which is made of the number `n`; they are so long that they are worth a walk.
fn with_keys(url: &str, key: &str, value: &str) {
    let doubled =
        (0..15).map(|bit| format!("insert into n select n + {} from n; ", 1 << bit)).collect::<Vec<_>>().concat();
    mariadb_client(
        url,
        &format!(
            "set sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'; drop table if exists n, t, u;
             create table n (n int primary key); insert into n values (0); {doubled}
             create table t ({key} not null, n int not null, pad varchar(2000), primary key (k, n));
             insert into t select {value}, n, repeat('x', 1500) from n; analyze table t"
        ),
    );
}

fn holds_every_row_once(url: &str, source: &str, (key, wanted): (&str, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let plan = etl(folder.path(), &["plan", source, "out.parquet", "-j", "4"]);
    assert!(plan.stdout.contains(wanted), "{url} {key}: {}{}", plan.stdout, plan.stderr);
    copied(folder.path(), &[source, &table(url, "u"), "-j", "4"]);
    let counts = mariadb_client(url, "select count(*), count(distinct n) from u");
    assert_eq!(counts, "32768\t32768", "{url} {key}");
}

#[test]
fn ranges_of_years_and_of_dates_that_are_none_hold_every_row_once() {
    let keys = [
        ("k year", "if(n < 20000, 0, 1950 + n % 100)"),
        ("k date", "if(n < 16000, if(n < 8000, '0000-00-00', '2020-02-31'), date '2024-01-01' + interval n day)"),
        ("k datetime(3)", "if(n < 16000, if(n < 8000, 0, '2020-02-00 01:02:03.5'), '2024-01-01' + interval n hour)"),
    ];
    for url in databases() {
        for (key, value) in keys {
            with_keys(&url, key, value);
            holds_every_row_once(&url, &table(&url, "t"), (key, " ranges of `k`"));
            let sums = mariadb_client(&url, "checksum table t, u");
            let sums: Vec<&str> = sums.lines().map(|line| line.split_once('\t').unwrap().1).collect();
            assert_eq!(sums[0], sums[1], "{url} {key}");
        }
    }
}

/// Of an hour that came twice an index finds one, and a comparison both.
#[test]
fn instants_that_a_clock_shows_alike_are_read_once() {
    let server = OwnMariadb::start(&[]);
    let url = server.url();
    mariadb_client(
        &url,
        "insert into mysql.time_zone (time_zone_id, use_leap_seconds) values (1, 'N');
         insert into mysql.time_zone_name values ('Berlin', 1);
         insert into mysql.time_zone_transition_type values (1, 0, 7200, 1, 'CEST'), (1, 1, 3600, 0, 'CET');
         insert into mysql.time_zone_transition values (1, -2147483647, 0), (1, 1635642000, 1)",
    );
    with_keys(&url, "k timestamp", "timestamp '2021-10-31 00:00:00' + interval n % 2 hour + interval n div 10 second");
    let source = format!("{url}?timestamp=clock&session=SET%20time_zone%3D%27Berlin%27#t");
    holds_every_row_once(&url, &source, ("k timestamp", "no unique key of a type to cut by"));
    let folder = tempfile::tempdir().unwrap();
    let wanted = ["--where", "k >= timestamp '2021-10-31 02:30:00'", "--select", "n"];
    copied(folder.path(), &[&[source.as_str(), "late.csv"], &wanted[..]].concat());
    let rows = std::fs::read_to_string(folder.path().join("late.csv")).unwrap().lines().count() - 1;
    let late = "select count(*) from t where n div 10 >= 1800";
    assert_eq!(rows.to_string(), mariadb_client(&url, late));
}

/// What passes a condition is what Arrow says of the values that are read.
#[test]
fn conditions_on_years_and_dates_mean_what_they_say() {
    let cases = [
        ("y > 70", "2,3,4"),
        ("y < 50", "1"),
        ("y = 20", ""),
        ("y BETWEEN 1 AND 1920", "4"),
        ("d IS NULL", "1,4"),
        ("d < DATE '2000-01-01'", "2"),
        ("d IS NULL OR d > DATE '2000-01-01'", "1,3,4"),
        ("n IS NULL", "1"),
    ];
    for url in databases() {
        mariadb_client(
            &url,
            "set sql_mode = ''; create table t (id int primary key, y year, d date, n date not null);
             insert into t values (1, 0, '0000-00-00', '2024-00-01'), (2, 1950, '1950-01-01', '2024-01-01'),
             (3, 2020, '2020-01-01', '2024-01-01'), (4, 1901, null, '2024-01-01')",
        );
        for (condition, ids) in cases {
            let folder = tempfile::tempdir().unwrap();
            let source = table(&format!("{url}?zeroDates=null"), "t");
            copied(folder.path(), &[&source, "out.csv", "--where", condition, "--select", "id"]);
            let text = std::fs::read_to_string(folder.path().join("out.csv")).unwrap();
            let found: Vec<&str> = text.lines().skip(1).collect();
            assert_eq!(found.join(","), ids, "{url} {condition}");
        }
    }
}

/// MySQL declares such numbers narrower than it sends them.
#[test]
fn a_view_with_comparisons_is_read() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(
            &url,
            "create table t (id int primary key, v varchar(9)); insert into t values (1, 'ab'), (2, null);
             create view w as select id, v = 'ab' as same, length(v) as n, v is null as missing, v is null or id as either from t",
        );
        copied(folder.path(), &[&table(&url, "w"), "w.csv"]);
        let text = std::fs::read_to_string(folder.path().join("w.csv")).unwrap();
        assert_eq!(text, "id,same,n,missing,either\n1,1,2,0,1\n2,,,1,1\n", "{url}");
    }
}

/// An exchange would take it away.
#[test]
fn a_table_keeps_its_history() {
    let url = mariadb();
    let folder = tempfile::tempdir().unwrap();
    mariadb_client(
        &url,
        "create table t (id int primary key, v int) with system versioning; insert into t values (1, 1), (2, 2);
         update t set v = 10 where id = 1",
    );
    std::fs::write(folder.path().join("in.csv"), "id,v\n2,2\n3,3\n").unwrap();
    for mode in ["truncate", "replace"] {
        let plan = etl(folder.path(), &["plan", "in.csv", &table(&url, "t"), "--mode", mode]);
        assert!(plan.stdout.contains("because of its history"), "{mode}: {}{}", plan.stdout, plan.stderr);
    }
    copied(folder.path(), &["in.csv", &table(&url, "t"), "--mode", "truncate"]);
    assert_eq!(mariadb_client(&url, "select group_concat(v order by v) from t"), "2,3");
    let history = "select group_concat(distinct v order by v) from t for system_time all";
    assert_eq!(mariadb_client(&url, history), "1,2,3,10");
}

/// Lists of members as the catalog writes them.
#[test]
fn members_of_an_enum_keep_their_letters() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(
            &url,
            "create table t (id int primary key, e enum('', 'It''s', 'x'',''y', 'a zerofill', 'b\\\\c', '7'), s set('a b', 'C'));
             insert into t values (1, '', ''), (2, 'It''s', 'a b,C'), (3, 'x'',''y', 'C'), (4, 'a zerofill', null),
             (5, 'b\\\\c', 'a b'), (6, '7', null)",
        );
        copied(folder.path(), &[&table(&url, "t"), &table(&url, "u")]);
        copied(folder.path(), &[&table(&url, "t"), "t.parquet"]);
        mariadb_client(&url, "create table v like t");
        copied(folder.path(), &["t.parquet", &table(&url, "v"), "--mode", "append"]);
        let sums = mariadb_client(&url, "checksum table t, u, v");
        let sums: Vec<&str> = sums.lines().map(|line| line.split_once('\t').unwrap().1).collect();
        assert!(sums[0] == sums[1] && sums[0] == sums[2], "{url}: {sums:?}");
    }
}

/// Blanks at the end of a `char(n)` mean nothing in PostgreSQL (`select 'a'::char(5) = 'a'`), nor to the server in names of members. What
/// no source has padded keeps them.
#[test]
fn members_that_a_source_has_padded_are_those_members() {
    let (source, folder) = (postgres(), tempfile::tempdir().unwrap());
    psql(
        &source,
        "create table t (id int, e char(7), s char(7)); insert into t values (1, 'a', 'b,a'), (2, 'b c', ''), (3, null, null);
         create table bad as select 1 as id, 'x'::char(7) as e; create table loose as select 1 as id, 'a '::text as e",
    );
    sqlite3(&folder.path().join("t.db"), "create table t (id integer, c char(5)); insert into t values (1, 'a  ')");
    for url in databases() {
        mariadb_client(
            &url,
            "create table t (id int, e enum('a', 'b c', ''), s set('b', 'a')); create table c (id int, c char(5))",
        );
        let from = |name: &str| format!("{source}#{name}");
        let words = ["--mode", "append", "--verify", "checksum"];
        copied(folder.path(), &[&[from("t").as_str(), &table(&url, "t")], &words[..]].concat());
        let rows = mariadb_client(&url, "select id, e, e + 0, s, s + 0 from t order by id");
        assert_eq!(rows, "1\ta\t1\tb,a\t3\n2\tb c\t2\t\t0\n3\tNULL\tNULL\tNULL\tNULL", "{url}");
        for name in ["bad", "loose"] {
            let said =
                refused(folder.path(), &[&from(name), &table(&url, "t"), "--mode", "append", "--schema", "ignore"]);
            assert!(said.contains("column e: the text is, letter by letter, no member"), "{url}: {said}");
        }
        // SQLite pads nothing: these blanks are the value's own.
        let said = refused(folder.path(), &["t.db#t", &table(&url, "c"), "--mode", "append"]);
        assert!(said.contains("column c: spaces at the end get lost in a char column"), "{url}: {said}");
        assert_eq!(mariadb_client(&url, "select count(*) from c"), "0", "{url}");
    }
}
