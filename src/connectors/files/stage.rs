//! The stage of a commit: a hidden folder of parts beside the target, and how they become visible.
//!
//! ```text
//! .etl-TOKEN.stage/            made by prepare, gone after commit or abort
//!     owner                    whose target it is; locked while its run is alive, and by who goes on with it from the first look on
//!     job                      which job it is of
//!     part-TASK-ATTEMPT-N      what writers made; only those in receipts count
//!     ready/NAME               what will be published, under its final name
//!     old/NAME                 files of a folder that were replaced
//! .etl-TOKEN.done              the marker: `ready` is complete and durable, publishing has begun, in a folder under these names
//! ```
//! Committed means: there is a marker, and nothing is left in `ready` (or its one file is the target already). From
//! there on nothing can fail any more, what is left to do is to sweep. Before, everything can be taken back. The marker
//! stays until the endpoint is finished, so that committing twice is told from losing parts. What a process that died
//! leaves behind is the business of [`super::leftover`]. All of it blocks.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alive::JOB;
use super::input::Stamp;
use super::join;
use super::landing::{Landing, Mode, Shape, parent_of};
use crate::attempt::Token;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::RecordFormat;
use crate::sink::{Agreement, Receipt};

/// The file of a stage that says whose target it is.
pub(super) const OWNER: &str = "owner";

/// Parts may hold what only the owner may see, whatever the target will be.
const PRIVATE: u32 = 0o700;

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
pub(super) struct Marker {
    /// The id of the agreement.
    pub(super) agreement: String,
    pub(super) shape: Shape,
    /// Files of the target that go when the new ones are there.
    pub(super) old: Vec<PathBuf>,
    /// Names of a folder that are being given, so that they can be taken back.
    #[serde(default)]
    new: Vec<String>,
}

impl Marker {
    /// The new files of `folder` that may be there already.
    pub(super) fn new_files(&self, folder: &Path) -> Vec<PathBuf> {
        self.new.iter().map(|name| folder.join(name)).collect()
    }
}

/// The stage of one token.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// Holds the stage and the marker.
    pub(super) parent: PathBuf,
    pub(super) folder: PathBuf,
    ready: PathBuf,
    pub(super) marker: PathBuf,
    /// The codec, where files are records.
    pub(super) records: Option<Arc<dyn RecordFormat>>,
}

impl Landing {
    /// The stage of `token`; none for a pipe.
    pub(super) fn stage(&self, records: Option<Arc<dyn RecordFormat>>, token: &Token) -> Option<Stage> {
        let parent = self.shape.stage_parent()?;
        let token: String = token.to_string().chars().map(|c| if c == '/' { '_' } else { c }).collect();
        Some(Stage { records, ..Stage::named(&parent, &token) })
    }
}

impl Stage {
    /// The stage of a token, as it stands in file names.
    pub(super) fn named(parent: &Path, token: &str) -> Self {
        let folder = parent.join(format!(".etl-{token}.stage"));
        let marker = parent.join(format!(".etl-{token}.done"));
        Self { ready: folder.join("ready"), parent: parent.to_owned(), folder, marker, records: None }
    }

    /// Makes the folder. What comes back is held as long as the run is alive.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) where another process of the run is at work.
    pub(super) fn prepare(&self, landing: &Landing) -> Result<Vec<fs::File>> {
        if self.marker.exists() {
            return Ok(Vec::new());
        }
        if self.folder.exists() {
            return self.take();
        }
        // Made under another name, so that nobody sees it without its lock.
        let draft = self.folder.with_extension("new");
        remove_folder(&draft)?;
        let make = || {
            fs::DirBuilder::new().mode(PRIVATE).create(&draft)?;
            let target = serde_json::to_vec(&landing.shape).map_err(|source| internal().with_source(source))?;
            let mut owner = fs::File::create(draft.join(OWNER))?;
            owner.write_all(&target)?;
            if let Some(job) = landing.whose() {
                fs::write(draft.join(JOB), job)?;
            }
            // A file system without locks cannot tell the dead from the living: there everybody is alive.
            let held = owner.try_lock().is_ok();
            fs::rename(&draft, &self.folder)?;
            Ok(held.then_some(owner).into_iter().collect())
        };
        make().map_err(|error: Error| error.at("folder", self.parent.display()))
    }

