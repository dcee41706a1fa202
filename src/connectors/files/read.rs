//! The source: the columns of a set of files, their splits, and which reader gives the rows of a split.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::Semaphore;

use super::config::Config;
use super::input::{Footer, Input};
use super::kept::Kept;
use super::unsaid::Unsaid;
use super::{columnar, prune, text};
use crate::attempt::Attempt;
use crate::bridge::blocking;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::extension::Format;
use crate::formats::{HEADER_BYTES, Inferred, Layout, RecordFormat, SAMPLE_BYTES, ipc};
use crate::reject::{REJECT, Tray};
use crate::shape::counted;
use crate::source::{BatchStream, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};

/// Files of a set whose types are looked at.
const SAMPLE_FILES: usize = 8;

/// All files of a session as one object. A clone shares what is learned of their columns.
#[derive(Clone, Debug)]
pub(super) struct FileSource {
    pub(super) inputs: Arc<Vec<Input>>,
    /// The codec, where the files are records.
    pub(super) records: Option<Arc<dyn RecordFormat>>,
    /// The columns of the set, for files that do not name their own.
    pub(super) layout: Arc<OnceLock<Layout>>,
    /// Long rows of Parquet are decoded one after the other: each is in memory several times while it is.
    turn: Arc<Semaphore>,
}

/// What a split is, in its detail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Piece {
    /// Row groups of a Parquet file.
    Groups { file: usize, groups: Vec<usize> },
    /// Pieces of blocks of an Avro file, `from` up to, without, `to`.
    Blocks { file: usize, from: usize, to: usize },
    /// Batches `from` up to, without, `to` of an Arrow file.
    Batches { file: usize, from: usize, to: usize },
    /// Whole records, from one byte up to, without, another. The first is on `line`.
    Records { file: usize, from: u64, to: u64, line: u64 },
    /// A file that is read from its start to its end.
    Stream { file: usize },
}

impl Piece {
    pub(super) fn file(&self) -> usize {
        match self {
            Self::Groups { file, .. }
            | Self::Blocks { file, .. }
            | Self::Batches { file, .. }
            | Self::Records { file, .. }
            | Self::Stream { file } => *file,
        }
    }

    /// A split of it; the id and the place are given at the end.
    pub(super) fn split(&self, rows: Option<u64>, bytes: Option<u64>) -> Split {
        let detail = serde_json::to_value(self).unwrap_or(Json::Null);
        Split { id: 0, source: 0, rows, bytes, place: None, detail }
    }

    /// Where it lies, for plans and errors.
    fn place(&self, inputs: &[Input]) -> Option<String> {
        let name = &inputs.get(self.file())?.name;
        let counted = |what: (&str, &str), from: usize, to: usize| match to - from {
            0 => format!("{} {from} of {name}", what.0),
            _ => format!("{} {from} to {to} of {name}", what.1),
        };
        Some(match self {
            Self::Groups { groups, .. } => counted(("row group", "row groups"), *groups.first()?, *groups.last()?),
            Self::Blocks { from, to, .. } => counted(("piece", "pieces"), *from, to.saturating_sub(1).max(*from)),
            Self::Batches { from, to, .. } => counted(("batch", "batches"), *from, to.saturating_sub(1).max(*from)),
            Self::Records { line, .. } if inputs.len() == 1 => format!("from line {line} on"),
            Self::Records { line, .. } => format!("{name} from line {line} on"),
            Self::Stream { .. } => name.clone(),
        })
    }
}

impl FileSource {
    pub(super) fn new(config: &Config, inputs: Arc<Vec<Input>>) -> Result<Self> {
        let format = inputs.first().map(|input| input.format);
        let records = format.filter(|format| format.is_records()).map(|format| config.records(format)).transpose()?;
        Ok(Self { inputs, records, layout: Arc::default(), turn: Arc::new(Semaphore::new(1)) })
    }

