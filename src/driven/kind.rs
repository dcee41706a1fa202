//! What a driver says of a failure, as a kind of ours.

use crate::error::ErrorKind;

/// By what the driver says, then by its SQLSTATE: those of the standard, and PostgreSQL's own.
pub fn of(state: &str, text: &str) -> (ErrorKind, &'static str) {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["password authentication failed", "no password supplied", "Access denied for user"])
        || (has(&["FATAL:"]) && has(&["role"]))
    {
        return (ErrorKind::Authentication, "the database refuses this user or password");
    }
    if has(&["database is locked", "deadlock", "Deadlock"]) {
        return (ErrorKind::Transient, "the database is being written by somebody else");
    }
    if has(&["Can't connect to", "connect failed"]) {
        return (ErrorKind::Connection, "the database is not reached");
    }
    if has(&["no such table", "no such column"]) {
        return (ErrorKind::NotFound, "the database has no such thing");
    }
    match state {
        "42501" => return (ErrorKind::Permission, "the database refuses access"),
        "57014" | "HY008" => return (ErrorKind::Cancelled, "the statement was stopped"),
        "HYT00" | "HYT01" => return (ErrorKind::Timeout, "the driver waited too long"),
        "42S01" | "42P07" => return (ErrorKind::AlreadyExists, "the database has such a thing already"),
        "42S02" | "42S22" | "42P01" | "42703" | "3F000" | "42704" => {
            return (ErrorKind::NotFound, "the database has no such thing");
        }
        "HYC00" | "IM001" | "HY004" => return (ErrorKind::Unsupported, "the driver cannot do this"),
        _ => {}
    }
    match state.get(..2).unwrap_or_default() {
        "08" => (ErrorKind::Connection, "the database is not reached"),
        "28" => (ErrorKind::Authentication, "the database refuses this user or password"),
        "40" => (ErrorKind::Transient, "the database is being written by somebody else"),
        "22" => (ErrorKind::Value, "the database refuses a value"),
        "23" => (ErrorKind::Constraint, "the target refuses a row"),
        "42" | "37" => (ErrorKind::Usage, "the database refuses this statement"),
        _ if has(&["constraint failed"]) => (ErrorKind::Constraint, "the target refuses a row"),
        _ => (ErrorKind::Io, "the driver failed"),
    }
}
