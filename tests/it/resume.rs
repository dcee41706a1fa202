//! The real binary, killed anywhere and run again with `--resume`: every row is there once.

mod anywhere;
mod mixed;
mod moving;
mod prepared;
mod visible;

use std::path::Path;
use std::process::{Child, Stdio};

use crate::program::{self, Ended, command, copied, end, etl, records, until};
use crate::server::{postgres, psql};

/// Rows enough for many splits.
const ROWS: &str = "gen:id:seq,note:text(200..200)?rows=160000";
const COUNTED: &str = "select count(*), count(distinct id), sum(id) from t";
const ONCE: &str = "160000|160000|12800080000";

/// Starts `etl copy` with `words`.
fn start(folder: &Path, words: &[&str]) -> Child {
    program::start(folder, &[&["copy", "--progress", "none"], words].concat())
}

/// Runs `etl` with `words` beside it.
fn beside(folder: &Path, words: &[&str]) -> Ended {
    end(program::start(folder, words))
}

/// Starts a copy, slow enough to be met, and kills it once it has so many records of this kind.
fn killed_at(folder: &Path, words: &[&str], at: (&str, u64)) {
    let words = [&["copy", "--progress", "none"], words, &["--limit-rate", "50k rows/s"]].concat();
    program::killed_at(folder, &words, at);
}

/// Goes on and gives what was said.
fn resumed(folder: &Path, words: &[&str]) -> String {
    let done = end(start(folder, &[words, &["--resume"]].concat()));
    assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
    assert!(done.stderr.contains("going on with run"), "{}", done.stderr);
    done.stderr
}

/// Of a note about what was there from before: how many splits.
fn kept(said: &str) -> u64 {
    let Some((before, _)) = said.split_once(" splits were there from before") else { return 0 };
    before.rsplit("note: ").next().unwrap().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn tasks_that_were_written_are_kept() {
    for target in ["postgres", "csv", "parquet", "folder"] {
        let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
        let place = match target {
            "postgres" => format!("{url}#t"),
            "folder" => "out/".to_owned(),
            extension => format!("t.{extension}"),
        };
        if target == "folder" {
            std::fs::create_dir(folder.path().join("out")).unwrap();
        }
        let format: &[&str] = if target == "folder" { &["--to-format", "parquet"] } else { &[] };
        killed_at(folder.path(), &[&[ROWS, &place, "-j", "2"], format].concat(), ("wrote", 2));
        // Another number of channels is no other job.
        let said = resumed(folder.path(), &[&[ROWS, &place, "-j", "3"], format].concat());
        assert!(kept(&said) > 0, "{target}: {said}");
        if target != "postgres" {
            copied(folder.path(), &[&place, &format!("{url}#t")]);
        }
        assert_eq!(psql(&url, COUNTED), ONCE, "{target}");
        assert_eq!(psql(&url, "select count(*) from pg_class where relname like 'etl_stage%'"), "0");
        let hidden = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".etl-");
        let hidden = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).filter(hidden).count();
        assert_eq!(hidden, 0, "{target}");
    }
}

#[test]
fn an_append_that_is_resumed_adds_its_rows_once() {
    for jobs in ["1", "2"] {
        adds_its_rows_once(&postgres(), jobs);
    }
}

pub(crate) fn adds_its_rows_once(url: &str, jobs: &str) {
    let folder = tempfile::tempdir().unwrap();
    psql(url, "create table t (id bigint, note text); insert into t values (0, 'old')");
    let target = format!("{url}#t");
    let words = [ROWS, &target, "--mode", "append", "-j", jobs];
    let kind = if jobs == "1" { "planned" } else { "wrote" };
    killed_at(folder.path(), &words, (kind, 1));
    resumed(folder.path(), &words);
    assert_eq!(psql(url, COUNTED), "160001|160001|12800080000", "{jobs} channels");
    // It is done: the same again is another run.
    let again = end(start(folder.path(), &[&words[..], &["--resume"]].concat()));
    assert!(again.stderr.contains("no run of this job was interrupted"), "{}", again.stderr);
    assert_eq!(psql(url, "select count(*) from t"), "320001");
}

