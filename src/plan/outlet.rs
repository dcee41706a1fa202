//! One target of a task at work: its casts, its writer, and where its rows come from.
//!
//! A task has one for each target. They get the same batches, whose arrays are shared: what has the target's type already is
//! not copied.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::future::join;

use crate::attempt::Attempt;
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::align::{Aligner, Misfit, Unaligned};
use crate::flow::reject::Places;
use crate::plan::context::Ends;
use crate::plan::settle::{Pending, Unsettled};
use crate::plan::trail::{Origin, Written};
use crate::plan::write::WriteTarget;
use crate::proof::{ColumnProof, Prover, Verify, total};
use crate::reject::Refusals;
use crate::sink::{Receipt, Writer};

/// Bytes of frames that are looked at together: to wake the processor pool for each would cost half as much again.
const PROVED_BYTES: usize = 1 << 20;

/// One target of one attempt of a task.
pub(super) struct Outlet<'a> {
    target: &'a WriteTarget,
    writer: Box<dyn Writer>,
    /// None where frames pass as they are.
    aligner: Option<Arc<Aligner>>,
    written: Written,
    rows: u64,
    /// Rows that did not fit this target, or that it refused.
    refused: u64,
    /// Those that it refused.
    lost: u64,
    /// What the target may still refuse, where such rows are left out.
    unsettled: Option<Unsettled>,
    proof: Option<Proof>,
}

/// What the receipt will say of the columns, and who finds it on other threads.
struct Proof {
    prover: Arc<Prover>,
    columns: Vec<ColumnProof>,
    /// Those that were not looked at yet, and how many rows each has.
    frames: Vec<(Bytes, u64)>,
}

impl Proof {
    /// Adds a frame, and gives those that are now to be looked at: none before they are many bytes.
    fn gathered(&mut self, bytes: Bytes, rows: u64) -> Vec<(Bytes, u64)> {
        self.frames.push((bytes, rows));
        let gathered: usize = self.frames.iter().map(|(bytes, _)| bytes.len()).sum();
        if gathered < PROVED_BYTES { Vec::new() } else { std::mem::take(&mut self.frames) }
    }
}

/// What of a batch goes to one target.
pub(super) struct Fitting {
    rows: RecordBatch,
    origin: Option<Origin>,
    /// The rows that do not, ascending.
    pub(super) misfits: Vec<Misfit>,
}

impl Fitting {
    /// How many rows go there.
    pub(super) fn count(&self) -> u64 {
        self.rows.num_rows() as u64
    }
}

impl<'a> Outlet<'a> {
    /// Opens the writer of `attempt`, whose receipt carries as much proof as `verify` says.
    pub(super) async fn open(target: &'a WriteTarget, attempt: &Attempt, ends: &Ends, verify: Verify) -> Result<Self> {
        let sink = ends.sink(&target.endpoint)?;
        let writer = sink.writer(&target.agreement, attempt).await.map_err(|error| of_target(target, error))?;
        // Of rows that are left out after they were written, too, the place must be known.
        let left_out = target.agreement.refusals == Refusals::LeftOut;
        let written = if left_out { Written::complete() } else { Written::default() };
        let proof = || {
            let prover = sink.prover(&target.agreement).map_err(|error| of_target(target, error))?;
            let columns = vec![ColumnProof::default(); target.agreement.target.fields().len()];
            Ok::<_, Error>(Proof { prover: Arc::new(prover), columns, frames: Vec::new() })
        };
        Ok(Self {
            target,
            writer,
            aligner: None,
            written,
            rows: 0,
            refused: 0,
            lost: 0,
            unsettled: None,
            proof: (verify >= Verify::Checksum).then(proof).transpose()?,
        })
    }

    /// Plans the casts of batches with the columns of `incoming`.
    pub(super) fn expect(&mut self, incoming: &SchemaRef) -> Result<()> {
        let agreement = &self.target.agreement;
        let aligner = Aligner::new(incoming, &agreement.target, &agreement.columns);
        self.aligner = Some(Arc::new(aligner.map_err(|error| self.of_target(error))?));
        self.unsettled = (agreement.refusals == Refusals::LeftOut).then(Unsettled::default);
        Ok(())
    }

    fn aligner(&self) -> Result<Arc<Aligner>> {
        let planned = self.aligner.as_ref().map(Arc::clone);
        planned.ok_or_else(|| Error::new(ErrorKind::Internal, "the casts of this target were not planned"))
    }

    /// `batch` in the types of the target.
    pub(super) async fn align(&mut self, batch: &RecordBatch, origin: Option<&Origin>) -> Result<Fitting> {
        let (casts, batch) = (self.aligner()?, batch.clone());
        let aligned = cpu::run(move || casts.align(&batch)).await?;
        let rows = aligned.map_err(|unaligned| self.of_target(located(unaligned, origin, self.rows)))?;
        Ok(Fitting { rows, origin: origin.cloned(), misfits: Vec::new() })
    }

    /// The rows of `batch` that fit, in the types of the target, and which do not.
    pub(super) async fn sift(&mut self, batch: &RecordBatch, origin: Option<&Origin>) -> Result<Fitting> {
        let (casts, batch) = (self.aligner()?, batch.clone());
        let sifted = cpu::run(move || casts.sift(&batch)).await?.map_err(|error| self.of_target(error))?;
        self.refused += sifted.misfits.len() as u64;
        let origin = origin.map(|origin| origin.clone().filtered(sifted.kept));
        Ok(Fitting { rows: sifted.fitting, origin, misfits: sifted.misfits })
    }

