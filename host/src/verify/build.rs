//! From a function and its plan, or from the flags in its source, to the programs that are judged.
//!
//! Statements of a plan stand where [`pipewright_abi::placement`] puts them; flags and barriers in the source stand
//! where they are written. What must hold: a program has the steps of one core, in the order in which that core meets
//! them. A function with parts for both kinds of core is two programs.

mod decisions;

use std::collections::HashMap;

use pipewright_abi::ir::Module;
use pipewright_abi::kernel::{
    Access as KernelAccess, Kernel, Region, access_mode, node_flag, node_kind, region_flag,
};
use pipewright_abi::placement::{self, Statement};
use pipewright_abi::plan::{Anchor, NO_EVENT, SyncPlan};
use pipewright_abi::sync::Synchronization;
use pipewright_abi::target::{Target, entry_flag, pipe_flag, space_flag};
use pipewright_abi::{BlockId, GroupId, NodeId, OpId, PipeId, Range, TextRange, ValueId};

use super::address::{Bounds, Placed};
use super::calls;
use super::carried::{Carried, Handover, yielded};
use super::extract::{Change, Extract};
use super::memory::Memory;
use super::program::{self, Access, Builder, Fault, Key, Origin, Pipe, Place, Program};

/// The programs of a function: one, or one for each kind of core that it has a section for.
///
/// Without a module (a kernel built by hand) nodes are all there is, and trip counts are not known.
pub fn programs(
    module: Option<&Module<'_>>,
    kernel: &Kernel<'_>,
    plan: &SyncPlan,
    target: &Target<'_>,
) -> Vec<Program> {
    let mut walk = Walk {
        module,
        kernel,
        items: Vec::new(),
        core: Core::Any,
        cores: Vec::new(),
        notes: Vec::new(),
        handovers: Vec::new(),
        changes: Vec::new(),
    };
    walk.function();
    let Walk { items, cores, notes, handovers, changes, .. } = walk;
    let carried = module.map_or_else(Carried::default, |m| Carried::new(m, target, kernel, &handovers));
    let ops = items.iter().filter_map(|item| if let What::Op(op) = item.what { Some(op) } else { None });
    let placed = module.map_or_else(Placed::default, |m| Placed::new(m, target, ops));
    let kind = module.map_or(Core::Any, |m| kind(m, kernel.function()));
    let judged: Vec<Core> = if cores.len() < 2 { vec![Core::Any] } else { cores };
    judged
        .into_iter()
        .map(|core| {
            let mut maker = Maker::new(module, kernel, plan, target, core);
            maker.carried = Some(&carried).filter(|carried| !carried.is_empty());
            maker.placed = Some(&placed);
            notes.iter().for_each(|note| maker.builder.assume(note.clone()));
            let mut here = None;
            for item in items.iter().filter(|i| core == Core::Any || i.core == Core::Any || i.core == core) {
                // A section says more than its function, and where neither does nothing is known.
                let known = if item.core == Core::Any { kind } else { item.core };
                if here.replace(known) != Some(known) {
                    maker.builder.on_core(known.lacking(target));
                }
                maker.item(item.what, &handovers, &changes);
            }
            maker.finish()
        })
        .collect()
}

/// The kind of core that a function is for, if it or a module around it says so.
fn kind(module: &Module<'_>, function: OpId) -> Core {
    let mut at = function;
    while at.index() < module.t.ops.len() {
        match module.text_attr(at, "pto.kernel_kind") {
            Some("cube") => return Core::Cube,
            Some("vector") => return Core::Vector,
            _ => at = module.parent(at),
        }
    }
    Core::Any
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Core {
    Any,
    Cube,
    Vector,
}

impl Core {
    /// The pipes that this kind of core lacks, for a known kind.
    fn lacking(self, target: &Target<'_>) -> Option<(program::Core, Vec<bool>)> {
        let (core, flag) = match self {
            Self::Any => return None,
            Self::Cube => (program::Core::Cube, pipe_flag::CUBE),
            Self::Vector => (program::Core::Vector, pipe_flag::VECTOR),
        };
        Some((core, target.t.pipes.iter().map(|pipe| pipe.flags & flag == 0).collect()))
    }
}

#[derive(Clone, Copy, Debug)]
struct Item {
    what: What,
    core: Core,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A node of the kernel.
    Node(NodeId),
    /// An operation that is no node: a flag, a barrier, a bystander.
    Op(OpId),
    /// Where the `while` that begins at this node tests its condition.
    Test(NodeId),
    /// Values take over what others stand for: index of a handover.
    Handover(usize),
    /// An operation picks one of two values: index of the first of two handovers.
    Select(OpId, usize),
    /// Integers get other values: index of a list of changes.
    Changes(usize),
}

/// Puts nodes and other operations into program order.
struct Walk<'a> {
    module: Option<&'a Module<'a>>,
    kernel: &'a Kernel<'a>,
    items: Vec<Item>,
    core: Core,
    /// Kinds of core that have sections.
    cores: Vec<Core>,
    /// What is not modelled.
    notes: Vec<String>,
    handovers: Vec<Handover>,
    changes: Vec<Vec<(ValueId, Change)>>,
}

