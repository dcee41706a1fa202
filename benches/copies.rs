//! What the benchmarks of whole copies share: the cost of a command line, and a table of mixed types.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The release binary.
pub(crate) const ETL: &str = env!("CARGO_BIN_EXE_etl");

/// What one run of a command line cost.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_bytes: u64,
}

/// A setting that is a number.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Whether the command line asks for the case of this name.
pub(crate) fn wanted(name: &str) -> bool {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    only.is_none_or(|only| name.contains(&only))
}

/// A table of PostgreSQL with columns of many types, as SQL that makes it.
pub(crate) fn mixed(table: &str, rows: u64) -> String {
    format!(
        "create table {table} as select i::bigint id, (i % 1000)::int a, (i % 100)::smallint b, md5(i::text) t1,
         'name ' || (i % 5000) t2, repeat('x', (i % 50)::int) t3, case when i % 7 = 0 then null else 'city' || i end t4,
         (i * 1.2345)::numeric(18,4) amount, i % 3 = 0 ok, date '2000-01-01' + (i % 9000)::int d,
         timestamp '2020-01-01' + i * interval '1 second' ts, timestamptz '2020-01-01 00:00Z' + i * interval '1 second' tz,
         jsonb_build_object('k', i, 'tags', array['a', 'b']) j, md5(i::text)::uuid u, (i * 0.37)::float8 f
         from generate_series(1, {rows}) i"
    )
}

/// The scale factor at which `lineitem` of TPC-H has about `rows` rows; 6,000 is the least.
pub(crate) fn scale(rows: u64) -> f64 {
    (rows as f64 / 6_000_000.0).max(0.001)
}

/// Statements, or one command of `psql`, in the database of `url`.
pub(crate) fn psql(url: &str, sql: &str) {
    measured(Command::new("psql").args(["-qX", "-v", "ON_ERROR_STOP=1", url, "-c", sql]).stderr(Stdio::null()));
}

/// The median costs of several runs, which are done in turns: what the machine does meanwhile meets all of them.
pub(crate) fn in_turns<const N: usize>(repeats: usize, mut runs: [&mut dyn FnMut() -> Cost; N]) -> [Cost; N] {
    let mut costs = [const { Vec::new() }; N];
    for _ in 0..repeats.max(1) {
        for (run, costs) in runs.iter_mut().zip(&mut costs) {
            costs.push(run());
        }
    }
    costs.map(median)
}

/// Whether a ratio is as small as it shall be, where that is said.
pub(crate) fn verdict(ratio: f64, most: Option<f64>) -> String {
    most.map_or_else(String::new, |most| {
        let verdict = if ratio <= most { "reached" } else { "MISSED" };
        format!(", ≤ {most:.2} {verdict}")
    })
}

/// The run that took the median time, with the highest peak of all.
fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    let peak_bytes = costs.iter().map(|cost| cost.peak_bytes).max().unwrap();
    Cost { peak_bytes, ..costs[costs.len() / 2] }
}

/// `etl copy` with its records in `folder`.
pub(crate) fn etl(folder: &str, arguments: &[&str]) -> Cost {
    measured(Command::new(ETL).arg("copy").args(arguments).env("XDG_STATE_HOME", folder))
}

/// Runs `command`, which has to succeed, without its output.
pub(crate) fn measured(command: &mut Command) -> Cost {
    let (before, start) = (children_cpu(), Instant::now());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let peak_bytes = watch(&mut child);
    let wall = start.elapsed().as_secs_f64();
    assert!(child.wait().unwrap().success(), "{command:?} failed");
    Cost { wall, cpu: children_cpu() - before, peak_bytes }
}

/// Waits for `child`, looking at its peak memory now and then.
fn watch(child: &mut Child) -> u64 {
    let mut peak = 0;
    let mut pause = Duration::from_micros(200);
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) * 1024);
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(2));
    }
    peak
}

/// CPU seconds of all children that have ended: fields 16 and 17 of proc(5)'s stat, in ticks of 1/100 s.
fn children_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(13) + ticks(14)) / 100.0
}
