//! What a driver says of a failure, as a kind of ours. Its text is kept as the cause, without secrets of the locator and
//! without what it quotes of rows.

use arrow_odbc::odbc_api;

use super::config::Config;
use super::driver::Product;
use crate::driven::kind;
use crate::error::{Error, ErrorKind};
use crate::sql::message::unquoted;

/// Characters of a driver's text that are shown.
const MOST_CHARS: usize = 300;
/// What stands around names and values.
const MARKS: &[char] = &['"', '\'', '`'];

/// What `failure` of a driver, or of the driver manager, means to the caller.
pub(super) fn failed(config: &Config, failure: &odbc_api::Error) -> Error {
    use odbc_api::Error as E;
    match failure {
        E::Diagnostics { record, .. }
        | E::InvalidRowArraySize { record, .. }
        | E::UnableToRepresentNull(record)
        | E::OracleOdbcDriverDoesNotSupport64Bit(record) => {
            let said = record.to_string();
            let text = said.split_once("Message: ").map_or(said.as_str(), |(_, text)| text);
            judged(config, record.state.as_str(), text)
        }
        E::FailedAllocatingEnvironment | E::UnsupportedOdbcApiVersion(_) => {
            Error::new(ErrorKind::Unsupported, "the driver manager of this machine does not work")
                .with_hint("install libodbc2 (Debian, Ubuntu) or unixODBC (Fedora), version 2.3.1 or later")
        }
        E::TooLargeColumnBufferSize { .. } => {
            Error::new(ErrorKind::Resource, "there is no memory for the values of a row").with_hint("lower textBytes")
        }
        other => Error::new(ErrorKind::Io, "the driver failed and does not say why")
            .with_source(clean(config, &other.to_string())),
    }
}

fn judged(config: &Config, state: &str, text: &str) -> Error {
    if let Some(error) = missing(config, state, text) {
        return error;
    }
    let (kind, message) = kind::of(state, text);
    // These name things, others may quote values.
    let names = !matches!(kind, ErrorKind::Value | ErrorKind::Constraint | ErrorKind::Io | ErrorKind::Transient);
    let line = clean(config, text);
    let error = Error::new(kind, message).with_source(if names { line } else { unquoted(&line, MARKS) });
    match kind {
        ErrorKind::Transient => error.with_hint("another connection writes to the same: try again when it has ended"),
        _ => error,
    }
}

/// The error where it is the driver or the data source that is not there.
fn missing(config: &Config, state: &str, text: &str) -> Option<Error> {
    let no_driver = text.contains("Can't open lib") || matches!(state, "IM003" | "IM004" | "IM005");
    let no_source = state == "IM002";
    if !no_driver && !no_source {
        return None;
    }
    let named = config.driver();
    let what = match (named, &config.dsn) {
        (Some(driver), _) => format!("the ODBC driver {driver}, or a library that it needs, is not on this machine"),
        (None, Some(dsn)) if no_source => format!("this machine has no ODBC data source {dsn}"),
        (None, dsn) => {
            let dsn = dsn.as_deref().unwrap_or_default();
            format!("the ODBC driver of the data source {dsn}, or a library that it needs, is not on this machine")
        }
    };
    let hint = match named {
        Some(driver) => {
            let package = Product::of_driver(driver).package();
            format!("install {package}; 'odbcinst -q -d' lists the drivers that odbcinst.ini names")
        }
        None if no_source => "'odbcinst -q -s' lists those of odbc.ini; or name a driver: 'odbc:?Driver=…'".to_owned(),
        None => "install the package of the driver that odbc.ini names for it".to_owned(),
    };
    Some(Error::new(ErrorKind::NotFound, what).with_hint(hint).with_source(clean(config, text)))
}

/// The first line of a driver's text, as far as it may be shown.
fn clean(config: &Config, text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim_end_matches(';');
    config.hide(line).chars().take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use serde_json::json;

    use super::*;

    fn of(url: &str, state: &str, text: &str) -> Error {
        judged(&Config::parse(&json!({ "url": url })).unwrap(), state, text)
    }

    #[test]
    fn failures_are_judged_by_what_is_wrong() {
        let kinds = [
            ("42P01", "ERROR: relation \"nope\" does not exist;", ErrorKind::NotFound),
            ("42S02", "[ma-3.1.15]Table 'shop.nope' doesn't exist", ErrorKind::NotFound),
            ("HY000", "[SQLite]no such table: nope (1)", ErrorKind::NotFound),
            ("08001", "FATAL:  password authentication failed for user \"ada\"", ErrorKind::Authentication),
            ("28000", "[ma-3.1.15]Access denied for user 'ada'@'localhost'", ErrorKind::Authentication),
            ("08001", "Connection refused", ErrorKind::Connection),
            ("HY000", "[ma-3.1.15]Can't connect to server on '127.0.0.1' (115)", ErrorKind::Connection),
            ("23505", "ERROR: duplicate key value violates unique constraint \"k\"", ErrorKind::Constraint),
            ("HY000", "[SQLite]UNIQUE constraint failed: t.id (19)", ErrorKind::Constraint),
            ("22P02", "ERROR: invalid input syntax for type integer: \"x\"", ErrorKind::Value),
            ("42601", "ERROR: syntax error at or near \"selec\"", ErrorKind::Usage),
            ("40001", "could not serialize access", ErrorKind::Transient),
            ("S1000", "something", ErrorKind::Io),
        ];
        for (state, text, kind) in kinds {
            assert_eq!(of("odbc:SHOP", state, text).kind(), kind, "{text}");
        }
    }

    #[test]
    fn a_missing_driver_is_told_with_its_package() {
        let text = "[unixODBC][Driver Manager]Can't open lib 'psqlodbcw.so' : file not found";
        let error = of("odbc:?Driver=PostgreSQL Unicode", "01000", text);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("the ODBC driver PostgreSQL Unicode"), "{error}");
        assert!(error.hint().unwrap().contains("odbc-postgresql"), "{error:?}");
        let error = of("odbc:SHOP", "IM002", "Data source name not found and no default driver specified");
        assert!(error.to_string().contains("no ODBC data source SHOP"), "{error}");
    }

    #[test]
    fn no_text_shows_a_value_or_a_password() {
        for (state, text) in [
            ("22P02", "ERROR: invalid input syntax for type integer: \"secret\""),
            ("23000", "Duplicate entry 'secret' for key 'PRIMARY'"),
            ("23505", "ERROR: duplicate key\nDETAIL: Key (id)=(secret) already exists."),
            ("08001", "could not log in with s3cret"),
        ] {
            let error = of("odbc:?Driver=x&PWD=s3cret", state, text);
            let shown = format!("{error:?} {}", error.source().map(ToString::to_string).unwrap_or_default());
            assert!(!shown.contains("cret"), "{shown}");
        }
    }
}
