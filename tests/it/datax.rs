//! Jobs of DataX with what DataX did: outputs, counts and exit codes of each, but for a list of jobs that differ on purpose, for
//! which it is written down what they do in its place.

mod columns;
mod limits;
mod reading;
mod traps;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{Ended, command, run};
use crate::server::{mariadb, mariadb_client, postgres, psql};

/// What is known to come of one job.
struct Known {
    job: String,
    needs: String,
    exit_code: i32,
    /// Rows read and dirty; of functions what went well, failed and was dropped. Empty where nothing was said.
    counts: [String; 5],
    /// The folder of what it writes.
    outputs: PathBuf,
}

/// The figures of the summary, in the order of [`Known::counts`].
const LABELS: [&str; 5] =
    ["读出记录总数", "读写失败总数", "Transformer成功记录总数", "Transformer失败记录总数", "Transformer过滤记录总数"];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jobs/datax")
}

/// What DataX did with each job.
fn theirs() -> Vec<Known> {
    known("RESULTS.tsv", "expected")
}

/// What is done here with those that differ on purpose.
fn ours() -> Vec<Known> {
    known("ours/RESULTS.tsv", "ours")
}

fn known(results: &str, outputs: &str) -> Vec<Known> {
    let text = fs::read_to_string(golden().join(results)).unwrap();
    let of = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        Known {
            job: cells[0].to_owned(),
            needs: cells[1].to_owned(),
            exit_code: cells[2].parse().unwrap(),
            counts: std::array::from_fn(|at| cells[3 + at].to_owned()),
            outputs: golden().join(outputs),
        }
    };
    text.lines().skip(1).map(of).collect()
}

