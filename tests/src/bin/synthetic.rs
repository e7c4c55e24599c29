//! Writes a synthetic kernel to the standard output: `synthetic SHAPE INSTRUCTIONS`.

use std::io::Write;
use std::process::ExitCode;

use pipewright_tests::synthetic::{Shape, kernel};

fn shapes() -> impl Iterator<Item = (Shape, &'static str)> {
    Shape::ALL.into_iter().chain(Shape::QUADRATIC)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match &arguments[..] {
        [shape, size] => shapes().find(|(_, name)| name == shape).zip(size.parse().ok()),
        _ => None,
    };
    let Some(((shape, _), size)) = parsed else {
        let names: Vec<&str> = shapes().map(|(_, name)| name).collect();
        eprintln!("usage: synthetic {} INSTRUCTIONS", names.join("|"));
        return ExitCode::from(2);
    };
    match std::io::stdout().write_all(kernel(shape, size).as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}
