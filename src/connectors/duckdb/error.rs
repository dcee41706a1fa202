//! DuckDB's errors as kinds of ours. Its text is kept as the cause where it can hold no value of a row.

use crate::bridge::adbc::{Failure, Status};
use crate::error::{Error, ErrorKind};

/// What `failure` means to the caller.
pub(super) fn failed(failure: Failure) -> Error {
    let text = failure.text();
    let (class, rest) = text.split_once(" Error: ").unwrap_or(("", text.as_str()));
    let has = |words: &str| text.contains(words);
    if failure.status == Status::Cancelled || has("Interrupted!") {
        return Error::new(ErrorKind::Cancelled, "the statement was stopped");
    }
    if has("Constraint Error") || has("constraint violation") || has("constraint violated") {
        return refused(&text);
    }
    let (kind, message) = match class {
        "Conversion" | "Out of Range" => return Error::new(ErrorKind::Value, "a value does not fit its type"),
        _ if has("duplicate key, which isn't supported by DuckDB map") => {
            return Error::new(ErrorKind::Value, "a map has a key twice, which DuckDB does not hold");
        }
        "IO" => return of_file(failure, &text),
        _ if class == "Out of Memory" || has("failed to pin block") => {
            return exhausted("DuckDB's memory is exhausted", rest);
        }
        // What failed before said nothing.
        _ if has("transaction is aborted") => return exhausted("DuckDB had no memory for the rows, or no disk", rest),
        "Catalog" if has("already exists") => (ErrorKind::AlreadyExists, "the database has such a thing already"),
        "Catalog" => (ErrorKind::NotFound, "the database has no such thing"),
        "Parser" | "Binder" | "Syntax" => (ErrorKind::Usage, "DuckDB refuses this statement"),
        "Permission" => (ErrorKind::Permission, "DuckDB refuses access"),
        "Not implemented" => (ErrorKind::Unsupported, "DuckDB cannot do this"),
        "TransactionContext" if has("onflict") => (ErrorKind::Transient, "another transaction changes the same"),
        "TransactionContext" if has("altered this table") => {
            (ErrorKind::Transient, "another transaction changes the same")
        }
        "TransactionContext" if has("Cannot CHECKPOINT: there are other") => {
            (ErrorKind::Transient, "other transactions are under way")
        }
        // Their texts quote values.
        "Invalid Input" => return Error::new(ErrorKind::Value, "DuckDB refuses a value"),
        _ => (ErrorKind::Io, "DuckDB failed"),
    };
    Error::new(kind, message).with_source(short(&text))
}

/// What DuckDB has no room for.
fn exhausted(message: &'static str, text: &str) -> Error {
    Error::new(ErrorKind::Resource, message)
        .with_hint("raise the option memoryLimit of the locator: ?memoryLimit=2GB")
        .with_source(short(text))
}

/// Opening, reading and writing the file.
fn of_file(failure: Failure, text: &str) -> Error {
    let has = |words: &str| text.contains(words);
    let (kind, message) = if has("Could not set lock") {
        let error = Error::new(ErrorKind::Transient, "another program has the database file open");
        return error
            .with_hint("end the other program, or wait for it with a longer busyTimeout")
            .with_source(short(text));
    } else if has("not a valid DuckDB database file") {
        (ErrorKind::Corrupt, "the file is no DuckDB database")
    } else if has("version number") {
        return Error::new(ErrorKind::Unsupported, "the database file was written by another version of DuckDB")
            .with_hint("take a library of that version: DUCKDB_LIB names it")
            .with_source(short(text));
    } else if has("Permission denied") || has("Read-only file system") {
        (ErrorKind::Permission, "the database file cannot be opened")
    } else if has("No such file") {
        (ErrorKind::NotFound, "the database file does not exist")
    } else if has("No space left") || has("Quota") {
        (ErrorKind::Resource, "the disk is full")
    } else if has("checksum") || has("Corrupt") {
        (ErrorKind::Corrupt, "the database file is damaged")
    } else {
        (ErrorKind::Io, "reading or writing the database file failed")
    };
    Error::new(kind, message).with_source(failure)
}