/// The jobs that differ on purpose, with the reasons.
fn exceptions() -> BTreeMap<String, String> {
    let text = fs::read_to_string(golden().join("exceptions.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').map(|(job, why)| (job.to_owned(), why.to_owned())).unwrap()).collect()
}

/// Runs `job` in `folder`, of which the text is changed by `place`, as DataX is run.
fn ran(folder: &Path, job: &str, place: impl Fn(String) -> String) -> Ended {
    fs::create_dir_all(folder.join("in")).unwrap();
    fs::create_dir(folder.join("out")).unwrap();
    for file in fs::read_dir(golden().join("in")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.join("in").join(file.file_name())).unwrap();
    }
    let text = place(fs::read_to_string(golden().join(format!("jobs/{job}.json"))).unwrap());
    fs::write(folder.join("job.json"), text).unwrap();
    let root = format!("-Droot={}", folder.display());
    let mut etl = command(folder, &["run", "job.json", "--compat", "datax", "-p", &root]);
    run(etl.env("XDG_STATE_HOME", folder.join("state")))
}

/// The figure behind `label`; none where the summary has no such line.
fn figure(ended: &Ended, label: &str) -> Option<String> {
    let lines = ended.stdout.lines().chain(ended.stderr.lines());
    let mut figures =
        lines.filter_map(|line| line.trim().strip_prefix(label)?.split_once(':').map(|(_, text)| text.trim()));
    figures.next().map(str::to_owned)
}

/// What the files of `job` hold, one after the other.
fn written(folder: &Path, job: &str) -> String {
    let files = fs::read_dir(folder.join("out")).unwrap().map(|file| file.unwrap().path());
    let own = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{job}__"));
    let mut files: Vec<PathBuf> = files.filter(own).collect();
    files.sort();
    files.iter().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// In what a run differs from what is known; empty where it does not. A job that fails has an exit code, and no summary.
fn difference(folder: &Path, known: &Known, ended: &Ended) -> String {
    if ended.code != known.exit_code {
        return format!("exit code {} and not {}: {}", ended.code, known.exit_code, ended.stderr);
    }
    if known.exit_code != 0 {
        return figure(ended, LABELS[0]).map_or_else(String::new, |rows| format!("a summary of {rows} rows"));
    }
    for (label, count) in LABELS.iter().zip(&known.counts).filter(|(_, count)| !count.is_empty()) {
        let found = figure(ended, label);
        // The lines of functions are there only where one of them is not 0.
        if found.as_deref().unwrap_or("0") != count {
            return format!("{label} {found:?} and not {count}");
        }
    }
    let expected = known.outputs.join(&known.job);
    let found = written(folder, &known.job);
    let is_known = ["out", "sorted.out"].iter().any(|kind| expected.with_extension(kind).exists());
    if !is_known && !found.is_empty() {
        return format!("wrote {found:?}, and DataX nothing");
    }
    if let Ok(text) = fs::read(expected.with_extension("out")) {
        let text = String::from_utf8_lossy(&text).into_owned();
        if text != found {
            return format!("wrote {found:?} and not {text:?}");
        }
    }
    match fs::read_to_string(expected.with_extension("sorted.out")) {
        Ok(text) if sorted(&text) != sorted(&found) => {
            format!("wrote {} other lines: {found:.200}", found.lines().count())
        }
        _ => String::new(),
    }
}

/// Runs all jobs of `needs`, of which `differs` runs one: they do what DataX did, but for those that are listed.
fn compare(needs: &str, differs: impl Fn(&Known) -> String) {
    let mut own: BTreeMap<String, Known> = ours().into_iter().map(|known| (known.job.clone(), known)).collect();
    let wanted = theirs().into_iter().filter(|known| known.needs == needs);
    let wanted: Vec<Known> = wanted.map(|known| own.remove(&known.job).unwrap_or(known)).collect();
    let found = wanted.iter().map(|known| (&known.job, differs(known))).filter(|(_, why)| !why.is_empty());
    let found: Vec<String> = found.map(|(job, why)| format!("{job}: {why}")).collect();
    assert!(found.is_empty(), "differ:\n{}", found.join("\n"));
}

#[test]
fn jobs_that_differ_are_few_and_each_has_a_reason() {
    let exceptions = exceptions();
    assert!(exceptions.len() <= 20, "{} exceptions", exceptions.len());
    let own: BTreeMap<String, Known> = ours().into_iter().map(|known| (known.job.clone(), known)).collect();
    assert!(own.keys().eq(exceptions.keys()), "{:?} and {:?}", own.keys(), exceptions.keys());
    let theirs = theirs();
    let counted =
        ["none", "MariaDB/MySQL", "PostgreSQL"].map(|needs| theirs.iter().filter(|known| known.needs == needs).count());
    assert_eq!(counted, [48, 17, 14]);
    for (job, own) in &own {
        let theirs = theirs.iter().find(|known| known.job == *job).unwrap();
        let output = |known: &Known, kind: &str| fs::read(known.outputs.join(job).with_extension(kind)).ok();
        let is_other = |kind: &str| output(own, kind).is_some_and(|text| Some(text) != output(theirs, kind));
        let differs = ["out", "sorted.out", "target.tsv"].into_iter().any(is_other);
        assert!(differs || (own.exit_code, &own.counts) != (theirs.exit_code, &theirs.counts), "{job}");
    }
}

#[test]
fn jobs_of_files_do_what_datax_did() {
    compare("none", |known| {
        let folder = tempfile::tempdir().unwrap();
        let ended = ran(folder.path(), &known.job, |text| text);
        difference(folder.path(), known, &ended)
    });
}

/// As in the golden job csv1, of which each line keeps its length.
#[test]
fn lines_of_several_files_differ_in_length() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("a.txt"), "1,2\n").unwrap();
    fs::write(folder.path().join("b.txt"), "3,4,5\n").unwrap();
    let job = r#"{"job": {"setting": {"speed": {"channel": 1}}, "content": [{
        "reader": {"name": "txtfilereader", "parameter": {"path": ["${root}/a.txt", "${root}/b.txt"], "column": ["*"]}},
        "writer": {"name": "txtfilewriter", "parameter": {"path": "${root}/out", "fileName": "both", "writeMode": "append"}}}]}}"#;
    fs::write(folder.path().join("job.json"), job).unwrap();
    let root = format!("-Droot={}", folder.path().display());
    let mut etl = command(folder.path(), &["run", "job.json", "-p", &root]);
    let ended = run(etl.env("XDG_STATE_HOME", folder.path().join("state")));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(sorted(&written(folder.path(), "both")), ["1,2", "3,4,5"]);
    assert_eq!(figure(&ended, LABELS[0]).as_deref(), Some("2"));
}

/// 60 rows at 20 a second, with a line every 300 ms, and the one at the end.
#[test]
fn lines_of_progress_are_printed_while_a_job_runs() {
    let folder = tempfile::tempdir().unwrap();
    let job = r#"{"core": {"container": {"job": {"reportInterval": 300}}}, "job": {"setting": {"speed": {"record": 20}}, "content": [{
        "reader": {"name": "streamreader", "parameter": {"sliceRecordCount": 60, "column": [{"value": "x", "type": "string"}]}},
        "writer": {"name": "streamwriter", "parameter": {"print": ${print}}}}]}}"#;
    fs::write(folder.path().join("job.json"), job).unwrap();
    let ran = |print: &str, more: &[&str]| {
        let words = ["run", "job.json", "--progress", "none", "-p", print];
        let mut etl = command(folder.path(), &[&words[..], more].concat());
        let ended = run(etl.env("XDG_STATE_HOME", folder.path().join("state")));
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended
    };
    let lines = |text: &str| -> Vec<String> {
        let of_job = |line: &&str| line.contains(" [job-0] INFO  StandAloneJobContainerCommunicator - Total ");
        text.lines().filter(of_job).map(str::to_owned).collect()
    };
    let ended = ran("-Dprint=false", &[]);
    let told = lines(&ended.stdout);
    let (last, before) = told.split_last().unwrap();
    assert!(before.len() >= 2 && last.ends_with("| Percentage 100.00%"), "{}", ended.stdout);
    assert!(
        before
            .iter()
            .all(|line| line.contains(" | Speed ") && line.contains(" | Error 0 records, 0 bytes |  All Task"))
    );
    // Where the rows are on stdout, lines are on stderr; and who wants to hear nothing hears nothing.
    let ended = ran("-Dprint=true", &[]);
    assert_eq!((ended.stdout.lines().count(), lines(&ended.stdout).len()), (60, 0));
    assert!(lines(&ended.stderr).len() > 2, "{}", ended.stderr);
    let ended = ran("-Dprint=false", &["-q"]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
}

