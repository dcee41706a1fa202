//! Databases that are one file: what their locators and options say, and what is wrong with a path.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::error::{Error, ErrorKind, Result};

/// Seconds that are waited for a file, where nothing is said, and at most.
const BUSY_SECONDS: u64 = 3;
const MOST_BUSY_SECONDS: u64 = 86_400;

/// `options` of the connector `name`, all of which are among `known`.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for others.
pub fn options<'a>(options: &'a Json, name: &str, known: &[&str]) -> Result<&'a Map<String, Json>> {
    let object = options.as_object().ok_or_else(|| usage("the options are no JSON object"))?;
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => {
            Err(usage(format!("{name} has no option {unknown:?}")).with_hint(format!("it has {}", known.join(", "))))
        }
        None => Ok(object),
    }
}

/// The file that the option `url` of `options` names, behind one of `schemes` or none; `example` is a whole locator.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a locator without a file, and for a database in memory.
pub fn path(options: &Map<String, Json>, schemes: &[&str], example: &str) -> Result<PathBuf> {
    let url = options.get("url").and_then(Json::as_str).ok_or_else(|| usage("the option url is missing"))?;
    let scheme = |scheme: &&str| url.strip_prefix(*scheme)?.strip_prefix(':');
    let rest = schemes.iter().find_map(scheme).unwrap_or(url);
    // `sqlite:///abs` has an empty host, `sqlite://rel` what looks like one.
    match rest.strip_prefix("//").unwrap_or(rest) {
        "" => Err(usage("the locator names no database file").with_hint(format!("write {example}"))),
        ":memory:" => Err(usage("a database in memory cannot be reached from here").with_hint("name a file")),
        path => Ok(PathBuf::from(path)),
    }
}

/// How long to wait for a file that another program has open: the option `busyTimeout`.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for what is no number of seconds up to a day.
pub fn busy_timeout(options: &Map<String, Json>) -> Result<Duration> {
    let seconds = match options.get("busyTimeout") {
        None | Some(Json::Null) => Some(BUSY_SECONDS),
        Some(value) => value.as_u64().or_else(|| value.as_str()?.parse().ok()),
    };
    let seconds = seconds.filter(|seconds| *seconds <= MOST_BUSY_SECONDS);
    let seconds = seconds.ok_or_else(|| usage("the option busyTimeout is a number of seconds, up to 86400"))?;
    Ok(Duration::from_secs(seconds))
}

/// Says what is wrong with the file at `path` before a database does, with one code for all. The file is not opened: closing it
/// would end the locks that this process has on it.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a folder; those of looking at it.
pub fn check(path: &Path) -> Result<()> {
    if std::fs::metadata(path)?.is_dir() {
        return Err(usage("this is a directory, not a database file"));
    }
    Ok(())
}

/// Whether there is a folder for a file that is to be made at `path`.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) where there is none.
pub fn check_folder(path: &Path) -> Result<()> {
    let folder = folder(path);
    if folder.is_dir() {
        return Ok(());
    }
    let error = Error::new(ErrorKind::NotFound, "the folder for the database file does not exist");
    Err(error.with_hint(format!("make it: mkdir -p '{}'", folder.display())))
}

/// The folder of the file at `path`.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}
