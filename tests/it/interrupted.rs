//! The real binary, ended in the middle of a copy: the target is as it was, and the next run works.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::program::{command, copied, end, start};
use crate::server::{postgres, sqlite3, until};

/// Many rows, so slowly that no machine is done with them before it is told to stop.
const ROWS: &str = "gen:id:seq,note:text(10..30)?rows=10000000";
const SLOWLY: [&str; 6] = ["--limit-rate", "20k rows/s", "-j", "2", "--progress", "json"];

/// A copy of which some rows have left the source.
struct MidCopy {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl MidCopy {
    fn start(folder: &Path, words: &[&str]) -> Self {
        let words = [&["copy", ROWS], words, &SLOWLY].concat();
        let child = command(folder, &words).stderr(Stdio::piped()).spawn().unwrap();
        let mut copy = Self::of(child);
        loop {
            let mut line = String::new();
            assert_ne!(copy.stderr.read_line(&mut line).unwrap(), 0, "{words:?} ended by itself");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "progress" && event["rowsRead"].as_u64().unwrap() > 0 {
                return copy;
            }
            assert_ne!(event["event"], "failed", "{line}");
        }
    }

    fn of(mut child: Child) -> Self {
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// Sends it `signal`, and gives the exit code, none where the signal itself ended it, and the last event.
    fn end(mut self, signal: &str) -> (Option<i32>, serde_json::Value) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let last = self.stderr.lines().map(Result::unwrap).last();
        let event = last.map_or(serde_json::Value::Null, |line| serde_json::from_str(&line).unwrap());
        (self.child.wait().unwrap().code(), event)
    }
}

/// All files below `folder` by name, with their bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.insert(format!("{name}/"), Vec::new());
            found.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Those of which no part of the path is hidden.
fn visible(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.retain(|name, _| name.split('/').all(|part| !part.starts_with('.')));
    files
}

/// Ends a copy of generated rows with `words` by both signals; afterwards a small copy gives `rows` rows in all.
fn an_end_changes_nothing(words: &[&str], prepare: impl Fn(&Path), rows: &str) {
    for signal in ["-KILL", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let before = files(folder.path());
        let (code, event) = MidCopy::start(folder.path(), words).end(signal);
        let after = files(folder.path());
        if signal == "-KILL" {
            assert_eq!(code, None, "{words:?}");
            assert_eq!(visible(after), visible(before), "{words:?}");
        } else {
            assert_eq!((code, &event["event"], &event["exitCode"]), (Some(5), &"failed".into(), &5.into()), "{event}");
            assert_eq!(after, before, "{words:?}");
        }
        copied(folder.path(), &[&["gen:id:seq,note:text(10..30)?rows=100"], words].concat());
        copied(folder.path(), &[words[0], "counted.db#t"]);
        assert_eq!(sqlite3(&folder.path().join("counted.db"), "select count(*) from t"), rows, "{words:?} {signal}");
    }
}

/// Copies ten rows to `target`, for the next copy to meet.
fn ten_rows(target: &'static str) -> impl Fn(&Path) {
    move |folder| copied(folder, &["gen:id:seq,note:text(10..30)?rows=10", target])
}

#[test]
fn a_new_csv_file_is_not_there() {
    an_end_changes_nothing(&["new.csv"], |_| {}, "100");
}

#[test]
fn a_csv_file_keeps_its_rows() {
    an_end_changes_nothing(&["old.csv", "--mode", "append"], ten_rows("old.csv"), "110");
}

#[test]
fn a_new_parquet_file_is_not_there() {
    an_end_changes_nothing(&["new.parquet"], |_| {}, "100");
}

#[test]
fn a_parquet_file_to_be_replaced_stays() {
    an_end_changes_nothing(&["old.parquet", "--mode", "replace"], ten_rows("old.parquet"), "100");
}

#[test]
fn a_folder_keeps_its_files() {
    let prepare = |folder: &Path| {
        std::fs::create_dir(folder.join("parts")).unwrap();
        ten_rows("parts/first.csv")(folder);
    };
    an_end_changes_nothing(&["parts/", "--to-format", "csv", "--mode", "append"], prepare, "110");
}

#[test]
fn a_new_database_is_not_there() {
    an_end_changes_nothing(&["new.db#t"], |_| {}, "100");
}

/// SQLite itself rolls back what a killed program has left in its journal, when the file is opened next.
#[test]
fn a_table_of_a_database_keeps_its_rows() {
    for signal in ["-KILL", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let (folder, database) = (folder.path(), folder.path().join("old.db"));
        sqlite3(&database, "create table t (id integer, note text); insert into t values (1, 'a'), (2, 'b')");
        let sql = "select count(*), sum(id), (select count(*) from sqlite_master) from t";
        let before = sqlite3(&database, sql);
        let words = ["old.db#t", "--mode", "append"];
        let (code, _) = MidCopy::start(folder, &words).end(signal);
        assert_eq!(code, if signal == "-INT" { Some(5) } else { None });
        assert_eq!(sqlite3(&database, sql), before, "{signal}");
        let mut left: Vec<String> = files(folder).into_keys().collect();
        // The next writer removes it.
        left.retain(|name| signal == "-INT" || name != "old.db-journal");
        assert_eq!(left, ["old.db"], "{signal}");
        copied(folder, &["gen:id:seq,note:text(10..30)?rows=100", words[0], words[1], words[2]]);
        assert_eq!(sqlite3(&database, "select count(*) from t"), "102", "{signal}");
        assert_eq!(files(folder).into_keys().collect::<Vec<_>>(), ["old.db"], "{signal}");
    }
}

#[test]
fn sql_of_the_user_does_not_go_on_alone() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    std::fs::write(folder.path().join("a.csv"), "id\n1\n").unwrap();
    let target = format!("{url}#t");
    let under_way = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' \
                     and query = 'select pg_sleep(900)'";
    for flag in ["--pre-sql", "--post-sql"] {
        let words = ["copy", "-q", "a.csv", &target, "--mode", "replace", flag, "select pg_sleep(900)"];
        let copy = start(folder.path(), &words);
        until(&url, under_way, |count| count == "1");
        let sent = Command::new("kill").args(["-INT", &copy.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(end(copy).code, 5, "{flag}");
        until(&url, under_way, |count| count == "0");
    }
}
