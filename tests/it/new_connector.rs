//! A connector as `examples/new_connector.rs` begins it: it compiles at once, and conformance says what it lacks.

#[path = "../../examples/new_connector/make.rs"]
mod make;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow_etl::error::ErrorKind;
use make::{Existing, Kind, make};

/// One of each kind.
const BEGUN: [(&str, Kind); 3] =
    [("begun_both", Kind::Both), ("begun_source", Kind::Source), ("begun_sink", Kind::Sink)];

/// Runs the suite over them without the other tests, which take long to compile.
const RUNNER: &str = r#"//! Conformance of the connectors that were begun.

async fn passes(fixture: &dyn arrow_etl::testing::conformance::Fixture) {
    let report = arrow_etl::testing::conformance::check(fixture).await;
    assert!(report.passed(), "{report}");
}
#[path = "../tests/it/conformance/begun_both.rs"]
mod begun_both;
#[path = "../tests/it/conformance/begun_sink.rs"]
mod begun_sink;
#[path = "../tests/it/conformance/begun_source.rs"]
mod begun_source;
fn main() {}
"#;

const LACKS_OF_ANY: [&str; 8] = [
    "page: Unsupported: chapter \"Introduction\" of README.md is not written",
    "page: Unsupported: chapter \"How it works\" of README.md is not written",
    "page: Unsupported: chapter \"Type conversion\" of README.md is not written",
    "page: Unsupported: chapter \"Performance\" of README.md is not written",
    "page: Unsupported: chapter \"Limits\" of README.md is not written",
    "page: Unsupported: chapter \"Questions\" of README.md is not written",
    "list: Unsupported: NAME does not yet list the objects whose names match a pattern (endpoint.rs)",
    "ping: Unsupported: NAME does not yet say what it has reached and what is missing for bulk work (endpoint.rs)",
];
const LACKS_OF_SOURCES: [&str; 3] = [
    "describe: Unsupported: NAME does not yet describe the columns of an object (read.rs)",
    "plan: Unsupported: NAME does not yet cut an object into splits (read.rs)",
    "read: Unsupported: NAME does not yet read the rows of a split (read.rs)",
];
const LACKS_OF_SINKS: [&str; 6] = [
    "agree: Unsupported: NAME does not yet look what is in the place of the target (write.rs)",
    "prepare: Unsupported: NAME does not yet make a stage for the rows (write.rs)",
    "write: Unsupported: NAME does not yet send a batch (write.rs)",
    "flush: Unsupported: NAME does not yet make what it sent durable and give a receipt (write.rs)",
    "commit: Unsupported: NAME does not yet make the rows of its receipts visible (write.rs)",
    "abort: Unsupported: NAME does not yet sweep what was staged and not committed (write.rs)",
];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a build of the project reads.
const PARTS: [&str; 10] = [
    ".cargo",
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "rustfmt.toml",
    "src",
    "benches",
    "examples",
    "tests/it",
    "tests/fuzz/src",
];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

/// All files below `folder`, by their paths within it.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_path_buf());
            }
        }
    }
    found
}

/// A copy of the project with a connector of each kind, always in the same place: what is as it was at the last time is not
/// compiled again.
fn tree() -> PathBuf {
    let fresh = tempfile::tempdir().unwrap();
    for part in PARTS {
        let place = project().join(part);
        let within = if place.is_dir() { files(&place) } else { BTreeSet::from([PathBuf::new()]) };
        for path in within {
            // An empty path would add a slash to the name of a file.
            let path: PathBuf = Path::new(part).components().chain(path.components()).collect();
            copy(&project().join(&path), &fresh.path().join(&path));
        }
    }
    for (name, kind) in BEGUN {
        make(fresh.path(), (name, kind), Existing::Refused).unwrap();
    }
    std::fs::write(fresh.path().join("examples/begun.rs"), RUNNER).unwrap();
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new_connector");
    std::fs::create_dir_all(&tree).unwrap();
    let wanted = files(fresh.path());
    for path in &wanted {
        let is_same = std::fs::read(tree.join(path)).ok() == Some(std::fs::read(fresh.path().join(path)).unwrap());
        if !is_same {
            copy(&fresh.path().join(path), &tree.join(path));
        }
    }
    files(&tree).difference(&wanted).for_each(|path| std::fs::remove_file(tree.join(path)).unwrap());
    tree
}

/// `cargo` in `tree`, with the dependencies that are compiled for this very test.
fn cargo(tree: &Path, words: &[&str]) -> Output {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(words).env("CARGO_TARGET_DIR", target).current_dir(tree);
    // What cargo sets for a test is not there when a person calls it: build scripts that read it would be run again.
    command.env_remove("RUST_BACKTRACE").env_remove("CARGO_MANIFEST_DIR");
    command.output().unwrap()
}

