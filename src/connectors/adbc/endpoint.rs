//! One database behind a driver: what is in it, its sessions and its sinks. Nothing is open before a call.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::UInt32Type;
use async_trait::async_trait;

use super::config::Config;
use super::database::Connection;
use super::write::{AdbcSink, Stages};
use super::{catalog, session};
use crate::driven::name::Name;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::Result;
use crate::sink::{Agreement, Sink};
use crate::sql::located::Located as _;

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

impl AdbcEndpoint {
    pub(super) fn new(config: Config) -> Self {
        Self { config, stages: Arc::default() }
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
        let list = move |config: &Config| catalog::tables(&mut Connection::open(config)?, &pattern);
        Ok(self.config.asked("list", list).await?.into_iter().map(ObjectRef::Table).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        self.config.asked("ping", |config| ping(&mut Connection::open(config)?)).await
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
        Ok(Arc::new(AdbcSink::new(self.config.clone(), name, Arc::clone(&self.stages))))
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
