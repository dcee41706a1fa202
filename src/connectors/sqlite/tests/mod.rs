//! The connector through its contract, on files of its own.

mod ending;
mod reading;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use rusqlite::Connection;
use serde_json::json;

use super::Sqlite;
use crate::attempt::{Attempt, Token};
use crate::connector::Connector as _;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Session};
use crate::error::Result;
use crate::source::{ReadPlan, Scan, Source, Split, SplitGoal, TableShape};

/// A folder with one database in it.
pub(super) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A connection of the test itself to `shop.db`.
    pub(super) fn connection(&self) -> Connection {
        Connection::open(self.path("shop.db")).unwrap()
    }

    pub(super) fn run(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap();
    }

    pub(super) fn endpoint(&self) -> Arc<dyn Endpoint> {
        endpoint(&self.path("shop.db"))
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

pub(super) fn endpoint(path: &Path) -> Arc<dyn Endpoint> {
    Sqlite.endpoint(&json!({ "url": format!("sqlite:{}", path.display()), "busyTimeout": 0 })).unwrap()
}

pub(super) fn token(run: &str) -> Token {
    Token { run: run.to_owned(), transfer: 0, sink: 0, epoch: 0 }
}

/// One source of an open session.
pub(super) struct Reading {
    pub(super) session: Arc<dyn Session>,
    pub(super) source: Arc<dyn Source>,
    pub(super) shape: TableShape,
}

impl Reading {
    pub(super) async fn of(endpoint: &Arc<dyn Endpoint>, object: ObjectRef, readers: usize) -> Result<Self> {
        let request = OpenRequest { objects: vec![object.clone()], readers, ..OpenRequest::default() };
        let session = endpoint.open(&request).await?;
        let source = session.source(&object)?;
        let shape = source.describe().await?;
        Ok(Self { session, source, shape })
    }

    pub(super) fn scan(&self) -> Scan {
        let schema = Arc::clone(&self.shape.schema);
        Scan { schema, filters: Vec::new().into(), limit: None, batch_rows: 1000, batch_bytes: 1 << 20 }
    }

    pub(super) async fn plan(&self, scan: &Scan, channels: usize) -> ReadPlan {
        self.source.plan(scan, &SplitGoal::new(1 << 20, channels)).await.unwrap()
    }

    pub(super) async fn split(&self, scan: &Scan, split: &Split) -> Result<Vec<RecordBatch>> {
        self.source.read(scan, split, &Attempt::new(token("r"), 0, vec![split.id]), None).await?.try_collect().await
    }

    pub(super) async fn all(&self, scan: &Scan) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for split in self.plan(scan, 4).await.splits {
            batches.extend(self.split(scan, &split).await?);
        }
        Ok(batches)
    }
}

pub(super) fn table(name: &str) -> ObjectRef {
    ObjectRef::Table(name.to_owned())
}

pub(super) fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}
