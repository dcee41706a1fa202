//! Where and how rows land: the detail of an agreement. Plain data.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use super::chunks::Chunks;
use super::input::Stamp;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::charset::Charset;
use crate::formats::compress::Compression;
use crate::formats::csv::LineEnd;
use crate::formats::extension::Format;
use crate::formats::{avro, ipc, parquet, workbook};
use crate::sink::Agreement;
use crate::wire;

/// Where and how the rows land.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Landing {
    /// Names this agreement among all: its own marker is told from those of others.
    pub(super) id: String,
    pub(super) shape: Shape,
    pub(super) mode: Mode,
    pub(super) format: Format,
    pub(super) encoding: Encoding,
    /// What the names of part files begin with.
    #[serde(default)]
    pub(super) prefix: Option<String>,
    /// Bytes of a part file in a folder.
    pub(super) file_bytes: u64,
    /// Arrow bytes that are gathered before they are encoded together.
    pub(super) gather_bytes: usize,
    /// The columns of a file, which may be more than those that come; the rest is NULL.
    #[serde(with = "wire::schema")]
    pub(super) schema: SchemaRef,
    /// The Parquet or Avro file that rows are appended to: parts are laid out as it is.
    pub(super) layout_of: Option<PathBuf>,
    /// The one file that rows are appended to, as it stood; none where there was none.
    pub(super) old_file: Option<Stamp>,
    /// Files of a folder that go when the new ones are there.
    pub(super) old_files: Vec<PathBuf>,
    /// Which job it is: one run of it alone writes at a time.
    #[serde(default)]
    pub(super) job: Option<String>,
}

/// What the target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Shape {
    /// One file, joined from the parts.
    Single(PathBuf),
    /// A folder that is not there yet.
    NewFolder(PathBuf),
    /// A folder that is there.
    Folder(PathBuf),
    /// A pipe; none for standard output.
    Pipe(Option<PathBuf>),
}

/// What happens to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Mode {
    Create,
    Replace,
    Append,
}

/// How the bytes of a file are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Encoding {
    /// CSV, TSV, JSON lines, as a whole compressed.
    Records {
        compression: Compression,
        level: Option<i32>,
        charset: Charset,
        /// That of CSV.
        #[serde(default)]
        line_end: LineEnd,
    },
    Parquet(parquet::Settings),
    Avro(avro::Settings),
    Arrow(ipc::Codec),
    Workbook(workbook::Settings),
}

impl Encoding {
    /// Whether parts of it can be joined into one file.
    pub(super) fn is_joinable(&self) -> bool {
        match self {
            Self::Records { compression, .. } => compression.is_joinable(),
            Self::Parquet(_) | Self::Avro(_) | Self::Arrow(_) => true,
            Self::Workbook(_) => false,
        }
    }
}

impl Landing {
    /// The encoding of its text.
    pub(super) fn charset(&self) -> Charset {
        match &self.encoding {
            Encoding::Records { charset, .. } => *charset,
            _ => Charset::Utf8,
        }
    }

    /// That of an agreement.
    pub(super) fn of(agreement: &Agreement) -> Result<Self> {
        Self::deserialize(&agreement.detail)
            .map_err(|source| Error::new(ErrorKind::Internal, "the agreement is not one of files").with_source(source))
    }

    /// Refuses `rows` rows where the file has no columns, and its format nothing else to tell them by.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported).
    pub(super) fn refuse_without_columns(&self, rows: u64) -> Result<()> {
        if rows == 0 || !self.schema.fields().is_empty() || self.format.counts_rows() {
            return Ok(());
        }
        let message = format!("{} has no rows without columns", self.format.title());
        let error = Error::new(ErrorKind::Unsupported, message);
        Err(error.with_hint("write JSON lines, or give the rows a column with --set"))
    }

    /// The layout of the file that rows are appended to.
    pub(super) fn parquet_layout(&self) -> Result<Option<::parquet::schema::types::SchemaDescriptor>> {
        let Some(path) = &self.layout_of else { return Ok(None) };
        let file = parquet::File::open(&Chunks::open(path)?).at("file", || path.display())?;
        Ok(Some(file.layout()))
    }

    /// The Avro file that rows are appended to.
    pub(super) fn avro_file(&self) -> Result<Option<avro::File>> {
        let Some(path) = &self.layout_of else { return Ok(None) };
        avro::File::open(&Chunks::open(path)?).map(Some).at("file", || path.display())
    }
}

impl Shape {
    /// The file or folder; none for a pipe.
    pub(super) fn target(&self) -> Option<&Path> {
        match self {
            Self::Single(path) | Self::NewFolder(path) | Self::Folder(path) => Some(path),
            Self::Pipe(_) => None,
        }
    }

    /// The folder that holds the stage; none for a pipe.
    pub(super) fn stage_parent(&self) -> Option<PathBuf> {
        match self {
            Self::Single(path) | Self::NewFolder(path) => Some(parent_of(path)),
            Self::Folder(path) => Some(path.clone()),
            Self::Pipe(_) => None,
        }
    }

    /// Makes the folder that holds the stage. It is missing only where it may be made.
    pub(super) fn make_parent(&self) -> Result<()> {
        let Some(parent) = self.stage_parent() else { return Ok(()) };
        fs::create_dir_all(&parent).at("folder", || parent.display())
    }

    /// What it is, for people.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Single(_) => "one file, joined from the parts of all tasks at commit".to_owned(),
            Self::NewFolder(_) | Self::Folder(_) => "a folder of part files".to_owned(),
            Self::Pipe(Some(path)) => path.display().to_string(),
            Self::Pipe(None) => "standard output".to_owned(),
        }
    }

    /// Whether the target is several part files.
    pub(super) fn is_folder(&self) -> bool {
        matches!(self, Self::NewFolder(_) | Self::Folder(_))
    }
}

/// The folder of `path`.
pub(super) fn parent_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), Path::to_owned)
}
