//! `pipewright compile`: kernels through a pipeline, to files or the standard output.
//!
//! What must hold: an input that fails leaves no output, and does not keep the others from being compiled.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use pipewright_abi::ir::ModuleData;
use pipewright_abi::target::TargetData;

use super::batch::{self, Input};
use super::tally::{Show, Tally};
use super::{Failure, PluginArguments, cannot_write, is_stream, output, read, verify, write};
use crate::diagnostic::{Diagnostic, Report, Severity, Source, Style, did_you_mean, text_range};
use crate::lower::addresses::lower_all;
use crate::pipeline::{self, Guard, Moment, Point, ResolvedPipeline, Unit};
use crate::plan_text::plan_text;
use crate::verify::Rule;
use crate::{lower, plugin, syntax, target};

/// Arguments of `pipewright compile`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Kernels to compile, or folders of them; `-` is the standard input
    #[arg(value_name = "IN.pto", required = true)]
    inputs: Vec<PathBuf>,
    /// The pipeline: a name, or a TOML file (with a `/` or ending in `.toml`)
    #[arg(long, short, value_name = "NAME|FILE", default_value = "a3")]
    pipeline: String,
    /// Where the output of one input goes; `-`, the default, is the standard output
    #[arg(short, long, value_name = "OUT", conflicts_with = "out_dir")]
    output: Option<PathBuf>,
    /// Where the outputs of several inputs go, named like the inputs; below it, folders look like those of the inputs
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Emit::Cpp)]
    emit: Emit,
    /// Give an option of a stage this value (repeatable)
    #[arg(long = "set", value_name = "STAGE.OPTION=VALUE")]
    settings: Vec<String>,
    /// Extend the target by this file: its operations are added, or replace those of the same name (repeatable)
    #[arg(long = "target", value_name = "FILE")]
    target_extensions: Vec<PathBuf>,
    #[command(flatten)]
    plugins: PluginArguments,
    /// Lend plugins copies of everything and compare every byte after each pass: one that writes into what it may only
    /// read then harms nothing (without this it is found by sums, and the kernel refused)
    #[arg(long)]
    paranoid: bool,
    /// Print the wall time of every stage to the standard error
    #[arg(long)]
    timing: bool,
    /// Print the counters of every stage to the standard error
    #[arg(long)]
    stats: bool,
    /// Judge the final plans, and write nothing for a kernel with errors; by default what the pipeline says
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    verify: Option<bool>,
    /// Write the output whatever the judgement is
    #[arg(long)]
    allow_findings: bool,
    /// Print what passes remark on the kernels
    #[arg(long)]
    remarks: bool,
    /// Print the plan before this pass to the standard error (repeatable)
    #[arg(long, value_name = "PASS|all")]
    print_before: Vec<String>,
    /// Print the plan after this pass to the standard error (repeatable)
    #[arg(long, value_name = "PASS|all")]
    print_after: Vec<String>,
}

/// What `compile` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Emit {
    /// The text that the pipeline's emitter makes: C++
    Cpp,
    /// The input with the synchronization written out, from `pto-emit` in place of the pipeline's emitter
    Pto,
    /// The functions with their final plans, for people
    Plan,
}

/// Compiles all inputs.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let inputs = batch::kernels(&arguments.inputs)?;
    let outputs = outputs(arguments, &inputs)?;
    let start = Instant::now();
    let pipeline = pipeline::load(&arguments.pipeline)?;
    let found = plugin::discover(&arguments.plugins.plugin_path)?;
    let mut pipeline = pipeline::resolve(pipeline, &found, &arguments.settings)?;
    check_print_points(arguments, &pipeline)?;
    if arguments.paranoid {
        pipeline.guard = Guard::Copies;
    }
    match arguments.emit {
        Emit::Cpp => {}
        Emit::Pto => {
            pipeline.replace_emitter("pto-emit", &found, Source::new("command line", "--emit pto"))?;
        }
        Emit::Plan => pipeline.leave_out_emitters(),
    }
    let extensions = [&pipeline.target_extensions[..], &arguments.target_extensions].concat();
    let target = target::load(&pipeline.target, &extensions)?;
    let mut tally = Tally::new(start.elapsed());
    let compiler = Compiler { arguments, pipeline: &pipeline, target: &target };
    let mut failed = Vec::new();
    let jobs: Vec<_> = inputs.iter().zip(&outputs).collect();
    batch::in_order(
        "compiling",
        &jobs,
        |(input, output)| compiler.job(input, output),
        |index, done| {
            output::note(&done.notes);
            tally.merge(done.tally);
            if done.failed {
                failed.push(&inputs[index].path);
            }
            ControlFlow::Continue(())
        },
    );
    let Arguments { timing, stats, remarks, .. } = *arguments;
    output::note(&tally.text(&pipeline, Show { timing, stats, remarks }));
    if inputs.len() > 1 {
        output::note(&summary(&failed, inputs.len(), start));
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Errors(Vec::new())) }
}