/// Which rows of a split one of several writers has nobody knows.
#[test]
fn what_one_of_several_writers_has_is_not_kept_without_the_others() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    // One of them ends long after the other.
    psql(
        &url,
        "create function slow(id bigint) returns boolean language plpgsql as
         'begin if id = 150000 then perform pg_sleep(3); end if; return true; end';
         create table t (id bigint check (slow(id)), note text); insert into t values (0, 'old')",
    );
    let target = format!("{url}#t");
    let words = [ROWS, &target, "--mode", "append", "-j", "2"];
    let slowly = ["--writers", "2", "--limit-rate", "100k rows/s"];
    let mut etl = start(folder.path(), &[&words[..], &slowly].concat());
    let at_work = "select count(*), count(*) filter (where wait_event = 'PgSleep') from pg_stat_activity \
                   where datname = current_database() and application_name like 'etl\\_write%'";
    // The other one has ended its transaction.
    until(|| {
        assert!(etl.try_wait().unwrap().is_none());
        psql(&url, at_work) == "1|1"
    });
    etl.kill().unwrap();
    etl.wait().unwrap();
    let said = resumed(folder.path(), &words);
    assert!(said.contains("begun again: all rows are needed together"), "{said}");
    assert_eq!(psql(&url, COUNTED), "160001|160001|12800080000");
}

#[test]
fn a_run_that_is_not_resumed_is_named_and_replaced() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let target = format!("{url}#t");
    killed_at(folder.path(), &[ROWS, &target, "-j", "2"], ("wrote", 1));
    let listed = beside(folder.path(), &["jobs"]).stdout;
    assert!(listed.contains("interrupted"), "{listed}");
    let done = end(start(folder.path(), &[ROWS, &target]));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("was interrupted; this one begins anew"), "{}", done.stderr);
    assert_eq!(psql(&url, COUNTED), ONCE);
    let listed = beside(folder.path(), &["jobs"]).stdout;
    assert!(listed.contains("failed") && listed.contains("finished") && !listed.contains("interrupted"), "{listed}");
}

#[test]
fn a_changed_job_is_refused_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    killed_at(folder.path(), &[ROWS, "t.csv"], ("wrote", 1));
    let refused = end(start(folder.path(), &[ROWS, "t.csv", "--where", "id > 5", "--resume"]));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("is of another job, which differs in transform"), "{}", refused.stderr);
    resumed(folder.path(), &[ROWS, "t.csv"]);
}

#[test]
fn a_source_that_changed_is_read_from_the_beginning() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    copied(folder.path(), &["gen:id:seq,note:text(200..200)?rows=160000", "s.csv"]);
    let target = format!("{url}#t");
    let words = ["s.csv", target.as_str(), "-j", "2"];
    killed_at(folder.path(), &words, ("wrote", 1));
    let mut file = std::fs::OpenOptions::new().append(true).open(folder.path().join("s.csv")).unwrap();
    std::io::Write::write_all(&mut file, b"160001,one more\n").unwrap();
    let said = resumed(folder.path(), &words);
    assert!(said.contains("begun again: the source is not at the point in time"), "{said}");
    assert_eq!(psql(&url, COUNTED), "160001|160001|12800240001");
}

#[test]
fn the_same_job_runs_once_at_a_time() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let target = format!("{url}#t");
    let words = [ROWS, target.as_str(), "--mode", "append", "-j", "2"];
    let first = start(folder.path(), &[&words[..], &["--limit-rate", "12k rows/s"]].concat());
    until(|| records(folder.path(), "wrote") > 0);
    for more in [&[][..], &["--resume"]] {
        let second = end(start(folder.path(), &[&words[..], more].concat()));
        assert_eq!(second.code, 1, "{}", second.stderr);
        assert!(second.stderr.contains("the same job is under way: run"), "{}", second.stderr);
    }
    // As from another machine: its log knows nothing of the first.
    let elsewhere = tempfile::tempdir().unwrap();
    let third = end(start(elsewhere.path(), &words));
    assert_eq!(third.code, 1, "{}", third.stderr);
    assert!(third.stderr.contains("another run of the same job writes into the table"), "{}", third.stderr);
    let running = beside(folder.path(), &["jobs"]).stdout;
    assert!(running.contains("running"), "{running}");
    assert_eq!(end(first).code, 0);
    assert_eq!(psql(&url, COUNTED), ONCE);
}

#[test]
fn pre_sql_is_executed_once_in_a_run() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create table log (step text)");
    let target = format!("{url}#t");
    let words = [
        ROWS,
        target.as_str(),
        "-j",
        "2",
        "--pre-sql",
        "insert into log values ('before')",
        "--post-sql",
        "insert into log values ('after')",
    ];
    killed_at(folder.path(), &words, ("wrote", 1));
    resumed(folder.path(), &words);
    assert_eq!(psql(&url, "select string_agg(step, ',' order by step) from log"), "after,before");
    assert_eq!(psql(&url, COUNTED), ONCE);
}

