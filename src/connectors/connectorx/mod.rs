//! ConnectorX: the door to databases that it reads and nobody else here does, and a path for those who use it.
//!
//! What it makes of a table is fast, and not always true: it cuts decimals, writes JSON anew, reads infinity as a day of a far
//! year, panics on what it does not know, and queues batches without bound. So `typemap` says of each of its types whether it
//! is kept, and what is not is asked for as text and parsed here; `bridge::guard` makes errors of panics; and `pull` drives its
//! parsers itself, one batch at a time, on the thread that reads the split.
#![doc = ""]
#![doc = include_str!("README.md")]
#![allow(clippy::doc_markdown, reason = "the page is for terminals, too, and its options are plain text")]

use std::sync::Arc;

use serde_json::Value as Json;

use crate::connector::{Connector, OptionDoc};
use crate::endpoint::Endpoint;
use crate::error::Result;

mod backend;
mod catalog;
mod config;
mod database;
mod decode;
mod endpoint;
mod error;
mod pull;
mod read;
mod session;
mod split;
mod table;
mod typemap;

/// The connector.
#[derive(Debug)]
pub struct ConnectorX;

impl Connector for ConnectorX {
    fn name(&self) -> &'static str {
        "connectorx"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["bigquery", "oracle", "trino", "trino+http", "trino+https"]
    }

    fn summary(&self) -> &'static str {
        "what ConnectorX reads: 'oracle://…#T', 'trino://…#t', 'bigquery:///key.json#d.t', 'connectorx:URL#t'"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn unproven(&self) -> &'static [&'static str] {
        &["bigquery", "clickhouse", "oracle", "trino"]
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(endpoint::ConnectorXEndpoint::new(config::Config::parse(options)?)))
    }
}
