//! Running a resolved pipeline over the functions of a module.
//!
//! The host owns module, target, kernels and plans, and lends them as columns; a pass answers with edits and columns.
//! What must hold: a pass is lent what it declares and changes what it declares; a plan changes only by edits that were
//! checked one by one, it and every artifact beside it is well formed after every stage, and whatever a plugin replies ends as a result or as a diagnostic that names the pass, its version, its file and
//! the rule it broke.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pipewright_abi::artifact::{self, Evidence};
use pipewright_abi::column::{Column, Columns, OwnedColumn};
use pipewright_abi::contract::Contract;
use pipewright_abi::ir::ModuleData;
use pipewright_abi::kernel::KernelData;
use pipewright_abi::memory::{ADDRESSES, Address, check_addresses};
use pipewright_abi::plan::{Edit, EditRecord, PlanError, SyncPlan};
use pipewright_abi::plugin::{RunHeader, RunOutcome, lend_all, status};
use pipewright_abi::target::TargetData;
use pipewright_abi::{NodeId, PassError, Scope, TextRange};

use super::flags::Callers;
use super::lend::{self, Guard, Watched};
use super::resolve::{ResolvedPipeline, ResolvedStage};
use crate::diagnostic::Diagnostic;
use crate::lower::addresses;
use crate::verify::inline::Planned;

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

/// What an observer of a run sees.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// When it is.
    pub point: Point,
    /// The stage.
    pub stage: &'a ResolvedStage,
    /// The program as of now: a stage that plans memory adds addresses.
    pub module: &'a ModuleData,
    /// Its functions as of now.
    pub units: &'a [Unit],
    /// What the stage shows beside the plans; empty before it.
    pub report: &'a str,
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

    /// Whether no stage has worked on it.
    fn is_untouched(&self) -> bool {
        self.plan.groups().is_empty() && self.columns.is_empty()
    }

    /// The function with its plan, to be judged.
    pub fn planned(&self) -> Planned<'_> {
        Planned { kernel: self.kernel.view(), plan: &self.plan }
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

