//! One source under one transform: what it will give, and the plan that gives it to a sink.
//!
//! A pipeline is planned twice. The draft, with every column in its Arrow form, says what the sink may agree on
//! and how many splits there are; the transfer reads each column in the form that was agreed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::compute::concat_batches;
use arrow::datatypes::{Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::functions_aggregate::expr_fn::{count, max};
use datafusion::logical_expr::{Expr, lit};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _, collect, displayable};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use futures::FutureExt as _;

use crate::attempt::Token;
use crate::bridge::opaque::Opaque;
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::job::Transform;
use crate::plan::arrange::{self, Arrangement};
use crate::plan::checked;
use crate::plan::context::{Ends, Reads, with_extension};
use crate::plan::error::from_datafusion;
use crate::plan::lineage::{Lineage, lineage};
use crate::plan::memory::SharedMemory;
use crate::plan::read::{ReadExec, ReadSpec};
use crate::plan::rowwise::{labelled, placed};
use crate::plan::steps::{SteppedTable, Steps};
use crate::plan::table::{ScanSettings, SourceTable, schema_in_forms};
use crate::plan::tasks::{find_read, one_per_partition, shape_of};
use crate::plan::transform;
use crate::plan::write::{Payload, WriteExec, WriteSpec, WriteTarget};
use crate::proof::Verify;
use crate::runner::{PlanShape, Transfer};
use crate::schema::CLOCK;
use crate::sink::{Agreement, ColumnFate, ColumnPlan, Form, Sink, Tasks};
use crate::source::{Pushdown, ReadPlan, Source, Split, SplitGoal, TableShape};

pub use crate::plan::transform::Chosen;

/// What a pipeline is made of.
#[derive(Debug)]
pub struct Parts {
    /// Name of the endpoint among the job's ends.
    pub endpoint: String,
    /// Name of its connector.
    pub connector: String,
    /// Its locator without secrets, for messages.
    pub label: String,
    /// Which object of it.
    pub object: ObjectRef,
    /// The source itself.
    pub source: Arc<dyn Source>,
    /// What it described.
    pub shape: TableShape,
    /// Which of its rows are read at all; none for all of them.
    pub window: Option<Chosen>,
    /// What happens to them.
    pub transform: Transform,
    /// How large splits should be, and how many are read at once.
    pub goal: SplitGoal,
    /// Rows and bytes of a batch.
    pub batch_rows: usize,
    /// Bytes of a batch.
    pub batch_bytes: usize,
    /// Bytes that wide operators may hold before they spill.
    pub memory_bytes: usize,
    /// For whom.
    pub token: Token,
}

/// One source under one transform.
pub struct Pipeline {
    table: SourceTable,
    window: Option<Chosen>,
    transform: Transform,
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    /// What plans expressions: none is made for rows that pass as they are.
    context: OnceLock<Opaque<SessionContext>>,
    token: Token,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("table", &self.table)
            .field("transform", &self.transform)
            .finish_non_exhaustive()
    }
}

/// What a pipeline will give.
#[derive(Debug)]
pub struct Draft {
    /// What the sink is asked to agree on.
    pub shape: TableShape,
    /// How splits become tasks.
    pub plan_shape: PlanShape,
    /// Writers that the plan would feed: splits of a row-wise plan, partitions of a wide one.
    pub parts: usize,
    /// The splits and why they are as they are.
    pub reading: ReadPlan,
    /// How many splits are read at once, at most: the channels, or fewer where the session of the source has fewer readers.
    pub readers: usize,
    /// The columns that are read.
    pub columns: SchemaRef,
    origins: Vec<Option<String>>,
}

impl Draft {
    /// Source columns that the targets want in their native form.
    fn natives(&self, targets: &[Target]) -> Vec<String> {
        let wanted = |name: &str| {
            let is = |column: &&ColumnPlan| column.incoming.as_deref() == Some(name) && column.target.is_some();
            let plan = targets.iter().find_map(|target| target.agreement.columns.iter().find(is));
            plan.is_some_and(|column| column.form == Form::Native)
        };
        let columns = self.shape.schema.fields().iter().zip(&self.origins);
        columns.filter(|(field, _)| wanted(field.name())).filter_map(|(_, origin)| origin.clone()).collect()
    }

