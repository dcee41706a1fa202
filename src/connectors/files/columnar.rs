//! Reading Parquet, Avro and Arrow IPC: row groups, blocks and batches are splits; columns of a row group decode side by
//! side.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{StreamExt as _, stream};
use tokio::sync::Semaphore;

use super::chunks::Chunks;
use super::gate::{Gate, Held};
use super::input::{Footer, Input};
use super::prune;
use super::read::Piece;
use super::replay;
use crate::bridge::{blocking, cpu};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::{avro, ipc, parquet, plain, workbook};
use crate::reject::{Tray, set_aside};
use crate::schema::batch_bytes;
use crate::source::{BatchStream, Scan, Split, SplitGoal};

/// Stored bytes of a row group that the system is asked to have ready, at most. It is read page by page.
const EXPECTED_BYTES: u64 = 48 << 20;

/// Batches' worth of bytes from which on a row is long.
const LONG_BATCHES: usize = 4;

/// Batches' worth of bytes that a stream of Arrow batches holds.
const HELD_BATCHES: usize = 4;

/// The splits of one file: row groups or batches, small ones together. Blocks.
pub(super) fn plan(
    (file, input): (usize, &Input),
    scan: &Scan,
    goal: &SplitGoal,
    notes: &mut Vec<String>,
) -> Result<Vec<Split>> {
    match input.footer()? {
        Footer::Parquet(footer) => Ok(plan_groups((file, footer), scan, goal, notes)),
        Footer::Avro(footer) => {
            let segments = footer.segments();
            let sizes: Vec<u64> = segments.iter().map(|segment| segment.range.end - segment.range.start).collect();
            let split = |(range, bytes): (Range<usize>, u64)| {
                let rows = segments[range.clone()].iter().map(|segment| segment.rows).fold(0, u64::saturating_add);
                Piece::Blocks { file, from: range.start, to: range.end }.split(Some(rows), Some(bytes))
            };
            Ok(together(&sizes, goal.split_bytes).into_iter().map(split).collect())
        }
        Footer::Arrow(footer) => {
            let sizes: Vec<u64> = footer.batch_bytes().collect();
            let split = |(range, bytes): (Range<usize>, u64)| {
                Piece::Batches { file, from: range.start, to: range.end }.split(None, Some(bytes))
            };
            Ok(together(&sizes, goal.split_bytes).into_iter().map(split).collect())
        }
        Footer::Workbook(sheet) => Ok(vec![Piece::Stream { file }.split(Some(sheet.rows() as u64), Some(input.bytes))]),
    }
}

/// Neighbours of these sizes, put together up to `most` bytes; each range with its bytes.
fn together(sizes: &[u64], most: u64) -> Vec<(Range<usize>, u64)> {
    let mut ranges = Vec::new();
    let mut from = 0;
    while from < sizes.len() {
        let mut bytes = 0;
        let mut to = from;
        while to < sizes.len() && (to == from || bytes + sizes[to] <= most) {
            bytes += sizes[to];
            to += 1;
        }
        ranges.push((from..to, bytes));
        from = to;
    }
    ranges
}

fn plan_groups(
    (file, footer): (usize, &parquet::File),
    scan: &Scan,
    goal: &SplitGoal,
    notes: &mut Vec<String>,
) -> Vec<Split> {
    let kept = |group: &usize| {
        let bounds = |column: &str| footer.bounds(*group, column);
        scan.filters.iter().all(|filter| prune::may_match(filter, &bounds))
    };
    let groups: Vec<usize> = (0..footer.groups()).filter(kept).collect();
    if groups.len() < footer.groups() {
        notes.push(format!(
            "{} of {} row groups are skipped by their bounds",
            footer.groups() - groups.len(),
            footer.groups()
        ));
    }
    let mut splits = Vec::new();
    let mut part: Vec<usize> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for group in groups {
        let size = footer.size(group, &scan.schema);
        if !part.is_empty() && bytes + size.stored > goal.split_bytes {
            let groups = std::mem::take(&mut part);
            splits.push(Piece::Groups { file, groups }.split(Some(rows), Some(bytes)));
            (rows, bytes) = (0, 0);
        }
        part.push(group);
        rows += size.rows;
        bytes += size.stored;
    }
    if !part.is_empty() {
        splits.push(Piece::Groups { file, groups: part }.split(Some(rows), Some(bytes)));
    }
    splits
}

