//! Reading: the footer, the sizes and bounds of row groups, and their rows.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowGroups as _, RowSelection, RowSelector,
};
use ::parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use ::parquet::basic::Type as Physical;
use ::parquet::file::metadata::RowGroupMetaData;
use ::parquet::file::reader::ChunkReader;
use ::parquet::schema::types::SchemaDescriptor;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use rayon::prelude::*;

use super::pages::Group;
use super::{again, taken, types};
use crate::bridge::guard::guarded;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::plain;
use crate::schema::{batch_bytes, record_batch};

/// Row groups below this decoded size are not worth several threads.
const PARALLEL_BYTES: u64 = 8 << 20;

/// Rows of a first batch that shows how long texts are.
const PROBE_ROWS: usize = 64;

/// The footer of one file.
#[derive(Clone, Debug)]
pub struct File {
    metadata: ArrowReaderMetadata,
    schema: SchemaRef,
    /// The same with other types for the columns that are read twice, where there are any.
    again: Option<ArrowReaderMetadata>,
    /// Columns that cannot be read whole.
    torn: Vec<String>,
}

/// How large some columns of a row group are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSize {
    /// Rows.
    pub rows: u64,
    /// Bytes in the file.
    pub stored: u64,
    /// Bytes as Arrow arrays, about.
    pub decoded: u64,
}

/// What the statistics say of one column of one row group; all values lie within, NULLs apart.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// An array of one value: a lower bound, NULL when unknown.
    pub min: ArrayRef,
    /// An array of one value: an upper bound, NULL when unknown.
    pub max: ArrayRef,
    /// NULLs, when counted.
    pub nulls: Option<u64>,
    /// Rows of the row group.
    pub rows: u64,
}

/// Which rows of a row group are wanted, and in which batches.
#[derive(Clone, Debug)]
pub struct GroupScan {
    /// The row group.
    pub group: usize,
    /// The wanted columns, by name, in the types of [`File::schema`].
    pub schema: SchemaRef,
    /// Rows of a batch, at most.
    pub batch_rows: usize,
    /// Bytes of a batch, about.
    pub batch_bytes: usize,
    /// Rows that are wanted at most.
    pub limit: Option<u64>,
    /// Threads that may decode at once.
    pub threads: usize,
}

