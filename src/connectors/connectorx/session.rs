//! The reads of one job: each logs in anew.

use std::sync::Arc;

use super::config::Config;
use super::database::reach;
use super::read::ConnectorXSource;
use crate::driven::session::{self, DriverSession};
use crate::endpoint::OpenRequest;
use crate::error::Result;

/// What the reads of a session share.
pub(super) type Opened = session::Opened<Config, ()>;

/// Finds out whether the database of `config` can be reached.
pub(super) async fn open(config: &Config, request: &OpenRequest) -> Result<DriverSession<Config, ()>> {
    DriverSession::open(config, request, |config| reach(config).map(Arc::new), ConnectorXSource::of).await
}
