//! The one error type: what kind it is, where it happened, and what caused it.
//!
//! A kind says what the caller can do, never which product failed. Frames are added at the borders
//! (job, connector, object, task, row) as the error travels up. Messages carry no secrets and no cell values.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use arrow::error::ArrowError;

/// Result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is: decides the retry, the exit code and the hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The command line, a job, an option or an expression is wrong.
    Usage,
    /// A file, table, column or database is not there.
    NotFound,
    /// The target exists and the mode does not allow to touch it.
    AlreadyExists,
    /// The server or the file system refuses this user.
    Permission,
    /// Name or password is wrong.
    Authentication,
    /// The server cannot be reached, or the connection broke.
    Connection,
    /// Something took longer than its limit.
    Timeout,
    /// Another run is at the same.
    Busy,
    /// A deadlock, a serialization failure, a server that is starting: the same again may work.
    Transient,
    /// Source and target do not fit each other.
    Schema,
    /// A value does not fit its type, column or expression.
    Value,
    /// The target refuses a row: unique, foreign key, check, not null.
    Constraint,
    /// The input is damaged: truncated, malformed, wrong checksum.
    Corrupt,
    /// Memory or disk is exhausted.
    Resource,
    /// Reading or writing a file failed for another reason.
    Io,
    /// This connector, server or type cannot do it.
    Unsupported,
    /// Two things that should be equal are not: source and target, or what a target was sent and what it holds.
    Mismatch,
    /// Stopped by the user or by the failure of another part.
    Cancelled,
    /// What was asked for was refused when the run had begun to change something: SQL of the user, for one.
    Step,
    /// A defect of this program.
    Internal,
}

/// One place on the way of an error: `table public.orders`, `column amount`, `row 7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is, in one word: `job`, `object`, `column`, `row`, `line`, `split`, `task`.
    pub what: Cow<'static, str>,
    /// Which one it is.
    pub which: String,
}

/// Words for what holds rows: several borders know it, each by its own word.
const HOLDERS: [&str; 8] = ["source", "target", "table", "object", "file", "folder", "glob", "database"];

impl Frame {
    /// Whether `other` says nothing new: the same again, or the same table or file under another word.
    fn same_place(&self, other: &Self) -> bool {
        let holder = |frame: &Self| HOLDERS.contains(&&*frame.what);
        // The locator `sqlite:/a.db` names the file `/a.db`.
        let name = |frame: &Self| frame.which.split_once(':').map_or(frame.which.clone(), |(_, path)| path.to_owned());
        self == other || holder(self) && holder(other) && (self.which == other.which || self.which == name(other))
    }
}

/// Kind, message, frames and source of a failure. One pointer wide.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    frames: Vec<Frame>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with one clear sentence that starts in lower case and has no final stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), hint: None, frames: Vec::new(), source: None }))
    }

    /// Keeps the cause. Its text is printed after ours, never merged into it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the user can do about this very case; replaces the general hint of the kind.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds one place, from the inside outwards. A place that is named already is not named again.
    #[must_use]
    pub fn at(mut self, what: impl Into<Cow<'static, str>>, which: impl fmt::Display) -> Self {
        let frame = Frame { what: what.into(), which: which.to_string() };
        if !self.0.frames.iter().any(|known| known.same_place(&frame)) {
            self.0.frames.push(frame);
        }
        self
    }

    /// Changes the places: a border that knows better, such as which row of the source the tenth row of a task is.
    #[must_use]
    pub fn map_frames(mut self, change: impl FnOnce(&mut Vec<Frame>)) -> Self {
        change(&mut self.0.frames);
        self
    }

    /// The same failure as another kind.
    #[must_use]
    pub fn as_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The kind of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence without places and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The places, innermost first.
    pub fn frames(&self) -> &[Frame] {
        &self.0.frames
    }

    /// What to do: the advice of this case, else that of its kind.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref().or_else(|| hint(self.0.kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for frame in self.0.frames.iter().rev() {
            write!(f, "{} {}: ", frame.what, frame.which)?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// Adds a place to the error of a result.