impl File {
    /// Reads the footer.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) for a file that is cut off or damaged.
    pub fn open<R: ChunkReader>(reader: &R) -> Result<Self> {
        let metadata = taken(|| ArrowReaderMetadata::load(reader, ArrowReaderOptions::new()))?;
        let wanted = plain::schema(metadata.schema())?;
        let metadata = if wanted == *metadata.schema() {
            metadata
        } else {
            let options = ArrowReaderOptions::new().with_schema(wanted);
            taken(|| ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options))?
        };
        let schema = types::with_extensions(metadata.schema(), metadata.parquet_schema());
        let again = again::schema(&metadata).map(|schema| {
            let options = ArrowReaderOptions::new().with_schema(schema);
            taken(|| ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options))
        });
        let again = again.transpose()?;
        let schema = again.as_ref().map_or_else(|| Arc::clone(&schema), |again| again::whole(&schema, again.schema()));
        Ok(Self { again, torn: again::torn(&metadata), metadata, schema })
    }

    /// All columns, in plain types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many row groups there are.
    pub fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// How large the columns of `schema` are in row group `group`.
    pub fn size(&self, group: usize, schema: &SchemaRef) -> GroupSize {
        let group = self.group(group);
        let rows = group.num_rows().max(0) as u64;
        let mut size = GroupSize { rows, ..GroupSize::default() };
        let wanted = self.wanted(schema);
        for (leaf, chunk) in group.columns().iter().enumerate() {
            if !wanted[self.root_of(leaf)] {
                continue;
            }
            let values = chunk.num_values().max(0) as u64;
            let data = chunk.unencoded_byte_array_data_bytes().unwrap_or(0).max(0) as u64;
            let width = match chunk.column_type() {
                Physical::BOOLEAN => 1,
                Physical::INT32 | Physical::FLOAT | Physical::BYTE_ARRAY => 4,
                Physical::INT64 | Physical::DOUBLE | Physical::INT96 => 8,
                Physical::FIXED_LEN_BYTE_ARRAY => u64::from(chunk.column_descr().type_length().max(0).unsigned_abs()),
            };
            // A damaged footer may say anything.
            let decoded =
                width.saturating_mul(values).saturating_add(data).max(chunk.uncompressed_size().max(0) as u64);
            size.stored = size.stored.saturating_add(chunk.compressed_size().max(0) as u64);
            size.decoded = size.decoded.saturating_add(decoded);
        }
        size
    }

    /// The byte ranges of the columns of `schema` in row group `group`, in the order of the file.
    pub fn ranges(&self, group: usize, schema: &SchemaRef) -> Vec<Range<u64>> {
        let wanted = self.wanted(schema);
        let chunks = self.group(group).columns().iter().enumerate();
        let mut ranges: Vec<_> = chunks
            .filter(|(leaf, _)| wanted[self.root_of(*leaf)])
            .filter_map(|(_, chunk)| {
                let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
                let (start, length) = (u64::try_from(start).ok()?, u64::try_from(chunk.compressed_size()).ok()?);
                Some(start..start.checked_add(length)?)
            })
            .collect();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges
    }

    /// Bounds of `column` in row group `group`, where its statistics can be trusted: never for floating point (NaN
    /// and the two zeros), intervals, old signed statistics, 96-bit times and nested columns.
    pub fn bounds(&self, group: usize, column: &str) -> Option<Bounds> {
        let arrow = self.metadata.schema();
        let field = arrow.field_with_name(column).ok()?;
        let data_type = field.data_type();
        if data_type.is_floating() || data_type.is_nested() || matches!(data_type, DataType::Interval(_)) {
            return None;
        }
        let converter = StatisticsConverter::try_new(column, arrow, self.metadata.parquet_schema()).ok()?;
        let converter = converter.with_missing_null_counts_as_zero(false);
        let metadata = self.group(group);
        let chunk = metadata.column(converter.parquet_column_index()?);
        if chunk.column_type() == Physical::INT96 || chunk.statistics()?.is_min_max_deprecated() {
            return None;
        }
        let nulls = converter.row_group_null_counts([metadata]).ok()?;
        Some(Bounds {
            min: converter.row_group_mins([metadata]).ok()?,
            max: converter.row_group_maxes([metadata]).ok()?,
            nulls: nulls.iter().next().flatten(),
            rows: metadata.num_rows().max(0) as u64,
        })
    }

    /// A reader of the wanted rows of one row group.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) for a column that the file does not have; [`Unsupported`](ErrorKind::Unsupported) for
    /// intervals within others; [`Corrupt`](ErrorKind::Corrupt).
    pub fn read<R: ChunkReader + Clone + 'static>(&self, chunks: &R, scan: &GroupScan) -> Result<GroupReader> {
        if let Some(name) = self.torn.iter().find(|name| scan.schema.index_of(name).is_ok()) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "intervals within lists and structs of Parquet are not read",
            )
            .at("column", name)
            .with_hint("leave the column out with --drop"));
        }
        let size = self.size(scan.group, &scan.schema);
        let row_bytes = (size.decoded / size.rows.max(1)).max(1);
        let average = (scan.batch_bytes as u64 / row_bytes).clamp(1, scan.batch_rows.max(1) as u64) as usize;
        // Where the footer does not say how long texts are, a few rows show it.
        let step = if self.knows_lengths(scan) { average } else { average.min(PROBE_ROWS) };
        let roots = self.lanes(scan, size)?;
        let rows = scan.limit.map_or(size.rows, |limit| limit.min(size.rows));
        let (file, chunks, asked) = (self.clone(), chunks.clone(), scan.clone());
        let open = move |done: u64, step: usize| file.open_lanes(&chunks, &asked, &roots, done..rows, step);
        let lanes = open(0, step)?;
        let reader = GroupReader {
            open: Box::new(open),
            lanes,
            schema: Arc::clone(&scan.schema),
            places: Vec::new(),
            step,
            batch: (scan.batch_rows.max(1), scan.batch_bytes.max(1)),
            done: 0,
            rows,
        };
        Ok(reader)
    }

    /// Readers of the rows `range` of a row group, in steps of so many, one for each list of root columns.
    fn open_lanes<R: ChunkReader + Clone + 'static>(
        &self,
        chunks: &R,
        scan: &GroupScan,
        roots: &[Vec<usize>],
        range: Range<u64>,
        step: usize,
    ) -> Result<Lanes> {
        let chunks = Arc::new(chunks.clone());
        let open = |metadata: &ArrowReaderMetadata, roots: Vec<usize>| {
            let schema = self.metadata.parquet_schema();
            let (wanted, types) = (ProjectionMask::roots(schema, roots), metadata.schema().fields());
            let levels = taken(|| parquet_to_arrow_field_levels(schema, wanted, Some(types)))?;
            let group =
                Group { reader: Arc::clone(&chunks), metadata: Arc::clone(metadata.metadata()), index: scan.group };
            let (skipped, wanted) = (range.start as usize, (range.end - range.start) as usize);
            let selected = vec![RowSelector::skip(skipped), RowSelector::select(wanted)];
            let part = (wanted < group.num_rows()).then(|| RowSelection::from(selected));
            taken(|| ParquetRecordBatchReader::try_new_with_row_groups(&levels, &group, step, part))
        };
        let columns = roots.iter().map(|roots| open(&self.metadata, roots.clone())).collect::<Result<Vec<_>>>()?;
        let again = self.twice(scan).map(|(metadata, roots)| open(metadata, roots)).transpose()?;
        Ok(Lanes { columns, again })
    }

    /// Whether the footer says how many bytes the wanted texts have once they are decoded.
    fn knows_lengths(&self, scan: &GroupScan) -> bool {
        let wanted = self.wanted(&scan.schema);
        self.group(scan.group).columns().iter().enumerate().all(|(leaf, chunk)| {
            chunk.column_type() != Physical::BYTE_ARRAY
                || !wanted[self.root_of(leaf)]
                || chunk.unencoded_byte_array_data_bytes().is_some()
        })
    }

    /// The wanted columns that are read twice, and the metadata that reads them once more.
    fn twice(&self, scan: &GroupScan) -> Option<(&ArrowReaderMetadata, Vec<usize>)> {
        let again = self.again.as_ref()?;
        let fields = self.metadata.schema().fields().iter().zip(again.schema().fields()).enumerate();
        let differs = fields.filter(|(_, (once, again))| once.data_type() != again.data_type());
        let wanted = differs.filter(|(_, (field, _))| scan.schema.index_of(field.name()).is_ok());
        let roots: Vec<usize> = wanted.map(|(root, _)| root).collect();
        (!roots.is_empty()).then_some((again, roots))
    }

    /// The wanted root columns, dealt to lanes of about the same size.
    fn lanes(&self, scan: &GroupScan, size: GroupSize) -> Result<Vec<Vec<usize>>> {
        let known = self.schema.fields().iter().enumerate();
        let known: HashMap<&str, usize> = known.map(|(root, field)| (field.name().as_str(), root)).collect();
        let index = |field: &FieldRef| {
            known
                .get(field.name().as_str())
                .copied()
                .ok_or_else(|| Error::new(ErrorKind::Schema, "the file has no such column").at("column", field.name()))
        };
        let mut roots = scan.schema.fields().iter().map(index).collect::<Result<Vec<_>>>()?;
        let lanes = if size.decoded < PARALLEL_BYTES { 1 } else { scan.threads.clamp(1, roots.len().max(1)) };
        if roots.is_empty() {
            return Ok(Vec::new());
        }
        let mut weights = vec![0u64; self.schema.fields().len()];
        for (leaf, chunk) in self.group(scan.group).columns().iter().enumerate() {
            let weight = &mut weights[self.root_of(leaf)];
            *weight = weight.saturating_add(chunk.uncompressed_size().max(0) as u64);
        }
        roots.sort_by_key(|root| std::cmp::Reverse(weights[*root]));
        let mut dealt = vec![(0u64, Vec::new()); lanes];
        for root in roots {
            let lightest = dealt.iter_mut().min_by_key(|(weight, roots)| (*weight, roots.len()));
            let (weight, lane) = lightest.expect("there is at least one lane");
            *weight = weight.saturating_add(weights[root]);
            lane.push(root);
        }
        Ok(dealt.into_iter().map(|(_, roots)| roots).collect())
    }

    pub(super) fn parquet_schema(&self) -> &SchemaDescriptor {
        self.metadata.parquet_schema()
    }

    fn group(&self, group: usize) -> &RowGroupMetaData {
        self.metadata.metadata().row_group(group)
    }

    fn root_of(&self, leaf: usize) -> usize {
        self.metadata.parquet_schema().get_column_root_idx(leaf)
    }

    /// Per root column of the file, whether `schema` has it.
    fn wanted(&self, schema: &SchemaRef) -> Vec<bool> {
        let names: HashSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        self.schema.fields().iter().map(|field| names.contains(field.name().as_str())).collect()
    }
}

