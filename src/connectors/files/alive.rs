//! Who is at work on a stage: the locks that its process holds, and which job it is of.
//!
//! The system gives a lock back when its process is gone, however it ended. Who goes on with a run takes the locks before it looks.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::landing::Landing;
use super::stage::{OWNER, Stage, names};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// The file of a stage that says which job it is of.
pub(super) const JOB: &str = "job";

/// How long another run of the same job is waited for that gives way, and between two looks.
const JOB_WAIT: Duration = Duration::from_secs(3);
const JOB_PAUSE: Duration = Duration::from_millis(50);

/// Locks that say that the runs of a sink are alive, with the folders of their stages. Dropping them, or the death of the process, frees
/// them.
#[derive(Debug, Default)]
pub(super) struct Alive(Mutex<Vec<(PathBuf, fs::File)>>);

impl Alive {
    fn all(&self) -> MutexGuard<'_, Vec<(PathBuf, fs::File)>> {
        self.0.lock()
    }

    /// Keeps `locks` of the stage in `folder`.
    pub(super) fn keep(&self, folder: &Path, locks: impl IntoIterator<Item = fs::File>) {
        self.all().extend(locks.into_iter().map(|lock| (folder.to_owned(), lock)));
    }

    /// Whether some of `stage` are kept.
    pub(super) fn holds(&self, stage: &Stage) -> bool {
        self.all().iter().any(|(folder, _)| *folder == stage.folder)
    }

    /// Frees those of the stage in `folder`.
    pub(super) fn forget(&self, folder: &Path) {
        self.all().retain(|(held, _)| held != folder);
    }
}

impl Landing {
    /// Which job it is, and into which target; none where nobody said so.
    pub(super) fn whose(&self) -> Option<String> {
        Some(format!("{} {}", self.job.as_ref()?, self.shape.target()?.display()))
    }
}

impl Stage {
    /// Takes the locks of stage and marker that say that the run is alive, as far as these are there and can be locked.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) where another process has one.
    pub(super) fn take(&self) -> Result<Vec<fs::File>> {
        let mut locks = Vec::new();
        for path in [&self.owner(), &self.marker] {
            let file = match fs::File::open(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                file => file.at("file", || path.display())?,
            };
            match file.try_lock() {
                Ok(()) => locks.push(file),
                Err(fs::TryLockError::WouldBlock) => {
                    let message = "the process that writes here is still at work";
                    return Err(Error::new(ErrorKind::Busy, message).at("folder", self.folder.display()));
                }
                // A file system without locks cannot tell the dead from the living.
                Err(fs::TryLockError::Error(_)) => {}
            }
        }
        Ok(locks)
    }

    /// Refuses to write while another run of the same job is alive. Of two that begin at once the later one gives way.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy).
    pub(super) fn refuse_another(&self, landing: &Landing) -> Result<()> {
        let Some(job) = landing.whose() else { return Ok(()) };
        let deadline = Instant::now() + JOB_WAIT;
        while let Some(other) = self.another_of(&job)? {
            if other < self.folder || Instant::now() >= deadline {
                let message = "another run of the same job writes here";
                return Err(Error::new(ErrorKind::Busy, message)
                    .with_hint(
                        "it may have been started on another machine, or with another state log: wait for its end",
                    )
                    .at("folder", other.display()));
            }
            std::thread::sleep(JOB_PAUSE);
        }
        Ok(())
    }

    /// The stage of another run of `job` that is alive.
    fn another_of(&self, job: &str) -> Result<Option<PathBuf>> {
        let is_alive = |folder: &Path| {
            let is_of_job = fs::read_to_string(folder.join(JOB)).is_ok_and(|other| other == job);
            let owner = is_of_job.then(|| fs::File::open(folder.join(OWNER)).ok()).flatten();
            owner.is_some_and(|owner| matches!(owner.try_lock(), Err(fs::TryLockError::WouldBlock)))
        };
        let folders = names(&self.parent)?.into_iter().map(|name| self.parent.join(name));
        let is_stage = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "stage");
        Ok(folders.filter(is_stage).find(|folder| *folder != self.folder && is_alive(folder)))
    }
}
