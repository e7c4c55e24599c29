//! `pipewright simulate`: when every statement of a kernel runs, under a pipeline's plan or with the flags that it carries.
//!
//! What must hold: a deadlock is a result, printed with the blocked statements, and makes the exit code 1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use pipewright_abi::ir::ModuleData;
use pipewright_abi::target::TargetData;
use serde::Serialize;

use super::timeline_text::text;
use super::verify::{Model, flag_model};
use super::{Failure, PluginArguments, is_stream, output, print_reports, read, write};
use crate::diagnostic::{Report, did_you_mean};
use crate::lower::addresses::lower_all;
use crate::pipeline::{self, ResolvedPipeline, Unit};
use crate::simulate::cost::{self, CostTable};
use crate::simulate::price::Prices;
use crate::simulate::svg::svg;
use crate::simulate::timeline::Timeline;
use crate::simulate::trace::trace;
use crate::simulate::{Setup, Simulation, simulate};
use crate::verify::inline;
use crate::verify::program::Program;
use crate::{lower, plugin, syntax, target};

/// Arguments of `pipewright simulate`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Kernels to simulate; `-` is the standard input
    #[arg(value_name = "IN.pto", required = true)]
    inputs: Vec<PathBuf>,
    /// The pipeline whose plan is simulated, where a function does not carry flags of its own
    #[arg(long, short, value_name = "NAME|FILE", default_value = "a3")]
    pipeline: String,
    /// Only this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    #[command(flatten)]
    trips: TripArguments,
    /// Simulate this many statements of a loop nest before it is sampled
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    budget: u64,
    /// What a set does on a flag that is still set; by default what the target says
    #[arg(long, value_enum)]
    flag_model: Option<Model>,
    /// The cost table; by default the target's
    #[arg(long, value_name = "FILE")]
    costs: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the timeline in the format that Chrome and Perfetto show
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write the timeline of the first function as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The cycles that the picture shows; by default all, or as many as can be drawn
    #[arg(long, value_name = "FROM..TO", value_parser = window, requires = "svg")]
    window: Option<(u64, u64)>,
    /// Give an option of a stage this value (repeatable)
    #[arg(long = "set", value_name = "STAGE.OPTION=VALUE")]
    settings: Vec<String>,
    /// Extend the target by this file: its operations are added, or replace those of the same name (repeatable)
    #[arg(long = "target", value_name = "FILE")]
    target_extensions: Vec<PathBuf>,
    #[command(flatten)]
    plugins: PluginArguments,
}

/// How often loops run.
#[derive(Debug, Args)]
pub(super) struct TripArguments {
    /// Trips of the loop with this induction variable, or the value of this parameter (repeatable)
    #[arg(long = "trip", value_name = "NAME=N", value_parser = named_number)]
    pub(super) trips: Vec<(String, i64)>,
    /// Which way branches go that this condition decides (repeatable)
    #[arg(long = "branch", value_name = "NAME=BOOL", value_parser = named_truth)]
    pub(super) branches: Vec<(String, i64)>,
    /// Trips of loops whose bounds are not known
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(super) default_trips: u64,
}

/// How a simulation is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// JSON, see docs/simulate.md
    Json,
}

/// What `read` makes of the text behind the name.
fn named(text: &str, form: &str, read: impl Fn(&str) -> Option<i64>) -> Result<(String, i64), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("write `{form}`"))?;
    let (name, value) = (name.trim().trim_start_matches('%'), value.trim());
    if name.is_empty() {
        return Err(format!("write `{form}`"));
    }
    let value = read(value).ok_or_else(|| format!("`{value}` is no value here: write `{form}`"))?;
    Ok((name.to_owned(), value))
}

fn named_number(text: &str) -> Result<(String, i64), String> {
    named(text, "NAME=N", |number| number.parse().ok())
}

fn named_truth(text: &str) -> Result<(String, i64), String> {
    named(text, "NAME=true` or `NAME=false", |truth| match truth {
        "true" | "1" => Some(1),
        "false" | "0" => Some(0),
        _ => None,
    })
}