/// How a batch went.
fn summary(failed: &[&PathBuf], all: usize, start: Instant) -> String {
    let list: String = failed.iter().map(|path| format!("\n  {}", path.display())).collect();
    let seconds = start.elapsed().as_secs_f64();
    match failed.len() {
        0 => format!("compiled {all} kernels in {seconds:.1} s\n"),
        n => format!("compiled {} of {all} kernels in {seconds:.1} s; {n} failed:{list}\n", all - n),
    }
}

/// Where the output of each input goes.
fn outputs(arguments: &Arguments, inputs: &[Input]) -> Result<Vec<PathBuf>, Failure> {
    let extension = match arguments.emit {
        Emit::Cpp => "cpp",
        Emit::Pto => "pto",
        Emit::Plan => "plan",
    };
    let Some(directory) = &arguments.out_dir else {
        if inputs.len() > 1 {
            return Err(Failure::Usage("several inputs need `--out-dir DIR`".into()));
        }
        return Ok(vec![arguments.output.clone().unwrap_or_else(|| "-".into())]);
    };
    let mut taken: BTreeMap<PathBuf, &PathBuf> = BTreeMap::new();
    let mut outputs = Vec::new();
    for Input { path: input, name } in inputs {
        let mut file = name.file_stem().unwrap_or(name.as_os_str()).to_owned();
        file.push(format!(".{extension}"));
        let output = directory.join(name.with_file_name(file));
        if !is_stream(input) && output.exists() && output.canonicalize().ok() == input.canonicalize().ok() {
            return Err(Failure::Usage(format!("`{}` would be written over by its output", input.display())));
        }
        if let Some(other) = taken.insert(output.clone(), input) {
            let (other, input, output) = (other.display(), input.display(), output.display());
            return Err(Failure::Usage(format!(
                "`{other}` and `{input}` would both be written to `{output}`"
            )));
        }
        outputs.push(output);
    }
    Ok(outputs)
}

/// The passes of `--print-before` and `--print-after` must be stages of the pipeline.
fn check_print_points(arguments: &Arguments, pipeline: &ResolvedPipeline) -> Result<(), Failure> {
    let stages: Vec<_> = pipeline.stages.iter().map(|s| s.name()).collect();
    let before = arguments.print_before.iter().map(|name| ("--print-before", name));
    let after = arguments.print_after.iter().map(|name| ("--print-after", name));
    let unknown = before.chain(after).filter(|(_, name)| *name != "all" && !stages.contains(&name.as_str()));
    let report = |(flag, name): (&str, &String)| {
        let help = match did_you_mean(name, stages.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("stages: {}, all", stages.join(", ")),
        };
        let source = Source::new("command line", format!("{flag} {name}"));
        let span = text_range(flag.len() + 1..source.text.len());
        let message = format!("the pipeline `{}` has no stage `{name}`", pipeline.name);
        let diagnostic = Diagnostic::error("print::unknown-stage", message).label(span, "no such stage");
        Report::one(source, diagnostic.help(help))
    };
    let reports: Vec<_> = unknown.map(report).collect();
    if reports.is_empty() { Ok(()) } else { Err(reports.into()) }
}

struct Compiler<'a> {
    arguments: &'a Arguments,
    pipeline: &'a ResolvedPipeline,
    target: &'a TargetData,
}

/// What compiling one input left beside its output.
#[derive(Debug, Default)]
struct Done {
    failed: bool,
    /// What is printed to the standard error.
    notes: String,
    tally: Tally,
}

impl Done {
    fn report(&mut self, reports: &[Report]) {
        let style = Style::for_stderr();
        self.notes.extend(reports.iter().map(|report| report.render(style)));
    }
}

