//! The connections that write into one server.

use async_trait::async_trait;

use super::config::Config;
use super::connect::{Connection, connect};
use crate::bridge::connections::{self, Pooled};
use crate::error::Result;

/// What the session of a writer begins with: a statement that fails takes the whole transaction back.
const SETTINGS: &str = "SET XACT_ABORT ON; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCK_TIMEOUT -1";

/// What an endpoint and its sinks share.
pub(super) type Connections = connections::Connections<Connection>;

#[async_trait]
impl Pooled for Connection {
    type Config = Config;

    async fn reach(config: &Config) -> Result<Self> {
        let mut connection = connect(config).await?;
        connection.run(SETTINGS).await?;
        Ok(connection)
    }

    fn is_usable(&self) -> bool {
        self.is_ready()
    }

    async fn answers(&mut self) -> bool {
        self.run("SELECT 1").await.is_ok()
    }

    async fn end(self) {
        self.close().await;
    }
}