/// The lines of the report of the test `name`.
fn lacks<'a>(printed: &'a str, name: &str) -> Vec<&'a str> {
    let head = format!("---- {name}::every_part_is_there stdout ----");
    let (_, report) = printed.split_once(&head).unwrap_or_else(|| panic!("no {head}: {printed}"));
    let report = report.split("\n---- ").next().unwrap().split("\nfailures:\n").next().unwrap();
    report.lines().filter_map(|line| line.strip_prefix("  ")).collect()
}

/// A sentence without the place that it names.
fn sentence(line: &str, name: &str) -> String {
    let (part, rest) = line.split_once(": ").unwrap_or((line, ""));
    let message = rest.find(&format!("{name} does not yet")).map_or(rest, |at| &rest[at..]);
    let message = message.strip_prefix("Unsupported: ").unwrap_or(message);
    format!("{part}: Unsupported: {}", message.replace(name, "NAME"))
}

#[test]
fn it_compiles_and_conformance_names_each_part_that_it_lacks() {
    let tree = tree();
    let formatted = cargo(&tree, &["fmt", "--check"]);
    assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stdout));
    // With fewer connectors dependencies would have other features, and most of them be compiled once more.
    let features = format!("full,{}", BEGUN.map(|(name, _)| name).join(","));
    let words = ["test", "--locked", "--quiet", "--example", "begun", "--features", &features];
    let ended = cargo(&tree, &words);
    let printed = String::from_utf8(ended.stdout).unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(printed.contains("test result: FAILED"), "{said}\n{printed}");
    assert!(!said.contains("connectors/begun_"), "there are warnings: {said}");
    for (name, kind) in BEGUN {
        let mut expected: Vec<&str> = LACKS_OF_ANY.to_vec();
        if kind != Kind::Source {
            expected.extend(LACKS_OF_SINKS);
        }
        if kind != Kind::Sink {
            expected.extend(LACKS_OF_SOURCES);
        }
        let found: Vec<String> = lacks(&printed, name).into_iter().map(|line| sentence(line, name)).collect();
        assert_eq!(found, expected, "{name}");
    }
    // The lines that make them known: the rest of the tests is not compiled here.
    let suite = std::fs::read_to_string(tree.join("tests/it/conformance.rs")).unwrap();
    assert!(suite.contains("\nmod begun_both;\nmod begun_sink;\nmod begun_source;\n"), "{suite}");
}

/// A folder with the files that a new connector changes.
fn bare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in ["Cargo.toml", "src/connectors/mod.rs", "tests/it/conformance.rs"] {
        copy(&project().join(path), &folder.path().join(path));
    }
    folder
}

#[test]
fn names_that_cannot_be_had_are_refused_and_nothing_is_written() {
    let folder = bare();
    let before = files(folder.path());
    for (name, message) in [
        ("", "is no name for a connector"),
        ("Oracle", "is no name for a connector"),
        ("9p", "is no name for a connector"),
        ("a-b", "is no name for a connector"),
        ("../x", "is no name for a connector"),
        ("type", "is no name for a connector"),
        ("tests", "is no name for a connector"),
        ("pg", "pg: names the connector postgres already"),
        ("gen", "is no name for a connector"),
        ("file", "file: names the connector file already"),
        ("default", "Cargo.toml has the word default already"),
    ] {
        let error = make(folder.path(), (name, Kind::Both), Existing::Overwritten).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{name:?}");
        assert!(error.to_string().contains(message), "{name:?}: {error}");
    }
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_folder_that_is_there_is_written_anew_only_when_told_and_made_so() {
    let folder = bare();
    let made = make(folder.path(), ("begun", Kind::Both), Existing::Refused).unwrap();
    let all = files(folder.path());
    let list = || std::fs::read_to_string(folder.path().join("src/connectors/mod.rs")).unwrap();
    assert!(made.contains(&"src/connectors/mod.rs".to_owned()), "{made:?}");
    let listed = list();
    assert!(listed.contains("\n    #[cfg(feature = \"begun\")]\n    &begun::Begun,\n"), "{listed}");
    assert!(listed.find("pub mod begun;").unwrap() < listed.find("pub mod files;").unwrap(), "{listed}");
    let error = make(folder.path(), ("begun", Kind::Source), Existing::Refused).unwrap_err();
    assert!(error.to_string().contains("src/connectors/begun exists: --overwrite writes it anew"), "{error}");
    assert_eq!(files(folder.path()), all);

    make(folder.path(), ("begun", Kind::Source), Existing::Overwritten).unwrap();
    let left: Vec<_> = all.difference(&files(folder.path())).cloned().collect();
    assert_eq!(left, ["src/connectors/begun/agree.rs", "src/connectors/begun/write.rs"].map(PathBuf::from));
    assert_eq!(list(), listed, "its lines stand there once");

    std::fs::write(folder.path().join("src/connectors/begun/wire.rs"), "").unwrap();
    let error = make(folder.path(), ("begun", Kind::Source), Existing::Overwritten).unwrap_err();
    assert!(error.to_string().contains("holds wire.rs, which no template makes"), "{error}");
}
