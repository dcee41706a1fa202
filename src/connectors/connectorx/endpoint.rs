//! One database behind ConnectorX: what is in it, and its sessions. It is read only. Nothing is open before a call.

use std::sync::Arc;

use async_trait::async_trait;

use super::backend::Backend;
use super::catalog;
use super::config::Config;
use super::database;
use super::session::ConnectorXSession;
use crate::bridge::blocking;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};

/// The endpoint.
#[derive(Debug)]
pub(super) struct ConnectorXEndpoint {
    config: Config,
}

/// `error` with the database that it concerns.
pub(super) fn placed(config: &Config, error: Error) -> Error {
    error.at("database", config.label())
}

impl ConnectorXEndpoint {
    pub(super) fn new(config: Config) -> Self {
        Self { config }
    }

    async fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Config) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let config = self.config.clone();
        let run = move || {
            database::reach(&config)?;
            work(&config)
        };
        blocking::run(name, run).await.map_err(|error| placed(&self.config, error))
    }

    fn read_only(&self) -> Error {
        let hint = match self.config.backend {
            Backend::Postgres => "write with 'postgres:'",
            Backend::MySql => "write with 'mysql:'",
            Backend::Sqlite => "write with 'sqlite:'",
            Backend::ClickHouse => "write with 'clickhouse:'",
            Backend::BigQuery => "write with 'adbc:'",
            Backend::Oracle | Backend::Trino => "write with 'odbc:'",
        };
        placed(&self.config, Error::new(ErrorKind::Unsupported, "ConnectorX only reads").with_hint(hint))
    }
}

#[async_trait]
impl Endpoint for ConnectorXEndpoint {
    fn label(&self) -> String {
        self.config.label()
    }

    fn unproven(&self) -> Option<String> {
        let backend = self.config.backend;
        let words = || format!("no test has run connectorx against a real server of {}", backend.name());
        (!backend.is_proven()).then(words)
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let pattern = pattern.to_owned();
        let tables = self.run("connectorx-list", move |config| catalog::tables(config, &pattern)).await?;
        Ok(tables.into_iter().map(ObjectRef::Table).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        let server = self.run("connectorx-ping", database::server).await?;
        let missing = vec!["ConnectorX only reads".to_owned()];
        Ok(Ping { server, facts: vec!["through ConnectorX".to_owned()], missing })
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(ConnectorXSession::open(&self.config, request).await?))
    }

    async fn execute(&self, _step: &StepToken, _sql: &str) -> Result<()> {
        Err(self.read_only())
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        Ok(())
    }

    fn sink(&self, _object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Err(self.read_only())
    }
}