    /// The file that is locked while the run is alive.
    pub(super) fn owner(&self) -> PathBuf {
        self.folder.join(OWNER)
    }

    /// The path of a part.
    pub(super) fn part(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether the rows are visible.
    pub(super) fn is_done(&self) -> Result<bool> {
        self.read_marker()?.map_or(Ok(false), |marker| self.is_committed(&marker))
    }

    /// What a process that is gone left of the parts in `logged`, which it has not committed.
    pub(super) fn kept(&self, logged: Vec<Receipt>) -> Result<Vec<Receipt>> {
        if self.read_marker()?.is_some() {
            return Ok(logged);
        }
        if !self.owner().exists() {
            return Ok(Vec::new());
        }
        // A commit that has begun may have joined parts, and has all of them.
        let begun = self.ready.exists();
        // A part is whole when its receipt is written; a footer is not among its counted bytes.
        let is_there = |part: &Part| fs::metadata(self.part(&part.name)).is_ok_and(|found| found.len() >= part.bytes);
        let whole = |receipt: &Receipt| parts_of(receipt).is_ok_and(|parts| parts.iter().all(is_there));
        Ok(logged.into_iter().filter(|receipt| begun || whole(receipt)).collect())
    }

    /// Makes the parts of `receipts` visible. What comes back, the marker, is held as long as the run is alive.
    pub(super) fn commit(&self, landing: &Landing, token: &Token, receipts: &[Receipt]) -> Result<Option<fs::File>> {
        if let Some(marker) = self.read_marker()? {
            if !self.is_committed(&marker)? {
                let _turn = turn_of(landing)?;
                self.publish(landing)?;
            }
            self.sweep(&marker);
            return Ok(None);
        }
        if !self.folder.exists() {
            let gone = Error::new(ErrorKind::NotFound, "the stage of this run is gone");
            return Err(gone.at("folder", self.folder.display()));
        }
        let _turn = turn_of(landing)?;
        let parts = parts_in_order(receipts)?;
        fs::create_dir_all(&self.ready).at("folder", || self.folder.display())?;
        match &landing.shape {
            Shape::Single(path) => join::single(self, landing, &parts, path)?,
            _ => join::folder(self, landing, &parts, token)?,
        }
        sync_folder(&self.ready)?;
        let new: Vec<String> = match &landing.shape {
            Shape::Folder(_) => names(&self.ready)?.iter().map(|name| name.to_string_lossy().into_owned()).collect(),
            _ => Vec::new(),
        };
        let old = landing.old_files.clone();
        let marker = Marker { agreement: landing.id.clone(), shape: landing.shape.clone(), old, new };
        let held = self.write_marker(&marker)?;
        self.publish(landing)?;
        self.sweep(&marker);
        Ok(held)
    }

    /// Removes what was staged, unless it is committed.
    pub(super) fn abort(&self) -> Result<()> {
        if let Some(marker) = self.read_marker()? {
            if self.is_committed(&marker)? {
                self.sweep(&marker);
                return Ok(());
            }
            if let Shape::Folder(folder) = &marker.shape {
                self.take_back(folder, &marker)?;
            }
            remove_file(&self.marker)?;
        }
        remove_folder(&self.folder)
    }

    /// The place of a file that will be published as `name`.
    pub(super) fn ready(&self, name: &std::ffi::OsStr) -> PathBuf {
        self.ready.join(name)
    }

    /// Whether what the marker stands for is published.
    pub(super) fn is_committed(&self, marker: &Marker) -> Result<bool> {
        if !self.ready.exists() {
            return Ok(true);
        }
        let waiting = names(&self.ready)?;
        Ok(match &marker.shape {
            Shape::Single(path) => waiting.iter().all(|name| same_file(&self.ready.join(name), path).unwrap_or(false)),
            _ => waiting.is_empty(),
        })
    }

    /// Gives what is ready its final names. When it returns without an error, the rows are committed.
    fn publish(&self, landing: &Landing) -> Result<()> {
        match &landing.shape {
            Shape::Single(path) => {
                for name in names(&self.ready)? {
                    place(&self.ready.join(name), path, landing).at("file", || path.display())?;
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
                for name in names(&self.ready)? {
                    let target = path.join(&name);
                    link(&self.ready.join(&name), &target).at("file", || target.display())?;
                }
                self.set_aside(&landing.old_files)?;
                remove_folder(&self.ready)?;
            }
            Shape::Pipe(_) => {}
        }
        Ok(())
    }

    /// Moves old files of a folder out of sight; they are there until all is done.
    fn set_aside(&self, old: &[PathBuf]) -> Result<()> {
        let aside = self.folder.join("old");
        if !old.is_empty() {
            fs::create_dir_all(&aside).at("folder", || self.folder.display())?;
        }
        for path in old {
            let Some(name) = path.file_name() else { continue };
            missing_is_fine(fs::rename(path, aside.join(name))).at("file", || path.display())?;
        }
        Ok(())
    }

    /// Makes a folder what it was before publishing began.
    fn take_back(&self, folder: &Path, marker: &Marker) -> Result<()> {
        for (aside, path) in self.set_aside_of(folder)? {
            if path.exists() {
                return Err(already_there().at("file", path.display()));
            }
            fs::rename(&aside, &path).at("file", || path.display())?;
        }
        marker.new_files(folder).iter().try_for_each(|path| remove_file(path))
    }

    /// The old files of a folder that were moved out of sight, and where they were.
    pub(super) fn set_aside_of(&self, folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
        let aside = self.folder.join("old");
        if !aside.exists() {
            return Ok(Vec::new());
        }
        Ok(names(&aside)?.iter().map(|name| (aside.join(name), folder.join(name))).collect())
    }

    /// What comes after publishing. The rows are committed: what cannot be done here fails nothing, and the next run on
    /// this target does it.
    fn sweep(&self, marker: &Marker) {
        let _ = self.set_aside(self.doomed(marker));
        let _ = remove_folder(&self.folder);
        let _ = marker.shape.target().map(|target| sync_folder(&parent_of(target)));
        let _ = sync_folder(&self.parent);
    }

    /// Old files of a folder that are still to go although the new ones are there: only where names are given by moving,
    /// and the move of the old ones was interrupted.
    pub(super) fn doomed<'a>(&self, marker: &'a Marker) -> &'a [PathBuf] {
        if self.ready.exists() { &marker.old } else { &[] }
    }

