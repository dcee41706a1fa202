//! The transfer benchmark: whole copies by the release binary, as ratios to `psql` in the same run.
//!
//! `ETL_BENCH_POSTGRES=postgres://… cargo bench --bench transfer [-- NAME]`, with NAME one of read, pg-pg, parquet,
//! csv, also, receipts, rejects, verify, buffer, threads, small, jobs, memory, limits. It makes a database of its own on that server and drops it at the end. `ETL_BENCH_ROWS`
//! (1,000,000) and `ETL_BENCH_REPEATS` (3) change the size. Wall time depends on the machine: compare the ratios, which
//! are to the case above, or to the one named in the line; what is compared runs in turns. CPU is that of the client processes, RSS the peak of one. The part of jobs that needs no
//! server is measured without one, too.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to a person")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at the first surprise")]

#[path = "copies.rs"]
mod copies;
#[path = "transfer/jobs.rs"]
mod jobs;
#[path = "transfer/promises.rs"]
mod promises;

use std::fs;
use std::process::Command;

use copies::{Cost, measured, mixed, number, psql, scale, verdict, wanted};

/// How often a copy of few rows is done: its time is short, and differs.
const SMALL_TURNS: usize = 21;

/// The most memory that a copy with two channels may take.
const MOST_BYTES: u64 = 200_000_000;

struct Bench {
    server: String,
    database: String,
    url: String,
    folder: String,
    rows: u64,
    repeats: usize,
}

fn main() {
    if wanted("jobs") {
        jobs::files();
    }
    let Ok(server) = std::env::var("ETL_BENCH_POSTGRES") else {
        // `cargo test --benches` comes by without a server: nothing is measured then, and it says so.
        println!("transfer: set ETL_BENCH_POSTGRES to the URL of a PostgreSQL server to measure");
        return;
    };
    let database = format!("etl_bench_{}", std::process::id());
    let folder = std::env::temp_dir().join(&database);
    fs::create_dir_all(&folder).unwrap();
    let (base, _) = server.rsplit_once('/').expect("a URL that ends in /database");
    let bench = Bench {
        url: format!("{base}/{database}"),
        server,
        database,
        folder: folder.to_str().unwrap().to_owned(),
        rows: number("ETL_BENCH_ROWS", 1_000_000),
        repeats: number("ETL_BENCH_REPEATS", 3) as usize,
    };
    bench.run();
    fs::remove_dir_all(&folder).unwrap();
}

/// A case of one table, and one of its own.
type OfTable = fn(&Bench, &str);
type OfAll = fn(&Bench);

impl Bench {
    fn run(&self) {
        self.administer(&format!("create database {}", self.database));
        self.make_tables();
        println!("rows {}, repeats {} (medians)", self.rows, self.repeats);
        println!("{:<34} {:>8} {:>8} {:>9}  ratio, wanted", "case", "wall s", "cpu s", "peak MB");
        let of_tables: [(&str, OfTable); 9] = [
            ("read", Self::read),
            ("pg-pg", Self::postgres_to_postgres),
            ("parquet", Self::parquet),
            ("csv", Self::csv),
            ("also", Self::also),
            ("receipts", Self::receipts),
            ("verify", Self::verify),
            ("buffer", Self::buffer),
            ("threads", Self::threads),
        ];
        let of_all: [(&str, OfAll); 5] = [
            ("rejects", Self::rejects),
            ("small", Self::small),
            ("jobs", Self::jobs),
            ("memory", Self::memory),
            ("limits", Self::limits),
        ];
        for table in ["mixed", "lineitem"] {
            for (_, measure) in of_tables.iter().filter(|(name, _)| wanted(name)) {
                measure(self, table);
            }
        }
        for (_, measure) in of_all.iter().filter(|(name, _)| wanted(name)) {
            measure(self);
        }
        self.administer(&format!("drop database {}", self.database));
    }

    fn make_tables(&self) {
        self.sql(&mixed("mixed", self.rows));
        let scale = scale(self.rows);
        self.etl(&[&format!("gen:tpch.lineitem?sf={scale}"), &format!("{}#lineitem", self.url), "-q"]);
        // `like` gives psql's target no key, so ours gets none either.
        self.sql("alter table lineitem drop constraint lineitem_pkey");
        self.sql("vacuum analyze");
        self.sql("create table few as select * from mixed limit 200");
    }

