//! From the server's errors to ours: the one place that reads error codes.
//!
//! A message of the server may quote values: of codes that do so the sentence is ours. What is kept as the cause is the code.
//! Source: `ErrorCodes.cpp` lists the codes; `system.errors` shows them.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{Error, ErrorKind};

/// Letters of a message that are repeated.
const MESSAGE_CHARS: usize = 400;

/// What the server answered, without values: the cause of an [`Error`].
#[derive(Debug)]
pub(super) struct ServerReply {
    code: u32,
    name: String,
}

impl fmt::Display for ServerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {} ({})", self.code, self.name)
    }
}

impl StdError for ServerReply {}

/// Codes that decide what is done next.
pub(super) mod code {
    pub(in super::super) const UNKNOWN_TABLE: u32 = 60;
    pub(in super::super) const UNKNOWN_DATABASE: u32 = 81;
}

/// The code behind one of our errors.
pub(super) fn code_of(error: &Error) -> Option<u32> {
    Some(error.source()?.downcast_ref::<ServerReply>()?.code)
}

/// Our error for the text of an exception: `Code: 60. DB::Exception: Table a.b does not exist. (UNKNOWN_TABLE)`.
pub(super) fn of_text(text: &str) -> Error {
    let text = text.find("Code: ").map_or(text, |start| &text[start..]);
    let number = text.strip_prefix("Code: ").and_then(|rest| rest.split_once('.')).map(|(number, _)| number);
    let code = number.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
    let message = text.split_once("DB::Exception:").map_or(text, |(_, message)| message).trim();
    of_server(code, message)
}

/// Whether `text` holds the text of an exception.
pub(super) fn is_exception(text: &str) -> bool {
    text.contains("DB::Exception:")
}

/// Our error for what the server said under `code`.
fn of_server(code: u32, message: &str) -> Error {
    // What stands behind the name of the code is the version, and what follows that is no part of the message.
    let (message, name) = match message.rfind('_').and_then(|at| message[..at].rfind('(').map(|open| (open, at))) {
        Some((open, _)) => {
            let name: String =
                message[open + 1..].chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            if name.is_empty() { (message, "no name".to_owned()) } else { (message[..open].trim_end(), name) }
        }
        None => (message, "no name".to_owned()),
    };
    let kind = kind_of(code);
    let error = Error::new(kind, sentence(code, kind, message)).with_source(ServerReply { code, name });
    match advice(code) {
        Some(advice) => error.with_hint(advice),
        None => error,
    }
}

fn kind_of(code: u32) -> ErrorKind {
    match code {
        16 | 60 | 81 => ErrorKind::NotFound,
        57 | 82 => ErrorKind::AlreadyExists,
        164 | 291 | 497 => ErrorKind::Permission,
        192..=194 | 516 => ErrorKind::Authentication,
        159 | 160 | 209 => ErrorKind::Timeout,
        202 | 225 | 242 | 252 | 319 | 473 | 999 => ErrorKind::Transient,
        210 | 279 => ErrorKind::Connection,
        158 | 173 | 241 | 243 | 307 | 396 => ErrorKind::Resource,
        349 | 469 => ErrorKind::Constraint,
        6 | 25..=27 | 38 | 41 | 53 | 69 | 70 | 72 | 117 | 131 | 153 | 321 | 395 | 407 | 691 => ErrorKind::Value,
        394 => ErrorKind::Cancelled,
        48 | 115 | 344 => ErrorKind::Unsupported,
        33 => ErrorKind::Corrupt,
        _ => ErrorKind::Usage,
    }
}

/// The message without values.
fn sentence(code: u32, kind: ErrorKind, message: &str) -> String {
    let fixed = match code {
        349 => "a column takes no NULL",
        469 => "the target refuses a row: it breaks a rule of the table",
        516 | 192..=194 => "the server refuses this user or password",
        _ => "",
    };
    if !fixed.is_empty() {
        return fixed.to_owned();
    }
    if kind == ErrorKind::Value || kind == ErrorKind::Corrupt {
        return "a value does not fit the type or function that takes it".to_owned();
    }
    let short: String = message.lines().next().unwrap_or_default().chars().take(MESSAGE_CHARS).collect();
    format!("ClickHouse refuses this: {}", short.trim_end().trim_end_matches('.'))
}

fn advice(code: u32) -> Option<&'static str> {
    Some(match code {
        115 => "this server is too old or its settings are restricted: see the limits of the connector",
        164 => "the user may not change settings: give it a profile with readonly = 2 or 0",
        252 => "too many parts wait to be merged: try again later, or with fewer channels",
        321 => "a Time that is negative or beyond a day can be read as text: --query with toString(column)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_have_kind_and_code_and_no_values() {
        let table = of_text("Code: 60. DB::Exception: Table a.b does not exist. (UNKNOWN_TABLE) (version 26.9.2.1)");
        assert_eq!((table.kind(), code_of(&table)), (ErrorKind::NotFound, Some(code::UNKNOWN_TABLE)));
        assert_eq!(table.message(), "ClickHouse refuses this: Table a.b does not exist");
        assert!(table.source().unwrap().to_string().contains("60 (UNKNOWN_TABLE)"));
        let value = of_text("x Code: 6. DB::Exception: Cannot parse string 'secret' as UInt8. (CANNOT_PARSE_TEXT)");
        assert_eq!(value.kind(), ErrorKind::Value);
        assert!(!value.to_string().contains("secret"));
        assert_eq!(of_text("<html>").kind(), ErrorKind::Usage);
    }
}
