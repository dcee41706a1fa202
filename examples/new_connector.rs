//! Begins a connector: its folder, its page, its feature, its line in the list and in the tests.
//!
//! `cargo run --example new_connector -- --kind source|sink|both NAME [--overwrite]`
//!
//! The result compiles, and conformance says in one sentence each what is still to be written. The templates are in
//! `examples/new_connector/`. Without a name it shows in a temporary folder what it would write for `sample`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it did")]

#[path = "new_connector/make.rs"]
mod make;

use std::path::Path;
use std::process::ExitCode;

use arrow_etl::error::Result;
use clap::Parser;
use make::{Existing, Kind};

/// Begins a connector in the tree of the current folder.
#[derive(Debug, Parser)]
struct Words {
    /// Which way rows go
    #[arg(long, value_enum, default_value = "both")]
    kind: Kind,
    /// Write a folder anew that templates made
    #[arg(long)]
    overwrite: bool,
    /// The scheme of its locators and the name of its folder
    name: Option<String>,
}

fn main() -> ExitCode {
    let words = Words::parse();
    let existing = if words.overwrite { Existing::Overwritten } else { Existing::Refused };
    let made = match &words.name {
        Some(name) => make::make(Path::new("."), (name, words.kind), existing),
        None => shown(words.kind),
    };
    match made {
        Ok(written) => {
            let name = words.name.as_deref().unwrap_or("sample");
            for line in &written {
                println!("{line}");
            }
            println!("next: cargo test --locked --test it conformance::{name}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What would be written for `sample`, in a temporary copy of the files that change.
fn shown(kind: Kind) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    for path in ["Cargo.toml", "src/connectors/mod.rs", "tests/it/conformance.rs"] {
        let copy = folder.path().join(path);
        std::fs::create_dir_all(copy.parent().expect("it lies in the folder"))?;
        std::fs::copy(path, copy)?;
    }
    make::make(folder.path(), ("sample", kind), Existing::Refused)
}
