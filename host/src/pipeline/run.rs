//! Running a resolved pipeline over the functions of a module.
//!
//! The host owns module, target, kernels and plans, and lends them as columns; a pass answers with edits and columns.
//! What must hold: a plan changes only by edits that were checked one by one, it is well formed after every stage,
//! and whatever a plugin replies ends as a result or as a diagnostic that names the pass, its version, its file and
//! the rule it broke.

use std::time::{Duration, Instant};

use pipewright_abi::column::{Column, OwnedColumn};
use pipewright_abi::ir::ModuleData;
use pipewright_abi::kernel::KernelData;
use pipewright_abi::plan::{Edit, EditRecord, PlanError, SyncPlan};
use pipewright_abi::plugin::{RunHeader, RunOutcome, lend_all, status};
use pipewright_abi::target::TargetData;
use pipewright_abi::{NodeId, PassError, Scope, TextRange};

use super::resolve::{ResolvedPipeline, ResolvedStage};
use crate::diagnostic::Diagnostic;

/// One function on its way through a pipeline.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The function, flattened.
    pub kernel: KernelData,
    /// Its plan so far.
    pub plan: SyncPlan,
    /// Columns that stages wrote for later ones, each id once.
    pub columns: Vec<OwnedColumn>,
}

/// What a pipeline produced.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The text that the last emitter produced.
    pub text: Option<String>,
    /// What passes want the user to know.
    pub remarks: Vec<Diagnostic>,
    /// For each stage its wall time and its statistics.
    pub stages: Vec<(Duration, Vec<(String, i64)>)>,
}

/// When a run is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before a stage.
    Before,
    /// After a stage.
    After,
}

/// Columns of these kinds are the host's own; a pass must not write them.
const HOST_COLUMNS: [&str; 7] = ["catalog.", "kernel.", "module.", "outcome.", "plan.", "run.", "target."];

impl Unit {
    /// A function with an empty plan.
    pub fn new(kernel: KernelData) -> Self {
        let plan = SyncPlan::new(kernel.nodes.len());
        Self { kernel, plan, columns: Vec::new() }
    }

    /// The name of the function.
    pub fn name<'a>(&self, module: &'a ModuleData) -> &'a str {
        let function = self.kernel.view().function();
        if function.is_some() { module.view().symbol(function) } else { "" }
    }

    /// Where a node stands in the source: the name of its operation.
    pub fn span(&self, module: &ModuleData, node: NodeId) -> Option<TextRange> {
        let op = self.kernel.nodes.get(node.index())?.op;
        let op = module.tables.ops.get(op.index())?;
        [op.name_span, op.span].into_iter().find(|s| s.start < s.end)
    }
}

/// Runs all stages. `observe` sees the units before and after each stage. On failure there is one diagnostic for each
/// function that the failing stage failed on.
pub fn run(
    pipeline: &ResolvedPipeline,
    module: &ModuleData,
    target: &TargetData,
    units: &mut [Unit],
    observe: &mut dyn FnMut(Point, &ResolvedStage, &[Unit]),
) -> Result<Outcome, Vec<Diagnostic>> {
    let mut shared = Vec::new();
    module.view().lend(&mut shared);
    target.view().lend(&mut shared);
    let mut outcome = Outcome::default();
    for stage in &pipeline.stages {
        observe(Point::Before, stage, units);
        let start = Instant::now();
        let mut run = StageRun {
            stage,
            module,
            target,
            shared: &shared,
            outcome: &mut outcome,
            statistics: Vec::new(),
        };
        let errors: Vec<_> = match stage.description().info.scope {
            Scope::Function => units.iter_mut().filter_map(|unit| run.over_function(unit).err()).collect(),
            Scope::Module => run.over_module(units).err().into_iter().collect(),
        };
        let statistics = run.statistics;
        if !errors.is_empty() {
            return Err(errors);
        }
        outcome.stages.push((start.elapsed(), statistics));
        observe(Point::After, stage, units);
    }
    Ok(outcome)
}

/// One stage at work.
struct StageRun<'a> {
    stage: &'a ResolvedStage,
    module: &'a ModuleData,
    target: &'a TargetData,
    shared: &'a [Column<'a>],
    outcome: &'a mut Outcome,
    statistics: Vec<(String, i64)>,
}

