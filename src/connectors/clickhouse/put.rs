//! The rows of one attempt on their way into their table: joined to blocks, encoded on the processor pool, inserted one after the
//! other while the next one is made.
//!
//! Each block has a token, which the table remembers: one whose answer was lost is sent again and counts once.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value as Json;
use tokio::task::JoinHandle;

use super::catalog;
use super::config::Compress;
use super::connect::Server;
use super::encode::{encode, field};
use super::name::{Name, identifiers};
use super::request::Setting;
use super::stage::Detail;
use super::typemap::Type;
use crate::attempt::{Attempt, Token};
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result, retry};
use crate::formats::exchange::{self, Misfit, Sent};
use crate::reject::{Refusal, Refusals, Settled};
use crate::schema::batch_bytes;
use crate::sink::{Receipt, Writer};

/// How long to wait before a block is sent again.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];
/// Bytes of a block.
const BLOCK_BYTES: u64 = 64 << 20;

/// The writer of one attempt.
pub(super) struct ChWriter {
    server: Arc<Server>,
    encoder: Arc<Encoder>,
    table: Name,
    target: String,
    attempt: Attempt,
    block: Vec<RecordBatch>,
    block_rows: usize,
    block_bytes: u64,
    most_bytes: u64,
    blocks: u64,
    sending: Option<Sending>,
    /// Rows that came, and of them those that are in blocks.
    came: u64,
    rows: u64,
    bytes: u64,
    refused: Vec<Refusal>,
}

/// Turns batches into what ClickHouse takes.
struct Encoder {
    types: Vec<Type>,
    schema: SchemaRef,
    refusals: Refusals,
    options: IpcWriteOptions,
}

/// A block that is on its way; given up when dropped.
struct Sending(JoinHandle<Result<()>>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ChWriter {
    pub(super) fn new(server: Arc<Server>, detail: &Detail, table: Name, attempt: &Attempt) -> Result<Self> {
        let types = detail.types()?;
        let fields: Vec<_> =
            types.iter().zip(&detail.columns).map(|(declared, column)| field(declared, &column.name)).collect();
        let compression = match server.config().compress {
            Compress::None => None,
            Compress::Lz4 => Some(CompressionType::LZ4_FRAME),
        };
        let encoder = Encoder {
            types,
            schema: Arc::new(Schema::new(fields)),
            refusals: detail.refusals,
            options: IpcWriteOptions::default().try_with_compression(compression)?,
        };
        Ok(Self {
            server,
            encoder: Arc::new(encoder),
            table,
            target: detail.name.shown(),
            attempt: attempt.clone(),
            block: Vec::new(),
            block_rows: 0,
            block_bytes: 0,
            // One is sent while the next one grows, and each is there as columns and as bytes for a moment.
            most_bytes: (detail.memory_bytes / 4).clamp(1 << 20, BLOCK_BYTES),
            blocks: 0,
            sending: None,
            came: 0,
            rows: 0,
            bytes: 0,
            refused: Vec::new(),
        })
    }

    async fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let (encoder, before) = (Arc::clone(&self.encoder), self.came);
        self.came += batch.num_rows() as u64;
        self.bytes += batch_bytes(&batch) as u64;
        let (batch, refused) = cpu::run(move || encoder.fitting(&batch, before)).await??;
        self.refused.extend(refused);
        self.block_rows += batch.num_rows();
        self.block_bytes += batch_bytes(&batch) as u64;
        self.block.push(batch);
        if self.block_rows >= self.server.config().block_rows || self.block_bytes >= self.most_bytes {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends the block, when the one before has arrived.
    async fn send(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.block);
        let rows = std::mem::take(&mut self.block_rows) as u64;
        self.block_bytes = 0;
        if rows == 0 {
            return Ok(());
        }
        let encoder = Arc::clone(&self.encoder);
        let block = cpu::run(move || encoder.block(&batches)).await??;
        self.arrived().await?;
        let columns = self.encoder.schema.fields().iter().map(|field| field.name().as_str());
        let sql = format!("INSERT INTO {} ({}) FORMAT ArrowStream", self.table.quoted(), identifiers(columns));
        let token = format!("{} {}", self.attempt.id, self.blocks);
        self.blocks += 1;
        self.rows += rows;
        let server = Arc::clone(&self.server);
        self.sending = Some(Sending(tokio::spawn(async move { insert(&server, &sql, token, block).await })));
        Ok(())
    }

    /// Waits for the block that is on its way.
    async fn arrived(&mut self) -> Result<()> {
        let Some(mut sending) = self.sending.take() else { return Ok(()) };
        let ended = (&mut sending.0).await;
        ended.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "sending a block failed in an unforeseen way")))
    }

    fn place(&self, error: Error) -> Error {
        self.server.place(error.at("table", &self.target))
    }
}

