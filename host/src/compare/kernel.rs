//! One file under all contenders: compiled, judged, simulated, and where the contenders go apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pipewright_abi::OpId;
use pipewright_abi::ir::ModuleData;
use pipewright_abi::plan::{SyncPlan, group_flag};

use super::contender::Contender;
use super::model::{Compiled, Divergence, Finding, Hinge, Kernel, Metrics, Outcome, Verdict};
use crate::diagnostic::{Diagnostic, Report, Source, Style};
use crate::lower;
use crate::lower::addresses::lower_all;
use crate::pipeline::{self, Moment, Point, Unit};
use crate::plan_text::plan_text;
use crate::simulate::price::Prices;
use crate::simulate::{Lines, Setup, simulate};
use crate::syntax;
use crate::verify::program::{Program, Step};
use crate::verify::{Grade, Judgement, Render, inline, verify};

/// How files are compared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How programs are simulated.
    pub setup: Setup,
    /// Spans of the timelines that are kept; none: no timelines.
    pub spans: Option<usize>,
}

/// What became of a file.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its functions under all contenders, in the order of the first that compiled it. If none did, there is one entry
    /// without a name.
    pub kernels: Vec<Kernel>,
    /// Names for which trips were given and that occur in it.
    pub named: BTreeSet<String>,
}

/// A file under all contenders.
pub fn file(path: &Path, contenders: &[Contender], plan: &Plan) -> Compared {
    let name = path.display().to_string();
    let runs: Vec<Result<Run, String>> = match Source::read(path) {
        Err(report) => contenders.iter().map(|_| Err(report.render(Style::Plain))).collect(),
        Ok(source) => {
            let mut parsed: BTreeMap<usize, Result<ModuleData, Vec<Diagnostic>>> = BTreeMap::new();
            contenders
                .iter()
                .map(|contender| {
                    let module = parsed.entry(contender.target_group).or_insert_with(|| {
                        let mut module = syntax::parse(&source.text, &contender.target)?;
                        lower::simplify(&mut module, &contender.target);
                        Ok(module)
                    });
                    let compiled = module.clone().and_then(|module| Run::new(contender, module, plan));
                    compiled
                        .map_err(|diagnostics| Report::new(source.clone(), diagnostics).render(Style::Plain))
                })
                .collect()
        }
    };
    let mut functions: Vec<String> = Vec::new();
    for function in runs.iter().flatten().flat_map(|run| &run.functions) {
        if !functions.contains(&function.program.name) {
            functions.push(function.program.name.clone());
        }
    }
    if functions.is_empty() && runs.iter().any(Result::is_err) {
        functions.push(String::new());
    }
    let named =
        runs.iter().flatten().flat_map(|run| &run.functions).flat_map(|f| &f.named).cloned().collect();
    let kernel = |function| kernel(&name, function, contenders, &runs, plan);
    Compared { kernels: functions.into_iter().map(kernel).collect(), named }
}

/// A file under one contender.
struct Run {
    module: ModuleData,
    units: Vec<Unit>,
    /// For each stage its name and the plans after it.
    history: Vec<(String, Vec<SyncPlan>)>,
    functions: Vec<Function>,
}

/// One function, or one core's part of it.
struct Function {
    /// It and the functions that it calls.
    units: Vec<usize>,
    program: Program,
    compiled: Compiled,
    /// Names for which trips were given and that it has.
    named: Vec<String>,
}

