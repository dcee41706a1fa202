//! The connections that write into one server: one that is idle serves the next who asks.

use tokio::sync::OnceCell;

use super::config::Config;
use super::connect::{Connection, connect};
use crate::bridge::idle::Idle;
use crate::error::Result;

/// What the session of a writer begins with: errors instead of changed values as far as the server has them, dates as they are
/// in other tables of MySQL, a zero in a numbered column as a zero, and all warnings there are to be read.
const SETTINGS: &str = "SET sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', \
    max_error_count = 65535; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// What an endpoint and its sinks share. None of its connections was given SQL of the user.
#[derive(Debug)]
pub(super) struct Connections {
    config: Config,
    here: OnceCell<Config>,
    idle: Idle<Connection>,
}

impl Connections {
    /// None is open yet.
    pub(super) fn new(config: Config) -> Self {
        Self { config, here: OnceCell::new(), idle: Idle::default() }
    }

    /// How the server is reached.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The same for the one of several servers that answered first: a stage is on one server, and so is all around it.
    pub(super) async fn here(&self) -> Result<&Config> {
        if self.config.hosts.len() < 2 {
            return Ok(&self.config);
        }
        let find = async || -> Result<Config> {
            let found = connect(&self.config).await?;
            let here = found.same_server(&self.config);
            found.close().await;
            Ok(here)
        };
        self.here.get_or_try_init(find).await
    }

    /// An idle connection, or a new one.
    pub(super) async fn take(&self) -> Result<Connection> {
        match self.idle.take() {
            // The server ends connections that were idle for long.
            Some(mut connection) => match connection.run("DO 0").await {
                Ok(()) => Ok(connection),
                Err(_) => self.open().await,
            },
            None => self.open().await,
        }
    }

    /// A new connection, which has met nothing of what happened on others.
    pub(super) async fn open(&self) -> Result<Connection> {
        let mut connection = connect(self.here().await?).await?;
        connection.run(SETTINGS).await?;
        Ok(connection)
    }

    /// Keeps a connection that has no transaction open and no lock.
    pub(super) fn put_back(&self, connection: Connection) {
        if connection.is_ready() {
            self.idle.keep(connection);
        }
    }

    /// Closes the idle ones in order.
    pub(super) async fn close(&self) {
        futures::future::join_all(self.idle.drain().into_iter().map(Connection::close)).await;
    }
}
