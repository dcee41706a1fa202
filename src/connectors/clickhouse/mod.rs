//! ClickHouse over HTTP: rows come and go in blocks of Arrow's stream.
#![doc = ""]
#![doc = include_str!("README.md")]
#![allow(clippy::doc_markdown, reason = "the page is for terminals, too, and its options are plain text")]

use std::sync::Arc;

use serde_json::Value as Json;

use crate::connector::{Connector, NativeType, OptionDoc};
use crate::endpoint::Endpoint;
use crate::error::Result;
use crate::sink::{ColumnPlan, WriteMode, WriteRequest};
use crate::source::TableShape;

mod agree;
mod answer;
mod catalog;
mod config;
mod connect;
mod ddl;
mod decode;
mod encode;
mod endpoint;
mod errors;
mod marker;
mod name;
mod proof;
mod publish;
mod put;
mod read;
mod request;
mod session;
mod split;
mod stage;
mod tls;
mod typemap;
mod write;

/// The connector.
#[derive(Debug)]
pub struct Clickhouse;

impl Connector for Clickhouse {
    fn name(&self) -> &'static str {
        "clickhouse"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["clickhouses", "ch"]
    }

    fn summary(&self) -> &'static str {
        "ClickHouse over HTTP, in blocks of Arrow's stream"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(endpoint::ChEndpoint::new(config::Config::parse(options)?)))
    }

    fn create_table(&self, shape: &TableShape, table: &str) -> Result<Vec<String>> {
        ddl::of_shape(shape, table)
    }

    fn types(&self, _format: &str) -> Vec<NativeType> {
        let read = |name: &&str| match typemap::Type::parse(name) {
            Some(read) => NativeType::new(*name, read.column(NativeType::COLUMN), None),
            None => NativeType { name: (*name).to_owned(), table: Err(catalog::refused(name)) },
        };
        typemap::TYPES.iter().map(read).collect()
    }

    fn new_columns(&self, shape: &TableShape, _format: &str) -> Result<Vec<ColumnPlan>> {
        let target = agree::Target::Missing(name::Name::typed("new_table", "default")?);
        Ok(agree::agree(shape, &WriteRequest::new(WriteMode::Create), &target)?.columns)
    }
}
