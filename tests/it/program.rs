//! The program as a user runs it: the real binary, its exit code, stdout and stderr.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A patience that nothing takes which works, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until `is` holds.
#[track_caller]
pub(crate) fn until(mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < PATIENCE, "what is waited for does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `etl` with `words` in `folder`, without an input.
pub(crate) fn etl(folder: &Path, words: &[&str]) -> Ended {
    run(&mut command(folder, words))
}

/// Runs a copy that must succeed.
pub(crate) fn copied(folder: &Path, words: &[&str]) {
    let done = etl(folder, &[&["copy", "-q"], words].concat());
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{words:?}");
}

/// Runs a copy that must fail, and gives what it says.
pub(crate) fn refused(folder: &Path, words: &[&str]) -> String {
    let done = etl(folder, &[&["copy", "-q"], words].concat());
    assert_ne!(done.code, 0, "{words:?}");
    done.stderr
}

/// Runs `command` to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    ended(command.output().unwrap())
}

/// Runs a line of bash in which `$ETL` is the program.
pub(crate) fn bash(folder: &Path, line: &str) -> Ended {
    let mut bash = Command::new("bash");
    bash.args(["-c", line]).env("ETL", env!("CARGO_BIN_EXE_etl")).current_dir(folder).stdin(Stdio::null());
    run(&mut bash)
}

/// `etl` with `words`, to be run in `folder`.
pub(crate) fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etl"));
    command.args(words).current_dir(folder).stdin(Stdio::null()).env_remove("NO_COLOR");
    if let Some(folders) = std::env::var_os("ETL_TEST_ADBC") {
        command.env("ADBC_DRIVER_PATH", folders);
    }
    command
}

/// Starts `etl` with `words`, with a state log of its own in `folder`.
pub(crate) fn start(folder: &Path, words: &[&str]) -> Child {
    let mut etl = command(folder, words);
    etl.env("XDG_STATE_HOME", folder.join("state")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What it left when it has ended.
pub(crate) fn end(etl: Child) -> Ended {
    ended(etl.wait_with_output().unwrap())
}

/// What it said on stderr; it must have succeeded.
pub(crate) fn done(etl: Child) -> String {
    let done = end(etl);
    assert_eq!(done.code, 0, "{}", done.stderr);
    done.stderr
}

/// Starts it, and kills it once its log has `count` records of this `kind`.
pub(crate) fn killed_at(folder: &Path, words: &[&str], (kind, count): (&str, u64)) {
    let (mut etl, begin) = (start(folder, words), Instant::now());
    while records(folder, kind) < count {
        assert!(etl.try_wait().unwrap().is_none(), "{words:?}: {:?}", end(etl));
        assert!(begin.elapsed() < PATIENCE, "{words:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    etl.kill().unwrap();
    etl.wait().unwrap();
}

/// How many records of this kind the state log in `folder` has.
pub(crate) fn records(folder: &Path, kind: &str) -> u64 {
    records_of(&folder.join("state/etl/state.db"), kind)
}

/// How many records of this kind the state log in the file `log` has.
pub(crate) fn records_of(log: &Path, kind: &str) -> u64 {
    if !log.exists() {
        return 0;
    }
    let log = rusqlite::Connection::open(log).unwrap();
    log.busy_timeout(Duration::from_secs(30)).unwrap();
    let sql = "select count(*) from record where json_extract(body, '$.record') = ?1";
    // The table may not be made yet.
    log.query_row(sql, [kind], |row| row.get(0)).unwrap_or(0)
}

fn ended(Output { status, stdout, stderr }: Output) -> Ended {
    Ended {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}