    /// What passes through to the target of `agreement`.
    pub fn unchanged(&self, agreement: &Agreement) -> Unchanged {
        let origin = |plan: &ColumnPlan| {
            let index = self.shape.schema.index_of(plan.incoming.as_ref()?).ok()?;
            self.origins.get(index)?.clone()
        };
        let by_clock = |plan: &ColumnPlan| {
            let field = plan.target.as_ref().and_then(|target| agreement.target.field_with_name(target).ok());
            field.is_some_and(|field| field.metadata().contains_key(CLOCK))
        };
        let kept = |plan: &&ColumnPlan| plan.fate != ColumnFate::LossAllowed && !by_clock(plan);
        let kept = agreement.columns.iter().filter(kept);
        let passing: Vec<(&ColumnPlan, String)> = kept.filter_map(|plan| Some((plan, origin(plan)?))).collect();
        let whole = self.columns.fields().iter().all(|field| passing.iter().any(|(_, name)| name == field.name()));
        let written = passing.into_iter().filter_map(|(plan, name)| Some((plan.target.clone()?, name)));
        Unchanged { columns: written.collect(), whole }
    }
}

/// What of a row as it came can be told from the row as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchanged {
    /// The column of the source that each column of the target is, where it is one, untouched.
    pub columns: HashMap<String, String>,
    /// Whether these are all that count: a column that the target does not take does not.
    pub whole: bool,
}

/// One target of a transfer, which has agreed.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name of its endpoint among the job's ends.
    pub endpoint: String,
    /// The sink itself.
    pub sink: Arc<dyn Sink>,
    /// How rows land in it.
    pub agreement: Agreement,
    /// What its commit will be idempotent on.
    pub token: Token,
}

/// How a transfer is cut, and how much it proves.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What the sinks were told when they agreed.
    pub tasks: Tasks,
    /// The splits that an earlier process cut; none cuts anew.
    pub splits: Option<&'a [Split]>,
    /// How much proof the receipts carry.
    pub verify: Verify,
    /// How many writers share all batches; none gives each channel a writer of its own.
    pub writers: Option<usize>,
}

/// A planned transfer and what `etl plan` says of it.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub transfer: Transfer,
    /// What the source does by itself, one sentence each.
    pub pushed_down: Vec<String>,
    /// The operators, outermost first.
    pub operators: Vec<String>,
}