    fn read(&self, table: &str) {
        let copy = format!("psql -qX '{}' -c 'copy {table} to stdout (format binary)' > /dev/null", self.url);
        let source = format!("{}#{table}", self.url);
        let ours = |jobs: &str| self.etl(&[&source, "null:", "-q", "-j", jobs]);
        let [psql, one, two] = self.in_turns([&mut || shell_once(&copy), &mut || ours("1"), &mut || ours("2")]);
        report(&format!("{table}: psql COPY binary > /dev/null"), psql, psql, None);
        report(&format!("{table}: etl → null:, 1 channel"), one, psql, None);
        report(&format!("{table}: etl → null:, 2 channels"), two, psql, None);
    }

    fn postgres_to_postgres(&self, table: &str) {
        let url = &self.url;
        let pipe = |range: &str| {
            format!(
                "psql -qX '{url}' -c 'copy (select * from {table} {range}) to stdout (format binary)' \
                 | psql -qX '{url}' -c 'copy target from stdin (format binary)'"
            )
        };
        let middle = self.value(&format!("select pg_relation_size('{table}') / 8192 / 2"));
        let lower = pipe(&format!("where ctid < $$({middle},0)$$"));
        let upper = pipe(&format!("where ctid >= $$({middle},0)$$"));
        let (whole, halves) = (pipe(""), format!("({lower}) & first=$!; {upper} && wait $first"));
        let piped = |line: &str| {
            self.renewed(table);
            shell_once(&line.replace("$$", "'\\''"))
        };
        let ours = |jobs: &str| {
            self.dropped();
            self.etl(&[&format!("{url}#{table}"), &format!("{url}#target"), "-q", "-j", jobs])
        };
        let [pipe, pipes, one, two] =
            self.in_turns([&mut || piped(&whole), &mut || piped(&halves), &mut || ours("1"), &mut || ours("2")]);
        report(&format!("{table}: one psql pipe"), pipe, pipe, None);
        report(&format!("{table}: two psql ctid pipes"), pipes, pipe, None);
        report(&format!("{table}: etl PG → PG, 1 channel"), one, pipe, Some(1.2));
        report(&format!("{table}: etl PG → PG, 2 channels"), two, pipes, Some(1.2));
    }

    fn parquet(&self, table: &str) {
        let copy = format!("psql -qX '{}' -c 'copy {table} to stdout' > /dev/null", self.url);
        let (source, target) = (format!("{}#{table}", self.url), format!("{}/{table}.parquet", self.folder));
        let ours = |jobs: &str| self.etl(&[&source, &target, "-q", "-j", jobs, "--mode", "replace"]);
        let [psql, one, two] = self.in_turns([&mut || shell_once(&copy), &mut || ours("1"), &mut || ours("2")]);
        report(&format!("{table}: psql COPY > /dev/null"), psql, psql, None);
        report(&format!("{table}: etl PG → Parquet, 1 channel"), one, psql, Some(1.3));
        report(&format!("{table}: etl PG → Parquet, 2 channels"), two, psql, Some(1.3));
    }

    fn csv(&self, table: &str) {
        let (url, file) = (&self.url, format!("{}/{table}.csv", self.folder));
        let (source, target, out) = (format!("{url}#{table}"), format!("{url}#target"), self.to_csv(table, &file));
        let [psql, ours] =
            self.in_turns([&mut || shell_once(&out), &mut || self.etl(&[&source, &file, "-q", "--mode", "replace"])]);
        report(&format!("{table}: psql \\copy to CSV"), psql, psql, None);
        report(&format!("{table}: etl PG → CSV"), ours, psql, None);
        let load = format!("psql -qX '{url}' -c \"\\copy target from '{file}' csv header\"");
        let loaded = || {
            self.renewed(table);
            shell_once(&load)
        };
        let ours = |jobs: &str| {
            self.renewed(table);
            self.etl(&[&file, &target, "-q", "-j", jobs])
        };
        let [psql, one, two] = self.in_turns([&mut || loaded(), &mut || ours("1"), &mut || ours("2")]);
        report(&format!("{table}: psql \\copy from CSV"), psql, psql, None);
        report(&format!("{table}: etl CSV → PG, 1 channel"), one, psql, Some(1.0));
        report(&format!("{table}: etl CSV → PG, 2 channels"), two, psql, Some(1.0));
        fs::remove_file(&file).unwrap();
    }

