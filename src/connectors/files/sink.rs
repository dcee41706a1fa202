//! The sink: what the target is, how each column lands in it, and the calls of the contract.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::alive::Alive;
use super::append;
use super::columns::Forms;
use super::config::{Config, Place, Wanted};
use super::find;
use super::input::Input;
use super::landing::{Encoding, Landing, Mode, Shape, parent_of};
use super::leftover::{self, Settled};
use super::proof;
use super::write::FileWriter;
use crate::attempt::{Attempt, Token};
use crate::bridge::blocking;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::csv::LineEnd;
use crate::formats::extension::{self, Format};
use crate::formats::{RecordFormat, avro, parquet, workbook};
use crate::proof::{Prover, Verdict};
use crate::reject::Refusals;
use crate::shape::counted;
use crate::sink::{
    Agreement, Guarantee, Kept, Noted, Progress, Publish, Receipt, Sink, WriteMode, WriteRequest, Writer, Writers,
};
use crate::source::TableShape;

/// Arrow bytes that a writer gathers before it encodes them together, between these.
const GATHER_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(4 << 20);

/// Parts of a writer's memory: one for what is gathered, one for its encoded form, two for a row group, and four that
/// encoders hold beside what they count.
const MEMORY_PARTS: u64 = 8;

/// Those of a row group.
const ROW_GROUP_PARTS: u64 = 2;

/// A file or folder that is written.
#[derive(Debug)]
pub(super) struct FileSink {
    config: Arc<Config>,
    /// The runs of this sink that are alive.
    alive: Alive,
    /// Long rows are encoded one after the other: each is in memory several times while it is.
    turn: Arc<Semaphore>,
    /// What all who write Parquet have learned of its columns.
    dictionaries: parquet::Dictionaries,
}

impl FileSink {
    pub(super) fn new(config: Arc<Config>) -> Self {
        let (turn, dictionaries) = (Arc::new(Semaphore::new(1)), parquet::Dictionaries::default());
        Self { config, alive: Alive::default(), turn, dictionaries }
    }

    fn records(&self, landing: &Landing) -> Result<Option<Arc<dyn RecordFormat>>> {
        match landing.encoding {
            Encoding::Records { line_end, .. } if landing.format.is_records() => {
                self.config.records_with(landing.format, line_end).map(Some)
            }
            _ => Ok(None),
        }
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let (config, incoming, request) = (Arc::clone(&self.config), incoming.clone(), request.clone());
        blocking::run("files-agree", move || agree(&config, &incoming, &request)).await
    }