impl Walk<'_> {
    fn function(&mut self) {
        let function = self.kernel.function();
        let block = match self.module {
            Some(module) if function.index() < module.t.ops.len() => module.entry_block(function, 0),
            _ => BlockId::NONE,
        };
        match block.get() {
            Some(block) => {
                let mut nodes: HashMap<OpId, Vec<NodeId>> = HashMap::new();
                for (id, node) in self.kernel.node_ids().zip(self.kernel.nodes) {
                    nodes.entry(node.op).or_default().push(id);
                }
                self.block(block, &nodes);
            }
            None => {
                let core = Core::Any;
                let firsts = self.kernel.node_ids().filter(|&n| self.kernel.call(n).0 == n);
                self.items = firsts.map(|n| Item { what: What::Node(n), core }).collect();
            }
        }
    }

    fn push(&mut self, what: What) {
        self.items.push(Item { what, core: self.core });
    }

    fn block(&mut self, block: BlockId, nodes: &HashMap<OpId, Vec<NodeId>>) {
        let Some(module) = self.module else { return };
        for &op in module.block_ops(block) {
            let own: &[NodeId] = nodes.get(&op).map_or(&[], Vec::as_slice);
            match (module.op_name(op), own) {
                ("scf.for", &[begin, end]) => {
                    let mut args = arguments(module, op, 0);
                    let variable: Vec<ValueId> = args.drain(..1.min(args.len())).collect();
                    let first = |v: &ValueId| (*v, Change::Value(module.operand(op, 0)));
                    let next = |v: &ValueId| (*v, Change::Next(module.operand(op, 2)));
                    let over = |v: &ValueId| (*v, Change::Over);
                    let yields = yielded(module, module.entry_block(op, 0));
                    self.hand_over(args.clone(), initial(module, op, 3), variable.iter().map(first));
                    self.push(What::Node(begin));
                    self.bodies(op, nodes);
                    self.hand_over(args.clone(), yields, variable.iter().map(next));
                    self.push(What::Node(end));
                    let all = variable.iter().chain(&args).map(over);
                    self.hand_over(module.results(op), args.iter().copied(), all);
                }
                ("scf.while", &[begin, end]) => {
                    self.hand_over(arguments(module, op, 0), initial(module, op, 0), []);
                    self.push(What::Node(begin));
                    self.body(op, 0, nodes);
                    let passed: Vec<ValueId> =
                        yielded(module, module.entry_block(op, 0)).into_iter().skip(1).collect();
                    let takers = arguments(module, op, 1).into_iter().chain(module.results(op));
                    self.hand_over(takers, passed.iter().chain(&passed).copied(), []);
                    self.push(What::Test(begin));
                    self.body(op, 1, nodes);
                    self.hand_over(arguments(module, op, 0), yielded(module, module.entry_block(op, 1)), []);
                    self.push(What::Node(end));
                    let over = arguments(module, op, 0).into_iter().chain(arguments(module, op, 1));
                    self.hand_over([], [], over.map(|v| (v, Change::Over)));
                }
                ("scf.if", &[begin, then_end, middle, else_end, end]) => {
                    self.push(What::Node(begin));
                    self.body(op, 0, nodes);
                    self.hand_over(module.results(op), yielded(module, module.entry_block(op, 0)), []);
                    self.push(What::Node(then_end));
                    self.push(What::Node(middle));
                    self.body(op, 1, nodes);
                    self.hand_over(module.results(op), yielded(module, module.entry_block(op, 1)), []);
                    self.push(What::Node(else_end));
                    self.push(What::Node(end));
                }
                ("arith.select", _) => {
                    let handover = |arm| Handover::new(module, module.results(op), [module.operand(op, arm)]);
                    let arms = [handover(1), handover(2)];
                    if !arms[0].is_empty() {
                        self.push(What::Select(op, self.handovers.len()));
                        self.handovers.extend(arms);
                    }
                }
                ("scf.index_switch", _) => {
                    let note = "all cases of an `scf.index_switch` are taken to run, one after the other";
                    self.notes.push(note.into());
                    self.bodies(op, nodes);
                }
                (name, own) => {
                    match own {
                        [] => self.push(What::Op(op)),
                        &[first, ..] if self.kernel.call(first).0 == first => self.push(What::Node(first)),
                        nodes => nodes.iter().for_each(|&node| self.push(What::Node(node))),
                    }
                    let outer = self.core;
                    let section = match name {
                        "pto.section.cube" => Some(Core::Cube),
                        "pto.section.vector" => Some(Core::Vector),
                        _ => None,
                    };
                    if let Some(core) = section {
                        self.core = core;
                        if !self.cores.contains(&core) {
                            self.cores.push(core);
                        }
                    }
                    self.bodies(op, nodes);
                    self.core = outer;
                }
            }
        }
    }

    /// The values `to` take over from the values `from`; beside that integers change.
    fn hand_over(
        &mut self,
        to: impl IntoIterator<Item = ValueId>,
        from: impl IntoIterator<Item = ValueId>,
        more: impl IntoIterator<Item = (ValueId, Change)>,
    ) {
        let Some(module) = self.module else { return };
        let both: Vec<(ValueId, ValueId)> = to.into_iter().zip(from).collect();
        let changes = both.iter().map(|&(to, from)| (to, Change::Value(from))).chain(more);
        let changes: Vec<_> = changes.filter(|&(to, _)| Extract::is_integer(module, to)).collect();
        if !changes.is_empty() {
            self.push(What::Changes(self.changes.len()));
            self.changes.push(changes);
        }
        let (to, from): (Vec<ValueId>, Vec<ValueId>) = both.into_iter().unzip();
        let handover = Handover::new(module, to, from);
        if !handover.is_empty() {
            self.push(What::Handover(self.handovers.len()));
            self.handovers.push(handover);
        }
    }

    fn bodies(&mut self, op: OpId, nodes: &HashMap<OpId, Vec<NodeId>>) {
        let count = self.module.map_or(0, |m| m.bodies(op).len());
        (0..count).for_each(|index| self.body(op, index, nodes));
    }

    fn body(&mut self, op: OpId, index: usize, nodes: &HashMap<OpId, Vec<NodeId>>) {
        let Some(module) = self.module else { return };
        let Some(body) = module.bodies(op).get(index) else { return };
        if body.blocks.len > 1 {
            self.notes.push(
                "branches between blocks are not followed: blocks are taken to run in their order".into(),
            );
        }
        for block in module.blocks(body) {
            self.block(block, nodes);
        }
    }
}

