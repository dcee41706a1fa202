//! The reads of one job: their connections are of one database, which stays open until the session is closed.

use super::config::Config;
use super::database::Database;
use super::read::AdbcSource;
use crate::driven::session::{self, DriverSession};
use crate::endpoint::OpenRequest;
use crate::error::Result;

/// What the reads of a session share.
pub(super) type Opened = session::Opened<Config, Database>;

/// Opens the database of `config`.
pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<DriverSession<Config, Database>> {
    DriverSession::open(config, request, Database::open, AdbcSource::of).await
}
