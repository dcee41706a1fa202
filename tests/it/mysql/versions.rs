//! Versions of MySQL at the beginning of what is promised: 5.7.22, and 8.0.15, which lacks much that later ones of 8.0 have. Neither has
//! a TLS of today, so each connection that asks for none in particular goes on without.

use super::login::{by_caching_sha2_password, by_native_password};
use super::merge::merges_the_row_that_counts;
use super::sessions::reads_ranges_of_a_key_with_nulls;
use super::{
    copies_every_type, copies_every_type_to_postgres, reads_one_point_in_time, refuses_what_would_change, table,
};
use crate::program::{self, copied, end, etl, refused};
use crate::server::{mariadb_client, mysql, older_mysql, postgres, psql};

/// A fresh database on each of the two servers.
fn databases() -> [String; 2] {
    ["5.7", "8.0"].map(older_mysql)
}

#[test]
fn these_are_the_versions() {
    let [five, eight] = databases().map(|url| mariadb_client(&url, "select version()"));
    assert!(five.starts_with("5.7.22"), "{five}");
    assert!(eight.starts_with("8.0.15"), "{eight}");
}

#[test]
fn every_type_is_read_and_written() {
    for url in databases() {
        copies_every_type(&url);
        copies_every_type_to_postgres(&older(&url));
        refuses_what_would_change(&older(&url));
    }
}

/// Another fresh database on the server of `url`.
fn older(url: &str) -> String {
    older_mysql(if mariadb_client(url, "select version()").starts_with('5') { "5.7" } else { "8.0" })
}

#[test]
fn json_is_kept() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(
            &url,
            "create table t (id int primary key, j json); \
             insert into t values (1, '{\"a\": [1, \"é 雪\", null], \"b\": 18446744073709551615}'), (2, 'null'), (3, null)",
        );
        copied(folder.path(), &[&table(&url, "t"), &table(&url, "again")]);
        copied(folder.path(), &[&table(&url, "t"), "t.csv"]);
        mariadb_client(&url, "create table third like t");
        copied(folder.path(), &["t.csv", &table(&url, "third"), "--mode", "append"]);
        for name in ["t", "again", "third"] {
            let rows = mariadb_client(&url, &format!("select id, j, json_type(j) from {name} order by id"));
            assert_eq!(
                rows,
                "1\t{\"a\": [1, \"é 雪\", null], \"b\": 18446744073709551615}\tOBJECT\n2\tnull\tNULL\n3\tNULL\tNULL",
                "{url} {name}"
            );
        }
    }
}

/// They read 8.77975322568027e-236 as a neighbour of it; MySQL 9 does not.
#[test]
fn a_number_in_json_is_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.csv"), "id,j\n1,[0.1]\n2,[8.77975322568027e-236]\n").unwrap();
    for url in databases() {
        mariadb_client(&url, "create table t (id int primary key, j json)");
        let said = refused(folder.path(), &["in.csv", &table(&url, "t"), "--mode", "append"]);
        assert!(said.contains("row 2: column j: MySQL would round a number in the JSON"), "{url}: {said}");
    }
    let url = mysql();
    mariadb_client(
        &url,
        "create table t (id int primary key, j json);
         insert into t values (3, '[0.30000000000000004, 1.7976931348623157e308, 5e-324]')",
    );
    copied(folder.path(), &["in.csv", &table(&url, "t"), "--mode", "append"]);
    copied(folder.path(), &[&table(&url, "t"), &table(&url, "again")]);
    let rows = mariadb_client(&url, "select j from again order by id");
    assert_eq!(rows, "[0.1]\n[8.77975322568027e-236]\n[0.30000000000000004, 1.7976931348623157e308, 5e-324]");
}

/// 8.0 does not load such a column.
#[test]
fn a_geometry_that_may_not_be_null_is_written() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(
            &url,
            "create table t (id int primary key, p point not null, g geometry not null);
             insert into t values (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('LINESTRING(0 0, 1 2)')),
               (2, ST_GeomFromText('POINT(3 4)'), ST_GeomFromText('POINT(5 6)'))",
        );
        copied(folder.path(), &[&table(&url, "t"), &table(&url, "again")]);
        mariadb_client(&url, "create table third like t");
        copied(folder.path(), &[&table(&url, "t"), &table(&url, "third"), "--mode", "append"]);
        let rows = |name: &str| mariadb_client(&url, &format!("select id, hex(p), hex(g) from {name} order by id"));
        assert_eq!(rows("again"), rows("t"), "{url}");
        assert_eq!(rows("third"), rows("t"), "{url}");
    }
}

#[test]
fn readers_share_a_point_in_time_and_cut_by_the_key() {
    for url in databases() {
        reads_one_point_in_time(&url);
        reads_ranges_of_a_key_with_nulls(&older(&url));
    }
}