impl Run {
    fn new(contender: &Contender, mut module: ModuleData, plan: &Plan) -> Result<Self, Vec<Diagnostic>> {
        let Contender { pipeline, target, .. } = contender;
        let kernels = lower_all(&module, target, pipeline.writes("addresses"))?;
        let mut units: Vec<_> = kernels.into_iter().map(Unit::new).collect();
        let mut history = Vec::new();
        let mut observe = |moment: Moment<'_>| {
            if moment.point == Point::After {
                let plans = moment.units.iter().map(|u| u.plan.clone()).collect();
                history.push((moment.stage.name().to_owned(), plans));
            }
        };
        let outcome = pipeline::run(pipeline, &mut module, target, &mut units, &mut observe)?;
        let times =
            outcome.stages.iter().map(|(time, _)| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        let passes: Vec<_> = pipeline.stages.iter().map(|s| s.name().to_owned()).zip(times).collect();
        let output_bytes = outcome.text.as_ref().map_or(0, String::len);
        let mut run = Self { module, units, history, functions: Vec::new() };
        let planned: Vec<_> = run.units.iter().map(Unit::planned).collect();
        let of_module = inline::of_module(&run.module.view(), &planned, &target.view());
        for program in of_module.programs.into_iter().flatten() {
            let function = run.function(program, contender, plan, &passes, output_bytes);
            run.functions.push(function);
        }
        Ok(run)
    }

    fn function(
        &self,
        program: Program,
        contender: &Contender,
        plan: &Plan,
        passes: &[(String, u64)],
        output_bytes: usize,
    ) -> Function {
        let (view, target) = (self.module.view(), contender.target.view());
        let judgement = verify(&program, plan.setup.model);
        let prices = Prices::new(&program, &view, &target, &contender.costs);
        let simulation = simulate(&program, &view, &prices, &plan.setup);
        // The function itself first, then those that it calls.
        let mut units: Vec<usize> = Vec::new();
        let of_execution: Vec<usize> = program.executions.iter().map(|e| self.unit(e.function)).collect();
        for &unit in &of_execution {
            if !units.contains(&unit) {
                units.push(unit);
            }
        }
        let source = &self.module.source;
        let render = Render { program: &program, source };
        let lines = Lines::new(source);
        let mut metrics =
            metrics(&program, &of_execution.iter().map(|&unit| &self.units[unit].plan).collect::<Vec<_>>());
        metrics.cycles = simulation.cycles;
        metrics.passes = passes.to_vec();
        metrics.output_bytes = output_bytes;
        let compiled = Compiled {
            verdict: verdict(&judgement),
            findings: judgement.findings.iter().map(|f| finding(&render, &lines, f)).collect(),
            more_findings: judgement.more.iter().map(|(r, n)| (r.name().to_owned(), *n)).collect(),
            metrics,
            deadlock: simulation.deadlock(&program, source),
            notes: simulation.notes.clone(),
            extrapolated: simulation.extrapolated,
            skeleton: skeleton(&program, &lines),
            timeline: plan.spans.map(|spans| simulation.timeline(&program, source, spans)),
        };
        Function { units, program, compiled, named: simulation.named }
    }

    /// The unit of a function.
    fn unit(&self, function: OpId) -> usize {
        let found = self.units.iter().position(|u| u.kernel.view().function() == function);
        found.unwrap_or_default()
    }

    fn find(&self, function: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.program.name == function)
    }
}

/// One function under all contenders.
fn kernel(
    file: &str,
    function: String,
    contenders: &[Contender],
    runs: &[Result<Run, String>],
    plan: &Plan,
) -> Kernel {
    let outcome = |run: &Result<Run, String>| match run {
        Err(diagnostic) => Outcome::Failed { diagnostic: diagnostic.clone() },
        Ok(run) => match run.find(&function) {
            Some(found) => Outcome::Compiled(Box::new(found.compiled.clone())),
            None => Outcome::Failed { diagnostic: format!("there is no function `{function}`\n") },
        },
    };
    let results: Vec<Outcome> = runs.iter().map(outcome).collect();
    let (mut divergences, mut variations) = (Vec::new(), Vec::new());
    let side = |index: usize| {
        let run = runs[index].as_ref().ok()?;
        Some(Side { contender: &contenders[index], run, function: run.find(&function)? })
    };
    for index in 1..runs.len() {
        let (Some(first), Some(other)) = (side(0), side(index)) else { continue };
        if first.function.compiled.skeleton != other.function.compiled.skeleton {
            divergences.extend(divergence(index, &first, &other, file));
            variations.extend(vary(index, &first, &other, &plan.setup));
        }
    }
    let hinges = variations.iter().filter(|v| v.flips()).cloned().collect();
    Kernel { file: file.into(), function, results, divergences, hinges, variations }
}

