//! Rows that are refused are left out and kept: all others land once, and what was mended lands, too.

mod constraints;
mod reading;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use arrow_etl::connectors;
use arrow_etl::endpoint::{Endpoint, ObjectRef};
use arrow_etl::error::{ErrorKind, Result};
use arrow_etl::job::{ErrorPolicy, Job, MaxErrors, OnError, Place};
use arrow_etl::run::report::Summary;
use arrow_etl::run::{Between, Surroundings, copy};
use arrow_etl::testing::faults::{Fault, Faults, Point};
use arrow_etl::testing::memory::Memory;
use serde_json::{Value as Json, json};

use crate::program::{copied, etl};
use crate::server::{postgres, psql, sqlite3};

/// Rows of the file that [`dirty`] writes, every hundredth of which is bad.
const ROWS: u64 = 3000;

/// What is wrong with a row, by its hundreds.
fn fault_of(row: u64) -> Option<u64> {
    row.is_multiple_of(100).then_some(row / 100 % 7)
}

/// `id,v,name` of 3000 rows: 1 % of them bad in seven ways.
fn dirty(path: &Path) {
    let mut file = b"id,v,name\n".to_vec();
    for row in 1..=ROWS {
        let line = match fault_of(row) {
            None => format!("{row},{},n{}\n", row % 5, row % 1000),
            Some(0) => format!("x{row},1,n\n"),
            Some(1) => format!("{row}\n"),
            Some(2) => format!("{row},70000,n\n"),
            Some(3) => format!("{row},1,longer\n"),
            Some(4) => format!("{row},,n\n"),
            Some(5) => {
                file.extend_from_slice(format!("{row},1,").as_bytes());
                file.extend_from_slice(b"\xff\n");
                continue;
            }
            Some(_) => format!("{row},7,n\n"),
        };
        file.extend_from_slice(line.as_bytes());
    }
    std::fs::write(path, file).unwrap();
}

/// Number and sum of the rows that are good where the faults of `refused` count.
fn good(refused: &[u64]) -> String {
    let rows = (1..=ROWS).filter(|row| fault_of(*row).is_none_or(|fault| !refused.contains(&fault)));
    let (count, sum) = rows.fold((0u64, 0u64), |(count, sum), row| (count + 1, sum + row));
    format!("{count}|{count}|{sum}")
}

const SUMS: &str = "select count(*), count(distinct id), sum(id) from t";

/// The flags of a copy of a dirty file, in which `v = 7` fails.
const SKIPPING: [&str; 8] = ["--cast", "id:bigint", "--cast", "v:int", "--set", "w=100/(v-7)", "--on-error", "skip"];