/// Each way into a table that is there.
#[test]
fn rows_land_in_every_mode() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, jobs, count) in [
            ("append", "1", 20_001),
            ("append", "2", 20_001),
            ("upsert", "2", 20_001),
            ("truncate", "2", 20_000),
            ("sync", "1", 20_000),
        ] {
            mariadb_client(
                &url,
                "drop table if exists t; create table t (id bigint primary key, note varchar(200)) character set utf8mb4; \
                 insert into t values (0, 'old')",
            );
            let source = "gen:id:seq,note:text(100)?rows=20000";
            copied(folder.path(), &[source, &table(&url, "t"), "--mode", mode, "-j", jobs]);
            let there = mariadb_client(&url, "select count(*), sum(id) from t");
            assert_eq!(there, format!("{count}\t200010000"), "{url} {mode}");
            assert_eq!(mariadb_client(&url, "show tables like 'etl\\_stage%'"), "", "{url} {mode}");
        }
        merges_the_row_that_counts(&older(&url));
    }
}

#[test]
fn a_copy_that_was_killed_is_gone_on_with() {
    for url in databases() {
        let (folder, target) = (tempfile::tempdir().unwrap(), table(&url, "t"));
        let words = ["copy", "--progress", "none", "gen:id:seq,note:text(200..200)?rows=160000", &target, "-j", "2"];
        let slow = [&words[..], &["--limit-rate", "100k rows/s"]].concat();
        program::killed_at(folder.path(), &slow, ("wrote", 2));
        let done = end(program::start(folder.path(), &[&words[..], &["--resume"]].concat()));
        assert_eq!(done.code, 0, "{url}: {}", done.stderr);
        assert!(done.stderr.contains("splits were there from before"), "{url}: {}", done.stderr);
        let there = mariadb_client(&url, "select count(*), count(distinct id), sum(id) from t");
        assert_eq!(there, "160000\t160000\t12800080000", "{url}");
        assert_eq!(mariadb_client(&url, "show tables like 'etl\\_stage%'"), "", "{url}");
    }
}

/// Before 8.0 a timestamp that may not be NULL is the time of the last change of its row, unless somebody says otherwise.
#[test]
fn an_instant_does_not_move_when_its_row_changes() {
    let source = postgres();
    psql(
        &source,
        "create table t (id int primary key, made timestamptz not null, seen timestamptz not null, gone timestamptz); \
         insert into t values (1, '2024-02-29 12:00:00+00', '2024-02-29 13:00:00+00', null)",
    );
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        copied(folder.path(), &[&table(&source, "t"), &table(&url, "t")]);
        mariadb_client(&url, "update t set id = 2");
        assert_eq!(
            mariadb_client(&url, "select * from t"),
            "2\t2024-02-29 12:00:00.000000\t2024-02-29 13:00:00.000000\tNULL",
            "{url}"
        );
    }
}

#[test]
fn a_collation_that_only_newer_ones_have_is_told() {
    let source = mysql();
    mariadb_client(
        &source,
        "create table t (id int primary key, v varchar(9)) character set utf8mb4 collate utf8mb4_0900_bin; insert into t values (1, 'x')",
    );
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let said = refused(folder.path(), &[&table(&source, "t"), &table(&url, "t")]);
        assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{url}: {said}");
        assert!(said.contains("nknown collation: 'utf8mb4_0900_bin'"), "{url}: {said}");
        assert!(said.contains("make the table first"), "{url}: {said}");
        assert_eq!(mariadb_client(&url, "show tables"), "", "{url}");
        mariadb_client(&url, "create table t (id int primary key, v varchar(9))");
        copied(folder.path(), &[&table(&source, "t"), &table(&url, "t"), "--mode", "append"]);
        assert_eq!(mariadb_client(&url, "select * from t"), "1\tx", "{url}");
    }
}

#[test]
fn logins() {
    let [five, eight] = databases();
    by_native_password(five);
    by_caching_sha2_password(eight, ["tlsMode=DISABLED", "tlsMode=PREFERRED"]);
}

/// It offers TLS, and none that is of today.
#[test]
fn a_server_without_a_tls_of_today_is_refused_where_tls_is_asked_for() {
    let (folder, url) = (tempfile::tempdir().unwrap(), older_mysql("8.0"));
    mariadb_client(&url, "create table t (id int)");
    let done = etl(folder.path(), &["copy", "-q", &format!("{url}?tlsMode=REQUIRED#t"), "t.csv"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("do not come to terms on TLS"), "{}", done.stderr);
    assert_eq!(done.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", done.stderr);
}

/// Version 5.7 has no WITH, in which alone columns get other names.
#[test]
fn columns_of_one_name_are_told_apart_where_the_server_can() {
    let folder = tempfile::tempdir().unwrap();
    let query = ["--query", "select 1 as a, 2 as a"];
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for url in databases() {
        copied(folder.path(), &[&[url.as_str(), "all.csv", "--mode", "replace"], &query[..]].concat());
        assert_eq!(text("all.csv"), "a,a_2\n1,2\n", "{url}");
    }
    let [five, eight] = databases();
    let said = refused(folder.path(), &[&[five.as_str(), "some.csv", "--drop", "a"], &query[..]].concat());
    assert!(said.contains("two columns of the query have one name") && said.contains("with AS"), "{said}");
    copied(folder.path(), &[&[eight.as_str(), "some.csv", "--drop", "a"], &query[..]].concat());
    assert_eq!(text("some.csv"), "a_2\n2\n");
}
