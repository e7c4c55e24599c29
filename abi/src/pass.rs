//! What a pass implements, and what it is given.

use core::cell::OnceCell;
use core::fmt;
use core::ops::RangeInclusive;

use bytemuck::Pod;

use crate::artifact;
use crate::column::{ColumnError, Columns, OwnedColumn};
use crate::contract::Contract;
use crate::guard::breach;
use crate::hazard::{HazardData, Hazards};
use crate::ir::Module;
use crate::kernel::Kernel;
use crate::plan::{Anchor, Edit, Entry, NO_EVENT, PlanError, Position, Role, SyncPlan, scope};
use crate::target::Target;
use crate::{GroupId, NodeId, PipeId, RootId};

/// A stage of a pipeline. Implement it for a unit struct and export it with [`register_pass!`](crate::register_pass).
///
/// A pass is a pure function of kernel, plan, options and target: no globals, files, clocks or threads.
pub trait Pass {
    /// Name in pipelines and messages, `event-id-allocation`.
    const NAME: &'static str;

    /// What the pass is, reads, writes and takes as options.
    fn info() -> PassInfo;

    /// Runs the pass. Changes go through the context's edit methods; the host applies them after a successful return
    /// and drops them all if the pass fails.
    fn run(cx: &mut PassContext<'_>) -> Result<(), PassError>;
}

/// What a pass is given at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// One function: [`PassContext::kernel`] and [`PassContext::plan`].
    #[default]
    Function,
    /// The whole module: [`PassContext::units`].
    Module,
}

/// What a pass says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassInfo {
    /// One line for people.
    pub summary: String,
    /// What it is given at once.
    pub scope: Scope,
    /// Artifacts that an earlier stage must have written; see [`mod@crate::artifact`].
    pub reads: Vec<String>,
    /// Artifacts that it reads if an earlier stage wrote them.
    pub may_read: Vec<String>,
    /// Artifacts that it writes. It is lent them too, as they are by then.
    pub writes: Vec<String>,
    /// Options that it takes.
    pub options: Vec<OptionSpec>,
}

impl PassInfo {
    /// A function pass without artifacts and options.
    pub fn new(summary: &str) -> Self {
        Self { summary: summary.into(), ..Self::default() }
    }

    /// A pass over the whole module instead.
    pub fn over_module(mut self) -> Self {
        self.scope = Scope::Module;
        self
    }

    /// Artifacts that an earlier stage must have written.
    pub fn reads(mut self, artifacts: &[&str]) -> Self {
        self.reads.extend(artifacts.iter().map(|&a| a.into()));
        self
    }

    /// Artifacts that it reads if an earlier stage wrote them.
    pub fn may_read(mut self, artifacts: &[&str]) -> Self {
        self.may_read.extend(artifacts.iter().map(|&a| a.into()));
        self
    }

    /// Artifacts that it writes.
    pub fn writes(mut self, artifacts: &[&str]) -> Self {
        self.writes.extend(artifacts.iter().map(|&a| a.into()));
        self
    }

    /// An option; its type is that of the default value. For integers that have a range see [`PassInfo::integer`].
    pub fn option(mut self, name: &str, default: impl Into<OptionValue>, doc: &str) -> Self {
        let default = default.into();
        let ty = default.option_type();
        self.options.push(OptionSpec {
            name: name.into(),
            ty,
            default,
            choices: Vec::new(),
            range: None,
            doc: doc.into(),
        });
        self
    }

    /// An integer option that takes the values of `range`.
    ///
    /// # Panics
    /// If the default is not one of them.
    #[track_caller]
    pub fn integer(mut self, name: &str, default: i64, range: RangeInclusive<i64>, doc: &str) -> Self {
        let (min, max) = range.into_inner();
        assert!(
            (min..=max).contains(&default),
            "the default {default} of the option `{name}` is not in {min} to {max}"
        );
        self = self.option(name, default, doc);
        if let Some(option) = self.options.last_mut() {
            option.range = Some((min, max));
        }
        self
    }

    /// A string option that takes one of `choices`, the first by default.
    pub fn choice(mut self, name: &str, choices: &[&str], doc: &str) -> Self {
        self.options.push(OptionSpec {
            name: name.into(),
            ty: OptionType::String,
            default: OptionValue::String(choices.first().copied().unwrap_or_default().into()),
            choices: choices.iter().map(|&c| c.into()).collect(),
            range: None,
            doc: doc.into(),
        });
        self
    }
}

/// Type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionType {
    /// `true` or `false`.
    Bool = 0,
    /// A signed integer.
    Int = 1,
    /// A string.
    String = 2,
}

