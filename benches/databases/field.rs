//! The same ways by other programs that people take for them: Sling, pgloader, DuckDB, `ConnectorX` and ADBC. Each writes
//! as it is used: Sling and pgloader make their targets themselves.

use std::fs;
use std::process::{Command, Stdio};

use super::Bench;
use super::cases::PARQUET;
use super::copies::{Cost, measured, psql};
use super::peers::Peer;
use super::servers::{MySql, lack_of};
use super::tables::Table;

/// Another program: its name, what is missing of it, and how it runs.
type Other<'a> = (&'static str, Option<String>, &'a dyn Fn() -> Cost);

impl Bench {
    pub(super) fn field(&self, table: &Table) {
        self.postgres_by_others(table);
        self.parquet_by_others(table);
        self.csv_by_others(table);
        for server in &self.servers {
            self.mysql_by_others(table, server);
        }
    }

    fn postgres_by_others(&self, table: &Table) {
        let name = table.name;
        let stream = format!("public.{name}");
        let sql = format!("insert into postgres.target select * from postgres.{name}");
        let attached = [format!("postgres={}", self.postgres)];
        self.against(
            &format!("{name}: PostgreSQL → PostgreSQL"),
            &|| self.copied_anew(table, &format!("{}#{name}", self.postgres), &[]),
            &[
                ("Sling", lack_of("sling"), &|| self.sling(&self.postgres, &stream)),
                ("DuckDB", self.peers.lack(&["duckdb", "postgres"]), &|| {
                    self.renewed(table);
                    self.peers.duckdb(":memory:", &sql, &attached)
                }),
            ],
        );
    }

    fn parquet_by_others(&self, table: &Table) {
        let (name, ours, theirs) = (table.name, self.path("ours.parquet"), self.path("theirs.parquet"));
        let (source, query) = (format!("{}#{name}", self.postgres), format!("select * from {name}"));
        let sql = format!("copy (select * from postgres.{name}) to '{theirs}' {PARQUET}");
        let attached = [format!("postgres={}", self.postgres)];
        self.against(
            &format!("{name}: PostgreSQL → Parquet"),
            &|| self.copied(&source, &ours, &["--mode", "replace"]),
            &[
                ("DuckDB", self.peers.lack(&["duckdb", "postgres"]), &|| {
                    self.peers.duckdb(":memory:", &sql, &attached)
                }),
                ("ConnectorX", self.peers.lack(&["connectorx"]), &|| {
                    self.peers.file("connectorx", &self.postgres, &query, &theirs)
                }),
                ("ADBC", self.peers.lack(&["adbc"]), &|| self.peers.file("adbc", &self.postgres, &query, &theirs)),
            ],
        );
        for file in [ours, theirs] {
            let _ = fs::remove_file(file);
        }
    }

    fn csv_by_others(&self, table: &Table) {
        let (name, csv) = (table.name, self.path(&table.csv()));
        let narrowed = table.narrowed();
        let renewed = || {
            self.renewed(table);
            if !narrowed.is_empty() {
                psql(&self.postgres, narrowed.trim_start_matches(';'));
            }
        };
        let sql = format!("insert into postgres.target select * from read_csv('{csv}', nullstr = 'NULL')");
        let attached = [format!("postgres={}", self.postgres)];
        self.against(
            &format!("{name}: CSV → PostgreSQL"),
            &|| {
                renewed();
                self.copied(&csv, &format!("{}#target", self.postgres), &["--null", "NULL"])
            },
            &[
                ("Sling", lack_of("sling"), &|| self.sling("file://", &format!("file://{csv}"))),
                ("DuckDB", self.peers.lack(&["duckdb", "postgres"]), &|| {
                    renewed();
                    self.peers.duckdb(":memory:", &sql, &attached)
                }),
            ],
        );
    }

    fn mysql_by_others(&self, table: &Table, server: &MySql) {
        let name = table.name;
        let file = self.path("pgloader.load");
        let postgres = self.postgres.replace("postgres://", "postgresql://");
        let job = format!(
            "load database from {} into {postgres}\n with include drop, create tables, create no indexes\n \
             including only table names matching '{name}';",
            server.url()
        );
        fs::write(&file, job).unwrap();
        self.against(
            &format!("{name}: {} → PostgreSQL", server.product),
            &|| self.copied_anew(table, &server.locator(name), &[]),
            &[
                ("Sling", lack_of("sling"), &|| self.sling(&server.url(), &server.qualified(name))),
                ("pgloader", lack_of("pgloader").or_else(|| server.lack_for_pgloader()), &|| {
                    measured(Command::new("pgloader").args(["--on-error-stop", "--quiet", &file]))
                }),
            ],
        );
        fs::remove_file(&file).unwrap();
        psql(&self.postgres, &format!("drop schema if exists {} cascade", server.database()));
    }

    /// One table or file into a table that it makes.
    fn sling(&self, source: &str, stream: &str) -> Cost {
        let plain =
            |url: &str| if url.starts_with("postgres:") { format!("{url}?sslmode=disable") } else { url.to_owned() };
        let mut sling = Command::new("sling");
        sling.args(["run", "--src-conn", &plain(source), "--src-stream", stream]);
        sling.args(["--tgt-conn", &plain(&self.postgres), "--tgt-object", "public.target", "--mode", "full-refresh"]);
        measured(sling.env("SLING_HOME_DIR", &self.folder).env("HOME", &self.folder).stderr(Stdio::null()))
    }

    /// Ours, into an empty table that is there.
    fn copied_anew(&self, table: &Table, source: &str, words: &[&str]) -> Cost {
        self.renewed(table);
        self.copied(source, &format!("{}#target", self.postgres), words)
    }

    fn against(&self, case: &str, ours: &dyn Fn() -> Cost, others: &[Other<'_>]) {
        for (name, lack, run) in others {
            self.versus(case, None, &mut || ours(), Peer { name, lack: lack.clone(), run: &mut || run() });
        }
    }
}