fn lines(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Mends every line of a rejects file: the line of the dirty file, or what is left of it, says which row it was.
fn mended(rejects: &Path, mended: &Path) {
    let mut text = String::new();
    for mut line in lines(rejects) {
        let id = match line["id"].as_str() {
            Some(id) => id.trim_start_matches('x').to_owned(),
            None => line["__reject"]["record"].as_str().unwrap().to_owned(),
        };
        line["id"] = json!(id);
        line["v"] = json!(1);
        line["name"] = json!("m");
        writeln!(text, "{line}").unwrap();
    }
    std::fs::write(mended, text).unwrap();
}

#[test]
fn good_rows_land_once_in_postgres_and_mended_ones_follow() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    dirty(&path.join("dirty.csv"));
    psql(&url, "create table t (id bigint primary key, v smallint not null, name varchar(5), w bigint)");
    let target = format!("{url}#t");
    let words = [&["copy", "dirty.csv", &target, "--mode", "append", "--rejects", "bad.jsonl"], &SKIPPING[..]].concat();
    let done = etl(path, &[&words[..], &["--output", "json", "-q"]].concat());
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let summary: Json = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (&summary["rows"], &summary["rejected"], &summary["rejects"]),
        (&json!(2970), &json!(30), &json!("bad.jsonl"))
    );
    assert_eq!(psql(&url, SUMS), good(&[0, 1, 2, 3, 4, 5, 6]));

    let told = lines(&path.join("bad.jsonl"));
    let mut stages = BTreeMap::new();
    for line in &told {
        let reason = &line["__reject"];
        let key = (reason["stage"].as_str().unwrap(), reason["column"].as_str().unwrap_or_default());
        *stages.entry(key).or_insert(0) += 1;
    }
    let expected = [(("read", ""), 5), (("read", "id"), 4), (("read", "name"), 4), (("transform", ""), 4)];
    let expected = expected.into_iter().chain([(("write", "name"), 4), (("write", "v"), 9)]);
    assert_eq!(stages, expected.collect());
    // Row 100 lacks its fields, row 200 is too large: 199 rows were read up to it.
    let of = |line: &&Json, member: &str, value: Json| line[member] == value;
    let short = told.iter().find(|line| line["__reject"]["record"] == "100").unwrap();
    assert_eq!(
        (&short["id"], &short["__reject"]["line"], &short["__reject"]["kind"]),
        (&Json::Null, &json!(101), &json!("Corrupt"))
    );
    let large = told.iter().find(|line| of(line, "id", json!("200"))).unwrap();
    assert_eq!((&large["v"], &large["name"]), (&json!("70000"), &json!("n")));
    assert_eq!((&large["__reject"]["row"], &large["__reject"]["source"]), (&json!(199), &json!("dirty.csv")));
    let zero = told.iter().find(|line| of(line, "v", json!("7"))).unwrap();
    assert!(zero["__reject"]["reason"].as_str().unwrap().ends_with("division by zero"), "{zero}");

    // As it is, a record without columns is no row; nor is anything lost by trying.
    let again = etl(path, &["copy", "-q", "bad.jsonl", &target, "--mode", "append", "--set", "w=1"]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("has no columns yet"), "{}", again.stderr);
    mended(&path.join("bad.jsonl"), &path.join("mended.jsonl"));
    copied(path, &["mended.jsonl", &target, "--mode", "append", "--set", "w=100/(v-7)"]);
    assert_eq!(psql(&url, SUMS), good(&[]));
    assert_eq!(psql(&url, "select count(*) from t where name = 'm' and v = 1"), "30");
}

#[test]
fn good_rows_land_once_in_sqlite_and_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    dirty(&path.join("dirty.csv"));
    let database = path.join("shop.db");
    sqlite3(&database, "create table t (id integer primary key, v integer not null, name text, w integer)");
    let skipping =
        [&["dirty.csv", "shop.db#t", "--mode", "append", "--rejects", "bad.parquet"], &SKIPPING[..]].concat();
    copied(path, &skipping);
    // SQLite has neither small integers nor lengths.
    assert_eq!(sqlite3(&database, SUMS), good(&[0, 1, 4, 5, 6]));
    // Records without columns are no rows of NULLs here either, and keep their text when they are refused again.
    let again = etl(path, &["copy", "-q", "bad.parquet", "bad.db#t"]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("the rejected record has no columns yet"), "{}", again.stderr);
    copied(path, &["bad.parquet", "bad.db#t", "--on-error", "skip", "--rejects", "still.jsonl"]);
    assert_eq!(sqlite3(&path.join("bad.db"), "select count(*), count(distinct id) from t"), "16|16");
    let still: Vec<Json> = lines(&path.join("still.jsonl"));
    let records: Vec<&str> = still.iter().filter_map(|line| line["__reject"]["record"].as_str()).collect();
    assert_eq!(records, ["100", "800", "1500", "2200", "2900"]);
    copied(path, &["still.jsonl", "bad.db#t", "--mode", "append", "--on-error", "skip", "--rejects", "again.jsonl"]);
    assert_eq!(lines(&path.join("again.jsonl"))[0]["__reject"]["record"], "100");

    copied(path, &[&["dirty.csv", "good.parquet", "-j", "3", "--rejects", "bad.jsonl"], &SKIPPING[..]].concat());
    assert_eq!(lines(&path.join("bad.jsonl")).len(), 17);
    copied(path, &["good.parquet", "good.db#t"]);
    assert_eq!(sqlite3(&path.join("good.db"), SUMS), good(&[0, 1, 5, 6]));
    mended(&path.join("bad.jsonl"), &path.join("mended.jsonl"));
    copied(path, &["mended.jsonl", "good.db#t", "--mode", "append", "--set", "w=100/(v-7)"]);
    assert_eq!(sqlite3(&path.join("good.db"), SUMS), good(&[]));
}