/// The arguments of an operation's region.
fn arguments(module: &Module<'_>, op: OpId, region: usize) -> Vec<ValueId> {
    module.entry_block(op, region).get().map_or_else(Vec::new, |block| module.block_args(block).collect())
}

/// The operands of a loop from the `first` on: what its arguments stand for in the first trip.
fn initial(module: &Module<'_>, op: OpId, first: usize) -> Vec<ValueId> {
    module.operands(op).iter().skip(first).map(|o| o.value).collect()
}

/// Makes the steps of one core.
struct Maker<'a> {
    module: Option<&'a Module<'a>>,
    kernel: &'a Kernel<'a>,
    plan: &'a SyncPlan,
    target: &'a Target<'a>,
    builder: Builder,
    extract: Extract<'a>,
    bystanders: HashMap<OpId, Range>,
    /// Phases of the operations that have some.
    calls: HashMap<OpId, Range>,
    /// For each region its memory, once it was asked for.
    memories: Vec<Option<Option<usize>>>,
    /// Whether the flags that are added now are the source's, not a plan's.
    written: bool,
    /// The carried tiles, if there are any.
    carried: Option<&'a Carried>,
    /// Where tiles and buffers lie.
    placed: Option<&'a Placed>,
}

impl<'a> Maker<'a> {
    fn new(
        module: Option<&'a Module<'a>>,
        kernel: &'a Kernel<'a>,
        plan: &'a SyncPlan,
        target: &'a Target<'a>,
        core: Core,
    ) -> Self {
        let function = kernel.function();
        let name = match module {
            Some(m) if function.index() < m.t.ops.len() => m.symbol(function),
            _ => "",
        };
        let part = match core {
            Core::Any => "",
            Core::Cube => " (cube section)",
            Core::Vector => " (vector section)",
        };
        let pipes: Vec<&str> = target.t.pipes.iter().map(|p| target.str(p.name)).collect();
        let scalar = target.t.pipes.iter().position(|p| p.flags & pipe_flag::SCALAR != 0);
        let mut builder = Builder::new(&format!("{name}{part}"), &pipes, scalar);
        let spaces = || (0u32..).zip(target.t.spaces);
        let global = spaces().filter(|(_, s)| s.flags & space_flag::GLOBAL != 0).map(|(i, _)| i).collect();
        let settled =
            (0u32..).zip(target.t.settled.iter().copied()).filter(|(_, bytes)| *bytes > 0).collect();
        builder.spaces(global, settled);
        builder.bounds(Bounds::of(target));
        let both = pipe_flag::CUBE | pipe_flag::VECTOR;
        builder.shared_pipes(target.t.pipes.iter().map(|pipe| pipe.flags & both == both).collect());
        Self {
            module,
            kernel,
            plan,
            target,
            builder,
            extract: Extract::new(module),
            calls: kernel.calls.iter().map(|c| (c.op, c.phases)).collect(),
            bystanders: kernel.bystanders.iter().map(|b| (b.op, b.accesses)).collect(),
            memories: vec![None; kernel.regions.len()],
            written: false,
            carried: None,
            placed: None,
        }
    }

