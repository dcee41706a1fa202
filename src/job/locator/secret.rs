//! Secrets in locators: variables that stand for them, and the mask that hides them.

use super::{Lookup, SQLITE, percent_decode, usage};
use crate::bridge::login::seen;
use crate::error::Result;

/// Keys whose values may be seen. Those of all others are hidden: a misspelt `paswort=…` holds a password, too.
const SHOWN: [&str; 18] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "service",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "connect_timeout",
    "application_name",
    "target_session_attrs",
    "options",
    "passfile",
    "rows",
    "seed",
    "sf",
];

/// Keys whose values are surely secret end in one of these: the key itself may be seen.
const SECRET: [&str; 7] = ["password", "passwd", "pass", "pwd", "secret", "token", "key"];

/// The scheme behind which a driver of ADBC stands, and its options.
const DRIVERS: &str = "adbc";
/// The scheme behind which a data source or a driver of ODBC stands, and the driver's options.
const SOURCES: &str = "odbc";

/// The scheme behind which a whole URL stands.
const URLS: &str = "connectorx";

/// What a hidden value looks like.
const MASK: &str = "***";

/// `url`, a locator with a scheme and without `#object`, with all hidden that may be a password: what stands between
/// the user's name and `@`, and the values of all settings that are not known to be harmless.
///
/// A password may hold any letter, so that a URL can be read in more than one way. What would show it in one of them
/// is hidden: rather too much than too little.
pub fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once(':') else { return url.to_owned() };
    if scheme == DRIVERS {
        return format!("{scheme}:{}", mask_driver(rest));
    }
    if scheme == SOURCES {
        return format!("{scheme}:{}", mask_source(rest));
    }
    if scheme == URLS {
        let inner = rest.split_once(':').filter(|(inner, _)| inner.chars().all(|c| c.is_ascii_lowercase() || c == '+'));
        let is_url = inner.is_some_and(|(inner, rest)| inner != URLS && (rest.starts_with("//") || inner == SQLITE));
        return format!("{scheme}:{}", if is_url { mask(rest) } else { MASK.to_owned() });
    }
    if let Some(rest) = rest.strip_prefix("//") {
        return format!("{scheme}://{}", mask_url(rest));
    }
    let (body, query) = split_query(rest);
    match (body.contains('='), rest.contains('@')) {
        (true, _) => format!("{scheme}:{}", mask_words(rest)),
        // A URL with a slash too few.
        (false, true) => format!("{scheme}:{MASK}"),
        (false, false) => format!("{scheme}:{body}{}", mask_query(query)),
    }
}

/// A masked locator without the password that was hidden, for who finds it elsewhere.
pub fn unmask(masked: &str) -> String {
    masked.replace(&format!(":{MASK}@"), "@")
}

/// The settings behind the `?` of a locator that are surely no secret, also those that [`mask`] hides: `key=value` each. Of what a
/// driver is told nobody knows it.
pub fn plain_settings(url: &str) -> Vec<&str> {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    let query = split_query(rest).1.unwrap_or_default();
    // An `@` tells that the password held the `?`.
    if [DRIVERS, SOURCES, URLS].contains(&scheme) || query.contains('@') {
        return Vec::new();
    }
    let is_plain = |pair: &&str| pair.split_once('=').is_some_and(|(key, _)| !is_secret(&percent_decode(key)));
    query.split('&').filter(is_plain).collect()
}

/// Whether `url`, a locator with a scheme and without `#object`, holds a password or another secret that is no `${NAME}`.
pub fn holds_secret(url: &str) -> bool {
    let masked = mask(url);
    let mut rest = url;
    let mut parts = masked.split(MASK);
    let Some(after) = rest.strip_prefix(parts.next().unwrap_or_default()) else { return true };
    rest = after;
    for part in parts {
        let end = if part.is_empty() { Some(rest.len()) } else { rest.find(part) };
        let Some(end) = end else { return true };
        if is_open(&rest[..end]) {
            return true;
        }
        rest = &rest[end + part.len()..];
    }
    false
}

/// The one part of `url`, a locator as [`holds_secret`] takes it, that is a secret: what stands before it, itself, and what stands behind
/// it. None where it holds none, or several parts may be one.
pub fn only_secret(url: &str) -> Option<(&str, &str, &str)> {
    let masked = mask(url);
    let (before, behind) = masked.split_once(MASK).filter(|(_, behind)| !behind.contains(MASK))?;
    let secret = url.strip_prefix(before)?.strip_suffix(behind)?;
    is_open(secret).then(|| (&url[..before.len()], secret, &url[url.len() - behind.len()..]))
}

/// Whether a hidden part of a locator is surely, or may be, a secret: neither a reference nor a plain setting.
fn is_open(hidden: &str) -> bool {
    let is_setting = hidden.split_once('=').is_some_and(|(key, value)| {
        key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !is_secret(key) && !value.contains(['@', ':'])
    });
    !hidden.is_empty() && !is_setting && !hidden.contains("${")
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    text.split_once('?').map_or((text, None), |(head, query)| (head, Some(query)))
}

/// Whether the value of the option `key` is hidden.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // These name a file, and its name may be needed to find a mistake.
    !matches!(key.as_str(), "sslkey" | "tlskey") && SECRET.iter().any(|secret| key.ends_with(secret))
}

/// What follows `scheme://`.
fn mask_url(rest: &str) -> String {
    let (head, query) = split_query(rest);
    let place = match head.rfind('@') {
        // A second `@` tells that the password held the `?`.
        _ if query.is_some_and(|query| query.contains('@')) => mask_login(head),
        Some(at) => format!("{}{}", mask_login(&head[..at]), &head[at..]),
        None if has_plain_ports(head) => head.to_owned(),
        None => mask_login(head),
    };
    format!("{place}{}", mask_query(query))
}