    /// One read for several targets: CPU seconds of copies with more and more targets `null:`, as ratios to none.
    fn also(&self, table: &str) {
        let csv = self.csv_of(table);
        let (from, to) = (format!("{}#{table}", self.url), format!("{}#target", self.url));
        let parquet = format!("{}/also.parquet", self.folder);
        self.dropped();
        for (name, source, target) in
            [("PG → PG", &from, &to), ("CSV → PG", &csv, &to), ("CSV → Parquet", &csv, &parquet)]
        {
            let with = |count: usize| {
                let words = [source, target, "-q", "--mode", "replace"];
                self.etl(&[&words[..], &["--also", "null:"].repeat(count)].concat())
            };
            let costs = self.in_turns([&mut || with(0), &mut || with(1), &mut || with(4)]);
            for (count, cost) in [0_u32, 1, 4].into_iter().zip(costs) {
                let ratio = cost.cpu / costs[0].cpu;
                let each = (ratio - 1.0) / f64::from(count.max(1));
                println!(
                    "{table}: etl {name}, {count} × null: beside: cpu {:.2} s, {ratio:.3} of that alone, {:+.1} % each{}",
                    cost.cpu,
                    each * 100.0,
                    verdict(1.0 + each, Some(1.05))
                );
            }
        }
        fs::remove_file(&csv).unwrap();
    }

    /// The same work with one thread of the processor pool and with more: ratios to one.
    fn threads(&self, table: &str) {
        let (csv, parquet) = (self.csv_of(table), format!("{}/threads.parquet", self.folder));
        let with = |threads: &str| self.etl(&[&csv, &parquet, "-q", "--mode", "replace", "--threads", threads]);
        let [one, two, four] = self.in_turns([&mut || with("1"), &mut || with("2"), &mut || with("4")]);
        report(&format!("{table}: CSV → Parquet, 1 thread"), one, one, None);
        report(&format!("{table}: CSV → Parquet, 2 threads"), two, one, None);
        report(&format!("{table}: CSV → Parquet, 4 threads"), four, one, None);
        fs::remove_file(&csv).unwrap();
    }

    fn small(&self) {
        let url = &self.url;
        let [ours] = copies::in_turns(
            SMALL_TURNS,
            [&mut || {
                self.dropped();
                self.etl(&[&format!("{url}#few"), &format!("{url}#target"), "-q"])
            }],
        );
        let within = if ours.wall <= 0.05 { "within" } else { "OVER" };
        println!("200 rows: etl PG → PG: {:.1} ms, {within} the 50 ms wanted", ours.wall * 1000.0);
    }

    /// The peak must not grow with the table: the same copies with ten times the rows.
    fn memory(&self) {
        self.sql("create table large as select m.* from mixed m, generate_series(1, 10)");
        self.sql("vacuum analyze large");
        let (parquet, target) = (format!("{}/peak.parquet", self.folder), format!("{}#target", self.url));
        for (name, target) in [("null:", "null:"), ("Parquet", parquet.as_str()), ("PG", target.as_str())] {
            let peak = |table: &str| {
                self.dropped();
                let source = format!("{}#{table}", self.url);
                self.etl(&[&source, target, "-q", "-j", "2", "--mode", "replace"]).peak_bytes
            };
            let (first, second) = (peak("mixed"), peak("large"));
            let within = if first.max(second) <= MOST_BYTES { "within" } else { "OVER" };
            let (first, second) = (first as f64 / 1e6, second as f64 / 1e6);
            println!(
                "etl PG → {name}, 2 channels: peak {first:.0} MB, {second:.0} MB with ten times the rows, {within} the 200 MB wanted"
            );
        }
    }

