//! The life of a run: what is recorded, what a failure or a stop leaves, how limits hold.

mod buffer;
mod checksum;
mod commit;
mod faults;
mod large;
mod limits;
mod retry;
mod stop;
mod verify;

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_etl::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use arrow_etl::error::{Error, ErrorKind, Result};
use arrow_etl::job::{Job, Place};
use arrow_etl::run::report::Summary;
use arrow_etl::run::{Between, Surroundings, copy};
use arrow_etl::sink::{Agreement, Sink};
use arrow_etl::state::{RunEntry, StateLog, StateRecord};
use arrow_etl::testing::memory::Memory;
use async_trait::async_trait;

use crate::engine::job;

/// A table of so many numbers.
fn source(rows: i64, splits: usize) -> Memory {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let memory = Memory::new();
    memory.insert("src", RecordBatch::try_from_iter([("id", ids)]).unwrap(), splits);
    memory
}

fn rows(target: &Memory) -> Option<usize> {
    target.table("dst").map(|table| table.rows.num_rows())
}

/// What happened in which order: records of the log, SQL of the user, the finishing of the target.
#[derive(Clone, Debug, Default)]
struct Journal(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    events: Vec<String>,
    /// Records whose append fails, from the `nth` on.
    failing: Option<(String, usize)>,
}

impl Journal {
    /// A journal whose log refuses the `nth` record named `record`, and all of that name after it.
    fn refusing(record: &str, nth: usize) -> Self {
        let journal = Self::default();
        journal.0.lock().unwrap().failing = Some((record.to_owned(), nth));
        journal
    }

    fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().events.clone()
    }

    fn has(&self, event: &str) -> bool {
        self.events().iter().any(|known| known == event)
    }

    fn note(&self, event: String) -> Result<()> {
        let mut inner = self.0.lock().unwrap();
        let before = inner.events.iter().filter(|known| **known == event).count();
        let refused = inner.failing.as_ref().is_some_and(|(name, nth)| *name == event && before + 1 >= *nth);
        inner.events.push(event);
        if refused { Err(Error::new(ErrorKind::Resource, "the disk of the log is full")) } else { Ok(()) }
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings { state: Some(Arc::new(self.clone())), ..Surroundings::default() }
    }

    /// `inner` as an endpoint that runs SQL: `bad` is refused, anything else is noted.
    fn endpoint(&self, inner: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        Arc::new(Scripted { inner, journal: self.clone() })
    }

    /// Copies with this log into `target`.
    async fn copy(&self, job: &Job, source: &Memory, target: Arc<dyn Endpoint>) -> Result<Summary> {
        let between = Between { source: source.endpoint(), target: self.endpoint(target), also: Vec::new() };
        copy(job, between, &self.surroundings()).await
    }
}

#[async_trait]
impl StateLog for Journal {
    async fn read(&self, _run: &str) -> Result<Vec<StateRecord>> {
        Ok(Vec::new())
    }
    async fn append(&self, _run: &str, record: &StateRecord) -> Result<()> {
        self.note(serde_json::to_value(record)?["record"].as_str().unwrap().to_owned())
    }
    async fn runs(&self) -> Result<Vec<RunEntry>> {
        Ok(Vec::new())
    }
}

#[derive(Debug)]
struct Scripted {
    inner: Arc<dyn Endpoint>,
    journal: Journal,
}

#[async_trait]
impl Endpoint for Scripted {
    fn label(&self) -> String {
        self.inner.label()
    }
    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        self.inner.list(pattern).await
    }
    async fn ping(&self) -> Result<Ping> {
        self.inner.ping().await
    }
    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        self.inner.open(request).await
    }
    async fn execute(&self, _step: &StepToken, sql: &str) -> Result<()> {
        if sql == "bad" {
            return Err(Error::new(ErrorKind::Usage, "this SQL does not parse"));
        }
        self.journal.note(sql.to_owned())
    }
    async fn finish(&self, transfers: &[Agreement]) -> Result<()> {
        self.inner.finish(transfers).await?;
        self.journal.note("finish".to_owned())
    }
    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        self.inner.sink(object)
    }
}
