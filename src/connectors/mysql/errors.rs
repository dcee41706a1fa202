//! From the server's errors to ours: the one place that reads error codes.
//!
//! A message of the server may quote values: of codes that do so the sentence is ours. What is kept as the cause is the code.
//! Source: "Server Error Message Reference" of MySQL and "MariaDB Error Code Reference".

use std::error::Error as StdError;
use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::sql::message::{blanked, lower_start};

/// What the server answered, without values: the cause of an [`Error`].
#[derive(Debug)]
pub(super) struct ServerReply {
    code: u16,
    state: String,
}

impl fmt::Display for ServerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state.as_str() {
            // Warnings have none.
            "" => write!(f, "the server answered {}", self.code),
            state => write!(f, "the server answered {} ({state})", self.code),
        }
    }
}

impl StdError for ServerReply {}

/// Codes that decide what is done next.
pub(super) mod code {
    pub(in super::super) const NO_SUCH_TABLE: u16 = 1146;
    pub(in super::super) const LOCK_WAIT_TIMEOUT: u16 = 1205;
    pub(in super::super) const DUPLICATE: u16 = 1062;
    pub(in super::super) const NO_SUCH_THREAD: u16 = 1094;
    pub(in super::super) const KEY_WITHOUT_LENGTH: u16 = 1170;
    pub(in super::super) const KEY_EXISTS: u16 = 1061;
}

/// The code behind one of our errors.
pub(super) fn code_of(error: &Error) -> Option<u16> {
    Some(error.source()?.downcast_ref::<ServerReply>()?.code)
}

/// Whether the server said so itself, and the connection goes on.
pub(super) fn is_reply(error: &Error) -> bool {
    error.source().is_some_and(<dyn StdError>::is::<ServerReply>)
}

/// An error of ours that leaves the connection as it is.
pub(super) fn refused(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message).with_source(ServerReply { code: 0, state: "HY000".to_owned() })
}

/// Our error for an error packet.
pub(super) fn of_packet(packet: &[u8]) -> Error {
    let code = packet.get(1..3).map_or(0, |code| u16::from_le_bytes([code[0], code[1]]));
    let rest = packet.get(3..).unwrap_or_default();
    let (state, message) = match rest {
        [b'#', rest @ ..] if rest.len() >= 5 => rest.split_at(5),
        rest => (b"HY000".as_slice(), rest),
    };
    of_server(code, &String::from_utf8_lossy(state), &String::from_utf8_lossy(message))
}

/// Our error for what the server said under `code`.
pub(super) fn of_server(code: u16, state: &str, message: &str) -> Error {
    let kind = kind_of(code, state);
    let reply = ServerReply { code, state: state.to_owned() };
    let error = Error::new(kind, sentence(code, kind, message)).with_source(reply);
    let error = match advice(code) {
        Some(advice) => error.with_hint(advice),
        None => error,
    };
    match named_column(code, message) {
        Some(column) => error.at("column", column),
        None => error,
    }
}

/// The kind of a failure that the server reports under `code`.
fn kind_of(code: u16, state: &str) -> ErrorKind {
    match code {
        1040 | 1203 | 1226 | 1213 | 3572 | 1412 | 1614 => ErrorKind::Transient,
        1049 | 1051 | 1054 | 1109 | 1146 | 1305 => ErrorKind::NotFound,
        1007 | 1050 | 1061 => ErrorKind::AlreadyExists,
        1044 | 1142 | 1143 | 1227 | 1290 | 1370 | 1410 | 3948 | 1148 => ErrorKind::Permission,
        1045 | 1251 | 1698 | 1862 | 2059 => ErrorKind::Authentication,
        1205 | 1317 | 1969 | 3024 | 1907 => ErrorKind::Timeout,
        1053 | 1152 | 1158..=1161 | 1927 => ErrorKind::Connection,
        1021 | 1037 | 1038 | 1041 | 1114 | 1135 | 1153 | 1301 => ErrorKind::Resource,
        1034 | 1194 | 1195 => ErrorKind::Corrupt,
        1115 | 1235 | 1273 => ErrorKind::Unsupported,
        1048 | 1062 | 1169 | 1216 | 1217 | 1364 | 1451 | 1452 | 1557 | 1586 | 3819 | 4025 | 1644 => {
            ErrorKind::Constraint
        }
        1264..=1266 | 1292 | 1366 | 1406 | 1411 | 1416 | 1525 | 1690 | 3140 | 3141 | 1300 | 4079 => ErrorKind::Value,
        _ => match state.get(..2).unwrap_or_default() {
            "08" => ErrorKind::Connection,
            "22" => ErrorKind::Value,
            "23" | "45" => ErrorKind::Constraint,
            "28" => ErrorKind::Authentication,
            "40" => ErrorKind::Transient,
            _ => ErrorKind::Usage,
        },
    }
}

