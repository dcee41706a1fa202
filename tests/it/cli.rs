//! The program as a user meets it: exit code, stdout and stderr of the real binary.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value as Json;

use crate::program::{self, Ended, bash, command, copied};
use crate::server::{duckdb, mariadb, mariadb_client, mysql, postgres, psql, sqlite3};

fn etl(words: &[&str]) -> Ended {
    program::etl(Path::new("."), words)
}

#[test]
fn help_and_version_go_to_stdout() {
    let version = etl(&["--version"]);
    assert_eq!((version.code, version.stdout.as_str()), (0, concat!("etl ", env!("CARGO_PKG_VERSION"), "\n")));
    let help = etl(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for command in [
        "copy",
        "plan",
        "run",
        "convert",
        "datax",
        "go-etl",
        "flinkx",
        "template",
        "diff",
        "snapshot",
        "jobs",
        "schema",
        "head",
        "count",
        "ping",
        "connectors",
        "completions",
    ] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command} is missing in the help");
    }
    let copy = etl(&["copy", "--help"]);
    assert!(copy.stdout.contains("[default: create]"));
    // One line a flag, or a little more: nobody reads more.
    let flags = copy.stdout.lines().filter(|line| line.trim_start().starts_with('-')).count();
    let lines = copy.stdout.lines().count();
    assert!(lines < flags * 7 / 4, "{lines} lines for {flags} flags");
    assert!(copy.stdout.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn bad_usage_is_code_2_and_names_the_mistake() {
    let table: [(&[&str], &str); 9] = [
        (&[], "Usage: etl"),
        (&["copy", "a.csv"], "<DST>"),
        (&["copy", "a.csv", "b.csv", "--upsert"], "unexpected argument '--upsert'"),
        (&["copy", "a.csv", "b.csv", "--mode", "merge"], "invalid value 'merge'"),
        (&["copy", "a.csv", "b.csv", "--memory", "lots"], "'lots' is no size: write 64MB, 1GiB or 500k"),
        (&["copy", "a.csv", "b.csv", "-j", "0"], "invalid value '0'"),
        (&["copy", "postgers://h/db#t", "b.csv"], "did you mean 'postgres:'?"),
        (&["copy", "postgres://h/db", "b.csv"], "names no table"),
        (&["connectors", "nope"], "there is no connector \"nope\""),
    ];
    for (words, message) in table {
        let ended = etl(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{words:?}");
        assert!(ended.stderr.contains(message), "{words:?}: {}", ended.stderr);
    }
}

#[test]
fn a_column_to_leave_out_that_is_not_there_is_told_with_both_options_that_do_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "a,b\n1,2\n").unwrap();
    let told = "error: option --drop, or '-' in --select: there is no column \"b\"";
    for options in [&["--select", "a,-b"][..], &["--select", "a", "--drop", "b"]] {
        let ended = program::etl(folder.path(), &[&["copy", "a.csv", "null:"], options].concat());
        assert!(ended.code == 2 && ended.stderr.contains(told), "{options:?}: {}", ended.stderr);
    }
}

#[test]
fn no_message_shows_a_password() {
    let locators = [
        "postgres://ada:s3cret@127.0.0.1:1/db#t",
        "postgres://ada:s3cret@127.0.0.1:1/db",
        "postgres://ada:s3cret@127.0.0.1:1/db?nonsense=1#t",
        "postgres:host=127.0.0.1 port=1 password=s3cret#t",
        "postgers://ada:s3cret@127.0.0.1:1/db#t",
        "postgres://ada:s3#cret@127.0.0.1:1/db#t",
        "postgres://127.0.0.1:1/db?user=ada&password=s3c@ret#t",
        "postgres://127.0.0.1:1/db?user=ada&password=s3c@ret",
        "postgres://127.0.0.1:1/db?paswort=s3cret",
        "postgres:host=127.0.0.1 port=1 password=s3#cret#t",
        r"postgres:host=127.0.0.1 port=1 password=s3\ cret",
        "postgres:/ada:s3cret@127.0.0.1:1/db",
        "postgres//ada:s3cret@127.0.0.1:1/db#t",
    ];
    for locator in locators {
        for words in
            [&["head", locator][..], &["ping", locator], &["plan", locator, "null:"], &["copy", locator, "x.csv"]]
        {
            let ended = etl(words);
            assert_ne!(ended.code, 0, "{words:?}");
            for part in ["s3cret", "s3#cret", "cret@", "s3c", "#cret", " cret"] {
                assert!(!ended.stderr.contains(part), "{words:?}: {}", ended.stderr);
            }
        }
    }
}

