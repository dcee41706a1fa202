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
    inputs: Arc<Vec<Input>>,
    /// The one source: what it learns of its columns, every reader of the session knows.
    source: FileSource,
}

/// Finds and pins the files.
///
/// Records of more than `row_bytes_max` are refused while they are read.
pub(super) async fn open(config: Arc<Config>, row_bytes_max: Option<u64>) -> Result<Arc<dyn Session>> {
    let place = Arc::clone(&config);
    let mut inputs = blocking::run("files-open", move || input::open_all(&place)).await?;
    if let Some(most) = row_bytes_max.and_then(|bytes| usize::try_from(bytes).ok()) {
        for input in &mut inputs {
            input.record_bytes_max = input.record_bytes_max.min(most);
        }
    }
    let inputs = Arc::new(inputs);
    let source = FileSource::new(&config, Arc::clone(&inputs))?;
    Ok(Arc::new(FileSession { inputs, source }))
}

#[async_trait]
impl Session for FileSession {
    fn snapshot(&self) -> Snapshot {
        self.inputs
            .iter()
            .map(Input::lasting)
            .collect::<Option<Vec<_>>>()
            .map_or(Snapshot::Private, |files| Snapshot::Lasting(files.join("\n")))
    }

    fn source(&self, object: &ObjectRef) -> Result<Arc<dyn Source>> {
        super::whole(object)?;
        Ok(Arc::new(self.source.clone()))
    }

    async fn check(&self) -> Result<()> {
        let inputs = Arc::clone(&self.inputs);
        blocking::run("files-check", move || inputs.iter().try_for_each(Input::check)).await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
