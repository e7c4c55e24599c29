//! Running a resolved pipeline over the functions of a module.
//!
//! The host owns module, target, kernels and plans, and lends them as columns; a pass answers with edits and columns.
//! What must hold: a plan changes only by edits that were checked one by one, it is well formed after every stage,
//! and whatever a plugin replies ends as a result or as a diagnostic that names the pass, its version, its file and
//! the rule it broke.

use std::time::{Duration, Instant};

use pipewright_abi::column::{Column, Columns, OwnedColumn};
use pipewright_abi::ir::ModuleData;
use pipewright_abi::kernel::KernelData;
use pipewright_abi::memory::{ADDRESSES, Address};
use pipewright_abi::plan::{Edit, EditRecord, PlanError, SyncPlan};
use pipewright_abi::plugin::{RunHeader, RunOutcome, lend_all, status};
use pipewright_abi::target::TargetData;
use pipewright_abi::{NodeId, PassError, Scope, TextRange};

use super::resolve::{ResolvedPipeline, ResolvedStage};
use crate::diagnostic::Diagnostic;
use crate::lower::addresses;

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
    for stage in &pipeline.stages {
        observe(Moment { point: Point::Before, stage, module, units, report: "" });
        let start = Instant::now();
        let mut shared = Vec::new();
        module.view().lend(&mut shared);
        target.view().lend(&mut shared);
        let mut run = StageRun {
            stage,
            module,
            target,
            shared: &shared,
            outcome: &mut outcome,
            statistics: Vec::new(),
            report: String::new(),
            addresses: None,
        };
        let errors: Vec<_> = match stage.description().info.scope {
            Scope::Function => units.iter_mut().filter_map(|unit| run.over_function(unit).err()).collect(),
            Scope::Module => run.over_module(units).err().into_iter().collect(),
        };
        let StageRun { statistics, report, addresses, .. } = run;
        if !errors.is_empty() {
            return Err(errors);
        }
        if let Some(addresses) = addresses {
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
    addresses::apply(module, target, addresses)
        .map_err(|rule| vec![fault(stage, "pass::malformed-reply", &rule)])?;
    let kernels = addresses::lower_all(module, target, false)?;
    units.iter_mut().zip(kernels).for_each(|(unit, kernel)| *unit = Unit::new(kernel));
    Ok(())
}

/// One stage at work.
struct StageRun<'a> {
    stage: &'a ResolvedStage,
    module: &'a ModuleData,
    target: &'a TargetData,
    shared: &'a [Column<'a>],
    outcome: &'a mut Outcome,
    statistics: Vec<(String, i64)>,
    report: String,
    /// Addresses that the stage found.
    addresses: Option<Vec<Address>>,
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
        self.report += &reply.report;
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