impl fmt::Display for OptionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int => "integer",
            Self::String => "string",
        })
    }
}

/// Value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// See [`OptionType::Bool`].
    Bool(bool),
    /// See [`OptionType::Int`].
    Int(i64),
    /// See [`OptionType::String`].
    String(String),
}

impl OptionValue {
    /// The type of the value.
    pub fn option_type(&self) -> OptionType {
        match self {
            Self::Bool(_) => OptionType::Bool,
            Self::Int(_) => OptionType::Int,
            Self::String(_) => OptionType::String,
        }
    }
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::String(value) => write!(f, "{value:?}"),
        }
    }
}

impl From<bool> for OptionValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for OptionValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for OptionValue {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

/// An option that a pass takes.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionSpec {
    /// Name in pipelines.
    pub name: String,
    /// Type of its values.
    pub ty: OptionType,
    /// Value where a pipeline gives none.
    pub default: OptionValue,
    /// For a string option, the values it takes; empty if any.
    pub choices: Vec<String>,
    /// For an integer option, the least and the greatest value that it takes; none if any.
    pub range: Option<(i64, i64)>,
    /// One line for people.
    pub doc: String,
}

/// Why a pass failed: the user's input cannot be handled, at a node or as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassError {
    /// What is wrong.
    pub message: String,
    /// What the user can do, or empty.
    pub help: String,
    /// Byte range of the source that it is about; empty at 0 if none.
    pub span: crate::TextRange,
    /// The node that it is about, or none.
    pub node: NodeId,
    /// Further pieces of the source that have to do with it, each with a few words.
    pub labels: Vec<(crate::TextRange, String)>,
}

impl PassError {
    /// An error about the input as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: String::new(),
            span: Default::default(),
            node: NodeId::NONE,
            labels: Vec::new(),
        }
    }

    /// About this node.
    pub fn at_node(mut self, node: NodeId) -> Self {
        self.node = node;
        self
    }

    /// About this piece of the source.
    pub fn at_span(mut self, span: crate::TextRange) -> Self {
        self.span = span;
        self
    }

    /// A further piece of the source, and what it has to do with the matter.
    pub fn with_label(mut self, span: crate::TextRange, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    /// What the user can do.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for PassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for PassError {}

impl From<PlanError> for PassError {
    fn from(error: PlanError) -> Self {
        Self::new(error.to_string()).at_node(error.node)
    }
}

impl From<ColumnError> for PassError {
    fn from(error: ColumnError) -> Self {
        Self::new(error.to_string())
    }
}

/// A remark for people: something the pass decided that a user may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The text.
    pub message: String,
    /// The node it is about, or none.
    pub node: NodeId,
}

/// One function with its plan.
#[derive(Debug)]
pub struct Unit<'a> {
    /// The function, flattened.
    pub kernel: Kernel<'a>,
    /// Its plan as of now, own edits included.
    pub plan: SyncPlan,
    columns: Columns<'a>,
}

impl<'a> Unit<'a> {
    /// A unit of these columns.
    pub fn new(kernel: Kernel<'a>, plan: SyncPlan, columns: Columns<'a>) -> Self {
        Self { kernel, plan, columns }
    }
}

/// What a pass is given, and where its changes go.
#[derive(Debug)]
pub struct PassContext<'a> {
    contract: Contract,
    units: Vec<Unit<'a>>,
    target: Target<'a>,
    shared: Columns<'a>,
    module: OnceCell<Module<'a>>,
    options: Vec<(String, OptionValue)>,
    /// Edits made so far, in order.
    pub(crate) edits: Vec<Edit>,
    pub(crate) columns: Vec<OwnedColumn>,
    pub(crate) remarks: Vec<Remark>,
    pub(crate) report: String,
    pub(crate) statistics: Vec<(String, i64)>,
    pub(crate) output: Option<String>,
}

/// What a pass asks for without declaring it stops the pass: the mistake is in its text, and its tests find it.
impl<'a> PassContext<'a> {
    /// A context over these units, for a pass that declares `contract`. The host's side of the boundary makes it; tests
    /// of a pass may too.
    pub fn new(
        contract: Contract,
        units: Vec<Unit<'a>>,
        target: Target<'a>,
        shared: Columns<'a>,
        options: Vec<(String, OptionValue)>,
    ) -> Self {
        Self {
            contract,
            units,
            target,
            shared,
            module: OnceCell::new(),
            options,
            edits: Vec::new(),
            columns: Vec::new(),
            remarks: Vec::new(),
            report: String::new(),
            statistics: Vec::new(),
            output: None,
        }
    }

