//! What two sides that are sorted by key have of each other: a merge that passes each row once.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt as _;
use tokio::sync::mpsc;

use super::Side;
use super::encode::{Codec, Decoded, parts};
use crate::bridge::cpu;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::plan::error::from_datafusion;

/// Rows that are decoded at once, and their bytes.
const GATHERED_ROWS: usize = 1024;
const GATHERED_BYTES: usize = 1 << 20;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Rows of each side.
    pub rows: [u64; 2],
    /// Rows that both sides have alike.
    pub equal: u64,
    /// Rows whose key only one side has.
    pub only: [u64; 2],
    /// Keys that both sides have with other values.
    pub different: u64,
    /// Keys that stand more than once on a side. Their rows are matched with none.
    pub duplicate_keys: [u64; 2],
    /// Rows of keys that stand more than once on any side.
    pub duplicate_rows: [u64; 2],
    /// Per value the number of keys with another one.
    pub columns: Vec<u64>,
    /// The first differences by key.
    pub shown: Vec<Difference>,
}

/// What is wrong with one key.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Its bytes.
    pub key: Vec<u8>,
    /// The row of each side; of several the first.
    pub rows: [Option<Vec<u8>>; 2],
    /// How many rows each side has.
    pub counts: [u64; 2],
}

/// What is done with differences beside counting them.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// How many are kept to be shown.
    pub shown: usize,
    /// Where rows of A go that B lacks or has otherwise.
    pub missing: Option<mpsc::Sender<RecordBatch>>,
}

impl Findings {
    /// Adds what was found among other keys; of all differences the first `shown` are kept.
    pub fn merge(&mut self, other: Self, shown: usize) {
        for side in [0, 1] {
            self.rows[side] += other.rows[side];
            self.only[side] += other.only[side];
            self.duplicate_keys[side] += other.duplicate_keys[side];
            self.duplicate_rows[side] += other.duplicate_rows[side];
        }
        self.equal += other.equal;
        self.different += other.different;
        self.add_columns(&other.columns);
        self.shown.extend(other.shown);
        self.shown.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        self.shown.truncate(shown);
    }

    fn add_columns(&mut self, more: &[u64]) {
        self.columns.resize(self.columns.len().max(more.len()), 0);
        self.columns.iter_mut().zip(more).for_each(|(count, more)| *count += more);
    }
}

/// Merges one partition of A with the same of B.
pub async fn merge([a, b]: [SendableRecordBatchStream; 2], codec: Arc<Codec>, wishes: Wishes) -> Result<Findings> {
    let (mut a, mut b) = (Cursor::new(Side::A, a), Cursor::new(Side::B, b));
    let mut merging =
        Merging { codec, wishes, findings: Findings::default(), pairs: Vec::new(), missing: Vec::new(), bytes: 0 };
    let (mut left, mut right) = (Run::default(), Run::default());
    // Both at once: each sorts all its rows before it gives the first.
    tokio::try_join!(a.next(&mut left), b.next(&mut right))?;
    loop {
        let order = match (left.rows, right.rows) {
            (0, 0) => break,
            (_, 0) => Ordering::Less,
            (0, _) => Ordering::Greater,
            _ => left.key.cmp(&right.key),
        };
        let (in_a, in_b) = (order.is_le(), order.is_ge());
        merging.key([in_a.then_some(&left), in_b.then_some(&right)]);
        if merging.bytes >= GATHERED_BYTES || merging.pairs.len().max(merging.missing.len()) >= GATHERED_ROWS {
            merging.settle().await?;
        }
        if in_a {
            a.next(&mut left).await?;
        }
        if in_b {
            b.next(&mut right).await?;
        }
    }
    merging.settle().await?;
    Ok(merging.findings)
}

/// All rows of one key on one side.
#[derive(Debug, Default)]
struct Run {
    key: Vec<u8>,
    /// The first of them.
    row: Vec<u8>,
    /// How many; 0 at the end.
    rows: u64,
}

/// One side as a sequence of runs.
struct Cursor {
    side: Side,
    batches: Option<SendableRecordBatchStream>,
    batch: RecordBatch,
    row: usize,
}

impl Cursor {
    fn new(side: Side, batches: SendableRecordBatchStream) -> Self {
        let batch = RecordBatch::new_empty(batches.schema());
        Self { side, batches: Some(batches), batch, row: 0 }
    }

