//! Microsoft SQL Server over TDS: rows are read into columns, and go in by bulk load.
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
mod catalog;
mod config;
mod connect;
mod connections;
mod ddl;
mod decode;
mod encode;
mod endpoint;
mod errors;
mod marker;
mod name;
mod prelogin;
mod publish;
mod read;
mod session;
mod split;
mod stage;
mod tls;
mod typemap;
mod write;

/// What no test has seen, in one sentence.
const UNPROVEN: &str = "no test has run the connector mssql against a real SQL Server";

/// The connector.
#[derive(Debug)]
pub struct Mssql;

impl Connector for Mssql {
    fn name(&self) -> &'static str {
        "mssql"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["sqlserver"]
    }

    fn summary(&self) -> &'static str {
        "Microsoft SQL Server over TDS, written by bulk load"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn unproven(&self) -> &'static [&'static str] {
        &["SQL Server", "Azure SQL"]
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(endpoint::MsEndpoint::new(config::Config::parse(options)?)))
    }

    fn create_table(&self, shape: &TableShape, table: &str) -> Result<Vec<String>> {
        ddl::of_shape(shape, table)
    }

    fn types(&self, _format: &str) -> Vec<NativeType> {
        let read = |name: &&str| match typemap::SqlType::declared(name) {
            Some(sql_type) => NativeType::new(*name, sql_type.arrow_field(NativeType::COLUMN, true), None),
            None => NativeType { name: (*name).to_owned(), table: Err(typemap::refused(name)) },
        };
        typemap::TYPES.iter().map(read).collect()
    }

    fn new_columns(&self, shape: &TableShape, _format: &str) -> Result<Vec<ColumnPlan>> {
        let target = agree::Target::Missing(name::Name::typed("new_table")?.within("dbo"));
        Ok(agree::agree(shape, &WriteRequest::new(WriteMode::Create), &target)?.columns)
    }
}
