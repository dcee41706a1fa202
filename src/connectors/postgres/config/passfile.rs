//! `~/.pgpass`: lines of `host:port:database:user:password`, `*` for any, `\` before a literal `:` or `\`.

use std::path::Path;

/// Where servers put their socket unless they are told otherwise, upstream and in Debian.
pub(in super::super) const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The name under which the file knows a host: a socket in its usual folder is `localhost`, another is its folder.
pub(super) fn host_name(host: &str) -> &str {
    if SOCKET_FOLDERS.contains(&host.trim_end_matches('/')) { "localhost" } else { host }
}

/// Whether nobody else may read the file; libpq ignores a password file that others can read.
#[cfg(unix)]
pub(super) fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode().trailing_zeros() >= 6)
}

#[cfg(not(unix))]
pub(super) fn is_private(path: &Path) -> bool {
    path.is_file()
}

/// The password for a login, from the text of a password file.
pub(super) fn lookup(text: &str, login: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = split(line);
        let matches = login.iter().all(|wanted| fields.next().is_some_and(|field| field == "*" || field == *wanted));
        fields.next().filter(|password| matches && !password.is_empty())
    })
}

/// The fields of a line, unescaped; the fifth runs to the end of the line's escapes as the others do.
fn split(line: &str) -> impl Iterator<Item = String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let last = fields.last_mut().expect("there is always a field");
        match c {
            '\\' => last.extend(chars.next()),
            ':' => fields.push(String::new()),
            c => last.push(c),
        }
    }
    fields.into_iter()
}
