//! The objects of several sessions, read as one.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::StreamExt as _;
use futures::future::try_join_all;
use tokio::sync::OnceCell;

use super::columns::{place, reconciled};
use crate::attempt::Attempt;
use crate::bridge::cpu;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::fate::is_text;
use crate::flow::align::kernel;
use crate::job::UnionBy;
use crate::reject::{Rejects, Tray};
use crate::schema::record_batch;
use crate::source::{
    BatchStream, Cut, Encoding, Pushdown, RawStream, ReadPlan, Scan, Source, Split, SplitGoal, TableShape,
};

/// One of the sources.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) source: Arc<dyn Source>,
    pub(super) label: String,
}

/// The sources of a transfer. [`Split::source`] says which one a split is of.
#[derive(Debug)]
pub(super) struct Several {
    parts: Vec<Part>,
    /// How many sessions they are read in.
    sessions: usize,
    by: UnionBy,
    shapes: OnceCell<Shapes>,
}

/// What they look like, each and together.
#[derive(Debug)]
struct Shapes {
    each: Vec<TableShape>,
    all: TableShape,
    by: UnionBy,
}

/// Sources of which a plan says how they are read.
const TOLD: usize = 3;

impl Several {
    pub(super) fn new(parts: Vec<Part>, sessions: usize, by: UnionBy) -> Self {
        Self { parts, sessions, by, shapes: OnceCell::new() }
    }

    async fn shapes(&self) -> Result<&Shapes> {
        self.shapes.get_or_try_init(|| self.described()).await
    }

    async fn described(&self) -> Result<Shapes> {
        let described =
            self.parts.iter().map(|part| async move { part.source.describe().await.at("source", || &part.label) });
        let each = try_join_all(described).await?;
        let labelled: Vec<(&str, &TableShape)> =
            self.parts.iter().zip(&each).map(|(part, shape)| (part.label.as_str(), shape)).collect();
        let all = reconciled(&labelled, self.by)?;
        Ok(Shapes { each, all, by: self.by })
    }

    /// The part that `split` is of, and `scan` in its own types.
    async fn part(&self, scan: &Scan, split: &Split) -> Result<(&Part, Scan)> {
        let shapes = self.shapes().await?;
        let index = split.source as usize;
        let found = self.parts.get(index).zip(shapes.each.get(index));
        let (part, shape) = found.ok_or_else(|| Error::new(ErrorKind::Internal, "a split is of no known source"))?;
        Ok((part, shapes.scan_of(scan, shape)?))
    }
}

impl Shapes {
    /// `scan` as the source of `shape` gives it: by its own names, and in its own types where these are not the common ones.
    fn scan_of(&self, scan: &Scan, shape: &TableShape) -> Result<Scan> {
        let own = |field: &FieldRef| {
            let index = self.all.schema.index_of(field.name())?;
            let mine = &shape.schema.fields()[place(shape, self.by, (index, field.name()))?];
            if self.all.schema.field(index).data_type() != mine.data_type() {
                return Ok(Arc::clone(mine));
            }
            let same_name = mine.name() == field.name();
            Ok(if same_name { Arc::clone(field) } else { Arc::new(field.as_ref().clone().with_name(mine.name())) })
        };
        let fields = scan.schema.fields().iter().map(own).collect::<Result<Vec<_>>>()?;
        Ok(Scan { schema: Arc::new(Schema::new(fields)), ..scan.clone() })
    }

    /// Whether `filter` looks at columns that have the common name and type in the source of `shape`.
    fn is_common(&self, filter: &Expr, shape: &TableShape) -> bool {
        let is_common = |name: &str| {
            let index = self.all.schema.index_of(name).ok()?;
            let mine = shape.schema.field(place(shape, self.by, (index, name)).ok()?);
            Some(mine.name() == name && mine.data_type() == self.all.schema.field(index).data_type())
        };
        filter.column_refs().iter().all(|column| is_common(&column.name) == Some(true))
    }
}

#[async_trait]
impl Source for Several {
    async fn describe(&self) -> Result<TableShape> {
        Ok(self.shapes().await?.all.clone())
    }

    fn pushdown(&self, _: &TableShape, filter: &Expr) -> Pushdown {
        let Some(shapes) = self.shapes.get() else { return Pushdown::None };
        let answers = self.parts.iter().zip(&shapes.each).map(|(part, shape)| {
            if shapes.is_common(filter, shape) { part.source.pushdown(shape, filter) } else { Pushdown::None }
        });
        answers.fold(Pushdown::Exact, |all, one| match (all, one) {
            (Pushdown::None, _) | (_, Pushdown::None) => Pushdown::None,
            (Pushdown::Exact, Pushdown::Exact) => Pushdown::Exact,
            _ => Pushdown::Superset,
        })
    }