/// The table that a job writes, and its rows as a client shows them, with the header of what was seen.
fn target(known: &Known) -> Option<(&'static str, String, Vec<String>)> {
    let text = fs::read_to_string(known.outputs.join(&known.job).with_extension("target.tsv")).ok()?;
    let table = match known.job.as_str() {
        "m_m2m" | "p_p2p" => "ty2",
        "m_rep_dup" => "out1",
        "m_baddate" => "bd",
        "m_nullbit" => "nb",
        "p_wjson" => "odd",
        "p_dup" => "nuo",
        other => panic!("which table is that of {other}?"),
    };
    let mut lines = text.lines().filter(|line| !line.ends_with(" rows)"));
    let columns = lines.next().unwrap().replace('\t', ",");
    Some((table, columns, lines.map(str::to_owned).collect()))
}

#[test]
fn jobs_of_mariadb_do_what_datax_did() {
    let fixture = fs::read(golden().join("mysql_schema_data.sql")).unwrap();
    compare("MariaDB/MySQL", |known| {
        let url = mariadb();
        let (server, name) = url.rsplit_once('/').unwrap();
        let address = server.split_once('@').unwrap().1;
        let (host, port) = address.split_once(':').unwrap();
        let databases = [format!("{name}a"), format!("{name}b")];
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--binary-mode", "--default-character-set=utf8mb4", "--protocol=tcp"]);
        client.args(["--host", host, "--port", port, "--user", "root"]).stdin(Stdio::piped());
        let mut client = client.spawn().unwrap();
        let named = replaced(&replaced(&fixture, b"`d1`", &databases[0]), b"`d2`", &databases[1]);
        let mut stdin = client.stdin.take().unwrap();
        stdin.write_all(&named).unwrap();
        if known.job == "z_comma" {
            // When DataX ran it, this table had rows that the dump has not: 1005 less the 1000 of the other one.
            let rows = "values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')";
            writeln!(stdin, "insert into `{}`.out1 {rows};", databases[0]).unwrap();
        }
        drop(stdin);
        assert!(client.wait().unwrap().success());
        let folder = tempfile::tempdir().unwrap();
        let ended = ran(folder.path(), &known.job, |text| {
            let text = text.replace("127.0.0.1:33991/d1", &format!("{address}/{}", databases[0]));
            let text = text.replace("127.0.0.1:33991/d2", &format!("{address}/{}", databases[1]));
            // The clock of the server that DataX read.
            let session = "\"session\": [\"set time_zone = '+00:00'\"]";
            text.replace("\"username\": \"dxp\"", &format!("{session}, \"username\": \"root\""))
                .replace("\"pw\"", "\"\"")
        });
        let found = difference(folder.path(), known, &ended);
        let Some((table, columns, rows)) = target(known).filter(|_| found.is_empty()) else { return found };
        let database = format!("{server}/{}", databases[0]);
        // Bits are shown as numbers there, and moments in the zone of the fixture.
        let columns = columns.replace(",b1,b8,", ",b1 + 0,b8 + 0,");
        let shown =
            mariadb_client(&database, &format!("set time_zone = '+00:00'; select {columns} from {table} order by 1"));
        if shown.lines().eq(rows.iter().map(String::as_str)) { found } else { format!("the table holds {shown}") }
    });
}

#[test]
fn jobs_of_postgresql_do_what_datax_did() {
    let fixture = fs::read_to_string(golden().join("postgres_schema_data.sql")).unwrap();
    // What the newest client writes around a dump, older ones do not know.
    let lines = fixture.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    let fixture = lines.collect::<Vec<_>>().join("\n");
    compare("PostgreSQL", |known| {
        let url = postgres();
        psql(&url, &fixture);
        let address = url.split_once('@').unwrap().1.to_owned();
        let folder = tempfile::tempdir().unwrap();
        let ended = ran(folder.path(), &known.job, |text| {
            let text = text.replace("127.0.0.1:54391/postgres", &address);
            text.replace("\"username\": \"pg\"", "\"username\": \"postgres\"")
        });
        let found = difference(folder.path(), known, &ended);
        let Some((table, columns, rows)) = target(known).filter(|_| found.is_empty()) else { return found };
        let shown = psql(&url, &format!("select {columns} from {table} order by 1"));
        let rows = rows.iter().map(|row| row.replace('\t', "|"));
        if shown.lines().map(str::to_owned).eq(rows) { found } else { format!("the table holds {shown}") }
    });
}

/// `bytes` with `name` in backticks in place of `from`.
fn replaced(bytes: &[u8], from: &[u8], name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(format!("`{name}`").as_bytes());
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