    fn finish(mut self) -> Program {
        if let Some(group) = placement::tail(self.plan) {
            let place = Place::AtReturn;
            self.builder.origin =
                Origin { node: NodeId::NONE, group, span: self.span(self.kernel.function()), place };
            let hint =
                self.module.and_then(|m| m.text_attr(self.kernel.function(), "pto.auto_sync_tail_hint"));
            // The hint asks for less than a full barrier.
            let short =
                hint.is_some_and(|h| h.to_ascii_lowercase().replace('_', "-").ends_with("mte3-to-s-event0"));
            match (short, self.target.pipe("MTE3"), self.target.pipe("S")) {
                (true, Some(src), Some(dst)) => {
                    let key = Key { src: src.index(), dst: dst.index(), id: 0 };
                    self.builder.set(key);
                    self.builder.wait(key);
                }
                _ => _ = self.builder.barrier(None),
            }
        }
        let place = Place::AtReturn;
        let (node, group, span) = (NodeId::NONE, GroupId::NONE, self.span(self.kernel.function()));
        self.builder.origin = Origin { node, group, span, place };
        self.builder.finish()
    }

    fn span(&self, op: OpId) -> TextRange {
        let op = self.module.and_then(|m| m.t.ops.get(op.index()));
        let spans = op.map(|op| [op.name_span, op.span]).unwrap_or_default();
        spans.into_iter().find(|s| s.start < s.end).unwrap_or_default()
    }

