//! Option files as the clients of MySQL and MariaDB read them: `my.cnf` and what it includes.
//!
//! Sources: the manuals, "Using Option Files" (MySQL) and "Configuring MariaDB with Option Files"; where those are
//! silent, what `my_print_defaults` of both gives.

use std::path::{Path, PathBuf};

use super::settings;
use crate::bridge::login::{Layer, Surroundings};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// The files of the system, the weakest first; that of the user follows.
const SYSTEM: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];
/// Groups that every client program reads, of one product or both.
const GROUPS: [&str; 3] = ["client", "client-server", "client-mariadb"];
/// The settings that files fill.
const KNOWN: [&str; 11] = [
    "host",
    "port",
    "socket",
    "user",
    "password",
    "database",
    "connectTimeout",
    "tlsMode",
    "tlsCa",
    "tlsCert",
    "tlsKey",
];
/// MariaDB's, which files alone have.
const SWITCHES: [(&str, &str); 2] = [("ssl", "ssl"), ("ssl-verify-server-cert", "sslVerifyServerCert")];
/// How deep files may include each other.
const DEPTH: usize = 10;

/// The settings of the usual files, or of `only`.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) where `only` cannot be read, [`Usage`](ErrorKind::Usage) for what clients refuse.
pub(super) fn read(only: Option<&Path>, around: &Surroundings<'_>) -> Result<Layer> {
    let mut found = Layer::new();
    if let Some(path) = only {
        let text = (around.file)(path).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the option file cannot be read")
                .at("file", path.display())
                .with_hint("it must be there, readable, and not open for everybody to write")
        })?;
        add(&mut found, path, &text, DEPTH, around)?;
        return Ok(found);
    }
    let own = around.home().map(|home| home.join(".my.cnf"));
    for path in SYSTEM.iter().map(PathBuf::from).chain(own) {
        include(&mut found, &path, DEPTH, around)?;
    }
    Ok(found)
}

/// The text of an option file; none for one that everybody may write to, which clients ignore.
pub(super) fn text(path: &Path) -> Option<String> {
    if is_open(path) { None } else { std::fs::read_to_string(path).ok() }
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o002 != 0)
}

#[cfg(not(unix))]
fn is_open(_path: &Path) -> bool {
    false
}

/// Adds a file where there is one.
fn include(found: &mut Layer, path: &Path, depth: usize, around: &Surroundings<'_>) -> Result<()> {
    match (around.file)(path).filter(|_| depth > 0) {
        Some(text) => add(found, path, &text, depth - 1, around),
        None => Ok(()),
    }
}

/// Adds what stands in `text`; the last word on a setting holds.
fn add(found: &mut Layer, path: &Path, text: &str, depth: usize, around: &Surroundings<'_>) -> Result<()> {
    let mut group: Option<bool> = None;
    for (index, line) in text.lines().enumerate() {
        // A line may hold a password: no error repeats it.
        let refuse = |what: &str| {
            let error =
                Error::new(ErrorKind::Usage, what).with_hint("correct the file, or name another in defaultsFile");
            Err(error.at("line", index + 1).at("file", path.display()))
        };
        match line.trim() {
            "" => {}
            line if line.starts_with(['#', ';']) => {}
            line if line.starts_with('!') => directive(found, line, depth, around).at("file", || path.display())?,
            line if line.starts_with('[') => match line[1..].split_once(']') {
                Some((name, _)) => group = Some(GROUPS.contains(&name.trim_end())),
                None => return refuse("a group of the option file lacks its closing bracket"),
            },
            line => match group {
                Some(true) => setting(found, line),
                Some(false) => {}
                None => return refuse("a setting of the option file stands before the first group"),
            },
        }
    }
    Ok(())
}

fn directive(found: &mut Layer, line: &str, depth: usize, around: &Surroundings<'_>) -> Result<()> {
    let (name, path) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let path = Path::new(path.trim());
    match name {
        "!include" => include(found, path, depth, around),
        "!includedir" => {
            let inner = (around.folder)(path).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "the folder that is included cannot be read")
                    .at("folder", path.display())
            })?;
            let mut files = inner.iter().filter(|path| path.extension().is_some_and(|extension| extension == "cnf"));
            files.try_for_each(|path| include(found, path, depth, around))
        }
        _ => Ok(()),
    }
}

/// Notes `name=value`, or a switch, where it is one that we know.
fn setting(found: &mut Layer, line: &str) {
    let line = without_comment(line);
    let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(unquoted(value.trim()))));
    let name = name.trim_end().replace('_', "-");
    let name = name.strip_prefix("loose-").unwrap_or(&name);
    let (plain, off) = match name.strip_prefix("skip-").or_else(|| name.strip_prefix("disable-")) {
        Some(plain) => (plain, true),
        None => (name.strip_prefix("enable-").unwrap_or(name), false),
    };
    if let Some((_, known)) = SWITCHES.iter().find(|(switch, _)| *switch == plain) {
        let word = value.unwrap_or_else(|| "1".to_owned()).to_ascii_lowercase();
        let on = !off && matches!(&*word, "1" | "on" | "true");
        found.insert(known, u8::from(on).to_string());
        return;
    }
    // Without a value it asks clients to ask, as `password` does: nobody is there to be asked.
    if let (Some(known), Some(value)) = (settings().keyword(name).filter(|known| KNOWN.contains(known)), value) {
        found.insert(known, value);
    }
}

/// `line` up to a `#` outside quotes. Within quotes, a backslash takes the meaning from a quote.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match (c, quote) {
            ('#', None) => return line[..at].trim_end(),
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open && !escaped => quote = None,
            _ => {}
        }
        escaped = quote.is_some() && c == '\\' && !escaped;
    }
    line
}

/// `value` without the quotes around it and with its escapes read; a backslash before another sign stays.
fn unquoted(value: &str) -> String {
    let inner = ['\'', '"'].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let mut out = String::with_capacity(value.len());
    let mut chars = inner.unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('s') => out.push(' '),
            Some(sign @ ('\\' | '\'' | '"')) => out.push(sign),
            other => out.extend(['\\'].into_iter().chain(other)),
        }
    }
    out
}
