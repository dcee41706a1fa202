//! The cases, each with what it shall reach.

use std::fs;

use super::copies::{Cost, in_turns, wanted};
use super::peers::{Peer, lack_of_library};
use super::servers::{MySql, lack_of};
use super::tables::Table;
use super::{Bench, columns};

/// Ours in all cases whose line says nothing else.
const TWO: [&str; 3] = ["-q", "-j", "2"];
/// The same compression and effort as ours.
pub(super) const PARQUET: &str = "(format parquet, compression zstd, compression_level 1)";

impl Bench {
    pub(super) fn of_mysql(&self, table: &Table, server: &MySql) {
        if wanted("mysql-pg") {
            self.mysql_to_postgres(table, server);
        }
        if wanted("mysql-parquet") {
            self.mysql_to_parquet(table, server);
        }
        if wanted("csv-mysql") {
            self.csv_to_mysql(table, server);
        }
        if wanted("mysql-mysql") {
            self.mysql_to_mysql(table, server);
        }
    }

    fn mysql_to_postgres(&self, table: &Table, server: &MySql) {
        let (source, target) = (server.locator(table.name), format!("{}#target", self.postgres));
        let sql = format!("insert into postgres.target select * from mysql.{}", table.name);
        let attached = [server.attached(), format!("postgres={}", self.postgres)];
        self.versus(
            &format!("{}: {} → PostgreSQL", table.name, server.product),
            Some(0.6),
            &mut || {
                self.renewed(table);
                self.copied(&source, &target, &[])
            },
            Peer {
                name: "DuckDB",
                lack: self.peers.lack(&["duckdb", "mysql", "postgres"]),
                run: &mut || {
                    self.renewed(table);
                    self.peers.duckdb(":memory:", &sql, &attached)
                },
            },
        );
    }

    fn mysql_to_parquet(&self, table: &Table, server: &MySql) {
        let (source, ours, theirs) =
            (server.locator(table.name), self.path("ours.parquet"), self.path("theirs.parquet"));
        let sql = format!("copy (select * from mysql.{}) to '{theirs}' {PARQUET}", table.name);
        let attached = [server.attached()];
        self.versus(
            &format!("{}: {} → Parquet", table.name, server.product),
            Some(0.6),
            &mut || self.copied(&source, &ours, &["--mode", "replace"]),
            Peer {
                name: "DuckDB",
                lack: self.peers.lack(&["duckdb", "mysql"]),
                run: &mut || self.peers.duckdb(":memory:", &sql, &attached),
            },
        );
    }

    fn csv_to_mysql(&self, table: &Table, server: &MySql) {
        let (csv, target) = (self.path(&table.csv()), server.locator("target"));
        let renewed = || {
            let narrowed = table.narrowed();
            server.sql(&format!("drop table if exists target; create table target {}{narrowed}", table.mysql()));
        };
        self.versus(
            &format!("{}: CSV → {}", table.name, server.product),
            Some(1.1),
            &mut || {
                renewed();
                self.copied(&csv, &target, &["--null", "NULL"])
            },
            Peer {
                name: "LOAD DATA",
                lack: None,
                run: &mut || {
                    renewed();
                    server.load("target", &csv)
                },
            },
        );
    }

    fn mysql_to_mysql(&self, table: &Table, server: &MySql) {
        let (other, name) = (server.other(), table.name);
        let (source, target) = (server.locator(name), server.locator_in(&other, name));
        let gone = || server.sql(&format!("drop table if exists {other}.{name}"));
        self.versus(
            &format!("{name}: {0} → {0}", server.product),
            Some(0.7),
            &mut || {
                gone();
                self.copied(&source, &target, &[])
            },
            Peer {
                name: "mariadb-dump | mariadb",
                lack: lack_of("mariadb-dump"),
                run: &mut || {
                    gone();
                    server.dumped(name)
                },
            },
        );
        gone();
    }

    pub(super) fn of_files(&self, table: &Table) {
        let lack = lack_of_library();
        for name in ["parquet-duckdb", "duckdb-parquet"].into_iter().filter(|name| wanted(name)) {
            match (&lack, name) {
                (Some(lack), _) => println!("{}: {name}: not measured: {lack}", table.name),
                (None, "parquet-duckdb") => self.parquet_to_duckdb(table),
                (None, _) => self.duckdb_to_parquet(table),
            }
        }
    }

