//! Rows that wait in prepared transactions: a killed copy shows none of them, and whoever comes next ends them.

use super::*;
use crate::server;
use crate::server::own::Own;

const LEFT: &str = "select (select count(*) from pg_prepared_xacts where database = current_database()), \
                    (select count(*) from pg_class where relname like 'etl\\_stage%')";
const HELD: &str = "select count(*) from pg_locks where locktype = 'advisory' \
                    and database = (select oid from pg_database where datname = current_database())";
const ALL: &str = "160001|160001|12800080000";

/// A copy that was killed while some of its tasks wait, into a table with one row.
struct Killed {
    folder: tempfile::TempDir,
    url: String,
    target: String,
}

impl Killed {
    fn new() -> Self {
        let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
        psql(
            &url,
            "create table t (id bigint, note text); insert into t values (0, 'old');
             create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(3); return new; end';
             create trigger slow before insert on t for each row when (new.id = 150000) execute function slow()",
        );
        let target = format!("{url}#t");
        let killed = Self { folder, url, target };
        killed_at(killed.folder.path(), &killed.words(), ("wrote", 1));
        // Until the server notices that the process is gone.
        server::until(&killed.url, HELD, |held| held == "0");
        assert_eq!(psql(&killed.url, "select * from t"), "0|old");
        assert!(!psql(&killed.url, LEFT).starts_with("0|"));
        killed
    }

    fn words(&self) -> [&str; 8] {
        [ROWS, &self.target, "--mode", "append", "--publish", "prepared", "-j", "2"]
    }
}

#[test]
fn what_waits_is_kept_by_a_run_that_goes_on() {
    let killed = Killed::new();
    assert!(kept(&resumed(killed.folder.path(), &killed.words())) > 0);
    assert_eq!(psql(&killed.url, COUNTED), ALL);
    assert_eq!(psql(&killed.url, LEFT), "0|0");
}

#[test]
fn what_waits_is_rolled_back_by_a_run_that_begins_anew() {
    let killed = Killed::new();
    let done = end(start(killed.folder.path(), &killed.words()));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(psql(&killed.url, COUNTED), ALL);
    assert_eq!(psql(&killed.url, LEFT), "0|0");
}

#[test]
fn what_waits_is_rolled_back_when_the_run_is_given_up() {
    let killed = Killed::new();
    let listed = beside(killed.folder.path(), &["jobs", "--output", "json"]).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let cleaned = beside(killed.folder.path(), &["jobs", "clean", listed["runs"][0]["run"].as_str().unwrap()]);
    assert_eq!(cleaned.code, 0, "{}", cleaned.stderr);
    assert_eq!(psql(&killed.url, "select * from t"), "0|old");
    assert_eq!(psql(&killed.url, LEFT), "0|0");
}

#[test]
fn what_cannot_wait_is_refused_when_it_is_planned() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table t (id bigint, note text); create unlogged table u (id bigint, note text);
         create table r (id bigint primary key, note text, other bigint references r)",
    );
    let [t, u, r, new] = ["t", "u", "r", "new"].map(|table| format!("{url}#{table}"));
    let refused: [(&[&str], &str); 6] = [
        (&[&t, "--mode", "truncate"], "only rows that are added to a table can wait"),
        (&[&new], "rows of a table that is made are written once in any case"),
        (&[&u, "--mode", "append"], "only plain and logged tables"),
        (&[&r, "--mode", "append", "--schema", "ignore"], "the table refers to itself"),
        (&["t.db#t"], "this target has no prepared transactions"),
        (&[&t, "--mode", "append", "--verify", "checksum"], "cannot compare sums before rows become visible"),
    ];
    let planned =
        |words: &[&str]| etl(folder.path(), &[&["plan", ROWS, "--publish", "prepared", "-j", "2"], words].concat());
    for (words, message) in refused {
        let ended = planned(words);
        assert!(ended.code != 0 && ended.stderr.contains(message), "{words:?}: {} {}", ended.code, ended.stderr);
    }
    // What one channel writes is one transaction anyway.
    let one = etl(folder.path(), &["plan", ROWS, &t, "--mode", "append", "--publish", "prepared", "-j", "1"]);
    assert_eq!(one.code, 0, "{}", one.stderr);

    let mut server = Own::start();
    psql(&server.url(), "create table t (id bigint, note text)");
    server.end("-INT");
    server.begin_with("max_prepared_transactions=0");
    let ended = planned(&[&format!("{}#t", server.url()), "--mode", "append"]);
    assert!(ended.stderr.contains("the server holds no prepared transactions"), "{}", ended.stderr);
}
