//! Just enough of Rust's grammar to see which paths a file names: tokens without comments, strings and tests,
//! the trees of `use`, and paths in code that begin with `crate`, `super`, `self` or another crate.

/// One source file, read.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to `src`, with `/`.
    pub(super) path: String,
    /// Tokens outside test modules.
    pub(super) tokens: Vec<Token>,
    /// Lines outside test modules.
    pub(super) lines: usize,
}

/// A word, a `::`, or one other sign.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

impl File {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let mut tokens = tokens_of(text);
        let mut lines = text.lines().count();
        while let Some((start, end)) = test_module(&tokens) {
            lines -= tokens[end].line - tokens[start].line + 1;
            tokens.drain(start..=end);
        }
        Self { path: path.to_owned(), tokens, lines }
    }

    /// Whether the whole file is tests.
    pub(super) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Every path that is imported or spelled out, in full, with its line.
    pub(super) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        let mut module = module_of(&self.path);
        let mut braces = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let previous = at.checked_sub(1).map_or("", |index| self.tokens[index].text.as_str());
            match self.tokens[at].text.as_str() {
                "mod" if self.is(at + 2, "{") => {
                    braces.push(module.len());
                    module.push(self.tokens[at + 1].text.clone());
                    at += 2;
                }
                "{" => braces.push(module.len()),
                "}" => module.truncate(braces.pop().unwrap_or(1)),
                // Not the `use<'a>` of a type.
                "use" if !self.is(at + 1, "<") => {
                    let mut leaves = Vec::new();
                    at = self.tree(at + 1, &[], &mut leaves);
                    found.extend(leaves.into_iter().map(|(line, path)| (line, absolute(&module, path))));
                }
                _ if previous != "::" && previous != "." && self.is(at + 1, "::") && self.is_word(at) => {
                    let line = self.tokens[at].line;
                    let mut path = vec![self.tokens[at].text.clone()];
                    while self.is(at + 1, "::") && self.is_word(at + 2) {
                        path.push(self.tokens[at + 2].text.clone());
                        at += 2;
                    }
                    found.push((line, absolute(&module, path)));
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    /// Reads one tree of a `use` from token `at` on; gives the place after it.
    fn tree(&self, mut at: usize, before: &[String], leaves: &mut Vec<(usize, Vec<String>)>) -> usize {
        let mut path = before.to_vec();
        while let Some(token) = self.tokens.get(at) {
            match token.text.as_str() {
                "::" => {}
                "{" => {
                    at += 1;
                    while !self.is(at, "}") && at < self.tokens.len() {
                        // Past the comma; past anything else, too, so that no text makes this endless.
                        at = self.tree(at, &path, leaves);
                        if !self.is(at, "}") {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                "as" => at += 1,
                "," | "}" | ";" => break,
                "self" if !path.is_empty() => {}
                word => path.push(word.to_owned()),
            }
            at += 1;
        }
        let line = self.tokens.get(at.saturating_sub(1)).map_or(0, |token| token.line);
        leaves.push((line, path));
        at
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.text == text)
    }

    fn is_word(&self, at: usize) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.text.starts_with(|first: char| first == '_' || first.is_alphabetic()))
    }
}

/// The module that a file is, from `crate` on.
fn module_of(path: &str) -> Vec<String> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let parts = stem.split('/').filter(|part| !["mod", "lib", "main"].contains(part));
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

/// `path` as seen in `module`, from `crate` or another crate on.
fn absolute(module: &[String], path: Vec<String>) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let first = path.first().map(String::as_str);
    if ups > 0 {
        let kept = module.len().saturating_sub(ups).max(1);
        return [&module[..kept], &path[ups..]].concat();
    }
    if first == Some("self") { [module, &path[1..]].concat() } else { path }
}

/// First and last token of the first `#[cfg(test)] mod name { … }`.
fn test_module(tokens: &[Token]) -> Option<(usize, usize)> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let matches = |start: &usize| mark.iter().enumerate().all(|(at, text)| tokens[start + at].text == *text);
    let start = (0..tokens.len().saturating_sub(mark.len())).find(matches)?;
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start + mark.len()) {
        match token.text.as_str() {
            ";" if depth == 0 => return Some((start, at)),
            "{" => depth += 1,
            "}" if depth == 1 => return Some((start, at)),
            "}" => depth -= 1,
            _ => {}
        }
    }
    None
}

fn tokens_of(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let width = skipped(rest).unwrap_or(0);
        if width == 0 {
            let token = token_of(rest);
            if !token.trim().is_empty() {
                tokens.push(Token { text: token.to_owned(), line });
            }
            line += token.matches('\n').count();
            at += token.len();
        } else {
            line += rest[..width].matches('\n').count();
            at += width;
        }
    }
    tokens
}

/// Length of the comment, string, character or lifetime at the start of `rest`.
fn skipped(rest: &str) -> Option<usize> {
    let end = |found: Option<usize>| found.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return Some(end(rest.find('\n')));
    }
    if rest.starts_with("/*") {
        return Some(end(rest.find("*/").map(|at| at + 2)));
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).unwrap_or_default();
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if raw[hashes..].starts_with('"') {
        let start = rest.len() - raw.len() + hashes + 1;
        let close = format!("\"{}", "#".repeat(hashes));
        return Some(end(rest[start..].find(&close).map(|at| start + at + close.len())));
    }
    let quoted = rest.strip_prefix('b').unwrap_or(rest);
    let prefix = rest.len() - quoted.len();
    if quoted.starts_with('"') {
        return Some(prefix + closing(quoted, b'"'));
    }
    if let Some(after) = quoted.strip_prefix('\'') {
        let mut characters = after.chars();
        let (first, second) = (characters.next()?, characters.next());
        if first == '\\' || second == Some('\'') {
            return Some(prefix + closing(quoted, b'\''));
        }
        // A lifetime: the quote alone, its name is a word that means nothing here.
        return Some(prefix + 1);
    }
    None
}

/// Length of a quoted text up to its unescaped end.
fn closing(quoted: &str, quote: u8) -> usize {
    let bytes = quoted.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn token_of(rest: &str) -> &str {
    if rest.starts_with("::") {
        return &rest[..2];
    }
    let word = |letter: char| letter == '_' || letter.is_alphanumeric();
    match rest.find(|letter| !word(letter)) {
        Some(0) => &rest[..rest.chars().next().map_or(0, char::len_utf8)],
        Some(end) => &rest[..end],
        None => rest,
    }
}
