//! Reading records: a large file is cut at record ends into splits, a split into pieces that are decoded in parallel.
//!
//! One thread reads, decompresses and looks for record ends; pieces of whole records go to the pool, a few at once and
//! a bounded number of bytes, and come back in order.

use std::io::Read;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt as _, stream};
use rayon::prelude::*;

use super::chunks::Chunks;
use super::columnar::cut;
use super::gate::{Gate, Held};
use super::input::Input;
use super::read::{FileSource, Piece};
use crate::bridge::{blocking, cpu};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::split::{RecordStart, stitch};
use crate::formats::{self, HEADER_BYTES, Layout, RecordFormat, RecordScanner, Start, compress};
use crate::reject::{Rejects, Tray};
use crate::source::{BatchStream, Scan, Split, SplitGoal};

/// Bytes of a piece, about. Small enough to stay in the caches of a core.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// Bytes of a chunk that is scanned for record ends.
const CHUNK_BYTES: u64 = 4 << 20;

/// Batches' worth of bytes that a stream holds in pieces that are read and not yet taken as a batch.
const HELD_BATCHES: usize = 4;

/// The splits of one file: one, or byte ranges at record starts. Blocks, and scans the whole of a large file.
pub(super) fn plan(
    source: &FileSource,
    (file, input): (usize, &Input),
    scan: &Scan,
    goal: &SplitGoal,
) -> Result<Vec<Split>> {
    let records = records_of(source)?;
    if !input.is_plain() {
        return Ok(vec![Piece::Stream { file }.split(None, (input.bytes > 0).then_some(input.bytes))]);
    }
    let start = start_of(records, input)?;
    let first = RecordStart { offset: start.data_start as u64, line: start.line };
    let whole = goal.channels <= 1
        || !start.splittable
        || input.bytes < goal.split_bytes.saturating_mul(2)
        || (scan.limit.is_some() && scan.filters.is_empty());
    let starts =
        if whole { vec![first] } else { record_starts(records, &input.open_file()?, first, goal.split_bytes)? };
    let ends = starts.iter().skip(1).map(|start| start.offset).chain([input.bytes]);
    let pieces = starts.iter().zip(ends).map(|(start, to)| {
        Piece::Records { file, from: start.offset, to, line: start.line }
            .split(None, Some(to.saturating_sub(start.offset)))
    });
    Ok(pieces.collect())
}

/// Where records begin, about every `every` bytes. Reads chunk after chunk; each group of chunks is scanned in parallel.
fn record_starts(
    records: &dyn RecordFormat,
    chunks: &Chunks,
    first: RecordStart,
    every: u64,
) -> Result<Vec<RecordStart>> {
    let end = ::parquet::file::reader::Length::len(chunks);
    let chunk_bytes = CHUNK_BYTES.min(every.max(1));
    let mut scans = Vec::new();
    let mut offset = first.offset;
    while offset < end {
        let mut group = Vec::new();
        while offset < end && group.len() < cpu::threads() {
            let length = chunk_bytes.min(end - offset);
            group.push(chunks.read_at(offset, length as usize)?);
            offset += length;
        }
        scans
            .extend(cpu::run_blocking(|| group.par_iter().map(|bytes| records.scan_chunk(bytes)).collect::<Vec<_>>())?);
    }
    let mut starts: Vec<RecordStart> = Vec::new();
    for start in stitch(first, &scans) {
        if starts.last().is_none_or(|last| start.offset - last.offset >= every) {
            starts.push(start);
        }
    }
    Ok(starts)
}

/// Streams the records of one split. Those that cannot be decoded are put into the tray, where there is one.
pub(super) fn read(source: &FileSource, piece: &Piece, scan: &Scan, tray: Option<&Arc<Tray>>) -> Result<BatchStream> {
    let records = source.records.clone().ok_or_else(|| Error::new(ErrorKind::Internal, "these are no records"))?;
    let layout = source.layout.get().cloned().unwrap_or_default();
    let input = source.input(piece.file())?;
    let name = input.name.clone();
    // A file that names its own columns may have them in an order of its own.
    let own = input.start.get().and_then(|start| start.layout.clone());
    let layout = Arc::new(own.unwrap_or(layout));
    let (inputs, reading) = (Arc::clone(&source.inputs), piece.clone());
    let target = PIECE_BYTES.min(scan.batch_bytes.max(1));
    let at_once = cpu::threads() + 1;
    let gate = Gate::new((2 * at_once * target).min(HELD_BATCHES * scan.batch_bytes.max(target)));
    let scanned = Arc::clone(&records);
    let pieces = blocking::stream("records-read", move |outlet| {
        let input = &inputs[reading.file()];
        let (reader, line) = open(scanned.as_ref(), input, &reading)?;
        let mut cutter = Cutter { reader, scanner: scanned.scanner(), line, target, gate };
        cutter.run(input, outlet)
    })?;
    let file = name.clone();
    let tray = tray.map(|tray| (Arc::clone(tray), file));
    let decoder = Decoder { records, layout, schema: Arc::clone(&scan.schema), tray };
    Ok(cut(decode(pieces.boxed(), at_once, decoder), name, scan))
}

#[derive(Clone)]
struct Decoder {
    records: Arc<dyn RecordFormat>,
    layout: Arc<Layout>,
    schema: arrow::datatypes::SchemaRef,
    /// Where records go that cannot be decoded, and the file that they are from.
    tray: Option<(Arc<Tray>, String)>,
}

