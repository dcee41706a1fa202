//! The sink: what the target is, how each column lands in it, and the calls of the contract.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;

use super::config::{Config, Format, Place, literal_path};
use super::input::{self, Footer, Input};
use super::stage::{Encoding, Landing, Mode, Shape, parent_of};
use super::write::FileWriter;
use crate::attempt::{Attempt, Token};
use crate::bridge::blocking;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::compress::Compression;
use crate::formats::parquet::{self, Fit};
use crate::formats::{RecordFormat, plain};
use crate::sink::{
    Agreement, ColumnFate, ColumnPlan, Form, Guarantee, Publish, Receipt, SchemaPolicy, Sink, WriteMode, WriteRequest,
    Writer, Writers,
};
use crate::source::TableShape;

/// A file or folder that is written.
#[derive(Debug)]
pub(super) struct FileSink {
    config: Arc<Config>,
}

impl FileSink {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self { config }
    }

    fn records(&self, landing: &Landing) -> Result<Option<Arc<dyn RecordFormat>>> {
        landing.format.is_records().then(|| self.config.records(landing.format)).transpose()
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
        blocking::run("files-prepare", move || stage.prepare()).await
    }

    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        let landing = Landing::of(agreement)?;
        let records = self.records(&landing)?;
        Ok(Box::new(FileWriter::new(landing, records, attempt)))
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let landing = Landing::of(agreement)?;
        let Some(stage) = landing.stage(self.records(&landing)?, token) else { return Ok(()) };
        let (token, receipts) = (token.clone(), receipts.to_vec());
        blocking::run("files-commit", move || stage.commit(&landing, &token, &receipts)).await
    }

    async fn abort(&self, agreement: &Agreement, token: &Token) -> Result<()> {
        let landing = Landing::of(agreement)?;
        let Some(stage) = landing.stage(None, token) else { return Ok(()) };
        blocking::run("files-abort", move || stage.abort(&landing)).await
    }
}

/// The columns that a target has already.
struct Existing {
    schema: SchemaRef,
    /// Whether its types are stored in it; text has none.
    typed: bool,
}

fn agree(config: &Config, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
    let mode = mode_of(&request.mode)?;
    let shape = shape_of(config, mode)?;
    let mut format = format_of(config, &shape)?;
    let mut encoding = encoding_of(config, format, &shape)?;
    let old = if mode == Mode::Append { old_file(config, &shape)? } else { None };
    if let (Some(old), Shape::Single(_)) = (&old, &shape) {
        continue_file(old, &mut encoding)?;
        format = old.format;
    }
    let existing = old.as_ref().map(|old| existing(config, old, &incoming.schema)).transpose()?;
    let records = format.is_records().then(|| config.records(format)).transpose()?;
    let forms = Forms { format, records, existing, policy: request.schema };
    let (columns, target, schema) = forms.match_columns(&incoming.schema)?;
    let mut notes = vec![format!("{} is written to {}", format.title(), describe(&shape))];
    let layout_of = match &shape {
        Shape::Single(path) if format == Format::Parquet && old.is_some() => Some(path.clone()),
        _ => None,
    };
    let landing = Landing { shape, mode, format, encoding, file_bytes: config.file_bytes, schema, layout_of };
    let pipe = matches!(landing.shape, Shape::Pipe(_));
    if pipe {
        notes.push("rows are visible as they are written; what was written stays after a failure".to_owned());
    }
    if matches!(landing.shape, Shape::Folder(_)) {
        notes.push("the files of the folder become visible one after the other, at commit".to_owned());
    }
    let task_bytes = match &landing.shape {
        Shape::Pipe(_) => None,
        Shape::Single(_) => Some(config.row_group.bytes as u64),
        Shape::NewFolder(_) | Shape::Folder(_) => Some(config.file_bytes),
    };
    Ok(Agreement {
        label: config.label().to_owned(),
        target,
        columns,
        ddl: Vec::new(),
        writers: if pipe { Writers::One } else { Writers::Any },
        publish: if pipe { Publish::PerTask } else { Publish::AtOnce },
        guarantee: if pipe { Guarantee::AtLeastOnce } else { Guarantee::ExactlyOnce },
        task_bytes,
        notes,
        detail: serde_json::to_value(&landing)
            .map_err(|source| Error::new(ErrorKind::Internal, "an agreement cannot be written").with_source(source))?,
    })
}

