//! The page of the handbook that says what of the job files of other programs does nothing here.

use std::fmt::Write as _;
use std::path::Path;

use arrow_etl::job::dialect::LACKS;
use arrow_etl::job::dialect::lacks::{AbsentPlugin, IdleKey, Lacks};

const INTRODUCTION: &str = "\
# Keys without an effect

Job files of other programs have keys that do nothing here: what they tune this program chooses itself, or it does it in another way. Each
of them that a job has is named in a note, and what is done instead stands here. The tables are made of the lists that the program itself
goes by.
";

/// What `lacks` says, in Markdown.
fn chapter(lacks: &Lacks) -> String {
    let mut page = format!("\n## {}\n\n| where | key | instead |\n|---|---|---|\n", lacks.program);
    for IdleKey { of, key, instead } in lacks.keys {
        let _ = writeln!(page, "| {of} | `{key}` | {instead} |");
    }
    if lacks.plugins.is_empty() {
        return page;
    }
    page += "\nA job with one of these plugins is refused before anything is written.\n\n\
             | plugin | its keys | instead |\n|---|---|---|\n";
    for AbsentPlugin { name, keys, instead } in lacks.plugins {
        let keys: Vec<String> = keys.split_whitespace().map(|key| format!("`{key}`")).collect();
        let _ = writeln!(page, "| {name} | {} | {instead} |", keys.join(", "));
    }
    page
}

/// `ETL_TEST_REWRITE=1 cargo test --test it the_page_of_keys` writes it anew.
#[test]
fn the_page_of_keys_is_what_the_program_goes_by() {
    let page: String = std::iter::once(INTRODUCTION.to_owned()).chain(LACKS.iter().map(chapter)).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/keys-without-effect.md");
    if std::env::var_os("ETL_TEST_REWRITE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == page,
        "src/docs/keys-without-effect.md is another: ETL_TEST_REWRITE=1 cargo test --test it the_page_of_keys writes it"
    );
}
