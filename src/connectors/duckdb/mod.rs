//! DuckDB: database files, read at one point in time by several readers and written through a stage, both as Arrow.
//!
//! The engine is a library that is found when it is wanted; it speaks ADBC. All of its calls run on threads of their own,
//! one per connection. `typemap` says what its types are in Arrow; what it would change on the way is asked for as text.
//! `ARCHITECTURE.md` here is for those who change it.
#![doc = ""]
#![doc = include_str!("README.md")]

mod agree;
mod batches;
mod catalog;
mod config;
mod database;
mod decode;
mod encode;
mod error;
mod form;
mod load;
mod marker;
mod memory;
mod merge;
mod proof;
mod read;
mod session;
mod sift;
mod stage;
mod typemap;
mod write;
mod zero;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::attempt::Token;
use crate::connector::{Connector, NativeType, OptionDoc};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, Step, StepToken};
use crate::error::Result;
use crate::sink::{Agreement, ColumnPlan, Sink, WriteMode, WriteRequest};
use crate::source::TableShape;
use crate::sql::located::Located as _;
use crate::sql::runs::Commits;

use config::Config;
use database::{Access, Database};
use session::Intent;

/// The connector.
#[derive(Debug)]
pub struct DuckDb;

impl Connector for DuckDb {
    fn name(&self) -> &'static str {
        "duckdb"
    }

    fn summary(&self) -> &'static str {
        "DuckDB database files: duckdb:shop.duckdb#orders"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        let config = Config::parse(options)?;
        Ok(Arc::new(DuckdbEndpoint { intent: Intent::of(&config.path), config, commits: Arc::default() }))
    }

    fn create_table(&self, shape: &TableShape, table: &str) -> Result<Vec<String>> {
        Ok(new_table(shape, table)?.ddl)
    }

    fn types(&self, _format: &str) -> Vec<NativeType> {
        let read = |name: &&str| match typemap::Kind::parse(name) {
            Some(kind) => {
                let (field, native) = (kind.column(NativeType::COLUMN, true), kind.native(NativeType::COLUMN, true));
                NativeType::new(*name, field, native)
            }
            None => NativeType { name: (*name).to_owned(), table: Err(catalog::refused(name)) },
        };
        typemap::TYPES.iter().map(read).collect()
    }

    fn new_columns(&self, shape: &TableShape, _format: &str) -> Result<Vec<ColumnPlan>> {
        Ok(new_table(shape, NEW_TABLE)?.columns)
    }
}

/// The name of a table of which only the columns matter.
const NEW_TABLE: &str = "new_table";

fn new_table(shape: &TableShape, table: &str) -> Result<Agreement> {
    let target = agree::Target::Missing { name: catalog::resolve(table)?, new_file: true };
    agree::agree(shape, &WriteRequest::new(WriteMode::Create), &target)
}

/// One database file.
#[derive(Debug)]
struct DuckdbEndpoint {
    config: Config,
    intent: Intent,
    commits: Arc<Commits>,
}

#[async_trait]
impl Endpoint for DuckdbEndpoint {
    fn label(&self) -> String {
        self.config.label()
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let pattern = pattern.to_owned();
        let list =
            move |config: &Config| catalog::tables(&mut Database::open(config, Access::Read)?.connect()?, &pattern);
        Ok(self.config.asked("list", list).await?.into_iter().map(ObjectRef::Table).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        self.config.asked("ping", ping).await
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(session::DuckdbSession::open(&self.config, &self.intent, request).await?))
    }

    async fn execute(&self, step: &StepToken, sql: &str) -> Result<()> {
        let (sql, step) = (sql.to_owned(), step.step);
        let execute = move |config: &Config| {
            // SQL before the copy may make the database; SQL after it finds one.
            let access = if step == Step::PreSql { Access::Create } else { Access::Write };
            Database::open(config, access)?.connect()?.transaction(|connection| connection.execute(&sql))
        };
        self.config.asked("execute", execute).await
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        let forget = |tokens: Vec<Token>| {
            self.config.asked("finish", move |config| {
                marker::forget(&mut Database::open(config, Access::Write)?.connect()?, &tokens)
            })
        };
        self.commits.unmark(forget).await
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        let typed = self.config.target(object)?.to_owned();
        Ok(Arc::new(write::DuckdbSink::new(self.config.clone(), typed, Arc::clone(&self.commits))))
    }
}

fn ping(config: &Config) -> Result<Ping> {
    let mut connection = Database::open(config, Access::Read)?.connect()?;
    let version = connection.texts("SELECT library_version FROM pragma_version()")?;
    let version = version.into_iter().flatten().flatten().next().unwrap_or_default();
    let tables = catalog::tables(&mut connection, "*.*")?.len();
    let facts = vec![
        format!("{tables} tables and views"),
        format!("memory limit {} MB", config.memory_limit_bytes / 1_000_000),
    ];
    Ok(Ping { server: format!("DuckDB {}", version.trim_start_matches('v')), facts, missing: Vec::new() })
}