pub trait Context<T> {
    /// See [`Error::at`]. `which` is only made for an error.
    fn at<D: fmt::Display>(self, what: &'static str, which: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn at<D: fmt::Display>(self, what: &'static str, which: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.into().at(what, which()))
    }
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, message) = match source.kind() {
            Io::NotFound => (ErrorKind::NotFound, "it does not exist"),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => (ErrorKind::Permission, "access is denied"),
            Io::AlreadyExists => (ErrorKind::AlreadyExists, "it exists already"),
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => (ErrorKind::Resource, "the disk is full"),
            Io::OutOfMemory => (ErrorKind::Resource, "memory is exhausted"),
            Io::TimedOut => (ErrorKind::Timeout, "it took too long"),
            Io::UnexpectedEof => (ErrorKind::Corrupt, "the data end too early"),
            Io::ConnectionRefused | Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::NotConnected => {
                (ErrorKind::Connection, "the connection broke")
            }
            _ => (ErrorKind::Io, "reading or writing failed"),
        };
        let error = Self::new(kind, message).with_source(source);
        if kind == ErrorKind::NotFound {
            error.with_hint("check the name; a path begins in the current folder")
        } else {
            error
        }
    }
}

impl From<ArrowError> for Error {
    fn from(source: ArrowError) -> Self {
        let kind = match &source {
            ArrowError::ParseError(_)
            | ArrowError::CastError(_)
            | ArrowError::ComputeError(_)
            | ArrowError::DivideByZero
            | ArrowError::ArithmeticOverflow(_) => ErrorKind::Value,
            ArrowError::SchemaError(_) => ErrorKind::Schema,
            ArrowError::IpcError(_) | ArrowError::ParquetError(_) => ErrorKind::Corrupt,
            ArrowError::MemoryError(_) => ErrorKind::Resource,
            ArrowError::NotYetImplemented(_) => ErrorKind::Unsupported,
            _ => ErrorKind::Internal,
        };
        match source {
            ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(own) => *own,
                Err(other) => Self::new(kind, "a column operation failed").with_source(other),
            },
            source => Self::new(kind, "a column operation failed").with_source(source),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(source: serde_json::Error) -> Self {
        Self::new(ErrorKind::Usage, "this JSON is not what was expected").with_source(source)
    }
}

/// Whether the same again may succeed.
pub fn retry(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::Transient)
}

/// Exit code of the program: 1 the run failed, 2 bad usage or bad job, 4 a mismatch, 5 interrupted.
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::Mismatch => 4,
        ErrorKind::Cancelled => 5,
        _ => 1,
    }
}

/// General advice for a kind of failure.
pub fn hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::AlreadyExists => Some("use --mode append, truncate or replace, or name another target"),
        ErrorKind::NotFound => Some("check the name"),
        ErrorKind::Permission => Some("ask for the right, or run as another user"),
        ErrorKind::Value => Some("leave such rows out with --where, or mend them with --set or --cast"),
        ErrorKind::Constraint => Some("mend such rows or leave them out with --where, or change the target's rule"),
        ErrorKind::Transient => Some("try again in a moment"),
        ErrorKind::Corrupt => Some("get it anew from where it came from"),
        ErrorKind::Authentication => Some("check the user name and the password"),
        ErrorKind::Connection => Some("check host, port and that the server runs"),
        ErrorKind::Resource => Some("free some space or memory, or lower --memory and --jobs"),
        ErrorKind::Internal => Some("this is a defect of etl: please report it"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frames: &[(&'static str, &str)]) -> String {
        let error = Error::new(ErrorKind::Value, "bad");
        frames.iter().fold(error, |error, (what, which)| error.at(*what, which)).to_string()
    }

    #[test]
    fn no_place_is_named_twice() {
        assert_eq!(text(&[("table", "t"), ("row", "1"), ("table", "t")]), "row 1: table t: bad");
        assert_eq!(text(&[("file", "/a.csv"), ("source", "/a.csv")]), "file /a.csv: bad");
        assert_eq!(text(&[("database", "/a.db"), ("source", "sqlite:/a.db")]), "database /a.db: bad");
        assert_eq!(text(&[("column", "t"), ("table", "t")]), "table t: column t: bad");
        assert_eq!(text(&[("column", "1"), ("row", "1")]), "row 1: column 1: bad");
    }
}