    fn item(&mut self, what: What, handovers: &[Handover], changes: &[Vec<(ValueId, Change)>]) {
        match what {
            What::Handover(index) => {
                let (Some(module), Some(carried)) = (self.module, self.carried) else { return };
                let bindings = carried.bindings(module, self.target, &handovers[index]);
                if !bindings.is_empty() {
                    self.builder.bind(&bindings);
                }
            }
            What::Select(op, first) => {
                let (Some(module), Some(carried)) = (self.module, self.carried) else { return };
                let arm = |index: usize| carried.bindings(module, self.target, &handovers[index]);
                let [taken, other] = [arm(first), arm(first + 1)];
                if !taken.is_empty() || !other.is_empty() {
                    self.builder.origin = Origin { span: self.span(op), ..Default::default() };
                    self.open_branch(Some(module.operand(op, 0)));
                    self.builder.bind(&taken);
                    self.builder.middle();
                    self.builder.bind(&other);
                    self.builder.close();
                }
            }
            What::Changes(index) => {
                let assign = self.extract.assign(&mut self.builder, 0, &changes[index]);
                if !assign.is_empty() {
                    self.builder.assign(assign);
                }
            }
            What::Node(id) => self.node(id),
            What::Op(op) => self.op(op),
            What::Test(begin) => {
                let span = self.span(self.kernel.node(begin).op);
                self.builder.origin = Origin { node: begin, span, ..Default::default() };
                self.builder.test();
                self.guard_while(self.kernel.node(begin).op);
            }
        }
    }

    fn node(&mut self, id: NodeId) {
        let node = self.kernel.node(id);
        self.written = false;
        placement::before(self.kernel, id).for_each(|a| self.statements(a, node.op, Place::Before));
        self.builder.origin = Origin { node: id, span: self.span(node.op), ..Default::default() };
        match node.kind {
            node_kind::INSTRUCTION => {
                let pipe = node.pipe.index();
                if pipe < self.target.t.pipes.len() {
                    self.instruction(node.op, Some(pipe), Some(node.accesses));
                }
            }
            node_kind::LOOP_BEGIN => {
                let is_while = node.flags & node_flag::WHILE != 0 && self.module.is_some();
                self.builder.open_loop(self.trips(node.op), is_while);
                if !is_while {
                    self.guard_for(node.op);
                }
            }
            node_kind::IF_BEGIN => {
                self.open_branch(self.module.map(|module| module.operand(node.op, 0)));
            }
            node_kind::ELSE_BEGIN => self.builder.middle(),
            node_kind::LOOP_END | node_kind::IF_END => self.builder.close(),
            _ => {}
        }
        let (_, last) = self.kernel.call(id);
        (id.0..=last.0).for_each(|n| self.statements(Anchor::after(NodeId(n)), node.op, Place::After));
    }

    /// An operation that works: what it does inside itself, or the one instruction that it is, if it is one.
    fn instruction(&mut self, op: OpId, pipe: Option<Pipe>, accesses: Option<Range>) {
        let phases = self.calls.get(&op).map_or(&[][..], |range| range.of(self.kernel.phases));
        let own = accesses.filter(|_| !calls::work(phases)).map(|accesses| {
            let accesses = self.accesses(op, accesses);
            (pipe.unwrap_or_else(|| self.builder.unknown_pipe()), accesses)
        });
        let phases: Vec<_> = phases.iter().map(|&phase| (phase, self.accesses(op, phase.accesses))).collect();
        calls::call(&mut self.builder, &phases, own);
    }

    /// What the plan puts at an anchor.
    fn statements(&mut self, anchor: Anchor, op: OpId, place: Place) {
        if self.plan.at(anchor).is_empty() {
            return;
        }
        for (group, statement) in placement::statements(self.plan, self.target, anchor) {
            self.builder.origin = Origin { node: anchor.node, group, span: self.span(op), place };
            match statement {
                Statement::Set { src, dst, event_id } => self.flag(true, src, dst, Some(event_id)),
                Statement::Wait { src, dst, event_id } => self.flag(false, src, dst, Some(event_id)),
                Statement::Barrier { pipe } => self.barrier(pipe),
            }
        }
    }