    fn parquet_to_duckdb(&self, table: &Table) {
        let (name, parquet) = (table.name, self.path(&table.parquet()));
        let (ours, theirs) = (self.path("ours.duckdb"), self.path("theirs.duckdb"));
        let sql = format!("create table {name} as select * from '{parquet}'");
        self.versus(
            &format!("{name}: Parquet → DuckDB"),
            Some(1.3),
            &mut || {
                let _ = fs::remove_file(&ours);
                self.copied(&parquet, &format!("{ours}#{name}"), &[])
            },
            Peer {
                name: "DuckDB",
                lack: self.peers.lack(&["duckdb"]),
                run: &mut || {
                    let _ = fs::remove_file(&theirs);
                    self.peers.duckdb(&theirs, &sql, &[])
                },
            },
        );
    }

    fn duckdb_to_parquet(&self, table: &Table) {
        let (name, database) = (table.name, self.path("source.duckdb"));
        let (source, ours, theirs) =
            (format!("{database}#{name}"), self.path("ours.parquet"), self.path("theirs.parquet"));
        self.copied(&self.path(&table.parquet()), &source, &["--mode", "replace"]);
        let sql = format!("copy {name} to '{theirs}' {PARQUET}");
        self.versus(
            &format!("{name}: DuckDB → Parquet"),
            None,
            &mut || self.copied(&source, &ours, &["--mode", "replace"]),
            Peer {
                name: "DuckDB",
                lack: self.peers.lack(&["duckdb"]),
                run: &mut || self.peers.duckdb(&database, &sql, &[]),
            },
        );
    }

    pub(super) fn clickhouse(&self, table: &Table) {
        let server = match &self.clickhouse {
            Ok(server) => server,
            Err(lack) => return println!("{}: clickhouse: not measured: {lack}", table.name),
        };
        let (here, there, back) = (self.path(&table.parquet()), server.locator(table.name), self.path("back.parquet"));
        for (way, source, target) in [("Parquet → ClickHouse", &here, &there), ("ClickHouse → Parquet", &there, &back)]
        {
            let [cost] = in_turns(self.repeats, [&mut || self.copied(source, target, &["--mode", "replace"])]);
            let case = format!("{}: {way}", table.name);
            println!("{case:<44} {}   {}", columns(cost), self.speed(cost));
        }
    }

    /// Our readers to Arrow against those of `ConnectorX`: as rows are counted and dropped, and as an Arrow stream to
    /// nowhere. The former leaves rows of PostgreSQL undecoded, the latter has one writer that encodes them.
    pub(super) fn readers(&self, table: &Table) {
        let mut sources = vec![("PostgreSQL", format!("{}#{}", self.postgres, table.name), self.postgres.clone())];
        sources.extend(self.servers.iter().map(|server| (server.product, server.locator(table.name), server.url())));
        for (product, source, url) in &sources {
            for jobs in ["1", "2"] {
                for (way, target) in [("null:", &["null:"][..]), ("Arrow", &["-", "--to-format", "arrows"][..])] {
                    let (ours, theirs) = self.versus(
                        &format!("{}: {product} → {way}, {jobs} channels", table.name),
                        None,
                        &mut || self.etl(&[&[source.as_str()][..], target, &["-q", "-j", jobs]].concat()),
                        Peer {
                            name: "ConnectorX",
                            lack: self.peers.lack(&["connectorx"]),
                            run: &mut || self.peers.connectorx(url, table.name, (table.number, jobs)),
                        },
                    );
                    let theirs = theirs.map_or_else(|| "not measured".to_owned(), |cost| self.speed(cost));
                    println!("    etl {}; ConnectorX {theirs}", self.speed(ours));
                }
            }
        }
    }

    /// Ours, with two channels.
    pub(super) fn copied(&self, source: &str, target: &str, words: &[&str]) -> Cost {
        self.etl(&[&[source, target][..], &TWO, words].concat())
    }

    fn speed(&self, cost: Cost) -> String {
        let rows = self.rows as f64;
        format!("{:.0} k rows/s, {:.2} µs of CPU a row", rows / cost.wall / 1e3, cost.cpu / rows * 1e6)
    }
}