    pub(super) fn input(&self, file: usize) -> Result<&Input> {
        self.inputs.get(file).ok_or_else(|| Error::new(ErrorKind::Internal, "the split names a file that is not there"))
    }

    /// Does `work` on a thread that may block, with this source.
    async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T> + Send + 'static,
    {
        let own = self.clone();
        blocking::run("files-read", move || work(&own)).await
    }

    /// The columns of all files. Blocks.
    fn columns(&self) -> Result<TableShape> {
        let mut all: Option<SchemaRef> = None;
        let mut rows = Some(0);
        for (index, input) in self.inputs.iter().enumerate() {
            let found = match &self.records {
                Some(records) => record_columns(records.as_ref(), input, index),
                None => columns_of(input).map(|(schema, count)| {
                    rows = rows.zip(count).map(|(rows, count)| rows + count);
                    Some(schema)
                }),
            };
            let Some(found) = found.at("file", || &input.name)? else { continue };
            let ragged = self.records.as_ref().is_some_and(|records| records.is_ragged());
            let keyed = self.records.as_ref().is_some_and(|records| records.is_keyed());
            all = Some(match all {
                None => found,
                // Those of the wider one begin with those of the other.
                Some(all) if ragged && all.fields().len() >= found.fields().len() => all,
                Some(_) if ragged => found,
                Some(all) => {
                    let (all, found) =
                        if keyed { (with_those_of(&all, &found), with_those_of(&found, &all)) } else { (all, found) };
                    merge(&all, &found, |left, right| self.join(left, right)).at("file", || &input.name)?
                }
            });
        }
        let nameless = || self.records.as_ref().and_then(|records| records.nameless());
        let schema = match (all.or_else(nameless), self.inputs.first()) {
            (Some(schema), _) => schema,
            // JSON lines name their columns in every record: without one there is none.
            (None, Some(input)) if input.format != Format::Jsonl => {
                let empty = Error::new(ErrorKind::Schema, "the file is empty, so it has no columns")
                    .with_hint("give it a line of column names, or look whether what wrote it has ended");
                return Err(empty.at("file", &input.name));
            }
            (None, _) => Arc::new(Schema::empty()),
        };
        let schema = if self.records.is_some() { texts_of_blanks(&schema) } else { schema };
        if self.records.is_some() {
            let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
            // Files without a header have the columns of the set; they agree, or merging had failed.
            self.layout.get_or_init(|| Layout { columns });
        }
        let bytes = self.inputs.iter().map(|input| input.bytes).sum::<u64>();
        let rows = rows.filter(|_| self.records.is_none());
        let shape = TableShape::of(without_reasons(schema));
        Ok(TableShape { rows, bytes: (bytes > 0).then_some(bytes), ..shape })
    }

    /// The column of two files that have it as `left` and `right`; none where types that are stored differ.
    fn join(&self, left: &Field, right: &Field) -> Option<Field> {
        match &self.records {
            Some(records) => Some(records.join(left, right)),
            None if left.data_type() == right.data_type() => Some(left.clone()),
            None if self.inputs.first().is_some_and(|input| input.format.is_workbook()) => {
                Some(Field::new(left.name(), DataType::Utf8, true))
            }
            None => None,
        }
    }

    /// The splits of all files. Blocks and scans.
    fn splits(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        let mut plan = ReadPlan { warnings: Unsaid::warnings(&self.inputs), ..ReadPlan::default() };
        for (file, input) in self.inputs.iter().enumerate() {
            let splits = match (&self.records, input.format) {
                (Some(_), _) => text::plan(self, (file, input), scan, goal),
                (None, Format::Arrows) => Ok(vec![Piece::Stream { file }.split(None, Some(input.bytes))]),
                (None, _) => columnar::plan((file, input), scan, goal, &mut plan.notes),
            };
            plan.splits.extend(splits.at("file", || &input.name)?);
        }
        for (id, split) in plan.splits.iter_mut().enumerate() {
            split.id =
                u32::try_from(id).map_err(|_| Error::new(ErrorKind::Unsupported, "there are too many splits"))?;
            split.place = Piece::deserialize(&split.detail).ok().and_then(|piece| piece.place(&self.inputs));
        }
        if self.inputs.iter().any(|input| input.format.is_workbook()) {
            plan.notes.push("every sheet is held in memory while the copy goes on".to_owned());
        }
        let (files, splits) = (counted(self.inputs.len(), "file"), counted(plan.splits.len(), "split"));
        plan.notes.insert(0, format!("{files}, {splits}"));
        Ok(plan)
    }
}

