//! Rows that are refused: how many may be, where they go; and words that are wrong.

use super::*;

/// A job whose input has 97 good rows, a text that is no number, a NULL where none may be, and a key that is there already.
fn dirty(record: &str, percentage: &str) -> (Job, String) {
    let url = postgres();
    psql(&url, "create table t (id int primary key, name text not null)");
    let job = Job::new("dirty", &[("postgres", address(&url)), ("record", record), ("percentage", percentage)]);
    fs::create_dir(job.path("in")).unwrap();
    let good = (1..=97).map(|id| format!("{id},n{id}\n")).collect::<Vec<_>>().concat();
    fs::write(job.path("in/a.txt"), good + "x,wrong\n200\n1,again\n").unwrap();
    (job, url)
}

#[test]
fn rows_up_to_the_limit_are_left_out_and_told() {
    for (record, percentage) in [("3", "-1"), ("-1", "3"), ("3", "3"), ("-1", "-1")] {
        let (job, url) = dirty(record, percentage);
        let ended = job.done();
        let counts = metrics(&ended, ["numRead", "numWrite", "nErrors"]);
        assert_eq!(counts, [100, 97, 3], "{record} {percentage}");
        let classes = ["nullErrors", "duplicateErrors", "conversionErrors", "otherErrors"];
        assert_eq!(metrics(&ended, classes), [1, 1, 1, 0], "{}", ended.stderr);
        assert_eq!(psql(&url, "select count(*), max(name) filter (where id = 1) from t").trim(), "97|n1");
        let text = written(&job.path("dirty"));
        let mut found = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\u{1}').collect();
            let [row, class, reason, time] = fields[..] else { panic!("{line:?}") };
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            assert!(serde_json::from_str::<String>(reason).is_ok(), "{line:?}");
            assert!(chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").is_ok(), "{line:?}");
            let id = row.as_object().unwrap().values().next().unwrap().to_string();
            found.push(format!("{class} {}", id.trim_matches('"')));
        }
        found.sort();
        assert_eq!(found, ["conversion x", "duplicate 1", "npe 200"], "{text}");
        // Another run adds another file.
        psql(&url, "delete from t");
        job.done();
        assert_eq!(written(&job.path("dirty")).lines().count(), 6);
    }
}

#[test]
fn one_row_more_than_the_limit_ends_the_job() {
    for (record, percentage) in [("2", "-1"), ("-1", "2"), ("3", "2.9"), ("0", "50")] {
        let (job, url) = dirty(record, percentage);
        let ended = job.run(&[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{record} {percentage}: {}", ended.stderr);
        assert_eq!(psql(&url, "select count(*) from t").trim(), "0", "{record} {percentage}");
        // What was refused by then is there.
        assert!(written(&job.path("dirty")).lines().count() > 0, "{record} {percentage}");
    }
}

#[test]
fn words_and_files_that_are_wrong_have_the_exit_code_of_flinkx() {
    let folder = tempfile::tempdir().unwrap();
    let flinkx = |words: &[&str]| program::etl(folder.path(), &[&["flinkx"], words].concat());
    let unnamed = flinkx(&["-mode", "local"]);
    assert_eq!(unnamed.code, 1);
    assert!(unnamed.stderr.contains("--job"), "{}", unnamed.stderr);
    assert_eq!(flinkx(&["-help"]).code, 0);
    assert_eq!(flinkx(&["-job", "none.json"]).code, 1);
    fs::write(folder.path().join("broken.json"), "{\"job\": {\n  \"content\": [}\n").unwrap();
    let broken = flinkx(&["-job", "broken.json"]);
    assert_eq!(broken.code, 1);
    assert!(broken.stderr.contains("line 2, column"), "{}", broken.stderr);
    let kafka = r#"{"job": {"setting": {}, "content": [{"reader": {"name": "kafka11reader", "parameter": {}},
        "writer": {"name": "streamwriter", "parameter": {}}}]}}"#;
    fs::write(folder.path().join("kafka.json"), kafka).unwrap();
    let absent = program::etl(folder.path(), &["run", "kafka.json"]);
    assert_eq!(absent.code, 1);
    assert!(absent.stderr.contains("the plugin kafka11reader is not here"), "{}", absent.stderr);
    let sql = flinkx(&["-job", "kafka.json", "-jobType", "sql"]);
    assert_eq!(sql.code, 1);
    assert!(sql.stderr.contains("SQL jobs of ChunJun are not run here"), "{}", sql.stderr);
    let settings = flinkx(&["-job", "kafka.json", "-confProp", "[1]"]);
    assert!(settings.code == 1 && settings.stderr.contains("option -confProp"), "{}", settings.stderr);
}
