//! The peak of each copy with two channels, which must be small and must not grow with the table.

use super::Bench;
use super::peers::lack_of_library;
use super::tables::{LARGE, MIXED, Table};

const MOST_BYTES: u64 = 200_000_000;
/// By how much peaks differ from run to run.
const NOISE: f64 = 1.15;

impl Bench {
    pub(super) fn memory(&self) {
        self.make(&LARGE);
        println!("{:<44} {:>12} {:>12}", "peak MB with 2 channels", "rows", "4 × rows");
        let (small, large) = (self.ways(&MIXED), self.ways(&LARGE));
        for ((name, source, target), (_, large_source, large_target)) in small.iter().zip(&large) {
            let first = self.peak(source, target, &MIXED);
            let second = self.peak(large_source, large_target, &LARGE);
            let size = if first.max(second) <= MOST_BYTES { "within" } else { "OVER" };
            let growth = if second as f64 <= first as f64 * NOISE { "flat" } else { "GROWS" };
            let (first, second) = (first as f64 / 1e6, second as f64 / 1e6);
            println!("{name:<44} {first:>12.0} {second:>12.0}   {size} the 200 MB wanted, {growth}");
        }
        if let Some(lack) = lack_of_library() {
            println!("DuckDB: not measured: {lack}");
        }
        if let Err(lack) = &self.clickhouse {
            println!("ClickHouse: not measured: {lack}");
        }
    }

    /// All copies that can be made here: name, source, target.
    fn ways(&self, table: &Table) -> Vec<(String, String, String)> {
        let name = table.name;
        let (parquet, csv, out) = (self.path(&table.parquet()), self.path(&table.csv()), self.path("peak.parquet"));
        let postgres = |table: &str| format!("{}#{table}", self.postgres);
        let way = |name: String, source: &str, target: &str| (name, source.to_owned(), target.to_owned());
        let mut ways = vec![way("PostgreSQL → Parquet".to_owned(), &postgres(name), &out)];
        for server in &self.servers {
            let (product, source) = (server.product, server.locator(name));
            let (target, other) = (server.locator("target"), server.locator_in(&server.other(), name));
            ways.extend([
                way(format!("{product} → null:"), &source, "null:"),
                way(format!("{product} → PostgreSQL"), &source, &postgres("target")),
                way(format!("{product} → Parquet"), &source, &out),
                way(format!("{product} → {product}"), &source, &other),
                way(format!("PostgreSQL → {product}"), &postgres(name), &target),
                way(format!("CSV → {product}"), &csv, &target),
            ]);
        }
        if lack_of_library().is_none() {
            let database = format!("{}#{name}", self.path("peak.duckdb"));
            ways.push(way("Parquet → DuckDB".to_owned(), &parquet, &database));
            ways.push(way("DuckDB → Parquet".to_owned(), &database, &out));
        }
        if let Ok(server) = &self.clickhouse {
            let target = server.locator(name);
            ways.push(way("Parquet → ClickHouse".to_owned(), &parquet, &target));
            ways.push(way("ClickHouse → Parquet".to_owned(), &target, &out));
        }
        ways
    }

    fn peak(&self, source: &str, target: &str, table: &Table) -> u64 {
        self.renewed(table);
        let is_csv = source == self.path(&table.csv());
        for server in &self.servers {
            let narrowed = if is_csv { table.narrowed() } else { "" };
            server.sql(&format!("drop table if exists target; create table target {}{narrowed}", table.mysql()));
        }
        let null: &[&str] = if is_csv { &["--null", "NULL"] } else { &[] };
        self.copied(source, target, &[&["--mode", "replace"][..], null].concat()).peak_bytes
    }
}