/// The rows of one row group. Several lanes hold some columns each and go in step.
///
/// How many rows make a batch is first reckoned from the average of the footer, then from what was decoded: when rows
/// turn out longer, the lanes are opened anew behind the rows that were given, in smaller steps.
pub struct GroupReader {
    /// Opens the lanes behind so many rows, in steps of so many.
    open: Box<dyn Fn(u64, usize) -> Result<Lanes> + Send>,
    lanes: Lanes,
    schema: SchemaRef,
    /// Lane and place of each column; empty before the first batch.
    places: Vec<(usize, usize)>,
    /// Rows of the next batch.
    step: usize,
    /// Rows of a batch at most, and bytes about.
    batch: (usize, usize),
    /// Rows given so far.
    done: u64,
    /// Rows to be given.
    rows: u64,
}

/// What decodes some columns each, in step.
struct Lanes {
    columns: Vec<ParquetRecordBatchReader>,
    /// What is read twice once more.
    again: Option<ParquetRecordBatchReader>,
}

impl std::fmt::Debug for GroupReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupReader").field("done", &self.done).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl GroupReader {
    /// The next batch. Processor work: call it on the pool.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let rows = (self.step as u64).min(self.rows - self.done);
            if rows == 0 {
                return Ok(None);
            }
            match self.next_rows(rows) {
                Err(error) if rows > 1 && error.kind() == ErrorKind::Resource => self.reopen(rows as usize / 2)?,
                Err(error) => return Err(error),
                Ok(batch) => {
                    self.done += rows;
                    self.adapt(&batch)?;
                    return Ok(Some(batch));
                }
            }
        }
    }

    fn next_rows(&mut self, rows: u64) -> Result<RecordBatch> {
        let parts = match self.lanes.columns.as_mut_slice() {
            [] => Vec::new(),
            [lane] => vec![next_part(lane, rows)?],
            lanes => lanes.par_iter_mut().map(|lane| next_part(lane, rows)).collect::<Result<Vec<_>>>()?,
        };
        if self.places.is_empty() {
            self.places = places(&self.schema, &parts)?;
        }
        let columns = self.schema.fields().iter().zip(&self.places);
        let columns = columns.map(|(field, (lane, place))| in_type(parts[*lane].column(*place), field.data_type()));
        let mut columns = columns.collect::<Result<Vec<_>>>()?;
        if let Some(lane) = &mut self.lanes.again {
            again::complete(&mut columns, &self.schema, &next_part(lane, rows)?, &parts)?;
        }
        record_batch(&self.schema, columns, rows as usize)
    }

    /// Takes fewer rows at once when those of `batch` were long, more after a probe that showed short ones.
    fn adapt(&mut self, batch: &RecordBatch) -> Result<()> {
        let (most, bytes) = self.batch;
        let measured = batch_bytes(batch).max(1);
        let fitting = (batch.num_rows() as u128 * bytes as u128 / measured as u128).clamp(1, most as u128) as usize;
        if self.done == self.rows {
            // The last page is not kept while the batch is on its way.
            self.lanes = Lanes { columns: Vec::new(), again: None };
        }
        let longer = measured > 2 * bytes && fitting < self.step;
        let probed = self.done == PROBE_ROWS as u64 && fitting > 2 * self.step;
        if (longer || probed) && self.done < self.rows { self.reopen(fitting) } else { Ok(()) }
    }

    fn reopen(&mut self, step: usize) -> Result<()> {
        self.step = step;
        self.lanes = (self.open)(self.done, step)?;
        Ok(())
    }
}

