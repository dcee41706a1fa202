//! The suite that every connector passes. It drives [`Sink`](crate::sink::Sink) and
//! [`Source`](crate::source::Source) directly, without an engine, as the contract says they may be driven.
//!
//! A connector has one [`Fixture`]: where a fresh target is, how to read it again, and what it keeps exactly.
//! [`check`] runs all checks and says which failed. [`check_parts`] says of a connector that was just begun which parts it lacks.
//!
//! ```
//! # use arrow_etl::testing::{conformance::{self, Fixture, Target}, generate, memory::Memory};
//! # use arrow_etl::endpoint::ObjectRef;
//! #[derive(Debug)]
//! struct InMemory;
//!
//! #[async_trait::async_trait]
//! impl Fixture for InMemory {
//!     async fn target(&self) -> arrow_etl::error::Result<Target> {
//!         Ok(Target::new(Memory::new().endpoint(), ObjectRef::Table("t".to_owned())))
//!     }
//!     fn fields(&self) -> Vec<arrow::datatypes::Field> {
//!         generate::fields_named(&["int64", "text"])
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let report = conformance::check_only(&InMemory, &["types", "nulls"]).await;
//! assert!(report.passed(), "{report}");
//! # }
//! ```

mod commits;
mod drive;
mod parts;
mod proofs;
mod reads;
mod state;
#[cfg(test)]
mod tests;
mod values;

use std::any::Any;
use std::fmt;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::generate::Limits;
use crate::endpoint::{Endpoint, ObjectRef};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Merge, WriteMode};

pub use parts::check_parts;
pub use state::check_state_log;

/// One connector as the suite sees it.
#[async_trait]
pub trait Fixture: Debug + Send + Sync {
    /// A target that nobody has used: called once for each check.
    async fn target(&self) -> Result<Target>;

    /// The columns that it keeps exactly; [`generate::fields`](super::generate::fields) has them to choose from.
    fn fields(&self) -> Vec<Field>;

    /// Which special values of those types it keeps.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Who reads what was written with `schema`: the endpoint itself, or the same place with options that fix the
    /// types. None for a sink that keeps nothing.
    fn reader(&self, target: &Target, _schema: &Schema) -> Result<Option<Arc<dyn Endpoint>>> {
        Ok(Some(Arc::clone(&target.endpoint)))
    }

    /// The type in which `field` comes back, where the target has no such type of its own: SQLite's integers.
    fn returned(&self, field: &Field) -> DataType {
        field.data_type().clone()
    }

    /// Whether a table without rows comes back with its columns and their types. Text files have no types.
    fn keeps_empty_columns(&self) -> bool {
        true
    }

    /// The modes it has.
    fn modes(&self) -> Vec<WriteMode> {
        vec![WriteMode::Create, WriteMode::Append, WriteMode::Truncate, WriteMode::Replace]
    }

    /// Columns of the widest table, the id included.
    fn widest(&self) -> usize {
        1000
    }

    /// What runs left in the place of `target` beside its object: hidden files, tables of a stage. Looked at when
    /// all runs have ended, each by a commit, by an abort, or by its death and an abort of a later process.
    async fn debris(&self, _target: &Target) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Bytes of the longest value.
    fn longest(&self) -> usize {
        50 << 20
    }
}

/// All modes of a fixture whose sink merges by key.
pub fn modes_by_key() -> Vec<WriteMode> {
    let merge = || Merge { key: vec!["id".to_owned()], ..Merge::default() };
    vec![
        WriteMode::Create,
        WriteMode::Append,
        WriteMode::Truncate,
        WriteMode::Replace,
        WriteMode::Upsert(merge()),
        WriteMode::Sync(merge()),
    ]
}

/// A fresh place to write to.
#[derive(Debug)]
pub struct Target {
    /// What is written.
    pub endpoint: Arc<dyn Endpoint>,
    /// The object in it.
    pub object: ObjectRef,
    /// Opens it anew.
    again: Option<Again>,
    /// What has to live as long: a temporary folder.
    keep: Vec<Box<dyn Keep>>,
}

struct Again(Box<dyn Fn() -> Result<Arc<dyn Endpoint>> + Send + Sync>);

impl Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}

trait Keep: Any + Debug + Send + Sync {}
impl<T: Any + Debug + Send + Sync> Keep for T {}

impl Target {
    /// `object` of `endpoint`, which stands for another process too: fit where an endpoint remembers nothing.
    pub fn new(endpoint: Arc<dyn Endpoint>, object: ObjectRef) -> Self {
        Self { endpoint, object, again: None, keep: Vec::new() }
    }

