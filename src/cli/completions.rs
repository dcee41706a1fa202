//! `etl completions`: what a shell needs to complete our words.

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::args::Cli;
use super::printer;
use crate::error::Result;

/// The shells that completions are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CompletionShell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

impl From<CompletionShell> for Shell {
    fn from(shell: CompletionShell) -> Self {
        match shell {
            CompletionShell::Bash => Self::Bash,
            CompletionShell::Zsh => Self::Zsh,
            CompletionShell::Fish => Self::Fish,
        }
    }
}

pub(super) fn run(shell: CompletionShell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(Shell::from(shell), &mut Cli::command(), "etl", &mut script);
    printer::data(&String::from_utf8_lossy(&script))
}