/// A function under one contender.
struct Side<'a> {
    contender: &'a Contender,
    run: &'a Run,
    function: &'a Function,
}

impl Side<'_> {
    /// The plan after a stage, as text.
    fn plan_text(&self, stage: usize, file: &str) -> String {
        let text = |&index: &usize| {
            let kernel = self.run.units[index].kernel.clone();
            let then = Unit { kernel, plan: self.run.history[stage].1[index].clone(), columns: Vec::new() };
            plan_text(&then, &self.run.module, &self.contender.target, file)
        };
        self.function.units.iter().map(text).collect::<Vec<_>>().join("\n")
    }

    /// Cycles with one figure of the cost table changed.
    fn cycles_with(&self, figure: usize, factor: f64, setup: &Setup) -> Option<u64> {
        let (view, target) = (self.run.module.view(), self.contender.target.view());
        let table = self.contender.costs.scaled(figure, factor);
        let program = &self.function.program;
        let prices = Prices::new(program, &view, &target, &table);
        let setup = Setup { most_records: 0, ..setup.clone() };
        simulate(program, &view, &prices, &setup).cycles
    }
}

/// The first stage that both have and after which their plans differ; if there is none, the last stage of the second.
fn divergence(pipeline: usize, first: &Side<'_>, other: &Side<'_>, file: &str) -> Option<Divergence> {
    let (ours, theirs) = (&first.run.history, &other.run.history);
    let shared = theirs.iter().enumerate().filter_map(|(stage, (name, plans))| {
        let same = ours.iter().position(|(n, _)| n == name)?;
        Some((same, stage, name, plans))
    });
    for (mine, stage, name, plans) in shared {
        let mut units = first.function.units.iter().zip(&other.function.units);
        if units.all(|(&ours_at, &theirs_at)| ours[mine].1[ours_at] == plans[theirs_at]) {
            continue;
        }
        let diff = diff(&first.plan_text(mine, file), &other.plan_text(stage, file));
        if !diff.is_empty() {
            return Some(Divergence { pipeline, pass: name.clone(), diff });
        }
    }
    let (mine, stage) = (ours.len().checked_sub(1)?, theirs.len().checked_sub(1)?);
    let diff = diff(&first.plan_text(mine, file), &other.plan_text(stage, file));
    Some(Divergence { pipeline, pass: theirs[stage].0.clone(), diff })
}

/// A unified diff without a header.
fn diff(ours: &str, theirs: &str) -> Vec<String> {
    let diff = similar::TextDiff::from_lines(ours, theirs);
    let text = diff.unified_diff().context_radius(2).to_string();
    text.lines().map(str::to_owned).collect()
}

/// The ratio of cycles with every uncertain figure halved and doubled, where that changes it.
fn vary(pipeline: usize, first: &Side<'_>, other: &Side<'_>, setup: &Setup) -> Vec<Hinge> {
    let cycles = |side: &Side<'_>| side.function.compiled.metrics.cycles.filter(|&c| c > 0);
    let (Some(ours), Some(theirs)) = (cycles(first), cycles(other)) else { return Vec::new() };
    // Only figures of one table can be changed for both.
    if !std::sync::Arc::ptr_eq(&first.contender.costs, &other.contender.costs) {
        return Vec::new();
    }
    let used = |side: &Side<'_>| {
        let (view, target) = (side.run.module.view(), side.contender.target.view());
        Prices::new(&side.function.program, &view, &target, &side.contender.costs).used
    };
    let table = &first.contender.costs;
    let ratio = theirs as f64 / ours as f64;
    let mut out = Vec::new();
    for figure in used(first).union(&used(other)).copied().filter(|&f| table.figures[f].confidence.is_weak())
    {
        for factor in [0.5, 2.0] {
            let changed = [first, other].map(|side| side.cycles_with(figure, factor, setup));
            let [Some(ours), Some(theirs)] = changed else { continue };
            let changed_ratio = theirs as f64 / ours.max(1) as f64;
            if changed_ratio != ratio {
                let about = &table.figures[figure];
                let (figure, confidence) = (about.name.clone(), about.confidence.name().to_owned());
                out.push(Hinge { pipeline, figure, confidence, factor, ratio, changed_ratio });
            }
        }
    }
    out
}

