//! `pipewright compile`: kernels through a pipeline, to files or the standard output.
//!
//! What must hold: an input that fails leaves no output, and does not keep the others from being compiled.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use pipewright_abi::ir::ModuleData;
use pipewright_abi::target::TargetData;

use super::{Failure, PluginArguments, output, print_reports, verify};
use crate::diagnostic::{Diagnostic, Report, Severity, Source, did_you_mean, text_range};
use crate::lower::addresses::lower_all;
use crate::pipeline::{self, Moment, Outcome, Point, ResolvedPipeline, Unit};
use crate::plan_text::plan_text;
use crate::{lower, plugin, syntax, target};

/// Arguments of `pipewright compile`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Kernels to compile; `-` is the standard input
    #[arg(value_name = "IN.pto", required = true)]
    inputs: Vec<PathBuf>,
    /// The pipeline: a name, or a TOML file (with a `/` or ending in `.toml`)
    #[arg(long, short, value_name = "NAME|FILE", default_value = "a3")]
    pipeline: String,
    /// Where the output of one input goes; `-`, the default, is the standard output
    #[arg(short, long, value_name = "OUT", conflicts_with = "out_dir")]
    output: Option<PathBuf>,
    /// Where the outputs of several inputs go, named like the inputs
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
    let outputs = outputs(arguments)?;
    let start = Instant::now();
    let pipeline = pipeline::load(&arguments.pipeline)?;
    let found = plugin::discover(&arguments.plugins.plugin_path)?;
    let mut pipeline = pipeline::resolve(pipeline, &found, &arguments.settings)?;
    if arguments.emit == Emit::Pto {
        pipeline.replace_emitter("pto-emit", &found, Source::new("command line", "--emit pto"))?;
    }
    check_print_points(arguments, &pipeline)?;
    let extensions = [&pipeline.target_extensions[..], &arguments.target_extensions].concat();
    let target = target::load(&pipeline.target, &extensions)?;
    let tally = Tally { load: start.elapsed(), ..Tally::default() };
    if let Some(directory) = &arguments.out_dir {
        std::fs::create_dir_all(directory).map_err(|e| cannot_write(directory, &e))?;
    }
    let mut compiler = Compiler { arguments, pipeline: &pipeline, target: &target, tally };
    let mut failed = Vec::new();
    for (input, output) in arguments.inputs.iter().zip(&outputs) {
        let result =
            compiler.compile(input).and_then(|text| write(output, &text).map_err(|report| vec![report]));
        if let Err(reports) = result {
            print_reports(&reports);
            failed.push(input.display().to_string());
        }
    }
    compiler.tally.print(arguments, &pipeline);
    if failed.is_empty() {
        return Ok(());
    }
    if arguments.inputs.len() > 1 {
        let list: String = failed.iter().map(|f| format!("\n  {f}")).collect();
        output::note(&format!("{} of {} inputs failed:{list}\n", failed.len(), arguments.inputs.len()));
    }
    Err(Failure::Errors(Vec::new()))
}

/// Where the output of each input goes.
fn outputs(arguments: &Arguments) -> Result<Vec<PathBuf>, Failure> {
    let extension = match arguments.emit {
        Emit::Cpp => "cpp",
        Emit::Pto => "pto",
        Emit::Plan => "plan",
    };
    let Some(directory) = &arguments.out_dir else {
        if arguments.inputs.len() > 1 {
            return Err(Failure::Usage("several inputs need `--out-dir DIR`".into()));
        }
        return Ok(vec![arguments.output.clone().unwrap_or_else(|| "-".into())]);
    };
    let mut taken: BTreeMap<PathBuf, &PathBuf> = BTreeMap::new();
    let mut outputs = Vec::new();
    for input in &arguments.inputs {
        let stem =
            if is_stream(input) { "stdin".as_ref() } else { input.file_stem().unwrap_or(input.as_os_str()) };
        let mut name = stem.to_owned();
        name.push(format!(".{extension}"));
        let output = directory.join(name);
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
    tally: Tally,
}

impl Compiler<'_> {
    /// The output text of one input.
    fn compile(&mut self, input: &Path) -> Result<String, Vec<Report>> {
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
        self.tally.parse += start.elapsed();

        let start = Instant::now();
        lower::simplify(&mut module, self.target);
        let kernels = match lower_all(&module, self.target, self.pipeline.writes("addresses")) {
            Ok(kernels) => kernels,
            Err(diagnostics) => return Err(vec![report(&module, diagnostics)]),
        };
        let mut units: Vec<_> = kernels.into_iter().map(Unit::new).collect();
        self.tally.lower += start.elapsed();

        let mut observe = |moment: Moment<'_>| {
            let (names, word) = match moment.point {
                Point::Before => (&self.arguments.print_before, "before"),
                Point::After => (&self.arguments.print_after, "after"),
            };
            let Moment { stage, module, units, report, .. } = moment;
            if names.iter().any(|n| n == "all" || n == stage.name()) {
                output::note(&format!("---- {word} {}\n{report}", stage.name()));
                units.iter().for_each(|u| output::note(&plan_text(u, module, self.target, &name)));
            }
        };
        let run = pipeline::run(self.pipeline, &mut module, self.target, &mut units, &mut observe);
        let outcome = match run {
            Ok(outcome) => outcome,
            Err(diagnostics) => return Err(vec![report(&module, diagnostics)]),
        };
        self.tally.add(&outcome);
        if self.arguments.verify.unwrap_or(self.pipeline.verify) {
            let start = Instant::now();
            let findings = self.judge(&name, &module, &units);
            self.tally.verify += start.elapsed();
            if !findings.diagnostics.is_empty() {
                if !self.arguments.allow_findings {
                    output::note(
                        "the synchronization is not right; `--allow-findings` writes the output anyway\n",
                    );
                    return Err(vec![findings]);
                }
                print_reports(&[findings]);
            }
        }
        let text = match self.arguments.emit {
            Emit::Plan => {
                let plans: Vec<_> = units.iter().map(|u| plan_text(u, &module, self.target, &name)).collect();
                Some(plans.join("\n"))
            }
            Emit::Cpp | Emit::Pto => outcome.text,
        };
        if self.arguments.remarks {
            print_reports(&[report(&module, outcome.remarks)]);
        }
        text.ok_or_else(|| {
            let message = format!("no stage of the pipeline `{}` emitted text", self.pipeline.name);
            let help = "add an emitter stage such as `a3-codegen`, or ask for `--emit plan`";
            vec![Report::one(Source::default(), Diagnostic::error("pipeline::no-output", message).help(help))]
        })
    }
}

