//! What a driver says of a failure, as a kind of ours.

use crate::error::ErrorKind;

/// A kind, and what is said of it.
pub type Judged = (ErrorKind, &'static str);

const LOGIN: Judged = (ErrorKind::Authentication, "the database refuses this user or password");
const UNREACHED: Judged = (ErrorKind::Connection, "the database is not reached");
const BUSY: Judged = (ErrorKind::Transient, "the database is being written by somebody else");
const MISSING: Judged = (ErrorKind::NotFound, "the database has no such thing");
const ROW: Judged = (ErrorKind::Constraint, "the target refuses a row");
const STATEMENT: Judged = (ErrorKind::Usage, "the database refuses this statement");
const ACCESS: Judged = (ErrorKind::Permission, "the database refuses access");

/// By its SQLSTATE, those of the standard and PostgreSQL's own, and where that says little, by the text. A text may quote values, in
/// which anything stands.
pub fn of(state: &str, text: &str) -> Judged {
    if let Some(told) = by_state(state) {
        return told;
    }
    let vague = match state.get(..2).unwrap_or_default() {
        "08" => UNREACHED,
        "42" => STATEMENT,
        _ => (ErrorKind::Io, "the driver failed"),
    };
    by_text(text).unwrap_or(vague)
}

/// What `state` alone says; none where that is little. Drivers have 08 for a login that is refused as well, and 42000 is a wrong
/// statement or a missing right.
pub fn by_state(state: &str) -> Option<Judged> {
    let class = state.get(..2).unwrap_or_default();
    if state == "42000" || class == "08" {
        return None;
    }
    Some(match (state, class) {
        ("42501", _) => ACCESS,
        ("57014" | "HY008", _) => (ErrorKind::Cancelled, "the statement was stopped"),
        ("HYT00" | "HYT01", _) => (ErrorKind::Timeout, "the driver waited too long"),
        ("42S01" | "42P07", _) => (ErrorKind::AlreadyExists, "the database has such a thing already"),
        ("42S02" | "42S22" | "42P01" | "42703" | "3F000" | "42704", _) => MISSING,
        ("HYC00" | "IM001" | "HY004", _) => (ErrorKind::Unsupported, "the driver cannot do this"),
        (_, "28") => LOGIN,
        (_, "40") => BUSY,
        (_, "22") => (ErrorKind::Value, "the database refuses a value"),
        (_, "23") => ROW,
        (_, "42" | "37") => STATEMENT,
        _ => return None,
    })
}

fn by_text(text: &str) -> Option<Judged> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let refused = ["password authentication failed", "no password supplied", "Access denied for user"];
    if has(&["command denied to user"]) || (has(&["Access denied for user"]) && has(&["to database"])) {
        return Some(ACCESS);
    }
    if has(&refused) || (has(&["FATAL:"]) && has(&["role"])) {
        return Some(LOGIN);
    }
    if has(&["database is locked", "deadlock", "Deadlock"]) {
        return Some(BUSY);
    }
    if has(&["Can't connect to", "connect failed"]) {
        return Some(UNREACHED);
    }
    if has(&["no such table", "no such column"]) {
        return Some(MISSING);
    }
    has(&["constraint failed"]).then_some(ROW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_counts_more_than_what_a_text_quotes() {
        for (state, text, kind) in [
            ("22P02", "invalid input syntax for type integer: \"no such table\"", ErrorKind::Value),
            ("23505", "Key (note)=(database is locked) already exists.", ErrorKind::Constraint),
            ("23000", "Duplicate entry 'Can't connect to' for key 'PRIMARY'", ErrorKind::Constraint),
            ("42P01", "relation \"deadlocks\" does not exist", ErrorKind::NotFound),
            ("40P01", "deadlock detected", ErrorKind::Transient),
        ] {
            assert_eq!(of(state, text).0, kind, "{state} {text}");
            assert!(by_state(state).is_some(), "{state}");
        }
    }

    #[test]
    fn a_state_that_says_little_is_read_with_its_text() {
        for (state, text, kind) in [
            ("08001", "FATAL:  role \"ada\" does not exist", ErrorKind::Authentication),
            ("08001", "Connection refused", ErrorKind::Connection),
            ("08S01", "Communication link failure", ErrorKind::Connection),
            ("HY000", "[SQLite]database is locked (5)", ErrorKind::Transient),
            ("42000", "Access denied for user 'ada'@'%' to database 'shop'", ErrorKind::Permission),
            ("42000", "SELECT command denied to user 'ada'@'%' for table 't'", ErrorKind::Permission),
            ("42000", "You have an error in your SQL syntax", ErrorKind::Usage),
            ("", "Access denied for user 'ada'@'%' (using password: YES)", ErrorKind::Authentication),
            ("S1000", "something", ErrorKind::Io),
        ] {
            assert_eq!(of(state, text).0, kind, "{state} {text}");
            assert!(by_state(state).is_none(), "{state}");
        }
    }
}
