//! ADBC: the door to any database that has a driver library of that standard, both ways, as Arrow.
//!
//! The driver is found when it is wanted and its calls run on threads of their own. Rows are read by one statement and written
//! by the driver's bulk path, within one transaction where it has them. What a driver is known to change on the way is kept
//! from it: `typemap` says what.
#![doc = ""]
#![doc = include_str!("README.md")]
#![allow(clippy::doc_markdown, reason = "the page is for terminals, too, and its options are plain text")]

use std::sync::Arc;

use serde_json::Value as Json;

use crate::connector::{Connector, OptionDoc};
use crate::endpoint::Endpoint;
use crate::error::Result;

mod agree;
mod catalog;
mod config;
mod database;
mod driver;
mod endpoint;
mod error;
mod load;
mod read;
mod session;
mod typemap;
mod write;

/// The connector.
#[derive(Debug)]
pub struct Adbc;

impl Connector for Adbc {
    fn name(&self) -> &'static str {
        "adbc"
    }

    fn summary(&self) -> &'static str {
        "any ADBC driver library: 'adbc:sqlite?uri=shop.db#orders'"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn unproven(&self) -> &'static [&'static str] {
        &["snowflake", "bigquery", "flightsql", "other drivers"]
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(endpoint::AdbcEndpoint::new(config::Config::parse(options)?)))
    }
}