    /// The function to work on. The pass declares `kernel`.
    ///
    /// # Panics
    /// If the pass runs over a module without functions; function passes never do.
    #[track_caller]
    pub fn kernel(&self) -> Kernel<'a> {
        self.must_read("kernel");
        self.units[0].kernel
    }

    /// The function's plan as of now, own edits included. The pass declares what it reads of it, or `plan`.
    #[track_caller]
    pub fn plan(&self) -> &SyncPlan {
        if !self.contract.lends_plans() {
            self.must_read("plan");
        }
        &self.units[0].plan
    }

    /// All functions with a body, in source order: what a pass over the module works on. Kernels and plans that it does
    /// not declare are empty.
    pub fn units(&self) -> &[Unit<'a>] {
        &self.units
    }

    /// The target machine.
    pub fn target(&self) -> Target<'a> {
        self.target
    }

    /// The parsed program. The pass declares `module`.
    #[track_caller]
    pub fn module(&self) -> Result<Module<'a>, PassError> {
        self.must_read("module");
        if let Some(module) = self.module.get() {
            return Ok(*module);
        }
        let module = Module::from_columns(self.shared)?;
        Ok(*self.module.get_or_init(|| module))
    }

    /// Which regions overlap: what hazard analysis found for the function. The pass declares `hazards`.
    #[track_caller]
    pub fn hazards(&self) -> Result<Hazards<'a>, PassError> {
        self.must_read("hazards");
        Ok(Hazards::from_columns(self.units[0].columns)?)
    }

    /// A column that an earlier stage wrote for the function. The pass declares its artifact, see
    /// [`mod@crate::artifact`].
    #[track_caller]
    pub fn column<T: Pod>(&self, id: &'static str) -> Result<&'a [T], PassError> {
        if !self.contract.lends_column(id) {
            let artifact = artifact::of_column(id);
            breach(format!("it reads the column `{id}` without declaring the artifact `{artifact}`"));
        }
        Ok(self.units[0].columns.get(id)?)
    }

    /// The value of a bool option.
    ///
    /// # Panics
    /// If the pass declares no bool option of that name.
    #[track_caller]
    pub fn flag(&self, name: &str) -> bool {
        match self.option(name) {
            OptionValue::Bool(value) => *value,
            other => wrong_type(name, other, OptionType::Bool),
        }
    }

    /// The value of an integer option.
    ///
    /// # Panics
    /// If the pass declares no integer option of that name.
    #[track_caller]
    pub fn int(&self, name: &str) -> i64 {
        match self.option(name) {
            OptionValue::Int(value) => *value,
            other => wrong_type(name, other, OptionType::Int),
        }
    }

    /// The value of a string option.
    ///
    /// # Panics
    /// If the pass declares no string option of that name.
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        match self.option(name) {
            OptionValue::String(value) => value,
            other => wrong_type(name, other, OptionType::String),
        }
    }

    /// Lets go of the units: the pass has run.
    pub(crate) fn release_units(&mut self) {
        self.units = Vec::new();
    }

    /// Makes an edit: checks it, applies it to [`PassContext::plan`] and keeps it for the host. The pass declares to
    /// write what it changes.
    #[track_caller]
    pub fn edit(&mut self, edit: Edit) -> Result<(), PassError> {
        if let Err(artifact) = self.contract.admits(&self.units[0].plan, edit) {
            breach(format!("it makes the edit {edit:?} without declaring to write `{artifact}`"));
        }
        self.units[0].plan.apply(edit)?;
        self.edits.push(edit);
        Ok(())
    }

    /// Adds a set after the node `set_after` and a wait before the node `wait_before`.
    #[track_caller]
    pub fn add_pair(
        &mut self,
        (src, dst): (PipeId, PipeId),
        set_after: NodeId,
        wait_before: NodeId,
        carrier: NodeId,
        roots: &[RootId],
    ) -> Result<GroupId, PassError> {
        let group = self.add_unplaced_pair((src, dst), carrier, 0, roots)?;
        self.place(group, Role::Set, Anchor::after(set_after), Position::Back)?;
        self.place(group, Role::Wait, Anchor::before(wait_before), Position::Back)?;
        Ok(group)
    }

    /// Adds a pair whose ends are still to be placed.
    #[track_caller]
    pub fn add_unplaced_pair(
        &mut self,
        (src, dst): (PipeId, PipeId),
        carrier: NodeId,
        flags: u32,
        roots: &[RootId],
    ) -> Result<GroupId, PassError> {
        let group = GroupId::from_index(self.plan().groups().len());
        self.edit(Edit::AddPair { src, dst, carrier, flags })?;
        for &root in roots {
            self.edit(Edit::AddRoot { group, root })?;
        }
        Ok(group)
    }

    /// Adds a barrier of `pipe` at the back of the list at `anchor`.
    #[track_caller]
    pub fn add_barrier(
        &mut self,
        pipe: PipeId,
        anchor: Anchor,
        carrier: NodeId,
        flags: u32,
    ) -> Result<GroupId, PassError> {
        let group = GroupId::from_index(self.plan().groups().len());
        self.edit(Edit::AddBarrier { pipe, carrier, flags })?;
        self.place(group, Role::Barrier, anchor, Position::Back)?;
        Ok(group)
    }

    /// Puts an end of a group at an anchor; moves it if it already stands somewhere.
    #[track_caller]
    pub fn place(
        &mut self,
        group: GroupId,
        role: Role,
        anchor: Anchor,
        position: Position,
    ) -> Result<(), PassError> {
        self.edit(Edit::Place { entry: Entry { group, role }, anchor, position })
    }

    /// Gives a pair its event id.
    #[track_caller]
    pub fn set_event_id(&mut self, group: GroupId, event_id: u32, scope: u32) -> Result<(), PassError> {
        self.edit(Edit::SetEventId { group, event_id, scope })
    }

    /// Takes a pair's event id back.
    #[track_caller]
    pub fn clear_event_id(&mut self, group: GroupId) -> Result<(), PassError> {
        self.edit(Edit::SetEventId { group, event_id: NO_EVENT, scope: scope::NONE })
    }

    /// Removes a group.
    #[track_caller]
    pub fn remove(&mut self, group: GroupId) -> Result<(), PassError> {
        self.edit(Edit::Remove { group })
    }

    /// Hands on the overlaps of the function's regions.
    #[track_caller]
    pub fn write_hazards(&mut self, hazards: &HazardData) {
        self.must_write("hazards");
        hazards.view().copy_out(&mut self.columns);
    }

    /// Hands on a column of the function to later stages. The pass declares to write its artifact.
    #[track_caller]
    pub fn write_column<T: Pod>(&mut self, id: &str, records: &[T]) {
        if !self.contract.writes_column(id) {
            let artifact = artifact::of_column(id);
            breach(format!("it writes the column `{id}` without declaring to write `{artifact}`"));
        }
        self.columns.push(OwnedColumn::new(id, records));
    }

    /// Tells the user something, about a node or (none) the function as a whole.
    pub fn remark(&mut self, node: NodeId, message: impl Into<String>) {
        self.remarks.push(Remark { message: message.into(), node });
    }

    /// Adds text to what `--print-after` shows of the pass beside the plan: a map, a table. Lines end with a newline.
    pub fn report(&mut self, text: &str) {
        self.report.push_str(text);
    }

    /// Adds to a statistic that `--stats` prints.
    pub fn count(&mut self, name: &str, amount: i64) {
        match self.statistics.iter_mut().find(|(n, _)| n == name) {
            Some((_, total)) => *total += amount,
            None => self.statistics.push((name.into(), amount)),
        }
    }

    /// Sets the text that the pipeline produces: what an emitter pass is for. The pass declares to write `text`.
    #[track_caller]
    pub fn emit(&mut self, text: String) {
        self.must_write("text");
        self.output = Some(text);
    }

    #[track_caller]
    fn option(&self, name: &str) -> &OptionValue {
        match self.options.iter().find(|(n, _)| n == name) {
            Some((_, value)) => value,
            None => {
                let declared: Vec<_> = self.options.iter().map(|(n, _)| n.as_str()).collect();
                let declared = if declared.is_empty() { "none".into() } else { declared.join(", ") };
                breach(format!("it asks for the option `{name}`, which it does not declare ({declared})"))
            }
        }
    }

    #[track_caller]
    fn must_read(&self, artifact: &str) {
        if !self.contract.lends(artifact) {
            breach(format!("it reads the artifact `{artifact}` without declaring it"));
        }
    }

    #[track_caller]
    fn must_write(&self, artifact: &str) {
        if !self.contract.writes(artifact) {
            breach(format!("it writes the artifact `{artifact}` without declaring it"));
        }
    }
}

#[track_caller]
fn wrong_type(name: &str, value: &OptionValue, wanted: OptionType) -> ! {
    let ty = value.option_type();
    breach(format!("it asks for the option `{name}` of type {ty} as one of type {wanted}"))
}
