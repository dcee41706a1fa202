//! The options of one database file.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use crate::connector::{OptionDoc, option};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::value::size;
use crate::sql::file;
use crate::sql::located::Located;

/// What is said as 512MB in the options.
const DEFAULT_LIMIT_BYTES: u64 = 512_000_000;

pub(super) const OPTIONS: &[OptionDoc] = &[
    option("url", "string", "", "Path of the database file: duckdb:shop.duckdb.").required(),
    option("busyTimeout", "integer", "3", "Seconds to wait for a file that another program has open.")
        .within("0 to 86400"),
    option("memoryLimit", "string", "512MB", "What DuckDB itself may hold in memory; beyond it, it writes to disk.")
        .within("a number and kB, MB, GB, TB, KiB, MiB, GiB or TiB"),
];

/// One database file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) path: PathBuf,
    pub(super) busy_timeout: Duration,
    pub(super) memory_limit_bytes: u64,
}

impl Config {
    /// Parses `options` and opens nothing.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        let names: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
        let options = file::options(options, "duckdb", &names)?;
        let busy_timeout = file::busy_timeout(options)?;
        let memory_limit_bytes = match options.get("memoryLimit") {
            None | Some(Json::Null) => DEFAULT_LIMIT_BYTES,
            Some(value) => {
                value.as_str().filter(|text| text.ends_with(['b', 'B'])).and_then(size::bytes).ok_or_else(|| {
                    Error::new(ErrorKind::Usage, "the option memoryLimit is a size such as 512MB or 2GiB")
                })?
            }
        };
        let path = file::path(options, &["duckdb"], Self::EXAMPLE)?;
        if path.to_str().is_some_and(|path| path.starts_with("md:")) {
            let error = Error::new(ErrorKind::Unsupported, "MotherDuck is not reached from here");
            return Err(error.with_hint("name a file"));
        }
        Ok(Self { path, busy_timeout, memory_limit_bytes })
    }
}

impl Located for Config {
    const CONNECTOR: &'static str = "duckdb";
    const EXAMPLE: &'static str = "duckdb:shop.duckdb#orders";

    fn label(&self) -> String {
        format!("duckdb:{}", self.path.display())
    }

    fn placed(&self, error: Error) -> Error {
        error.at("database", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_taken_as_they_stand() {
        let cases = [
            ("duckdb:shop.db", "shop.db"),
            ("duckdb:/tmp/shop.db", "/tmp/shop.db"),
            ("duckdb:///tmp/shop.db", "/tmp/shop.db"),
            ("shop db.duckdb", "shop db.duckdb"),
        ];
        for (url, path) in cases {
            assert_eq!(Config::parse(&json!({ "url": url })).unwrap().path, PathBuf::from(path));
        }
    }

    #[test]
    fn wrong_options_are_usage_errors() {
        for options in [
            json!({}),
            json!({"url": "duckdb:"}),
            json!({"url": "duckdb::memory:"}),
            json!({"url": "a.db", "mode": "rw"}),
            json!({"url": "a.db", "busyTimeout": "soon"}),
            json!({"url": "a.db", "memoryLimit": "1GB'; DROP TABLE t"}),
            json!({"url": "a.db", "memoryLimit": "80%"}),
        ] {
            assert_eq!(Config::parse(&options).unwrap_err().kind(), ErrorKind::Usage, "{options}");
        }
        let limit = |options| Config::parse(&options).unwrap().memory_limit_bytes;
        assert_eq!(limit(json!({"url": "a.db", "memoryLimit": "2GiB"})), 2 << 30);
        assert_eq!(limit(json!({"url": "a.db"})), 512_000_000);
    }
}
