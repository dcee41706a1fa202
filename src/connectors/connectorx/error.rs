//! What ConnectorX and the clients in it say of a failure, as a kind of ours. Their text is kept as the cause, without secrets of
//! the locator and without what it quotes of rows.

use std::error::Error as StdError;

use tokio_postgres::error::DbError;

use super::backend::Backend;
use super::config::Config;
use crate::driven::kind::{self, Judged};
use crate::error::{Error, ErrorKind};
use crate::sql::message::unquoted;

/// Characters of a client's text that are shown.
const MOST_CHARS: usize = 300;
/// What stands around names and values.
const MARKS: &[char] = &['"', '\'', '`'];

/// What `failure` means to the caller.
pub(super) fn failed(config: &Config, failure: &(dyn StdError + 'static)) -> Error {
    let mut texts: Vec<String> = Vec::new();
    let mut state = None;
    let mut cause = Some(failure);
    while let Some(error) = cause {
        if let Some(server) = error.downcast_ref::<DbError>() {
            state = Some(server.code().code().to_owned());
        }
        let text = error.to_string();
        // Wrappers repeat what they hold.
        if texts.last().is_none_or(|before| !before.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    let text = texts.join(": ");
    let state = state.or_else(|| state_in(&text)).unwrap_or_default();
    judged(config, &state, &text)
}

/// What a panic with `text` means to the caller.
pub(super) fn panicked(config: &Config, text: &str) -> Error {
    let unknown = text.contains("not implemented") || text.contains("not yet implemented");
    let (kind, message, hint) = if unknown {
        let hint = "cast the column to text in a --query, or leave it out";
        (ErrorKind::Unsupported, "ConnectorX does not know the type of a column", hint)
    } else {
        let hint = "cast the column that has it to text in a --query";
        (ErrorKind::Value, "ConnectorX gives up at a value", hint)
    };
    Error::new(kind, message).with_hint(hint).with_source(unquoted(&clean(config, text), MARKS))
}

fn judged(config: &Config, state: &str, text: &str) -> Error {
    if let Some(error) = missing(config, text) {
        return error;
    }
    let (kind, message) = kind_of(state, text);
    // These name things, others may quote values.
    let names = !matches!(kind, ErrorKind::Value | ErrorKind::Constraint | ErrorKind::Io | ErrorKind::Transient);
    let line = clean(config, text);
    Error::new(kind, message).with_source(if names { line } else { unquoted(&line, MARKS) })
}

/// The error where it is the client library that is not there: Oracle's, which ODPI-C looks for when it connects.
fn missing(config: &Config, text: &str) -> Option<Error> {
    if config.backend != Backend::Oracle || !text.contains("DPI-1047") {
        return None;
    }
    let message = "the client library of Oracle is not on this machine";
    let hint = "install Oracle Instant Client, its package Basic (oracle-instantclient-basic), and libaio1, and name its folder in \
                LD_LIBRARY_PATH";
    Some(Error::new(ErrorKind::NotFound, message).with_hint(hint).with_source(clean(config, text)))
}

/// By the state, then by what clients say of themselves, then as of any driver.
fn kind_of(state: &str, text: &str) -> Judged {
    if let Some(told) = kind::by_state(state) {
        return told;
    }
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["ORA-01017", "ORA-1017", "HTTP 401", "401 Unauthorized", "AUTHENTICATION_FAILED"]) {
        return (ErrorKind::Authentication, "the database refuses this user or password");
    }
    if has(&["ORA-00942", "TABLE_NOT_FOUND", "COLUMN_NOT_FOUND", "UNKNOWN_TABLE", "UNKNOWN_IDENTIFIER"]) {
        return (ErrorKind::NotFound, "the database has no such thing");
    }
    if has(&[
        "timed out waiting for connection",
        "error connecting",
        "Could not connect",
        "Connection refused",
        "ORA-125",
        "error sending request",
    ]) {
        return (ErrorKind::Connection, "the database is not reached");
    }
    if has(&["Invalid service account key"]) {
        return (ErrorKind::Authentication, "the key of the service account cannot be used");
    }
    if has(&["value too large to decode"]) {
        return (ErrorKind::Value, "ConnectorX has no room for a value, as a day of a far year");
    }
    if has(&["communicating with the server", "connection closed", "DriverError { Connection"]) {
        return (ErrorKind::Connection, "the connection broke");
    }
    if has(&["cannot get metadata", "SqlQueryNotSupported", "Only support single query"]) {
        return (ErrorKind::Usage, "the statement gives no rows");
    }
    kind::of(state, text)
}

/// The SQLSTATE in `ERROR 1146 (42S02): …`, as MySQL's client writes it.
fn state_in(text: &str) -> Option<String> {
    let (_, after) = text.split_once("ERROR ")?;
    let (_, state) = after.split_once('(')?;
    let state = state.get(..5).filter(|state| state.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    Some(state.to_owned())
}

/// The first line of a client's text, as far as it may be shown.
fn clean(config: &Config, text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    config.hide(line).chars().take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(url: &str) -> Config {
        Config::parse(&json!({ "url": url })).unwrap()
    }

    #[test]
    fn failures_are_judged_by_what_is_wrong() {
        let config = config("oracle://ada:s3cret@db/x");
        let kinds = [
            ("42P01", "db error: ERROR: relation \"nope\" does not exist", ErrorKind::NotFound),
            ("22012", "db error: ERROR: division by zero", ErrorKind::Value),
            ("22P02", "db error: ERROR: invalid input syntax: \"connection closed\"", ErrorKind::Value),
            ("28P01", "db error: FATAL: password authentication failed for user \"ada\"", ErrorKind::Authentication),
            ("", "error connecting to server: Connection refused (os error 111)", ErrorKind::Connection),
            ("", "OCI Error: ORA-01017: invalid username/password; logon denied", ErrorKind::Authentication),
            ("", "no such table: nope", ErrorKind::NotFound),
            ("", "Invalid service account key (error: No such file or directory)", ErrorKind::Authentication),
            ("", "error deserializing column 1: value too large to decode", ErrorKind::Value),
            ("", "something with s3cret", ErrorKind::Io),
        ];
        for (state, text, kind) in kinds {
            let error = judged(&config, state, text);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        let text = "MySqlError { ERROR 1146 (42S02): Table 'shop.nope' doesn't exist }";
        assert_eq!(state_in(text).as_deref(), Some("42S02"));
        assert_eq!(state_in("no ERROR (4)"), None);
    }

    #[test]
    fn a_missing_client_is_told_with_its_package() {
        let text = "DPI Error: DPI-1047: Cannot locate a 64-bit Oracle Client library: \"libclntsh.so: cannot open\"";
        let error = judged(&config("oracle://db/x"), "", text);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.hint().unwrap().contains("Oracle Instant Client"), "{error:?}");
    }

    #[test]
    fn panics_show_no_values() {
        let config = config("oracle://db/x");
        let error = panicked(&config, "called `Result::unwrap()` on an `Err` value: Parse(\"secret\")");
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert_eq!(panicked(&config, "not implemented: interval").kind(), ErrorKind::Unsupported);
    }
}
