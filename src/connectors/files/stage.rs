//! The stage of a commit: a hidden folder of parts beside the target, and how they become visible.
//!
//! ```text
//! .etl-TOKEN.stage/            made by prepare, gone after commit or abort
//!     part-TASK-ATTEMPT-N      what writers made; only those in receipts count
//!     ready/NAME               what will be published, under its final name
//! .etl-TOKEN.done              the marker: `ready` is complete and durable, publishing has begun
//! ```
//! Committed means: there is a marker, and nothing is left in `ready`. A commit that was interrupted goes on where it
//! stopped. The marker stays until the endpoint is finished, so that committing twice is told from losing parts.
//! All of it blocks.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use super::config::Format;
use super::join;
use crate::attempt::Token;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::compress::Compression;
use crate::formats::{RecordFormat, ipc, parquet};
use crate::sink::{Agreement, Receipt};
use crate::wire;

/// Where and how the rows land; the detail of an agreement.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Landing {
    pub(super) shape: Shape,
    pub(super) mode: Mode,
    pub(super) format: Format,
    pub(super) encoding: Encoding,
    /// Bytes of a part file in a folder.
    pub(super) file_bytes: u64,
    /// The columns of a file, which may be more than those that come; the rest is NULL.
    #[serde(with = "wire::schema")]
    pub(super) schema: SchemaRef,
    /// The Parquet file that rows are appended to: parts are laid out as it is.
    pub(super) layout_of: Option<PathBuf>,
}

/// What the target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Shape {
    /// One file, joined from the parts.
    Single(PathBuf),
    /// A folder that is not there yet.
    NewFolder(PathBuf),
    /// A folder that is there.
    Folder(PathBuf),
    /// A pipe; none for standard output.
    Pipe(Option<PathBuf>),
}

/// What happens to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Mode {
    Create,
    Replace,
    Append,
}

/// How the bytes of a file are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Encoding {
    /// CSV, TSV, JSON lines, as a whole compressed.
    Records {
        compression: Compression,
        level: Option<i32>,
    },
    Parquet(parquet::Settings),
    Arrow(ipc::Codec),
}

/// One part, in the detail of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    /// File name in the stage.
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Bytes of the header at its start, which a join leaves out.
    pub(super) header: u64,
}

/// What the marker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    target: PathBuf,
    /// Files of the target that go when the new ones are there.
    old: Vec<PathBuf>,
}

/// The stage of one token.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// Holds the stage and the marker.
    parent: PathBuf,
    folder: PathBuf,
    ready: PathBuf,
    marker: PathBuf,
    /// The codec, where files are records.
    pub(super) records: Option<Arc<dyn RecordFormat>>,
}

impl Landing {
    /// That of an agreement.
    pub(super) fn of(agreement: &Agreement) -> Result<Self> {
        Self::deserialize(&agreement.detail)
            .map_err(|source| Error::new(ErrorKind::Internal, "the agreement is not one of files").with_source(source))
    }

    fn target(&self) -> Option<&Path> {
        match &self.shape {
            Shape::Single(path) | Shape::NewFolder(path) | Shape::Folder(path) => Some(path),
            Shape::Pipe(_) => None,
        }
    }

    /// The stage of `token`; none for a pipe.
    pub(super) fn stage(&self, records: Option<Arc<dyn RecordFormat>>, token: &Token) -> Option<Stage> {
        let parent = self.parent()?;
        let token: String = token.to_string().chars().map(|c| if c == '/' { '_' } else { c }).collect();
        let folder = parent.join(format!(".etl-{token}.stage"));
        let marker = parent.join(format!(".etl-{token}.done"));
        Some(Stage { ready: folder.join("ready"), parent, folder, marker, records })
    }

    fn parent(&self) -> Option<PathBuf> {
        match &self.shape {
            Shape::Single(path) | Shape::NewFolder(path) => Some(parent_of(path)),
            Shape::Folder(path) => Some(path.clone()),
            Shape::Pipe(_) => None,
        }
    }
}

/// The folder of `path`.
pub(super) fn parent_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

