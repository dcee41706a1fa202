//! Where the records of runs are kept: by default in an SQLite file of this user, else where a locator says.

mod sqlite;

use std::path::Path;
use std::sync::Arc;

use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::job::{Job, Place};
use crate::run::stages::endpoint;
use crate::run::targets::{absolute, sqlite_file};
use crate::state::StateLog;

pub use sqlite::{SqliteStateLog, default_path};

/// Opens the record of runs at `place`, and makes it where it is missing: an SQLite file that holds nothing else, or what an
/// endpoint makes of it.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where none can be kept.
pub async fn open(place: &Place) -> Result<Arc<dyn StateLog>> {
    let endpoint = endpoint(place)?;
    match sqlite_file(place) {
        None => endpoint.state_log(&place.object).await,
        Some(_) if place.object != ObjectRef::Whole => Err(holds_nothing_else().with_hint("leave '#table' out")),
        Some(path) => Ok(Arc::new(SqliteStateLog::open(Path::new(path)).await?)),
    }
}

/// Refuses to record `job` in a file that is a target of it: the log would wait for the copy, and the copy for the log.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage).
pub fn refuse_target(place: &Place, job: &Job) -> Result<()> {
    let Some(path) = sqlite_file(place) else { return Ok(()) };
    if job.targets().filter_map(sqlite_file).any(|target| absolute(target) == absolute(path)) {
        return Err(holds_nothing_else().with_hint("name a file of its own").at("target", path));
    }
    Ok(())
}

/// The name of the record at `place`, without secrets.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) where its options are wrong.
pub fn label(place: &Place) -> Result<String> {
    let label = endpoint(place)?.label();
    Ok(match &place.object {
        ObjectRef::Table(table) => format!("{label}#{table}"),
        _ => label,
    })
}

fn holds_nothing_else() -> Error {
    Error::new(ErrorKind::Usage, "an SQLite file that records runs holds nothing else")
}
