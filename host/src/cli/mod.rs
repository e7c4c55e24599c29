//! The command line: arguments, exit codes, what goes to which stream.
//!
//! Results go to the standard output, everything for people to the standard error. What must hold: the exit code is
//! 0 if all went well, 1 if there are errors in the input (each was printed), 2 if the command line is wrong;
//! a closed pipe ends the program quietly.

mod batch;
mod compare;
mod compare_text;
mod compile;
mod fmt;
mod list;
mod manual;
mod output;
mod simulate;
mod tally;
mod timeline_text;
mod verify;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::diagnostic::{Diagnostic, Report, Source, Style};

/// Runs the command that the process's arguments describe.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to be told that the message could not be printed.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let result = match &cli.command {
        Command::Compile(arguments) => compile::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Simulate(arguments) => simulate::run(arguments),
        Command::Compare(arguments) => compare::run(arguments),
        Command::Fmt(arguments) => fmt::run(arguments),
        Command::Passes { name, plugins } => list::passes(name.as_deref(), plugins),
        Command::Pipelines => list::pipelines(),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man => manual::page(),
        Command::Pipeline { name, plugins } => list::pipeline(name, plugins),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Errors(reports)) => {
            print_reports(&reports);
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            output::note(&format!("error: {message}\n\nFor more information, try '--help'.\n"));
            ExitCode::from(2)
        }
    }
}

const AFTER_HELP: &str = "\
Exit codes: 0 success; 1 errors in a kernel, a pipeline or a plugin, each printed; 2 a wrong command line.

Plugins are searched in --plugin-path, in PIPEWRIGHT_PLUGIN_PATH, beside the executable and in ../lib/pipewright/plugins \
from there. Pipelines are searched in PIPEWRIGHT_PIPELINE_PATH, in ../share/pipewright/pipelines from the executable, \
and in the `pipelines` directory of the build tree.";

/// Reads kernels, runs a pipeline of plugin passes over them, prints C++ with synchronization.
#[derive(Debug, Parser)]
#[command(name = "pipewright", version, long_version = manual::VERSION.as_str(), after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile kernels
    #[command(after_help = AFTER_HELP)]
    Compile(Box<compile::Arguments>),
    /// Judge the synchronization that a pipeline makes, or that kernels carry
    #[command(after_help = AFTER_HELP)]
    Verify(Box<verify::Arguments>),
    /// Show when every statement runs, what it waits for and what that costs
    #[command(after_help = AFTER_HELP)]
    Simulate(Box<simulate::Arguments>),
    /// Compare pipelines over kernels: verdicts, cycles, and where plans go apart
    #[command(after_help = AFTER_HELP)]
    Compare(Box<compare::Arguments>),
    /// Write kernels in canonical form
    #[command(after_help = AFTER_HELP)]
    Fmt(fmt::Arguments),
    /// List all passes found, or show one
    Passes {
        /// Show this pass with its options
        name: Option<String>,
        #[command(flatten)]
        plugins: PluginArguments,
    },
    /// List all pipelines found
    Pipelines,
    /// Print what a shell needs to complete these commands: `pipewright completions bash`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, for `man -l -`
    Man,
    /// Show the stages of a pipeline with the plugins and options that they get
    Pipeline {
        /// Name of a pipeline, or a TOML file (with a `/` or ending in `.toml`)
        name: String,
        #[command(flatten)]
        plugins: PluginArguments,
    },
}

/// Where plugins come from.
#[derive(Debug, Args)]
struct PluginArguments {
    /// Look for plugins in this directory, or use this plugin, before all others (repeatable)
    #[arg(long = "plugin-path", value_name = "DIR|FILE")]
    plugin_path: Vec<PathBuf>,
}

/// Why a command did not succeed.
#[derive(Debug)]
enum Failure {
    /// The input is wrong. Empty if everything was printed already.
    Errors(Vec<Report>),
    /// The command line is wrong.
    Usage(String),
}

impl From<Vec<Report>> for Failure {
    fn from(reports: Vec<Report>) -> Self {
        Self::Errors(reports)
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self::Errors(vec![report])
    }
}

fn print_reports(reports: &[Report]) {
    let style = Style::for_stderr();
    reports.iter().for_each(|report| output::note(&report.render(style)));
}

fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn read(input: &Path) -> Result<Source, Vec<Report>> {
    if !is_stream(input) {
        return Source::read(input).map_err(|report| vec![report]);
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    Source::from_bytes("<stdin>", read.map(|_| bytes)).map_err(|report| vec![report])
}

fn write(output: &Path, text: &str) -> Result<(), Report> {
    let written = if is_stream(output) { output::result(text) } else { output::file(output, text) };
    written.map_err(|e| cannot_write(output, &e))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Report {
    let message = format!("cannot write `{}`: {error}", path.display());
    Report::one(Source::default(), Diagnostic::error("output::write", message))
}