/// The message without values.
fn sentence(code: u16, kind: ErrorKind, message: &str) -> String {
    let fixed = match code {
        1048 => "the target refuses a row: the column takes no NULL",
        1062 | 1586 => "the target refuses a row: its key is there already",
        1216 | 1452 => "the target refuses a row: what it refers to is not there",
        1217 | 1451 => "rows of another table refer to a row that was to be deleted or changed",
        1264 | 1690 => "the number is beyond the range of the column",
        1265 => "the value does not fit the column",
        1292 | 1411 | 1525 => "the value is none of the column's type",
        1366 => "the column cannot hold the value: of another type, or with letters that its character set lacks",
        1406 => "the value is too long for the column",
        3140 | 3141 => "the text is no JSON",
        1416 => "the bytes are no geometry",
        1153 => "a packet is larger than the server's max_allowed_packet",
        1205 => "another session holds a lock, and was waited for",
        _ => "",
    };
    match fixed {
        "" if matches!(kind, ErrorKind::Value | ErrorKind::Constraint) => lower_start(&blanked(message, '\'')),
        "" => lower_start(message),
        fixed => fixed.to_owned(),
    }
}

fn advice(code: u16) -> Option<&'static str> {
    Some(match code {
        1040 | 1203 | 1226 => "the server has no connection left: lower --jobs or raise its max_connections",
        1153 => "raise max_allowed_packet of the server, or leave such rows out with --where",
        1205 => "try again when that session is done, or end it: SHOW PROCESSLIST shows it",
        3948 | 1148 => "set local_infile=1 on the server; without it rows go in by INSERT",
        1452 => "copy the rows that it refers to first, or leave such rows out with --where",
        1062 => "leave out rows whose key is there already or comes twice, or merge them with --mode upsert",
        1115 | 1273 => "make the table first, with a collation that this server has, and use --mode append",
        1290 => "the server is read-only, or started with an option that forbids this",
        _ => return None,
    })
}

/// The column that a message names; a name that may be a value is not taken.
pub(super) fn named_column(code: u16, message: &str) -> Option<&str> {
    let after = match code {
        1048 => message.strip_prefix("Column '")?,
        1264 | 1265 | 1406 => message.split_once("column '").map(|(_, after)| after)?,
        // `Incorrect integer value: 'x' for column `d`.`t`.`c` at row 1`: from behind, for the value may be anything.
        1366 | 1292 => message.rsplit_once(" for column ").map(|(_, after)| after)?,
        _ => return None,
    };
    let name = match after.split_once(" at row ") {
        Some((name, _)) => name,
        None => after.split_once('\'')?.0,
    };
    let name = name.trim_matches(|c| c == '\'' || c == '`');
    Some(name.rsplit_once("`.`").map_or(name, |(_, column)| column)).filter(|name| !name.is_empty())
}

/// The row that a message names: `... at row 3`.
pub(super) fn named_row(message: &str) -> Option<u64> {
    let (_, after) = message.rsplit_once(" at row ")?;
    after.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_values() {
        let error = of_server(1062, "23000", "Duplicate entry 'secret' for key 't.PRIMARY'");
        assert_eq!((error.kind(), error.to_string().contains("secret")), (ErrorKind::Constraint, false));
        let error =
            of_server(1366, "HY000", "Incorrect integer value: 'it's for column `x`' for column `d`.`t`.`c` at row 7");
        assert_eq!(error.to_string(), format!("column c: {}", sentence(1366, ErrorKind::Value, "")));
        let error = of_server(4444, "22007", "Bad thing: 'x' and 'y' here");
        assert_eq!(error.message(), "bad thing: '…' here");
    }

    #[test]
    fn rows_and_columns_of_warnings() {
        assert_eq!(named_row("Data too long for column 'a' at row 12"), Some(12));
        assert_eq!(named_row("Duplicate entry '1' for key 'PRIMARY'"), None);
        assert_eq!(named_column(1406, "Data too long for column 'a b' at row 1"), Some("a b"));
        assert_eq!(named_column(1048, "Column 'a' cannot be null"), Some("a"));
        assert_eq!(named_column(1062, "Duplicate entry ' for column a' for key"), None);
    }

    #[test]
    fn a_collation_that_only_the_source_has() {
        let error = of_server(1273, "HY000", "Unknown collation: 'utf8mb4_uca1400_ai_ci'");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.message(), "unknown collation: 'utf8mb4_uca1400_ai_ci'");
        assert!(error.hint().unwrap().contains("make the table first"));
    }

    #[test]
    fn an_error_packet() {
        let error = of_packet(b"\xff\x7a\x04#42S02Table 'd.t' doesn't exist");
        assert_eq!((error.kind(), code_of(&error)), (ErrorKind::NotFound, Some(code::NO_SUCH_TABLE)));
        assert!(is_reply(&error));
        assert_eq!(of_packet(&[0xff]).kind(), ErrorKind::Usage);
    }
}