#[test]
fn rows_of_postgres_without_a_place_elsewhere_are_left_out_and_told() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(
        &url,
        "create table s (id int primary key, day date, t time, n numeric(5,1));
        insert into s select g, date '2024-01-01' + g, '12:00', g from generate_series(1, 1000) g;
        update s set day = 'infinity' where id = 10; update s set t = '24:00', n = 'NaN' where id in (20, 30);
        update s set n = null where id = 40",
    );
    let flags = ["--on-error", "skip", "--rejects", "bad.jsonl"];
    let source = format!("{url}#s");
    copied(path, &[&[source.as_str(), "good.parquet"][..], &flags[..]].concat());
    let told = lines(&path.join("bad.jsonl"));
    let mut seen: Vec<_> = told
        .iter()
        .map(|line| {
            [&line["id"], &line["day"], &line["t"], &line["n"], &line["__reject"]["column"]].map(Json::to_string)
        })
        .map(|cells| cells.join(" "))
        .collect();
    // Two tasks find them.
    seen.sort();
    let expected = [
        r#""10" "infinity" "12:00:00" "10.0" "day""#,
        r#""20" "2024-01-21" "24:00:00" "NaN" "t""#,
        r#""30" "2024-01-31" "24:00:00" "NaN" "t""#,
    ];
    assert_eq!(seen, expected);
    assert!(told.iter().all(|line| line["__reject"]["stage"] == "read"));
    copied(path, &["good.parquet", &format!("{url}#again")]);
    let kept = "select id, day, t, n from s where id not in (10, 20, 30)";
    let other = format!("select count(*) from (({kept} except table again) union all (table again except {kept})) d");
    assert_eq!(psql(&url, &other), "0");
    assert_eq!(psql(&url, "select count(*) from again"), "997");
}

#[test]
fn too_many_rejects_fail_the_copy_and_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    dirty(&path.join("dirty.csv"));
    let words = |limit: &'static str| {
        let words = ["copy", "-q", "dirty.csv", "out.csv", "--rejects", "bad.jsonl", "--max-errors", limit];
        [&words[..], &SKIPPING[..]].concat()
    };
    for (limit, says) in [("16", "more rows were rejected than the 16 that may be"), ("0.5%", "17 of 3000 rows")] {
        let failed = etl(path, &words(limit));
        assert_eq!(failed.code, 1, "{}", failed.stderr);
        assert!(failed.stderr.contains(says) && failed.stderr.contains("bad.jsonl"), "{}", failed.stderr);
        assert_eq!(lines(&path.join("bad.jsonl")).len(), 17);
        assert!(!path.join("out.csv").exists());
        // The file is there now: nothing is begun.
        let refused = etl(path, &words("17"));
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("rejects file bad.jsonl") && refused.stderr.contains("exists already"));
        std::fs::remove_file(path.join("bad.jsonl")).unwrap();
    }
    for limit in ["17", "0.6%"] {
        let done = etl(path, &words(limit));
        assert_eq!((done.code, done.stderr.as_str()), (0, ""));
        std::fs::remove_file(path.join("bad.jsonl")).unwrap();
        std::fs::remove_file(path.join("out.csv")).unwrap();
    }
    let left: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["dirty.csv"]);
}