    pub(super) fn read_marker(&self) -> Result<Option<Marker>> {
        read_marker(&self.marker)
    }

    fn write_marker(&self, marker: &Marker) -> Result<Option<fs::File>> {
        let text = serde_json::to_vec(marker).map_err(|source| internal().with_source(source))?;
        // Written beside and renamed: a marker is whole and locked, or not there.
        let draft = self.folder.join("marker");
        let file = write_durably(&draft, &text)?;
        let held = file.try_lock().is_ok();
        fs::rename(&draft, &self.marker).at("file", || self.marker.display())?;
        sync_folder(&self.parent)?;
        Ok(held.then_some(file))
    }
}

/// Removes the marker of the commit of `agreement`.
pub(super) fn forget(agreement: &Agreement) -> Result<()> {
    let landing = Landing::of(agreement)?;
    let Some(parent) = landing.shape.stage_parent() else { return Ok(()) };
    for name in names(&parent)? {
        let text = name.to_string_lossy();
        let path = parent.join(&name);
        let marked = text.starts_with(".etl-") && text.ends_with(".done");
        // One that cannot be read is somebody else's.
        if marked && read_marker(&path).is_ok_and(|marker| marker.is_some_and(|marker| marker.agreement == landing.id))
        {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// The parts of all receipts, in the order of the source.
pub(super) fn parts_in_order(receipts: &[Receipt]) -> Result<Vec<Part>> {
    let mut receipts: Vec<&Receipt> = receipts.iter().collect();
    receipts.sort_by_key(|receipt| (receipt.splits.first().copied().unwrap_or(0), receipt.task));
    let mut parts = Vec::new();
    for receipt in receipts {
        parts.extend(parts_of(receipt)?);
    }
    Ok(parts)
}

fn parts_of(receipt: &Receipt) -> Result<Vec<Part>> {
    Vec::deserialize(&receipt.detail)
        .map_err(|source| Error::new(ErrorKind::Internal, "the receipt is not one of files").with_source(source))
}

/// The turn of appending to a file: held, nobody else appends, and the file is the one that was agreed on.
fn turn_of(landing: &Landing) -> Result<Option<fs::File>> {
    let (Shape::Single(path), Mode::Append, Some(stamp)) = (&landing.shape, landing.mode, landing.old_file) else {
        return Ok(None);
    };
    let file = fs::File::open(path).at("file", || path.display())?;
    // A file system without locks has the look at the stamp alone.
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        return Err(Error::new(ErrorKind::Transient, "another run appends to this file at this moment")
            .at("file", path.display())
            .with_hint("start again when it has ended"));
    }
    unchanged(path, stamp).at("file", || path.display())?;
    Ok(Some(file))
}

fn unchanged(path: &Path, stamp: Stamp) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if Stamp::of(&metadata) == stamp => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Err(Error::new(ErrorKind::Io, "the file was changed while rows were copied to be appended to it")
            .with_hint("start again when nobody else writes into it")),
    }
}

