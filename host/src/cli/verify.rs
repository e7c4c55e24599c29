//! `pipewright verify`: judges the synchronization that a pipeline makes, or that a kernel already carries.
//!
//! What must hold: the judgement goes to the standard output, findings for people to the standard error; findings that
//! are denied (by default the errors) make the exit code 1, and so does an input that cannot be judged.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use pipewright_abi::ir::ModuleData;
use pipewright_abi::target::TargetData;

use super::batch::{Input, in_order, kernels};
use super::{Failure, PluginArguments, is_stream, output, print_reports, read};
use crate::diagnostic::{Report, Source};
use crate::lower::addresses::lower_all;
use crate::pipeline::{self, ResolvedPipeline, Unit};
use crate::verify::inline::{self, OfModule};
use crate::verify::program::Program;
use crate::verify::report::{Judged, json_text, sarif_text};
use crate::verify::{FlagModel, Grade, Render, Verdict, verify};
use crate::{lower, plugin, syntax, target};

/// Arguments of `pipewright verify`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Kernels to judge, and folders of kernels; `-` is the standard input
    #[arg(value_name = "PATH", required = true)]
    inputs: Vec<PathBuf>,
    /// The pipeline whose plan is judged, where a function does not carry flags of its own
    #[arg(long, short, value_name = "NAME|FILE", default_value = "a3")]
    pipeline: String,
    /// How to print the judgement
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// What a set does on a flag that is still set; by default what the target says
    #[arg(long, value_enum)]
    flag_model: Option<Model>,
    /// Findings of this grade and worse make the exit code 1
    #[arg(long, value_enum, value_name = "GRADE", default_value_t = Denied::Error)]
    deny: Denied,
    /// Give an option of a stage this value (repeatable)
    #[arg(long = "set", value_name = "STAGE.OPTION=VALUE")]
    settings: Vec<String>,
    /// Extend the target by this file: its operations are added, or replace those of the same name (repeatable)
    #[arg(long = "target", value_name = "FILE")]
    target_extensions: Vec<PathBuf>,
    #[command(flatten)]
    plugins: PluginArguments,
}

/// How a judgement is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// JSON, see docs/verify.md
    Json,
    /// SARIF 2.1.0, for code review
    Sarif,
}

/// What a set does on a flag that is still set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Model {
    /// It waits
    Stall,
    /// It is lost
    Lose,
}

impl Model {
    /// The model that it names.
    pub(super) fn model(self) -> FlagModel {
        match self {
            Self::Stall => FlagModel::Stall,
            Self::Lose => FlagModel::Lose,
        }
    }
}

/// From which grade on findings are denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Denied {
    /// What goes wrong in some execution
    Error,
    /// Also what relies on something undocumented or unknown
    Warning,
    /// Everything
    Advice,
}

/// Judges all inputs.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let pipeline = pipeline::load(&arguments.pipeline)?;
    let found = plugin::discover(&arguments.plugins.plugin_path)?;
    let mut pipeline = pipeline::resolve(pipeline, &found, &arguments.settings)?;
    pipeline.leave_out_emitters();
    let extensions = [&pipeline.target_extensions[..], &arguments.target_extensions].concat();
    let target = target::load(&pipeline.target, &extensions)?;
    let model = arguments.flag_model.map_or_else(|| flag_model(&target), Model::model);
    let denied = match arguments.deny {
        Denied::Error => Grade::Error,
        Denied::Warning => Grade::Warning,
        Denied::Advice => Grade::Advice,
    };
    let mut failed = false;
    let mut all = Vec::new();
    let inputs = kernels(&arguments.inputs)?;
    let work = |input: &Input| judge_input(&input.path, &pipeline, &target, model);
    in_order("verifying", &inputs, work, |_, result| {
        match result {
            Ok((judged, warnings)) => {
                print_reports(&[warnings]);
                all.push(judged);
            }
            Err(reports) => {
                print_reports(&reports);
                failed = true;
            }
        }
        ControlFlow::Continue(())
    });
    let complete = !failed;
    for judged in &all {
        failed |= judged.functions.iter().any(|(_, j)| j.worst() >= Some(denied));
        if arguments.format == Format::Text {
            print_reports(&[findings(judged)]);
        }
    }
    let text = match arguments.format {
        Format::Text => all.iter().map(summary).chain([total(&all)]).collect(),
        Format::Json => json_text(&all),
        Format::Sarif => sarif_text(&all, complete),
    };
    if let Err(error) = output::result(&text) {
        output::note(&format!("error: cannot write the judgement: {error}\n"));
        failed = true;
    }
    if failed { Err(Failure::Errors(Vec::new())) } else { Ok(()) }
}

/// The flag model that a target names.
pub(super) fn flag_model(target: &TargetData) -> FlagModel {
    let lose = target.tables.facts.first().is_some_and(|f| f.flag_model == 1);
    if lose { FlagModel::Lose } else { FlagModel::Stall }
}

