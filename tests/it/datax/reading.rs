//! How jobs of DataX read tables: from one point in time, and each row once.

use std::fs;

use serde_json::{Value as Json, json};

use super::traps::{Plugin, done, folder, into_files, job, table};
use super::{LABELS, figure, sorted, written};
use crate::program::{end, records, start, until};
use crate::server::{mariadb, mariadb_client, postgres, psql};

/// A plugin of PostgreSQL for all columns of `tables`.
fn in_postgres(side: &'static str, url: &str, tables: Json) -> Plugin {
    let url = format!("jdbc:postgresql://{}", url.split_once('@').unwrap().1);
    let url = if side == "postgresqlreader" { json!([url]) } else { json!(url) };
    let connection = json!([{"jdbcUrl": url, "table": tables}]);
    (side, json!({"username": "postgres", "password": "", "column": ["*"], "connection": connection}))
}

fn in_mariadb(side: &'static str, url: &str, tables: Json) -> Plugin {
    let mut plugin = table(side, url, "");
    plugin.1["connection"][0]["table"] = tables;
    plugin
}

/// Trap 8: what others change while a job reads does not show in what it has not read yet. `a` takes seconds, and `b` comes behind it.
#[test]
fn all_that_a_job_reads_is_of_one_point_in_time() {
    let (url, other) = (postgres(), mariadb());
    let fill = |numbers: &str| {
        format!(
            "create table a (id int primary key, v int, pad text); create table b (id int primary key, v int, pad text);
             create table t (id int, v int, pad text); insert into a select n, 1, repeat('x', 1000) from {numbers};
             insert into b select id, v, '' from a where id <= 10"
        )
    };
    psql(&url, &fill("generate_series(1, 24000) n"));
    let recursive =
        "(with recursive r as (select 1 as n union all select n + 1 from r where n < 24000) select n from r) r";
    mariadb_client(&other, &format!("set max_recursive_iterations = 100000; {}", fill(recursive)));
    let changes =
        "update b set v = 2; delete from b where id > 5; insert into b values (30000, 3, ''); update a set v = 4
        where id > 23000";
    let counts = "select count(*), sum(v), max(id) from t";
    let (from, into) = (json!(["a", "b"]), json!(["t"]));
    let in_servers = [
        (in_postgres("postgresqlreader", &url, from.clone()), in_postgres("postgresqlwriter", &url, into.clone())),
        (in_mariadb("mysqlreader", &other, from), in_mariadb("mysqlwriter", &other, into)),
    ];
    for (reader, writer) in in_servers {
        let is_postgres = reader.0 == "postgresqlreader";
        let folder = folder();
        let mut job = job(reader, writer);
        job["job"]["setting"]["speed"] = json!({"record": 5000});
        fs::write(folder.path().join("job.json"), job.to_string()).unwrap();
        let mut etl = start(folder.path(), &["run", "job.json", "--compat", "datax"]);
        until(|| records(folder.path(), "planned") > 0);
        if is_postgres {
            psql(&url, changes);
        } else {
            mariadb_client(&other, changes);
        }
        assert!(etl.try_wait().unwrap().is_none(), "there was more to read when the rows changed");
        let ended = end(etl);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        if is_postgres {
            assert_eq!(psql(&url, counts), "24010|24010|24000");
        } else {
            assert_eq!(mariadb_client(&other, counts).trim_end(), "24010\t24010\t24000");
        }
    }
}

/// Traps 5 and 9: a condition with `or` and a semicolon holds as a whole, whatever a key cuts; the first key, the last one and NULL are read.
#[test]
fn a_condition_stays_whole_where_a_key_splits() {
    let (folder, url) = (folder(), mariadb());
    mariadb_client(
        &url,
        "create table s (k int, v int); insert into s values (1, 1), (50, 2), (100, 1), (null, 2), (null, 3), (7, 3), (100, 3)",
    );
    let mut reader = in_mariadb("mysqlreader", &url, json!(["s"]));
    reader.1["splitPk"] = json!("k");
    let mut whole = job(reader.clone(), into_files("whole", "text"));
    whole["job"]["setting"]["speed"]["channel"] = json!(4);
    done(folder.path(), &whole);
    let all = ["1,1", "100,1", "100,3", "50,2", "7,3", "null,2", "null,3"];
    assert_eq!(sorted(&written(folder.path(), "whole")), all);
    reader.1["where"] = json!("v = 1 or v = 2;");
    let mut part = job(reader, into_files("part", "text"));
    part["job"]["setting"]["speed"]["channel"] = json!(4);
    done(folder.path(), &part);
    assert_eq!(sorted(&written(folder.path(), "part")), ["1,1", "100,1", "50,2", "null,2"]);
}

/// Trap 18: of several URLs the first counts whose server answers.
#[test]
fn a_server_that_does_not_answer_is_passed_over() {
    let (folder, url) = (folder(), mariadb());
    mariadb_client(&url, "create table s (a int); insert into s values (7)");
    let mut reader = table("mysqlreader", &url, "s");
    let there = reader.1["connection"][0]["jdbcUrl"][0].clone();
    reader.1["connection"][0]["jdbcUrl"] = json!(["jdbc:mysql://127.0.0.1:1/nowhere", there]);
    let ended = done(folder.path(), &job(reader, into_files("x", "text")));
    assert_eq!((written(folder.path(), "x").as_str(), figure(&ended, LABELS[0]).as_deref()), ("7\n", Some("1")));
}