    /// A set or wait. Without an id it has no effect that one could rely on.
    fn flag(&mut self, is_set: bool, src: PipeId, dst: PipeId, id: Option<u32>) {
        let flags = |p: PipeId| self.target.t.pipes.get(p.index()).map_or(0, |p| p.flags);
        let (src_flags, dst_flags) = (flags(src), flags(dst));
        let (src_index, dst_index) = (src.index(), dst.index());
        let known = src_index < self.target.t.pipes.len() && dst_index < self.target.t.pipes.len();
        let Some(id) = id.filter(|_| known) else {
            self.builder.opaque();
            self.builder.names(&[src_index, dst_index]);
            let note = "flags whose id is computed order nothing, and are not checked";
            self.builder.assume(note.into());
            return;
        };
        let key = Key { src: src_index, dst: dst_index, id };
        if id == NO_EVENT {
            self.builder.opaque();
            self.builder.names(&[src_index, dst_index]);
            self.builder.fault(Fault::Missing { src: src_index, dst: dst_index });
            return;
        }
        if is_set {
            self.builder.set(key);
        } else {
            self.builder.wait(key);
        }
        let reserved = self.target.usable_ids(src, dst) & 1u64.checked_shl(id).unwrap_or(0) == 0;
        let can_flag = src_flags & dst_flags & pipe_flag::FLAGS != 0;
        // Where the core is known, it is said which of them it lacks.
        let shares_core = src_flags & dst_flags & (pipe_flag::CUBE | pipe_flag::VECTOR) != 0
            || self.builder.lacks(src_index)
            || self.builder.lacks(dst_index);
        if src == dst || !can_flag || !shares_core {
            self.builder.fault(Fault::Ends { key });
        } else if id >= self.target.event_ids() {
            self.builder.fault(Fault::OutOfRange { key, count: self.target.event_ids() });
        } else if reserved && !self.written {
            self.builder.fault(Fault::Reserved { key });
        }
    }

    fn barrier(&mut self, pipe: PipeId) {
        let flags = self.target.t.pipes.get(pipe.index()).map_or(0, |p| p.flags);
        if flags & pipe_flag::ALL != 0 || pipe.is_none() {
            self.builder.barrier(None);
        } else if flags & pipe_flag::SCALAR != 0 {
            self.builder.opaque();
            self.builder.fault(Fault::ScalarBarrier);
        } else {
            self.builder.barrier(Some(pipe.index()));
        }
    }

    /// An operation that is no node.
    fn op(&mut self, op: OpId) {
        let Some(module) = self.module else { return };
        let name = module.op_name(op);
        self.written = true;
        self.builder.origin = Origin { span: self.span(op), ..Default::default() };
        if let Some(placed) = self.placed {
            placed.judge(module, op, &mut self.builder);
        }
        match self.target.synchronization(module, op) {
            Some(Synchronization::Set(flag)) => self.written_flag(true, flag),
            Some(Synchronization::Wait(flag)) => self.written_flag(false, flag),
            Some(Synchronization::Barrier(pipe)) => self.known_barrier(pipe),
            Some(Synchronization::Fence) => _ = self.builder.barrier(None),
            None if self.is_description(op) => {}
            other => {
                match other {
                    Some(Synchronization::Cores) => {
                        self.builder.assume(format!("what `{name}` waits for on another core comes"));
                    }
                    Some(Synchronization::Unknown) => {
                        self.builder.assume(format!("`{name}` orders nothing, and holds nothing up"));
                    }
                    _ => {}
                }
                self.instruction(op, None, self.bystanders.get(&op).copied());
            }
        }
        let text = |attr: &str| module.text_attr(op, attr).unwrap_or("");
        if name == "func.call" && self.is_defined(text("callee")) {
            // Behind its own full barrier, which it has unless the judgement on it says otherwise.
            self.builder.barrier(None);
            self.builder.assume("a called function waits for all pipes before it returns".into());
        }
    }

    /// Whether the operation touches no bytes of what it names.
    fn is_description(&self, op: OpId) -> bool {
        let entry = self.module.and_then(|m| m.op(op).entry.get());
        entry.is_some_and(|e| self.target.t.entries[e.index()].flags & entry_flag::DESCRIPTION != 0)
    }

    /// Whether a function of this name has a body here.
    fn is_defined(&self, name: &str) -> bool {
        let Some(module) = self.module else { return false };
        let mut functions = module.functions().filter(|&f| module.symbol(f) == name);
        functions.any(|f| module.entry_block(f, 0).is_some())
    }

    /// A barrier in the source; one of a pipe that the target does not have orders nothing.
    fn known_barrier(&mut self, pipe: PipeId) {
        if pipe.is_some() {
            self.barrier(pipe);
        } else {
            self.builder.opaque();
            self.builder.assume("a barrier of an unknown pipe orders nothing".into());
        }
    }

