//! A source as a DataFusion table: what of a query it can do itself, and the scan of what is left.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use parking_lot::Mutex;

use crate::attempt::Token;
use crate::bridge::opaque::Opaque;
use crate::endpoint::ObjectRef;
use crate::error::{Context as _, Result};
use crate::job::Toggle;
use crate::plan::error::to_datafusion;
use crate::plan::read::{ReadExec, ReadSpec};
use crate::runner::share;
use crate::source::{Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};

/// What a scan of a source needs beside the query.
#[derive(Clone, Debug)]
pub(super) struct ScanSettings {
    /// Name of the endpoint among the job's ends.
    pub(super) endpoint: String,
    /// Name of its connector.
    pub(super) connector: String,
    /// Its locator without secrets.
    pub(super) label: String,
    /// Which object of it.
    pub(super) object: ObjectRef,
    /// How large splits should be.
    pub(super) goal: SplitGoal,
    /// Rows of a batch.
    pub(super) batch_rows: usize,
    /// Bytes of a batch.
    pub(super) batch_bytes: usize,
    /// Whether the source may filter and limit.
    pub(super) pushdown: Toggle,
    /// The job's own limit, where the source may keep it.
    pub(super) limit: Option<u64>,
    /// For whom.
    pub(super) token: Token,
}

/// The table `src` of a transfer.
#[derive(Debug)]
pub(super) struct SourceTable {
    source: Arc<dyn Source>,
    shape: Arc<TableShape>,
    schema: SchemaRef,
    settings: ScanSettings,
    cuts: Arc<Mutex<Vec<Cut>>>,
}

/// One way in which the source was cut. Cutting asks the source, so the same question is not put twice.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    filters: Opaque<Vec<Expr>>,
    limit: Option<u64>,
    pub(super) plan: ReadPlan,
}

impl SourceTable {
    /// `source`, of which `schema` holds the chosen form of each column.
    pub(super) fn new(source: Arc<dyn Source>, shape: Arc<TableShape>, settings: ScanSettings) -> Self {
        let schema = Arc::clone(&shape.schema);
        Self { source, shape, schema, settings, cuts: Arc::default() }
    }

    /// The same table with other forms of its columns, and the cuts that are already known.
    pub(super) fn with_schema(&self, schema: SchemaRef) -> Self {
        Self {
            source: Arc::clone(&self.source),
            shape: Arc::clone(&self.shape),
            schema,
            settings: self.settings.clone(),
            cuts: Arc::clone(&self.cuts),
        }
    }

    pub(super) fn shape(&self) -> &Arc<TableShape> {
        &self.shape
    }

    pub(super) fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    pub(super) fn settings(&self) -> &ScanSettings {
        &self.settings
    }

    /// The newest cut for the filters and the limit of `scan`.
    pub(super) async fn cut(&self, scan: &Scan) -> Result<ReadPlan> {
        let known = |cut: &Cut| cut.filters == scan.filters && cut.limit == scan.limit;
        let found = self.cuts.lock().iter().find(|cut| known(cut)).map(|cut| cut.plan.clone());
        if let Some(plan) = found {
            return Ok(plan);
        }
        let plan = self.source.plan(scan, &self.settings.goal).await.at("source", || &self.settings.label)?;
        self.cuts.lock().push(Cut { filters: scan.filters.clone(), limit: scan.limit, plan: plan.clone() });
        Ok(plan)
    }

    /// How many splits may be read at once: as many as there are channels, or fewer where the session says so.
    pub(super) fn readers(&self) -> usize {
        let fewest = self.cuts.lock().iter().filter_map(|cut| cut.plan.readers).min();
        fewest.unwrap_or(usize::MAX).clamp(1, self.settings.goal.channels.max(1))
    }

    /// A reader of all columns and rows, up to the limit of the job.
    pub(super) async fn read_all(&self) -> Result<ReadExec> {
        let columns: Vec<usize> = (0..self.schema.fields().len()).collect();
        self.read_columns(&columns).await
    }

    /// The same, of these `columns` alone.
    pub(super) async fn read_columns(&self, columns: &[usize]) -> Result<ReadExec> {
        self.read(columns, &[], self.limit(None)).await
    }

    /// The limit that the source may keep: that of the job or of a query, whichever is lower.
    fn limit(&self, query: Option<usize>) -> Option<u64> {
        match self.settings.pushdown {
            Toggle::On => self.settings.limit.into_iter().chain(query.map(|limit| limit as u64)).min(),
            Toggle::Off => None,
        }
    }

    /// A reader of `columns` under `filters`, its splits dealt evenly and in order to the channels.
    pub(super) async fn read(&self, columns: &[usize], filters: &[Expr], limit: Option<u64>) -> Result<ReadExec> {
        let settings = &self.settings;
        let scan = Scan {
            schema: Arc::new(self.schema.project(columns)?),
            filters: filters.to_vec().into(),
            limit,
            batch_rows: settings.batch_rows,
            batch_bytes: settings.batch_bytes,
        };
        let splits = self.cut(&scan).await?.splits;
        let spec = ReadSpec {
            endpoint: settings.endpoint.clone(),
            connector: settings.connector.clone(),
            label: settings.label.clone(),
            object: settings.object.clone(),
            scan,
            encoding: None,
            token: settings.token.clone(),
        };
        ReadExec::of_splits(Arc::new(spec), &deal(&splits, self.readers()))
    }
}

/// `splits` as at most `parts` runs of neighbours; one empty run when there are none.
pub(super) fn deal(splits: &[Split], parts: usize) -> Vec<Vec<Split>> {
    let parts = parts.min(splits.len()).max(1);
    let mut rest = splits;
    let run = |index| {
        let (head, tail) = rest.split_at(share(splits.len(), parts, index));
        rest = tail;
        head.to_vec()
    };
    (0..parts).map(run).collect()
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match self.settings.pushdown {
            Toggle::Off => TableProviderFilterPushDown::Unsupported,
            Toggle::On => match self.source.pushdown(&self.shape, filter) {
                Pushdown::Exact => TableProviderFilterPushDown::Exact,
                Pushdown::Superset => TableProviderFilterPushDown::Inexact,
                Pushdown::None => TableProviderFilterPushDown::Unsupported,
            },
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        // A query may want no column at all, only the rows: one column is read and left out again.
        let columns = if wanted.is_empty() { &all[..1.min(all.len())] } else { wanted };
        let limit = self.limit(limit);
        let read: Arc<dyn ExecutionPlan> = Arc::new(self.read(columns, filters, limit).await.map_err(to_datafusion)?);
        if wanted.is_empty() && !all.is_empty() {
            let none: Vec<(Arc<dyn datafusion::physical_plan::PhysicalExpr>, String)> = Vec::new();
            return Ok(Arc::new(ProjectionExec::try_new(none, read)?));
        }
        Ok(read)
    }
}

/// The schema of `shape` with the native form of every column that `native` names.
pub(super) fn schema_in_forms(shape: &TableShape, native: &[String]) -> SchemaRef {
    let fields = shape.schema.fields().iter().zip(&shape.native).map(|(arrow, wire)| match wire {
        Some(wire) if native.contains(arrow.name()) => Arc::clone(wire),
        _ => Arc::clone(arrow),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
