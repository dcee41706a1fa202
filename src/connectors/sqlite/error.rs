//! SQLite's result codes as kinds of our error. Its text is kept as the cause, without the statement.

use rusqlite::ffi;

use crate::error::{Error, ErrorKind};

/// What `error` means to the caller.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    use rusqlite::Error as Driver;
    match error {
        Driver::SqliteFailure(code, text) => coded(code, text),
        Driver::SqlInputError { error, msg, .. } => coded(error, Some(msg)),
        Driver::MultipleStatement => Error::new(ErrorKind::Usage, "only one statement is allowed here"),
        other => Error::new(ErrorKind::Internal, "SQLite was used in a wrong way").with_source(other),
    }
}

fn coded(code: ffi::Error, text: Option<String>) -> Error {
    let text = text.unwrap_or_else(|| ffi::code_to_str(code.extended_code).to_owned());
    let (kind, message) = match code.extended_code & 0xff {
        ffi::SQLITE_CONSTRAINT => return refused(code.extended_code, text),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => {
            return Error::new(ErrorKind::Transient, "the database is locked by another connection")
                .with_hint("wait until the other program has ended its transaction, or raise the option busyTimeout")
                .with_source(text);
        }
        ffi::SQLITE_NOTADB => (ErrorKind::Corrupt, "the file is not an SQLite database"),
        ffi::SQLITE_CORRUPT => (ErrorKind::Corrupt, "the database file is damaged"),
        ffi::SQLITE_CANTOPEN => (ErrorKind::Permission, "the database file cannot be opened"),
        ffi::SQLITE_READONLY => (ErrorKind::Permission, "the database is read-only"),
        ffi::SQLITE_PERM | ffi::SQLITE_AUTH => (ErrorKind::Permission, "SQLite refuses access"),
        ffi::SQLITE_FULL => (ErrorKind::Resource, "the disk is full"),
        ffi::SQLITE_NOMEM => (ErrorKind::Resource, "memory is exhausted"),
        ffi::SQLITE_IOERR if code.extended_code == ffi::SQLITE_IOERR_WRITE => {
            (ErrorKind::Resource, "the disk is full, or refuses to write")
        }
        ffi::SQLITE_IOERR => (ErrorKind::Io, "reading or writing the database file failed"),
        ffi::SQLITE_TOOBIG => (ErrorKind::Value, "a value is larger than SQLite can hold"),
        ffi::SQLITE_INTERRUPT => (ErrorKind::Cancelled, "the statement was stopped"),
        ffi::SQLITE_ERROR if text.starts_with("no such") => (ErrorKind::NotFound, "the database has no such thing"),
        ffi::SQLITE_ERROR if text.contains("already exists") => {
            (ErrorKind::AlreadyExists, "the database has such a thing already")
        }
        ffi::SQLITE_ERROR => (ErrorKind::Usage, "SQLite refuses this statement"),
        _ => (ErrorKind::Io, "SQLite failed"),
    };
    Error::new(kind, message).with_source(text)
}

/// Whether a row refers to one that is not there, or is referred to.
pub(super) fn is_foreign_key(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}

/// A row that a constraint refuses. SQLite's text names the constraint or its columns, never a value;
/// only that of a trigger is the user's own.
fn refused(code: i32, text: String) -> Error {
    if code == ffi::SQLITE_CONSTRAINT_TRIGGER {
        return Error::new(ErrorKind::Constraint, "a trigger of the target refuses a row").with_source(text);
    }
    Error::new(ErrorKind::Constraint, format!("the target refuses a row: {text}"))
}

/// `error` of a refused row with the columns, or the check, that SQLite names in it.
pub(super) fn named(error: Error) -> Error {
    let Some((what, names)) = error.message().split_once(" constraint failed: ") else { return error };
    let (is_check, names) = (what.ends_with("CHECK"), names.to_owned());
    if is_check {
        return error.at("constraint", names);
    }
    let columns: Vec<&str> =
        names.split(", ").map(|name| name.rsplit_once('.').map_or(name, |(_, name)| name)).collect();
    error.at("column", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(sql: &str) -> Error {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("create table t (a integer primary key, b text not null check (b <> 'x'))").unwrap();
        failed(connection.execute_batch(sql).unwrap_err())
    }

    #[test]
    fn constraints_name_what_refused() {
        let error = error_of("insert into t values (1, 'secret'), (1, 'secret')");
        assert_eq!(error.kind(), ErrorKind::Constraint);
        assert_eq!(error.to_string(), "the target refuses a row: UNIQUE constraint failed: t.a");
        let error = error_of("insert into t values (1, null)");
        assert_eq!(error.to_string(), "the target refuses a row: NOT NULL constraint failed: t.b");
        let error = error_of("insert into t values (1, 'x')");
        assert_eq!(error.to_string(), "the target refuses a row: CHECK constraint failed: b <> 'x'");
    }

    #[test]
    fn statements_are_judged_by_what_is_wrong() {
        assert_eq!(error_of("select * from missing").kind(), ErrorKind::NotFound);
        assert_eq!(error_of("selec 1").kind(), ErrorKind::Usage);
        assert_eq!(error_of("create table t (a)").kind(), ErrorKind::AlreadyExists);
    }
}
