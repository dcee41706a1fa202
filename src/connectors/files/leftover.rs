//! What runs that died left behind: found by locks that nobody holds, settled by the next run on the same target.
//!
//! A run that died before its commit is swept, one that died in the midst of publishing is taken back, one that had
//! committed is swept. A stage or marker whose lock is held belongs to a run that is alive.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::config::Wanted;
use super::find;
use super::landing::{Shape, parent_of};
use super::stage::{self, Marker, Stage};
use crate::error::Result;

/// The stage of a dead run. Its lock is held, so that only one run settles it.
#[derive(Debug)]
struct Leftover {
    stage: Stage,
    marker: Option<Marker>,
    _lock: Option<fs::File>,
}

/// Settles what dead runs on the target of `shape` left, but for the stage of this run.
pub(super) fn settle(shape: &Shape, own: &Stage) -> Result<()> {
    for left in leftovers(shape)? {
        if left.stage.folder != own.folder {
            left.stage.abort()?;
            stage::remove_file(&left.stage.marker)?;
        }
    }
    Ok(())
}

/// A data file of a folder: the path that it has once what dead runs left is settled, and where it is until then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Settled {
    pub(super) path: PathBuf,
    pub(super) now: PathBuf,
}

/// The data files of a folder as they are once what dead runs left is settled, sorted. Changes nothing.
pub(super) fn settled_files(folder: &Path, wanted: Wanted<'_>) -> Result<Vec<Settled>> {
    let there = find::files_of(folder, wanted)?.into_iter();
    let mut files: Vec<Settled> = there.map(|path| Settled { now: path.clone(), path }).collect();
    for left in leftovers(&Shape::Folder(folder.to_owned()))? {
        let Some(marker) = &left.marker else { continue };
        if left.stage.is_committed(marker)? {
            files.retain(|file| !left.stage.doomed(marker).contains(&file.path));
            continue;
        }
        let new = marker.new_files(folder);
        files.retain(|file| !new.contains(&file.path));
        files.extend(left.stage.set_aside_of(folder)?.into_iter().map(|(now, path)| Settled { path, now }));
    }
    files.sort();
    Ok(files)
}

/// The stages of dead runs on the target of `shape`. Those that this user may not look into are left alone.
fn leftovers(shape: &Shape) -> Result<Vec<Leftover>> {
    let (Some(parent), Some(target)) = (shape.stage_parent(), shape.target()) else { return Ok(Vec::new()) };
    // The stage of a folder that was new stands beside it, those of later runs stand in it.
    let beside = parent_of(target);
    let mut found = leftovers_in(&parent, shape)?;
    if beside != parent {
        // Not everybody may look into that one.
        found.extend(leftovers_in(&beside, shape).unwrap_or_default());
    }
    Ok(found)
}

fn leftovers_in(parent: &Path, shape: &Shape) -> Result<Vec<Leftover>> {
    let names = stage::names(parent)?;
    let token = |name: &OsString| {
        let rest = name.to_str()?.strip_prefix(".etl-")?;
        rest.strip_suffix(".stage").or_else(|| rest.strip_suffix(".done")).map(str::to_owned)
    };
    let tokens: BTreeSet<String> = names.iter().filter_map(token).collect();
    Ok(tokens.iter().filter_map(|token| leftover(Stage::named(parent, token), shape)).collect())
}

fn leftover(stage: Stage, shape: &Shape) -> Option<Leftover> {
    let locked = |path: &Path| {
        let file = fs::File::open(path).ok()?;
        file.try_lock().ok().map(|()| file)
    };
    if stage.marker.exists() {
        let lock = Some(locked(&stage.marker)?);
        // Read behind the lock: its run may have ended between.
        let marker = stage.read_marker().ok().flatten()?;
        let same = marker.shape.target() == shape.target();
        return same.then(|| Leftover { stage, marker: Some(marker), _lock: lock });
    }
    if fs::File::open(stage.owner()).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        // A stage is never without its owner but when removing it was interrupted.
        return Some(Leftover { stage, marker: None, _lock: None });
    }
    let lock = Some(locked(&stage.owner())?);
    let owned: Shape = serde_json::from_slice(&fs::read(stage.owner()).ok()?).ok()?;
    let same = owned.target() == shape.target() && !stage.marker.exists();
    same.then(|| Leftover { stage, marker: None, _lock: lock })
}