fn judge_input(
    input: &Path,
    pipeline: &ResolvedPipeline,
    target: &TargetData,
    model: FlagModel,
) -> Result<(Judged, Report), Vec<Report>> {
    let source = read(input)?;
    let fail = |diagnostics| vec![Report::new(source.clone(), diagnostics)];
    let mut module = syntax::parse(&source.text, target).map_err(fail)?;
    let warnings = target::foreign(&module.view(), target).map_err(fail)?;
    lower::simplify(&mut module, target);
    let kernels = lower_all(&module, target, pipeline.writes("addresses")).map_err(fail)?;
    let mut units: Vec<_> = kernels.into_iter().map(Unit::new).collect();
    pipeline::run(pipeline, &mut module, target, &mut units, &mut |_| {}).map_err(fail)?;
    let file = if is_stream(input) { "<stdin>".into() } else { input.display().to_string() };
    Ok((judge(file, &module, target, &units, model), Report::new(source, warnings)))
}

/// What is wrong with a module and its plans whatever the synchronization.
pub(super) fn fatal(file: String, module: &ModuleData, target: &TargetData, units: &[Unit]) -> Report {
    let mut diagnostics = Vec::new();
    for program in of_module(module, target, units).programs.into_iter().flatten() {
        let render = Render { program: &program, source: &module.source };
        diagnostics.extend(crate::verify::fatal(&program).iter().map(|f| render.diagnostic(f)));
    }
    Report::new(Source::new(file, module.source.clone()), diagnostics)
}

fn of_module(module: &ModuleData, target: &TargetData, units: &[Unit]) -> OfModule {
    let planned: Vec<_> = units.iter().map(Unit::planned).collect();
    inline::of_module(&module.view(), &planned, &target.view())
}

/// Judges the final plans of a module's functions.
pub(super) fn judge(
    file: String,
    module: &ModuleData,
    target: &TargetData,
    units: &[Unit],
    model: FlagModel,
) -> Judged {
    let machines = target::other_machines(&module.view(), target);
    let OfModule { programs, within } = of_module(module, target, units);
    let judged = |mut program: Program| {
        let assumed = machines.iter().map(|(arch, _)| {
            format!("a core of `{arch}`, for which the kernel is written, works like one of the target")
        });
        program.assumptions.extend(assumed);
        let judgement = verify(&program, model);
        (program, judgement)
    };
    let functions = programs.into_iter().flatten().map(judged).collect();
    Judged { file, source: module.source.clone(), functions, within }
}

/// All findings of a file, for people.
pub(super) fn findings(judged: &Judged) -> Report {
    let mut diagnostics = Vec::new();
    for (program, judgement) in &judged.functions {
        let render = Render { program, source: &judged.source };
        diagnostics.extend(judgement.findings.iter().map(|f| render.diagnostic(f)));
    }
    Report::new(Source::new(judged.file.clone(), judged.source.clone()), diagnostics)
}

/// What is known of each function of a file.
fn summary(judged: &Judged) -> String {
    let mut text = String::new();
    for (program, judgement) in &judged.functions {
        let counts = counts(judgement.findings.iter().map(|f| f.grade));
        text += &format!("{}: function `{}`: {}\n", judged.file, program.name, counts);
        let named = |wanted: &dyn Fn(Verdict) -> bool| {
            let rules = judgement.verdicts.iter().filter(|(_, v)| wanted(*v)).map(|(r, _)| r.name());
            rules.collect::<Vec<_>>().join(", ")
        };
        let mut line = |word: &str, rules: String| {
            if !rules.is_empty() {
                text += &format!("  {word}: {rules}\n");
            }
        };
        line("proved", named(&|v| v == Verdict::Proved));
        line("proved under assumptions", named(&|v| v == Verdict::Assumed));
        line("sampled only", named(&|v| matches!(v, Verdict::Sampled(_))));
        line("undecided", named(&|v| v == Verdict::Undecided));
        line("broken", named(&|v| v == Verdict::Broken));
        line("assumed", judgement.assumptions.join("; "));
        for (rule, more) in &judgement.more {
            text += &format!("  {more} more {}\n", rule.name());
        }
    }
    for (name, within) in &judged.within {
        text +=
            &format!("{}: function `{name}`: judged where it is called, in {}\n", judged.file, list(within));
    }
    text
}

/// `a`, `b` and `c`.
fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// What all functions have together, if there are several.
fn total(all: &[Judged]) -> String {
    let functions: Vec<_> = all.iter().flat_map(|judged| &judged.functions).collect();
    if functions.len() < 2 {
        return String::new();
    }
    let clean = functions.iter().filter(|(_, j)| j.findings.is_empty()).count();
    let grades = functions.iter().flat_map(|(_, j)| &j.findings).map(|f| f.grade);
    format!("{} functions, {clean} of them without findings; in all {}\n", functions.len(), counts(grades))
}

/// `1 error, 2 warnings`.
fn counts(findings: impl Iterator<Item = Grade>) -> String {
    let findings: Vec<Grade> = findings.collect();
    let words = [
        (Grade::Error, "error", "errors"),
        (Grade::Warning, "warning", "warnings"),
        (Grade::Advice, "piece of advice", "pieces of advice"),
    ];
    let parts: Vec<String> = words
        .into_iter()
        .map(|(grade, one, many)| (findings.iter().filter(|&&g| g == grade).count(), one, many))
        .filter(|(n, _, _)| *n > 0)
        .map(|(n, one, many)| format!("{n} {}", if n == 1 { one } else { many }))
        .collect();
    if parts.is_empty() { "no findings".into() } else { parts.join(", ") }
}
