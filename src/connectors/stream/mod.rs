//! `gen:` makes rows out of nothing, `null:` takes rows and drops them: for trying, measuring and testing.
//!
//! `gen:` is a source of columns with types and ranges, or of the TPC-H tables; the same seed gives the same rows
//! whichever way the table is cut. `null:` is a sink that counts. Neither keeps anything.
#![doc = ""]
#![doc = include_str!("README.md")]

mod columns;
mod config;
mod endpoint;
mod fill;
mod read;
#[cfg(test)]
mod tests;
mod tpch;
mod write;

use std::sync::Arc;

use serde_json::Value as Json;

use crate::connector::{Connector, OptionDoc};
use crate::endpoint::Endpoint;
use crate::error::Result;

/// The connector of `gen:` and `null:`.
#[derive(Debug)]
pub struct Stream;

impl Connector for Stream {
    fn name(&self) -> &'static str {
        "stream"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["gen", "null"]
    }

    fn summary(&self) -> &'static str {
        "gen: makes rows (columns with ranges, TPC-H tables), null: counts and drops them"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(match config::parse(options)? {
            config::Config::Null => Arc::new(write::Null),
            config::Config::Columns(table) => Arc::new(endpoint::Generator::columns(table)),
            config::Config::Tpch(tpch) => Arc::new(endpoint::Generator::tpch(tpch)),
        })
    }
}
