//! What is read: telling what files hold, pinning them, opening them. All of it blocks.

use std::collections::HashSet;
use std::fs;
use std::io::{Cursor, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::chunks::Chunks;
use super::config::{Config, Place};
use super::find::find;
use super::kept::Kept;
use super::unsaid::Unsaid;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::charset::Charset;
use crate::formats::compress::{self, Compression};
use crate::formats::extension::{self, Format};
use crate::formats::{Extent, Start, avro, ipc, parquet, workbook};

/// First bytes that tell what a file holds.
const SNIFF_BYTES: usize = 512;

const BUFFER_BYTES: usize = 128 << 10;

/// A record may have this many bytes, whatever memory there is; offsets of a batch are 32-bit.
pub(super) const RECORD_BYTES: usize = 1 << 30;

/// One file, as it was when the session opened.
pub(super) struct Input {
    /// For messages.
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) compression: Compression,
    /// The encoding of its text; of UTF-16 with the order that it has.
    pub(super) charset: Charset,
    /// What was found in it that nobody said.
    pub(super) unsaid: Vec<Unsaid>,
    /// Bytes in the file system; 0 for a pipe.
    pub(super) bytes: u64,
    data: Data,
    /// Bytes of the longest record that is read.
    pub(super) record_bytes_max: usize,
    /// How a sheet of it is read, where it is a workbook.
    sheets: workbook::Options,
    /// Where the records begin, once somebody asked.
    pub(super) start: OnceLock<Start>,
    /// The footer, once somebody asked.
    pub(super) footer: OnceLock<Footer>,
}

/// What tells where the rows of a file stand that is no text: most often its footer.
#[derive(Clone, Debug)]
pub(super) enum Footer {
    Parquet(parquet::File),
    Avro(avro::File),
    Arrow(ipc::File),
    /// A sheet, all of it.
    Workbook(Arc<workbook::Sheet>),
}

enum Data {
    /// A regular file, which can be opened again.
    Path(PathBuf, Stamp),
    /// A copy without a name, of what cannot be read in any order where it stands.
    Spooled(Chunks),
    /// What can be read only once; none when that was done.
    Pipe(Mutex<Option<Pipe>>),
}

/// The plain bytes of a pipe: those of its head that were looked at, then the rest.
struct Pipe {
    head: Vec<u8>,
    /// Bytes of the head that were read once more.
    read: usize,
    rest: Box<dyn Read + Send>,
}

impl Pipe {
    /// The first `bytes`, or all where there are fewer. They stay readable.
    fn peek(&mut self, bytes: usize) -> std::io::Result<&[u8]> {
        let lacking = bytes.saturating_sub(self.head.len());
        self.head.reserve_exact(lacking);
        self.rest.by_ref().take(lacking as u64).read_to_end(&mut self.head)?;
        Ok(&self.head[..bytes.min(self.head.len())])
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut left = &self.head[self.read..];
        if left.is_empty() {
            // It may be as long as a record, and nobody needs it any more.
            (self.head, self.read) = (Vec::new(), 0);
            return self.rest.read(buffer);
        }
        let bytes = left.read(buffer)?;
        self.read += bytes;
        Ok(bytes)
    }
}

/// What must not change while a file is read, or between the agreement and the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, nanoseconds) = self.modified;
        // A device has another number after the next start of the machine.
        write!(f, "node {} of {} bytes changed at {seconds}.{nanoseconds:09}", self.inode, self.bytes)
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("name", &self.name).field("format", &self.format).finish_non_exhaustive()
    }
}

