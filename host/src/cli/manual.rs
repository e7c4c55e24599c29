//! What the command line says of itself: its version, completions for shells, the manual page.

use std::io;
use std::sync::LazyLock;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use pipewright_abi::plugin::ABI_VERSION_TEXT;

use super::{Cli, Failure, output};
use crate::diagnostic::{Diagnostic, Report, Source};

/// The version with what a report of a fault needs: the boundary that plugins are built for, the commit, the machine.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}\nplugin ABI {ABI_VERSION_TEXT}\ncommit {}\ntarget {}",
        env!("CARGO_PKG_VERSION"),
        env!("PIPEWRIGHT_COMMIT"),
        env!("PIPEWRIGHT_TARGET")
    )
});

/// Prints the completions for a shell.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pipewright", &mut text);
    print(&text)
}

/// Prints the manual page, with a section for each command.
pub(super) fn page() -> Result<(), Failure> {
    let mut text = Vec::new();
    let mut command = Cli::command();
    command.build();
    let written = clap_mangen::Man::new(command.clone())
        .render(&mut text)
        .and_then(|()| command.get_subcommands().try_for_each(|sub| section(sub, &mut text)));
    written.map_err(|error| cannot_print(&error))?;
    print(&text)
}

fn section(command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    if command.get_name() == "help" {
        return Ok(());
    }
    let man = clap_mangen::Man::new(command.clone());
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_options_section(text)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    output::result(&String::from_utf8_lossy(text)).map_err(|error| cannot_print(&error))
}

fn cannot_print(error: &io::Error) -> Failure {
    let message = format!("cannot write to the standard output: {error}");
    Report::one(Source::default(), Diagnostic::error("output::write", message)).into()
}
