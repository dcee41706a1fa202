//! From the driver's and the server's errors to ours: the one place that reads SQLSTATEs.
//!
//! A message of the server may quote values (class 22, details of class 23): quoted parts of class 22 are blanked and
//! details are never kept. What is kept as the cause is code and severity.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use tokio_postgres::error::DbError;

use crate::error::{Error, ErrorKind};
use crate::sql::message::{blanked, lower_start};

/// What the server said, without values: the cause of an [`Error`].
#[derive(Debug)]
pub(super) struct ServerReply {
    code: String,
    severity: String,
    /// The constraint that it names.
    constraint: Option<String>,
}

impl fmt::Display for ServerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {} {}", self.severity, self.code)
    }
}

impl StdError for ServerReply {}

/// The SQLSTATE behind one of our errors.
pub(super) fn state(error: &Error) -> Option<&str> {
    let reply = error.source()?.downcast_ref::<ServerReply>()?;
    Some(&reply.code)
}

/// The constraint that the server named in the reply behind one of our errors.
pub(super) fn constraint(error: &Error) -> Option<&str> {
    error.source()?.downcast_ref::<ServerReply>()?.constraint.as_deref()
}

/// The kind of a failure that the server reports under `code`.
pub(super) fn kind_of(code: &str) -> ErrorKind {
    match code {
        "3D000" | "3F000" | "42P01" | "42703" | "42704" | "42883" | "58P01" => ErrorKind::NotFound,
        "42P04" | "42P06" | "42P07" | "42701" | "42710" => ErrorKind::AlreadyExists,
        "42501" => ErrorKind::Permission,
        "55P03" | "57014" | "25P03" | "57P05" => ErrorKind::Timeout,
        "57P01" | "57P02" | "57P04" => ErrorKind::Connection,
        "57P03" | "53300" | "55006" => ErrorKind::Transient,
        "0A000" | "54011" => ErrorKind::Unsupported,
        "58030" => ErrorKind::Io,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        _ => match code.get(..2).unwrap_or_default() {
            "08" => ErrorKind::Connection,
            "22" => ErrorKind::Value,
            "23" | "44" | "P0" => ErrorKind::Constraint,
            "25" => ErrorKind::Permission,
            "28" => ErrorKind::Authentication,
            "40" => ErrorKind::Transient,
            "53" | "54" => ErrorKind::Resource,
            "58" | "XX" => ErrorKind::Io,
            _ => ErrorKind::Usage,
        },
    }
}

/// Our error for any failure of a statement or of an open connection.
pub(super) fn error(source: tokio_postgres::Error) -> Error {
    if let Some(reply) = source.as_db_error() {
        return server_error(reply);
    }
    if source.is_closed() || cause::<io::Error>(&source).is_some() {
        let error = Error::new(ErrorKind::Connection, "the connection to the server broke");
        return error.with_hint("look into the server's log, then run it again").with_source(source);
    }
    Error::new(ErrorKind::Internal, "the driver could not follow the server").with_source(source)
}

/// Our error for a failure of a COPY into the server, before which `rows` rows of the task were taken by earlier COPYs.
pub(super) fn copy_error(source: tokio_postgres::Error, rows: u64) -> Error {
    match source.as_db_error() {
        Some(reply) => error_at(reply, rows),
        None => error(source),
    }
}

/// Our error for a reply of the server.
pub(super) fn server_error(reply: &DbError) -> Error {
    error_at(reply, 0)
}

fn error_at(reply: &DbError, rows_before: u64) -> Error {
    let code = reply.code().code();
    let place = reply.where_().and_then(copy_place);
    let kind = if is_of_value(code, place) { ErrorKind::Value } else { kind_of(code) };
    let message = if kind == ErrorKind::Value { blanked(reply.message(), '"') } else { unstaged(reply) };
    let constraint = reply.constraint().map(str::to_owned);
    let cause = ServerReply { code: code.to_owned(), severity: reply.severity().to_owned(), constraint };
    let mut error = Error::new(kind, lower_start(&message)).with_source(cause);
    if let Some(hint) = advice(reply).or_else(|| reply.hint().filter(|_| kind != ErrorKind::Value)) {
        error = error.with_hint(hint);
    }
    let column = reply.column().or_else(|| reply.detail().and_then(|detail| key_columns(code, detail)));
    if let Some(column) = place.and_then(|(_, column)| column).or(column) {
        error = error.at("column", column);
    }
    match place {
        Some((line, _)) => error.at("row", rows_before + line),
        None => error,
    }
}

/// Whether a COPY ended at a value that the type of its column does not read: syntax errors and missing names may be those of
/// a value, as of a tsquery or a regclass, and types of extensions have no codes of their own, as hstore.
fn is_of_value(code: &str, place: Option<(u64, Option<&str>)>) -> bool {
    let may_be = code.starts_with("42") && code != "42501" || code == "XX000";
    may_be && place.is_some_and(|(_, column)| column.is_some())
}

/// What the server says, without the names of a stage of ours and of its indexes, which nobody knows.
fn unstaged(reply: &DbError) -> String {
    let is_of_stage = |index: &str| index.starts_with("etl_stage_");
    if reply.code().code() == "23505" && reply.constraint().is_some_and(is_of_stage) {
        return "the rows have a duplicate key".to_owned();
    }
    let stage = reply.table().filter(|table| table.starts_with("etl_stage_"));
    stage.map_or_else(|| reply.message().to_owned(), |stage| without_relation(reply.message(), stage))
}

