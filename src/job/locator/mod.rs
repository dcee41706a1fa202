//! Locators: one word on the command line that names a place, such as `postgres://ada@db/shop#orders`.
//!
//! ```text
//! LOCATOR := '-'                                          stdin or stdout
//!          | PATH | GLOB  ['?' k=v&…]                     local files; a workbook's sheet behind '#'; with .db or .sqlite: an SQLite database, with .duckdb one of DuckDB
//!          | SCHEME ':' REST ['?' k=v&…] ['#' OBJECT]     anything else
//! ```
//!
//! Parsing is pure: what it must know of the world it asks a [`Lookup`]. `${NAME}` stands for an environment
//! variable. In a path it is replaced by [`Locator::place`]; in a URL its connector does that when it connects, so
//! that a job holds references, not secrets. What the options of a connector mean is not known here.

use std::fmt;

use serde_json::{Map, Value as Json};

use crate::error::{Error, ErrorKind, Result};
use crate::job::Place;
use crate::object::ObjectRef;

mod name;
mod secret;
#[cfg(test)]
mod tests;

pub use name::{default_table, nearest};
pub use secret::{holds_secret, is_secret, mask, only_secret, plain_settings, unmask};

/// The connector of paths.
pub const FILE: &str = "file";
/// The connector of `SQLite` databases.
pub const SQLITE: &str = "sqlite";

/// The connector of `DuckDB` databases.
pub const DUCKDB: &str = "duckdb";

/// Connectors of paths, and of databases that are files.
pub const PATHS: [&str; 3] = [FILE, SQLITE, DUCKDB];

/// Extensions that mean a database, and whose.
const EXTENSIONS: [(&str, &str); 6] = [
    (".db", SQLITE),
    (".sqlite", SQLITE),
    (".sqlite3", SQLITE),
    (".db3", SQLITE),
    (".duckdb", DUCKDB),
    (".ddb", DUCKDB),
];

/// Extensions of workbooks.
const WORKBOOKS: [&str; 4] = [".xlsx", ".xlsm", ".xls", ".ods"];

/// What a locator needs to know of the world.
pub trait Lookup {
    /// The name of the connector that goes by `scheme`.
    fn connector(&self, scheme: &str) -> Option<&'static str>;
    /// All schemes, for a suggestion.
    fn schemes(&self) -> Vec<&'static str>;
    /// Whether a file or folder of exactly this name exists.
    fn exists(&self, path: &str) -> bool;
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// Whether an extension, without its dot, only says how a file is written and is no part of its name.
    fn is_extension(&self, word: &str) -> bool;
}

/// A parsed locator. `Debug` and [`Locator::label`] hide passwords.
#[derive(Clone, PartialEq)]
pub struct Locator {
    connector: &'static str,
    url: String,
    options: Vec<(String, String)>,
    object: Option<String>,
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locator")
            .field("connector", &self.connector)
            .field("url", &self.shown_url())
            .field("options", &self.options.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .field("object", &self.object)
            .finish()
    }
}

/// Parses one locator.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for an unknown scheme, a malformed part or a leading variable that is not set.
pub fn parse(text: &str, lookup: &dyn Lookup) -> Result<Locator> {
    let text = text.trim();
    if text.is_empty() {
        return Err(usage("an empty locator names nothing").with_hint(FORMS));
    }
    // A variable that stands first holds the scheme, so it cannot wait.
    if text.starts_with("${") && !lookup.exists(text) {
        let (head, rest) = secret::leading(text, lookup)?;
        return parse_known(&format!("{head}{rest}"), lookup);
    }
    parse_known(text, lookup)
}

fn parse_known(text: &str, lookup: &dyn Lookup) -> Result<Locator> {
    if text == "-" || lookup.exists(text) {
        return Ok(path(text));
    }
    let text = text.strip_prefix("jdbc:").unwrap_or(text);
    let Some((typed, rest)) = split_scheme(text) else {
        // Taken for a path, it would be printed with the password that may be in it.
        if text.split_once("//").is_some_and(|(scheme, _)| lookup.connector(scheme).is_some()) {
            return Err(usage("the colon behind the scheme is missing").with_hint(FORMS));
        }
        return bare(text);
    };
    let typed = typed.to_ascii_lowercase();
    // SQLAlchemy names its driver behind a plus sign; some schemes have one of their own.
    let whole = lookup.connector(&typed).is_some();
    let scheme = if whole { typed.as_str() } else { typed.split('+').next().unwrap_or(&typed) };
    match lookup.connector(scheme) {
        Some(FILE) => file(rest, lookup),
        Some(connector @ (SQLITE | DUCKDB)) => database_file(connector, rest, lookup),
        Some(connector) => database(connector, scheme, rest),
        None => Err(unknown(scheme, lookup)),
    }
}

const FORMS: &str = "write a path, '-', or SCHEME:REST#OBJECT such as 'postgres://user@host/db#table'";

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// Schemes of connectors that a default build lacks.
const IN_FULL: [&str; 8] = ["adbc", "bigquery", "connectorx", "mssql", "odbc", "oracle", "sqlserver", "trino"];

