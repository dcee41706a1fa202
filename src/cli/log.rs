//! The log file: what stderr is told, a line at a time, each with its time.
//!
//! A file that has become too large is renamed, with `.1` behind its name, in the place of the one before it. One that cannot be
//! written any more is given up: a run does not fail for its log.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use chrono::Utc;
use clap::{Args, ValueEnum};
use parking_lot::Mutex;

use super::settings::usage;
use super::size::LogPath;
use crate::error::Result;
use crate::job::{LogFile, LogLevel};

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct LogArgs {
    /// Say it in FILE, too, with times; beyond 10MiB it is FILE.1
    #[arg(long, value_name = "FILE[:SIZE]")]
    log: Option<LogPath>,
    /// What of it: all, note (and failures) or error [default: all]
    #[arg(long, value_enum, value_name = "LEVEL", hide_possible_values = true, requires = "log")]
    log_level: Option<Said>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Said {
    /// Failures
    Error,
    /// And notes
    Note,
    /// And all else
    All,
}

impl LogArgs {
    /// The file that is asked for.
    pub(super) fn file(&self) -> Option<LogFile> {
        let LogPath { path, bytes } = self.log.clone()?;
        let level = match self.log_level {
            Some(Said::Error) => LogLevel::Error,
            Some(Said::Note) => LogLevel::Note,
            Some(Said::All) | None => LogLevel::All,
        };
        Some(LogFile { path, bytes, level })
    }
}

/// The one log of this process.
static LOG: Mutex<Option<Log>> = Mutex::new(None);

/// Writes from now on what is said into `file` as well.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) for a file that cannot be written.
pub(super) fn open(file: &LogFile) -> Result<()> {
    let opened = Log::open(file.clone()).map_err(|error| {
        usage("the log cannot be written").at("file", &file.path).with_source(error).with_hint("name another file")
    })?;
    *LOG.lock() = Some(opened);
    Ok(())
}

/// Writes the lines of `text`. Why it cannot, once: after that it is not tried again.
pub(super) fn say(text: &str) -> Option<String> {
    let mut log = LOG.lock();
    let open = log.as_mut()?;
    let error = open.say(text).err()?;
    let path = open.file.path.clone();
    *log = None;
    Some(format!("note: the log {path} is not written any more: {error}"))
}

struct Log {
    file: LogFile,
    out: File,
    bytes: u64,
}

impl Log {
    fn open(file: LogFile) -> io::Result<Self> {
        if let Some(folder) = Path::new(&file.path).parent() {
            fs::create_dir_all(folder)?;
        }
        let out = File::options().append(true).create(true).open(&file.path)?;
        let bytes = out.metadata()?.len();
        Ok(Self { file, out, bytes })
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        let mut level = LogLevel::All;
        for line in text.lines() {
            level = level_of(line, level);
            if level <= self.file.level {
                self.write(line)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{} {line}\n", Utc::now().format("%Y-%m-%dT%H:%M:%S%.3fZ"));
        let bytes = line.len() as u64;
        if self.bytes > 0 && self.bytes + bytes > self.file.bytes {
            fs::rename(&self.file.path, format!("{}.1", self.file.path))?;
            *self = Self::open(self.file.clone())?;
        }
        self.out.write_all(line.as_bytes())?;
        self.bytes += bytes;
        Ok(())
    }
}

/// What a line of talk is, behind one that was of `before`: what belongs to a failure or a note stands behind blanks.
fn level_of(line: &str, before: LogLevel) -> LogLevel {
    let begins = |words: [&str; 2]| words.iter().any(|word| line.starts_with(word));
    if begins(["error: ", "{\"event\":\"failed\""]) {
        return LogLevel::Error;
    }
    if begins(["note: ", "{\"event\":\"note\""]) {
        return LogLevel::Note;
    }
    if line.starts_with("  ") { before } else { LogLevel::All }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(level: LogLevel, bytes: u64, texts: &[&str]) -> [String; 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.log").to_str().unwrap().to_owned();
        let mut log = Log::open(LogFile { path: path.clone(), bytes, level }).unwrap();
        for text in texts {
            log.say(text).unwrap();
        }
        [path.clone(), format!("{path}.1")].map(|path| fs::read_to_string(path).unwrap_or_default())
    }

    /// The lines without their times, which are of one form.
    fn lines(text: &str) -> Vec<&str> {
        let plain = |line| {
            let (time, said) = str::split_once(line, ' ').unwrap();
            assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok() && time.len() == 24, "{line}");
            said
        };
        text.lines().map(plain).collect()
    }

    #[test]
    fn a_level_takes_what_is_as_grave_and_all_that_belongs_to_it() {
        let texts = ["3 rows\n  2 tasks\nnote: so", "error: it broke\n  caused by: that\n  hint: mend it", "note: and"];
        let of = |level| said(level, 1 << 20, &texts)[0].clone();
        assert_eq!(lines(&of(LogLevel::Error)), ["error: it broke", "  caused by: that", "  hint: mend it"]);
        assert_eq!(lines(&of(LogLevel::Note)).len(), 5);
        assert_eq!(lines(&of(LogLevel::All)).len(), 7);
        assert_eq!(level_of("{\"event\":\"failed\",\"kind\":1}", LogLevel::All), LogLevel::Error);
    }

    #[test]
    fn a_large_log_is_begun_anew_and_the_last_lines_stay() {
        let numbers: Vec<String> = (0..10).map(|at| format!("line {at}")).collect();
        let texts: Vec<&str> = numbers.iter().map(String::as_str).collect();
        // Three lines of 32 bytes.
        let [now, before] = said(LogLevel::All, 100, &texts);
        assert_eq!(lines(&now), ["line 9"]);
        assert_eq!(lines(&before), ["line 6", "line 7", "line 8"]);
    }
}
