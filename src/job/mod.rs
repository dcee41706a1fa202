//! What is to be moved: plain data, free of any dialect, made by the command line or a job file.

pub mod column;
pub mod dialect;
pub mod errors;
pub mod locator;
mod log;
pub mod native;
pub mod overrides;
pub mod step;
pub mod syntax;
pub mod tree;
pub mod vars;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::object::{ObjectRef, SnapshotId};
use crate::proof::Verify;
use crate::shape::Cut;
use crate::sink::{SchemaPolicy, Visible, WriteMode};

pub use column::{SourceColumn, TextKind};
pub use errors::{ErrorPolicy, Judged, MaxErrors, OnError, Others, RejectsFormat};
pub use log::{LogFile, LogLevel};
pub use step::TransformStep;

/// One transfer from one place to another, or to several.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Where rows come from.
    pub source: Place,
    /// Where more of them come from: with those of `source` they are read as one.
    #[serde(default)]
    pub union: Vec<Place>,
    /// Which of their columns are the same.
    #[serde(default)]
    pub union_by: UnionBy,
    /// The point in time of the source, where somebody else holds it open.
    #[serde(default)]
    pub snapshot: Option<SnapshotId>,
    /// By what the source is cut. By key, an interrupted run can be completed at another point in time.
    #[serde(default)]
    pub cut: Cut,
    /// Where rows go.
    pub target: Place,
    /// Where they go besides: each gets all rows, in the same mode, with a commit of its own.
    #[serde(default)]
    pub also: Vec<Place>,
    /// What happens to them on the way.
    #[serde(default)]
    pub transform: Transform,
    /// What happens to what the target holds.
    #[serde(default)]
    pub mode: WriteMode,
    /// Where a column says which rows are new: only those are copied.
    #[serde(default)]
    pub incremental: Option<Incremental>,
    /// Whether a sync may delete all rows of the target because none came.
    #[serde(default = "off")]
    pub empty_sync: Toggle,
    /// What happens when columns differ.
    #[serde(default)]
    pub schema: SchemaPolicy,
    /// Columns, as they are sent, of which values that do not fit are rounded or cut.
    #[serde(default)]
    pub allow_lossy: BTreeSet<String>,
    /// What becomes of the part of a time that is below the unit of the target's column.
    #[serde(default, skip_serializing_if = "is_default")]
    pub finer_times: FinerTimes,
    /// When rows are to be seen.
    #[serde(default)]
    pub visible: Visible,
    /// Whether what a run staged stays when it fails or is stopped, so that it can be gone on with.
    #[serde(default = "off")]
    pub keep_stage: Toggle,
    /// How much proof is wanted that the target holds what it was sent.
    #[serde(default)]
    pub verify: Verify,
    /// SQL of the user on the target before it is looked at.
    #[serde(default)]
    pub pre_sql: Vec<String>,
    /// SQL of the user on the target after success.
    #[serde(default)]
    pub post_sql: Vec<String>,
    /// What happens to rows that are refused.
    #[serde(default)]
    pub errors: ErrorPolicy,
    /// Speed and size.
    #[serde(default)]
    pub limits: Limits,
}

const fn off() -> Toggle {
    Toggle::Off
}

/// Records of runs say what is as always no more than they did before it could be otherwise.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Job {
    /// Copies `source` to `target` as it is: a new table or file, all columns, no limits.
    pub fn new(source: Place, target: Place) -> Self {
        Self {
            source,
            union: Vec::new(),
            union_by: UnionBy::Name,
            snapshot: None,
            cut: Cut::default(),
            target,
            also: Vec::new(),
            transform: Transform::default(),
            mode: WriteMode::Create,
            incremental: None,
            empty_sync: Toggle::Off,
            schema: SchemaPolicy::Strict,
            allow_lossy: BTreeSet::new(),
            finer_times: FinerTimes::Refused,
            visible: Visible::default(),
            keep_stage: Toggle::Off,
            verify: Verify::default(),
            pre_sql: Vec::new(),
            post_sql: Vec::new(),
            errors: ErrorPolicy::default(),
            limits: Limits::default(),
        }
    }

    /// All sources, in the order in which they are read.
    pub fn sources(&self) -> impl Iterator<Item = &Place> + Clone {
        std::iter::once(&self.source).chain(&self.union)
    }

    /// All targets. The place of one among them is the number of its sink.
    pub fn targets(&self) -> impl Iterator<Item = &Place> + Clone {
        std::iter::once(&self.target).chain(&self.also)
    }
}

