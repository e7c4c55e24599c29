//! `pipewright fmt`: kernels in canonical form, to the standard output or in place.
//!
//! What must hold: a file that cannot be read as a kernel, or that is in canonical form already, is not touched.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, is_stream, output, print_reports, read, write};
use crate::diagnostic::Report;
use crate::{pipeline, syntax, target};

/// Arguments of `pipewright fmt`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Kernels to format; `-` is the standard input
    #[arg(value_name = "IN.pto", required = true)]
    inputs: Vec<PathBuf>,
    /// Change nothing; list the files that are not in canonical form, and fail if there are any
    #[arg(long, conflicts_with = "in_place")]
    check: bool,
    /// Write each file back instead of printing it
    #[arg(short, long)]
    in_place: bool,
    /// The pipeline whose target says which operations there are
    #[arg(long, short, value_name = "NAME|FILE", default_value = "a3")]
    pipeline: String,
    /// Extend the target by this file: its operations are added, or replace those of the same name (repeatable)
    #[arg(long = "target", value_name = "FILE")]
    target_extensions: Vec<PathBuf>,
}

/// Formats all inputs.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.inputs.len() > 1 && !arguments.check && !arguments.in_place {
        return Err(Failure::Usage("several inputs need `--in-place` or `--check`".into()));
    }
    let pipeline = pipeline::load(&arguments.pipeline)?;
    let extensions = [&pipeline.target_extensions[..], &arguments.target_extensions].concat();
    let target = target::load(&pipeline.target, &extensions)?;
    let mut failed = false;
    for input in &arguments.inputs {
        let formatted = read(input).and_then(|source| match syntax::format(&source.text, &target) {
            Ok(text) => Ok((source, text)),
            Err(diagnostics) => Err(vec![Report::new(source, diagnostics)]),
        });
        let done = formatted.and_then(|(source, text)| {
            let is_canonical = source.text == text;
            if arguments.check {
                failed |= !is_canonical;
                let line = if is_canonical { String::new() } else { format!("{}\n", source.name) };
                return write("-".as_ref(), &line).map_err(|report| vec![report]);
            }
            let in_place = arguments.in_place && !is_stream(input);
            match in_place {
                true if is_canonical => Ok(()),
                true => write(input, &text).map_err(|report| vec![report]),
                false => write("-".as_ref(), &text).map_err(|report| vec![report]),
            }
        });
        if let Err(reports) = done {
            print_reports(&reports);
            failed = true;
        }
    }
    if failed && arguments.check {
        output::note(
            "files listed above are not in canonical form, or could not be read; `pipewright fmt -i` mends them\n",
        );
    }
    if failed { Err(Failure::Errors(Vec::new())) } else { Ok(()) }
}
