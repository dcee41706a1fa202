//! The benchmark of databases: whole copies by the release binary, as ratios to other programs on the same way in the
//! same run.
//!
//! `ETL_BENCH_POSTGRES=postgres://… ETL_BENCH_MARIADB=mysql://… cargo bench --bench databases [-- NAME]`, with NAME one of
//! mysql-pg, mysql-parquet, csv-mysql, mysql-mysql, parquet-duckdb, duckdb-parquet, clickhouse, readers, field, memory. It makes
//! databases of its own on the servers and drops them at the end. What it takes from the environment:
//!
//! | variable | what | without it |
//! |---|---|---|
//! | `ETL_BENCH_POSTGRES` | a URL that ends in `/database`; `psql` is in `PATH` | nothing is measured |
//! | `ETL_BENCH_MARIADB`, `ETL_BENCH_MYSQL` | `mysql://user:password@host:port/`; `mariadb` and `mariadb-dump` are in `PATH`; `local_infile` is on | that server's cases are not |
//! | `ETL_BENCH_CLICKHOUSE` | `clickhouse://user:password@host:port/` over plain HTTP; `curl` is in `PATH` | its case is not |
//! | `DUCKDB_LIB` | DuckDB's library, for our side | cases with database files of DuckDB are not |
//! | `ETL_BENCH_PYTHON` | a Python with the packages below, for the other side | only our side is |
//! | `sling`, `pgloader` in `PATH` | for `field` | they are not compared with |
//! | `ETL_BENCH_ROWS`, `ETL_BENCH_REPEATS` | 1,000,000 and 3 | |
//!
//! The packages are `duckdb`, `duckdb-extension-mysql-scanner` and `duckdb-extension-postgres-scanner` of one and the
//! same version, `connectorx`, `adbc-driver-postgresql` and `pyarrow`. Give MySQL a buffer pool that holds the tables (`innodb_buffer_pool_size`),
//! or its reads come from the disk. Nobody encrypts, ours has two channels unless a line says otherwise, and both sides
//! write Parquet with zstd 1. CPU is that of the client processes, the peak that of one; `-` where several run. Python's
//! start and imports are not counted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to a person")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at the first surprise")]

#[path = "databases/cases.rs"]
mod cases;
#[path = "copies.rs"]
mod copies;
#[path = "databases/field.rs"]
mod field;
#[path = "databases/memory.rs"]
mod memory;
#[path = "databases/peers.rs"]
mod peers;
#[path = "databases/servers.rs"]
mod servers;
#[path = "databases/tables.rs"]
mod tables;

use std::fs;

use copies::{Cost, in_turns, number, psql, verdict, wanted};
use peers::{Peer, Peers};
use servers::{ClickHouse, MySql};
use tables::{LINEITEM, MIXED};

struct Bench {
    /// Our database on PostgreSQL.
    postgres: String,
    /// Servers of MySQL and MariaDB, with a database of ours each.
    servers: Vec<MySql>,
    clickhouse: Result<ClickHouse, String>,
    peers: Peers,
    folder: String,
    rows: u64,
    repeats: usize,
}

fn main() {
    let Ok(server) = std::env::var("ETL_BENCH_POSTGRES") else {
        // `cargo test --benches` comes by without a server: nothing is measured then, and it says so.
        println!("databases: set ETL_BENCH_POSTGRES to the URL of a PostgreSQL server to measure");
        return;
    };
    let database = format!("etl_bench_{}", std::process::id());
    let folder = std::env::temp_dir().join(&database);
    fs::create_dir_all(&folder).unwrap();
    let (base, _) = server.rsplit_once('/').expect("a URL that ends in /database");
    let mut servers = Vec::new();
    for (product, variable) in [("MariaDB", "ETL_BENCH_MARIADB"), ("MySQL", "ETL_BENCH_MYSQL")] {
        match MySql::from_environment(product, variable, &database) {
            Ok(server) => servers.push(server),
            Err(lack) => println!("not measured: all cases of {product}: {lack}"),
        }
    }
    let bench = Bench {
        postgres: format!("{base}/{database}"),
        servers,
        clickhouse: ClickHouse::from_environment(&database),
        peers: Peers::from_environment(),
        folder: folder.to_str().unwrap().to_owned(),
        rows: number("ETL_BENCH_ROWS", 1_000_000),
        repeats: number("ETL_BENCH_REPEATS", 3) as usize,
    };
    psql(&server, &format!("create database {database}"));
    for server in &bench.servers {
        server.create();
    }
    if let Ok(server) = &bench.clickhouse {
        server.create();
    }
    bench.run();
    for server in &bench.servers {
        server.sweep();
    }
    if let Ok(server) = &bench.clickhouse {
        server.sweep();
    }
    psql(&server, &format!("drop database {database}"));
    fs::remove_dir_all(&folder).unwrap();
}

impl Bench {
    fn run(&self) {
        println!("rows {}, repeats {} (medians)", self.rows, self.repeats);
        for server in &self.servers {
            println!("{}", server.facts());
        }
        let heads = ("wall s", "cpu s", "peak MB");
        println!("{:<44} {:>24}   {:>24}", "", "etl", "the other");
        println!(
            "{:<44} {:>8} {:>7} {:>7}   {:>8} {:>7} {:>7}   ratio, wanted",
            "case", heads.0, heads.1, heads.2, heads.0, heads.1, heads.2
        );
        for table in [&MIXED, &LINEITEM] {
            self.make(table);
            for server in &self.servers {
                self.of_mysql(table, server);
            }
            self.of_files(table);
            if wanted("clickhouse") {
                self.clickhouse(table);
            }
            if wanted("readers") {
                self.readers(table);
            }
            if wanted("field") {
                self.field(table);
            }
        }
        if wanted("memory") {
            self.memory();
        }
    }

    fn etl(&self, arguments: &[&str]) -> Cost {
        copies::etl(&self.folder, arguments)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Both sides in turns, so that what the machine does meanwhile meets both. Returns ours and theirs.
    fn versus(
        &self,
        case: &str,
        most: Option<f64>,
        ours: &mut dyn FnMut() -> Cost,
        peer: Peer<'_>,
    ) -> (Cost, Option<Cost>) {
        let left = |here| format!("{case:<44} {}", columns(here));
        let Some(lack) = peer.lack else {
            let [here, there] = in_turns(self.repeats, [ours, peer.run]);
            let ratio = here.wall / there.wall;
            let verdict = verdict(ratio, most);
            println!("{}   {}   {ratio:.2} to {}{verdict}", left(here), columns(there), peer.name);
            return (here, Some(there));
        };
        let [here] = in_turns(self.repeats, [ours]);
        println!("{}   not measured: {}: {lack}", left(here), peer.name);
        (here, None)
    }
}

/// Wall, CPU and peak, as they stand below their heads.
fn columns(cost: Cost) -> String {
    let peak = match cost.peak_bytes {
        0 => "-".to_owned(),
        bytes => format!("{:.0}", bytes as f64 / 1e6),
    };
    format!("{:>8.2} {:>7.2} {peak:>7}", cost.wall, cost.cpu)
}