/// Finds and pins all files of a place.
pub(super) fn open_all(config: &Config) -> Result<Vec<Input>> {
    let inputs = match &config.place {
        Place::Standard => vec![open_pipe(config, "standard input", None, Box::new(std::io::stdin()))?],
        Place::Path(path) => {
            let (mut files, mut known) = (Vec::new(), HashSet::new());
            for path in std::iter::once(path).chain(&config.paths) {
                // A folder and a glob may name the same file.
                let found = find(path, config.wanted())?.into_iter();
                files.extend(found.filter(|file| known.insert(file.clone())));
            }
            files.iter().map(|path| open(config, path)).collect::<Result<Vec<_>>>()?
        }
    };
    let first = inputs.first().ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no file"))?;
    let same = |input: &&Input| input.format != first.format;
    if let Some(other) = inputs.iter().find(same) {
        let message =
            format!("{} holds {}, but {} {}", first.name, first.format.title(), other.name, other.format.title());
        return Err(Error::new(ErrorKind::Usage, message).with_hint("choose the files of one format with a glob"));
    }
    config.check(first.format)?;
    for input in inputs.iter().filter(|input| input.format.is_records()) {
        config.check_compression(input.compression).at("file", || &input.name)?;
    }
    Ok(inputs)
}

/// Tells what `path` holds, and pins it.
pub(super) fn open(config: &Config, path: &Path) -> Result<Input> {
    let name = path.display().to_string();
    let inner = || {
        let mut file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(Error::new(ErrorKind::Usage, "it is a folder"));
        }
        let (by_name, packed) = extension::of_path(path);
        let kind = metadata.file_type();
        if kind.is_fifo() || kind.is_char_device() || kind.is_socket() {
            return open_pipe(config, &name, by_name, Box::new(file));
        }
        let head = read_head(&mut file, SNIFF_BYTES)?;
        let compression = compression_of(config, by_name, &head);
        // Text does not begin with a zero; the length of a first block does.
        if (compression, packed) == (Compression::None, Some(Compression::Snappy)) && head.starts_with(&[0]) {
            return Err(Error::new(ErrorKind::Corrupt, "it is named as snappy, and does not begin as a stream of it")
                .with_hint("say compression=hadoop-snappy if it comes from Hadoop"));
        }
        let plain = if compression == Compression::None {
            head
        } else {
            file.seek(SeekFrom::Start(0))?;
            let mut reader = compress::reader(compression, file.try_clone()?)?;
            read_head(&mut reader, SNIFF_BYTES).map_err(compress::damage)?
        };
        let format = tell(config.format.or(by_name), &plain, Sniff::Containers)?;
        let charset = config.charset.of_head(&plain);
        let unsaid = Unsaid::of(config, (compression, charset), &plain);
        file.seek(SeekFrom::Start(0))?;
        let spooled = is_read_in_any_order(format) && compression != Compression::None;
        let data = if spooled {
            Data::Spooled(Chunks::of(spool(compress::reader(compression, file)?)?)?)
        } else {
            Data::Path(path.to_owned(), Stamp::of(&metadata))
        };
        Ok(Input { unsaid, ..Input::new(config, &name, (format, compression, charset), metadata.len(), data) })
    };
    inner().map_err(|error: Error| error.at("file", &name))
}

fn open_pipe(config: &Config, name: &str, by_name: Option<Format>, mut pipe: Box<dyn Read + Send>) -> Result<Input> {
    let inner = || {
        let head = read_head(&mut pipe, SNIFF_BYTES)?;
        let compression = compression_of(config, by_name, &head);
        let whole = Cursor::new(head).chain(pipe);
        let mut plain = compress::reader(compression, whole)?;
        let head = read_head(&mut plain, SNIFF_BYTES).map_err(compress::damage)?;
        let format = tell(config.format.or(by_name), &head, Sniff::Text)?;
        let charset = config.charset.of_head(&head);
        let unsaid = Unsaid::of(config, (compression, charset), &head);
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(plain));
        let data = if is_read_in_any_order(format) {
            Data::Spooled(Chunks::of(spool(whole)?)?)
        } else {
            let text = if format.is_records() { charset.reader(whole) } else { whole };
            Data::Pipe(Mutex::new(Some(Pipe { head: Vec::new(), read: 0, rest: text })))
        };
        Ok(Input { unsaid, ..Input::new(config, name, (format, compression, charset), 0, data) })
    };
    inner().map_err(|error: Error| error.at("file", name))
}

