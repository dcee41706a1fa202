//! Making what is published out of the parts: one file joined in the order of the source, or the files of a folder.
//!
//! Text, compressed or not, and blocks of Avro are joined byte by byte, Parquet by its column chunks, Arrow by its
//! messages. A single part is renamed; a workbook is one. All of it blocks, and may be done again after it was interrupted.

use std::fs;
use std::io::{BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::chunks::Chunks;
use super::landing::{Encoding, Landing, Mode, Shape};
use super::stage::{Part, Stage};
use super::write::{self, Output};
use crate::attempt::Token;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::formats::charset::Charset;
use crate::formats::compress::{self, Compression, Packer};
use crate::formats::extension::Format;
use crate::formats::{ipc, parquet, plain};

const BUFFER_BYTES: usize = 256 << 10;

/// Puts the one file `target` into the stage's `ready`.
pub(super) fn single(stage: &Stage, landing: &Landing, parts: &[Part], target: &Path) -> Result<()> {
    let name = target.file_name().ok_or_else(|| Error::new(ErrorKind::Usage, "the target has no file name"))?;
    let ready = stage.ready(name);
    let old = landing.old_file.map(|_| target);
    match (old, parts) {
        (None, []) => empty(stage, landing, &ready),
        (None, [part]) => rename(&stage.part(&part.name), &ready),
        (None, [first, rest @ ..]) if is_joined_by_bytes(landing) || landing.format == Format::Avro => {
            if !ready.exists() {
                lengthen(stage, first, rest).at("file", || target.display())?;
            }
            rename(&stage.part(&first.name), &ready)
        }
        (old, parts) => {
            let draft = stage.part("joined");
            join(stage, landing, (old, parts), &draft).at("file", || target.display())?;
            rename(&draft, &ready)
        }
    }
}

fn is_joined_by_bytes(landing: &Landing) -> bool {
    matches!(&landing.encoding, Encoding::Records { compression, .. } if compression.is_joinable())
}

/// Adds `rest` to the file of `first`, and removes each part once its bytes are durable there: the data are on the disk
/// once and not twice. What an earlier try had added is kept.
fn lengthen(stage: &Stage, first: &Part, rest: &[Part]) -> Result<()> {
    let mut length = first.bytes;
    let mut out = fs::File::options().write(true).open(stage.part(&first.name)).map_err(gone)?;
    for part in rest {
        let path = stage.part(&part.name);
        let added = part.bytes - part.header;
        match fs::File::open(&path) {
            Ok(mut from) => {
                out.set_len(length)?;
                out.seek(SeekFrom::Start(length))?;
                from.seek(SeekFrom::Start(part.header))?;
                // From file to file the system copies without coming through this process.
                std::io::copy(&mut from, &mut out)?;
                out.sync_data()?;
                fs::remove_file(&path)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && out.metadata()?.len() >= length + added => {}
            Err(error) => return Err(gone(error).at("file", path.display())),
        }
        length += added;
    }
    Ok(out.sync_all()?)
}

fn gone(source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, "a part that was written is gone").with_source(source)
        }
        _ => source.into(),
    }
}

/// Puts the part files of a folder into the stage's `ready`.
pub(super) fn folder(stage: &Stage, landing: &Landing, parts: &[Part], token: &Token) -> Result<()> {
    let run: String = token.run.chars().filter(char::is_ascii_alphanumeric).collect();
    // The end of a time-ordered id is its random part.
    let run = &run[run.len().saturating_sub(12)..];
    let extension = write::extension(landing);
    let name = |index: usize| match &landing.prefix {
        Some(prefix) => format!("{prefix}__{run}_{}{}_{index:05}", token.transfer, token.epoch),
        None => format!("part-{run}-{}{}-{index:05}.{extension}", token.transfer, token.epoch),
    };
    for (index, part) in parts.iter().enumerate() {
        rename(&stage.part(&part.name), &stage.ready(name(index).as_ref()))?;
    }
    let adding = landing.mode == Mode::Append && matches!(landing.shape, Shape::Folder(_));
    if parts.is_empty() && !adding {
        empty(stage, landing, &stage.ready(name(0).as_ref()))?;
    }
    Ok(())
}

/// A file without rows, which still names its columns.
fn empty(stage: &Stage, landing: &Landing, path: &Path) -> Result<()> {
    let file = fs::File::create(path).at("file", || path.display())?;
    let (out, dictionaries) = (Box::new(BufWriter::new(file)), parquet::Dictionaries::default());
    let output = Output::new(landing, stage.records.clone(), dictionaries, out)?;
    output.finish().and_then(|()| sync(path)).at("file", || path.display())
}

