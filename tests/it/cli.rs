//! The program as a user meets it: exit code, stdout and stderr of the real binary.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a finished command left.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

fn etl(words: &[&str]) -> Ended {
    in_folder(Path::new("."), words)
}

fn in_folder(folder: &Path, words: &[&str]) -> Ended {
    let Output { status, stdout, stderr } = command(folder, words).output().unwrap();
    Ended {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etl"));
    command.args(words).current_dir(folder).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

#[test]
fn help_and_version_go_to_stdout() {
    let version = etl(&["--version"]);
    assert_eq!((version.code, version.stdout.as_str()), (0, concat!("etl ", env!("CARGO_PKG_VERSION"), "\n")));
    let help = etl(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for command in ["copy", "plan", "schema", "head", "count", "ping", "connectors", "completions"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command} is missing in the help");
    }
    let copy = etl(&["copy", "--help"]);
    assert!(copy.stdout.contains("[default: create]"));
    // One line a flag, or a little more: nobody reads more.
    assert!(copy.stdout.lines().count() < 90, "{}", copy.stdout.lines().count());
    assert!(copy.stdout.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn bad_usage_is_code_2_and_names_the_mistake() {
    let table: [(&[&str], &str); 9] = [
        (&[], "Usage: etl"),
        (&["copy", "a.csv"], "<DST>"),
        (&["copy", "a.csv", "b.csv", "--upsert"], "unexpected argument '--upsert'"),
        (&["copy", "a.csv", "b.csv", "--mode", "upsert"], "invalid value 'upsert'"),
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
fn no_message_shows_a_password() {
    let locators = [
        "postgres://ada:s3cret@127.0.0.1:1/db#t",
        "postgres://ada:s3cret@127.0.0.1:1/db",
        "postgres://ada:s3cret@127.0.0.1:1/db?nonsense=1#t",
        "postgres:host=127.0.0.1 port=1 password=s3cret#t",
        "postgers://ada:s3cret@127.0.0.1:1/db#t",
        "postgres://ada:s3#cret@127.0.0.1:1/db#t",
    ];
    for locator in locators {
        for words in [&["head", locator][..], &["ping", locator], &["plan", locator, "null:"]] {
            let ended = etl(words);
            assert_ne!(ended.code, 0, "{words:?}");
            for part in ["s3cret", "s3#cret", "cret@"] {
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
    assert!(stream.stdout.contains("How many rows to make"), "{}", stream.stdout);
    let json = etl(&["connectors", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["connectors"].as_array().unwrap().len(), list.stdout.lines().count() - 3);
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