    /// Puts the next run into `run`, whose buffers are used again.
    async fn next(&mut self, run: &mut Run) -> Result<()> {
        run.rows = 0;
        loop {
            let (keys, rows) = parts(&self.batch);
            while self.row < keys.len() {
                let key = keys.value(self.row);
                if run.rows == 0 {
                    run.key.clear();
                    run.key.extend_from_slice(key);
                    run.row.clear();
                    run.row.extend_from_slice(rows.value(self.row));
                } else if key != run.key {
                    return Ok(());
                }
                run.rows += 1;
                self.row += 1;
            }
            let Some(batches) = &mut self.batches else { return Ok(()) };
            match batches.try_next().await.map_err(from_datafusion).at("side", || self.side)? {
                Some(batch) => (self.batch, self.row) = (batch, 0),
                None => self.batches = None,
            }
        }
    }
}

/// What was found so far, and what waits to be decoded.
struct Merging {
    codec: Arc<Codec>,
    wishes: Wishes,
    findings: Findings,
    /// Rows of A and of B that differ.
    pairs: Vec<[Vec<u8>; 2]>,
    /// Keys and rows of A that B lacks or has otherwise.
    missing: Vec<[Vec<u8>; 2]>,
    /// Bytes of both.
    bytes: usize,
}

impl Merging {
    /// Judges one key.
    fn key(&mut self, runs: [Option<&Run>; 2]) {
        let counts = runs.map(|run| run.map_or(0, |run| run.rows));
        let findings = &mut self.findings;
        for side in [0, 1] {
            findings.rows[side] += counts[side];
        }
        match (runs, counts) {
            ([Some(a), Some(b)], [1, 1]) if a.row == b.row => {
                findings.equal += 1;
                return;
            }
            ([Some(a), Some(b)], [1, 1]) => {
                findings.different += 1;
                self.pairs.push([a.row.clone(), b.row.clone()]);
                self.bytes += a.row.len() + b.row.len();
                self.keep(a);
            }
            ([Some(a), None], [1, 0]) => {
                findings.only[0] += 1;
                self.keep(a);
            }
            ([None, Some(_)], [0, 1]) => findings.only[1] += 1,
            _ => {
                for side in [0, 1] {
                    findings.duplicate_keys[side] += u64::from(counts[side] > 1);
                    findings.duplicate_rows[side] += counts[side];
                }
            }
        }
        if self.findings.shown.len() < self.wishes.shown {
            let key = runs.into_iter().flatten().next().map_or_else(Vec::new, |run| run.key.clone());
            self.findings.shown.push(Difference { key, rows: runs.map(|run| run.map(|run| run.row.clone())), counts });
        }
    }

    /// Keeps a row of A to be sent again, if that is wanted.
    fn keep(&mut self, run: &Run) {
        if self.wishes.missing.is_some() {
            self.missing.push([run.key.clone(), run.row.clone()]);
            self.bytes += run.key.len() + run.row.len();
        }
    }

    /// Counts the columns that differ in the rows that wait, and hands those on that are to be sent again.
    async fn settle(&mut self) -> Result<()> {
        let (pairs, missing) = (std::mem::take(&mut self.pairs), std::mem::take(&mut self.missing));
        self.bytes = 0;
        let codec = Arc::clone(&self.codec);
        let (columns, batch) = cpu::run(move || {
            let columns = codec.differing(&pairs)?;
            Ok::<_, Error>((columns, if missing.is_empty() { None } else { Some(again(&codec, &missing)?) }))
        })
        .await??;
        self.findings.add_columns(&columns);
        if let (Some(outlet), Some(batch)) = (&self.wishes.missing, batch) {
            let gone = |_| Error::new(ErrorKind::Cancelled, "nobody takes the rows that are to be sent again");
            outlet.send(batch).await.map_err(gone)?;
        }
        Ok(())
    }
}

/// Rows as a copy from A to B would send them.
///
/// # Errors
/// [`Value`](ErrorKind::Value) for a row with a value that does not fit.
fn again(codec: &Codec, rows: &[[Vec<u8>; 2]]) -> Result<RecordBatch> {
    let part = |at: usize| rows.iter().map(|row| row[at].as_slice()).collect::<Vec<_>>();
    let Decoded { batch, misfits } = codec.decode(&part(0), &part(1))?;
    for (field, texts) in batch.schema_ref().fields().iter().zip(misfits) {
        if texts.is_some_and(|texts| texts.null_count() < texts.len()) {
            let message = "a value does not fit the type it is compared as, so its row cannot be sent";
            return Err(Error::new(ErrorKind::Value, message)
                .with_hint("copy such rows by themselves, or leave them out with --where")
                .at("column", field.name())
                .at("side", Side::A));
        }
    }
    Ok(batch)
}