/// In which part each column of `schema` is, and at which place in it.
fn places(schema: &SchemaRef, parts: &[RecordBatch]) -> Result<Vec<(usize, usize)>> {
    let mut found = HashMap::new();
    for (lane, part) in parts.iter().enumerate() {
        let fields = part.schema_ref().fields().iter().enumerate();
        found.extend(fields.map(|(place, field)| (field.name().as_str(), (lane, place))));
    }
    let place = |field: &FieldRef| found.get(field.name().as_str()).copied();
    let missing = || Error::new(ErrorKind::Internal, "a column was not decoded");
    schema.fields().iter().map(|field| place(field).ok_or_else(missing)).collect()
}

fn next_part(lane: &mut ParquetRecordBatchReader, rows: u64) -> Result<RecordBatch> {
    let cut = || Error::new(ErrorKind::Corrupt, "a row group has fewer rows than the footer says");
    let damage = || Error::new(ErrorKind::Corrupt, "a row group of the Parquet file cannot be decoded");
    let next = guarded(|| lane.next()).map_err(|panic| damage().with_source(panic))?;
    let batch = next.ok_or_else(cut)?.map_err(|source| {
        // The library says this with words alone.
        if source.to_string().contains("index overflow") {
            return Error::new(ErrorKind::Resource, "the texts of one batch exceed 2 GiB").with_source(source);
        }
        damage().with_source(source)
    })?;
    if batch.num_rows() as u64 == rows { Ok(batch) } else { Err(cut()) }
}

/// The reader unpacks as the schema asks; this only guards against a type that it left as it was.
fn in_type(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    Ok(arrow::compute::cast(column, data_type)?)
}
