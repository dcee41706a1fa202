//! A new database file while it is built: under a hidden name beside its own, which it gets when it is complete.
//!
//! ```text
//! .shop.db.TOKEN.etl-db   made by prepare; one connection holds its lock from then on
//!         |               commit: COMMIT (on disk) -> link to shop.db, never over another file -> hidden name removed
//!         v
//! shop.db
//! ```
//!
//! The lock tells a file that is being built from one whose process is dead: the latter is swept by the next run.
//! None of these files is opened but through SQLite: closing it would end the locks that this process has on it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::config::{Config, connect};
use super::error::failed;
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::file::folder;

/// How the hidden names end.
const SUFFIX: &str = ".etl-db";
/// `EPERM`: what Linux says where a file system has no links.
const NOT_PERMITTED: i32 = 1;

/// A file under a hidden name, removed when dropped.
#[derive(Debug)]
pub(super) struct Building {
    path: PathBuf,
    target: PathBuf,
}

impl Building {
    /// Makes the file that `token` fills, in place of what a dead process left under this name.
    pub(super) fn begin(config: &Config, token: &Token) -> Result<(Connection, Self)> {
        let path = hidden(&config.path, token);
        remove_dead(&path)?;
        let building = Self { path, target: config.path.clone() };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = connect(&building.path, flags, config.busy_timeout)?;
        // Nobody sees this file before it is complete, so the journal serves savepoints alone; the lock is kept from
        // the transaction on until the connection is closed. The commit waits until all is on disk.
        connection
            .execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = NORMAL")
            .map_err(failed)?;
        Ok((connection, building))
    }

    /// Whether the file is still there: another run may have taken it for a dead one before it was locked.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Gives the finished file its name, never over another one. Called while its connection still holds the lock.
    pub(super) fn publish(&self) -> Result<()> {
        match std::fs::hard_link(&self.path, &self.target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken()),
            Err(error) if has_no_links(&error) => {
                if self.target.exists() {
                    return Err(taken());
                }
                std::fs::rename(&self.path, &self.target)?;
            }
            Err(error) => return Err(error.into()),
        }
        std::fs::File::open(folder(&self.target))?.sync_all()?;
        self.remove();
        Ok(())
    }

    /// Removes the hidden name.
    pub(super) fn remove(&self) {
        // It is not there when it was published or never made; nobody could do anything about another failure.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        self.remove();
    }
}

fn taken() -> Error {
    let message = "the database file was made by somebody else while this copy ran";
    Error::new(ErrorKind::AlreadyExists, message).with_hint("run the copy again to write into it")
}

/// Whether linking failed because the file system cannot do it.
fn has_no_links(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(NOT_PERMITTED)
}

fn prefix(target: &Path) -> String {
    format!(".{}.", target.file_name().unwrap_or_default().to_string_lossy())
}

fn hidden(target: &Path, token: &Token) -> PathBuf {
    folder(target).join(format!("{}{}{SUFFIX}", prefix(target), token.to_string().replace(['/', '\\'], "_")))
}

/// Removes what `token` was building for `target`, unless its process lives.
pub(super) fn discard(target: &Path, token: &Token) -> Result<()> {
    if remove_dead(&hidden(target, token))? {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Transient, "the run that builds this database file is still at work");
    Err(error.with_hint("end it first"))
}

/// Removes the files of dead runs that were building `target`. What cannot be looked at or removed stays.
pub(super) fn sweep(target: &Path) {
    let Ok(entries) = std::fs::read_dir(folder(target)) else { return };
    let prefix = prefix(target);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_hidden = name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(SUFFIX));
        if is_hidden {
            // The next run tries again.
            let _ = remove_dead(&entry.path());
        }
    }
}

/// Removes the file at `path` unless a connection holds its lock; says whether there is none now.
fn remove_dead(path: &Path) -> Result<bool> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        // It has its own name already; under this one it must not be opened, for its journals have the other name.
        Ok(metadata) if is_published(&metadata) => return remove(path),
        _ => {}
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, Duration::ZERO)?;
    let locked = connection.execute_batch("BEGIN EXCLUSIVE").map_err(failed);
    match locked {
        Err(error) if error.kind() == ErrorKind::Transient => Ok(false),
        // A process that died in the middle of writing leaves no whole database.
        Err(error) if error.kind() != ErrorKind::Corrupt => Err(error),
        // Removed while the lock is held: a run that has only just made the file sees that it is gone.
        _ => remove(path),
    }
}

fn remove(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(true),
    }
}

#[cfg(unix)]
fn is_published(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.nlink() > 1
}

#[cfg(not(unix))]
fn is_published(_metadata: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(folder: &Path) -> Config {
        Config::parse(&json!({ "url": folder.join("shop.db").display().to_string(), "busyTimeout": 0 })).unwrap()
    }

    fn token(run: &str) -> Token {
        Token { run: run.to_owned(), transfer: 0, sink: 0, epoch: 0 }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn dead_files_are_swept_and_living_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let (living, building) = Building::begin(&config, &token("living")).unwrap();
        living.execute_batch("BEGIN IMMEDIATE; CREATE TABLE t (a)").unwrap();
        std::fs::write(hidden(&config.path, &token("empty")), "").unwrap();
        std::fs::write(hidden(&config.path, &token("torn")), [0; 8192]).unwrap();
        std::fs::write(folder.path().join(".other.db.r.0.0.0.etl-db"), "").unwrap();
        sweep(&config.path);
        assert_eq!(names(folder.path()), [".other.db.r.0.0.0.etl-db", ".shop.db.living.0.0.0.etl-db"]);
        assert_eq!(discard(&config.path, &token("living")).unwrap_err().kind(), ErrorKind::Transient);
        assert!(building.is_there());
        drop(living);
        discard(&config.path, &token("living")).unwrap();
        discard(&config.path, &token("living")).unwrap();
        assert!(!building.is_there());
    }

    #[cfg(unix)]
    #[test]
    fn a_name_left_over_by_a_publication_goes_and_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let left = hidden(&config.path, &token("r"));
        std::fs::write(&left, "whatever it is").unwrap();
        std::fs::hard_link(&left, &config.path).unwrap();
        sweep(&config.path);
        assert_eq!(names(folder.path()), ["shop.db"]);
    }

    #[test]
    fn a_file_is_never_published_over_another_one_nor_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let (connection, building) = Building::begin(&config, &token("r")).unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        std::fs::write(&config.path, "of somebody else").unwrap();
        assert_eq!(building.publish().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&config.path).unwrap(), "of somebody else");
        std::fs::remove_file(&config.path).unwrap();
        building.publish().unwrap();
        assert_eq!(names(folder.path()), ["shop.db"]);
        let link = |code| has_no_links(&io::Error::from_raw_os_error(code));
        // EPERM and EOPNOTSUPP; a full disk, a missing file and a lack of rights are no reason to rename.
        #[cfg(target_os = "linux")]
        assert_eq!([1, 95, 28, 2, 13].map(link), [true, true, false, false, false]);
        assert!(!link(2));
    }
}