/// Rows still wanted of a split.
fn limit_of(scan: &Scan) -> Option<u64> {
    // Behind a filter that is applied again, rows before it say nothing about rows after it.
    scan.limit.filter(|_| scan.filters.is_empty())
}

struct Groups {
    inputs: Arc<Vec<Input>>,
    file: usize,
    scan: Scan,
    /// Row groups to come, last first.
    waiting: Vec<usize>,
    left: Option<u64>,
    /// Rows that were read.
    rows: u64,
    /// Where records of a rejects file go that are no rows yet.
    tray: Option<Arc<Tray>>,
    chunks: Option<Chunks>,
    current: Option<parquet::GroupReader>,
    /// Whether its rows are long.
    long: bool,
    /// Whose turn it is to decode long rows.
    turn: Arc<Semaphore>,
}

/// Streams row groups of a Parquet file.
pub(super) fn read_groups(
    (inputs, turn): (Arc<Vec<Input>>, Arc<Semaphore>),
    (file, mut groups): (usize, Vec<usize>),
    scan: &Scan,
    tray: Option<&Arc<Tray>>,
) -> BatchStream {
    groups.reverse();
    let left = limit_of(scan);
    let (scan, waiting, tray) = (scan.clone(), groups, tray.cloned());
    let (chunks, current, long) = (None, None, false);
    let state = Groups { inputs, file, scan, waiting, left, rows: 0, tray, chunks, current, long, turn };
    let stream = stream::try_unfold(state, |mut state| async move {
        loop {
            if let Some(mut reader) = state.current.take() {
                let turn = if state.long { Some(state.turn.acquire().await) } else { None };
                let (reader, batch) = cpu::run(move || {
                    let batch = reader.next_batch();
                    (reader, batch)
                })
                .await?;
                drop(turn);
                if let Some(batch) = state.explained(batch)? {
                    let batch = state.sifted(batch)?;
                    state.current = Some(reader);
                    return Ok(Some((batch, state)));
                }
            }
            let Some(group) = state.waiting.pop().filter(|_| state.left != Some(0)) else { return Ok(None) };
            state = blocking::run("parquet-read", move || state.open(group)).await?;
        }
    });
    stream.boxed()
}

impl Groups {
    /// An error with its file, and with what the system said.
    fn explained<T>(&self, result: Result<T>) -> Result<T> {
        let result = result.map_err(|error| match &self.chunks {
            Some(chunks) => chunks.cause(error),
            None => error,
        });
        result.at("file", || &self.inputs[self.file].name)
    }

    /// Counts the rows of `batch`, and puts those into the tray that stand for no row of columns.
    fn sifted(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows() as u64;
        let sifted = replay::sifted(batch, &self.inputs[self.file].name, self.rows)?;
        self.rows += rows;
        self.left = self.left.map(|left| left.saturating_sub(rows));
        set_aside(self.tray.as_deref(), sifted)
    }