#[test]
fn connectors_are_listed_with_their_options() {
    let list = etl(&["connectors"]);
    assert_eq!(list.code, 0);
    for name in ["file", "postgres", "sqlite", "stream"] {
        assert!(list.stdout.lines().any(|line| line.starts_with(name)), "{}", list.stdout);
    }
    let stream = etl(&["connectors", "stream"]);
    assert_eq!(stream.stdout, include_str!("../../src/connectors/stream/README.md"));
    let json = etl(&["connectors", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["connectors"].as_array().unwrap().len(), list.stdout.lines().count() - 3);
    let json: Json = serde_json::from_str(&etl(&["connectors", "gen", "--output", "json"]).stdout).unwrap();
    let option = |place: usize| &json["options"][place];
    assert_eq!((&option(0)["name"], &option(0)["required"]), (&"url".into(), &true.into()), "{json}");
    assert_eq!((&option(4)["required"], &option(4)["range"]), (&false.into(), &"0.001 to 100000".into()), "{json}");
}

#[test]
fn completions_are_made_for_three_shells() {
    for (shell, mark) in [("bash", "complete -F _etl"), ("zsh", "#compdef etl"), ("fish", "complete -c etl")] {
        let ended = etl(&["completions", shell]);
        assert_eq!(ended.code, 0);
        assert!(ended.stdout.contains(mark), "{shell}");
    }
    assert_eq!(etl(&["completions", "elvish"]).code, 2);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = command(Path::new("."), &["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}

/// Only our stdout may lose its reader: a file whose reader goes away has not got all rows.
#[test]
fn a_pipe_that_breaks_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let line = "mkfifo out.csv; timeout 120 head -c 10 out.csv > /dev/null 2>&1 & \"$ETL\" copy -q 'gen:?rows=200000' out.csv --mode append";
    let ended = bash(folder.path(), line);
    assert_ne!(ended.code, 0, "{}", ended.stderr);
    let line = "\"$ETL\" copy 'gen:?rows=200000' - --to-format csv | head -c 10 > /dev/null; exit ${PIPESTATUS[0]}";
    let ended = bash(folder.path(), line);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

/// All kinds of places with the same three rows.
fn places(folder: &Path) -> Vec<String> {
    let url = postgres();
    psql(&url, "create table t (id bigint, v text); insert into t values (1, 'a'), (2, null), (3, 'c')");
    let source = format!("{url}#t");
    let files = ["t.csv", "t.jsonl", "t.parquet", "t.avro", "t.arrow", "t.arrows", "t.xlsx", "t.db#t"];
    for target in files {
        copied(folder, &[&source, target]);
    }
    files.map(str::to_owned).into_iter().chain([source]).collect()
}

#[test]
fn every_place_is_counted_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    for place in places(folder.path()) {
        let run = |words: &[&str]| program::etl(folder.path(), words);
        assert_eq!(run(&["count", &place]).stdout, "3\n", "{place}");
        assert_eq!(run(&["count", &place, "--output", "json"]).stdout, "{\n  \"rows\": 3\n}\n", "{place}");
        assert_eq!(run(&["head", &place, "-n", "2"]).stdout, "id  v\n1   a\n2   NULL\n", "{place}");
        let json = run(&["head", &place, "-n", "2", "--output", "json"]);
        assert_eq!(json.stdout, "{\"id\":1,\"v\":\"a\"}\n{\"id\":2,\"v\":null}\n", "{place}");
    }
}

#[test]
fn values_that_arrow_cannot_hold_are_shown_as_text() {
    let url = postgres();
    let columns = "id int, at timestamp, day date, n numeric, b bytea, f double precision";
    let rows =
        r"(1, 'infinity', '-infinity', 'NaN', '\x00ff', 'NaN'), (2, '2020-01-02', '2020-01-02', 1.50, null, 0.1)";
    psql(&url, &format!("create table odd ({columns}); insert into odd values {rows}"));
    let place = format!("{url}#odd");
    assert_eq!(etl(&["count", &place]).stdout, "2\n");
    let text = etl(&["head", &place]);
    let lines: Vec<Vec<&str>> = text.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["1", "infinity", "-infinity", "NaN", "\\x00ff", "NaN"], "{}", text.stderr);
    let json = etl(&["head", &place, "--output", "json"]);
    let first: Json = serde_json::from_str(json.stdout.lines().next().unwrap()).unwrap();
    let expected =
        serde_json::json!({"id": 1, "at": "infinity", "day": "-infinity", "n": "NaN", "b": "\\x00ff", "f": "NaN"});
    assert_eq!(first, expected);
}

#[test]
fn progress_for_programs_is_json_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let events = |ended: &Ended| -> Vec<Json> {
        ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    };
    let ended = program::etl(folder.path(), &["copy", "gen:?rows=10", "a.csv", "--progress", "json"]);
    let seen = events(&ended);
    let last = seen.last().unwrap();
    assert_eq!((ended.code, &last["event"], &last["rowsWritten"]), (0, &"finished".into(), &10.into()), "{seen:?}");
    let ended = program::etl(folder.path(), &["copy", "missing.csv", "b.csv", "--progress", "json"]);
    let seen = events(&ended);
    let last = seen.last().unwrap();
    assert_eq!((ended.code, &last["event"], &last["kind"]), (1, &"failed".into(), &"NotFound".into()), "{seen:?}");
    assert_eq!(last["exitCode"], 1);
    assert!(last["message"].as_str().unwrap().contains("missing.csv") && last["hint"].is_string(), "{last}");
    // Progress and result are apart: the summary goes to stdout.
    let words = ["copy", "gen:?rows=10", "c.csv", "--progress", "json", "--output", "json"];
    let ended = program::etl(folder.path(), &words);
    let summary: Json = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&summary["rows"], summary["meter"].is_object()), (&10.into(), true));
    assert_eq!(events(&ended).last().unwrap()["event"], "finished");
}