impl Stage {
    /// Makes the folder.
    pub(super) fn prepare(&self) -> Result<()> {
        if self.marker.exists() {
            return Ok(());
        }
        match fs::create_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            result => result.at("folder", || self.parent.display()),
        }
    }

    /// The path of a part.
    pub(super) fn part(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes the parts of `receipts` visible.
    pub(super) fn commit(&self, landing: &Landing, token: &Token, receipts: &[Receipt]) -> Result<()> {
        if let Some(marker) = self.read_marker()? {
            if !self.ready.exists() {
                return self.sweep(&marker);
            }
            return self.publish(landing, &marker);
        }
        let target = landing.target().ok_or_else(|| Error::new(ErrorKind::Internal, "a pipe has no stage"))?;
        let parts = parts_in_order(receipts)?;
        fs::create_dir_all(&self.ready).at("folder", || self.folder.display())?;
        match &landing.shape {
            Shape::Single(path) => join::single(self, landing, &parts, path)?,
            _ => join::folder(self, landing, &parts, token)?,
        }
        sync_folder(&self.ready)?;
        let old = match (&landing.shape, landing.mode) {
            (Shape::Folder(path), Mode::Replace) => super::input::data_files(path)?,
            _ => Vec::new(),
        };
        let marker = Marker { target: target.to_owned(), old };
        self.write_marker(&marker)?;
        self.publish(landing, &marker)
    }

    /// Removes what was staged, unless it is committed.
    pub(super) fn abort(&self, landing: &Landing) -> Result<()> {
        if let Some(marker) = self.read_marker()? {
            if !self.ready.exists() {
                return self.sweep(&marker);
            }
            match &landing.shape {
                Shape::Folder(path) => self.take_back(path)?,
                Shape::Single(path) => self.unlink(path)?,
                Shape::NewFolder(_) | Shape::Pipe(_) => {}
            }
            remove_file(&self.marker)?;
        }
        remove_folder(&self.folder)
    }

    /// The place of a file that will be published as `name`.
    pub(super) fn ready(&self, name: &std::ffi::OsStr) -> PathBuf {
        self.ready.join(name)
    }

    fn publish(&self, landing: &Landing, marker: &Marker) -> Result<()> {
        match &landing.shape {
            Shape::Single(path) => {
                for name in names(&self.ready)? {
                    place(&self.ready.join(name), path, landing.mode).at("file", || path.display())?;
                }
            }
            Shape::NewFolder(path) => {
                // An empty folder may have been made meanwhile; one with something in it is refused.
                fs::rename(&self.ready, path).map_err(|source| {
                    let there = source.kind() == std::io::ErrorKind::DirectoryNotEmpty;
                    let error = if there { already_there() } else { source.into() };
                    error.at("folder", path.display())
                })?;
            }
            Shape::Folder(path) => {
                self.note_moving()?;
                for name in names(&self.ready)? {
                    let target = path.join(&name);
                    place(&self.ready.join(&name), &target, Mode::Create).at("file", || target.display())?;
                }
            }
            Shape::Pipe(_) => {}
        }
        remove_folder(&self.ready)?;
        self.sweep(marker)
    }

    /// The names that are about to be moved, so that an abort in the midst can take them back.
    fn note_moving(&self) -> Result<()> {
        let list = self.folder.join("moving");
        if list.exists() {
            return Ok(());
        }
        let names: Vec<String> = names(&self.ready)?.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        let text = serde_json::to_vec(&names).map_err(|source| internal().with_source(source))?;
        write_durably(&list, &text)
    }

    /// Takes back a file that has its final name already, and that of the stage still.
    fn unlink(&self, target: &Path) -> Result<()> {
        for name in names(&self.ready)? {
            if same_file(&self.ready.join(name), target).unwrap_or(false) {
                remove_file(target)?;
            }
        }
        Ok(())
    }

    fn take_back(&self, folder: &Path) -> Result<()> {
        let list = match fs::read(self.folder.join("moving")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            list => list.at("folder", || self.folder.display())?,
        };
        let names: Vec<String> = serde_json::from_slice(&list).map_err(|source| internal().with_source(source))?;
        names.iter().try_for_each(|name| remove_file(&folder.join(name)))
    }

    /// What comes after publishing.
    fn sweep(&self, marker: &Marker) -> Result<()> {
        marker.old.iter().try_for_each(|path| remove_file(path))?;
        remove_folder(&self.folder)?;
        sync_folder(&parent_of(&marker.target))?;
        sync_folder(&self.parent)
    }

    fn read_marker(&self) -> Result<Option<Marker>> {
        read_marker(&self.marker)
    }

    fn write_marker(&self, marker: &Marker) -> Result<()> {
        let text = serde_json::to_vec(marker).map_err(|source| internal().with_source(source))?;
        // Written beside and renamed: a marker is whole or not there.
        let draft = self.folder.join("marker");
        write_durably(&draft, &text)?;
        fs::rename(&draft, &self.marker).at("file", || self.marker.display())?;
        sync_folder(&self.parent)
    }
}

