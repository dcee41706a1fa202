//! Rows that are sent once more without those that the server refuses, where these are left out.
//!
//! Each COPY stands behind a savepoint, and its batches are kept until it has ended: so a COPY is short. One that fails is
//! taken back and sent again in pieces, each behind a savepoint of its own, down to the row that is refused.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use futures::SinkExt as _;
use std::pin::pin;
use std::sync::Arc;

use super::super::encode::{Check, Column, Encoder, Layout};
use super::super::errors;
use super::super::patience;
use super::super::publish::check_rows;
use super::super::stage::{PART, ROW};
use super::copy::{CopyWriter, ended};
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::{Refusal, Settled};
use crate::schema::batch_bytes;

/// Bytes of batches after which a COPY is ended, so that they need not be kept any longer.
const REPLAY_BYTES: usize = 16 << 20;

/// Rows of a piece that is sent again: of a longer one much would be sent for nothing, up to the next row that is refused.
const PIECE_ROWS: usize = 512;

/// Stands before each COPY.
pub(super) const BEFORE_COPY: &str = "SAVEPOINT etl_copy";
/// After one that went well.
pub(super) const AFTER_COPY: &str = "RELEASE SAVEPOINT etl_copy";

/// The batches of the COPY that is under way.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// With the number of rows before each.
    batches: VecDeque<(u64, RecordBatch)>,
    bytes: usize,
    /// Rows that earlier COPYs took or that were refused.
    settled: u64,
    refused: Vec<Refusal>,
    count: u64,
}

impl Replay {
    /// How many rows were refused.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// What is decided, and was not told yet.
    pub(super) fn settled(&mut self) -> Settled {
        Settled { rows: self.settled, refused: std::mem::take(&mut self.refused) }
    }

    /// Forgets the batches of the first `rows` rows.
    pub(super) fn settle(&mut self, rows: u64) {
        self.settled = rows;
        while let Some((_, batch)) = self.batches.pop_front_if(|(before, _)| *before < rows) {
            self.bytes -= batch_bytes(&batch);
        }
    }

    /// Whether the COPY is to end, so that its batches need not be kept any longer.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= REPLAY_BYTES
    }

    pub(super) fn keep(&mut self, before: u64, batch: RecordBatch) {
        self.bytes += batch_bytes(&batch);
        self.batches.push_back((before, batch));
    }

    fn drain(&mut self) -> VecDeque<(u64, RecordBatch)> {
        self.bytes = 0;
        std::mem::take(&mut self.batches)
    }

    fn refuse(&mut self, row: u64, error: Error) {
        let constraint = errors::constraint(&error).map(str::to_owned);
        // The place is that of the row in its piece.
        let error = error.map_frames(|frames| frames.retain(|frame| frame.what != "row"));
        let error = constraint.into_iter().fold(error, |error, name| error.at("constraint", name));
        self.refused.push(Refusal { row, error });
        self.count += 1;
    }
}

impl CopyWriter {
    /// `sent`, after which the rows that were refused are left out, where they are to be.
    pub(super) async fn mended(&mut self, sent: Result<()>) -> Result<()> {
        match sent {
            Err(error) if self.replay.is_some() && is_refusal(&error) => self.mend().await,
            other => other,
        }
    }

    /// Ends the COPY, after which all rows are taken or refused.
    pub(super) async fn end_kept(&mut self) -> Result<()> {
        loop {
            match self.end_sent().await {
                Err(error) if is_refusal(&error) => self.mend().await?,
                other => return other,
            }
        }
    }

    /// Takes the COPY back that failed, sends its rows again without those that are refused, and begins another one.
    async fn mend(&mut self) -> Result<()> {
        self.copy = None;
        self.waiting.clear();
        self.connection()?.run("ROLLBACK TO SAVEPOINT etl_copy").await?;
        let (rows, replay) = (self.rows, self.replay()?);
        let (sent, batches) = (rows - replay.settled, replay.drain());
        if batches.iter().map(|(_, batch)| batch.num_rows() as u64).sum::<u64>() != sent {
            return Err(Error::new(ErrorKind::Internal, "rows were refused that were not kept to be sent again"));
        }
        for (before, batch) in batches {
            let mut start = 0;
            while start < batch.num_rows() {
                let end = batch.num_rows().min(start + PIECE_ROWS);
                self.mend_piece(&batch, before, start..end).await?;
                start = end;
            }
        }
        self.ended(self.rows).await?;
        self.begin_copy().await
    }

