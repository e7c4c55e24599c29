//! Many kernels: folders are walked, all cores work, and results come in the order of the inputs.
//!
//! What must hold: what is printed does not depend on which core was faster.

use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use walkdir::WalkDir;

use super::{Failure, is_stream};
use crate::diagnostic::{Diagnostic, Report, Source};

/// A kernel to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    /// The file, or `-`.
    pub(super) path: PathBuf,
    /// Its name in the folder that was asked for, or its file name: where its output goes, below the output folder.
    pub(super) name: PathBuf,
}

/// The kernels that the arguments name, in their order; those of a folder sorted by path. A folder stands for all
/// `.pto` files in it and below; one without any is an error.
pub(super) fn kernels(arguments: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    for argument in arguments {
        if !argument.is_dir() {
            let name = if is_stream(argument) { Some("stdin".as_ref()) } else { argument.file_name() };
            let name = name.unwrap_or(argument.as_os_str()).into();
            inputs.push(Input { path: argument.clone(), name });
            continue;
        }
        let before = inputs.len();
        for entry in WalkDir::new(argument).sort_by_file_name().follow_links(true) {
            let entry = entry.map_err(|error| cannot_walk(argument, &error.into()))?;
            if entry.file_type().is_file() && entry.path().extension().is_some_and(|e| e == "pto") {
                let name = entry.path().strip_prefix(argument).unwrap_or(entry.path()).to_owned();
                inputs.push(Input { path: entry.into_path(), name });
            }
        }
        if inputs.len() == before {
            let message = format!("there is no kernel in the folder `{}`", argument.display());
            let diagnostic = Diagnostic::error("input::empty-folder", message);
            let help = "kernels are files whose names end in `.pto`, in the folder or below it";
            return Err(Report::one(Source::default(), diagnostic.help(help)).into());
        }
    }
    Ok(inputs)
}

fn cannot_walk(folder: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot list the folder `{}`: {error}", folder.display());
    Report::one(Source::default(), Diagnostic::error("input::read", message)).into()
}

/// Calls `work` for each item on all cores, and `finish` on this thread with each result, in the items' order, until
/// it breaks. Where the standard error is a terminal, it shows progress as `what`.
pub(super) fn in_order<T: Sync, R: Send>(
    what: &'static str,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut finish: impl FnMut(usize, R) -> ControlFlow<()>,
) {
    let bar = if items.len() > 1 { progress(what, items.len()) } else { ProgressBar::hidden() };
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for _ in 0..cores {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    // Nobody receives after a break.
                    if send.send((index, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut waiting: Vec<Option<R>> = items.iter().map(|_| None).collect();
        let mut due = 0;
        for (index, result) in receive {
            waiting[index] = Some(result);
            bar.inc(1);
            while let Some(result) = waiting.get_mut(due).and_then(Option::take) {
                if bar.suspend(|| finish(due, result)).is_break() {
                    return;
                }
                due += 1;
            }
        }
    });
    bar.finish_and_clear();
}

fn progress(what: &'static str, length: usize) -> ProgressBar {
    let template = "{msg} [{bar:40}] {pos}/{len}, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length as u64).with_message(what).with_style(style.progress_chars("=> "));
    // Short runs end before anything needs to be drawn.
    bar.tick();
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_a_break_ends_the_work() {
        let items: Vec<usize> = (0..100).collect();
        let slow_first = |&n: &usize| {
            if n == 0 {
                thread::sleep(std::time::Duration::from_millis(20));
            }
            n * n
        };
        let mut seen = Vec::new();
        in_order("test", &items, slow_first, |index, result| {
            seen.push((index, result));
            ControlFlow::Continue(())
        });
        assert_eq!(seen, items.iter().map(|&n| (n, n * n)).collect::<Vec<_>>());

        seen.clear();
        in_order("test", &items, slow_first, |index, result| {
            seen.push((index, result));
            if index == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(seen.len(), 11);
    }

    #[test]
    fn a_folder_stands_for_the_kernels_in_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        for name in ["b.pto", "a.pto", "notes.txt", "sub/a.pto"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let inputs = kernels(&["-".into(), folder.path().to_owned(), "x/y.pto".into()]).unwrap();
        let names: Vec<_> = inputs.iter().map(|i| i.name.to_str().unwrap()).collect();
        assert_eq!(names, ["stdin", "a.pto", "b.pto", "sub/a.pto", "y.pto"]);
        assert_eq!(inputs[3].path, folder.path().join("sub/a.pto"));
    }
}
