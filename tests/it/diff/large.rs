//! Comparisons of many rows and of many columns: memory, and one value among all.

use std::fmt::Write as _;

use super::*;
use crate::program::command;

/// Most memory in bytes that a program held, which ends by itself, and its exit code. What its system counts as read from
/// its own file is not in it: an unoptimized program is large.
fn peak(mut child: std::process::Child) -> (u64, Option<i32>) {
    let mut peak = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) * 1024);
        if let Some(ended) = child.try_wait().unwrap() {
            return (peak, ended.code());
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn two_large_sides_stay_within_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let side = |seed| format!("gen:id:seq,pad:text(200..250)?rows=300000&seed={seed}");
    // 70 MB on each side. Without a primary key all rows are sorted; all but none of them differ with another seed.
    for (seed, code) in [(1, 0), (2, 4)] {
        let (a, b) = (side(1), side(seed));
        let words = ["diff", "-q", &a, &b, "--key", "id", "--memory", "64MiB", "-j", "2"];
        let child = command(folder.path(), &words).stdout(std::process::Stdio::null()).spawn().unwrap();
        let (peak, ended) = peak(child);
        assert_eq!(ended, Some(code));
        // 60 MB beside what was given.
        assert!(peak > 0 && peak <= (67 + 60) * 1_000_000, "{peak} bytes");
    }
}

#[test]
fn one_value_among_more_than_a_thousand_columns_is_found() {
    const COLUMNS: usize = 1200;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = |name: &str, other: Option<(usize, usize)>| {
        let mut text = "id".to_owned();
        (0..COLUMNS).for_each(|column| write!(text, ",c{column}").unwrap());
        for row in 0..100 {
            write!(text, "\n{row}").unwrap();
            for column in 0..COLUMNS {
                let more = usize::from(other == Some((row, column)));
                write!(text, ",{}", row * COLUMNS + column + more).unwrap();
            }
        }
        write(folder, name, &text);
    };
    file("a.csv", None);
    file("b.csv", Some((42, 1100)));
    copied(folder, &["b.csv", "b.parquet"]);
    copied(folder, &["b.csv", "b.db#b"]);
    for b in ["b.csv", "b.parquet", "b.db#b"] {
        let (code, report) = compared(folder, &["a.csv", b, "--key", "id"]);
        assert_eq!((code, counts(&report)), (4, [100, 100, 99, 0, 0, 1]), "{b}");
        let differing = report["columns"].as_array().unwrap().iter().filter(|column| column["different"] == json!(1));
        let names: Vec<&Json> = differing.map(|column| &column["name"]).collect();
        assert_eq!(names, [&json!("c1100")], "{b}");
        assert_eq!(report["differences"][0]["a"]["id"], 42, "{b}");
        assert_eq!(report["differences"][0]["b"]["c1100"], json!(42 * COLUMNS + 1101), "{b}");
    }
}

#[test]
fn one_value_among_a_hundred_thousand_rows_is_found_between_all_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let url = server::postgres();
    let sql =
        "create table truth as select i::bigint id, 'row ' || i v, i * 0.5::float8 f from generate_series(1, 100000) i;
               alter table truth add primary key (id); create table other (like truth including all);
               insert into other select id, case when id = 77777 then 'rov 77777' else v end, f from truth";
    server::psql(&url, sql);
    let place = |kind: &str, table: &str| match kind {
        "postgres" => format!("{url}#{table}"),
        "sqlite" => format!("{table}.db#{table}"),
        extension => format!("{table}.{extension}"),
    };
    let kinds = ["postgres", "sqlite", "parquet", "csv"];
    for (kind, table) in kinds.iter().skip(1).flat_map(|kind| [(kind, "truth"), (kind, "other")]) {
        copied(folder, &[&place("postgres", table), &place(kind, table)]);
    }
    let pairs = kinds.iter().enumerate().flat_map(|(at, a)| kinds[at..].iter().map(move |b| (a, b)));
    for (a, b) in pairs {
        let (code, report) = compared(folder, &[&place(a, "truth"), &place(b, "other"), "--key", "id"]);
        assert_eq!((code, counts(&report)), (4, [100_000, 100_000, 99_999, 0, 0, 1]), "{a} {b}");
        assert_eq!(shown(&report), [(json!(77_777), "different".to_owned())], "{a} {b}");
        let values = ["a", "b"].map(|side| &report["differences"][0][side]["v"]);
        assert_eq!(values, ["row 77777", "rov 77777"], "{a} {b}");
    }
}
