//! The connections that write into one server: one that is idle serves the next who asks.

use super::config::Config;
use super::connect::{Connection, connect};
use crate::bridge::idle::Idle;
use crate::error::Result;

/// What the session of a writer begins with: a statement that fails takes the whole transaction back.
const SETTINGS: &str = "SET XACT_ABORT ON; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCK_TIMEOUT -1";

/// What an endpoint and its sinks share. None of its connections was given SQL of the user.
#[derive(Debug)]
pub(super) struct Connections {
    config: Config,
    idle: Idle<Connection>,
}

impl Connections {
    /// None is open yet.
    pub(super) fn new(config: Config) -> Self {
        Self { config, idle: Idle::default() }
    }

    /// An idle connection, or a new one.
    pub(super) async fn take(&self) -> Result<Connection> {
        match self.idle.take() {
            // The server ends connections that were idle for long.
            Some(mut connection) => match connection.run("SELECT 1").await {
                Ok(()) => Ok(connection),
                Err(_) => self.open().await,
            },
            None => self.open().await,
        }
    }

    /// A new connection, which has met nothing of what happened on others.
    pub(super) async fn open(&self) -> Result<Connection> {
        let mut connection = connect(&self.config).await?;
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
