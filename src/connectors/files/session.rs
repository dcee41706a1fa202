//! The files of a job, pinned: every later read sees them as they were when the session opened, or fails.

use std::sync::Arc;

use async_trait::async_trait;

use super::config::Config;
use super::input::{self, Input};
use super::read::FileSource;
use crate::bridge::blocking;
use crate::endpoint::{ObjectRef, Session, Snapshot};
use crate::error::Result;
use crate::source::Source;

/// The pinned files of one endpoint.
#[derive(Debug)]
struct FileSession {
    config: Arc<Config>,
    inputs: Arc<Vec<Input>>,
}

/// Finds and pins the files.
pub(super) async fn open(config: Arc<Config>) -> Result<Arc<dyn Session>> {
    let place = Arc::clone(&config);
    let inputs = Arc::new(blocking::run("files-open", move || input::open_all(&place)).await?);
    Ok(Arc::new(FileSession { config, inputs }))
}

#[async_trait]
impl Session for FileSession {
    fn snapshot(&self) -> Snapshot {
        Snapshot::Private
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        super::whole(object)?;
        Ok(Arc::new(FileSource::new(&self.config, Arc::clone(&self.inputs))?))
    }

    async fn check(&self) -> Result<()> {
        let inputs = Arc::clone(&self.inputs);
        blocking::run("files-check", move || inputs.iter().try_for_each(Input::check)).await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
