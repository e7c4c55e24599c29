//! `pipewright compare`: kernels x pipelines, with verdicts, cycles, and what sets them apart.
//!
//! What must hold: an interrupted run writes what it has, marked as incomplete; a gate that fails makes the exit code 1
//! and lists why.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::batch::{in_order, kernels};
use super::compare_text::text;
use super::simulate::TripArguments;
use super::verify::{Model, flag_model};
use super::{Failure, PluginArguments, cannot_write, is_stream, output, write};
use crate::compare::contender::{Common, Contender, Vary, contenders, product};
use crate::compare::csv::csv;
use crate::compare::gate::{Condition, against_baseline, broken};
use crate::compare::html::page;
use crate::compare::kernel::{Plan, file};
use crate::compare::merge::merge;
use crate::compare::model::{Report, Shard};
use crate::compare::{part, report};
use crate::diagnostic::{self, Diagnostic, Source};
use crate::plugin;
use crate::simulate::Setup;

/// Arguments of `pipewright compare`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Kernels, and folders of kernels; with `--merge`, the JSON files of the parts
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// A pipeline to compare (repeatable); the others are measured against the first
    #[arg(long, short, value_name = "NAME|FILE")]
    pipeline: Vec<String>,
    /// Make a variant of the pipeline for each value (repeatable: all combinations)
    #[arg(long, value_name = "STAGE.OPTION=A,B", value_parser = Vary::parse)]
    vary: Vec<Vary>,
    /// Give an option of a stage this value in all pipelines (repeatable)
    #[arg(long = "set", value_name = "STAGE.OPTION=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    trips: TripArguments,
    /// Simulate this many statements of a loop nest before it is sampled
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    budget: u64,
    /// What a set does on a flag that is still set; by default what the target says
    #[arg(long, value_enum)]
    flag_model: Option<Model>,
    /// The cost table; by default the target's
    #[arg(long, value_name = "FILE")]
    costs: Option<PathBuf>,
    /// Kernels in the table for each pair of pipelines
    #[arg(long, value_name = "N", default_value_t = 20)]
    rows: usize,
    /// Write all that was found as JSON, see docs/compare.md
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep timelines in the JSON
    #[arg(long)]
    timelines: bool,
    /// Write one line for each kernel and pipeline
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page for a browser, all in one file: totals, table, and for each kernel timelines and differences
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// End with exit code 1 if this gets worse: `new-findings`, `regression=2%` (repeatable)
    #[arg(long, value_name = "WHAT", value_parser = Condition::parse)]
    fail_on: Vec<Condition>,
    /// What `--fail-on` is measured against: an earlier run's JSON, pipelines by name; by default the first pipeline
    #[arg(long, value_name = "FILE.json")]
    baseline: Option<PathBuf>,
    /// Do only this part of the kernels
    #[arg(long, value_name = "K/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Put the parts of a comparison together
    #[arg(long, conflicts_with_all = ["pipeline", "vary", "shard", "settings", "trips", "default_trips", "budget",
        "flag_model", "costs", "target_extensions", "plugin_path", "timelines"])]
    merge: bool,
    /// Extend the targets by this file: its operations are added, or replace those of the same name (repeatable)
    #[arg(long = "target", value_name = "FILE")]
    target_extensions: Vec<PathBuf>,
    #[command(flatten)]
    plugins: PluginArguments,
}

fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((index, count)) if (1..=count).contains(&index) => Ok(Shard { index, count }),
        _ => Err("write `K/N` with K from 1 to N".into()),
    }
}

/// The most spans of a timeline in a report.
const MAX_SPANS: usize = 1_000;

/// Compares, or merges what was compared.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_outputs(arguments)?;
    if arguments.baseline.is_some() && arguments.fail_on.is_empty() {
        let message = "`--baseline` is what `--fail-on` is measured against: give a `--fail-on`";
        return Err(Failure::Usage(message.into()));
    }
    let baseline = arguments.baseline.as_deref().map(load).transpose()?;
    let mut missing = Vec::new();
    let mut report = if arguments.merge {
        let parts = arguments.paths.iter().map(|path| Ok((path.display().to_string(), load(path)?)));
        let parts = parts.collect::<Result<Vec<_>, Failure>>()?;
        let merged = merge(parts).map_err(|why| failure("compare::merge", why))?;
        missing = merged.missing;
        merged.report
    } else {
        compare(arguments, baseline.is_some())?
    };
    // What one file cannot take, another may.
    let mut unwritten = Vec::new();
    let mut keep = |path: &Option<PathBuf>, text: &dyn Fn() -> String| {
        if let Some(path) = path {
            unwritten.extend(write(path, &text()).err());
        }
    };
    keep(&arguments.html, &|| page(&report));
    if !arguments.timelines && !arguments.merge {
        // They were made for the page only.
        report.forget_timelines();
    }
    keep(&arguments.json, &|| report.to_json());
    keep(&arguments.csv, &|| csv(&report));
    if !outputs(arguments).any(|path| is_stream(path)) {
        write(Path::new("-"), &text(&report, arguments.rows))?;
    }
    let broken = gate(&report, arguments, baseline.as_ref())?;
    if !report.complete {
        output::note("the comparison is incomplete\n");
        missing.iter().for_each(|why| output::note(&format!("  {why}\n")));
    }
    if !broken && report.complete && unwritten.is_empty() { Ok(()) } else { Err(Failure::Errors(unwritten)) }
}