    /// Fetches a row group and opens its reader. Blocks.
    fn open(mut self, group: usize) -> Result<Self> {
        let input = &self.inputs[self.file];
        let place = || &input.name;
        let chunks = match self.chunks.take() {
            Some(chunks) => chunks,
            None => input.open_file().at("file", place)?,
        };
        let Footer::Parquet(footer) = input.footer().at("file", place)? else {
            return Err(Error::new(ErrorKind::Internal, "the split is not one of Parquet"));
        };
        let schema = &replay::with_reasons(&self.scan.schema, footer.schema());
        let scan = parquet::GroupScan {
            group,
            schema: Arc::clone(schema),
            batch_rows: self.scan.batch_rows,
            batch_bytes: self.scan.batch_bytes,
            limit: self.left,
            threads: cpu::threads(),
        };
        let size = footer.size(group, schema);
        self.long = size.decoded / size.rows.max(1) > (LONG_BATCHES * self.scan.batch_bytes) as u64;
        let ranges = footer.ranges(group, schema);
        // One that is no longer than a batch is read at once.
        let fetched = if size.stored <= self.scan.batch_bytes as u64 {
            chunks.fetch(&ranges).at("file", place)?
        } else {
            if size.stored <= EXPECTED_BYTES {
                chunks.expect(&ranges);
            }
            chunks.clone()
        };
        let reader = footer.read(&fetched, &scan);
        self.chunks = Some(chunks);
        self.current = Some(self.explained(reader)?);
        Ok(self)
    }
}

/// Streams batches of an Arrow file: read on a thread of its own, decoded on the pool.
pub(super) fn read_batches(
    inputs: Arc<Vec<Input>>,
    file: usize,
    range: Range<usize>,
    scan: &Scan,
) -> Result<BatchStream> {
    let name = inputs[file].name.clone();
    let schema = Arc::clone(&scan.schema);
    let gate = Gate::new(HELD_BATCHES * scan.batch_bytes);
    let fetched = blocking::stream("arrow-read", move |outlet| {
        let input = &inputs[file];
        let Footer::Arrow(footer) = input.footer()? else {
            return Err(Error::new(ErrorKind::Internal, "the split is not one of Arrow"));
        };
        let chunks = input.open_file()?;
        let caused = |error| chunks.cause(error);
        let decoder = Arc::new(footer.decoder(&chunks, &schema).map_err(caused)?);
        for (index, bytes) in footer.batch_bytes().enumerate().take(range.end).skip(range.start) {
            let mut held = Held::default();
            gate.grow(&mut held, usize::try_from(bytes).unwrap_or(usize::MAX))?;
            if !outlet.send((Arc::clone(&decoder), footer.batch(&chunks, index).map_err(caused)?, held)) {
                break;
            }
        }
        Ok(())
    })?;
    let batches = fetched.then(|fetched| async move {
        let (decoder, batch, _held) = fetched?;
        cpu::run(move || decoder.decode(&batch)).await?
    });
    Ok(cut(batches.boxed(), name, scan))
}

/// Streams pieces of an Avro file: read on a thread of its own, decoded on the pool, batch by batch.
pub(super) fn read_blocks(
    inputs: Arc<Vec<Input>>,
    file: usize,
    range: Range<usize>,
    scan: &Scan,
) -> Result<BatchStream> {
    let name = inputs[file].name.clone();
    let gate = Gate::new(HELD_BATCHES * scan.batch_bytes);
    let wanted =
        avro::Wanted { schema: Arc::clone(&scan.schema), batch_rows: scan.batch_rows, batch_bytes: scan.batch_bytes };
    let fetched = blocking::stream("avro-read", move |outlet| {
        let input = &inputs[file];
        let Footer::Avro(footer) = input.footer()? else {
            return Err(Error::new(ErrorKind::Internal, "the split is not one of Avro"));
        };
        let chunks = input.open_file()?;
        for segment in footer.segments().iter().take(range.end).skip(range.start) {
            let mut held = Held::default();
            gate.grow(&mut held, usize::try_from(segment.range.end - segment.range.start).unwrap_or(usize::MAX))?;
            let stored = footer.fetch(&chunks, segment).map_err(|error| chunks.cause(error))?;
            if !outlet.send((footer.read(stored, &wanted)?, held)) {
                break;
            }
        }
        Ok(())
    })?;
    let current: Option<(avro::Reader, Held)> = None;
    let batches = stream::try_unfold((fetched, current), |(mut fetched, mut current)| async move {
        loop {
            if let Some((mut reader, held)) = current.take() {
                let (reader, batch) = cpu::run(move || {
                    let batch = reader.next_batch();
                    (reader, batch)
                })
                .await?;
                if let Some(batch) = batch? {
                    return Ok(Some((batch, (fetched, Some((reader, held))))));
                }
            }
            let Some(next) = fetched.next().await else { return Ok(None) };
            current = Some(next?);
        }
    });
    Ok(cut(batches.boxed(), name, scan))
}

