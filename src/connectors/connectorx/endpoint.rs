//! One database behind ConnectorX: what is in it, and its sessions. It is read only. Nothing is open before a call.

use std::sync::Arc;

use async_trait::async_trait;

use super::backend::Backend;
use super::config::Config;
use super::database::{reach, server};
use super::{catalog, session};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};
use crate::sql::located::Located as _;

/// The endpoint.
#[derive(Debug)]
pub(super) struct ConnectorXEndpoint {
    config: Config,
}

impl ConnectorXEndpoint {
    pub(super) fn new(config: Config) -> Self {
        Self { config }
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
        self.config.placed(Error::new(ErrorKind::Unsupported, "ConnectorX only reads").with_hint(hint))
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
        let list = move |config: &Config| reach(config).and_then(|()| catalog::tables(config, &pattern));
        Ok(self.config.asked("list", list).await?.into_iter().map(ObjectRef::Table).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        let server = self.config.asked("ping", |config| reach(config).and_then(|()| server(config))).await?;
        let missing = vec!["ConnectorX only reads".to_owned()];
        Ok(Ping { server, facts: vec!["through ConnectorX".to_owned()], missing })
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(session::open(&self.config, request).await?))
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
