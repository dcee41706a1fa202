//! What is written: how rows land in a target, and how what was written becomes visible.

mod columns;

use std::fmt::Debug;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::attempt::{Attempt, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{ColumnProof, Prover, Verdict, Verify, sums};
use crate::reject::{Refusals, Refuse, Settled};
use crate::shape::{Encoding, TableShape};
use crate::wire;

pub use crate::merge::{Absent, Duplicates, KeyOf, Merge, Merged, Rest};
pub use columns::{ColumnFate, ColumnPlan, Form};

/// One target of a transfer.
///
/// Order of calls: agree, prepare, then many writers at once, verify, sift, then commit or abort. Nothing that a writer
/// wrote is visible before commit, unless the agreement says [`Publish::PerTask`].
#[async_trait]
pub trait Sink: Debug + Send + Sync {
    /// Says how `incoming` would land. Reads the target's catalog, changes nothing.
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement>;

    /// Runs the DDL that makes the stage. Idempotent on `token`.
    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()>;

    /// Opens the writer of one attempt of a task. At most as many are open at once as `agreement.writers` allows.
    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>>;

    /// What of `token`, whose process is gone, is still there. Ends what is left of that process, and holds what it finds: from then on
    /// neither that process, should it wake, nor a run that sweeps changes it. Its log has `logged`.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) where that process is seen to be at work.
    async fn progress(&self, _agreement: &Agreement, _token: &Token, _logged: &[Receipt]) -> Result<Progress> {
        Ok(Progress::Kept(Vec::new()))
    }

    /// Compares what `token` has staged with what `receipts` say, before anything of it is visible. Changes nothing.
    async fn verify(&self, _agreement: &Agreement, _token: &Token, _receipts: &[Receipt]) -> Result<Verdict> {
        Ok(Verdict::Unknown)
    }

    /// How [`Sink::verify`] compares sums over columns, and about what it costs, in one sentence; none when it cannot.
    fn checksum(&self, _agreement: &Agreement) -> Option<String> {
        None
    }

    /// Whom the locks of a write keep waiting, and how long, in one sentence for the plan; none where nobody waits.
    fn holds_up(&self, _agreement: &Agreement) -> Option<String> {
        None
    }

    /// What finds out what rows of `agreement.target` add to the columns of a receipt: sums and digests as [`Sink::verify`] finds
    /// them again. After [`Sink::takes`] also for raw bytes. Asked for once by each attempt of a task.
    fn prover(&self, _agreement: &Agreement) -> Result<Prover> {
        Ok(Prover::new(|batch| Ok(sums::of(batch))))
    }

    /// Hands the rows to `refuse` that the target will not have of what `token` has staged; the commit, which follows soon, then
    /// refuses none. Called once, after verify, where the agreement leaves refused rows out.
    async fn sift(&self, _: &Agreement, _token: &Token, _: &[Receipt], _refuse: &dyn Refuse) -> Result<()> {
        Ok(())
    }

    /// Makes exactly `receipts` visible, at once, but for rows that were sifted out. Idempotent on `token`.
    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()>;

    /// Sweeps what `token` staged and did not commit. Idempotent; after a commit it does nothing. Tasks may be begun anew all together:
    /// then the same token is prepared once more. What another process of the run holds it leaves alone, where that can be seen.
    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()>;

    /// What the target itself notes of the position of the incremental copy `stream`.
    async fn position(&self, _stream: &str) -> Result<Noted> {
        Ok(Noted::Nowhere)
    }

    /// What the commit of `token`, which this process made, did by key; none where nobody counted.
    fn merged(&self, _token: &Token) -> Option<Merged> {
        None
    }

    /// What the user should know of the commit of `token`, which this process made, one sentence each.
    fn notes(&self, _token: &Token) -> Vec<String> {
        Vec::new()
    }

    /// Whether [`Writer::write_raw`] takes bytes of `encoding` under this agreement, of which as much can be told as `verify` wants.
    fn takes(&self, _agreement: &Agreement, _encoding: &Encoding, _verify: Verify) -> bool {
        false
    }
}

/// The bulk path of one attempt of a task: COPY, bound inserts, an encoder. Dropping it unflushed discards its rows.
#[async_trait]
pub trait Writer: Send {
    /// Takes one batch of `agreement.target`. `Ok` means accepted for sending; awaiting it is the backpressure.
    async fn write(&mut self, batch: RecordBatch) -> Result<()>;

    /// Takes encoded bytes; only called after [`Sink::takes`].
    async fn write_raw(&mut self, _bytes: Bytes, _rows: u64) -> Result<()> {
        Err(Error::new(ErrorKind::Internal, "this writer takes no raw bytes"))
    }

    /// How far the target is; asked after writes and flush where refused rows are left out. The receipt does not count them.
    fn settled(&mut self) -> Settled {
        Settled { rows: u64::MAX, refused: Vec::new() }
    }

    /// Makes everything since the last flush durable (or held by the server), not yet visible. Once for a
    /// bounded task, once an epoch for a feed.
    async fn flush(&mut self, token: &Token) -> Result<Receipt>;
}

/// How the job wants to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteRequest {
    /// What happens to what is there.
    pub mode: WriteMode,
    /// What happens when the columns differ.
    pub schema: SchemaPolicy,
    /// Whether all rows come in one task. Then a sink may hold one transaction open.
    pub tasks: Tasks,
    /// When the user wants rows to be seen. What a sink cannot do it leaves undone; the agreement says so.
    pub visible: Visible,
    /// Bytes that one writer may hold beside the batch it was given.
    pub memory_bytes: u64,
    /// The position that the commit moves, in a target that notes positions.
    pub advance: Option<Advance>,
    /// Digest of what is copied. A target that several machines reach lets one run alone write for it at a time; none lets all.
    pub job: Option<String>,
    /// How much proof [`Sink::verify`] will be asked for. With sums a sink that adds to rows has to know those that were there.
    #[serde(default)]
    pub verify: Verify,
    /// What becomes of rows that the target refuses.
    pub refusals: Refusals,
}

