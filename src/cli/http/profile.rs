//! Where the processor's time goes: stacks that are sampled while the job runs, in pprof's form or as a flame graph.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use pprof::protos::Message as _;
use pprof::{Frames, ProfilerGuardBuilder, Report, UnresolvedReport};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::bridge::blocking;
use crate::error::{Error, ErrorKind, Result};

/// Samples per second of processor time: no divisor of what other clocks tick by.
const HERTZ: i32 = 99;

/// No sample is taken within these: the unwinder may wait there for a lock that the thread holds which it stopped.
const UNTOUCHED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// How long the end of the server waits for that of a profile.
const END_TIME: Duration = Duration::from_secs(1);

/// How a profile is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// pprof's protobuf in gzip, which `go tool pprof` and others read.
    Pprof,
    /// A flame graph in SVG; empty where nothing was sampled.
    Svg,
}

/// Takes one profile at a time.
#[derive(Debug)]
pub(super) struct Profiler {
    turn: Arc<Semaphore>,
    folder: OnceLock<TempDir>,
}

impl Default for Profiler {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), folder: OnceLock::new() }
    }
}

impl Profiler {
    /// Samples for `time`, on a thread of its own, where the names of functions are found as well. It ends early when this is
    /// dropped.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) while another one is taken, [`Resource`](ErrorKind::Resource) where the system lets nobody sample.
    pub(super) async fn take(self: &Arc<Self>, time: Duration, form: Form) -> Result<Vec<u8>> {
        let turn = Arc::clone(&self.turn).try_acquire_owned();
        let turn =
            turn.map_err(|_| Error::new(ErrorKind::Busy, "another profile is being taken: ask when it has ended"))?;
        let (wanted, unwanted) = channel();
        let profiler = Arc::clone(self);
        let taken = blocking::run("etl-profile", move || {
            let _turn = turn;
            profiler.make_folder()?;
            let report = sampled(time, &unwanted)?;
            given(report, form)
        });
        let taken = taken.await;
        drop(wanted);
        taken
    }

    /// Waits until no profile is taken.
    pub(super) async fn ended(&self) {
        let _ = timeout(END_TIME, self.turn.acquire()).await;
    }

    /// The sampler keeps a file for what its table cannot hold, among the temporary files of this process, and never removes
    /// the last one. So these get a folder that is removed with the server.
    fn make_folder(&self) -> Result<()> {
        if self.folder.get().is_none() {
            let folder = tempfile::Builder::new().prefix("etl-profile-").tempdir()?;
            // An earlier server of this process has chosen one for good.
            let _ = tempfile::env::override_temp_dir(folder.path());
            let _ = self.folder.set(folder);
        }
        Ok(())
    }
}

/// Samples all threads for `time`.
fn sampled(time: Duration, unwanted: &Receiver<()>) -> Result<UnresolvedReport> {
    let guard = ProfilerGuardBuilder::default().frequency(HERTZ).blocklist(&UNTOUCHED).build().map_err(failed)?;
    if unwanted.recv_timeout(time) == Err(RecvTimeoutError::Disconnected) {
        return Err(Error::new(ErrorKind::Cancelled, "nobody waits for this profile any more"));
    }
    guard.report().build_unresolved().map_err(failed)
}

/// The samples with the names of functions.
fn given(UnresolvedReport { data, timing }: UnresolvedReport, form: Form) -> Result<Vec<u8>> {
    let mut named: HashMap<Frames, isize> = HashMap::new();
    for (frames, count) in data {
        *named.entry(Frames::from(frames)).or_default() += count;
    }
    let report = Report { data: named, timing };
    let mut out = Vec::new();
    match form {
        Form::Svg => report.flamegraph(&mut out).map_err(failed)?,
        Form::Pprof => {
            let profile = report.pprof().map_err(failed)?;
            let mut packed = GzEncoder::new(&mut out, Compression::default());
            packed.write_all(&profile.encode_to_vec())?;
            packed.finish()?;
        }
    }
    Ok(out)
}

fn failed(source: pprof::Error) -> Error {
    Error::new(ErrorKind::Resource, "the profile cannot be taken").with_source(source)
}