/// Moves a file; fine when an earlier try did it already.
fn rename(from: &Path, to: &Path) -> Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && to.exists() => Ok(()),
        result => result.map_err(gone).at("file", || from.display()),
    }
}

fn join(stage: &Stage, landing: &Landing, files: (Option<&Path>, &[Part]), draft: &Path) -> Result<()> {
    let (old, parts) = files;
    let paths: Vec<(PathBuf, u64)> = parts.iter().map(|part| (stage.part(&part.name), part.header)).collect();
    let out = BufWriter::with_capacity(BUFFER_BYTES, fs::File::create(draft)?);
    match &landing.encoding {
        Encoding::Records { compression, .. } if !compression.is_joinable() => {
            return Err(Error::new(ErrorKind::Internal, "parts of this compression cannot be joined"));
        }
        Encoding::Records { compression, level, charset, .. } => {
            let mut packer = Packer::new(*compression, *level, "");
            let end = stage.records.as_ref().map_or(b"\n".as_slice(), |records| records.record_end());
            let encoded = charset.encode(end.to_vec()).unwrap_or_default();
            let packed = packer.pack(encoded).map(|piece| packer.add(piece))?;
            let open = |old: &Path| {
                let ended = is_ended(old, end, (*compression, *charset))?;
                Ok(if ended { Vec::new() } else { packed.clone() })
            };
            join_bytes((old, &paths), open, out)?;
        }
        // The header and the marker of the parts are those of the old file.
        Encoding::Avro(_) => join_bytes((old, &paths), |_| Ok(Vec::new()), out)?,
        Encoding::Parquet(settings) => join_parquet(landing, settings, (old, &paths), out)?,
        Encoding::Arrow(codec) => join_arrow(stage, landing, *codec, (old, &paths), out)?,
        // There is one writer, which makes one part.
        Encoding::Workbook(_) => return Err(Error::new(ErrorKind::Internal, "workbooks cannot be joined")),
    }
    sync(draft)
}

/// Copies the old file and the parts without their headers; `between` gives what comes after the old file.
fn join_bytes(
    (old, parts): (Option<&Path>, &[(PathBuf, u64)]),
    between: impl Fn(&Path) -> Result<Vec<u8>>,
    mut out: BufWriter<fs::File>,
) -> Result<()> {
    if let Some(old) = old {
        std::io::copy(&mut fs::File::open(old)?, out.get_mut())?;
        out.write_all(&between(old)?)?;
        out.flush()?;
    }
    for (index, (path, header)) in parts.iter().enumerate() {
        let mut part = fs::File::open(path)?;
        if index > 0 || old.is_some() {
            part.seek(SeekFrom::Start(*header))?;
        }
        // From file to file the system copies without coming through this process.
        std::io::copy(&mut part, out.get_mut())?;
    }
    Ok(out.flush()?)
}

/// Whether `end` stands behind the last record of a file, or there is none. Where it is a line end any other is one, too.
fn is_ended(path: &Path, end: &[u8], (compression, charset): (Compression, Charset)) -> Result<bool> {
    let mut file = fs::File::open(path)?;
    if compression == Compression::None && charset == Charset::Utf8 {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(end.len() as u64)))?;
    }
    let mut reader = charset.reader(compress::reader(compression, file)?);
    let (mut buffer, mut last) = (vec![0; BUFFER_BYTES], Vec::new());
    loop {
        let bytes = reader.read(&mut buffer).map_err(compress::damage)?;
        if bytes == 0 {
            break;
        }
        last.extend_from_slice(&buffer[bytes.saturating_sub(end.len())..bytes]);
        last.drain(..last.len().saturating_sub(end.len()));
    }
    let is_line_end = matches!(end, b"\n" | b"\r\n") && last.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r'));
    Ok(last.is_empty() || is_line_end || last.ends_with(end))
}

fn join_parquet(
    landing: &Landing,
    settings: &parquet::Settings,
    (old, parts): (Option<&Path>, &[(PathBuf, u64)]),
    out: BufWriter<fs::File>,
) -> Result<()> {
    let all: Vec<&Path> = old.into_iter().chain(parts.iter().map(|(path, _)| path.as_path())).collect();
    let layout = match all.first() {
        Some(first) => Some(parquet::File::open(&Chunks::open(first)?)?.layout()),
        None => None,
    };
    let mut joiner = parquet::Joiner::new(out, &landing.schema, settings, layout)?;
    for path in all {
        joiner.append(&Chunks::open(path)?)?;
    }
    joiner.finish()?.flush()?;
    Ok(())
}