    /// `--memory`: the peak is at most that and 60 MB, with a thousand columns, with rows of 50 MB, and with rows of nearly
    /// an eighth of it behind short ones.
    fn limits(&self) {
        let columns: Vec<String> = (1..1000).map(|at| format!("(i * {at} % 1000)::int c{at}")).collect();
        let (columns, rows) = (columns.join(", "), self.rows / 50);
        self.sql(&format!("create table broad as select i::bigint id, {columns} from generate_series(1, {rows}) i"));
        self.sql("create table long as select i::bigint id, repeat('x', 50000000) v from generate_series(1, 64) i");
        self.sql("create table eighth as select i::bigint id, 'short'::text v from generate_series(1, 10000) i");
        let text = "select string_agg(md5((i * j)::text), '') from generate_series(1, 480000) j";
        self.sql(&format!("insert into eighth select 10000 + i, ({text}) from generate_series(1, 10) i"));
        self.sql("vacuum analyze broad");
        for (table, megabytes, pairs) in [("broad", 128, 4), ("eighth", 128, 4), ("long", 512, 2)] {
            let file = |extension: &str| format!("{}/{table}.{extension}", self.folder);
            let (from, to) = (format!("{}#{table}", self.url), format!("{}#target", self.url));
            let (parquet, csv, memory) = (file("parquet"), file("csv"), format!("{megabytes}MB"));
            self.sql("drop table if exists target");
            let all = [
                ("PG → Parquet", &from, &parquet),
                ("Parquet → PG", &parquet, &to),
                ("PG → CSV", &from, &csv),
                ("CSV → Parquet", &csv, &parquet),
            ];
            for (name, source, target) in all.into_iter().take(pairs) {
                let cost = self.etl(&[source, target, "-q", "--mode", "replace", "--memory", &memory]);
                let (peak, most) = (cost.peak_bytes / 1_000_000, megabytes + 60);
                let within = if peak <= most { "within" } else { "over" };
                println!("{table}: etl {name}, --memory {memory}: peak {peak} MB, {within} the {most} MB wanted");
            }
        }
    }

    /// An empty target with the columns of `table`.
    fn renewed(&self, table: &str) {
        self.sql(&format!("drop table if exists target; create table target (like {table})"));
    }

    /// `table` as a CSV file.
    fn csv_of(&self, table: &str) -> String {
        let csv = format!("{}/{table}.csv", self.folder);
        shell_once(&self.to_csv(table, &csv));
        csv
    }

    /// The command by which `psql` writes `rows`, a table or a query in parentheses, into `file`.
    fn to_csv(&self, rows: &str, file: &str) -> String {
        format!("psql -qX '{}' -c \"\\copy {rows} to '{file}' csv header\"", self.url)
    }

    /// No target.
    fn dropped(&self) {
        self.sql("drop table if exists target");
    }

    fn in_turns<const N: usize>(&self, runs: [&mut dyn FnMut() -> Cost; N]) -> [Cost; N] {
        copies::in_turns(self.repeats, runs)
    }

    fn etl(&self, arguments: &[&str]) -> Cost {
        copies::etl(&self.folder, arguments)
    }

    fn sql(&self, sql: &str) {
        psql(&self.url, sql);
    }

    fn administer(&self, sql: &str) {
        psql(&self.server, sql);
    }

    fn value(&self, sql: &str) -> String {
        let output = Command::new("psql").args(["-qXAt", &self.url, "-c", sql]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// A line of the table, with the ratio of a time to another one, and to the most that it shall be.
fn report(case: &str, cost: Cost, floor: Cost, most: Option<f64>) {
    let (megabytes, ratio) = (cost.peak_bytes as f64 / 1e6, cost.wall / floor.wall);
    let verdict = verdict(ratio, most);
    println!("{case:<34} {:>8.2} {:>8.2} {megabytes:>9.0}  {ratio:.2}{verdict}", cost.wall, cost.cpu);
}

fn shell_once(line: &str) -> Cost {
    measured(Command::new("bash").args(["-c", &format!("set -o pipefail; {line}")]))
}
