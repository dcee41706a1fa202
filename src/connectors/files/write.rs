//! The writer of one task attempt: batches are gathered, encoded on the pool, and written into part files.

use std::collections::HashMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{FieldRef, SchemaRef};
use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::landing::{Encoding, Landing, Shape};
use super::records::RecordOutput;
use super::stage::{Part, Stage};
use super::{join, stage};
use crate::attempt::{Attempt, Token};
use crate::bridge::{blocking, cpu};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::extension::Format;
use crate::formats::{RecordFormat, avro, ipc, parquet, workbook};
use crate::schema::{batch_bytes, record_batch};
use crate::sink::{Receipt, Writer};

/// Rows that are gathered before they are encoded together; their bytes are the landing's.
const GATHER_ROWS: usize = 64 << 10;

/// What is gathered at once is long from so many times the usual on.
const LONG_GATHERS: usize = 2;

const BUFFER_BYTES: usize = 256 << 10;

/// Where encoded bytes go.
pub(super) type Sink = Box<dyn Write + Send>;

/// One file that is being made. `encode` (but for workbooks) and `seal` are processor work, `write` and `finish` are I/O.
pub(super) enum Output {
    Records(RecordOutput),
    Parquet(Box<parquet::Encoder<Sink>>),
    Avro(AvroOutput),
    Arrow(ArrowOutput),
    Workbook(Box<WorkbookOutput>),
}

/// Blocks of Avro.
pub(super) struct AvroOutput {
    encoder: avro::Encoder,
    /// Bytes before the first block, which a join leaves out.
    header: u64,
    written: u64,
    out: Sink,
}

/// Arrow IPC messages.
pub(super) struct ArrowOutput {
    encoder: ipc::Encoder,
    /// Bytes before the first batch.
    header: u64,
    written: u64,
    out: Sink,
}

/// One sheet, which is written as a whole when its last row is there.
pub(super) struct WorkbookOutput {
    encoder: workbook::Encoder,
    out: Sink,
}

/// The extension of part files.
pub(super) fn extension(landing: &Landing) -> String {
    let outer = match &landing.encoding {
        Encoding::Records { compression, .. } => compression.extension(),
        _ => "",
    };
    format!("{}{outer}", landing.format.extension())
}

impl Output {
    /// Starts a file of `landing` in `out`; one of Parquet with `dictionaries`.
    pub(super) fn new(
        landing: &Landing,
        records: Option<Arc<dyn RecordFormat>>,
        dictionaries: parquet::Dictionaries,
        out: Sink,
    ) -> Result<Self> {
        Ok(match &landing.encoding {
            Encoding::Records { compression, level, charset, .. } => {
                let records = records.ok_or_else(|| Error::new(ErrorKind::Internal, "these are no records"))?;
                Self::Records(RecordOutput::new(landing, records, (*compression, *level, *charset), out)?)
            }
            Encoding::Parquet(settings) => {
                let layout = landing.parquet_layout()?;
                let encoder = parquet::Encoder::new(out, &landing.schema, settings, layout)?;
                Self::Parquet(Box::new(encoder.with_dictionaries(dictionaries)))
            }
            Encoding::Avro(settings) => {
                let old = landing.avro_file()?;
                let mut encoder = avro::Encoder::new(&landing.schema, settings, old.as_ref())?;
                let mut out = out;
                let start = encoder.take();
                out.write_all(&start)?;
                let bytes = start.len() as u64;
                Self::Avro(AvroOutput { encoder, header: bytes, written: bytes, out })
            }
            Encoding::Arrow(codec) => {
                let kind = if landing.format == Format::Arrow { ipc::Kind::File } else { ipc::Kind::Stream };
                let mut encoder = ipc::Encoder::new(kind, &landing.schema, *codec)?;
                let mut out = out;
                let start = encoder.take();
                out.write_all(&start)?;
                let bytes = start.len() as u64;
                Self::Arrow(ArrowOutput { encoder, header: bytes, written: bytes, out })
            }
            Encoding::Workbook(settings) => {
                let folder = landing.shape.stage_parent();
                let encoder = workbook::Encoder::new(&landing.schema, settings, folder.as_deref())?;
                Self::Workbook(Box::new(WorkbookOutput { encoder, out }))
            }
        })
    }

