//! From templates to the folder of a connector, and the lines that make it known.

use std::fs;
use std::path::Path;

use arrow_etl::connectors::CONNECTORS;
use arrow_etl::error::{Context as _, Error, ErrorKind, Result};
use clap::ValueEnum;

/// Which way rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// It is read.
    Source,
    /// It is written.
    Sink,
    /// Both.
    Both,
}

/// What becomes of a folder that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and nothing is made.
    Refused,
    /// It is written anew, if templates made it.
    Overwritten,
}

/// The parts of a connector that a file belongs to.
const BOTH: &[Kind] = &[Kind::Source, Kind::Sink, Kind::Both];
const SOURCE: &[Kind] = &[Kind::Source, Kind::Both];
const SINK: &[Kind] = &[Kind::Sink, Kind::Both];

/// Files of the folder: name, whose they are, template.
const FILES: &[(&str, &[Kind], &str)] = &[
    ("README.md", BOTH, include_str!("README.md")),
    ("agree.rs", SINK, include_str!("agree.rs")),
    ("config.rs", BOTH, include_str!("config.rs")),
    ("endpoint.rs", BOTH, include_str!("endpoint.rs")),
    ("mod.rs", BOTH, include_str!("mod.rs")),
    ("read.rs", SOURCE, include_str!("read.rs")),
    ("session.rs", SOURCE, include_str!("session.rs")),
    ("typemap.rs", BOTH, include_str!("typemap.rs")),
    ("write.rs", SINK, include_str!("write.rs")),
];
const CONFORMANCE: &str = include_str!("conformance.rs");

/// The name of something, and what of a text of ours and a name makes another text, if there is one.
type Known = (&'static str, fn(&str, &str) -> Option<String>);

/// Files with lines about every connector, and how a new one gets into them; none where it finds no place.
const KNOWN_BY: &[Known] =
    &[("Cargo.toml", featured), ("src/connectors/mod.rs", listed), ("tests/it/conformance.rs", tested)];

/// Words that no module may be called.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "tests", "trait",
    "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Makes the connector `name` in the tree at `root`, and says which files were written.
///
/// # Errors
/// One sentence for a name that cannot be had, and for a folder that is there; then nothing was written.
pub(crate) fn make(root: &Path, (name, kind): (&str, Kind), existing: Existing) -> Result<Vec<String>> {
    check_name(name)?;
    let folder = root.join("src/connectors").join(name);
    if folder.exists() {
        check_folder(&folder, name, existing)?;
    } else {
        check_free(name, &read(root, "Cargo.toml")?)?;
    }
    let mut written = Vec::new();
    fs::create_dir_all(&folder)?;
    for (file, kinds, template) in FILES {
        let path = format!("src/connectors/{name}/{file}");
        if kinds.contains(&kind) {
            write(root, &path, &filled(template, name, kind))?;
            written.push(path);
        } else if root.join(&path).exists() {
            fs::remove_file(root.join(&path))?;
        }
    }
    let path = format!("tests/it/conformance/{name}.rs");
    fs::create_dir_all(root.join("tests/it/conformance"))?;
    write(root, &path, &filled(CONFORMANCE, name, kind))?;
    written.push(path);
    for (path, known) in KNOWN_BY {
        let old = read(root, path)?;
        let new = known(&old, name).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the line of a new connector finds no place in this file").at("file", path)
        })?;
        if new != old {
            write(root, path, &new)?;
            written.push((*path).to_owned());
        }
    }
    Ok(written)
}

fn check_name(name: &str) -> Result<()> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_identifier = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letters);
    if is_identifier && !KEYWORDS.contains(&name) {
        return Ok(());
    }
    Err(usage(format!(
        "{name:?} is no name for a connector: it takes lower-case letters, digits and _, and no word of Rust"
    )))
}

fn check_folder(folder: &Path, name: &str, existing: Existing) -> Result<()> {
    if existing == Existing::Refused {
        return Err(usage(format!("src/connectors/{name} exists: --overwrite writes it anew")));
    }
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let foreign = names.into_iter().find(|name| FILES.iter().all(|(file, ..)| file != name));
    foreign.map_or(Ok(()), |file| {
        Err(usage(format!("src/connectors/{name} holds {file}, which no template makes: it is not overwritten")))
    })
}