#[test]
fn quiet_says_nothing_but_errors() {
    let folder = tempfile::tempdir().unwrap();
    copied(folder.path(), &["gen:?rows=10", "a.csv"]);
    let ended = program::etl(folder.path(), &["copy", "-q", "gen:?rows=10", "a.csv"]);
    assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains("a.csv"), "{}", ended.stderr);
}

#[test]
fn a_log_gets_what_stderr_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |words: &[&str]| {
        program::etl(folder.path(), &[&["copy", "--progress", "none", "gen:?rows=10"], words].concat())
    };
    let lines = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(|line| line.split_once("Z ").unwrap().1.to_owned()).collect()
    };
    let done = copy(&["a.csv", "--log", "run.log"]);
    let failed = copy(&["a.csv", "--log", "run.log"]);
    assert_eq!((done.code, failed.code), (0, 1), "{}", failed.stderr);
    let told: Vec<&str> = done.stderr.lines().chain(failed.stderr.lines()).collect();
    assert_eq!(lines("run.log"), told);
    let failed = copy(&["a.csv", "--log", "errors.log", "--log-level", "error"]);
    assert_eq!(lines("errors.log"), failed.stderr.lines().collect::<Vec<_>>());
    assert_eq!(copy(&["b.csv", "--log", "errors.log", "--log-level", "error"]).code, 0);
    assert_eq!(lines("errors.log"), failed.stderr.lines().collect::<Vec<_>>(), "a success is no failure");
    assert_eq!(copy(&["d.csv", "--log", "new/folder/run.log"]).code, 0);
    assert!(!lines("new/folder/run.log").is_empty());
    let refused = copy(&["c.csv", "--log", "a.csv/run.log"]);
    assert_eq!((refused.code, folder.path().join("c.csv").exists()), (2, false), "{}", refused.stderr);
    assert!(refused.stderr.contains("file a.csv/run.log: the log cannot be written"), "{}", refused.stderr);
}

/// What limits a copy stands in its plan.
#[test]
fn a_plan_says_what_limits_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let words = "plan|gen:?rows=10|a.csv|--limit-rate|1MB/s|--channel-rate|5 rows/s|--retry|2|--retry-pause|10s|\
                 --retry-growth|constant|--on-error|skip|--max-errors|7|--max-errors|1%|--log|run.log";
    let ended = program::etl(folder.path(), &words.split('|').collect::<Vec<_>>());
    for part in [
        "all channels no faster than 1000000 bytes/s",
        "each channel no faster than 5 rows/s",
        "the copy fails when more than 7 rows or 1 % of those read are rejected",
        "a task that fails in passing is begun anew up to 2 times, after pauses of 10 s",
        "run.log",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}{}", ended.stdout, ended.stderr);
    }
}

