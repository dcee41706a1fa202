//! The connections that write into one database: one that is idle serves the next who asks.

use super::config::Config;
use super::connect::{Connection, connect};
use super::patience;
use crate::bridge::idle::Idle;
use crate::error::Result;

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
        self.idle.retain(|connection| !connection.is_closed());
        match self.idle.take() {
            Some(connection) => Ok(connection),
            None => self.open().await,
        }
    }

    /// A new connection, which has met nothing of what happened on others.
    pub(super) async fn open(&self) -> Result<Connection> {
        connect(&self.config, "write").await
    }

    /// Keeps a connection that has no transaction open.
    pub(super) fn put_back(&self, connection: Connection) {
        self.idle.keep(connection);
    }

    /// Runs `sql` on one of them.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        let connection = self.take().await?;
        patience::run(&connection, sql).await?;
        self.put_back(connection);
        Ok(())
    }

    /// Closes the idle ones in order.
    pub(super) async fn close(&self) {
        futures::future::join_all(self.idle.drain().into_iter().map(Connection::close)).await;
    }
}
