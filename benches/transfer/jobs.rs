//! Job files: how long a small job of DataX takes end to end, and what a job file costs against the same copy on the
//! command line. Both sides run in turns, so that what the machine does meanwhile meets both.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Bench;
use super::copies::{ETL, number, verdict};

/// Rows of a small job, and the milliseconds that one of DataX may take from the start of the program to its end.
const SMALL_ROWS: u64 = 200;
const SMALL_MILLISECONDS: f64 = 60.0;

/// How much longer the same copy may take as a job file.
const MOST: f64 = 1.05;

/// Turns of a small job.
const TURNS: u64 = 21;

/// CSV to CSV, which needs no server.
pub(super) fn files() {
    let folder = std::env::temp_dir().join(format!("etl_bench_jobs_{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let place = folder.to_str().unwrap();
    for (rows, turns) in [(SMALL_ROWS, TURNS), (number("ETL_BENCH_ROWS", 1_000_000), number("ETL_BENCH_REPEATS", 3))] {
        let source = format!("{place}/in_{rows}.csv");
        let columns = "id:seq,name:text(5..20),price:decimal(10,2),at:timestamp";
        let words = [&format!("gen:{columns}?rows={rows}"), &source, "-q", "--no-header", "--mode", "replace"];
        milliseconds(etl(place, "copy").args(words));
        let reader = format!(r#"{{"name": "txtfilereader", "parameter": {{"path": ["{source}"], "column": ["*"]}}}}"#);
        let writer = format!(
            r#"{{"name": "txtfilewriter", "parameter": {{"path": "{place}/out", "fileName": "x", "writeMode": "truncate"}}}}"#
        );
        // Into a folder, as DataX writes.
        let target = format!("{place}/copied/");
        fs::create_dir_all(&target).unwrap();
        let native = format!(
            r#"{{"source": {{"locator": "{source}", "header": false, "allStrings": true}},
                "target": {{"locator": "{target}", "format": "csv", "header": false}}, "mode": "replace"}}"#
        );
        let copy = [
            &source,
            &format!("{target}?format=csv&header=false"),
            "-q",
            "--no-header",
            "--all-strings",
            "-j",
            "1",
            "--mode",
            "replace",
        ];
        let name = format!("CSV → CSV, {rows} rows");
        Case { name, turns, copy: &copy, native, reader, writer }.compare(place);
    }
    fs::remove_dir_all(&folder).unwrap();
}

impl Bench {
    /// PostgreSQL to PostgreSQL.
    pub(super) fn jobs(&self) {
        for (rows, turns) in [(SMALL_ROWS, TURNS), (self.rows, self.repeats as u64)] {
            self.sql(&format!(
                "drop table if exists job_in, job_out;
                 create table job_in as select i::bigint id, 'name ' || i as name, (i * 1.5)::numeric(14,2) price
                 from generate_series(1, {rows}) i;
                 create table job_out (like job_in)"
            ));
            self.sql("vacuum analyze job_in");
            let rest = self.url.split_once("://").unwrap().1;
            let (login, place) = rest.split_once('@').unwrap_or(("", rest));
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let login = format!(r#""username": "{user}", "password": "{password}", "column": ["id", "name", "price"]"#);
            let jdbc = format!("jdbc:postgresql://{place}");
            let reader = format!(
                r#"{{"name": "postgresqlreader", "parameter": {{{login},
                    "connection": [{{"jdbcUrl": ["{jdbc}"], "table": ["job_in"]}}]}}}}"#
            );
            let writer = format!(
                r#"{{"name": "postgresqlwriter", "parameter": {{{login}, "preSql": ["truncate table job_out"],
                    "connection": [{{"jdbcUrl": "{jdbc}", "table": ["job_out"]}}]}}}}"#
            );
            let (from, to) = (format!("{}#job_in", self.url), format!("{}#job_out", self.url));
            let native = format!(
                r#"{{"source": {{"locator": "{from}"}}, "target": {{"locator": "{to}"}}, "mode": "append",
                    "preSql": ["truncate table job_out"]}}"#
            );
            let copy = [&from, &to, "-q", "-j", "1", "--mode", "append", "--pre-sql", "truncate table job_out"];
            let name = format!("PG → PG, {rows} rows");
            Case { name, turns, copy: &copy, native, reader, writer }.compare(&self.folder);
        }
    }
}

/// One transfer in three forms.
struct Case<'a> {
    name: String,
    turns: u64,
    /// Words of `etl copy`.
    copy: &'a [&'a str],
    /// A transfer of a file of ours.
    native: String,
    /// Reader and writer of a job of DataX.
    reader: String,
    writer: String,
}

impl Case<'_> {
    /// The two job files against the copy.
    fn compare(&self, folder: &str) {
        let Self { name, turns, copy, native, reader, writer } = self;
        let files = [format!("{folder}/native.json"), format!("{folder}/datax.json")];
        fs::write(&files[0], format!("{{\"transfers\": [{native}], \"settings\": {{\"limits\": {{\"jobs\": 1}}}}}}"))
            .unwrap();
        let content = format!(r#"[{{"reader": {reader}, "writer": {writer}}}]"#);
        fs::write(
            &files[1],
            format!(r#"{{"job": {{"setting": {{"speed": {{"channel": 1}}}}, "content": {content}}}}}"#),
        )
        .unwrap();
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..(*turns).max(1) {
            times[0].push(milliseconds(etl(folder, "copy").args(*copy)));
            times[1].push(milliseconds(etl(folder, "run").args([&files[0], "-q"])));
            times[2].push(milliseconds(etl(folder, "datax").arg(&files[1])));
        }
        let [alone, native, foreign] = times.map(median);
        println!("{name}: etl copy {alone:.1} ms");
        for (file, time) in [("job file of ours", native), ("job file of DataX", foreign)] {
            let ratio = time / alone;
            println!("{name}: {file} {time:.1} ms, {ratio:.3} of that{}", verdict(ratio, Some(MOST)));
        }
        if *turns == TURNS {
            let verdict = if foreign <= SMALL_MILLISECONDS { "reached" } else { "MISSED" };
            println!("{name}: DataX end to end {foreign:.1} ms, ≤ {SMALL_MILLISECONDS} {verdict}");
        }
    }
}

/// `etl` with its records in `folder`, and without a word.
fn etl(folder: &str, command: &str) -> Command {
    let mut etl = Command::new(ETL);
    etl.arg(command).env("XDG_STATE_HOME", folder).stdout(Stdio::null()).stderr(Stdio::null());
    etl
}

/// The time that `command` takes, which has to succeed.
fn milliseconds(command: &mut Command) -> f64 {
    let start = Instant::now();
    let status = command.status().unwrap();
    let time = start.elapsed().as_secs_f64() * 1000.0;
    assert!(status.success(), "{command:?} failed");
    time
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
