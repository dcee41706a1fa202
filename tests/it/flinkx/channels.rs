//! What several channels do together: a speed that is one for all, and a key that cuts what they read.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{address, metrics};
use crate::program::{Ended, end, start};
use crate::server::{postgres, psql};

fn ran(folder: &Path, job: &Json) -> Ended {
    fs::write(folder.join("job.json"), job.to_string()).unwrap();
    let ended = end(start(folder, &["flinkx", "-job", "job.json"]));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended
}

/// FX-13: FlinkX limits nothing. Three megabytes at one in a second, of which each of the two channels has one half.
#[test]
fn a_speed_in_bytes_is_one_for_all_channels() {
    let folder = tempfile::tempdir().unwrap();
    let column = json!([{"name": "v", "type": "string", "value": "x".repeat(100)}]);
    let job = json!({"job": {
        "setting": {"speed": {"channel": 2, "bytes": 1_000_000}},
        "content": [{
            "reader": {"name": "streamreader", "parameter": {"column": column, "sliceRecordCount": [15_000, 15_000]}},
            "writer": {"name": "streamwriter", "parameter": {"print": false}},
        }],
    }});
    let begin = Instant::now();
    let ended = ran(folder.path(), &job);
    assert_eq!(metrics(&ended, ["numRead", "nErrors"]), [30_000, 0]);
    assert!(begin.elapsed() > Duration::from_millis(2200), "{:?}", begin.elapsed());
}

/// FX-42: the remainders by which FlinkX cuts a table leave out the rows whose key is NULL; keys below zero are of no channel there.
#[test]
fn each_row_comes_once_whatever_its_key() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table s (id bigint, v text); create table t (id bigint, v text);
         insert into s select n, 'v' || n from generate_series(-500, 500) n; insert into s values (null, 'a'), (null, 'b')",
    );
    let of = |url: Json, table: &str, more: &Json| {
        let connection = json!([{"jdbcUrl": url, "table": [table]}]);
        let mut parameter =
            json!({"username": "postgres", "password": "", "column": ["id", "v"], "connection": connection});
        parameter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameter
    };
    let jdbc = format!("jdbc:postgresql://{}", address(&url));
    let job = json!({"job": {
        "setting": {"speed": {"channel": 3, "rebalance": false}},
        "content": [{
            "reader": {"name": "postgresqlreader", "parameter": of(json!([jdbc]), "s", &json!({"splitPk": "id"}))},
            "writer": {"name": "postgresqlwriter", "parameter": of(json!(jdbc), "t", &json!({}))},
        }],
    }});
    let ended = ran(folder.path(), &job);
    assert_eq!(metrics(&ended, ["numRead", "numWrite"]), [1003, 1003]);
    assert_eq!(psql(&url, "select count(*), count(distinct id), count(id), sum(id) from t"), "1003|1001|1001|0");
}