/// A service has no home, or one that cannot be written: that is no reason not to copy.
#[test]
fn a_run_that_cannot_be_recorded_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |target: &str, state: Option<&str>| {
        let mut copy = command(folder.path(), &["copy", "gen:?rows=10", target]);
        copy.env_remove("HOME").env_remove("XDG_STATE_HOME");
        if let Some(state) = state {
            copy.env("XDG_STATE_HOME", state);
        }
        let output = copy.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = copy("a.csv", Some("/proc/nowhere"));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.starts_with("note: this run is not recorded: "), "{stderr}");
    let state = folder.path().join("state");
    let (code, stderr) = copy("b.csv", state.to_str());
    assert_eq!((code, stderr.contains("not recorded")), (Some(0), false), "{stderr}");
    assert!(state.join("etl/state.db").exists());
}

#[test]
fn a_place_is_pinged() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "x\n1\n").unwrap();
    let ended = program::etl(folder.path(), &["ping", "a.csv"]);
    assert_eq!(ended.stdout, "a.csv: local files\n  1 file, 4 bytes\n");
    let ended = etl(&["ping", &postgres()]);
    assert!(ended.stdout.contains(": PostgreSQL "), "{}", ended.stdout);
    let json: Json = serde_json::from_str(&etl(&["ping", &postgres(), "--output", "json"]).stdout).unwrap();
    assert!(json["ping"]["server"].as_str().unwrap().starts_with("PostgreSQL "), "{json}");
}

/// A plan says all that the handbook promises, and changes nothing.
#[test]
fn a_plan_says_what_a_copy_would_do() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    copied(path, &["gen:id:seq,v:int(0..9),note:text(3)?rows=1000", "shop.db#t"]);
    let target = format!("{url}#t");
    let words = ["shop.db#t", &target, "--where", "v > 4", "--drop", "note", "-j", "2"];
    let text = program::etl(path, &[&["plan"], &words[..]].concat()).stdout;
    let part =
        |head: &str| text.lines().find(|line| line.starts_with(head)).unwrap_or_else(|| panic!("no {head}: {text}"));
    assert!(part("source ").ends_with("sqlite:shop.db#t") && part("target ").contains("public"));
    assert!(part("estimate ").contains("split"));
    for head in ["reading ", "source does ", "channels ", "operators ", "writing ", "runs ", "columns"] {
        part(head);
    }
    assert!(text.contains("CREATE TABLE") && text.contains("every row exactly once"), "{text}");
    let fates =
        text.lines().skip_while(|line| *line != "columns").skip(2).filter(|line| line.contains(" exact")).count();
    assert_eq!(fates, 2, "{text}");
    assert_eq!(psql(&url, "select count(*) from pg_class where relname = 't'"), "0");
    let json = program::etl(path, &[&["copy", "--dry-run", "--output", "json"], &words[..]].concat()).stdout;
    let json: Json = serde_json::from_str(&json).unwrap();
    let tasks = json["tasks"].as_array().unwrap();
    let mut splits: Vec<u64> =
        tasks.iter().flat_map(|task| task["splits"].as_array().unwrap()).map(|id| id.as_u64().unwrap()).collect();
    splits.sort_unstable();
    assert_eq!(splits, (0..json["splits"].as_u64().unwrap()).collect::<Vec<_>>());
    assert_eq!(json["columns"].as_array().unwrap().len(), 2, "{json}");
}

#[test]
fn a_plan_into_stdout_may_be_json() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["gen:?rows=10", "-", "--to-format", "csv", "--output", "json"];
    let plan = program::etl(folder.path(), &[&["plan"], &words[..]].concat());
    assert!(serde_json::from_str::<Json>(&plan.stdout).is_ok(), "{}", plan.stderr);
    let copy = program::etl(folder.path(), &[&["copy"], &words[..]].concat());
    assert_eq!((copy.code, copy.stdout.as_str()), (2, ""));
    assert!(copy.stderr.contains("stdout cannot hold both the rows and --output json"), "{}", copy.stderr);
}