    /// `object` of the endpoint that `open` builds. Each process that the suite plays has one of its own.
    pub fn opened_by<F>(open: F, object: ObjectRef) -> Result<Self>
    where
        F: Fn() -> Result<Arc<dyn Endpoint>> + Send + Sync + 'static,
    {
        let endpoint = open()?;
        Ok(Self { again: Some(Again(Box::new(open))), ..Self::new(endpoint, object) })
    }

    /// The same place through an endpoint of its own, as another process has it.
    pub fn elsewhere(&self) -> Result<Arc<dyn Endpoint>> {
        match &self.again {
            Some(Again(open)) => open(),
            None => Ok(Arc::clone(&self.endpoint)),
        }
    }

    /// Keeps `guard` until the check is over.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Debug + Send + Sync) -> Self {
        self.keep.push(Box::new(guard));
        self
    }
}

/// One check: its name and what it does. Ids of the suite, in the order in which they run.
type Check = (&'static str, for<'a> fn(&'a dyn Fixture) -> BoxFuture<'a, Result<()>>);

const CHECKS: &[Check] = &[
    ("types", |fixture| values::types(fixture).boxed()),
    ("nulls", |fixture| values::nulls(fixture).boxed()),
    ("empty table", |fixture| values::empty(fixture).boxed()),
    ("wide rows", |fixture| values::wide(fixture).boxed()),
    ("long values", |fixture| values::long(fixture).boxed()),
    ("split read twice", |fixture| reads::twice(fixture).boxed()),
    ("some columns", |fixture| reads::columns(fixture).boxed()),
    ("batch limits", |fixture| reads::batches(fixture).boxed()),
    ("several writers", |fixture| commits::writers(fixture).boxed()),
    ("modes", |fixture| commits::modes(fixture).boxed()),
    ("merge by key", |fixture| commits::merges(fixture).boxed()),
    ("verify", |fixture| proofs::verify(fixture).boxed()),
    ("commit twice", |fixture| commits::commit_twice(fixture).boxed()),
    ("abort twice", |fixture| commits::abort_twice(fixture).boxed()),
    ("begun anew", |fixture| commits::begun_anew(fixture).boxed()),
    ("prepare twice", |fixture| commits::prepare_twice(fixture).boxed()),
    ("attempt after a lost one", |fixture| commits::attempt_after_lost(fixture).boxed()),
    ("attempt after a flushed one", |fixture| commits::attempt_after_flushed(fixture).boxed()),
    ("two attempts at once", |fixture| commits::attempts_at_once(fixture).boxed()),
    ("killed before flush", |fixture| commits::killed_before_flush(fixture).boxed()),
    ("killed after flush", |fixture| commits::killed_after_flush(fixture).boxed()),
];

/// Longest time of one check: what hangs, fails.
const TIME_LIMIT: Duration = Duration::from_mins(5);

/// What came out.
#[derive(Debug)]
pub struct Report {
    /// Checks that ran.
    pub checks: usize,
    /// Name and reason of those that failed.
    pub failed: Vec<(&'static str, Error)>,
}

impl Report {
    /// Whether nothing failed, and something ran.
    pub fn passed(&self) -> bool {
        self.failed.is_empty() && self.checks > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} checks failed", self.failed.len(), self.checks)?;
        self.failed.iter().try_for_each(|(name, error)| write!(f, "\n  {name}: {error:?}"))
    }
}

/// Runs all checks.
pub async fn check(fixture: &dyn Fixture) -> Report {
    let names: Vec<_> = CHECKS.iter().map(|(name, _)| *name).collect();
    check_only(fixture, &names).await
}

/// Runs the checks `names`.
pub async fn check_only(fixture: &dyn Fixture, names: &[&str]) -> Report {
    let mut report = Report { checks: 0, failed: Vec::new() };
    for (name, run) in CHECKS.iter().filter(|(name, _)| names.contains(name)) {
        report.checks += 1;
        let late = |_| Err(Error::new(ErrorKind::Timeout, "the check hangs"));
        if let Err(error) = tokio::time::timeout(TIME_LIMIT, run(fixture)).await.unwrap_or_else(late) {
            report.failed.push((*name, error));
        }
    }
    report
}

/// Runs the checks of a source alone: `object` of `endpoint`, which holds at least 100 rows and three columns.
pub async fn check_source(endpoint: Arc<dyn Endpoint>, object: ObjectRef) -> Report {
    let mut report = Report { checks: 3, failed: Vec::new() };
    let mut note = |name, result: Result<()>| report.failed.extend(result.err().map(|error| (name, error)));
    note("split read twice", reads::twice_of(&endpoint, &object).await);
    note("some columns", reads::columns_of(&endpoint, &object).await);
    note("batch limits", reads::batches_of(&endpoint, &object).await);
    report
}

/// A failed expectation.
fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(ErrorKind::Internal, otherwise())) }
}