impl TripArguments {
    /// All that is given, by name.
    pub(super) fn given(&self) -> Result<BTreeMap<String, i64>, Failure> {
        let mut given = BTreeMap::new();
        for (flag, named) in [("--trip", &self.trips), ("--branch", &self.branches)] {
            for (name, value) in named {
                if given.insert(name.clone(), *value).is_some() {
                    return Err(Failure::Usage(format!("`{flag}`: `{name}` is given twice")));
                }
            }
        }
        Ok(given)
    }

    /// The names.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.trips.iter().chain(&self.branches).map(|(name, _)| name)
    }
}

fn window(text: &str) -> Result<(u64, u64), String> {
    let ends = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    ends.filter(|(from, to)| from < to)
        .ok_or_else(|| "write `FROM..TO`, two cycles, the smaller first".into())
}

/// The most spans that are written to a file.
const MAX_SPANS: usize = 200_000;

/// The most spans of a picture.
const MAX_DRAWN: usize = 600;

/// One function, simulated.
struct Function {
    name: String,
    simulation: Simulation,
    timeline: Timeline,
    /// Until which cycle a picture of all shows it.
    drawn: u64,
    deadlock: Vec<String>,
}

/// Simulates all inputs.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let pipeline = pipeline::load(&arguments.pipeline)?;
    let found = plugin::discover(&arguments.plugins.plugin_path)?;
    let mut pipeline = pipeline::resolve(pipeline, &found, &arguments.settings)?;
    pipeline.leave_out_emitters();
    let extensions = [&pipeline.target_extensions[..], &arguments.target_extensions].concat();
    let target = target::load(&pipeline.target, &extensions)?;
    let table = match &arguments.costs {
        Some(file) => cost::load(file)?,
        None => cost::load(&target::cost_file(&pipeline.target)?)?,
    };
    let setup = Setup {
        model: arguments.flag_model.map_or_else(|| flag_model(&target), Model::model),
        given: arguments.trips.given()?,
        default_trips: arguments.trips.default_trips,
        budget: arguments.budget.max(1),
        ..Setup::default()
    };
    let mut simulator = Simulator {
        arguments,
        pipeline: &pipeline,
        target: &target,
        table: &table,
        setup,
        others: Vec::new(),
    };
    let mut failed = false;
    let mut files = Vec::new();
    for input in &arguments.inputs {
        match simulator.input(input) {
            Ok(functions) => files.push((name(input), functions)),
            Err(reports) => {
                print_reports(&reports);
                failed = true;
            }
        }
    }
    let all: Vec<&Function> = files.iter().flat_map(|(_, functions)| functions).collect();
    if let Some(function) = arguments.function.as_deref().filter(|_| all.is_empty() && !failed) {
        let meant = did_you_mean(function, simulator.others.iter().map(String::as_str));
        let help = meant.map_or_else(
            || format!("there are: {}", simulator.others.join(", ")),
            |m| format!("did you mean `{m}`?"),
        );
        return Err(Failure::Usage(format!("no function is called `{function}`; {help}")));
    }
    failed |= all.iter().any(|f| f.simulation.cycles.is_none());
    for name in arguments.trips.names() {
        if !all.iter().any(|f| f.simulation.named.contains(name)) {
            output::note(&format!("warning: no loop or bound is called `{name}`\n"));
        }
    }
    let printed = match arguments.format {
        Format::Text => files.iter().map(|(file, functions)| print(file, functions, table.hz)).collect(),
        Format::Json => json(&files, &table),
    };
    write(Path::new("-"), &printed)?;
    if let Some(path) = &arguments.trace {
        let named: Vec<_> = all.iter().map(|f| (f.name.as_str(), &f.timeline)).collect();
        write(path, &trace(&named, table.hz))?;
    }
    if let (Some(path), Some(first)) = (&arguments.svg, all.first()) {
        let title = format!("{}, pipeline {}: {} cycles", first.name, pipeline.name, first.timeline.cycles);
        let (from, to) = arguments.window.unwrap_or((0, first.drawn));
        if from >= first.timeline.shown.max(1) {
            let message =
                format!("`--window` begins behind the end, which is cycle {}", first.timeline.shown);
            return Err(Failure::Usage(message));
        }
        write(path, &svg(&title, &first.timeline, from..to.min(first.timeline.shown)))?;
    }
    if failed { Err(Failure::Errors(Vec::new())) } else { Ok(()) }
}