fn check_free(name: &str, manifest: &str) -> Result<()> {
    let by = |known: &&&dyn arrow_etl::connector::Connector| known.name() == name || known.aliases().contains(&name);
    if let Some(known) = CONNECTORS.iter().find(by) {
        return Err(usage(format!("{name}: names the connector {} already", known.name())));
    }
    if manifest.lines().any(|line| line.starts_with(&format!("{name} = "))) {
        return Err(usage(format!("Cargo.toml has the word {name} already")));
    }
    Ok(())
}

/// `template` for `name`. Between `//# source` or `//# sink` and `//# end` stands what that kind alone has; behind
/// `//# no source` or `//# no sink` what the others have instead.
fn filled(template: &str, name: &str, kind: Kind) -> String {
    let has = |part: &str| match part {
        "source" => kind != Kind::Sink,
        "sink" => kind != Kind::Source,
        "no source" => kind == Kind::Sink,
        "no sink" => kind == Kind::Source,
        _ => true,
    };
    let (mut text, mut is_wanted) = (String::new(), true);
    for line in template.lines() {
        match line.strip_prefix("//# ") {
            Some(part) => is_wanted = has(part),
            None if is_wanted => text.extend([line, "\n"]),
            None => {}
        }
    }
    let type_name: String = name.split('_').map(capitalized).collect();
    text.replace("sample", name).replace("Sample", &type_name)
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// The manifest with a feature `name` that is on by default.
fn featured(manifest: &str, name: &str) -> Option<String> {
    if manifest.contains(&format!("\n{name} = []\n")) {
        return Some(manifest.to_owned());
    }
    let (before, rest) = manifest.split_once("\ndefault = [")?;
    let (defaults, after) = rest.split_once(']')?;
    let quoted = format!("{name:?}");
    let known = defaults.split(',').map(str::trim).filter(|word| !word.is_empty());
    let mut defaults: Vec<&str> = known.chain([quoted.as_str()]).collect();
    defaults.sort_unstable();
    let manifest = format!("{before}\ndefault = [{}]{after}", defaults.join(", "));
    let is_feature = |line: &str| line.strip_suffix(" = []").map(str::to_owned);
    inserted(&manifest, name, &[format!("{name} = []")], is_feature)
}

/// The list of connectors with the module and the `const` line of `name`.
fn listed(list: &str, name: &str) -> Option<String> {
    let type_name: String = name.split('_').map(capitalized).collect();
    let feature = format!("#[cfg(feature = {name:?})]");
    let module = [feature.clone(), format!("pub mod {name};")];
    let entry = [format!("    {feature}"), format!("    &{name}::{type_name},")];
    let is_module = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    let is_entry = |line: &str| Some(line.strip_prefix("    &")?.strip_suffix(',')?.split_once("::")?.0.to_owned());
    inserted(&inserted(list, name, &module, is_module)?, name, &entry, is_entry)
}

/// The suite with the module of `name`.
fn tested(suite: &str, name: &str) -> Option<String> {
    let line = format!("mod {name};");
    let is_module = |line: &str| Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned());
    if suite.lines().any(|line| is_module(line).is_some()) {
        return inserted(suite, name, &[line], is_module);
    }
    let last = suite.match_indices("\nuse ").last()?.0;
    let end = last + suite[last..].find(";\n")? + 2;
    Some(format!("{}\n{line}\n{}", &suite[..end], &suite[end..]))
}

/// `text` with `lines` among the lines of which `name_of` tells the name, in the order of names. What stands there stays.
fn inserted(text: &str, name: &str, lines: &[String], name_of: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut all: Vec<&str> = text.lines().collect();
    let names: Vec<(usize, String)> =
        all.iter().enumerate().filter_map(|(place, line)| Some((place, name_of(line)?))).collect();
    if names.iter().any(|(_, known)| known == name) {
        return Some(text.to_owned());
    }
    let behind = names.last()?.0 + 1;
    let mut place = names.iter().find(|(_, known)| known.as_str() > name).map_or(behind, |(place, _)| *place);
    // An attribute belongs to the line behind it.
    if place < behind && all[place - 1].trim_start().starts_with("#[") {
        place -= 1;
    }
    drop(all.splice(place..place, lines.iter().map(String::as_str)));
    Some(all.join("\n") + "\n")
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).at("file", || path)
}

/// Writes a file, unless it is the same already: what did not change is not compiled again.
fn write(root: &Path, path: &str, text: &str) -> Result<()> {
    if fs::read_to_string(root.join(path)).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(root.join(path), text).at("file", || path)
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}
