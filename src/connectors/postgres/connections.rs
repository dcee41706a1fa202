//! The connections that write into one database.

use async_trait::async_trait;

use super::config::Config;
use super::connect::{Connection, connect};
use super::patience;
use crate::bridge::connections::{self, Pooled};
use crate::error::Result;

/// What an endpoint and its sinks share.
pub(super) type Connections = connections::Connections<Connection>;

#[async_trait]
impl Pooled for Connection {
    type Config = Config;

    async fn reach(config: &Config) -> Result<Self> {
        connect(config, "write").await
    }

    fn is_usable(&self) -> bool {
        !self.is_closed()
    }

    async fn answers(&mut self) -> bool {
        self.is_usable()
    }

    async fn end(self) {
        self.close().await;
    }
}

impl Connections {
    /// Runs `sql` on one of them.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        let connection = self.take().await?;
        patience::run(&connection, sql).await?;
        self.put_back(connection);
        Ok(())
    }
}
