//! Job files with a mistake: one sentence with the path of the key or the place in the file, the exit code of whose file it is, and
//! nothing written.

use std::path::Path;

use super::{csv, folder_of, names};
use crate::program::{command, copied, run};
use crate::text_files::python;
use crate::xlsx::openpyxl;

/// What `etl run` of `job`, one of `compat`, says, which has to end with `code` and leave nothing.
fn refused(folder: &Path, (job, compat): (&str, &str), code: i32) -> String {
    std::fs::write(folder.join("job.json"), job).unwrap();
    let before = names(folder);
    let state = tempfile::tempdir().unwrap();
    let words = ["run", "-q", "job.json", "--compat", compat];
    let ended = run(command(folder, &words).env("XDG_STATE_HOME", state.path()));
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{job}: {}", ended.stderr);
    assert_eq!(ended.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{job}: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(names(folder), before, "{job}");
    ended.stderr
}

fn files() -> tempfile::TempDir {
    let good = csv((0..10).map(|id| (id, id)));
    let folder = folder_of(&[("a.csv", &good), ("bad.csv", b"id,name\n1,\xd6\xd0\n2,\xff\n")]);
    copied(folder.path(), &["a.csv", "b.parquet"]);
    let zipped = "import zipfile\n\
        two = zipfile.ZipFile('two.zip', 'w')\n\
        two.writestr('a.csv', 'id\\n1\\n')\n\
        two.writestr('b.csv', 'id\\n2\\n')\n\
        two.close()";
    python(folder.path(), zipped);
    folder
}

/// A job of ours from `source` into a file.
fn transfer(source: &str, more: &str) -> String {
    format!("{{\"transfers\": [{{\"source\": {source}, \"target\": {{\"locator\": \"out.csv\"}}{more}}}]}}")
}

#[test]
fn of_ours() {
    let folder = files();
    let plain = r#"{"locator": "a.csv"}"#;
    let sqlite = |what: &str| format!(r#"{{"connector": "sqlite", "url": "x.db", {what}}}"#);
    let table: [(String, i32, &[&str]); 14] = [
        ("{\"transfers\": [".to_owned(), 2, &["job file job.json: ", "line 1, column 16"]),
        (
            transfer(plain, ", \"limits\": {\"jobs\": \"four\"}"),
            2,
            &["key transfers.0.limits.jobs (line 1, ", "invalid type"],
        ),
        (
            transfer(plain, ", \"transform\": {\"select\": \"id\"}"),
            2,
            &["key transfers.0.transform.select (line 1, ", "invalid type"],
        ),
        (
            transfer(plain, "").replace("target", "taget"),
            2,
            &["key transfers.0 (line 1, ", "the key 'target' is missing", "perhaps 'target' is meant"],
        ),
        (transfer(r#"{"locator": "${NOPE_XYZ}.csv"}"#, ""), 2, &["transfers.0.source", "NOPE_XYZ is not set"]),
        (
            transfer(&sqlite(r#""table": "t", "query": "select 1""#), ""),
            2,
            &["key transfers.0.source.query (line 1, ", "both 'table' and 'query'"],
        ),
        (
            transfer(plain, r#", "sources": [{"locator": "b.csv"}]"#),
            2,
            &["key transfers.0.sources (line 1, ", "both 'source' and 'sources' are here"],
        ),
        (
            transfer(r#"{"connector": "file", "url": "a.csv", "paths": ["b.parquet"]}"#, ""),
            2,
            &["a.csv holds ", "but b.parquet "],
        ),
        (
            transfer(r#"{"connector": "file", "url": "bad.csv", "encoding": "gbk"}"#, ""),
            1,
            &["bad.csv", "not GBK from byte 16 of the file on"],
        ),
        (transfer(r#"{"connector": "file", "url": "a.csv", "sheet": "x"}"#, ""), 2, &["the option sheet"]),
        (
            transfer(r#"{"connector": "file", "url": "two.zip", "format": "csv"}"#, ""),
            1,
            &["two.zip", "the zip file holds several files"],
        ),
        (
            transfer(&sqlite(r#""table": "t", "busyTimout": 3"#), ""),
            2,
            &["key transfers.0.source.busyTimout (line 1, ", "busyTimeout"],
        ),
        (
            transfer(r#"{"connector": "file", "url": "a.csv", "header": "maybe"}"#, ""),
            2,
            &["key transfers.0.source.header (line 1, ", "invalid type"],
        ),
        (
            transfer(r#"{"connector": "postgres", "host": "h", "password": "${NOPE_XYZ}", "table": "t"}"#, ""),
            2,
            &["key transfers.0.source.password (line 1, ", "NOPE_XYZ is not set"],
        ),
    ];
    for (job, code, says) in table {
        let told = refused(folder.path(), (&job, "none"), code);
        assert!(says.iter().all(|part| told.contains(part)), "{says:?}: {told}");
    }
}

/// A job of DataX from `reader` into text files.
fn datax(reader: &str, parameter: &str, channel: &str) -> String {
    format!(
        r#"{{"job": {{"setting": {{"speed": {{"channel": {channel}}}}}, "content": [{{
            "reader": {{"name": "{reader}", "parameter": {parameter}}},
            "writer": {{"name": "txtfilewriter", "parameter": {{"path": "out", "fileName": "x", "writeMode": "truncate"}}}}
        }}]}}}}"#
    )
}

/// One that reads MySQL.
fn from_mysql(connection: &str) -> String {
    let parameter = format!(
        r#"{{"username": "u", "password": "p", "column": ["*"], "connection": [{{
            "jdbcUrl": ["jdbc:mysql://127.0.0.1:1/d"], {connection}}}]}}"#
    );
    datax("mysqlreader", &parameter, "1")
}

/// Exit code 1 for every failure, as DataX has it (datax.md §1.4).
#[test]
fn of_datax() {
    let folder = files();
    let here = folder.path().display();
    let text = |parameter: &str| datax("txtfilereader", parameter, "1");
    let read = |more: &str| text(&format!(r#"{{"path": ["{here}/bad.csv"], "column": ["*"]{more}}}"#));
    let two = |first: &str, other: &str, more: &str| {
        text(&format!(r#"{{"path": ["{here}/{first}", "{here}/{other}"], "column": ["*"]{more}}}"#))
    };
    let table: [(String, &[&str]); 10] = [
        (read("").replace("]}}", "]"), &["job file job.json: ", "line "]),
        (
            datax("txtfilereader", r#"{"path": ["a.csv"], "column": ["*"]}"#, "[1]"),
            &["key job.setting.speed.channel (line 1, ", "a whole number is wanted here"],
        ),
        (
            text(r#"{"pth": ["a.csv"], "column": ["*"]}"#),
            &["key job.content.0.reader.parameter (line 2, ", "the key 'path' is missing", "perhaps 'path' is meant"],
        ),
        (
            text(r#"{"path": ["${nope_xyz}"], "column": ["*"]}"#),
            &["place line 2, column ", "the variable nope_xyz is not set"],
        ),
        (
            from_mysql(r#""table": ["t"], "querySql": ["select 1"]"#),
            &["key job.content.0.reader.parameter.connection.0.querySql (line 3, ", "both 'table' and 'querySql'"],
        ),
        (from_mysql(r#""tables": ["t"]"#), &["connection.0 (line ", "the key 'table' is missing", "perhaps 'table'"]),
        (read(r#", "encoding": "gbk""#), &["bad.csv", "not GBK from byte 16 of the file on"]),
        (
            read(r#", "encoding": "klingon""#),
            &["key job.content.0.reader.parameter.encoding (line 2, ", "there is no encoding \"klingon\""],
        ),
        (two("a.csv", "b.parquet", ""), &["b.parquet", "it is said to hold CSV, but it holds Parquet"]),
        (two("two.zip", "two.zip", r#", "compress": "zip""#), &["two.zip", "the zip file holds several files"]),
    ];
    for (job, says) in table {
        let told = refused(folder.path(), (&job, "datax"), 1);
        assert!(says.iter().all(|part| told.contains(part)), "{says:?}: {told}");
    }
}

/// Exit code 1 for every failure, as go-etl has it (go-etl.md §2.3).
#[test]
fn of_go_etl() {
    let folder = files();
    let job = |parameter: &str, setting: &str| {
        format!(
            r#"{{"job": {{"setting": {setting}, "content": [{{
                "reader": {{"name": "csvreader", "parameter": {parameter}}},
                "writer": {{"name": "csvwriter", "parameter": {{"path": ["out.csv"]}}}}}}]}}}}"#
        )
    };
    let plain = |parameter: &str| job(parameter, "{}");
    let book = |name: &str| {
        openpyxl(folder.path(), &["write", &format!("{name}.xlsx"), name]);
        let parameter = format!(r#"{{"xlsxs": [{{"path": "{name}.xlsx", "sheets": ["Sheet"]}}]}}"#);
        plain(&parameter).replace("csvreader", "xlsxreader")
    };
    let table: [(String, &[&str]); 10] = [
        (plain(r#"{"path": ["a.csv"]}"#).replace("]}}", "}}"), &["job file job.json: ", "line "]),
        (
            plain(r#"{"path": ["a.csv"], "startRow": "two"}"#),
            &["key job.content.0.reader.parameter.startRow (line 2, ", "a whole number is wanted here"],
        ),
        (
            job(r#"{"path": ["a.csv"]}"#, r#"{"speed": {"channel": [4]}}"#),
            &["key job.setting.speed.channel (line 1, ", "a whole number is wanted here"],
        ),
        (
            plain(r#"{"pth": ["a.csv"]}"#),
            &["key job.content.0.reader.parameter (line 2, ", "the key 'path' is missing", "perhaps 'path' is meant"],
        ),
        (plain(r#"{"path": ["bad.csv"], "encoding": "gbk"}"#), &["bad.csv", "not GBK from byte 16 of the file on"]),
        (plain(r#"{"path": ["none.csv"]}"#), &["none.csv", "does not exist"]),
        (plain(r#"{"path": ["a.csv", "b.parquet"]}"#), &["b.parquet", "it is said to hold CSV, but it holds Parquet"]),
        (plain(r#"{"path": ["two.zip"], "compress": "zip"}"#), &["two.zip", "the zip file holds several files"]),
        (book("merged"), &["merged.xlsx", "cells are merged", "A1:B1"]),
        (book("errors"), &["errors.xlsx", "#DIV/0!", "B3"]),
    ];
    for (job, says) in table {
        let told = refused(folder.path(), (&job, "go-etl"), 1);
        assert!(says.iter().all(|part| told.contains(part)), "{says:?}: {told}");
    }
}

/// Exit code 1 for every failure, as FlinkX has it.
#[test]
fn of_flinkx() {
    let folder = files();
    let job = |parameter: &str, speed: &str| {
        format!(
            r#"{{"job": {{"setting": {{"speed": {speed}}}, "content": [{{
                "reader": {{"name": "textfilereader", "parameter": {parameter}}},
                "writer": {{"name": "textfilewriter", "parameter": {{"path": "out", "fileName": "x"}}}}}}]}}}}"#
        )
    };
    let plain = |parameter: &str| job(parameter, "{}");
    let table: [(String, &[&str]); 6] = [
        (plain(r#"{"path": "a.csv", "column": ["*"]}"#).replace("]}}", "}}"), &["job file job.json: ", "line "]),
        (
            job(r#"{"path": "a.csv", "column": ["*"]}"#, r#"{"bytes": "many"}"#),
            &["key job.setting.speed.bytes (line 1, ", "is wanted here"],
        ),
        (
            plain(r#"{"pth": "a.csv", "column": ["*"]}"#),
            &["key job.content.0.reader.parameter (line 2, ", "the key 'path' is missing", "perhaps 'path' is meant"],
        ),
        (
            plain(r#"{"path": "a.csv", "column": ["*"], "isFirstLineHeader": "perhaps"}"#),
            &["key job.content.0.reader.parameter.isFirstLineHeader (line 2, ", "is wanted here"],
        ),
        (
            plain(r#"{"path": "bad.csv", "column": ["*"], "encoding": "gbk"}"#),
            &["bad.csv", "not GBK from byte 16 of the file on"],
        ),
        (plain(r#"{"path": "none.csv", "column": ["*"]}"#), &["none.csv", "does not exist"]),
    ];
    for (job, says) in table {
        let told = refused(folder.path(), (&job, "flinkx"), 1);
        assert!(says.iter().all(|part| told.contains(part)), "{says:?}: {told}");
    }
}