impl WriteRequest {
    /// Writes in `mode`, by as many writers as there are channels, where columns must be equal.
    pub fn new(mode: WriteMode) -> Self {
        Self {
            mode,
            schema: SchemaPolicy::Strict,
            tasks: Tasks::Many,
            visible: Visible::AtOnce,
            memory_bytes: 64 << 20,
            advance: None,
            job: None,
            verify: Verify::default(),
            refusals: Refusals::Fail,
        }
    }
}

/// The position of an incremental copy, moved by the commit that brings its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Advance {
    /// Which copy it is: a digest over source, target, cursor and the choice of rows.
    pub stream: String,
    /// What the target noted when the copy was planned; where that has changed, another run was faster.
    pub from: Noted,
    /// What it notes from now on.
    pub to: String,
}

/// What a target notes of the position of an incremental copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Noted {
    /// It notes no positions.
    Nowhere,
    /// The target is missing, and with it all rows that were copied before: what is noted of them is void.
    NoTarget,
    /// It knows none.
    Nothing,
    /// This one.
    At(String),
}

/// The error of a commit whose position another run has moved.
pub fn moved_meanwhile() -> Error {
    Error::new(ErrorKind::Transient, "another run has moved the position of this incremental copy meanwhile")
        .with_hint("run it again: it then goes on from there")
}

/// What happens to what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WriteMode {
    /// Make it; refuse a table with rows or an existing file.
    #[default]
    Create,
    /// Add to it; make it when it is missing.
    Append,
    /// Empty it and fill it, in one step for everybody else.
    Truncate,
    /// Build it beside, swap at the end.
    Replace,
    /// Insert or update by key.
    Upsert(Merge),
    /// Make the target equal by key: insert, update, and delete what did not come.
    Sync(Merge),
    /// Apply a change feed by key.
    Changes {
        /// The columns of the key.
        key: Vec<String>,
    },
}

impl WriteMode {
    /// How rows find those that they replace, where they do so by key.
    pub fn merge(&self) -> Option<&Merge> {
        match self {
            Self::Upsert(merge) | Self::Sync(merge) => Some(merge),
            _ => None,
        }
    }

    /// What becomes of rows of the target that do not come to be merged.
    pub fn absent(&self) -> Absent {
        if matches!(self, Self::Sync(_)) { Absent::Deleted } else { Absent::Kept }
    }
}

/// What happens when the columns of source and target differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SchemaPolicy {
    /// A difference is refused.
    #[default]
    Strict,
    /// Every column that comes has its place; those of the target into which none comes get their default.
    Partial,
    /// What both have is copied.
    Ignore,
    /// Each column that comes goes into the one at its place in a table, whatever their names; as many come as there are. Columns of
    /// files find each other by name, as with `Strict`.
    ByPlace,
}

/// How many tasks a transfer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tasks {
    /// All rows come through one writer.
    One,
    /// Several writers.
    Many,
}