    fn accesses(&mut self, op: OpId, range: Range) -> Vec<Access> {
        let mut out: Vec<Access> = Vec::new();
        // Phases have effects of their own.
        let is_call = self.calls.get(&op).is_some_and(|range| calls::work(range.of(self.kernel.phases)));
        for &KernelAccess { region, mode } in range.of(self.kernel.accesses) {
            let Some(memory) = self.memory(region.index()) else { continue };
            let root = self.kernel.roots.get(self.kernel.regions[region.index()].root.index());
            let root = root.filter(|root| root.value.is_some());
            for (bit, write) in [(access_mode::READ, false), (access_mode::WRITE, true)] {
                if mode & bit == 0 {
                    continue;
                }
                let mut choices = Vec::new();
                if let (Some(module), Some(carried), Some(root)) = (self.module, self.carried, root) {
                    choices =
                        carried.choices(module, self.target, op, root.value, (!is_call).then_some(write));
                }
                let only: Vec<_> =
                    if choices.is_empty() { vec![None] } else { choices.into_iter().map(Some).collect() };
                for only in only {
                    let access = Access { memory, write, only };
                    if !out.contains(&access) {
                        out.push(access);
                    }
                }
            }
        }
        out
    }

    /// The bytes of a region; none if it has none, or exists for another purpose.
    fn memory(&mut self, region: usize) -> Option<usize> {
        if let Some(known) = self.memories.get(region)? {
            return *known;
        }
        let r = &self.kernel.regions[region];
        let has = |flag| r.flags & flag != 0;
        let (space, accumulator) = (r.space.0, has(region_flag::ACCUMULATOR));
        let memory = if has(region_flag::NOT_RANGE) {
            None
        } else if has(region_flag::UNTRACED) {
            self.assume_untraced(r);
            Some(Memory::Anywhere { space, untraced: true, accumulator })
        } else if has(region_flag::PRIVATE) && has(region_flag::KNOWN_ADDRESS) {
            Memory::slot(space, r.root.0, r.address, [r.rows, r.row_bytes, r.pitch], accumulator)
        } else if has(region_flag::GLOBAL) || has(region_flag::PRIVATE) {
            Some(Memory::Private { space, root: r.root.0, accumulator })
        } else if has(region_flag::KNOWN_ADDRESS) {
            let runs = Memory::runs(space, r.address, [r.rows, r.row_bytes, r.pitch], accumulator);
            runs.map(|runs| if has(region_flag::SOMEWHERE) { runs.somewhere() } else { runs })
        } else {
            Some(Memory::Anywhere { space, untraced: false, accumulator })
        };
        let memory = memory.map(|memory| {
            let root = self.kernel.roots.get(r.root.index());
            let space = self.target.space_name(r.space);
            let root = match (self.module, root.and_then(|r| r.name.get())) {
                (Some(module), Some(name)) => format!(" (%{})", module.str(name).trim_start_matches('%')),
                _ => String::new(),
            };
            let name = match memory.span() {
                Some((first, last)) => format!("{space} {first}..{}", u128::from(last) + 1),
                None => match memory {
                    Memory::Slot { address, .. } => format!("{space}, slot{root} from byte {address}"),
                    _ => format!("{space}{root}"),
                },
            };
            let index = self.builder.memory(memory, &name);
            if !has(region_flag::PRIVATE) && self.placed.is_some_and(|placed| placed.is_tile(r)) {
                self.builder.is_placed(index);
            }
            index
        });
        self.memories[region] = Some(memory);
        memory
    }

    /// Says of a value that stands for memory that nobody knows which.
    fn assume_untraced(&mut self, region: &Region) {
        let space = self.target.space_name(region.space);
        let root = self.kernel.roots.get(region.root.index());
        let known = self.module.zip(root).map(|(module, root)| {
            let before = module.source.get(..root.span.start as usize).unwrap_or_default();
            let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
            let name = module.str(root.name).trim_start_matches('%');
            if name.is_empty() { format!("a value (line {line})") } else { format!("%{name} (line {line})") }
        });
        let value = known.unwrap_or_else(|| "a value".into());
        self.builder.assume(format!("the memory of {value} is not known: taken to be anywhere in {space}"));
    }
}