/// Streams an Arrow stream from its start.
pub(super) fn read_stream(inputs: Arc<Vec<Input>>, file: usize, scan: &Scan) -> Result<BatchStream> {
    let name = inputs[file].name.clone();
    let schema: SchemaRef = Arc::clone(&scan.schema);
    let gate = Gate::new(HELD_BATCHES * scan.batch_bytes);
    let batches = blocking::stream("arrow-read", move |outlet| {
        let mut stream = ipc::Stream::open(inputs[file].open_stream()?)?;
        // How large the next batch is shows when it is read: it is taken to be like the one before.
        let mut bytes = 0;
        loop {
            let mut held = Held::default();
            gate.grow(&mut held, bytes)?;
            let Some(batch) = stream.next_batch(&schema)? else { return Ok(()) };
            bytes = batch_bytes(&batch);
            if !outlet.send((batch, held)) {
                return Ok(());
            }
        }
    })?;
    let batches = batches.map(|batch| batch.map(|(batch, _held)| batch));
    Ok(cut(batches.boxed(), name, scan))
}

/// Streams the rows of a sheet, decoded on the pool.
pub(super) fn read_sheet(inputs: Arc<Vec<Input>>, file: usize, scan: &Scan) -> BatchStream {
    let name = inputs[file].name.clone();
    let (schema, rows) = (Arc::clone(&scan.schema), scan.batch_rows.max(1));
    let opened: Option<Arc<workbook::Sheet>> = None;
    let batches = stream::try_unfold((opened, 0), move |(opened, from)| {
        let (inputs, schema) = (Arc::clone(&inputs), Arc::clone(&schema));
        async move {
            let sheet = match opened {
                Some(sheet) => sheet,
                None => blocking::run("workbook-read", move || sheet_of(&inputs[file])).await?,
            };
            if from >= sheet.rows() {
                return Ok(None);
            }
            let (to, decoded) = ((from + rows).min(sheet.rows()), Arc::clone(&sheet));
            let batch = cpu::run(move || decoded.decode(from..to, &schema)).await??;
            Ok(Some((batch, (Some(sheet), to))))
        }
    });
    cut(batches.boxed(), name, scan)
}

fn sheet_of(input: &Input) -> Result<Arc<workbook::Sheet>> {
    match input.footer()? {
        Footer::Workbook(sheet) => Ok(Arc::clone(sheet)),
        _ => Err(Error::new(ErrorKind::Internal, "the split is not one of a workbook")),
    }
}

/// `batches` in the sizes that the scan asks for, up to its limit; errors name the file.
pub(super) fn cut(batches: BatchStream, file: String, scan: &Scan) -> BatchStream {
    let (rows, bytes) = (scan.batch_rows, scan.batch_bytes);
    let mut left = limit_of(scan);
    let sized = batches.flat_map(move |batch| {
        let pieces = match batch {
            // A piece of which nothing is left: who reads it hears of it all the same.
            Ok(batch) if batch.num_rows() == 0 => vec![Ok(batch)],
            Ok(batch) => plain::cut(&batch, rows, bytes).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error.at("file", &file))],
        };
        stream::iter(pieces)
    });
    let limited = sized.scan((), move |(), batch: Result<RecordBatch>| {
        let next = match (batch, left) {
            (_, Some(0)) => None,
            (Ok(batch), Some(wanted)) => {
                let batch = batch.slice(0, batch.num_rows().min(usize::try_from(wanted).unwrap_or(usize::MAX)));
                left = Some(wanted - batch.num_rows() as u64);
                Some(Ok(batch))
            }
            (batch, _) => Some(batch),
        };
        std::future::ready(next)
    });
    limited.boxed()
}
