//! The `pipewright` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    pipewright::cli::main()
}
