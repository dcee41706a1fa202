//! The parts of a stage, read back and summed up, against what was sent.
//!
//! Parquet by its library's own reader, which shares nothing with the code that reads sources; all else as any source is
//! read: text is cut into records and fields, and parsed.

use std::fs;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::TryStreamExt as _;

use super::chunks::Chunks;
use super::config::Config;
use super::input;
use super::landing::{Encoding, Landing, Shape};
use super::read::FileSource;
use super::stage::{Part, Stage, parts_in_order};
use crate::attempt::{Attempt, Token};
use crate::bridge::{blocking, cpu};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::avro;
use crate::formats::extension::Format;
use crate::formats::legible::{self, Within};
use crate::formats::workbook::column_name;
use crate::proof::{ColumnProof, Verdict, sums, total};
use crate::sink::{Agreement, Receipt};
use crate::source::{Scan, Source as _, SplitGoal};

/// Rows, and Arrow bytes, that are summed up at once.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;

/// Bytes of a split: parts are read one after the other, but large texts are cut so that they are scanned in parallel.
const SPLIT_BYTES: u64 = 64 << 20;

/// How sums are compared, for the plan; none where rows are gone once they are written, or may stand in several sheets.
pub(super) fn way(landing: &Landing) -> Option<String> {
    let reader = match landing.format {
        Format::Parquet => "by another reader than that of sources",
        format if format.is_records() => "taken apart and parsed as any text file",
        format if format.is_workbook() => "cell by cell as any workbook",
        _ => "as any file of this format",
    };
    // What is read back is one sheet.
    let several = matches!(&landing.encoding, Encoding::Workbook(settings) if !settings.sheets.is_empty());
    let is_staged = !matches!(landing.shape, Shape::Pipe(_));
    (is_staged && !several).then(|| {
        format!("before rows become visible the parts are read back, {reader}, and summed up: one reading of what was written")
    })
}

/// What `batch` adds to the proof, as it comes back of a file of `landing`.
pub(super) fn proofs(landing: &Landing, batch: &RecordBatch) -> Result<Vec<ColumnProof>> {
    Ok(match within(landing.format) {
        Some(within) => sums::of(&legible::batch(batch, within)?),
        None => sums::of(batch),
    })
}

fn within(format: Format) -> Option<Within> {
    let text = if format == Format::Jsonl { Within::Json } else { Within::Csv };
    format.is_guessed().then_some(text)
}

/// Compares the parts of `stage` with `receipts`: their rows or bytes, and the columns where receipts carry sums.
pub(super) async fn verify(
    config: &Arc<Config>,
    (landing, stage): (Landing, Stage),
    agreement: &Agreement,
    receipts: &[Receipt],
) -> Result<Verdict> {
    let wanted = total(receipts.iter().map(|receipt| receipt.columns.as_ref()));
    let parts = parts_in_order(receipts)?;
    let (sent, held): (u64, u64) =
        (receipts.iter().map(|receipt| receipt.rows).sum(), parts.iter().map(|part| part.rows).sum());
    if sent != held {
        return Ok(Verdict::Unequal(format!("the parts hold {held} of {sent} rows")));
    }
    let mut found: Option<Vec<ColumnProof>> = None;
    for part in parts {
        let path = stage.part(&part.name);
        let (rows, columns) = if landing.format == Format::Parquet {
            let (target, sums, of) = (Arc::clone(&agreement.target), wanted.is_some(), path.clone());
            let read = blocking::run("files-verify", move || read_parquet(&of, &target, sums)).await;
            read.at("file", || path.display())?
        } else {
            let of = path.clone();
            let bytes = blocking::run("files-verify", move || Ok(fs::metadata(of)?.len())).await;
            let bytes = bytes.at("file", || path.display())?;
            if bytes != part.bytes {
                return Ok(Verdict::Unequal(format!(
                    "a part has {bytes} of the {} bytes that were written",
                    part.bytes
                )));
            }
            let counted = landing.format == Format::Avro;
            if wanted.is_none() && !counted {
                continue;
            }
            let place = path.display().to_string();
            if wanted.is_some() {
                read_back(config, &landing, (&part, path), agreement).await.at("file", || place)?
            } else {
                let read = blocking::run("files-verify", move || count_avro(&path)).await;
                (read.at("file", || place)?, None)
            }
        };
        if rows != part.rows {
            return Ok(Verdict::Unequal(format!("a part holds {rows} of the {} rows that were sent", part.rows)));
        }
        found = if found.is_none() { columns } else { total([found.as_ref(), columns.as_ref()]).or(found) };
    }
    let (Some(wanted), Some(found)) = (wanted, found) else { return Ok(Verdict::Equal) };
    Ok(Verdict::compare("the parts hold", agreement.target.fields(), (&found, &wanted)))
}