/// Whether conditions are broken, which is printed.
fn gate(report: &Report, arguments: &Arguments, baseline: Option<&Report>) -> Result<bool, Failure> {
    let broken = match (baseline, &arguments.baseline) {
        (Some(baseline), Some(path)) => {
            let fail =
                |why| failure("compare::baseline", format!("`{}` does not fit: {why}", path.display()));
            let found = against_baseline(report, baseline, &arguments.fail_on).map_err(fail)?;
            let [new, gone] = &found.unmatched;
            for (what, list) in [("not in the baseline", new), ("only in the baseline", gone)] {
                if !list.is_empty() {
                    let most = list.len().min(arguments.rows);
                    let more = if most < list.len() { "  ...\n" } else { "" };
                    let names = indented(&list[..most]);
                    output::note(&format!("{} of the kernels are {what}:\n{names}{more}", list.len()));
                }
            }
            found.broken
        }
        _ => broken(report, &arguments.fail_on),
    };
    if !broken.is_empty() {
        let s = if broken.len() == 1 { "" } else { "s" };
        output::note(&format!("{} failure{s} of the gate:\n{}", broken.len(), indented(&broken)));
    }
    Ok(!broken.is_empty())
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// Files to write; `-` takes the place of the tables.
fn outputs(arguments: &Arguments) -> impl Iterator<Item = &PathBuf> {
    [&arguments.json, &arguments.csv, &arguments.html].into_iter().flatten()
}

/// A folder that does not exist is no place for results; better to know before the work than after.
fn check_outputs(arguments: &Arguments) -> Result<(), Failure> {
    let files: Vec<&PathBuf> = outputs(arguments).collect();
    for (index, file) in files.iter().enumerate() {
        if files[..index].contains(file) {
            return Err(Failure::Usage(format!("`{}` is to be two files at once", file.display())));
        }
        if is_stream(file) {
            continue;
        }
        let folder = file.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::metadata(folder).map_err(|error| cannot_write(file, &error))?;
    }
    Ok(())
}

fn compare(arguments: &Arguments, has_baseline: bool) -> Result<Report, Failure> {
    if arguments.paths.iter().any(|path| is_stream(path)) {
        return Err(Failure::Usage("kernels to compare are files".into()));
    }
    if !arguments.vary.is_empty() && arguments.pipeline.len() > 1 {
        return Err(Failure::Usage("`--vary` makes variants of one pipeline".into()));
    }
    for (index, vary) in arguments.vary.iter().enumerate() {
        if arguments.vary[..index].iter().any(|v| v.option == vary.option) {
            let message =
                format!("`--vary {0}` is given twice: write all values in one, `{0}=A,B`", vary.option);
            return Err(Failure::Usage(message));
        }
    }
    let default = ["a3".to_owned()];
    let names = if arguments.pipeline.is_empty() { &default } else { &arguments.pipeline[..] };
    let variants = product(&arguments.vary);
    if names.len() * variants.len() < 2 && !has_baseline {
        let message = "nothing to compare: give a second `--pipeline`, `--vary`, or a `--baseline`";
        return Err(Failure::Usage(message.into()));
    }
    let found = plugin::discover(&arguments.plugins.plugin_path)?;
    let common = Common {
        found: &found,
        settings: &arguments.settings,
        target_extensions: &arguments.target_extensions,
        costs: arguments.costs.as_ref(),
    };
    let contenders = contenders(names, &variants, &common)?;
    let mut files: Vec<PathBuf> = kernels(&arguments.paths)?.into_iter().map(|input| input.path).collect();
    files.sort();
    files.dedup();
    let plan = Plan { setup: setup(arguments, &contenders)?, spans: spans(arguments) };

    let stop = interruptible()?;
    let mine = part(&files, arguments.shard);
    let mut all = Vec::new();
    let mut named = BTreeSet::new();
    let mut done = 0;
    let work = |path: &PathBuf| {
        // What is asked for after an interruption is not looked at any more.
        if stop.load(Ordering::Relaxed) { None } else { Some(file(path, &contenders, &plan)) }
    };
    in_order("comparing", &mine, work, |_, kernels| match kernels {
        Some(compared) => {
            all.extend(compared.kernels);
            named.extend(compared.named);
            done += 1;
            ControlFlow::Continue(())
        }
        None => ControlFlow::Break(()),
    });
    let names = arguments.trips.names();
    for name in names.filter(|name| !named.contains(*name)) {
        output::note(&format!("warning: no loop or bound in these kernels is called `{name}`\n"));
    }
    Ok(report(all, &contenders, &plan, files.len(), arguments.shard, done == mine.len()))
}

fn setup(arguments: &Arguments, contenders: &[Contender]) -> Result<Setup, Failure> {
    let model = arguments.flag_model.map(Model::model);
    let of_target = || contenders.first().map(|c| flag_model(&c.target)).unwrap_or_default();
    let spans = spans(arguments);
    Ok(Setup {
        model: model.unwrap_or_else(of_target),
        given: arguments.trips.given()?,
        default_trips: arguments.trips.default_trips,
        budget: arguments.budget.max(1),
        most_records: if spans.is_some() { 200_000 } else { 0 },
    })
}

fn spans(arguments: &Arguments) -> Option<usize> {
    (arguments.timelines || arguments.html.is_some()).then_some(MAX_SPANS)
}

/// The first interruption asks to stop, a second one ends the program.
fn interruptible() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let handler = move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        output::note("interrupted: what is at work is finished first\n");
    };
    ctrlc::set_handler(handler)
        .map_err(|e| failure("compare::interrupt", format!("cannot catch interruptions: {e}")))?;
    Ok(stop)
}

/// A report of an earlier run.
fn load(path: &Path) -> Result<Report, Failure> {
    let source = Source::read(path)?;
    Report::from_json(&source.text).map_err(|why| {
        let message = format!("`{}` is no report of a comparison: {why}", path.display());
        failure("compare::report", message)
    })
}

fn failure(code: &'static str, message: String) -> Failure {
    diagnostic::Report::one(Source::default(), Diagnostic::error(code, message)).into()
}
