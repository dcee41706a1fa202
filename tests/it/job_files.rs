//! Job files through the real program: our own in each syntax, from each place, and what a mistake in one does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value as Json;

use crate::program::{self, Ended, bash, command};
use crate::server::sqlite3;

const CSV: &str = "id,name\n1,ada\n2,bob\n3,eve\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("people.csv"), CSV).unwrap();
    folder
}

fn written(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn text(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// Runs a job file, with a state log of its own in the folder.
fn run(folder: &Path, words: &[&str]) -> Ended {
    let mut command = command(folder, &[&["run"], words].concat());
    program::run(command.env("XDG_STATE_HOME", folder.join("state")).env("DAY", "monday"))
}

const JOB: &str = r#"{
  // Two transfers, the second from what the first one made.
  "connections": {"shop": {"connector": "sqlite", "url": "sqlite:shop.db"}},
  "transfers": [
    {"source": {"locator": "people.csv"}, "target": {"connection": "shop", "table": "people"}, "mode": "replace"},
    {"source": {"connection": "shop", "query": "select id, name from people where id < 3 order by id"},
     "target": {"connector": "file", "url": "${DAY}-${kind}.csv"}, "transform": {"rename": [["name", "who"]]}},
  ],
  "settings": {"limits": {"jobs": 1}},
}"#;

#[test]
fn transfers_run_in_order() {
    let folder = folder();
    written(folder.path(), "job.json", JOB);
    let ended = run(folder.path(), &["job.json", "-p", "-Dkind=short"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
    assert_eq!(text(folder.path(), "monday-short.csv"), "id,who\n1,ada\n2,bob\n");
    assert_eq!(sqlite3(&folder.path().join("shop.db"), "select count(*) from people"), "3");
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.starts_with("2 transfers: 5 rows in "), "{}", ended.stderr);
    let again = run(folder.path(), &["job.json", "-p", "-Dkind=json", "--output", "json"]);
    let json: Json = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((json["rows"].as_u64(), json["transfers"][1]["rows"].as_u64()), (Some(5), Some(2)), "{json}");
}

#[test]
fn several_sources_and_targets_and_a_log() {
    let folder = folder();
    written(folder.path(), "more.csv", "id,name\n4,kim\n");
    let job = "transfers:\n  - sources: [{locator: people.csv}, {locator: more.csv}]\n    \
               targets: [{locator: a.csv}, {locator: b.jsonl}]\nsettings:\n  log: {path: run.log, level: note}\n  limits: {jobs: 1}\n";
    written(folder.path(), "job.yaml", job);
    let dry = run(folder.path(), &["job.yaml", "--dry-run"]);
    assert!(dry.stdout.contains("run.log") && !folder.path().join("run.log").exists(), "{}{}", dry.stdout, dry.stderr);
    let ended = run(folder.path(), &["job.yaml", "--set", "transfers.0.moed=append"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(text(folder.path(), "a.csv"), format!("{CSV}4,kim\n"));
    assert_eq!(text(folder.path(), "b.jsonl").lines().count(), 4);
    let log = text(folder.path(), "run.log");
    assert!(log.contains("note: the key transfers.0.moed means nothing here; perhaps 'mode' is meant\n"), "{log}");
}

/// What a file in another program's form does not give back is no exact copy, and the plan says so.
#[test]
fn a_plan_into_loose_text_says_what_is_lost() {
    let folder = folder();
    let job = |loose: &str| {
        let target =
            format!("{{\"connector\": \"file\", \"url\": \"a.csv\", \"format\": \"csv\", \"loose\": {loose}}}");
        written(
            folder.path(),
            "job.json",
            &format!("{{\"transfers\": [{{\"source\": {{\"locator\": \"people.csv\"}}, \"target\": {target}}}]}}"),
        );
        let ended = run(folder.path(), &["job.json", "--dry-run"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout.lines().find(|line| line.trim_start().starts_with("name ")).unwrap().to_owned()
    };
    let plain = job("{}");
    assert!(plain.contains(" lossy ") && plain.contains("delimiters and line ends in a text"), "{plain}");
    let quoted = job("{\"quoting\": \"always\", \"trim\": false}");
    assert!(quoted.contains(" exact") && !quoted.contains("lossy"), "{quoted}");
}

/// What a job names for it stands between the rows that are there and those that are added, and nothing else.
#[test]
fn rows_are_added_behind_the_record_end_that_a_job_names() {
    let folder = folder();
    let target = r#"{"connector": "file", "url": "out.csv", "format": "csv", "loose": {"lineEnd": ";"}}"#;
    let transfer = format!(r#"{{"source": {{"locator": "people.csv"}}, "target": {target}, "mode": "append"}}"#);
    written(folder.path(), "job.json", &format!("{{\"transfers\": [{transfer}]}}"));
    for there in ["7,zoe;", "7,zoe"] {
        written(folder.path(), "out.csv", there);
        let ended = run(folder.path(), &["-q", "job.json"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{there}");
        assert_eq!(text(folder.path(), "out.csv"), "7,zoe;1,ada;2,bob;3,eve;", "{there}");
    }
}

#[test]
fn yaml_and_toml_say_the_same() {
    let folder = folder();
    let yaml = "transfers:\n  - source: {locator: people.csv}\n    target: {locator: yaml.csv}\n    transform:\n      limit: 2\n";
    let toml =
        "[[transfers]]\nsource = {locator = 'people.csv'}\ntarget = {locator = 'toml.csv'}\ntransform.limit = 2\n";
    for (name, job) in [("yaml", yaml), ("toml", toml)] {
        written(folder.path(), &format!("job.{name}"), job);
        let ended = run(folder.path(), &["-q", &format!("job.{name}")]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{name}");
        assert_eq!(text(folder.path(), &format!("{name}.csv")), "id,name\n1,ada\n2,bob\n", "{name}");
    }
}

#[test]
fn a_file_may_come_through_a_pipe_or_from_a_server() {
    let folder = folder();
    let job = |target: &str| {
        format!(
            "{{\"transfers\": [{{\"source\": {{\"locator\": \"people.csv\"}}, \"target\": {{\"locator\": \"{target}\"}}}}]}}"
        )
    };
    let ended = bash(folder.path(), &format!("echo '{}' | \"$ETL\" run -q -", job("piped.csv")));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(text(folder.path(), "piped.csv"), CSV);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let body = job("fetched.csv");
    let server = std::thread::spawn(move || {
        for (status, body) in [("200 OK", body.as_str()), ("404 Not Found", "")] {
            let (mut stream, _) = listener.accept().unwrap();
            let head = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
            assert!(head[0].starts_with("GET /jobs/a.json?v=1 HTTP/1.1"), "{head:?}");
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
                .unwrap();
        }
    });
    let url = format!("http://{place}/jobs/a.json?v=1");
    let ended = run(folder.path(), &["-q", &url]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(text(folder.path(), "fetched.csv"), CSV);
    let ended = run(folder.path(), &["-q", &url]);
    assert!(ended.code != 0 && ended.stderr.contains("the server answered 404 Not Found"), "{}", ended.stderr);
    server.join().unwrap();
}

#[test]
fn an_example_of_a_job_can_be_run() {
    let folder = folder();
    for (reader, writer, rows) in [("stream", "stream", 0), ("streamreader", "streamwriter", 2000)] {
        let example = program::etl(folder.path(), &["template", reader, writer]);
        assert_eq!((example.code, example.stderr.as_str()), (0, ""));
        written(folder.path(), "job.json", &example.stdout);
        let ended = run(folder.path(), &["job.json", "--strict"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        // DataX makes as many rows as are asked for in each of the two channels.
        let printed = ended.stdout.lines().filter(|line| line.split('\t').nth(1) == Some("anything")).count();
        assert_eq!(printed, rows);
    }
    let unknown = program::etl(folder.path(), &["template", "nosuch", "file"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("connectors: ") && unknown.stderr.contains("streamwriter"), "{}", unknown.stderr);
}

#[test]
fn a_failure_ends_the_file_and_says_what_is_left() {
    let folder = folder();
    let job = "transfers:\n  - {source: {locator: people.csv}, target: {locator: a.csv}}\n  \
               - {source: {locator: none.csv}, target: {locator: b.csv}}\n  \
               - {source: {locator: people.csv}, target: {locator: c.csv}}\n";
    written(folder.path(), "job.yaml", job);
    let ended = run(folder.path(), &["job.yaml"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("note: 1 transfer done, 1 transfer not run"), "{}", ended.stderr);
    assert!(ended.stderr.contains("error: transfer 2 of 3: "), "{}", ended.stderr);
    let there = ["a.csv", "b.csv", "c.csv"].map(|name| folder.path().join(name).exists());
    assert_eq!(there, [true, false, false]);
}

#[test]
fn a_mistake_is_named_before_anything_is_written() {
    let folder = folder();
    let one = |more: &str| {
        format!(
            "{{\"transfers\": [{{\"source\": {{\"locator\": \"people.csv\"}},\n\"target\": {{\"locator\": \"a.csv\"}}{more}}}]}}"
        )
    };
    let table = [
        ("{\"transfers\": [".to_owned(), vec![], "line 1, column 16): the text ends where a value should be"),
        ("{}".to_owned(), vec![], "key the whole file (line 1, column 1): the key 'transfers' is missing"),
        (one(", \"mode\": 5"), vec![], "key transfers.0.mode (line 2, column 41)"),
        (one(", \"transform\": {\"filter\": \"${NOPE}\"}"), vec![], "the variable NOPE is not set"),
        (
            one(", \"mdoe\": \"append\""),
            vec!["--strict"],
            "1 key without a meaning: transfers.0.mdoe (line 2, column 41)",
        ),
        (
            one(""),
            vec!["--set", "transfers.0.mode.x.y=1", "--set", "transfers.0.mode.x.y.z=1"],
            "this value has no members, and so no 'z'",
        ),
        (one(""), vec!["--compat", "datax", "--set", "transfers"], ""),
    ];
    for (job, flags, message) in table {
        written(folder.path(), "job.json", &job);
        let ended = run(folder.path(), &[&["job.json"], &flags[..]].concat());
        let code = if flags.contains(&"datax") { 1 } else { 2 };
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{job}: {}", ended.stderr);
        assert!(ended.stderr.contains(message), "{job}: {}", ended.stderr);
        assert!(!folder.path().join("a.csv").exists(), "{job}");
    }
    // An option that no file has, in the second of two transfers.
    let two = "transfers:\n  - {source: {locator: people.csv}, target: {locator: a.csv}}\n  \
               - {source: {connector: file, url: people.csv, encodng: gbk}, target: {locator: b.csv}}\n";
    written(folder.path(), "job.yaml", two);
    let ended = run(folder.path(), &["job.yaml"]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    for said in ["error: job file job.yaml: key transfers.1.source.encodng (line 3, ", "file has no option \"encodng\""]
    {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    assert!(!folder.path().join("a.csv").exists());
    written(folder.path(), "job.json", &one(", \"mdoe\": \"append\""));
    let ended = run(folder.path(), &["job.json"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("note: the key transfers.0.mdoe (line 2, column 41) means nothing here"),
        "{}",
        ended.stderr
    );
    let missing = run(folder.path(), &["none.json"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("job file none.json: it does not exist"), "{}", missing.stderr);
}

/// What `copy` does and what a run of the file does that it emits is the same.
#[test]
fn a_copy_is_emitted_and_run() {
    let folder = folder();
    let words = ["people.csv", "out.csv", "--where", "name <> '${x}' and id > 1", "--set", "n=id * 2", "--null", "-"];
    program::copied(folder.path(), &words);
    let wanted = text(folder.path(), "out.csv");
    std::fs::remove_file(folder.path().join("out.csv")).unwrap();
    let emitted = program::etl(folder.path(), &[&["copy", "--emit-job"], &words[..]].concat());
    assert_eq!((emitted.code, emitted.stderr.as_str()), (0, ""));
    assert!(!folder.path().join("out.csv").exists());
    written(folder.path(), "job.json", &emitted.stdout);
    let ended = run(folder.path(), &["-q", "--strict", "job.json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(text(folder.path(), "out.csv"), wanted);
    // A job of ours converts to itself.
    let converted = program::etl(folder.path(), &["convert", "job.json"]);
    assert_eq!((converted.code, converted.stdout), (0, emitted.stdout));
    let secret = program::etl(folder.path(), &["copy", "--emit-job", "postgres://ada:s3cret@db/shop#t", "a.csv"]);
    assert_eq!((secret.code, secret.stdout.as_str()), (2, ""));
    assert!(!secret.stderr.contains("s3cret"), "{}", secret.stderr);
}

#[test]
fn a_dry_run_shows_a_plan_of_each_transfer() {
    let folder = folder();
    let job = "transfers:\n  - {source: {locator: people.csv}, target: {locator: a.csv}}\n  \
               - {source: {locator: people.csv}, target: {locator: b.csv}}\n";
    written(folder.path(), "job.yaml", job);
    let ended = run(folder.path(), &["job.yaml", "--dry-run", "--output", "json"]);
    let json: Json = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["plans"].as_array().map(Vec::len), Some(2), "{json}");
    assert!(!folder.path().join("a.csv").exists() && !folder.path().join("b.csv").exists());
    written(folder.path(), "b.csv", CSV);
    let ended = run(folder.path(), &["job.yaml", "--dry-run"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("transfer 2 of 2: file b.csv: the file exists already"), "{}", ended.stderr);
}

/// Exit codes of datax.py: 1 for a job that fails, 255 for words that are wrong (datax.md §1.4).
#[test]
fn the_flags_of_datax_are_taken() {
    let folder = folder();
    let datax = |words: &[&str]| program::etl(folder.path(), &[&["datax"], words].concat());
    let missing = datax(&["-j", "-Xms1g -Xmx1g", "-m", "standalone", "--jobid", "7", "none.json"]);
    assert_eq!(missing.code, 1, "{}", missing.stderr);
    for flag in ["--jvm", "--mode", "--jobid"] {
        assert!(missing.stderr.contains(&format!("note: {flag} of DataX does nothing here")), "{}", missing.stderr);
    }
    // Both names together ask for an example, one of them for nothing.
    let example = datax(&["-r", "mysqlreader", "--writer", "txtfilewriter"]);
    let words = ["template", "mysqlreader", "txtfilewriter", "--compat", "datax"];
    assert_eq!((example.code, &example.stdout), (0, &program::etl(folder.path(), &words).stdout));
    assert!(example.stdout.contains("\"mysqlreader\""), "{}", example.stdout);
    assert_eq!(datax(&["-r", "mysqlreader"]).code, 255);
    assert_eq!(datax(&[]).code, 255);
    assert_eq!(datax(&["a.json", "b.json"]).code, 255);
    assert_eq!(datax(&["--help"]).code, 0);
}

/// The job files that README and handbook show are understood, with each of their keys.
#[test]
fn job_files_of_the_handbook_are_understood() {
    let folder = folder();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(here.join("src/docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.chain([here.join("README.md")]).filter(|page| page.extension().is_some_and(|end| end == "md"));
    let mut understood = 0;
    for page in pages {
        let shown = std::fs::read_to_string(&page).unwrap();
        for syntax in ["json", "yaml", "toml"] {
            let opened = format!("```{syntax}\n");
            let blocks = shown.split(opened.as_str()).skip(1).filter_map(|rest| rest.split("```").next());
            for block in blocks.filter(|block| block.contains("transfers")) {
                let name = format!("job.{syntax}");
                written(folder.path(), &name, block);
                let mut converting = command(folder.path(), &["convert", &name, "--strict"]);
                let ended = program::run(converting.env("PW", "secret"));
                assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}: {block}", page.display());
                understood += 1;
            }
        }
    }
    assert!(understood >= 2, "{understood}");
}
