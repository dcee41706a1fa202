//! `~/.pgpass`: lines of `host:port:database:user:password`, `*` for any, `\` before a literal `:` or `\`.

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