impl Compiler<'_> {
    /// The errors in the final plans. What is less than an error is counted.
    fn judge(&mut self, name: &str, module: &ModuleData, units: &[Unit]) -> Report {
        let model = verify::flag_model(self.target);
        let judged = verify::judge(name.into(), module, self.target, units, model);
        let mut findings = verify::findings(&judged);
        let all = findings.diagnostics.len();
        findings.diagnostics.retain(|d| d.severity == Severity::Error);
        self.tally.warnings += all - findings.diagnostics.len();
        findings
    }
}

/// Times and counters of all inputs together.
#[derive(Debug, Default)]
struct Tally {
    /// Reading the pipeline and the target, finding and loading the plugins.
    load: Duration,
    parse: Duration,
    lower: Duration,
    stages: Vec<(Duration, Vec<(String, i64)>)>,
    remarks: usize,
    verify: Duration,
    /// Findings that are no errors.
    warnings: usize,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        self.stages.resize(outcome.stages.len().max(self.stages.len()), Default::default());
        for ((time, counters), (more, added)) in self.stages.iter_mut().zip(&outcome.stages) {
            *time += *more;
            for (name, amount) in added {
                match counters.iter_mut().find(|(n, _)| n == name) {
                    Some((_, total)) => *total = total.saturating_add(*amount),
                    None => counters.push((name.clone(), *amount)),
                }
            }
        }
        self.remarks += outcome.remarks.len();
    }

    fn print(&self, arguments: &Arguments, pipeline: &ResolvedPipeline) {
        let mut text = String::new();
        if arguments.timing {
            let mut rows = vec![("load", self.load), ("parse", self.parse), ("lower", self.lower)];
            rows.extend(
                pipeline.stages.iter().zip(&self.stages).map(|(stage, (time, _))| (stage.name(), *time)),
            );
            if self.verify > Duration::ZERO {
                rows.push(("verify", self.verify));
            }
            let total: Duration = rows.iter().map(|(_, time)| *time).sum();
            rows.push(("total", total));
            let row = |(name, time): (&str, Duration)| {
                let share = 100.0 * time.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
                vec![name.into(), format!("{:>10.3}", time.as_secs_f64() * 1e3), format!("{share:>5.1}")]
            };
            text += &output::table(&["STAGE", "        ms", "    %"], rows.into_iter().map(row).collect());
        }
        if arguments.stats {
            let mut rows = Vec::new();
            for (stage, (_, counters)) in pipeline.stages.iter().zip(&self.stages) {
                let row =
                    |(name, n): &(String, i64)| vec![stage.name().into(), name.clone(), format!("{n:>10}")];
                rows.extend(counters.iter().map(row));
            }
            text += &output::table(&["STAGE", "COUNTER", "    AMOUNT"], rows);
        }
        if self.warnings > 0 {
            let (n, plural) = (self.warnings, if self.warnings == 1 { "" } else { "s" });
            let _ = writeln!(text, "{n} finding{plural} below an error; `pipewright verify` shows them");
        }
        if self.remarks > 0 && !arguments.remarks {
            let (n, plural) = (self.remarks, if self.remarks == 1 { "" } else { "s" });
            let _ = writeln!(text, "{n} remark{plural}; `--remarks` prints them");
        }
        output::note(&text);
    }
}

pub(super) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

pub(super) fn read(input: &Path) -> Result<Source, Vec<Report>> {
    if !is_stream(input) {
        return Source::read(input).map_err(|report| vec![report]);
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    Source::from_bytes("<stdin>", read.map(|_| bytes)).map_err(|report| vec![report])
}

pub(super) fn write(output: &Path, text: &str) -> Result<(), Report> {
    let written = if is_stream(output) { output::result(text) } else { output::file(output, text) };
    written.map_err(|e| cannot_write(output, &e))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Report {
    let message = format!("cannot write `{}`: {error}", path.display());
    Report::one(Source::default(), Diagnostic::error("output::write", message))
}