    async fn prepare(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let landing = Landing::of(agreement)?;
        let Some(stage) = landing.stage(None, token) else { return Ok(()) };
        let (is_held, folder) = (self.alive.holds(&stage), stage.folder.clone());
        let locks = blocking::run("files-prepare", move || {
            landing.shape.make_parent()?;
            leftover::settle(&landing.shape, &stage)?;
            if is_held && stage.folder.exists() {
                return Ok(Vec::new());
            }
            let locks = stage.prepare(&landing)?;
            stage.refuse_another(&landing)?;
            Ok(locks)
        });
        self.alive.keep(&folder, locks.await?);
        Ok(())
    }

    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let landing = Landing::of(agreement)?;
        let records = self.records(&landing)?;
        let shared = (Arc::clone(&self.turn), self.dictionaries.clone());
        Ok(Box::new(FileWriter::new(landing, records, attempt, shared)))
    }

    async fn progress(&self, agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        let landing = Landing::of(agreement)?;
        let Some(stage) = landing.stage(None, token) else { return Ok(Progress::Kept(Vec::new())) };
        let (logged, is_held, folder) = (logged.to_vec(), self.alive.holds(&stage), stage.folder.clone());
        let found = blocking::run("files-progress", move || {
            // Before the look, so that nobody changes what is found: neither its process, nor a run that sweeps.
            let locks = if is_held { Ok(Vec::new()) } else { stage.take() };
            if stage.is_done()? {
                return Ok((Progress::Committed, Vec::new()));
            }
            let locks = locks?;
            Ok((Progress::Kept(stage.kept(logged)?), locks))
        });
        let (progress, locks) = found.await?;
        self.alive.keep(&folder, locks);
        Ok(progress)
    }

    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        let landing = Landing::of(agreement)?;
        let Some(stage) = landing.stage(None, token) else { return Ok(Verdict::Unknown) };
        proof::verify(&self.config, (landing, stage), agreement, receipts).await
    }

    fn checksum(&self, agreement: &Agreement) -> Option<String> {
        proof::way(&Landing::of(agreement).ok()?)
    }

    fn prover(&self, agreement: &Agreement) -> Result<Prover> {
        let landing = Landing::of(agreement)?;
        Ok(Prover::new(move |batch| proof::proofs(&landing, batch)))
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let landing = Landing::of(agreement)?;
        let Some(stage) = landing.stage(self.records(&landing)?, token) else { return Ok(()) };
        let (token, receipts, folder) = (token.clone(), receipts.to_vec(), stage.folder.clone());
        let lock = blocking::run("files-commit", move || stage.commit(&landing, &token, &receipts)).await?;
        self.alive.keep(&folder, lock);
        Ok(())
    }

    async fn position(&self, _stream: &str) -> Result<Noted> {
        let path = match &self.config.place {
            Place::Path(text) => find::literal_path(text),
            Place::Standard => None,
        };
        let missing = blocking::run("files-position", move || Ok(path.is_some_and(|path| !path.exists()))).await?;
        Ok(if missing { Noted::NoTarget } else { Noted::Nowhere })
    }

    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let landing = Landing::of(agreement)?;
        let Some(stage) = landing.stage(None, token) else { return Ok(()) };
        let (is_held, folder) = (self.alive.holds(&stage), stage.folder.clone());
        let aborted = blocking::run("files-abort", move || {
            // Another process may have gone on with the run: then all of it is its.
            let _locks = if is_held || stage.is_done()? { Vec::new() } else { stage.take()? };
            stage.abort()
        });
        aborted.await?;
        self.alive.forget(&folder);
        Ok(())
    }
}

fn agree(config: &Config, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
    let mode = mode_of(&request.mode)?;
    let Target { shape, files } = target_of(config, mode)?;
    let paths: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
    let mut format = format_of(config, &shape, &paths)?;
    config.check(format)?;
    let mut encoding = encoding_of(config, format, &shape)?;
    let old = if mode == Mode::Append { append::old_file(config, &shape, &files)? } else { None };
    if let (Some(old), Shape::Single(_)) = (&old, &shape) {
        append::continue_file(config, old, &mut encoding)?;
        format = old.format;
    }
    let memory = request.memory_bytes / MEMORY_PARTS;
    if let Encoding::Parquet(settings) = &mut encoding {
        let most = usize::try_from(ROW_GROUP_PARTS * memory).unwrap_or(usize::MAX).max(1 << 20);
        settings.row_group.bytes = settings.row_group.bytes.min(most);
    }
    let existing = old.as_ref().map(|old| append::existing(config, old, &incoming.schema)).transpose()?;
    let records = format.is_records().then(|| config.records(format)).transpose()?;
    let forms = Forms { format, records, existing, policy: request.schema };
    let (columns, target, schema) = forms.match_columns(&incoming.schema)?;
    if let Encoding::Workbook(settings) = &encoding {
        workbook::Encoder::new(&schema, settings, None)?;
    }
    if let (Encoding::Avro(settings), true) = (&encoding, shape.is_folder() || old.is_none()) {
        // Old files of others may have columns in types that are only read.
        avro::Encoder::new(&schema, settings, None)?;
    }
    let replaced = if mode == Mode::Replace { files } else { Vec::new() };
    let notes = notes(config, format, &shape, &replaced);
    let pipe = matches!(shape, Shape::Pipe(_));
    // Parts that cannot be joined must be one.
    let alone = pipe || (!encoding.is_joinable() && !shape.is_folder());
    let landing = Landing {
        id: uuid::Uuid::now_v7().simple().to_string(),
        layout_of: match &shape {
            Shape::Single(path) if matches!(format, Format::Parquet | Format::Avro) && old.is_some() => {
                Some(path.clone())
            }
            _ => None,
        },
        old_file: old.as_ref().filter(|_| matches!(shape, Shape::Single(_))).and_then(Input::stamp),
        shape,
        mode,
        format,
        encoding,
        prefix: config.prefix.clone(),
        file_bytes: config.part_bytes(),
        gather_bytes: memory.clamp(*GATHER_BYTES.start(), *GATHER_BYTES.end()) as usize,
        schema,
        old_files: replaced.into_iter().map(|file| file.path).collect(),
        job: request.job.clone(),
    };
    Ok(Agreement {
        label: config.label().to_owned(),
        target,
        columns,
        ddl: Vec::new(),
        writers: if alone { Writers::One } else { Writers::Any },
        publish: if pipe { Publish::PerTask } else { Publish::AtOnce },
        guarantee: if pipe { Guarantee::AtLeastOnce } else { Guarantee::ExactlyOnce },
        kept: if pipe { Kept::Nothing } else { Kept::Tasks },
        marked: false,
        refusals: Refusals::Fail,
        // A task is at least one part file; parts of one file are joined, whatever their size.
        task_bytes: landing.shape.is_folder().then_some(config.part_bytes()),
        notes,
        detail: serde_json::to_value(&landing)
            .map_err(|source| Error::new(ErrorKind::Internal, "an agreement cannot be written").with_source(source))?,
    })
}

