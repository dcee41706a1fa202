//! MySQL and MariaDB: reads the rows of the binary protocol over ranges of the key, writes by `LOAD DATA LOCAL` from memory.
#![doc = ""]
#![doc = include_str!("README.md")]
#![allow(clippy::doc_markdown, reason = "the page is for terminals, too, and its options are plain text")]

use std::sync::Arc;

use serde_json::Value as Json;

use crate::connector::{Connector, NativeType, OptionDoc};
use crate::endpoint::Endpoint;
use crate::error::Result;
use crate::sink::ColumnPlan;
use crate::source::TableShape;

use typemap::{MyType, TimeForm};

mod agree;
mod catalog;
mod check;
mod config;
mod connect;
mod connections;
mod ddl;
mod decode;
mod encode;
mod endpoint;
mod errors;
mod marker;
mod merge;
mod name;
mod proof;
mod publish;
mod put;
mod read;
mod session;
mod sift;
mod split;
mod stage;
mod tls;
mod typemap;
mod wire;
mod write;

/// The connector.
#[derive(Debug)]
pub struct Mysql;

impl Connector for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["mariadb"]
    }

    fn summary(&self) -> &'static str {
        "MySQL 5.7 and later and MariaDB, by LOAD DATA and the binary protocol"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(endpoint::MyEndpoint::new(config::Config::parse(options)?)))
    }

    fn create_table(&self, shape: &TableShape, table: &str) -> Result<Vec<String>> {
        ddl::of_shape(shape, table)
    }

    fn types(&self, _format: &str) -> Vec<NativeType> {
        let column = NativeType::COLUMN;
        let read = |name: &&str| match MyType::declared(name) {
            Some(read) => {
                let field = read.arrow_field(column, true, TimeForm::Time);
                NativeType::new(*name, field, read.native_field(column, true))
            }
            None => NativeType { name: (*name).to_owned(), table: Err(read::refused(name)) },
        };
        typemap::TYPES.iter().map(read).collect()
    }

    fn new_columns(&self, shape: &TableShape, _format: &str) -> Result<Vec<ColumnPlan>> {
        agree::new_columns(shape)
    }
}