/// Whether files of `format` are read from any place.
fn is_read_in_any_order(format: Format) -> bool {
    matches!(format, Format::Parquet | Format::Avro | Format::Arrow) || format.is_workbook()
}

/// How a file that begins with `head` is compressed as a whole. A workbook is a zip archive itself.
fn compression_of(config: &Config, by_name: Option<Format>, head: &[u8]) -> Compression {
    let is_said = config.format.or(by_name).is_some_and(Format::is_workbook) && workbook::may_be(head);
    if is_said || workbook::detect(head).is_some() {
        return Compression::None;
    }
    match Compression::detect(head) {
        Compression::None => config.unseen_compression(),
        seen => seen,
    }
}

/// How far a format may be guessed where nobody names it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sniff {
    /// By the magic of Parquet, Avro, Arrow and workbooks only.
    Containers,
    /// Text too: JSON by its brace, else CSV.
    Text,
}

/// What a file holds, given what its name or the user says and its first plain bytes.
fn tell(said: Option<Format>, head: &[u8], sniff: Sniff) -> Result<Format> {
    let found = if head.starts_with(parquet::MAGIC) {
        Some(Format::Parquet)
    } else if head.starts_with(avro::MAGIC) {
        Some(Format::Avro)
    } else if head.starts_with(ipc::MAGIC) {
        Some(Format::Arrow)
    } else if head.starts_with(ipc::STREAM_MAGIC) {
        Some(Format::Arrows)
    } else if head.starts_with(ipc::FEATHER_1_MAGIC) {
        let old = Error::new(ErrorKind::Unsupported, "it is a Feather file of version 1");
        return Err(old.with_hint("write it anew with a version of Arrow since 1.0"));
    } else {
        workbook::detect(head)
    };
    let wrong = |said: Format, found: Format| {
        Error::new(ErrorKind::Usage, format!("it is said to hold {}, but it holds {}", said.title(), found.title()))
            .with_hint(format!("rename it, or say --from-format {}", found.extension()))
    };
    match (said, found) {
        (Some(Format::Arrow | Format::Arrows) | None, Some(found @ (Format::Arrow | Format::Arrows))) => Ok(found),
        (Some(said), Some(found)) if said == found => Ok(found),
        // A workbook with a password is kept in the older container.
        (Some(Format::Xlsx), Some(Format::Xls)) => Ok(Format::Xlsx),
        (Some(said), None) if said.is_workbook() && workbook::may_be(head) => Ok(said),
        (Some(said), Some(found)) => Err(wrong(said, found)),
        (Some(said), None) if said.is_records() => Ok(said),
        (Some(_), None) if head.is_empty() => Err(Error::new(ErrorKind::Corrupt, "the file is empty")),
        (Some(said), None) => {
            let message = format!("it does not hold {}: the first bytes are others", said.title());
            Err(Error::new(ErrorKind::Corrupt, message)
                .with_hint("name its format with --from-format csv (or tsv, jsonl …), or get it anew"))
        }
        (None, Some(found)) => Ok(found),
        (None, None) if sniff == Sniff::Text => {
            // In UTF-16 there are zeros and a mark beside it.
            let first = head.iter().find(|byte| !byte.is_ascii_whitespace() && !matches!(byte, 0 | 0xfe | 0xff));
            Ok(if first == Some(&b'{') { Format::Jsonl } else { Format::Csv })
        }
        (None, None) => Err(Error::new(ErrorKind::Usage, "its name does not say what it holds")
            .with_hint("say --from-format csv, tsv, jsonl, parquet, avro, arrow, arrows or xlsx")),
    }
}

