//! Merging by key where several rows have the same one.

use super::{databases, table};
use crate::program::{copied, refused};
use crate::server::mariadb_client;

/// Of several rows of one key the first or the last by another column counts: by its order, which that of an `enum` is not by name.
#[test]
fn of_rows_of_one_key_the_one_that_counts_is_merged() {
    for url in databases() {
        merges_the_row_that_counts(&url);
    }
}

pub(super) fn merges_the_row_that_counts(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rows = "id,name,at,grade\n1,early,10,low\n2,only,5,low\n1,late,20,high\n1,never,,\n";
    std::fs::write(path.join("in.csv"), rows).unwrap();
    std::fs::write(path.join("tie.csv"), "id,name,at,grade\n1,a,10,low\n1,b,10,low\n1,c,5,low\n").unwrap();
    mariadb_client(
        url,
        "create table t (id int primary key, name varchar(9), at int, grade enum('low', 'high')) character set utf8mb4; \
         insert into t values (7, 'old', 0, null)",
    );
    let target = table(url, "t");
    for (which, by, name) in
        [("first", "at", "early"), ("last", "at", "late"), ("first", "grade", "early"), ("last", "grade", "late")]
    {
        copied(path, &["in.csv", &target, "--mode", "upsert", "--on-duplicate", which, "--order-by", by]);
        let there = mariadb_client(url, "select group_concat(id, name order by id) from t");
        assert_eq!(there, format!("1{name},2only,7old"), "{url}: {which} {by}");
    }
    let said = refused(path, &["tie.csv", &target, "--mode", "upsert", "--on-duplicate", "last", "--order-by", "at"]);
    assert!(said.contains("does not say which one counts") && said.contains("rows 1 and 2"), "{url}: {said}");
    assert_eq!(mariadb_client(url, "select name from t where id = 1"), "late", "{url}");
    copied(path, &["tie.csv", &target, "--mode", "upsert", "--on-duplicate", "first", "--order-by", "at"]);
    assert_eq!(mariadb_client(url, "select name from t where id = 1"), "c", "{url}");
}

/// As a text the server gives six digits of a float, and no zone of an instant.
#[test]
fn rows_that_are_refused_come_back_from_their_file() {
    for url in databases() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path(), table(&url, "t"));
        mariadb_client(
            &url,
            "create table t (id int primary key, f float, at timestamp(3) null, u int unique); insert into t (id, u) values (7, 7)",
        );
        std::fs::write(path.join("in.csv"), "id,f,at,u\n1,16777216,2024-01-02 03:04:05+00:00,7\n2,0.5,,2\n").unwrap();
        copied(path, &["in.csv", &target, "--mode", "upsert", "--on-error", "skip", "--rejects", "bad.jsonl"]);
        mariadb_client(&url, "delete from t");
        copied(path, &["bad.jsonl", &target, "--mode", "append"]);
        let there = mariadb_client(&url, "set time_zone = '+00:00'; select id, f + 0e0, at, u from t");
        assert_eq!(there, "1\t16777216\t2024-01-02 03:04:05.000\t7", "{url}");
    }
}
