//! Rows that are sent again: kept in a hidden file while the two sides are compared, then copied as any file is.
//!
//! So nothing reaches the target before the comparison has ended, and the two sources are closed by then.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Comparison, Resend};
use crate::bridge::blocking;
use crate::endpoint::ObjectRef;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::{Job, Place};
use crate::run::{self, Between, Surroundings};
use crate::sink::SchemaPolicy;

/// Batches that may wait for the disk.
const QUEUE_BATCHES: usize = 2;

/// A hidden file of rows, gone when dropped.
pub(super) struct Spool {
    path: PathBuf,
    outlet: Option<mpsc::Sender<RecordBatch>>,
    writing: Option<JoinHandle<Result<u64>>>,
    rows: u64,
}

impl Spool {
    /// Makes the file. What is put into its outlet is written into it.
    pub(super) fn open() -> Result<Self> {
        let path = std::env::temp_dir().join(format!(".etl-{}.arrows", uuid::Uuid::now_v7().simple()));
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.at("file", || path.display())?;
        let (outlet, batches) = mpsc::channel(QUEUE_BATCHES);
        let writing = tokio::spawn(blocking::run("diff-spool", move || write(file, batches)));
        Ok(Self { path, outlet: Some(outlet), writing: Some(writing), rows: 0 })
    }

    /// Where rows go.
    pub(super) fn outlet(&self) -> Option<mpsc::Sender<RecordBatch>> {
        self.outlet.clone()
    }

    /// Waits until all is written. All other outlets are dropped by then.
    pub(super) async fn close(&mut self) -> Result<()> {
        self.outlet = None;
        if let Some(writing) = self.writing.take() {
            let written = writing.await.map_err(|death| {
                Error::new(ErrorKind::Internal, "keeping rows failed in an unforeseen way").with_source(death)
            })?;
            self.rows = written.at("file", || self.path.display())?;
        }
        Ok(())
    }

    /// Copies the rows to where they are to go, and gives their number.
    pub(super) async fn send(
        self,
        comparison: &Comparison,
        resend: &Resend,
        surroundings: &Surroundings,
    ) -> Result<u64> {
        if self.rows == 0 {
            return Ok(0);
        }
        let source = Place::new("file", json!({ "url": self.path }), ObjectRef::Whole);
        let mut job = Job::new(source, resend.target.clone());
        job.mode = resend.mode.clone();
        job.limits = comparison.limits.clone();
        if !comparison.select.is_empty() {
            job.schema = SchemaPolicy::Ignore;
        }
        // Counters of its own: those of the comparison are complete.
        let surroundings = Surroundings { meter: std::sync::Arc::default(), ..surroundings.clone() };
        let sent = run::copy(&job, Between::of(&job)?, &surroundings).await;
        Ok(sent.at("option", || "--to")?.rows)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // It lies in the folder for temporary files: a leftover is the system's to remove.
        let _ = fs::remove_file(&self.path);
    }
}

fn write(file: fs::File, mut batches: mpsc::Receiver<RecordBatch>) -> Result<u64> {
    let (mut writer, mut rows) = (None, 0);
    let mut file = Some(std::io::BufWriter::new(file));
    while let Some(batch) = batches.blocking_recv() {
        if let Some(file) = file.take() {
            writer = Some(StreamWriter::try_new(file, batch.schema_ref())?);
        }
        if let Some(writer) = &mut writer {
            writer.write(&batch)?;
        }
        rows += batch.num_rows() as u64;
    }
    if let Some(mut writer) = writer {
        writer.finish()?;
        writer.into_inner()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    }
    Ok(rows)
}
