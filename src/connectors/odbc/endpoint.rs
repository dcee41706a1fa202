//! One database behind a driver: what is in it, its sessions and its sinks. Nothing is open before a call.

use std::sync::Arc;

use async_trait::async_trait;

use super::catalog;
use super::config::Config;
use super::database::{Connection, driver_of_source};
use super::driver::Product;
use super::session::OdbcSession;
use super::write::{OdbcSink, Stages};
use crate::bridge::blocking;
use crate::driven::name::Name;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};

/// The endpoint.
#[derive(Debug)]
pub(super) struct OdbcEndpoint {
    config: Config,
    stages: Arc<Stages>,
}

/// `error` with the database that it concerns.
pub(super) fn placed(config: &Config, error: Error) -> Error {
    error.at("database", config.label())
}

impl OdbcEndpoint {
    pub(super) fn new(config: Config) -> Self {
        Self { config, stages: Arc::default() }
    }

    /// Runs `work` with a connection of its own.
    async fn connected<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let config = self.config.clone();
        let run = move || work(&Connection::open(&config)?);
        blocking::run(name, run).await.map_err(|error| placed(&self.config, error))
    }

    /// The name of the driver, or of its library; none where a data source does not tell it.
    fn driver(&self) -> Option<String> {
        let of_source = || self.config.dsn.as_deref().and_then(driver_of_source);
        self.config.driver().map(str::to_owned).or_else(of_source)
    }
}

#[async_trait]
impl Endpoint for OdbcEndpoint {
    fn label(&self) -> String {
        self.config.label()
    }

    fn unproven(&self) -> Option<String> {
        let driver = self.driver();
        if driver.as_deref().is_some_and(|driver| Product::of_driver(driver).is_proven()) {
            return None;
        }
        let driver = driver.or_else(|| self.config.dsn.clone()).unwrap_or_default();
        Some(format!("no test has run the driver {driver} of odbc against a real server"))
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let pattern = pattern.to_owned();
        let tables = self.connected("odbc-list", move |connection| catalog::tables(connection, &pattern)).await?;
        Ok(tables.into_iter().map(ObjectRef::Table).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        let driver = self.driver().map(|driver| format!("through the ODBC driver {driver}"));
        let facts: Vec<String> = driver.into_iter().collect();
        let work = move |connection: &Connection| -> Result<Ping> {
            let mut missing = Vec::new();
            if connection.try_transaction().is_err() {
                missing.push("the driver has no transactions: rows are seen while they are written".to_owned());
            }
            Ok(Ping { server: connection.database_name()?, facts, missing })
        };
        self.connected("odbc-ping", work).await
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(OdbcSession::open(&self.config, request).await?))
    }

    async fn execute(&self, _step: &StepToken, sql: &str) -> Result<()> {
        let sql = sql.to_owned();
        self.connected("odbc-execute", move |connection| connection.execute(&sql)).await
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        Ok(())
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        let ObjectRef::Table(typed) = object else {
            let error = Error::new(ErrorKind::Usage, "a table to write must be named");
            return Err(placed(&self.config, error.with_hint("write 'odbc:DSN#orders'")));
        };
        Ok(Arc::new(OdbcSink::new(self.config.clone(), Name::parse(typed)?, Arc::clone(&self.stages))))
    }
}