impl Pipeline {
    /// A pipeline of `parts`. Plans nothing yet.
    pub fn new(parts: Parts) -> Result<Self> {
        let memory = SharedMemory::new(parts.memory_bytes, parts.goal.channels);
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(memory)).build_arc();
        let mut config = SessionConfig::new()
            .with_target_partitions(parts.goal.channels)
            .with_batch_size(parts.batch_rows)
            .with_round_robin_repartition(false)
            // Each partition of a sort sets so much aside for its merge; all of them together take an eighth.
            .with_sort_spill_reservation_bytes(parts.memory_bytes / (8 * parts.goal.channels.max(1)))
            .with_information_schema(false);
        // A hash join holds one of its sides whole; a join of sorted rows spills.
        let is_large = parts.shape.bytes.is_some_and(|bytes| bytes > parts.memory_bytes as u64 / 2);
        config.options_mut().optimizer.prefer_hash_join = !is_large;
        let parser = &mut config.options_mut().sql_parser;
        // Names are taken as they are written: `--where 'Amount > 3'` means the column Amount.
        parser.enable_ident_normalization = false;
        parser.map_string_types_to_utf8view = false;
        let settings = ScanSettings {
            endpoint: parts.endpoint,
            connector: parts.connector,
            label: parts.label,
            object: parts.object,
            goal: parts.goal,
            batch_rows: parts.batch_rows,
            batch_bytes: parts.batch_bytes,
            pushdown: parts.transform.pushdown,
            limit: transform::early_limit(&parts.transform).filter(|_| parts.window.is_none()),
            token: parts.token.clone(),
        };
        let table = SourceTable::new(parts.source, Arc::new(parts.shape), settings);
        Ok(Self {
            table,
            window: parts.window,
            transform: parts.transform,
            config,
            runtime: runtime.map_err(from_datafusion)?,
            context: OnceLock::new(),
            token: parts.token,
        })
    }

    /// Plans with every column in its Arrow form.
    pub async fn draft(&self) -> Result<Draft> {
        let (root, lineage) = self.physical(&[]).await?;
        let plan_shape = shape_of(&root);
        let reading = self.reading(&root).await?;
        let shape = self.outgoing(&root.schema(), &lineage);
        let limited = self.transform.limit.is_some();
        let parts = match plan_shape {
            _ if limited => 1,
            PlanShape::Rowwise => reading.splits.len(),
            PlanShape::Wide => arrange::writers_of(&root, self.table.settings().goal.channels),
        };
        let readers = self.table.readers();
        let columns = find_read(&root).map_or_else(|| root.schema(), |read| Arc::clone(&read.spec().scan.schema));
        let columns = transform::within_shape(columns, self.window.as_ref());
        Ok(Draft { shape, plan_shape, parts, reading, readers, columns, origins: lineage.origins })
    }

    /// Plans the transfer to `targets`, which agreed over `draft`, each of its columns all in the same form.
    pub async fn transfer(&self, draft: &Draft, targets: &[Target], terms: Terms<'_>) -> Result<Planned> {
        let (root, _) = self.physical(&draft.natives(targets)).await?;
        // The source plans in any case: reading begins with it.
        let reading = self.reading(&root).await?;
        let splits = terms.splits.map_or(reading.splits, <[Split]>::to_vec);
        let pushed_down = self.pushed_down(&root);
        let framed = self.framed(&root, targets, terms.verify);
        let (root, payload) = match framed {
            Some(framed) => (framed, Payload::Frames),
            None => (root, Payload::Columns),
        };
        let arrangement = Arrangement {
            splits: &splits,
            tasks: terms.tasks,
            writers: terms.writers,
            readers: self.table.readers(),
            channels: self.table.settings().goal.channels,
            limit: self.transform.limit,
        };
        let (root, shape) = arrangement.of(root, targets)?;
        let task_bytes = targets.iter().filter_map(|target| target.agreement.task_bytes).max();
        let write = |Target { endpoint, agreement, token, .. }: &Target| WriteTarget {
            endpoint: endpoint.clone(),
            agreement: agreement.clone(),
            token: token.clone(),
        };
        let options = self.options();
        let spec = WriteSpec { targets: targets.iter().map(write).collect(), payload, verify: terms.verify, options };
        let tasks = one_per_partition(&splits, root.output_partitioning().partition_count());
        let root: Arc<dyn ExecutionPlan> = Arc::new(WriteExec::new(Arc::new(spec), tasks, root));
        let operators = displayable(&*root).indent(false).to_string().lines().map(str::to_owned).collect();
        let transfer = Transfer { root, splits, shape, token: self.token.clone(), task_bytes };
        Ok(Planned { transfer, pushed_down, operators })
    }

    /// The plan that gives the rows themselves, every column in its Arrow form, and its splits.
    pub async fn rows(&self) -> Result<(Arc<dyn ExecutionPlan>, Vec<Split>)> {
        let (root, _) = self.physical(&[]).await?;
        let splits = self.reading(&root).await?.splits;
        Ok((root, splits))
    }

    /// The context in which the plan's tasks run.
    pub fn task_context(&self, ends: Arc<Ends>) -> Arc<TaskContext> {
        let context = if let Some(context) = self.context.get() {
            context.task_ctx()
        } else {
            let plain = TaskContext::default().with_session_config(self.config.clone());
            Arc::new(plain.with_runtime(Arc::clone(&self.runtime)))
        };
        let context = with_extension(&context, ends);
        with_extension(&context, Arc::new(Reads::new(self.table.readers())))
    }

    /// The highest value of `column` among the rows, and how many rows have none; it reads them.
    pub async fn highest(&self, column: &str, ends: Arc<Ends>) -> Result<(ScalarValue, u64)> {
        let table = Arc::new(self.table.with_schema(Arc::clone(&self.table.shape().schema)));
        let frame = transform::query(self.context(), table, (self.window.as_ref(), &self.transform)).boxed().await?;
        let column = || Expr::Column(Column::from_name(column));
        let aggregates = vec![max(column()), count(column()), count(lit(1))];
        let frame = frame.aggregate(Vec::new(), aggregates).map_err(from_datafusion)?;
        let root = self.planned(frame).await?;
        let schema = root.schema();
        let found = collect(root, self.task_context(ends)).await;
        let found = found.map_err(|error| placed(from_datafusion(error), self.options().as_deref()))?;
        let found = concat_batches(&schema, &found)?;
        let value = |at: usize| ScalarValue::try_from_array(found.column(at), 0).map_err(from_datafusion);
        let number = |at: usize| match value(at)? {
            ScalarValue::Int64(Some(number)) => Ok(number.unsigned_abs()),
            _ => Err(Error::new(ErrorKind::Internal, "the rows were not counted")),
        };
        Ok((value(0)?, number(2)? - number(1)?))
    }

    fn beyond(&self) -> Option<&FieldRef> {
        self.window.as_ref()?.beyond.as_ref()
    }

    async fn physical(&self, native: &[String]) -> Result<(Arc<dyn ExecutionPlan>, Lineage)> {
        let mut schema = schema_in_forms(self.table.shape(), native);
        if let Some(beyond) = self.beyond() {
            schema = Arc::new(Schema::new(schema.fields().iter().chain([beyond]).cloned().collect::<Vec<_>>()));
        }
        let table = Arc::new(self.table.with_schema(schema));
        if !self.transform.steps.is_empty() {
            return self.stepped(table).await;
        }
        let Some(columns) = self.passed(table.schema().fields()) else { return self.queried(table).await };
        let read = table.read_columns(&columns).await?;
        let lineage = Lineage::of_all(read.schema().fields());
        Ok((Arc::new(read), lineage))
    }

    /// As [`Pipeline::physical`], after the steps of the transform.
    async fn stepped(&self, table: Arc<SourceTable>) -> Result<(Arc<dyn ExecutionPlan>, Lineage)> {
        let fields = table.schema();
        let Transform { steps, zone, .. } = &self.transform;
        let steps = Arc::new(Steps::by_clock(steps, &fields, zone.as_deref())?);
        let table = Arc::new(SteppedTable::new(table, Arc::clone(&steps)));
        let after = table.schema();
        let all = |passed: Vec<usize>| passed.len() == after.fields().len();
        let (root, lineage): (Arc<dyn ExecutionPlan>, _) = if self.passed(after.fields()).is_some_and(all) {
            (Arc::new(table.read_all().await?), Lineage::of_all(fields.fields()))
        } else {
            self.queried(table).await?
        };
        Ok((root, lineage.after(&steps)))
    }

    async fn queried(&self, table: Arc<dyn TableProvider>) -> Result<(Arc<dyn ExecutionPlan>, Lineage)> {
        let frame = transform::query(self.context(), table, (self.window.as_ref(), &self.transform)).boxed().await?;
        let lineage = lineage(frame.logical_plan());
        Ok((self.planned(frame).await?, lineage))
    }

    /// The plan of `frame`, in which constants are computed, with checks.
    async fn planned(&self, frame: DataFrame) -> Result<Arc<dyn ExecutionPlan>> {
        let root = frame.create_physical_plan().boxed().await;
        let options = || transform::of_constants(&self.transform);
        self.checked(root.map_err(|error| placed(from_datafusion(error), options().as_deref()))?)
    }

    /// `root` with checks, in which row-wise operators know the options that their expressions come from.
    fn checked(&self, root: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let root = checked::check_plan(root).map_err(from_datafusion)?;
        labelled(root, &Arc::new(transform::labels(&self.transform))).map_err(from_datafusion)
    }

    /// The options that other operators come from.
    fn options(&self) -> Option<String> {
        transform::labels(&self.transform).others
    }

    /// The places of those columns of `fields` that pass as they are, where nothing else happens to the rows but steps. To plan this as
    /// a query would take milliseconds, and give the same.
    fn passed(&self, fields: &Fields) -> Option<Vec<usize>> {
        let whole = self.transform.clone();
        // What is said of texts is noted of the columns of the source, and asks for no query.
        let Transform { steps, zone, empty, date_formats, integers, select, names, limit, pushdown, .. } = whole;
        let texts = Transform { empty, date_formats, integers, ..Transform::default() };
        let plain = Transform { steps, zone, select, names, limit, pushdown, ..texts };
        if self.window.is_some() || self.transform != plain {
            return None;
        }
        transform::passed(fields, &plain.select, &plain.names)
    }

    fn context(&self) -> &SessionContext {
        self.context.get_or_init(|| {
            let context = SessionContext::new_with_config_rt(self.config.clone(), Arc::clone(&self.runtime));
            checked::register(&context);
            context.into()
        })
    }

    async fn reading(&self, root: &Arc<dyn ExecutionPlan>) -> Result<ReadPlan> {
        match find_read(root) {
            Some(read) => self.table.cut(&read.spec().scan).await,
            None => Ok(ReadPlan::default()),
        }
    }

    fn outgoing(&self, schema: &SchemaRef, lineage: &Lineage) -> TableShape {
        let shape = self.table.shape();
        let limit = |rows: u64| rows.min(self.transform.limit.unwrap_or(u64::MAX));
        // Bytes of a part of the rows are known where all rows are.
        let limited_bytes = |bytes: u64| match (shape.rows, self.transform.limit) {
            (_, None) => Some(bytes),
            (None | Some(0), Some(_)) => None,
            (Some(rows), Some(_)) => Some((u128::from(bytes) * u128::from(limit(rows)) / u128::from(rows)) as u64),
        };
        let origin = |index: usize| shape.schema.index_of(lineage.origins.get(index)?.as_deref()?).ok();
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut native: Vec<Option<FieldRef>> = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            let named = |field: &Field| Arc::new(field.clone().with_name(schema.field(index).name()));
            let source = origin(index);
            fields.push(source.map_or_else(|| Arc::clone(field), |source| named(shape.schema.field(source))));
            let free = source.filter(|source| !lineage.examined.contains(shape.schema.field(*source).name()));
            native.push(free.and_then(|source| shape.native[source].as_deref().map(named)));
        }
        let renamed = |key: &String| {
            let place = lineage.origins.iter().position(|origin| origin.as_ref() == Some(key))?;
            Some(schema.field(place).name().clone())
        };
        let key = shape.key.iter().map(renamed).collect::<Option<Vec<String>>>().unwrap_or_default();
        let Transform { steps, sql, filter, .. } = &self.transform;
        let all_rows = self.window.is_none() && steps.is_empty() && sql.is_none() && filter.is_none();
        let same_rows = lineage.rowwise && all_rows;
        TableShape {
            schema: Arc::new(Schema::new(fields)),
            native,
            key,
            comment: shape.comment.clone(),
            rows: shape.rows.filter(|_| same_rows).map(limit),
            bytes: shape.bytes.filter(|_| same_rows).and_then(limited_bytes),
        }
    }

    /// `root` as a reader of raw frames, where source and sinks share an encoding and nothing lies between.
    fn framed(
        &self,
        root: &Arc<dyn ExecutionPlan>,
        targets: &[Target],
        verify: Verify,
    ) -> Option<Arc<dyn ExecutionPlan>> {
        let read = root.downcast_ref::<ReadExec>()?;
        let scan = &read.spec().scan;
        let encoding = self.table.source().encoding(scan).filter(|_| self.transform.limit.is_none())?;
        let same = |(wanted, given): (&FieldRef, &FieldRef)| wanted.name() == given.name();
        let takes = |Target { sink, agreement, .. }: &Target| {
            agreement.target.fields().len() == scan.schema.fields().len()
                && agreement.target.fields().iter().zip(scan.schema.fields()).all(same)
                && agreement.columns.iter().all(|plan| plan.fate != ColumnFate::LossAllowed)
                && sink.takes(agreement, &encoding, verify)
        };
        if !targets.iter().all(takes) {
            return None;
        }
        let spec = ReadSpec { encoding: Some(encoding), ..ReadSpec::clone(read.spec()) };
        Some(Arc::new(ReadExec::new(Arc::new(spec), Arc::clone(read.children()[0]))))
    }

    fn pushed_down(&self, root: &Arc<dyn ExecutionPlan>) -> Vec<String> {
        let Some(read) = find_read(root) else { return Vec::new() };
        let scan = &read.spec().scan;
        let shape = self.table.shape();
        let (read_columns, all) = (scan.schema.fields().len(), shape.schema.fields().len());
        let mut sentences = Vec::new();
        if read_columns < all {
            sentences.push(format!("{read_columns} of {all} columns are read"));
        }
        sentences.extend(scan.filters.iter().map(|filter| {
            let again = match self.table.source().pushdown(shape, filter) {
                Pushdown::Exact => "the source filters exactly",
                Pushdown::Superset | Pushdown::None => "the source filters, and it is filtered again",
            };
            format!("{filter}: {again}")
        }));
        sentences.extend(scan.limit.map(|limit| format!("the source stops after {limit} rows of each split")));
        sentences
    }
}