impl Input {
    fn new(config: &Config, name: &str, holds: (Format, Compression, Charset), bytes: u64, data: Data) -> Self {
        let ((format, compression, charset), name, sheets) = (holds, name.to_owned(), config.sheets());
        let (start, footer, unsaid) = (OnceLock::new(), OnceLock::new(), Vec::new());
        let record_bytes_max = RECORD_BYTES;
        Self { name, format, compression, charset, unsaid, bytes, data, record_bytes_max, sheets, start, footer }
    }

    /// What the file was when it was pinned; none for what is no file.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        match &self.data {
            Data::Path(_, stamp) => Some(*stamp),
            Data::Spooled(_) | Data::Pipe(_) => None,
        }
    }

    /// What tells another process that the file is still the same; none for what is no file.
    pub(super) fn lasting(&self) -> Option<String> {
        match &self.data {
            Data::Path(path, stamp) => Some(format!("{}: {stamp}", path.display())),
            Data::Spooled(_) | Data::Pipe(_) => None,
        }
    }

    /// Whether it can be read from any place, again and again, as it stands.
    pub(super) fn is_plain(&self) -> bool {
        let decoded = self.compression == Compression::None && self.charset == Charset::Utf8;
        matches!(self.data, Data::Path(..)) && decoded
    }

    /// The file itself, for reading in any order.
    pub(super) fn open_file(&self) -> Result<Chunks> {
        match &self.data {
            Data::Path(path, stamp) => Chunks::of(open_pinned(path, *stamp)?),
            Data::Spooled(chunks) => Ok(chunks.clone()),
            Data::Pipe(_) => Err(Error::new(ErrorKind::Internal, "a pipe has no places")),
        }
    }

    /// The plain bytes from the start on, of text as UTF-8. A pipe gives them once.
    pub(super) fn open_stream(&self) -> Result<Box<dyn Read + Send>> {
        match &self.data {
            Data::Path(path, stamp) => {
                let plain = compress::reader(self.compression, open_pinned(path, *stamp)?)?;
                Ok(if self.format.is_records() { self.charset.reader(plain) } else { plain })
            }
            Data::Spooled(_) => Ok(Box::new(self.open_file()?.seekable())),
            Data::Pipe(pipe) => Ok(Box::new(pipe.lock().take().ok_or_else(read_once)?)),
        }
    }

    /// What `look` finds in the first plain bytes, of which `bytes` most often are enough. While it says that the first
    /// record does not end within them, it gets more, up to the longest record there may be. They stay readable.
    pub(super) fn look<T>(&self, bytes: usize, look: impl Fn(&[u8], Extent) -> Result<T>) -> Result<T> {
        let mut wanted = bytes;
        loop {
            match self.with_head(wanted, &look)? {
                (Err(error), Extent::Head) if error.kind() == ErrorKind::Resource => {
                    if wanted >= self.record_bytes_max.max(bytes) {
                        return Err(self.too_long());
                    }
                    wanted = wanted.saturating_mul(2).min(self.record_bytes_max);
                }
                (found, _) => return found,
            }
        }
    }

    /// What `look` finds in the first `bytes`.
    fn with_head<T>(&self, bytes: usize, look: impl Fn(&[u8], Extent) -> Result<T>) -> Result<(Result<T>, Extent)> {
        let seen = |head: &[u8]| {
            let extent = if head.len() > bytes { Extent::Head } else { Extent::Whole };
            (look(head, extent), extent)
        };
        match &self.data {
            Data::Pipe(pipe) => {
                let mut pipe = pipe.lock();
                let pipe = pipe.as_mut().ok_or_else(read_once)?;
                Ok(seen(pipe.peek(bytes + 1).map_err(compress::damage)?))
            }
            Data::Path(..) | Data::Spooled(_) => {
                let mut stream = self.open_stream()?;
                Ok(seen(&read_head(&mut stream, bytes + 1).map_err(compress::damage)?))
            }
        }
    }

    /// The error for a record that is longer than one may be.
    pub(super) fn too_long(&self) -> Error {
        let bytes = self.record_bytes_max;
        let quote = "a quote that is never closed looks like this: check the quote option";
        let (message, memory) = if bytes < RECORD_BYTES {
            (
                format!(
                    "a record is longer than {bytes} bytes, for which, with its copies, there is not memory enough"
                ),
                Some("give --memory more"),
            )
        } else {
            ("a record is longer than 1 GiB".to_owned(), None)
        };
        let hint = [self.format.is_delimited().then_some(quote), memory].into_iter().flatten().collect::<Vec<_>>();
        let error = Error::new(ErrorKind::Resource, message);
        if hint.is_empty() {
            error.with_hint("check whether each line holds one object")
        } else {
            error.with_hint(hint.join(", or "))
        }
    }

    /// Makes a pipe readable from its start again.
    pub(super) fn put_back(&self, kept: Kept) {
        if let Data::Pipe(pipe) = &self.data {
            *pipe.lock() = Some(Pipe { head: kept.seen(), read: 0, rest: Box::new(kept) });
        }
    }

    /// The footer of a columnar file; of a workbook its sheet; of Avro what its header says, and where its blocks stand.
    pub(super) fn footer(&self) -> Result<&Footer> {
        if let Some(footer) = self.footer.get() {
            return Ok(footer);
        }
        let chunks = self.open_file()?;
        let footer = match self.format {
            Format::Parquet => Footer::Parquet(parquet::File::open(&chunks).map_err(|error| chunks.cause(error))?),
            Format::Avro => Footer::Avro(avro::File::open(&chunks).map_err(|error| chunks.cause(error))?),
            format if format.is_workbook() => {
                let bytes = ::parquet::file::reader::Length::len(&chunks);
                let sheet = workbook::read(chunks.seekable(), (format, bytes), &self.sheets);
                Footer::Workbook(Arc::new(sheet.map_err(|error| chunks.cause(error))?))
            }
            _ => Footer::Arrow(ipc::File::open(&chunks).map_err(|error| chunks.cause(error))?),
        };
        Ok(self.footer.get_or_init(|| footer))
    }

    /// An error when the file is no longer the one that was pinned.
    pub(super) fn check(&self) -> Result<()> {
        match &self.data {
            Data::Path(path, stamp) => same(&fs::metadata(path)?, *stamp).at("file", || &self.name),
            Data::Spooled(_) | Data::Pipe(_) => Ok(()),
        }
    }
}