#[async_trait]
impl Source for FileSource {
    async fn describe(&self) -> Result<TableShape> {
        self.blocking(Self::columns).await
    }

    fn pushdown(&self, shape: &TableShape, filter: &Expr) -> Pushdown {
        let parquet = self.inputs.first().is_some_and(|input| input.format == Format::Parquet);
        if parquet && prune::can_prune(filter, &shape.schema) { Pushdown::Superset } else { Pushdown::None }
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        let (scan, goal) = (scan.clone(), *goal);
        self.blocking(move |source| source.splits(&scan, &goal)).await
    }

    /// Columnar files and workbooks have no rows that cannot be decoded: what is wrong there is a damaged file. But a
    /// rejects file in Parquet may have records that are no rows yet.
    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        _attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let piece: Piece = Piece::deserialize(&split.detail)
            .map_err(|source| Error::new(ErrorKind::Internal, "the split is not one of files").with_source(source))?;
        let input = self.input(piece.file())?;
        match (&piece, &self.records) {
            (Piece::Groups { file, groups }, _) => {
                let (inputs, turn) = (Arc::clone(&self.inputs), Arc::clone(&self.turn));
                Ok(columnar::read_groups((inputs, turn), (*file, groups.clone()), scan, tray))
            }
            (Piece::Blocks { file, from, to }, _) => {
                columnar::read_blocks(Arc::clone(&self.inputs), *file, *from..*to, scan)
            }
            (Piece::Batches { file, from, to }, _) => {
                columnar::read_batches(Arc::clone(&self.inputs), *file, *from..*to, scan)
            }
            (Piece::Stream { file }, None) if input.format.is_workbook() => {
                Ok(columnar::read_sheet(Arc::clone(&self.inputs), *file, scan))
            }
            (Piece::Stream { file }, None) => columnar::read_stream(Arc::clone(&self.inputs), *file, scan),
            (Piece::Records { .. } | Piece::Stream { .. }, Some(_)) => {
                if self.layout.get().is_none() {
                    // A split of an earlier process: the files are looked at anew.
                    self.blocking(Self::columns).await?;
                }
                text::read(self, &piece, scan, tray)
            }
            (Piece::Records { .. }, None) => {
                Err(Error::new(ErrorKind::Internal, "the split is not one of this format"))
            }
        }
        .at("file", || &input.name)
    }
}