#[test]
fn json_lines_to_csv_and_what_is_said_without_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rows = "{\"a\":1,\"b\":\"x\"}\n{\"a\":\"two\",\"b\":\"y\"}\n{\"a\":3,\n[4]\n{\"a\":5,\"b\":\"z\"}\n{\"a\":6,\"a\":7}\n";
    std::fs::write(path.join("in.jsonl"), rows).unwrap();
    let done = etl(path, &["copy", "in.jsonl", "out.csv", "--cast", "a:int", "--on-error", "skip"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(std::fs::read_to_string(path.join("out.csv")).unwrap(), "a,b\n1,x\n5,z\n");
    assert!(done.stderr.contains("2 rows from ") && done.stderr.contains("\n4 rows rejected\n"), "{}", done.stderr);
    assert!(done.stderr.contains("rejected: file in.jsonl: line 2: column a: the value is no int"), "{}", done.stderr);
    assert!(!done.stderr.contains("two"), "{}", done.stderr);
    copied(path, &["in.jsonl", "again.csv", "--cast", "a:int", "--on-error", "skip", "--rejects", "bad.jsonl"]);
    let told: Vec<(Json, Json)> = lines(&path.join("bad.jsonl"))
        .iter()
        .map(|line| (line["a"].clone(), line["__reject"]["record"].clone()))
        .collect();
    let nothing = Json::Null;
    let record = |text: &str| (nothing.clone(), json!(text));
    let expected = [(json!("two"), nothing.clone()), record("{\"a\":3,"), record("[4]"), record("{\"a\":6,\"a\":7}")];
    assert_eq!(told, expected);
}

/// A copy of a dirty file into memory, with `faults` at both ends and a rejects file.
async fn faulty(path: &Path, faults: &Faults, max_errors: Option<MaxErrors>) -> (Result<Summary>, Memory) {
    let (source, target) = (path.join("dirty.csv"), Memory::new());
    let place = |path: &Path| Place::new("file", json!({ "url": path }), ObjectRef::Whole);
    let mut job = Job::new(place(&source), Place::new("memory", Json::Null, ObjectRef::Table("dst".to_owned())));
    job.transform.cast = vec![("id".to_owned(), "bigint".to_owned()), ("v".to_owned(), "int".to_owned())];
    (job.limits.jobs, job.limits.retry_max_milliseconds, job.limits.split_bytes) = (Some(2), Some(1), Some(4096));
    let rejects = Some(place(&path.join("bad.jsonl")));
    job.errors = ErrorPolicy { on_error: OnError::Skip, max_errors, rejects, ..ErrorPolicy::default() };
    let casts = json!({"id": "bigint", "v": "int"});
    let options = json!({ "url": source, "casts": casts });
    let file: std::sync::Arc<dyn Endpoint> = connectors::find("file").unwrap().endpoint(&options).unwrap();
    let between =
        Between { source: faults.endpoint(file), target: faults.endpoint(target.endpoint()), also: Vec::new() };
    (copy(&job, between, &Surroundings::default()).await, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_begun_anew_records_no_reject_twice() {
    for point in [Point::Batch, Point::Write, Point::Flush] {
        let folder = tempfile::tempdir().unwrap();
        dirty(&folder.path().join("dirty.csv"));
        let faults = Faults::new().nth(point, 2, Fault::FailAfter(ErrorKind::Connection));
        // Memory takes what it gets: the rows that cannot be read are refused, 13 of them.
        let (summary, target) = faulty(folder.path(), &faults, Some(MaxErrors::Rows(13))).await;
        let summary = summary.unwrap();
        assert_eq!((summary.rows, summary.rejected, summary.meter.retries), (2987, 13, 1), "{point:?}");
        assert_eq!(target.table("dst").unwrap().rows.num_rows(), 2987);
        let mut rows: Vec<u64> = lines(&folder.path().join("bad.jsonl"))
            .iter()
            .map(|line| line["__reject"]["line"].as_u64().unwrap() - 1)
            .collect();
        rows.sort_unstable();
        let expected = (1..=ROWS).filter(|row| fault_of(*row).is_some_and(|fault| [0, 1, 5].contains(&fault)));
        assert_eq!(rows, expected.collect::<Vec<_>>(), "{point:?}");
    }
}

#[test]
fn a_target_is_no_rejects_file() {
    let folder = tempfile::tempdir().unwrap();
    dirty(&folder.path().join("dirty.csv"));
    let words =
        ["copy", "dirty.csv", "out.jsonl", "--mode", "replace", "--on-error", "skip", "--rejects", "./out.jsonl"];
    let done = etl(folder.path(), &words);
    assert_eq!((done.code, done.stderr.contains("the rejects file is a target, too")), (2, true), "{}", done.stderr);
    assert!(!folder.path().join("out.jsonl").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_otherwise_leaves_no_rejects_file() {
    let folder = tempfile::tempdir().unwrap();
    dirty(&folder.path().join("dirty.csv"));
    let faults = Faults::new().nth(Point::Flush, 2, Fault::Fail(ErrorKind::Constraint));
    let (result, target) = faulty(folder.path(), &faults, None).await;
    assert_eq!((result.unwrap_err().kind(), target.table("dst").is_none()), (ErrorKind::Constraint, true));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["dirty.csv"]);
}
