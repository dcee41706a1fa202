//! What a writer of another program names, and the job that fills it.

use crate::error::Result;
use crate::job::tree::Node;
use crate::job::{Job, Place, UnionBy};
use crate::sink::{SchemaPolicy, WriteMode};

/// One target.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) mode: WriteMode,
    /// The columns that are filled, by their place; empty leaves those that come their names.
    pub(super) names: Vec<String>,
    pub(super) schema: SchemaPolicy,
    pub(super) pre_sql: Vec<String>,
    pub(super) post_sql: Vec<String>,
}

impl Target {
    /// A place that has no columns yet, and no statements.
    pub(super) fn plain(place: Place, mode: WriteMode) -> Self {
        let schema = SchemaPolicy::Strict;
        Self { place, mode, names: Vec::new(), schema, pre_sql: Vec::new(), post_sql: Vec::new() }
    }

    /// The job that fills it with the rows of `sources`, the columns of which are paired by their places; none without a source.
    pub(super) fn job(self, sources: impl IntoIterator<Item = Place>) -> Option<Job> {
        let mut sources = sources.into_iter();
        let mut job = Job::new(sources.next()?, self.place);
        job.union = sources.collect();
        if !job.union.is_empty() {
            job.union_by = UnionBy::Place;
        }
        job.mode = self.mode;
        job.schema = self.schema;
        job.pre_sql = self.pre_sql;
        job.post_sql = self.post_sql;
        job.transform.names = self.names;
        Some(job)
    }

    /// Refuses a reader of `content` that has another number of columns, where both numbers are known.
    pub(super) fn refuse_width(&self, width: Option<usize>, content: &Node<'_>) -> Result<()> {
        match width {
            Some(width) if !self.names.is_empty() && width != self.names.len() => {
                let message = format!("the reader has {width} columns, and the writer {}", self.names.len());
                Err(content.error(message).with_hint("columns are paired by their place"))
            }
            _ => Ok(()),
        }
    }
}