    /// Takes rows, in order, `before` of which the task has written.
    fn encode(&mut self, batches: Vec<RecordBatch>, before: u64) -> Result<()> {
        match self {
            Self::Records(output) => output.encode(&batches, before),
            Self::Parquet(encoder) => {
                let is_full = encoder.encode(&batches)?;
                // A long row is in memory often enough while its page is made.
                drop(batches);
                if is_full {
                    encoder.close_group()?;
                }
                Ok(())
            }
            Self::Avro(output) => output.encoder.encode(&batches),
            Self::Arrow(output) => batches.iter().try_for_each(|batch| output.encoder.encode(batch)),
            Self::Workbook(output) => batches
                .iter()
                .try_fold(before, |before, batch| {
                    output.encoder.encode(batch, before).map(|()| before + batch.num_rows() as u64)
                })
                .map(drop),
        }
    }

    /// Rows that the file may still take; none where it has no bound.
    fn room(&self) -> Option<u64> {
        match self {
            Self::Workbook(output) => Some(output.encoder.room()),
            _ => None,
        }
    }

    /// Finishes what is not yet encoded; no rows come any more.
    fn seal(&mut self) -> Result<()> {
        match self {
            Self::Records(output) => output.seal(),
            Self::Parquet(encoder) => encoder.close_group(),
            Self::Avro(output) => output.encoder.finish(),
            Self::Arrow(output) => output.encoder.finish(),
            Self::Workbook(_) => Ok(()),
        }
    }

    /// Writes what is encoded. The bytes of the file so far.
    fn write(&mut self) -> Result<u64> {
        match self {
            Self::Records(output) => output.write(),
            Self::Parquet(encoder) => {
                encoder.write_groups()?;
                Ok(encoder.bytes_written())
            }
            Self::Avro(output) => output.write(),
            Self::Arrow(output) => output.write(),
            // Its size shows at the end: the rows' is near enough, and a sheet has an end of its own.
            Self::Workbook(output) if output.encoder.room() == 0 => Ok(u64::MAX),
            Self::Workbook(output) => Ok(output.encoder.bytes()),
        }
    }

    /// Seals and writes the rest.
    pub(super) fn finish(mut self) -> Result<()> {
        self.seal()?;
        self.close().map(drop)
    }

    /// Writes the rest of a sealed file. Its bytes, and those of its header.
    fn close(mut self) -> Result<(u64, u64)> {
        let bytes = self.write()?;
        match self {
            Self::Records(output) => Ok((bytes, output.close()?)),
            Self::Parquet(encoder) => {
                encoder.finish()?.flush()?;
                Ok((bytes, 0))
            }
            Self::Avro(mut output) => {
                output.out.flush()?;
                Ok((bytes, output.header))
            }
            Self::Arrow(mut output) => {
                output.out.flush()?;
                Ok((bytes, output.header))
            }
            Self::Workbook(output) => {
                let WorkbookOutput { encoder, mut out } = *output;
                let bytes = encoder.finish(&mut *out)?;
                out.flush()?;
                Ok((bytes, 0))
            }
        }
    }
}

impl AvroOutput {
    fn write(&mut self) -> Result<u64> {
        let bytes = self.encoder.take();
        self.out.write_all(&bytes)?;
        self.written += bytes.len() as u64;
        Ok(self.written)
    }
}

impl ArrowOutput {
    fn write(&mut self) -> Result<u64> {
        let bytes = self.encoder.take();
        self.out.write_all(&bytes)?;
        self.written += bytes.len() as u64;
        Ok(self.written)
    }
}