/// What the user should know, for the plan.
fn notes(config: &Config, format: Format, shape: &Shape, replaced: &[Settled]) -> Vec<String> {
    let mut notes = vec![format!("{} is written to {}", format.title(), shape.described())];
    match shape {
        Shape::Single(_) if format.is_workbook() => {
            notes = vec!["an Excel workbook is written by one writer, and gets its name at commit".to_owned()];
        }
        Shape::Pipe(_) => {
            notes.push("rows are visible as they are written; what was written stays after a failure".to_owned());
        }
        Shape::Folder(_) => {
            notes.push("the files of the folder become visible one after the other, at commit".to_owned());
        }
        Shape::Single(_) | Shape::NewFolder(_) => {}
    }
    if config.file_bytes.is_some() && !shape.is_folder() {
        // No error: of several targets others may be folders, and all have the flag.
        notes.push(
            "fileBytes (--file-bytes) does nothing here: it is the size of the part files of a folder".to_owned(),
        );
    }
    if !replaced.is_empty() {
        let bytes: u64 = replaced.iter().map(|file| fs::metadata(&file.now).map_or(0, |metadata| metadata.len())).sum();
        let files = counted(replaced.len(), "file");
        notes.push(format!("{files} of the folder, {bytes} bytes, replaced at commit"));
    }
    notes
}

fn mode_of(mode: &WriteMode) -> Result<Mode> {
    match mode {
        WriteMode::Create => Ok(Mode::Create),
        WriteMode::Append => Ok(Mode::Append),
        // Emptying and filling a file in one step is replacing it.
        WriteMode::Truncate | WriteMode::Replace => Ok(Mode::Replace),
        WriteMode::Upsert(_) | WriteMode::Sync(_) | WriteMode::Changes { .. } => {
            Err(Error::new(ErrorKind::Usage, "files have no keys to insert or update by")
                .with_hint("use --mode append or --mode replace"))
        }
    }
}

/// What the target is, and the data files in it where it is a folder.
struct Target {
    shape: Shape,
    files: Vec<Settled>,
}

impl Target {
    fn alone(shape: Shape) -> Self {
        Self { shape, files: Vec::new() }
    }
}

/// What the target is, and whether the mode allows it.
fn target_of(config: &Config, mode: Mode) -> Result<Target> {
    let Place::Path(text) = &config.place else { return Ok(Target::alone(Shape::Pipe(None))) };
    let path = find::literal_path(text)
        .ok_or_else(|| Error::new(ErrorKind::Usage, "a glob names no target").at("file", text))?;
    let metadata = match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return new_target(config, text, &path),
        metadata => metadata.at("file", || text)?,
    };
    let kind = metadata.file_type();
    if kind.is_fifo() || kind.is_char_device() || kind.is_socket() {
        return Ok(Target::alone(Shape::Pipe(Some(path))));
    }
    // The file that a link leads to is replaced, not the link.
    let path = fs::canonicalize(&path).at("file", || text)?;
    let taken = |message: &str, what: &'static str| {
        Err(Error::new(ErrorKind::AlreadyExists, message)
            .at(what, text)
            .with_hint("use --mode append or --mode replace, or name another target"))
    };
    if metadata.is_dir() {
        let wanted = match config.wanted() {
            Wanted::Prefixed(prefix) => Wanted::Prefixed(prefix),
            _ => Wanted::Known(None),
        };
        let files = leftover::settled_files(&path, wanted)?;
        if mode == Mode::Create && !files.is_empty() {
            return taken("the folder holds data files already", "folder");
        }
        return Ok(Target { shape: Shape::Folder(path), files });
    }
    if mode == Mode::Create {
        return taken("the file exists already", "file");
    }
    Ok(Target::alone(Shape::Single(path)))
}