/// `message` without its words for the relation `name`.
fn without_relation(message: &str, name: &str) -> String {
    [" for", " of"]
        .iter()
        .fold(message.to_owned(), |message, word| message.replace(&format!("{word} relation \"{name}\""), ""))
}

/// The columns in a detail such as `Key (id, name)=(1, x) already exists.`, never the values behind them. Other details
/// may have such a text within a value.
fn key_columns<'a>(code: &str, detail: &'a str) -> Option<&'a str> {
    if !matches!(code, "23503" | "23505" | "23P01") {
        return None;
    }
    let (before, _) = detail.split_once(")=(")?;
    before.split_once('(').map(|(_, columns)| columns)
}

/// Line and column in a context such as `COPY t, line 3, column amount: "x"`; lines count from 1 within the COPY.
fn copy_place(context: &str) -> Option<(u64, Option<&str>)> {
    let rest = context.lines().find(|line| line.starts_with("COPY "))?;
    let (_, rest) = rest.split_once(", line ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let line = rest[..digits].parse().ok()?;
    let column = rest[digits..].strip_prefix(", column ").map(|rest| rest.split(": ").next().unwrap_or(rest));
    Some((line, column))
}

/// The first cause of type `T` below `error`.
pub(super) fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = error.source();
    while let Some(error) = next {
        // What an io::Error wraps is not among its causes: only the causes of that are.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let wrapped = wrapped.and_then(|error| error.downcast_ref::<T>());
        if let Some(found) = error.downcast_ref::<T>().or(wrapped) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn advice(reply: &DbError) -> Option<&'static str> {
    // One code for both sides of a foreign key; only the detail tells them apart, in the words of a server that speaks English.
    let is_referred_to = reply.detail().is_some_and(|detail| detail.contains("is still referenced"));
    match reply.code().code() {
        "53300" => Some("the server has no connection left: lower --jobs or raise its max_connections"),
        "55P03" => Some("another session holds a lock: try again when it is done"),
        "23502" => Some("leave such rows out with --where, or fill the column with --set"),
        "23503" if is_referred_to => Some("rows that others refer to must be among those that come"),
        "23503" => Some("copy the rows that it refers to first, or leave such rows out with --where"),
        "23505" => Some("leave out rows whose key is there already or comes twice, or merge them with --mode upsert"),
        "54000" => Some("the server has a limit here: leave such rows out with --where, or change the target"),
        "54011" => Some("leave columns out with --select or --drop"),
        "23514" | "23P01" => Some("leave such rows out with --where, or change them with --set"),
        "0A000" if reply.message().contains("row-level security") => {
            Some("connect as a role that the policies of the table do not hold for: its owner, or one with BYPASSRLS")
        }
        "42501" => Some("ask for the privilege or connect as another user"),
        "57P03" => Some("the server is starting or stopping: try again in a moment"),
        "40001" => Some("on a standby, raise max_standby_streaming_delay or set hot_standby_feedback; else try again"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_states() {
        assert_eq!(kind_of("42P01"), ErrorKind::NotFound);
        assert_eq!(kind_of("28P01"), ErrorKind::Authentication);
        assert_eq!(kind_of("23505"), ErrorKind::Constraint);
        assert_eq!(kind_of("22P02"), ErrorKind::Value);
        assert_eq!(kind_of("54011"), ErrorKind::Unsupported);
        assert_eq!(kind_of("40P01"), ErrorKind::Transient);
        assert_eq!(kind_of(""), ErrorKind::Usage);
    }

    #[test]
    fn codes_of_values_and_of_statements() {
        assert!(is_of_value("42601", copy_place("COPY t, line 3, column q: \"'x\"")));
        assert!(!is_of_value("42601", copy_place("COPY t, line 3")));
        assert!(!is_of_value("42501", copy_place("COPY t, line 3, column q: \"x\"")));
        assert!(!is_of_value("42P01", None));
        // As hstore says that it does not read `a=b`.
        assert!(is_of_value("XX000", copy_place("COPY t, line 2, column h: \"a=b\"")));
        assert!(!is_of_value("XX000", None));
    }

    #[test]
    fn columns_of_a_key_without_its_values() {
        let unique = r#"Key (id, "a b")=(1, )=() already exists."#;
        assert_eq!(key_columns("23505", unique), Some(r#"id, "a b""#));
        assert_eq!(key_columns("23503", "Key (parent)=(7) is not present in table \"p\"."), Some("parent"));
        assert_eq!(key_columns("23514", "Failing row contains (1, (secret)=(x))."), None);
    }

    #[test]
    fn relations_that_nobody_knows_are_not_named() {
        let check = "new row for relation \"etl_stage_1\" violates check constraint \"c\"";
        assert_eq!(without_relation(check, "etl_stage_1"), "new row violates check constraint \"c\"");
        let null = "null value in column \"v\" of relation \"etl_stage_1\" violates not-null constraint";
        assert_eq!(without_relation(null, "etl_stage_1"), "null value in column \"v\" violates not-null constraint");
        assert_eq!(without_relation(check, "t"), check);
    }

    #[test]
    fn places_in_a_copy() {
        assert_eq!(copy_place("COPY t, line 3, column a b: \"x\""), Some((3, Some("a b"))));
        assert_eq!(copy_place("COPY t, line 12"), Some((12, None)));
        assert_eq!(copy_place("PL/pgSQL function f() line 3 at RAISE"), None);
    }
}
