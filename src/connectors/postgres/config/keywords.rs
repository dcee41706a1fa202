//! libpq's two notations of a connection, URI and keyword string, and its service file: text in, settings out.
//!
//! Sources: the PostgreSQL documentation, "Connection Strings" and "The Connection Service File".

use std::collections::BTreeMap;

use crate::bridge::login::uri::{self, Uri, decode};
use crate::error::{Error, ErrorKind, Result};

/// Values by libpq keyword.
pub(super) type Settings = BTreeMap<&'static str, String>;

/// Every keyword that libpq 17 knows, with the environment variable that fills it, and one of ours.
pub(super) const KEYWORDS: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("servicefile", "PGSERVICEFILE"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("fallback_application_name", ""),
    ("client_encoding", ""),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("sslmode", "PGSSLMODE"),
    ("requiressl", "PGREQUIRESSL"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslpassword", ""),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslsni", "PGSSLSNI"),
    ("sslcompression", "PGSSLCOMPRESSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("gssencmode", "PGGSSENCMODE"),
    ("gssdelegation", "PGGSSDELEGATION"),
    ("gsslib", "PGGSSLIB"),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("keepalives", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("keepalives_count", ""),
    ("tcp_user_timeout", ""),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("replication", ""),
    ("timestamptz", ""),
];

/// Keywords that clients often misspell; named in the hint of an unknown one.
const COMMON: &str = "host, port, dbname, user, password, sslmode, sslrootcert, connect_timeout, options, service";

/// The keyword `name` as libpq spells it.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) when there is none.
pub(super) fn keyword(name: &str) -> Result<&'static str> {
    known(name).ok_or_else(|| unknown(&format!("{name:?}")))
}

fn known(name: &str) -> Option<&'static str> {
    KEYWORDS.iter().find(|(known, _)| *known == name).map(|(known, _)| *known)
}

/// The error for a setting that does not exist. In a URL or keyword string the word may be a piece of a password that
/// was not escaped: there it is not repeated.
fn unknown(which: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("PostgreSQL has no connection setting {which}"))
        .with_hint(format!("use libpq's words, such as {COMMON}"))
}

const OF_THE_URL: &str = "of a name that the URL has";
const OF_THE_WORDS: &str = "of a name that the connection string has";

/// Reads a locator: a URI, or a keyword string after `postgres:`, or nothing.
pub(super) fn parse(text: &str) -> Result<Settings> {
    let text = text.strip_prefix("jdbc:").unwrap_or(text);
    let Some((scheme, rest)) = text.split_once(':') else {
        return words(text);
    };
    let product = scheme.split('+').next().unwrap_or(scheme);
    match (product, rest.strip_prefix("//")) {
        ("postgres" | "postgresql" | "pg", Some(rest)) => uri(rest),
        ("postgres" | "postgresql" | "pg", None) => words(rest),
        _ => words(text),
    }
}

/// What follows `postgres://`.
fn uri(rest: &str) -> Result<Settings> {
    let mut settings = Settings::new();
    let parts = Uri::split(rest)?;
    insert(&mut settings, "user", parts.user)?;
    insert(&mut settings, "password", parts.password.unwrap_or_default())?;
    host_list(&mut settings, parts.hosts)?;
    insert(&mut settings, "dbname", parts.database)?;
    for setting in parts.settings() {
        let (name, value) = setting?;
        match (&*name, value) {
            // What JDBC URLs say.
            ("ssl", "true") => drop(settings.insert("sslmode", "require".to_owned())),
            ("ApplicationName", value) => insert(&mut settings, "application_name", value)?,
            (name, value) => insert(&mut settings, known(name).ok_or_else(|| unknown(OF_THE_URL))?, value)?,
        }
    }
    Ok(settings)
}

/// `h1:5432,[::1]:5433,%2Frun` as `host` and `port` lists.
fn host_list(settings: &mut Settings, hosts: &str) -> Result<()> {
    if hosts.is_empty() {
        return Ok(());
    }
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for entry in hosts.split(',') {
        let (name, port) = uri::host_and_port(entry)?;
        names.push(name);
        ports.push(port);
    }
    if names.iter().any(|name| !name.is_empty()) {
        settings.insert("host", names.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        settings.insert("port", ports.join(","));
    }
    Ok(())
}

fn insert(settings: &mut Settings, name: &'static str, encoded: &str) -> Result<()> {
    if !encoded.is_empty() {
        settings.insert(name, decode(encoded)?);
    }
    Ok(())
}

/// `host=localhost password='a b'`: a quote or backslash within a value is written with a backslash.
fn words(text: &str) -> Result<Settings> {
    let mut settings = Settings::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(settings);
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| !c.is_whitespace() && *c != '=') {
            name.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            // The word itself may be a secret: it is not repeated.
            let error = Error::new(ErrorKind::Usage, "a word of the connection string has no = after it");
            return Err(error.with_hint("write postgres://user@host:port/database or postgres:host=… dbname=…"));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let value = word(&mut chars)?;
        settings.insert(known(&name).ok_or_else(|| unknown(OF_THE_WORDS))?, value);
    }
}

fn word(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String> {
    let mut value = String::new();
    let quoted = chars.next_if_eq(&'\'').is_some();
    loop {
        match chars.peek() {
            None if quoted => {
                return Err(Error::new(ErrorKind::Usage, "a quote in the connection string is not closed"));
            }
            None => return Ok(value),
            Some('\'') if quoted => {
                chars.next();
                return Ok(value);
            }
            Some(c) if !quoted && c.is_whitespace() => return Ok(value),
            Some('\\') => {
                chars.next();
                value.extend(chars.next());
            }
            Some(_) => value.extend(chars.next()),
        }
    }
}

/// The section `[service]` of a service file; none when there is no such section.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a line or keyword that libpq would refuse.
pub(super) fn service(text: &str, service: &str) -> Result<Option<Settings>> {
    let mut found: Option<Settings> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            found = (name == service).then(Settings::new);
            continue;
        }
        let Some(settings) = &mut found else { continue };
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| Error::new(ErrorKind::Usage, "a line of the service file has no =").at("line", index + 1))?;
        let name = keyword(name.trim()).map_err(|error| error.at("line", index + 1))?;
        settings.entry(name).or_insert_with(|| value.trim().to_owned());
    }
    Ok(found)
}