fn unknown(scheme: &str, lookup: &dyn Lookup) -> Error {
    if IN_FULL.contains(&scheme) {
        return usage(format!("this build has no connector for '{scheme}:'"))
            .with_hint("build the program with '--features full'");
    }
    let schemes = lookup.schemes();
    let hint = match nearest(scheme, &schemes) {
        Some(near) => format!("did you mean '{near}:'? For a file of that name write './{scheme}:…'"),
        None => format!("there are {}; for a file of that name write './{scheme}:…'", schemes.join(", ")),
    };
    usage(format!("there is no connector for '{scheme}:'")).with_hint(hint)
}

/// `scheme` and what follows its colon; none when `text` is a path.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let plain = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_'));
    (plain && scheme.starts_with(|c: char| c.is_ascii_alphabetic())).then_some((scheme, rest))
}

fn path(text: &str) -> Locator {
    let (connector, url) = match database_of(text) {
        Some(connector) => (connector, format!("{connector}:{text}")),
        // The connector would take this for a URL.
        None if text.starts_with("file:") => (FILE, format!("./{text}")),
        None => (FILE, text.to_owned()),
    };
    Locator { connector, url, options: Vec::new(), object: None }
}

/// The connector of the database that a path names; none for any other file.
fn database_of(path: &str) -> Option<&'static str> {
    let path = path.to_ascii_lowercase();
    EXTENSIONS.iter().find(|(extension, _)| path.ends_with(extension)).map(|(_, connector)| *connector)
}

/// A path without a scheme. Only a database has objects, and a workbook sheets: in other paths `#` is a letter like any.
fn bare(text: &str) -> Result<Locator> {
    let (head, object) = split_object(text);
    let (before, options) = split_options(head);
    if let Some(object) = object.filter(|_| database_of(before).is_some()) {
        return Ok(Locator { options, object: Some(named(object)?), ..path(before) });
    }
    if let Some(sheet) = object.filter(|_| is_workbook(before)) {
        return Ok(Locator { options: with_sheet(options, sheet)?, ..path(before) });
    }
    let (before, options) = split_options(text);
    Ok(Locator { options, ..path(before) })
}

/// What follows `file:`. With `//` it is a URL: percent-encoded, perhaps with this host's name.
fn file(rest: &str, lookup: &dyn Lookup) -> Result<Locator> {
    let decoded = rest.strip_prefix("//").map(|url| percent_decode(url.strip_prefix("localhost").unwrap_or(url)));
    let name = decoded.as_deref().unwrap_or(rest);
    let whole = |name: &str, options| Locator { connector: FILE, url: name.to_owned(), options, object: None };
    if lookup.exists(name) {
        return Ok(whole(name, Vec::new()));
    }
    let (head, sheet) = split_object(name);
    let (before, options) = split_options(head);
    if let Some(sheet) = sheet.filter(|_| is_workbook(before)) {
        return Ok(whole(before, with_sheet(options, sheet)?));
    }
    let (name, options) = split_options(name);
    Ok(whole(name, options))
}

/// Whether a path names a workbook, whose tables are its sheets.
fn is_workbook(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    WORKBOOKS.iter().any(|extension| path.ends_with(extension))
}

/// `options` with the sheet that stands behind `#`: to the connector it is one of them.
fn with_sheet(mut options: Vec<(String, String)>, sheet: &str) -> Result<Vec<(String, String)>> {
    if options.iter().any(|(key, _)| key == "sheet") {
        return Err(usage("both '#sheet' and the option 'sheet' name a sheet").with_hint("leave one of them out"));
    }
    options.push(("sheet".to_owned(), named(sheet)?));
    Ok(options)
}

/// What follows `sqlite:` or `duckdb:`. Any number of slashes in front of an absolute path is taken, as other tools differ.
fn database_file(connector: &'static str, rest: &str, lookup: &dyn Lookup) -> Result<Locator> {
    let clean = |path: &str| match path.strip_prefix("//") {
        Some(rest) if rest.starts_with('/') => format!("/{}", rest.trim_start_matches('/')),
        Some(rest) => rest.to_owned(),
        None => path.to_owned(),
    };
    let whole = clean(rest);
    let (name, options, object) = if lookup.exists(&whole) {
        (whole, Vec::new(), None)
    } else {
        let (head, object) = split_object(rest);
        let (name, options) = split_options(head);
        (clean(name), options, object.map(named).transpose()?)
    };
    if name.is_empty() {
        let message = format!("'{connector}:' names no database file");
        return Err(usage(message).with_hint(format!("write '{connector}:shop.db#orders'")));
    }
    Ok(Locator { connector, url: format!("{connector}:{name}"), options, object })
}

