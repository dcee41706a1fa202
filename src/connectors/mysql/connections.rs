//! The connections that write into one server.

use async_trait::async_trait;

use super::config::Config;
use super::connect::{Connection, connect};
use super::errors::is_reply;
use crate::bridge::connections::{self, Pooled};
use crate::error::{ErrorKind, Result};

/// What the session of a writer begins with: errors instead of changed values as far as the server has them, dates as they are
/// in other tables of MySQL, a zero in a numbered column as a zero, and instants in UTC.
const SETTINGS: &str = "SET sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', \
    time_zone = '+00:00'; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// All warnings are to be read, so that many rows are refused at once. The later versions of MySQL grant it to few; others find those
/// rows in more steps.
const WARNINGS: &str = "SET max_error_count = 65535";

/// What an endpoint and its sinks share.
pub(super) type Connections = connections::Connections<Connection>;

#[async_trait]
impl Pooled for Connection {
    type Config = Config;

    async fn reach(config: &Config) -> Result<Self> {
        let mut connection = connect(config).await?;
        connection.run(SETTINGS).await?;
        match connection.run(WARNINGS).await {
            Err(error) if is_reply(&error) && error.kind() == ErrorKind::Permission => {}
            set => set?,
        }
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