/// Writes the rows of one attempt of a task.
pub(super) struct FileWriter {
    landing: Arc<Landing>,
    records: Option<Arc<dyn RecordFormat>>,
    /// None for a pipe.
    stage: Option<Stage>,
    attempt: Attempt,
    gathered: Vec<RecordBatch>,
    gathered_bytes: usize,
    gathered_rows: usize,
    open: Option<Open>,
    parts: Vec<Part>,
    rows: u64,
    /// Whose turn it is to encode long rows.
    turn: Arc<Semaphore>,
    dictionaries: parquet::Dictionaries,
}

/// The part that is being written.
struct Open {
    name: String,
    output: Output,
    rows: u64,
}

impl FileWriter {
    pub(super) fn new(
        landing: Landing,
        records: Option<Arc<dyn RecordFormat>>,
        attempt: &Attempt,
        (turn, dictionaries): (Arc<Semaphore>, parquet::Dictionaries),
    ) -> Self {
        Self {
            stage: landing.stage(records.clone(), &attempt.token),
            landing: Arc::new(landing),
            records,
            attempt: attempt.clone(),
            gathered: Vec::new(),
            gathered_bytes: 0,
            gathered_rows: 0,
            open: None,
            parts: Vec::new(),
            rows: 0,
            turn,
            dictionaries,
        }
    }

    /// Encodes and writes what was gathered, in a folder into as many files as it takes.
    async fn drain(&mut self) -> Result<()> {
        let mut batches = std::mem::take(&mut self.gathered);
        self.gathered_rows = 0;
        let bytes = std::mem::take(&mut self.gathered_bytes);
        let long = bytes > LONG_GATHERS * self.landing.gather_bytes;
        let turn = Arc::clone(&self.turn);
        let _turn = if long { Some(turn.acquire().await) } else { None };
        while !batches.is_empty() {
            let open = self.take_open().await?;
            let room = open.output.room().filter(|_| self.landing.shape.is_folder());
            let rest = room.map_or_else(Vec::new, |rows| split_off(&mut batches, rows));
            self.encode(open, std::mem::replace(&mut batches, rest)).await?;
        }
        Ok(())
    }

    /// Encodes and writes `batches` into `open`, which is closed where that fills it.
    async fn encode(&mut self, mut open: Open, batches: Vec<RecordBatch>) -> Result<()> {
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        self.landing.refuse_without_columns(rows)?;
        let (schema, before) = (Arc::clone(&self.landing.schema), self.rows);
        let encode = move || {
            let batches = batches.into_iter().map(|batch| widen(&batch, &schema)).collect::<Result<Vec<_>>>()?;
            open.output.encode(batches, before).map(|()| open)
        };
        let mut open = if self.landing.format.is_workbook() {
            // Its rows go to the disk as they come.
            blocking::run("files-write", encode).await?
        } else {
            cpu::run(encode).await??
        };
        open.rows += rows;
        self.rows += rows;
        let place = self.place(&open.name);
        let (open, bytes) = blocking::run("files-write", move || {
            let bytes = open.output.write().at("file", || place)?;
            Ok((open, bytes))
        })
        .await?;
        if self.landing.shape.is_folder() && bytes >= self.landing.file_bytes {
            return self.close(open).await;
        }
        self.open = Some(open);
        Ok(())
    }

    /// The open part, or a new one.
    async fn take_open(&mut self) -> Result<Open> {
        if let Some(open) = self.open.take() {
            return Ok(open);
        }
        let name = format!("part-{:05}-{}-{:05}", self.attempt.task, self.attempt.id, self.parts.len());
        let (landing, records, stage) = (Arc::clone(&self.landing), self.records.clone(), self.stage.clone());
        let dictionaries = self.dictionaries.clone();
        blocking::run("files-open", move || {
            let out = sink(&landing, stage.as_ref(), &name)?;
            Ok(Open { output: Output::new(&landing, records, dictionaries, out)?, name, rows: 0 })
        })
        .await
    }

