//! Copies that are large enough to show it: many splits of a real server, threads, peak memory.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::server;

fn etl(folder: &Path, words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_etl"))
        .args(words)
        .args(["--quiet"])
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

fn run(folder: &Path, words: &[&str]) {
    assert!(etl(folder, words).wait().unwrap().success(), "{words:?}");
}

#[test]
fn one_and_four_threads_write_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let columns = "gen:id:seq,price:decimal(18,4)(0..100000),name:text(5..60)~0.1,at:timestamp?rows=250000";
    run(folder.path(), &["copy", columns, "in.csv"]);
    let bytes = std::fs::metadata(folder.path().join("in.csv")).unwrap().len();
    assert!(bytes > 2 * (8 << 20), "{bytes} bytes are not cut");
    for threads in ["1", "4"] {
        let output = format!("out{threads}.csv");
        let set = ["--set", "double=price * 2", "--where", "id % 7 <> 0"];
        run(folder.path(), &[&["copy", "in.csv", &output, "--threads", threads, "-j", "3"][..], &set].concat());
    }
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let (one, four) = (read("out1.csv"), read("out4.csv"));
    assert!(one.len() as u64 > bytes / 2, "{} bytes", one.len());
    assert!(one == four, "the files differ");
}

/// Peak resident memory of `child` in bytes, as its system counts it, asked for until it ends.
fn peak(child: &mut Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        peak = kilobytes.map_or(peak, |kilobytes| kilobytes * 1024);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

#[test]
fn a_thousand_columns_stay_within_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = ["bigint", "double", "text(5..20)", "timestamp"];
    let columns: Vec<String> = (0..1000).map(|at| format!("c{at}:{}", kinds[at % kinds.len()])).collect();
    let source = format!("gen:{}?rows=6000", columns.join(","));
    let mut child = etl(folder.path(), &["copy", &source, "null:", "--memory", "128MB", "-j", "2"]);
    let peak = peak(&mut child);
    assert!(child.wait().unwrap().success());
    // 60 MB beside what was given, and 40 MB for the unoptimized program, whose code alone is that much larger.
    assert!(peak > 0 && peak <= (128 + 60 + 40) * 1_000_000, "{peak} bytes");
}

#[test]
fn sorts_and_joins_of_more_than_the_memory_spill() {
    let (folder, url) = (tempfile::tempdir().unwrap(), server::postgres());
    let sql =
        "create table t as select i as id, repeat(md5(i::text), 8) as v from generate_series(1, 300000) i; analyze t";
    server::psql(&url, sql);
    for (ours, query) in [
        ("select id from src order by v", r#"select id from t order by v collate "C""#),
        (
            "select a.id, length(b.v) as n from src a join src b on a.v = b.v order by 1",
            "select a.id, length(b.v) as n from t a join t b on a.v = b.v order by 1",
        ),
    ] {
        let words = ["copy", &format!("{url}#t"), "out.csv", "--mode", "replace", "--memory", "80MB", "-j", "2"];
        run(folder.path(), &[&words[..], &["--sql", ours]].concat());
        let theirs = server::psql(&url, &format!("copy ({query}) to stdout with (format csv, header)"));
        let out = std::fs::read_to_string(folder.path().join("out.csv")).unwrap();
        assert!(out.lines().eq(theirs.lines()), "{ours}: {} lines for {}", out.lines().count(), theirs.lines().count());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn ten_thousand_splits_of_a_server_and_two_channels_hold_three_connections() {
    let url = server::postgres();
    // One row of ten to a page, so that few rows fill many pages.
    let sql = "create table t (id int, pad text) with (fillfactor = 10);
               insert into t select i, repeat('x', 200) from generate_series(1, 36000) i; analyze t";
    server::psql(&url, sql);
    let mut job = job();
    job.source = Place::new("postgres", serde_json::json!({ "url": url }), ObjectRef::Table("t".to_owned()));
    (job.limits.jobs, job.limits.split_bytes) = (Some(2), Some(1));
    let (target, surroundings) = (Memory::new(), Surroundings::default());
    let connector = arrow_etl::connectors::find("postgres").unwrap();
    let between = Between {
        source: connector.endpoint(&job.source.options).unwrap(),
        target: target.endpoint(),
        also: Vec::new(),
    };
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let (done, meter) = (AtomicBool::new(false), Arc::clone(&surroundings.meter));
    let copying = async {
        let summary = copy(&job, between, &surroundings).await;
        done.store(true, Ordering::Relaxed);
        summary
    };
    let sampling = async {
        // Not the server's own workers, which vacuum what was just filled, nor a client that is about to end.
        let sql = "select count(*) from pg_stat_activity where datname = current_database()
                   and pid <> pg_backend_pid() and backend_type = 'client backend' and application_name <> 'psql'";
        let (mut most, mut samples) = (0i64, 0);
        while !done.load(Ordering::Relaxed) {
            most = most.max(client.query_one(sql, &[]).await.unwrap().get(0));
            samples += u32::from(meter.reading().rows_read > 0);
        }
        (most, samples)
    };
    let watched = async { tokio::join!(copying, sampling) };
    let (summary, (most, samples)) = tokio::select! {
        both = watched => both,
        lost = connection => panic!("the watching connection ended: {lost:?}"),
    };
    let summary = summary.unwrap();
    assert!(summary.meter.splits_total >= 10_000, "{} splits", summary.meter.splits_total);
    assert_eq!((summary.rows, rows(&target)), (36_000, Some(36_000)));
    assert!(samples > 10 && most > 1, "{samples} samples, {most} connections: nothing was watched");
    assert!(most <= 3, "{most} connections");
}
