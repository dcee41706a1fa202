//! The record of runs: the state log of this user.
//!
//! A copy does not depend on it. Where it cannot be kept (a service without a home, a read-only disk) the user is
//! told so, and the copy goes on; a disk that is full when a record is to be written fails it. A record that was asked
//! for by `--state` is another matter: without it nothing begins.

use std::sync::Arc;

use clap::Args;

use super::place;
use crate::bridge::login::Surroundings;
use crate::error::{Context as _, Error, Result};
use crate::job::{Job, Place};
use crate::run::state::{self, SqliteStateLog};
use crate::state::StateLog;

/// Where runs are recorded.
#[derive(Debug, Default, Args)]
pub(super) struct StateArgs {
    /// Record of runs: PostgreSQL or an SQLite file [default: your own]
    #[arg(long, value_name = "LOCATOR")]
    pub(super) state: Option<String>,
}

/// The place that is asked for; none means the file of this user.
pub(super) fn named(args: &StateArgs) -> Result<Option<Place>> {
    args.state.as_deref().map(place::located).transpose().at("option", || "--state")
}

/// As [`named`], for runs of `job`: no file that is a target of it.
pub(super) fn named_for(args: &StateArgs, job: &Job) -> Result<Option<Place>> {
    let place = named(args)?;
    place.iter().try_for_each(|place| state::refuse_target(place, job)).at("option", || "--state")?;
    Ok(place)
}

/// Opens the state log at `place`, else that of this user.
pub(super) async fn open(place: Option<&Place>) -> Result<Arc<dyn StateLog>> {
    match place {
        Some(place) => state::open(place).await.at("option", || "--state"),
        None => Ok(Arc::new(own().await?)),
    }
}

/// As [`open`]; that of this user only where it can be written.
pub(super) async fn open_to_write(place: Option<&Place>) -> Result<Arc<dyn StateLog>> {
    if place.is_some() {
        return open(place).await;
    }
    let log = own().await?;
    log.check_writable().await?;
    Ok(Arc::new(log))
}

async fn own() -> Result<SqliteStateLog> {
    let path = state::default_path().or_else(|error| {
        // No variable says it: the system has it.
        let home = Surroundings { variable: &|_| None, ..Surroundings::PROCESS }.home();
        let home = home.filter(|home| home.is_absolute()).ok_or(error)?;
        Ok::<_, Error>(home.join(".local/state/etl/state.db"))
    })?;
    SqliteStateLog::open(&path).await
}