/// The statements of `etl schema --as` are what the databases' own clients take.
#[test]
fn a_schema_is_shown_in_the_words_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    copied(path, &["gen:?rows=100", "mixed.parquet"]);
    let schema = |dialect: &str| program::etl(path, &["schema", "mixed.parquet", "--as", dialect]).stdout;
    let url = postgres();
    psql(&url, &schema("postgres"));
    assert_eq!(psql(&url, "select count(*) from mixed"), "0");
    sqlite3(&path.join("made.db"), &schema("sqlite"));
    assert_eq!(sqlite3(&path.join("made.db"), "select count(*) from mixed"), "0");
    for url in [mysql(), mariadb()] {
        mariadb_client(&url, &schema("mysql"));
        assert_eq!(mariadb_client(&url, "select count(*) from mixed"), "0");
    }
    duckdb(&path.join("made.duckdb"), &schema("duckdb"));
    assert_eq!(duckdb(&path.join("made.duckdb"), "select count(*) from mixed"), "0");
    assert_eq!(schema("mariadb"), schema("mysql"));
    assert!(schema("clickhouse").starts_with("CREATE TABLE "), "{}", schema("clickhouse"));
    assert_eq!(schema("arrow").lines().count(), 15);
    let unknown = program::etl(path, &["schema", "mixed.parquet", "--as", "csv"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("postgres"), "{}", unknown.stderr);
}

/// Every command that README, handbook and the pages of connectors show is one that the program understands.
#[test]
fn commands_of_the_handbook_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = |place: &str| std::fs::read_dir(folder.join(place)).unwrap().map(|entry| entry.unwrap().path());
    let connectors = listed("src/connectors").map(|folder| folder.join("README.md")).filter(|page| page.exists());
    let pages = listed("src/docs")
        .chain(connectors)
        .chain(["README.md", "examples/jobs/README.md"].map(|page| folder.join(page)));
    let mut understood = 0;
    for page in pages.filter(|page| page.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(&page).unwrap().replace("\\|", "|");
        for words in text.lines().flat_map(commands_in) {
            // The shell parts the words as it does for a user.
            let printed = bash(folder, &format!("unset PW; printf '%s\\0' etl {words}")).stdout;
            let parsed = arrow_etl::cli::parse(printed.split_terminator('\0').map(std::ffi::OsString::from));
            assert!(parsed.is_ok(), "{}: etl {words}", page.display());
            understood += 1;
        }
    }
    assert!(understood > 30, "{understood}");
}

/// What stands behind `etl` in a line of a code block, or in the code within a line; without forms such as `etl head SRC`.
fn commands_in(line: &str) -> Vec<&str> {
    let codes = if line.starts_with("etl ") { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
    let words = codes.into_iter().filter_map(|code| {
        let (before, words) = code.split_once("etl ")?;
        (before.is_empty() || before.ends_with("| ")).then(|| words.split(" | ").next().unwrap())
    });
    let is_form = |words: &str| {
        // Where a flag stands right behind the command, a sentence tells of that flag.
        let of_flag = words.split_whitespace().nth(1).is_some_and(|word| word.starts_with("--"));
        of_flag || ["SRC", "LOCATOR", "NAME", "SHELL", "…"].iter().any(|form| words.contains(form))
    };
    words.filter(|words| words.trim().contains(' ') && !is_form(words)).collect()
}

/// The table of flags in the README is that of the program, no more and no less.
#[test]
fn the_readme_names_every_flag() {
    let flags = |text: &str| -> std::collections::BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
        words
            .filter(|word| word.len() > 3 && word.starts_with("--") && !word.starts_with("---"))
            .map(str::to_owned)
            .collect()
    };
    let readme = include_str!("../../README.md");
    let (_, table) = readme.split_once("## Flags of `copy` and `plan`").unwrap();
    let (table, _) = table.split_once("\n`etl copy --help`").unwrap();
    let help = etl(&["copy", "--help"]).stdout;
    let listed: String = help.lines().filter(|line| line.trim_start().starts_with('-')).collect::<Vec<_>>().join("\n");
    let mut known = flags(&listed);
    // Short forms stand in the README alone, and `--help` goes without saying.
    for word in ["--help", "--jobs", "--quiet", "--verbose"] {
        assert!(known.remove(word), "{word}");
    }
    assert_eq!(flags(table), known);
}

#[test]
fn columns_with_the_names_of_change_feeds_are_refused() {
    for name in arrow_etl::schema::RESERVED {
        let ended = etl(&["copy", &format!("gen:{name}:int?rows=1"), "null:"]);
        assert_ne!(ended.code, 0);
        assert!(ended.stderr.contains(&format!("column {name}: this name is reserved")), "{}", ended.stderr);
    }
}