    fn plain(&self, field: &Field, array: &ArrayRef) -> Option<ArrayRef> {
        self.parts.iter().find_map(|part| part.source.plain(field, array))
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        let shapes = self.shapes().await?;
        let planned = self.parts.iter().zip(&shapes.each).map(|(part, shape)| async move {
            part.source.plan(&shapes.scan_of(scan, shape)?, goal).await.at("source", || &part.label)
        });
        let plans = try_join_all(planned).await?;
        let mut all = ReadPlan { cut: Cut::ByKey, ..ReadPlan::default() };
        if self.sessions > 1 {
            all.notes.push(format!("{} places are read, which have no one point in time", self.sessions));
        }
        for (source, (part, plan)) in self.parts.iter().zip(plans).enumerate() {
            for split in plan.splits {
                let place = split.place.map_or_else(|| part.label.clone(), |place| format!("{}, {place}", part.label));
                let id = all.splits.len() as u32;
                all.splits.push(Split { id, source: source as u32, place: Some(place), ..split });
            }
            all.warnings.extend(plan.warnings.into_iter().map(|warning| format!("{}: {warning}", part.label)));
            if source < TOLD {
                all.notes.extend(plan.notes.into_iter().map(|note| format!("{}: {note}", part.label)));
            }
            all.readers = [all.readers, plan.readers].into_iter().flatten().min();
            if plan.cut == Cut::Fastest {
                all.cut = Cut::Fastest;
            }
        }
        if self.parts.len() > TOLD {
            all.notes.push(format!("and so {} more sources", self.parts.len() - TOLD));
        }
        Ok(all)
    }

    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let (part, own) = self.part(scan, split).await?;
        let names = |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        let names = Names { own: names(&own.schema), common: names(&scan.schema) };
        // Rows that cannot be decoded come by the names of their source.
        let between = tray.filter(|_| names.own != names.common).map(|tray| (Arc::<Tray>::default(), Arc::clone(tray)));
        let tray = between.as_ref().map(|(from, _)| from).or(tray);
        let rows = part.source.read(&own, split, attempt, tray).await.at("source", || &part.label)?;
        let rows = in_common(rows, scan);
        Ok(match between {
            Some(trays) => passed_on(rows, (names, trays), scan),
            None => rows,
        })
    }

    fn encoding(&self, scan: &Scan) -> Option<Encoding> {
        let shapes = self.shapes.get()?;
        let mut encodings = self.parts.iter().zip(&shapes.each).map(|(part, shape)| {
            let own = shapes.scan_of(scan, shape).ok()?;
            part.source.encoding(&own)
        });
        let first = encodings.next()??;
        encodings.all(|encoding| encoding.as_ref() == Some(&first)).then_some(first)
    }

    async fn read_raw(&self, scan: &Scan, split: &Split, attempt: &Attempt) -> Result<RawStream> {
        let (part, own) = self.part(scan, split).await?;
        part.source.read_raw(&own, split, attempt).await.at("source", || &part.label)
    }
}

/// What columns are called in a source, and what in all of them, in the order of a scan.
struct Names {
    own: Vec<String>,
    common: Vec<String>,
}

impl Names {
    /// `rejects` by the common names.
    fn common(&self, rejects: Rejects) -> Result<Rejects> {
        let (schema, columns, rows) = rejects.rows.into_parts();
        let field = |field: &FieldRef| {
            let place = self.own.iter().position(|own| own == field.name());
            place.map_or_else(
                || Arc::clone(field),
                |place| Arc::new(field.as_ref().clone().with_name(&self.common[place])),
            )
        };
        let schema = Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()));
        Ok(Rejects { rows: record_batch(&schema, columns, rows)?, ..rejects })
    }
}

/// `rows`; what lies in the first of the trays goes into the other by its common names, before the batch behind it.
fn passed_on(rows: BatchStream, (names, (from, to)): (Names, (Arc<Tray>, Arc<Tray>)), scan: &Scan) -> BatchStream {
    // Some may come behind the last batch.
    let last = futures::stream::iter([Ok(RecordBatch::new_empty(Arc::clone(&scan.schema)))]);
    let pass = move |batch: Result<RecordBatch>| {
        let batch = batch?;
        for rejects in from.take() {
            to.put(names.common(rejects)?);
        }
        Ok(batch)
    };
    rows.chain(last).map(pass).boxed()
}

/// `rows` with the columns of `scan`.
fn in_common(rows: BatchStream, scan: &Scan) -> BatchStream {
    let schema = Arc::clone(&scan.schema);
    Box::pin(rows.then(move |batch| {
        let schema = Arc::clone(&schema);
        async move {
            let batch = batch?;
            let same = batch
                .columns()
                .iter()
                .zip(schema.fields())
                .all(|(column, field)| column.data_type() == field.data_type());
            if same { with_schema(&batch, &schema) } else { cpu::run(move || with_schema(&batch, &schema)).await? }
        }
    }))
}

/// `batch` under the fields of `schema`, widened or printed where it is of other types. A widened value is the same value.
fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let widened = |((column, mine), field): ((&ArrayRef, &FieldRef), &FieldRef)| -> Result<ArrayRef> {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        if is_text(field.data_type()) && !is_text(column.data_type()) {
            let none = || Error::new(ErrorKind::Internal, "a column of a source has no text");
            return Ok(kernel(mine, field).ok_or_else(none)?.run(column)?.array);
        }
        Ok(cast_with_options(column, field.data_type(), &exact)?)
    };
    let own = batch.schema();
    let columns = batch.columns().iter().zip(own.fields()).zip(schema.fields());
    let columns = columns.map(widened).collect::<Result<Vec<_>>>()?;
    record_batch(schema, columns, batch.num_rows())
}
