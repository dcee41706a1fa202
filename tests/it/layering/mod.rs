//! The invariants of `src/ARCHITECTURE.md` that the compiler does not see: who imports whom, who prints, file sizes.

mod scan;

use std::path::{Path, PathBuf};

use scan::{File, Token};

/// The contract: top-level files that everything above may use.
const CONTRACT: &[&str] = &[
    "attempt",
    "connector",
    "endpoint",
    "error",
    "fate",
    "merge",
    "object",
    "proof",
    "reject",
    "runner",
    "schema",
    "shape",
    "sink",
    "source",
    "state",
    "wire",
];

/// Per part of the crate what it may import of the others. `contract` stands for all of [`CONTRACT`], a part may
/// always import itself and `bridge`.
const LAYERS: &[(&str, &[&str])] = &[
    ("contract", &["contract"]),
    ("bridge", &["error", "source"]),
    ("formats", &["error", "reject", "schema"]),
    ("sql", &["contract"]),
    ("driven", &["contract", "sql"]),
    ("flow", &["contract", "formats"]),
    ("job", &["contract"]),
    ("connectors", &["contract", "formats", "sql", "driven"]),
    ("plan", &["contract", "connectors", "formats", "job", "flow", "sql"]),
    ("run", &["contract", "connectors", "formats", "job", "flow", "sql", "plan"]),
    ("cli", &["contract", "connectors", "formats", "job", "flow", "sql", "plan", "run"]),
    ("testing", &["contract", "connectors"]),
    ("docs", &[]),
    ("main", &["cli", "error"]),
];

/// What of a part is open to those above connectors: the list of connectors, never a product; the text forms of
/// values, what file names say, and the JSON that programs are shown, never another file format.
const DOORS: &[(&str, &[&str])] = &[("connectors", LIST), ("formats", &["value", "json", "extension"])];
const LIST: &[&str] = &["find", "CONNECTORS"];

/// Codecs, grammars and state records build without DataFusion, so that they can be fuzzed and read alone. Nor does
/// anything that they import, however far away.
const WITHOUT_DATAFUSION: &[&str] = &[
    "formats/",
    "sql/",
    "connectors/postgres/decode",
    "connectors/postgres/encode",
    "job/",
    "attempt.rs",
    "error.rs",
    "merge.rs",
    "object.rs",
    "proof",
    "reject.rs",
    "schema.rs",
    "shape.rs",
    "sink.rs",
    "state.rs",
    "wire.rs",
];
/// The one exception in those folders: it turns expressions into SQL.
const WITH_DATAFUSION: &[&str] = &["sql/filter"];

/// What does input or output; formats turn bytes into batches and back, and leave that to connectors.
const INPUT_OUTPUT: &[&[&str]] = &[&["tokio"], &["std", "fs"], &["std", "net"], &["std", "process"]];

/// Lines of a file, tests apart.
const FILE_LINES: usize = 500;