/// Inserts `block`, again where it may have been lost.
async fn insert(server: &Server, sql: &str, token: String, block: Bytes) -> Result<()> {
    let settings: [Setting<'_>; 7] = [
        ("insert_deduplication_token", token),
        ("insert_deduplicate", "1".to_owned()),
        ("async_insert", "0".to_owned()),
        ("wait_end_of_query", "1".to_owned()),
        // A NULL for a column that takes none is an error, not its default.
        ("input_format_null_as_default", "0".to_owned()),
        ("input_format_arrow_allow_missing_columns", "1".to_owned()),
        ("max_partitions_per_insert_block", "0".to_owned()),
    ];
    for pause in PAUSES {
        match server.insert(sql, &settings, block.clone()).await {
            Err(error) if retry(error.kind()) => tokio::time::sleep(pause).await,
            done => return done,
        }
    }
    server.insert(sql, &settings, block).await
}

#[async_trait]
impl Writer for ChWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.add(batch).await.map_err(|error| self.place(error))
    }

    fn settled(&mut self) -> Settled {
        Settled { rows: self.came, refused: std::mem::take(&mut self.refused) }
    }

    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        if *token != self.attempt.token {
            return Err(Error::new(ErrorKind::Internal, "the rows of an attempt belong to its own run"));
        }
        let sent = async {
            self.send().await?;
            self.arrived().await?;
            catalog::count(&self.server, &self.table).await
        };
        let held = sent.await.map_err(|error| self.place(error))?;
        if held != Some(self.rows) {
            let message = match held {
                Some(held) => format!("ClickHouse holds {held} rows of a task that sent {}", self.rows),
                None => "the run of these rows is over: they came too late".to_owned(),
            };
            return Err(self.place(Error::new(ErrorKind::Internal, message)));
        }
        Ok(Receipt::of(&self.attempt, self.rows, self.bytes, Json::Null))
    }
}

impl Encoder {
    /// The rows of `batch` as ClickHouse takes them, and those that it would not keep, where they are left out. The attempt had
    /// `before` rows before them.
    fn fitting(&self, batch: &RecordBatch, before: u64) -> Result<(RecordBatch, Vec<Refusal>)> {
        exchange::fitting(batch, before, self.refusals, |batch| self.encoded(batch))
    }

    /// The columns; else the first value that would not be kept, and its column.
    fn encoded(&self, batch: &RecordBatch) -> Sent {
        let columns = self.types.iter().zip(batch.columns()).zip(self.schema.fields());
        let columns = columns
            .map(|((declared, array), field)| encode(declared, array).map_err(|misfit| (misfit, field.name().clone())));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| (Misfit::of_column(format!("the columns are not as agreed: {error}")), String::new()))
    }

    /// Batches as one stream of Arrow.
    fn block(&self, batches: &[RecordBatch]) -> Result<Bytes> {
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &self.schema, self.options.clone())?;
        for batch in batches {
            writer.write(batch)?;
        }
        Ok(Bytes::from(writer.into_inner()?))
    }
}
