//! What a driver says of a failure, as a kind of ours. Its text is kept as the cause, without secrets of the locator and
//! without what it quotes of rows.

use super::config::Config;
use crate::bridge::adbc::{Failure, Status};
use crate::error::{Error, ErrorKind};
use crate::sql::message::unquoted;

/// Characters of a driver's text that are shown.
const MOST_CHARS: usize = 300;
/// What stands around names and values.
const MARKS: &[char] = &['"', '\''];

/// What `failure` of a driver means to the caller.
pub(super) fn failed(config: &Config, failure: &Failure) -> Error {
    let failure = &Failure { status: failure.status, message: failure.text() };
    let (kind, message) = judged(failure);
    let error =
        Error::new(kind, message).with_source(Failure { status: failure.status, message: told(config, failure) });
    match kind {
        ErrorKind::Transient => error.with_hint("another connection writes to the same: try again when it has ended"),
        _ => error,
    }
}

fn judged(failure: &Failure) -> (ErrorKind, &'static str) {
    let has = |words: &[&str]| words.iter().any(|word| failure.message.contains(word));
    if failure.status == Status::Cancelled || has(&["Interrupted!"]) {
        return (ErrorKind::Cancelled, "the statement was stopped");
    }
    if has(&["password authentication failed", "no password supplied", "Incorrect username or password"]) {
        return (ErrorKind::Authentication, "the database refuses this user or password");
    }
    if has(&["database is locked", "Could not set lock", "write-write conflict", "Conflict on", "deadlock detected"]) {
        return (ErrorKind::Transient, "the database is being written by somebody else");
    }
    if failure.status == Status::Integrity || has(&["constraint failed", "Constraint Error", "violates"]) {
        return (ErrorKind::Constraint, "the target refuses a row");
    }
    if failure.status == Status::AlreadyExists {
        return (ErrorKind::AlreadyExists, "the database has such a thing already");
    }
    if failure.status == Status::NotFound || has(&["does not exist", "no such table", "Not found: Table"]) {
        return (ErrorKind::NotFound, "the database has no such thing");
    }
    match failure.status {
        Status::Unauthenticated => (ErrorKind::Authentication, "the database refuses this user or password"),
        Status::Unauthorized => (ErrorKind::Permission, "the database refuses access"),
        Status::InvalidArguments => (ErrorKind::Usage, "the driver refuses this statement or option"),
        Status::InvalidData => (ErrorKind::Value, "the database refuses a value"),
        Status::NotImplemented => (ErrorKind::Unsupported, "the driver cannot do this"),
        Status::Timeout => (ErrorKind::Timeout, "the driver waited too long"),
        Status::Internal if has(&["Conversion Error", "Out of Range Error"]) => {
            (ErrorKind::Value, "the database refuses a value")
        }
        Status::Internal if has(&["Parser Error", "Binder Error"]) => {
            (ErrorKind::Usage, "the driver refuses this statement or option")
        }
        Status::IO if has(&["connect"]) => (ErrorKind::Connection, "the database is not reached"),
        _ => (ErrorKind::Io, "the driver failed"),
    }
}

/// The driver's words as far as they may be shown: the first line, where what is quoted may be a value.
fn told(config: &Config, failure: &Failure) -> String {
    let line = failure.message.trim().lines().next().unwrap_or_default();
    let line = config.hide(line);
    let names = matches!(
        failure.status,
        Status::InvalidArguments
            | Status::NotFound
            | Status::AlreadyExists
            | Status::NotImplemented
            | Status::Unauthenticated
            | Status::Unauthorized
            | Status::IO
    );
    let line = if names { line } else { unquoted(&line, MARKS) };
    line.chars().take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use serde_json::json;

    use super::*;

    fn of(status: Status, message: &str) -> Error {
        let config = Config::parse(&json!({"url": "adbc:postgresql?uri=postgresql://ada:s3cret@db/shop"})).unwrap();
        failed(&config, &Failure { status, message: message.to_owned() })
    }

    #[test]
    fn failures_are_judged_by_what_is_wrong() {
        let kinds = [
            (Status::InvalidArguments, "no such table: nope\nquery: select * from nope", ErrorKind::NotFound),
            (Status::Internal, "INTERNAL: Catalog Error: Table with name nope does not exist!", ErrorKind::NotFound),
            (Status::Internal, "failed to execute: database is locked", ErrorKind::Transient),
            (Status::Internal, "failed to execute: UNIQUE constraint failed: un.a", ErrorKind::Constraint),
            (
                Status::IO,
                "[libpq] Failed to connect: FATAL:  password authentication failed for user",
                ErrorKind::Authentication,
            ),
            (Status::IO, "[libpq] Failed to connect: Connection refused", ErrorKind::Connection),
            (Status::Unknown, "Type mismatch in column 0", ErrorKind::Io),
            (
                Status::Internal,
                r#"{"exception_type":"Conversion","exception_message":"Could not convert it"}"#,
                ErrorKind::Value,
            ),
        ];
        for (status, message, kind) in kinds {
            assert_eq!(of(status, message).kind(), kind, "{message}");
        }
        let wrapped = r#"{"exception_type":"Not implemented","exception_message":"Unsupported Arrow type VARIANT"}"#;
        let told = of(Status::Unknown, wrapped).source().unwrap().to_string();
        assert_eq!(told, "Not implemented Error: Unsupported Arrow type VARIANT");
    }

    #[test]
    fn no_text_shows_a_value_or_a_password() {
        for (status, message) in [
            (Status::Unknown, "ERROR: invalid input syntax for type integer: \"secret\""),
            (Status::Internal, "Conversion Error: Could not convert string 'secret' to INT32"),
            (Status::Integrity, "null value in column \"b\"\nDETAIL: Failing row contains (secret)"),
            (Status::IO, "cannot translate host name \"s3cret@db\""),
        ] {
            let error = of(status, message);
            let shown = format!("{error:?} {}", error.source().map(ToString::to_string).unwrap_or_default());
            assert!(!shown.contains("cret"), "{shown}");
        }
        let error = of(Status::NotFound, "relation \"nope\" does not exist");
        assert!(error.source().unwrap().to_string().contains("nope"));
    }
}