/// Removes the markers of commits into the target of `agreement`.
pub(super) fn forget(agreement: &Agreement) -> Result<()> {
    let landing = Landing::of(agreement)?;
    let (Some(parent), Some(target)) = (landing.parent(), landing.target()) else { return Ok(()) };
    for name in names(&parent)? {
        let text = name.to_string_lossy();
        let path = parent.join(&name);
        let marked = text.starts_with(".etl-") && text.ends_with(".done");
        if marked && read_marker(&path)?.is_some_and(|marker| marker.target == target) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// The parts of all receipts, in the order of the source.
fn parts_in_order(receipts: &[Receipt]) -> Result<Vec<Part>> {
    let mut receipts: Vec<&Receipt> = receipts.iter().collect();
    receipts.sort_by_key(|receipt| (receipt.splits.first().copied().unwrap_or(0), receipt.task));
    let mut parts = Vec::new();
    for receipt in receipts {
        let own = Vec::<Part>::deserialize(&receipt.detail)
            .map_err(|source| Error::new(ErrorKind::Internal, "the receipt is not one of files").with_source(source))?;
        parts.extend(own);
    }
    Ok(parts)
}

/// Gives `from` the name `to`. Without replacing, a file that is there is refused, unless it is the same one.
fn place(from: &Path, to: &Path, mode: Mode) -> Result<()> {
    if mode != Mode::Create {
        return Ok(fs::rename(from, to)?);
    }
    match fs::hard_link(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            if !same_file(from, to)? {
                return Err(already_there());
            }
        }
        // Some file systems have no hard links: then a look before must do.
        Err(_) if !to.exists() => return Ok(fs::rename(from, to)?),
        Err(error) => return Err(error.into()),
    }
    Ok(fs::remove_file(from)?)
}

fn same_file(left: &Path, right: &Path) -> std::io::Result<bool> {
    let (left, right) = (fs::symlink_metadata(left)?, fs::symlink_metadata(right)?);
    Ok((left.dev(), left.ino()) == (right.dev(), right.ino()))
}

fn already_there() -> Error {
    Error::new(ErrorKind::AlreadyExists, "it exists already")
        .with_hint("use --mode append or --mode replace, or name another target")
}

fn internal() -> Error {
    Error::new(ErrorKind::Internal, "the notes of the stage cannot be written or read")
}

fn read_marker(path: &Path) -> Result<Option<Marker>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| internal().with_source(source)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::from(error).at("file", path.display())),
    }
}

fn write_durably(path: &Path, text: &[u8]) -> Result<()> {
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(text)?;
        file.sync_all()
    };
    write().at("file", || path.display())
}

fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    let entries = fs::read_dir(folder).at("folder", || folder.display())?;
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).at("folder", || folder.display())
}

fn remove_file(path: &Path) -> Result<()> {
    missing_is_fine(fs::remove_file(path)).at("file", || path.display())
}

fn remove_folder(path: &Path) -> Result<()> {
    missing_is_fine(fs::remove_dir_all(path)).at("folder", || path.display())
}

fn missing_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