fn mode_of(mode: &WriteMode) -> Result<Mode> {
    match mode {
        WriteMode::Create => Ok(Mode::Create),
        WriteMode::Append => Ok(Mode::Append),
        // Emptying and filling a file in one step is replacing it.
        WriteMode::Truncate | WriteMode::Replace => Ok(Mode::Replace),
        WriteMode::Upsert { .. } | WriteMode::Changes { .. } => {
            Err(Error::new(ErrorKind::Unsupported, "files have no keys to insert or update by")
                .with_hint("use --mode append or --mode replace"))
        }
    }
}

/// What the target is, and whether the mode allows it.
fn shape_of(config: &Config, mode: Mode) -> Result<Shape> {
    let Place::Path(text) = &config.place else { return Ok(Shape::Pipe(None)) };
    let path =
        literal_path(text).ok_or_else(|| Error::new(ErrorKind::Usage, "a glob names no target").at("file", text))?;
    let metadata = match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        metadata => Some(metadata.at("file", || text)?),
    };
    let Some(metadata) = metadata else {
        let parent = parent_of(&path);
        if !parent.is_dir() {
            return Err(Error::new(ErrorKind::NotFound, "the folder of the target does not exist")
                .at("folder", parent.display())
                .with_hint("make it first"));
        }
        return Ok(if text.ends_with('/') { Shape::NewFolder(path) } else { Shape::Single(path) });
    };
    let kind = metadata.file_type();
    if kind.is_fifo() || kind.is_char_device() || kind.is_socket() {
        return Ok(Shape::Pipe(Some(path)));
    }
    // The file that a link leads to is replaced, not the link.
    let path = fs::canonicalize(&path).at("file", || text)?;
    let taken = |message: &str, what: &'static str| {
        Err(Error::new(ErrorKind::AlreadyExists, message)
            .at(what, text)
            .with_hint("use --mode append or --mode replace, or name another target"))
    };
    if metadata.is_dir() {
        if mode == Mode::Create && !input::data_files(&path)?.is_empty() {
            return taken("the folder holds data files already", "folder");
        }
        return Ok(Shape::Folder(path));
    }
    if mode == Mode::Create {
        return taken("the file exists already", "file");
    }
    Ok(Shape::Single(path))
}

fn format_of(config: &Config, shape: &Shape) -> Result<Format> {
    let by_name = match shape {
        Shape::Single(path) | Shape::Pipe(Some(path)) => Format::of_path(path).0,
        Shape::NewFolder(_) => Some(Format::Parquet),
        Shape::Folder(path) => {
            let mut formats = input::data_files(path)?.into_iter().filter_map(|path| Format::of_path(&path).0);
            formats.next().or(Some(Format::Parquet))
        }
        Shape::Pipe(None) => None,
    };
    config.format.or(by_name).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "the name of the target does not say its format")
            .at("file", config.label())
            .with_hint("say --to-format csv, tsv, jsonl, parquet, arrow or arrows")
    })
}

fn encoding_of(config: &Config, format: Format, shape: &Shape) -> Result<Encoding> {
    let path = match shape {
        Shape::Single(path) | Shape::Pipe(Some(path)) => Some(path.as_path()),
        _ => None,
    };
    if format.is_records() {
        return Ok(Encoding::Records { compression: config.outer_compression(path)?, level: config.level });
    }
    if path.is_some_and(|path| Format::of_path(path).1.is_some()) {
        let message = format!("{} is compressed within, not as a whole", format.title());
        return Err(Error::new(ErrorKind::Unsupported, message)
            .at("file", config.label())
            .with_hint(format!("name it .{} and say compression=zstd", format.extension())));
    }
    if format == Format::Parquet {
        let mut settings = config.parquet()?;
        if matches!(shape, Shape::NewFolder(_) | Shape::Folder(_)) {
            let file = usize::try_from(config.file_bytes).unwrap_or(usize::MAX);
            settings.row_group.bytes = settings.row_group.bytes.min(file);
        }
        return Ok(Encoding::Parquet(settings));
    }
    Ok(Encoding::Arrow(config.ipc()?))
}

/// A file whose columns new rows must have.
fn old_file(config: &Config, shape: &Shape) -> Result<Option<Input>> {
    let path: Option<PathBuf> = match shape {
        Shape::Single(path) if path.exists() => Some(path.clone()),
        Shape::Folder(path) => input::data_files(path)?.into_iter().min(),
        _ => None,
    };
    let Some(path) = path else { return Ok(None) };
    if fs::metadata(&path).at("file", || path.display())?.len() == 0 {
        let empty = Error::new(ErrorKind::Schema, "the file is empty, so rows cannot be appended to its columns");
        return Err(empty.at("file", path.display()).with_hint("use --mode replace"));
    }
    input::open(config, &path).map(Some)
}