fn join_arrow(
    stage: &Stage,
    landing: &Landing,
    codec: ipc::Codec,
    (old, parts): (Option<&Path>, &[(PathBuf, u64)]),
    mut out: BufWriter<fs::File>,
) -> Result<()> {
    let kind = if landing.format == Format::Arrow { ipc::Kind::File } else { ipc::Kind::Stream };
    let rewritten = old.map(|old| rewrite_arrow(stage, landing, (kind, codec), old)).transpose()?;
    let (mut joiner, start) = ipc::Joiner::new(kind, &landing.schema)?;
    out.write_all(&start)?;
    for (path, header) in rewritten.iter().chain(parts) {
        let ranges = match kind {
            ipc::Kind::File => joiner.file(&Chunks::open(path)?)?,
            ipc::Kind::Stream => std::iter::once(joiner.stream(&Chunks::open(path)?, *header)?).collect(),
        };
        let mut from = fs::File::open(path)?;
        for range in ranges {
            from.seek(SeekFrom::Start(range.start))?;
            std::io::copy(&mut Read::by_ref(&mut from).take(range.end - range.start), &mut out)?;
        }
    }
    out.write_all(&joiner.finish())?;
    Ok(out.flush()?)
}

/// The old file with messages that may stand beside ours, and the bytes of its header: the file itself, or a copy in
/// the stage where it is laid out differently.
fn rewrite_arrow(
    stage: &Stage,
    landing: &Landing,
    (kind, codec): (ipc::Kind, ipc::Codec),
    old: &Path,
) -> Result<(PathBuf, u64)> {
    if kind == ipc::Kind::File && ipc::File::open(&Chunks::open(old)?)?.is_joinable(&landing.schema) {
        return Ok((old.to_owned(), 0));
    }
    let path = stage.part("rewritten");
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, fs::File::create(&path)?);
    let mut encoder = ipc::Encoder::new(kind, &landing.schema, codec)?;
    let start = encoder.take();
    out.write_all(&start)?;
    if kind == ipc::Kind::File {
        let chunks = Chunks::open(old)?;
        let file = ipc::File::open(&chunks)?;
        let decoder = file.decoder(&chunks, file.schema())?;
        for index in 0..file.batch_bytes().count() {
            let batch = decoder.decode(&file.batch(&chunks, index)?)?;
            encoder.encode(&plain::select(&batch, &landing.schema)?)?;
            out.write_all(&encoder.take())?;
        }
    } else {
        let mut stream = ipc::Stream::open(compress::reader(Compression::None, fs::File::open(old)?)?)?;
        while let Some(batch) = stream.next_batch(&landing.schema)? {
            encoder.encode(&batch)?;
            out.write_all(&encoder.take())?;
        }
    }
    encoder.finish()?;
    out.write_all(&encoder.take())?;
    out.flush()?;
    Ok((path, start.len() as u64))
}

/// Makes the bytes of a file durable.
pub(super) fn sync(path: &Path) -> Result<()> {
    Ok(fs::File::open(path)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(stage: &Stage, name: &str, text: &str) -> Part {
        fs::write(stage.part(name), text).unwrap();
        Part { name: name.to_owned(), rows: 1, bytes: text.len() as u64, header: 2 }
    }

    #[test]
    fn a_join_of_text_goes_on_where_it_was_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::named(folder.path(), "t");
        fs::create_dir(&stage.folder).unwrap();
        let first = part(&stage, "1", "h\none\n");
        let rest = [part(&stage, "2", "h\ntwo\n"), part(&stage, "3", "h\nthree\n"), part(&stage, "4", "h\n")];
        // The second part was added and removed, of the third only a piece was added.
        fs::write(stage.part("1"), "h\none\ntwo\nth").unwrap();
        fs::remove_file(stage.part("2")).unwrap();
        for _ in 0..2 {
            lengthen(&stage, &first, &rest).unwrap();
            assert_eq!(fs::read_to_string(stage.part("1")).unwrap(), "h\none\ntwo\nthree\n");
            assert!(!stage.part("3").exists());
        }
        let (alone, lost) = (part(&stage, "5", "h\nfive\n"), part(&stage, "6", "h\nsix\n"));
        fs::remove_file(stage.part("6")).unwrap();
        assert_eq!(lengthen(&stage, &alone, &[lost]).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