#[test]
fn rows_that_are_in_the_target_are_not_added_again_because_of_what_failed_after_them() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create table t (id bigint, note text)");
    let target = format!("{url}#t");
    let words = ["gen:id:seq,note:text(1..1)?rows=10", &target, "--mode", "append", "--post-sql"];
    let run = |sql: &str, more: &[&str]| end(start(folder.path(), &[&words[..], &[sql], more].concat()));
    let after = "insert into log values (1)";
    let failed = run(after, &[]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("the data are committed"), "{}", failed.stderr);
    // Nor by who has mended the SQL meanwhile.
    for sql in [after, "select 1"] {
        let refused = run(sql, &[]);
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(refused.stderr.contains("its rows are in the target"), "{}", refused.stderr);
    }
    psql(&url, "create table log (id int)");
    let done = run(after, &["--resume"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(psql(&url, "select (select count(*) from t), (select count(*) from log)"), "10|1");
    // It is done: the same again is another run.
    assert_eq!(run(after, &[]).code, 0);
    assert_eq!(psql(&url, "select count(*) from t"), "20");
}

#[test]
fn a_run_that_is_given_up_leaves_nothing() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let target = format!("{url}?connect_timeout=20#t");
    killed_at(folder.path(), &[ROWS, &target, "-j", "2"], ("wrote", 1));
    assert_ne!(psql(&url, "select count(*) from pg_class where relname like 'etl_stage%'"), "0");
    let listed = beside(folder.path(), &["jobs", "--output", "json"]).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let run = listed["runs"][0]["run"].as_str().unwrap().to_owned();
    let shown = beside(folder.path(), &["jobs", "show", &run[..20]]).stdout;
    assert!(shown.contains("interrupted") && shown.contains("--resume goes on"), "{shown}");
    let cleaned = beside(folder.path(), &["jobs", "clean", &run]);
    assert_eq!(cleaned.code, 0, "{}", cleaned.stderr);
    assert_eq!(psql(&url, "select count(*) from pg_class where relname like 'etl_stage%'"), "0");
    let nothing = beside(folder.path(), &["jobs", "show", &run]);
    assert_eq!(nothing.code, 1);
    let again = etl(folder.path(), &["count", &format!("{url}#t")]);
    assert_ne!(again.code, 0, "nothing was ever visible");
}

#[test]
fn a_held_snapshot_is_gone_on_with_whatever_became_of_the_table() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create table s as select g::bigint as id, repeat('x', 300) as note from generate_series(1, 160000) g");
    let (source, target) = (format!("{url}#s"), format!("{url}#t"));
    let mut holder = command(folder.path(), &["snapshot", "hold", &source]).stdout(Stdio::piped()).spawn().unwrap();
    let mut id = String::new();
    let mut stdout = std::io::BufReader::new(holder.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut id).unwrap();
    let words = [source.as_str(), &target, "-j", "2", "--snapshot", id.trim()];
    killed_at(folder.path(), &words, ("wrote", 1));
    psql(
        &url,
        "update s set id = -id where id % 3 = 0; delete from s where id % 5 = 0; insert into s values (0, 'new')",
    );
    let said = resumed(folder.path(), &words);
    assert!(kept(&said) > 0, "{said}");
    assert_eq!(psql(&url, COUNTED), ONCE);
    let stopped = std::process::Command::new("kill").args(["-INT", &holder.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert!(holder.wait().unwrap().success());
    let late = end(start(folder.path(), &[&words[..], &["--mode", "replace"]].concat()));
    assert_ne!(late.code, 0);
    assert!(late.stderr.contains("snapshot"), "{}", late.stderr);
}

#[test]
fn what_the_target_refused_before_a_kill_is_told_once() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create table t (id bigint primary key check (id % 1000 <> 7), note text)");
    let target = format!("{url}#t");
    let words = [ROWS, &target, "--mode", "append", "--on-error", "skip", "--rejects", "bad.jsonl"];
    killed_at(folder.path(), &words, ("wrote", 3));
    assert_eq!(psql(&url, COUNTED), "0|0|");
    resumed(folder.path(), &words);
    // 160 of them: 7, 1007 and so on.
    let refused: std::collections::BTreeSet<u64> = (0..160).map(|thousand| thousand * 1000 + 7).collect();
    let sum = 12_800_080_000_u64 - refused.iter().sum::<u64>();
    assert_eq!(psql(&url, COUNTED), format!("159840|159840|{sum}"));
    let told = std::fs::read_to_string(folder.path().join("bad.jsonl")).unwrap();
    let id = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["id"].as_str().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((told.lines().count(), told.lines().map(id).collect()), (160, refused));
}