/// A file or folder that is not there yet. Its own folder is, or is made with the stage.
fn new_target(config: &Config, text: &str, path: &Path) -> Result<Target> {
    let parent = parent_of(path);
    let parent = match fs::canonicalize(&parent).ok().filter(|parent| parent.is_dir()) {
        Some(there) => there,
        None if config.makes_folders => std::path::absolute(&parent).at("folder", || parent.display())?,
        None => {
            return Err(Error::new(ErrorKind::NotFound, "the folder of the target does not exist")
                .at("folder", parent.display())
                .with_hint("make it first, or say makeFolders=true in the options of the target"));
        }
    };
    let name =
        path.file_name().ok_or_else(|| Error::new(ErrorKind::Usage, "the target has no name").at("file", text))?;
    let path = parent.join(name);
    Ok(Target::alone(if text.ends_with('/') { Shape::NewFolder(path) } else { Shape::Single(path) }))
}

/// In which format rows are written: the one that was named, else that of the name or of the files that are there. A
/// folder has files of one format.
fn format_of(config: &Config, shape: &Shape, files: &[PathBuf]) -> Result<Format> {
    let by_name = match shape {
        Shape::Single(path) | Shape::Pipe(Some(path)) => extension::of_path(path).0,
        Shape::NewFolder(_) => Some(Format::Parquet),
        Shape::Folder(_) if config.prefix.is_some() => None,
        Shape::Folder(path) => {
            let there = find::common_format(files).at("folder", || path.display())?;
            if let (Some(there), Some(said)) = (there, config.format.filter(|said| Some(*said) != there)) {
                let message =
                    format!("the folder holds {} files of {}, not {}", files.len(), there.title(), said.title());
                return Err(Error::new(ErrorKind::Usage, message)
                    .at("folder", path.display())
                    .with_hint("keep the files of each format in a folder of their own"));
            }
            there.or(Some(Format::Parquet))
        }
        Shape::Pipe(None) => None,
    };
    config.format.or(by_name).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "the name of the target does not say its format")
            .at("file", config.label())
            .with_hint("say --to-format csv, tsv, jsonl, parquet, avro, arrow, arrows or xlsx")
    })
}

fn encoding_of(config: &Config, format: Format, shape: &Shape) -> Result<Encoding> {
    let path = match shape {
        Shape::Single(path) | Shape::Pipe(Some(path)) => Some(path.as_path()),
        _ => None,
    };
    if format.is_records() {
        let compression = config.outer_compression(path)?;
        let (level, charset, line_end) = (config.level, config.charset, LineEnd::default());
        return Ok(Encoding::Records { compression, level, charset, line_end });
    }
    if path.is_some_and(|path| extension::of_path(path).1.is_some()) {
        let message = format!("{} is compressed within, not as a whole", format.title());
        return Err(Error::new(ErrorKind::Unsupported, message).at("file", config.label()).with_hint(match format {
            format if format.is_workbook() => "name it .xlsx".to_owned(),
            format => format!("name it .{} and say --compress zstd", format.extension()),
        }));
    }
    if format == Format::Parquet {
        let mut settings = config.parquet()?;
        if shape.is_folder() {
            let file = usize::try_from(config.part_bytes()).unwrap_or(usize::MAX);
            settings.row_group.bytes = settings.row_group.bytes.min(file);
        }
        return Ok(Encoding::Parquet(settings));
    }
    if format.is_workbook() {
        return Ok(Encoding::Workbook(config.workbook(format).at("file", || config.label())?));
    }
    if format == Format::Avro {
        // One marker for all parts of this agreement, whoever writes them.
        return Ok(Encoding::Avro(config.avro(uuid::Uuid::now_v7().into_bytes())?));
    }
    Ok(Encoding::Arrow(config.ipc()?))
}
