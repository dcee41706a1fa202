//! Trap 3 of DataX: the limit of dirty rows is one for all tables that are written.

use std::fs;

use serde_json::{Value as Json, json};

use super::traps::{folder, job, ran, table};
use super::{LABELS, figure};
use crate::program::{end, killed_at, start};
use crate::server::{mariadb, mariadb_client};

/// A database whose table `a` has the texts `1` and `x`, and `b` those in `rows`; `x` and `y` are empty, and take numbers.
fn tables(rows: &str) -> String {
    let url = mariadb();
    mariadb_client(
        &url,
        &format!(
            "create table a (v varchar(9)); insert into a values ('1'), ('x'); create table b (v varchar(9));
             insert into b values {rows}; create table x (v int); create table y (v int)"
        ),
    );
    url
}

/// A job from the tables `a` and `b` of `url` into `x` and `y`, with a limit of dirty rows.
fn of_two(url: &str, limit: &Json) -> Json {
    let (mut reader, mut writer) = (table("mysqlreader", url, ""), table("mysqlwriter", url, ""));
    reader.1["connection"][0]["table"] = json!(["a", "b"]);
    writer.1["connection"][0]["table"] = json!(["x", "y"]);
    let mut job = job(reader, writer);
    job["job"]["setting"]["errorLimit"] = limit.clone();
    job
}

/// What one of them used is not left for the next.
#[test]
fn tables_share_the_number_of_dirty_rows() {
    let (folder, url) = (folder(), tables("('1'), ('x')"));
    let ended = ran(folder.path(), &of_two(&url, &json!({"record": 1})));
    assert!(ended.code == 1 && ended.stderr.contains("transfer 2 of 2"), "{}", ended.stderr);
    let ended = ran(folder.path(), &of_two(&url, &json!({"record": 2})));
    assert_eq!((ended.code, figure(&ended, LABELS[1]).as_deref()), (0, Some("2")), "{}", ended.stderr);
}

/// A share is that of all rows of the job: one table may have more of them than another.
#[test]
fn tables_share_the_share_of_dirty_rows() {
    let (folder, url) = (folder(), tables("('1'), ('2'), ('3')"));
    // 1 of 5.
    let ended = ran(folder.path(), &of_two(&url, &json!({"percentage": 0.2})));
    assert_eq!((ended.code, figure(&ended, LABELS[1]).as_deref()), (0, Some("1")), "{}", ended.stderr);
    mariadb_client(&url, "truncate x; truncate y");
    let ended = ran(folder.path(), &of_two(&url, &json!({"percentage": 0.19})));
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    for said in ["transfer 2 of 2", "1 of 5 rows were rejected, and only 19 % may be", "what these wrote stays"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    assert_eq!(mariadb_client(&url, "select count(*) from x; select count(*) from y").trim_end(), "1\n0");
}

/// What tables left out that were done before the job was interrupted is not left for the others either.
#[test]
fn what_was_left_out_before_an_interruption_counts() {
    let many = (1..=100).map(|number| format!("('{number}')")).collect::<Vec<_>>().join(", ");
    let (folder, url) = (folder(), tables(&format!("{many}, ('x')")));
    let mut job = of_two(&url, &json!({"record": 1}));
    let save = |job: &Json| fs::write(folder.path().join("job.json"), job.to_string()).unwrap();
    job["job"]["setting"]["speed"] = json!({"record": 5});
    save(&job);
    let words = ["run", "job.json", "--compat", "datax"];
    killed_at(folder.path(), &words, ("planned", 2));
    job["job"]["setting"]["speed"] = json!({"channel": 1});
    save(&job);
    let ended = end(start(folder.path(), &[&words[..], &["--resume"]].concat()));
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    for said in ["1 transfer before the interrupted one", "transfer 2 of 2", "than the 1 that may be; those of"] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}
