//! Kills at random moments of copies over all pairs of {PostgreSQL, MySQL, MariaDB, SQLite, ClickHouse, Parquet, CSV}.
//!
//! Appending to a ClickHouse promises every row once where the table remembers blocks: here it does. To one that does not, parts are
//! moved, which is at least once and has no test of this kind.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::time::Duration;

use super::{end, records, start};
use crate::program::copied;
use crate::server::{Databases, clickhouse_client, postgres, psql};

const KINDS: [&str; 7] = ["postgres", "mysql", "mariadb", "sqlite", "clickhouse", "parquet", "csv"];

/// Kills of each pair in the midst of its rows: 196 in all. One more comes at any moment, the commit and the end among them.
const KILLS: usize = 4;

/// How often each pair is copied: `tests/run --kills COUNT` wants more kills than one round has.
fn rounds() -> usize {
    let wanted: usize =
        std::env::var("ETL_TEST_KILLS").map_or(1, |count| count.parse().expect("ETL_TEST_KILLS is a number"));
    wanted.div_ceil(KINDS.len() * KINDS.len() * KILLS)
}

const SOURCE: &str = "gen:id:seq,note:text(10..30)~0.1,amount:decimal(12,2)(0..1000)~0.1?rows=20000";

/// A number below `limit`.
fn random(limit: u64) -> u64 {
    RandomState::new().build_hasher().finish() % limit
}

/// Runs the copy with `--resume` until it succeeds; kills it at first. Gives how often it was killed.
fn until_done(folder: &Path, words: &[&str]) -> usize {
    let (mut kills, finished) = (0, records(folder, "finished"));
    while kills <= KILLS {
        let (speed, longest) = if kills < KILLS { ("8k rows/s", 600) } else { ("50k rows/s", 1000) };
        let mut child = start(folder, &[words, &["--resume", "--limit-rate", speed]].concat());
        std::thread::sleep(Duration::from_millis(30 + random(longest)));
        if child.try_wait().unwrap().is_some() {
            let done = end(child);
            assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
            return kills;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if records(folder, "finished") > finished {
            // It was killed when all was done and noted.
            return kills;
        }
    }
    let done = end(start(folder, &[words, &["--resume"]].concat()));
    assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
    kills
}

/// Appends from a place of `kind` to one of every kind that has a row already.
#[allow(clippy::print_stdout, reason = "who asks for thousands of kills wants to know how many there were")]
fn every_row_arrives_once_from(kind: &str) {
    let rounds = rounds();
    let kills: usize = (0..rounds).map(|_| killed_on_the_way_from(kind)).sum();
    println!("{kind}: killed {kills} times in {rounds} rounds, no row lost or doubled");
    assert!(kills >= rounds * KINDS.len() * KILLS, "{kind}: killed {kills} times only");
}

/// One round; gives the number of kills.
fn killed_on_the_way_from(kind: &str) -> usize {
    let (folder, databases) = (tempfile::tempdir().unwrap(), Databases::new());
    let url = &databases.postgres;
    let source = databases.place(kind, "source");
    copied(folder.path(), &[SOURCE, &source]);
    copied(folder.path(), &[&source, &format!("{url}#truth")]);
    let mut kills = 0;
    for target in KINDS {
        let name = format!("to_{target}");
        let into = databases.place(target, &name);
        copied(folder.path(), &[&source, &into, "--where", "id = 7", "--set", "id=-id"]);
        if target == "clickhouse" {
            let remember = format!("alter table {name} modify setting non_replicated_deduplication_window = 1000");
            clickhouse_client(&databases.clickhouse, &remember);
        }
        kills += until_done(folder.path(), &[&source, &into, "--mode", "append"]);
        let back = format!("back_{target}");
        copied(folder.path(), &[&into, &format!("{url}#{back}")]);
        let rows = |id: &str, table: &str| format!("select {id}::bigint, note::text, amount::numeric from {table}");
        let truth = format!("{} union all {} where id = 7", rows("id", "truth"), rows("-id", "truth"));
        let copy = rows("id", &back);
        let differs = format!(
            "select 'lost', * from (({truth}) except all {copy}) a union all \
             select 'new', * from ({copy} except all ({truth})) b"
        );
        assert_eq!(psql(url, &differs), "", "{kind} to {target}");
    }
    kills
}

#[test]
fn every_row_arrives_once_from_postgres() {
    every_row_arrives_once_from("postgres");
}

#[test]
fn every_row_arrives_once_from_mysql() {
    every_row_arrives_once_from("mysql");
}

#[test]
fn every_row_arrives_once_from_mariadb() {
    every_row_arrives_once_from("mariadb");
}

#[test]
fn every_row_arrives_once_from_sqlite() {
    every_row_arrives_once_from("sqlite");
}

#[test]
fn every_row_arrives_once_from_clickhouse() {
    every_row_arrives_once_from("clickhouse");
}

#[test]
fn every_row_arrives_once_from_parquet() {
    every_row_arrives_once_from("parquet");
}

#[test]
fn every_row_arrives_once_from_csv() {
    every_row_arrives_once_from("csv");
}

/// Rows that wait in prepared transactions until all are there.
#[test]
fn every_row_of_prepared_tasks_arrives_once() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    for _ in 0..rounds() {
        psql(&url, "drop table if exists t; create table t (id bigint, note text, amount numeric(12,2))");
        let into = format!("{url}#t");
        until_done(folder.path(), &[SOURCE, &into, "--mode", "append", "--publish", "prepared", "-j", "3"]);
        assert_eq!(psql(&url, "select count(*), count(distinct id), sum(id) from t"), "20000|20000|200010000");
        let left = "select (select count(*) from pg_prepared_xacts where database = current_database()), \
                    (select count(*) from pg_class where relname like 'etl\\_stage%')";
        assert_eq!(psql(&url, left), "0|0");
    }
}
