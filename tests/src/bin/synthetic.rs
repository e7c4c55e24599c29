//! Writes a synthetic kernel to the standard output: `synthetic straight|loops|branches INSTRUCTIONS`.

use std::io::Write;
use std::process::ExitCode;

use pipewright_tests::synthetic::{Shape, kernel};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match &arguments[..] {
        [shape, size] => Shape::ALL.iter().find(|(_, name)| name == shape).zip(size.parse().ok()),
        _ => None,
    };
    let Some((&(shape, _), size)) = parsed else {
        eprintln!("usage: synthetic straight|loops|branches INSTRUCTIONS");
        return ExitCode::from(2);
    };
    match std::io::stdout().write_all(kernel(shape, size).as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}
