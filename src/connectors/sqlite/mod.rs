//! SQLite: database files, read at one point in time by several readers and written in one transaction.
//!
//! All calls of the driver run on threads of their own, one per connection. What columns hold is decided by
//! `describe` and `typemap`; values that do not fit are errors with table, column and row id, never coerced.
//! `ARCHITECTURE.md` here is for those who change it.
#![doc = ""]
#![doc = include_str!("README.md")]

mod agree;
mod building;
mod catalog;
mod config;
mod decode;
mod describe;
mod encode;
mod error;
mod keys;
mod left;
mod load;
mod marker;
mod merge;
mod proof;
mod read;
mod session;
mod spread;
mod stage;
mod typemap;
mod value;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::attempt::Token;
use crate::connector::{Connector, NativeType, OptionDoc};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, Step, StepToken};
use crate::error::Result;
use crate::sink::{Agreement, ColumnPlan, Sink, Tasks, WriteMode, WriteRequest};
use crate::source::TableShape;
use crate::sql::located::Located as _;

use config::Config;
use error::failed;

/// The connector.
#[derive(Debug)]
pub struct Sqlite;

impl Connector for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["sqlite3"]
    }

    fn summary(&self) -> &'static str {
        "SQLite database files: sqlite:shop.db#orders"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(SqliteEndpoint { config: Config::parse(options)?, stages: Arc::default() }))
    }

    fn create_table(&self, shape: &TableShape, table: &str) -> Result<Vec<String>> {
        Ok(new_table(shape, table)?.ddl)
    }

    fn types(&self, _format: &str) -> Vec<NativeType> {
        typemap::TYPES.iter().map(|name| NativeType::new(*name, typemap::read_as(name), None)).collect()
    }

    fn new_columns(&self, shape: &TableShape, _format: &str) -> Result<Vec<ColumnPlan>> {
        Ok(new_table(shape, NEW_TABLE)?.columns)
    }
}

/// The name of a table of which only the columns matter.
const NEW_TABLE: &str = "new_table";

fn new_table(shape: &TableShape, table: &str) -> Result<Agreement> {
    let target = agree::Target::Missing { name: catalog::resolve(table)?, file: agree::File::Missing };
    let request = WriteRequest { tasks: Tasks::One, ..WriteRequest::new(WriteMode::Create) };
    agree::agree(shape, &request, &target)
}

/// One database file.
#[derive(Debug)]
struct SqliteEndpoint {
    config: Config,
    stages: Arc<write::Stages>,
}

#[async_trait]
impl Endpoint for SqliteEndpoint {
    fn label(&self) -> String {
        self.config.label()
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let pattern = pattern.strip_prefix("main.").unwrap_or(pattern).to_owned();
        let list = move |config: &Config| catalog::tables(&config.open_to_read()?, &pattern);
        Ok(self.config.asked("list", list).await?.into_iter().map(ObjectRef::Table).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        self.config.asked("ping", ping).await
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(session::SqliteSession::open(&self.config, request).await?))
    }

    async fn execute(&self, step: &StepToken, sql: &str) -> Result<()> {
        let (sql, step) = (sql.to_owned(), step.step);
        let execute = move |config: &Config| {
            let was_there = config.path.exists();
            let executed = run(config, step, &sql);
            // A new file without a byte is none that the SQL made.
            if executed.is_err() && !was_there && std::fs::metadata(&config.path).is_ok_and(|file| file.len() == 0) {
                let _ = std::fs::remove_file(&config.path);
            }
            executed
        };
        self.config.asked("execute", execute).await
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        let forget = |tokens: Vec<Token>| {
            self.config.asked("finish", move |config| marker::forget(&mut config.open_to_write()?, &tokens))
        };
        self.stages.commits.unmark(forget).await
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        let typed = self.config.target(object)?.to_owned();
        Ok(Arc::new(write::SqliteSink::new(self.config.clone(), typed, Arc::clone(&self.stages))))
    }
}

/// Runs `sql` in one transaction. SQL before the copy may make the database; SQL after it finds one.
fn run(config: &Config, step: Step, sql: &str) -> Result<()> {
    let mut connection = if step == Step::PreSql { config.open_or_create()? } else { config.open_to_write()? };
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    transaction.execute_batch(sql).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn ping(config: &Config) -> Result<Ping> {
    let connection = config.open_to_read()?;
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).map_err(failed);
    let tables = catalog::tables(&connection, "*")?.len();
    let journal = text("PRAGMA journal_mode")?;
    let facts = vec![
        if tables == 1 { "1 table or view".to_owned() } else { format!("{tables} tables and views") },
        format!("journal {journal}"),
        format!("encoding {}", text("PRAGMA encoding")?),
    ];
    let mut missing = Vec::new();
    if config
        .open_to_write()
        .and_then(|guard| guard.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(failed))
        .is_err()
    {
        missing.push("the write lock is not to be had: one reader only, and no writing".to_owned());
    } else if journal != "wal" {
        missing.push(
            "a rollback journal makes writers wait while it is read; PRAGMA journal_mode=WAL avoids that".to_owned(),
        );
    }
    Ok(Ping { server: format!("SQLite {}", rusqlite::version()), facts, missing })
}

#[cfg(test)]
mod tests;
