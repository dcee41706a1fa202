//! ODBC: the door to any database that has a driver of that standard, both ways.
//!
//! Drivers differ in what they keep and in what they say of it, and fail quietly. So values are fetched in blocks through
//! odbc-api as the texts that ODBC defines for them, each checked to be whole, and parsed here: the reader of arrow-odbc trusts
//! drivers to warn of what they cut, which MariaDB's does not, reads `NaN` of a decimal as 0, and floats of PostgreSQL with half
//! their digits. Its writer keeps what `typemap` lets through.
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
mod columns;
mod config;
mod database;
mod driver;
mod endpoint;
mod error;
mod fetch;
mod load;
mod read;
mod session;
mod typemap;
mod write;

/// The connector.
#[derive(Debug)]
pub struct Odbc;

impl Connector for Odbc {
    fn name(&self) -> &'static str {
        "odbc"
    }

    fn summary(&self) -> &'static str {
        "any ODBC driver: 'odbc:SHOP#orders', 'odbc:?Driver=…&Server=…#orders'"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn unproven(&self) -> &'static [&'static str] {
        &["oracle", "db2", "dm", "other drivers"]
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(endpoint::OdbcEndpoint::new(config::Config::parse(options)?)))
    }
}