/// Runs all stages. `observe` sees the program before and after each stage. Where a stage finds addresses, they are
/// written into the module and its functions are flattened anew, with empty plans. On failure there is one diagnostic
/// for each function that the failing stage failed on.
pub fn run(
    pipeline: &ResolvedPipeline,
    module: &mut ModuleData,
    target: &TargetData,
    units: &mut [Unit],
    observe: &mut dyn FnMut(Moment<'_>),
) -> Result<Outcome, Vec<Diagnostic>> {
    let mut outcome = Outcome::default();
    let mut callers = Callers::new(module, units);
    for stage in &pipeline.stages {
        observe(Moment { point: Point::Before, stage, module, units, report: "" });
        let start = Instant::now();
        let mut shared = Vec::new();
        module.view().lend(&mut shared);
        target.view().lend(&mut shared);
        let contract = lend::contract(stage);
        shared.retain(|column| contract.lends_column(column.id.as_str()));
        let shared = Watched::new(shared, pipeline.guard);
        let mut run = StageRun {
            stage,
            contract,
            guard: pipeline.guard,
            module,
            target,
            shared: &shared,
            outcome: &mut outcome,
            statistics: Vec::new(),
            report: String::new(),
            addresses: None,
        };
        let errors: Vec<_> = match stage.description().info.scope {
            Scope::Function => {
                let mut errors = BTreeMap::new();
                for index in callers.order.clone() {
                    callers.tell(index, &mut units[index]);
                    if let Err(error) = run.over_function(&mut units[index]) {
                        errors.insert(index, error);
                    }
                    callers.note(index, &units[index]);
                }
                errors.into_values().collect()
            }
            Scope::Module => run.over_module(units).err().into_iter().collect(),
        };
        let StageRun { statistics, report, addresses, .. } = run;
        if let Some(column) = shared.written() {
            return Err(vec![stray_write(stage, column)]);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if let Some(addresses) = addresses {
            if let Some(unit) = units.iter().find(|unit| !unit.is_untouched()) {
                let name = unit.name(module);
                let message =
                    format!("it plans memory after stages that worked on `{name}` as it was before");
                return Err(vec![fault(stage, "pass::stale", &message)]);
            }
            take_addresses(stage, module, target, units, &addresses)?;
        }
        outcome.stages.push((start.elapsed(), statistics));
        observe(Moment { point: Point::After, stage, module, units, report: &report });
    }
    Ok(outcome)
}

/// Writes addresses into the module, and makes the units those of the changed module.
fn take_addresses(
    stage: &ResolvedStage,
    module: &mut ModuleData,
    target: &TargetData,
    units: &mut [Unit],
    addresses: &[Address],
) -> Result<(), Vec<Diagnostic>> {
    check_addresses(addresses)
        .map_err(|error| error.to_string())
        .and_then(|()| addresses::apply(module, target, addresses))
        .map_err(|rule| vec![fault(stage, "pass::malformed-reply", &rule)])?;
    let kernels = addresses::lower_all(module, target, false)?;
    units.iter_mut().zip(kernels).for_each(|(unit, kernel)| *unit = Unit::new(kernel));
    Ok(())
}

/// One stage at work.
struct StageRun<'a> {
    stage: &'a ResolvedStage,
    contract: Contract,
    guard: Guard,
    module: &'a ModuleData,
    target: &'a TargetData,
    shared: &'a Watched<'a>,
    outcome: &'a mut Outcome,
    statistics: Vec<(String, i64)>,
    report: String,
    /// Addresses that the stage found.
    addresses: Option<Vec<Address>>,
}

impl StageRun<'_> {
    fn over_function(&mut self, unit: &mut Unit) -> Result<(), Diagnostic> {
        let reply = self.call(std::slice::from_ref(unit))?;
        let reply = self.take_notes(reply, Some(unit))?;
        if !reply.edits.is_empty() && self.outcome.text.is_some() {
            return Err(self.fault("pass::stale", "it changes the plan after an emitter has printed it"));
        }
        for record in reply.edits {
            let edit = Edit::try_from(record);
            if let Ok(edit) = edit
                && let Err(artifact) = self.contract.admits(&unit.plan, edit)
            {
                return Err(self.undeclared(unit, &edit, artifact));
            }
            edit.and_then(|edit| unit.plan.apply(edit)).map_err(|error| {
                let node = if error.node.is_some() { error.node } else { placed_at(record) };
                self.malformed(unit, &error, node, "made an edit that breaks a rule")
            })?;
        }
        let mut written = Vec::new();
        for column in reply.columns {
            self.check_column(&column)?;
            written.push(column.id.clone());
            match unit.columns.iter_mut().find(|c| c.id == column.id) {
                Some(old) => *old = column,
                None => unit.columns.push(column),
            }
        }
        unit.plan
            .validate(&unit.kernel.view(), &self.target.view())
            .map_err(|error| self.malformed(unit, &error, error.node, "left a malformed plan"))?;
        let columns = lend_all(&unit.columns);
        let evidence = Evidence {
            kernel: unit.kernel.view(),
            plan: &unit.plan,
            target: self.target.view(),
            columns: Columns::new(&columns),
        };
        artifact::check_columns(&evidence, written.iter().map(|id| id.as_str())).map_err(|error| {
            let message =
                format!("it wrote a malformed artifact for function `{}`: {error}", unit.name(self.module));
            self.fault("pass::malformed-artifact", &message)
        })
    }

    fn over_module(&mut self, units: &[Unit]) -> Result<(), Diagnostic> {
        let reply = self.call(units)?;
        // Node ids are those of a function; with several of them nobody knows which.
        let only = if let [unit] = units { Some(unit) } else { None };
        let reply = self.take_notes(reply, only)?;
        for column in &reply.columns {
            self.check_column(column)?;
            if column.id.as_str() == ADDRESSES {
                let lent = lend_all(core::slice::from_ref(column));
                let records = Columns::new(&lent).get::<Address>(ADDRESSES);
                let records = records.map_err(|e| self.fault("pass::malformed-reply", &e.to_string()))?;
                self.addresses = Some(records.to_vec());
            }
        }
        if !reply.edits.is_empty() || reply.columns.iter().any(|c| c.id.as_str() != ADDRESSES) {
            let message =
                "a pass over the module cannot change plans or write columns of functions (module-scope)";
            return Err(self.fault("pass::malformed-reply", message));
        }
        Ok(())
    }

    /// Calls the pass. The inner result says why the reply cannot be read, the outer one that the pass wrote into what
    /// it was lent: then nothing that is the host's can be relied on.
    fn call(&self, units: &[Unit]) -> Result<Result<RunOutcome, String>, Diagnostic> {
        let plans: Vec<_> = units.iter().map(|unit| lend::plan(&self.contract, unit)).collect();
        let watched: Vec<_> =
            units.iter().map(|unit| Watched::new(lend::columns(&self.contract, unit), self.guard)).collect();
        let lent: Vec<_> = watched
            .iter()
            .zip(&plans)
            .map(|(watched, plan)| {
                let mut columns = Vec::new();
                watched.lend(&mut columns);
                plan.iter().for_each(|plan| plan.view().lend(&mut columns));
                columns
            })
            .collect();
        let lent: Vec<&[Column<'_>]> = lent.iter().map(Vec::as_slice).collect();
        let mut shared = Vec::new();
        self.shared.lend(&mut shared);
        let options = self.stage.options.iter().map(|(name, value)| (name.as_str(), value));
        let reply = self.stage.plugin.run(&RunHeader::new(self.stage.index, options), &shared, &lent);
        match watched.iter().find_map(Watched::written) {
            Some(column) => Err(stray_write(self.stage, column)),
            None => Ok(reply),
        }
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
            status::BREACH => return Err(self.fault("pass::contract", &error.message)),
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
        self.report += &reply.report;
        if reply.output.is_some() {
            if !self.contract.writes("text") {
                return Err(
                    self.fault("pass::contract", "it wrote the artifact `text`, which it does not declare")
                );
            }
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
        let place = written.or_else(|| unit.and_then(|u| u.span(self.module, error.node)));
        // A label of the same place says more than "here".
        let diagnostic = match place.filter(|span| error.labels.iter().all(|(other, _)| other != span)) {
            Some(span) => diagnostic.label(span, "here"),
            None => diagnostic,
        };
        error
            .labels
            .iter()
            .fold(diagnostic, |diagnostic, (span, text)| diagnostic.label(*span, text.as_str()))
    }

    /// The pass left something that breaks a rule of plans.
    fn malformed(&self, unit: &Unit, error: &PlanError, node: NodeId, what: &str) -> Diagnostic {
        let message = format!("it {what} in function `{}`: {error}", unit.name(self.module));
        let diagnostic = self.fault("pass::malformed-plan", &message);
        let function = self.module.tables.ops.get(unit.kernel.view().function().index());
        match (unit.span(self.module, node), function) {
            (Some(span), _) => diagnostic.label(span, format!("at {node}")),
            (None, Some(function)) => diagnostic.label(function.name_span, "in this function"),
            (None, None) => diagnostic,
        }
    }

    /// The pass changed what it does not declare to write.
    fn undeclared(&self, unit: &Unit, edit: &Edit, artifact: &str) -> Diagnostic {
        let function = unit.name(self.module);
        let what = format!(
            "it changed the artifact `{artifact}` of function `{function}`, which it does not declare to write ({edit:?})"
        );
        self.fault("pass::contract", &what)
    }

    fn fault(&self, code: &'static str, what: &str) -> Diagnostic {
        fault(self.stage, code, what)
    }

    fn check_column(&self, column: &OwnedColumn) -> Result<(), Diagnostic> {
        let id = column.id.as_str();
        let rule = if HOST_COLUMNS.iter().any(|host| id.starts_with(host)) {
            "which is the host's (column-id)"
        } else if column.borrow().is_none() {
            "which is longer than its storage (column-length)"
        } else if column.stride == 0 || !column.len.is_multiple_of(column.stride.into()) {
            "whose length is no multiple of its stride (column-stride)"
        } else if !self.contract.writes_column(id) {
            let artifact = artifact::of_column(id);
            let what =
                format!("it wrote the column `{id}` of the artifact `{artifact}`, which it does not declare");
            return Err(self.fault("pass::contract", &what));
        } else {
            return Ok(());
        };
        Err(self.fault("pass::malformed-reply", &format!("it wrote the column `{id}`, {rule}")))
    }
}

/// The plugin is at fault, not the input.
fn fault(stage: &ResolvedStage, code: &'static str, what: &str) -> Diagnostic {
    let pass = stage.description();
    let message = format!("pass `{}` {} is at fault: {what}", pass.name, pass.version);
    Diagnostic::error(code, message)
        .help(format!("the fault is in the plugin: {}", stage.plugin.file.path.display()))
}

/// The pass wrote into what it was lent to read.
fn stray_write(stage: &ResolvedStage, (column, artifact): (&str, &str)) -> Diagnostic {
    let what = format!(
        "it wrote into the column `{column}` of the artifact `{artifact}`, which it was lent to read"
    );
    fault(stage, "pass::stray-write", &what)
}

/// The node that an edit puts something at, or none.
fn placed_at(record: EditRecord) -> NodeId {
    match Edit::try_from(record) {
        Ok(Edit::Place { anchor, .. }) => anchor.node,
        _ => NodeId::NONE,
    }
}

#[cfg(test)]
mod tests;