fn mask_login(login: &str) -> String {
    login.split_once(':').map_or_else(|| login.to_owned(), |(name, _)| format!("{name}:{MASK}"))
}

/// Whether what follows a colon is a port everywhere: else it is the password of a URL without its host.
fn has_plain_ports(head: &str) -> bool {
    let (authority, database) = head.split_once('/').unwrap_or((head, ""));
    let is_port = |host: &str| {
        let after_address = host.rsplit_once(']').map_or(host, |(_, port)| port);
        after_address.split_once(':').is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
    };
    authority.split(',').all(is_port) && !database.contains(':')
}

/// `?` and the settings behind it.
fn mask_query(query: Option<&str>) -> String {
    let Some(query) = query else { return String::new() };
    let pairs: Vec<String> = query.split('&').map(mask_pair).collect();
    format!("?{}", pairs.join("&"))
}

fn mask_pair(pair: &str) -> String {
    let Some((key, value)) = pair.split_once('=') else { return MASK.to_owned() };
    match percent_decode(key).as_str() {
        key if SHOWN.contains(&key) && !value.contains(['@', '?']) => format!("{key}={value}"),
        key if is_secret(key) && key.chars().all(|c| c.is_ascii_lowercase() || c == '_') => format!("{key}={MASK}"),
        _ => MASK.to_owned(),
    }
}

/// A driver and its options, one of which is a URI.
fn mask_driver(rest: &str) -> String {
    let (driver, query) = split_query(rest);
    let driver = if seen::adbc_driver(driver) { driver } else { MASK };
    let Some(query) = query else { return driver.to_owned() };
    let is_place = |key: &str| ["uri", "path"].contains(&key);
    // An `&` that was not escaped may have parted a password.
    let odd = |pair: &str| pair.split_once('=').is_none_or(|(key, value)| value.contains('@') && !is_place(key));
    if query.split('&').any(odd) {
        return format!("{driver}?{MASK}");
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, value)) if is_place(key) => format!("{key}={}", mask_place(&percent_decode(value))),
        Some((key, value)) if seen::adbc_place(key) => format!("{key}={value}"),
        _ => mask_pair(pair),
    });
    format!("{driver}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// A data source of ODBC, or none, and options of its driver.
fn mask_source(rest: &str) -> String {
    let (source, query) = split_query(rest);
    // A connection string stands elsewhere.
    let source = if seen::odbc_source(source) { source } else { MASK };
    let Some(query) = query else { return source.to_owned() };
    // An `&` or `;` that was not escaped may have parted a password.
    let odd =
        |pair: &str| pair.split_once('=').is_none_or(|(key, value)| key.contains(';') || value.contains(['@', ';']));
    if query.split('&').any(odd) {
        return format!("{source}?{MASK}");
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, value)) if seen::odbc_place(key) || seen::odbc_user(key) => format!("{key}={value}"),
        Some((key, _)) if is_secret(key) && key.chars().all(|c| c.is_ascii_alphabetic() || c == '_') => {
            format!("{key}={MASK}")
        }
        _ => MASK.to_owned(),
    });
    format!("{source}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// What a driver is told of where to go: a URL, a file, words such as `host=db`, or `user:password@account/database`.
fn mask_place(text: &str) -> String {
    if text.contains("://") {
        return mask(text);
    }
    let (head, query) = split_query(text);
    if query.is_some_and(|query| query.contains('@')) {
        return MASK.to_owned();
    }
    match head.rsplit_once('@') {
        Some((_, place)) => format!("{MASK}@{place}"),
        None if head.contains('=') => mask_words(text),
        None => format!("{head}{}", mask_query(query)),
    }
}

/// libpq's keyword string: `key = value` parted by blanks, a value perhaps in single quotes.
fn mask_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.trim_start().strip_prefix('=') else {
            // It may be the end of a password with a blank in it.
            words.push(MASK.to_owned());
            rest = after.trim_start();
            continue;
        };
        let after = after.trim_start();
        let (value, next) = after.split_at(value_length(after));
        words.push(mask_pair(&format!("{key}={value}")));
        rest = next.trim_start();
    }
    words.join(" ")
}

/// Bytes of a value: up to a blank, or a whole single-quoted string. A backslash takes the next letter with it.
fn value_length(text: &str) -> usize {
    let quoted = text.starts_with('\'');
    let mut escaped = false;
    let end = text.char_indices().skip(usize::from(quoted)).find(|(_, c)| {
        let ends = !escaped && if quoted { *c == '\'' } else { c.is_whitespace() };
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + usize::from(quoted))
}

/// The value of the variable that `text` begins with, and the rest.
pub(super) fn leading<'a>(text: &'a str, lookup: &dyn Lookup) -> Result<(String, &'a str)> {
    let (name, rest) = variable(text)?;
    Ok((value(name, lookup)?, rest))
}

/// Replaces every `${NAME}` as it stands.
pub(super) fn fill(text: &str, lookup: &dyn Lookup) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let (name, after) = variable(&rest[at..])?;
        out.push_str(&value(name, lookup)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The name in `${NAME}` at the start of `text`, and what follows.
fn variable(text: &str) -> Result<(&str, &str)> {
    let parts = text.strip_prefix("${").and_then(|inner| inner.split_once('}'));
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    parts
        .filter(|(name, _)| is_name(name))
        .ok_or_else(|| usage("'${' in a locator begins no variable").with_hint("write '${NAME}', in single quotes"))
}

fn value(name: &str, lookup: &dyn Lookup) -> Result<String> {
    lookup.variable(name).ok_or_else(|| {
        usage(format!("the environment variable {name} is not set")).with_hint(format!("export {name}=… first"))
    })
}
