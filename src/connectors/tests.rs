//! The page of every connector: its chapters, and the table of its options, which the code alone decides.
//!
//! `ETL_TEST_REWRITE=1 cargo test --lib connectors::tests` writes the tables anew.

use std::path::{Path, PathBuf};

use super::CONNECTORS;
use crate::connector::{CHAPTERS, Connector, examples, option_table};

/// Folders of this place with the text of their pages.
fn folders() -> Vec<(PathBuf, String)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/connectors");
    let entries = std::fs::read_dir(here).unwrap().map(|entry| entry.unwrap().path());
    let folders = entries.filter(|path| path.is_dir() && path.join("mod.rs").exists());
    folders.map(|path| (path.clone(), std::fs::read_to_string(path.join("README.md")).unwrap_or_default())).collect()
}

/// Title and text of each chapter.
fn chapters(page: &str) -> Vec<(&str, &str)> {
    let chapter = |text| str::split_once(text, '\n').unwrap_or((text, ""));
    page.split("\n## ").skip(1).map(chapter).collect()
}

fn options_of(page: &'static str) -> &'static str {
    chapters(page).into_iter().find(|(title, _)| *title == "Options").map_or("", |(_, text)| text)
}

/// Where the table of options begins and ends in `text`.
fn table_of(text: &str) -> std::ops::Range<usize> {
    let head = option_table(&[]);
    let head = head.lines().next().unwrap();
    let start = text.find(head).unwrap_or_else(|| panic!("the chapter on options has no line {head:?}"));
    let is_row = |line: &&str| line.starts_with('|');
    let length: usize = text[start..].split_inclusive('\n').take_while(is_row).map(str::len).sum();
    start..start + length
}

#[test]
fn every_page_has_the_seven_chapters() {
    for connector in CONNECTORS {
        let name = connector.name();
        let found = chapters(connector.page());
        assert_eq!(found.iter().map(|(title, _)| *title).collect::<Vec<_>>(), CHAPTERS, "{name}");
        let empty = found.iter().find(|(_, text)| text.trim().is_empty());
        assert_eq!(empty, None, "{name}");
        assert!(connector.page().starts_with("# "), "{name}: the page has no title");
        let example = |line: &str| line.starts_with("etl ");
        assert!(options_of(connector.page()).lines().any(example), "{name}: the options have no example");
        assert!(
            !examples(options_of(connector.page())).is_empty(),
            "{name}: the options have no example of a job file"
        );
    }
}

#[test]
fn every_folder_holds_the_page_of_one_connector() {
    let pages: Vec<&str> = CONNECTORS.iter().map(|connector| connector.page()).collect();
    let folders = folders();
    for page in &pages {
        let holders = folders.iter().filter(|(_, text)| text == page).count();
        assert_eq!(holders, 1, "{}", page.lines().next().unwrap_or_default());
    }
    // Others belong to features that this build lacks.
    assert!(folders.len() >= pages.len());
}

#[test]
fn every_table_of_options_is_that_of_the_code() {
    let differing: Vec<&&dyn Connector> = CONNECTORS
        .iter()
        .filter(|connector| {
            let text = options_of(connector.page());
            text[table_of(text)] != option_table(connector.options())
        })
        .collect();
    if std::env::var_os("ETL_TEST_REWRITE").is_some() {
        return differing.into_iter().for_each(|connector| rewrite(*connector));
    }
    let names: Vec<_> = differing.iter().map(|connector| connector.name()).collect();
    assert!(names.is_empty(), "write them anew with ETL_TEST_REWRITE=1: {names:?}");
}

fn rewrite(connector: &dyn Connector) {
    let page = connector.page();
    let (folder, mut text) = folders().into_iter().find(|(_, text)| text == page).expect("a folder holds the page");
    let table = table_of(&text);
    text.replace_range(table, &option_table(connector.options()));
    std::fs::write(folder.join("README.md"), text).unwrap();
}

/// What the options say of themselves is of one form.
#[test]
fn every_option_is_described() {
    let kinds = ["string", "integer", "number", "boolean", "bytes", "list", "object"];
    for option in CONNECTORS.iter().flat_map(|connector| connector.options()) {
        assert!(kinds.contains(&option.kind), "{option:?}");
        assert!(option.meaning.ends_with('.') && !option.meaning.contains('\n'), "{option:?}");
        assert!(!option.required || option.default.is_empty(), "{option:?}");
    }
}

/// What every connector of a server calls the parts of a connection, and the kind of each.
const CONNECTION: [(&str, &str); 7] = [
    ("host", "string"),
    ("port", "integer"),
    ("user", "string"),
    ("password", "string"),
    ("database", "string"),
    ("connectTimeout", "integer"),
    ("tlsCa", "string"),
];

/// What only some of them have, called alike where it is.
const MORE: [(&str, &str); 3] = [("tlsMode", "string"), ("tlsCert", "string"), ("tlsKey", "string")];

/// Words of other programs for them, small and without marks.
const OTHER_WORDS: [&str; 17] = [
    "server",
    "hostname",
    "dbname",
    "db",
    "catalog",
    "username",
    "login",
    "passwd",
    "pwd",
    "sslmode",
    "sslca",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "ca",
    "cafile",
    "timeoutseconds",
];

/// Connectors without a connection of that shape: a file has a path, a driver has settings of its own.
const NO_SERVERS: [&str; 7] = ["adbc", "connectorx", "duckdb", "file", "odbc", "sqlite", "stream"];

/// A connection has one shape, whichever the server.
#[test]
fn a_connection_is_named_alike_everywhere() {
    let mut servers = 0;
    for connector in CONNECTORS {
        let options = connector.options();
        let kind = |name: &str| options.iter().find(|option| option.name == name).map(|option| option.kind);
        let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
        let other = options.iter().find(|option| OTHER_WORDS.contains(&plain(option.name).as_str()));
        assert!(other.is_none(), "{}: {other:?}", connector.name());
        assert_eq!(kind("url"), Some("string"), "{}", connector.name());
        for (name, wanted) in MORE {
            assert!(kind(name).is_none_or(|kind| kind == wanted), "{}: {name}", connector.name());
        }
        if NO_SERVERS.contains(&connector.name()) {
            assert_eq!(kind("host"), None, "{}", connector.name());
            continue;
        }
        servers += 1;
        for (name, wanted) in CONNECTION {
            assert_eq!(kind(name), Some(wanted), "{}: {name}", connector.name());
        }
    }
    assert!(servers > 0 || !cfg!(feature = "postgres"));
}
