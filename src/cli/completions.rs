//! `etl completions`: what a shell needs to complete our words.

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::{Cli, CompletionShell};
use super::printer;
use crate::error::Result;

pub(super) fn run(shell: CompletionShell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(Shell::from(shell), &mut Cli::command(), "etl", &mut script);
    printer::data(&String::from_utf8_lossy(&script))
}
