//! Job files of FlinkX as its users run them: what they say, what they move, and how they are gone on with.

mod channels;
mod keys;
mod refused;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::program::{self, Ended, bash, end, killed_at, start, until};
use crate::server::{mariadb, mariadb_client, postgres, psql};

/// A job of `tests/jobs/flinkx` in a folder of its own.
struct Job {
    folder: TempDir,
    variables: String,
}

impl Job {
    /// The job `name`, whose variables are told, and `folder`.
    fn new(name: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs/flinkx");
        fs::copy(jobs.join(format!("{name}.json")), folder.path().join("job.json")).unwrap();
        let told = variables.iter().map(|(name, value)| format!("{name}={value}"));
        let told = told.chain([format!("folder={}", folder.path().display())]);
        Self { variables: told.collect::<Vec<_>>().join(", "), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn words<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["flinkx", "-job", "job.json", "-p", self.variables.as_str()], more].concat()
    }

    fn start(&self, more: &[&str]) -> Child {
        start(self.folder.path(), &self.words(more))
    }

    fn run(&self, more: &[&str]) -> Ended {
        end(self.start(more))
    }

    /// Runs it: it must succeed.
    fn done(&self) -> Ended {
        let ended = self.run(&[]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended
    }
}

/// The server and database of `url`, as URLs of JDBC have them.
fn address(url: &str) -> &str {
    url.split_once('@').unwrap().1
}

/// The value of `name` in the table of metrics.
fn metric(ended: &Ended, name: &str) -> String {
    let lines = ended.stdout.lines().chain(ended.stderr.lines());
    let mut values = lines.filter_map(|line| line.split_once('|').filter(|(label, _)| label.trim() == name));
    let (_, value) = values.next().unwrap_or_else(|| panic!("no {name}: {} {}", ended.stdout, ended.stderr));
    value.trim().to_owned()
}

fn metrics<const N: usize>(ended: &Ended, names: [&str; N]) -> [u64; N] {
    names.map(|name| metric(ended, name).parse().unwrap())
}

/// Sends Ctrl-C, and gives what is left.
fn interrupted(etl: Child) -> Ended {
    assert!(Command::new("kill").args(["-INT", &etl.id().to_string()]).status().unwrap().success());
    end(etl)
}

/// The files of `folder`, one after the other.
fn written(folder: &Path) -> String {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn rows_are_made_and_printed() {
    let job = Job::new("stream", &[]);
    let ended = job.run(&["-mode", "yarnPer", "-pluginRoot", "plugins", "-queue=default"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let mut lines: Vec<&str> = ended.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [1, 2, 3].map(|id| format!("{id},Ulm,2010-03-26 15:56:00,null")));
    // The metrics would stand among the rows.
    assert_eq!(metrics(&ended, ["numRead", "numWrite", "nErrors"]), [3, 3, 0]);
    for flag in ["-mode yarnPer: the job runs on this machine", "-pluginRoot of FlinkX", "-queue of FlinkX"] {
        assert_eq!(ended.stderr.matches(&format!("note: {flag}")).count(), 1, "{}", ended.stderr);
    }
    let known = program::etl(job.folder.path(), &["run", "job.json"]);
    assert_eq!((known.code, known.stdout.lines().count()), (0, 3), "{}", known.stderr);
}

#[test]
fn rows_without_a_number_come_until_a_signal() {
    let job = Job::new("stream", &[]);
    let set = ["--set", "job.content.0.reader.parameter.sliceRecordCount=[0]"];
    let silent = ["--set", "job.content.0.writer.parameter.print=false"];
    let etl = start(job.folder.path(), &[&["run", "job.json", "--compat", "flinkx"], &set[..], &silent].concat());
    until(|| program::records(job.folder.path(), "planned") > 0);
    let ended = interrupted(etl);
    assert_eq!((ended.code, ended.stdout.as_str()), (143, ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("makes rows without end"), "{}", ended.stderr);
}

#[test]
fn text_goes_into_postgresql_as_it_is() {
    let url = postgres();
    psql(
        &url,
        "create table t (id bigint primary key, v text, at timestamp, origin text); create table done (n int);
        insert into t values (9, 'old')",
    );
    let job = Job::new("text", &[("postgres", address(&url))]);
    fs::create_dir(job.path("in")).unwrap();
    fs::write(job.path("in/a.txt"), "id,v,at\n1,\ttab \"\\N\" \\,03.02.2024\n2,,04.02.2024\n3\n").unwrap();
    let ended = job.done();
    assert!(ended.stderr.contains("note: this is no strict JSON"), "{}", ended.stderr);
    let expected = "1|\ttab \"\\N\" \\|2024-02-03 00:00:00|shop\n2||2024-02-04 00:00:00|shop\n3|NULL||shop";
    let shown = "select id, coalesce(v, 'NULL'), at, origin from t order by id";
    assert_eq!(psql(&url, shown).trim_end(), expected);
    assert_eq!(psql(&url, "select count(*) from done").trim(), "1");
    // The first bad row ends the job, and postSql is for success.
    fs::write(job.path("in/b.txt"), "id,v,at\nx,,\n").unwrap();
    let failed = job.run(&[]);
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{}", failed.stderr);
    assert_eq!(psql(&url, "select count(*) from done").trim(), "1");
}

#[test]
fn shards_are_read_as_one() {
    let (one, two, into) = (mariadb(), mariadb(), mariadb());
    let user = format!("u{}", &two[two.len() - 12..]);
    mariadb_client(
        &one,
        "create table t1 (id int, v varchar(9)); create table t2 (id int, v varchar(9));
        insert into t1 values (1, 'a'), (2, 'b'); insert into t2 values (3, 'c'), (4, null)",
    );
    mariadb_client(&two, "create table t1 (id int, v varchar(9)); insert into t1 values (5, 'e'), (null, 'f')");
    let database = two.rsplit_once('/').unwrap().1;
    mariadb_client(
        &two,
        &format!("create user '{user}'@'%' identified by 'secret'; grant all on `{database}`.* to '{user}'@'%'"),
    );
    mariadb_client(&into, "create table t (id int, v varchar(9))");
    let variables = [("one", address(&one)), ("two", address(&two)), ("into", address(&into)), ("user", user.as_str())];
    let ended = Job::new("shards", &variables).done();
    assert_eq!(metrics(&ended, ["numRead", "numWrite"]), [6, 6]);
    let rows = "select coalesce(id, 6), coalesce(v, '-') from t order by 1";
    assert_eq!(mariadb_client(&into, rows).trim_end(), "1\ta\n2\tb\n3\tc\n4\t-\n5\te\n6\tf");
    // Another structure is refused, and nothing is written.
    mariadb_client(&two, "alter table t1 change v w varchar(9)");
    let failed = Job::new("shards", &variables).run(&[]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert_eq!(mariadb_client(&into, "select count(*) from t").trim(), "6");
    mariadb_client(&two, &format!("drop user '{user}'@'%'"));
}

/// A database with an empty `t` beside `s`.
fn growing(rows: &str) -> String {
    let url = postgres();
    psql(
        &url,
        &format!(
            "create table s (id bigint, at timestamp(6)); create table t (id bigint, at timestamp(6));
            create table prepared (n int); insert into s {rows}"
        ),
    );
    url
}

fn grows(url: &str, column: &str, more: [&str; 2]) -> Job {
    let [start, max] = more;
    let variables =
        [("postgres", address(url)), ("column", column), ("start", start), ("max", max), ("polling", "false")];
    Job::new("grows", &variables)
}

/// Without a unique key in the target: a row that came twice would be there twice.
const TWICE: &str = "select count(*), count(distinct id) from t";

#[test]
fn a_second_run_reads_the_new_rows_alone() {
    // Beyond 32 bits; a row without a value comes with the first run.
    let url =
        growing("select 3000000000 + g, null::timestamp from generate_series(1, 10) g union all select null, null");
    let job = grows(&url, "ID", ["", "false"]);
    let first = job.done();
    assert_eq!((metric(&first, "numWrite"), metric(&first, "endLocation")), ("11".to_owned(), "3000000010".to_owned()));
    let again = job.done();
    assert_eq!((metric(&again, "numWrite"), metric(&again, "endLocation")), ("0".to_owned(), "3000000010".to_owned()));
    psql(&url, "insert into s values (3000000011), (3000000012)");
    let third = job.done();
    assert_eq!((metric(&third, "numWrite"), metric(&third, "endLocation")), ("2".to_owned(), "3000000012".to_owned()));
    assert_eq!(psql(&url, TWICE).trim(), "13|12");
    // From another location on.
    let url = growing("select g, null from generate_series(1, 10) g");
    let job = grows(&url, "0", ["7", "false"]);
    assert_eq!(metric(&job.done(), "numWrite"), "3");
    assert_eq!(metric(&job.done(), "numWrite"), "0");
    assert_eq!(psql(&url, "select min(id) from t").trim(), "8");
}

#[test]
fn rows_of_the_highest_value_wait_for_the_next_run() {
    let url = growing("values (1, '2024-01-01 00:00:01'), (2, '2024-01-01 00:00:02'), (3, '2024-01-01 00:00:02.5')");
    psql(&url, "insert into s values (4, '2024-01-01 00:00:02.5')");
    let job = grows(&url, "at", ["", "true"]);
    assert_eq!(metric(&job.done(), "numWrite"), "2");
    // One more of the same moment, and a later one.
    psql(&url, "insert into s values (5, '2024-01-01 00:00:02.5'), (6, '2024-01-01 00:00:02.500001')");
    assert_eq!(metric(&job.done(), "numWrite"), "3");
    assert_eq!(metric(&job.done(), "numWrite"), "0");
    assert_eq!(psql(&url, "select string_agg(id::text, ',' order by id) from t").trim(), "1,2,3,4,5");
    // Without useMaxFunc a run asks for what is above its position: the row that waits would never come.
    let switched = grows(&url, "at", ["", "false"]).run(&[]);
    assert_eq!(switched.code, 1);
    assert!(switched.stderr.contains("the last copy left the rows with its highest value"), "{}", switched.stderr);
    assert_eq!(psql(&url, "select count(*) from t").trim(), "5");
    // 2024-01-01 00:00:02 in UTC, which is the zone of the session: `>=` and not `>`.
    let url =
        growing("select g, timestamp '2024-01-01 00:00:00' + g * interval '1 second' from generate_series(1, 5) g");
    let job = grows(&url, "at", ["1704067202", "true"]);
    let mut etl = program::command(job.folder.path(), &job.words(&[]));
    let ended = program::run(etl.env("TZ", "UTC").env("XDG_STATE_HOME", job.path("state")));
    assert_eq!((ended.code, metric(&ended, "numWrite")), (0, "3".to_owned()), "{}", ended.stderr);
}

#[test]
fn polling_finds_new_rows_until_it_is_interrupted() {
    let url = growing("select 3000000000 + g, null from generate_series(1, 3) g");
    let names = ["postgres", "column", "start", "max", "polling"];
    let values = [address(&url), "id", "", "false", "true"];
    let job = Job::new("grows", &std::array::from_fn::<_, 5, _>(|at| (names[at], values[at])));
    let etl = job.start(&[]);
    let rows = || psql(&url, "select count(*) from t").trim().to_owned();
    until(|| rows() == "3");
    psql(&url, "insert into s values (3000000004)");
    until(|| rows() == "4");
    // The round is over, and the record of the one before is gone: the next one is far.
    let rounds = |kind| program::records(job.folder.path(), kind);
    until(|| (rounds("started"), rounds("finished")) == (1, 1));
    let ended = interrupted(etl);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!((metric(&ended, "numWrite"), metric(&ended, "endLocation")), ("4".to_owned(), "3000000004".to_owned()));
    assert_eq!(
        psql(&url, "select count(*), count(distinct id) from t; select count(*) from prepared").trim(),
        "4|4\n1"
    );
    // Rounds leave one record, which says where they ended.
    assert_eq!(program::records(job.folder.path(), "finished"), 1);
    assert_eq!(metric(&grows(&url, "id", ["", "false"]).done(), "numWrite"), "0");
}

/// The restore column has one value in all rows: FlinkX asks for what is above the last one that it saw.
#[test]
fn a_killed_run_is_gone_on_with_where_it_is_said() {
    let url = postgres();
    psql(
        &url,
        "create table s (id int primary key, note text); create table t (id int, note text);
        insert into s select g, repeat('o', 200) from generate_series(1, 160000) g; analyze s",
    );
    let job = Job::new("restores", &[("postgres", address(&url))]);
    killed_at(job.folder.path(), &job.words(&[]), ("wrote", 2));
    let rows = || psql(&url, "select count(*), count(distinct id), sum(id) from t").trim().to_owned();
    let state = job.path("state/etl");
    let wrong = |place: &str| {
        let ended = job.run(&["-s", place]);
        assert_eq!(ended.code, 1, "{place}: {}", ended.stderr);
        assert_eq!(rows(), "0|0|", "{place}");
        ended.stderr
    };
    assert!(wrong("nowhere").contains("there is no record of runs in nowhere"));
    assert!(wrong(&format!("{}/chk-*", job.path("").display())).contains("there is no record of runs in"));
    fs::create_dir(job.path("chk-1")).unwrap();
    fs::write(job.path("chk-1/_metadata"), "").unwrap();
    assert!(wrong("chk-1").contains("is a checkpoint of Flink"));
    let ended = job.run(&["-s", &format!("{}/chk-*", state.display())]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("going on with run"), "{}", ended.stderr);
    assert!(ended.stderr.contains(" splits were there from before"), "{}", ended.stderr);
    assert_eq!(rows(), "160000|160000|12800080000");
    // There is none any more.
    let over = job.run(&["-s", "chk-*"]);
    assert_eq!(over.code, 1);
    assert!(over.stderr.contains("no run of this job was interrupted"), "{}", over.stderr);
    assert_eq!(rows(), "160000|160000|12800080000");
}

/// Ctrl-C is how a job of Flink is cancelled, and a row in the way how it fails.
#[test]
fn a_run_that_was_stopped_or_failed_is_gone_on_with() {
    let url = postgres();
    psql(
        &url,
        "create table s (id int primary key, note text); create table t (id int primary key, note text);
        insert into s select g, repeat('o', 200) from generate_series(1, 160000) g; analyze s",
    );
    let job = Job::new("restores", &[("postgres", address(&url))]);
    let etl = job.start(&[]);
    until(|| program::records(job.folder.path(), "wrote") >= 2);
    let stopped = interrupted(etl);
    assert_eq!(stopped.code, 143, "{}", stopped.stderr);
    assert!(stopped.stderr.contains("what was staged stays, and the run can be gone on with"), "{}", stopped.stderr);
    psql(&url, "insert into t values (160000, 'in the way')");
    let failed = job.run(&["-s", "chk-*"]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    for text in ["going on with run", "what was staged stays, and the run can be gone on with"] {
        assert!(failed.stderr.contains(text), "{text}: {}", failed.stderr);
    }
    let rows = || psql(&url, "select count(*), sum(id) from t").trim().to_owned();
    assert_eq!(rows(), "1|160000");
    psql(&url, "delete from t");
    // Another number of channels does no harm.
    let text = fs::read_to_string(job.path("job.json")).unwrap();
    assert!(text.contains("\"channel\": 2"));
    fs::write(job.path("job.json"), text.replace("\"channel\": 2", "\"channel\": 3")).unwrap();
    let ended = job.run(&["-s", "chk-*"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains(" splits were there from before"), "{}", ended.stderr);
    assert_eq!(rows(), "160000|12800080000");
    assert_eq!(program::records(job.folder.path(), "started"), 1, "it was one run");
}

/// What failed before it wrote has left nothing: the path is right all the same.
#[test]
fn a_run_that_left_nothing_is_begun_again() {
    let url = postgres();
    psql(
        &url,
        "create table s (id int primary key, note text); insert into s values (1, 'a'); create table t (id int)",
    );
    let job = Job::new("restores", &[("postgres", address(&url))]);
    let failed = job.run(&[]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    psql(&url, "alter table t add note text");
    let ended = job.run(&["-s", "chk-*"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("the last run of this job failed and left nothing"), "{}", ended.stderr);
    assert_eq!(psql(&url, "select * from t").trim(), "1|a");
}

#[test]
fn rounds_go_on_where_the_last_one_ended() {
    let url = postgres();
    // Asked for its cursor alone it is fast, and for a whole row as slow as the table says.
    psql(
        &url,
        "create table kept (id bigint, at timestamp(6)); create table slow (n int); insert into slow values (0);
        create function napped(bigint) returns boolean immutable language plpgsql as
            'begin perform pg_sleep((select n from slow)); return true; end';
        create view s as select id, case when napped(id) then at end as at from kept;
        create table t (id bigint, at timestamp(6)); create table prepared (n int);
        insert into kept select g, now() from generate_series(1, 3) g",
    );
    let names = ["postgres", "column", "start", "max", "polling"];
    let values = [address(&url), "id", "", "false", "true"];
    let job = Job::new("grows", &std::array::from_fn::<_, 5, _>(|at| (names[at], values[at])));
    let rows = || psql(&url, "select count(*), count(distinct id), count(at) from t").trim().to_owned();
    let mut etl = job.start(&[]);
    until(|| rows() == "3|3|3");
    psql(&url, "update slow set n = 10; insert into kept values (4, now())");
    let sleeping =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    until(|| psql(&url, sleeping).trim() == "1");
    etl.kill().unwrap();
    etl.wait().unwrap();
    psql(&url, "update slow set n = 0");
    let goes_on = |expected: &str, told: &str| {
        let etl = job.start(&["-s", "chk-*"]);
        until(|| rows() == expected);
        // The round is over, and the next one far.
        let rounds = |kind| program::records(job.folder.path(), kind);
        until(|| rounds("started") == rounds("finished"));
        let ended = interrupted(etl);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stderr.contains(told), "{told}: {}", ended.stderr);
    };
    goes_on("4|4|4", "going on with run");
    psql(&url, "insert into kept values (5, now())");
    goes_on("5|5|5", "the last round of this job has ended");
    assert_eq!(psql(&url, "select count(*) from prepared").trim(), "1");
}

#[test]
fn a_query_that_is_not_answered_in_time_ends_the_job() {
    let url = postgres();
    psql(&url, "create table s (id int, note text); create table t (id int, note text); insert into s values (1, 'a')");
    let job = Job::new("restores", &[("postgres", address(&url))]);
    let definitions = format!("-D{}", job.variables.replace(", ", " -D"));
    let run = |seconds: u32| {
        let patience = format!("job.content.0.reader.parameter.queryTimeOut={seconds}");
        let sets = [
            "job.setting={\"restart\": {\"strategy\": \"NoRestart\"}}",
            "job.content.0.reader.parameter.customSql=select id, note from s, pg_sleep(3)",
            &patience,
        ];
        let words = ["run", "job.json", "--compat", "flinkx", "-p", &definitions];
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
        end(start(job.folder.path(), &[&words[..], &sets[..]].concat()))
    };
    let failed = run(1);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("the source gave no row within 1 s"), "{}", failed.stderr);
    assert_eq!(psql(&url, "select count(*) from t").trim(), "0");
    assert_eq!(run(60).code, 0);
    assert_eq!(psql(&url, "select * from t").trim(), "1|a");
}

#[test]
fn the_folder_of_states_is_the_one_of_the_settings() {
    let job = Job::new("stream", &[]);
    let folder = job.path("states");
    let settings = format!("%7B%22flink.checkpoint.stateBackend%22%3A+%22file%3A%2F%2F{}%22%7D", folder.display());
    let settings = settings.replace('/', "%2F");
    let ended = job.run(&["-confProp", &settings]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(program::records_of(&folder.join("state.db"), "finished"), 1);
    assert_eq!(program::records(job.folder.path(), "finished"), 0);
}

#[test]
fn a_select_runs_between_reader_and_writer() {
    let url = postgres();
    psql(&url, "create table t (id bigint, twice bigint)");
    let ended = Job::new("select", &[("postgres", address(&url))]).done();
    assert_eq!(psql(&url, "select * from t order by id").trim_end(), "3|6\n4|8\n5|10");
    assert_eq!(metric(&ended, "numWrite"), "3");
}

#[test]
fn the_whole_setting_is_kept() {
    let url = postgres();
    psql(
        &url,
        "create table s (id bigint, day text, v text);
        insert into s values (1, '2024/02/03', null), (2, null, 'b'), (3, 'soon', 'c'), (4, '2024/02/04', 'd')",
    );
    let job = Job::new("setting", &[("postgres", address(&url))]);
    let failed = job.run(&[]);
    // One of three is more than ten of a hundred.
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(!job.path("out").exists() || written(&job.path("out")).is_empty());
    psql(&url, "update s set day = '2024/02/05' where id = 3");
    let ended = job.done();
    let mut lines: Vec<String> = written(&job.path("out")).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["1|2024-02-03 00:00:00|none|7", "2||b|7", "3|2024-02-05 00:00:00|c|7"]);
    for text in ["dirty.hadoopConfig", "restart: a task that fails", "failureRate", "log.pattern", "metricPluginConf"] {
        assert!(ended.stderr.contains(text), "{text}: {}", ended.stderr);
    }
    let log = written(&job.path("log"));
    assert!(log.contains("Z note: restart: ") && log.contains("Z error: "), "{log}");
    assert!(!log.contains(" rows from "), "{log}");
}

#[test]
fn a_job_becomes_one_of_our_own() {
    let url = postgres();
    psql(&url, "create table s (id bigint, day text, v text); insert into s values (1, '2024/02/03', null)");
    let job = Job::new("setting", &[("postgres", address(&url))]);
    let definitions = job.variables.replace(", ", " -D");
    let line = format!("$ETL convert job.json -p '-D{definitions}' > own.json && $ETL run own.json");
    let ended = bash(job.folder.path(), &format!("export XDG_STATE_HOME=$PWD/state SOURCE_PASSWORD=x; {line}"));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(written(&job.path("out")), "1|2024-02-03 00:00:00|none|7\n");
}