/// What becomes of digits of a second, or of a time of day, for which the target's column has no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FinerTimes {
    /// Such a value is refused, unless its column may lose something.
    #[default]
    Refused,
    /// They are cut off.
    Cut,
}

/// Which columns of several sources are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnionBy {
    /// Those of the same name, in a type that holds the values of all.
    #[default]
    Name,
    /// Those at the same place, under the name that the first source has. Where no type holds the values of all, they become texts.
    Place,
}

/// What an incremental copy takes: the rows with a cursor above the position that the last one reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incremental {
    /// The source's column that grows.
    pub cursor: String,
    /// How far below the position it begins: a number, or a time such as `10m`. None begins at the position.
    pub lag: Option<String>,
    /// What becomes of rows without a cursor.
    #[serde(default)]
    pub null_cursor: NullCursor,
    /// Where it begins as long as no position is known: a value as text; of times also the seconds, milliseconds, microseconds or
    /// nanoseconds since 1970. None begins with the first row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// What becomes of rows with the highest cursor.
    #[serde(default, skip_serializing_if = "is_default")]
    pub highest: Highest,
}

impl Incremental {
    /// From the last position on, up to the highest value of `cursor`.
    pub fn by(cursor: impl Into<String>) -> Self {
        let (null_cursor, highest) = (NullCursor::Refuse, Highest::Copied);
        Self { cursor: cursor.into(), lag: None, null_cursor, start: None, highest }
    }
}

/// What becomes of rows with the highest cursor of all. Others may come with the same value later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Highest {
    /// They are copied.
    #[default]
    Copied,
    /// They are left to the next copy, which begins with this value.
    Left,
}

impl Highest {
    /// What else may become of them.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Copied => Self::Left,
            Self::Left => Self::Copied,
        }
    }
}

/// What becomes of rows whose cursor is NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NullCursor {
    /// They end the copy before it begins.
    #[default]
    Refuse,
    /// They are left out.
    Skip,
    /// They are copied each time.
    Always,
    /// They are copied once, by the copy that has no position yet and no start.
    First,
}

/// An object at an endpoint. Its options may hold secrets: they are never printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Name of the connector.
    pub connector: String,
    /// Its options, with `url` for what stood before `#` in the locator.
    pub options: Json,
    /// Which object.
    pub object: ObjectRef,
}

impl Place {
    /// `object` at the endpoint that `connector` makes of `options`.
    pub fn new(connector: impl Into<String>, options: Json, object: ObjectRef) -> Self {
        Self { connector: connector.into(), options, object }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("connector", &self.connector)
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}

/// What happens to rows in flight, in this order: steps → columns → sql → trim → where → set → cast → rename → select and drop → names →
/// limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Transform {
    /// Functions of columns by their place, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<TransformStep>,
    /// By whose clock steps read and show moments, as `+08:00`; none is that of `DataX`, which is just this one. By the same clock,
    /// which may have a name here, instants and timestamps without a zone stand for each other, and texts that name no zone become
    /// instants; none keeps them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The columns that are taken of the source, in this order; empty takes all as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<SourceColumn>,
    /// What the SELECT calls the table of the source; none for `src`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// A SELECT over the table `src`.
    pub sql: Option<String>,
    /// Of which texts the blanks around them are left out; none leaves all as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trim: Option<Trim>,
    /// What empty texts of the source are; none leaves them what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<Empty>,
    /// Forms in Java's notation in which texts of the source may be dates that are none in the usual form. The first that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub date_formats: Vec<String>,
    /// Which texts of the source become integers; none for those that are written as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integers: Option<Integers>,
    /// Keep rows for which this is true.
    pub filter: Option<String>,
    /// Columns that get an expression's value: name and expression. A new name adds a column.
    pub set: Vec<(String, String)>,
    /// Columns that get another type: name and type. In text files it sets how the text is parsed.
    pub cast: Vec<(String, String)>,
    /// Old and new name.
    pub rename: Vec<(String, String)>,
    /// Columns to keep, in this order; empty keeps all.
    pub select: Vec<String>,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// The names of all columns, by their place; empty leaves them as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// No more rows than this.
    pub limit: Option<u64>,
    /// What the source may do by itself.
    pub pushdown: Toggle,
}