    /// Finishes a part and makes it durable.
    async fn close(&mut self, mut open: Open) -> Result<()> {
        open = cpu::run(move || open.output.seal().map(|()| open)).await??;
        let (place, stage) = (self.place(&open.name), self.stage.clone());
        let part = blocking::run("files-write", move || {
            let (bytes, header) = open.output.close().at("file", || &place)?;
            if let Some(stage) = stage {
                join::sync(&stage.part(&open.name)).at("file", || &place)?;
            }
            Ok(Part { name: open.name, rows: open.rows, bytes, header })
        })
        .await?;
        self.parts.push(part);
        Ok(())
    }

    /// Where a part is, for messages.
    fn place(&self, part: &str) -> String {
        match (&self.stage, &self.landing.shape) {
            (Some(stage), _) => stage.part(part).display().to_string(),
            (None, Shape::Pipe(Some(path))) => path.display().to_string(),
            (None, _) => "standard output".to_owned(),
        }
    }
}

#[async_trait]
impl Writer for FileWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.gathered_rows += batch.num_rows();
        self.gathered_bytes += batch_bytes(&batch);
        self.gathered.push(batch);
        if self.gathered_bytes >= self.landing.gather_bytes || self.gathered_rows >= GATHER_ROWS {
            self.drain().await?;
        }
        Ok(())
    }

    async fn flush(&mut self, _token: &Token) -> Result<Receipt> {
        self.drain().await?;
        if self.stage.is_none() && self.parts.is_empty() && self.open.is_none() {
            // A pipe gets its header and footer even without rows.
            self.open = Some(self.take_open().await?);
        }
        if let Some(open) = self.open.take() {
            self.close(open).await?;
        }
        if let Some(stage) = self.stage.clone().filter(|_| !self.parts.is_empty()) {
            blocking::run("files-sync", move || stage::sync_folder(&stage.part(""))).await?;
        }
        let parts = std::mem::take(&mut self.parts);
        let bytes = parts.iter().map(|part| part.bytes).sum();
        let detail = serde_json::to_value(&parts)
            .map_err(|source| Error::new(ErrorKind::Internal, "a receipt cannot be written").with_source(source))?;
        Ok(Receipt::of(&self.attempt, std::mem::take(&mut self.rows), bytes, detail))
    }
}

/// Opens what a part is written into.
fn sink(landing: &Landing, stage: Option<&Stage>, name: &str) -> Result<Sink> {
    let file = match (stage, &landing.shape) {
        (Some(stage), _) => {
            let path = stage.part(name);
            fs::File::options().write(true).create_new(true).open(&path).at("file", || path.display())?
        }
        (None, Shape::Pipe(Some(path))) => fs::File::options().write(true).open(path).at("file", || path.display())?,
        (None, _) => return Ok(Box::new(BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout()))),
    };
    Ok(Box::new(BufWriter::with_capacity(BUFFER_BYTES, file)))
}

/// Leaves the first `rows` rows in `batches`, and gives the others.
fn split_off(batches: &mut Vec<RecordBatch>, rows: u64) -> Vec<RecordBatch> {
    let mut left = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut rest = Vec::new();
    for batch in std::mem::take(batches) {
        let fitting = batch.num_rows().min(left);
        left -= fitting;
        if fitting < batch.num_rows() {
            rest.push(batch.slice(fitting, batch.num_rows() - fitting));
        }
        batches.push(batch.slice(0, fitting));
    }
    rest
}

/// `batch` with all columns of the file: those that nothing fills are NULL.
fn widen(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let there = batch.schema_ref().fields().iter().zip(batch.columns());
    let there: HashMap<&str, &ArrayRef> = there.map(|(field, column)| (field.name().as_str(), column)).collect();
    let column = |field: &FieldRef| -> ArrayRef {
        let given = there.get(field.name().as_str()).map(|column| Arc::clone(column));
        given.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
    };
    let columns = if batch.schema_ref().fields().len() == schema.fields().len() {
        batch.columns().to_vec()
    } else {
        schema.fields().iter().map(column).collect()
    };
    record_batch(schema, columns, batch.num_rows())
}