impl Decoder {
    fn decode(&self, piece: &formats::Piece<'_>) -> Result<(RecordBatch, Option<Rejects>)> {
        match self.tray {
            Some(_) => self.records.sift(piece, &self.layout, &self.schema),
            None => Ok((self.records.decode(piece, &self.layout, &self.schema)?, None)),
        }
    }

    /// Puts `rejects` into the tray.
    fn set_aside(&self, mut rejects: Rejects) {
        if let Some((tray, file)) = &self.tray {
            rejects.errors = rejects.errors.into_iter().map(|error| error.at("file", file)).collect();
            tray.put(rejects);
        }
    }
}

/// Whole records, the line of the first, and what of the gate they hold.
struct Records {
    bytes: Vec<u8>,
    line: u64,
    held: Held,
}

/// Decodes pieces on the pool: as many at once as it has threads and one more. They hold their bytes of the gate until
/// the batch after theirs is asked for: what was taken may still wait for its turn to go on.
fn decode(
    pieces: futures::stream::BoxStream<'static, Result<Records>>,
    at_once: usize,
    decoder: Decoder,
) -> BatchStream {
    let each = decoder.clone();
    let batches = pieces.map(move |piece| {
        let decoder = each.clone();
        async move {
            let Records { bytes, line, held } = piece?;
            let decoded =
                cpu::run(move || decoder.decode(&formats::Piece { bytes: &bytes, first_line: line })).await??;
            Ok((decoded, held))
        }
    });
    let state = (batches.buffered(at_once).boxed(), Held::default(), decoder);
    let batches = stream::unfold(state, |(mut batches, held, decoder)| async move {
        drop(held);
        let (batch, held) = match batches.next().await? {
            Ok(((batch, rejects), held)) => {
                // In the order of the file, whichever piece was decoded first.
                if let Some(rejects) = rejects {
                    decoder.set_aside(rejects);
                }
                (Ok(batch), held)
            }
            Err(error) => (Err(error), Held::default()),
        };
        Some((batch, (batches, held, decoder)))
    });
    batches.boxed()
}

/// Cuts a stream of bytes into pieces of whole records.
struct Cutter {
    reader: Box<dyn Read + Send>,
    scanner: Box<dyn RecordScanner>,
    line: u64,
    target: usize,
    gate: Gate,
}

impl Cutter {
    fn run(&mut self, input: &Input, outlet: &blocking::Outlet<Records>) -> Result<()> {
        let mut held = Held::default();
        self.gate.grow(&mut held, self.target)?;
        let mut buffer: Vec<u8> = Vec::with_capacity(self.target + READ_BYTES);
        // The last record end in the buffer, and the line ends before it.
        let (mut whole, mut lines) = (0, 0);
        loop {
            let known = buffer.len();
            self.gate.grow(&mut held, known)?;
            let read = self.fill(&mut buffer)?;
            if read == 0 {
                break;
            }
            if let Some(end) = self.scanner.feed(&buffer[known..]) {
                whole = known + end.offset;
                lines += end.lines;
            }
            // Before a long record those that are whole go ahead: it is a piece of its own.
            if whole >= self.target || (whole > 0 && buffer.len() - whole >= self.target) {
                let mut rest = Vec::with_capacity((buffer.len() - whole + READ_BYTES).max(self.target + READ_BYTES));
                rest.extend_from_slice(&buffer[whole..]);
                buffer.truncate(whole);
                let (bytes, held_by_it) = (std::mem::replace(&mut buffer, rest), std::mem::take(&mut held));
                if !outlet.send(Records { bytes, line: self.line, held: held_by_it }) {
                    return Ok(());
                }
                self.gate.grow(&mut held, self.target)?;
                self.line += lines;
                (whole, lines) = (0, 0);
            }
            if buffer.len() - whole > input.record_bytes_max {
                return Err(input.too_long().at("line", self.line + lines));
            }
        }
        self.scanner.finish()?;
        if !buffer.is_empty() {
            outlet.send(Records { bytes: buffer, line: self.line, held });
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        let mut limited = self.reader.by_ref().take(READ_BYTES as u64);
        limited.read_to_end(buffer).map_err(compress::damage)
    }
}

/// The bytes of a split, from its first record on, and the line of that.
fn open(records: &dyn RecordFormat, input: &Input, piece: &Piece) -> Result<(Box<dyn Read + Send>, u64)> {
    if let Piece::Records { from, to, line, .. } = piece {
        let chunks = input.open_file()?;
        let reader = ::parquet::file::reader::ChunkReader::get_read(&chunks, *from).map_err(std::io::Error::other)?;
        return Ok((Box::new(reader.take(to.saturating_sub(*from))), *line));
    }
    let start = start_of(records, input)?;
    let mut reader = input.open_stream()?;
    let skip = start.data_start as u64;
    std::io::copy(&mut reader.by_ref().take(skip), &mut std::io::sink()).map_err(compress::damage)?;
    Ok((reader, start.line))
}

fn start_of<'a>(records: &dyn RecordFormat, input: &'a Input) -> Result<&'a Start> {
    if let Some(start) = input.start.get() {
        return Ok(start);
    }
    let start = input.look(HEADER_BYTES, |head, extent| records.start(head, extent))?;
    Ok(input.start.get_or_init(|| start))
}

fn records_of(source: &FileSource) -> Result<&dyn RecordFormat> {
    source.records.as_deref().ok_or_else(|| Error::new(ErrorKind::Internal, "these are no records"))
}