/// Rows appended to one file are compressed as it is.
fn continue_file(old: &Input, encoding: &mut Encoding) -> Result<()> {
    match encoding {
        Encoding::Records { compression, .. } => *compression = old.compression,
        Encoding::Parquet(_) | Encoding::Arrow(_) if old.compression != Compression::None => {
            let message = "rows cannot be appended to a file that is compressed as a whole";
            return Err(Error::new(ErrorKind::Unsupported, message).at("file", &old.name));
        }
        Encoding::Parquet(settings) => {
            if let Footer::Parquet(file) = old.footer().at("file", || &old.name)? {
                parquet::check_appendable(file, settings).at("file", || &old.name)?;
            }
        }
        Encoding::Arrow(_) => {}
    }
    Ok(())
}

fn existing(config: &Config, old: &Input, incoming: &Schema) -> Result<Existing> {
    let typed = !old.format.is_records();
    let schema = if typed {
        super::read::columns_of(old)?.0
    } else {
        let (head, extent) = old.head()?;
        config.records(old.format)?.infer(&head, extent).at("file", || &old.name)?.schema
    };
    if matches!(old.format, Format::Csv | Format::Tsv) && !config.has_header() {
        // Without a header the place of a column is its name.
        let (there, come) = (schema.fields().len(), incoming.fields().len());
        if there != come {
            let message = format!("the file has {there} columns without names, but {come} come");
            return Err(Error::new(ErrorKind::Schema, message).at("file", &old.name));
        }
        return Ok(Existing { schema: plain::schema(incoming)?, typed });
    }
    Ok(Existing { schema, typed })
}

fn describe(shape: &Shape) -> String {
    match shape {
        Shape::Single(_) => "one file, joined from the parts of all tasks at commit".to_owned(),
        Shape::NewFolder(_) | Shape::Folder(_) => "a folder of part files".to_owned(),
        Shape::Pipe(Some(path)) => path.display().to_string(),
        Shape::Pipe(None) => "standard output".to_owned(),
    }
}

/// How columns land.
struct Forms {
    format: Format,
    records: Option<Arc<dyn RecordFormat>>,
    existing: Option<Existing>,
    policy: SchemaPolicy,
}

impl Forms {
    /// The plan of every column, what the writer gets, and what a file has.
    fn match_columns(&self, incoming: &Schema) -> Result<(Vec<ColumnPlan>, SchemaRef, SchemaRef)> {
        let incoming = plain::schema(incoming)?;
        let landed: Vec<(FieldRef, ColumnFate)> =
            incoming.fields().iter().map(|field| self.land(field)).collect::<Result<_>>()?;
        let Some(existing) = &self.existing else {
            let columns = landed.iter().map(|(field, fate)| self.plan(field, *fate)).collect();
            let fields: Vec<FieldRef> = landed.into_iter().map(|(field, _)| field).collect();
            let schema = Arc::new(Schema::new_with_metadata(fields, incoming.metadata().clone()));
            return Ok((columns, Arc::clone(&schema), schema));
        };
        self.refuse_differences(&incoming, &existing.schema)?;
        let mut columns = Vec::new();
        for (field, fate) in &landed {
            columns.push(match existing.schema.field_with_name(field.name()) {
                Ok(old) if existing.typed => self.plan(old, fate_between(field.data_type(), old.data_type())),
                Ok(_) => self.plan(field, *fate),
                Err(_) => ColumnPlan { target: None, fate: ColumnFate::Dropped, ..self.plan(field, *fate) },
            });
        }
        // The order is that of the file. Columns of text take the type that comes.
        let mut target = Vec::new();
        let mut all = Vec::new();
        for old in existing.schema.fields() {
            let given = landed.iter().find(|(field, _)| field.name() == old.name());
            if let Some((field, _)) = given {
                let field = if existing.typed { old } else { field };
                target.push(Arc::clone(field));
                all.push(Arc::clone(field));
                continue;
            }
            if !old.is_nullable() {
                let message = "nothing fills this column, and it may not be NULL";
                return Err(Error::new(ErrorKind::Schema, message).at("column", old.name()));
            }
            all.push(Arc::clone(old));
            let note = Some("NULL".to_owned());
            columns.push(ColumnPlan { incoming: None, note, ..self.plan(old, ColumnFate::Added) });
        }
        let metadata = existing.schema.metadata();
        let schema = |fields: Vec<FieldRef>| Arc::new(Schema::new_with_metadata(fields, metadata.clone()));
        Ok((columns, schema(target), schema(all)))
    }

