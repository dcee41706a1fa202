//! The parts of a URL `user:password@hosts/database?name=value`, without its scheme.
//!
//! No error here repeats a part: any may be a piece of a password that was not escaped.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::error::{Error, ErrorKind, Result};

/// What to do about a URL that falls apart at the wrong places.
const ESCAPES: &str = "write the signs / ? # @ of a password as %2F %3F %23 %40, or use ${NAME}";

/// The parts, still escaped; empty where they are left out.
#[derive(Clone, Copy)]
pub struct Uri<'a> {
    /// Before `:` or `@`.
    pub user: &'a str,
    /// Between `:` and `@`; none where there is no `:`.
    pub password: Option<&'a str>,
    /// One server or several, as the product has it.
    pub hosts: &'a str,
    /// After the first `/`.
    pub database: &'a str,
    query: &'a str,
}

impl fmt::Debug for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uri").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl<'a> Uri<'a> {
    /// Takes apart what follows `scheme://`.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) where a password holds the signs that part a URL.
    pub fn split(rest: &'a str) -> Result<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        if login_is_cut(authority, database, query) {
            let error = Error::new(ErrorKind::Usage, "the user and password of the URL hold a / or ? as such");
            return Err(error.with_hint(ESCAPES));
        }
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
        Ok(Self { user, password, hosts, database, query })
    }

    /// Names, unescaped, and values, still escaped, of what follows `?`.
    pub fn settings(&self) -> impl Iterator<Item = Result<(String, &'a str)>> + use<'a> {
        self.query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Error::new(ErrorKind::Usage, "a setting after ? in the URL has no value").with_hint("write ?name=value")
            })?;
            Ok((decode(name)?, value))
        })
    }
}

/// Whether the first `/` or `?` stood within `user:password@`, so that the password would be taken for a database,
/// port or setting, and shown as such.
fn login_is_cut(authority: &str, database: &str, query: &str) -> bool {
    let odd_port = |host: &str| {
        host.split_once(':').is_some_and(|(name, port)| !name.starts_with('[') && port.parse::<u16>().is_err())
    };
    let odd_name = |pair: &str| pair.split('=').next().is_some_and(|name| name.contains('@'));
    let in_query = query.contains('@') && (authority.split(',').any(odd_port) || query.split('&').any(odd_name));
    !authority.contains('@') && (database.contains('@') || in_query)
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name or an address, without brackets.
    pub name: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

/// Name and port, unescaped, of `host:port` or `[::1]:port`; empty where they are left out.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a bracket without its other.
pub fn host_and_port(entry: &str) -> Result<(String, String)> {
    let (name, port) = if let Some(rest) = entry.strip_prefix('[') {
        let (address, rest) = rest
            .split_once(']')
            .ok_or_else(|| Error::new(ErrorKind::Usage, "an IPv6 address in the URL lacks its closing bracket"))?;
        (address, rest.strip_prefix(':').unwrap_or(rest))
    } else {
        entry.split_once(':').unwrap_or((entry, ""))
    };
    Ok((decode(name)?, decode(port)?))
}

/// The port that `text` says, from 1 on.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for anything else.
pub fn port(text: &str) -> Result<u16> {
    text.trim().parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        // Not repeated: it may be a password that was taken for a port.
        let error = Error::new(ErrorKind::Usage, "what stands for the port is no number from 1 to 65535");
        error.with_hint(format!("in a URL, {ESCAPES}"))
    })
}

/// `encoded` without its `%` escapes.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a `%` that begins none, for `%00`, and for what is not UTF-8.
pub fn decode(encoded: &str) -> Result<String> {
    let bad = || Error::new(ErrorKind::Usage, "the URL has a % that does not begin a valid escape");
    let mut rest = encoded;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.as_bytes().get(..2).ok_or_else(bad)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) || digits == b"00" {
            return Err(bad().with_hint("write a literal % as %25"));
        }
        rest = &after[2..];
    }
    percent_decode_str(encoded).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| bad())
}
