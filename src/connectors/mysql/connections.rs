//! The connections that write into one server.

use async_trait::async_trait;

use super::config::Config;
use super::connect::{Connection, connect};
use crate::bridge::connections::{self, Pooled};
use crate::error::Result;

/// What the session of a writer begins with: errors instead of changed values as far as the server has them, dates as they are
/// in other tables of MySQL, a zero in a numbered column as a zero, all warnings there are to be read, and instants in UTC.
const SETTINGS: &str = "SET sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', \
    max_error_count = 65535, time_zone = '+00:00'; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

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

    async fn settle(config: &Config) -> Result<Option<Config>> {
        if config.hosts.len() < 2 {
            return Ok(None);
        }
        let found = connect(config).await?;
        let here = found.same_server(config);
        found.close().await;
        Ok(Some(here))
    }

    fn is_usable(&self) -> bool {
        self.is_ready()
    }

    async fn answers(&mut self) -> bool {
        self.run("DO 0").await.is_ok()
    }

    async fn end(self) {
        self.close().await;
    }
}
