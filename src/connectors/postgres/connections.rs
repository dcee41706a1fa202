//! The connections that write into one database: one that is idle serves the next who asks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::config::Config;
use super::connect::{Connection, connect};
use super::patience;
use crate::error::Result;

/// Idle connections that are kept; more are closed.
const IDLE: usize = 16;

/// What an endpoint and its sinks share. None of its connections was given SQL of the user.
#[derive(Debug)]
pub(super) struct Connections {
    config: Config,
    idle: Mutex<Vec<Connection>>,
}

impl Connections {
    /// None is open yet.
    pub(super) fn new(config: Config) -> Self {
        Self { config, idle: Mutex::default() }
    }

    /// An idle connection, or a new one.
    pub(super) async fn take(&self) -> Result<Connection> {
        let idle = {
            let mut idle = self.idle();
            idle.retain(|connection| !connection.is_closed());
            idle.pop()
        };
        match idle {
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
        let mut idle = self.idle();
        if idle.len() < IDLE {
            idle.push(connection);
        }
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
        let idle = std::mem::take(&mut *self.idle());
        futures::future::join_all(idle.into_iter().map(Connection::close)).await;
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // Nothing panics with the lock held; if it did, the list is still a list.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
