//! From the driver's errors to ours: the one place that reads error numbers.
//!
//! A message of the server may quote values: of numbers that do so the sentence is ours. What is kept as the cause is the number.
//! Source: "Database Engine events and errors" of Microsoft's documentation.

use std::error::Error as StdError;
use std::fmt;

use tiberius::error::{Error as Driver, IoErrorKind, TokenError};

use crate::error::{Error, ErrorKind};
use crate::sql::message::lower_start;

/// What the server answered, without values: the cause of an [`Error`].
#[derive(Debug)]
pub(super) struct ServerReply {
    number: u32,
}

impl fmt::Display for ServerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.number)
    }
}

impl StdError for ServerReply {}

/// Numbers that decide what is done next.
pub(super) mod number {
    pub(in super::super) const LOCK_TIMEOUT: u32 = 1222;
}

/// The number behind one of our errors.
pub(super) fn number_of(error: &Error) -> Option<u32> {
    Some(StdError::source(error)?.downcast_ref::<ServerReply>()?.number)
}

/// Our error for one of the driver.
pub(super) fn of_driver(error: Driver) -> Error {
    let (kind, message) = match error {
        Driver::Server(reply) => return of_server(&reply),
        Driver::Io { kind: IoErrorKind::TimedOut, .. } => (ErrorKind::Timeout, "the server did not answer in time"),
        Driver::Io { .. } => (ErrorKind::Connection, "the connection to the server broke"),
        Driver::Encoding(_) => (ErrorKind::Unsupported, "a text is in a code page that is not known here"),
        Driver::Utf8 | Driver::Utf16 => (ErrorKind::Corrupt, "a text is not in the encoding that the server says"),
        Driver::BulkInput(_) => (ErrorKind::Internal, "a value was not made for the column that it went into"),
        Driver::Tls(_) => (ErrorKind::Connection, "the TLS connection broke"),
        Driver::Routing { .. } => (ErrorKind::Connection, "the server sends us from one address to another"),
        Driver::Protocol(ref text) if text.contains("UTF-16") => {
            (ErrorKind::Corrupt, "a text holds half a letter of UTF-16, which is no Unicode")
        }
        Driver::Protocol(_) | Driver::Conversion(_) | Driver::ParseInt(_) => {
            (ErrorKind::Corrupt, "the server sent what the driver does not understand")
        }
    };
    // Its own text may quote a value: of a broken connection alone it says something that is none.
    match &error {
        Driver::Io { message: told, .. } => Error::new(kind, message).with_source(std::io::Error::other(told.clone())),
        Driver::Encoding(_) => Error::new(kind, message).with_hint("cast the column to nvarchar in --query"),
        _ => Error::new(kind, message),
    }
}

fn of_server(reply: &TokenError) -> Error {
    told(reply.code(), reply.message())
}

/// Our error for what the server said under `number`.
fn told(number: u32, message: &str) -> Error {
    let kind = kind_of(number);
    let error = Error::new(kind, sentence(number, kind, message)).with_source(ServerReply { number });
    match advice(number) {
        Some(advice) => error.with_hint(advice),
        None => error,
    }
}

fn kind_of(number: u32) -> ErrorKind {
    match number {
        18_452 | 18_456 | 18_486 | 18_487 | 18_488 => ErrorKind::Authentication,
        4060 | 208 | 207 | 911 | 2812 | 3701 | 4902 | 15_151 => ErrorKind::NotFound,
        2714 | 2705 | 1913 | 1801 => ErrorKind::AlreadyExists,
        229 | 230 | 262 | 297 | 300 | 916 | 1088 | 3906 | 15_247 => ErrorKind::Permission,
        1205 | 3960 | 3961 | 40_197 | 40_501 | 40_613 | 49_918 | 49_919 | 49_920 | 10_928 | 10_929 | 4221 => {
            ErrorKind::Transient
        }
        1222 => ErrorKind::Busy,
        547 | 515 | 2601 | 2627 => ErrorKind::Constraint,
        2628 | 8152 | 220 | 232 | 241 | 242 | 244 | 245 | 248 | 295 | 296 | 517 | 8114 | 8115 | 8169 | 9402 | 9420 => {
            ErrorKind::Value
        }
        701 | 802 | 1101 | 1105 | 8645 | 9002 | 40_544 => ErrorKind::Resource,
        3952 | 40_515 => ErrorKind::Unsupported,
        823..=825 => ErrorKind::Corrupt,
        _ => ErrorKind::Usage,
    }
}

/// The message without values.
fn sentence(number: u32, kind: ErrorKind, message: &str) -> String {
    let fixed = match number {
        515 => "the target refuses a row: a column takes no NULL",
        547 => "the target refuses a row: a constraint or a foreign key stands against it",
        2601 | 2627 => "the target refuses a row: its key is there already",
        2628 | 8152 => "a text or value is too long for its column",
        220 | 232 | 244 | 248 | 8115 => "a number is beyond the range of its column",
        241 | 242 | 295 | 296 | 517 => "a text is no date or time, or one beyond the range of its column",
        245 | 8114 | 8169 => "a text is none of the type of its column",
        9402 | 9420 => "a text is no XML that the server takes",
        3952 => "the database allows no snapshots",
        18_456 => "the server refuses this user or password",
        _ if matches!(kind, ErrorKind::Value | ErrorKind::Constraint) => "the server refuses a value",
        _ => return lower_start(message.trim().trim_end_matches('.')),
    };
    fixed.to_owned()
}

fn advice(number: u32) -> Option<&'static str> {
    Some(match number {
        1222 => "somebody else holds a lock on it: try again when it has ended",
        4060 => "check the name of the database in the URL, and whether the login may use it",
        9002 => "the transaction log is full: back it up, or let it grow",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_what_is_wrong() {
        let kinds = [
            (18_456, ErrorKind::Authentication),
            (208, ErrorKind::NotFound),
            (1205, ErrorKind::Transient),
            (2627, ErrorKind::Constraint),
            (8115, ErrorKind::Value),
            (102, ErrorKind::Usage),
        ];
        for (number, kind) in kinds {
            let error = told(number, "Something is wrong.");
            assert_eq!((error.kind(), number_of(&error)), (kind, Some(number)));
        }
        assert_eq!(told(102, "Incorrect syntax near 'x'.").message(), "incorrect syntax near 'x'");
    }

    #[test]
    fn no_message_shows_a_value() {
        for number in [245, 2627, 2628, 547, 8114] {
            let error = told(number, "The duplicate key value is (secret).");
            assert!(!format!("{error:?} {error}").contains("secret"), "{number}");
        }
    }
}