/// What was read of a part: its rows and, where they are wanted, its sums.
type Found = (u64, Option<Vec<ColumnProof>>);

fn read_parquet(path: &std::path::Path, target: &Schema, wanted: bool) -> Result<Found> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path)?).map_err(damage)?;
    let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
    if !wanted {
        return Ok((rows, None));
    }
    let mut columns = None;
    for batch in reader.build().map_err(damage)? {
        let batch = batch?;
        let names = target.fields().iter().map(|field| batch.schema_ref().index_of(field.name()));
        let sums = Some(sums::of(&batch.project(&names.collect::<Result<Vec<_>, _>>()?)?));
        columns = if columns.is_none() { sums } else { total([columns.as_ref(), sums.as_ref()]) };
    }
    Ok((rows, columns))
}

/// The rows that the blocks of a part say they hold.
fn count_avro(path: &std::path::Path) -> Result<u64> {
    let file = avro::File::open(&Chunks::open(path)?)?;
    Ok(file.segments().iter().map(|segment| segment.rows).sum())
}

/// Reads a part as a source is read.
async fn read_back(
    config: &Arc<Config>,
    landing: &Landing,
    (part, path): (&Part, std::path::PathBuf),
    agreement: &Agreement,
) -> Result<Found> {
    let config = if landing.format.is_workbook() {
        config.of_sheet_part(&path, landing.format, &read_as(config, landing, agreement))
    } else {
        config.of_part(&path, landing.format, landing.charset())
    };
    let schema = read_as(&config, landing, agreement);
    let source = blocking::run("files-verify", move || {
        let input = input::open(&config, &path)?;
        FileSource::new(&config, Arc::new(vec![input]))
    });
    let source = source.await?;
    let scan =
        Scan { schema, filters: Vec::new().into(), limit: None, batch_rows: BATCH_ROWS, batch_bytes: BATCH_BYTES };
    let goal = SplitGoal::new(SPLIT_BYTES, 1);
    let attempt = Attempt::new(Token { run: part.name.clone(), transfer: 0, sink: 0, epoch: 0 }, 0, Vec::new());
    let (mut rows, mut columns) = (0, None);
    for split in source.plan(&scan, &goal).await?.splits {
        let mut batches = source.read(&scan, &split, &attempt, None).await?;
        while let Some(batch) = batches.try_next().await? {
            rows += batch.num_rows() as u64;
            let sums = Some(cpu::run(move || sums::of(&batch)).await?);
            columns = if columns.is_none() { sums } else { total([columns.as_ref(), sums.as_ref()]) };
        }
    }
    Ok((rows, columns))
}

/// The columns that came, as they are read. Without a header the place of a column is its name.
fn read_as(config: &Config, landing: &Landing, agreement: &Agreement) -> SchemaRef {
    let Some(within) = within(landing.format) else { return Arc::clone(&agreement.target) };
    let schema = legible::schema(&agreement.target, within);
    if landing.format == Format::Jsonl || config.has_header() {
        return schema;
    }
    let place = |field: &Arc<Field>| {
        let place = landing.schema.index_of(field.name()).unwrap_or_default();
        let name = if landing.format.is_workbook() { column_name(place as u32) } else { config.column_name(place) };
        field.as_ref().clone().with_name(name)
    };
    Arc::new(Schema::new(schema.fields().iter().map(place).collect::<Vec<_>>()))
}

fn damage(source: ::parquet::errors::ParquetError) -> Error {
    Error::new(ErrorKind::Corrupt, "what was written cannot be read back").with_source(source)
}
