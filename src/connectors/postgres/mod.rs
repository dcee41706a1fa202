//! PostgreSQL: reads by binary COPY over page ranges of one exported snapshot, writes by binary COPY.
//!
//! `ARCHITECTURE.md` here is for those who change it.
#![doc = ""]
#![doc = include_str!("README.md")]
#![allow(clippy::doc_markdown, reason = "the page is for terminals, too, and its options are plain text")]

use std::sync::Arc;

use serde_json::Value as Json;

use crate::connector::{Connector, NativeType, OptionDoc, option};
use crate::endpoint::{Endpoint, ObjectRef};
use crate::error::Result;
use crate::sink::ColumnPlan;
use crate::source::TableShape;

mod agree;
mod buffers;
mod catalog;
pub mod codec;
mod config;
mod connect;
mod connections;
mod copy;
mod ddl;
mod decode;
mod encode;
mod endpoint;
mod errors;
mod marker;
mod merge;
mod name;
mod patience;
mod plan;
mod position;
mod prepared;
mod proof;
mod publish;
mod read;
mod session;
mod sift;
mod split;
mod stage;
mod state;
mod statements;
mod steps;
mod target;
mod tls;
mod typemap;
mod typename;
mod types;
mod unseen;
mod write;

/// The connector.
#[derive(Debug)]
pub struct Postgres;

impl Connector for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["postgresql", "pg"]
    }

    fn summary(&self) -> &'static str {
        "PostgreSQL 10 and later, by binary COPY"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn options(&self) -> &'static [OptionDoc] {
        OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(endpoint::PgEndpoint::new(config::Config::parse(options)?)))
    }

    fn create_table(&self, shape: &TableShape, table: &str) -> Result<Vec<String>> {
        ddl::of_shape(shape, &name::Name::of(&ObjectRef::Table(table.to_owned()))?)
    }

    fn types(&self, _format: &str) -> Vec<NativeType> {
        types::types()
    }

    fn new_columns(&self, shape: &TableShape, _format: &str) -> Result<Vec<ColumnPlan>> {
        agree::new_columns(shape)
    }
}

/// The options that matter most; every keyword of libpq is understood as well, such as `dbname` and `sslmode`.
const OPTIONS: &[OptionDoc] = &[
    option("url", "string", "", "A libpq URL, or postgres: and a keyword string; ${NAME} is an environment variable."),
    option("host", "string", "local socket", "Host names, addresses or socket folders, separated by commas."),
    option("port", "integer", "5432", "The port; several, one per host, as a string.").within("1 to 65535"),
    option("database", "string", "the user's name", "The database."),
    option("user", "string", "the system user", "The user to log in as."),
    option("password", "string", "PGPASSWORD, ~/.pgpass", "The password; better a reference such as ${NAME}."),
    option("service", "string", "", "A section of ~/.pg_service.conf that fills what is not given."),
    option("tlsMode", "string", "prefer", "Whether TLS is used, and what the server has to prove.")
        .within("disable, allow, prefer, require, verify-ca, verify-full"),
    option("tlsCa", "string", "~/.postgresql/root.crt", "Trusted roots: a PEM file, or system."),
    option("tlsCert", "string", "~/.postgresql/postgresql.crt", "The client's certificate."),
    option("tlsKey", "string", "~/.postgresql/postgresql.key", "The key of the client's certificate."),
    option("connectTimeout", "integer", "30", "Seconds that one host may take, at least 2; 0 waits for ever.")
        .within("0 or more"),
    option("options", "string", "", "Command-line options for the server: -c search_path=sales."),
    option("targetSessionAttrs", "string", "any", "Which of several hosts will do.")
        .within("any, read-write, read-only, primary, standby, prefer-standby"),
    option(
        "timestamptz",
        "string",
        "instant",
        "How instants are read: as such, and with server the clock of the session is the one by which they become times without a zone.",
    )
    .within("instant, server"),
];
