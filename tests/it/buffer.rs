//! `--buffer` with the real binary: what the server says of the source's session, and the system of the files.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::program::{bash, command, done, etl, until};
use crate::server::{self, postgres, psql};

/// Rows that do not compress, about 14 MB.
const ROWS: &str = "create table s as select g as id, md5(g::text) || md5((-g)::text) || md5('a' || g) || md5('b' || g) \
                    as note from generate_series(1, 100000) g";
const COUNTED: &str = "select count(*), count(distinct id), sum(id), sum(length(note)) from t";
const ALL: &str = "100000|100000|5000050000|12800000";

/// The sessions of `etl` in a database, and how many of them hold rows back from being cleared away.
const SESSIONS: &str = "select count(*), count(backend_xmin) from pg_stat_activity \
                        where datname = current_database() and application_name like 'etl%'";

/// A target whose first row waits for as long as this lives.
struct Blocked(Child);

impl Blocked {
    fn new(url: &str) -> Self {
        psql(
            url,
            "create table t (id int, note text); \
             create function wait() returns trigger language plpgsql as \
             $$ begin perform pg_advisory_xact_lock_shared(7); return new; end $$; \
             create trigger wait before insert on t for each row execute function wait()",
        );
        let mut holder = Command::new("psql");
        let mut holder = holder.args(["-XAtq", url]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        holder.stdin.as_mut().unwrap().write_all(b"select pg_advisory_lock(7);\n").unwrap();
        let held = "select count(*) from pg_locks where locktype = 'advisory' and granted \
                    and database = (select oid from pg_database where datname = current_database())";
        server::until(url, held, |count| count != "0");
        Self(holder)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// Bytes of the files without names that `process` has open in `folder`.
fn on_disk(process: &Child, folder: &Path) -> u64 {
    let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", process.id())) else { return 0 };
    let is_ours = |path: &Path| {
        let target = std::fs::read_link(path).unwrap_or_default();
        target.starts_with(folder) && target.to_string_lossy().ends_with(" (deleted)")
    };
    let paths = open.flatten().map(|entry| entry.path()).filter(|path| is_ours(path));
    paths.filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
}

fn start(folder: &Path, words: &[&str]) -> Child {
    let mut copy = command(folder, &[&["copy", "--progress", "none", "--mode", "append", "-j", "1"], words].concat());
    copy.env("XDG_STATE_HOME", folder.join("state")).stderr(Stdio::piped()).spawn().unwrap()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn the_session_of_the_source_ends_while_its_rows_wait_on_disk() {
    // As frames of the server, and as columns.
    for more in [&[][..], &["--set", "id=id+0"]] {
        let (folder, wait, from, to) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), postgres(), postgres());
        psql(&from, ROWS);
        let blocked = Blocked::new(&to);
        let (source, target, place) = (format!("{from}#s"), format!("{to}#t"), wait.path().display().to_string());
        let mut copy = start(folder.path(), &[&[&source, &target, "--buffer", &place], more].concat());
        until(|| on_disk(&copy, wait.path()) > 10_000_000);
        until(|| psql(&from, SESSIONS) == "0|0");
        assert!(copy.try_wait().unwrap().is_none(), "{more:?}");
        assert_eq!(psql(&to, "select count(*) from t"), "0", "{more:?}");
        blocked.end();
        let said = done(copy);
        assert!(said.contains("the source was released before all rows were written"), "{said}");
        assert_eq!(psql(&to, COUNTED), ALL, "{more:?}");
        assert!(is_empty(wait.path()));
    }
}

#[test]
fn a_buffer_keeps_to_its_size_and_the_source_waits() {
    let (folder, wait, from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), postgres(), postgres());
    psql(&from, ROWS);
    let blocked = Blocked::new(&to);
    let place = format!("{}:2MB", wait.path().display());
    let copy = start(folder.path(), &[&format!("{from}#s"), &format!("{to}#t"), "--buffer", &place]);
    until(|| on_disk(&copy, wait.path()) > 1_000_000);
    let mut blocked = Some(blocked);
    // It is as full as it gets: whatever comes now makes room first.
    for _ in 0..50 {
        let bytes = on_disk(&copy, wait.path());
        assert!(bytes <= 2_000_000, "{bytes} bytes on disk");
        assert!(blocked.is_none() || psql(&from, SESSIONS) != "0|0", "the rows do not fit");
        blocked.take().into_iter().for_each(Blocked::end);
    }
    done(copy);
    assert_eq!(psql(&to, COUNTED), ALL);
    assert!(is_empty(wait.path()));
}

#[test]
fn a_full_disk_makes_the_source_wait_and_is_told() {
    let (folder, wait, from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), postgres(), postgres());
    psql(&from, ROWS);
    // No file may be longer than 2 MiB: writing says so, as on a full disk.
    let line = format!(
        "trap '' XFSZ; ulimit -f 2048; exec $ETL copy --progress none '{from}#s' '{to}#t' -j 1 --buffer {}",
        wait.path().display()
    );
    let ended = bash(folder.path(), &line);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("the disk of the buffer was full"), "{}", ended.stderr);
    assert_eq!(psql(&to, COUNTED), ALL);
    assert!(is_empty(wait.path()));
}

#[test]
fn a_process_that_is_killed_leaves_nothing_on_disk() {
    let (folder, wait, from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), postgres(), postgres());
    psql(&from, ROWS);
    let blocked = Blocked::new(&to);
    let place = wait.path().display().to_string();
    let (source, target) = (format!("{from}#s"), format!("{to}#t"));
    let mut copy = start(folder.path(), &[&source, &target, "--buffer", &place]);
    until(|| on_disk(&copy, wait.path()) > 1_000_000);
    copy.kill().unwrap();
    copy.wait().unwrap();
    assert!(is_empty(wait.path()));
    blocked.end();
}

#[test]
fn a_plan_says_what_is_released_and_when() {
    let (folder, from) = (tempfile::tempdir().unwrap(), postgres());
    psql(&from, "create table s (id int)");
    let planned = etl(folder.path(), &["plan", &format!("{from}#s"), "t.csv", "--buffer", ".:5MB"]).stdout;
    assert!(planned.contains("buffer       rows wait in ., in no more than"), "{planned}");
    assert!(planned.contains("released when the last row is read"), "{planned}");
    let unused = etl(folder.path(), &["plan", "gen:id:seq?rows=1", "t.csv", "--buffer", "."]).stdout;
    assert!(unused.contains("buffer       not used: "), "{unused}");
    let refused = etl(folder.path(), &["copy", &format!("{from}#s"), "t.csv", "--buffer", "missing"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("buffer missing: it does not exist"), "{}", refused.stderr);
}
