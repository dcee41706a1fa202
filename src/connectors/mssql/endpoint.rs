//! One database of one server: what is in it, its sessions and its sinks.

use std::sync::Arc;

use async_trait::async_trait;

use super::UNPROVEN;
use super::catalog;
use super::config::Config;
use super::connect::{connect, number, text};
use super::connections::Connections;
use super::name::{Name, identifier};
use super::session::MsSession;
use super::write::{self, MsSink};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};

/// The endpoint.
#[derive(Debug)]
pub(super) struct MsEndpoint {
    config: Config,
    connections: Arc<Connections>,
}

impl MsEndpoint {
    /// Opens nothing.
    pub(super) fn new(config: Config) -> Self {
        Self { connections: Arc::new(Connections::new(config.clone())), config }
    }
}

#[async_trait]
impl Endpoint for MsEndpoint {
    fn label(&self) -> String {
        self.config.label()
    }

    fn unproven(&self) -> Option<String> {
        Some(UNPROVEN.to_owned())
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let (schema, pattern) = pattern.split_once('.').map_or((None, pattern), |(schema, rest)| (Some(schema), rest));
        let wanted = glob::Pattern::new(pattern)
            .map_err(|source| Error::new(ErrorKind::Usage, format!("{pattern:?} is no pattern")).with_source(source))?;
        let mut connection = connect(&self.config).await?;
        let own = catalog::own_schema(&mut connection).await?;
        let names = catalog::list(&mut connection).await?;
        connection.close().await;
        let schema = schema.unwrap_or(&own);
        let is_wanted = |name: &&Name| name.schema.as_deref() == Some(schema) && wanted.matches(&name.table);
        let object =
            |name: &Name| ObjectRef::Table(if schema == own { identifier(&name.table) } else { name.quoted() });
        Ok(names.iter().filter(is_wanted).map(object).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        let mut connection = connect(&self.config).await?;
        let sql = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), SUSER_SNAME(), DB_NAME(), SCHEMA_NAME(), \
                   CAST(d.snapshot_isolation_state AS bigint), d.collation_name FROM sys.databases d WHERE d.database_id = DB_ID()";
        let rows = connection.rows(sql).await?;
        connection.close().await;
        let row = rows.first();
        let fact = |index: usize| row.and_then(|row| text(row, index)).unwrap_or_default();
        let facts = vec![
            format!("user {}", fact(1)),
            format!("database {}", fact(2)),
            format!("schema {}", fact(3)),
            format!("collation {}", fact(5)),
        ];
        let has_snapshots = row.and_then(|row| number(row, 4)) == Some(1);
        let missing = if has_snapshots {
            Vec::new()
        } else {
            vec!["ALLOW_SNAPSHOT_ISOLATION is off: a table is read by one reader".to_owned()]
        };
        Ok(Ping { server: format!("SQL Server {}", fact(0)), facts, missing })
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(MsSession::open(&self.config, request).await?))
    }

    async fn execute(&self, _step: &StepToken, sql: &str) -> Result<()> {
        let mut connection = connect(&self.config).await?;
        // Batches of their own: some statements have to be the first of theirs.
        connection.run("SET XACT_ABORT ON; BEGIN TRANSACTION").await?;
        let done = connection.run(sql).await;
        if done.is_ok() {
            connection.run("IF @@TRANCOUNT > 0 COMMIT").await?;
        }
        connection.close().await;
        done
    }

    async fn finish(&self, transfers: &[Agreement]) -> Result<()> {
        let mut connection = self.connections.take().await?;
        for agreement in transfers {
            write::finish(&mut connection, agreement).await?;
        }
        self.connections.put_back(connection);
        self.connections.close().await;
        Ok(())
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        MsSink::of(Arc::clone(&self.connections), object)
    }
}
