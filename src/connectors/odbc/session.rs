//! The reads of one job: each has a connection of its own.

use std::sync::Arc;

use super::config::Config;
use super::database::Connection;
use super::read::OdbcSource;
use crate::driven::session::{self, DriverSession};
use crate::endpoint::OpenRequest;
use crate::error::Result;

/// What the reads of a session share.
pub(super) type Opened = session::Opened<Config, ()>;

/// Finds out whether the database of `config` can be reached.
pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<DriverSession<Config, ()>> {
    let reach = |config: &Config| Connection::open(config).map(|_| Arc::new(()));
    DriverSession::open(config, request, reach, OdbcSource::of).await
}
