//! A file for what is said, beside stderr, where a job file asks for one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chrono::Local;
use uuid::Uuid;

use crate::error::{Context as _, Result};
use crate::job::dialect::{LogFile, LogLevel};

static LOG: Mutex<Option<Log>> = Mutex::new(None);

struct Log {
    file: File,
    level: LogLevel,
}

/// From now on what is said is written to a new file, too.
pub(super) fn open(log: &LogFile) -> Result<()> {
    let path = Path::new(&log.folder).join(format!("{}.log", Uuid::now_v7().simple()));
    let file = fs::create_dir_all(&log.folder).and_then(|()| File::create_new(&path));
    let file = file.at("log", || path.display())?;
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(Log { file, level: log.level });
    Ok(())
}

/// Writes `text`, where there is a log and its level wants it. After an error there is none any more.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(Log { file, level }) = &mut *log else { return Ok(()) };
    let (of_text, word) = level_of(text);
    if of_text > *level {
        return Ok(());
    }
    let line = format!("{} {word} {text}\n", Local::now().format("%Y-%m-%d %H:%M:%S%.3f"));
    let written = file.write_all(line.as_bytes());
    if written.is_err() {
        *log = None;
    }
    written
}

/// How much a text matters, and the word for that.
fn level_of(text: &str) -> (LogLevel, &'static str) {
    if text.starts_with("error: ") {
        (LogLevel::Error, "ERROR")
    } else if text.starts_with("note: ") {
        (LogLevel::Warning, "WARN")
    } else {
        (LogLevel::All, "INFO")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_written_where_the_level_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        write("note: quince").unwrap();
        open(&LogFile { folder: inner.display().to_string(), level: LogLevel::Warning }).unwrap();
        for text in ["error: one", "note: two", "3 quinces"] {
            write(text).unwrap();
        }
        *LOG.lock().unwrap() = None;
        write("note: medlar").unwrap();
        let files: Vec<_> = fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        let text = fs::read_to_string(&files[0]).unwrap();
        // Other tests of this process may say something meanwhile.
        assert!(text.contains(" ERROR error: one\n") && text.contains(" WARN note: two\n"), "{text}");
        assert!(["quince", "medlar"].iter().all(|absent| !text.contains(absent)), "{text}");
    }
}