/// The columns of a rejects file without the reasons: a repaired one is read as if it had never been refused.
fn without_reasons(schema: SchemaRef) -> SchemaRef {
    if schema.index_of(REJECT).is_err() {
        return schema;
    }
    let others = schema.fields().iter().filter(|field| field.name() != REJECT).cloned();
    Arc::new(Schema::new_with_metadata(others.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The columns of a file of records; none for an empty one, and for one behind the sample that does not say.
fn record_columns(records: &dyn RecordFormat, input: &Input, index: usize) -> Result<Option<SchemaRef>> {
    if index < SAMPLE_FILES {
        let Inferred { schema, start, blank, .. } =
            input.look(SAMPLE_BYTES, |head, extent| records.infer(head, extent))?;
        input.start.get_or_init(|| start);
        let known = |(place, field): (usize, &FieldRef)| {
            if blank.contains(&place) { Arc::new(untyped(field.name())) } else { Arc::clone(field) }
        };
        let fields: Vec<FieldRef> = schema.fields().iter().enumerate().map(known).collect();
        return Ok((!fields.is_empty()).then(|| Arc::new(Schema::new(fields))));
    }
    // Only the header counts.
    let start = input.look(HEADER_BYTES, |head, extent| records.start(head, extent))?;
    let start = input.start.get_or_init(|| start);
    let schema =
        |layout: &Layout| Arc::new(Schema::new(layout.columns.iter().map(|name| untyped(name)).collect::<Vec<_>>()));
    Ok(start.layout.as_ref().map(schema))
}

/// A column of which the files so far say nothing but its name.
fn untyped(name: &str) -> Field {
    Field::new(name, DataType::Null, true)
}

/// `schema` with the columns of `other` that it lacks.
fn with_those_of(schema: &SchemaRef, other: &SchemaRef) -> SchemaRef {
    let lacking = other.fields().iter().filter(|field| schema.index_of(field.name()).is_err());
    let lacking = lacking.map(|field| Arc::new(untyped(field.name())));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain(lacking).collect::<Vec<_>>()))
}

/// `schema` with texts for columns that have no value in any sample.
fn texts_of_blanks(schema: &SchemaRef) -> SchemaRef {
    let text = |field: &FieldRef| match field.data_type() {
        DataType::Null => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(text).collect::<Vec<_>>()))
}

/// Columns and rows of a columnar file.
pub(super) fn columns_of(input: &Input) -> Result<(SchemaRef, Option<u64>)> {
    if input.format == Format::Arrows {
        return Ok((input.stream_schema()?, None));
    }
    Ok(match input.footer()? {
        Footer::Parquet(file) => {
            let none = Arc::new(Schema::empty());
            let rows = (0..file.groups()).map(|group| file.size(group, &none).rows).sum();
            (Arc::clone(file.schema()), Some(rows))
        }
        Footer::Avro(file) => {
            let rows = file.segments().iter().map(|segment| segment.rows);
            (Arc::clone(file.schema()), Some(rows.fold(0, u64::saturating_add)))
        }
        Footer::Arrow(file) => (Arc::clone(file.schema()), None),
        Footer::Workbook(sheet) => (sheet.schema()?, Some(sheet.rows() as u64)),
    })
}

/// The columns of two files of a set, in the order of the first. They must have the same names, and types that `join` brings
/// together.
fn merge(all: &SchemaRef, found: &SchemaRef, join: impl Fn(&Field, &Field) -> Option<Field>) -> Result<SchemaRef> {
    let differs = |field: &FieldRef, message: String| -> Result<FieldRef> {
        Err(Error::new(ErrorKind::Schema, message)
            .at("column", field.name())
            .with_hint("files that are read together have the same columns: name fewer files"))
    };
    if let Some(extra) = found.fields().iter().find(|field| all.index_of(field.name()).is_err()) {
        return differs(extra, "the files before have no such column".to_owned()).map(|_| Arc::clone(all));
    }
    let column = |field: &FieldRef| {
        let Ok(other) = found.field_with_name(field.name()) else {
            return differs(field, "the file lacks this column, which the files before have".to_owned());
        };
        let joined = match (field.data_type(), other.data_type()) {
            (_, DataType::Null) => field.as_ref().clone(),
            (DataType::Null, _) => other.clone(),
            (left, right) => match join(field, other) {
                Some(joined) => joined,
                None => return differs(field, format!("it is {right} here and {left} in the files before")),
            },
        };
        Ok(Arc::new(joined.with_nullable(field.is_nullable() || other.is_nullable())))
    };
    let fields = all.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new_with_metadata(fields, all.metadata().clone())))
}

impl Input {
    /// The columns of an Arrow stream. A pipe stays readable.
    fn stream_schema(&self) -> Result<SchemaRef> {
        let stream = self.open_stream()?;
        let kept = Kept::new(stream);
        let schema = ipc::Stream::open(Box::new(kept.clone())).map(|stream| Arc::clone(stream.schema()));
        self.put_back(kept);
        schema
    }
}