impl StageRun<'_> {
    fn over_function(&mut self, unit: &mut Unit) -> Result<(), Diagnostic> {
        let reply = self.call(std::slice::from_ref(unit));
        let reply = self.take_notes(reply, Some(unit))?;
        for record in reply.edits {
            let edit = Edit::try_from(record);
            edit.and_then(|edit| unit.plan.apply(edit)).map_err(|error| {
                let node = if error.node.is_some() { error.node } else { placed_at(record) };
                self.malformed(unit, &error, node, "made an edit that breaks a rule")
            })?;
        }
        for column in reply.columns {
            self.check_column(&column)?;
            match unit.columns.iter_mut().find(|c| c.id == column.id) {
                Some(old) => *old = column,
                None => unit.columns.push(column),
            }
        }
        unit.plan
            .validate(&unit.kernel.view(), &self.target.view())
            .map_err(|error| self.malformed(unit, &error, error.node, "left a malformed plan"))
    }

    fn over_module(&mut self, units: &[Unit]) -> Result<(), Diagnostic> {
        let reply = self.call(units);
        // Node ids are those of a function; with several of them nobody knows which.
        let only = if let [unit] = units { Some(unit) } else { None };
        let reply = self.take_notes(reply, only)?;
        if !reply.edits.is_empty() || !reply.columns.is_empty() {
            let message = "a pass over the module cannot change plans or write columns (module-scope)";
            return Err(self.fault("pass::malformed-reply", message));
        }
        Ok(())
    }

    fn call(&self, units: &[Unit]) -> Result<RunOutcome, String> {
        let plans: Vec<_> = units.iter().map(|unit| unit.plan.to_columns()).collect();
        let lent: Vec<_> = units
            .iter()
            .zip(&plans)
            .map(|(unit, plan)| {
                let mut columns = lend_all(&unit.columns);
                unit.kernel.view().lend(&mut columns);
                plan.view().lend(&mut columns);
                columns
            })
            .collect();
        let lent: Vec<&[Column<'_>]> = lent.iter().map(Vec::as_slice).collect();
        let options = self.stage.options.iter().map(|(name, value)| (name.as_str(), value));
        self.stage.plugin.run(&RunHeader::new(self.stage.index, options), self.shared, &lent)
    }

    /// Keeps remarks, statistics and text of a reply, or turns its error into a diagnostic.
    fn take_notes(
        &mut self,
        reply: Result<RunOutcome, String>,
        unit: Option<&Unit>,
    ) -> Result<RunOutcome, Diagnostic> {
        let mut reply = reply
            .map_err(|why| self.fault("pass::malformed-reply", &format!("its reply is malformed: {why}")))?;
        let error = reply.error.take().unwrap_or_else(|| PassError::new("it does not say why"));
        match reply.status {
            status::OK => {}
            status::FAILED => return Err(self.failure(&error, unit)),
            status::PANICKED => {
                return Err(self.fault("pass::panic", &format!("it panicked: {}", error.message)));
            }
            status::REFUSED => {
                return Err(self.fault("pass::refused", &format!("it refused to run: {}", error.message)));
            }
            other => {
                return Err(
                    self.fault("pass::malformed-reply", &format!("its reply has the unknown status {other}"))
                );
            }
        }
        for (name, amount) in reply.statistics.drain(..) {
            match self.statistics.iter_mut().find(|(n, _)| *n == name) {
                Some((_, total)) => *total = total.saturating_add(amount),
                None => self.statistics.push((name, amount)),
            }
        }
        for remark in reply.remarks.drain(..) {
            let place = unit.and_then(|u| u.span(self.module, remark.node));
            let function = unit.map_or("", |u| u.name(self.module));
            let message = format!("{}: {}", self.stage.name(), remark.message);
            let diagnostic = Diagnostic::advice("pass::remark", message);
            self.outcome.remarks.push(match place {
                Some(span) => diagnostic.label(span, ""),
                None if function.is_empty() => diagnostic,
                None => diagnostic.help(format!("about function `{function}`")),
            });
        }
        if reply.output.is_some() {
            self.outcome.text = reply.output.take();
        }
        Ok(reply)
    }

    /// The pass says that the input is wrong.
    fn failure(&self, error: &PassError, unit: Option<&Unit>) -> Diagnostic {
        let pass = self.stage.description();
        let function = unit.map(|u| u.name(self.module)).filter(|n| !n.is_empty());
        let subject = function.map(|f| format!(" on function `{f}`")).unwrap_or_default();
        let message = format!("pass `{}` {} failed{subject}: {}", pass.name, pass.version, error.message);
        let plugin = format!("plugin: {}", self.stage.plugin.file.path.display());
        let help = if error.help.is_empty() { plugin } else { format!("{}\n{plugin}", error.help) };
        let diagnostic = Diagnostic::error("pass::failed", message).help(help);
        let written = Some(error.span).filter(|s| s.start < s.end);
        match written.or_else(|| unit.and_then(|u| u.span(self.module, error.node))) {
            Some(span) => diagnostic.label(span, "here"),
            None => diagnostic,
        }
    }

    /// The pass left something that breaks a rule of plans.
    fn malformed(&self, unit: &Unit, error: &PlanError, node: NodeId, what: &str) -> Diagnostic {
        let message = format!("it {what} in function `{}`: {error}", unit.name(self.module));
        let diagnostic = self.fault("pass::malformed-plan", &message);
        match unit.span(self.module, node) {
            Some(span) => diagnostic.label(span, format!("at {node}")),
            None => diagnostic,
        }
    }

    /// The plugin is at fault, not the input.
    fn fault(&self, code: &'static str, what: &str) -> Diagnostic {
        let pass = self.stage.description();
        let message = format!("pass `{}` {} is at fault: {what}", pass.name, pass.version);
        Diagnostic::error(code, message)
            .help(format!("the fault is in the plugin: {}", self.stage.plugin.file.path.display()))
    }

    fn check_column(&self, column: &OwnedColumn) -> Result<(), Diagnostic> {
        let id = column.id.as_str();
        let rule = if HOST_COLUMNS.iter().any(|host| id.starts_with(host)) {
            "which is the host's (column-id)"
        } else if column.borrow().is_none() {
            "which is longer than its storage (column-length)"
        } else if column.stride == 0 || !column.len.is_multiple_of(column.stride.into()) {
            "whose length is no multiple of its stride (column-stride)"
        } else {
            return Ok(());
        };
        Err(self.fault("pass::malformed-reply", &format!("it wrote the column `{id}`, {rule}")))
    }
}

/// The node that an edit puts something at, or none.
fn placed_at(record: EditRecord) -> NodeId {
    match Edit::try_from(record) {
        Ok(Edit::Place { anchor, .. }) => anchor.node,
        _ => NodeId::NONE,
    }
}