/// The node that an edit puts something at, or none.
fn placed_at(record: EditRecord) -> NodeId {
    match Edit::try_from(record) {
        Ok(Edit::Place { anchor, .. }) => anchor.node,
        _ => NodeId::NONE,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pipewright_abi::plan::{Anchor, Entry, Position, Role};
    use pipewright_abi::plugin::{OutcomeData, PassDescription, Reply, Request};
    use pipewright_abi::{GroupId, PassInfo, PipeId};

    use super::*;
    use crate::diagnostic::{Report, Source, Style};
    use crate::plugin::in_process;
    use crate::test_kernel::double_rows;

    const V: PipeId = PipeId(1);

    fn barrier(node: u32) -> [Edit; 2] {
        let anchor = Anchor::before(NodeId(node));
        let entry = Entry { group: GroupId(0), role: Role::Barrier };
        let add = Edit::AddBarrier { pipe: V, carrier: NodeId::NONE, flags: 0 };
        [add, Edit::Place { entry, anchor, position: Position::Back }]
    }

    type Named = (&'static str, fn() -> Reply);

    /// What each pass of the strange plugin replies, by the name of the pass.
    const REPLIES: [Named; 11] = [
        ("adds-a-barrier", || reply(&barrier(2).map(EditRecord::from), None)),
        ("writes-a-column", || reply(&[], Some(OwnedColumn::new("note/1", &[7u32])))),
        ("makes-no-edit", || reply(&[EditRecord { code: 99, args: [0; 5] }], None)),
        ("removes-nothing", || reply(&[Edit::Remove { group: GroupId(4) }.into()], None)),
        ("puts-it-nowhere", || reply(&barrier(90).map(EditRecord::from), None)),
        ("leaves-a-half", || {
            let src = PipeId(4);
            reply(&[Edit::AddPair { src, dst: V, carrier: NodeId::NONE, flags: 0 }.into()], None)
        }),
        ("takes-our-column", || reply(&[], Some(OwnedColumn::new("kernel.nodes/1", &[7u32])))),
        ("lies-about-length", || {
            reply(&[], Some(OwnedColumn { len: 1 << 40, ..OwnedColumn::new("x/1", &[7u32]) }))
        }),
        ("lies-about-stride", || {
            reply(&[], Some(OwnedColumn { stride: 3, ..OwnedColumn::new("x/1", &[7u32]) }))
        }),
        ("has-a-status-of-its-own", || Reply { status: 77, ..reply(&[], None) }),
        ("sends-nothing", || Reply { status: status::OK, columns: Vec::new().into() }),
    ];

    fn reply(edits: &[EditRecord], column: Option<OwnedColumn>) -> Reply {
        let mut columns = Vec::new();
        OutcomeData { edits: edits.to_vec(), ..Default::default() }.view().copy_out(&mut columns);
        columns.extend(column);
        Reply { status: status::OK, columns: columns.into() }
    }

    extern "C" fn call(_method: u32, request: &Request<'_>) -> Reply {
        let pass = Columns::new(request.shared.as_slice())
            .get::<u32>("run.pass/1")
            .expect("the host names the pass");
        REPLIES[pass[0] as usize].1()
    }

    /// Runs these passes of the strange plugin, and prints the diagnostics if one fails.
    fn run_passes(names: &[&str], scope: Scope) -> Result<(Outcome, Vec<Unit>), String> {
        let describe = |(name, _): &Named| PassDescription {
            name: (*name).into(),
            version: "0.1.0".into(),
            info: PassInfo { scope, ..PassInfo::new("strange") },
        };
        let plugin = Arc::new(in_process(REPLIES.iter().map(describe).collect(), call));
        let stage = |name: &&str| {
            let index = REPLIES.iter().position(|(n, _)| n == name).expect("a known pass") as u32;
            ResolvedStage { plugin: plugin.clone(), index, options: Vec::new() }
        };
        let stages = names.iter().map(stage).collect();
        let pipeline = ResolvedPipeline {
            name: "p".into(),
            target: "t.toml".into(),
            target_extensions: Vec::new(),
            verify: false,
            stages,
        };
        let (mut module, target, unit) = double_rows();
        let mut units = vec![unit];
        match run(&pipeline, &mut module, &target, &mut units, &mut |_| {}) {
            Ok(outcome) => Ok((outcome, units)),
            Err(diagnostics) => {
                Err(Report::new(Source::new("k.pto", &*module.source), diagnostics).render(Style::Plain))
            }
        }
    }

    #[test]
    fn edits_change_the_plan_and_columns_are_kept() {
        let (outcome, units) = run_passes(&["adds-a-barrier", "writes-a-column"], Scope::Function).unwrap();
        assert_eq!(units[0].plan.before(NodeId(2)).len(), 1);
        assert_eq!(units[0].columns.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["note/1"]);
        assert_eq!(outcome.stages.len(), 2);
    }

    #[test]
    fn a_pass_that_breaks_a_rule_is_named_with_the_rule() {
        let names = REPLIES.iter().skip(2).map(|(name, _)| *name);
        let texts: Vec<_> = names.map(|name| run_passes(&[name], Scope::Function).unwrap_err()).collect();
        insta::assert_snapshot!(texts.concat());
    }

    #[test]
    fn a_module_pass_cannot_edit() {
        let error = run_passes(&["adds-a-barrier"], Scope::Module).unwrap_err();
        assert!(error.contains("module-scope"), "{error}");
    }

    #[test]
    fn stages_before_a_failure_are_observed() {
        let (mut module, target, unit) = double_rows();
        let pass = PassDescription { name: "p".into(), version: "0.1.0".into(), info: PassInfo::new("") };
        let plugin = Arc::new(in_process(vec![pass], call));
        let stages = vec![ResolvedStage { plugin, index: 0, options: Vec::new() }; 2];
        let pipeline = ResolvedPipeline {
            name: "p".into(),
            target: "t.toml".into(),
            target_extensions: Vec::new(),
            verify: false,
            stages,
        };
        let mut seen = Vec::new();
        let mut observe = |moment: Moment<'_>| seen.push((moment.point, moment.units[0].plan.groups().len()));
        // The second stage places the group that the first one added: the edits name group 0.
        run(&pipeline, &mut module, &target, &mut [unit], &mut observe).unwrap_err();
        assert_eq!(seen, [(Point::Before, 0), (Point::After, 1), (Point::Before, 1)]);
    }
}
