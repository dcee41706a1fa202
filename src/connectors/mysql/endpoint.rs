//! One server: what is in it, its sessions and its sinks.

use std::sync::Arc;

use async_trait::async_trait;

use super::catalog;
use super::config::Config;
use super::connect::{Server, connect, end};
use super::connections::Connections;
use super::name::identifier;
use super::session::MySession;
use super::write::{self, MySink};
use crate::bridge::farewell;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};

/// The endpoint.
#[derive(Debug)]
pub(super) struct MyEndpoint {
    config: Config,
    connections: Arc<Connections>,
}

impl MyEndpoint {
    /// Opens nothing.
    pub(super) fn new(config: Config) -> Self {
        Self { connections: Arc::new(Connections::new(config.clone())), config }
    }
}

#[async_trait]
impl Endpoint for MyEndpoint {
    fn label(&self) -> String {
        self.config.label()
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let (database, pattern) = match (pattern.split_once('.'), &self.config.database) {
            (Some((database, pattern)), _) => (database.to_owned(), pattern),
            (None, Some(database)) => (database.clone(), pattern),
            (None, None) => {
                return Err(Error::new(ErrorKind::Usage, "in which database to look, nothing says")
                    .with_hint("write mysql://host/database, or 'database.*'"));
            }
        };
        let wanted = glob::Pattern::new(pattern)
            .map_err(|source| Error::new(ErrorKind::Usage, format!("{pattern:?} is no pattern")).with_source(source))?;
        let mut connection = connect(self.connections.here().await?).await?;
        let names = catalog::list(&mut connection, &database).await?;
        connection.close().await;
        let is_own = self.config.database.as_ref() == Some(&database);
        let object = |name: &String| {
            let table = identifier(name);
            ObjectRef::Table(if is_own { table } else { format!("{}.{table}", identifier(&database)) })
        };
        Ok(names.iter().filter(|name| wanted.matches(name)).map(object).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        let mut connection = connect(self.connections.here().await?).await?;
        let database = connection.text("SELECT DATABASE()").await?;
        let engine = connection.text("SELECT @@default_storage_engine").await?.unwrap_or_default();
        let server = connection.server().clone();
        connection.close().await;
        let (packet, unit) = match server.max_packet_bytes {
            bytes @ ..0x10_0000 => (bytes >> 10, "KiB"),
            bytes => (bytes >> 20, "MiB"),
        };
        let facts = vec![
            format!("user {}", server.user),
            database.map_or("no database".to_owned(), |name| format!("database {name}")),
            format!("storage engine {engine}"),
            format!("packets of up to {packet} {unit}"),
        ];
        Ok(Ping { server: server.label(), facts, missing: missing(&server) })
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(MySession::open(self.connections.here().await?, request).await?))
    }

    async fn execute(&self, _step: &StepToken, sql: &str) -> Result<()> {
        let config = self.connections.here().await?;
        let mut connection = connect(config).await?;
        connection.go_by_own_clock().await?;
        let mut running = Running(Some((connection.same_server(config), connection.id())));
        // What is data goes in one transaction; a statement of definition commits by itself.
        let ran = connection.run(&format!("START TRANSACTION; {}\n; COMMIT", sql.trim().trim_end_matches(';'))).await;
        running.0 = None;
        ran?;
        connection.close().await;
        Ok(())
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
        MySink::of(Arc::clone(&self.connections), object)
    }
}

/// SQL of the user under way on the connection with this id, which is ended when nobody awaits it any more: a server that works on
/// notices much later that nobody listens.
struct Running(Option<(Config, u32)>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((config, id)) = self.0.take() {
            // A server that is told to end a statement alone may go on with the next one.
            farewell::say(async move { drop(end(&config, id).await) });
        }
    }
}

/// What stands in the way of bulk work.
fn missing(server: &Server) -> Vec<String> {
    let mut missing = Vec::new();
    if !server.local_infile {
        missing.push("local_infile is off: rows go in by INSERT, which is slower than LOAD DATA".to_owned());
    }
    if server.read_only {
        missing.push("the server is read-only".to_owned());
    }
    missing
}