/// Any other scheme: its URL stays whole, query and all, for the connector to read.
fn database(connector: &'static str, scheme: &str, rest: &str) -> Result<Locator> {
    let (head, object) = split_object(rest);
    if object.is_some_and(holds_password) {
        return Err(usage("a '#' stands in a user, password or other value before the table").with_hint(
            "write it as %23 in a URL and in single quotes elsewhere; put a table's odd name in double ones",
        ));
    }
    let object = object.map(named).transpose()?;
    Ok(Locator { connector, url: format!("{scheme}:{head}"), options: Vec::new(), object })
}

/// Whether what follows the first `#` looks like the end of a password and what comes after it, such as
/// `cret@host/db` or `cret#table`. It must not be shown as the name of a table.
fn holds_password(object: &str) -> bool {
    let mut rest = object;
    while let Some((at, sign)) = rest.char_indices().find(|(_, c)| matches!(c, '@' | '#' | '"' | '`')) {
        let after = &rest[at + 1..];
        rest = match (sign, after.find(sign)) {
            ('"' | '`', Some(end)) => &after[end + 1..],
            // Alone it is a letter of a name.
            ('`', None) => after,
            _ => return true,
        };
    }
    false
}

/// Splits at the first `#` outside single quotes, within which a backslash takes the next letter with it.
fn split_object(text: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    let mut escaped = false;
    let mark = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '\'' && !escaped;
        escaped = *c == '\\' && quoted && !escaped;
        *c == '#' && !quoted
    });
    // Where a lone quote swallowed the mark, it was no quote.
    let at = mark.map(|(at, _)| at).or_else(|| quoted.then(|| text.find('#')).flatten());
    at.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])))
}

/// The object as its connector reads it.
fn named(object: &str) -> Result<String> {
    let object = percent_decode(object);
    check_object(&object)?;
    Ok(object)
}

/// Refuses what can be no single table.
pub(crate) fn check_object(object: &str) -> Result<()> {
    if object.trim().is_empty() {
        return Err(usage("nothing stands after '#'").with_hint("name a table there: '#orders' or '#public.orders'"));
    }
    if object.contains('*') && !object.contains(['"', '`']) {
        return Err(usage("a '*' in the name of a table means many of them, and one copy takes one")
            .with_hint("name one table, or put a name that holds '*' in double quotes"));
    }
    Ok(())
}

/// Splits `?k=v&k=v` off the end. A question mark that is followed by anything else is part of the name or glob.
fn split_options(text: &str) -> (&str, Vec<(String, String)>) {
    let parsed = text.rmatch_indices('?').find_map(|(at, _)| {
        let pairs: Option<Vec<_>> = text[at + 1..].split('&').map(option).collect();
        pairs.map(|pairs| (&text[..at], pairs))
    });
    parsed.unwrap_or((text, Vec::new()))
}

fn option(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=')?;
    let is_name = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(|c| c.is_ascii_alphanumeric());
    (is_name && !value.contains('/')).then(|| (key.to_owned(), percent_decode(value)))
}

/// Replaces `%XX`; what is no valid escape, or would not be UTF-8, stays as it was.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(hex);
        out.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

impl Locator {
    /// Name of the connector.
    pub fn connector(&self) -> &'static str {
        self.connector
    }

    /// What stands before `#`, variables not yet replaced. May hold a password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The object behind `#`.
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// Whether it is stdin or stdout.
    pub fn is_standard_stream(&self) -> bool {
        self.connector == FILE && self.url == "-"
    }

    /// Whether it names files by a pattern.
    pub fn is_glob(&self) -> bool {
        self.connector == FILE && self.url.contains(['*', '?', '['])
    }

    /// The option `key` of the locator's `?k=v`.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The locator without passwords, for messages.
    pub fn label(&self) -> String {
        match &self.object {
            Some(object) => format!("{}#{object}", self.shown_url()),
            None => self.shown_url(),
        }
    }

    /// A path holds no password, and its letters mean nothing: `day=2024-01-02/` is a folder.
    fn shown_url(&self) -> String {
        if PATHS.contains(&self.connector) { self.url.clone() } else { mask(&self.url) }
    }

    fn exists(&self, lookup: &dyn Lookup) -> bool {
        let scheme = self.url.strip_prefix(self.connector).and_then(|rest| rest.strip_prefix(':'));
        lookup.exists(scheme.filter(|_| self.connector != FILE).unwrap_or(&self.url))
    }

    /// The place it names, with `object`, the variables of paths replaced. All option values are strings.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a variable that is not set.
    pub fn place(&self, object: ObjectRef, lookup: &dyn Lookup) -> Result<Place> {
        let is_path = PATHS.contains(&self.connector);
        let url = if is_path && !self.exists(lookup) { secret::fill(&self.url, lookup)? } else { self.url.clone() };
        let mut options = Map::new();
        options.insert("url".to_owned(), Json::String(url));
        for (key, value) in &self.options {
            options.insert(key.clone(), Json::String(secret::fill(value, lookup)?));
        }
        Ok(Place { connector: self.connector.to_owned(), options: Json::Object(options), object })
    }
}
