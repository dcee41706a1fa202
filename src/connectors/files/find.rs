//! Which files a path, a folder or a glob names. All of it blocks.

use std::fs;
use std::path::{Path, PathBuf};

use super::config::{Place, Wanted};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::extension::{self, Format};
use crate::shape::counted;

/// The files that `path` names: itself, those of a folder that are `wanted`, or those of a glob; sorted.
pub(super) fn find(path: &str, wanted: Wanted<'_>) -> Result<Vec<PathBuf>> {
    let Some(literal) = literal_path(path) else { return find_glob(path) };
    let metadata = fs::metadata(&literal).at("file", || path)?;
    if !metadata.is_dir() {
        return Ok(vec![literal]);
    }
    let mut files = files_of(&literal, wanted)?;
    files.sort();
    if files.is_empty() {
        let message = match wanted {
            Wanted::Known(Some(format)) => format!("the folder holds no file of {}", format.title()),
            Wanted::Known(None) => "the folder holds no file of a known format".to_owned(),
            Wanted::Prefixed(prefix) => format!("the folder holds no file {prefix}__…"),
            Wanted::All => "the folder holds no file".to_owned(),
        };
        return Err(Error::new(ErrorKind::NotFound, message).at("folder", path).with_hint(
            "known are .csv .tsv .jsonl .parquet .avro .arrow .arrows .xlsx .xls .ods, also with .gz or another compression; or name a glob",
        ));
    }
    Ok(files)
}

/// `path` if it names no glob, or a file of just this name exists.
pub(super) fn literal_path(path: &str) -> Option<PathBuf> {
    let literal = PathBuf::from(path);
    let globbing = path.contains(['*', '?', '[']);
    (!globbing || literal.symlink_metadata().is_ok()).then_some(literal)
}

/// The visible files of a folder that are `wanted`, in no order.
pub(super) fn files_of(folder: &Path, wanted: Wanted<'_>) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).at("folder", || folder.display())? {
        let path = entry.at("folder", || folder.display())?.path();
        let Some(name) = path.file_name().map(std::ffi::OsStr::as_encoded_bytes) else { continue };
        if name.starts_with(b".") {
            continue;
        }
        let is_wanted = match wanted {
            Wanted::Known(None) => format_of(&path).is_some(),
            Wanted::Known(format) => format_of(&path) == format,
            Wanted::Prefixed(prefix) => {
                name.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.starts_with(b"__"))
            }
            Wanted::All => true,
        };
        if wanted == Wanted::All && path.is_dir() {
            let (outer, inner) = (fs::canonicalize(folder)?, fs::canonicalize(&path)?);
            if outer.starts_with(inner) {
                let message = "the folder is a link to one that it stands in, whose files would be read over and over";
                return Err(Error::new(ErrorKind::Unsupported, message).at("folder", path.display()));
            }
            files.extend(files_of(&path, wanted)?);
        } else if is_wanted && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// What the name of a file says that it holds.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    extension::of_path(path).0
}

/// The one format that all of `files` have by their names; none without files.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) when there are several: nobody can tell which one is meant.
pub(super) fn common_format(files: &[PathBuf]) -> Result<Option<Format>> {
    let Some(first) = files.iter().min() else { return Ok(None) };
    let format = format_of(first);
    match files.iter().filter(|file| format_of(file) != format).min() {
        None => Ok(format),
        Some(other) => {
            let name =
                |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let message =
                format!("the folder holds files of several formats, such as {} and {}", name(first), name(other));
            Err(Error::new(ErrorKind::Usage, message)
                .with_hint("keep the files of each format in a folder of their own"))
        }
    }
}

fn find_glob(pattern: &str) -> Result<Vec<PathBuf>> {
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let matches = glob::glob_with(pattern, options)
        .map_err(|source| Error::new(ErrorKind::Usage, "the glob is wrong").with_source(source).at("glob", pattern))?;
    let mut files = Vec::new();
    for path in matches {
        let path = path.map_err(|source| Error::from(std::io::Error::from(source)).at("glob", pattern))?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "no file matches")
            .at("glob", pattern)
            .with_hint("check the pattern; a path begins in the current folder"));
    }
    Ok(files)
}

/// Lines for a ping.
pub(super) fn facts(place: &Place, wanted: Wanted<'_>) -> Result<Vec<String>> {
    let Place::Path(path) = place else { return Ok(vec!["standard input or output".to_owned()]) };
    let files = find(path, wanted)?;
    let mut bytes = 0;
    for file in &files {
        let metadata = fs::metadata(file).at("file", || file.display())?;
        fs::File::open(file).at("file", || file.display())?;
        bytes += metadata.len();
    }
    Ok(vec![format!("{}, {bytes} bytes", counted(files.len(), "file"))])
}