fn open_pinned(path: &Path, stamp: Stamp) -> Result<fs::File> {
    let file = fs::File::open(path)?;
    same(&file.metadata()?, stamp)?;
    Ok(file)
}

fn same(metadata: &fs::Metadata, stamp: Stamp) -> Result<()> {
    if Stamp::of(metadata) == stamp {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, "the file was changed while it was read")
        .with_hint("start again when nobody writes into it"))
}

/// The error for a pipe that was read.
fn read_once() -> Error {
    Error::new(ErrorKind::Unsupported, "a pipe can be read only once").with_hint("save the data in a file first")
}

fn read_head<R: Read + ?Sized>(reader: &mut R, bytes: usize) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(bytes as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A copy of `reader` in a file without a name, for formats that are read in any order.
fn spool(mut reader: Box<dyn Read + Send>) -> Result<fs::File> {
    let folder = std::env::temp_dir();
    let path = folder.join(format!(".etl-{}", uuid::Uuid::now_v7().simple()));
    let place = || folder.display().to_string();
    let mut file = fs::File::options().read(true).write(true).create_new(true).open(&path).at("folder", place)?;
    fs::remove_file(&path).at("folder", place)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let bytes = reader.read(&mut buffer).map_err(compress::damage)?;
        if bytes == 0 {
            return Ok(file);
        }
        std::io::Write::write_all(&mut file, &buffer[..bytes]).at("folder", place)?;
    }
}