    fn refuse_differences(&self, incoming: &Schema, existing: &Schema) -> Result<()> {
        let lacking = |left: &Schema, right: &Schema| -> Vec<String> {
            let lacks = left.fields().iter().filter(|field| right.index_of(field.name()).is_err());
            lacks.map(|field| field.name().clone()).collect()
        };
        let (new, old) = (lacking(incoming, existing), lacking(existing, incoming));
        if self.policy == SchemaPolicy::Ignore || (new.is_empty() && old.is_empty()) {
            return Ok(());
        }
        let mut differences = Vec::new();
        if !new.is_empty() {
            differences.push(format!("the target has no {}", new.join(", ")));
        }
        if !old.is_empty() {
            differences.push(format!("nothing comes for {}", old.join(", ")));
        }
        Err(Error::new(ErrorKind::Schema, format!("the columns differ: {}", differences.join("; "))).with_hint(
            "choose and rename columns with --select and --rename, or copy what both have with --schema ignore",
        ))
    }

    /// The column of a new file for `field`.
    fn land(&self, field: &FieldRef) -> Result<(FieldRef, ColumnFate)> {
        let typed = |data_type: DataType| {
            Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone()))
        };
        match (&self.records, self.format) {
            (Some(records), _) => {
                let alone = Arc::new(Schema::new(vec![Arc::clone(field)]));
                records
                    .encode(&arrow::array::RecordBatch::new_empty(alone), &mut Vec::new())
                    .at("column", || field.name())?;
                let held = match field.data_type() {
                    DataType::Utf8 => true,
                    _ if self.format != Format::Jsonl => false,
                    other => {
                        other.is_integer()
                            || matches!(
                                other,
                                DataType::Boolean | DataType::Float64 | DataType::Float32 | DataType::Null
                            )
                            || other.is_nested()
                    }
                };
                Ok((Arc::clone(field), if held { ColumnFate::Exact } else { ColumnFate::Stringified }))
            }
            (None, Format::Parquet) => Ok(match parquet::fit(field.data_type()) {
                Fit::Exact => (Arc::clone(field), ColumnFate::Exact),
                Fit::Widened(wider) => (typed(wider), ColumnFate::Widened),
                Fit::Text => (typed(DataType::Utf8), ColumnFate::Stringified),
            }),
            (None, _) => Ok((Arc::clone(field), ColumnFate::Exact)),
        }
    }

    fn plan(&self, field: &Field, fate: ColumnFate) -> ColumnPlan {
        let target_type = match self.format {
            Format::Csv | Format::Tsv => "text".to_owned(),
            Format::Jsonl if fate == ColumnFate::Stringified => "string".to_owned(),
            _ => field.data_type().to_string(),
        };
        ColumnPlan {
            incoming: Some(field.name().clone()),
            target: Some(field.name().clone()),
            target_type,
            form: Form::Arrow,
            fate,
            note: None,
        }
    }
}

/// What happens to values of one type in a column of another.
fn fate_between(from: &DataType, to: &DataType) -> ColumnFate {
    use DataType::{
        Date32, Decimal128, Decimal256, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, Utf8,
    };
    match (from, to) {
        (from, to) if from == to => ColumnFate::Exact,
        (Utf8, _) => ColumnFate::Lossy,
        (_, Utf8) => ColumnFate::Stringified,
        (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
        | (Int16, Int32 | Int64 | Float32 | Float64)
        | (Int32, Int64 | Float64)
        | (UInt8, UInt16 | UInt32 | DataType::UInt64 | Int16 | Int32 | Int64 | Float32 | Float64)
        | (UInt16, UInt32 | DataType::UInt64 | Int32 | Int64 | Float32 | Float64)
        | (UInt32, DataType::UInt64 | Int64 | Float64)
        | (Float32, Float64)
        | (Date32, DataType::Date64) => ColumnFate::Widened,
        (Decimal128(p, s), Decimal128(q, t) | Decimal256(q, t)) | (Decimal256(p, s), Decimal256(q, t))
            if t >= s && i32::from(*q) - i32::from(*t) >= i32::from(*p) - i32::from(*s) =>
        {
            ColumnFate::Widened
        }
        _ => ColumnFate::Lossy,
    }
}

impl Landing {
    /// The layout of the file that rows are appended to.
    pub(super) fn parquet_layout(&self) -> Result<Option<::parquet::schema::types::SchemaDescriptor>> {
        let Some(path) = &self.layout_of else { return Ok(None) };
        let path: &Path = path;
        let file = parquet::File::open(&input::Chunks::open(path)?).at("file", || path.display())?;
        Ok(Some(file.layout()))
    }
}
