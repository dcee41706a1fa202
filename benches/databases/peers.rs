//! DuckDB, `ConnectorX` and ADBC, by a script in Python, and what is missing of them.

use std::process::Command;

use super::copies::Cost;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/databases/peer.py");

/// The other program of a case.
pub(super) struct Peer<'a> {
    pub(super) name: &'a str,
    /// Why it cannot be measured here, if so.
    pub(super) lack: Option<String>,
    pub(super) run: &'a mut dyn FnMut() -> Cost,
}

/// What `ETL_BENCH_PYTHON` offers.
pub(super) struct Peers {
    python: Option<String>,
    /// For each part why it cannot be used; nothing where it can.
    lacks: Vec<(&'static str, String)>,
}

impl Peers {
    pub(super) fn from_environment() -> Self {
        let Ok(python) = std::env::var("ETL_BENCH_PYTHON") else { return Self { python: None, lacks: Vec::new() } };
        let lack = |part: &'static str| {
            let output = Command::new(&python).args([SCRIPT, "check", part]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            (part, String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let lacks = Vec::from(["duckdb", "mysql", "postgres", "connectorx", "adbc"].map(lack));
        Self { python: Some(python), lacks }
    }

    /// What is missing of these parts.
    pub(super) fn lack(&self, parts: &[&str]) -> Option<String> {
        if self.python.is_none() {
            return Some(
                "set ETL_BENCH_PYTHON to a Python with the packages that this benchmark names at its top".to_owned(),
            );
        }
        let lack = self.lacks.iter().find(|(part, lack)| parts.contains(part) && !lack.is_empty());
        lack.map(|(_, lack)| lack.clone())
    }

    /// One statement of DuckDB in the database `file`, with servers `name=place` attached.
    pub(super) fn duckdb(&self, file: &str, sql: &str, servers: &[String]) -> Cost {
        let words = ["duckdb", file, sql];
        self.script(&[&words[..], &servers.iter().map(String::as_str).collect::<Vec<_>>()].concat())
    }

    /// A table as Arrow, in as many parts as there are channels.
    pub(super) fn connectorx(&self, url: &str, table: &str, (number, channels): (&str, &str)) -> Cost {
        let sql = format!("select * from {table}");
        let cut: &[&str] = if channels == "1" { &[] } else { &[number, channels] };
        self.script(&[&["connectorx", url, &sql][..], cut].concat())
    }

    /// The rows of a query as a Parquet file, by `reader`: `connectorx` or `adbc`.
    pub(super) fn file(&self, reader: &str, url: &str, sql: &str, file: &str) -> Cost {
        self.script(&["parquet", reader, url, sql, file])
    }

    /// Its own figures: the start of Python is not part of them.
    fn script(&self, words: &[&str]) -> Cost {
        let python = self.python.as_ref().expect("a peer is run where nothing is missing");
        let output = Command::new(python).arg(SCRIPT).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut figures = text.split_whitespace().map(|figure| figure.parse::<f64>().unwrap());
        let mut next = || figures.next().expect("three figures");
        Cost { wall: next(), cpu: next(), peak_bytes: next() as u64 }
    }
}

/// Why our side cannot read or write database files of DuckDB, if so.
pub(super) fn lack_of_library() -> Option<String> {
    let given = std::env::var_os("DUCKDB_LIB").is_some();
    (!given).then(|| "set DUCKDB_LIB to DuckDB's library".to_owned())
}
