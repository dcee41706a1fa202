//! `--state`: a record of runs that several machines share. Each machine is a state folder of its own.

use std::io::Read as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::program::{Ended, command, records_of, until};
use crate::server::own::Own;
use crate::server::{postgres, psql, sqlite3};

const ROWS: &str = "gen:id:seq,note:text(200..200)?rows=160000";
const COUNTED: &str = "select count(*), count(distinct id), sum(id) from t";
const ONCE: &str = "160000|160000|12800080000";

/// A machine that has never run anything.
fn machine() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn start(machine: &TempDir, words: &[&str]) -> Child {
    let mut etl = command(machine.path(), words);
    etl.env("XDG_STATE_HOME", machine.path().join("home"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ended(mut child: Child) -> Ended {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    Ended { code: child.wait().unwrap().code().unwrap_or(-1), stdout, stderr }
}

fn etl(machine: &TempDir, words: &[&str]) -> Ended {
    ended(start(machine, words))
}

/// Records of this kind; none where there is no table yet.
fn records(url: &str, kind: &str) -> u64 {
    if psql(url, "select to_regclass('etl.state') is null") == "t" {
        return 0;
    }
    psql(url, &format!("select count(*) from etl.state where body::json->>'record' = '{kind}'")).parse().unwrap()
}

#[test]
fn many_machines_make_the_record_at_the_same_moment() {
    let (machine, url) = (machine(), postgres());
    let all: Vec<Child> = (0..8).map(|_| start(&machine, &["jobs", "--state", &url])).collect();
    for done in all.into_iter().map(ended) {
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
}

#[test]
fn a_plan_says_where_the_run_would_be_recorded() {
    let (machine, url) = (machine(), postgres());
    let plan = etl(&machine, &["plan", "gen:id:seq?rows=5", &format!("{url}#t"), "--state", &format!("{url}#runs")]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    assert!(
        plan.stdout.lines().any(|line| line.starts_with("record       postgres") && line.ends_with("#runs")),
        "{}",
        plan.stdout
    );
    assert_eq!(psql(&url, "select to_regclass('runs') is null"), "t", "a plan makes nothing");
}

#[test]
fn a_table_whose_leases_would_have_its_own_name_is_refused() {
    let (machine, url) = (machine(), postgres());
    let with = |length| etl(&machine, &["jobs", "--state", &format!("{url}#{}", "r".repeat(length))]);
    let refused = with(58);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("too long"), "{}", refused.stderr);
    let longest = with(57);
    assert_eq!(longest.code, 0, "{}", longest.stderr);
}

/// Starts a copy that is slow enough to be met, and kills it when two of its tasks are written.
fn killed(machine: &TempDir, words: &[&str], wrote: impl Fn() -> u64) {
    let mut copy = start(machine, &[words, &["--progress", "none", "--limit-rate", "50k rows/s"]].concat());
    until(|| {
        assert!(copy.try_wait().unwrap().is_none(), "it ended before it could be killed");
        wrote() >= 2
    });
    copy.kill().unwrap();
    copy.wait().unwrap();
}

#[test]
fn a_run_killed_on_one_machine_is_completed_on_another() {
    let (one, other, url) = (machine(), machine(), postgres());
    // The server trusts everybody; what is no password is a secret all the same.
    let secret = url.replacen("postgres@", "postgres:sesame@", 1);
    let target = format!("{secret}#t");
    let words = ["copy", ROWS, &target, "--state", &secret];
    killed(&one, &[&words[..], &["-j", "2"]].concat(), || records(&url, "wrote"));
    let listed = etl(&other, &["jobs", "--state", &secret]).stdout;
    assert!(listed.contains("interrupted"), "{listed}");
    let changed = etl(&other, &[&words[..], &["--resume", "--where", "id > 1"]].concat());
    assert_eq!(changed.code, 2, "{}", changed.stderr);
    assert!(changed.stderr.contains("is of another job, which differs in transform"), "{}", changed.stderr);
    let done = etl(&other, &[&words[..], &["-j", "3", "--progress", "none", "--resume"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("going on with run"), "{}", done.stderr);
    assert!(done.stderr.contains("splits were there from before"), "{}", done.stderr);
    assert_eq!(psql(&url, COUNTED), ONCE);
    assert_eq!(psql(&url, "select count(distinct run) from etl.state"), "1");
    assert_eq!(psql(&url, "select count(*) from etl.state where body like '%sesame%'"), "0");
    for machine in [one, other] {
        assert!(!machine.path().join("home").exists(), "nothing is recorded here");
    }
}

#[test]
fn an_sqlite_file_serves_as_well() {
    let (one, other, url) = (machine(), machine(), postgres());
    let file = one.path().join("runs.db");
    let (target, state) = (format!("{url}#t"), file.display().to_string());
    let words = ["copy", ROWS, &target, "-j", "2", "--state", &state];
    killed(&one, &words, || records_of(&file, "wrote"));
    let done = etl(&other, &[&words[..], &["--progress", "none", "--resume"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("going on with run"), "{}", done.stderr);
    assert_eq!(psql(&url, COUNTED), ONCE);
    assert_eq!(sqlite3(&file, "select count(distinct run) from record"), "1");
}

#[test]
fn a_job_runs_once_at_a_time_whatever_the_machine() {
    let (one, other, url) = (machine(), machine(), postgres());
    let target = format!("{url}#t");
    let words = ["copy", ROWS, &target, "-j", "2", "--state", &url, "--progress", "none", "--limit-rate", "40k rows/s"];
    let both = [start(&one, &words), start(&other, &words)].map(ended);
    let (done, refused): (Vec<_>, Vec<_>) = both.into_iter().partition(|ended| ended.code == 0);
    assert_eq!((done.len(), refused.len()), (1, 1), "{done:?} {refused:?}");
    assert_eq!(refused[0].code, 1);
    assert!(refused[0].stderr.contains("the same job is under way: run "), "{}", refused[0].stderr);
    assert_eq!(psql(&url, COUNTED), ONCE);
    assert_eq!(psql(&url, "select count(*) from etl.state_lease"), "0");
}

#[test]
fn a_process_elsewhere_is_judged_by_when_the_server_last_heard_of_it() {
    let (one, other, url) = (machine(), machine(), postgres());
    let target = format!("{url}#t");
    let words = ["copy", ROWS, &target, "-j", "2", "--state", &url];
    killed(&one, &words, || records(&url, "wrote"));
    let heard = |seconds: u32| {
        let process = r#"{"host":"far","space":"another machine","number":1,"began":1}"#;
        let set = format!("process = '{process}', renewed_at = clock_timestamp() - interval '{seconds} seconds'");
        psql(&url, &format!("update etl.state_lease set {set}"));
    };
    heard(100);
    let refused = etl(&other, &[&words[..], &["--resume"]].concat());
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("by process 1 on far"), "{}", refused.stderr);
    heard(121);
    let done = etl(&other, &[&words[..], &["--resume"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("going on with run"), "{}", done.stderr);
    assert_eq!(psql(&url, COUNTED), ONCE);
}

#[test]
fn runs_of_all_machines_are_listed_shown_and_cleaned() {
    let (one, other, url) = (machine(), machine(), postgres());
    let (target, state) = (format!("{url}#t"), format!("{url}#log.runs"));
    psql(&url, "create schema log");
    let done = etl(&one, &["copy", "-q", "gen:id:seq?rows=5", &target, "--state", &state]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let run = psql(&url, "select distinct run from log.runs");
    let listed = etl(&other, &["jobs", "--state", &state]).stdout;
    assert!(listed.contains(&run) && listed.contains("finished") && listed.contains("5 rows"), "{listed}");
    let shown = etl(&other, &["jobs", "show", &run[..30], "--state", &state]).stdout;
    assert!(shown.contains("finished"), "{shown}");
    let cleaned = etl(&other, &["jobs", "clean", "--state", &state]);
    assert!(cleaned.stderr.contains("1 run forgotten"), "{}", cleaned.stderr);
    assert_eq!(psql(&url, "select count(*) from log.runs"), "0");
    assert!(!etl(&one, &["jobs"]).stdout.contains(&run), "this machine's own record has not heard of it");
}

#[test]
fn a_record_that_cannot_be_kept_is_an_error_before_anything_begins() {
    let (machine, url) = (machine(), postgres());
    let role = format!("pupil{}", uuid::Uuid::now_v7().simple());
    psql(&url, &format!("create table other (a int); create role {role} login"));
    let pupil = url.replacen("postgres@", &format!("{role}@"), 1);
    let cases = [
        (format!("{url}#other"), "this is a table of something else"),
        ("runs.csv".to_owned(), "keeps no record of runs"),
        ("runs.db#t".to_owned(), "holds nothing else"),
        (pupil, "name a table that you may make"),
        (format!("{url}_gone"), "does not exist"),
    ];
    for (state, message) in cases {
        let refused = etl(&machine, &["copy", "gen:id:seq?rows=5", &format!("{url}#t"), "--state", &state]);
        assert!(refused.code > 0 && refused.stderr.contains(message), "{state}: {}", refused.stderr);
    }
    let refused = etl(&machine, &["copy", "gen:id:seq?rows=5", "new.db#t", "--state", "sqlite:./new.db"]);
    assert!(refused.code == 2 && refused.stderr.contains("name a file of its own"), "{}", refused.stderr);
    assert!(!machine.path().join("new.db").exists());
    assert_eq!(psql(&url, "select to_regclass('t') is null, count(*) from other"), "t|0");
    psql(&url, &format!("drop role {role}"));
}

#[test]
fn a_record_in_a_target_that_is_restarted_goes_on() {
    let machine = machine();
    let mut server = Own::start();
    let url = server.url();
    let words = ["--progress", "none", "--limit-rate", "100k rows/s", "--retry", "10", "--state", &url];
    let copy = start(&machine, &[&["copy", ROWS, &format!("{url}#t"), "-j", "2"], &words[..]].concat());
    until(|| records(&url, "wrote") > 1);
    server.end("-INT");
    std::thread::sleep(Duration::from_millis(300));
    server.begin();
    let done = ended(copy);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(psql(&url, COUNTED), ONCE);
    let twice = "select count(*) - count(distinct body) from etl.state";
    assert_eq!(psql(&url, twice), "0", "no record is there twice");
}