#[test]
fn every_file_keeps_the_layers() {
    let faults: Vec<String> = sources().iter().flat_map(faults_of).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn what_builds_without_datafusion_imports_nothing_that_needs_it() {
    let files = sources();
    let faults: Vec<String> =
        files.iter().filter(|file| is_core(file)).filter_map(|file| needs(file, &files)).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_need_that_lies_behind_others_is_found() {
    let files = [
        File::new("job/locator/mod.rs", "use crate::endpoint::ObjectRef;"),
        File::new("endpoint.rs", "use crate::sink::Sink;\nuse super::deep::er::Thing;"),
        File::new("sink.rs", "use crate::error::Result;"),
        File::new("error.rs", ""),
        File::new("deep/er.rs", "fn f(e: &datafusion::logical_expr::Expr) {}"),
    ];
    let fault = needs(&files[0], &files).unwrap();
    assert!(fault.contains("job/locator/mod.rs → endpoint.rs → deep/er.rs → datafusion"), "{fault}");
    assert_eq!(needs(&files[2], &files), None);
}

#[test]
fn every_part_of_the_crate_has_a_layer() {
    for file in sources() {
        let part = part_of(&file);
        let known = part == "lib" || CONTRACT.contains(&part) || LAYERS.iter().any(|(name, _)| *name == part);
        assert!(known, "src/{} belongs to no layer: add {part:?} to LAYERS or CONTRACT", file.path);
    }
}

#[test]
fn a_breach_is_found() {
    let cases = [
        ("connectors/a/read.rs", "use crate::plan::read;", "a/read.rs:1: imports crate::plan::read"),
        (
            "connectors/a/read.rs",
            "\nuse crate::{error::Error, cli::{printer as p}};",
            ":2: imports crate::cli::printer",
        ),
        ("connectors/a/read.rs", "fn f() { crate::run::go(); }", "imports crate::run::go"),
        ("connectors/a/read.rs", "use super::super::b::Thing;", "another connector: crate::connectors::b::Thing"),
        ("connectors/a/read.rs", "mod m { use super::super::super::b::Thing; }", "crate::connectors::b::Thing"),
        ("plan/read.rs", "use crate::connectors::sqlite;", "names a product or a format: crate::connectors::sqlite"),
        ("flow/align.rs", "use crate::formats::csv::Reader;", "a format: crate::formats::csv::Reader"),
        ("formats/csv.rs", "use crate::source::Scan;", "imports crate::source::Scan"),
        ("formats/csv.rs", "use std::{fs::File, io};", "does input or output: std::fs::File"),
        ("formats/csv.rs", "fn f(e: &datafusion::logical_expr::Expr) {}", "imports datafusion"),
        ("sql/ddl.rs", "use datafusion_proto::x;", "imports datafusion_proto"),
        ("run/mod.rs", "fn f() { println!(\"{}\", 1) }", "prints"),
        ("bridge/cpu.rs", "fn f() { unsafe { g() } }", "unsafe"),
        ("cli/mod.rs", &"fn f() {}\n".repeat(501), "501 lines"),
    ];
    for (path, text, expected) in cases {
        let faults = faults_of(&File::new(path, text)).join("\n");
        assert!(faults.contains(expected), "{path} with {text:?} gave {faults:?}");
    }
}

#[test]
fn what_is_allowed_passes() {
    let cases = [
        (
            "connectors/a/read.rs",
            "use crate::{driven::name::Name, error::Result, formats, sql::ddl};\nuse super::config::Config;",
        ),
        ("connectors/a/read.rs", "// use crate::plan;\nconst A: &str = \"crate::plan::x\"; /* println!() */"),
        ("connectors/a/read.rs", "#[cfg(test)]\nmod tests { use crate::plan; fn f() { println!() } }"),
        ("connectors/a/tests.rs", "use crate::plan::read;"),
        ("plan/read.rs", "use crate::connectors::{self, find};\nfn f() { connectors::find(\"x\"); }"),
        ("sql/filter.rs", "use datafusion::logical_expr::Expr;"),
        ("cli/printer.rs", "fn f<'a>(x: &'a str) { println!(\"{x}\") }"),
        ("bridge/ffi.rs", "unsafe fn f() {}"),
        ("flow/lane.rs", "fn f<'a>(x: &'a u8) -> impl Fn() + use<'a> { g(); || h() }"),
        ("run/mod.rs", "fn f() -> char { '\"' } // println!(\""),
    ];
    for (path, text) in cases {
        let faults = faults_of(&File::new(path, text));
        assert!(faults.is_empty(), "{path} with {text:?} gave {faults:?}");
    }
}

fn faults_of(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    if file.is_test() {
        return faults;
    }
    for (line, path) in file.paths() {
        let fault = if path[0] == "crate" { inner_fault(file, &path) } else { outer_fault(file, &path) };
        faults.extend(fault.map(|fault| format!("src/{}:{line}: {fault}", file.path)));
    }
    for pair in file.tokens.windows(2) {
        faults.extend(token_fault(file, pair).map(|fault| format!("src/{}:{}: {fault}", file.path, pair[0].line)));
    }
    if file.lines > FILE_LINES {
        faults.push(format!("src/{}: {} lines, tests apart; {FILE_LINES} are allowed", file.path, file.lines));
    }
    faults
}

/// What is wrong with importing `path`, which begins with `crate`.
fn inner_fault(file: &File, path: &[String]) -> Option<String> {
    let shown = path.join("::");
    let (from, to) = (part_of(file), path.get(1).map_or("lib", String::as_str));
    if from == to && from == "connectors" {
        return foreign_connector(file, path).then(|| format!("imports of another connector: {shown}"));
    }
    if from == to || from == "lib" || to == "bridge" || !is_part(to) {
        return None;
    }
    let layer = if CONTRACT.contains(&from) { "contract" } else { from };
    let allowed = LAYERS.iter().find(|(name, _)| *name == layer).map_or(&[][..], |(_, allowed)| *allowed);
    let open = allowed.contains(&to) || allowed.contains(&"contract") && CONTRACT.contains(&to);
    if !open {
        return Some(format!("imports {shown}, which {layer} may not"));
    }
    let doors = DOORS.iter().find(|(part, _)| *part == to && from != "connectors");
    let closed = |item: &String| doors.is_some_and(|(_, open)| !open.contains(&item.as_str()));
    path.get(2).is_some_and(closed).then(|| format!("names a product or a format: {shown}"))
}

/// What is wrong with using `path`, which begins with another crate.
fn outer_fault(file: &File, path: &[String]) -> Option<String> {
    let within = |list: &[&str]| list.iter().any(|prefix| file.path.starts_with(prefix));
    if path[0].starts_with("datafusion") && within(WITHOUT_DATAFUSION) && !within(WITH_DATAFUSION) {
        return Some(format!("imports {}, which codecs, grammars and state records do not", path[0]));
    }
    let door = |door: &[&str]| path.len() >= door.len() && path.iter().zip(door.iter()).all(|(a, b)| a == b);
    let opens = file.path.starts_with("formats/") && INPUT_OUTPUT.iter().any(|list| door(list));
    opens.then(|| format!("does input or output: {}", path.join("::")))
}

/// Whether `file` has to build without DataFusion.
fn is_core(file: &File) -> bool {
    let within = |list: &[&str]| list.iter().any(|prefix| file.path.starts_with(prefix));
    within(WITHOUT_DATAFUSION) && !within(WITH_DATAFUSION) && !file.is_test()
}

/// The way from `file` to DataFusion, if there is one.
fn needs(file: &File, files: &[File]) -> Option<String> {
    let mut seen = vec![file.path.as_str()];
    let mut ways = vec![vec![file]];
    while let Some(way) = ways.pop() {
        for (_, path) in way.last()?.paths() {
            let names = |way: &[&File]| way.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(" → ");
            if path[0].starts_with("datafusion") {
                return Some(format!("{} → {}", names(&way), path[0]));
            }
            if let Some(next) = file_of(&path, files).filter(|next| !seen.contains(&next.path.as_str())) {
                seen.push(&next.path);
                ways.push(way.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}

/// The file that holds what `path` names.
fn file_of<'a>(path: &[String], files: &'a [File]) -> Option<&'a File> {
    let inner = path.strip_prefix(&["crate".to_owned()])?;
    (1..=inner.len()).rev().find_map(|length| {
        let stem = inner[..length].join("/");
        let (plain, folder) = (format!("{stem}.rs"), format!("{stem}/mod.rs"));
        files.iter().find(|file| file.path == plain || file.path == folder)
    })
}

fn token_fault(file: &File, pair: &[Token]) -> Option<&'static str> {
    let prints = ["print", "println", "eprint", "eprintln", "dbg"].contains(&pair[0].text.as_str());
    if prints && pair[1].text == "!" && file.path != "cli/printer.rs" {
        return Some("prints, which only cli/printer does");
    }
    (pair[0].text == "unsafe" && file.path != "bridge/ffi.rs").then_some("is unsafe outside bridge/ffi.rs")
}

fn foreign_connector(file: &File, path: &[String]) -> bool {
    let own = file.path.split('/').nth(1).unwrap_or_default();
    let named = path.get(2).map(String::as_str);
    let folder = |name: &str| !name.starts_with(|first: char| first.is_uppercase()) && !LIST.contains(&name);
    own != "mod.rs" && named.is_some_and(|name| name != own && folder(name))
}

fn part_of(file: &File) -> &str {
    let first = file.path.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

fn is_part(name: &str) -> bool {
    CONTRACT.contains(&name) || LAYERS.iter().any(|(part, _)| *part == name)
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(found.len() > 10, "no sources under {}", root.display());
    let file = |path: &PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        File::new(&name, &std::fs::read_to_string(path).unwrap())
    };
    found.iter().map(file).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