struct Simulator<'a> {
    arguments: &'a Arguments,
    pipeline: &'a ResolvedPipeline,
    target: &'a TargetData,
    table: &'a CostTable,
    setup: Setup,
    /// Functions that were not asked for.
    others: Vec<String>,
}

impl Simulator<'_> {
    fn input(&mut self, input: &Path) -> Result<Vec<Function>, Vec<Report>> {
        let source = read(input)?;
        let fail = |diagnostics| vec![Report::new(source.clone(), diagnostics)];
        let mut module = syntax::parse(&source.text, self.target).map_err(fail)?;
        let warnings = target::foreign(&module.view(), self.target).map_err(fail)?;
        print_reports(&[Report::new(source.clone(), warnings)]);
        lower::simplify(&mut module, self.target);
        let kernels = lower_all(&module, self.target, self.pipeline.writes("addresses")).map_err(fail)?;
        let mut units: Vec<_> = kernels.into_iter().map(Unit::new).collect();
        pipeline::run(self.pipeline, &mut module, self.target, &mut units, &mut |_| {}).map_err(fail)?;
        let planned: Vec<_> = units.iter().map(Unit::planned).collect();
        let of_module = inline::of_module(&module.view(), &planned, &self.target.view());
        let programs = of_module.programs.into_iter().zip(&units);
        let programs = programs.flat_map(|(programs, unit)| programs.into_iter().map(move |p| (p, unit)));
        Ok(programs.filter_map(|(program, unit)| self.program(&module, unit, program)).collect())
    }

    fn program(&mut self, module: &ModuleData, unit: &Unit, program: Program) -> Option<Function> {
        if self.arguments.function.as_ref().is_some_and(|f| f != unit.name(module) && *f != program.name) {
            self.others.push(program.name);
            return None;
        }
        let (view, target) = (module.view(), self.target.view());
        let prices = Prices::new(&program, &view, &target, self.table);
        let simulation = simulate(&program, &view, &prices, &self.setup);
        let timeline = |spans| simulation.timeline(&program, &module.source, spans);
        Some(Function {
            timeline: timeline(MAX_SPANS),
            drawn: timeline(MAX_DRAWN).shown,
            deadlock: simulation.deadlock(&program, &module.source),
            name: program.name,
            simulation,
        })
    }
}

fn name(input: &Path) -> String {
    if is_stream(input) { "<stdin>".into() } else { input.display().to_string() }
}

fn print(file: &str, functions: &[Function], hz: u64) -> String {
    let text = |f: &Function| {
        let name = format!("{file}: function `{}`", f.name);
        text(&name, &f.simulation, &f.timeline, &f.deadlock, hz) + "\n"
    };
    functions.iter().map(text).collect()
}

#[derive(Serialize)]
struct Json<'a> {
    schema: &'a str,
    hz: u64,
    functions: Vec<JsonFunction<'a>>,
}

#[derive(Serialize)]
struct JsonFunction<'a> {
    file: &'a str,
    function: &'a str,
    cycles: Option<u64>,
    statements: u64,
    simulated: u64,
    deadlock: &'a [String],
    notes: &'a [String],
    timeline: &'a Timeline,
}

fn json(files: &[(String, Vec<Function>)], table: &CostTable) -> String {
    let functions = files.iter().flat_map(|(file, functions)| {
        functions.iter().map(move |f| JsonFunction {
            file,
            function: &f.name,
            cycles: f.simulation.cycles,
            statements: f.simulation.executed,
            simulated: f.simulation.simulated,
            deadlock: &f.deadlock,
            notes: &f.simulation.notes,
            timeline: &f.timeline,
        })
    });
    let json = Json { schema: "pipewright.simulate/1", hz: table.hz, functions: functions.collect() };
    // Strings, numbers and string keys can always be written.
    serde_json::to_string(&json).unwrap_or_default() + "\n"
}
