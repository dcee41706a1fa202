//! The record of runs: the state log of this user.
//!
//! A copy does not depend on it. Where it cannot be kept (a service without a home, a full or read-only disk) the user
//! is told so, and the copy goes on. A record that was asked for by `--state` is another matter: without it nothing begins.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::place;
use crate::error::{Context as _, Error, Result};
use crate::job::{Job, Place};
use crate::run::state::{self, SqliteStateLog};
use crate::state::StateLog;

/// Where runs are recorded.
#[derive(Debug, Default, Args)]
pub(super) struct StateArgs {
    /// Where runs are recorded: PostgreSQL or an SQLite file [default: your own]
    #[arg(long, value_name = "LOCATOR")]
    pub(super) state: Option<String>,
}

/// The place of the state log of `job`, where one is asked for.
pub(super) fn named(args: &StateArgs, job: &Job) -> Result<Option<Place>> {
    let Some(locator) = &args.state else { return Ok(None) };
    let place = place::state(locator).and_then(|place| state::refuse_target(&place, job).map(|()| place));
    place.at("option", || "--state").map(Some)
}

/// Opens the state log that is asked for, else that of this user.
pub(super) async fn open(args: &StateArgs) -> Result<Arc<dyn StateLog>> {
    if let Some(locator) = &args.state {
        let opened = async { state::open(&place::state(locator)?).await };
        return opened.await.at("option", || "--state");
    }
    let path = state::default_path().or_else(|error| {
        let home = home().ok_or(error)?;
        Ok::<_, Error>(home.join(".local/state/etl/state.db"))
    })?;
    Ok(Arc::new(SqliteStateLog::open(&path).await?))
}

/// The home of this user as the system has it, for where no variable says it.
fn home() -> Option<PathBuf> {
    let user = fs::metadata("/proc/self").ok()?.uid();
    home_of(&fs::read_to_string("/etc/passwd").ok()?, user)
}

/// The home of `user` in the text of a passwd file.
fn home_of(passwd: &str, user: u32) -> Option<PathBuf> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let is_user = fields.next()?.parse() == Ok(user);
        let home = PathBuf::from(fields.nth(2)?);
        (is_user && home.is_absolute()).then_some(home)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_found_by_the_number_of_its_user() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nada:x:1000:1000:,,,:/home/ada:/bin/sh\nbot:x:7:7:::\n";
        assert_eq!(home_of(passwd, 1000), Some(PathBuf::from("/home/ada")));
        assert_eq!((home_of(passwd, 7), home_of(passwd, 8)), (None, None));
    }
}