    /// Hands the next batch to the writer.
    pub(super) async fn write(&mut self, Fitting { rows, origin, .. }: Fitting) -> Result<()> {
        let count = rows.num_rows() as u64;
        if count == 0 {
            return Ok(());
        }
        // Rows that may still be refused are summed up when they are not.
        let proof = match &mut self.unsettled {
            Some(unsettled) => {
                unsettled.add(&rows, origin.as_ref());
                None
            }
            None => self.proof.as_mut(),
        };
        self.written.add(count, origin);
        let sent = rows.clone();
        let proving = prove(proof, move |prover| prover.of(&sent));
        // The processor is at work on them while they are sent.
        let (proved, written) = join(proving, self.writer.write(rows)).await;
        proved.map_err(|error| self.of_target(error))?;
        written.map_err(|error| self.of_row(error))?;
        self.rows += count;
        Ok(())
    }

    /// The batches of which the target has refused rows since it was asked the last time.
    pub(super) async fn settle(&mut self) -> Result<Vec<Pending>> {
        let Some(unsettled) = &mut self.unsettled else { return Ok(Vec::new()) };
        let mut settled = unsettled.settle(self.writer.settled())?;
        for pending in &settled {
            self.refused += pending.refused.len() as u64;
            self.lost += pending.refused.len() as u64;
            let taken = pending.taken()?;
            let proved = prove(self.proof.as_mut(), move |prover| prover.of(&taken)).await;
            proved.map_err(|error| of_target(self.target, error))?;
        }
        settled.retain(|pending| !pending.refused.is_empty());
        Ok(settled)
    }

    /// What names the places of the rows of its attempt, where it may be asked later.
    pub(super) fn into_places(self) -> Option<Places> {
        self.written.into_places()
    }

    /// Hands the next frame to the writer.
    pub(super) async fn write_raw(&mut self, bytes: Bytes, count: u64, origin: Option<Origin>) -> Result<()> {
        self.written.add(count, origin);
        let frames = self.proof.as_mut().map(|proof| proof.gathered(bytes.clone(), count)).unwrap_or_default();
        let proving = prove_frames(self.proof.as_mut(), frames);
        let (proved, written) = join(proving, self.writer.write_raw(bytes, count)).await;
        proved.map_err(|error| self.of_target(error))?;
        written.map_err(|error| self.of_row(error))?;
        self.rows += count;
        Ok(())
    }

    /// Makes all of it durable. Beside the receipt, the batches of which rows were refused at last.
    pub(super) async fn flush(&mut self) -> Result<(Receipt, Vec<Pending>)> {
        let frames = self.proof.as_mut().map(|proof| std::mem::take(&mut proof.frames)).unwrap_or_default();
        let proved = prove_frames(self.proof.as_mut(), frames).await;
        proved.map_err(|error| self.of_target(error))?;
        let receipt = self.writer.flush(&self.target.token).await.map_err(|error| self.of_row(error))?;
        let settled = self.settle().await?;
        let rows = self.rows - self.lost;
        if receipt.rows != rows {
            let message = format!("the target counted {} rows of {rows} that were sent", receipt.rows);
            return Err(self.of_target(Error::new(ErrorKind::Internal, message)));
        }
        let columns = self.proof.take().map(|proof| proof.columns);
        Ok((Receipt { columns, rejected: self.refused, ..receipt }, settled))
    }

    /// `error` of the writer, which counts the rows of the task.
    fn of_row(&self, error: Error) -> Error {
        self.of_target(self.written.locate(error))
    }

    fn of_target(&self, error: Error) -> Error {
        of_target(self.target, error)
    }
}

/// Adds to `proof`, where there is one, what `proofs` finds on the processor pool.
async fn prove(
    proof: Option<&mut Proof>,
    proofs: impl FnOnce(&Prover) -> Result<Vec<ColumnProof>> + Send + 'static,
) -> Result<()> {
    let Some(proof) = proof else { return Ok(()) };
    let prover = Arc::clone(&proof.prover);
    let more = cpu::run(move || proofs(&prover)).await??;
    proof.columns = total([Some(&proof.columns), Some(&more)]).unwrap_or_default();
    Ok(())
}

/// The same of `frames`, all of them one after the other.
async fn prove_frames(proof: Option<&mut Proof>, frames: Vec<(Bytes, u64)>) -> Result<()> {
    if frames.is_empty() {
        return Ok(());
    }
    let proofs = move |prover: &Prover| -> Result<Vec<ColumnProof>> {
        let proofs: Vec<_> = frames.iter().map(|(bytes, rows)| prover.of_raw(bytes, *rows)).collect::<Result<_>>()?;
        Ok(total(proofs.iter().map(Some)).unwrap_or_default())
    };
    prove(proof, proofs).await
}

fn of_target(target: &WriteTarget, error: Error) -> Error {
    error.at("target", &target.agreement.label)
}

/// The error of a batch before which `rows` rows of the task were written.
fn located(unaligned: Unaligned, origin: Option<&Origin>, rows: u64) -> Error {
    let misfits = match unaligned {
        Unaligned::Misfits(misfits) => misfits,
        Unaligned::Error(error) => return error,
    };
    match (misfits.first(), origin) {
        (Some(first), Some(origin)) => {
            let error = misfits.into_error(0).map_frames(|frames| frames.retain(|frame| frame.what != "row"));
            origin.locate(error, first.row as u64)
        }
        // People count rows from 1.
        _ => misfits.into_error(rows + 1),
    }
}