/// Gives `from` the name of the target. What is there is overwritten only where the mode says so.
fn place(from: &Path, to: &Path, landing: &Landing) -> Result<()> {
    match (landing.mode, landing.old_file) {
        (Mode::Create, _) | (Mode::Append, None) => return link(from, to),
        (Mode::Append, Some(stamp)) => unchanged(to, stamp)?,
        (Mode::Replace, _) => {}
    }
    match fs::metadata(to) {
        Ok(old) => fs::set_permissions(from, old.permissions())?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    Ok(fs::rename(from, to)?)
}

/// Gives `from` a second name. What is there is refused, unless it is the same file.
fn link(from: &Path, to: &Path) -> Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            if same_file(from, to)? {
                Ok(())
            } else {
                Err(already_there())
            }
        }
        // Where there are no hard links, a look before must do.
        Err(error) if has_no_links(&error) => match fs::symlink_metadata(to) {
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(fs::rename(from, to)?),
            _ => Err(already_there()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Whether the file system says that it has no hard links: EPERM, EOPNOTSUPP or ENOSYS.
fn has_no_links(error: &std::io::Error) -> bool {
    const EPERM: i32 = 1;
    const EOPNOTSUPP: i32 = 95;
    matches!(error.raw_os_error(), Some(EPERM | EOPNOTSUPP)) || error.kind() == std::io::ErrorKind::Unsupported
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

fn write_durably(path: &Path, text: &[u8]) -> Result<fs::File> {
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(text)?;
        file.sync_all()?;
        Ok::<_, std::io::Error>(file)
    };
    write().at("file", || path.display())
}

pub(super) fn names(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    let entries = fs::read_dir(folder).at("folder", || folder.display())?;
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).at("folder", || folder.display())
}

pub(super) fn remove_file(path: &Path) -> Result<()> {
    missing_is_fine(fs::remove_file(path)).at("file", || path.display())
}

pub(super) fn remove_folder(path: &Path) -> Result<()> {
    missing_is_fine(fs::remove_dir_all(path)).at("folder", || path.display())
}

fn missing_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