/// When the user wants rows to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Visible {
    /// All at once, when all are there.
    #[default]
    AtOnce,
    /// When all are there, task after task: each waits in a transaction that the server holds.
    Prepared,
    /// Those of each task when it ends. They stay when the run fails.
    PerTask,
}

/// How rows will land: what the plan prints, what the engine casts to, what writers and commit need.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// The target's name, quoted as its own SQL or shell would have it; no secrets.
    pub label: String,
    /// What [`Writer::write`] takes. The engine casts to exactly this.
    #[serde(with = "wire::schema")]
    pub target: SchemaRef,
    /// One entry per incoming column, in incoming order, then the target's columns that nothing fills.
    pub columns: Vec<ColumnPlan>,
    /// The statements that will run, for the plan.
    pub ddl: Vec<String>,
    /// How many writers may be open.
    pub writers: Writers,
    /// When rows become visible.
    pub publish: Publish,
    /// What is promised.
    pub guarantee: Guarantee,
    /// What of it another process finds when this one is gone.
    #[serde(default)]
    pub kept: Kept,
    /// Whether [`Sink::progress`] still knows its commit when [`Endpoint::finish`](crate::endpoint::Endpoint::finish) is done.
    #[serde(default)]
    pub marked: bool,
    /// What becomes of rows that the target refuses; a sink that cannot leave them out fails.
    #[serde(default)]
    pub refusals: Refusals,
    /// Bytes that one task should carry, where small tasks cost (one part file each).
    pub task_bytes: Option<u64>,
    /// What the user should know, one sentence each, for the plan.
    pub notes: Vec<String>,
    /// Private to the connector.
    pub detail: Json,
}

impl Agreement {
    /// Whether the rows of a task that has ended are seen and noted as such: they are never swept, and another process
    /// goes on behind them.
    pub fn tasks_stay(&self) -> bool {
        self.publish == Publish::PerTask && self.kept == Kept::Tasks
    }

    /// Whether what an attempt wrote is seen at once, and stays.
    pub fn is_pipe(&self) -> bool {
        self.publish == Publish::PerTask && !self.tasks_stay()
    }
}

/// How many writers may be open at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Writers {
    /// As many as there are channels.
    Any,
    /// One, which gets all rows in the order of the source.
    One,
    /// Several, each of which gets all rows of its keys.
    ByKey(Vec<String>),
}

/// When rows become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Publish {
    /// One open transaction, or none of the rows: nothing is kept when this process dies.
    Held,
    /// Staged, then published in one step.
    AtOnce,
    /// Each task waits in a transaction that the server holds, also when this process dies. When all are there it is decided in
    /// one step that they count, and then they are committed one after the other.
    Prepared,
    /// Task by task, as the user asked.
    PerTask,
}

/// What of an interrupted run another process finds in the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kept {
    /// Every task that had its receipt.
    Tasks,
    /// Only whether it was committed.
    Commit,
    /// Nothing.
    #[default]
    Nothing,
}

/// Answer of [`Sink::progress`].
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// All of it is visible.
    Committed,
    /// What these receipts say is still there, staged.
    Kept(Vec<Receipt>),
}

/// What is promised for a run that ended, and for one that was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Guarantee {
    /// A repeated attempt may double rows.
    AtLeastOnce,
    /// A repeated attempt overwrites by key.
    IdempotentByKey,
    /// Every row once.
    ExactlyOnce,
}

/// What one attempt of a task wrote. The commit takes exactly one per task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Which sink of the transfer.
    pub sink: u32,
    /// Which task.
    pub task: u32,
    /// Which attempt.
    pub attempt: String,
    /// The splits it holds, ascending.
    pub splits: Vec<u32>,
    /// Rows written.
    pub rows: u64,
    /// Bytes sent or written, encoded.
    pub bytes: u64,
    /// Rows refused.
    pub rejected: u64,
    /// What was sent of each column; none where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<ColumnProof>>,
    /// Where a feed may go on; none for a bounded task.
    pub position: Option<Json>,
    /// Private to the connector: a part file, a transaction.
    pub detail: Json,
}

impl Receipt {
    /// A receipt of `attempt`.
    pub fn of(attempt: &Attempt, rows: u64, bytes: u64, detail: Json) -> Self {
        Self {
            sink: attempt.token.sink,
            task: attempt.task,
            attempt: attempt.id.clone(),
            splits: attempt.splits.clone(),
            rows,
            bytes,
            rejected: 0,
            columns: None,
            position: None,
            detail,
        }
    }
}