fn verdict(judgement: &Judgement) -> Verdict {
    use crate::verify::Verdict as Known;
    let is = |wanted: fn(&Known) -> bool| judgement.verdicts.iter().any(|(_, v)| wanted(v));
    match judgement.worst() {
        Some(Grade::Error) => Verdict::Errors,
        Some(_) => Verdict::Warnings,
        None if is(|v| matches!(v, Known::Sampled(_))) => Verdict::Sampled,
        None if is(|v| matches!(v, Known::Assumed)) => Verdict::Assumed,
        None => Verdict::Proved,
    }
}

fn finding(render: &Render<'_>, lines: &Lines<'_>, finding: &crate::verify::Finding) -> Finding {
    let steps = finding.first.into_iter().chain([finding.second]);
    Finding {
        rule: finding.rule.name().into(),
        grade: finding.grade.name().into(),
        message: render.message(finding),
        lines: steps.map(|s| lines.of(render.program, s).0).filter(|&line| line > 0).collect(),
        witness: render.diagnostic(finding).help.unwrap_or_default(),
    }
}

/// What can be counted in the program text. What a call does inside itself is not the text's. `plans` are those of its
/// executions.
fn metrics(program: &Program, plans: &[&SyncPlan]) -> Metrics {
    let mut metrics = Metrics::default();
    let mut live: BTreeMap<(usize, usize), Vec<u32>> = BTreeMap::new();
    let mut before_branch = Vec::new();
    for (index, (step, origin)) in program.steps.iter().zip(&program.origins).enumerate() {
        if program.call_of(index).is_some() {
            continue;
        }
        match *step {
            Step::Set(key) => {
                metrics.sets += 1;
                let key = program.keys[key];
                let ids = live.entry((key.src, key.dst)).or_default();
                if !ids.contains(&key.id) {
                    ids.push(key.id);
                }
                let pair = format!("{}>{}", program.pipes[key.src], program.pipes[key.dst]);
                let peak = metrics.peak_ids.entry(pair).or_default();
                *peak = ids.len().max(*peak);
            }
            Step::Wait(key) => {
                metrics.waits += 1;
                let key = program.keys[key];
                live.entry((key.src, key.dst)).or_default().retain(|&id| id != key.id);
            }
            Step::Barrier(Some(pipe)) => {
                *metrics.barriers.entry(program.pipes[pipe].clone()).or_default() += 1;
            }
            Step::Barrier(None) => {
                metrics.pipe_all += 1;
                let plan = plans.get(origin.execution);
                let group = plan.and_then(|plan| plan.groups().get(origin.group.get()?.index()));
                metrics.demoted += usize::from(group.is_some_and(|g| g.has(group_flag::DEMOTED)));
            }
            // Both parts of a branch begin with what is in use before it.
            Step::IfBegin { .. } => before_branch.push(live.clone()),
            Step::Else { .. } => live = before_branch.pop().unwrap_or_default(),
            _ => {}
        }
    }
    metrics
}

/// The program as text: one statement, instruction or construct a line.
fn skeleton(program: &Program, lines: &Lines<'_>) -> Vec<String> {
    let mut depth = 0;
    let mut out = Vec::new();
    for (index, step) in program.steps.iter().enumerate() {
        let (text, closes, opens) = match step {
            Step::LoopBegin { .. } => ("loop {".to_owned(), 0, 1),
            Step::IfBegin { .. } => ("if {".into(), 0, 1),
            Step::Else { .. } => ("} else {".into(), 1, 1),
            Step::LoopEnd { .. } | Step::IfEnd => ("}".into(), 1, 0),
            Step::Opaque => ("flag without effect".into(), 0, 0),
            Step::LoopTest { .. } | Step::Exit => continue,
            _ => (lines.statement(program, index).text, 0, 0),
        };
        depth = usize::saturating_sub(depth, closes);
        out.push(format!("{:indent$}{text}", "", indent = 2 * depth));
        depth += opens;
    }
    out
}
