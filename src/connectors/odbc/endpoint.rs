//! One database behind a driver: what is in it, its sessions and its sinks. Nothing is open before a call.

use std::sync::Arc;

use async_trait::async_trait;

use super::config::Config;
use super::database::{Connection, driver_of_source};
use super::driver::Product;
use super::write::{OdbcSink, Stages};
use super::{catalog, session};
use crate::driven::name::Name;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::Result;
use crate::sink::{Agreement, Sink};
use crate::sql::located::Located as _;

/// The endpoint.
#[derive(Debug)]
pub(super) struct OdbcEndpoint {
    config: Config,
    stages: Arc<Stages>,
}

impl OdbcEndpoint {
    pub(super) fn new(config: Config) -> Self {
        Self { config, stages: Arc::default() }
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
        let list = move |config: &Config| catalog::tables(&Connection::open(config)?, &pattern);
        Ok(self.config.asked("list", list).await?.into_iter().map(ObjectRef::Table).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        let driver = self.driver().map(|driver| format!("through the ODBC driver {driver}"));
        let facts: Vec<String> = driver.into_iter().collect();
        let ping = move |config: &Config| -> Result<Ping> {
            let connection = Connection::open(config)?;
            let mut missing = Vec::new();
            if connection.try_transaction().is_err() {
                missing.push("the driver has no transactions: rows are seen while they are written".to_owned());
            }
            Ok(Ping { server: connection.database_name()?, facts, missing })
        };
        self.config.asked("ping", ping).await
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(session::open(&self.config, request).await?))
    }

    async fn execute(&self, _step: &StepToken, sql: &str) -> Result<()> {
        let sql = sql.to_owned();
        self.config.asked("execute", move |config| Connection::open(config)?.execute(&sql)).await
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        Ok(())
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        let name = Name::parse(self.config.target(object)?)?;
        Ok(Arc::new(OdbcSink::new(self.config.clone(), name, Arc::clone(&self.stages))))
    }
}
