//! One database behind a driver: what is in it, its sessions and its sinks. Nothing is open before a call.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::UInt32Type;
use async_trait::async_trait;

use super::catalog;
use super::config::Config;
use super::database::Connection;
use super::session::AdbcSession;
use super::write::{AdbcSink, Stages};
use crate::bridge::blocking;
use crate::driven::name::Name;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};

/// Codes of ADBC for what a driver says of itself.
const VENDOR: u32 = 0;
const VENDOR_VERSION: u32 = 1;
const DRIVER: u32 = 100;
const DRIVER_VERSION: u32 = 101;

/// The endpoint.
#[derive(Debug)]
pub(super) struct AdbcEndpoint {
    config: Config,
    stages: Arc<Stages>,
}

/// `error` with the database that it concerns.
pub(super) fn placed(config: &Config, error: Error) -> Error {
    error.at("database", config.label())
}

impl AdbcEndpoint {
    pub(super) fn new(config: Config) -> Self {
        Self { config, stages: Arc::default() }
    }

    /// Runs `work` with a connection of its own.
    async fn connected<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let config = self.config.clone();
        let run = move || work(&mut Connection::open(&config)?);
        blocking::run(name, run).await.map_err(|error| placed(&self.config, error))
    }
}

#[async_trait]
impl Endpoint for AdbcEndpoint {
    fn label(&self) -> String {
        self.config.label()
    }

    fn unproven(&self) -> Option<String> {
        let driver = &self.config.driver;
        (!self.config.product.is_proven())
            .then(|| format!("no test has run the driver {driver} of adbc against a real server"))
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let pattern = pattern.to_owned();
        let tables = self.connected("adbc-list", move |connection| catalog::tables(connection, &pattern)).await?;
        Ok(tables.into_iter().map(ObjectRef::Table).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        self.connected("adbc-ping", ping).await
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(AdbcSession::open(&self.config, request).await?))
    }

    async fn execute(&self, _step: &StepToken, sql: &str) -> Result<()> {
        let sql = sql.to_owned();
        self.connected("adbc-execute", move |connection| connection.execute(&sql)).await
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        Ok(())
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        let ObjectRef::Table(typed) = object else {
            let error = Error::new(ErrorKind::Usage, "a table to write must be named");
            return Err(placed(&self.config, error.with_hint("write 'adbc:sqlite?uri=shop.db#orders'")));
        };
        Ok(Arc::new(AdbcSink::new(self.config.clone(), Name::parse(typed)?, Arc::clone(&self.stages))))
    }
}

fn ping(connection: &mut Connection) -> Result<Ping> {
    let facts: Vec<(u32, String)> = connection.info()?.iter().flat_map(facts_of).collect();
    let fact = |code: u32| facts.iter().find(|(known, _)| *known == code).map_or("", |(_, text)| text.as_str());
    let named = |name: &str, version: &str| format!("{name} {version}").trim().to_owned();
    let server = named(fact(VENDOR), fact(VENDOR_VERSION));
    let driver = named(fact(DRIVER), fact(DRIVER_VERSION));
    let mut missing = Vec::new();
    if connection.begin().is_err() {
        missing.push("the driver has no transactions: rows are seen while they are written".to_owned());
    }
    let server = if server.is_empty() { "a database".to_owned() } else { server };
    Ok(Ping { server, facts: vec![format!("through {driver}")], missing })
}

/// Codes and texts; what is no text is left out.
fn facts_of(batch: &RecordBatch) -> Vec<(u32, String)> {
    let columns = (batch.column_by_name("info_name"), batch.column_by_name("info_value"));
    let (Some(names), Some(values)) = columns else { return Vec::new() };
    let (Some(names), Some(values)) = (names.as_primitive_opt::<UInt32Type>(), values.as_union_opt()) else {
        return Vec::new();
    };
    let fact = |row: usize| {
        let value = values.value(row);
        let text = value.as_string_opt::<i32>().filter(|text| text.is_valid(0))?.value(0).to_owned();
        Some((names.value(row), text))
    };
    (0..batch.num_rows()).filter_map(fact).collect()
}