impl Compiler<'_> {
    /// Compiles one input and writes its output.
    fn job(&self, input: &Input, output: &Path) -> Done {
        let mut done = Done::default();
        let text = self.compile(&input.path, &mut done);
        let written = text.and_then(|text| self.write(output, &text).map_err(|report| vec![report]));
        if let Err(reports) = written {
            done.report(&reports);
            done.failed = true;
        }
        done
    }

    fn write(&self, output: &Path, text: &str) -> Result<(), Report> {
        if self.arguments.out_dir.is_some() {
            let folder = output.parent().unwrap_or(output);
            std::fs::create_dir_all(folder).map_err(|e| cannot_write(folder, &e))?;
        }
        write(output, text)
    }

    /// The output text of one input.
    fn compile(&self, input: &Path, done: &mut Done) -> Result<String, Vec<Report>> {
        let start = Instant::now();
        let Source { name, text } = read(input)?;
        let mut module = match syntax::parse(&text, self.target) {
            Ok(module) => module,
            Err(diagnostics) => return Err(vec![Report::new(Source { name, text }, diagnostics)]),
        };
        // The module keeps the text: kernels can be large, and one copy is enough.
        drop(text);
        let report = |module: &ModuleData, diagnostics| {
            Report::new(Source::new(name.clone(), module.source.clone()), diagnostics)
        };
        done.tally.parse += start.elapsed();
        match target::foreign(&module.view(), self.target) {
            Ok(warnings) if warnings.is_empty() => {}
            Ok(warnings) => done.report(&[report(&module, warnings)]),
            Err(diagnostics) => return Err(vec![report(&module, diagnostics)]),
        }

        let start = Instant::now();
        lower::simplify(&mut module, self.target);
        let kernels = match lower_all(&module, self.target, self.pipeline.writes("addresses")) {
            Ok(kernels) => kernels,
            Err(diagnostics) => return Err(vec![report(&module, diagnostics)]),
        };
        let mut units: Vec<_> = kernels.into_iter().map(Unit::new).collect();
        done.tally.lower += start.elapsed();

        let mut observe = |moment: Moment<'_>| {
            let (names, word) = match moment.point {
                Point::Before => (&self.arguments.print_before, "before"),
                Point::After => (&self.arguments.print_after, "after"),
            };
            let Moment { stage, module, units, report, .. } = moment;
            if names.iter().any(|n| n == "all" || n == stage.name()) {
                done.notes += &format!("---- {word} {}\n{report}", stage.name());
                done.notes.extend(units.iter().map(|u| plan_text(u, module, self.target, &name)));
            }
        };
        let run = pipeline::run(self.pipeline, &mut module, self.target, &mut units, &mut observe);
        let outcome = match run {
            Ok(outcome) => outcome,
            Err(diagnostics) => return Err(vec![report(&module, diagnostics)]),
        };
        done.tally.add(&outcome);
        let start = Instant::now();
        let findings = if self.arguments.verify.unwrap_or(self.pipeline.verify) {
            let findings = self.judge(&name, &module, &units, &mut done.tally);
            done.tally.verify += start.elapsed();
            findings
        } else {
            let findings = verify::fatal(name.clone(), &module, self.target, &units);
            done.tally.lower += start.elapsed();
            findings
        };
        if !findings.diagnostics.is_empty() {
            // That is not for anybody to allow.
            if findings.diagnostics.iter().any(|d| Rule::of_code(d.code).is_some_and(Rule::is_fatal)) {
                return Err(vec![findings]);
            }
            if !self.arguments.allow_findings {
                done.notes +=
                    "the synchronization is not right; `--allow-findings` writes the output anyway\n";
                return Err(vec![findings]);
            }
            done.report(&[findings]);
        }
        let text = match self.arguments.emit {
            Emit::Plan => {
                let plans: Vec<_> = units.iter().map(|u| plan_text(u, &module, self.target, &name)).collect();
                Some(plans.join("\n"))
            }
            Emit::Cpp | Emit::Pto => outcome.text,
        };
        if self.arguments.remarks {
            done.report(&[report(&module, outcome.remarks)]);
        }
        text.ok_or_else(|| {
            let message = format!("no stage of the pipeline `{}` emitted text", self.pipeline.name);
            let help = "add an emitter stage such as `a3-codegen`, or ask for `--emit plan`";
            vec![Report::one(Source::default(), Diagnostic::error("pipeline::no-output", message).help(help))]
        })
    }

    /// The errors in the final plans. What is less than an error is counted.
    fn judge(&self, name: &str, module: &ModuleData, units: &[Unit], tally: &mut Tally) -> Report {
        let model = verify::flag_model(self.target);
        let judged = verify::judge(name.into(), module, self.target, units, model);
        let mut findings = verify::findings(&judged);
        let all = findings.diagnostics.len();
        findings.diagnostics.retain(|d| d.severity == Severity::Error);
        tally.warnings += all - findings.diagnostics.len();
        findings
    }
}