    /// Sends the rows `piece` of `batch` that the server takes.
    async fn mend_piece(&mut self, batch: &RecordBatch, before: u64, piece: Range<usize>) -> Result<()> {
        let mut pieces = vec![piece];
        while let Some(piece) = pieces.pop() {
            let rows = batch.slice(piece.start, piece.len());
            let Err(error) = self.try_copy(rows, before + piece.start as u64).await? else { continue };
            if piece.len() == 1 {
                self.replay()?.refuse(before + piece.start as u64, error);
                continue;
            }
            let place = error.frames().iter().find(|frame| frame.what == "row");
            let place = place.and_then(|frame| frame.which.parse::<usize>().ok()).unwrap_or(0);
            let middle = piece.start + piece.len() / 2;
            match piece.start + place {
                // The row that is named, alone between those before it and those after it.
                after if place > 0 && after <= piece.end => {
                    pieces.extend([after..piece.end, after - 1..after, piece.start..after - 1]);
                    pieces.retain(|piece| !piece.is_empty());
                }
                _ => pieces.extend([middle..piece.end, piece.start..middle]),
            }
        }
        Ok(())
    }

    /// Sends `rows`, before which there were `before` in the task. Where one is refused none is there, and the error is the
    /// inner one; its row counts from 1 in `rows`.
    async fn try_copy(&mut self, rows: RecordBatch, before: u64) -> Result<Result<()>> {
        let count = rows.num_rows() as u64;
        let rows = self.placed(rows, before)?;
        let encoder = Arc::clone(&self.encoder);
        let blocks = match cpu::run(move || encoder.encode(&rows, 0)).await? {
            Ok(blocks) => blocks,
            Err(error) if is_refusal(&error) => return Ok(Err(error)),
            Err(error) => return Err(error),
        };
        let bytes: usize = blocks.iter().map(Bytes::len).sum();
        let connection = self.connection()?;
        patience::run(connection, "SAVEPOINT etl_piece").await?;
        let mut copy = pin!(connection.copy_in::<_, Bytes>(self.statement.as_str()).await.map_err(errors::error)?);
        let (header, trailer) = (Encoder::header(self.detail.format), Encoder::trailer(self.detail.format));
        let whole = [Bytes::from_static(header)].into_iter().chain(blocks).chain([Bytes::from_static(trailer)]);
        for block in whole.filter(|block| !block.is_empty()) {
            // The reason of a failure comes with the end.
            if copy.feed(block).await.is_err() {
                break;
            }
        }
        match copy.as_mut().finish().await.map_err(|source| errors::copy_error(source, 0)) {
            Ok(taken) => {
                check_rows(taken, count)?;
                patience::run(connection, "RELEASE SAVEPOINT etl_piece").await?;
                self.bytes += bytes as u64;
                Ok(Ok(()))
            }
            Err(error) if is_refusal(&error) => {
                patience::run(connection, "ROLLBACK TO SAVEPOINT etl_piece; RELEASE SAVEPOINT etl_piece").await?;
                Ok(Err(error))
            }
            Err(error) => Err(error),
        }
    }

    /// `batch`, before which there were `before` rows, with the place of each row beside it where the stage has that.
    pub(super) fn placed(&self, batch: RecordBatch, before: u64) -> Result<RecordBatch> {
        let Some(part) = self.part else { return Ok(batch) };
        let rows = batch.num_rows();
        let (schema, mut columns, _) = batch.into_parts();
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(PART, DataType::Int32, false)));
        fields.push(Arc::new(Field::new(ROW, DataType::Int64, false)));
        let first = before as i64;
        columns.push(Arc::new(Int32Array::from(vec![part; rows])) as ArrayRef);
        columns.push(Arc::new(Int64Array::from_iter_values(first..first + rows as i64)));
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    fn replay(&mut self) -> Result<&mut Replay> {
        self.replay.as_mut().ok_or_else(ended)
    }
}

/// The columns of a stage that say where a row comes from.
pub(super) fn places() -> [Column; 2] {
    [(PART, Layout::Int4), (ROW, Layout::Int8)].map(|(name, layout)| Column {
        name: name.to_owned(),
        layout,
        wire: false,
        check: Check::None,
    })
}

/// Whether a row was refused, by the server or because the target cannot hold it as it is.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Value | ErrorKind::Constraint)
}