/// A row that a constraint refuses. The texts of keys name values: only what stands for sure is told.
fn refused(text: &str) -> Error {
    let refuses = |what: String| Error::new(ErrorKind::Constraint, format!("the target refuses a row: {what}"));
    if let Some((_, column)) = text.split_once("NOT NULL constraint failed: ") {
        let column = first_line(column);
        let column = column.rsplit_once('.').map_or(column, |(_, column)| column);
        return refuses("the column takes no NULL".to_owned()).at("column", column);
    }
    if let Some((_, check)) = text.split_once("with expression ") {
        return refuses("a check fails".to_owned()).at("constraint", first_line(check));
    }
    if text.contains("foreign key") {
        let gone = text.contains("still referenced");
        let what = if gone { "another table refers to it" } else { "what it refers to is not there" };
        return refuses(what.to_owned());
    }
    let primary = text.to_ascii_lowercase().contains("primary key");
    refuses(format!("its key is there already, and {} is unique", if primary { "the primary key" } else { "it" }))
}

/// Without the excerpt of the statement.
fn short(text: &str) -> String {
    first_line(text).to_owned()
}

fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn of(message: &str) -> Error {
        failed(Failure { status: Status::Internal, message: message.to_owned() })
    }

    #[test]
    fn no_text_shows_a_value() {
        for message in [
            "Constraint Error: Duplicate key \"id: secret\" violates primary key constraint.",
            "TransactionContext Error: Failed to commit: PRIMARY KEY or UNIQUE constraint violation: duplicate key \"secret\"",
            "Constraint Error: Violates foreign key constraint because key \"id: secret\" does not exist in the referenced table",
            "Conversion Error: Could not convert string 'secret' to INT32\n\nLINE 1: select 'secret'",
            "Invalid Input Error: Failed to parse 'secret'",
        ] {
            let error = of(message);
            assert!(matches!(error.kind(), ErrorKind::Constraint | ErrorKind::Value), "{message}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn failures_are_judged_by_what_is_wrong() {
        let kinds = [
            (
                "IO Error: Could not set lock on file \"/a\": Conflicting lock is held in x (PID 1)",
                ErrorKind::Transient,
            ),
            ("IO Error: The file \"a\" exists, but it is not a valid DuckDB database file!", ErrorKind::Corrupt),
            ("Catalog Error: Table with name u does not exist!", ErrorKind::NotFound),
            ("Parser Error: syntax error at or near \"selec\"\n\nLINE 1: selec 1", ErrorKind::Usage),
            ("INTERRUPT Error: Interrupted!", ErrorKind::Cancelled),
            (
                "TransactionContext Error: Failed to commit: failed to pin block of size 256.0 KiB (121.8 MiB/122.0 MiB used)",
                ErrorKind::Resource,
            ),
            ("TransactionContext Error: Current transaction is aborted (please ROLLBACK)", ErrorKind::Resource),
            (
                "TransactionContext Error: Cannot CHECKPOINT: there are other write transactions active. Try using FORCE CHECKPOINT",
                ErrorKind::Transient,
            ),
            (
                r#"{"exception_type":"Invalid Input","exception_message":"Arrow map contains duplicate key, which isn't supported by DuckDB map type"}"#,
                ErrorKind::Value,
            ),
        ];
        for (message, kind) in kinds {
            assert_eq!(of(message).kind(), kind, "{message}");
        }
        assert_eq!(of("Parser Error: at\n\nLINE 1: secret").source().unwrap().to_string(), "Parser Error: at");
        let error = of("Constraint Error: NOT NULL constraint failed: t.v");
        assert_eq!(error.to_string(), "column v: the target refuses a row: the column takes no NULL");
    }
}