/// Of which texts the blanks around them are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trim {
    /// Of those in columns that pad them to one length.
    Padded,
}

/// Which texts become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Integers {
    /// Those of all numbers that have the value of one, as `12.0` and `1e3`.
    ByValue,
}

/// What empty texts of the source are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Empty {
    /// NULL where they become numbers.
    NullForNumbers,
    /// NULL where they become anything but text or bytes.
    NullButForText,
}

/// On or off. Job files say true and false, records of runs `on` and `off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Said")]
pub enum Toggle {
    /// It is done.
    #[default]
    On,
    /// It is not done.
    Off,
}

/// What may be said for a [`Toggle`].
#[derive(Deserialize)]
#[serde(untagged, expecting = "true or false")]
enum Said {
    Flag(bool),
    Word(Word),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Word {
    On,
    Off,
}

impl From<Said> for Toggle {
    fn from(said: Said) -> Self {
        match said {
            Said::Flag(true) | Said::Word(Word::On) => Self::On,
            Said::Flag(false) | Said::Word(Word::Off) => Self::Off,
        }
    }
}

/// Limits of a job. What is absent is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Channels, when no speed limit decides: so many splits are read at once.
    pub jobs: Option<usize>,
    /// Writers that get all batches in turn, whichever split these are of; none gives each channel a writer of its own.
    pub writers: Option<usize>,
    /// Channels of a task group, which take their tasks from one queue.
    pub group_channels: Option<usize>,
    /// Threads for processor work.
    pub threads: Option<usize>,
    /// Memory for data in flight, in bytes.
    pub memory_bytes: Option<u64>,
    /// Further attempts of a task after a failure that may pass.
    pub retries: Option<u32>,
    /// The pause before the first of them.
    pub retry_first_milliseconds: Option<u64>,
    /// The longest pause before one.
    pub retry_max_milliseconds: Option<u64>,
    /// How the pauses grow.
    pub retry_growth: RetryGrowth,
    /// Failures that are longer ago do not count; none lets all of them count.
    pub retry_within_milliseconds: Option<u64>,
    /// How long a source may take until the first rows of a split come; none waits as long as it takes.
    pub answer_milliseconds: Option<u64>,
    /// Bytes of a split, about; none chooses them by the size of the source.
    pub split_bytes: Option<u64>,
    /// Where rows wait on disk for a slow target; none lets the source wait.
    #[serde(default)]
    pub buffer: Option<BufferLimit>,
    /// Speed.
    pub speed: Speed,
}

/// How the pauses between attempts grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetryGrowth {
    /// Each is twice as long as the one before it.
    #[default]
    Doubling,
    /// All are as long as the first.
    Constant,
}

/// A folder for rows that wait on disk, and how many bytes of it they may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BufferLimit {
    /// The folder.
    pub folder: String,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Limits of speed, for the job and for one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Speed {
    /// Bytes per second of all channels together.
    pub job_bytes: Option<u64>,
    /// Rows per second of all channels together.
    pub job_rows: Option<u64>,
    /// Bytes per second of one channel.
    pub channel_bytes: Option<u64>,
    /// Rows per second of one channel.
    pub channel_rows: Option<u64>,
}
